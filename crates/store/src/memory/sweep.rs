//! How is garbage collected in a store in memory? While no writer is at work.

use std::sync::Arc;

use futures_util::{FutureExt, future};
use teu_spec::{Descriptor, Digest};
use tokio::sync::OwnedRwLockWriteGuard;

use super::Memory;
use crate::{BoxFuture, Error, ErrorKind, Kept, Result, Sweep, SweepSession};

impl Sweep for Memory {
    fn begin(&self) -> BoxFuture<'_, Result<Box<dyn SweepSession + '_>>> {
        let session = match Arc::clone(&self.writers).try_write_owned() {
            Ok(alone) => Ok(Box::new(MemorySweep {
                store: self,
                _alone: alone,
            }) as Box<dyn SweepSession + '_>),
            Err(_) => Err(Error::new(ErrorKind::Conflict, "a writer is at work; try again later")),
        };
        future::ready(session).boxed()
    }
}

struct MemorySweep<'a> {
    store: &'a Memory,
    _alone: OwnedRwLockWriteGuard<()>,
}

impl SweepSession for MemorySweep<'_> {
    fn roots(&self) -> BoxFuture<'_, Result<Vec<Descriptor>>> {
        let listed = self.store.state().listed();
        future::ready(Ok(listed.into_iter().filter_map(|named| named.descriptor).collect())).boxed()
    }

    fn content(&self) -> BoxFuture<'_, Result<Vec<Kept>>> {
        let state = self.store.state();
        let blobs = state.blobs.iter().map(|(digest, b)| (digest, b.content.len(), b.since));
        let manifests = state.manifests.iter();
        let manifests = manifests.map(|(digest, entry)| (digest, entry.document.raw().len(), entry.since));
        let kept = blobs.chain(manifests).map(|(digest, size, since)| Kept {
            digest: *digest,
            size: size as u64,
            age: Some(since.elapsed()),
        });
        future::ready(Ok(kept.collect())).boxed()
    }

    fn remove<'a>(&'a self, digest: &'a Digest) -> BoxFuture<'a, Result<()>> {
        let mut state = self.store.state();
        state.blobs.remove(digest);
        state.manifests.remove(digest);
        future::ready(Ok(())).boxed()
    }
}
