//! What would come of a change? All of it is done, and nothing kept: [`preview`] gives the documents that would be written beside those that
//! they would stand for.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use futures_util::FutureExt;
use serde_json::Value;
use similar::TextDiff;
use teu_spec::{Descriptor, Digest, Document, MediaType, Pick, Platform};
use teu_store::{
    Adopt, BoxFuture, Browse, Committed, Delete, Events, Expect, Expected, FetchOptions, Fetched, Ingest, Intent,
    Local, Mount, Origin, Result, Resume, Role, Side, Source, SourceExt, Sweep, Takes, Target,
    copy::{self, Which, copy_descriptor},
};

use super::{
    Change, Options, chosen,
    overlay::{Fresh, Overlay},
    plan::plan,
};

/// What would come of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preview {
    /// The image or the index as it is.
    pub before: Descriptor,
    /// As it would be.
    pub after: Descriptor,
    /// The documents that would be others: what was named first, then each image, its manifest before its config.
    pub documents: Vec<Rewritten>,
}

/// A document that would be another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rewritten {
    /// The machine that an index says it is for; none for the index, and for an image that stands alone.
    pub platform: Option<Platform>,
    /// What it is now.
    pub before: Written,
    /// What it would be.
    pub after: Written,
}

/// A document, with the bytes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// What it is said to be.
    pub media_type: MediaType,
    /// Its digest.
    pub digest: Digest,
    /// Its bytes.
    pub raw: Bytes,
}

impl Rewritten {
    /// The differences as `diff -u` shows them, of both documents laid out in lines, their keys in their own order.
    #[must_use]
    pub fn unified(&self) -> String {
        let [before, after] = [&self.before, &self.after].map(Written::in_lines);
        let name = |written: &Written| format!("{} {}", written.digest, written.media_type.as_str().escape_debug());
        TextDiff::from_lines(&before, &after)
            .unified_diff()
            .context_radius(3)
            .header(&name(&self.before), &name(&self.after))
            .to_string()
    }
}

impl Written {
    fn of(descriptor: &Descriptor, raw: &Bytes) -> Self {
        Self {
            media_type: descriptor.media_type.clone(),
            digest: descriptor.digest,
            raw: raw.clone(),
        }
    }

    fn in_lines(&self) -> String {
        let value: serde_json::Result<Value> = serde_json::from_slice(&self.raw);
        let lines = value.and_then(|value| serde_json::to_string_pretty(&value));
        // What is no JSON was never a document; it is shown as it is.
        let lines = lines.unwrap_or_else(|_| String::from_utf8_lossy(&self.raw).into_owned());
        format!("{lines}\n")
    }
}

/// Finds out what [`in_place`](super::in_place), or [`into`](super::into) a place that takes everything, would write. Layers are read and compressed
/// as they would be, and thrown away: as they are made, or where this [reads new ones](reads_new), when what [`Options::scratch`] is goes.
///
/// # Errors
/// Those that the change itself would have, but for those of where it goes.
pub async fn preview(
    source: Arc<dyn Source>,
    pick: &Pick,
    change: &dyn Change,
    options: &Options,
    events: &Events,
) -> Result<Preview> {
    let before = source.resolve(pick).await.map_err(|error| error.on(Side::Source))?;
    let root = Descriptor::new(before.media_type.clone(), before.digest, before.size);
    let root = chosen(&*source, &root, options, Takes::EVERYTHING).await?;
    let fresh = match &options.scratch {
        Some(scratch) if reads_new(change, options) => Fresh::Scratch(Arc::clone(scratch)),
        _ => Fresh::Nowhere,
    };
    let overlay = Arc::new(Overlay::new(Arc::clone(&source), fresh, Takes::EVERYTHING));
    let plan = plan(Arc::clone(&overlay), &root, change, options, events).await?;
    let trial = Arc::new(Trial {
        overlay: Arc::clone(&overlay),
        source: Arc::clone(&source),
        put: Mutex::default(),
    });
    let copy = copy::Options {
        which: Which::Listed(plan.walked),
        expect: Expect::Any,
        ..options.copy.clone()
    };
    let target = Arc::clone(&trial) as Arc<dyn Target>;
    let copied = copy_descriptor(overlay, &plan.root, target, &[], &copy, events).await?;
    let mut documents = Vec::new();
    compare(
        &*source,
        &trial,
        &root,
        &copied.descriptor,
        &mut documents,
        &mut HashSet::new(),
    )
    .await?;
    Ok(Preview {
        before,
        after: copied.descriptor,
        documents,
    })
}

/// Whether a [`preview`] of this reads layers that it made, and needs a place where they are that long.
#[must_use]
pub fn reads_new(change: &dyn Change, options: &Options) -> bool {
    change.reads_new() || options.copy.recompress.is_some()
}

