//! How is work that blocks told that nobody wants it any more, and waited for until it has cleaned up?

use std::{
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread,
};

use teu_store::{Error, ErrorKind, Result};
use tokio::sync::oneshot;

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

/// Does work that makes files on a thread of its own, within a tokio runtime. Where the future is dropped the work is told to stop, and removes what it
/// made; [`Stop::wait`] waits for that.
pub(crate) async fn on_a_thread<T: Send + 'static, E: From<Error> + Send + 'static>(
    stop: &Stop,
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, E> {
    let (sender, receiver) = oneshot::channel();
    let at_work = stop.work();
    let spawned = thread::Builder::new().name("unpack".to_owned()).spawn(move || {
        let outcome = work();
        drop(at_work);
        // Where nobody waits, there is nobody to tell.
        let _ = sender.send(outcome);
    });
    let thread = spawned.map_err(|error| Error::from(error).within("starting a thread"))?;
    let mut wanted = Wanted(Some(stop.clone()));
    let outcome = receiver.await;
    wanted.0 = None;
    match outcome {
        Ok(outcome) => outcome,
        Err(_) => match thread.join() {
            Err(panic) => std::panic::resume_unwind(panic),
            Ok(()) => Err(Error::new(ErrorKind::Cancelled, "the work was broken off").into()),
        },
    }
}

/// Tells the work to stop where nobody waits for its outcome any more.
struct Wanted(Option<Stop>);

impl Drop for Wanted {
    fn drop(&mut self) {
        if let Some(stop) = &self.0 {
            stop.request();
        }
    }
}
