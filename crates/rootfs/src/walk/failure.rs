//! How is it said what went wrong on a walk?

use std::fmt;

use rustix::io::Errno;

use crate::{Error, ErrorKind};

pub(super) fn changed(path: &[u8], why: &str) -> Error {
    let message = format!("{}: {why}; try again when nothing writes there", Shown(path));
    Error::new(ErrorKind::Changed, message)
}

pub(super) fn limit(path: &[u8], name: &str, limit: u64, what: fmt::Arguments<'_>) -> Error {
    let message = format!("{}: {what}, more than the limit {name} of {limit}", Shown(path));
    Error::new(ErrorKind::Limit, message)
}

pub(super) fn system(path: &[u8], what: &str) -> impl Fn(Errno) -> Error {
    move |errno| {
        let (kind, hint) = match errno {
            Errno::NOENT => (ErrorKind::NotFound, ""),
            Errno::OPNOTSUPP => (ErrorKind::Unsupported, ""),
            Errno::ACCESS | Errno::PERM => (ErrorKind::Io, " as this user"),
            _ => (ErrorKind::Io, ""),
        };
        Error::new(kind, format!("cannot {what} {}{hint}", Shown(path))).with_cause(errno)
    }
}

/// A path as text for a person: what is not printable is escaped, and its end cut off where it is very long.
pub(super) struct Shown<'a>(pub(super) &'a [u8]);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        const LONGEST: usize = 300;
        let path = if self.0.is_empty() { b"." } else { self.0 };
        let cut = &path[..path.len().min(LONGEST)];
        formatter.write_str("\"")?;
        for chunk in cut.utf8_chunks() {
            write!(formatter, "{}", chunk.valid().escape_debug())?;
            for byte in chunk.invalid() {
                write!(formatter, "\\x{byte:02x}")?;
            }
        }
        formatter.write_str(if cut.len() < path.len() { "…\"" } else { "\"" })
    }
}
