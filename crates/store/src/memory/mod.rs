//! The simplest store there is: [`Memory`], for tests, and for what is made and thrown away within one process.

mod many;
mod sweep;
mod write;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, future, stream};
use teu_spec::{Descriptor, Digest, Document, Pick};
use tokio::sync::RwLock;

pub use many::ManyInMemory;

use crate::{
    BoxFuture, Browse, Error, ErrorKind, FetchOptions, Fetched, Intent, Keyset, Local, Named, Origin, Page, Result,
    Role, Source, Takes, octet_stream, referrer,
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
    /// Where it is one repository of many.
    home: Option<many::Home>,
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
            home: None,
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

    /// Whether it is listed without a name.
    fn is_nameless(&self, digest: &Digest) -> bool {
        let is_it = |named: &Named| named.descriptor.as_ref().is_some_and(|found| found.digest == *digest);
        self.listed().iter().any(|named| named.name.is_none() && is_it(named))
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
        self.home.as_ref()?.origin()
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

    fn in_order<'a>(&'a self, part: Keyset<'a>) -> Option<BoxFuture<'a, Result<Page<String>>>> {
        let page = part.of(self.state().names.keys().map(String::as_str));
        Some(future::ready(Ok(page)).boxed())
    }

    fn manifests<'a>(&'a self, part: Keyset<'a>) -> Option<BoxFuture<'a, Result<Page<Digest>>>> {
        let digests = self.state().manifests.keys().copied().collect();
        Some(future::ready(Ok(part.of_digests(digests))).boxed())
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

    fn referrers_in_order<'a>(
        &'a self,
        subject: &'a Digest,
        artifact_type: Option<&'a str>,
        part: Keyset<'a>,
    ) -> Option<BoxFuture<'a, Result<Page<Descriptor>>>> {
        let found = self.referrers(subject, artifact_type);
        Some(async move { Ok(part.of_descriptors(found.await?)) }.boxed())
    }
}

#[cfg(test)]
mod tests;
