//! The bytes under the reader: buffered, unless the source does that itself, counted, and skipped by seeking where the source can.

use std::io::{BufRead, ErrorKind, Read, Seek, SeekFrom};

use super::BLOCK;
use crate::{Error, Result};

/// Large enough that a file or a decoder is asked rarely, small enough to stay in the processor's cache.
const BUFFER: usize = 128 << 10;

pub(super) struct Input<R> {
    inner: R,
    at_hand: AtHand<R>,
    /// Of the next byte in the stream.
    offset: u64,
    seek: Option<Seeking<R>>,
}

/// Where bytes are that were read and not used.
enum AtHand<R> {
    Here {
        buffer: Box<[u8]>,
        start: usize,
        end: usize,
    },
    /// In a source that buffers, which was not told yet of the last ones that were used.
    There { used: usize, buffered: Buffered<R> },
}

/// How a source that buffers is asked. Functions, so that [`Input`] needs no bound that others cannot meet.
struct Buffered<R> {
    fill: for<'a> fn(&'a mut R) -> std::io::Result<&'a [u8]>,
    consume: fn(&mut R, usize),
}

/// How to skip in a source that can seek.
struct Seeking<R> {
    length: u64,
    to: fn(&mut R, u64) -> std::io::Result<u64>,
}

impl<R: Read> Input<R> {
    pub(super) fn streaming(inner: R) -> Self {
        let at_hand = AtHand::Here {
            buffer: vec![0; BUFFER].into_boxed_slice(),
            start: 0,
            end: 0,
        };
        Input {
            inner,
            at_hand,
            offset: 0,
            seek: None,
        }
    }

    pub(super) fn buffered(inner: R) -> Self
    where
        R: BufRead,
    {
        let buffered = Buffered {
            fill: R::fill_buf,
            consume: R::consume,
        };
        Input {
            inner,
            at_hand: AtHand::There { used: 0, buffered },
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

    pub(super) fn into_inner(mut self) -> R {
        if let AtHand::There { used, buffered } = &self.at_hand {
            (buffered.consume)(&mut self.inner, *used);
        }
        self.inner
    }

    /// The next block, or `None` where the stream ends before its first byte.
    pub(super) fn block(&mut self) -> Result<Option<[u8; BLOCK]>> {
        let begin = self.offset;
        let mut block = [0; BLOCK];
        let mut got = 0;
        while got < BLOCK {
            let part = self.take((BLOCK - got) as u64)?;
            if part.is_empty() {
                let what = format_args!("a block of which {got} of {BLOCK} bytes are there");
                return match got {
                    0 => Ok(None),
                    _ => Err(ended(what, begin)),
                };
            }
            block[got..got + part.len()].copy_from_slice(part);
            got += part.len();
        }
        Ok(Some(block))
    }

    /// Reads if nothing is at hand; the number of bytes that then are, 0 at the end of the stream.
    pub(super) fn fill(&mut self) -> Result<usize> {
        let inner = &mut self.inner;
        match &mut self.at_hand {
            AtHand::Here { buffer, start, end } => {
                if start == end {
                    (*start, *end) = (0, 0);
                    *end = retry(|| inner.read(buffer))?;
                }
                Ok(*end - *start)
            }
            AtHand::There { used, buffered } => {
                (buffered.consume)(inner, std::mem::take(used));
                retry(|| Ok((buffered.fill)(inner)?.len()))
            }
        }
    }

    /// At most `most` bytes that are at hand, or empty at the end of the stream.
    pub(super) fn take(&mut self, most: u64) -> Result<&[u8]> {
        let count = self.fill()?.min(usize::try_from(most).unwrap_or(usize::MAX));
        self.offset += count as u64;
        match &mut self.at_hand {
            AtHand::Here { buffer, start, .. } => {
                *start += count;
                Ok(&buffer[*start - count..*start])
            }
            AtHand::There { used, buffered } => {
                *used = count;
                let at_hand = (buffered.fill)(&mut self.inner)?;
                at_hand
                    .get(..count)
                    .ok_or_else(|| ended("what it had at hand", self.offset))
            }
        }
    }

    /// Reads into the caller's buffer; large reads go there directly. 0 is the end of the stream.
    pub(super) fn read(&mut self, into: &mut [u8]) -> Result<usize> {
        if let AtHand::Here { start, end, .. } = &self.at_hand
            && start == end
            && into.len() >= BUFFER / 2
        {
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
        match self.pass(count)? {
            0 => Ok(()),
            missing => Err(self.ended(format!("{what}, of which {missing} bytes are missing"))),
        }
    }

    /// Passes over `count` bytes; how many of them are not there, because the stream ends before.
    pub(super) fn pass(&mut self, count: u64) -> Result<u64> {
        let target = self.offset.saturating_add(count);
        if let Some(Seeking { length, to }) = &self.seek
            && let AtHand::Here { start, end, .. } = &mut self.at_hand
            && count > (*end - *start) as u64
        {
            if target > *length {
                return Ok(target - length);
            }
            to(&mut self.inner, target)?;
            (*start, *end, self.offset) = (0, 0, target);
            return Ok(0);
        }
        let mut left = count;
        while left != 0 {
            let passed = self.take(left)?.len() as u64;
            if passed == 0 {
                break;
            }
            left -= passed;
        }
        Ok(left)
    }

    /// The error for a stream that ends inside `what`.
    pub(super) fn ended(&self, what: impl std::fmt::Display) -> Error {
        ended(what, self.offset)
    }
}

fn ended(what: impl std::fmt::Display, offset: u64) -> Error {
    Error::truncated("tar", format!("the stream ends inside {what}")).at(offset)
}

fn retry(mut read: impl FnMut() -> std::io::Result<usize>) -> Result<usize> {
    loop {
        match read() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            other => return other.map_err(Error::from),
        }
    }
}
