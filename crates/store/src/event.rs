//! What is happening? Typed [`Event`]s, for whoever wants to show or log them: libraries do not print.

use std::sync::Arc;

use teu_spec::{Descriptor, Digest};

/// What happened to a blob or a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A manifest was read, whose blobs are dealt with next: what there is to do in all becomes known by these.
    Planned {
        /// Its blobs; one that several manifests name is in each, and dealt with once.
        blobs: Vec<Descriptor>,
    },
    /// A blob is about to be copied.
    BlobStarted {
        /// Which.
        descriptor: Descriptor,
        /// Whether it is an image's config.
        config: bool,
    },
    /// Bytes of a blob went by. `done` counts from its beginning, what was resumed included.
    BlobProgress {
        /// Which.
        digest: Digest,
        /// Bytes done.
        done: u64,
    },
    /// A blob is at the destination.
    BlobDone {
        /// Which, as the source calls it.
        digest: Digest,
        /// How it got there.
        how: How,
    },
    /// A request failed and is tried again.
    Retry {
        /// What failed and why.
        reason: String,
        /// The wait before the next attempt, in milliseconds.
        wait_ms: u64,
    },
    /// Nothing goes on, as somebody else has what is needed, and has had it for a while.
    Waiting {
        /// For whom or what.
        reason: String,
    },
    /// A manifest is being written.
    ManifestStarted {
        /// Which, as it is written.
        descriptor: Descriptor,
    },
    /// A manifest is at the destination.
    ManifestDone {
        /// Which, as it was written.
        descriptor: Descriptor,
        /// The names it got.
        names: Vec<String>,
        /// Whether it was there already.
        existed: bool,
    },
    /// Something that the person should know and that stops nothing.
    Warning {
        /// What.
        message: String,
    },
    /// Something that only who looks for a fault wants to know, such as a request and its answer. It holds no secret.
    Detail {
        /// What.
        message: String,
    },
}

/// How a blob got to its destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum How {
    /// It was there already.
    Existed,
    /// Its bytes were copied.
    Copied,
    /// It was mounted from another repository.
    Mounted,
    /// The file system shared it (reflink), or copied it itself.
    Linked,
    /// Its bytes were compressed anew.
    Recompressed,
    /// It is non-distributable and was left where it is.
    LeftOut,
    /// It was read, and goes nowhere.
    Read,
}

/// Takes events; called from any thread, and expected to return at once.
pub type Events = Arc<dyn Fn(Event) + Send + Sync>;

/// Events that nobody wants.
#[must_use]
pub fn silent() -> Events {
    Arc::new(|_| {})
}
