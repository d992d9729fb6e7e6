//! How does a whole tree appear at once? It is made in a temporary directory beside its destination, which nobody else may enter, and renamed when
//! it is whole. What failed half-way never has the destination's name.
//!
//! Who makes one has it locked as long as he lives. What a killed process left is locked by nobody, and removed by who makes the next one for the
//! same destination.

use std::{
    collections::hash_map::RandomState,
    ffi::OsStr,
    hash::BuildHasher,
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use rustix::{
    fs::{self, AtFlags, CWD, FlockOperation, Mode, OFlags, RawDir, StatxAttributes, StatxFlags},
    io::Errno,
};

use crate::{
    Error, ErrorKind, Result, Root,
    made::identity,
    name::{Leaf, Shown, parts},
    remove::remove_all,
    rename::rename_new,
    root::DIRECTORY,
};

/// The longest part of the destination's name that a temporary one takes.
const LONGEST: usize = 200;
/// What the name of a temporary one ends in, behind so many digits.
const UNFINISHED: &[u8] = b".unfinished";
const DIGITS: usize = 16;
/// How often one is made anew which another process took for left over before it was locked.
const ATTEMPTS: u32 = 16;

/// A temporary directory beside a destination. Dropped before [`commit`](Self::commit), it is removed, as well as can be.
#[derive(Debug)]
pub struct Sibling {
    parent: OwnedFd,
    /// Empty once it has the destination's name, or is gone.
    temporary: Vec<u8>,
    name: Vec<u8>,
    destination: PathBuf,
    root: Root,
    /// Whether an empty directory is at the destination, which this is put in the place of.
    replaces_empty: bool,
    /// Says that it is in use; none where the file system knows no locks, and nothing is ever removed as left over.
    lock: Option<OwnedFd>,
}

impl Sibling {
    /// Makes one beside `destination`, with mode 0700; nothing may be at `destination` but an empty directory, and its parent must be there. What
    /// processes of the same user left beside it that were killed while they made the same destination is removed.
    ///
    /// # Errors
    /// Something is at `destination` ([`ErrorKind::Exists`]), or nothing can be made beside it.
    pub fn new(destination: &Path) -> Result<Self> {
        let path = destination.as_os_str().as_bytes();
        let split = parts(path);
        let Leaf::Name(name) = split.leaf else {
            return Err(Error::refused(
                path,
                "it ends in no name; call the new directory, or an empty one that is there, by its own name",
            ));
        };
        // Two slashes of a path in the root directory leave nothing before them.
        let parent_path = match (split.parent, path) {
            (b".", [b'/', ..]) => &b"/"[..],
            (parent, _) => parent,
        };
        let failed = |errno| Error::system(path, "make a directory beside it", errno);
        let parent = fs::openat(
            CWD,
            OsStr::from_bytes(parent_path),
            OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        )
        .map_err(|errno| match errno {
            Errno::NOENT => {
                let parent = Shown(parent_path);
                let why = format!(
                    "{}: there is no directory {parent} to make it in; make that first",
                    Shown(path)
                );
                Error::new(ErrorKind::NotFound, why)
            }
            errno => failed(errno),
        })?;
        let replaces_empty = match fs::statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => false,
            // Nothing takes the place of what something is mounted on.
            Ok(_) if is_empty_directory(parent.as_fd(), name) && !is_mounted(parent.as_fd(), name) => true,
            Ok(_) => return Err(taken(path)),
            Err(errno) => return Err(failed(errno)),
        };
        let short = [b".", &name[..name.len().min(LONGEST)], b"."].concat();
        remove_left_over(parent.as_fd(), &short);
        let (temporary, root, lock) = make(parent.as_fd(), &short).map_err(failed)?;
        Ok(Self {
            parent,
            temporary,
            name: name.to_vec(),
            destination: destination.to_owned(),
            replaces_empty,
            root: Root::from(root),
            lock,
        })
    }

    /// The temporary directory.
    #[must_use]
    pub fn root(&self) -> &Root {
        &self.root
    }

    /// Gives it the destination's name, and returns it. Its mode is as it was made or set. An empty directory that was there is gone then.
    ///
    /// # Errors
    /// Something came to be at the destination meanwhile, or in the empty directory that was there ([`ErrorKind::Exists`]): it stays, and this is removed.
    pub fn commit(mut self) -> Result<Root> {
        let path = self.destination.as_os_str().as_bytes();
        let failed = |errno| match errno {
            Errno::EXIST | Errno::NOTEMPTY | Errno::NOTDIR | Errno::BUSY => taken(path),
            errno => Error::system(path, "give the new directory its name", errno),
        };
        match self.replaces_empty {
            // The kernel lets a directory take the place of an empty one, and of nothing else that is there.
            true => fs::renameat(&self.parent, &self.temporary[..], &self.parent, &self.name[..]),
            false => rename_new(&self.parent, &self.temporary, &self.parent, &self.name),
        }
        .map_err(failed)?;
        self.temporary.clear();
        // Others may want to lock what is a directory like any other now.
        self.lock = None;
        self.root.try_clone()
    }

    /// Removes it, with all that is in it.
    ///
    /// # Errors
    /// Part of it could not be removed.
    pub fn discard(mut self) -> Result<()> {
        self.remove()
    }

    fn remove(&mut self) -> Result<()> {
        let temporary = std::mem::take(&mut self.temporary);
        if temporary.is_empty() {
            return Ok(());
        }
        remove_all(self.parent.as_fd(), &temporary)
            .map_err(|errno| Error::system(&temporary, "remove the temporary directory", errno))
    }
}

