//! Which files were seen already, under another name? Only those with several names are kept in mind, and these until all names were seen.

use std::collections::HashMap;

use super::Stat;

/// What an entry takes beside its path, about.
const OVERHEAD: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Links {
    seen: HashMap<(u64, u64), First>,
    memory: usize,
    /// The file that the last call saw for the first time.
    last: Option<(u64, u64)>,
}

#[derive(Debug)]
struct First {
    path: Vec<u8>,
    /// How many of its names were not seen yet.
    left: u64,
}

impl Links {
    /// The path at which this file was seen first, if it was.
    pub(super) fn see(&mut self, stat: &Stat, path: &[u8]) -> Option<Vec<u8>> {
        self.last = None;
        if stat.links < 2 {
            return None;
        }
        let file = (stat.device, stat.inode);
        let Some(first) = self.seen.get_mut(&file) else {
            let first = First {
                path: path.to_vec(),
                left: stat.links - 1,
            };
            self.memory += OVERHEAD + path.len();
            self.seen.insert(file, first);
            self.last = Some(file);
            return None;
        };
        first.left = first.left.saturating_sub(1);
        if first.left > 0 {
            return Some(first.path.clone());
        }
        self.remove(file)
    }

    /// Says that there is no file that the last call saw.
    pub(super) fn forget(&mut self) {
        self.last = None;
    }

    /// Forgets the file that the last call saw for the first time.
    pub(super) fn forget_last(&mut self) {
        if let Some(file) = self.last.take() {
            self.remove(file);
        }
    }

    pub(super) fn memory(&self) -> usize {
        self.memory
    }

    fn remove(&mut self, file: (u64, u64)) -> Option<Vec<u8>> {
        let first = self.seen.remove(&file)?;
        self.memory -= (OVERHEAD + first.path.len()).min(self.memory);
        Some(first.path)
    }
}
