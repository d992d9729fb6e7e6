//! How is a tar stream read? Strictly: every entry has one name, one size and one meaning, or the archive is refused.
//!
//! What readers are known to disagree about is an error rather than a choice (two names that differ, data after a
//! link, a global size), since a scanner and an extractor that see different files are an attack (threats 8, 27, 43, 44).

use std::io::{BufRead, Read, Seek};

use super::content::Content;
use super::entry::Entry;
use super::input::Input;
use super::pax::Records;
use super::{Header, Limits};
use crate::{Error, Result};

/// Reads the entries of a tar stream in order.
///
/// ```
/// use std::io::Read;
/// use teu_archive::tar::{Header, Reader, Writer};
///
/// # fn main() -> teu_archive::Result<()> {
/// let mut writer = Writer::new(Vec::new());
/// writer.append_data(&Header::file("etc/hostname", 4), b"teu\n")?;
/// let archive = writer.finish()?;
///
/// let mut reader = Reader::new(&archive[..]);
/// while let Some(mut entry) = reader.next_entry()? {
///     assert_eq!(entry.header().path, b"etc/hostname");
///     let mut content = String::new();
///     entry.read_to_string(&mut content)?;
///     assert_eq!(content, "teu\n");
/// }
/// # Ok(())
/// # }
/// ```
///
/// After an error the reader stays failed: it never goes on behind bytes that it did not understand.
pub struct Reader<R> {
    pub(super) input: Input<R>,
    pub(super) limits: Limits,
    pub(super) globals: Records,
    pub(super) globals_bytes: u64,
    pub(super) header: Header,
    /// Of the first block that belongs to the current entry, extension headers included.
    pub(super) header_offset: u64,
    pub(super) data_offset: u64,
    pub(super) content: Content,
    pub(super) entries: u64,
    pub(super) total: u64,
    /// Bytes of holes so far.
    pub(super) holes: u64,
    pub(super) state: State,
}

/// How an archive ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// With two blocks of zeros, as POSIX asks.
    Marker,
    /// With one block of zeros and then the end of the stream. GNU tar warns and accepts; so does this reader.
    LoneZeroBlock,
    /// With the last entry. GNU tar and Go accept it in silence; this reader accepts it too, but a caller that has no
    /// digest to rely on may treat it as a truncation.
    NoMarker,
    /// With the content of the last entry, or within the zeros that fill its block: `umoci insert` writes such layers. All content is there;
    /// Go accepts it in silence, GNU tar reads all and complains.
    NoPadding,
}

pub(super) enum State {
    Reading,
    Ended(End),
    Failed,
}

impl<R: Read> Reader<R> {
    /// Reads from a stream, under the default limits. It buffers by itself.
    pub fn new(source: R) -> Self {
        Reader::with_limits(source, Limits::default())
    }

    /// Reads from a stream.
    pub fn with_limits(source: R, limits: Limits) -> Self {
        Reader::over(Input::streaming(source), limits)
    }

    /// Reads from a source that has its bytes in memory: they are looked at where they are, and chunks of content are slices of that memory.
    pub fn buffered(source: R, limits: Limits) -> Self
    where
        R: BufRead,
    {
        Reader::over(Input::buffered(source), limits)
    }

    /// Reads from the start of a source that can seek, and seeks over content that nobody reads.
    ///
    /// # Errors
    /// [`Io`](crate::ErrorKind::Io) if the source cannot seek after all.
    pub fn seekable(source: R, limits: Limits) -> Result<Self>
    where
        R: Seek,
    {
        Ok(Reader::over(Input::seekable(source)?, limits))
    }

    fn over(input: Input<R>, limits: Limits) -> Self {
        Reader {
            input,
            limits,
            globals: Records::default(),
            globals_bytes: 0,
            header: Header::default(),
            header_offset: 0,
            data_offset: 0,
            content: Content::default(),
            entries: 0,
            total: 0,
            holes: 0,
            state: State::Reading,
        }
    }

    /// Goes to the next entry, passing over what is left of the one before it. `None` is the end of the archive.
    ///
    /// # Errors
    /// As the crate's [`Error`] says, with the entry's name and the offset of its first header. The reader then stays
    /// failed.
    pub fn next_entry(&mut self) -> Result<Option<Entry<'_, R>>> {
        match self.state {
            State::Reading => {}
            State::Ended(_) => return Ok(None),
            State::Failed => return Err(failed_before()),
        }
        match self.advance() {
            Ok(true) => Ok(Some(Entry { reader: self })),
            Ok(false) => Ok(None),
            Err(error) => Err(self.fail(error)),
        }
    }

    /// The entry that was given last; its content goes on where it was left.
    pub fn last_entry(&mut self) -> Entry<'_, R> {
        Entry { reader: self }
    }

    /// How the archive ended; `None` while there may be more entries.
    pub fn end(&self) -> Option<End> {
        match self.state {
            State::Ended(end) => Some(end),
            State::Reading | State::Failed => None,
        }
    }

    /// Checks the entries that were not visited, then reads the source to its end, so that a digest taken below the reader
    /// covers every byte. What follows the end of the archive (padding, or a second archive) is not looked at.
    ///
    /// # Errors
    /// As [`Reader::next_entry`]; and the limit `total_bytes`, for a source that does not end.
    pub fn finish(mut self) -> Result<(R, End)> {
        while self.next_entry()?.is_some() {}
        let State::Ended(end) = self.state else {
            unreachable!("without an error the walk stops at the end only")
        };
        while !self.input.take(u64::MAX)?.is_empty() {
            if self.input.offset() > self.limits.total_bytes {
                return Err(over_total(&self.limits).at(self.input.offset()));
            }
        }
        Ok((self.input.into_inner(), end))
    }

    /// Gives the source back, wherever it stands: the reader has read ahead of the entries.
    pub fn into_inner(self) -> R {
        self.input.into_inner()
    }

    pub(super) fn fail(&mut self, error: Error) -> Error {
        self.state = State::Failed;
        error.at(self.header_offset).of(&self.header.path)
    }
}

pub(super) fn failed_before() -> Error {
    Error::malformed("tar", "an earlier error ended the reading of this archive")
}

pub(super) fn over_total(limits: &Limits) -> Error {
    Error::limit("tar", "total_bytes", limits.total_bytes, "the archive is too large")
}
