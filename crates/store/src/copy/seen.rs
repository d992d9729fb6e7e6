//! What was come to by several copies into one place? Their events, noted on their way: each content once, whichever copy was first.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use teu_spec::Digest;

use crate::{Event, Events, How};

/// A blob that a copy came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Came {
    /// How many bytes it has.
    pub size: u64,
    /// Whether it went to the target; else it was there, or could not be had.
    pub is_new: bool,
}

/// What the copies of all images tell, each content once: a rehearsal finds it absent again with each image.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) manifests: HashSet<Digest>,
    /// Those that another one names.
    pub(super) below: HashSet<Digest>,
    pub(super) put: HashSet<Digest>,
    pub(super) blobs: HashMap<Digest, Came>,
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // No one leaves it half changed, so what a panic elsewhere left is whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The same events, noted on their way, of a copy of `top`.
pub(super) fn seeing(seen: &Arc<Mutex<Seen>>, top: Option<Digest>, events: &Events) -> Events {
    let (seen, events) = (Arc::clone(seen), Arc::clone(events));
    Arc::new(move |event| {
        let mut noted = lock(&seen);
        match &event {
            Event::BlobStarted { descriptor, .. } => {
                let came = Came {
                    size: descriptor.size,
                    is_new: false,
                };
                noted.blobs.entry(descriptor.digest).or_insert(came);
            }
            Event::BlobDone { digest, how } => {
                if let Some(blob) = noted.blobs.get_mut(digest) {
                    blob.is_new |= matches!(how, How::Copied | How::Linked | How::Recompressed);
                }
            }
            Event::ManifestDone {
                descriptor, existed, ..
            } => {
                noted.manifests.insert(descriptor.digest);
                if top.is_some_and(|top| top != descriptor.digest) {
                    noted.below.insert(descriptor.digest);
                }
                if !existed {
                    noted.put.insert(descriptor.digest);
                }
            }
            _ => {}
        }
        drop(noted);
        events(event);
    })
}
