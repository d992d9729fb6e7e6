//! What does an entry of a layer ask for? [`action`] says it, for all who unpack, list or judge a layer, so that none of them sees another tree.

use teu_archive::{
    Escaped,
    tar::{EntryKind, Header},
};
use teu_rootfs::{Budget, Device, Makes, Metadata, Node, Time};

use crate::whiteout::{self, Meaning};

/// What is done for an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// A file is made, or any other node that is no link.
    Make(Node),
    /// Another name of what [`Header::link`] names.
    HardLink,
    /// What lower layers have at this path is removed.
    Remove(Vec<u8>),
    /// All that lower layers have in this directory is removed; empty for the root.
    Clear(Vec<u8>),
    /// Nothing: it is AUFS's record of itself, as old images have it.
    PassOver,
}

/// Reads what a header asks for.
///
/// # Errors
/// Why no honest layer has such an entry (threats 11, 28).
pub fn action(header: &Header) -> Result<Action, &'static str> {
    let path = &header.path;
    match whiteout::meaning(path) {
        Meaning::Make => {}
        Meaning::Hide { directory, name } => {
            let path = match directory {
                [] => name.to_vec(),
                directory => [directory, b"/", name].concat(),
            };
            return Ok(Action::Remove(path));
        }
        Meaning::Clear(directory) => return Ok(Action::Clear(directory.to_vec())),
        Meaning::Foreign => return Ok(Action::PassOver),
        Meaning::Malformed => return Err("it is a whiteout of nothing that has a name"),
    }
    let mut names = path.split(|byte| *byte == b'/').filter(|name| !name.is_empty());
    if let Some(name) = names.find(|name| name.starts_with(whiteout::PREFIX)) {
        // What AUFS keeps for itself has files in it.
        return match name[whiteout::PREFIX.len()..].starts_with(whiteout::PREFIX) {
            true => Ok(Action::PassOver),
            false => Err("it is in a directory whose name is that of a whiteout, and which cannot be"),
        };
    }
    if header.kind != EntryKind::Directory && is_root(path) {
        return Err("it is the root, which can be a directory alone");
    }
    let device = Device {
        major: header.device_major,
        minor: header.device_minor,
    };
    Ok(match header.kind {
        EntryKind::Regular => Action::Make(Node::File(header.size)),
        EntryKind::Directory => Action::Make(Node::Directory),
        EntryKind::Symlink => Action::Make(Node::Symlink(header.link.clone())),
        EntryKind::HardLink => Action::HardLink,
        EntryKind::Fifo => Action::Make(Node::Fifo),
        EntryKind::CharDevice => Action::Make(Node::CharDevice(device)),
        EntryKind::BlockDevice => Action::Make(Node::BlockDevice(device)),
    })
}

/// Whether an entry would be unpacked, as far as its own words tell: by the rules of [`action`] and those that files are made by.
///
/// # Errors
/// Why it would be refused, with its name, for a person.
pub fn check(header: &Header, budget: &Budget) -> Result<Action, String> {
    let action = action(header).map_err(|why| format!("\"{}\": {why}", Escaped(&header.path)))?;
    let (path, makes) = match &action {
        Action::PassOver => return Ok(action),
        Action::HardLink => (&header.path, Makes::HardLink(&header.link)),
        Action::Remove(path) => (path, Makes::Nothing),
        Action::Clear(path) => (path, Makes::Directory),
        Action::Make(node) => {
            let makes = match node {
                Node::File(size) => Makes::File(*size),
                Node::Directory => Makes::Directory,
                Node::Symlink(text) => Makes::Symlink(text),
                Node::Fifo | Node::CharDevice(_) | Node::BlockDevice(_) | Node::Socket => Makes::Node,
            };
            (&header.path, makes)
        }
    };
    let metadata = match makes {
        Makes::Nothing => Metadata::default(),
        _ => metadata(&mut header.clone()),
    };
    teu_rootfs::check(path, &metadata, makes, budget).map_err(|error| error.to_string())?;
    Ok(action)
}

/// What a header says beside path, kind and content; its extended attributes are taken out of it.
pub(crate) fn metadata(header: &mut Header) -> Metadata {
    Metadata {
        mode: header.mode,
        uid: header.uid,
        gid: header.gid,
        mtime: Time {
            seconds: header.mtime.seconds,
            nanoseconds: header.mtime.nanoseconds,
        },
        xattrs: std::mem::take(&mut header.xattrs),
    }
}

/// Whether a path names nothing but the root, or a directory that leads up.
fn is_root(path: &[u8]) -> bool {
    let last = path
        .split(|byte| *byte == b'/')
        .rev()
        .find(|name| !matches!(*name, b"" | b"."));
    matches!(last, None | Some(b".."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_ask_for_what_their_names_and_kinds_say() {
        let device = |kind| Header {
            device_major: 1,
            device_minor: 3,
            ..Header::new(kind, "dev/null")
        };
        let null = Device { major: 1, minor: 3 };
        for (header, expected) in [
            (Header::file("a", 7), Action::Make(Node::File(7))),
            (Header::directory("./"), Action::Make(Node::Directory)),
            (Header::directory("a/.."), Action::Make(Node::Directory)),
            (Header::symlink("a", "/b"), Action::Make(Node::Symlink(b"/b".to_vec()))),
            (Header::hard_link("a", "b"), Action::HardLink),
            (Header::new(EntryKind::Fifo, "../a"), Action::Make(Node::Fifo)),
            (device(EntryKind::CharDevice), Action::Make(Node::CharDevice(null))),
            (device(EntryKind::BlockDevice), Action::Make(Node::BlockDevice(null))),
            (Header::file("d/.wh.a", 0), Action::Remove(b"d/a".to_vec())),
            (Header::directory(".wh.a/"), Action::Remove(b"a".to_vec())),
            (Header::file("/d/.wh..wh..opq", 0), Action::Clear(b"/d".to_vec())),
            (Header::file(".wh..wh.plnk/1.2", 3), Action::PassOver),
            (Header::directory(".wh..wh.orph"), Action::PassOver),
        ] {
            assert_eq!(action(&header), Ok(expected), "{header:?}");
        }
        for header in [
            Header::file(".wh.", 0),
            Header::file("a/.wh...", 0),
            Header::file(".wh.a/b", 0),
            Header::file("./", 0),
            Header::symlink("/", "/etc"),
            Header::hard_link("a/..", "b"),
            Header::new(EntryKind::Fifo, "."),
            device(EntryKind::BlockDevice).clone_as("//."),
        ] {
            assert!(action(&header).is_err(), "{header:?}");
        }
    }

    trait As {
        fn clone_as(&self, path: &str) -> Self;
    }

    impl As for Header {
        fn clone_as(&self, path: &str) -> Self {
            Header {
                path: path.into(),
                ..self.clone()
            }
        }
    }
}
