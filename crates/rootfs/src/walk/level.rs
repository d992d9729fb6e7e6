//! Which names has a directory, and how does one come back to it?

use std::{
    ffi::CStr,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::fs::{self, FileType, Mode, RawDir};

use crate::{Error, ErrorKind, Result};

use super::{
    DIRECTORY, Stat,
    failure::{Shown, changed, system},
    stat_of,
};

/// What the kernel gives of a directory in one go.
const BUFFER: usize = 32 << 10;

/// A directory that is being walked.
#[derive(Debug)]
pub(super) struct Level {
    /// None while the walk is far below.
    handle: Option<OwnedFd>,
    stat: Stat,
    names: Names,
    /// How it was before the walk could enter it.
    #[allow(dead_code, reason = "it is for its end")]
    held: Option<Held>,
    /// The number of the next name.
    next: usize,
    /// How long the directory's path is.
    pub(super) path: usize,
}

impl Level {
    pub(super) fn new(handle: OwnedFd, stat: Stat, names: Names, held: Option<Held>, path: usize) -> Self {
        Self {
            handle: Some(handle),
            stat,
            names,
            held,
            next: 0,
            path,
        }
    }

    /// Goes to the next name, if there is one.
    pub(super) fn advance(&mut self) -> bool {
        let more = self.next < self.names.places.len();
        self.next += usize::from(more);
        more
    }

    /// Goes to where the next name is the first that does not stand before this one; whether it is this one.
    pub(super) fn go_before(&mut self, name: &[u8]) -> bool {
        let names = &self.names;
        let places = &names.places;
        self.next = places.partition_point(|place| names.text(*place) < name);
        places.get(self.next).is_some_and(|place| names.text(*place) == name)
    }

    /// The directory and the name in it where the walk stands.
    pub(super) fn current(&self) -> Option<(BorrowedFd<'_>, &CStr)> {
        let handle = self.handle.as_ref()?;
        let name = self.names.get(self.next.checked_sub(1)?)?;
        Some((handle.as_fd(), name))
    }

    /// Whether it stands for the one file that is walked.
    pub(super) fn is_single(&self) -> bool {
        self.names.single
    }

    pub(super) fn close(&mut self) {
        self.handle = None;
    }

    /// Opens it again, from a directory in it that is open, if it was closed.
    pub(super) fn reopen(&mut self, below: &Self, path: &[u8]) -> Result<()> {
        let (None, Some(from)) = (&self.handle, &below.handle) else {
            return Ok(());
        };
        let handle = fs::openat(from, c"..", DIRECTORY, Mode::empty()).map_err(system(path, "go back up from"))?;
        let stat = stat_of(&fs::fstat(&handle).map_err(system(path, "go back up from"))?);
        if !stat.is_same_file(&self.stat) {
            return Err(changed(path, "its directory was moved while the tree was read"));
        }
        self.handle = Some(handle);
        Ok(())
    }

    pub(super) fn memory(&self) -> usize {
        self.names.memory()
    }
}

/// What is closed to its owner, and open as long as this lives.
#[derive(Debug)]
pub(super) struct Held {
    file: OwnedFd,
    mode: Mode,
}

impl Held {
    /// Opens a file or a directory of our own where it is closed to us; none where nothing has to be done.
    pub(super) fn open(file: BorrowedFd<'_>, path: &[u8]) -> Result<Option<Self>> {
        let seen = fs::fstat(file).map_err(system(path, "look at"))?;
        let mode = Mode::from_raw_mode(seen.st_mode);
        let enter = match FileType::from_raw_mode(seen.st_mode) {
            FileType::Directory => Mode::RUSR | Mode::XUSR,
            _ => Mode::RUSR,
        };
        let user = rustix::process::geteuid();
        if mode.contains(enter) || user.is_root() || seen.st_uid != user.as_raw() {
            return Ok(None);
        }
        let file = rustix::io::fcntl_dupfd_cloexec(file, 0).map_err(system(path, "open"))?;
        fs::fchmod(&file, mode | enter).map_err(system(path, "open"))?;
        Ok(Some(Self { file, mode }))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // Nobody is left to be told.
        let _ = fs::fchmod(&self.file, self.mode);
    }
}

/// The names in a directory, in the order of their bytes; all in one piece of memory, each with a NUL behind it.
#[derive(Debug, Default)]
pub(super) struct Names {
    bytes: Vec<u8>,
    /// Where each begins and ends, its NUL included.
    places: Vec<(u32, u32)>,
    single: bool,
}

impl Names {
    /// The one name of a file; none where it has a NUL in it.
    pub(super) fn of(name: &[u8]) -> Option<Self> {
        let mut names = Self {
            single: true,
            ..Self::default()
        };
        names.bytes.extend_from_slice(name);
        names.bytes.push(0);
        names.places.push((0, u32::try_from(names.bytes.len()).ok()?));
        (!name.contains(&0)).then_some(names)
    }

    /// Reads them all; none where they take more memory than `room`.
    pub(super) fn read(directory: BorrowedFd<'_>, room: usize, path: &[u8]) -> Result<Option<Self>> {
        let mut names = Self::default();
        let mut buffer = Vec::with_capacity(BUFFER);
        let mut entries = RawDir::new(directory, buffer.spare_capacity_mut());
        while let Some(entry) = entries.next() {
            let entry = entry.map_err(system(path, "list"))?;
            let name = entry.file_name().to_bytes_with_nul();
            match name {
                b".\0" | b"..\0" => continue,
                // A name is all that stands between the walk and the rest of the machine.
                _ if name.len() < 2 || name.contains(&b'/') => {
                    let message = format!("{}: refused: the file system gives names that are none", Shown(path));
                    return Err(Error::new(ErrorKind::Refused, message));
                }
                _ => {}
            }
            let begin = names.bytes.len();
            names.bytes.extend_from_slice(name);
            let (Ok(begin), Ok(end)) = (u32::try_from(begin), u32::try_from(names.bytes.len())) else {
                return Ok(None);
            };
            names.places.push((begin, end));
            if names.memory() > room {
                return Ok(None);
            }
        }
        let Self { bytes, places, .. } = &mut names;
        let text = |place: &(u32, u32)| &bytes[place.0 as usize..place.1 as usize];
        places.sort_unstable_by(|a, b| text(a).cmp(text(b)));
        // What is renamed while the directory is listed may be given twice.
        places.dedup_by(|a, b| text(a) == text(b));
        Ok(Some(names))
    }

    /// A name, without its NUL.
    fn text(&self, (begin, end): (u32, u32)) -> &[u8] {
        &self.bytes[begin as usize..end as usize - 1]
    }

    pub(super) fn memory(&self) -> usize {
        self.bytes.len() + size_of::<(u32, u32)>() * self.places.len()
    }

    fn get(&self, number: usize) -> Option<&CStr> {
        let (begin, end) = *self.places.get(number)?;
        CStr::from_bytes_with_nul(self.bytes.get(begin as usize..end as usize)?).ok()
    }
}
