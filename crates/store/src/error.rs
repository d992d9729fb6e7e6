//! What went wrong, with what, on which side? One opaque [`Error`]; callers match its [`kind`](Error::kind).

use std::{error::Error as StdError, fmt};

use teu_spec::Digest;

/// What a store answers.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The kind of a failure: what a caller decides by.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The content, the name or the repository is not there.
    NotFound,
    /// It is known who asks, and they may not.
    Denied,
    /// The other side wants what is never done: that requests or secrets go elsewhere.
    Refused,
    /// It is not known who asks, or the credentials are wrong.
    Unauthenticated,
    /// What is there is not what the caller expected, or may not be changed.
    Conflict,
    /// A quota is used up, or the disk is full.
    Quota,
    /// Something is larger than a limit.
    TooLarge,
    /// A range that cannot be satisfied.
    Range,
    /// The other side asks to slow down, and retrying did not help.
    Throttled,
    /// A manifest names content that is not there.
    MissingChildren(Vec<Digest>),
    /// Content is not what its digest or size says.
    Mismatch,
    /// What was being written was lost on its way and is not kept: it may be written once more, from its beginning.
    Lost,
    /// Something is malformed.
    Invalid,
    /// Something is well-formed but cannot be done here.
    Unsupported,
    /// The caller gave up.
    Cancelled,
    /// The disk or the network failed.
    Io,
}

/// Which end of a copy an error is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Where content comes from.
    Source,
    /// Where content goes.
    Destination,
}

impl fmt::Display for Side {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Source => "source",
            Self::Destination => "destination",
        })
    }
}

/// A failed operation: its kind, what was being done to what, and why it failed.
#[derive(Debug)]
pub struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    kind: ErrorKind,
    message: String,
    context: Vec<String>,
    side: Option<Side>,
    cause: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error of this kind. `message` says what is wrong and, where there is something, what to do.
    #[must_use]
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            message: message.into(),
            context: Vec::new(),
            side: None,
            cause: None,
        }))
    }

    /// The same with what caused it, which is printed behind the message.
    #[must_use]
    pub fn with_cause(mut self, cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.cause = Some(cause.into());
        self
    }

    /// The same within an operation on a subject, such as `reading blob sha256:…`; printed before what is already there.
    #[must_use]
    pub fn within(mut self, operation: impl Into<String>) -> Self {
        self.0.context.push(operation.into());
        self
    }

    /// The same, known to be about one end of a copy. An error that already says so stays.
    #[must_use]
    pub fn on(mut self, side: Side) -> Self {
        self.0.side.get_or_insert(side);
        self
    }

    /// The same in words that `rewrite` makes of each of its texts, the causes' too: for texts that hold what must not be shown.
    #[must_use]
    pub fn rewritten(mut self, rewrite: impl Fn(&str) -> String) -> Self {
        let inner = &mut *self.0;
        if let Some(cause) = inner.cause.take() {
            inner.message.push_str(&causes(&*cause));
        }
        inner.message = rewrite(&inner.message);
        for operation in &mut inner.context {
            *operation = rewrite(operation);
        }
        self
    }

    /// What a caller decides by.
    #[must_use]
    pub fn kind(&self) -> &ErrorKind {
        &self.0.kind
    }

    /// What caused it, as it was given, for who knows what that can be.
    #[must_use]
    pub fn cause(&self) -> Option<&(dyn StdError + Send + Sync + 'static)> {
        self.0.cause.as_deref()
    }

    /// Which end of a copy it is about, where that is known.
    #[must_use]
    pub fn side(&self) -> Option<Side> {
        self.0.side
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(side) = self.0.side {
            write!(formatter, "{side}: ")?;
        }
        for operation in self.0.context.iter().rev() {
            write!(formatter, "{operation}: ")?;
        }
        formatter.write_str(&self.0.message)?;
        // The causes are part of the text: an error that is only printed must still say why.
        match &self.0.cause {
            Some(cause) => formatter.write_str(&causes(&**cause)),
            None => Ok(()),
        }
    }
}

/// An error and what it came of, each behind a colon.
fn causes(error: &(dyn StdError + 'static)) -> String {
    let mut text = String::new();
    let mut cause = Some(error);
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

impl StdError for Error {}

/// So that an error can pass through `std::io`'s traits: `Error::from` takes it out again as it was.
impl From<Error> for std::io::Error {
    fn from(error: Error) -> Self {
        Self::other(error)
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        use std::io::ErrorKind as Io;
        let error = match error.downcast::<Self>() {
            Ok(ours) => return ours,
            Err(error) => error,
        };
        let kind = match error.kind() {
            Io::NotFound => ErrorKind::NotFound,
            Io::PermissionDenied => ErrorKind::Denied,
            Io::StorageFull | Io::QuotaExceeded => ErrorKind::Quota,
            _ => ErrorKind::Io,
        };
        Self::new(kind, error.to_string())
    }
}

impl From<teu_archive::Error> for Error {
    fn from(error: teu_archive::Error) -> Self {
        use teu_archive::ErrorKind as Archive;
        let kind = match error.kind() {
            Archive::Malformed | Archive::Truncated => ErrorKind::Invalid,
            Archive::Limit { .. } => ErrorKind::TooLarge,
            Archive::Unsupported => ErrorKind::Unsupported,
            _ => ErrorKind::Io,
        };
        let message = error.to_string();
        // Where a tar reader stands on content of ours, it is ours to say what went wrong with it.
        match error.into_io().map(std::io::Error::downcast::<Self>) {
            Some(Ok(ours)) => ours,
            _ => Self::new(kind, message),
        }
    }
}

impl From<teu_spec::Error> for Error {
    fn from(error: teu_spec::Error) -> Self {
        let kind = match error {
            teu_spec::Error::Unsupported { .. } | teu_spec::Error::Conversion { .. } => ErrorKind::Unsupported,
            _ => ErrorKind::Invalid,
        };
        Self::new(kind, error.to_string())
    }
}
