//! What stands around the entries of a table of contents that is kept? Its version and what it is of, and a digest over all of it, so that what is not as
//! it was written is no table.
//!
//! The form is `teu contents 2\n`; the digests of blob and archive, as text; a byte that says whether there are digests of content; the size of the
//! archive, the number of entries and how many bytes they have; the entries, as [`form`](super::form) has them; the number of their blocks and how many
//! bytes each has; and the SHA-256 of all that.

use bytes::Bytes;
use teu_spec::Digest;
use teu_store::Result;

use super::{Contents, form::malformed, stored::Stored};
use crate::compact::{Cursor, bytes, number};

const MAGIC: &[u8] = b"teu contents 2\n";
/// The bytes of a SHA-256.
pub(super) const SUM: usize = 32;

impl Contents {
    /// The table in the form in which it is kept.
    ///
    /// # Errors
    /// What the file says that it lies in, where it does.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut form = Vec::new();
        self.write_to(&mut form)?;
        Ok(form)
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
        let (head, at) = Head::read(&form[..end])?;
        let (entries, blocks) = form[at..end].split_at_checked(head.bytes).ok_or_else(malformed)?;
        let blocks = read_blocks(blocks, head.bytes)?;
        Self::checked(head, Stored::in_memory(form.slice_ref(entries), blocks))
    }

    /// A table whose entries can all be read: whoever reads them later relies on it.
    pub(super) fn checked(head: Head, entries: Stored) -> Result<Self> {
        let contents = Self {
            layer: head.layer,
            diff_id: head.diff_id,
            digests: head.digests,
            size: head.size,
            count: head.count,
            entries: entries.into(),
        };
        let (mut reader, mut all) = (contents.reader(), 0);
        while reader.next()?.is_some() {
            all += 1;
        }
        match all == head.count {
            true => Ok(contents),
            false => Err(malformed()),
        }
    }

    /// What stands before the entries.
    pub(super) fn head(&self) -> Vec<u8> {
        let mut form = MAGIC.to_vec();
        bytes(&mut form, self.layer.to_string().as_bytes());
        bytes(&mut form, self.diff_id.to_string().as_bytes());
        form.push(u8::from(self.digests));
        for value in [self.size, self.count, self.entries.length()] {
            number(&mut form, value);
        }
        form
    }

    /// What stands behind them, but for the sum.
    pub(super) fn foot(&self) -> Vec<u8> {
        let mut form = Vec::new();
        number(&mut form, self.entries.blocks() as u64);
        for block in 0..self.entries.blocks() {
            let (from, to) = self.entries.bounds(block);
            number(&mut form, to - from);
        }
        form
    }
}

/// What stands before the entries.
pub(super) struct Head {
    pub(super) layer: Digest,
    pub(super) diff_id: Digest,
    pub(super) digests: bool,
    pub(super) size: u64,
    pub(super) count: u64,
    pub(super) bytes: usize,
}

impl Head {
    /// Reads it, and where it ends.
    pub(super) fn read(form: &[u8]) -> Result<(Self, usize)> {
        if !form.starts_with(MAGIC) {
            return Err(malformed());
        }
        let mut cursor = Cursor::new(form, MAGIC.len(), malformed);
        let (layer, diff_id) = (digest(&mut cursor)?, digest(&mut cursor)?);
        let digests = match cursor.byte()? {
            0 => false,
            1 => true,
            _ => return Err(malformed()),
        };
        let (size, count) = (cursor.number()?, cursor.number()?);
        let bytes = usize::try_from(cursor.number()?).map_err(|_| malformed())?;
        let head = Self {
            layer,
            diff_id,
            digests,
            size,
            count,
            bytes,
        };
        Ok((head, cursor.at()))
    }
}

/// Where each block begins, of those that have so many bytes together.
pub(super) fn read_blocks(form: &[u8], all: usize) -> Result<Vec<u32>> {
    let mut cursor = Cursor::new(form, 0, malformed);
    let (count, mut begin) = (cursor.number()?, 0_usize);
    let mut begins = Vec::new();
    for _ in 0..count {
        begins.push(u32::try_from(begin).map_err(|_| malformed())?);
        let length = usize::try_from(cursor.number()?).map_err(|_| malformed())?;
        begin = begin
            .checked_add(length)
            .filter(|end| length > 0 && *end <= all)
            .ok_or_else(malformed)?;
    }
    match begin == all && cursor.at() == form.len() {
        true => Ok(begins),
        false => Err(malformed()),
    }
}

pub(super) fn digest(cursor: &mut Cursor<'_>) -> Result<Digest> {
    let text = std::str::from_utf8(cursor.bytes()?).map_err(|_| malformed())?;
    text.parse().map_err(|_| malformed())
}
