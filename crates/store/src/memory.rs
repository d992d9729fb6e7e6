//! The simplest store there is: [`Memory`], for tests, and for what is made and thrown away within one process.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use bytes::{Bytes, BytesMut};
use futures_util::{FutureExt, StreamExt, future, stream};
use teu_spec::{Descriptor, Digest, Document, Pick};
use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};

use crate::{
    BoxFuture, Browse, Committed, Delete, Error, ErrorKind, Expect, Expected, FetchOptions, Fetched, Ingest, Intent,
    Kept, Local, Mount, Named, Origin, Page, Result, Resume, Role, Source, Sweep, SweepSession, Takes, Target,
    octet_stream, referrer, traits::Adopt,
};

/// How many items a page holds: few, so that small tests turn pages too.
const PAGE: usize = 8;

/// A store in memory: one repository, closed unless it is [sparse](Self::sparse). Clones are the same store.
#[derive(Clone)]
pub struct Memory {
    state: Arc<Mutex<State>>,
    /// Writers share it; a sweep has it alone.
    writers: Arc<RwLock<()>>,
    takes: Takes,
    closed: bool,
}

#[derive(Default)]
struct State {
    blobs: HashMap<Digest, Blob>,
    manifests: HashMap<Digest, Entry>,
    names: BTreeMap<String, Digest>,
}

struct Blob {
    content: Bytes,
    since: Instant,
}

struct Entry {
    document: Document,
    since: Instant,
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

impl Memory {
    /// An empty store that takes every form, and a manifest only when all that it names is there.
    #[must_use]
    pub fn new() -> Self {
        Self {
            state: Arc::default(),
            writers: Arc::default(),
            takes: Takes::EVERYTHING,
            closed: true,
        }
    }

    /// An empty store that also takes a manifest whose children are missing.
    #[must_use]
    pub fn sparse() -> Self {
        Self {
            closed: false,
            ..Self::new()
        }
    }

    /// The same store, which from now on takes only these forms.
    #[must_use]
    pub fn taking(mut self, takes: Takes) -> Self {
        self.takes = takes;
        self
    }

    /// Puts a blob, and says what it is called.
    pub fn insert_blob(&self, content: impl Into<Bytes>) -> Digest {
        let content = content.into();
        let digest = Digest::of(&content);
        self.insert_unchecked(digest, content);
        digest
    }

    /// Keeps `content` under a digest that need not be its own: how a test makes a store that lies.
    pub fn insert_unchecked(&self, digest: Digest, content: impl Into<Bytes>) {
        let blob = Blob {
            content: content.into(),
            since: Instant::now(),
        };
        self.state().blobs.insert(digest, blob);
    }

    /// How many blobs and manifests there are.
    #[must_use]
    pub fn len(&self) -> usize {
        let state = self.state();
        state.blobs.len() + state.manifests.len()
    }

    /// Whether there is no content at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No one leaves the state half changed, so what a panic elsewhere left is whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, document: &Document, digest: &Digest, names: &[String], expect: Expect) -> Result<Descriptor> {
        let takes = self.takes;
        let is_index = matches!(document, Document::Index(_));
        let form_taken = match document.format() {
            teu_spec::Format::Oci => takes.oci,
            teu_spec::Format::Docker => takes.docker,
        };
        if (is_index && !takes.indexes) || !form_taken {
            return Err(Error::new(
                ErrorKind::Unsupported,
                format!("this store takes no {}", document.media_type()),
            ));
        }
        if digest.algorithm().digest(document.raw()) != *digest {
            return Err(Error::new(ErrorKind::Mismatch, format!("the manifest is not {digest}")));
        }
        let mut state = self.state();
        if self.closed {
            let missing: Vec<Digest> = document
                .children()
                .iter()
                .filter(|child| match is_index {
                    true => !state.manifests.contains_key(&child.digest),
                    false => !state.blobs.contains_key(&child.digest) && !child.media_type.is_foreign(),
                })
                .map(|child| child.digest)
                .collect();
            if !missing.is_empty() {
                let message = format!("manifest {digest} names content that is not here");
                return Err(Error::new(ErrorKind::MissingChildren(missing), message));
            }
        }
        for name in names {
            let found = state.names.get(name);
            let holds = match expect {
                Expect::Any => true,
                Expect::Absent => found.is_none(),
                Expect::Digest(digest) => found == Some(&digest),
            };
            if !holds {
                let found = found.map_or_else(|| "nothing".to_owned(), Digest::to_string);
                return Err(Error::new(
                    ErrorKind::Conflict,
                    format!("the name {name:?} points at {found}, which is not what was expected"),
                ));
            }
        }
        let entry = Entry {
            document: document.clone(),
            since: Instant::now(),
        };
        state.manifests.insert(*digest, entry);
        for name in names {
            state.names.insert(name.clone(), *digest);
        }
        Ok(described(document, *digest))
    }
}

