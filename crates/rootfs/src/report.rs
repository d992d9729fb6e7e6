//! What did an unpacked tree ask for and not get? Counted, with a few names to show.

use crate::{Attributed, Withheld};

/// How many names are kept of each kind.
const EXAMPLES: usize = 8;

/// What a [`Writer`](crate::Writer) made, and what it passed over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Entries that were taken, whiteouts included.
    pub entries: u64,
    /// Bytes of content that were written.
    pub bytes: u64,
    /// Devices that were not made: nobody asked for devices, it is the device 0:0 by which overlayfs hides files, or this user may make none.
    pub devices: PassedOver,
    /// Extended attributes that were not set: the policy has none of them, the file system knows none, or this user may not set them.
    pub xattrs: PassedOver,
    /// Files whose set-id bits were not set, because others could reach them.
    pub set_id: PassedOver,
    /// Owners that could neither be set nor written down.
    pub owners: PassedOver,
    /// Files that were given extended attributes.
    pub attributed: Attributed,
    /// The extended attributes that were not set, file by file.
    pub withheld: Withheld,
    /// The path of a directory before which about half of those stand whose times were set last, in the order of a [walk](crate::walk): for who shares out
    /// what is to be done with all files. None where it is not worth it. It is nobody's word that something is there.
    pub middle: Option<Vec<u8>>,
}

impl Report {
    /// Takes in what another says of files that come next, but for how many entries and bytes there are.
    pub(crate) fn take_in(&mut self, other: Self) {
        self.devices.take_in(other.devices);
        self.xattrs.take_in(other.xattrs);
        self.set_id.take_in(other.set_id);
        self.owners.take_in(other.owners);
        self.attributed.take_in(other.attributed);
        self.withheld.take_in(other.withheld);
    }

    /// What it takes of memory beside itself, about.
    pub(crate) fn held(&self) -> usize {
        let passed_over = [&self.devices, &self.xattrs, &self.set_id, &self.owners];
        passed_over.iter().map(|kind| kind.held()).sum::<usize>() + self.attributed.held() + self.withheld.held()
    }
}

/// What was passed over, of one kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PassedOver {
    /// How many.
    pub count: u64,
    /// The paths of the first few, as the tree has them.
    pub examples: Vec<Vec<u8>>,
}

impl PassedOver {
    /// Counts one.
    pub fn add(&mut self, path: &[u8]) {
        self.count += 1;
        if self.examples.len() < EXAMPLES {
            self.examples.push(path.to_vec());
        }
    }

    fn held(&self) -> usize {
        let names: usize = self.examples.iter().map(Vec::capacity).sum();
        self.examples.capacity() * size_of::<Vec<u8>>() + names
    }

    fn take_in(&mut self, other: Self) {
        self.count += other.count;
        let room = EXAMPLES - self.examples.len();
        self.examples.extend(other.examples.into_iter().take(room));
    }
}
