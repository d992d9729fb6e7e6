//! What has changed, and is to be written? A [`Layer`] holds it in the order of a walk, in little memory: paths share what they begin with.
//!
//! It is collected by one walk and read along with another: a [`Cursor`] says of each file that the second walk comes to what is to become of it.

use std::cmp::Ordering;

use teu_archive::Escaped;
use teu_store::{Error, ErrorKind, Result};

use super::scope::{is_at_or_below, is_below};
use crate::bundle::order;

/// What a path in a list takes beside its bytes, about.
const LISTED: usize = 40;

/// How a file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Write {
    /// As it is now. Its time is `exact` where it is that of the image, fractions of a second included.
    File { exact: bool },
    /// A directory that is new, with all that is in it.
    Tree,
}

/// What changed of what goes into one layer.
#[derive(Debug, Default)]
pub(super) struct Layer {
    written: Paths,
    /// In the order of the directories that they were in.
    removed: Vec<Vec<u8>>,
    /// Names of files with several that are written because others of the file are; and those that are written in another layer.
    linked: Vec<Vec<u8>>,
    moved: Vec<Vec<u8>>,
    /// Directories that were noted to be written, and are what they were after all.
    unchanged: Vec<Vec<u8>>,
    /// Bytes of these four.
    listed: usize,
}

impl Layer {
    pub(super) fn is_empty(&self) -> bool {
        self.written.count == self.unchanged.len() as u64 && self.removed.is_empty() && self.linked.is_empty()
    }

    /// Notes a file, in the order of a walk.
    pub(super) fn write(&mut self, path: &[u8], how: Write) {
        self.written.push(path, how);
    }

    /// Notes that nothing is at this path any more.
    pub(super) fn remove(&mut self, path: Vec<u8>) {
        self.listed += LISTED + path.len();
        self.removed.push(path);
    }

    /// Notes a name that is written, in whatever order.
    pub(super) fn link(&mut self, path: Vec<u8>) {
        self.listed += LISTED + path.len();
        self.linked.push(path);
    }

    /// Notes a name that is not written here, in whatever order.
    pub(super) fn move_away(&mut self, path: Vec<u8>) {
        self.listed += LISTED + path.len();
        self.moved.push(path);
    }

    /// Takes back that a directory is written, in whatever order; what is in it is written as it was noted.
    pub(super) fn take_back(&mut self, path: Vec<u8>) {
        self.listed += LISTED + path.len();
        self.unchanged.push(path);
    }

    /// Puts all in order.
    pub(super) fn sort(&mut self) {
        self.removed
            .sort_by(|one, other| order(parent(one), parent(other)).then_with(|| one.cmp(other)));
        for paths in [&mut self.linked, &mut self.moved, &mut self.unchanged] {
            paths.sort_by(|one, other| order(one, other));
        }
    }

    /// Bytes of memory, about.
    pub(super) fn memory(&self) -> usize {
        self.written.bytes.len() + self.listed
    }

    pub(super) fn cursor(&self) -> Cursor<'_> {
        Cursor {
            written: self.written.iter(),
            removed: &self.removed,
            linked: &self.linked,
            moved: &self.moved,
            unchanged: &self.unchanged,
            tree: None,
        }
    }
}

/// What is to become of the file that a walk has come to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Wanted<'a> {
    /// How it is written, if it was noted.
    pub(super) write: Option<Write>,
    /// Whether it is in a directory that is new and written whole.
    pub(super) in_tree: bool,
    /// Whether it is written in another layer, whatever else there is.
    pub(super) moved: bool,
    /// Whether something is to be written or removed in it.
    pub(super) below: bool,
    /// What was removed of what was in it.
    pub(super) removed: &'a [Vec<u8>],
}

/// Goes through a layer, in the order of a walk.
pub(super) struct Cursor<'a> {
    written: Iter<'a>,
    removed: &'a [Vec<u8>],
    linked: &'a [Vec<u8>],
    moved: &'a [Vec<u8>],
    unchanged: &'a [Vec<u8>],
    /// The new directory that the walk is in.
    tree: Option<Vec<u8>>,
}

