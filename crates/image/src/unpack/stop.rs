//! How is work that blocks told that nobody wants it any more, and waited for until it has cleaned up?

use std::sync::{Arc, Condvar, Mutex, PoisonError};

use teu_store::{Error, ErrorKind, Result};

/// A wish to stop. Clones are the same wish.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    wanted: bool,
    at_work: usize,
}

impl Stop {
    /// Tells all that is at work to stop.
    pub fn request(&self) {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner).wanted = true;
    }

    /// Waits until nothing is at work any more.
    pub fn wait(&self) {
        let state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.0.changed.wait_while(state, |state| state.at_work > 0);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

    /// # Errors
    /// `Cancelled` once it is to stop.
    pub(crate) fn check(&self) -> Result<()> {
        match self.0.state.lock().unwrap_or_else(PoisonError::into_inner).wanted {
            true => Err(Error::new(ErrorKind::Cancelled, "stopped before the end")),
            false => Ok(()),
        }
    }

    /// Work that is waited for until it is dropped.
    pub(crate) fn work(&self) -> Work {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner).at_work += 1;
        Work(self.clone())
    }
}

/// Somebody at work.
pub(crate) struct Work(Stop);

impl Drop for Work {
    fn drop(&mut self) {
        self.0.0.state.lock().unwrap_or_else(PoisonError::into_inner).at_work -= 1;
        self.0.0.changed.notify_all();
    }
}

/// Tells the work to stop where nobody waits for its outcome any more.
pub(super) struct Wanted(pub(super) Option<Stop>);

impl Drop for Wanted {
    fn drop(&mut self) {
        if let Some(stop) = &self.0 {
            stop.request();
        }
    }
}
