//! How does an entry of an untrusted tree become a file? [`Writer`] takes one after the other, as an archive has them, layer upon layer.
//!
//! The parent is resolved inside, anew for each entry; the name in it is made where nothing is (`O_EXCL`), after what was there is removed; owner,
//! mode, attributes and times go to the handle of what was made, never to a name. What is made in one layer is known
//! ([`Made`]), so that a whiteout takes away only what was there before it.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::{
    fs::{self, AtFlags, FileType, Gid, Mode, OFlags, Stat, Timespec, Uid},
    io::Errno,
};

use crate::{
    Budget, Error, ErrorKind, Metadata, Node, Owners, Report, Result, Root,
    budget::Spent,
    check,
    content::FileWriter,
    directories::{Directories, both},
    made::{Identity, Made, identity},
    name::{Leaf, Split, split},
    owners::{Owner, RECORD, record},
    remove::{modified, remove_all, remove_content_lower, remove_directory, remove_lower},
    root::{DIRECTORY, PLACE, open_beside},
    xattrs,
};

/// How often what stands in the way of a name is removed. An honest tree needs one time; somebody who puts things there all the while is refused.
const ATTEMPTS: u32 = 16;
/// How many links that lead nowhere are followed to make the directory that they mean; as many as the kernel follows.
const LINKS: u32 = 40;

const PERMISSIONS: u32 = 0o777;
const SET_ID: u32 = 0o6000;

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
}

