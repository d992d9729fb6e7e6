//! The bytes under the reader: buffered, counted, and skipped by seeking where the source can.

use std::io::{ErrorKind, Read, Seek, SeekFrom};

use super::BLOCK;
use crate::{Error, Result};

/// Large enough that a file or a decoder is asked rarely, small enough to stay in the processor's cache.
const BUFFER: usize = 128 << 10;

pub(super) struct Input<R> {
    inner: R,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    /// Of `buffer[start]` in the stream.
    offset: u64,
    seek: Option<Seeking<R>>,
}

/// How to skip in a source that can seek. A function, so that [`Input`] needs no bound that streams cannot meet.
struct Seeking<R> {
    length: u64,
    to: fn(&mut R, u64) -> std::io::Result<u64>,
}

impl<R: Read> Input<R> {
    pub(super) fn streaming(inner: R) -> Self {
        Input {
            inner,
            buffer: vec![0; BUFFER].into_boxed_slice(),
            start: 0,
            end: 0,
            offset: 0,
            seek: None,
        }
    }

    pub(super) fn seekable(mut inner: R) -> Result<Self>
    where
        R: Seek,
    {
        let length = inner.seek(SeekFrom::End(0))?;
        inner.seek(SeekFrom::Start(0))?;
        let seek = Some(Seeking {
            length,
            to: |inner: &mut R, offset| inner.seek(SeekFrom::Start(offset)),
        });
        Ok(Input {
            seek,
            ..Input::streaming(inner)
        })
    }

    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    pub(super) fn into_inner(self) -> R {
        self.inner
    }

    /// The next block, or `None` where the stream ends before its first byte.
    pub(super) fn block(&mut self) -> Result<Option<[u8; BLOCK]>> {
        while self.end - self.start < BLOCK {
            if self.start != 0 {
                self.buffer.copy_within(self.start..self.end, 0);
                self.end -= self.start;
                self.start = 0;
            }
            let count = retry(|| self.inner.read(&mut self.buffer[self.end..]))?;
            if count == 0 {
                return match self.end {
                    0 => Ok(None),
                    got => Err(self.ended(format!("a block of which {got} of {BLOCK} bytes are there"))),
                };
            }
            self.end += count;
        }
        let mut block = [0; BLOCK];
        block.copy_from_slice(&self.buffer[self.start..self.start + BLOCK]);
        self.consume(BLOCK);
        Ok(Some(block))
    }

    /// Reads if nothing is buffered; the number of bytes that are then at hand, 0 at the end of the stream.
    pub(super) fn fill(&mut self) -> Result<usize> {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
            self.end = retry(|| self.inner.read(&mut self.buffer))?;
        }
        Ok(self.end - self.start)
    }

    /// At most `most` bytes that are at hand, or empty at the end of the stream.
    pub(super) fn take(&mut self, most: u64) -> Result<&[u8]> {
        let at_hand = self.fill()?;
        let start = self.start;
        let count = at_hand.min(usize::try_from(most).unwrap_or(usize::MAX));
        self.consume(count);
        Ok(&self.buffer[start..start + count])
    }

    /// Reads into the caller's buffer; large reads go there directly. 0 is the end of the stream.
    pub(super) fn read(&mut self, into: &mut [u8]) -> Result<usize> {
        if self.start == self.end && into.len() >= BUFFER / 2 {
            let count = retry(|| self.inner.read(into))?;
            self.offset += count as u64;
            return Ok(count);
        }
        let bytes = self.take(into.len() as u64)?;
        into[..bytes.len()].copy_from_slice(bytes);
        Ok(bytes.len())
    }

    /// Appends exactly `count` bytes, which the caller has held against a limit.
    pub(super) fn append_to(&mut self, bytes: &mut Vec<u8>, count: u64) -> Result<()> {
        let mut left = count;
        while left != 0 {
            let part = self.take(left)?;
            if part.is_empty() {
                return Err(self.ended(format!(
                    "an extension header of which {left} of {count} bytes are missing"
                )));
            }
            left -= part.len() as u64;
            bytes.extend_from_slice(part);
        }
        Ok(())
    }

    /// Passes over `count` bytes, which belong to `what`.
    pub(super) fn skip(&mut self, count: u64, what: &'static str) -> Result<()> {
        let buffered = (self.end - self.start) as u64;
        if count <= buffered {
            self.consume(count as usize);
            return Ok(());
        }
        let target = self.offset.saturating_add(count);
        if let Some(Seeking { length, to }) = &self.seek {
            if target > *length {
                let missing = target - length;
                return Err(self.ended(format!("{what}, of which {missing} bytes are missing")));
            }
            to(&mut self.inner, target)?;
            (self.start, self.end, self.offset) = (0, 0, target);
            return Ok(());
        }
        let mut left = count;
        while left != 0 {
            let passed = self.take(left)?.len() as u64;
            if passed == 0 {
                return Err(self.ended(format!("{what}, of which {left} bytes are missing")));
            }
            left -= passed;
        }
        Ok(())
    }

    /// The error for a stream that ends inside `what`.
    pub(super) fn ended(&self, what: impl std::fmt::Display) -> Error {
        Error::truncated("tar", format!("the stream ends inside {what}")).at(self.offset)
    }

    fn consume(&mut self, count: usize) {
        self.start += count;
        self.offset += count as u64;
    }
}

fn retry(mut read: impl FnMut() -> std::io::Result<usize>) -> Result<usize> {
    loop {
        match read() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            other => return other.map_err(Error::from),
        }
    }
}
