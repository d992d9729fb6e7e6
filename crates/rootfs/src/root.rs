//! Where does an untrusted tree live, and what does a name in it lead to? A [`Root`] is a handle of a directory. Every name is resolved anew,
//! by the kernel, as if that directory were the root of the file system: links to `/run` and to `../../run` stay inside, as they do for a
//! process that lives in there. Nothing is remembered from one name to the next, because a directory can be a link one entry later.

use std::{
    fs::File,
    io::Read,
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    os::unix::ffi::OsStrExt,
    path::Path,
};

use rustix::{
    fs::{self, CWD, FileType, Mode, OFlags, RawDir, ResolveFlags, Stat},
    io::Errno,
};

use crate::{
    Budget, Error, ErrorKind, Result,
    budget::reached,
    name::{Leaf, Shown, parts, split},
    remove::remove_all,
};

/// Resolution that never leaves the root, passes through `/proc`'s links or enters another mount.
const INSIDE: ResolveFlags = ResolveFlags::IN_ROOT
    .union(ResolveFlags::NO_MAGICLINKS)
    .union(ResolveFlags::NO_XDEV);

/// Resolution of one name in a directory, which is no link and no mount.
const BESIDE: ResolveFlags = ResolveFlags::BENEATH
    .union(ResolveFlags::NO_SYMLINKS)
    .union(ResolveFlags::NO_MAGICLINKS)
    .union(ResolveFlags::NO_XDEV);

/// A directory to read and to look into.
pub(crate) const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::NONBLOCK)
    .union(OFlags::CLOEXEC);

/// A handle that only stands for what was found.
pub(crate) const PLACE: OFlags = OFlags::PATH.union(OFlags::CLOEXEC);

/// How often a resolution is begun anew where somebody renames directories all the while.
const RETRIES: u32 = 1000;

/// The root of an untrusted tree.
#[derive(Debug)]
pub struct Root {
    handle: OwnedFd,
}

impl Root {
    /// Opens the directory at `path`, which is the caller's own name for it: links in it are followed as usual.
    ///
    /// # Errors
    /// It is not there, is no directory, or may not be read.
    pub fn open(path: &Path) -> Result<Self> {
        let name = path.as_os_str().as_bytes();
        fs::open(path, DIRECTORY.difference(OFlags::NOFOLLOW), Mode::empty())
            .map(Self::from)
            .map_err(|errno| Error::system(name, "open the directory", errno))
    }

    /// Makes a directory at `path`, closed to others (0700), and opens it.
    ///
    /// # Errors
    /// Something is there already ([`ErrorKind::Exists`]), or its parent is not.
    pub fn create(path: &Path) -> Result<Self> {
        let name = path.as_os_str().as_bytes();
        make(CWD, name)
            .map(Self::from)
            .map_err(|errno| Error::system(name, "make the directory", errno))
    }

    /// Makes a directory in this one, closed to others (0700), and opens it as a root of its own.
    ///
    /// # Errors
    /// Something is there already ([`ErrorKind::Exists`]), or `name` is more than one name.
    pub fn create_in(&self, name: &str) -> Result<Self> {
        let leaf = one_name(name)?;
        make(self.as_fd(), leaf)
            .map(Self::from)
            .map_err(|errno| Error::system(leaf, "make the directory", errno))
    }

    /// Makes an empty file in this directory, to be written: for what the caller itself puts there.
    ///
    /// # Errors
    /// Something is there already ([`ErrorKind::Exists`]), or `name` is more than one name.
    pub fn create_file(&self, name: &str) -> Result<File> {
        let leaf = one_name(name)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        fs::openat(&self.handle, leaf, flags, Mode::from_raw_mode(0o644))
            .map(File::from)
            .map_err(|errno| Error::system(leaf, "make the file", errno))
    }

