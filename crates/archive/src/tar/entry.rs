//! How is the content of an entry read? In its holes and stored stretches, once, up to its announced end.

use std::io::{self, Read};

use super::reader::{Reader, State, failed_before};
use super::{Header, Segment};
use crate::{Error, Result};

/// One entry, from which its content can be read, once.
///
/// It borrows the reader; dropping it early is fine, the rest is passed over.
pub struct Entry<'a, R> {
    pub(super) reader: &'a mut Reader<R>,
}

/// Bytes of a file and where they belong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunk<'a> {
    /// In the file, holes counted.
    pub offset: u64,
    /// Not empty.
    pub data: &'a [u8],
}

impl<R: Read> Entry<'_, R> {
    /// What the entry says of itself.
    pub fn header(&self) -> &Header {
        &self.reader.header
    }

    /// Moves the header out, leaving an empty one; reading on is not affected, but an error in the content does not have the
    /// entry's name then.
    pub fn take_header(&mut self) -> Header {
        std::mem::take(&mut self.reader.header)
    }

    /// The offset in the stream of the first header of this entry, in bytes.
    pub fn header_offset(&self) -> u64 {
        self.reader.header_offset
    }

    /// The offset in the stream of the first stored byte of the content.
    pub fn data_offset(&self) -> u64 {
        self.reader.data_offset
    }

    /// The stretches that hold data, in order; all else reads as zeros. A file that is not sparse has one, an empty one
    /// none.
    pub fn segments(&self) -> &[Segment] {
        &self.reader.content.segments
    }

    /// The next bytes of content without copying them, holes passed over; `None` at the end of the data. For a writer that
    /// makes sparse files: what lies between chunks, and from the last one to [`Header::size`], is zeros.
    ///
    /// # Errors
    /// [`Truncated`](crate::ErrorKind::Truncated) if the stream ends in the content.
    pub fn next_chunk(&mut self) -> Result<Option<Chunk<'_>>> {
        self.reader.chunk()
    }

    fn read_content(&mut self, into: &mut [u8]) -> Result<usize> {
        let reader = &mut *self.reader;
        if matches!(reader.state, State::Failed) {
            return Err(failed_before());
        }
        let content = &mut reader.content;
        if into.is_empty() {
            return Ok(0);
        }
        let zeros = content.fill_hole(into);
        if zeros != 0 || content.position == content.size {
            return Ok(zeros);
        }
        let most = usize::try_from(content.segment_left())
            .unwrap_or(usize::MAX)
            .min(into.len());
        let count = match reader.input.read(&mut into[..most]) {
            Ok(0) => return Err(reader.content_ended()),
            Ok(count) => count,
            Err(error) => return Err(reader.fail(error)),
        };
        reader.content.advance(count as u64);
        Ok(count)
    }
}

/// The content with the holes of sparse files as zeros. It ends after [`Header::size`] bytes and never short of them.
impl<R: Read> Read for Entry<'_, R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        Ok(self.read_content(into)?)
    }
}

impl<R: Read> Reader<R> {
    fn chunk(&mut self) -> Result<Option<Chunk<'_>>> {
        if matches!(self.state, State::Failed) {
            return Err(failed_before());
        }
        let content = &mut self.content;
        if content.stored == 0 {
            content.position = content.size;
            return Ok(None);
        }
        content.position += content.hole();
        let (offset, left) = (content.position, content.segment_left());
        // Taken in two steps, because the slice borrows the reader to the end of this function.
        match self.input.fill() {
            Ok(0) => return Err(self.content_ended()),
            Ok(_) => {}
            Err(error) => return Err(self.fail(error)),
        }
        let data = self.input.take(left)?;
        self.content.advance(data.len() as u64);
        Ok(Some(Chunk { offset, data }))
    }

    fn content_ended(&mut self) -> Error {
        let missing = self.content.stored;
        let error = self
            .input
            .ended(format!("the content of an entry, of which {missing} bytes are missing"));
        self.fail(error)
    }
}
