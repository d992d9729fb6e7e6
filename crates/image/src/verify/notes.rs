//! What of a layer is legal, and worth knowing nevertheless? It is counted and shown by example, because an honest layer may have thousands.

use std::collections::BTreeMap;

use teu_archive::tar::{EntryKind, Header};
use teu_spec::Digest;

/// How many entries are shown of each kind.
const EXAMPLES: usize = 3;

/// What is worth knowing of some entries of a layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The layer, as it is stored.
    pub layer: Digest,
    /// What it is.
    pub kind: NoteKind,
    /// Of how many entries.
    pub count: u64,
    /// The names of the first of them.
    pub examples: Vec<Vec<u8>>,
}

/// What can be worth knowing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NoteKind {
    /// A file that runs as its owner or group, whoever starts it.
    SetId,
    /// A device, which is made only where that is asked for.
    Device,
    /// A name that begins with a slash.
    AbsoluteName,
    /// A name with `..` in it.
    NameUp,
    /// A symbolic link whose `..` lead above the root, where they stay.
    LinkOut,
    /// Something that is put through a symbolic link of the same layer.
    ThroughLink,
    /// A name that stands before in the layer: the last counts.
    Repeated,
    /// Extended attributes that a kernel would obey, and that are not set.
    Attribute,
    /// A name with control characters, or that is no UTF-8.
    OddName,
    /// What AUFS says of itself, which everybody passes over.
    Foreign,
    /// The archive ends without the mark that it is its end.
    NoEnd,
    /// The archive ends with the content of its last file: not even the block that this began is full.
    NoPadding,
}

impl NoteKind {
    /// The word for programs.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::SetId => "set-id",
            Self::Device => "device",
            Self::AbsoluteName => "absolute-name",
            Self::NameUp => "name-up",
            Self::LinkOut => "link-out",
            Self::ThroughLink => "through-link",
            Self::Repeated => "repeated",
            Self::Attribute => "attribute",
            Self::OddName => "odd-name",
            Self::Foreign => "aufs",
            Self::NoEnd => "no-end",
            Self::NoPadding => "no-padding",
        }
    }

    /// What it is, behind a number.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::SetId => "run as their owner or group (set-id)",
            Self::Device => "are devices, which are made only where that is asked for",
            Self::AbsoluteName => "have an absolute name, which is taken as one below the root",
            Self::NameUp => "have a name with .. in it, which stays below the root",
            Self::LinkOut => "are links whose .. lead above the root, where they stay",
            Self::ThroughLink => "are put through a symbolic link of the same layer",
            Self::Repeated => "stand in the layer before, and the last counts",
            Self::Attribute => "have attributes that a kernel would obey, and that are not set",
            Self::OddName => "have control characters in their name, or bytes that are no UTF-8",
            Self::Foreign => "are AUFS's own, and passed over",
            Self::NoEnd => "archive ends without the mark of its end",
            Self::NoPadding => "archive ends within the padding of its last file, of which GNU tar complains",
        }
    }
}

/// The notes of one layer as they come.
#[derive(Debug, Default)]
pub(super) struct Notes(BTreeMap<NoteKind, (u64, Vec<Vec<u8>>)>);

impl Notes {
    pub(super) fn add(&mut self, kind: NoteKind, path: &[u8]) {
        let (count, examples) = self.0.entry(kind).or_default();
        *count += 1;
        if examples.len() < EXAMPLES && !path.is_empty() {
            examples.push(path.to_vec());
        }
    }

    pub(super) fn of(self, layer: Digest) -> impl Iterator<Item = Note> {
        self.0.into_iter().map(move |(kind, (count, examples))| Note {
            layer,
            kind,
            count,
            examples,
        })
    }

    /// Notes what an entry says of itself.
    pub(super) fn see(&mut self, header: &Header) {
        let path = &header.path[..];
        let mut note = |kind, holds| {
            if holds {
                self.add(kind, path);
            }
        };
        let names = || path.split(|byte| *byte == b'/');
        note(
            NoteKind::SetId,
            header.kind == EntryKind::Regular && header.mode & 0o6000 != 0,
        );
        note(
            NoteKind::Device,
            matches!(header.kind, EntryKind::CharDevice | EntryKind::BlockDevice),
        );
        note(NoteKind::AbsoluteName, path.starts_with(b"/"));
        note(NoteKind::NameUp, names().any(|name| name == b".."));
        note(
            NoteKind::LinkOut,
            header.kind == EntryKind::Symlink && leads_out(path, &header.link),
        );
        note(NoteKind::Attribute, header.xattrs.keys().any(|name| is_obeyed(name)));
        let odd = std::str::from_utf8(path).map_or(true, |text| text.chars().any(char::is_control));
        note(NoteKind::OddName, odd);
    }
}

/// Whether an attribute means something to the kernel or its overlay file system, and not to the image's programs.
fn is_obeyed(name: &[u8]) -> bool {
    let mine = name.starts_with(b"user.") && !name.starts_with(b"user.overlay.");
    !mine && name != b"security.capability" && name != b"system.posix_acl_access"
}

/// Whether a relative link at `path` says more `..` than there are directories above it. Absolute links are in every image, and lead to what
/// is below its root.
fn leads_out(path: &[u8], target: &[u8]) -> bool {
    if target.starts_with(b"/") {
        return false;
    }
    let above = path.split(|byte| *byte == b'/');
    let above = above.filter(|name| !matches!(*name, b"" | b"." | b"..")).count();
    let mut depth = above.saturating_sub(1) as i64;
    for name in target.split(|byte| *byte == b'/') {
        match name {
            b"" | b"." => {}
            b".." => depth -= 1,
            _ => depth += 1,
        }
        if depth < 0 {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_leads_out_where_it_says_more_up_than_there_is() {
        for (path, target, out) in [
            ("a", "b", false),
            ("a", "/etc", false),
            ("a", "..", true),
            ("a/b", "..", false),
            ("a/b", "../c/../../d", true),
            ("/a/./b", "../..", true),
            ("usr/lib/x", "../../etc", false),
            ("usr/lib/x", "y/../../../../etc", true),
        ] {
            assert_eq!(leads_out(path.as_bytes(), target.as_bytes()), out, "{path} -> {target}");
        }
    }

    #[test]
    fn an_honest_file_is_worth_no_note() {
        let mut notes = Notes::default();
        notes.see(&Header::file("usr/bin/true", 1));
        notes.see(&Header::directory("usr/bin/"));
        notes.see(&Header::symlink("bin", "usr/bin"));
        notes.see(&Header::symlink("var/run", "/run"));
        assert_eq!(notes.of(Digest::of(b"")).count(), 0);
    }
}
