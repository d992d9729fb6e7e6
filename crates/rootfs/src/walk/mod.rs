//! What files stand in a tree? A [`Walk`] reads them in an order that is the same on every machine: a directory before what is in it, names
//! in the order of their bytes.
//!
//! It goes by handles: every directory is opened in the one above it, by a single name that is not followed, and must be the one that was
//! seen there. Whoever renames and links in the tree while it is walked makes the walk fail, and never has it read a file outside. Few
//! handles are open at a time, however deep the tree.

mod attributes;
mod content;
mod failure;
mod level;
mod links;

use std::{
    ffi::CStr,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
};

use rustix::{
    fs::{self, AtFlags, FileType, Mode, OFlags},
    io::Errno,
};

use crate::{Device, Error, ErrorKind, Metadata, Node, Result, Time};

use failure::{changed, limit, system};
use level::{Level, Names};
use links::Links;

pub use content::Content;

/// How many directories are open at a time. Those above are opened again, from below, when the walk comes back to them.
const OPEN: usize = 32;

/// How a directory is opened to be listed.
const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::NONBLOCK)
    .union(OFlags::CLOEXEC);

/// What is said where a name leads elsewhere by now.
const EXCHANGED: &str = "another file took its place while the tree was read";

/// How a tree is walked.
#[derive(Clone, Debug)]
pub struct Options {
    /// How much the tree may ask for.
    pub limits: Limits,
    /// Which extended attributes are read, by name.
    pub xattrs: fn(&[u8]) -> bool,
    /// Whether a directory on which another file system is mounted is given, but not what is in it.
    pub one_file_system: bool,
}

impl Default for Options {
    /// The default limits, all extended attributes, all file systems.
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            xattrs: |_| true,
            one_file_system: false,
        }
    }
}

/// How much a tree may ask for. An error that comes of a limit names its field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Files of all kinds. Default 10,000,000.
    pub entries: u64,
    /// Bytes of a path, from the tree's own top. Default 4096, Linux's `PATH_MAX`: what is longer is refused by most who read a layer.
    pub path_bytes: usize,
    /// Bytes of memory, about: the names in the directories that are being walked, and the paths of files with several names, until all of
    /// these were seen. Default 128 MiB.
    pub memory_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            entries: 10_000_000,
            path_bytes: 4096,
            memory_bytes: 128 << 20,
        }
    }
}

/// What a file system says of a file beside its metadata: by this one tells whether it is still the file that it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// The file system.
    pub device: u64,
    /// The file in it.
    pub inode: u64,
    /// When anything of it was changed last, content, metadata or the number of its names.
    pub ctime: Time,
    /// Bytes of content, or whatever the file system calls the size of another kind of file.
    pub size: u64,
    /// How many names it has.
    pub links: u64,
}

impl Stat {
    fn is_same_file(&self, other: &Self) -> bool {
        (self.device, self.inode) == (other.device, other.inode)
    }

    /// Whether it is the same file, and nobody changed it in between.
    fn is_unchanged(&self, other: &Self) -> bool {
        self.is_same_file(other) && (self.ctime, self.size) == (other.ctime, other.size)
    }
}

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
    at: At<'a>,
    options: &'a Options,
}

/// Where a file is found, and the handle by which it was opened, if it was.
#[derive(Debug)]
struct At<'a> {
    /// The directory and the name in it; none for the top, which is open.
    place: Option<(BorrowedFd<'a>, &'a CStr)>,
    opened: &'a mut Option<OwnedFd>,
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
                let (path, handle) = (self.path, self.handle()?);
                attributes::of_handle(handle, wanted).map_err(system(path, "read the extended attributes of"))?
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
            let message = format!("{}: only regular files have content", failure::Shown(self.path));
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
            *self.at.opened = Some(open_seen(directory, name, kind, &self.stat, self.path)?);
        }
        match &*self.at.opened {
            Some(opened) => Ok(opened.as_fd()),
            None => Err(changed(self.path, "it is not open any more")),
        }
    }
}

/// Opens what was seen under a name, and nothing else.
fn open_seen(directory: BorrowedFd<'_>, name: &CStr, kind: OFlags, seen: &Stat, path: &[u8]) -> Result<OwnedFd> {
    // Not to be held up by a pipe, nor to get a terminal, where the file was exchanged for one.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC | kind;
    let opened = fs::openat(directory, name, flags, Mode::empty()).map_err(|errno| match errno {
        Errno::LOOP | Errno::NOTDIR | Errno::NOENT | Errno::NXIO => changed(path, EXCHANGED),
        errno => system(path, "open")(errno),
    })?;
    let now = stat_of(&fs::fstat(&opened).map_err(system(path, "look at"))?);
    let same = match kind.contains(OFlags::DIRECTORY) {
        // That files come and go in it is seen where they are read.
        true => now.is_same_file(seen),
        false => now.is_unchanged(seen),
    };
    match same {
        true => Ok(opened),
        false => Err(changed(path, "it was changed while the tree was read")),
    }
}