impl State {
    /// All that is listed: names, and the manifests that have none and that no other manifest names.
    fn listed(&self) -> Vec<Named> {
        let mut inner: Vec<Digest> = self.names.values().copied().collect();
        for entry in self.manifests.values() {
            if let Document::Index(index) = &entry.document {
                inner.extend(index.manifests.iter().map(|child| child.digest));
            }
        }
        let mut unnamed: Vec<_> = self
            .manifests
            .iter()
            .filter(|(digest, _)| !inner.contains(digest))
            .collect();
        unnamed.sort_by_key(|(digest, entry)| (entry.since, **digest));
        let named = self.names.iter().filter_map(|(name, digest)| {
            Some(Named {
                name: Some(name.clone()),
                descriptor: Some(self.describe(digest)?),
            })
        });
        let unnamed = unnamed.into_iter().map(|(digest, entry)| Named {
            name: None,
            descriptor: Some(described(&entry.document, *digest)),
        });
        named.chain(unnamed).collect()
    }

    fn describe(&self, digest: &Digest) -> Option<Descriptor> {
        self.manifests
            .get(digest)
            .map(|entry| described(&entry.document, *digest))
    }

    fn resolve(&self, pick: &Pick) -> Result<Descriptor> {
        let not_found = |what: String| Error::new(ErrorKind::NotFound, what);
        match pick {
            Pick::Name(name) => self
                .names
                .get(name)
                .and_then(|digest| self.describe(digest))
                .ok_or_else(|| not_found(format!("there is no image of the name {name:?}"))),
            Pick::Digest(digest) => self
                .describe(digest)
                .ok_or_else(|| not_found(format!("there is no manifest {digest}"))),
            Pick::At(place) => self
                .listed()
                .into_iter()
                .nth(*place)
                .and_then(|named| named.descriptor)
                .ok_or_else(|| not_found(format!("there is no image at place {place}"))),
            Pick::Only => self.only(),
        }
    }

    fn only(&self) -> Result<Descriptor> {
        let mut images: Vec<Named> = self.listed();
        // What is about another manifest that is here comes along with it, and is not the one that is meant.
        images.retain(|named| {
            let entry = named.descriptor.as_ref().and_then(|d| self.manifests.get(&d.digest));
            let subject = entry.and_then(|entry| entry.document.subject());
            named.name.is_some() || subject.is_none_or(|subject| !self.manifests.contains_key(&subject.digest))
        });
        let names: Vec<String> = images
            .iter()
            .enumerate()
            .map(|(place, named)| named.name.clone().unwrap_or_else(|| format!("@{place}")))
            .collect();
        let mut found = images.into_iter().filter_map(|named| named.descriptor);
        match (found.next(), found.next()) {
            (Some(only), None) => Ok(only),
            (None, _) => Err(Error::new(ErrorKind::NotFound, "there is no image here")),
            (Some(_), Some(_)) => Err(Error::new(
                ErrorKind::Invalid,
                format!(
                    "there are {} images here; name one of them: {}",
                    names.len(),
                    names.join(", ")
                ),
            )),
        }
    }
}

fn described(document: &Document, digest: Digest) -> Descriptor {
    Descriptor::new(document.media_type().clone(), digest, document.raw().len() as u64)
}

fn no_content(role: Role, digest: &Digest) -> Error {
    let what = match role {
        Role::Manifest => "manifest",
        Role::Blob => "blob",
    };
    Error::new(ErrorKind::NotFound, format!("there is no {what} {digest}"))
}

impl Source for Memory {
    fn resolve<'a>(&'a self, pick: &'a Pick) -> BoxFuture<'a, Result<Descriptor>> {
        future::ready(self.state().resolve(pick)).boxed()
    }

    fn stat<'a>(&'a self, role: Role, digest: &'a Digest, intent: Intent) -> BoxFuture<'a, Result<Option<Descriptor>>> {
        let mut state = self.state();
        let (found, since) = match role {
            Role::Manifest => (
                state.describe(digest),
                state.manifests.get_mut(digest).map(|entry| &mut entry.since),
            ),
            Role::Blob => {
                let blob = state.blobs.get_mut(digest);
                let size = blob.as_ref().map(|blob| blob.content.len() as u64);
                (
                    size.map(|size| Descriptor::new(octet_stream(), *digest, size)),
                    blob.map(|blob| &mut blob.since),
                )
            }
        };
        if let (Intent::Write, Some(since)) = (intent, since) {
            *since = Instant::now();
        }
        future::ready(Ok(found)).boxed()
    }