/// Where an entry is made.
struct Place<'a> {
    parent: OwnedFd,
    seen: Stat,
    leaf: &'a [u8],
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
            late: Directories::default(),
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
                    remove_all(place.parent.as_fd(), place.leaf).map_err(failed)?;
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
        let time = check::said(path, metadata)?;
        let owner = self.options.owners.of(path, metadata)?;
        check::file_size(path, size, &self.options.budget)?;
        let place = self.entry(path)?;
        let mode = Mode::from_raw_mode(metadata.mode & PERMISSIONS);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = make(path, "make the file", &place, || {
            fs::openat(&place.parent, place.leaf, flags, mode)
        })?;
        self.made.add(identity(&place.seen), place.leaf);
        let group = self.group_in(path, &place.seen, file.as_fd())?;
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
        make(path, "make the link", &place, || {
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
            remove_all(place.parent.as_fd(), place.leaf).map_err(failed)?;
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
        make(path, "make the node", &place, || {
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
            return remove_all(place.parent.as_fd(), place.leaf)
                .map_err(|errno| Error::system(path, "remove what was there", errno));
        }
        self.settle_node(path, &place, kind, metadata, owner, time)
    }

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
        if self.made.is_cleared(identity(&seen)) {
            return Ok(());
        }
        self.late
            .touch(&self.root, identity(&seen), split.parent, modified(&seen))?;
        let made = self.made.has(identity(&seen), leaf);
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
        self.late
            .touch(&self.root, identity(&seen), split.whole, modified(&seen))?;
        remove_content_lower(directory.as_fd(), &mut self.made).map_err(failed)
    }

    /// The next layer begins: what is there now is what earlier layers left.
    pub fn next_layer(&mut self) {
        self.made.next_layer();
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
        self.late.flush(&self.root, true)?;
        if self.options.sync {
            fs::syncfs(&self.root).map_err(|errno| Error::system(b".", "write the tree to the disk", errno))?;
        }
        Ok(self.report())
    }

    /// Counts an entry that is no directory, and finds where it is made.
    fn entry<'a>(&mut self, path: &'a [u8]) -> Result<Place<'a>> {
        self.spent.entry(&self.options.budget, path)?;
        let split = split(path, &self.options.budget)?;
        self.place(path, &split)
    }

    fn place<'a>(&mut self, path: &[u8], split: &Split<'a>) -> Result<Place<'a>> {
        let leaf = check::named(path, split.leaf)?;
        let parent = match self.root.directory(split.parent) {
            Ok(parent) => parent,
            Err(Errno::NOENT) => self.make_parents(path, split.parent)?,
            Err(errno) => return Err(Error::system(path, "find its directory", errno)),
        };
        let seen = fs::fstat(&parent).map_err(|errno| Error::system(path, "look at its directory", errno))?;
        self.late
            .touch(&self.root, identity(&seen), split.parent, modified(&seen))?;
        Ok(Place { parent, seen, leaf })
    }

    /// Makes the directories that are missing on the way; where a link leads to nothing, the directory that it means.
    fn make_parents(&mut self, path: &[u8], directory: &[u8]) -> Result<OwnedFd> {
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
            self.late.touch(&self.root, identity(&seen), &done, modified(&seen))?;
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

    /// Gives a directory its metadata, as far as it gets it now.
    fn settle_directory(
        &mut self,
        path: &[u8],
        split: &Split<'_>,
        (handle, new): (OwnedFd, bool),
        metadata: &Metadata,
        owner: Owner,
        time: Timespec,
    ) -> Result<()> {
        let failed = |errno| Error::system(path, "set the metadata of the directory", errno);
        let seen = fs::fstat(&handle).map_err(failed)?;
        if new && seen.st_uid != self.user {
            return Err(contended(path));
        }
        if !new {
            xattrs::clear(handle.as_fd(), path)?;
        }
        self.own(path, handle.as_fd(), owner, (seen.st_uid, seen.st_gid))?;
        let wanted = metadata.mode & 0o7777;
        let is_root = identity(&seen) == self.root_identity;
        let now = if is_root && self.private {
            0o700
        } else if self.is_root {
            wanted
        } else {
            wanted | 0o700
        };
        if seen.st_mode & 0o7777 != now {
            fs::fchmod(&handle, Mode::from_raw_mode(now)).map_err(failed)?;
        }
        self.attribute(path, Some(handle.as_fd()), metadata, owner)?;
        let late = (now != wanted).then_some(wanted as u16);
        self.late
            .set(&self.root, (identity(&seen), new), split.whole, time, late)
    }

    /// Gives a file its metadata; `made_by` is the group that it was made with.
    pub(crate) fn settle_file(
        &mut self,
        path: &[u8],
        file: BorrowedFd<'_>,
        metadata: &Metadata,
        (owner, group, time): (Owner, u32, Timespec),
    ) -> Result<()> {
        let failed = |errno| Error::system(path, "set the metadata of the file", errno);
        self.own(path, file, owner, (self.user, group))?;
        let mut mode = metadata.mode & 0o7777;
        if mode & SET_ID != 0 && !self.private && !self.options.set_id {
            mode &= !SET_ID;
            self.report.set_id.add(path);
        }
        // After the owner, whose change takes set-id bits away.
        if mode & !PERMISSIONS != 0 || mode & self.umask != 0 {
            fs::fchmod(file, Mode::from_raw_mode(mode)).map_err(failed)?;
        }
        self.attribute(path, Some(file), metadata, owner)?;
        fs::futimens(file, &both(time)).map_err(failed)
    }

    /// Gives a link, a pipe or a device its metadata.
    fn settle_node(
        &mut self,
        path: &[u8],
        place: &Place<'_>,
        kind: FileType,
        metadata: &Metadata,
        owner: Owner,
        time: Timespec,
    ) -> Result<()> {
        use std::os::fd::AsRawFd;

        self.made.add(identity(&place.seen), place.leaf);
        let failed = |errno| Error::system(path, "set its metadata", errno);
        let node = open_beside(place.parent.as_fd(), place.leaf, PLACE).map_err(failed)?;
        let seen = fs::fstat(&node).map_err(failed)?;
        // Is it what was made, and not something that somebody put in its place?
        if FileType::from_raw_mode(seen.st_mode) != kind || seen.st_uid != self.user || seen.st_nlink != 1 {
            return Err(contended(path));
        }
        if let Owner::Is(user, group) = owner
            && (user, group) != (seen.st_uid, seen.st_gid)
        {
            let (user, group) = (Uid::from_raw(user), Gid::from_raw(group));
            fs::chownat(&node, c"", Some(user), Some(group), AtFlags::EMPTY_PATH)
                .map_err(|errno| not_given(path, errno))?;
        }
        let mode = metadata.mode & PERMISSIONS;
        if kind != FileType::Symlink && seen.st_mode & 0o7777 != mode {
            // A handle that only stands for a file changes its mode but by this way; and a device must not be opened.
            let this = format!("/proc/self/fd/{}", node.as_raw_fd());
            fs::chmod(this, Mode::from_raw_mode(mode)).map_err(failed)?;
        }
        self.attribute(path, None, metadata, owner)?;
        fs::utimensat(&node, c"", &both(time), AtFlags::EMPTY_PATH).map_err(failed)
    }

    /// Gives the file to its owner, unless it is his.
    fn own(&self, path: &[u8], file: BorrowedFd<'_>, owner: Owner, now: (u32, u32)) -> Result<()> {
        match owner {
            Owner::Is(user, group) if (user, group) != now => {
                fs::fchown(file, Some(Uid::from_raw(user)), Some(Gid::from_raw(group)))
                    .map_err(|errno| not_given(path, errno))
            }
            _ => Ok(()),
        }
    }

    /// Sets the extended attributes that are let pass, and the record of the owner. Links, pipes and devices can have none of them.
    fn attribute(
        &mut self,
        path: &[u8],
        file: Option<BorrowedFd<'_>>,
        metadata: &Metadata,
        owner: Owner,
    ) -> Result<()> {
        let kept = self.options.owners == Owners::Kept;
        for (name, value) in &metadata.xattrs {
            let set = match file {
                Some(file) if xattrs::is_let_pass(name, kept) => xattrs::set(file, path, name, value)?,
                _ => false,
            };
            if !set {
                self.report.xattrs.add(path);
            }
        }
        if let Owner::Recorded(user, group) = owner {
            let set = match file {
                Some(file) => xattrs::set(file, path, RECORD.as_bytes(), &record(user, group))?,
                None => false,
            };
            if !set {
                self.report.owners.add(path);
            }
        }
        Ok(())
    }

    /// The group that a file gets which is made in the directory `parent`.
    fn group_in(&mut self, path: &[u8], parent: &Stat, file: BorrowedFd<'_>) -> Result<u32> {
        if parent.st_mode & 0o2000 != 0 {
            return Ok(parent.st_gid);
        }
        if parent.st_gid == self.group {
            return Ok(self.group);
        }
        let of_directory = match self.group_of_directory {
            Some(known) => known,
            // A mount option (`grpid`) says which.
            None => {
                let seen = fs::fstat(file).map_err(|errno| Error::system(path, "look at the new file", errno))?;
                let of_directory = seen.st_gid == parent.st_gid;
                self.group_of_directory = Some(of_directory);
                of_directory
            }
        };
        Ok(if of_directory { parent.st_gid } else { self.group })
    }

    /// A device is not made. What is there now is not what the tree has, and goes.
    fn pass_over_device(&mut self, path: &[u8]) -> Result<()> {
        let place = self.entry(path)?;
        remove_all(place.parent.as_fd(), place.leaf)
            .map_err(|errno| Error::system(path, "remove what was there", errno))?;
        self.absent.add(identity(&place.seen), place.leaf);
        self.report.devices.add(path);
        Ok(())
    }
}

