//! What does it mean that a target does not let us look? That nothing is known to be there, where we may write: registries have users who only push.

use crate::{ErrorKind, Expected, Intent, Result, Side, Target};

/// What the target answered that was asked whether it has something; nothing where it does not let us look.
///
/// Who is known and denied may yet write, or finds out by writing. Who is told that he is not known (`Unauthenticated`), as some registries tell who may
/// only push, begins an upload and drops it: credentials that are wrong are found out here, and tried once more and not for each blob. A rehearsal, which
/// writes nothing, finds out neither.
pub(super) async fn answered<T>(target: &dyn Target, answer: Result<Option<T>>, intent: Intent) -> Result<Option<T>> {
    let error = match answer {
        Ok(found) => return Ok(found),
        Err(error) => error.on(Side::Destination),
    };
    let is_blind = match (intent, error.kind()) {
        (Intent::Write, ErrorKind::Denied) => true,
        (Intent::Write, ErrorKind::Unauthenticated) => takes_uploads(target).await,
        _ => false,
    };
    match is_blind {
        true => Ok(None),
        false => Err(error),
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
