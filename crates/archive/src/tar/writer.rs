//! How is a tar stream written? Deterministically: the same calls give the same bytes, on every machine and at any time.
//!
//! An entry is one ustar header where that can say it all, else a PAX header with just the records that ustar cannot hold.
//! What this crate's reader would refuse is not written either.

use std::io::{self, Read, Write};

use super::block::{self, Block};
use super::number::{format_time, put_octal};
use super::{BLOCK, EntryKind, Header, Time, pax};
use crate::{Error, Result};

/// Writes a tar archive to a stream.
///
/// No clock, no names of hosts or users, no order of its own: entries stand as they were appended. Names are written as
/// they are given; a directory gets no slash that it did not have. What is in a file goes straight to the sink, so wrap a
/// sink that is slow for small writes into a [`BufWriter`](std::io::BufWriter).
///
/// ```
/// use teu_archive::tar::{Header, Writer};
///
/// # fn main() -> teu_archive::Result<()> {
/// let mut writer = Writer::new(Vec::new());
/// writer.append(&Header::directory("etc/"))?;
/// writer.append_data(&Header::file("etc/hostname", 4), b"teu\n")?;
/// writer.append(&Header::symlink("etc/name", "hostname"))?;
/// let archive = writer.finish()?;
/// assert_eq!(archive.len(), 6 * 512);
/// # Ok(())
/// # }
/// ```
///
/// After an error the writer stays failed, because an archive with half an entry in it must not be finished.
#[derive(Debug)]
pub struct Writer<W> {
    sink: W,
    offset: u64,
    /// Bytes of content that the entry begun last still lacks.
    missing: u64,
    padding: usize,
    state: State,
    /// Of the headers of one entry, kept for the next one.
    buffer: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Ready,
    InEntry,
    Failed,
}

impl<W: Write> Writer<W> {
    /// Begins an archive at the place where the sink stands.
    pub fn new(sink: W) -> Self {
        Writer {
            sink,
            offset: 0,
            missing: 0,
            padding: 0,
            state: State::Ready,
            buffer: Vec::new(),
        }
    }

    /// Appends an entry without content: all but regular files, and empty ones of these.
    ///
    /// # Errors
    /// As [`Writer::entry`]; and [`Unsupported`](crate::ErrorKind::Unsupported) if the header announces content.
    pub fn append(&mut self, header: &Header) -> Result<()> {
        self.append_data(header, &[])
    }

    /// Appends a file whose content is in memory, of exactly [`Header::size`] bytes.
    ///
    /// # Errors
    /// As [`Writer::entry`]; and [`Unsupported`](crate::ErrorKind::Unsupported) if the sizes differ.
    pub fn append_data(&mut self, header: &Header, content: &[u8]) -> Result<()> {
        if header.size != content.len() as u64 {
            let what = format!(
                "the header announces {} bytes of content, not {}",
                header.size,
                content.len()
            );
            return Err(Error::unsupported("tar", what).of(&header.path));
        }
        let mut entry = self.entry(header)?;
        entry.write_all(content)?;
        entry.finish()
    }

    /// Appends a file whose content is read from a stream that must have exactly [`Header::size`] bytes.
    ///
    /// # Errors
    /// As [`Writer::entry`]; [`Truncated`](crate::ErrorKind::Truncated) if the stream is shorter, and
    /// [`Unsupported`](crate::ErrorKind::Unsupported) if it is longer.
    pub fn append_from(&mut self, header: &Header, mut content: impl Read) -> Result<()> {
        let mut entry = self.entry(header)?;
        io::copy(&mut content, &mut entry)?;
        entry.finish()
    }