    /// Opens a directory in this one as a root of its own. A link is not followed; what is mounted there is entered.
    ///
    /// # Errors
    /// It is not there ([`ErrorKind::NotFound`]), is a link or no directory ([`ErrorKind::Refused`]), or `name` is more than one name.
    pub fn open_in(&self, name: &str) -> Result<Self> {
        let leaf = one_name(name)?;
        // Of what is no directory, and of a link, the kernel says the same.
        fs::openat(&self.handle, leaf, DIRECTORY, Mode::empty())
            .map(Self::from)
            .map_err(|errno| Error::system(leaf, "open the directory", errno))
    }

    /// Gives a file in this directory another name in it, in place of what has that name now, all at once.
    ///
    /// # Errors
    /// It is not there, a directory has the name, or one of them is more than one name. All is as it was then.
    pub fn rename(&self, from: &str, to: &str) -> Result<()> {
        let (from, to) = (one_name(from)?, one_name(to)?);
        fs::renameat(&self.handle, from, &self.handle, to).map_err(|errno| Error::system(from, "rename it", errno))
    }

    /// How many bytes its file system has free for this user, as it says.
    ///
    /// # Errors
    /// It does not say.
    pub fn free_bytes(&self) -> Result<u64> {
        let said =
            fs::fstatvfs(&self.handle).map_err(|errno| Error::system(b".", "ask how much room there is", errno))?;
        Ok(said.f_bavail.saturating_mul(said.f_frsize))
    }

