//! How is a tar stream written? Deterministically: the same calls give the same bytes, on every machine and at any time.
//!
//! An entry is one ustar header where that can say it all, else a PAX header with just the records that ustar cannot hold.
//! What this crate's reader would refuse is not written either.

use std::io::{self, Read, Write};

use super::{
    BLOCK, Header,
    encode::{encode, padding},
};
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ErrorKind,
        tar::{EntryKind, Time, block},
    };

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
