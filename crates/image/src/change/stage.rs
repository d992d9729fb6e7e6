//! Where does a change read the image's content, and put new?

use std::sync::Arc;

use bytes::Bytes;
use teu_spec::{Descriptor, Digest, Document, MediaType};
use teu_store::{
    Adopt, BoxFuture, Committed, Delete, Error, ErrorKind, Event, Events, Expect, Expected, Ingest, Mount, Result,
    Resume, Source, Sweep, Takes, Target,
};

use super::overlay::Overlay;

/// Where an image is changed. Clones are the same stage.
#[derive(Clone)]
pub struct Stage {
    overlay: Arc<Overlay>,
    events: Events,
}

impl Stage {
    pub(super) fn new(overlay: Arc<Overlay>, events: Events) -> Self {
        Self { overlay, events }
    }

    /// What there is to read: all of the image as it was, and what was put here since.
    #[must_use]
    pub fn source(&self) -> Arc<dyn Source> {
        Arc::clone(&self.overlay) as Arc<dyn Source>
    }

    /// Where new blobs are put, as by [`layer::write`](crate::layer::write): into the image's target where that can be read again, so that they are
    /// there already when the image is put; else into [another place](super::Options::scratch). It takes what the image's target takes, and no
    /// manifests.
    #[must_use]
    pub fn target(&self) -> &dyn Target {
        self
    }

    /// Puts a small blob, which is kept in memory until it is copied.
    #[must_use]
    pub fn put(&self, content: Bytes) -> Digest {
        let digest = Digest::of(&content);
        self.overlay.keep(digest, MediaType::OciEmpty, content);
        digest
    }

    /// Has a blob be read from another place than the image is in, when it is copied.
    pub fn read_from(&self, digest: Digest, size: u64, place: Arc<dyn Source>) {
        self.overlay.read_from(digest, size, place);
    }

    /// Where to tell what is happening.
    #[must_use]
    pub fn events(&self) -> &Events {
        &self.events
    }

    /// Says something that stops nothing.
    pub fn warn(&self, message: impl Into<String>) {
        (self.events)(Event::Warning {
            message: message.into(),
        });
    }
}

impl Target for Stage {
    fn ingest(&self, expected: Expected) -> BoxFuture<'_, Result<Box<dyn Ingest>>> {
        Box::pin(async move {
            let ingest = self.overlay.ingest(expected).await?;
            let overlay = Arc::clone(&self.overlay);
            Ok(Box::new(Recorded { ingest, overlay }) as Box<dyn Ingest>)
        })
    }

    fn put_manifest<'a>(
        &'a self,
        document: &'a Document,
        _: &'a Digest,
        _: &'a [String],
        _: Expect,
    ) -> BoxFuture<'a, Result<Descriptor>> {
        let message = format!("a change of an image puts no {} of its own", document.media_type());
        Box::pin(async move { Err(Error::new(ErrorKind::Unsupported, message)) })
    }

    fn finish(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async { Ok(()) })
    }

    fn takes(&self) -> Takes {
        self.overlay.takes()
    }

    fn readable(&self) -> Option<&dyn Source> {
        Some(&*self.overlay)
    }

    fn mount(&self) -> Option<&dyn Mount> {
        None
    }

    fn adopt(&self) -> Option<&dyn Adopt> {
        None
    }

    fn resume(&self) -> Option<&dyn Resume> {
        None
    }

    fn delete(&self) -> Option<&dyn Delete> {
        None
    }

    fn sweep(&self) -> Option<&dyn Sweep> {
        None
    }
}

/// A blob that is known to the stage once it is whole.
struct Recorded {
    ingest: Box<dyn Ingest>,
    overlay: Arc<Overlay>,
}

impl Ingest for Recorded {
    fn write(&mut self, bytes: Bytes) -> BoxFuture<'_, Result<()>> {
        self.ingest.write(bytes)
    }

    fn commit(self: Box<Self>, digest: Option<Digest>) -> BoxFuture<'static, Result<Committed>> {
        Box::pin(async move {
            let committed = self.ingest.commit(digest).await?;
            self.overlay.record(committed);
            Ok(committed)
        })
    }

    fn abort(self: Box<Self>) -> BoxFuture<'static, Result<()>> {
        self.ingest.abort()
    }
}
