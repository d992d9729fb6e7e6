//! Which directories get their time, and their mode, only later? Whatever is made in a directory changes its time, so times come last. They are not
//! set by the names that were remembered, blindly: a name can lead elsewhere by then. It is resolved anew, inside, and what it leads to must
//! be the very directory that was meant. What is remembered is where the directory really is, so that it is found again although a later layer took
//! away a link by which an entry came to it.
//!
//! The file system itself is the memory: before the first change in a directory we read its time, which was right, and give it back in the end.
//! So this list may be emptied whenever it grows too long, and is bounded.

use std::{
    borrow::Cow,
    collections::HashMap,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
};

use rustix::{
    fs::{self, AtFlags, Mode, OFlags, Timespec, Timestamps},
    io::Errno,
};

use crate::{
    Budget, Error, ErrorKind, Result,
    budget::reached,
    made::{Identity, identity},
    name::parts,
    root::{PLACE, Root},
};

/// How much is remembered before times are set.
const LONGEST: usize = 16 << 20;
/// What one directory takes but for its path.
const EACH: usize = size_of::<Late>() + 2 * size_of::<(Identity, u32)>();

/// The directories that wait.
#[derive(Debug)]
pub(crate) struct Directories {
    /// Where the root is, in the whole file system; none where the kernel does not say.
    above: Option<Vec<u8>>,
    list: Vec<Late>,
    paths: Vec<u8>,
    places: HashMap<Identity, u32>,
    last: Option<Identity>,
}

#[derive(Debug)]
struct Late {
    identity: Identity,
    start: usize,
    length: u16,
    mtime: Timespec,
    mode: Option<u16>,
}

impl Directories {
    pub(crate) fn new(root: &Root) -> Self {
        Self {
            above: place_of(root.as_fd()).ok(),
            list: Vec::new(),
            paths: Vec::new(),
            places: HashMap::new(),
            last: None,
        }
    }

