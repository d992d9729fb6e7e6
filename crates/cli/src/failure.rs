//! Why did it not work, as a person reads it, and as a script does: message and exit code.

use std::{fmt, io, process::ExitCode};

use teu_store::{Error, ErrorKind, Side};

use crate::say;

/// Why a verb did not do what it was asked.
#[derive(Debug)]
pub(crate) enum Failure {
    /// A place, or what is in it.
    Store(Error),
    /// The command line asks for what cannot be.
    Usage(String),
    /// Nobody reads our output any more: no failure of ours.
    BrokenPipe,
    /// What was looked at is not as it should be, and that was said already.
    Found {
        /// The exit code that says what.
        code: u8,
    },
    /// The user or the system stopped it, by this signal.
    Stopped {
        /// Its number.
        signal: u8,
    },
    /// It took longer than `--command-timeout` allows.
    TimedOut,
}

impl Failure {
    /// The same, known to be about one end of a copy.
    pub(crate) fn on(self, side: Side) -> Self {
        match self {
            Self::Store(error) => Self::Store(error.on(side)),
            other => other,
        }
    }

    /// The same, known to have come of this.
    pub(crate) fn within(self, operation: &str) -> Self {
        match self {
            Self::Store(error) => Self::Store(error.within(operation)),
            other => other,
        }
    }

    /// Says it on standard error, and gives the exit code: 1, or as skopeo does 2 for an image that is not there; 130 or 143 when a
    /// signal stopped it; and the verb's own where it found something.
    pub(crate) fn report(&self, as_skopeo: bool) -> ExitCode {
        ExitCode::from(self.said(as_skopeo))
    }

    /// The same for a verb whose exit code 1 is an answer, as that of diff(1) is: what is no answer is 2.
    pub(crate) fn report_trouble(&self, as_skopeo: bool) -> ExitCode {
        let code = self.said(as_skopeo);
        ExitCode::from(match self {
            Self::Store(_) | Self::TimedOut => 2,
            _ => code,
        })
    }

    fn said(&self, as_skopeo: bool) -> u8 {
        let code = match self {
            Self::BrokenPipe => return 0,
            Self::Found { code } => return *code,
            // As a shell gives it for what a signal ended.
            Self::Stopped { signal } => 128 + signal,
            // A destination is no image that was looked for.
            Self::Store(error) if *error.kind() == ErrorKind::NotFound && error.side() != Some(Side::Destination) => 2,
            Self::Store(_) | Self::TimedOut => 1,
            Self::Usage(_) => {
                if as_skopeo {
                    1
                } else {
                    2
                }
            }
        };
        say::complain(as_skopeo, &self.to_string());
        code
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(error) => {
                write!(formatter, "{error}")?;
                match error.kind() {
                    ErrorKind::Throttled => formatter.write_str("; wait, or log in for a higher limit (teu login)"),
                    _ => Ok(()),
                }
            }
            Self::Usage(message) => formatter.write_str(message),
            Self::Stopped { .. } => formatter.write_str(
                "stopped; no name points at what is not whole, and what was stored already serves the next run",
            ),
            Self::TimedOut => formatter.write_str(
                "stopped, as it took longer than --command-timeout allows; what was stored already serves the next run",
            ),
            Self::BrokenPipe | Self::Found { .. } => Ok(()),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}

impl From<teu_spec::Error> for Failure {
    fn from(error: teu_spec::Error) -> Self {
        Self::Store(error.into())
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::BrokenPipe,
            _ => Self::Store(error.into()),
        }
    }
}
