//! How does an entry of an untrusted tree become a file? [`Writer`] takes one after the other, as an archive has them, layer upon layer.
//!
//! The parent is resolved inside, anew for each entry; the name in it is made where nothing is (`O_EXCL`), after what was there is removed; owner,
//! mode, attributes and times go to the handle of what was made, never to a name. What is made in one layer is known
//! ([`Made`]), so that a whiteout takes away only what was there before it.

mod ahead;
mod place;
mod settle;
mod whiteout;

use std::os::fd::AsFd;

use rustix::{
    fs::{self, AtFlags, FileType, Mode, OFlags},
    io::Errno,
};

use crate::{
    Budget, Error, ErrorKind, Metadata, Node, Owners, Report, Result, Root,
    budget::Spent,
    check,
    content::FileWriter,
    directories::Directories,
    made::{Identity, Made, identity},
    name::{Leaf, split},
    root::{DIRECTORY, open_beside},
};

pub use ahead::{Ahead, Unnamed, UnnamedWriter};
use place::Last;
use settle::umask;

/// How often what stands in the way of a name is removed. An honest tree needs one time; somebody who puts things there all the while is refused.
const ATTEMPTS: u32 = 16;
const PERMISSIONS: u32 = 0o777;

/// What a [`Writer`] may do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Whom the files belong to.
    pub owners: Owners,
    /// How much the tree may ask for.
    pub budget: Budget,
    /// Devices are made. Without it they are passed over and reported.
    pub devices: bool,
    /// Set-id bits are given to files although others can enter the root while they are made. Without it they are passed over and reported, but
    /// in a root with mode 0700.
    pub set_id: bool,
    /// A directory's entry on a link to a directory goes to that one. Without it the entry takes the link's place.
    pub keep_directory_links: bool,
    /// [`Writer::finish`] waits until all is on the disk.
    pub sync: bool,
}

/// Makes files of an untrusted tree's entries, in a [`Root`].
///
/// Paths are as in an archive: absolute or not, with `.` and `..`, with any bytes but NUL; links on the way are followed inside the root. A parent
/// that is missing is made (mode 0755, root's, at the time 0). What stands where an entry is made is replaced, with all that is in it; only a
/// directory stays under a directory, and takes the new metadata.
///
/// After an error the tree is what it had become; a caller throws it away.
#[derive(Debug)]
pub struct Writer {
    pub(crate) root: Root,
    pub(crate) options: Options,
    pub(crate) spent: Spent,
    pub(crate) report: Report,
    /// What this process takes away from the mode of what it makes.
    umask: u32,
    user: u32,
    group: u32,
    is_root: bool,
    /// Nobody else can enter the root while it is written.
    private: bool,
    root_identity: Identity,
    /// Does a new file get its directory's group on this file system? Known once it was seen.
    group_of_directory: Option<bool>,
    made: Made,
    /// Devices that were passed over, in all layers.
    absent: Made,
    late: Directories,
    /// The directory in which something was made last, as long as nothing was replaced and no directory was settled since.
    last: Option<Last>,
}

impl Writer {
    /// A writer that makes files in `root`. Its umask does not count, but a process that sets it to 0 before spares a system call for some files.
    ///
    /// # Errors
    /// The root cannot be looked at.
    pub fn new(root: &Root, options: Options) -> Result<Self> {
        let root = root.try_clone()?;
        let seen = fs::fstat(&root).map_err(|errno| Error::system(b".", "look at the root", errno))?;
        let user = rustix::process::geteuid();
        Ok(Self {
            options,
            spent: Spent::default(),
            report: Report::default(),
            umask: umask(),
            user: user.as_raw(),
            group: rustix::process::getegid().as_raw(),
            is_root: user.is_root(),
            private: seen.st_mode & 0o077 == 0,
            root_identity: identity(&seen),
            group_of_directory: None,
            made: Made::default(),
            absent: Made::default(),
            late: Directories::new(&root),
            last: None,
            root,
        })
    }