/// Puts side by side what stands in the same place of both trees.
fn compare<'a>(
    source: &'a dyn Source,
    trial: &'a Trial,
    before: &'a Descriptor,
    after: &'a Descriptor,
    documents: &'a mut Vec<Rewritten>,
    seen: &'a mut HashSet<(Digest, Digest)>,
) -> BoxFuture<'a, Result<()>> {
    async move {
        if before.digest == after.digest || !seen.insert((before.digest, after.digest)) {
            return Ok(());
        }
        let (old, new) = (source.document(before).await?, trial.document(after).await?);
        documents.push(Rewritten {
            platform: before.platform.clone(),
            before: Written::of(before, old.raw()),
            after: Written::of(after, new.raw()),
        });
        match (&old, &new) {
            (Document::Index(old), Document::Index(new)) => {
                for (old, new) in old.manifests.iter().zip(&new.manifests) {
                    compare(source, trial, old, new, documents, seen).await?;
                }
            }
            (Document::Manifest(old), Document::Manifest(new)) if old.config.digest != new.config.digest => {
                let (old_raw, new_raw) = (
                    source.small_blob(&old.config).await?,
                    trial.small_blob(&new.config).await?,
                );
                documents.push(Rewritten {
                    platform: before.platform.clone(),
                    before: Written::of(&old.config, &old_raw),
                    after: Written::of(&new.config, &new_raw),
                });
            }
            _ => {}
        }
        Ok(())
    }
    .boxed()
}

/// A place that has all that the image was, and keeps of what is put the manifests alone.
struct Trial {
    overlay: Arc<Overlay>,
    source: Arc<dyn Source>,
    put: Mutex<Vec<(Digest, Document)>>,
}

impl Trial {
    fn put(&self) -> MutexGuard<'_, Vec<(Digest, Document)>> {
        // No one leaves it half changed.
        self.put.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn was_put(&self, digest: &Digest) -> Option<Document> {
        let put = self.put();
        put.iter()
            .find(|(known, _)| known == digest)
            .map(|(_, document)| document.clone())
    }
}

impl Source for Trial {
    fn resolve<'a>(&'a self, pick: &'a Pick) -> BoxFuture<'a, Result<Descriptor>> {
        self.source.resolve(pick)
    }

    fn stat<'a>(&'a self, role: Role, digest: &'a Digest, intent: Intent) -> BoxFuture<'a, Result<Option<Descriptor>>> {
        match role {
            Role::Manifest => self.source.stat(role, digest, Intent::Read),
            Role::Blob => self.overlay.stat(role, digest, intent),
        }
    }

    fn fetch<'a>(&'a self, role: Role, digest: &'a Digest, options: FetchOptions) -> BoxFuture<'a, Result<Fetched>> {
        match (role, self.was_put(digest)) {
            (Role::Manifest, Some(document)) => {
                let raw = document.raw().clone();
                async move { Ok(super::overlay::fetched(raw)) }.boxed()
            }
            _ => self.overlay.fetch(role, digest, options),
        }
    }

    fn browse(&self) -> Option<&dyn Browse> {
        None
    }

    fn local(&self) -> Option<&dyn Local> {
        None
    }

    fn is_closed(&self) -> bool {
        self.source.is_closed()
    }

    fn origin(&self) -> Option<Origin> {
        None
    }
}

impl Target for Trial {
    fn ingest(&self, expected: Expected) -> BoxFuture<'_, Result<Box<dyn Ingest>>> {
        async move { Ok(Box::new(Hashed::new(expected)) as Box<dyn Ingest>) }.boxed()
    }

    fn put_manifest<'a>(
        &'a self,
        document: &'a Document,
        digest: &'a Digest,
        _: &'a [String],
        _: Expect,
    ) -> BoxFuture<'a, Result<Descriptor>> {
        self.put().push((*digest, document.clone()));
        let size = document.raw().len() as u64;
        let descriptor = Descriptor::new(document.media_type().clone(), *digest, size);
        async move { Ok(descriptor) }.boxed()
    }

    fn finish(&self) -> BoxFuture<'_, Result<()>> {
        async { Ok(()) }.boxed()
    }

    fn takes(&self) -> Takes {
        Takes::EVERYTHING
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
        None
    }

    fn sweep(&self) -> Option<&dyn Sweep> {
        None
    }
}

/// A blob that is hashed and thrown away.
pub(super) struct Hashed {
    expected: Expected,
    hasher: teu_spec::Hasher,
    size: u64,
}

impl Hashed {
    pub(super) fn new(expected: Expected) -> Self {
        let algorithm = expected.digest.map_or(expected.algorithm, |digest| digest.algorithm());
        Self {
            hasher: algorithm.hasher(),
            expected,
            size: 0,
        }
    }
}

impl Ingest for Hashed {
    fn write(&mut self, bytes: Bytes) -> BoxFuture<'_, Result<()>> {
        self.size += bytes.len() as u64;
        if !self.expected.verified {
            self.hasher.update(&bytes);
        }
        async { Ok(()) }.boxed()
    }

    fn commit(self: Box<Self>, digest: Option<Digest>) -> BoxFuture<'static, Result<Committed>> {
        async move {
            let Self { expected, hasher, size } = *self;
            let digest = expected.check(digest, size, |_| hasher.finish())?;
            Ok(Committed { digest, size })
        }
        .boxed()
    }

    fn abort(self: Box<Self>) -> BoxFuture<'static, Result<()>> {
        async { Ok(()) }.boxed()
    }
}
