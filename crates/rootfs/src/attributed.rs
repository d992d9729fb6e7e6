//! Which files were given extended attributes? Nearly always few; so who wants to know what a tree's files have need not ask the kernel about each.

use std::collections::HashSet;

use crate::{made::Identity, walk::Stat};

/// How many are kept in mind: some 2 MiB.
const MOST: usize = 1 << 16;

/// Files that a [`Writer`](crate::Writer) gave extended attributes, by their numbers; or too many to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attributed(Option<HashSet<Identity>>);

impl Default for Attributed {
    fn default() -> Self {
        Self(Some(HashSet::new()))
    }
}

impl Attributed {
    /// Whether this file may have been given some. What it got from anybody else, this does not know.
    #[must_use]
    pub fn may_have(&self, file: &Stat) -> bool {
        match &self.0 {
            Some(files) => files.contains(&(file.device, file.inode)),
            None => true,
        }
    }

    /// What it takes of memory beside itself, about.
    pub(crate) fn held(&self) -> usize {
        let files = self.0.as_ref().map_or(0, HashSet::capacity);
        // As many places as there may be files, and a byte of each.
        2 * files * size_of::<Identity>()
    }

    /// Notes a file.
    pub(crate) fn add(&mut self, file: Identity) {
        if let Some(files) = &mut self.0 {
            files.insert(file);
            if files.len() > MOST {
                self.0 = None;
            }
        }
    }

    /// Notes the files of another.
    pub(crate) fn take_in(&mut self, other: Self) {
        match other.0 {
            Some(files) => files.into_iter().for_each(|file| self.add(file)),
            None => self.0 = None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Time;

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
    fn what_was_added_is_known_and_too_many_are_all() {
        let mut attributed = Attributed::default();
        attributed.add((1, 7));
        attributed.add((2, 8));
        assert!(attributed.may_have(&file(7)));
        assert!(!attributed.may_have(&file(8)));
        for inode in 0..MOST as u64 - 1 {
            attributed.add((3, inode));
        }
        assert!(attributed.may_have(&file(8)));
    }

    #[test]
    fn what_another_knows_is_taken_in() {
        let (mut one, mut other) = (Attributed::default(), Attributed::default());
        one.add((1, 7));
        other.add((1, 8));
        one.take_in(other);
        assert!(one.may_have(&file(7)) && one.may_have(&file(8)) && !one.may_have(&file(9)));
        one.take_in(Attributed(None));
        assert!(one.may_have(&file(9)));
    }
}
