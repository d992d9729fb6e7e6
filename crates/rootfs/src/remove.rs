//! How is a tree removed that an enemy made? Without recursion, without paths and with few open handles, however deep it is: 20,000 levels need
//! the same stack and the same number of handles as two. And how is only that removed which earlier layers left? By asking for every name
//! whether the present layer made it ([`Made`]).
//!
//! A directory further up, whose handle was closed to make room, is opened again as the parent of where we are; it must be the very directory
//! that we came from, so that nobody who moves directories about has us remove something elsewhere.

use std::{
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::{
    fs::{self, AtFlags, FileType, Mode, OFlags, RawDir, SeekFrom, Stat, Timespec, Timestamps},
    io::{Errno, Result},
};

use crate::{
    made::{Identity, Made, identity},
    root::{DIRECTORY, PLACE, open_beside},
};

/// How many handles are kept open.
const HANDLES: usize = 64;
/// How many bytes of names are read at once; deeper down fewer, since each level keeps its own.
const BATCH: usize = 32 << 10;
const DEEP_BATCH: usize = 1 << 10;
/// How often a directory is read again that should be empty and is not.
const RESCANS: u8 = 8;

/// Removes `name` in `parent`, whatever it is. Nothing there is fine.
pub(crate) fn remove_all(parent: BorrowedFd<'_>, name: &[u8]) -> Result<()> {
    match fs::unlinkat(parent, name, AtFlags::empty()) {
        Err(Errno::ISDIR | Errno::PERM) => {}
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(errno) => return Err(errno),
    }
    let Some(top) = enter(parent, name, false)? else {
        return Ok(());
    };
    if Walk::new(top, None).run()? {
        return Err(Errno::NOTEMPTY);
    }
    remove_directory(parent, name)
}

/// Removes of all that is in the directory `name` in `parent` what the present layer did not make; the directory stays.
pub(crate) fn remove_lower(parent: BorrowedFd<'_>, name: &[u8], made: &mut Made) -> Result<()> {
    match enter(parent, name, true)? {
        Some(top) if made.is_cleared(top.identity) => top.restore(),
        Some(top) => Walk::new(top, Some(made)).run().map(drop),
        None => Ok(()),
    }
}

/// Removes of all that is in the directory what the present layer did not make.
pub(crate) fn remove_content_lower(directory: BorrowedFd<'_>, made: &mut Made) -> Result<()> {
    let handle = fs::openat(directory, c".", DIRECTORY, Mode::empty())?;
    Walk::new(Level::new(handle, Vec::new(), true)?, Some(made))
        .run()
        .map(drop)
}

/// Removes a directory that is empty, or gone already.
pub(crate) fn remove_directory(parent: BorrowedFd<'_>, name: &[u8]) -> Result<()> {
    match fs::unlinkat(parent, name, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(errno),
    }
}

/// One directory on the way down.
struct Level {
    /// `None` while it is closed to make room.
    handle: Option<OwnedFd>,
    identity: Identity,
    /// Its name in the level above.
    name: Vec<u8>,
    /// Where to read on.
    cookie: u64,
    /// Directories in it that wait to be entered.
    directories: Vec<Box<[u8]>>,
    /// Something in it stays.
    kept: bool,
    rescans: u8,
    /// How it was before, for one that stays.
    before: Option<(Timespec, Timespec, Mode)>,
}

impl Level {
    fn new(handle: OwnedFd, name: Vec<u8>, stays: bool) -> Result<Self> {
        let seen = fs::fstat(&handle)?;
        let mode = Mode::from_raw_mode(seen.st_mode);
        // Somebody who is not root removes nothing in a directory that is closed to its owner.
        if !mode.contains(Mode::RWXU) && !rustix::process::geteuid().is_root() {
            fs::fchmod(&handle, mode | Mode::RWXU)?;
        }
        Ok(Self {
            handle: Some(handle),
            identity: identity(&seen),
            name,
            cookie: 0,
            directories: Vec::new(),
            kept: false,
            rescans: 0,
            before: stays.then(|| (accessed(&seen), modified(&seen), mode)),
        })
    }

    /// Makes it as it was, after what was removed in it.
    fn restore(&self) -> Result<()> {
        let (Some((accessed, modified, mode)), Some(handle)) = (self.before, &self.handle) else {
            return Ok(());
        };
        if !mode.contains(Mode::RWXU) && !rustix::process::geteuid().is_root() {
            fs::fchmod(handle, mode)?;
        }
        fs::futimens(
            handle,
            &Timestamps {
                last_access: accessed,
                last_modification: modified,
            },
        )
    }
}

pub(crate) fn modified(seen: &Stat) -> Timespec {
    Timespec {
        tv_sec: seen.st_mtime,
        tv_nsec: seen.st_mtime_nsec as _,
    }
}

fn accessed(seen: &Stat) -> Timespec {
    Timespec {
        tv_sec: seen.st_atime,
        tv_nsec: seen.st_atime_nsec as _,
    }
}

/// Opens the directory `name`; `None` where it is none, or no more.
fn enter(parent: BorrowedFd<'_>, name: &[u8], stays: bool) -> Result<Option<Level>> {
    let opened = match open_beside(parent, name, DIRECTORY) {
        Err(Errno::ACCESS) => {
            open_up(parent, name)?;
            open_beside(parent, name, DIRECTORY)
        }
        other => other,
    };
    match opened {
        Ok(handle) => Level::new(handle, name.to_vec(), stays).map(Some),
        Err(Errno::NOTDIR | Errno::LOOP | Errno::NOENT) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// Opens a directory of our own to ourselves, for somebody who is not root.
fn open_up(parent: BorrowedFd<'_>, name: &[u8]) -> Result<()> {
    use std::os::fd::AsRawFd;

    let place = open_beside(parent, name, PLACE | OFlags::DIRECTORY)?;
    let seen = fs::fstat(&place)?;
    if seen.st_uid != rustix::process::geteuid().as_raw() {
        return Err(Errno::ACCESS);
    }
    // A handle that only stands for a file changes nothing of it but by this way.
    let this = format!("/proc/self/fd/{}", place.as_raw_fd());
    fs::chmod(this, Mode::from_raw_mode(seen.st_mode) | Mode::RWXU)
}

struct Walk<'a> {
    levels: Vec<Level>,
    made: Option<&'a mut Made>,
    buffer: Vec<MaybeUninit<u8>>,
}

impl<'a> Walk<'a> {
    fn new(top: Level, made: Option<&'a mut Made>) -> Self {
        Self {
            levels: vec![top],
            made,
            buffer: vec![MaybeUninit::uninit(); BATCH],
        }
    }

    /// Removes what is in the top directory; says whether something stayed.
    fn run(&mut self) -> Result<bool> {
        loop {
            let depth = self.levels.len();
            let Some(level) = self.levels.last_mut() else {
                return Ok(false);
            };
            if let Some(name) = level.directories.pop() {
                self.descend(&name)?;
            } else if !self.read()? {
                let kept = self.levels.last().is_some_and(|level| level.kept);
                if depth == 1 {
                    self.stay()?;
                    return Ok(kept);
                }
                self.ascend()?;
            }
        }
    }

    /// Reads a batch of names, removes what is no directory and notes the directories; `false` at the end.
    fn read(&mut self) -> Result<bool> {
        let depth = self.levels.len();
        let size = if depth > HANDLES { DEEP_BATCH } else { BATCH };
        let Some(level) = self.levels.last_mut() else {
            return Ok(false);
        };
        let handle = level.handle.as_ref().ok_or(Errno::BADF)?.as_fd();
        let mut entries = RawDir::new(handle, &mut self.buffer[..size]);
        let mut read = false;
        // What one call gave is worked off as a whole, so that the handle's position is where to read on.
        while let Some(entry) = entries.next() {
            let entry = entry?;
            read = true;
            level.cookie = entry.next_entry_cookie();
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                let is_directory = match entry.file_type() {
                    FileType::Unknown => match fs::statat(handle, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW) {
                        Ok(seen) => FileType::from_raw_mode(seen.st_mode) == FileType::Directory,
                        Err(Errno::NOENT) => continue,
                        Err(errno) => return Err(errno),
                    },
                    known => known == FileType::Directory,
                };
                if is_directory {
                    level.directories.push(name.into());
                } else if self.made.as_ref().is_some_and(|made| made.has(level.identity, name)) {
                    level.kept = true;
                } else {
                    match fs::unlinkat(handle, entry.file_name(), AtFlags::empty()) {
                        Ok(()) | Err(Errno::NOENT) => {}
                        // It became a directory meanwhile.
                        Err(Errno::ISDIR | Errno::PERM) => level.directories.push(name.into()),
                        Err(errno) => return Err(errno),
                    }
                }
            }
            if entries.is_buffer_empty() {
                break;
            }
        }
        Ok(read)
    }

    fn descend(&mut self, name: &[u8]) -> Result<()> {
        let depth = self.levels.len();
        let level = &mut self.levels[depth - 1];
        let handle = level.handle.as_ref().ok_or(Errno::BADF)?.as_fd();
        let Some(below) = enter(handle, name, self.made.is_some())? else {
            // No directory any more: somebody else is at work here.
            return match fs::unlinkat(handle, name, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => Ok(()),
                Err(errno) => Err(errno),
            };
        };
        // All below it is of the present layer already.
        if self.made.as_ref().is_some_and(|made| made.is_cleared(below.identity)) {
            // Which may be nothing.
            if !self.made.as_ref().is_some_and(|made| made.has(level.identity, name)) {
                match remove_directory(handle, name) {
                    Err(Errno::NOTEMPTY) => {}
                    other => return other,
                }
            }
            level.kept = true;
            return below.restore();
        }
        self.levels.push(below);
        if let Some(shallowest) = (depth + 1).checked_sub(HANDLES + 1) {
            self.levels[shallowest].handle = None;
        }
        Ok(())
    }

    /// Goes back to the level above, and removes where we were unless something stays.
    fn ascend(&mut self) -> Result<()> {
        let [.., level, below] = &mut self.levels[..] else {
            return Ok(());
        };
        if level.handle.is_none() {
            let child = below.handle.as_ref().ok_or(Errno::BADF)?;
            let parent = fs::openat(child, c"..", DIRECTORY, Mode::empty())?;
            let seen = fs::fstat(&parent)?;
            if identity(&seen) != level.identity {
                // Somebody moved the directory elsewhere while it was being removed.
                return Err(Errno::STALE);
            }
            fs::seek(&parent, SeekFrom::Start(level.cookie))?;
            level.handle = Some(parent);
        }
        let made = self
            .made
            .as_ref()
            .is_some_and(|made| made.has(level.identity, &below.name));
        if below.kept || made {
            level.kept = true;
            self.stay()?;
            self.levels.pop();
            return Ok(());
        }
        let handle = level.handle.as_ref().ok_or(Errno::BADF)?.as_fd();
        match remove_directory(handle, &below.name) {
            // What a file system did not show while it shrank is looked for again.
            Err(Errno::NOTEMPTY) if below.rescans < RESCANS => {
                below.rescans += 1;
                below.cookie = 0;
                fs::seek(below.handle.as_ref().ok_or(Errno::BADF)?, SeekFrom::Start(0)).map(drop)
            }
            other => {
                self.levels.pop();
                other
            }
        }
    }

    /// The present level is done, and stays.
    fn stay(&mut self) -> Result<()> {
        if let (Some(level), Some(made)) = (self.levels.last(), self.made.as_mut()) {
            made.set_cleared(level.identity);
            level.restore()?;
        }
        Ok(())
    }
}
