//! What would become of a layer's entries? Each is held against the rules by which files are made of them; what is refused is found, what is
//! only odd is noted. What they are together is written into a table, for [`together`](super::together).

use std::{
    collections::{HashSet, hash_map::RandomState},
    hash::BuildHasher,
    io::BufRead,
};

use teu_archive::tar::{End, EntryKind, Header, Reader};
use teu_rootfs::{Budget, Node};
use teu_spec::Digest;
use teu_store::{
    Error, ErrorKind,
    verify::{Found, Kind, Severity},
};

use super::{
    notes::{Note, NoteKind, Notes},
    together::unknown,
};
use crate::{
    contents::{self, Contents, Entry, Making},
    entry::{self, Action},
    glob::clean,
};

/// How many refused entries of a layer are told one by one.
const TOLD: u64 = 20;

/// What was seen of a layer.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) entries: u64,
    /// Of content, holes left out.
    pub(super) bytes: u64,
    pub(super) notes: Vec<Note>,
    /// What is in it, where each entry for itself would be unpacked.
    pub(super) table: Option<Contents>,
    /// Why nobody knows whether it would be.
    pub(super) failure: Option<Error>,
}

/// Reads a layer's archive to its end.
pub(super) fn judge(layer: Digest, content: &mut dyn BufRead, options: &contents::Options) -> (Seen, Vec<Found>) {
    let mut judge = Judge {
        budget: options.budget.clone(),
        making: Some(Making::new(options)),
        ..Judge::default()
    };
    let mut reader = Reader::buffered(content, options.tar.clone());
    let broken = loop {
        match reader.next_entry() {
            Ok(Some(entry)) => {
                let stored = entry.segments().iter().map(|segment| segment.length).sum();
                judge.entry(entry.header(), entry.header_offset(), stored);
            }
            Ok(None) => break None,
            Err(error) => break Some(error),
        }
    };
    match reader.end() {
        Some(End::NoMarker) => judge.notes.add(NoteKind::NoEnd, b""),
        Some(End::NoPadding) => judge.notes.add(NoteKind::NoPadding, b""),
        Some(End::Marker | End::LoneZeroBlock) | None => {}
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
    let making = judge.making.take().filter(|_| judge.found.is_empty());
    let table = making.and_then(|making| {
        // The digest of the archive is known only once all of it is read; nobody asks this table for it.
        let made = making.finish(layer, layer, 0);
        made.map_err(|error| judge.failure = Some(error)).ok()
    });
    let seen = Seen {
        entries: judge.entries,
        bytes: judge.bytes,
        notes: judge.notes.of(layer).collect(),
        table,
        failure: judge.failure,
    };
    (seen, judge.found)
}

/// The entries of one layer so far. Names are kept as keyed hashes of eight bytes, so that a million of them take little, and nobody outside
/// can have two of them meet.
#[derive(Default)]
struct Judge {
    key: RandomState,
    entries: u64,
    bytes: u64,
    /// What has a name: a directory, or something else, of which some are links.
    directories: HashSet<u64>,
    others: HashSet<u64>,
    links: HashSet<u64>,
    notes: Notes,
    found: Vec<Found>,
    refused: u64,
    budget: Budget,
    /// Its table, as long as one can come of it.
    making: Option<Making>,
    /// What kept it from being made.
    failure: Option<Error>,
}

impl Judge {
    fn entry(&mut self, header: &Header, offset: u64, stored: u64) {
        self.entries += 1;
        self.notes.see(header);
        let action = match entry::check(header, &self.budget) {
            Ok(action) => action,
            Err(why) => return self.refuse(why),
        };
        match action {
            Action::Make(_) | Action::HardLink => self.name(header),
            // Neither makes a name, and lower layers are not seen here.
            Action::Remove(_) | Action::Clear(_) => {}
            Action::PassOver => self.notes.add(NoteKind::Foreign, &header.path),
        }
        if matches!(action, Action::Make(Node::File(_))) {
            self.bytes = self.bytes.saturating_add(stored);
        }
        if let Some(entry) = Entry::of(header, action, offset)
            && let Some(making) = &mut self.making
            && let Err(error) = making.push(&entry)
        {
            self.give_up(error);
        }
    }

    /// No table comes of it: one that would be too large is past a limit of ours, and else it is the disk's fault.
    fn give_up(&mut self, error: Error) {
        self.making = None;
        match error.kind() {
            ErrorKind::TooLarge => {
                let message = format!("its entries were not held against those of other layers: {error}");
                self.found.push(unknown(message));
            }
            _ => self.failure = Some(error),
        }
    }

    fn name(&mut self, header: &Header) {
        let path = clean(&header.path);
        if !self.links.is_empty() && self.is_through_link(&path) {
            self.notes.add(NoteKind::ThroughLink, &header.path);
        }
        let name = self.key.hash_one(&path);
        let is_repeated = match header.kind {
            EntryKind::Directory => {
                self.directories.insert(name);
                self.others.remove(&name)
            }
            _ => self.directories.remove(&name) | !self.others.insert(name),
        };
        if is_repeated {
            self.notes.add(NoteKind::Repeated, &header.path);
        }
        match header.kind {
            EntryKind::Symlink => self.links.insert(name),
            _ => self.links.remove(&name),
        };
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
