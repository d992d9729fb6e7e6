//! What do no tags lead to? Manifests that nobody asks for by a name: neither tagged, nor part of an index that a tag leads to, nor about what one
//! leads to (a signature's `subject`). A depot keeps them, for who knows their digests; they go where [`Settings`](crate::Settings::untagged)
//! say after how long, or a person wants that.
//!
//! What is being pushed has no tag yet. So each manifest counts as touched when it is put, when somebody who may be about to name it is told
//! that it is there, and when it loses a tag; with what was touched a moment ago stays what it leads to, as with what has a tag. All of that is
//! looked at again in the transaction that takes it away.

use std::{
    sync::{Mutex, PoisonError, atomic::Ordering},
    time::Duration,
};

use futures_util::future::try_join_all;
use teu_spec::Digest;
use teu_store::Result;

use crate::{Depot, Millis, metadata::Looked};

/// How many manifests are looked at at once.
const BATCH: usize = 200;
/// How many of these batches each collection takes, where nobody waits for it.
const BATCHES: usize = 25;

/// A manifest that no tag leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Untagged {
    /// The repository that has it.
    pub repository: String,
    /// What it is.
    pub digest: Digest,
}

/// Behind which manifest the next collection goes on.
#[derive(Debug, Default)]
pub(crate) struct Reached(Mutex<Option<i64>>);

impl Reached {
    fn replace(&self, next: Option<i64>) {
        // No one leaves it half changed.
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = next;
    }

    fn at(&self) -> Option<i64> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Depot {
    /// All manifests that no tag leads to and that were last touched `stays` ago or before, those above before those below. Nothing is changed.
    ///
    /// # Errors
    /// Those of the disk.
    pub async fn untagged(&self, stays: Duration) -> Result<Vec<Untagged>> {
        let (before, mut all, mut after) = (self.0.now().before(stays), Vec::new(), None);
        loop {
            let Looked { untagged, next } = self.0.metadata.untagged(after, before, BATCH).await?;
            all.extend(
                untagged
                    .into_iter()
                    .map(|(repository, digest)| Untagged { repository, digest }),
            );
            match next {
                Some(next) => after = Some(next),
                None => return Ok(all),
            }
        }
    }

    /// Removes these manifests; one that got a tag or was touched meanwhile stays, and what that leads to. What they named goes with the next
    /// collections, when its lease is over.
    ///
    /// # Errors
    /// Those of the disk; what was removed before stays removed.
    pub async fn remove_untagged(&self, stays: Duration) -> Result<Vec<Untagged>> {
        let (before, mut removed, mut after) = (self.0.now().before(stays), Vec::new(), None);
        loop {
            let Looked { untagged, next } = self.0.metadata.untagged(after, before, BATCH).await?;
            self.take_untagged(untagged, before, &mut removed).await?;
            match next {
                Some(next) => after = Some(next),
                None => return Ok(removed),
            }
        }
    }

    /// The same for a part of all manifests, beginning where the last collection ended; how many went.
    pub(crate) async fn remove_some_untagged(&self, stays: Duration) -> Result<u64> {
        let (before, mut removed) = (self.0.now().before(stays), Vec::new());
        for _ in 0..BATCHES {
            let after = self.0.reached.at();
            let Looked { untagged, next } = self.0.metadata.untagged(after, before, BATCH).await?;
            self.0.reached.replace(next);
            self.take_untagged(untagged, before, &mut removed).await?;
            if next.is_none() {
                break;
            }
        }
        Ok(removed.len() as u64)
    }

    async fn take_untagged(
        &self,
        found: Vec<(String, Digest)>,
        before: Millis,
        removed: &mut Vec<Untagged>,
    ) -> Result<()> {
        if found.is_empty() {
            return Ok(());
        }
        self.may_collect().await?;
        // An index of which a part went first would not be whole for a moment.
        self.0.is_whole.store(false, Ordering::Relaxed);
        let now = self.0.now();
        let metadata = &self.0.metadata;
        // Sent in their order, and committed together.
        let taken = found.iter().map(|(repository, digest)| async move {
            let remove = || metadata.remove_untagged(repository, digest, before, now);
            self.0.reserve.room_for(remove).await
        });
        let taken = try_join_all(taken).await?;
        let gone = found.into_iter().zip(taken).filter(|(_, is_gone)| *is_gone);
        removed.extend(gone.map(|((repository, digest), _)| Untagged { repository, digest }));
        Ok(())
    }
}
