//! What is at which path, in a few bytes each?

use std::collections::HashSet;

use teu_store::Result;

use super::{Gone, Kind, NONE, ROOT, paths::Paths};
use crate::room;

/// It is in no list.
const UNLISTED: u32 = NONE - 1;

/// What is at the paths of a tree, by their numbers.
#[derive(Clone, Debug)]
pub(super) struct State {
    slots: Vec<Slot>,
    pub(super) inodes: Vec<Inode>,
    /// Inodes that nothing has any more.
    free: Vec<u32>,
    pub(super) hidden: Vec<Gone>,
    pub(super) unknown: Option<Unknown>,
    /// How much memory it takes, with what came of its entries in [`Paths`].
    pub(super) bytes: usize,
}

/// What is not certain in a tree above layers that nobody has read.
#[derive(Clone, Debug, Default)]
pub(super) struct Unknown {
    /// Names that somewhere were made or removed, behind directories that may be links.
    pub(super) names: HashSet<Box<[u8]>>,
    /// The highest layer that cleared some directory, and nobody knows which: of what is its own, or that of those above, nothing is gone.
    pub(super) cleared: Option<u32>,
    /// Directories in which layers that nobody has read have nothing.
    pub(super) whole: HashSet<u32>,
    /// Paths that they may have, and that are hidden.
    pub(super) gone: HashSet<u32>,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    /// What is there.
    inode: u32,
    /// Who made the name.
    layer: u32,
    /// The first of what is in it, which goes on with `next`; what is there no more may be among it.
    first: u32,
    next: u32,
}

/// A file of any kind, whatever its names.
#[derive(Clone, Copy, Debug)]
pub(super) struct Inode {
    /// The entry that describes it.
    pub(super) entry: u32,
    /// How many names it has, above four bits for its kind.
    packed: u32,
}

/// What a name and a file take.
pub(super) const FILE: usize = size_of::<Slot>() + size_of::<Inode>();

const ABSENT: Slot = Slot {
    inode: NONE,
    layer: NONE,
    first: NONE,
    next: UNLISTED,
};

impl Inode {
    pub(super) fn new(kind: Kind, entry: u32) -> Self {
        Self {
            entry,
            packed: kind as u32,
        }
    }

    pub(super) fn kind(self) -> Kind {
        match self.packed & 15 {
            0 => Kind::Directory,
            1 => Kind::File,
            2 => Kind::Symlink,
            3 => Kind::Other,
            _ => Kind::Elsewhere,
        }
    }

    pub(super) fn names(self) -> u32 {
        self.packed >> 4
    }

    fn add_names(&mut self, by: i32) {
        // There are fewer paths than four bits less can count, as each is an entry of its own.
        self.packed = self.packed.wrapping_add_signed(by * 16);
    }
}

impl State {
    /// The root alone.
    pub(super) fn new(unknown: Option<Unknown>) -> Self {
        let mut root = Inode::new(Kind::Directory, NONE);
        root.add_names(1);
        let slot = Slot { inode: 0, ..ABSENT };
        Self {
            slots: vec![slot],
            inodes: vec![root],
            free: Vec::new(),
            hidden: Vec::new(),
            unknown,
            bytes: 0,
        }
    }

    /// The same once more, to go on from there in another way.
    pub(super) fn fork(&self) -> Self {
        Self {
            slots: room::copied(&self.slots),
            inodes: room::copied(&self.inodes),
            free: self.free.clone(),
            hidden: self.hidden.clone(),
            unknown: self.unknown.clone(),
            bytes: self.bytes,
        }
    }

    /// Makes room for so many more.
    pub(super) fn reserve(&mut self, more: usize) {
        room::reserve(&mut self.slots, more);
        room::reserve(&mut self.inodes, more);
    }

    /// Makes place for paths.
    pub(super) fn grow(&mut self, paths: usize) {
        if self.slots.len() < paths {
            room::fill(&mut self.slots, ABSENT, paths);
        }
    }

    /// Where what is at a path is among the inodes.
    pub(super) fn inode_at(&self, path: u32) -> Option<u32> {
        let slot = self.slots.get(path as usize)?;
        (slot.inode != NONE).then_some(slot.inode)
    }

    pub(super) fn at(&self, path: u32) -> Option<Inode> {
        self.inode_at(path).map(|inode| self.inodes[inode as usize])
    }

    pub(super) fn kind(&self, path: u32) -> Option<Kind> {
        self.at(path).map(Inode::kind)
    }

    pub(super) fn is_directory(&self, path: u32) -> bool {
        self.kind(path) == Some(Kind::Directory)
    }

    /// Who made the name.
    pub(super) fn layer(&self, path: u32) -> u32 {
        self.slots[path as usize].layer
    }

    pub(super) fn set_layer(&mut self, path: u32, layer: u32) {
        self.slots[path as usize].layer = layer;
    }

