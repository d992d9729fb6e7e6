//! The compressed bytes under a decoder: buffered and counted.

use std::io::{ErrorKind, Read};

use crate::Result;

/// Large enough that a file is asked rarely, small enough to stay in the processor's cache.
const BUFFER: usize = 128 << 10;

#[derive(Debug)]
pub(super) struct Source<R> {
    inner: R,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    /// Of `buffer[start]` in the stream.
    offset: u64,
}

impl<R: Read> Source<R> {
    pub(super) fn new(inner: R) -> Self {
        Source {
            inner,
            buffer: vec![0; BUFFER].into_boxed_slice(),
            start: 0,
            end: 0,
            offset: 0,
        }
    }

    /// What is at hand: at least `count` bytes, fewer only where the stream ends.
    pub(super) fn peek(&mut self, count: usize) -> Result<&[u8]> {
        if self.end - self.start < count {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
            while self.end < count {
                match self.inner.read(&mut self.buffer[self.end..]) {
                    Ok(0) => break,
                    Ok(count) => self.end += count,
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(&self.buffer[self.start..self.end])
    }

    pub(super) fn consume(&mut self, count: usize) {
        self.start += count;
        self.offset += count as u64;
    }

    /// Reads into the caller's buffer, past this one where that is empty.
    pub(super) fn read(&mut self, into: &mut [u8]) -> Result<usize> {
        if self.start == self.end && into.len() >= BUFFER / 2 {
            loop {
                match self.inner.read(into) {
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    other => {
                        let count = other?;
                        self.offset += count as u64;
                        return Ok(count);
                    }
                }
            }
        }
        let bytes = self.peek(1)?;
        let count = bytes.len().min(into.len());
        into[..count].copy_from_slice(&bytes[..count]);
        self.consume(count);
        Ok(count)
    }

    /// Bytes that were consumed.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    pub(super) fn get_ref(&self) -> &R {
        &self.inner
    }

    pub(super) fn into_inner(self) -> R {
        self.inner
    }
}
