//! Why was nothing taken out of an image, and can the caller do something about it?

use std::{error::Error as StdError, fmt};

use teu_store::Error;

/// Why nothing was taken out. Each says in words what is wrong; which it is says what can be done.
#[derive(Debug)]
pub enum Failure {
    /// A file is where one is to be; [`Options::replace`](super::Options::replace) replaces it.
    Replaceable(Error),
    /// Two files would have one name; with [`Options::parents`](super::Options::parents) they keep their paths, or one is taken at a time.
    SameName(Error),
    /// Anything else.
    Other(Error),
}

impl Failure {
    fn error(&self) -> &Error {
        match self {
            Self::Replaceable(error) | Self::SameName(error) | Self::Other(error) => error,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Replaceable(error) | Failure::SameName(error) | Failure::Other(error) => error,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error().fmt(formatter)
    }
}

impl StdError for Failure {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.error().source()
    }
}
