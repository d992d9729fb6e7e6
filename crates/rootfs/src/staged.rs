//! How do new files get among those of a directory that is there already? They are made in a temporary directory within it, which nobody else may
//! enter, and moved to their places when all are whole: by handles, and never through a link that stands in the way.

use std::{
    mem::MaybeUninit,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    os::unix::ffi::OsStrExt,
    path::Path,
};

use rustix::{
    fs::{self, AtFlags, FileType, Mode, RawDir, Stat},
    io::Errno,
};

use crate::{
    Error, ErrorKind, Result, Root,
    name::Shown,
    remove::remove_all,
    rename::rename_new,
    root::{DIRECTORY, PLACE, open_beside},
    sibling::{make, remove_left_over},
};

/// What the name of a temporary directory begins with.
const SHORT: &[u8] = b".teu-staged.";

/// A temporary directory within another, for files that are to stand in that one. Dropped before they are [placed](Self::place), it is removed, as
/// well as can be.
#[derive(Debug)]
pub struct Staged {
    directory: Root,
    temporary: Vec<u8>,
    root: Root,
    /// Says that it is in use.
    _lock: Option<OwnedFd>,
}

impl Staged {
    /// Makes one in `directory`, with mode 0700. What processes of the same user left there that were killed is removed.
    ///
    /// # Errors
    /// There is no such directory, or nothing can be made in it.
    pub fn within(directory: &Path) -> Result<Self> {
        let path = directory.as_os_str().as_bytes();
        let directory = Root::open(directory)?;
        remove_left_over(directory.as_fd(), SHORT);
        let made = make(directory.as_fd(), SHORT);
        let (temporary, root, lock) = made.map_err(|errno| Error::system(path, "make a directory in it", errno))?;
        Ok(Self {
            directory,
            temporary,
            root: Root::from(root),
            _lock: lock,
        })
    }

    /// The temporary directory.
    #[must_use]
    pub fn root(&self) -> &Root {
        &self.root
    }

    /// The directory that it is in.
    #[must_use]
    pub fn directory(&self) -> &Root {
        &self.directory
    }

    /// Moves all that is in it to where it belongs in the directory. A directory that is there stays as it is and takes what is in the new one;
    /// any other file stays, unless `replace` says that a file that is no directory may take its place, all at once. A link is replaced itself,
    /// and nothing is put where it leads to.
    ///
    /// # Errors
    /// Something is where a file is to be, and stays ([`ErrorKind::Exists`], or [`ErrorKind::Replaceable`] where `replace` would have replaced it):
    /// that is looked for before anything is moved. What the system says
    /// later may leave some of the files in their places, each whole; the others are gone.
    pub fn place(mut self, replace: bool) -> Result<()> {
        self.merge(replace, false)?;
        self.merge(replace, true)?;
        self.remove()
    }

    /// Removes it, with all that is in it.
    ///
    /// # Errors
    /// Part of it could not be removed.
    pub fn discard(mut self) -> Result<()> {
        self.remove()
    }

    /// Goes through what is new, and moves it where `moves` says so; else it only looks whether it can be.
    fn merge(&self, replace: bool, moves: bool) -> Result<()> {
        let of_top = |root: &Root| open_beside(root.as_fd(), b".", DIRECTORY);
        let failed = |errno| Error::system(b".", "open the directory", errno);
        let (from, into) = (
            of_top(&self.root).map_err(failed)?,
            of_top(&self.directory).map_err(failed)?,
        );
        let mut levels = vec![Level::new(from, into, Vec::new())?];
        while let Some(level) = levels.last_mut() {
            let Some(name) = level.names.pop() else {
                levels.pop();
                continue;
            };
            if let Some(below) = level.take(&name, replace, moves)? {
                levels.push(below);
            }
        }
        Ok(())
    }

    fn remove(&mut self) -> Result<()> {
        let temporary = std::mem::take(&mut self.temporary);
        if temporary.is_empty() {
            return Ok(());
        }
        remove_all(self.directory.as_fd(), &temporary)
            .map_err(|errno| Error::system(&temporary, "remove the temporary directory", errno))
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        // Nobody is left to be told; `discard` tells.
        let _ = self.remove();
    }
}

/// A directory that is new and there.
struct Level {
    from: OwnedFd,
    into: OwnedFd,
    path: Vec<u8>,
    /// What is new in it and was not looked at, the next one last.
    names: Vec<Box<[u8]>>,
}

