//! How far is a blob?

use std::sync::Arc;

use teu_spec::{Descriptor, Digest};

use crate::{Event, Events};

/// Bytes between two reports of progress.
const REPORT: u64 = 1 << 20;

/// Reports how far a blob is, now and then.
pub(super) struct Progress {
    events: Events,
    digest: Digest,
    size: u64,
    done: u64,
    reported: u64,
}

impl Progress {
    pub(super) fn new(events: &Events, blob: &Descriptor) -> Self {
        Self {
            events: Arc::clone(events),
            digest: blob.digest,
            size: blob.size,
            done: 0,
            reported: 0,
        }
    }

    pub(super) fn add(&mut self, bytes: usize) {
        self.done += bytes as u64;
        if self.done - self.reported >= REPORT || self.done == self.size {
            self.reported = self.done;
            (self.events)(Event::BlobProgress {
                digest: self.digest,
                done: self.done,
            });
        }
    }
}
