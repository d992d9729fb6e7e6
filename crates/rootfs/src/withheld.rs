//! Which extended attributes did files not get that the tree has for them? They are kept in mind with their values, for who makes a tree of the files
//! again: nobody can read them off the disk. Nearly always there are none. Those of overlayfs are of a layer, and not kept.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use crate::{made::Identity, walk::Stat};

/// What is kept in mind at most, in bytes, about: the labels of half a million files, of which few differ.
const MOST: usize = 32 << 20;
/// What a file takes beside its attributes, about: as many places as there may be files.
const FILE: usize = 2 * size_of::<(Identity, Attributes)>();

/// Attributes by name. Many files may share them.
type Attributes = Arc<BTreeMap<Vec<u8>, Vec<u8>>>;

/// The attributes that a [`Writer`](crate::Writer) was to give files and did not, by the files' numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Withheld {
    files: HashMap<Identity, Attributes>,
    known: HashSet<Attributes>,
    held: usize,
    /// Of how many files they are not kept in mind, as they are too many.
    pub lost: u64,
}

impl Withheld {
    /// What this file was to get beside what it has.
    #[must_use]
    pub fn of(&self, file: &Stat) -> Option<&BTreeMap<Vec<u8>, Vec<u8>>> {
        self.files.get(&(file.device, file.inode)).map(Arc::as_ref)
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// What they take of memory beside this itself, about.
    pub(crate) fn held(&self) -> usize {
        self.held
    }

    /// Notes what a file did not get, whatever was said before of it, or of another that had its number.
    pub(crate) fn set(&mut self, file: Identity, attributes: BTreeMap<Vec<u8>, Vec<u8>>) {
        self.forget(file);
        if !attributes.is_empty() {
            self.share(file, Arc::new(attributes));
        }
    }

    /// Another file has this number.
    pub(crate) fn forget(&mut self, file: Identity) {
        if self.files.remove(&file).is_some() {
            self.held -= FILE;
        }
    }

    /// Notes what another says.
    pub(crate) fn take_in(&mut self, other: Self) {
        self.lost += other.lost;
        for (file, attributes) in other.files {
            self.forget(file);
            self.share(file, attributes);
        }
    }

    fn share(&mut self, file: Identity, attributes: Attributes) {
        let (attributes, more) = match self.known.get(&attributes) {
            Some(known) => (Arc::clone(known), 0),
            None => {
                let bytes = attributes.iter().map(|(name, value)| name.len() + value.len() + 64);
                let bytes = bytes.sum::<usize>() + size_of::<Attributes>();
                (attributes, bytes)
            }
        };
        if self.held + FILE + more > MOST {
            self.lost += 1;
            return;
        }
        self.held += FILE + more;
        self.known.insert(Arc::clone(&attributes));
        self.files.insert(file, attributes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Time;

    fn label(text: &[u8]) -> BTreeMap<Vec<u8>, Vec<u8>> {
        [(b"security.selinux".to_vec(), text.to_vec())].into()
    }

    fn file(inode: u64) -> Stat {
        Stat {
            device: 1,
            inode,
            ctime: Time::default(),
            size: 0,
            links: 1,
        }
    }

    #[test]
    fn a_file_is_told_from_another_that_had_its_number() {
        let mut withheld = Withheld::default();
        withheld.set((1, 7), label(b"a"));
        withheld.set((1, 8), label(b"a"));
        assert_eq!(withheld.of(&file(7)), Some(&label(b"a")));
        withheld.set((1, 7), BTreeMap::new());
        assert_eq!((withheld.of(&file(7)), withheld.of(&file(8)).is_some()), (None, true));
        let mut other = Withheld::default();
        other.set((1, 8), label(b"b"));
        withheld.take_in(other);
        assert_eq!(withheld.of(&file(8)), Some(&label(b"b")));
    }

    #[test]
    fn what_is_too_much_is_counted() {
        let mut withheld = Withheld::default();
        let large = MOST / 4;
        for number in 0..5 {
            withheld.set((1, number), label(&vec![number as u8; large]));
        }
        assert_eq!((withheld.lost, withheld.of(&file(4))), (2, None));
        assert!(withheld.of(&file(2)).is_some() && withheld.held() <= MOST);
    }
}
