//! Which directories get their time, and their mode, only later? Whatever is made in a directory changes its time, so times come last. They are not
//! set by the names that were remembered, blindly: a name can lead elsewhere by then. It is resolved anew, inside, and what it leads to must
//! be the very directory that was meant.
//!
//! The file system itself is the memory: before the first change in a directory we read its time, which was right, and give it back in the end.
//! So this list may be emptied whenever it grows too long, and is bounded.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;

use rustix::{
    fs::{self, AtFlags, Mode, OFlags, Timespec, Timestamps},
    io::Errno,
};

use crate::{
    Error, ErrorKind, Result,
    made::Itself,
    root::{PLACE, Root},
};

/// How much is remembered before times are set.
const LONGEST: usize = 16 << 20;
/// What one directory takes but for its path.
const EACH: usize = size_of::<Late>() + 2 * size_of::<(u64, u32)>();

/// The directories that wait.
#[derive(Debug, Default)]
pub(crate) struct Directories {
    list: Vec<Late>,
    paths: Vec<u8>,
    by_inode: HashMap<u64, u32, BuildHasherDefault<Itself>>,
    last: Option<u64>,
}

#[derive(Debug)]
struct Late {
    inode: u64,
    start: usize,
    length: u16,
    mtime: Timespec,
    mode: Option<u16>,
}

impl Directories {
    /// Something is about to be made or removed in the directory with this inode, whose time was `mtime` until now.
    pub(crate) fn touch(&mut self, root: &Root, inode: u64, path: &[u8], mtime: Timespec) -> Result<()> {
        if self.last == Some(inode) {
            return Ok(());
        }
        if !self.by_inode.contains_key(&inode) {
            self.push(root, inode, path, mtime, None)?;
        }
        self.last = Some(inode);
        Ok(())
    }

    /// A directory is to have this time in the end, and this mode where it is not what it has now. `new`: it was just made, so that what is
    /// known of the same inode was another's.
    pub(crate) fn set(
        &mut self,
        root: &Root,
        (inode, new): (u64, bool),
        path: &[u8],
        mtime: Timespec,
        mode: Option<u16>,
    ) -> Result<()> {
        match self.by_inode.get(&inode) {
            Some(place) if !new => {
                let late = &mut self.list[*place as usize];
                late.mtime = mtime;
                late.mode = mode;
                Ok(())
            }
            _ => self.push(root, inode, path, mtime, mode),
        }
    }

    fn push(&mut self, root: &Root, inode: u64, path: &[u8], mtime: Timespec, mode: Option<u16>) -> Result<()> {
        if self.paths.len() + self.list.len() * EACH > LONGEST {
            self.flush(root, false)?;
            if self.paths.len() + self.list.len() * EACH > LONGEST / 2 {
                return Err(Error::new(
                    ErrorKind::Limit,
                    "too many directories that even their owner may not write to; unpack the tree as root",
                ));
            }
        }
        let place = u32::try_from(self.list.len()).unwrap_or(u32::MAX);
        self.list.push(Late {
            inode,
            start: self.paths.len(),
            // A path was held against the system's limit before.
            length: u16::try_from(path.len()).unwrap_or(u16::MAX),
            mtime,
            mode,
        });
        self.paths.extend_from_slice(path);
        self.by_inode.insert(inode, place);
        Ok(())
    }

    /// Gives all their times and, in the end, their modes: what was made last comes first, so that nothing is closed before what is in it.
    pub(crate) fn flush(&mut self, root: &Root, end: bool) -> Result<()> {
        let list = std::mem::take(&mut self.list);
        let paths = std::mem::take(&mut self.paths);
        let by_inode = std::mem::take(&mut self.by_inode);
        self.last = None;
        let mut wait = Vec::new();
        for (place, late) in list.iter().enumerate().rev() {
            // Another directory got its inode since.
            if by_inode.get(&late.inode).is_none_or(|now| *now as usize != place) {
                continue;
            }
            let path = &paths[late.start..late.start + usize::from(late.length)];
            if late.mode.is_some() && !end {
                wait.push((late, path));
                continue;
            }
            set(root, late, path)?;
        }
        for (late, path) in wait.into_iter().rev() {
            self.list.push(Late {
                start: self.paths.len(),
                ..*late
            });
            self.by_inode
                .insert(late.inode, u32::try_from(self.list.len() - 1).unwrap_or(u32::MAX));
            self.paths.extend_from_slice(path);
        }
        Ok(())
    }
}

fn set(root: &Root, late: &Late, path: &[u8]) -> Result<()> {
    let failed = |errno| Error::system(path, "set the time of the directory", errno);
    let flags = match late.mode {
        Some(_) => OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
        None => PLACE | OFlags::DIRECTORY,
    };
    let place = match root.resolve(path, flags) {
        Ok(place) => place,
        // It was removed or replaced, or what led to it was.
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(()),
        Err(errno) => return Err(failed(errno)),
    };
    if fs::fstat(&place).map_err(failed)?.st_ino != late.inode {
        return Ok(());
    }
    if let Some(mode) = late.mode {
        fs::fchmod(&place, Mode::from_raw_mode(mode.into())).map_err(failed)?;
    }
    fs::utimensat(&place, c"", &both(late.mtime), AtFlags::EMPTY_PATH).map_err(failed)
}

/// The same time for the last change and the last access.
pub(crate) fn both(time: Timespec) -> Timestamps {
    Timestamps {
        last_access: time,
        last_modification: time,
    }
}
