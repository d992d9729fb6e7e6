//! What do no tags lead to? Manifests that nobody asks for by a name: neither tagged, nor part of an index that is, nor about what is
//! (a signature's `subject`). A server keeps them, for who knows their digests; they go where a person wants that.

use std::sync::Arc;

use teu_spec::Digest;
use teu_store::{ErrorKind, Result};

use crate::Depot;

/// A manifest that no tag leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Untagged {
    /// The repository that has it.
    pub repository: String,
    /// What it is.
    pub digest: Digest,
}

impl Depot {
    /// All manifests that no tag leads to, those above before those below. Nothing is changed.
    ///
    /// # Errors
    /// Those of the disk.
    pub async fn untagged(&self) -> Result<Vec<Untagged>> {
        let found = self.0.metadata.untagged().await?;
        let untagged = found
            .into_iter()
            .map(|(repository, digest)| Untagged { repository, digest });
        Ok(untagged.collect())
    }

    /// Removes manifests that no tag leads to; one that got a tag meanwhile stays. What they named goes with the next collections, when its lease is over.
    ///
    /// # Errors
    /// Those of the disk; what was removed before stays removed.
    pub async fn remove_untagged(&self) -> Result<Vec<Untagged>> {
        let mut removed = Vec::new();
        for untagged in self.untagged().await? {
            let now = self.0.now();
            // Every tag keeps it: it is only removed where it has none.
            let immutable = Arc::new(|_: &str| true);
            let outcome = self
                .0
                .metadata
                .remove_manifest(&untagged.repository, &untagged.digest, immutable, now);
            match outcome.await {
                Ok(true) => removed.push(untagged),
                Ok(false) => {}
                Err(error) if *error.kind() == ErrorKind::Conflict => {}
                Err(error) => return Err(error),
            }
        }
        Ok(removed)
    }
}
