//! What was a file like when the bundle was unpacked? What is remembered is read along with a walk, which has the same order. And what does a file keep of
//! that which it did not get then?

use std::{cmp::Ordering, collections::BTreeMap, mem::discriminant};

use teu_archive::Escaped;
use teu_rootfs::{Node, walk::Found};
use teu_store::{Error, ErrorKind, Result};

use crate::{
    bundle::{Entry, Record, order},
    whiteout,
};

/// Access rules that go beyond the mode, and say it again.
const ACCESS: &[u8] = b"system.posix_acl_access";

/// The extended attributes that a file has in the image and did not get on this disk, as far as they are its own still: its content is what it was, as
/// the size and the time say, and its mode where they speak of that.
pub(super) fn kept(old: &Entry, found: &Found<'_>) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let is_same_time = found.node == Node::Directory || old.mtime == found.metadata.mtime;
    if old.node != found.node || !is_same_time {
        return BTreeMap::new();
    }
    let mut kept = old.withheld.clone();
    if old.mode != found.metadata.mode {
        kept.remove(ACCESS);
    }
    kept
}

/// Whether a file that is written loses some of them; what is no file of that kind any more has nothing to lose.
pub(super) fn loses(old: &Entry, found: &Found<'_>, kept: usize) -> bool {
    kept < old.withheld.len() && discriminant(&old.node) == discriminant(&found.node)
}

/// What is remembered, one entry ahead.
pub(super) struct Old {
    record: Record,
    pub(super) next: Option<Entry>,
}

impl Old {
    pub(super) fn begin(record: Record) -> Result<Self> {
        let mut old = Self { record, next: None };
        old.take()?;
        Ok(old)
    }

    /// The next one.
    pub(super) fn take(&mut self) -> Result<Option<Entry>> {
        let next = self.record.next_entry()?;
        if let Some(entry) = &next {
            check_path(&entry.path)?;
        }
        Ok(std::mem::replace(&mut self.next, next))
    }

    /// The next one, if it comes before `path`.
    pub(super) fn before(&mut self, path: &[u8]) -> Result<Option<Entry>> {
        match &self.next {
            Some(next) if order(&next.path, path) == Ordering::Less => self.take(),
            _ => Ok(None),
        }
    }

    /// The one of `path`, if it is the next.
    pub(super) fn at(&mut self, path: &[u8]) -> Result<Option<Entry>> {
        match &self.next {
            Some(next) if next.path == path => self.take(),
            _ => Ok(None),
        }
    }
}

/// A record is a file like others, and somebody may have written it: no path in it leads elsewhere, or means more than a name.
fn check_path(path: &[u8]) -> Result<()> {
    let is_name =
        |name: &[u8]| !matches!(name, b"" | b"." | b"..") && !name.contains(&0) && !name.starts_with(whiteout::PREFIX);
    match path.is_empty() || path.split(|byte| *byte == b'/').all(is_name) {
        true => Ok(()),
        false => Err(Error::new(
            ErrorKind::Invalid,
            format!(
                "the bundle's record names \"{}\", which no file of an image is called; unpack the image anew",
                Escaped(path)
            ),
        )),
    }
}