/// Reads a tree, file by file.
#[derive(Debug)]
pub struct Walk {
    levels: Vec<Level>,
    path: Vec<u8>,
    options: Options,
    links: Links,
    /// Of the file given last.
    opened: Option<OwnedFd>,
    next: Next,
    entries: u64,
    /// Bytes of names in `levels`.
    names: usize,
    device: u64,
}

/// What comes after the file that was given last.
#[derive(Debug)]
enum Next {
    /// The first one.
    Top(Stat, fs::Stat),
    /// Another one beside it or above.
    Beside,
    /// What is in it.
    Into(Stat),
    /// Nothing: it failed.
    Failed,
}

impl Walk {
    /// Begins at a path that the caller means, with all links in it followed but the last name: a directory, or a file, which is then the
    /// only one. The first that is given is this one.
    ///
    /// # Errors
    /// `NotFound`; `Io` where it cannot be read.
    pub fn open(path: &Path, options: Options) -> Result<Self> {
        let bytes = path.as_os_str().as_bytes();
        match fs::open(path, DIRECTORY, Mode::empty()) {
            Ok(directory) => Self::top(directory, bytes, options),
            Err(Errno::NOTDIR | Errno::LOOP) => Self::single(path, options),
            Err(errno) => Err(system(bytes, "open")(errno)),
        }
    }

    /// Begins at a directory that is open, if only as a path.
    ///
    /// # Errors
    /// `Io` where it cannot be read.
    pub fn of(directory: impl AsFd, options: Options) -> Result<Self> {
        let opened = fs::openat(directory, c".", DIRECTORY, Mode::empty()).map_err(system(b".", "open"))?;
        Self::top(opened, b".", options)
    }

    fn top(directory: OwnedFd, shown: &[u8], options: Options) -> Result<Self> {
        let raw = fs::fstat(&directory).map_err(system(shown, "look at"))?;
        let stat = stat_of(&raw);
        let mut walk = Self::new(stat.device, options);
        walk.opened = Some(directory);
        walk.next = Next::Top(stat, raw);
        Ok(walk)
    }

    /// Of a file: it is found as the one name of its directory.
    fn single(path: &Path, options: Options) -> Result<Self> {
        let bytes = path.as_os_str().as_bytes();
        let Some(name) = path.file_name() else {
            return Err(system(bytes, "open")(Errno::NOTDIR));
        };
        let parent = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let flags = DIRECTORY.difference(OFlags::NOFOLLOW);
        let directory = fs::open(parent, flags, Mode::empty()).map_err(system(bytes, "open"))?;
        let stat = stat_of(&fs::fstat(&directory).map_err(system(bytes, "look at"))?);
        let mut walk = Self::new(stat.device, options);
        let names = Names::of(name.as_bytes()).ok_or_else(|| system(bytes, "open")(Errno::INVAL))?;
        walk.levels.push(Level::new(directory, stat, names, 0));
        Ok(walk)
    }

    fn new(device: u64, options: Options) -> Self {
        Self {
            levels: Vec::new(),
            path: Vec::new(),
            options,
            links: Links::default(),
            opened: None,
            next: Next::Beside,
            entries: 0,
            names: 0,
            device,
        }
    }

