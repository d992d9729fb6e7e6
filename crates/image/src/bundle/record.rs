//! How is a tree remembered on disk? As a stream of [`Entry`]s in the order of a walk, compact, in blocks that are checked before they are used.
//!
//! The file is `teu tree 1\n`, then blocks: the length of the block's bytes as four bytes, little-endian; the first 16 bytes of the SHA-256 of the
//! sum before (at first of nothing) and of those bytes; those bytes: entries, whole. A block of no bytes ends it. Within a block a path is
//! what it shares with the path before, and its rest; a number is seven bits a byte, the lowest first.

use std::{
    cmp::Ordering,
    collections::BTreeMap,
    io::{self, Read, Write},
};

use teu_rootfs::{Device, Node};
use teu_spec::Algorithm;
use teu_store::{Error, ErrorKind, Result};

use super::{Entry, Fingerprint, Mark, order};
use crate::compact::{Cursor, bytes, number, time};

const MAGIC: &[u8] = b"teu tree 1\n";
/// A block is ended when it has so many bytes.
const BLOCK: usize = 64 << 10;
/// The most bytes that one has: an entry may be as long as the deepest path that a tree can have.
const LARGEST: usize = 64 << 20;
const SUM: usize = 16;
/// Says, of what is known of a file's extended attributes, that some follow which it did not get.
const WITHHELD: u8 = 4;

/// Writes entries.
pub struct Writer<W> {
    to: W,
    block: Vec<u8>,
    path: Vec<u8>,
    any: bool,
    sum: [u8; SUM],
}

impl<W: Write> Writer<W> {
    /// Begins a record.
    ///
    /// # Errors
    /// What the writer says.
    pub fn new(mut to: W) -> Result<Self> {
        to.write_all(MAGIC)?;
        Ok(Self {
            to,
            block: Vec::with_capacity(BLOCK + 4096),
            path: Vec::new(),
            any: false,
            sum: [0; SUM],
        })
    }

    /// Adds the next entry.
    ///
    /// # Errors
    /// What the writer says; `Invalid` for one out of order, or one whose [`Mark`] is not [`Untouched`](Mark::Untouched).
    pub fn add(&mut self, entry: &Entry) -> Result<()> {
        if self.any && order(&self.path, &entry.path) != Ordering::Less {
            return Err(Error::new(
                ErrorKind::Invalid,
                "the entries of a record are out of order",
            ));
        }
        let Mark::Untouched { inode, ctime } = entry.mark else {
            return Err(Error::new(ErrorKind::Invalid, "an entry of a record has no inode"));
        };
        let fresh = self.block.is_empty();
        let shared = match fresh {
            true => 0,
            false => self.path.iter().zip(&entry.path).take_while(|(a, b)| a == b).count(),
        };
        let block = &mut self.block;
        block.push(kind(&entry.node));
        number(block, shared as u64);
        bytes(block, &entry.path[shared..]);
        for value in [entry.mode, entry.uid, entry.gid] {
            number(block, u64::from(value));
        }
        number(block, entry.links);
        time(block, entry.mtime);
        time(block, ctime);
        number(block, inode);
        match &entry.node {
            Node::File(size) => number(block, *size),
            Node::Symlink(link) => bytes(block, link),
            Node::CharDevice(device) | Node::BlockDevice(device) => {
                number(block, u64::from(device.major));
                number(block, u64::from(device.minor));
            }
            Node::Directory | Node::Fifo | Node::Socket => {}
        }
        let withheld = if entry.withheld.is_empty() { 0 } else { WITHHELD };
        match entry.xattrs {
            None => block.push(withheld),
            Some(Fingerprint([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])) => block.push(withheld | 1),
            Some(Fingerprint(fingerprint)) => {
                block.push(withheld | 2);
                block.extend_from_slice(&fingerprint);
            }
        }
        if withheld != 0 {
            number(block, entry.withheld.len() as u64);
            for part in entry.withheld.iter().flat_map(|(name, value)| [name, value]) {
                bytes(block, part);
            }
        }
        self.any = true;
        self.path.clone_from(&entry.path);
        if self.block.len() >= BLOCK {
            self.end_block()?;
        }
        Ok(())
    }

    /// Ends the record, and gives the writer back.
    ///
    /// # Errors
    /// What the writer says.
    pub fn finish(mut self) -> Result<W> {
        if !self.block.is_empty() {
            self.end_block()?;
        }
        self.end_block()?;
        self.to.flush()?;
        Ok(self.to)
    }

    fn end_block(&mut self) -> Result<()> {
        let length = u32::try_from(self.block.len())
            .ok()
            .filter(|length| *length as usize <= LARGEST)
            .ok_or_else(|| Error::new(ErrorKind::TooLarge, format!("a path has more than {LARGEST} bytes")))?;
        self.sum = sum(self.sum, &self.block);
        self.to.write_all(&length.to_le_bytes())?;
        self.to.write_all(&self.sum)?;
        self.to.write_all(&self.block)?;
        self.block.clear();
        Ok(())
    }
}

/// Reads entries, in order. After an error it gives no more.
pub struct Reader<R> {
    from: R,
    block: Vec<u8>,
    at: usize,
    path: Vec<u8>,
    any: bool,
    sum: [u8; SUM],
    ended: bool,
}

