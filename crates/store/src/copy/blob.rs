//! How does a blob get from here to there? By the cheapest way that holds: it is there; the registry mounts it; the file system copies it; it
//! is streamed, and hashed exactly once.

use bytes::Bytes;
use futures_util::StreamExt;
use teu_spec::{Descriptor, Digest};
use tokio::sync::OwnedMutexGuard;

use super::{ends::Ends, partial, progress::Progress};
use crate::{Committed, Error, ErrorKind, Event, Expected, FetchOptions, How, Reader, Result, Role, Side, SourceExt};

/// Up to here a blob is copied where the walk runs: a task of its own would cost more than it saves.
const SMALL: u64 = 64 << 10;
/// How often a blob is read and sent anew that the target lost.
pub(super) const ANEW: u32 = 2;

impl Ends {
    /// Copies a blob as it is. One that is believed to be new is brought to a registry without a question first, where to bring it in vain costs about as
    /// much as to ask.
    pub(super) async fn copy(&self, blob: &Descriptor, is_new: bool) -> Result<How> {
        if self.rehearse {
            return Ok(match (self.has(blob).await?, &self.mount_from) {
                (true, _) => How::Existed,
                (false, Some(_)) => How::Mounted,
                (false, None) => How::Copied,
            });
        }
        let _turn = self.turn(&blob.digest).await;
        // The registry answers a mount of what is there already as it answers any other, so that one question is enough.
        if let (Some(from), Some(mount)) = (&self.mount_from, self.target.mount()) {
            let mounted = mount.mount(from, &blob.digest).await;
            if mounted.map_err(|error| error.on(Side::Destination))? {
                return Ok(How::Mounted);
            }
        }
        let is_asked_for = !(is_new && blob.size <= SMALL && self.is_far());
        if is_asked_for && self.has(blob).await? {
            return Ok(How::Existed);
        }
        self.ready().await;
        if let Some(how) = self.adopted(blob).await? {
            return Ok(how);
        }
        if blob.size <= SMALL {
            self.stream(blob).await?;
        } else {
            let (ends, blob) = (self.clone(), blob.clone());
            self.tasks.run(async move { ends.stream(&blob).await }).await?;
        }
        Ok(How::Copied)
    }

    /// Waits until no other copy brings what comes of this blob, where copies take turns.
    pub(super) async fn turn(&self, digest: &Digest) -> Option<OwnedMutexGuard<()>> {
        match &self.turns {
            Some(turns) => Some(turns.take(digest).await),
            None => None,
        }
    }

    /// How the target took over the source's file, if it did.
    async fn adopted(&self, blob: &Descriptor) -> Result<Option<How>> {
        let (Some(local), Some(adopt)) = (self.source.local(), self.target.adopt()) else {
            return Ok(None);
        };
        if !adopt.is_preferred() {
            return Ok(None);
        }
        let Some(file) = local.open_file(&blob.digest).map_err(|error| error.on(Side::Source))? else {
            return Ok(None);
        };
        match adopt.adopt(file, blob, self.trust).await {
            Ok(how) => Ok(Some(how)),
            // What was wrong is what was in the file.
            Err(error) if *error.kind() == ErrorKind::Mismatch => Err(error.on(Side::Source)),
            Err(error) => Err(error.on(Side::Destination)),
        }
    }

    async fn stream(&self, blob: &Descriptor) -> Result<()> {
        if self.resumed(blob).await? {
            return Ok(());
        }
        let (mut again, mut anew) = (true, 0..ANEW);
        loop {
            let (reader, resumed) = self.open_kept(blob).await.map_err(|error| error.on(Side::Source))?;
            let mut progress = Progress::new(&self.events, blob);
            let poured = self.pour(reader, Expected::verified(blob), |count| progress.add(count));
            match poured.await {
                // What was kept was something else, and is kept no more: the blob is begun anew, once.
                Err(error) if resumed && again && *error.kind() == ErrorKind::Mismatch => again = false,
                Err(error) if *error.kind() == ErrorKind::Lost && anew.next().is_some() => {
                    // All of it may be there, and the answer that said so is what was lost.
                    if self.has(blob).await? {
                        return Ok(());
                    }
                    self.tell_anew(blob);
                }
                outcome => return outcome.map(drop),
            }
        }
    }

    /// Tells that a blob is sent once more that the target lost.
    pub(super) fn tell_anew(&self, blob: &Descriptor) {
        (self.events)(Event::Retry {
            reason: format!("blob {} is sent anew, as its upload broke off", blob.digest),
            wait_ms: 0,
        });
    }

    /// Writes all that a reader gives, and tells how much as it goes.
    pub(super) async fn pour(
        &self,
        mut reader: Reader,
        expected: Expected,
        mut progress: impl FnMut(usize) + Send,
    ) -> Result<Committed> {
        let digest = expected.digest;
        let ingest = self.target.ingest(expected).await;
        let mut ingest = ingest.map_err(|error| error.on(Side::Destination))?;
        while let Some(bytes) = reader.next().await {
            let bytes = match bytes {
                Ok(bytes) => bytes,
                Err(error) => {
                    let error = error.on(Side::Source);
                    // The first error is the one that counts.
                    let _ = ingest.abort().await;
                    return Err(error);
                }
            };
            progress(bytes.len());
            ingest.write(bytes).await.map_err(|error| error.on(Side::Destination))?;
        }
        let committed = ingest.commit(digest).await;
        committed.map_err(|error| error.on(Side::Destination))
    }

    /// A small blob, from here if it is here, so that a registry need not be asked.
    pub(super) async fn small_blob(&self, blob: &Descriptor) -> Result<Bytes> {
        if let Some(here) = self.target.readable()
            && here.origin().is_none()
            && self.source.origin().is_some()
            && let Ok(content) = here.small_blob(blob).await
        {
            return Ok(content);
        }
        self.source.small_blob(blob).await
    }

    /// The content of a blob: checked, unless the source is trusted.
    pub(super) async fn open(&self, blob: &Descriptor) -> Result<Reader> {
        Ok(self.open_kept(blob).await?.0)
    }

    /// The same, and whether its beginning was kept from an earlier copy.
    async fn open_kept(&self, blob: &Descriptor) -> Result<(Reader, bool)> {
        if !self.trust {
            if let Some(kept) = partial::open(self, blob).await? {
                return Ok(kept);
            }
            return Ok((self.source.open(Role::Blob, blob).await?.boxed(), false));
        }
        let fetched = self
            .source
            .fetch(Role::Blob, &blob.digest, FetchOptions::default())
            .await?;
        Ok((fetched.reader, false))
    }
}

/// An error about the content of one blob says which.
pub(super) fn of_blob(blob: &Descriptor) -> impl FnOnce(Error) -> Error {
    let digest = blob.digest;
    move |error| error.within(format!("copying blob {digest}"))
}
