//! What would become of a layer's entries? Each is held against the rules by which files are made of them; what is refused is found, what is
//! only odd is noted.

use std::{
    collections::{HashMap, HashSet, hash_map::RandomState},
    hash::BuildHasher,
    io::BufRead,
    num::NonZeroU32,
};

use teu_archive::{
    Escaped,
    tar::{End, EntryKind, Header, Limits, Reader},
};
use teu_rootfs::Budget;
use teu_spec::Digest;
use teu_store::verify::{Found, Kind, Severity};

use super::notes::{Note, NoteKind, Notes};
use crate::{
    entry::{self, Action},
    glob::clean,
};

/// How many refused entries of a layer are told one by one.
const TOLD: u64 = 20;

/// What was seen of a layer.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) entries: u64,
    pub(super) notes: Vec<Note>,
}

/// Reads a layer's archive to its end.
pub(super) fn judge(layer: Digest, content: &mut dyn BufRead, tar: &Limits, budget: &Budget) -> (Seen, Vec<Found>) {
    let mut judge = Judge {
        budget: budget.clone(),
        ..Judge::default()
    };
    let mut reader = Reader::buffered(content, tar.clone());
    let broken = loop {
        match reader.next_entry() {
            Ok(Some(entry)) => judge.entry(entry.header()),
            Ok(None) => break None,
            Err(error) => break Some(error),
        }
    };
    if reader.end() == Some(End::NoMarker) {
        judge.notes.add(NoteKind::NoEnd, b"");
    }
    if judge.refused > TOLD {
        let more = judge.refused - TOLD;
        judge.found.push(Found {
            severity: Severity::Wrong,
            kind: Kind::Entry,
            message: format!("{more} more of its entries would be refused"),
        });
    }
    if let Some(error) = broken {
        judge.found.push(Found {
            severity: Severity::Wrong,
            kind: Kind::Layer,
            message: format!("its archive cannot be read: {error}"),
        });
    }
    let seen = Seen {
        entries: judge.entries,
        notes: judge.notes.of(layer).collect(),
    };
    (seen, judge.found)
}

/// The entries of one layer so far. Names are kept as keyed hashes of eight bytes, so that a million of them take little, and nobody outside
/// can have two of them meet.
#[derive(Default)]
struct Judge {
    key: RandomState,
    entries: u64,
    /// What has the name: a directory, with the number of its entry, or something else.
    names: HashMap<u64, Option<NonZeroU32>>,
    links: HashSet<u64>,
    certain: Certain,
    notes: Notes,
    found: Vec<Found>,
    refused: u64,
    budget: Budget,
}

impl Judge {
    fn entry(&mut self, header: &Header) {
        self.entries += 1;
        self.notes.see(header);
        let action = match entry::check(header, &self.budget) {
            Ok(action) => action,
            Err(why) => return self.refuse(why),
        };
        let path = match action {
            Action::Make(_) => clean(&header.path),
            Action::HardLink => {
                self.hard_link(header);
                clean(&header.path)
            }
            // Neither makes a name, and lower layers are not seen here.
            Action::Remove(_) | Action::Clear(_) => return,
            Action::PassOver => return self.notes.add(NoteKind::Foreign, &header.path),
        };
        if !self.links.is_empty() && self.is_through_link(&path) {
            self.notes.add(NoteKind::ThroughLink, &header.path);
        }
        let name = self.key.hash_one(&path);
        let directory = (header.kind == EntryKind::Directory).then(|| self.number());
        if let Some(before) = self.names.insert(name, directory)
            && !(before.is_some() && directory.is_some())
        {
            self.notes.add(NoteKind::Repeated, &header.path);
        }
        let number = self.number();
        self.certain.entry(&self.key, header, number);
        match header.kind {
            EntryKind::Symlink => self.links.insert(name),
            _ => self.links.remove(&name),
        };
    }

    /// What a hard link leads to may be behind a symbolic link or in a layer below: here only what is certain counts.
    fn hard_link(&mut self, header: &Header) {
        let (path, target) = (spelled(&header.path), spelled(&header.link));
        // Whatever is on the way, both lead to the same.
        if path == target {
            return self.refuse(format!("\"{}\": it is a hard link to itself", Escaped(&header.path)));
        }
        let leads_up = target.contains(&&b".."[..]);
        let there = self.names.get(&self.key.hash_one(target.join(&b'/')));
        if let Some(Some(made)) = there
            && !leads_up
            && self.certain.is_as_made(&self.key, &target, *made)
        {
            self.refuse(format!(
                "\"{}\": it is a hard link to a directory",
                Escaped(&header.path)
            ));
        }
    }

    /// The number of the present entry, the first being 1.
    fn number(&self) -> NonZeroU32 {
        let number = u32::try_from(self.entries).unwrap_or(u32::MAX);
        NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN)
    }

    fn is_through_link(&self, path: &[u8]) -> bool {
        let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
        slashes
            .map(|(end, _)| &path[..end])
            .any(|parent| self.links.contains(&self.key.hash_one(parent)))
    }

    fn refuse(&mut self, message: String) {
        self.refused += 1;
        if self.refused <= TOLD {
            self.found.push(Found {
                severity: Severity::Wrong,
                kind: Kind::Entry,
                message: format!("entry {message}"),
            });
        }
    }
}

/// Which directories of the layer are certainly still where they were made? A later entry may put something else there by another way, through
/// links of layers below that nobody sees here: then its last name is one of theirs, or it is a link itself.
#[derive(Default)]
struct Certain {
    /// The names on the ways to directories.
    ways: HashSet<u64>,
    /// Those of them that something else than a directory has somewhere.
    taken: HashSet<u64>,
    /// The last entry that is a link, symbolic or hard.
    link: Option<NonZeroU32>,
    /// The last entry whose name leads up.
    up: Option<NonZeroU32>,
}

impl Certain {
    fn entry(&mut self, key: &RandomState, header: &Header, number: NonZeroU32) {
        let names = spelled(&header.path);
        if names.contains(&&b".."[..]) {
            self.up = Some(number);
        }
        match header.kind {
            EntryKind::Directory => self.ways.extend(names.iter().map(|name| key.hash_one(name))),
            kind => {
                if matches!(kind, EntryKind::Symlink | EntryKind::HardLink) {
                    self.link = Some(number);
                }
                let last = names.last().map(|name| key.hash_one(name));
                self.taken.extend(last.filter(|name| self.ways.contains(name)));
            }
        }
    }

    /// Whether the directory that the entry `made` put at `path` is there.
    fn is_as_made(&self, key: &RandomState, path: &[&[u8]], made: NonZeroU32) -> bool {
        let since = |last: Option<NonZeroU32>| last.is_some_and(|last| last >= made);
        let is_taken = path.iter().any(|name| self.taken.contains(&key.hash_one(name)));
        !is_taken && !since(self.link) && !since(self.up)
    }
}

/// The names of a path as it is written, `..` among them.
fn spelled(path: &[u8]) -> Vec<&[u8]> {
    let names = path.split(|byte| *byte == b'/');
    names.filter(|name| !matches!(*name, b"" | b".")).collect()
}
