//! Where is an entry made? In its directory, which is resolved inside the root, and made with all above it where it is missing.

use std::os::fd::{AsFd, OwnedFd};

use rustix::{
    fs::{self, Mode, OFlags, Stat},
    io::Errno,
};

use crate::{
    Error, Metadata, Result, check,
    made::identity,
    name::{Leaf, Split, split},
    remove::{modified, remove_all},
    root::{DIRECTORY, PLACE, open_beside},
};

use super::{ATTEMPTS, Writer, contended};

/// How many links that lead nowhere are followed to make the directory that they mean; as many as the kernel follows.
const LINKS: u32 = 40;

/// Where an entry is made.
pub(super) struct Place<'a> {
    pub(super) parent: OwnedFd,
    pub(super) seen: Stat,
    pub(super) leaf: &'a [u8],
}

/// A directory in which something was made, and the path that led to it.
#[derive(Debug)]
pub(super) struct Last {
    path: Vec<u8>,
    seen: Stat,
}

impl Writer {
    /// Counts an entry that is no directory, and finds where it is made.
    pub(super) fn entry<'a>(&mut self, path: &'a [u8]) -> Result<Place<'a>> {
        self.spent.entry(&self.options.budget, path)?;
        let split = split(path, &self.options.budget)?;
        self.place(path, &split)
    }

    pub(super) fn place<'a>(&mut self, path: &[u8], split: &Split<'a>) -> Result<Place<'a>> {
        let leaf = check::named(path, split.leaf)?;
        let parent = match self.root.directory(split.parent) {
            Ok(parent) => parent,
            Err(Errno::NOENT) => self.make_parents(path, split.parent)?,
            Err(errno) => return Err(Error::system(path, "find its directory", errno)),
        };
        let seen = fs::fstat(&parent).map_err(|errno| Error::system(path, "look at its directory", errno))?;
        self.late.touch(
            &self.root,
            (parent.as_fd(), identity(&seen)),
            split.parent,
            modified(&seen),
        )?;
        let last = self.last.get_or_insert_with(|| Last { path: Vec::new(), seen });
        last.path.clear();
        last.path.extend_from_slice(split.parent);
        last.seen = seen;
        Ok(Place { parent, seen, leaf })
    }

    /// Makes a file in the directory in which the one before was made, where its path says the same: in one step, by the whole path, which the kernel
    /// resolves inside the root as it would the directory's. What is known of the directory, its group and its time, is known already. None where
    /// it is another directory, or where it fails: the way by its handle says why. Whoever exchanges the directory meanwhile, which takes the right to write
    /// there, decides where in the root the file is, and may have it get that directory's group; never does it get outside.
    pub(super) fn made_beside_last<'a>(
        &self,
        split: &Split<'a>,
        flags: OFlags,
        mode: Mode,
    ) -> Option<(OwnedFd, Stat, &'a [u8])> {
        let (Some(last), Leaf::Name(leaf)) = (&self.last, split.leaf) else {
            return None;
        };
        if last.path != split.parent || !self.late.is_last(identity(&last.seen)) {
            return None;
        }
        let file = self.root.resolve_or_make(split.whole, flags, mode).ok()?;
        Some((file, last.seen, leaf))
    }

    /// Makes something where nothing may be, and removes what is there first.
    pub(super) fn make<T>(
        &mut self,
        path: &[u8],
        what: &str,
        place: &Place<'_>,
        mut make: impl FnMut() -> rustix::io::Result<T>,
    ) -> Result<T> {
        for _ in 0..ATTEMPTS {
            match make() {
                Ok(made) => return Ok(made),
                Err(Errno::EXIST) => {}
                Err(errno) => return Err(Error::system(path, what, errno)),
            }
            self.replace(path, place)?;
        }
        Err(contended(path))
    }

    /// Removes what is where an entry is made.
    pub(super) fn replace(&mut self, path: &[u8], place: &Place<'_>) -> Result<()> {
        // It may have been a link, or a directory, on the way to where something was made.
        self.last = None;
        remove_all(place.parent.as_fd(), place.leaf)
            .map_err(|errno| Error::system(path, "remove what was there", errno))
    }

    /// Makes the directories that are missing on the way; where a link leads to nothing, the directory that it means.
    pub(super) fn make_parents(&mut self, path: &[u8], directory: &[u8]) -> Result<OwnedFd> {
        let failed = |errno| Error::system(path, "make its directory", errno);
        let mut names: Vec<Vec<u8>> = Vec::new();
        let push = |names: &mut Vec<Vec<u8>>, path: &[u8]| {
            let parts = path.split(|byte| *byte == b'/').rev();
            names.extend(parts.filter(|name| !matches!(*name, b"" | b".")).map(<[u8]>::to_vec));
        };
        push(&mut names, directory);
        let mut links = 0;
        let mut done = b".".to_vec();
        let mut handle = self.root.directory(&done).map_err(failed)?;
        let mut attempts = 0;
        while let Some(name) = names.pop() {
            let next = [&done[..], b"/", &name].concat();
            // One step from where we are, unless it is a link or leads up: then all of the way, as the kernel sees it from the root.
            let step = match &name[..] {
                b".." => Err(Errno::LOOP),
                name => open_beside(handle.as_fd(), name, PLACE | OFlags::DIRECTORY),
            };
            let found = match step {
                Err(Errno::LOOP | Errno::NOTDIR) => self.root.directory(&next),
                other => other,
            };
            match found {
                Ok(found) => {
                    handle = found;
                    done = next;
                    continue;
                }
                Err(Errno::NOENT) => {}
                Err(errno) => return Err(failed(errno)),
            }
            let seen = fs::fstat(&handle).map_err(failed)?;
            self.late
                .touch(&self.root, (handle.as_fd(), identity(&seen)), &done, modified(&seen))?;
            match fs::mkdirat(&handle, &name[..], Mode::from_raw_mode(0o755)) {
                Ok(()) => {
                    // They count, so that no entry makes thousands for nothing.
                    self.spent.entry(&self.options.budget, path)?;
                    self.made.add(identity(&seen), &name);
                    let new = open_beside(handle.as_fd(), &name, DIRECTORY).map_err(failed)?;
                    let metadata = implied();
                    let owner = self.options.owners.of(path, &metadata)?;
                    let split = crate::name::parts(&next);
                    let time = check::said(path, &metadata)?;
                    handle = new.try_clone().map_err(|_| failed(Errno::MFILE))?;
                    self.settle_directory(path, &split, (new, true), &metadata, owner, time)?;
                    done = next;
                }
                Err(Errno::EXIST) => match fs::readlinkat(&handle, &name[..], Vec::new()) {
                    Ok(target) => {
                        links += 1;
                        if links > LINKS {
                            return Err(failed(Errno::LOOP));
                        }
                        let target = target.as_bytes();
                        if target.starts_with(b"/") {
                            done = b".".to_vec();
                            handle = self.root.directory(&done).map_err(failed)?;
                        }
                        push(&mut names, target);
                        if names.len() > 2 * self.options.budget.depth {
                            return Err(failed(Errno::NAMETOOLONG));
                        }
                    }
                    // It was made, or changed, by somebody else meanwhile.
                    Err(Errno::INVAL | Errno::NOENT) if attempts < ATTEMPTS => {
                        attempts += 1;
                        names.push(name);
                    }
                    Err(errno) => return Err(failed(errno)),
                },
                Err(errno) => return Err(failed(errno)),
            }
        }
        Ok(handle)
    }
}

/// What a directory is that no entry describes. Others leave it the time at which it was made; with the time 0 the same layers make the same tree
/// whenever they are unpacked.
pub(super) fn implied() -> Metadata {
    Metadata {
        mode: 0o755,
        ..Metadata::default()
    }
}