impl Drop for Sibling {
    fn drop(&mut self) {
        // Nobody is left to be told; `discard` tells.
        let _ = self.remove();
    }
}

/// Makes a temporary directory whose name begins so, and locks it by a handle of its own.
pub(crate) fn make(parent: BorrowedFd<'_>, short: &[u8]) -> rustix::io::Result<(Vec<u8>, OwnedFd, Option<OwnedFd>)> {
    for _ in 0..ATTEMPTS {
        // A new state is keyed by the system's randomness.
        let digits = format!("{:016x}", RandomState::new().hash_one(std::process::id()));
        let temporary = [short, digits.as_bytes(), UNFINISHED].concat();
        let root = match crate::root::make(parent, &temporary) {
            // Removed already, as if it had been left over.
            Err(Errno::NOENT) => continue,
            root => root?,
        };
        let lock = fs::openat(&root, c".", DIRECTORY, Mode::empty())?;
        match fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            // Somebody removes it.
            Err(Errno::WOULDBLOCK) => continue,
            Err(_) => return Ok((temporary, root, None)),
        }
        let made = identity(&fs::fstat(&root)?);
        match fs::statat(parent, &temporary[..], AtFlags::SYMLINK_NOFOLLOW) {
            Ok(there) if identity(&there) == made => return Ok((temporary, root, Some(lock))),
            Ok(_) | Err(Errno::NOENT) => {}
            Err(errno) => return Err(errno),
        }
    }
    Err(Errno::AGAIN)
}

/// Removes the temporary directories of such a name that are this user's and that nobody has locked.
pub(crate) fn remove_left_over(parent: BorrowedFd<'_>, short: &[u8]) {
    // Whatever cannot be looked at or removed is in nobody's way: the new one has another name.
    let Ok(listed) = fs::openat(parent, c".", DIRECTORY, Mode::empty()) else {
        return;
    };
    let mut buffer = [MaybeUninit::uninit(); 8 << 10];
    let mut entries = RawDir::new(listed, &mut buffer);
    let mut found = Vec::new();
    while let Some(Ok(entry)) = entries.next() {
        let name = entry.file_name().to_bytes();
        let digits = name
            .strip_prefix(short)
            .and_then(|rest| rest.strip_suffix(UNFINISHED))
            .unwrap_or_default();
        if digits.len() == DIGITS && digits.iter().all(u8::is_ascii_hexdigit) {
            found.push(name.to_vec());
        }
    }
    for name in found {
        let Ok(opened) = fs::openat(parent, &name[..], DIRECTORY, Mode::empty()) else {
            continue;
        };
        let own = fs::fstat(&opened).is_ok_and(|seen| seen.st_uid == rustix::process::geteuid().as_raw());
        if own && fs::flock(&opened, FlockOperation::NonBlockingLockExclusive).is_ok() {
            let _ = remove_all(parent, &name);
        }
    }
}

/// Whether this is a directory with nothing in it; a link to one is none.
fn is_empty_directory(parent: BorrowedFd<'_>, name: &[u8]) -> bool {
    fs::openat(parent, name, DIRECTORY, Mode::empty())
        .is_ok_and(|opened| Root::from(opened).is_empty().unwrap_or(false))
}

/// Whether something is mounted there. Where that cannot be told the name is taken in vain, in the end.
fn is_mounted(parent: BorrowedFd<'_>, name: &[u8]) -> bool {
    fs::statx(parent, name, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::empty())
        .is_ok_and(|found| found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

fn taken(path: &[u8]) -> Error {
    Error::system(path, "make it", Errno::EXIST)
}