    /// Makes a directory. One that is there keeps what is in it and takes this metadata; a link is replaced, also one to a directory.
    ///
    /// # Errors
    /// As for every entry: what no honest tree asks for is refused, a limit is reached, or the file system fails.
    pub fn directory(&mut self, path: &[u8], metadata: &Metadata) -> Result<()> {
        let time = check::said(path, metadata)?;
        let owner = self.options.owners.of(path, metadata)?;
        self.spent.entry(&self.options.budget, path)?;
        let split = split(path, &self.options.budget)?;
        let Leaf::Name(_) = split.leaf else {
            let handle = self.make_parents(path, split.whole)?;
            let handle = fs::openat(handle, c".", DIRECTORY, Mode::empty())
                .map_err(|errno| Error::system(path, "open the directory", errno))?;
            return self.settle_directory(path, &split, (handle, false), metadata, owner, time);
        };
        let place = self.place(path, &split)?;
        let failed = |errno| Error::system(path, "make the directory", errno);
        let mode = Mode::from_raw_mode(metadata.mode & PERMISSIONS | 0o700);
        for _ in 0..ATTEMPTS {
            let new = match fs::mkdirat(&place.parent, place.leaf, mode) {
                Ok(()) => true,
                Err(Errno::EXIST) => false,
                Err(errno) => return Err(failed(errno)),
            };
            match open_beside(place.parent.as_fd(), place.leaf, DIRECTORY) {
                Ok(handle) => {
                    self.made.add(identity(&place.seen), place.leaf);
                    return self.settle_directory(path, &split, (handle, new), metadata, owner, time);
                }
                Err(Errno::NOTDIR | Errno::LOOP) => {
                    if self.options.keep_directory_links
                        && let Ok(handle) = self.root.resolve(split.whole, DIRECTORY.difference(OFlags::NOFOLLOW))
                    {
                        return self.settle_directory(path, &split, (handle, false), metadata, owner, time);
                    }
                    self.replace(path, &place)?;
                }
                Err(Errno::NOENT) => {}
                Err(errno) => return Err(failed(errno)),
            }
        }
        Err(contended(path))
    }

