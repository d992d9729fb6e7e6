//! How is a member appended, or taken back? The file of an archive that is written, and how far it is.

use std::{
    collections::HashSet,
    fs::{self, File, OpenOptions},
    io::{self, BufWriter, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use teu_archive::tar::{Header, Writer};
use teu_spec::Digest;
use teu_store::{Error, ErrorKind, Result};

use super::{blob, refused, refused_io};
use crate::files::{self, Temporary};

/// The buffer before the file: headers and small blobs share a write.
const BUFFER: usize = 256 << 10;

/// The file, and how far it is.
pub(super) struct Out {
    sink: BufWriter<Named>,
    place: Place,
    pub(super) offset: u64,
    /// Directories that are in it.
    directories: HashSet<String>,
    /// Blobs that are in it.
    pub(super) blobs: HashSet<Digest>,
    /// Why nothing more can be written.
    pub(super) over: Option<&'static str>,
}

enum Place {
    /// Written beside, and put there when it is whole.
    Beside(Option<Temporary>, PathBuf),
    /// Written straight.
    Straight,
}

impl Out {
    /// Begins an archive at `path`, and says where blobs may wait for their turn.
    pub(super) fn create(path: &Path, temporary: Option<PathBuf>) -> Result<(Self, Option<PathBuf>)> {
        let failed = |error| files::failed(error, "writing", path);
        let metadata = match fs::metadata(path) {
            Ok(metadata) => Some(metadata),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(failed(error)),
        };
        if metadata.as_ref().is_some_and(fs::Metadata::is_dir) {
            let message = format!("{} is a directory; name a file", path.display());
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        // What a shell has opened for us is a file at times, but not ours to replace.
        let opened = ["/dev/stdout", "/dev/stderr", "/dev/fd", "/proc"]
            .iter()
            .any(|opened| path.starts_with(opened));
        let (file, place, temporary) = if metadata.is_some_and(|metadata| opened || !metadata.is_file()) {
            let file = OpenOptions::new().write(true).open(path).map_err(failed)?;
            (file, Place::Straight, temporary)
        } else {
            // Behind a link it is the file that is replaced, and not the link.
            let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
            let directory = match path.parent() {
                Some(parent) if parent != Path::new("") => parent.to_owned(),
                _ => PathBuf::from("."),
            };
            let mut beside = Temporary::new(&directory)?;
            let file = beside.file().try_clone().map_err(failed)?;
            (file, Place::Beside(Some(beside), path), temporary.or(Some(directory)))
        };
        let out = Self {
            sink: BufWriter::with_capacity(
                BUFFER,
                Named {
                    file,
                    path: path.to_owned(),
                },
            ),
            place,
            offset: 0,
            directories: HashSet::new(),
            blobs: HashSet::new(),
            over: None,
        };
        Ok((out, temporary))
    }

    pub(super) fn can_take_back(&self) -> bool {
        matches!(self.place, Place::Beside(..))
    }

    fn ready(&self) -> Result<()> {
        match self.over {
            None => Ok(()),
            Some(why) => Err(Error::new(ErrorKind::Cancelled, why)),
        }
    }

    /// Goes back to where the archive was when it had `offset` bytes.
    pub(super) fn take_back(&mut self, offset: u64) {
        let back = |sink: &mut BufWriter<Named>| {
            sink.seek(SeekFrom::Start(offset))?;
            sink.get_ref().file.set_len(offset)
        };
        if !self.can_take_back() || back(&mut self.sink).is_err() {
            self.over = Some("a blob was broken off in the middle of the archive, so nothing can follow");
        }
        self.offset = offset;
    }

    /// Appends the directories that lead to a member, where they are not there yet.
    pub(super) fn directories_of(&mut self, name: &str) -> Result<()> {
        for (slash, _) in name.match_indices('/') {
            let directory = &name[..=slash];
            if !self.directories.contains(directory) {
                let start = self.offset;
                let appended = self.unfinished_member(&Header::directory(directory), |_| Ok(0));
                if appended.is_err() {
                    self.take_back(start);
                }
                appended?;
                self.directories.insert(directory.to_owned());
            }
        }
        Ok(())
    }

    /// Appends a member, whole or not at all.
    fn member(&mut self, header: &Header, fill: impl FnOnce(&mut dyn Write) -> Result<u64>) -> Result<()> {
        self.directories_of(&String::from_utf8_lossy(&header.path))?;
        let start = self.offset;
        let written = self
            .unfinished_member(header, fill)
            .and_then(|written| match written == header.size {
                true => Ok(()),
                false => Err(Error::new(ErrorKind::Io, "a temporary file became shorter")),
            });
        if written.is_err() {
            self.take_back(start);
        }
        written
    }

    /// Appends a member as far as `fill` gives it, and says how much that was. The caller takes it back where it is not all.
    pub(super) fn unfinished_member(
        &mut self,
        header: &Header,
        fill: impl FnOnce(&mut dyn Write) -> Result<u64>,
    ) -> Result<u64> {
        self.ready()?;
        let mut writer = Writer::new(&mut self.sink);
        let mut entry = writer.entry(header).map_err(refused)?;
        let written = fill(&mut entry)?;
        if written == header.size {
            entry.finish().map_err(refused)?;
        }
        self.offset += writer.offset();
        Ok(written)
    }

    /// Appends a blob, unless it is there.
    pub(super) fn blob(
        &mut self,
        digest: &Digest,
        size: u64,
        fill: impl FnOnce(&mut dyn Write) -> Result<u64>,
    ) -> Result<()> {
        if !self.blobs.contains(digest) {
            self.member(&Header::file(blob(digest), size), fill)?;
            self.blobs.insert(*digest);
        }
        Ok(())
    }

    pub(super) fn file(&mut self, name: &str, content: &[u8]) -> Result<()> {
        self.member(&Header::file(name, content.len() as u64), |entry| {
            entry.write_all(content).map_err(refused_io)?;
            Ok(content.len() as u64)
        })
    }

    pub(super) fn link(&mut self, name: &str, target: &str) -> Result<()> {
        self.member(&Header::symlink(name, target), |_| Ok(0))
    }

    pub(super) fn finish(&mut self) -> Result<()> {
        self.ready()?;
        Writer::new(&mut self.sink).finish().map_err(refused)?;
        self.over = Some("the archive is finished, so nothing can follow");
        if let Place::Beside(beside, path) = &mut self.place
            && let Some(mut beside) = beside.take()
        {
            let synced = beside.file().sync_all();
            synced.map_err(|error| beside.failed(error))?;
            beside.put(path)?;
            let directory = path.parent().filter(|parent| *parent != Path::new(""));
            files::sync_directory(directory.unwrap_or(Path::new(".")))?;
        }
        Ok(())
    }
}

/// The file that is written; what goes wrong with that is told with where it is to be.
struct Named {
    file: File,
    path: PathBuf,
}

impl Named {
    fn failed(&self, error: io::Error) -> io::Error {
        // Its kind is asked for on the way.
        io::Error::new(error.kind(), files::failed(error, "writing", &self.path))
    }
}

impl Write for Named {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes).map_err(|error| self.failed(error))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Seek for Named {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}
