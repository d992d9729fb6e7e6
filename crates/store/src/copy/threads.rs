//! On how many threads is a layer compressed? On those that the other layers of the copy leave.

use std::{num::NonZeroUsize, sync::Arc};

use teu_spec::LayerCompression;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The most threads that one layer is compressed on, each of which holds up to 8 MiB.
const THREADS_PER_LAYER: usize = 8;

/// The threads that a copy's layers are compressed on.
#[derive(Clone)]
pub(super) struct Threads {
    free: Arc<Semaphore>,
    all: usize,
}

impl Threads {
    pub(super) fn new(all: NonZeroUsize) -> Self {
        let all = all.get().min(Semaphore::MAX_PERMITS);
        Self {
            free: Arc::new(Semaphore::new(all)),
            all,
        }
    }

    /// One thread, waited for, and of those that are free as many as are of use.
    pub(super) async fn take(&self, compression: LayerCompression) -> Option<(OwnedSemaphorePermit, NonZeroUsize)> {
        // It is never closed, so there is always one in the end.
        let mut taken = Arc::clone(&self.free).acquire_owned().await.ok()?;
        let most = match compression {
            LayerCompression::None => 1,
            _ => THREADS_PER_LAYER.min(self.all),
        };
        for _ in 1..most {
            match Arc::clone(&self.free).try_acquire_owned() {
                Ok(more) => taken.merge(more),
                Err(_) => break,
            }
        }
        let count = NonZeroUsize::new(taken.num_permits())?;
        Some((taken, count))
    }
}
