//! How is an entry of a table of contents written down? Compact: a byte for its kind, what its path shares with the one before and the rest, how far its
//! header is behind the one before, and what it says; numbers and bytes are as in [`compact`](crate::compact).
//!
//! A block has up to [`BLOCK`] entries and ends early once it is long. Its first entry shares nothing with another one, so that any entry is found
//! without those before its block: by its number, which has the number of its block above the lowest bits, and its place in the block in these.

use teu_rootfs::{Device, Metadata, Node, Time};
use teu_spec::{Algorithm, Digest};
use teu_store::{Error, ErrorKind, Result};

use super::{Entry, What};
use crate::{
    compact::{Cursor, bytes, number, time},
    whiteout::{self, Meaning},
};

/// The most bytes of a path or of a link's text: what is held to it cannot make small files costly to read.
const LONGEST: usize = 1 << 16;
/// How many entries a block has at most.
pub(crate) const BLOCK: u32 = 16;
/// After so many bytes a block ends early.
const BLOCK_BYTES: usize = 4096;

/// Writes entries one behind the other; a block is begun where [`begins_block`](Self::begins_block) says so.
#[derive(Default)]
pub(super) struct Form {
    path: Vec<u8>,
    offset: u64,
    /// What is in the block that was begun last.
    entries: u32,
    bytes: usize,
}

impl Form {
    /// Whether the next entry is the first of a block.
    pub(super) fn begins_block(&self) -> bool {
        self.entries == 0 || self.entries == BLOCK || self.bytes >= BLOCK_BYTES
    }

    pub(super) fn push(&mut self, into: &mut Vec<u8>, entry: &Entry) -> Result<()> {
        if entry.path.len() > LONGEST {
            let message = format!("{entry} has a path of more than {LONGEST} bytes, which no table of contents holds");
            return Err(Error::new(ErrorKind::TooLarge, message));
        }
        if self.begins_block() {
            *self = Self::default();
        }
        let before = into.len();
        let shared = self.path.iter().zip(&entry.path).take_while(|(a, b)| a == b).count();
        into.push(kind(&entry.what));
        number(into, shared as u64);
        bytes(into, &entry.path[shared..]);
        number(into, entry.offset.wrapping_sub(self.offset));
        self.offset = entry.offset;
        self.path.clone_from(&entry.path);
        describe(into, entry);
        self.entries += 1;
        self.bytes += into.len() - before;
        Ok(())
    }
}

/// What an entry says beside its name and place.
fn describe(into: &mut Vec<u8>, entry: &Entry) {
    match &entry.what {
        // What it hides is said by its name.
        What::Remove(_) | What::Clear(_) => return,
        What::HardLink(target) | What::Make(Node::Symlink(target)) => bytes(into, target),
        What::Make(Node::File(size)) => {
            number(into, *size);
            into.push(u8::from(entry.content.is_some()));
            if let Some(digest) = &entry.content {
                into.extend_from_slice(digest.bytes());
            }
        }
        What::Make(Node::CharDevice(device) | Node::BlockDevice(device)) => {
            number(into, u64::from(device.major));
            number(into, u64::from(device.minor));
        }
        What::Make(Node::Directory | Node::Fifo | Node::Socket) => {}
    }
    let metadata = &entry.metadata;
    for value in [metadata.mode, metadata.uid, metadata.gid] {
        number(into, u64::from(value));
    }
    time(into, metadata.mtime);
    number(into, metadata.xattrs.len() as u64);
    for (name, value) in &metadata.xattrs {
        bytes(into, name);
        bytes(into, value);
    }
}

/// An entry as it is read, without a copy of what it says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Raw<'a> {
    /// Its number in the table.
    pub(crate) number: u32,
    pub(crate) path: &'a [u8],
    pub(crate) offset: u64,
    kind: u8,
    /// Where a link leads.
    target: &'a [u8],
    size: u64,
    content: Option<&'a [u8]>,
    device: Device,
    mode: u32,
    uid: u32,
    gid: u32,
    mtime: Time,
    xattrs: (u64, &'a [u8]),
}