impl Level {
    fn new(from: OwnedFd, into: OwnedFd, path: Vec<u8>) -> Result<Self> {
        let names = names(from.as_fd()).map_err(|errno| Error::system(&path, "read the new directory", errno))?;
        Ok(Self {
            from,
            into,
            path,
            names,
        })
    }

    /// Deals with one name; what comes of it is a level where directories are there and new.
    fn take(&self, name: &[u8], replace: bool, moves: bool) -> Result<Option<Self>> {
        let path = match &self.path[..] {
            [] => name.to_vec(),
            above => [above, b"/", name].concat(),
        };
        let failed = |errno| Error::system(&path, "put the new file there", errno);
        let new = fs::statat(&self.from, name, AtFlags::SYMLINK_NOFOLLOW).map_err(failed)?;
        let there = match fs::statat(&self.into, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(there) => Some(there),
            Err(Errno::NOENT) => None,
            Err(errno) => return Err(failed(errno)),
        };
        match (is_directory(&new), there.as_ref().map(is_directory)) {
            (true, Some(true)) => {
                if new.st_mode & 0o700 != 0o700 {
                    open_to_owner(self.from.as_fd(), name).map_err(failed)?;
                }
                let from = open_beside(self.from.as_fd(), name, DIRECTORY).map_err(failed)?;
                let into = open_beside(self.into.as_fd(), name, DIRECTORY).map_err(failed)?;
                return Self::new(from, into, path).map(Some);
            }
            (true, Some(false)) => return Err(in_the_way(&path, "it is there already, and is no directory")),
            (false, Some(true)) => return Err(in_the_way(&path, "a directory is there already")),
            (false, Some(false)) if !replace => {
                let why = format!("{}: it is there already, and is not to be replaced", Shown(&path));
                return Err(Error::new(ErrorKind::Replaceable, why));
            }
            _ => {}
        }
        if moves {
            self.rename(name, &new, there.is_some()).map_err(|errno| match errno {
                Errno::EXIST => in_the_way(&path, "somebody else has put something there"),
                errno => failed(errno),
            })?;
        }
        Ok(None)
    }

    fn rename(&self, name: &[u8], new: &Stat, replace: bool) -> rustix::io::Result<()> {
        // Who is not root moves a directory only that he may write to, for it gets another parent.
        let closed = is_directory(new) && new.st_mode & 0o700 != 0o700 && !rustix::process::geteuid().is_root();
        let handle = match closed {
            true => {
                let handle = open_beside(self.from.as_fd(), name, PLACE)?;
                open_to_owner(self.from.as_fd(), name)?;
                Some(handle)
            }
            false => None,
        };
        match replace {
            true => fs::renameat(&self.from, name, &self.into, name)?,
            false => rename_new(&self.from, name, &self.into, name)?,
        }
        match handle {
            // A handle that only stands for a file changes its mode but by this way.
            Some(handle) => fs::chmod(
                format!("/proc/self/fd/{}", handle.as_raw_fd()),
                Mode::from_raw_mode(new.st_mode & 0o7777),
            ),
            None => Ok(()),
        }
    }
}

/// Has the owner of a new directory write to it. Nobody else can put anything else in its place, for it is in one that is closed to others.
fn open_to_owner(parent: BorrowedFd<'_>, name: &[u8]) -> rustix::io::Result<()> {
    fs::chmodat(parent, name, Mode::RWXU, AtFlags::empty())
}

fn is_directory(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::Directory
}

/// What is in a directory, in the reverse order of its bytes.
fn names(directory: BorrowedFd<'_>) -> rustix::io::Result<Vec<Box<[u8]>>> {
    let handle = fs::openat(directory, c".", DIRECTORY, Mode::empty())?;
    let mut buffer = [MaybeUninit::uninit(); 8 << 10];
    let mut entries = RawDir::new(handle, &mut buffer);
    let mut names = Vec::new();
    while let Some(entry) = entries.next() {
        let name: Box<[u8]> = entry?.file_name().to_bytes().into();
        if !matches!(&name[..], b"." | b"..") {
            names.push(name);
        }
    }
    names.sort_unstable_by(|one, other| other.cmp(one));
    Ok(names)
}

fn in_the_way(path: &[u8], why: &str) -> Error {
    Error::new(ErrorKind::Exists, format!("{}: {why}", Shown(path)))
}