/// What a directory is that no entry describes.
fn implied() -> Metadata {
    Metadata {
        mode: 0o755,
        ..Metadata::default()
    }
}

/// Makes something where nothing may be, and removes what is there first.
fn make<T>(path: &[u8], what: &str, place: &Place<'_>, mut make: impl FnMut() -> rustix::io::Result<T>) -> Result<T> {
    for _ in 0..ATTEMPTS {
        match make() {
            Ok(made) => return Ok(made),
            Err(Errno::EXIST) => {}
            Err(errno) => return Err(Error::system(path, what, errno)),
        }
        remove_all(place.parent.as_fd(), place.leaf)
            .map_err(|errno| Error::system(path, "remove what was there", errno))?;
    }
    Err(contended(path))
}

fn contended(path: &[u8]) -> Error {
    Error::refused(path, "somebody else changes the tree while it is made")
}

fn not_given(path: &[u8], errno: Errno) -> Error {
    if errno == Errno::PERM {
        let message = format!(
            "{}: only root can give files away; unpack the tree rootless, or without owners",
            crate::name::Shown(path)
        );
        return Error::new(ErrorKind::Unsupported, message).with_cause(errno);
    }
    Error::system(path, "set its owner", errno)
}

/// What is taken away from the modes of new files; everything, where it cannot be known without changing it.
fn umask() -> u32 {
    let status = std::fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("Umask:"));
    line.and_then(|mask| u32::from_str_radix(mask.trim(), 8).ok())
        .unwrap_or(PERMISSIONS)
}
