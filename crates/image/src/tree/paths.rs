//! Which paths are there, in a few bytes each? A path is a number: that of its directory and its last name have it, and it keeps it whatever
//! becomes of what is there. A directory has a lower number than what is in it.
//!
//! Names are not held, but for those of directories: they stand in the tables of contents, and so does all that is said of files. Those of directories
//! are looked at whenever a path leads through them, and a table may have to be read for a name.

use std::hash::{BuildHasher, RandomState};

use teu_store::{Error, ErrorKind, Result};

use super::{NONE, ROOT, apply::split};
use crate::{
    contents::{BLOCK, Contents, Raw},
    room,
};

/// Says of a number for a name that the name is in memory, and not in an entry.
const HELD: u32 = 1 << 31;

/// Paths by numbers, and the tables of contents that they come from.
#[derive(Clone, Debug)]
pub(crate) struct Paths {
    tables: Vec<Table>,
    items: Vec<Item>,
    /// Names, each with its length before it.
    names: Vec<u8>,
    /// Numbers of paths at the places that their hashes choose, or behind these.
    slots: Vec<u32>,
    seed: RandomState,
}

#[derive(Clone, Debug)]
struct Table {
    /// The layer's place in its image.
    position: u32,
    /// The number of its first entry among those of all tables.
    first: u32,
    contents: Contents,
}

#[derive(Clone, Copy, Debug)]
struct Item {
    parent: u32,
    name: u32,
    hash: u32,
}

/// What a path takes: itself, its places in the table, and a stretch of memory that grows.
pub(super) const PATH: usize = size_of::<Item>() + 8;

impl Paths {
    /// The root alone.
    pub(crate) fn new() -> Self {
        let root = Item {
            parent: ROOT,
            name: HELD,
            hash: 0,
        };
        Self {
            tables: Vec::new(),
            items: vec![root],
            names: vec![0, 0],
            slots: vec![NONE; 16],
            seed: RandomState::new(),
        }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.items.len()
    }

    /// Takes in a table; the number of its first entry.
    pub(crate) fn add(&mut self, position: u32, contents: &Contents) -> Result<u32> {
        let first = match self.tables.last() {
            Some(last) => u64::from(last.first) + last.contents.numbers(),
            None => 0,
        };
        let end = first + contents.numbers();
        let first = u32::try_from(first).ok().filter(|_| end < u64::from(HELD));
        let first = first.ok_or_else(|| {
            let message = format!("the layers have more entries than the {HELD} that a tree can be made of");
            Error::new(ErrorKind::TooLarge, message)
        })?;
        self.tables.push(Table {
            position,
            first,
            contents: contents.clone(),
        });
        Ok(first)
    }

    /// Makes room for so many more.
    pub(crate) fn reserve(&mut self, more: usize) {
        room::reserve(&mut self.items, more);
    }

