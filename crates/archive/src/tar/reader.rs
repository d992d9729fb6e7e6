//! How is a tar stream read? Strictly: every entry has one name, one size and one meaning, or the archive is refused.
//!
//! What readers are known to disagree about is an error rather than a choice (two names that differ, data after a
//! link, a global size), since a scanner and an extractor that see different files are an attack (threats 8, 27, 43, 44).

use std::io::{self, Read, Seek};

use super::block::{self, Block, Dialect};
use super::content::Content;
use super::input::Input;
use super::pax::Records;
use super::sparse::{self, Plan, Segment};
use super::{BLOCK, EntryKind, Header, Limits, Time};
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
    input: Input<R>,
    limits: Limits,
    globals: Records,
    globals_bytes: u64,
    header: Header,
    /// Of the first block that belongs to the current entry, extension headers included.
    header_offset: u64,
    data_offset: u64,
    content: Content,
    entries: u64,
    total: u64,
    state: State,
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

enum State {
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

impl<R: Read> Reader<R> {
    /// Reads from a stream, under the default limits. It buffers by itself.
    pub fn new(source: R) -> Self {
        Reader::with_limits(source, Limits::default())
    }

    /// Reads from a stream.
    pub fn with_limits(source: R, limits: Limits) -> Self {
        Reader::over(Input::streaming(source), limits)
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

    fn fail(&mut self, error: Error) -> Error {
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
                if pending.bytes != 0 {
                    return Err(self.input.ended("an entry of which only extension headers are there"));
                }
                self.state = State::Ended(End::NoMarker);
                return Ok(false);
            };
            if block.0[0] == 0 && block.is_zero() {
                if pending.bytes != 0 {
                    return Err(Error::malformed(
                        "tar",
                        "the archive ends after an extension header without its entry",
                    ));
                }
                self.state = State::Ended(self.end_marker()?);
                return Ok(false);
            }
            block.verify()?;
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
                    let name = long_name(self.metadata(&block, &mut pending)?)?;
                    once(&mut pending.path, name, "GNU long names")?;
                }
                b'K' => {
                    let link = long_name(self.metadata(&block, &mut pending)?)?;
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
        let globals = &self.globals;
        let header = &mut self.header;
        let dialect = block.dialect();

        let pax_path = records.path.or(&globals.path);
        name(&mut header.path, path, pax_path, "path", |into| {
            if dialect == Dialect::Posix && block.0[block::PREFIX.start] != 0 {
                into.extend_from_slice(block.text(block::PREFIX, "prefix")?);
                into.push(b'/');
            }
            into.extend_from_slice(block.text(block::NAME, "name")?);
            Ok(())
        })?;
        // Under GNU's PAX formats `path` is a stand-in for readers that do not know sparse files.
        if let Some(real) = sparse_records.as_ref().and_then(|sparse| sparse.name.as_ref()) {
            header.path.clone_from(real);
        }
        check_name(&header.path, "the name", &self.limits)?;

        let flag = block.0[block::TYPE];
        header.kind = kind(flag, &header.path)?;
        if matches!(header.kind, EntryKind::HardLink | EntryKind::Symlink) {
            let pax_link = records.link.or(&globals.link);
            name(&mut header.link, link, pax_link, "linkpath", |into| {
                into.extend_from_slice(block.text(block::LINK, "linkname")?);
                Ok(())
            })?;
            check_name(&header.link, "the target of the link", &self.limits)?;
        }

        header.mode = (block.size(block::MODE, "mode")? & 0o7777) as u32;
        header.uid = id(records.uid.or(&globals.uid), block, block::UID, "uid")?;
        header.gid = id(records.gid.or(&globals.gid), block, block::GID, "gid")?;
        header.mtime = match records.mtime.or(&globals.mtime) {
            Some(time) => *time,
            None => Time {
                seconds: block.number(block::MTIME, "mtime")?,
                nanoseconds: 0,
            },
        };
        header.atime = records.atime.or(&globals.atime).copied();
        header.ctime = records.ctime.or(&globals.ctime).copied();
        if dialect != Dialect::V7 {
            match records.uname.or(&globals.uname) {
                Some(uname) => header.uname.extend_from_slice(uname),
                None => header.uname.extend_from_slice(block.text(block::UNAME, "uname")?),
            }
            match records.gname.or(&globals.gname) {
                Some(gname) => header.gname.extend_from_slice(gname),
                None => header.gname.extend_from_slice(block.text(block::GNAME, "gname")?),
            }
            if matches!(header.kind, EntryKind::CharDevice | EntryKind::BlockDevice) {
                header.device_major = device(block, block::MAJOR, "devmajor")?;
                header.device_minor = device(block, block::MINOR, "devminor")?;
            }
        }
        if dialect == Dialect::Gnu {
            // Only incremental dumps fill these.
            let time = |range: std::ops::Range<usize>, name| -> Result<Option<Time>> {
                if block.0[range.start] == 0 {
                    return Ok(None);
                }
                Ok(Some(Time {
                    seconds: block.number(range, name)?,
                    nanoseconds: 0,
                }))
            };
            header.atime = header.atime.or(time(block::ATIME, "atime")?);
            header.ctime = header.ctime.or(time(block::CTIME, "ctime")?);
        }
        let pax_size = records.size.or(&globals.size).copied();
        header.xattrs = records.xattrs;
        header.extra = records.extra;

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
        Ok(())
    }
}

/// One entry, from which its content can be read, once.
///
/// It borrows the reader; dropping it early is fine, the rest is passed over.
pub struct Entry<'a, R> {
    reader: &'a mut Reader<R>,
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
        self.reader.chunk(u64::MAX)
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
    fn chunk(&mut self, most: u64) -> Result<Option<Chunk<'_>>> {
        if matches!(self.state, State::Failed) {
            return Err(failed_before());
        }
        let content = &mut self.content;
        if content.stored == 0 {
            content.position = content.size;
            return Ok(None);
        }
        content.position += content.hole();
        let (offset, left) = (content.position, content.segment_left().min(most));
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

/// Fills `into` with the entry's name: from GNU's long name or the PAX record, which must agree where both are there, or
/// from the header block.
fn name(
    into: &mut Vec<u8>,
    gnu: Option<Vec<u8>>,
    pax: Option<&Vec<u8>>,
    key: &str,
    from_block: impl FnOnce(&mut Vec<u8>) -> Result<()>,
) -> Result<()> {
    match (gnu, pax) {
        (Some(gnu), Some(pax)) if gnu != *pax => Err(Error::malformed(
            "tar",
            format!("GNU's long name and the PAX record {key} disagree"),
        )),
        (Some(gnu), _) => {
            *into = gnu;
            Ok(())
        }
        (None, Some(pax)) => {
            into.extend_from_slice(pax);
            Ok(())
        }
        (None, None) => from_block(into),
    }
}

fn check_name(name: &[u8], what: &str, limits: &Limits) -> Result<()> {
    if name.is_empty() {
        return Err(Error::malformed("tar", format!("{what} is empty")));
    }
    if name.len() as u64 > limits.name_bytes {
        let what = format!("{what} has {} bytes", name.len());
        return Err(Error::limit("tar", "name_bytes", limits.name_bytes, what));
    }
    if name.contains(&0) {
        return Err(Error::malformed("tar", format!("{what} contains a NUL")));
    }
    Ok(())
}

fn kind(flag: u8, path: &[u8]) -> Result<EntryKind> {
    Ok(match flag {
        // Before POSIX a directory was a file whose name ends in a slash; GNU tar and libarchive still read it so.
        b'0' | 0 | b'7' if path.ends_with(b"/") => EntryKind::Directory,
        b'0' | 0 | b'7' | b'S' => EntryKind::Regular,
        b'1' => EntryKind::HardLink,
        b'2' => EntryKind::Symlink,
        b'3' => EntryKind::CharDevice,
        b'4' => EntryKind::BlockDevice,
        b'5' => EntryKind::Directory,
        b'6' => EntryKind::Fifo,
        other => {
            // Volume labels, multi-volume parts, dump directories, Solaris's own headers: nothing an image holds.
            let what = format!(
                "the entry has the type '{}', which is not a file of any kind",
                other.escape_ascii()
            );
            return Err(Error::unsupported("tar", what));
        }
    })
}

/// A user's or group's number as Linux has them. The last one means "leave unchanged" to chown(2): threat 39.
fn id(pax: Option<&u64>, block: &Block, range: std::ops::Range<usize>, name: &'static str) -> Result<u32> {
    let value = match pax {
        Some(value) => *value,
        None => block.size(range, name)?,
    };
    let id = u32::try_from(value).ok().filter(|&id| id != u32::MAX);
    id.ok_or_else(|| Error::malformed("tar", format!("{name} {value} is beyond 4294967294")))
}

/// A device number, which no system makes larger than ustar's field holds.
fn device(block: &Block, range: std::ops::Range<usize>, name: &'static str) -> Result<u32> {
    let value = block.size(range, name)?;
    let number = u32::try_from(value).ok().filter(|&number| number < 1 << 21);
    number.ok_or_else(|| Error::malformed("tar", format!("{name} {value} is beyond 2097151")))
}

/// The text of a GNU long name: everything before the NULs at its end.
fn long_name(mut bytes: Vec<u8>) -> Result<Vec<u8>> {
    let end = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
    bytes.truncate(end);
    if bytes.contains(&0) {
        return Err(Error::malformed("tar", "GNU's long name contains a NUL"));
    }
    Ok(bytes)
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

fn failed_before() -> Error {
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
