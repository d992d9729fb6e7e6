//! What is a file that was found, and how is it read? It must be the one that was seen there.

use std::{
    ffi::CStr,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
};

use rustix::{
    fs::{self, FileType, Mode, OFlags},
    io::Errno,
};

use crate::{Device, Error, ErrorKind, Metadata, Node, Result};

use super::{
    attributes,
    content::Content,
    failure::{Shown, changed, system},
    level::Held,
    options::Options,
    stat::{Stat, stat_of},
};

/// What is said where a name leads elsewhere by now.
pub(super) const EXCHANGED: &str = "another file took its place while the tree was read";

/// A file that was found. What is not in its `stat` is read only when it is asked for.
#[derive(Debug)]
pub struct Found<'a> {
    /// The path from the top of the tree, without a slash at either end; empty for the top itself.
    pub path: &'a [u8],
    /// What it is.
    pub node: Node,
    /// Mode, owner and time; the extended attributes are empty until [`Self::read_xattrs`] fills them in.
    pub metadata: Metadata,
    /// What tells whether it has changed.
    pub stat: Stat,
    /// The path at which the walk gave the same file before, where it has several names.
    pub link: Option<Vec<u8>>,
    pub(super) at: At<'a>,
    pub(super) options: &'a Options,
}

/// Where a file is found, and the handle by which it was opened, if it was.
#[derive(Debug)]
pub(super) struct At<'a> {
    /// The directory and the name in it; none for the top, which is open.
    pub(super) place: Option<(BorrowedFd<'a>, &'a CStr)>,
    pub(super) opened: &'a mut Option<OwnedFd>,
}

impl Found<'_> {
    /// Fills the extended attributes in that the options ask for.
    ///
    /// # Errors
    /// `Changed` where it is another file by now; `Io` where it cannot be read, which for files of others takes privileges.
    pub fn read_xattrs(&mut self) -> Result<()> {
        let wanted = self.options.xattrs;
        let xattrs = match (&self.node, self.at.place) {
            (Node::File(_) | Node::Directory, _) => {
                let (path, open_own) = (self.path, self.options.open_own);
                let failed = |errno| system(path, "read the extended attributes of")(errno);
                let handle = self.handle()?;
                match attributes::of_handle(handle, wanted) {
                    // Open as it is, the kernel asks for the mode again.
                    Err(Errno::ACCESS) if open_own => {
                        let held = Held::open(handle, path)?;
                        let read = attributes::of_handle(handle, wanted).map_err(failed);
                        drop(held);
                        let now = stat_of(&fs::fstat(handle).map_err(failed)?);
                        self.stat = now;
                        read?
                    }
                    read => read.map_err(failed)?,
                }
            }
            (_, Some((directory, name))) => attributes::of_name(directory, name, wanted)
                .map_err(system(self.path, "read the extended attributes of"))?,
            (_, None) => return Ok(()),
        };
        self.metadata.xattrs = xattrs;
        Ok(())
    }

    /// The content of a regular file. It ends in an error where the file changes before its end was read.
    ///
    /// # Errors
    /// `Changed` where it is another file by now; `Unsupported` for what is no regular file; `Io` where it cannot be read.
    pub fn open(&mut self) -> Result<Content> {
        if !matches!(self.node, Node::File(_)) {
            let message = format!("{}: only regular files have content", Shown(self.path));
            return Err(Error::new(ErrorKind::Unsupported, message));
        }
        self.handle()?;
        let handle = self.at.opened.take();
        let handle = handle.ok_or_else(|| changed(self.path, "it was read before"))?;
        Ok(Content::new(handle, self.stat, self.path))
    }

    /// A handle to read a regular file or a directory by; opened once.
    fn handle(&mut self) -> Result<BorrowedFd<'_>> {
        if self.at.opened.is_none()
            && let Some((directory, name)) = self.at.place
        {
            let kind = match self.node {
                Node::Directory => OFlags::DIRECTORY,
                _ => OFlags::empty(),
            };
            let (opened, stat) = open_seen(directory, name, kind, &self.stat, (self.path, self.options))?;
            *self.at.opened = Some(opened);
            self.stat = stat;
        }
        match &*self.at.opened {
            Some(opened) => Ok(opened.as_fd()),
            None => Err(changed(self.path, "it is not open any more")),
        }
    }
}

