//! How are files made, opened and renamed where somebody may have put a link? By handles of directories, one step at a time, no step
//! through a link.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
};

use rustix::{
    fs::{AtFlags, Mode, OFlags, mkdirat, openat, renameat, unlinkat},
    io::Errno,
};
use teu_store::{Error, ErrorKind, Result};

/// Ours alone.
const DIRECTORY_MODE: Mode = Mode::RWXU;
const FILE_MODE: Mode = Mode::RUSR.union(Mode::WUSR);

/// An open directory, and what it is called in errors.
pub(crate) struct Directory {
    handle: File,
    path: PathBuf,
}

impl Directory {
    /// The directory that a person named, through links where there are some.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let handle = File::open(path).map_err(|error| failed(error, "opening", path))?;
        let metadata = handle.metadata().map_err(|error| failed(error, "opening", path))?;
        if !metadata.is_dir() {
            let message = format!("{} is no directory", path.display());
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        Ok(Self {
            handle,
            path: path.to_owned(),
        })
    }

    /// A directory in this one.
    pub(crate) fn directory(&self, name: &str) -> Result<Option<Self>> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let path = self.path.join(name);
        match openat(&self.handle, name, flags, Mode::empty()) {
            Ok(handle) => Ok(Some(Self {
                handle: handle.into(),
                path,
            })),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(self.refused(error, "opening", name)),
        }
    }

    /// The same, which is made where it is not there, for good.
    pub(crate) fn make(&self, name: &str) -> Result<Self> {
        if let Some(directory) = self.directory(name)? {
            return Ok(directory);
        }
        match mkdirat(&self.handle, name, DIRECTORY_MODE) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(self.refused(error, "making", name)),
        }
        self.sync()?;
        let made = self.directory(name)?;
        made.ok_or_else(|| {
            Error::new(
                ErrorKind::Io,
                format!("{} was made and is gone", self.path.join(name).display()),
            )
        })
    }

    /// A new file in this directory.
    ///
    /// # Errors
    /// `Conflict` where there is something of this name.
    pub(crate) fn create(&self, name: &str) -> Result<File> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        openat(&self.handle, name, flags, FILE_MODE)
            .map(File::from)
            .map_err(|error| match error {
                Errno::EXIST => Error::new(
                    ErrorKind::Conflict,
                    format!("{} is there already", self.path.join(name).display()),
                ),
                error => self.refused(error, "making", name),
            })
    }

    /// A regular file in this directory; none where there is nothing of this name.
    ///
    /// # Errors
    /// `Invalid` for a link, a directory, a FIFO or a device.
    pub(crate) fn file(&self, name: &str, writes: bool) -> Result<Option<File>> {
        let access = if writes { OFlags::RDWR } else { OFlags::RDONLY };
        let flags = access | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match openat(&self.handle, name, flags, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(self.refused(error, "opening", name)),
        };
        let metadata = file
            .metadata()
            .map_err(|error| failed(error, "opening", &self.path.join(name)))?;
        if !metadata.is_file() {
            let message = format!("{} is no regular file", self.path.join(name).display());
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        Ok(Some(file))
    }

    /// Moves a file into another directory of the same file system.
    pub(crate) fn rename(&self, name: &str, to: &Self, new: &str) -> Result<()> {
        renameat(&self.handle, name, &to.handle, new).map_err(|error| to.refused(error, "placing", new))
    }

    /// Takes a name away; what is not there is no error.
    pub(crate) fn remove(&self, name: &str) -> Result<()> {
        match unlinkat(&self.handle, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(self.refused(error, "removing", name)),
        }
    }

    /// Makes the names in it last.
    pub(crate) fn sync(&self) -> Result<()> {
        self.handle
            .sync_all()
            .map_err(|error| failed(error, "syncing", &self.path))
    }

    /// All names in it that are text; ours are.
    pub(crate) fn names(&self) -> Result<Vec<String>> {
        let read = || -> rustix::io::Result<Vec<String>> {
            let mut names = Vec::new();
            for entry in rustix::fs::Dir::read_from(&self.handle)? {
                match entry?.file_name().to_str() {
                    Ok("." | "..") | Err(_) => {}
                    Ok(name) => names.push(name.to_owned()),
                }
            }
            Ok(names)
        };
        read().map_err(|error| failed(error.into(), "listing", &self.path))
    }

    /// The handle.
    pub(crate) fn handle(&self) -> &File {
        &self.handle
    }

    /// What a file in it is called in errors.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Why the system refuses.
    fn refused(&self, error: Errno, doing: &str, name: &str) -> Error {
        let path = self.path.join(name);
        match error {
            // A link's last step: the one, where a directory is asked for the other.
            Errno::LOOP | Errno::NOTDIR => Error::new(
                ErrorKind::Invalid,
                format!(
                    "{} is a symbolic link or no directory; nothing of a depot is",
                    path.display()
                ),
            ),
            error => failed(error.into(), doing, &path),
        }
    }
}

/// An error of the system, with what was being done to which file.
pub(crate) fn failed(error: io::Error, doing: &str, path: &Path) -> Error {
    Error::from(error).within(format!("{doing} {}", path.display()))
}
