//! How does a whole tree appear at once? It is made in a temporary directory beside its destination, which nobody else may enter, and renamed when
//! it is whole. What failed half-way never has the destination's name.

use std::{
    collections::hash_map::RandomState,
    ffi::OsStr,
    hash::BuildHasher,
    os::fd::{AsFd, OwnedFd},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use rustix::{
    fs::{self, AtFlags, CWD, Mode, OFlags, RenameFlags},
    io::Errno,
};

use crate::{Error, Result, Root, name::Leaf, name::parts, remove::remove_all};

/// The longest part of the destination's name that a temporary one takes.
const LONGEST: usize = 200;

/// A temporary directory beside a destination. Dropped before [`commit`](Self::commit), it is removed, as well as can be.
#[derive(Debug)]
pub struct Sibling {
    parent: OwnedFd,
    /// Empty once it has the destination's name, or is gone.
    temporary: Vec<u8>,
    name: Vec<u8>,
    destination: PathBuf,
    root: Root,
}

impl Sibling {
    /// Makes one beside `destination`, with mode 0700; nothing may be at `destination`, and its parent must be there.
    ///
    /// # Errors
    /// Something is at `destination` ([`ErrorKind::Exists`](crate::ErrorKind::Exists)), or nothing can be made beside it.
    pub fn new(destination: &Path) -> Result<Self> {
        let path = destination.as_os_str().as_bytes();
        let split = parts(path);
        let Leaf::Name(name) = split.leaf else {
            return Err(Error::refused(path, "it ends in no name that a directory could get"));
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
        .map_err(failed)?;
        match fs::statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => {}
            Ok(_) => return Err(taken(path)),
            Err(errno) => return Err(failed(errno)),
        }
        // A new state is keyed by the system's randomness.
        let suffix = format!("{:016x}", RandomState::new().hash_one(std::process::id()));
        let short = &name[..name.len().min(LONGEST)];
        let temporary = [b".", short, b".", suffix.as_bytes()].concat();
        let root = crate::root::make(parent.as_fd(), &temporary).map_err(failed)?;
        Ok(Self {
            parent,
            temporary,
            name: name.to_vec(),
            destination: destination.to_owned(),
            root: Root::from(root),
        })
    }

    /// The temporary directory.
    #[must_use]
    pub fn root(&self) -> &Root {
        &self.root
    }

    /// Gives it the destination's name, and returns it. Its mode is as it was made or set.
    ///
    /// # Errors
    /// Something came to be at the destination meanwhile ([`ErrorKind::Exists`](crate::ErrorKind::Exists)): it stays, and this is removed.
    pub fn commit(mut self) -> Result<Root> {
        let path = self.destination.as_os_str().as_bytes();
        let failed = |errno| match errno {
            Errno::EXIST | Errno::NOTEMPTY | Errno::NOTDIR => taken(path),
            errno => Error::system(path, "give the new directory its name", errno),
        };
        match fs::renameat_with(
            &self.parent,
            &self.temporary[..],
            &self.parent,
            &self.name[..],
            RenameFlags::NOREPLACE,
        ) {
            Ok(()) => {}
            // A file system that has no such flag: a rename replaces nothing but an empty directory.
            Err(Errno::INVAL | Errno::NOSYS) => {
                match fs::statat(&self.parent, &self.name[..], AtFlags::SYMLINK_NOFOLLOW) {
                    Err(Errno::NOENT) => {}
                    Ok(_) => return Err(taken(path)),
                    Err(errno) => return Err(failed(errno)),
                }
                fs::renameat(&self.parent, &self.temporary[..], &self.parent, &self.name[..]).map_err(failed)?;
            }
            Err(errno) => return Err(failed(errno)),
        }
        self.temporary.clear();
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

fn taken(path: &[u8]) -> Error {
    Error::system(path, "make it", Errno::EXIST)
}