    /// Which entry describes what is there.
    pub(super) fn describe(&mut self, path: u32, entry: u32) {
        if let Some(inode) = self.inode_at(path) {
            self.inodes[inode as usize].entry = entry;
        }
    }

    pub(super) fn add(&mut self, inode: Inode) -> u32 {
        if let Some(free) = self.free.pop() {
            self.inodes[free as usize] = inode;
            return free;
        }
        self.inodes.push(inode);
        (self.inodes.len() - 1) as u32
    }

    /// Gives a file a path at which nothing is.
    pub(super) fn attach(&mut self, paths: &Paths, path: u32, inode: u32, layer: u32) {
        self.grow(paths.len());
        self.inodes[inode as usize].add_names(1);
        let slot = &mut self.slots[path as usize];
        (slot.inode, slot.layer) = (inode, layer);
        if slot.next == UNLISTED {
            let parent = paths.parent(path) as usize;
            let next = std::mem::replace(&mut self.slots[parent].first, path);
            self.slots[path as usize].next = next;
        }
    }

    /// Takes what is at a path away; whether no other name of it is left.
    pub(super) fn detach(&mut self, path: u32) -> Option<(Inode, bool)> {
        let number = self.inode_at(path)?;
        self.slots[path as usize].inode = NONE;
        let inode = &mut self.inodes[number as usize];
        inode.add_names(-1);
        let is_last = inode.names() == 0;
        let inode = *inode;
        if is_last {
            self.free.push(number);
        }
        Some((inode, is_last))
    }

    /// What is in a directory, in the order in which it came. What is there no more is passed over, and the next time it is not met.
    pub(super) fn tidied(&mut self, directory: u32) -> Vec<u32> {
        let mut found = Vec::new();
        let mut next = self.slots.get(directory as usize).map_or(NONE, |slot| slot.first);
        let mut last = NONE;
        while next != NONE {
            let slot = &mut self.slots[next as usize];
            let (path, is_there) = (next, slot.inode != NONE);
            next = slot.next;
            if is_there {
                found.push(path);
                self.link(directory, last, path);
                last = path;
            } else {
                slot.next = UNLISTED;
            }
        }
        self.link(directory, last, NONE);
        found.reverse();
        found
    }

    /// Has one path follow another in the list of a directory.
    fn link(&mut self, directory: u32, last: u32, path: u32) {
        match last {
            NONE => {
                if let Some(slot) = self.slots.get_mut(directory as usize) {
                    slot.first = path;
                }
            }
            last => self.slots[last as usize].next = path,
        }
    }

    /// The same, where nothing can be changed.
    pub(super) fn children(&self, directory: u32) -> Vec<u32> {
        let mut found: Vec<u32> = self.listed(directory).collect();
        found.reverse();
        found
    }

    pub(super) fn is_empty(&self, directory: u32) -> bool {
        self.listed(directory).next().is_none()
    }

    fn listed(&self, directory: u32) -> impl Iterator<Item = u32> + '_ {
        let some = |path: u32| (path != NONE).then_some(path);
        let first = self.slots.get(directory as usize).and_then(|slot| some(slot.first));
        std::iter::successors(first, move |path| some(self.slots[*path as usize].next))
            .filter(|path| self.slots[*path as usize].inode != NONE)
    }

    /// Whether layers that nobody has read may have this path.
    pub(super) fn may_have(&self, directory: u32, path: Option<u32>) -> bool {
        self.unknown.as_ref().is_some_and(|unknown| {
            !unknown.whole.contains(&directory) && path.is_none_or(|path| !unknown.gone.contains(&path))
        })
    }

    /// Whether something of this name was made or removed somewhere, and nobody knows where; `path` is what has it where one asks.
    pub(super) fn is_doubtful(&self, name: &[u8], path: Option<u32>) -> bool {
        self.unknown.as_ref().is_some_and(|unknown| {
            let may_be_cleared = |by: u32| path.is_none_or(|path| self.layer(path) < by);
            unknown.names.contains(name) || unknown.cleared.is_some_and(may_be_cleared)
        })
    }

    pub(super) fn has_doubts(&self) -> bool {
        let unknown = self.unknown.as_ref();
        unknown.is_some_and(|unknown| unknown.cleared.is_some() || !unknown.names.is_empty())
    }

    pub(super) fn set_whole(&mut self, directory: u32, whole: bool) {
        if let Some(unknown) = &mut self.unknown {
            match whole {
                true => unknown.whole.insert(directory),
                false => unknown.whole.remove(&directory),
            };
        }
    }
}

/// What has a name in a directory.
pub(super) fn child(paths: &Paths, state: &State, directory: u32, name: &[u8]) -> Result<Option<u32>> {
    let path = paths.find(directory, name)?;
    Ok(path.filter(|path| state.inode_at(*path).is_some()))
}

/// The directory above.
pub(super) fn above(paths: &Paths, directory: u32) -> u32 {
    match directory {
        ROOT => ROOT,
        directory => paths.parent(directory),
    }
}