    /// Something is about to be made or removed in this directory, which is open and was found by `path`, and whose time was `mtime` until now.
    pub(crate) fn touch(
        &mut self,
        root: &Root,
        (directory, identity): (BorrowedFd<'_>, Identity),
        path: &[u8],
        mtime: Timespec,
    ) -> Result<()> {
        if self.last == Some(identity) {
            return Ok(());
        }
        if !self.places.contains_key(&identity) {
            self.push(root, (directory, identity), path, mtime, None)?;
        }
        self.last = Some(identity);
        Ok(())
    }

    /// Whether it is the directory that was touched last, so that its time is known.
    pub(crate) fn is_last(&self, identity: Identity) -> bool {
        self.last == Some(identity)
    }

    /// A directory is to have this time in the end, and this mode where it is not what it has now. `new`: it was just made, so that what is
    /// known of the same number was another's.
    pub(crate) fn set(
        &mut self,
        root: &Root,
        (directory, identity, new): (BorrowedFd<'_>, Identity, bool),
        path: &[u8],
        mtime: Timespec,
        mode: Option<u16>,
    ) -> Result<()> {
        match self.places.get(&identity) {
            Some(place) if !new => {
                let late = &mut self.list[*place as usize];
                late.mtime = mtime;
                late.mode = mode;
                Ok(())
            }
            _ => self.push(root, (directory, identity), path, mtime, mode),
        }
    }

    /// The way from the root to a directory that was found by `path`: one without links, where the kernel knows it.
    ///
    /// # Errors
    /// It lies deeper than a path can say. Through links an archive could go on without end, and each step of the kernel from there to the root
    /// takes its time, at each call.
    fn way<'p>(&self, directory: BorrowedFd<'_>, path: &'p [u8]) -> Result<Cow<'p, [u8]>> {
        let given = Ok(Cow::Borrowed(path));
        let Some(above) = &self.above else { return given };
        let place = match place_of(directory) {
            Ok(place) => place,
            Err(Errno::NAMETOOLONG) => {
                // That counts from the root of all; below ours it may just fit, as many levels up as there are names above ours.
                return match is_near(directory, above.len() / 2 + 1) {
                    true => given,
                    false => Err(too_deep(path)),
                };
            }
            Err(_) => return given,
        };
        match place.strip_prefix(&above[..]) {
            Some([]) => Ok(Cow::Owned(b".".to_vec())),
            Some([b'/', below @ ..]) => Ok(Cow::Owned(below.to_vec())),
            _ => given,
        }
    }

    fn push(
        &mut self,
        root: &Root,
        (directory, identity): (BorrowedFd<'_>, Identity),
        path: &[u8],
        mtime: Timespec,
        mode: Option<u16>,
    ) -> Result<()> {
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
        let path = &*self.way(directory, path)?;
        self.list.push(Late {
            identity,
            start: self.paths.len(),
            // A path was held against the system's limit before.
            length: u16::try_from(path.len()).unwrap_or(u16::MAX),
            mtime,
            mode,
        });
        self.paths.extend_from_slice(path);
        self.places.insert(identity, place);
        Ok(())
    }

    /// The path of one before which about as many of those that wait stand as behind it, in the order of a walk; none where they are few.
    pub(crate) fn middle(&self) -> Option<Vec<u8>> {
        const FEW: usize = 64;
        if self.list.len() < FEW {
            return None;
        }
        let mut paths: Vec<&[u8]> = self.list.iter().map(|late| self.path(late)).collect();
        let middle = paths.len() / 2;
        let (_, middle, _) = paths.select_nth_unstable_by(middle, |one, other| {
            let [one, other] = [one, other].map(|path| path.split(|byte| *byte == b'/'));
            one.cmp(other)
        });
        Some(middle.to_vec())
    }

    fn path(&self, late: &Late) -> &[u8] {
        &self.paths[late.start..late.start + usize::from(late.length)]
    }

    /// Gives all their times and, in the end, their modes: what was made last comes first, so that nothing is closed before what is in it.
    pub(crate) fn flush(&mut self, root: &Root, end: bool) -> Result<()> {
        let list = std::mem::take(&mut self.list);
        let paths = std::mem::take(&mut self.paths);
        let places = std::mem::take(&mut self.places);
        self.last = None;
        let mut wait = Vec::new();
        let mut last = None;
        for (place, late) in list.iter().enumerate().rev() {
            // Another directory got its number since.
            if places.get(&late.identity).is_none_or(|now| *now as usize != place) {
                continue;
            }
            let path = &paths[late.start..late.start + usize::from(late.length)];
            if late.mode.is_some() && !end {
                wait.push((late, path));
                continue;
            }
            last = set(root, late, path, last)?;
        }
        for (late, path) in wait.into_iter().rev() {
            self.list.push(Late {
                start: self.paths.len(),
                ..*late
            });
            self.places
                .insert(late.identity, u32::try_from(self.list.len() - 1).unwrap_or(u32::MAX));
            self.paths.extend_from_slice(path);
        }
        Ok(())
    }
}

/// Where the kernel says that a directory is.
fn place_of(directory: BorrowedFd<'_>) -> rustix::io::Result<Vec<u8>> {
    let this = format!("/proc/self/fd/{}", directory.as_raw_fd());
    let place = fs::readlink(this, Vec::new())?.into_bytes();
    // The root of all has a slash that no other place ends in.
    Ok(if place == b"/" { Vec::new() } else { place })
}

/// Whether a path can say where a directory is that lies at most so many levels above this one.
fn is_near(directory: BorrowedFd<'_>, levels: usize) -> bool {
    let up = |from: BorrowedFd<'_>| fs::openat(from, c"..", PLACE | OFlags::DIRECTORY, Mode::empty()).ok();
    let mut at = up(directory);
    for _ in 1..levels {
        match at {
            Some(above) if place_of(above.as_fd()) == Err(Errno::NAMETOOLONG) => at = up(above.as_fd()),
            Some(_) => return true,
            None => return false,
        }
    }
    at.is_some_and(|above| place_of(above.as_fd()) != Err(Errno::NAMETOOLONG))
}

fn too_deep(path: &[u8]) -> Error {
    let limit = Budget::default().path_bytes;
    reached(
        path,
        "path_bytes",
        limit as u64,
        format_args!("its directory lies deeper than a path can say"),
    )
}

/// A directory that was found, and its path.
type Found<'a> = (OwnedFd, &'a [u8]);

/// Gives a directory its time and mode, and returns it. `last` is the one before.
fn set<'a>(root: &Root, late: &Late, path: &'a [u8], last: Option<Found<'_>>) -> Result<Option<Found<'a>>> {
    let failed = |errno| Error::system(path, "set the time of the directory", errno);
    let flags = match late.mode {
        Some(_) => OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
        None => PLACE | OFlags::DIRECTORY,
    };
    let is_it = |place: &OwnedFd| {
        let seen = fs::fstat(place).map_err(failed)?;
        Ok::<_, Error>(identity(&seen) == late.identity)
    };
    // From a directory to the one above it is one step, however deep they are; and it is known by its number, wherever the step led.
    if let Some((below, below_path)) = last
        && parts(below_path).parent == path
        && let Ok(above) = fs::openat(&below, c"..", flags, Mode::empty())
        && is_it(&above)?
    {
        finish(&above, late).map_err(failed)?;
        return Ok(Some((above, path)));
    }
    let place = match root.resolve(path, flags) {
        Ok(place) => place,
        // It was removed or replaced, or what led to it was.
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(None),
        Err(errno) => return Err(failed(errno)),
    };
    if !is_it(&place)? {
        return Ok(None);
    }
    finish(&place, late).map_err(failed)?;
    Ok(Some((place, path)))
}

fn finish(place: &OwnedFd, late: &Late) -> rustix::io::Result<()> {
    if let Some(mode) = late.mode {
        fs::fchmod(place, Mode::from_raw_mode(mode.into()))?;
    }
    fs::utimensat(place, c"", &both(late.mtime), AtFlags::EMPTY_PATH)
}

/// The same time for the last change and the last access.
pub(crate) fn both(time: Timespec) -> Timestamps {
    Timestamps {
        last_access: time,
        last_modification: time,
    }
}
