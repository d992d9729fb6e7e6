//! Which members has a tar file, and what is in them? Read from where they lie; nothing is unpacked.
//!
//! What cannot be read in place, a compressed archive or a pipe, is copied once into a file without a name, inflated, within the limits of
//! the codecs. A plain file is never copied.

use std::{
    collections::HashSet,
    fs::File,
    io::{self, Read, Seek, SeekFrom, Write},
    ops::Range,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use teu_archive::{
    codec::{Compression, Decoder},
    tar::{Index, Limits, Member},
};
use teu_store::{Error, ErrorKind, Fetched, Result, blocking};

use super::{refused, refused_io, unnamed};
use crate::files;

/// The most bytes of holes in an archive's sparse files. A blob that is sparse is hashed with its zeros, for some seconds at the most: no
/// writer of images makes such files, but whoever packs a directory of them with `tar -S` does.
const MAX_HOLES: u64 = 16 << 30;

/// A tar file that is open.
pub(crate) struct Archive {
    path: PathBuf,
    file: Arc<File>,
    index: Index,
    /// Names that several members have.
    twice: HashSet<Vec<u8>>,
}

impl Archive {
    /// Reads which members there are. `temporary` is where a compressed archive, or one from a pipe, is put.
    ///
    /// # Errors
    /// `NotFound` where there is no such file; what the tar reader and the codecs refuse.
    pub(crate) fn open(path: &Path, temporary: Option<&Path>) -> Result<Self> {
        let here = |error: Error| error.within(format!("reading {}", path.display()));
        let file = seekable(path, temporary).map_err(here)?;
        let limits = Limits {
            hole_bytes: MAX_HOLES,
            ..Limits::default()
        };
        let index = Index::read(&file, limits).map_err(|error| here(refused(error)))?;
        let mut seen = HashSet::new();
        let names = index.members().iter().filter_map(|member| match member.header.kind {
            teu_archive::tar::EntryKind::Directory => None,
            _ => clean(&member.header.path),
        });
        let twice = names.filter(|name| !seen.insert(name.clone())).collect();
        Ok(Self {
            path: path.to_owned(),
            file: Arc::new(file),
            index,
            twice,
        })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The regular file of a name, through links within the archive; none where there is no such member.
    ///
    /// # Errors
    /// `Invalid` where two members have this name, as readers differ in which of them they take, and for a link that leads nowhere.
    pub(crate) fn file(&self, name: &str) -> Result<Option<&Member>> {
        if clean(name.as_bytes()).is_some_and(|name| self.twice.contains(&name)) {
            return Err(self.within(Error::new(
                ErrorKind::Invalid,
                format!("there are two members of the name {name:?}, and readers differ in which of them they take"),
            )));
        }
        self.index
            .file(name.as_bytes())
            .map_err(|error| self.within(refused(error)))
    }

    /// Reads a small file whole; none where there is no such member.
    ///
    /// # Errors
    /// `TooLarge` beyond `limit` bytes.
    pub(crate) fn read_small(&self, name: &str, limit: u64) -> Result<Option<Bytes>> {
        let Some(member) = self.file(name)? else {
            return Ok(None);
        };
        let size = member.header.size;
        if size > limit {
            return Err(self.within(Error::new(
                ErrorKind::TooLarge,
                format!("{name} has {size} bytes, more than the limit of {limit}"),
            )));
        }
        let mut content = Vec::new();
        let read = self.reader(member)?.take(limit).read_to_end(&mut content);
        read.map_err(|error| self.within(refused_io(error)))?;
        Ok(Some(content.into()))
    }

    /// The content of a member, as it lies there.
    pub(crate) fn reader(&self, member: &Member) -> Result<impl Read + Send + use<>> {
        let source = At {
            file: Arc::clone(&self.file),
            position: 0,
        };
        let reader = member.open(source).map_err(|error| self.within(refused(error)))?;
        Ok(Told(reader))
    }

    /// The content of a member on its way, or a range of it.
    pub(crate) fn fetch(&self, member: &Member, wanted: Option<&Range<u64>>) -> Result<Fetched> {
        let size = member.header.size;
        let range = files::range(size, wanted)?;
        let length = range.end - range.start;
        let reader = match member.range() {
            Ok(place) => {
                let position = place.start + range.start;
                let source = At {
                    file: Arc::clone(&self.file),
                    position,
                };
                blocking::reader(move || Ok(Told(Whole { source, left: length })))
            }
            // A sparse file has its holes filled on the way.
            Err(_) => {
                let mut reader = self.reader(member)?;
                blocking::reader(move || {
                    io::copy(&mut reader.by_ref().take(range.start), &mut io::sink())?;
                    Ok(reader.take(length))
                })
            }
        };
        Ok(Fetched {
            size: Some(size),
            start: range.start,
            reader,
        })
    }

    /// An error told with the archive that it is about.
    pub(crate) fn within(&self, error: Error) -> Error {
        error.within(format!("reading {}", self.path.display()))
    }
}

/// The archive as a plain file.
fn seekable(path: &Path, temporary: Option<&Path>) -> Result<File> {
    let mut file = File::open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_dir() {
        let message = "it is a directory, not an archive; oci: and dir: read directories";
        return Err(Error::new(ErrorKind::Invalid, message));
    }
    let decoder = Decoder::detect(&file, Default::default()).map_err(refused)?;
    if metadata.is_file() && decoder.compression() == Compression::None {
        file.rewind()?;
        return Ok(file);
    }
    let why = if metadata.is_file() {
        "a compressed archive is inflated once before it is read"
    } else {
        "what is no file is copied once before it is read"
    };
    let mut plain = unnamed(temporary, why)?;
    copy(decoder, &mut plain)?;
    plain.rewind()?;
    Ok(plain)
}

/// Copies in pieces that are worth a call.
pub(super) fn copy(mut from: impl Read, to: &mut (impl Write + ?Sized)) -> Result<u64> {
    let mut buffer = vec![0; blocking::BATCH];
    let mut size = 0;
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(size),
            Ok(read) => {
                to.write_all(&buffer[..read])?;
                size += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(refused_io(error)),
        }
    }
}

/// The components of a name, without empty ones and `.`; none where it leads out of the archive.
fn clean(name: &[u8]) -> Option<Vec<u8>> {
    let mut clean = Vec::with_capacity(name.len());
    for part in name.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => return None,
            part => {
                if !clean.is_empty() {
                    clean.push(b'/');
                }
                clean.extend_from_slice(part);
            }
        }
    }
    Some(clean)
}

/// A reader with a place of its own in a file that many read.
struct At {
    file: Arc<File>,
    position: u64,
}

impl Read for At {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(into, self.position)?;
        self.position += read as u64;
        Ok(read)
    }
}

impl Seek for At {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::Current(by) => self.position.checked_add_signed(by),
            SeekFrom::End(by) => self.file.metadata()?.len().checked_add_signed(by),
        };
        self.position = position.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        Ok(self.position)
    }
}

/// So many bytes and not fewer: an archive that is cut short while it is read ends in an error.
struct Whole {
    source: At,
    left: u64,
}

impl Read for Whole {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(into.len());
        let read = self.source.read(&mut into[..most])?;
        if read == 0 && most > 0 {
            let message = "the archive became shorter while it was read";
            return Err(Error::new(ErrorKind::Invalid, message).into());
        }
        self.left -= read as u64;
        Ok(read)
    }
}

/// A reader whose errors are told as a store tells them.
pub(crate) struct Told<R>(pub(crate) R);

impl<R: Read> Read for Told<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.0.read(into).map_err(|error| match error.kind() {
            io::ErrorKind::Interrupted => error,
            _ => refused_io(error).into(),
        })
    }
}
