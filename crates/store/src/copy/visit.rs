//! What does a copy do with each manifest and blob that the walk comes to?

mod form;
mod layers;
mod put;

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, PoisonError, atomic::Ordering},
};

use futures_util::{FutureExt, future};
use teu_spec::{Descriptor, Digest, Document};

use super::{
    Foreign, Options, Recompress, Which,
    blob::of_blob,
    ends::Ends,
    known::{self, Known},
    order::Place,
    tally::{Fate, Tally},
};
use crate::{
    BoxFuture, Event, Expect, How, Intent, Result, Role, Side, Source, SourceExt,
    graph::{Arrival, Content, Node, Position, Step, Visit},
};

/// The visitor of a copy.
pub(super) struct Copier<'a> {
    pub(super) ends: Ends,
    pub(super) options: &'a Options,
    /// The compression that layers get.
    pub(super) recompress: Option<&'a Recompress>,
    /// What of an index is copied.
    pub(super) which: &'a Which,
    /// The names of the root.
    pub(super) names: &'a [String],
    /// What they point at until then.
    pub(super) expect: Expect,
    /// When the root is put, where other copies into the same target go on meanwhile.
    pub(super) naming: Option<Place<'a>>,
    /// What is known of the target's root before the walk.
    pub(super) known: Known,
    /// Manifests that were read before the walk.
    pub(super) read: Mutex<HashMap<Digest, Document>>,
    /// What layers that are recompressed must be, by what configs say.
    pub(super) diff_ids: Mutex<HashMap<Digest, Digest>>,
    /// The configs of images that the target says it has not.
    pub(super) new_configs: Mutex<HashSet<Digest>>,
    /// What was done.
    pub(super) tally: &'a Tally,
}

impl Copier<'_> {
    /// A visitor of other manifests of the same copy, which get no names.
    pub(super) fn another<'b>(&'b self, which: &'b Which) -> Copier<'b> {
        Copier {
            ends: self.ends.clone(),
            options: self.options,
            recompress: self.recompress,
            which,
            names: &[],
            expect: Expect::Any,
            naming: None,
            known: Known::default(),
            read: Mutex::default(),
            diff_ids: Mutex::default(),
            new_configs: Mutex::default(),
            tally: self.tally,
        }
    }

    /// Whether nothing that is asked for can change a manifest.
    pub(super) fn is_identity(&self) -> bool {
        known::is_identity(self.options, self.ends.target.takes())
    }

    async fn document(&self, source: &dyn Source, node: Node<'_>) -> Result<Document> {
        let known = {
            let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
            read.remove(&node.descriptor.digest)
        };
        if let Some(document) = known {
            return Ok(document);
        }
        // What is here need not be asked for over there: it is checked as all is.
        if let Some(here) = self.ends.target.readable()
            && here.origin().is_none()
            && source.origin().is_some()
            && let Ok(document) = here.document(node.descriptor).await
        {
            return Ok(document);
        }
        source
            .document(node.descriptor)
            .await
            .map_err(|error| error.on(Side::Source))
    }

    fn warn(&self, message: String) {
        (self.ends.events)(Event::Warning { message });
    }

    async fn blob_copied(&self, node: Node<'_>) -> Result<Content> {
        let blob = node.descriptor;
        (self.ends.events)(Event::BlobStarted {
            descriptor: blob.clone(),
            config: node.position == Position::Config,
        });
        let may_be_left_out =
            blob.media_type.is_foreign() && !blob.urls.is_empty() && !self.ends.target.takes().uncompressed_only;
        let left_out = may_be_left_out
            && match self.options.foreign {
                Foreign::LeftOut => true,
                Foreign::WhereThere => {
                    let found = self.ends.source.stat(Role::Blob, &blob.digest, Intent::Read).await;
                    found.map_err(|error| error.on(Side::Source))?.is_none()
                }
                Foreign::Copied => false,
            };
        let recompress = match node.position {
            Position::Layer if node.in_image => self.recompressed(blob),
            _ => None,
        };
        let (how, content) = match recompress {
            _ if left_out => (How::LeftOut, blob.into()),
            Some(_) if self.ends.rehearse => (How::Recompressed, blob.into()),
            Some(recompress) => {
                let diff_id = {
                    let diff_ids = self.diff_ids.lock().unwrap_or_else(PoisonError::into_inner);
                    // Its manifest was entered before, and the config read.
                    diff_ids.get(&blob.digest).copied()
                };
                let diff_id = diff_id.expect("each layer that is recompressed has a DiffID");
                let recompressed = self.ends.recompress(blob, recompress, &diff_id).await;
                recompressed.map_err(of_blob(blob))?
            }
            None => {
                let copied = self.ends.copy(blob, self.is_new_config(node)).await;
                (copied.map_err(of_blob(blob))?, blob.into())
            }
        };
        if matches!(how, How::Copied | How::Linked | How::Recompressed) {
            self.tally.blobs.fetch_add(1, Ordering::Relaxed);
            self.tally.bytes.fetch_add(blob.size, Ordering::Relaxed);
        }
        (self.ends.events)(Event::BlobDone {
            digest: blob.digest,
            how,
        });
        Ok(content)
    }
}

