//! Entries of layers, in few words; their modes, owners, times and attributes are none that anything outside has.

use teu_archive::tar::{EntryKind, Header, Time, Writer};

pub(crate) type Entry = (Header, &'static [u8]);

fn marked(mut header: Header) -> Header {
    header.mode = 0o777;
    (header.uid, header.gid) = (1234, 2345);
    header.mtime = Time {
        seconds: 1_000_000,
        nanoseconds: 0,
    };
    if matches!(header.kind, EntryKind::Regular | EntryKind::Directory) {
        header.xattrs.insert(b"user.marked".to_vec(), b"yes".to_vec());
    }
    header
}

pub(crate) fn dir(path: impl AsRef<str>) -> Entry {
    (marked(Header::directory(path.as_ref())), b"")
}

/// A file with the content `x`.
pub(crate) fn file(path: impl AsRef<str>) -> Entry {
    (marked(Header::file(path.as_ref(), 1)), b"x")
}

pub(crate) fn link(path: impl AsRef<str>, target: impl AsRef<str>) -> Entry {
    (marked(Header::symlink(path.as_ref(), target.as_ref())), b"")
}

pub(crate) fn hard(path: impl AsRef<str>, target: impl AsRef<str>) -> Entry {
    (marked(Header::hard_link(path.as_ref(), target.as_ref())), b"")
}

pub(crate) fn fifo(path: impl AsRef<str>) -> Entry {
    (marked(Header::new(EntryKind::Fifo, path.as_ref())), b"")
}

pub(crate) fn device(path: impl AsRef<str>, major: u32, minor: u32) -> Entry {
    let mut header = marked(Header::new(EntryKind::CharDevice, path.as_ref()));
    (header.device_major, header.device_minor) = (major, minor);
    (header, b"")
}

/// An empty file: a whiteout, by its name.
pub(crate) fn marker(path: impl AsRef<str>) -> Entry {
    (Header::file(path.as_ref(), 0), b"")
}

/// The same entry, changed.
pub(crate) fn with(mut entry: Entry, change: impl FnOnce(&mut Header)) -> Entry {
    change(&mut entry.0);
    entry
}

/// An archive of these entries.
pub(crate) fn tar(entries: &[Entry]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    for (header, content) in entries {
        writer.append_data(header, content).expect("written");
    }
    writer.finish().expect("whole")
}
