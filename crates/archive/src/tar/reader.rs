//! How is a tar stream read? Strictly: every entry has one name, one size and one meaning, or the archive is refused.
//!
//! What readers are known to disagree about is an error rather than a choice (two names that differ, data after a
//! link, a global size), since a scanner and an extractor that see different files are an attack (threats 8, 27, 43, 44).

use std::io::{BufRead, Read, Seek};

use super::block::{self, Block, Dialect};
use super::content::Content;
use super::entry::Entry;
use super::input::Input;
use super::meaning::{self, Names};
use super::pax::Records;
use super::sparse::{self, Plan, Segment};
use super::{BLOCK, EntryKind, Header, Limits};
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
    limits: Limits,
    globals: Records,
    globals_bytes: u64,
    pub(super) header: Header,
    /// Of the first block that belongs to the current entry, extension headers included.
    pub(super) header_offset: u64,
    pub(super) data_offset: u64,
    pub(super) content: Content,
    entries: u64,
    total: u64,
    /// Bytes of holes so far.
    holes: u64,
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
}

pub(super) enum State {
    Reading,
    Ended(End),
    Failed,
}

/// What extension headers said of the entry that follows them.
#[derive(Default)]
struct Pending {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    records: Option<Records>,
    bytes: u64,
}

impl Pending {
    /// Whether an entry must follow. A global header alone asks for none: `git archive` of an empty tree ends after it.
    fn is_empty(&self) -> bool {
        self.path.is_none() && self.link.is_none() && self.records.is_none()
    }
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

    fn advance(&mut self) -> Result<bool> {
        self.input.skip(self.content.stored, "the content of an entry")?;
        self.input.skip(self.content.padding, "the padding of an entry")?;
        self.content.stored = 0;
        self.content.padding = 0;
        self.header_offset = self.input.offset();
        self.header.clear();
        let mut pending = Pending::default();
        loop {
            let Some(block) = self.input.block()?.map(Block) else {
                if !pending.is_empty() {
                    return Err(self.input.ended("an entry of which only extension headers are there"));
                }
                self.state = State::Ended(End::NoMarker);
                return Ok(false);
            };
            if block.0[0] == 0 && block.is_zero() {
                if !pending.is_empty() {
                    return Err(Error::malformed(
                        "tar",
                        "the archive ends after an extension header without its entry",
                    ));
                }
                self.state = State::Ended(self.end_marker()?);
                return Ok(false);
            }
            if let Err(error) = block.verify() {
                let is_first = self.input.offset() == BLOCK as u64;
                return Err(match is_first && block.dialect() == Dialect::V7 {
                    true => Error::malformed("tar", "it is no tar archive"),
                    false => error,
                });
            }
            match block.0[block::TYPE] {
                b'x' => {
                    let bytes = self.metadata(&block, &mut pending)?;
                    let records = Records::parse(&bytes, &self.limits)?;
                    once(&mut pending.records, records, "PAX headers")?;
                }
                b'g' => {
                    let bytes = self.metadata(&block, &mut pending)?;
                    self.globals_bytes += bytes.len() as u64;
                    if self.globals_bytes > self.limits.metadata_bytes {
                        return Err(over_metadata(&self.limits));
                    }
                    self.globals.merge_global(Records::parse(&bytes, &self.limits)?)?;
                }
                b'L' => {
                    let name = meaning::long_name(self.metadata(&block, &mut pending)?)?;
                    once(&mut pending.path, name, "GNU long names")?;
                }
                b'K' => {
                    let link = meaning::long_name(self.metadata(&block, &mut pending)?)?;
                    once(&mut pending.link, link, "GNU long links")?;
                }
                _ => {
                    self.entry(&block, pending)?;
                    return Ok(true);
                }
            }
        }
    }

    /// Decides what a zero block means: see [`End`]. A lone one before more blocks is refused, because some readers end
    /// there and others may go on.
    fn end_marker(&mut self) -> Result<End> {
        match self.input.block()? {
            None => Ok(End::LoneZeroBlock),
            Some(block) if Block(block).is_zero() => Ok(End::Marker),
            Some(_) => Err(Error::malformed("tar", "a lone block of zeros stands between entries")),
        }
    }

    /// Reads the body of an extension header, held against the limit of the entry.
    fn metadata(&mut self, block: &Block, pending: &mut Pending) -> Result<Vec<u8>> {
        let size = block.size(block::SIZE, "size")?;
        pending.bytes = pending.bytes.saturating_add(size).saturating_add(BLOCK as u64);
        if pending.bytes > self.limits.metadata_bytes {
            return Err(over_metadata(&self.limits));
        }
        let mut bytes = Vec::new();
        self.input.append_to(&mut bytes, size)?;
        self.input.skip(padding(size), "the padding of an extension header")?;
        Ok(bytes)
    }

