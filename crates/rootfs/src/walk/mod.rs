//! What files stand in a tree? A [`Walk`] reads them in an order that is the same on every machine: a directory before what is in it, names
//! in the order of their bytes.
//!
//! It goes by handles: every directory is opened in the one above it, by a single name that is not followed, and must be the one that was
//! seen there. Whoever renames and links in the tree while it is walked makes the walk fail, and never has it read a file outside. Few
//! handles are open at a time, however deep the tree.

mod attributes;
mod content;
mod failure;
mod found;
mod level;
mod links;
mod options;
mod stat;

use std::{
    os::{
        fd::{AsFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
};

use rustix::{
    fs::{self, AtFlags, FileType, Mode, OFlags},
    io::Errno,
};

use crate::{Error, ErrorKind, Metadata, Result};

use failure::{changed, limit, system};
use found::{At, EXCHANGED, node, open_seen};
use level::{Held, Level, Names};
use links::Links;
use stat::{stat_of, time};

pub use content::Content;
pub use found::Found;
pub use options::{Limits, Options};
pub use stat::Stat;

/// How many directories are open at a time. Those above are opened again, from below, when the walk comes back to them.
const OPEN: usize = 32;

/// How a directory is opened to be listed.
const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::NONBLOCK)
    .union(OFlags::CLOEXEC);

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

    /// The same, but of what is in the directory only what comes at `first`, a path from there, or behind it: what a walk of all gives once it does not
    /// stand before that. Nothing need be at `first`; empty, it is the directory itself. Limits are of this walk alone, and so are
    /// [links](Options::links): who has a name before `first` too is given as a file of its own.
    ///
    /// # Errors
    /// As [`next_file`](Self::next_file).
    pub fn behind(directory: impl AsFd, first: &[u8], options: Options) -> Result<Self> {
        let mut walk = Self::of(directory, options)?;
        if first.is_empty() {
            return Ok(walk);
        }
        let Next::Top(mut stat, _) = walk.next else {
            return Ok(walk);
        };
        let mut names = first.split(|byte| *byte == b'/').peekable();
        while let Some(name) = names.next() {
            walk.next = Next::Failed;
            walk.descend(stat)?;
            walk.next = Next::Beside;
            let is_there = walk.levels.last_mut().is_some_and(|level| level.go_before(name));
            if !is_there || names.peek().is_none() {
                break;
            }
            walk.advance()?;
            match walk.next {
                Next::Into(into) => stat = into,
                _ => break,
            }
        }
        Ok(walk)
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
        walk.levels.push(Level::new(directory, stat, names, None, 0));
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
                Some((directory, name)) => {
                    let about = (&self.path[..], &self.options);
                    open_seen(directory, name, OFlags::DIRECTORY, &stat, about)?.0
                }
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
        let held = match self.options.open_own {
            true => Held::open(opened.as_fd(), &self.path)?,
            false => None,
        };
        self.levels.push(Level::new(opened, stat, names, held, self.path.len()));
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
            _ if self.options.links => self.links.see(&stat, &self.path),
            _ => None,
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
