//! What an entry says of itself, in whichever dialect it was said.
//!
//! Names are bytes and are kept as they are: nothing is normalised here, because what a name means is decided where it
//! becomes a file, and nowhere else.

use std::collections::BTreeMap;

/// What an entry makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum EntryKind {
    /// A file with content; sparse and contiguous files too.
    #[default]
    Regular,
    /// Another name for the entry called [`Header::link`], a path inside the archive.
    HardLink,
    /// A symbolic link whose text is [`Header::link`].
    Symlink,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
    /// A directory.
    Directory,
    /// A named pipe.
    Fifo,
}

/// A point in time: seconds since 1970-01-01T00:00:00Z, negative before it, and nanoseconds that always count forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Time {
    /// Whole seconds, rounded down.
    pub seconds: i64,
    /// Nanoseconds after [`Time::seconds`], below 1,000,000,000.
    pub nanoseconds: u32,
}

/// All that is said of an entry, after extension headers were applied.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Header {
    /// What it is.
    pub kind: EntryKind,
    /// The name, as it stands in the archive: not empty and without NUL; perhaps absolute, with `..`, or not UTF-8.
    pub path: Vec<u8>,
    /// The target of a link, not empty for links and empty for everything else.
    pub link: Vec<u8>,
    /// Permission, set-id and sticky bits (07777).
    pub mode: u32,
    /// The owner's number; never 4,294,967,295, which means "leave unchanged" to chown(2).
    pub uid: u32,
    /// The group's number; never 4,294,967,295.
    pub gid: u32,
    /// The owner's name, or empty.
    pub uname: Vec<u8>,
    /// The group's name, or empty.
    pub gname: Vec<u8>,
    /// Bytes of content, holes of a sparse file included; 0 for all but regular files.
    pub size: u64,
    /// When the content was changed last.
    pub mtime: Time,
    /// When the file was read last, where it is said.
    pub atime: Option<Time>,
    /// When the inode was changed last, where it is said.
    pub ctime: Option<Time>,
    /// A device's major number, 0 for everything else.
    pub device_major: u32,
    /// A device's minor number, 0 for everything else.
    pub device_minor: u32,
    /// Extended attributes by name, from `SCHILY.xattr.*`.
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    /// PAX records that have no field here, by key: `comment`, `LIBARCHIVE.*`, `SCHILY.acl.*` and so on.
    pub extra: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Header {
    /// A header of the given kind and name; mode 0755 for a directory, 0777 for a symlink, 0644 otherwise; all else
    /// zero or empty.
    pub fn new(kind: EntryKind, path: impl Into<Vec<u8>>) -> Self {
        let mode = match kind {
            EntryKind::Directory => 0o755,
            EntryKind::Symlink => 0o777,
            _ => 0o644,
        };
        Header {
            kind,
            path: path.into(),
            mode,
            ..Header::default()
        }
    }

    /// A regular file of `size` bytes.
    pub fn file(path: impl Into<Vec<u8>>, size: u64) -> Self {
        Header {
            size,
            ..Header::new(EntryKind::Regular, path)
        }
    }

    /// A directory.
    pub fn directory(path: impl Into<Vec<u8>>) -> Self {
        Header::new(EntryKind::Directory, path)
    }

    /// A symbolic link with the text `target`.
    pub fn symlink(path: impl Into<Vec<u8>>, target: impl Into<Vec<u8>>) -> Self {
        Header {
            link: target.into(),
            ..Header::new(EntryKind::Symlink, path)
        }
    }

    /// A hard link: another name for the entry called `target`, which stands before it.
    pub fn hard_link(path: impl Into<Vec<u8>>, target: impl Into<Vec<u8>>) -> Self {
        Header {
            link: target.into(),
            ..Header::new(EntryKind::HardLink, path)
        }
    }

    /// Empties every field but keeps the memory of the names, which most entries need again.
    pub(super) fn clear(&mut self) {
        let (mut path, mut link) = (std::mem::take(&mut self.path), std::mem::take(&mut self.link));
        path.clear();
        link.clear();
        let (mut uname, mut gname) = (std::mem::take(&mut self.uname), std::mem::take(&mut self.gname));
        uname.clear();
        gname.clear();
        *self = Header {
            path,
            link,
            uname,
            gname,
            ..Header::default()
        };
    }
}