impl<R: Read> Reader<R> {
    /// Begins to read a record.
    ///
    /// # Errors
    /// `Invalid` for what is none.
    pub fn new(mut from: R) -> Result<Self> {
        let mut magic = [0; MAGIC.len()];
        from.read_exact(&mut magic).map_err(cut_off)?;
        if magic != MAGIC {
            return Err(damaged("it does not begin as one"));
        }
        Ok(Self {
            from,
            block: Vec::new(),
            at: 0,
            path: Vec::new(),
            any: false,
            sum: [0; SUM],
            ended: false,
        })
    }

    /// The next entry; none at the end.
    ///
    /// # Errors
    /// `Mismatch` for what is not as it was written.
    pub fn next_entry(&mut self) -> Result<Option<Entry>> {
        if self.ended {
            return Ok(None);
        }
        let next = self.read();
        if !matches!(next, Ok(Some(_))) {
            self.ended = true;
        }
        next
    }

    fn read(&mut self) -> Result<Option<Entry>> {
        let fresh = self.at == self.block.len();
        if fresh {
            self.next_block()?;
            if self.block.is_empty() {
                if self.from.read(&mut [0])? > 0 {
                    return Err(damaged("something stands behind its end"));
                }
                return Ok(None);
            }
        }
        let mut block = Cursor::new(&self.block, self.at, malformed);
        let kind = block.byte()?;
        let shared = block.number()?;
        let shared = usize::try_from(shared)
            .ok()
            .filter(|shared| *shared <= if fresh { 0 } else { self.path.len() })
            .ok_or_else(malformed)?;
        let rest = block.bytes()?;
        let mut path = Vec::with_capacity(shared + rest.len());
        path.extend_from_slice(&self.path[..shared]);
        path.extend_from_slice(rest);
        let (mode, uid, gid) = (block.small()?, block.small()?, block.small()?);
        let links = block.number()?;
        let (mtime, ctime) = (block.time()?, block.time()?);
        let inode = block.number()?;
        let device = |block: &mut Cursor<'_>| -> Result<Device> {
            Ok(Device {
                major: block.small()?,
                minor: block.small()?,
            })
        };
        let node = match kind {
            b'f' => Node::File(block.number()?),
            b'd' => Node::Directory,
            b'l' => Node::Symlink(block.bytes()?.to_vec()),
            b'p' => Node::Fifo,
            b's' => Node::Socket,
            b'c' => Node::CharDevice(device(&mut block)?),
            b'b' => Node::BlockDevice(device(&mut block)?),
            _ => return Err(malformed()),
        };
        let of_xattrs = block.byte()?;
        let xattrs = match of_xattrs & !WITHHELD {
            0 => None,
            1 => Some(Fingerprint::default()),
            2 => {
                let mut fingerprint = [0; 16];
                fingerprint.copy_from_slice(block.take(16)?);
                Some(Fingerprint(fingerprint))
            }
            _ => return Err(malformed()),
        };
        let mut withheld = BTreeMap::new();
        if of_xattrs & WITHHELD != 0 {
            for _ in 0..block.number()? {
                withheld.insert(block.bytes()?.to_vec(), block.bytes()?.to_vec());
            }
        }
        self.at = block.at();
        if self.any && order(&self.path, &path) != Ordering::Less {
            return Err(malformed());
        }
        self.any = true;
        self.path.clone_from(&path);
        Ok(Some(Entry {
            path,
            node,
            mode,
            uid,
            gid,
            links,
            mtime,
            xattrs,
            withheld,
            mark: Mark::Untouched { inode, ctime },
        }))
    }

    fn next_block(&mut self) -> Result<()> {
        let mut length = [0; 4];
        self.from.read_exact(&mut length).map_err(cut_off)?;
        let length = u32::from_le_bytes(length) as usize;
        if length > LARGEST {
            return Err(malformed());
        }
        let mut expected = [0; SUM];
        self.from.read_exact(&mut expected).map_err(cut_off)?;
        self.block.clear();
        self.at = 0;
        // What is announced is not believed before it came.
        let came = (&mut self.from).take(length as u64).read_to_end(&mut self.block)?;
        if came < length {
            return Err(damaged("it is cut off"));
        }
        self.sum = sum(self.sum, &self.block);
        if self.sum != expected {
            return Err(malformed());
        }
        Ok(())
    }
}

fn sum(before: [u8; SUM], block: &[u8]) -> [u8; SUM] {
    let mut hasher = Algorithm::Sha256.hasher();
    hasher.update(&before);
    hasher.update(block);
    let mut sum = [0; SUM];
    sum.copy_from_slice(&hasher.finish().bytes()[..SUM]);
    sum
}

fn kind(node: &Node) -> u8 {
    match node {
        Node::File(_) => b'f',
        Node::Directory => b'd',
        Node::Symlink(_) => b'l',
        Node::Fifo => b'p',
        Node::Socket => b's',
        Node::CharDevice(_) => b'c',
        Node::BlockDevice(_) => b'b',
    }
}

fn cut_off(error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => damaged("it is cut off"),
        _ => error.into(),
    }
}

fn malformed() -> Error {
    damaged("it is not as it was written")
}

fn damaged(how: &str) -> Error {
    let message = format!("the bundle's record of its files is damaged: {how}; unpack the image anew");
    Error::new(ErrorKind::Mismatch, message)
}
