//! What goes on where the disk is full? What makes room: to delete something is to write of it first. So a depot keeps a file of nothing but room, which is
//! given up in parts to who deletes, collects, or asks what is there before that; and pushes, which would fill it again at once, are refused until all of it is
//! there anew.

use std::{
    path::Path,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use rustix::{
    fs::{FallocateFlags, fallocate, fstatvfs},
    io::Errno,
};
use teu_store::{Error, ErrorKind, Result};

use crate::content::directory::{Directory, failed};

/// The file.
const RESERVE: &str = "reserve";
/// How many bytes it has at most: what the database's log has before it is written back, and some transactions more.
const MOST: u64 = 16 << 20;
/// No more than this part of the file system.
const PART: u64 = 16;
/// In how many parts it is given up: what was on its way in when the first one was may take that, and no other.
const PARTS: u64 = 4;

/// The room that a depot keeps.
pub(crate) struct Reserve(Option<Kept>);

struct Kept {
    root: Directory,
    /// How many bytes it is to have.
    whole: u64,
    left: Mutex<u64>,
    is_whole: AtomicBool,
}

impl Reserve {
    /// None at all, for what is in no directory.
    pub(crate) fn none() -> Self {
        Self(None)
    }

    /// What a directory has of it. It is made by [`refill`](Self::refill).
    ///
    /// # Errors
    /// Those of the disk; `Invalid` where something else has its name.
    pub(crate) fn of(directory: &Path) -> Result<Self> {
        let root = Directory::open(directory)?;
        let within = |error: Errno| failed(error.into(), "asking how large its file system is of", directory);
        let system = fstatvfs(root.handle()).map_err(within)?;
        let left = match root.file(RESERVE, false)? {
            Some(file) => file
                .metadata()
                .map_err(|error| failed(error, "opening", &root.path(RESERVE)))?
                .len(),
            None => 0,
        };
        Ok(Self(Some(Kept {
            root,
            whole: MOST.min(system.f_blocks.saturating_mul(system.f_frsize) / PART),
            left: Mutex::new(left),
            is_whole: AtomicBool::new(false),
        })))
    }

    /// Makes it whole where there is room for that. Where a file system cannot keep room there is no more of it, and nothing is refused for its sake.
    ///
    /// # Errors
    /// Those of the disk, other than that it is full.
    pub(crate) fn refill(&self) -> Result<()> {
        match &self.0 {
            Some(kept) if !kept.is_whole.load(Ordering::Acquire) => kept.refill(),
            _ => Ok(()),
        }
    }

    /// Gives up a part of it; false where there is none left.
    ///
    /// # Errors
    /// Those of the disk.
    fn give_up(&self) -> Result<bool> {
        self.0.as_ref().map_or(Ok(false), Kept::give_up)
    }

    /// Refuses what would fill the disk while not all of it is there.
    ///
    /// # Errors
    /// `Quota`.
    pub(crate) fn check(&self) -> Result<()> {
        match &self.0 {
            Some(kept) if !kept.is_whole.load(Ordering::Acquire) => {
                let message = format!(
                    "the disk is full but for up to {} bytes that {} keeps for deleting; nothing is taken before they are free again: delete something, or make room on the disk",
                    kept.whole,
                    kept.root.path(RESERVE).display()
                );
                Err(Error::new(ErrorKind::Quota, message))
            }
            _ => Ok(()),
        }
    }

    /// Does what makes room; where the disk is full once more, as the database's log may be begun anew since, and then in the room that is given up for it, as
    /// often as there is some left.
    ///
    /// # Errors
    /// Those of `act`.
    pub(crate) fn room<T>(&self, mut act: impl FnMut() -> Result<T>) -> Result<T> {
        let mut again = true;
        loop {
            match act() {
                Err(error) if self.gives(&error, &mut again) => {}
                outcome => return outcome,
            }
        }
    }

    /// The same of what is awaited.
    ///
    /// # Errors
    /// Those of `act`.
    pub(crate) async fn room_for<T, F>(&self, mut act: impl FnMut() -> F) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        let mut again = true;
        loop {
            match act().await {
                Err(error) if self.gives(&error, &mut again) => {}
                outcome => return outcome,
            }
        }
    }

    /// Whether it is worth to try again what failed so, for which room is given up unless it is to be tried once as it is.
    fn gives(&self, error: &Error, again: &mut bool) -> bool {
        // Where it cannot be given up the disk is as full as before, which is what is told.
        *error.kind() == ErrorKind::Quota && (std::mem::take(again) || self.give_up().unwrap_or(false))
    }
}

