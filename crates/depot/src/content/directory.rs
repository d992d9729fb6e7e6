//! How are files made, opened and renamed where somebody may have put a link? By handles of directories, one step at a time, no step
//! through a link.

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use rustix::{
    fs::{AtFlags, Mode, OFlags, mkdirat, openat, renameat, statat, unlinkat},
    io::Errno,
};
use teu_store::{Error, ErrorKind, Result};

/// Ours alone.
const DIRECTORY_MODE: Mode = Mode::RWXU;
const FILE_MODE: Mode = Mode::RUSR.union(Mode::WUSR);
/// Whoever's the process's umask lets it be.
const SHARED_DIRECTORY_MODE: Mode = Mode::RWXU.union(Mode::RWXG).union(Mode::RWXO);
const SHARED_FILE_MODE: Mode = Mode::from_raw_mode(0o666);

#[cfg(test)]
thread_local! {
    /// On this thread the disk breaks whenever names are to last.
    pub(crate) static FAILS: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// An open directory, and what it is called in errors.
pub(crate) struct Directory {
    handle: File,
    path: PathBuf,
    /// Others may read what is made in it.
    is_shared: bool,
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
            is_shared: false,
        })
    }

    /// The same, and what is made in it, others may read as far as the process's umask lets them.
    pub(crate) fn shared(self) -> Self {
        Self {
            is_shared: true,
            ..self
        }
    }

    /// A directory in this one.
    pub(crate) fn directory(&self, name: &str) -> Result<Option<Self>> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let path = self.path.join(name);
        match openat(&self.handle, name, flags, Mode::empty()) {
            Ok(handle) => Ok(Some(Self {
                handle: handle.into(),
                path,
                is_shared: self.is_shared,
            })),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(self.refused(error, "opening", name)),
        }
    }

    /// The directory that these lead to, one in the other.
    pub(crate) fn descend(&self, names: &[impl AsRef<str>]) -> Result<Option<Self>> {
        let mut found: Option<Self> = None;
        for name in names {
            match found.as_ref().unwrap_or(self).directory(name.as_ref())? {
                Some(next) => found = Some(next),
                None => return Ok(None),
            }
        }
        found.map_or_else(|| self.again(), Ok).map(Some)
    }

    /// The same, made where they are not there.
    pub(crate) fn make_all(&self, names: &[impl AsRef<str>]) -> Result<Self> {
        let mut found: Option<Self> = None;
        for name in names {
            found = Some(found.as_ref().unwrap_or(self).make(name.as_ref())?);
        }
        found.map_or_else(|| self.again(), Ok)
    }

    fn again(&self) -> Result<Self> {
        let handle = self.handle.try_clone();
        Ok(Self {
            handle: handle.map_err(|error| failed(error, "opening", &self.path))?,
            path: self.path.clone(),
            is_shared: self.is_shared,
        })
    }

    /// The same, which is made where it is not there, for good.
    pub(crate) fn make(&self, name: &str) -> Result<Self> {
        if let Some(directory) = self.directory(name)? {
            return Ok(directory);
        }
        let mode = if self.is_shared {
            SHARED_DIRECTORY_MODE
        } else {
            DIRECTORY_MODE
        };
        match mkdirat(&self.handle, name, mode) {
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
        let mode = if self.is_shared { SHARED_FILE_MODE } else { FILE_MODE };
        openat(&self.handle, name, flags, mode)
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

    /// Whether there is something of this name, whatever it is and whoever may open it.
    pub(crate) fn has(&self, name: &str) -> Result<bool> {
        match statat(&self.handle, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(self.refused(error, "looking for", name)),
        }
    }

    /// Takes a name away; what is not there is no error.
    pub(crate) fn remove(&self, name: &str) -> Result<()> {
        self.take(name).map(drop)
    }

    /// The same; whether it was there.
    pub(crate) fn take(&self, name: &str) -> Result<bool> {
        match unlinkat(&self.handle, name, AtFlags::empty()) {
            Ok(()) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(self.refused(error, "removing", name)),
        }
    }

    /// Makes the names in it last; in one that is [shared](Self::shared) they do when its [whole file system](Self::sync_all) does.
    pub(crate) fn sync(&self) -> Result<()> {
        if self.is_shared {
            return Ok(());
        }
        #[cfg(test)]
        if FAILS.with(std::cell::Cell::get) {
            return Err(failed(Errno::IO.into(), "syncing", &self.path));
        }
        self.handle
            .sync_all()
            .map_err(|error| failed(error, "syncing", &self.path))
    }

    /// Makes all last that is on its file system.
    pub(crate) fn sync_all(&self) -> Result<()> {
        rustix::fs::syncfs(&self.handle).map_err(|error| failed(error.into(), "syncing", &self.path))
    }

    /// All names in it that are text; ours are.
    pub(crate) fn names(&self) -> Result<Vec<String>> {
        let names = self.all_names()?.into_iter();
        Ok(names.filter_map(|name| name.into_string().ok()).collect())
    }

    /// All names in it.
    pub(crate) fn all_names(&self) -> Result<Vec<OsString>> {
        let read = || -> rustix::io::Result<Vec<OsString>> {
            let mut names = Vec::new();
            for entry in rustix::fs::Dir::read_from(&self.handle)? {
                match entry?.file_name().to_bytes() {
                    b"." | b".." => {}
                    name => names.push(OsStr::from_bytes(name).to_owned()),
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
                    "{} is a symbolic link or no directory, and is not gone into",
                    path.display()
                ),
            ),
            error => failed(error.into(), doing, &path),
        }
    }
}

/// An error of the system, with what was being done to which file.
pub(crate) fn failed(error: io::Error, doing: &str, path: &Path) -> Error {
    let code = error.raw_os_error();
    let is_broken = [Errno::IO, Errno::UCLEAN, Errno::BADMSG].map(|errno| Some(errno.raw_os_error()));
    let error = Error::from(error).within(format!("{doing} {}", path.display()));
    match is_broken.contains(&code) {
        true => error.with_cause(Broken::Disk),
        false => error,
    }
}

/// An error of reading what was opened: whatever the system calls it, what is asked for cannot be had.
pub(crate) fn unreadable(error: Error) -> Error {
    match error.kind() {
        ErrorKind::Io => error.with_cause(Broken::Reading),
        _ => error,
    }
}

/// What is asked for cannot be had of its disk, which is no matter of how many files are open, or who may what.
#[derive(Debug)]
enum Broken {
    /// The system says that it is the disk.
    Disk,
    /// It was opened, and cannot be read, for whatever reason.
    Reading,
}

impl std::error::Error for Broken {}

impl std::fmt::Display for Broken {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Disk => "its disk is damaged",
            Self::Reading => "it is there, and cannot be read; look at its disk",
        })
    }
}

/// Whether an error says that the disk cannot give what is asked for.
pub(crate) fn is_broken(error: &Error) -> bool {
    error
        .cause()
        .is_some_and(<dyn std::error::Error + Send + Sync>::is::<Broken>)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_that_is_broken_is_told_from_all_else() {
        for (errno, expected) in [
            (Errno::IO, true),
            (Errno::UCLEAN, true),
            (Errno::MFILE, false),
            (Errno::ACCESS, false),
            (Errno::NOSPC, false),
        ] {
            let error = failed(errno.into(), "opening", Path::new("/a"));
            assert_eq!(is_broken(&error), expected, "{error}");
        }
        let error = failed(Errno::IO.into(), "opening", Path::new("/a"));
        assert_eq!(
            error.to_string(),
            "opening /a: Input/output error (os error 5): its disk is damaged"
        );
    }
}