    fn fetch<'a>(&'a self, role: Role, digest: &'a Digest, options: FetchOptions) -> BoxFuture<'a, Result<Fetched>> {
        let state = self.state();
        let content = match role {
            Role::Manifest => state.manifests.get(digest).map(|entry| entry.document.raw().clone()),
            Role::Blob => state.blobs.get(digest).map(|blob| blob.content.clone()),
        };
        let fetched = content
            .ok_or_else(|| no_content(role, digest))
            .and_then(|content| slice(content, options.range));
        future::ready(fetched).boxed()
    }

    fn browse(&self) -> Option<&dyn Browse> {
        Some(self)
    }

    fn local(&self) -> Option<&dyn Local> {
        None
    }

    fn is_closed(&self) -> bool {
        self.closed
    }

    fn origin(&self) -> Option<Origin> {
        None
    }
}

fn slice(content: Bytes, range: Option<std::ops::Range<u64>>) -> Result<Fetched> {
    let size = content.len() as u64;
    let (start, part) = match range {
        None => (0, content),
        Some(range) if range.start >= size || range.end <= range.start => {
            return Err(Error::new(
                ErrorKind::Range,
                format!("bytes {}-{} of {size} cannot be had", range.start, range.end),
            ));
        }
        // Both fit into usize, as the content does.
        Some(range) => (
            range.start,
            content.slice(range.start as usize..range.end.min(size) as usize),
        ),
    };
    Ok(Fetched {
        size: Some(size),
        start,
        reader: stream::iter((!part.is_empty()).then_some(Ok(part))).boxed(),
    })
}

impl Target for Memory {
    fn ingest(&self, expected: Expected) -> BoxFuture<'_, Result<Box<dyn Ingest>>> {
        async move {
            let ingest = MemoryIngest {
                store: self.clone(),
                expected,
                content: BytesMut::new(),
                _writing: Arc::clone(&self.writers).read_owned().await,
            };
            Ok(Box::new(ingest) as Box<dyn Ingest>)
        }
        .boxed()
    }

    fn put_manifest<'a>(
        &'a self,
        document: &'a Document,
        digest: &'a Digest,
        names: &'a [String],
        expect: Expect,
    ) -> BoxFuture<'a, Result<Descriptor>> {
        async move {
            let _writing = self.writers.read().await;
            self.put(document, digest, names, expect)
        }
        .boxed()
    }

    fn finish(&self) -> BoxFuture<'_, Result<()>> {
        future::ready(Ok(())).boxed()
    }

    fn takes(&self) -> Takes {
        self.takes
    }

    fn readable(&self) -> Option<&dyn Source> {
        Some(self)
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
        Some(self)
    }

    fn sweep(&self) -> Option<&dyn Sweep> {
        Some(self)
    }
}

struct MemoryIngest {
    store: Memory,
    expected: Expected,
    content: BytesMut,
    _writing: OwnedRwLockReadGuard<()>,
}

impl Ingest for MemoryIngest {
    fn write(&mut self, bytes: Bytes) -> BoxFuture<'_, Result<()>> {
        self.content.extend_from_slice(&bytes);
        future::ready(Ok(())).boxed()
    }

    fn commit(self: Box<Self>, digest: Option<Digest>) -> BoxFuture<'static, Result<Committed>> {
        let Self {
            store,
            expected,
            content,
            _writing,
        } = *self;
        let content = content.freeze();
        let size = content.len() as u64;
        let outcome = expected.check(digest, size, |algorithm| algorithm.digest(&content));
        if let Ok(digest) = outcome {
            store.insert_unchecked(digest, content);
        }
        future::ready(outcome.map(|digest| Committed { digest, size })).boxed()
    }

    fn abort(self: Box<Self>) -> BoxFuture<'static, Result<()>> {
        future::ready(Ok(())).boxed()
    }
}

impl Browse for Memory {
    fn names<'a>(&'a self, from: Option<&'a str>) -> BoxFuture<'a, Result<Page<Named>>> {
        // Names and digests are in one order, so that a page goes on where the last ended whatever came or went between them.
        let key = |named: &Named| match (&named.name, &named.descriptor) {
            (Some(name), _) => format!("n{name}"),
            (None, descriptor) => format!(
                "u{}",
                descriptor.as_ref().map_or_else(String::new, |d| d.digest.to_string())
            ),
        };
        let mut items = self.state().listed();
        items.sort_by_key(key);
        items.retain(|named| from.is_none_or(|from| key(named).as_str() >= from));
        let next = items.get(PAGE).map(key);
        items.truncate(PAGE);
        future::ready(Ok(Page { items, next })).boxed()
    }

