//! How is it said what went wrong on a walk?

use std::fmt;

use rustix::io::Errno;

use crate::{Error, ErrorKind, name};

pub(super) fn changed(path: &[u8], why: &str) -> Error {
    let message = format!("{}: {why}; try again when nothing writes there", Shown(path));
    Error::new(ErrorKind::Changed, message)
}

pub(super) fn limit(path: &[u8], name: &str, limit: u64, what: fmt::Arguments<'_>) -> Error {
    let message = format!(
        "{}: {what}, more than the limit {name} of {limit}; raise it only for files that are meant",
        Shown(path)
    );
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

/// The path from the top of the tree as text for a person; the top itself is a dot.
pub(super) struct Shown<'a>(pub(super) &'a [u8]);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = if self.0.is_empty() { b"." } else { self.0 };
        name::Shown(path).fmt(formatter)
    }
}
