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
use teu_store::{Event, Events, Result};

use super::failed;

/// How long a wait may be before it is told of.
const PATIENCE: Duration = Duration::from_secs(2);

/// Which share of a lock is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Share {
    /// One that others may have too.
    One,
    /// All of it.
    All,
}

/// Locks `file`, which is at `path`, until it is closed.
pub(crate) fn wait_for_lock(file: &File, path: &Path, share: Share, events: &Events) -> Result<()> {
    let (at_once, patiently) = match share {
        Share::One => (FlockOperation::NonBlockingLockShared, FlockOperation::LockShared),
        Share::All => (FlockOperation::NonBlockingLockExclusive, FlockOperation::LockExclusive),
    };
    let failed = |error: io::Error| failed(error, "locking", path);
    match flock(file, at_once) {
        Ok(()) => return Ok(()),
        Err(rustix::io::Errno::WOULDBLOCK) => {}
        Err(error) => return Err(failed(error.into())),
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
    let locked = flock(file, patiently).map_err(|error| failed(error.into()));
    drop(got_it);
    // Without a thread to tell it is waited for all the same.
    drop(watch);
    locked
}
