//! How much may an untrusted tree ask for? Limits, each named in the error of whoever reaches it.

use std::fmt;

use crate::{Error, ErrorKind, Result, name::Shown};

/// Limits of what one [`Writer`](crate::Writer) makes, all layers together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Budget {
    /// How many entries, of all kinds, whiteouts included.
    pub entries: u64,
    /// How many bytes of content; holes are free.
    pub bytes: u64,
    /// The size of one file, holes included.
    pub file_bytes: u64,
    /// The bytes of one name. Linux allows 255.
    pub name_bytes: usize,
    /// The bytes of one path, or of a link's text. Linux allows 4095.
    pub path_bytes: usize,
    /// How many names one path has.
    pub depth: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            entries: 10_000_000,
            bytes: 1 << 40,
            file_bytes: 1 << 40,
            name_bytes: 255,
            path_bytes: 4095,
            depth: 2048,
        }
    }
}

/// What of a budget was spent.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Spent {
    pub(crate) entries: u64,
    pub(crate) bytes: u64,
}

impl Spent {
    /// Counts one entry.
    pub(crate) fn entry(&mut self, budget: &Budget, path: &[u8]) -> Result<()> {
        self.entries += 1;
        if self.entries > budget.entries {
            return Err(reached(
                path,
                "entries",
                budget.entries,
                format_args!("the tree has more entries"),
            ));
        }
        Ok(())
    }

    /// Counts content.
    pub(crate) fn content(&mut self, budget: &Budget, path: &[u8], bytes: u64) -> Result<()> {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes > budget.bytes {
            return Err(reached(
                path,
                "bytes",
                budget.bytes,
                format_args!("the tree has more bytes of content"),
            ));
        }
        Ok(())
    }
}

/// The error of a limit that was reached.
pub(crate) fn reached(path: &[u8], limit: &str, value: u64, what: fmt::Arguments<'_>) -> Error {
    Error::new(
        ErrorKind::Limit,
        format!(
            "{}: {what} (the limit {limit} is {value}; raise it only for a tree that you trust)",
            Shown(path)
        ),
    )
}