    /// Begins a regular file of `size` bytes. What is not written of it is a hole.
    ///
    /// # Errors
    /// As [`directory`](Self::directory); the name may be no other file's, nor the root's.
    pub fn file<'a>(&'a mut self, path: &'a [u8], metadata: &'a Metadata, size: u64) -> Result<FileWriter<'a>> {
        self.file_at(path, path, metadata, size)
    }

    /// The same `at` another path than the one that errors and the report name.
    pub(crate) fn file_at<'a>(
        &'a mut self,
        at: &[u8],
        path: &'a [u8],
        metadata: &'a Metadata,
        size: u64,
    ) -> Result<FileWriter<'a>> {
        let time = check::said(path, metadata)?;
        let owner = self.options.owners.of(path, metadata)?;
        check::file_size(path, size, &self.options.budget)?;
        self.spent.entry(&self.options.budget, path)?;
        let split = split(at, &self.options.budget)?;
        let opened = if self.is_opened_for_attributes(metadata, owner) {
            0o200
        } else {
            0
        };
        let mode = Mode::from_raw_mode(metadata.mode & PERMISSIONS | opened);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let (file, seen, leaf) = match self.made_beside_last(&split, flags, mode) {
            Some(made) => made,
            None => {
                let place = self.place(path, &split)?;
                let file = self.make(path, "make the file", &place, || {
                    fs::openat(&place.parent, place.leaf, flags, mode)
                })?;
                (file, place.seen, place.leaf)
            }
        };
        self.made.add(identity(&seen), leaf);
        let group = self.group_in(path, &seen, file.as_fd())?;
        Ok(FileWriter::new(self, file, path, metadata, size, (owner, group, time)))
    }

    /// Makes a symbolic link with this text, wherever it leads: links out of the tree are ordinary content, and lead nowhere here.
    ///
    /// # Errors
    /// As [`file`](Self::file); or the text is empty, too long or has a NUL byte.
    pub fn symlink(&mut self, path: &[u8], metadata: &Metadata, target: &[u8]) -> Result<()> {
        let time = check::said(path, metadata)?;
        let owner = self.options.owners.of(path, metadata)?;
        check::link_text(path, target, &self.options.budget)?;
        let place = self.entry(path)?;
        self.make(path, "make the link", &place, || {
            fs::symlinkat(target, &place.parent, place.leaf)
        })?;
        self.settle_node(path, &place, FileType::Symlink, metadata, owner, time)
    }

    /// Makes `path` another name of what is at `target`, a path in the same root. The last name of `target` is not followed.
    ///
    /// # Errors
    /// As [`file`](Self::file); or nothing is at `target`, it is a directory, or `path` itself.
    pub fn hard_link(&mut self, path: &[u8], target: &[u8]) -> Result<()> {
        split(path, &self.options.budget)?;
        let from = split(target, &self.options.budget)?;
        let Leaf::Name(from_leaf) = from.leaf else {
            return Err(check::link_to_directory(path));
        };
        let missing = || Error::refused(path, "it is a hard link, and nothing is where it leads to");
        let failed = |errno| Error::system(path, "make the hard link", errno);
        let from_parent = match self.root.directory(from.parent) {
            Ok(parent) => parent,
            Err(Errno::NOENT | Errno::NOTDIR) => return Err(missing()),
            Err(errno) => return Err(failed(errno)),
        };
        let from_identity = identity(&fs::fstat(&from_parent).map_err(failed)?);
        let linked = match fs::statat(&from_parent, from_leaf, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(linked) => linked,
            // A device that was passed over has other names.
            Err(Errno::NOENT) if self.absent.has(from_identity, from_leaf) => return self.pass_over_device(path),
            Err(Errno::NOENT) => return Err(missing()),
            Err(errno) => return Err(failed(errno)),
        };
        if FileType::from_raw_mode(linked.st_mode) == FileType::Directory {
            return Err(check::link_to_directory(path));
        }
        let place = self.entry(path)?;
        if (identity(&place.seen), place.leaf) == (from_identity, from_leaf) {
            return Err(Error::refused(path, "a hard link to itself"));
        }
        for _ in 0..ATTEMPTS {
            match fs::linkat(&from_parent, from_leaf, &place.parent, place.leaf, AtFlags::empty()) {
                Ok(()) => {
                    self.made.add(identity(&place.seen), place.leaf);
                    return Ok(());
                }
                Err(Errno::EXIST) => {}
                // What was replaced had the target in it.
                Err(Errno::NOENT) => return Err(missing()),
                Err(errno) => return Err(failed(errno)),
            }
            match fs::statat(&place.parent, place.leaf, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(there) if identity(&there) == identity(&linked) => {
                    self.made.add(identity(&place.seen), place.leaf);
                    return Ok(());
                }
                Ok(_) | Err(Errno::NOENT) => {}
                Err(errno) => return Err(failed(errno)),
            }
            self.replace(path, &place)?;
        }
        Err(contended(path))
    }

    /// Makes a named pipe, or a device where [`Options::devices`] allows it.
    ///
    /// # Errors
    /// As [`file`](Self::file); or `node` is something else.
    pub fn node(&mut self, path: &[u8], metadata: &Metadata, node: &Node) -> Result<()> {
        let time = check::said(path, metadata)?;
        let owner = self.options.owners.of(path, metadata)?;
        let (kind, device) = match node {
            Node::Fifo => (FileType::Fifo, None),
            Node::CharDevice(device) => (FileType::CharacterDevice, Some(device)),
            Node::BlockDevice(device) => (FileType::BlockDevice, Some(device)),
            Node::File(_) | Node::Directory | Node::Symlink(_) | Node::Socket => {
                return Err(Error::new(
                    ErrorKind::Unsupported,
                    format!("{}: only pipes and devices are made so", crate::name::Shown(path)),
                ));
            }
        };
        if device.is_some_and(|device| !self.options.devices || (device.major, device.minor) == (0, 0)) {
            return self.pass_over_device(path);
        }
        let number = device.map_or(0, |device| fs::makedev(device.major, device.minor));
        let mode = Mode::from_raw_mode(metadata.mode & PERMISSIONS);
        let place = self.entry(path)?;
        let mut denied = false;
        self.make(path, "make the node", &place, || {
            match fs::mknodat(&place.parent, place.leaf, kind, mode, number) {
                Err(Errno::PERM) if device.is_some() => {
                    denied = true;
                    Ok(())
                }
                other => other,
            }
        })?;
        if denied {
            self.absent.add(identity(&place.seen), place.leaf);
            self.report.devices.add(path);
            return self.replace(path, &place);
        }
        self.settle_node(path, &place, kind, metadata, owner, time)
    }

    /// The next layer begins: what is there now is what earlier layers left.
    pub fn next_layer(&mut self) {
        self.made.next_layer();
    }

    /// Bytes of content that were written so far.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.spent.bytes
    }

    /// What was made and passed over so far.
    #[must_use]
    pub fn report(&self) -> Report {
        Report {
            entries: self.spent.entries,
            bytes: self.spent.bytes,
            ..self.report.clone()
        }
    }

    /// Gives all directories their times, and those that are closed to their owner their modes; last of all the root. Waits for the disk where
    /// [`Options::sync`] says so.
    ///
    /// # Errors
    /// The file system fails.
    pub fn finish(mut self) -> Result<Report> {
        self.report.middle = self.late.middle();
        self.late.flush(&self.root, true)?;
        if self.options.sync {
            fs::syncfs(&self.root).map_err(|errno| Error::system(b".", "write the tree to the disk", errno))?;
        }
        Ok(self.report())
    }

    /// A device is not made. What is there now is not what the tree has, and goes.
    fn pass_over_device(&mut self, path: &[u8]) -> Result<()> {
        let place = self.entry(path)?;
        self.replace(path, &place)?;
        self.absent.add(identity(&place.seen), place.leaf);
        self.report.devices.add(path);
        Ok(())
    }
}

fn contended(path: &[u8]) -> Error {
    Error::refused(path, "somebody else changes the tree while it is made")
}
