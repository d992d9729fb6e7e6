//! Which of several copies to one place brings a blob that all of them need? The first; the others wait, and find it there.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use teu_spec::Digest;
use tokio::sync::{Mutex as Lock, OwnedMutexGuard};

/// What copies share that go on side by side into one target, so that each content is brought once ([`Options::turns`](super::Options::turns)).
/// Clones are the same. It is no lock on the target: what others put there is found, or put twice, as ever.
#[derive(Clone, Debug, Default)]
pub struct Turns(Arc<Mutex<HashMap<Digest, Weak<Lock<()>>>>>);

impl Turns {
    /// Waits until no other copy brings this content; none does until what is given is dropped.
    pub(super) async fn take(&self, digest: &Digest) -> OwnedMutexGuard<()> {
        let lock = {
            let mut locks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            match locks.get(digest).and_then(Weak::upgrade) {
                Some(lock) => lock,
                None => {
                    // Those that nobody holds or waits for any more.
                    locks.retain(|_, lock| lock.strong_count() > 0);
                    let lock = Arc::new(Lock::new(()));
                    locks.insert(*digest, Arc::downgrade(&lock));
                    lock
                }
            }
        };
        lock.lock_owned().await
    }
}