    /// Writes the headers of an entry, and gives what takes its content: exactly [`Header::size`] bytes.
    ///
    /// # Errors
    /// [`Unsupported`](crate::ErrorKind::Unsupported) for what tar cannot say, before anything is written;
    /// [`Io`](crate::ErrorKind::Io) if the sink fails. An error also if the entry before this one was dropped unfinished.
    pub fn entry(&mut self, header: &Header) -> Result<EntryWriter<'_, W>> {
        self.ready()?;
        self.buffer.clear();
        encode(header, &mut self.buffer).map_err(|error| error.of(&header.path))?;
        self.state = State::Failed;
        self.sink.write_all(&self.buffer)?;
        self.offset += self.buffer.len() as u64;
        self.missing = header.size;
        self.padding = padding(header.size);
        self.state = State::InEntry;
        Ok(EntryWriter { writer: self })
    }

    /// Bytes written so far; after [`Writer::entry`], where its content begins.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Ends the archive with the two blocks of zeros that POSIX asks for, and gives back the sink, flushed.
    ///
    /// # Errors
    /// [`Io`](crate::ErrorKind::Io) if the sink fails; an error also if the last entry was dropped unfinished.
    pub fn finish(mut self) -> Result<W> {
        self.ready()?;
        self.sink.write_all(&[0; 2 * BLOCK])?;
        self.sink.flush()?;
        Ok(self.sink)
    }

    fn ready(&self) -> Result<()> {
        match self.state {
            State::Ready => Ok(()),
            State::InEntry => Err(Error::truncated(
                "tar",
                "an entry was begun, but its content was not finished",
            )),
            State::Failed => Err(Error::unsupported(
                "tar",
                "an earlier error ended the writing of this archive",
            )),
        }
    }
}

/// Takes the content of one entry.
///
/// It must be [finished](EntryWriter::finish); an entry that is dropped before leaves the archive unfinished for good.
#[derive(Debug)]
pub struct EntryWriter<'a, W> {
    writer: &'a mut Writer<W>,
}

impl<W: Write> EntryWriter<'_, W> {
    /// The offset in the archive of the next byte of content.
    pub fn offset(&self) -> u64 {
        self.writer.offset
    }

    /// Bytes of content that are still to come.
    pub fn missing(&self) -> u64 {
        self.writer.missing
    }

    /// Ends the entry.
    ///
    /// # Errors
    /// [`Truncated`](crate::ErrorKind::Truncated) if there is less content than the header announced.
    pub fn finish(self) -> Result<()> {
        let writer = self.writer;
        match (writer.state, writer.missing) {
            (State::InEntry, 0) => {}
            (State::Failed, _) => return writer.ready(),
            (_, missing) => {
                writer.state = State::Failed;
                return Err(Error::truncated(
                    "tar",
                    format!("the content of an entry lacks {missing} bytes"),
                ));
            }
        }
        writer.state = State::Failed;
        writer.sink.write_all(&[0; BLOCK][..writer.padding])?;
        writer.offset += writer.padding as u64;
        writer.state = State::Ready;
        Ok(())
    }
}

impl<W: Write> Write for EntryWriter<'_, W> {
    fn write(&mut self, content: &[u8]) -> io::Result<usize> {
        let writer = &mut *self.writer;
        if writer.state == State::Failed {
            return writer.ready().map(|()| 0).map_err(io::Error::from);
        }
        if content.len() as u64 > writer.missing {
            writer.state = State::Failed;
            return Err(
                Error::unsupported("tar", "there is more content than the header of the entry announced").into(),
            );
        }
        let count = writer.sink.write(content)?;
        writer.missing -= count as u64;
        writer.offset += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.sink.flush()
    }
}

