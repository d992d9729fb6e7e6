//! How is a table of contents kept? Compact, with its version and a digest over all of it, so that what is not as it was written is no table.
//!
//! The form is `teu contents 1\n`; the digests of blob and archive, as text; a byte that says whether there are digests of content; the size of the
//! archive, the number of entries and how many bytes they have; the entries; and the SHA-256 of all that. An entry is a byte for its kind, what its
//! path shares with the one before and the rest, how far its header is behind the one before, and what it says; numbers and bytes are as in
//! [`compact`](crate::compact).

use bytes::Bytes;
use teu_rootfs::{Device, Metadata, Node};
use teu_spec::Digest;
use teu_store::{Error, ErrorKind, Result};

use super::{Contents, Entry, What};
use crate::{
    compact::{Cursor, bytes, number, time},
    whiteout::{self, Meaning},
};

const MAGIC: &[u8] = b"teu contents 1\n";
/// The bytes of a SHA-256.
const SUM: usize = 32;
/// The most bytes of a path or of a link's text: what is held to it cannot make small files costly to read.
const LONGEST: usize = 1 << 16;

/// The entries of a table that is being made.
#[derive(Default)]
pub(super) struct List {
    bytes: Vec<u8>,
    path: Vec<u8>,
    offset: u64,
    count: u64,
}

impl List {
    pub(super) fn push(&mut self, entry: &Entry) -> Result<()> {
        if entry.path.len() > LONGEST {
            let message = format!("{entry} has a path of more than {LONGEST} bytes, which no table of contents holds");
            return Err(Error::new(ErrorKind::TooLarge, message));
        }
        let shared = self.path.iter().zip(&entry.path).take_while(|(a, b)| a == b).count();
        let into = &mut self.bytes;
        into.push(kind(&entry.what));
        number(into, shared as u64);
        bytes(into, &entry.path[shared..]);
        number(into, entry.offset.wrapping_sub(self.offset));
        (self.offset, self.count) = (entry.offset, self.count + 1);
        self.path.clone_from(&entry.path);
        match &entry.what {
            // What it hides is said by its name.
            What::Remove(_) | What::Clear(_) => return Ok(()),
            What::HardLink(target) | What::Make(Node::Symlink(target)) => bytes(into, target),
            What::Make(Node::File(size)) => {
                number(into, *size);
                into.push(u8::from(entry.content.is_some()));
                if let Some(digest) = &entry.content {
                    bytes(into, digest.to_string().as_bytes());
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
        Ok(())
    }

    pub(super) fn size(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn finish(mut self) -> (Bytes, u64) {
        self.bytes.shrink_to_fit();
        (self.bytes.into(), self.count)
    }
}

/// The entries of a table, in the order of the archive.
pub struct Entries<'a> {
    cursor: Cursor<'a>,
    end: usize,
    path: Vec<u8>,
    offset: u64,
}

impl<'a> Entries<'a> {
    pub(super) fn new(entries: &'a [u8]) -> Self {
        Self {
            cursor: Cursor::new(entries, 0, malformed),
            end: entries.len(),
            path: Vec::new(),
            offset: 0,
        }
    }

    fn read(&mut self) -> Result<Option<Entry>> {
        let cursor = &mut self.cursor;
        if cursor.at() == self.end {
            return Ok(None);
        }
        let kind = cursor.byte()?;
        let shared = usize::try_from(cursor.number()?).map_err(|_| malformed())?;
        let rest = cursor.bytes()?;
        if shared > self.path.len() || shared + rest.len() > LONGEST {
            return Err(malformed());
        }
        self.path.truncate(shared);
        self.path.extend_from_slice(rest);
        self.offset = self.offset.wrapping_add(cursor.number()?);
        let mut content = None;
        let device = |cursor: &mut Cursor<'_>| -> Result<Device> {
            Ok(Device {
                major: cursor.small()?,
                minor: cursor.small()?,
            })
        };
        let what = match kind {
            b'w' => hidden(&self.path)?,
            b'h' => What::HardLink(cursor.bytes()?.to_vec()),
            b'l' => What::Make(Node::Symlink(cursor.bytes()?.to_vec())),
            b'f' => {
                let size = cursor.number()?;
                content = match cursor.byte()? {
                    0 => None,
                    1 => Some(digest(cursor)?),
                    _ => return Err(malformed()),
                };
                What::Make(Node::File(size))
            }
            b'd' => What::Make(Node::Directory),
            b'p' => What::Make(Node::Fifo),
            b's' => What::Make(Node::Socket),
            b'c' => What::Make(Node::CharDevice(device(cursor)?)),
            b'b' => What::Make(Node::BlockDevice(device(cursor)?)),
            _ => return Err(malformed()),
        };
        let mut metadata = Metadata::default();
        if kind != b'w' {
            (metadata.mode, metadata.uid, metadata.gid) = (cursor.small()?, cursor.small()?, cursor.small()?);
            metadata.mtime = cursor.time()?;
            for _ in 0..cursor.number()? {
                let (name, value) = (cursor.bytes()?, cursor.bytes()?);
                metadata.xattrs.insert(name.to_vec(), value.to_vec());
            }
        }
        Ok(Some(Entry {
            path: self.path.clone(),
            what,
            metadata,
            content,
            offset: self.offset,
        }))
    }
}

impl Iterator for Entries<'_> {
    type Item = Entry;

    fn next(&mut self) -> Option<Entry> {
        self.read().expect("all of it was read when the table was made")
    }
}

impl Contents {
    /// The table in the form in which it is kept.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut form = MAGIC.to_vec();
        bytes(&mut form, self.layer.to_string().as_bytes());
        bytes(&mut form, self.diff_id.to_string().as_bytes());
        form.push(u8::from(self.digests));
        for value in [self.size, self.count] {
            number(&mut form, value);
        }
        bytes(&mut form, &self.entries);
        let sum = Digest::of(&form);
        form.extend_from_slice(sum.bytes());
        form
    }