impl Visit for Copier<'_> {
    fn arrive<'a>(&'a self, node: Node<'a>) -> BoxFuture<'a, Result<Arrival>> {
        async move {
            // The root's presence was asked for before the walk.
            if !self.asks_for(node) || !self.manifest_exists(&node.descriptor.digest).await? {
                return Ok(Arrival::Read);
            }
            self.tally.add_fate(node.descriptor.digest, Fate::Unchanged);
            (self.ends.events)(Event::ManifestDone {
                descriptor: node.descriptor.clone(),
                names: Vec::new(),
                existed: true,
            });
            Ok(Arrival::Done(Some(node.descriptor.into())))
        }
        .boxed()
    }

    fn read<'a>(&'a self, source: &'a dyn Source, node: Node<'a>) -> BoxFuture<'a, Result<Document>> {
        self.document(source, node).boxed()
    }

    fn enter<'a>(&'a self, node: Node<'a>, document: &'a Document) -> BoxFuture<'a, Result<Vec<Step>>> {
        async move {
            let complete = node.depth == 0 && self.known.complete;
            let steps = match document {
                Document::Manifest(_) if complete => vec![Step::Keep; document.children().len()],
                Document::Index(_) if complete && !self.options.referrers => {
                    vec![Step::Keep; document.children().len()]
                }
                Document::Manifest(_) => vec![Step::Walk; document.children().len()],
                Document::Index(index) => self.which.steps(&node.descriptor.digest, index)?,
            };
            self.check(node, document, &steps)?;
            if let (Document::Manifest(_), Some(Step::Walk)) = (document, steps.first()) {
                (self.ends.events)(Event::Planned {
                    blobs: document.children(),
                });
            }
            if let Document::Manifest(manifest) = document {
                self.expect_new_config(node, manifest);
                self.learn_diff_ids(manifest, &self.recompressed_of(document)).await?;
            }
            Ok(steps)
        }
        .boxed()
    }

    fn blob<'a>(&'a self, node: Node<'a>) -> BoxFuture<'a, Result<Option<Content>>> {
        self.blob_copied(node).map(|copied| copied.map(Some)).boxed()
    }

    fn before_leaving<'a>(&'a self, node: Node<'a>) -> BoxFuture<'a, ()> {
        match self.naming.filter(|_| node.depth == 0) {
            Some(place) => place.come().boxed(),
            None => future::ready(()).boxed(),
        }
    }

    fn leave<'a>(
        &'a self,
        node: Node<'a>,
        document: &'a Document,
        mut children: Vec<Option<Descriptor>>,
    ) -> BoxFuture<'a, Result<Option<Content>>> {
        async move {
            if node.depth > 0 && !children.is_empty() && children.iter().all(Option::is_none) {
                return Ok(None);
            }
            self.follow(node, document, &mut children);
            let (new, digest) = self.converted(node, document, &children)?;
            self.put(node, &new, digest).await?;
            let fate = if digest == node.descriptor.digest {
                Fate::Unchanged
            } else {
                Fate::Changed
            };
            self.tally.add_fate(node.descriptor.digest, fate);
            Ok(Some(Content {
                media_type: new.media_type().clone(),
                digest,
                size: new.raw().len() as u64,
            }))
        }
        .boxed()
    }
}