/// Makes the header blocks of an entry: one of ustar, before it those of a PAX header where ustar cannot hold it all.
fn encode(header: &Header, into: &mut Vec<u8>) -> Result<()> {
    check(header)?;
    let mut records = Vec::new();
    let mut block = Block([0; BLOCK]);
    name(&header.path, &mut block, &mut records);
    if !put_text(&mut block, block::LINK, &header.link) {
        pax::put(&mut records, b"linkpath", &header.link);
    }
    put_number(&mut block, block::MODE, header.mode.into());
    for (range, key, value) in [(block::UID, "uid", header.uid), (block::GID, "gid", header.gid)] {
        if !put_number(&mut block, range, value.into()) {
            pax::put(&mut records, key.as_bytes(), value.to_string().as_bytes());
        }
    }
    if !put_number(&mut block, block::SIZE, header.size) {
        pax::put(&mut records, b"size", header.size.to_string().as_bytes());
    }
    let whole = u64::try_from(header.mtime.seconds).unwrap_or(0);
    if !put_number(&mut block, block::MTIME, whole) || !is_whole(header.mtime) {
        pax::put(&mut records, b"mtime", format_time(header.mtime).as_bytes());
    }
    for (key, time) in [("atime", header.atime), ("ctime", header.ctime)] {
        if let Some(time) = time {
            pax::put(&mut records, key.as_bytes(), format_time(time).as_bytes());
        }
    }
    for (range, key, value) in [
        (block::UNAME, "uname", &header.uname),
        (block::GNAME, "gname", &header.gname),
    ] {
        // POSIX wants these, unlike names and targets, to end in a NUL.
        let most = range.len() - 1;
        if value.len() > most || !put_text(&mut block, range, value) {
            pax::put(&mut records, key.as_bytes(), value);
        }
    }
    put_number(&mut block, block::MAJOR, header.device_major.into());
    put_number(&mut block, block::MINOR, header.device_minor.into());
    for (name, value) in &header.xattrs {
        pax::put(&mut records, &pax::xattr_key(name)?, value);
    }
    for (key, value) in &header.extra {
        pax::put(&mut records, key, value);
    }
    if !records.is_empty() {
        extension(&header.path, &records, into)?;
    }
    block.0[block::TYPE] = match header.kind {
        EntryKind::Regular => b'0',
        EntryKind::HardLink => b'1',
        EntryKind::Symlink => b'2',
        EntryKind::CharDevice => b'3',
        EntryKind::BlockDevice => b'4',
        EntryKind::Directory => b'5',
        EntryKind::Fifo => b'6',
    };
    put_block(block, into);
    Ok(())
}

/// Refuses what could not be read back as it is.
fn check(header: &Header) -> Result<()> {
    let refuse = |what: &str| Err(Error::unsupported("tar", what.to_owned()));
    let link = matches!(header.kind, EntryKind::HardLink | EntryKind::Symlink);
    let device = matches!(header.kind, EntryKind::CharDevice | EntryKind::BlockDevice);
    let texts = [&header.path, &header.link, &header.uname, &header.gname];
    match header {
        _ if texts.iter().any(|text| text.contains(&0)) => refuse("a name contains a NUL"),
        _ if header.path.is_empty() => refuse("the name is empty"),
        _ if link == header.link.is_empty() => refuse("links have a target, and nothing else has one"),
        _ if header.kind == EntryKind::Regular && header.path.ends_with(b"/") => {
            refuse("the name of a file ends in a slash, which makes it a directory to its readers")
        }
        _ if header.kind != EntryKind::Regular && header.size != 0 => refuse("only regular files have content"),
        _ if i64::try_from(header.size).is_err() => refuse("the size is beyond 2^63 - 1"),
        _ if header.mode > 0o7777 => refuse("the mode has bits beyond 07777"),
        _ if header.uid == u32::MAX || header.gid == u32::MAX => refuse("uid or gid is 4294967295, which is nobody's"),
        _ if !device && (header.device_major, header.device_minor) != (0, 0) => refuse("only devices have numbers"),
        _ if header.device_major.max(header.device_minor) >= 1 << 21 => refuse("a device number is beyond 2097151"),
        _ => {
            let times = [Some(header.mtime), header.atime, header.ctime];
            if times
                .into_iter()
                .flatten()
                .any(|time| time.nanoseconds >= 1_000_000_000 || time.seconds == i64::MIN)
            {
                return refuse("a time has too many nanoseconds, or lies too far back");
            }
            match header.extra.keys().find(|key| !pax::is_extra(key)) {
                Some(key) => {
                    let what = format!(
                        "the PAX record \"{}\" cannot stand among the extra ones",
                        crate::Escaped(key)
                    );
                    Err(Error::unsupported("tar", what))
                }
                None => Ok(()),
            }
        }
    }
}

