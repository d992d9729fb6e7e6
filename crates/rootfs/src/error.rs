//! What went wrong, with which name? One [`Error`]; callers match its [`kind`](Error::kind).

use std::{error::Error as StdError, fmt, io};

use rustix::io::Errno;

use crate::name::Shown;

/// What this crate answers.
pub type Result<T> = std::result::Result<T, Error>;

/// The kind of a failure: what a caller decides by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The tree asks for something that no honest tree needs.
    Refused,
    /// What the caller asks for contradicts itself.
    Invalid,
    /// The tree reached a limit, which the message names.
    Limit,
    /// What is meant is not there.
    NotFound,
    /// Something is there already, where it must not be.
    Exists,
    /// A file is there already, in the place of one that was to replace nothing unless it was told to.
    Replaceable,
    /// It is well-formed but cannot be done on this system or by this user.
    Unsupported,
    /// What is read is changed by somebody at the same time.
    Changed,
    /// The disk is full, or what this user may have of it is used up.
    Full,
    /// The file system failed otherwise.
    Io,
}

/// A failed operation.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    cause: Option<io::Error>,
}

impl Error {
    /// An error of this kind. `message` names the thing, in a form that is safe to print, and says what to do where there is something.
    #[must_use]
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            cause: None,
        }
    }

    /// The same with what the system said, which is printed behind the message.
    #[must_use]
    pub fn with_cause(mut self, cause: impl Into<io::Error>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// What no honest tree asks for, of the entry `path`.
    pub(crate) fn refused(path: &[u8], why: &str) -> Self {
        Self::new(ErrorKind::Refused, format!("{}: refused: {why}", Shown(path)))
    }

    /// What the system said of `path` while `what` was tried.
    pub(crate) fn system(path: &[u8], what: &str, errno: Errno) -> Self {
        let (kind, hint) = match errno {
            Errno::LOOP => (ErrorKind::Refused, " (links lead in a circle, or out of the tree)"),
            Errno::XDEV => (
                ErrorKind::Refused,
                " (another file system is mounted there, which is never entered)",
            ),
            Errno::NOTDIR => (ErrorKind::Refused, " (a name in its path is no directory)"),
            Errno::NAMETOOLONG => (ErrorKind::Refused, ""),
            Errno::NOENT => (ErrorKind::NotFound, ""),
            Errno::EXIST => (ErrorKind::Exists, ""),
            Errno::NOSYS => (
                ErrorKind::Unsupported,
                " (openat2 is needed: Linux 5.6, and a sandbox that lets it pass)",
            ),
            Errno::OPNOTSUPP => (ErrorKind::Unsupported, ""),
            Errno::NOSPC | Errno::DQUOT => (ErrorKind::Full, ""),
            _ => (ErrorKind::Io, ""),
        };
        Self::new(kind, format!("{}: cannot {what}{hint}", Shown(path))).with_cause(errno)
    }

    /// What a caller decides by.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)?;
        match &self.cause {
            Some(cause) => write!(formatter, ": {cause}"),
            None => Ok(()),
        }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        // The cause is printed with the message, so it is none of its own.
        None
    }
}