    /// Whether nothing is in this directory.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn is_empty(&self) -> Result<bool> {
        let failed = |errno| Error::system(b".", "read the directory", errno);
        let listed = fs::openat(&self.handle, c".", DIRECTORY, Mode::empty()).map_err(failed)?;
        let mut buffer = [MaybeUninit::uninit(); 1 << 10];
        let mut entries = RawDir::new(listed, &mut buffer);
        while let Some(entry) = entries.next() {
            if !matches!(entry.map_err(failed)?.file_name().to_bytes(), b"." | b"..") {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Another handle of the same directory.
    ///
    /// # Errors
    /// There are no more handles.
    pub fn try_clone(&self) -> Result<Self> {
        let handle = self
            .handle
            .try_clone()
            .map_err(|error| Error::new(ErrorKind::Io, "cannot copy the handle of the root").with_cause(error))?;
        Ok(Self { handle })
    }

    /// Opens a regular file to be read; links in `path` are followed inside the tree. `None` where nothing is.
    ///
    /// # Errors
    /// What is there is no regular file (it is not opened then: a device's driver sees nothing), or `path` leads in circles.
    pub fn open_file(&self, path: &[u8]) -> Result<Option<File>> {
        let whole = split(path, &Budget::default())?.whole;
        let failed = |errno| Error::system(path, "open the file", errno);
        // First a handle that opens nothing: only what is known to be a regular file is opened.
        let found = match self.resolve(whole, PLACE) {
            Ok(found) => found,
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
            Err(errno) => return Err(failed(errno)),
        };
        let seen = fs::fstat(&found).map_err(failed)?;
        regular(path, &seen)?;
        let opened = match self.resolve(
            whole,
            OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC,
        ) {
            Ok(opened) => opened,
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
            Err(errno) => return Err(failed(errno)),
        };
        let now = fs::fstat(&opened).map_err(failed)?;
        regular(path, &now)?;
        Ok(Some(File::from(opened)))
    }

    /// Reads a regular file of at most `limit` bytes; links in `path` are followed inside the tree. `None` where nothing is.
    ///
    /// # Errors
    /// As [`open_file`](Self::open_file); or the file is longer ([`ErrorKind::Limit`]).
    pub fn read(&self, path: &[u8], limit: u64) -> Result<Option<Vec<u8>>> {
        let Some(file) = self.open_file(path)? else {
            return Ok(None);
        };
        let mut content = Vec::new();
        file.take(limit.saturating_add(1))
            .read_to_end(&mut content)
            .map_err(|error| Error::new(ErrorKind::Io, format!("{}: cannot be read", Shown(path))).with_cause(error))?;
        if content.len() as u64 > limit {
            return Err(reached(path, "limit", limit, format_args!("it has more bytes")));
        }
        Ok(Some(content))
    }

    /// Removes what is at `path`, with all that is in it, however deep; a link is removed, and not what it leads to. Nothing there is fine.
    ///
    /// # Errors
    /// It is the root itself, another file system is mounted in it, or the system refuses. Part of it may be gone then.
    pub fn remove(&self, path: &[u8]) -> Result<()> {
        let split = split(path, &Budget::default())?;
        let Leaf::Name(name) = split.leaf else {
            return Err(Error::refused(
                path,
                "only what has a name in a directory can be removed",
            ));
        };
        let failed = |errno| Error::system(path, "remove it", errno);
        match self.directory(split.parent) {
            Ok(parent) => remove_all(parent.as_fd(), name).map_err(failed),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(()),
            Err(errno) => Err(failed(errno)),
        }
    }

    /// A handle of the directory that `path` leads to, inside.
    pub(crate) fn directory(&self, path: &[u8]) -> rustix::io::Result<OwnedFd> {
        self.resolve(path, PLACE | OFlags::DIRECTORY)
    }

    /// Opens what `path` leads to, inside.
    pub(crate) fn resolve(&self, path: &[u8], flags: OFlags) -> rustix::io::Result<OwnedFd> {
        self.resolve_or_make(path, flags, Mode::empty())
    }

    /// Opens what `path` leads to, inside, or makes a file there with this mode, as `flags` say.
    pub(crate) fn resolve_or_make(&self, path: &[u8], flags: OFlags, mode: Mode) -> rustix::io::Result<OwnedFd> {
        again(|| fs::openat2(&self.handle, path, flags, mode, INSIDE))
    }
}

impl From<OwnedFd> for Root {
    /// A directory that is open already, to be read (not with `O_PATH`).
    fn from(handle: OwnedFd) -> Self {
        Self { handle }
    }
}

impl AsFd for Root {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.handle.as_fd()
    }
}

/// Opens the directory `name` in `parent`, which is neither a link nor a mount.
pub(crate) fn open_beside(parent: BorrowedFd<'_>, name: &[u8], flags: OFlags) -> rustix::io::Result<OwnedFd> {
    again(|| fs::openat2(parent, name, flags | OFlags::NOFOLLOW, Mode::empty(), BESIDE))
}

/// Begins a resolution anew that the kernel could not vouch for, because directories were renamed meanwhile.
fn again(mut resolve: impl FnMut() -> rustix::io::Result<OwnedFd>) -> rustix::io::Result<OwnedFd> {
    for _ in 0..RETRIES {
        match resolve() {
            Err(Errno::AGAIN | Errno::INTR) => {}
            other => return other,
        }
    }
    resolve()
}

pub(crate) fn make(parent: BorrowedFd<'_>, name: &[u8]) -> rustix::io::Result<OwnedFd> {
    fs::mkdirat(parent, name, Mode::RWXU)?;
    let made = fs::openat(parent, name, DIRECTORY, Mode::empty())?;
    // A parent can pass on its group's bit, and rules of its own for what is made in it.
    fs::fchmod(&made, Mode::RWXU)?;
    for rules in ["system.posix_acl_access", "system.posix_acl_default"] {
        match fs::fremovexattr(&made, rules) {
            Ok(()) | Err(Errno::NODATA | Errno::OPNOTSUPP) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(made)
}

/// What the caller itself calls something in a directory.
fn one_name(name: &str) -> Result<&[u8]> {
    match parts(name.as_bytes()).leaf {
        Leaf::Name(leaf) if leaf == name.as_bytes() => Ok(leaf),
        _ => Err(Error::refused(name.as_bytes(), "it is not one name")),
    }
}

fn regular(path: &[u8], seen: &Stat) -> Result<()> {
    match FileType::from_raw_mode(seen.st_mode) {
        FileType::RegularFile => Ok(()),
        FileType::Directory => Err(Error::refused(path, "it is a directory, and no file")),
        _ => Err(Error::refused(path, "it is no regular file")),
    }
}