/// Writes the name into the block, split at a slash where it is long; else as a record, with what ASCII its beginning has in
/// the block, for readers that know no PAX.
fn name(path: &[u8], block: &mut Block, records: &mut Vec<u8>) {
    if put_text(block, block::NAME, path) {
        return;
    }
    let (prefix, rest) = split(path);
    if !prefix.is_empty() && is_plain(prefix) && put_text(block, block::NAME, rest) {
        put_text(block, block::PREFIX, prefix);
        return;
    }
    pax::put(records, b"path", path);
    let mut stand_in: Vec<u8> = path
        .iter()
        .copied()
        .filter(u8::is_ascii)
        .take(block::NAME.len())
        .collect();
    while stand_in.last() == Some(&b'/') {
        stand_in.pop();
    }
    put_text(block, block::NAME, &stand_in);
}

/// Splits a long name at the last slash that leaves a prefix which fits.
fn split(path: &[u8]) -> (&[u8], &[u8]) {
    // A slash at the very end stays with the name.
    let most = (path.len() - 1).min(block::PREFIX.len() + 1);
    match path[..most].iter().rposition(|&byte| byte == b'/') {
        // An empty prefix would be no prefix, and its slash lost.
        Some(at) if at != 0 => (&path[..at], &path[at + 1..]),
        _ => (&[], path),
    }
}

/// Whether ustar's fields may hold a text. POSIX has them in ASCII; valid UTF-8 beyond it goes into PAX, which says that it
/// is UTF-8. Bytes that are neither stay in the field where they fit, since all readers keep them there.
fn is_plain(text: &[u8]) -> bool {
    text.is_ascii() || std::str::from_utf8(text).is_err()
}

/// Writes a text into its field if it can be said there.
fn put_text(block: &mut Block, range: std::ops::Range<usize>, text: &[u8]) -> bool {
    let fits = text.len() <= range.len() && is_plain(text);
    if fits {
        block.0[range.start..range.start + text.len()].copy_from_slice(text);
    }
    fits
}

/// Writes a number in octal; if it does not fit, 0, and the record that then must be there counts.
fn put_number(block: &mut Block, range: std::ops::Range<usize>, value: u64) -> bool {
    let fits = put_octal(&mut block.0[range.clone()], value);
    if !fits {
        put_octal(&mut block.0[range], 0);
    }
    fits
}

fn is_whole(time: Time) -> bool {
    time.seconds >= 0 && time.nanoseconds == 0
}

/// Writes a PAX extended header with its records. Its own name is for readers that know no PAX and unpack it as a file.
fn extension(path: &[u8], records: &[u8], into: &mut Vec<u8>) -> Result<()> {
    let mut block = Block([0; BLOCK]);
    let base = path
        .split(|&byte| byte == b'/')
        .rfind(|part| !part.is_empty())
        .unwrap_or(b"root");
    let base: Vec<u8> = base.iter().copied().filter(u8::is_ascii_graphic).collect();
    let name = [&b"PaxHeaders.0/"[..], &base[..base.len().min(80)]].concat();
    put_text(&mut block, block::NAME, &name);
    put_number(&mut block, block::MODE, 0o644);
    for range in [block::UID, block::GID, block::MTIME, block::MAJOR, block::MINOR] {
        put_number(&mut block, range, 0);
    }
    if !put_number(&mut block, block::SIZE, records.len() as u64) {
        return Err(Error::unsupported(
            "tar",
            "the extended attributes and other records are too large",
        ));
    }
    block.0[block::TYPE] = b'x';
    put_block(block, into);
    into.extend_from_slice(records);
    into.resize(into.len() + padding(records.len() as u64), 0);
    Ok(())
}