impl Kept {
    fn left(&self) -> MutexGuard<'_, u64> {
        // The file says it, and a panic elsewhere changed neither.
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn refill(&self) -> Result<()> {
        let mut left = self.left();
        let path = || self.root.path(RESERVE);
        let file = match self.root.file(RESERVE, true)? {
            Some(file) => file,
            None => match self.root.create(RESERVE) {
                Err(error) if *error.kind() == ErrorKind::Quota => return Ok(()),
                made => made?,
            },
        };
        match fallocate(&file, FallocateFlags::empty(), 0, self.whole) {
            Ok(()) => *left = self.whole,
            // Some file systems keep what they had found before they were full.
            Err(Errno::NOSPC | Errno::DQUOT) => {
                let cut = file.set_len(*left);
                return cut.map_err(|error| failed(error, "making", &path()));
            }
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => {
                *left = 0;
                self.root.remove(RESERVE)?;
            }
            Err(error) => return Err(failed(error.into(), "making", &path())),
        }
        self.is_whole.store(true, Ordering::Release);
        Ok(())
    }

    fn give_up(&self) -> Result<bool> {
        let mut left = self.left();
        let Some(file) = self.root.file(RESERVE, true)?.filter(|_| *left > 0) else {
            return Ok(false);
        };
        // First, so that nothing takes what is given up.
        self.is_whole.store(false, Ordering::Release);
        let less = left.saturating_sub(self.whole.div_ceil(PARTS).max(1));
        let cut = file.set_len(less);
        cut.map_err(|error| failed(error, "giving up a part of", &self.root.path(RESERVE)))?;
        *left = less;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// How many bytes there are of it, and whether what would fill the disk is taken.
    fn state(directory: &Path, reserve: &Reserve) -> (u64, bool) {
        let file = fs::metadata(directory.join(RESERVE));
        (file.map_or(0, |file| file.len()), reserve.check().is_ok())
    }

    #[test]
    fn it_is_given_up_in_parts_and_made_anew() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path();
        let reserve = Reserve::of(path).expect("a reserve");
        assert_eq!(state(path, &reserve), (0, false));
        reserve.refill().expect("there is room");
        assert_eq!(state(path, &reserve), (MOST, true));
        // Room that is kept is no hole.
        use std::os::unix::fs::MetadataExt;
        let file = fs::metadata(path.join(RESERVE)).expect("a file");
        assert!(file.blocks() * 512 >= MOST, "{}", file.blocks());
        let full = || Err::<(), _>(Error::new(ErrorKind::Quota, "full"));
        let mut tries = 4;
        let done = reserve.room(|| {
            tries -= 1;
            if tries == 0 { Ok(()) } else { full() }
        });
        assert_eq!(done.ok(), Some(()));
        assert_eq!(state(path, &reserve), (MOST / 2, false));
        // The next process finds it so, and an error of another kind takes none of it.
        let next = Reserve::of(path).expect("a reserve");
        let other = next.room(|| Err::<(), _>(Error::new(ErrorKind::Io, "broken")));
        assert_eq!(other.expect_err("broken").kind(), &ErrorKind::Io);
        assert_eq!(state(path, &next), (MOST / 2, false));
        let mut tries = 0;
        let error = next.room(|| {
            tries += 1;
            full()
        });
        assert_eq!((error.expect_err("full").kind(), tries), (&ErrorKind::Quota, 4));
        assert_eq!(state(path, &next), (0, false));
        next.refill().expect("there is room");
        assert_eq!(state(path, &next), (MOST, true));
        assert!(Reserve::none().check().is_ok());
    }
}
