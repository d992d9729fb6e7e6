//! What of the tree is the present layer's? A whiteout hides what earlier layers left and never what its own layer brings, in whichever order the
//! two come. So for each name that a layer makes, we remember where it was really made: the directory's identity and the name in it. However many
//! ways lead to a directory through links, it is one.
//!
//! What is remembered is a keyed hash of eight bytes for each entry: a million fit in 32 MiB, and nobody outside knows the key that it would take
//! to make two of them meet.

use std::{
    collections::{HashSet, hash_map::RandomState},
    hash::{BuildHasher, BuildHasherDefault, Hasher},
};

use rustix::fs::Stat;

/// Which file it is, whatever its name: device and inode.
pub(crate) type Identity = (u64, u64);

/// Which file was looked at.
pub(crate) fn identity(seen: &Stat) -> Identity {
    (seen.st_dev, seen.st_ino)
}

/// What the present layer made.
///
/// An inode that is freed and used again does no harm: only directories that this layer makes can get it, and in these all is this layer's.
#[derive(Debug, Default)]
pub(crate) struct Made {
    key: RandomState,
    names: HashSet<u64, BuildHasherDefault<Itself>>,
    /// Directories in which nothing of an earlier layer is left, so that they are not walked twice.
    cleared: HashSet<u64, BuildHasherDefault<Itself>>,
}

impl Made {
    fn hash(&self, directory: Identity, name: &[u8]) -> u64 {
        let mut hasher = self.key.build_hasher();
        hasher.write_u64(directory.0);
        hasher.write_u64(directory.1);
        hasher.write(name);
        hasher.finish()
    }

    /// Notes that the layer made `name` in this directory.
    pub(crate) fn add(&mut self, directory: Identity, name: &[u8]) {
        let hash = self.hash(directory, name);
        self.names.insert(hash);
    }

    /// Did the layer make it?
    pub(crate) fn has(&self, directory: Identity, name: &[u8]) -> bool {
        self.names.contains(&self.hash(directory, name))
    }

    /// Notes that nothing of earlier layers is left in, or below, this directory.
    pub(crate) fn set_cleared(&mut self, directory: Identity) {
        let hash = self.hash(directory, b"");
        self.cleared.insert(hash);
    }

    /// Is nothing of earlier layers left there?
    pub(crate) fn is_cleared(&self, directory: Identity) -> bool {
        !self.cleared.is_empty() && self.cleared.contains(&self.hash(directory, b""))
    }

    /// The next layer begins: all that is there is an earlier one's.
    pub(crate) fn next_layer(&mut self) {
        self.names.clear();
        self.cleared.clear();
    }
}

/// A hash that is one already.
#[derive(Debug, Default)]
pub(crate) struct Itself(u64);

impl Hasher for Itself {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_made_where_it_was_made_and_only_for_its_layer() {
        let mut made = Made::default();
        made.add((0, 7), b"a");
        assert!(made.has((0, 7), b"a"));
        assert!(!made.has((0, 8), b"a"));
        assert!(!made.has((0, 7), b"b"));
        made.set_cleared((0, 7));
        assert!(made.is_cleared((0, 7)) && !made.is_cleared((0, 8)));
        made.next_layer();
        assert!(!made.has((0, 7), b"a") && !made.is_cleared((0, 7)));
    }
}