fn put_block(mut block: Block, into: &mut Vec<u8>) {
    block.0[block::MAGIC].copy_from_slice(block::POSIX_MAGIC);
    block.seal();
    into.extend_from_slice(&block.0);
}

fn padding(size: u64) -> usize {
    (size.wrapping_neg() % BLOCK as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    fn archive(header: &Header, content: &[u8]) -> Vec<u8> {
        let mut writer = Writer::new(Vec::new());
        writer.append_data(header, content).unwrap();
        writer.finish().unwrap()
    }

    #[test]
    fn a_header_that_ustar_can_hold() {
        let mut header = Header::file("etc/passwd", 5);
        (header.uid, header.gid, header.mode) = (1000, 100, 0o4755);
        (header.uname, header.gname) = (b"root".to_vec(), b"users".to_vec());
        header.mtime.seconds = 1_700_000_000;
        let bytes = archive(&header, b"root\n");
        assert_eq!(bytes.len(), 4 * 512);
        for (range, text) in [
            (block::NAME, &b"etc/passwd"[..]),
            (block::MODE, b"0004755"),
            (block::UID, b"0001750"),
            (block::GID, b"0000144"),
            (block::SIZE, b"00000000005"),
            (block::MTIME, b"14524770400"),
            (148..156, b"013264\0 "),
            (156..157, b"0"),
            (block::MAGIC, b"ustar\x0000"),
            (block::UNAME, b"root"),
            (block::GNAME, b"users"),
            (block::MAJOR, b"0000000"),
            (block::PREFIX, b""),
        ] {
            let mut field = text.to_vec();
            field.resize(range.len(), 0);
            assert_eq!(
                bytes[range.clone()].escape_ascii().to_string(),
                field.escape_ascii().to_string(),
                "{range:?}"
            );
        }
        assert_eq!(bytes[512..1024][..6], *b"root\n\0");
        assert_eq!(bytes[1024..], [0; 1024]);
    }

    #[test]
    fn pax_is_written_only_where_it_must_be() {
        let name = |length: usize| Header::file(vec![b'n'; length], 0);
        let split =
            |prefix: usize, name: usize| Header::file([&vec![b'p'; prefix][..], b"/", &vec![b'n'; name]].concat(), 0);
        let with = |change: fn(&mut Header)| {
            let mut header = name(1);
            change(&mut header);
            header
        };
        for (header, pax) in [
            (name(100), false),
            (name(101), true),
            (split(155, 100), false),
            (split(156, 99), true),
            (split(100, 101), true),
            (Header::file([&b"/"[..], &[b'n'; 100]].concat(), 0), true),
            (Header::directory([&[b'n'; 100][..], b"/"].concat()), true),
            (
                Header::directory([&[b'p'; 50][..], b"/", &[b'n'; 60], b"/"].concat()),
                false,
            ),
            (Header::file("é", 0), true),
            (Header::file(b"\xff", 0), false),
            (
                Header::file([&[b'p'; 90][..], "é/".as_bytes(), &[0xff; 90]].concat(), 0),
                true,
            ),
            (Header::file([&[0xff; 90][..], b"/", &[0xff; 90]].concat(), 0), false),
            (Header::symlink("a", vec![b't'; 100]), false),
            (Header::symlink("a", vec![b't'; 101]), true),
            (with(|header| header.uid = 0o7777777), false),
            (with(|header| header.uid = 0o10000000), true),
            (with(|header| header.uname = vec![b'u'; 31]), false),
            (with(|header| header.uname = vec![b'u'; 32]), true),
            (with(|header| header.mtime.seconds = 0o77777777777), false),
            (with(|header| header.mtime.seconds = 0o100000000000), true),
            (with(|header| header.mtime.seconds = -1), true),
            (with(|header| header.mtime.nanoseconds = 1), true),
            (with(|header| header.atime = Some(Time::default())), true),
            (
                with(|header| drop(header.xattrs.insert(b"user.a".to_vec(), b"".to_vec()))),
                true,
            ),
        ] {
            let bytes = archive(&header, b"");
            assert_eq!(bytes[block::TYPE] == b'x', pax, "{header:?}");
            assert_eq!(bytes.len(), if pax { 5 * 512 } else { 3 * 512 }, "{header:?}");
        }
    }

    #[test]
    fn eight_gib_need_pax() {
        for (size, blocks) in [((8u64 << 30) - 1, 1), (8 << 30, 3)] {
            let mut writer = Writer::new(Vec::new());
            writer.entry(&Header::file("a", size)).unwrap();
            assert_eq!(writer.offset(), blocks * 512);
        }
    }

    #[test]
    fn what_could_not_be_read_back_is_refused_before_a_byte_is_written() {
        let with = |change: fn(&mut Header)| {
            let mut header = Header::file("a", 0);
            change(&mut header);
            header
        };
        let mut writer = Writer::new(Vec::new());
        for header in [
            Header::file("", 0),
            Header::file("a\0b", 0),
            Header::file("a/", 0),
            Header::file("a", u64::MAX),
            Header::symlink("a", ""),
            Header::hard_link("a", "b\0"),
            with(|header| header.link = b"b".to_vec()),
            with(|header| header.mode = 0o100644),
            with(|header| header.uid = u32::MAX),
            with(|header| header.device_major = 1),
            with(|header| header.mtime.nanoseconds = 1_000_000_000),
            with(|header| header.kind = EntryKind::Directory).clone_with_size(1),
            with(|header| drop(header.xattrs.insert(b"".to_vec(), b"".to_vec()))),
            with(|header| drop(header.xattrs.insert(b"a=b".to_vec(), b"".to_vec()))),
            with(|header| drop(header.extra.insert(b"path".to_vec(), b"b".to_vec()))),
            with(|header| drop(header.extra.insert(b"GNU.sparse.size".to_vec(), b"1".to_vec()))),
            with(|header| drop(header.extra.insert(b"a=b".to_vec(), b"".to_vec()))),
        ] {
            let error = writer.entry(&header).map(|entry| entry.missing()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unsupported, "{header:?}");
            assert_eq!(writer.offset(), 0);
        }
        assert_eq!(writer.finish().unwrap(), [0; 1024]);
    }

    impl Header {
        fn clone_with_size(&self, size: u64) -> Header {
            Header { size, ..self.clone() }
        }
    }

    #[test]
    fn content_that_is_not_as_announced() {
        let header = Header::file("a", 4);
        let mut writer = Writer::new(Vec::new());
        assert!(writer.append_data(&header, b"abc").is_err());
        assert!(
            writer.append_data(&header, b"abcd").is_ok(),
            "nothing had been written yet"
        );
        assert_eq!(
            writer.append_from(&header, &b"abc"[..]).unwrap_err().kind(),
            ErrorKind::Truncated
        );
        assert!(writer.append_data(&header, b"abcd").is_err());
        assert!(writer.finish().is_err());

        let mut writer = Writer::new(Vec::new());
        assert_eq!(
            writer.append_from(&header, &b"abcde"[..]).unwrap_err().kind(),
            ErrorKind::Unsupported
        );
        assert!(writer.finish().is_err());

        let mut writer = Writer::new(Vec::new());
        let mut entry = writer.entry(&header).unwrap();
        entry.write_all(b"ab").unwrap();
        assert_eq!((entry.offset(), entry.missing()), (514, 2));
        // Dropped, not finished.
        let error = writer.append(&Header::directory("d")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Truncated);
        assert!(writer.finish().is_err());
    }
}
