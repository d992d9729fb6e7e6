//! Is a file still what it was? [`Stat`] tells.

use rustix::fs;

use crate::Time;

/// What a file system says of a file beside its metadata: by this one tells whether it is still the file that it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// The file system.
    pub device: u64,
    /// The file in it.
    pub inode: u64,
    /// When anything of it was changed last, content, metadata or the number of its names.
    pub ctime: Time,
    /// Bytes of content, or whatever the file system calls the size of another kind of file.
    pub size: u64,
    /// How many names it has.
    pub links: u64,
}

impl Stat {
    pub(super) fn is_same_file(&self, other: &Self) -> bool {
        (self.device, self.inode) == (other.device, other.inode)
    }

    /// Whether it is the same file, and nobody changed it in between.
    pub(super) fn is_unchanged(&self, other: &Self) -> bool {
        self.is_same_file(other) && (self.ctime, self.size) == (other.ctime, other.size)
    }
}

pub(super) fn stat_of(raw: &fs::Stat) -> Stat {
    Stat {
        device: raw.st_dev,
        inode: raw.st_ino,
        ctime: time(raw.st_ctime, raw.st_ctime_nsec),
        size: u64::try_from(raw.st_size).unwrap_or_default(),
        // Of another width on other machines.
        #[allow(clippy::useless_conversion, reason = "of another width on other machines")]
        links: u64::from(raw.st_nlink),
    }
}

pub(super) fn time(seconds: i64, nanoseconds: u64) -> Time {
    Time {
        seconds,
        nanoseconds: u32::try_from(nanoseconds).unwrap_or_default(),
    }
}
