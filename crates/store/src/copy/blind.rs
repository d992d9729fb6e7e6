//! What does it mean that a target does not let us look? That nothing is known to be there, where we may write: registries have users who only push.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use crate::{ErrorKind, Expected, Intent, Result, Side, Target};

/// Whether a target lets us look, as far as that is known. Clones share it: copies into one place.
#[derive(Clone, Debug, Default)]
pub(super) struct Sight {
    is_blind: Arc<AtomicBool>,
}

impl Sight {
    /// What the target answers that is asked whether it has something; nothing where it does not let us look.
    ///
    /// Who is known and denied may yet write, or finds out by writing. Who is told that he is not known (`Unauthenticated`), as some registries tell who may
    /// only push, begins an upload and drops it: credentials that are wrong are found out here, and tried once more and not for each blob. If he may, all
    /// other answers would be the same, and nothing is asked any more. A rehearsal, which writes nothing, finds out neither.
    pub(super) async fn look<T>(
        &self,
        target: &dyn Target,
        intent: Intent,
        question: impl Future<Output = Result<Option<T>>>,
    ) -> Result<Option<T>> {
        if self.is_blind.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let error = match question.await {
            Ok(found) => return Ok(found),
            Err(error) => error.on(Side::Destination),
        };
        match (intent, error.kind()) {
            (Intent::Write, ErrorKind::Denied) => Ok(None),
            (Intent::Write, ErrorKind::Unauthenticated) if takes_uploads(target).await => {
                self.is_blind.store(true, Ordering::Relaxed);
                Ok(None)
            }
            _ => Err(error),
        }
    }
}

async fn takes_uploads(target: &dyn Target) -> bool {
    match target.ingest(Expected::default()).await {
        Ok(ingest) => {
            // It would expire anyway.
            let _ = ingest.abort().await;
            true
        }
        Err(_) => false,
    }
}