impl<'a> Cursor<'a> {
    /// What is to become of the next file of the walk.
    ///
    /// # Errors
    /// `Conflict` where the walk has passed what was to be written: it is gone.
    pub(super) fn at(&mut self, path: &[u8]) -> Result<Wanted<'a>> {
        let mut wanted = Wanted::default();
        if self.written.path() == Some(path) {
            wanted.write = self.written.take();
        }
        if let Some((first, rest)) = self.unchanged.split_first()
            && first == path
        {
            self.unchanged = rest;
            wanted.write = None;
        }
        if let Some((first, rest)) = self.linked.split_first()
            && first == path
        {
            self.linked = rest;
            wanted.write = wanted.write.or(Some(Write::File { exact: true }));
        }
        while let Some((first, rest)) = self.moved.split_first()
            && order(first, path) != Ordering::Greater
        {
            self.moved = rest;
            wanted.moved |= first == path;
        }
        let here = self
            .removed
            .iter()
            .take_while(|removed| parent(removed) == path)
            .count();
        (wanted.removed, self.removed) = self.removed.split_at(here);
        self.check(path)?;
        if self.tree.as_ref().is_some_and(|top| !is_below(path, top)) {
            self.tree = None;
        }
        wanted.in_tree = self.tree.is_some();
        if wanted.write == Some(Write::Tree) {
            self.tree = Some(path.to_vec());
        }
        let next = [self.written.path(), self.linked.first().map(Vec::as_slice)];
        wanted.below = !wanted.removed.is_empty()
            || next.into_iter().flatten().any(|next| is_below(next, path))
            || self
                .removed
                .first()
                .is_some_and(|next| is_at_or_below(parent(next), path));
        Ok(wanted)
    }

    /// Checks, when the walk is done, that it came by all.
    ///
    /// # Errors
    /// As [`at`](Self::at).
    pub(super) fn end(&self) -> Result<()> {
        let left = [self.written.path(), self.linked.first().map(Vec::as_slice)];
        let left = left.into_iter().flatten().next();
        match left.or(self.removed.first().map(Vec::as_slice)) {
            Some(path) => Err(vanished(path)),
            None => Ok(()),
        }
    }

    /// What comes next must come behind `path`.
    fn check(&self, path: &[u8]) -> Result<()> {
        let next = [self.written.path(), self.linked.first().map(Vec::as_slice)];
        let removed = self.removed.first();
        for (place, next) in next
            .into_iter()
            .flatten()
            .map(|next| (next, next))
            .chain(removed.map(|removed| (parent(removed), removed.as_slice())))
        {
            if order(place, path) == Ordering::Less {
                return Err(vanished(next));
            }
        }
        Ok(())
    }
}

fn vanished(path: &[u8]) -> Error {
    let message = format!(
        "\"{}\": the tree was changed while it was read; try again when nothing writes there",
        Escaped(path)
    );
    Error::new(ErrorKind::Conflict, message)
}

/// The directory that a path is in; the root's is empty.
pub(super) fn parent(path: &[u8]) -> &[u8] {
    let end = path.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
    &path[..end]
}

/// Paths one after the other, each as what it shares with the one before and its rest.
#[derive(Debug, Default)]
struct Paths {
    bytes: Vec<u8>,
    last: Vec<u8>,
    count: u64,
}

impl Paths {
    fn push(&mut self, path: &[u8], how: Write) {
        let shared = self
            .last
            .iter()
            .zip(path)
            .take_while(|(one, other)| one == other)
            .count();
        self.bytes.push(match how {
            Write::File { exact: false } => 0,
            Write::File { exact: true } => 1,
            Write::Tree => 2,
        });
        for number in [shared, path.len() - shared] {
            self.bytes.extend_from_slice(&(number as u32).to_le_bytes());
        }
        self.bytes.extend_from_slice(&path[shared..]);
        self.last.truncate(shared);
        self.last.extend_from_slice(&path[shared..]);
        self.count += 1;
    }