/// What an entry does, without a copy of what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Does<'a> {
    Directory,
    File,
    Symlink(&'a [u8]),
    /// Another node: a device, a pipe, a socket.
    Node,
    HardLink(&'a [u8]),
    Whiteout(Meaning<'a>),
}

impl<'a> Raw<'a> {
    pub(crate) fn does(&self) -> Does<'a> {
        match self.kind {
            b'w' => Does::Whiteout(whiteout::meaning(self.path)),
            b'h' => Does::HardLink(self.target),
            b'l' => Does::Symlink(self.target),
            b'f' => Does::File,
            b'd' => Does::Directory,
            _ => Does::Node,
        }
    }

    /// The bytes of a regular file; 0 for all else.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// What is made; none for a hard link, and for what hides.
    pub(crate) fn node(&self) -> Option<Node> {
        Some(match self.kind {
            b'l' => Node::Symlink(self.target.to_vec()),
            b'f' => Node::File(self.size),
            b'd' => Node::Directory,
            b'p' => Node::Fifo,
            b's' => Node::Socket,
            b'c' => Node::CharDevice(self.device),
            b'b' => Node::BlockDevice(self.device),
            _ => return None,
        })
    }

    pub(crate) fn metadata(&self) -> Result<Metadata> {
        let (count, bytes) = self.xattrs;
        let mut cursor = Cursor::new(bytes, 0, malformed);
        let mut metadata = Metadata {
            mode: self.mode,
            uid: self.uid,
            gid: self.gid,
            mtime: self.mtime,
            ..Metadata::default()
        };
        for _ in 0..count {
            let (name, value) = (cursor.bytes()?, cursor.bytes()?);
            metadata.xattrs.insert(name.to_vec(), value.to_vec());
        }
        Ok(metadata)
    }

    /// The digest of a regular file's content.
    pub(crate) fn content(&self) -> Option<Digest> {
        Digest::from_bytes(Algorithm::Sha256, self.content?)
    }

    pub(super) fn entry(&self) -> Result<Entry> {
        let what = match (self.does(), self.node()) {
            (Does::Whiteout(meaning), _) => hidden(meaning)?,
            (Does::HardLink(target), _) => What::HardLink(target.to_vec()),
            (_, Some(node)) => What::Make(node),
            (_, None) => return Err(malformed()),
        };
        Ok(Entry {
            path: self.path.to_vec(),
            what,
            metadata: self.metadata()?,
            content: self.content(),
            offset: self.offset,
        })
    }
}

/// Where the reading of a block stands.
#[derive(Clone, Debug, Default)]
pub(super) struct At {
    pub(super) byte: usize,
    pub(super) offset: u64,
}

/// Reads the entry of a block at a place, which moves behind it; `path` is that of the entry before, and becomes this one's.
pub(super) fn read<'a>(block: &'a [u8], at: &mut At, path: &'a mut Vec<u8>, number: u32) -> Result<Raw<'a>> {
    let mut cursor = Cursor::new(block, at.byte, malformed);
    let kind = cursor.byte()?;
    let shared = usize::try_from(cursor.number()?).map_err(|_| malformed())?;
    let rest = cursor.bytes()?;
    if shared > path.len() || shared + rest.len() > LONGEST || (at.byte == 0 && shared > 0) {
        return Err(malformed());
    }
    path.truncate(shared);
    path.extend_from_slice(rest);
    let offset = at.offset.wrapping_add(cursor.number()?);
    let mut raw = Raw {
        number,
        path,
        offset,
        kind,
        target: &[],
        size: 0,
        content: None,
        device: Device::default(),
        mode: 0,
        uid: 0,
        gid: 0,
        mtime: Time::default(),
        xattrs: (0, &[]),
    };
    match kind {
        b'w' => drop(hidden(whiteout::meaning(raw.path))?),
        b'h' | b'l' => raw.target = cursor.bytes()?,
        b'f' => {
            raw.size = cursor.number()?;
            raw.content = match cursor.byte()? {
                0 => None,
                1 => Some(cursor.take(Algorithm::Sha256.digest_len())?),
                _ => return Err(malformed()),
            };
        }
        b'd' | b'p' | b's' => {}
        b'c' | b'b' => {
            raw.device = Device {
                major: cursor.small()?,
                minor: cursor.small()?,
            }
        }
        _ => return Err(malformed()),
    }
    if kind != b'w' {
        (raw.mode, raw.uid, raw.gid) = (cursor.small()?, cursor.small()?, cursor.small()?);
        raw.mtime = cursor.time()?;
        let count = cursor.number()?;
        let from = cursor.at();
        for _ in 0..count {
            cursor.bytes()?;
            cursor.bytes()?;
        }
        raw.xattrs = (count, &block[from..cursor.at()]);
    }
    *at = At {
        byte: cursor.at(),
        offset,
    };
    Ok(raw)
}

fn kind(what: &What) -> u8 {
    match what {
        What::Remove(_) | What::Clear(_) => b'w',
        What::HardLink(_) => b'h',
        What::Make(node) => match node {
            Node::File(_) => b'f',
            Node::Directory => b'd',
            Node::Symlink(_) => b'l',
            Node::Fifo => b'p',
            Node::Socket => b's',
            Node::CharDevice(_) => b'c',
            Node::BlockDevice(_) => b'b',
        },
    }
}

/// What a whiteout's name says that it hides.
fn hidden(meaning: Meaning<'_>) -> Result<What> {
    match meaning {
        Meaning::Hide { directory: b"", name } => Ok(What::Remove(name.to_vec())),
        Meaning::Hide { directory, name } => Ok(What::Remove([directory, b"/", name].concat())),
        Meaning::Clear(directory) => Ok(What::Clear(directory.to_vec())),
        Meaning::Make | Meaning::Foreign | Meaning::Malformed => Err(malformed()),
    }
}

pub(super) fn malformed() -> Error {
    Error::new(
        ErrorKind::Mismatch,
        "it is no table of contents of a layer, or not as it was written",
    )
}