    /// Puts an entry together from its header block and what extension headers said before.
    fn entry(&mut self, block: &Block, pending: Pending) -> Result<()> {
        self.entries += 1;
        if self.entries > self.limits.entries {
            let what = "the archive has too many entries";
            return Err(Error::limit("tar", "entries", self.limits.entries, what));
        }
        let Pending {
            path,
            link,
            records,
            bytes: mut metadata,
        } = pending;
        let mut records = records.unwrap_or_default();
        let sparse_records = records.sparse.take();
        let pax_size = records.size.or(&self.globals.size).copied();
        let names = Names {
            path,
            link,
            sparse: sparse_records.as_ref().and_then(|sparse| sparse.name.as_ref()),
        };
        meaning::describe(&mut self.header, block, names, records, &self.globals, &self.limits)?;
        let header = &mut self.header;
        let (flag, dialect) = (block.0[block::TYPE], block.dialect());

        let mut stored = match pax_size {
            Some(size) => size,
            None => block.size(block::SIZE, "size")?,
        };
        let padded = padding(stored);
        if header.kind != EntryKind::Regular && stored != 0 {
            return Err(Error::malformed(
                "tar",
                format!("{:?} entries have no content, but this one has", header.kind),
            ));
        }
        let input = &mut self.input;
        let limits = &self.limits;
        let mut next_block = || -> Result<[u8; BLOCK]> {
            metadata += BLOCK as u64;
            if metadata > limits.metadata_bytes {
                return Err(over_metadata(limits));
            }
            match input.block()? {
                Some(block) => Ok(block),
                None => Err(input.ended("a sparse map")),
            }
        };
        let sparse = match (flag, sparse_records) {
            (b'S', Some(_)) => return Err(Error::malformed("tar", "two formats of sparse files are mixed")),
            (b'S', None) if dialect != Dialect::Gnu => {
                return Err(Error::unsupported(
                    "tar",
                    "an old sparse file in an archive that is not GNU's",
                ));
            }
            (b'S', None) => {
                let size = block.size(block::REAL_SIZE, "realsize")?;
                Some((sparse::old_map(&block.0, limits, next_block)?, size))
            }
            (_, Some(_)) if header.kind != EntryKind::Regular => {
                return Err(Error::malformed(
                    "tar",
                    "a sparse map belongs to something that is not a file",
                ));
            }
            (_, Some(records)) => match records.plan()? {
                Plan::Mapped(map, size) => Some((map, size)),
                Plan::Inline(size) => {
                    let mut left = stored;
                    let (map, _) = sparse::inline_map(limits, || {
                        left = left.checked_sub(BLOCK as u64).ok_or_else(|| {
                            Error::malformed("tar", "the sparse map is wrong: it is longer than the entry")
                        })?;
                        next_block()
                    })?;
                    stored = left;
                    Some((map, size))
                }
            },
            (_, None) => None,
        };
        let segments = &mut self.content.segments;
        segments.clear();
        header.size = match sparse {
            Some((map, size)) => {
                *segments = map.finish(size, stored)?;
                self.holes = self.holes.saturating_add(size - stored);
                size
            }
            None => {
                if stored != 0 {
                    segments.push(Segment {
                        offset: 0,
                        length: stored,
                    });
                }
                stored
            }
        };
        self.content.next = 0;
        self.content.position = 0;
        self.content.size = header.size;
        self.content.stored = stored;
        self.content.padding = padded;
        self.data_offset = self.input.offset();
        self.total = self.total.saturating_add(header.size);
        let end = self.data_offset.saturating_add(stored);
        if self.total.max(end) > self.limits.total_bytes {
            return Err(over_total(&self.limits));
        }
        if self.holes > self.limits.hole_bytes {
            let what = "the holes of sparse files are too large";
            return Err(Error::limit("tar", "hole_bytes", self.limits.hole_bytes, what));
        }
        Ok(())
    }
}

/// Readers differ in which of two extension headers they take, so one entry has one of each.
fn once<T>(slot: &mut Option<T>, value: T, what: &str) -> Result<()> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(Error::malformed("tar", format!("one entry has two {what}"))),
    }
}

fn padding(size: u64) -> u64 {
    size.wrapping_neg() % BLOCK as u64
}

pub(super) fn failed_before() -> Error {
    Error::malformed("tar", "an earlier error ended the reading of this archive")
}

fn over_metadata(limits: &Limits) -> Error {
    Error::limit(
        "tar",
        "metadata_bytes",
        limits.metadata_bytes,
        "the extension headers of an entry are too large",
    )
}

fn over_total(limits: &Limits) -> Error {
    Error::limit("tar", "total_bytes", limits.total_bytes, "the archive is too large")
}
