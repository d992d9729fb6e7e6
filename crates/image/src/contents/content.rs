//! How is what is in an entry looked at while the table of its layer is made? As a [`Content`], whole or without its holes; all of it is hashed,
//! where that is wanted, whoever looks.

use std::io::{self, BufRead, Read};

use teu_archive::tar::{self, Chunk};
use teu_spec::{Digest, Hasher};
use teu_store::Result;

/// What is in an entry. Read as it is, holes are zeros.
pub trait Content: Read {
    /// How many bytes there are beside holes.
    fn stored(&self) -> u64;

    /// The next bytes, holes passed over; none at the end. What lies between chunks, and from the last one to the file's size, is zeros.
    ///
    /// # Errors
    /// What reading the layer says.
    fn next_chunk(&mut self) -> Result<Option<Chunk<'_>>>;
}

/// The content of an entry, hashed as it is read where that is wanted.
pub(super) struct Hashed<'a, 'r, R> {
    content: &'a mut tar::Entry<'r, R>,
    stored: u64,
    hasher: Option<Hasher>,
    /// Up to where it is hashed.
    at: u64,
}

impl<'a, 'r, R: Read> Hashed<'a, 'r, R> {
    pub(super) fn new(content: &'a mut tar::Entry<'r, R>, stored: u64, hasher: Option<Hasher>) -> Self {
        Self {
            content,
            stored,
            hasher,
            at: 0,
        }
    }

    /// The digest of all that was read.
    pub(super) fn finish(self) -> Option<Digest> {
        self.hasher.map(Hasher::finish)
    }
}

impl<R: Read> Read for Hashed<'_, '_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.content.read(buffer)?;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&buffer[..read]);
        }
        self.at += read as u64;
        Ok(read)
    }
}

impl<R: Read> Content for Hashed<'_, '_, R> {
    fn stored(&self) -> u64 {
        self.stored
    }

    fn next_chunk(&mut self) -> Result<Option<Chunk<'_>>> {
        let Some(hasher) = &mut self.hasher else {
            return Ok(self.content.next_chunk()?);
        };
        let size = self.content.header().size;
        let chunk = self.content.next_chunk()?;
        zeros(hasher, chunk.map_or(size, |chunk| chunk.offset).saturating_sub(self.at));
        self.at = size;
        if let Some(chunk) = chunk {
            hasher.update(chunk.data);
            self.at = chunk.offset + chunk.data.len() as u64;
        }
        Ok(chunk)
    }
}

/// Hashes the zeros of a hole.
fn zeros(hasher: &mut Hasher, mut count: u64) {
    const ZEROS: [u8; 4096] = [0; 4096];
    while count > 0 {
        let next = usize::try_from(count).unwrap_or(usize::MAX).min(ZEROS.len());
        hasher.update(&ZEROS[..next]);
        count -= next as u64;
    }
}

/// Counts what is read of a layer.
pub(super) struct Counted<'c> {
    pub(super) tar: &'c mut dyn BufRead,
    pub(super) count: u64,
}

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.tar.read(buffer)?;
        self.count += read as u64;
        Ok(read)
    }
}

impl BufRead for Counted<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.tar.fill_buf()
    }

    fn consume(&mut self, count: usize) {
        self.count += count as u64;
        self.tar.consume(count);
    }
}
