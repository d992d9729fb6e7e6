//! What did a copy do? Counted, for who asked for it and for what comes along.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicU64, AtomicUsize},
};

use teu_spec::Digest;

/// What a copy did, counted.
#[derive(Default)]
pub(super) struct Tally {
    pub(super) blobs: AtomicUsize,
    pub(super) bytes: AtomicU64,
    pub(super) manifests: AtomicUsize,
    /// What became of manifests, by their digest at the source, since this was last taken.
    fates: Mutex<Vec<(Digest, Fate)>>,
}

/// What became of a manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is at the target under the same digest.
    Unchanged,
    /// It is there under another.
    Changed,
}

impl Tally {
    pub(super) fn take_fates(&self) -> Vec<(Digest, Fate)> {
        std::mem::take(&mut self.fates.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn add_fate(&self, digest: Digest, fate: Fate) {
        let mut fates = self.fates.lock().unwrap_or_else(PoisonError::into_inner);
        fates.push((digest, fate));
    }
}
