//! What does an image consist of that was changed and is not put yet? What is new over what is old, as one source.

use std::{
    collections::HashMap,
    fs::File,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, future, stream};
use teu_spec::{Descriptor, Digest, MediaType, Pick};
use teu_store::{
    BoxFuture, Browse, Committed, Error, ErrorKind, Expected, FetchOptions, Fetched, Ingest, Intent, Local, Origin,
    Result, Role, Side, Source, Store, Takes, Target, octet_stream,
};

use super::preview::Hashed;

/// Where new blobs are.
pub(super) enum Fresh {
    /// In the target, where they are to be in the end.
    Target(Arc<dyn Target>),
    /// In a place that is thrown away.
    Scratch(Arc<dyn Store>),
    /// Nowhere: they are hashed, and thrown away.
    Nowhere,
    /// There can be none.
    Refused,
}

/// A source with what is new over it.
pub(super) struct Overlay {
    source: Arc<dyn Source>,
    fresh: Fresh,
    takes: Takes,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Documents and small blobs.
    kept: HashMap<Digest, (MediaType, Bytes)>,
    /// What was ingested, with its size.
    ingested: HashMap<Digest, u64>,
    /// Blobs of other places, with their sizes.
    elsewhere: HashMap<Digest, (u64, Arc<dyn Source>)>,
}

impl Overlay {
    /// `takes` is what the target takes.
    pub(super) fn new(source: Arc<dyn Source>, fresh: Fresh, takes: Takes) -> Self {
        Self {
            source,
            fresh,
            takes,
            state: Mutex::default(),
        }
    }

    /// Has `content` be here.
    pub(super) fn keep(&self, digest: Digest, media_type: MediaType, content: Bytes) {
        self.state().kept.insert(digest, (media_type, content));
    }

    /// Has a blob be here that was ingested.
    pub(super) fn record(&self, blob: Committed) {
        self.state().ingested.insert(blob.digest, blob.size);
    }

    /// Has a blob be here that is in another place.
    pub(super) fn read_from(&self, digest: Digest, size: u64, place: Arc<dyn Source>) {
        self.state().elsewhere.insert(digest, (size, place));
    }

    pub(super) async fn ingest(&self, expected: Expected) -> Result<Box<dyn Ingest>> {
        let ingest = match &self.fresh {
            Fresh::Target(target) => target.ingest(expected).await,
            Fresh::Scratch(store) => store.ingest(expected).await,
            Fresh::Nowhere => Ok(Box::new(Hashed::new(expected)) as Box<dyn Ingest>),
            Fresh::Refused => Err(Error::new(
                ErrorKind::Unsupported,
                "new layers cannot go straight into what cannot be read again, and there is no temporary place for them",
            )),
        };
        ingest.map_err(|error| error.on(Side::Destination))
    }

    pub(super) fn takes(&self) -> Takes {
        self.takes
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No one leaves it half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn kept(&self, digest: &Digest) -> Option<(MediaType, Bytes)> {
        self.state().kept.get(digest).cloned()
    }

    /// Where a blob is that is in another place, and its size.
    fn elsewhere(&self, role: Role, digest: &Digest) -> Option<(u64, Arc<dyn Source>)> {
        match role {
            Role::Blob => self.state().elsewhere.get(digest).cloned(),
            Role::Manifest => None,
        }
    }

    /// Where a blob is that was ingested.
    fn ingested(&self, digest: &Digest) -> Option<&dyn Source> {
        if !self.state().ingested.contains_key(digest) {
            return None;
        }
        match &self.fresh {
            Fresh::Target(target) => target.readable(),
            Fresh::Scratch(store) => Some(store.as_source()),
            Fresh::Nowhere | Fresh::Refused => None,
        }
    }
}

impl Source for Overlay {
    fn resolve<'a>(&'a self, pick: &'a Pick) -> BoxFuture<'a, Result<Descriptor>> {
        self.source.resolve(pick)
    }

    fn stat<'a>(&'a self, role: Role, digest: &'a Digest, intent: Intent) -> BoxFuture<'a, Result<Option<Descriptor>>> {
        if let Some((media_type, content)) = self.kept(digest) {
            let found = Descriptor::new(media_type, *digest, content.len() as u64);
            return future::ready(Ok(Some(found))).boxed();
        }
        let ingested = self.state().ingested.get(digest).copied();
        match ingested {
            Some(size) if role == Role::Blob => {
                let found = Descriptor::new(octet_stream(), *digest, size);
                future::ready(Ok(Some(found))).boxed()
            }
            _ if let Some((size, _)) = self.elsewhere(role, digest) => {
                let found = Descriptor::new(octet_stream(), *digest, size);
                future::ready(Ok(Some(found))).boxed()
            }
            _ => self.source.stat(role, digest, intent),
        }
    }

    fn fetch<'a>(&'a self, role: Role, digest: &'a Digest, options: FetchOptions) -> BoxFuture<'a, Result<Fetched>> {
        if let Some((_, content)) = self.kept(digest) {
            return future::ready(Ok(fetched(content))).boxed();
        }
        match self.ingested(digest) {
            Some(fresh) if role == Role::Blob => fresh.fetch(role, digest, options),
            _ if let Some((_, place)) = self.elsewhere(role, digest) => {
                async move { place.fetch(role, digest, options).await }.boxed()
            }
            _ => self.source.fetch(role, digest, options),
        }
    }

    fn browse(&self) -> Option<&dyn Browse> {
        self.source.browse()
    }

    fn local(&self) -> Option<&dyn Local> {
        self.source.local().is_some().then_some(self)
    }

    fn is_closed(&self) -> bool {
        self.source.is_closed()
    }

    fn origin(&self) -> Option<Origin> {
        self.source.origin()
    }
}

/// All of what is small: whoever asks for a range of it is given more.
pub(super) fn fetched(content: Bytes) -> Fetched {
    Fetched {
        size: Some(content.len() as u64),
        start: 0,
        reader: stream::iter((!content.is_empty()).then_some(Ok(content))).boxed(),
    }
}

impl Local for Overlay {
    fn open_file(&self, digest: &Digest) -> Result<Option<File>> {
        if let Some((_, place)) = self.elsewhere(Role::Blob, digest) {
            return place.local().map_or(Ok(None), |local| local.open_file(digest));
        }
        let place = self.ingested(digest).unwrap_or(&*self.source);
        match place.local() {
            Some(local) if self.kept(digest).is_none() => local.open_file(digest),
            _ => Ok(None),
        }
    }
}