/// Opens what was seen under a name, and nothing else. What it is like now is what was seen, but for the time of change of what had to be opened
/// to its owner first.
pub(super) fn open_seen(
    directory: BorrowedFd<'_>,
    name: &CStr,
    kind: OFlags,
    seen: &Stat,
    (path, options): (&[u8], &Options),
) -> Result<(OwnedFd, Stat)> {
    // Not to be held up by a pipe, nor to get a terminal, where the file was exchanged for one.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC | kind;
    match fs::openat(directory, name, flags, Mode::empty()) {
        Ok(opened) => {
            is_as_seen(opened.as_fd(), kind, seen, path)?;
            Ok((opened, *seen))
        }
        Err(Errno::ACCESS) if options.open_own => open_own(directory, name, kind, seen, path),
        Err(errno) => Err(not_opened(path, errno)),
    }
}

fn not_opened(path: &[u8], errno: Errno) -> Error {
    match errno {
        Errno::LOOP | Errno::NOTDIR | Errno::NOENT | Errno::NXIO => changed(path, EXCHANGED),
        errno => system(path, "open")(errno),
    }
}

fn is_as_seen(opened: BorrowedFd<'_>, kind: OFlags, seen: &Stat, path: &[u8]) -> Result<Mode> {
    let raw = fs::fstat(opened).map_err(system(path, "look at"))?;
    let now = stat_of(&raw);
    let same = match kind.contains(OFlags::DIRECTORY) {
        // That files come and go in it is seen where they are read.
        true => now.is_same_file(seen),
        false => now.is_unchanged(seen),
    };
    match same {
        true => Ok(Mode::from_raw_mode(raw.st_mode)),
        false => Err(changed(path, "it was changed while the tree was read")),
    }
}

/// Opens what its mode closes to its owner, who may change that: by a handle that only stands for it, so that it is this file and no other.
fn open_own(directory: BorrowedFd<'_>, name: &CStr, kind: OFlags, seen: &Stat, path: &[u8]) -> Result<(OwnedFd, Stat)> {
    let denied = || system(path, "open")(Errno::ACCESS);
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let place = fs::openat(directory, name, flags, Mode::empty()).map_err(|errno| not_opened(path, errno))?;
    let mode = is_as_seen(place.as_fd(), kind, seen, path)?;
    let open = match kind.contains(OFlags::DIRECTORY) {
        true => mode | Mode::RUSR | Mode::XUSR,
        false => mode | Mode::RUSR,
    };
    if open == mode {
        // Something else closes it.
        return Err(denied());
    }
    let this = format!("/proc/self/fd/{}", place.as_raw_fd());
    fs::chmod(&this, open).map_err(|_| denied())?;
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC | kind;
    let opened = fs::open(&this, flags, Mode::empty());
    fs::chmod(&this, mode).map_err(system(path, "give back its mode to"))?;
    let opened = opened.map_err(system(path, "open"))?;
    let now = stat_of(&fs::fstat(&opened).map_err(system(path, "look at"))?);
    Ok((opened, now))
}

pub(super) fn node(
    raw: &fs::Stat,
    kind: FileType,
    place: Option<(BorrowedFd<'_>, &CStr)>,
) -> std::result::Result<Node, Errno> {
    let device = Device {
        major: fs::major(raw.st_rdev),
        minor: fs::minor(raw.st_rdev),
    };
    Ok(match kind {
        FileType::RegularFile => Node::File(u64::try_from(raw.st_size).unwrap_or_default()),
        FileType::Directory => Node::Directory,
        FileType::Symlink => {
            let (directory, name) = place.ok_or(Errno::INVAL)?;
            Node::Symlink(fs::readlinkat(directory, name, Vec::new())?.into_bytes())
        }
        FileType::Fifo => Node::Fifo,
        FileType::CharacterDevice => Node::CharDevice(device),
        FileType::BlockDevice => Node::BlockDevice(device),
        FileType::Socket => Node::Socket,
        FileType::Unknown => return Err(Errno::OPNOTSUPP),
    })
}