    /// The next file; none after the last one.
    ///
    /// # Errors
    /// `Changed` where the tree is changed while it is read; `Limit` where it reaches one; `Refused` where the file system gives names that are
    /// none; `Io` where it cannot be read. A walk that failed stays failed.
    pub fn next_file(&mut self) -> Result<Option<Found<'_>>> {
        let next = std::mem::replace(&mut self.next, Next::Failed);
        let raw = match next {
            Next::Failed => return Err(Error::new(ErrorKind::Io, "the walk through the tree failed before")),
            Next::Top(stat, raw) => {
                self.next = Next::Into(stat);
                raw
            }
            Next::Into(stat) => {
                self.descend(stat)?;
                match self.advance()? {
                    Some(raw) => raw,
                    None => return Ok(None),
                }
            }
            Next::Beside => match self.advance()? {
                Some(raw) => raw,
                None => return Ok(None),
            },
        };
        self.found(&raw).map(Some)
    }

    /// Goes not into the directory that was given last; of a file, says that its other names are no links to this one.
    pub fn skip(&mut self) {
        if let Next::Into(_) = self.next {
            self.opened = None;
            self.next = Next::Beside;
        }
        self.links.forget_last();
    }

    /// Opens the directory that was given last, and reads the names in it.
    fn descend(&mut self, stat: Stat) -> Result<()> {
        let opened = match self.opened.take() {
            Some(opened) => opened,
            None => match self.levels.last().and_then(Level::current) {
                Some((directory, name)) => open_seen(directory, name, OFlags::DIRECTORY, &stat, &self.path)?,
                None => return Err(changed(&self.path, "it is not open any more")),
            },
        };
        let room = self.options.limits.memory_bytes.saturating_sub(self.memory());
        let names = Names::read(opened.as_fd(), room, &self.path)?;
        let Some(names) = names else {
            return Err(self.memory_reached());
        };
        self.names += names.memory();
        if let Some(above) = self.levels.len().checked_sub(OPEN) {
            self.levels[above].close();
        }
        self.levels.push(Level::new(opened, stat, names, self.path.len()));
        Ok(())
    }

    /// Goes to the next name, leaving directories that are done.
    fn advance(&mut self) -> Result<Option<fs::Stat>> {
        self.opened = None;
        loop {
            let Some(level) = self.levels.last_mut() else {
                self.next = Next::Beside;
                return Ok(None);
            };
            if level.advance() {
                break;
            }
            self.ascend()?;
        }
        let Some(level) = self.levels.last() else {
            return Ok(None);
        };
        self.path.truncate(level.path);
        let Some((directory, name)) = level.current() else {
            return Err(changed(&self.path, "it is not open any more"));
        };
        // Of a single file the path is empty, as that of a tree's top.
        if self.levels.len() > 1 || !level.is_single() {
            if !self.path.is_empty() {
                self.path.push(b'/');
            }
            self.path.extend_from_slice(name.to_bytes());
        }
        let limits = &self.options.limits;
        if self.path.len() > limits.path_bytes {
            let what = format_args!("its path has {} bytes", self.path.len());
            return Err(limit(&self.path, "path_bytes", limits.path_bytes as u64, what));
        }
        let raw = fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT);
        let raw = raw.map_err(|errno| match errno {
            Errno::NOENT => changed(&self.path, "it vanished while the tree was read"),
            errno => system(&self.path, "look at")(errno),
        })?;
        let mount = self.options.one_file_system && stat_of(&raw).device != self.device;
        self.next = match FileType::from_raw_mode(raw.st_mode) {
            FileType::Directory if !mount => Next::Into(stat_of(&raw)),
            _ => Next::Beside,
        };
        Ok(Some(raw))
    }

    /// Leaves a directory that is done, and opens the one above it again where it was closed.
    fn ascend(&mut self) -> Result<()> {
        let Some(done) = self.levels.pop() else {
            return Ok(());
        };
        self.names -= done.memory().min(self.names);
        if let Some(above) = self.levels.last_mut() {
            above.reopen(&done, &self.path)?;
        }
        Ok(())
    }

    fn found(&mut self, raw: &fs::Stat) -> Result<Found<'_>> {
        self.entries += 1;
        let limits = &self.options.limits;
        if self.entries > limits.entries {
            self.next = Next::Failed;
            let what = format_args!("there are more files in the tree");
            return Err(limit(&self.path, "entries", limits.entries, what));
        }
        let stat = stat_of(raw);
        let kind = FileType::from_raw_mode(raw.st_mode);
        let link = match kind {
            FileType::Directory | FileType::Socket => {
                self.links.forget();
                None
            }
            _ => self.links.see(&stat, &self.path),
        };
        if self.memory() > limits.memory_bytes {
            self.next = Next::Failed;
            return Err(self.memory_reached());
        }
        let place = match self.levels.last() {
            Some(level) if !self.path.is_empty() || level.is_single() => level.current(),
            _ => None,
        };
        let node = match node(raw, kind, place) {
            Ok(node) => node,
            Err(errno) => {
                self.next = Next::Failed;
                return Err(match errno {
                    Errno::INVAL | Errno::NOENT => changed(&self.path, EXCHANGED),
                    errno => system(&self.path, "read")(errno),
                });
            }
        };
        Ok(Found {
            path: &self.path,
            node,
            metadata: Metadata {
                mode: raw.st_mode & 0o7777,
                uid: raw.st_uid,
                gid: raw.st_gid,
                mtime: time(raw.st_mtime, raw.st_mtime_nsec),
                ..Metadata::default()
            },
            stat,
            link,
            at: At {
                place,
                opened: &mut self.opened,
            },
            options: &self.options,
        })
    }

    fn memory(&self) -> usize {
        self.names + self.links.memory()
    }

    fn memory_reached(&self) -> Error {
        let bytes = self.options.limits.memory_bytes;
        let what = format_args!("it has more names, and files with several names, than are kept in mind");
        limit(&self.path, "memory_bytes", bytes as u64, what)
    }
}

fn node(raw: &fs::Stat, kind: FileType, place: Option<(BorrowedFd<'_>, &CStr)>) -> std::result::Result<Node, Errno> {
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

fn stat_of(raw: &fs::Stat) -> Stat {
    Stat {
        device: raw.st_dev,
        inode: raw.st_ino,
        ctime: time(raw.st_ctime, raw.st_ctime_nsec),
        size: u64::try_from(raw.st_size).unwrap_or_default(),
        // Of another width on other machines.
        #[allow(clippy::useless_conversion, reason = "of another width on other machines")]
        links: u64::from(raw.st_nlink),
    }
}

fn time(seconds: i64, nanoseconds: u64) -> Time {
    Time {
        seconds,
        nanoseconds: u32::try_from(nanoseconds).unwrap_or_default(),
    }
}
