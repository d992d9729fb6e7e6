//! Does an archive need nothing of the layers below it? A hard link may lead to a file of theirs, and what comes without its directory lies in one of
//! theirs.

use std::{
    collections::HashSet,
    hash::{BuildHasher, RandomState},
};

use teu_archive::tar::Header;
use teu_rootfs::Node;

use crate::{entry::Action, glob::clean};

/// How many files are remembered that links may lead to: some 20 MB.
const FILES: usize = 1_000_000;

/// Looks at the entries of an archive, one after the other, in as much memory as that takes.
#[derive(Debug)]
pub(super) struct Whole {
    is_whole: bool,
    /// The directories of the archive that the entry of before lies in, and it where it is one; the lowest last.
    above: Vec<Vec<u8>>,
    /// The paths of files, each as a number that hardly two have.
    files: HashSet<u64>,
    numbers: RandomState,
}

impl Whole {
    pub(super) fn new() -> Self {
        Self {
            is_whole: true,
            above: Vec::new(),
            files: HashSet::new(),
            numbers: RandomState::new(),
        }
    }

    /// Whether no entry so far needs anything, as far as is seen in an archive that has a directory right before what is in it, and a file before links
    /// to it. Of one in another order it is not known.
    pub(super) fn is_whole(&self) -> bool {
        self.is_whole
    }

    pub(super) fn add(&mut self, action: &Action, header: &Header) {
        let is_directory = match action {
            // Nothing is in the way of what hides.
            Action::Remove(_) | Action::Clear(_) | Action::PassOver => return,
            Action::Make(node) => *node == Node::Directory,
            Action::HardLink => false,
        };
        let path = clean(&header.path);
        if !self.is_whole || path.is_empty() {
            return;
        }
        let end = path.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
        let directory = &path[..end];
        while self.above.last().is_some_and(|last| last != directory) {
            self.above.pop();
        }
        let leads = *action != Action::HardLink || self.files.contains(&self.number(&clean(&header.link)));
        self.is_whole = leads && (directory.is_empty() || !self.above.is_empty());
        let number = self.number(&path);
        if is_directory {
            self.files.remove(&number);
            self.above.push(path);
        } else if self.files.len() < FILES {
            self.files.insert(number);
        }
    }

    fn number(&self, path: &[u8]) -> u64 {
        self.numbers.hash_one(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::action;

    #[test]
    fn what_needs_nothing_is_whole() {
        let (file, directory, link) = (|path| Header::file(path, 0), Header::directory, Header::hard_link);
        for (entries, is_whole) in [
            (vec![], true),
            (vec![directory("./"), file("./a")], true),
            (
                vec![directory("a/"), directory("a/b"), file("a/b/c"), file("a/d"), file("e")],
                true,
            ),
            (vec![file("a"), link("b", "a"), link("c", "./b")], true),
            (vec![file(".wh.a"), file("a/.wh..wh..opq"), file("b/.wh.c")], true),
            (vec![file("a/b")], false),
            (vec![directory("a"), file("a/b/c")], false),
            (vec![directory("a"), file("b"), file("a/c")], false),
            (vec![directory("ab"), file("a/c")], false),
            (vec![link("b", "a"), file("a")], false),
            (vec![directory("a"), link("b", "a")], false),
            (vec![file("a"), directory("a"), link("b", "a")], false),
            (vec![file("a/b"), directory("a")], false),
        ] {
            let mut whole = Whole::new();
            for header in &entries {
                whole.add(&action(header).expect("an action"), header);
            }
            let paths: Vec<_> = entries
                .iter()
                .map(|header| String::from_utf8_lossy(&header.path))
                .collect();
            assert_eq!(whole.is_whole(), is_whole, "{paths:?}");
        }
    }
}