    fn iter(&self) -> Iter<'_> {
        let mut iter = Iter {
            bytes: &self.bytes,
            path: Vec::new(),
            how: None,
        };
        iter.advance();
        iter
    }
}

struct Iter<'a> {
    bytes: &'a [u8],
    path: Vec<u8>,
    how: Option<Write>,
}

impl Iter<'_> {
    /// The next path.
    fn path(&self) -> Option<&[u8]> {
        self.how.map(|_| &self.path[..])
    }

    /// Goes beyond it.
    fn take(&mut self) -> Option<Write> {
        let how = self.how;
        self.advance();
        how
    }

    fn advance(&mut self) {
        self.how = None;
        let Some(([how, a, b, c, d, e, f, g, h], rest)) = self.bytes.split_first_chunk::<9>() else {
            return;
        };
        let shared = u32::from_le_bytes([*a, *b, *c, *d]) as usize;
        let more = u32::from_le_bytes([*e, *f, *g, *h]) as usize;
        let (more, rest) = rest.split_at(more);
        self.path.truncate(shared);
        self.path.extend_from_slice(more);
        self.bytes = rest;
        self.how = Some(match how {
            0 => Write::File { exact: false },
            1 => Write::File { exact: true },
            _ => Write::Tree,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_walk_hears_what_is_to_become_of_each_file() {
        let mut layer = Layer::default();
        layer.write(b"a", Write::File { exact: false });
        layer.write(b"a/b", Write::File { exact: true });
        layer.write(b"new", Write::Tree);
        for removed in ["z", "a/x", "a/c/d", "a/b2"] {
            layer.remove(removed.into());
        }
        layer.link(b"c".to_vec());
        layer.move_away(b"new/elsewhere".to_vec());
        layer.take_back(b"a".to_vec());
        layer.sort();
        assert!(!layer.is_empty());
        let mut cursor = layer.cursor();
        let mut at = |path: &str| {
            let wanted = cursor.at(path.as_bytes()).unwrap();
            let removed: Vec<_> = wanted
                .removed
                .iter()
                .map(|path| String::from_utf8_lossy(path))
                .collect();
            format!(
                "{:?} tree={} moved={} below={} {}",
                wanted.write,
                wanted.in_tree,
                wanted.moved,
                wanted.below,
                removed.join(",")
            )
        };
        for (path, expected) in [
            ("", "None tree=false moved=false below=true z"),
            ("a", "None tree=false moved=false below=true a/b2,a/x"),
            ("a/b", "Some(File { exact: true }) tree=false moved=false below=false "),
            ("a/c", "None tree=false moved=false below=true a/c/d"),
            ("b", "None tree=false moved=false below=false "),
            ("c", "Some(File { exact: true }) tree=false moved=false below=false "),
            ("new", "Some(Tree) tree=false moved=false below=false "),
            ("new/elsewhere", "None tree=true moved=true below=false "),
            ("new/x", "None tree=true moved=false below=false "),
            ("newer", "None tree=false moved=false below=false "),
        ] {
            assert_eq!(at(path), expected, "{path}");
        }
        cursor.end().unwrap();
    }

    #[test]
    fn what_vanished_meanwhile_is_missed() {
        let mut layer = Layer::default();
        layer.write(b"b", Write::Tree);
        layer.write(b"d", Write::Tree);
        let mut cursor = layer.cursor();
        cursor.at(b"a").unwrap();
        assert_eq!(*cursor.at(b"c").unwrap_err().kind(), ErrorKind::Conflict);
        let mut cursor = layer.cursor();
        cursor.at(b"b").unwrap();
        assert_eq!(*cursor.end().unwrap_err().kind(), ErrorKind::Conflict);
    }
}
