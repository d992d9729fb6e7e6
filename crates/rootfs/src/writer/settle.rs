//! How does what was made get its metadata? By its handle: the owner, then the mode, the extended attributes and the time.

use std::{
    collections::BTreeMap,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
};

use rustix::{
    fs::{self, AtFlags, FileType, Gid, Mode, Stat, Timespec, Uid},
    io::Errno,
};

use crate::{
    Error, ErrorKind, Metadata, Owners, Result,
    directories::both,
    made::identity,
    name::Split,
    owners::{Owner, RECORD, record},
    root::{PLACE, open_beside},
    xattrs,
};

use super::{PERMISSIONS, Writer, contended, place::Place};

const SET_ID: u32 = 0o6000;

impl Writer {
    /// Gives a directory its metadata, as far as it gets it now.
    pub(super) fn settle_directory(
        &mut self,
        path: &[u8],
        split: &Split<'_>,
        (handle, new): (OwnedFd, bool),
        metadata: &Metadata,
        owner: Owner,
        time: Timespec,
    ) -> Result<()> {
        let failed = |errno| Error::system(path, "set the metadata of the directory", errno);
        // It may be the one whose group is known.
        self.last = None;
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
        self.attribute(path, (handle.as_fd(), true), metadata, owner)?;
        let late = (now != wanted).then_some(wanted as u16);
        self.late.set(
            &self.root,
            (handle.as_fd(), identity(&seen), new),
            split.whole,
            time,
            late,
        )
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
        let opened = self.is_opened_for_attributes(metadata, owner);
        if opened {
            self.attribute(path, (file, true), metadata, owner)?;
        }
        // After the owner, whose change takes set-id bits away.
        if opened || mode & !PERMISSIONS != 0 || mode & self.umask != 0 {
            fs::fchmod(file, Mode::from_raw_mode(mode)).map_err(failed)?;
        }
        if !opened {
            self.attribute(path, (file, true), metadata, owner)?;
        }
        fs::futimens(file, &both(time)).map_err(failed)
    }

    /// Whether a file is made with its owner's right to write, which it is not to have: to set an attribute takes that, but for root, however the file is
    /// open.
    pub(super) fn is_opened_for_attributes(&self, metadata: &Metadata, owner: Owner) -> bool {
        let has_some = !metadata.xattrs.is_empty() || matches!(owner, Owner::Recorded(..));
        !self.is_root && metadata.mode & 0o200 == 0 && has_some
    }

    /// Gives a link, a pipe or a device its metadata.
    pub(super) fn settle_node(
        &mut self,
        path: &[u8],
        place: &Place<'_>,
        kind: FileType,
        metadata: &Metadata,
        owner: Owner,
        time: Timespec,
    ) -> Result<()> {
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
        self.attribute(path, (node.as_fd(), false), metadata, owner)?;
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
        (file, can_have): (BorrowedFd<'_>, bool),
        metadata: &Metadata,
        owner: Owner,
    ) -> Result<()> {
        let kept = self.options.owners == Owners::Kept;
        let mut any = false;
        let mut withheld = BTreeMap::new();
        for (name, value) in &metadata.xattrs {
            let set = can_have && xattrs::is_let_pass(name, kept) && xattrs::set(file, path, name, value)?;
            any |= set;
            if !set {
                self.report.xattrs.add(path);
                if !xattrs::is_of_overlayfs(name) {
                    withheld.insert(name.clone(), value.clone());
                }
            }
        }
        if let Owner::Recorded(user, group) = owner {
            let set = can_have && xattrs::set(file, path, RECORD.as_bytes(), &record(user, group))?;
            any |= set;
            if !set {
                self.report.owners.add(path);
            }
        }
        // What is said of a number may be said of a file that had it before, and is gone.
        if any || !withheld.is_empty() || !self.report.withheld.is_empty() {
            let seen = fs::fstat(file).map_err(|errno| Error::system(path, "look at it", errno))?;
            if any {
                self.report.attributed.add(identity(&seen));
            }
            self.report.withheld.set(identity(&seen), withheld);
        }
        Ok(())
    }

    /// The group that a file gets which is made in the directory `parent`.
    pub(super) fn group_in(&mut self, path: &[u8], parent: &Stat, file: BorrowedFd<'_>) -> Result<u32> {
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
pub(super) fn umask() -> u32 {
    let status = std::fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("Umask:"));
    line.and_then(|mask| u32::from_str_radix(mask.trim(), 8).ok())
        .unwrap_or(PERMISSIONS)
}
