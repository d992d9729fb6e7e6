//! What would become of a layer's entries? Each is held against the rules by which files are made of them; what is refused is found, what is
//! only odd is noted.

use std::{
    collections::{HashMap, HashSet, hash_map::RandomState},
    hash::BuildHasher,
    io::Read,
};

use teu_archive::{
    Escaped,
    tar::{End, EntryKind, Header, Reader},
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
pub(super) fn judge(layer: Digest, content: &mut dyn Read) -> (Seen, Vec<Found>) {
    let mut judge = Judge::default();
    let mut reader = Reader::new(content);
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
    /// Whether what has the name is a directory.
    names: HashMap<u64, bool>,
    links: HashSet<u64>,
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
        let is_directory = header.kind == EntryKind::Directory;
        if let Some(before) = self.names.insert(name, is_directory)
            && !(before && is_directory)
        {
            self.notes.add(NoteKind::Repeated, &header.path);
        }
        match header.kind {
            EntryKind::Symlink => self.links.insert(name),
            _ => self.links.remove(&name),
        };
    }

    /// What a hard link leads to may be behind a symbolic link or in a layer below: here only what is certain counts.
    fn hard_link(&mut self, header: &Header) {
        let (path, target) = (clean(&header.path), clean(&header.link));
        if self.links.is_empty() && path == target {
            self.refuse(format!("\"{}\": it is a hard link to itself", Escaped(&header.path)));
        } else if self.names.get(&self.key.hash_one(&target)) == Some(&true) {
            self.refuse(format!(
                "\"{}\": it is a hard link to a directory",
                Escaped(&header.path)
            ));
        }
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
