//! Which uploads does a thread write to at this moment? What it does is not cut short where nobody waits for it any more, and nobody else may write
//! before it is done.

use std::{
    collections::HashSet,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
};

use teu_store::{Result, blocking};

/// The names of uploads that are written to.
#[derive(Default)]
pub(super) struct Busy {
    names: Mutex<HashSet<String>>,
    done: Condvar,
}

/// A name, as long as this lives.
pub(in crate::content) struct AtWork {
    busy: Arc<Busy>,
    name: String,
}

impl Busy {
    /// A thread is about to write to the upload of this name. One at a time does.
    pub(super) fn begin(self: &Arc<Self>, name: &str) -> AtWork {
        self.names().insert(name.to_owned());
        self.at_work(name)
    }

    /// The same, where no other is written to.
    pub(super) fn begin_alone(self: &Arc<Self>, name: &str) -> Option<AtWork> {
        let mut names = self.names();
        if !names.is_empty() {
            return None;
        }
        names.insert(name.to_owned());
        drop(names);
        Some(self.at_work(name))
    }

    fn at_work(self: &Arc<Self>, name: &str) -> AtWork {
        AtWork {
            busy: Arc::clone(self),
            name: name.to_owned(),
        }
    }

    /// Waits until no thread writes to it.
    pub(super) async fn wait(self: &Arc<Self>, name: &str) -> Result<()> {
        if !self.names().contains(name) {
            return Ok(());
        }
        let (busy, name) = (Arc::clone(self), name.to_owned());
        blocking::run(move || {
            let names = busy.names();
            let waited = busy.done.wait_while(names, |names| names.contains(&name));
            drop(waited.unwrap_or_else(PoisonError::into_inner));
            Ok(())
        })
        .await
    }

    fn names(&self) -> MutexGuard<'_, HashSet<String>> {
        // No one leaves it half changed, so what a panic elsewhere left is whole.
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        self.busy.names().remove(&self.name);
        self.busy.done.notify_all();
    }
}
