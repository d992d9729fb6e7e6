//! Between what is copied? The two [`Ends`], and what the target has already.

use std::sync::Arc;

use teu_spec::{Descriptor, Digest};

use super::{blind::Sight, intent, ready::Ready, threads::Threads, turns::Turns};
use crate::{ErrorKind, Events, Intent, Origin, Partials, Result, Role, Source, Target, task::Tasks};

/// The two ends of a copy, and what holds for every blob of it.
#[derive(Clone)]
pub(super) struct Ends {
    pub(super) source: Arc<dyn Source>,
    pub(super) target: Arc<dyn Target>,
    /// The repository that can be mounted from, where both ends are of one registry.
    pub(super) mount_from: Option<String>,
    pub(super) trust: bool,
    /// Whether nothing is written.
    pub(super) rehearse: bool,
    /// Where the beginnings of blobs are kept that the target cannot keep.
    pub(super) partials: Option<Arc<dyn Partials>>,
    pub(super) events: Events,
    /// The threads that layers are compressed on.
    pub(super) threads: Threads,
    /// The blobs that are copied in tasks of their own.
    pub(super) tasks: Tasks,
    /// What other copies into the target wait for, or bring.
    pub(super) turns: Option<Turns>,
    /// What is waited for before anything is brought.
    pub(super) ready: Option<Ready>,
    /// Whether the target lets us look.
    pub(super) sight: Sight,
}

impl Ends {
    pub(super) fn new(
        source: Arc<dyn Source>,
        target: Arc<dyn Target>,
        trust: bool,
        partials: Option<Arc<dyn Partials>>,
        rehearse: bool,
        threads: Threads,
        events: Events,
    ) -> Self {
        let mount_from = mount_from(source.origin(), &*target);
        // Only what lies here can be trusted, and only because a person said so.
        let trust = trust && source.local().is_some();
        Self {
            source,
            target,
            mount_from,
            trust,
            rehearse,
            partials,
            events,
            threads,
            tasks: Tasks::default(),
            turns: None,
            ready: None,
            sight: Sight::default(),
        }
    }

    /// Why the target is asked what it has.
    pub(super) fn intent(&self) -> Intent {
        intent(self.rehearse)
    }

    /// Whether each question to the target is a request.
    pub(super) fn is_far(&self) -> bool {
        self.target.readable().is_some_and(|there| there.origin().is_some())
    }

    /// Whether the target has a blob. What it has of another size is broken, and is written again.
    pub(super) async fn has(&self, blob: &Descriptor) -> Result<bool> {
        Ok(self.size_of(&blob.digest).await? == Some(blob.size))
    }

    /// The size of a blob that the target has. One of which it says that its bytes are lost is none.
    pub(super) async fn size_of(&self, digest: &Digest) -> Result<Option<u64>> {
        let Some(readable) = self.target.readable() else {
            return Ok(None);
        };
        let question = async {
            match readable.stat(Role::Blob, digest, self.intent()).await {
                Err(error) if *error.kind() == ErrorKind::Mismatch => Ok(None),
                answer => answer,
            }
        };
        let found = self.sight.look(&*self.target, self.intent(), question).await?;
        Ok(found.map(|found| found.size))
    }
}

/// The repository to mount from: another one, of the registry that the target is in.
fn mount_from(source: Option<Origin>, target: &dyn Target) -> Option<String> {
    let (source, target) = (source?, target.mount()?.origin());
    (source.registry == target.registry && source.repository != target.repository).then_some(source.repository)
}