    fn referrers<'a>(
        &'a self,
        subject: &'a Digest,
        artifact_type: Option<&'a str>,
    ) -> BoxFuture<'a, Result<Vec<Descriptor>>> {
        let mut found: Vec<Descriptor> = self
            .state()
            .manifests
            .iter()
            .filter(|(_, entry)| entry.document.subject().is_some_and(|s| s.digest == *subject))
            .map(|(digest, entry)| referrer(&entry.document, *digest))
            .filter(|found| artifact_type.is_none() || found.artifact_type.as_deref() == artifact_type)
            .collect();
        found.sort_by_key(|descriptor| descriptor.digest);
        future::ready(Ok(found)).boxed()
    }
}

impl Delete for Memory {
    fn delete<'a>(&'a self, role: Role, digest: &'a Digest) -> BoxFuture<'a, Result<()>> {
        let mut state = self.state();
        let found = match role {
            Role::Blob => state.blobs.remove(digest).is_some(),
            Role::Manifest => {
                state.names.retain(|_, named| named != digest);
                state.manifests.remove(digest).is_some()
            }
        };
        future::ready(if found { Ok(()) } else { Err(no_content(role, digest)) }).boxed()
    }

    fn untag<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<()>> {
        let outcome = match self.state().names.remove(name) {
            Some(_) => Ok(()),
            None => Err(Error::new(ErrorKind::NotFound, format!("there is no name {name:?}"))),
        };
        future::ready(outcome).boxed()
    }
}

impl Sweep for Memory {
    fn begin(&self) -> BoxFuture<'_, Result<Box<dyn SweepSession + '_>>> {
        let session = match Arc::clone(&self.writers).try_write_owned() {
            Ok(alone) => Ok(Box::new(MemorySweep {
                store: self,
                _alone: alone,
            }) as Box<dyn SweepSession + '_>),
            Err(_) => Err(Error::new(ErrorKind::Conflict, "a writer is at work; try again later")),
        };
        future::ready(session).boxed()
    }
}

struct MemorySweep<'a> {
    store: &'a Memory,
    _alone: OwnedRwLockWriteGuard<()>,
}

impl SweepSession for MemorySweep<'_> {
    fn roots(&self) -> BoxFuture<'_, Result<Vec<Descriptor>>> {
        let listed = self.store.state().listed();
        future::ready(Ok(listed.into_iter().filter_map(|named| named.descriptor).collect())).boxed()
    }

    fn content(&self) -> BoxFuture<'_, Result<Vec<Kept>>> {
        let state = self.store.state();
        let blobs = state.blobs.iter().map(|(digest, b)| (digest, b.content.len(), b.since));
        let manifests = state.manifests.iter();
        let manifests = manifests.map(|(digest, entry)| (digest, entry.document.raw().len(), entry.since));
        let kept = blobs.chain(manifests).map(|(digest, size, since)| Kept {
            digest: *digest,
            size: size as u64,
            age: Some(since.elapsed()),
        });
        future::ready(Ok(kept.collect())).boxed()
    }

    fn remove<'a>(&'a self, digest: &'a Digest) -> BoxFuture<'a, Result<()>> {
        let mut state = self.store.state();
        state.blobs.remove(digest);
        state.manifests.remove(digest);
        future::ready(Ok(())).boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suite::{Can, Place};

    impl Place for Memory {
        fn target(&self) -> BoxFuture<'_, Result<Arc<dyn Target>>> {
            future::ready(Ok(Arc::new(self.clone()) as Arc<dyn Target>)).boxed()
        }

        fn source(&self) -> BoxFuture<'_, Result<Arc<dyn Source>>> {
            future::ready(Ok(Arc::new(self.clone()) as Arc<dyn Source>)).boxed()
        }

        fn can(&self) -> Can {
            Can::EVERYTHING
        }

        fn corrupt(&self, digest: &Digest, content: &[u8]) -> bool {
            self.insert_unchecked(*digest, content.to_vec());
            true
        }
    }

    crate::store_suite!(Memory::new);

    mod docker_only {
        use super::*;

        crate::store_suite!(|| Memory::sparse().taking(Takes {
            oci: false,
            indexes: false,
            docker: true,
            uncompressed_only: true,
        }));
    }
}
