//! What does a whiteout take away? What earlier layers left, at a path or in a directory, and nothing that its own layer made.

use std::os::fd::AsFd;

use rustix::{
    fs::{self, AtFlags},
    io::Errno,
};

use crate::{
    Error, Result, check,
    made::identity,
    name::split,
    remove::{modified, remove_content_lower, remove_directory, remove_lower},
    root::{DIRECTORY, open_beside},
};

use super::{Writer, place::implied};

impl Writer {
    /// Removes what earlier layers left at `path`: a whiteout. What the present layer made there, or in there, stays. Nothing there is fine.
    ///
    /// # Errors
    /// `path` is the root or ends in `..`, or the file system fails.
    pub fn remove(&mut self, path: &[u8]) -> Result<()> {
        self.spent.entry(&self.options.budget, path)?;
        let split = split(path, &self.options.budget)?;
        let leaf = check::removable(path, split.leaf)?;
        let failed = |errno| Error::system(path, "remove it", errno);
        let parent = match self.root.directory(split.parent) {
            Ok(parent) => parent,
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(()),
            Err(errno) => return Err(failed(errno)),
        };
        let seen = fs::fstat(&parent).map_err(failed)?;
        let made = self.made.has(identity(&seen), leaf);
        // Of a directory of which earlier layers left nothing but the way to what this one made that way still has their mode and times.
        if made && self.made.is_cleared(identity(&seen)) {
            return Ok(());
        }
        self.late.touch(
            &self.root,
            (parent.as_fd(), identity(&seen)),
            split.parent,
            modified(&seen),
        )?;
        if !made {
            match fs::unlinkat(&parent, leaf, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => return Ok(()),
                Err(Errno::ISDIR | Errno::PERM) => {}
                Err(errno) => return Err(failed(errno)),
            }
        }
        remove_lower(parent.as_fd(), leaf, &mut self.made).map_err(failed)?;
        if made {
            return Ok(());
        }
        match remove_directory(parent.as_fd(), leaf) {
            Err(Errno::NOTEMPTY) => {}
            other => return other.map_err(failed),
        }
        // The layer made something in it but not the directory: it is as if it had been made for that.
        let handle = match open_beside(parent.as_fd(), leaf, DIRECTORY) {
            Ok(handle) => handle,
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(()),
            Err(errno) => return Err(failed(errno)),
        };
        self.made.add(identity(&seen), leaf);
        let metadata = implied();
        let owner = self.options.owners.of(path, &metadata)?;
        self.settle_directory(
            path,
            &split,
            (handle, false),
            &metadata,
            owner,
            check::said(path, &metadata)?,
        )
    }

    /// Removes all that earlier layers left in the directory `path`: an opaque whiteout. The directory stays, and what the present layer made in it.
    /// No directory there is fine.
    ///
    /// # Errors
    /// The file system fails.
    pub fn clear(&mut self, path: &[u8]) -> Result<()> {
        self.spent.entry(&self.options.budget, path)?;
        let split = split(path, &self.options.budget)?;
        let failed = |errno| Error::system(path, "clear the directory", errno);
        let directory = match self.root.directory(split.whole) {
            Ok(directory) => directory,
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(()),
            Err(errno) => return Err(failed(errno)),
        };
        let seen = fs::fstat(&directory).map_err(failed)?;
        if self.made.is_cleared(identity(&seen)) {
            return Ok(());
        }
        self.late.touch(
            &self.root,
            (directory.as_fd(), identity(&seen)),
            split.whole,
            modified(&seen),
        )?;
        remove_content_lower(directory.as_fd(), &mut self.made).map_err(failed)
    }
}
