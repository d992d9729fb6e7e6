//! How is a lock waited for that another process has? As long as it takes; but a person who looks on is told why nothing goes on.

use std::{
    fs::File,
    io,
    path::Path,
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use rustix::fs::{FlockOperation, flock};
#[cfg(feature = "layout")]
use teu_store::{Error, Result};
use teu_store::{Event, Events};

/// How long a wait may be before it is told of.
const PATIENCE: Duration = Duration::from_secs(2);

/// Which share of a lock is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Share {
    /// One that others may have too.
    #[cfg(feature = "layout")]
    One,
    /// All of it.
    All,
}

/// A file that is locked as long as this lives.
///
/// It is unlocked, and not only closed: a process that is being started at this moment, such as a credential helper, has all open files until
/// it runs its own program, and would keep the lock so long.
#[derive(Debug)]
pub(crate) struct Locked(File);

impl Drop for Locked {
    fn drop(&mut self) {
        // Where it fails, closing it does the same.
        let _ = flock(&self.0, FlockOperation::Unlock);
    }
}

impl Share {
    fn operations(self) -> (FlockOperation, FlockOperation) {
        match self {
            #[cfg(feature = "layout")]
            Self::One => (FlockOperation::NonBlockingLockShared, FlockOperation::LockShared),
            Self::All => (FlockOperation::NonBlockingLockExclusive, FlockOperation::LockExclusive),
        }
    }
}

/// Locks `file`, which is at `path`; none where another has it.
#[cfg(feature = "layout")]
pub(crate) fn try_lock(file: File, path: &Path, share: Share) -> Result<Option<Locked>> {
    match flock(&file, share.operations().0) {
        Ok(()) => Ok(Some(Locked(file))),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(failed(error.into(), path)),
    }
}

/// Locks `file`, which is at `path`, however long that takes.
#[cfg(feature = "layout")]
pub(crate) fn wait_for_lock(file: File, path: &Path, share: Share, events: &Events) -> Result<Locked> {
    wait(file, path, share, events).map_err(|error| failed(error, path))
}

/// The same, for who makes something else of its failure: a file system may know no locks.
pub(crate) fn wait(file: File, path: &Path, share: Share, events: &Events) -> io::Result<Locked> {
    let (at_once, patiently) = share.operations();
    match flock(&file, at_once) {
        Ok(()) => return Ok(Locked(file)),
        Err(rustix::io::Errno::WOULDBLOCK) => {}
        Err(error) => return Err(error.into()),
    }
    let (got_it, waiting) = mpsc::channel::<()>();
    let (events, shown) = (Arc::clone(events), path.display().to_string());
    // It ends when the lock is had, as the channel does.
    let watch = thread::Builder::new().spawn(move || {
        if waiting.recv_timeout(PATIENCE) == Err(mpsc::RecvTimeoutError::Timeout) {
            events(Event::Waiting {
                reason: format!("another process has {shown} locked"),
            });
        }
    });
    let locked = flock(&file, patiently);
    drop(got_it);
    // Without a thread to tell it is waited for all the same.
    drop(watch);
    locked?;
    Ok(Locked(file))
}

#[cfg(feature = "layout")]
fn failed(error: io::Error, path: &Path) -> Error {
    Error::from(error).within(format!("locking {}", path.display()))
}