    /// Reads the form in which a table is kept.
    ///
    /// # Errors
    /// `Mismatch` for what is no table, of another version, or not as it was written.
    pub fn from_bytes(form: &Bytes) -> Result<Self> {
        let end = form.len().checked_sub(SUM).ok_or_else(malformed)?;
        if !form.starts_with(MAGIC) || Digest::of(&form[..end]).bytes() != &form[end..] {
            return Err(malformed());
        }
        let mut cursor = Cursor::new(&form[..end], MAGIC.len(), malformed);
        let (layer, diff_id) = (digest(&mut cursor)?, digest(&mut cursor)?);
        let digests = match cursor.byte()? {
            0 => false,
            1 => true,
            _ => return Err(malformed()),
        };
        let (size, count) = (cursor.number()?, cursor.number()?);
        let entries = form.slice_ref(cursor.bytes()?);
        if cursor.at() != end {
            return Err(malformed());
        }
        let contents = Self {
            layer,
            diff_id,
            digests,
            size,
            count,
            entries,
        };
        // Whoever reads it later relies on this.
        let (mut read, mut all) = (contents.entries(), 0);
        while read.read()?.is_some() {
            all += 1;
        }
        match all == count {
            true => Ok(contents),
            false => Err(malformed()),
        }
    }
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
fn hidden(path: &[u8]) -> Result<What> {
    match whiteout::meaning(path) {
        Meaning::Hide { directory: b"", name } => Ok(What::Remove(name.to_vec())),
        Meaning::Hide { directory, name } => Ok(What::Remove([directory, b"/", name].concat())),
        Meaning::Clear(directory) => Ok(What::Clear(directory.to_vec())),
        Meaning::Make | Meaning::Foreign | Meaning::Malformed => Err(malformed()),
    }
}

fn digest(cursor: &mut Cursor<'_>) -> Result<Digest> {
    let text = std::str::from_utf8(cursor.bytes()?).map_err(|_| malformed())?;
    text.parse().map_err(|_| malformed())
}

fn malformed() -> Error {
    Error::new(
        ErrorKind::Mismatch,
        "it is no table of contents of a layer, or not as it was written",
    )
}