    /// Shows `look` all entries with their numbers, layer by layer.
    pub(crate) fn each_entry(&self, mut look: impl FnMut(u32, &Raw<'_>)) -> Result<()> {
        for table in &self.tables {
            let mut reader = table.contents.reader();
            while let Some(entry) = reader.next()? {
                look(table.first + entry.number, &entry);
            }
        }
        Ok(())
    }

    /// What the numbers of all entries are below.
    pub(crate) fn entries(&self) -> u32 {
        let last = self.tables.last();
        last.map_or(0, |last| {
            last.first + u32::try_from(last.contents.numbers()).unwrap_or(0)
        })
    }

    fn table(&self, entry: u32) -> Option<&Table> {
        let behind = self.tables.partition_point(|table| table.first <= entry);
        self.tables.get(behind.checked_sub(1)?)
    }

    /// The place in its image of the layer that has an entry.
    pub(crate) fn layer(&self, entry: u32) -> u32 {
        self.table(entry).map_or(NONE, |table| table.position)
    }

    /// Whether two entries are the same one of the same archive.
    pub(crate) fn is_same_entry(&self, one: u32, other: u32) -> Result<bool> {
        let (Some(a), Some(b)) = (self.table(one), self.table(other)) else {
            return Ok(false);
        };
        if one == other || a.contents.diff_id() != b.contents.diff_id() {
            return Ok(one == other);
        }
        let offset = |entry| self.with(entry, |entry| Ok(entry.offset));
        Ok(offset(one)? == offset(other)?)
    }

    /// Shows `look` an entry.
    pub(crate) fn with<R>(&self, entry: u32, look: impl FnOnce(&Raw<'_>) -> Result<R>) -> Result<R> {
        let Some(table) = self.table(entry) else {
            return Err(Error::new(ErrorKind::NotFound, "there is no such entry"));
        };
        table.contents.with(entry - table.first, look)
    }

    pub(crate) fn parent(&self, path: u32) -> u32 {
        self.items[path as usize].parent
    }

    /// Where its last name stands, for [`Self::name_at`].
    pub(crate) fn name(&self, path: u32) -> u32 {
        self.items[path as usize].name
    }

    /// Adds a name to `into`.
    pub(crate) fn name_at(&self, name: u32, into: &mut Vec<u8>) -> Result<()> {
        if name & HELD == 0 {
            return self.with_name(name, |name| into.extend_from_slice(name));
        }
        into.extend_from_slice(self.held(name));
        Ok(())
    }

    /// Shows `look` the last name of an entry, for which its table may have to be read.
    fn with_name<R>(&self, entry: u32, look: impl FnOnce(&[u8]) -> R) -> Result<R> {
        #[cfg(test)]
        NAMES_READ.with(|count| count.set(count.get() + 1));
        self.with(entry, |entry| Ok(look(split(entry.path).1)))
    }

    fn held(&self, name: u32) -> &[u8] {
        let at = (name & !HELD) as usize;
        let length = usize::from(u16::from_le_bytes([self.names[at], self.names[at + 1]]));
        &self.names[at + 2..at + 2 + length]
    }

    fn is_name(&self, path: u32, name: &[u8]) -> Result<bool> {
        match self.name(path) {
            held if held & HELD != 0 => Ok(self.held(held) == name),
            entry => self.with_name(entry, |found| found == name),
        }
    }

    /// The whole path, without a slash at either end.
    pub(crate) fn path(&self, path: u32) -> Result<Vec<u8>> {
        let mut whole = Vec::new();
        self.path_into(path, &mut whole)?;
        Ok(whole)
    }

    /// Adds a whole path to `into`, which is empty.
    pub(crate) fn path_into(&self, mut path: u32, into: &mut Vec<u8>) -> Result<()> {
        let mut way = Vec::new();
        while path != ROOT {
            way.push(path);
            path = self.parent(path);
        }
        for path in way.into_iter().rev() {
            if !into.is_empty() {
                into.push(b'/');
            }
            self.name_at(self.name(path), into)?;
        }
        Ok(())
    }

    fn hash(&self, parent: u32, name: &[u8]) -> u32 {
        self.seed.hash_one((parent, name)) as u32
    }

    /// The path of this name in a directory.
    pub(crate) fn find(&self, parent: u32, name: &[u8]) -> Result<Option<u32>> {
        self.look_up(parent, name, self.hash(parent, name))
            .map(std::result::Result::ok)
    }

    /// The path of this name, or where in the table it would be.
    fn look_up(&self, parent: u32, name: &[u8], hash: u32) -> Result<std::result::Result<u32, usize>> {
        let mask = self.slots.len() - 1;
        let mut slot = hash as usize & mask;
        loop {
            let path = self.slots[slot];
            if path == NONE {
                return Ok(Err(slot));
            }
            let item = &self.items[path as usize];
            if item.hash == hash && item.parent == parent && self.is_name(path, name)? {
                return Ok(Ok(path));
            }
            slot = (slot + 1) & mask;
        }
    }

    /// The path of this name in a directory, made where there is none, and how much memory that took. The name is the last one of `entry`, or has to
    /// be held: also where the path was a file's before.
    pub(crate) fn intern(&mut self, parent: u32, name: &[u8], entry: Option<u32>) -> Result<(u32, usize)> {
        let hash = self.hash(parent, name);
        let slot = match self.look_up(parent, name, hash)? {
            Ok(path) if entry.is_none() && self.name(path) & HELD == 0 => {
                let (held, bytes) = self.hold(name)?;
                self.items[path as usize].name = held;
                return Ok((path, bytes));
            }
            Ok(path) => return Ok((path, 0)),
            Err(slot) => slot,
        };
        let path = u32::try_from(self.items.len()).ok().filter(|path| *path < NONE - 1);
        let path = path.ok_or_else(full)?;
        let (name, bytes) = match entry {
            Some(entry) => (entry, PATH),
            None => {
                let (held, bytes) = self.hold(name)?;
                (held, PATH + bytes)
            }
        };
        self.items.push(Item { parent, name, hash });
        self.slots[slot] = path;
        // At most three of four are taken.
        if self.items.len() > self.slots.len() / 4 * 3 {
            self.grow();
        }
        Ok((path, bytes))
    }

    /// Holds a name; how much memory that took.
    fn hold(&mut self, name: &[u8]) -> Result<(u32, usize)> {
        let at = u32::try_from(self.names.len()).ok().filter(|at| at & HELD == 0);
        let at = at.ok_or_else(full)?;
        let length = u16::try_from(name.len()).map_err(|_| full())?;
        self.names.extend_from_slice(&length.to_le_bytes());
        self.names.extend_from_slice(name);
        Ok((at | HELD, 2 + name.len()))
    }

    fn grow(&mut self) {
        let length = self.slots.len() * 2;
        self.slots = Vec::new();
        let mut slots = room::filled(NONE, length);
        for (path, item) in self.items.iter().enumerate().skip(1) {
            let mut slot = item.hash as usize & (length - 1);
            while slots[slot] != NONE {
                slot = (slot + 1) & (length - 1);
            }
            slots[slot] = path as u32;
        }
        self.slots = slots;
    }

    /// Brings paths that are in one directory into the order of their names.
    pub(crate) fn sort(&self, paths: &mut [u32]) -> Result<()> {
        if paths.len() < 2 || self.are_sorted(paths)? {
            return Ok(());
        }
        let mut names = Vec::new();
        let mut keyed = Vec::with_capacity(paths.len());
        for path in &*paths {
            let from = names.len();
            self.name_at(self.name(*path), &mut names)?;
            keyed.push((from, names.len(), *path));
        }
        keyed.sort_unstable_by(|a, b| names[a.0..a.1].cmp(&names[b.0..b.1]));
        for (path, (.., sorted)) in paths.iter_mut().zip(keyed) {
            *path = sorted;
        }
        Ok(())
    }

    /// As most archives have them: then no name has to be held.
    fn are_sorted(&self, paths: &[u32]) -> Result<bool> {
        let (mut before, mut name) = (Vec::new(), Vec::new());
        for path in paths {
            name.clear();
            self.name_at(self.name(*path), &mut name)?;
            if name < before {
                return Ok(false);
            }
            std::mem::swap(&mut before, &mut name);
        }
        Ok(true)
    }

    /// What is an entry's number in the order of its archive, in the numbers of all.
    pub(crate) fn numbers_of(&self, position: u32) -> Option<(u32, u32)> {
        let table = self.tables.iter().find(|table| table.position == position)?;
        let numbers = u32::try_from(table.contents.numbers()).ok()?;
        Some((table.first, table.first + numbers))
    }
}

fn full() -> Error {
    Error::new(ErrorKind::TooLarge, "there are more paths than a tree can have")
}

#[cfg(test)]
thread_local! {
    /// How many names were read from tables.
    pub(super) static NAMES_READ: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

const _: () = assert!(BLOCK.is_power_of_two());
