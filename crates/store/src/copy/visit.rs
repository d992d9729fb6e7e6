//! What does a copy do with each manifest and blob that the walk comes to?

use std::{
    collections::HashMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use futures_util::FutureExt;
use teu_spec::{Descriptor, Digest, Document, Format};

use super::{
    Options, Which,
    blob::{Ends, of_blob},
};
use crate::{
    BoxFuture, Error, ErrorKind, Event, How, Intent, Result, Role, Side, Source, SourceExt,
    graph::{Arrival, Content, Node, Position, Step, Visit},
};

/// The visitor of a copy.
pub(super) struct Copier<'a> {
    pub(super) ends: Ends,
    pub(super) options: &'a Options,
    /// What of an index is copied.
    pub(super) which: &'a Which,
    /// The names of the root.
    pub(super) names: &'a [String],
    /// What is known of the target's root before the walk.
    pub(super) known: Known,
    /// Manifests that were read before the walk.
    pub(super) read: Mutex<HashMap<Digest, Document>>,
    /// What was done.
    pub(super) tally: &'a Tally,
}

/// What the target said of the image before the walk.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Known {
    /// The whole image is there.
    pub(super) complete: bool,
    /// All names point at it.
    pub(super) named: bool,
}

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

    fn add_fate(&self, digest: Digest, fate: Fate) {
        let mut fates = self.fates.lock().unwrap_or_else(PoisonError::into_inner);
        fates.push((digest, fate));
    }
}

impl Copier<'_> {
    /// Whether nothing that is asked for can change a manifest.
    pub(super) fn is_identity(&self) -> bool {
        let takes = self.ends.target.takes();
        self.options.format.is_none() && takes.oci && takes.docker && !takes.uncompressed_only
    }

    /// The form that a document gets.
    fn form(&self, document: &Document) -> Result<Format> {
        let takes = self.ends.target.takes();
        let wanted = self.options.format.unwrap_or(document.format());
        let taken = |format| match format {
            Format::Oci => takes.oci,
            Format::Docker => takes.docker,
        };
        let other = match wanted {
            Format::Oci => Format::Docker,
            Format::Docker => Format::Oci,
        };
        match (taken(wanted), taken(other)) {
            (true, _) => Ok(wanted),
            (false, true) if self.options.format.is_none() => Ok(other),
            _ => Err(Error::new(
                ErrorKind::Unsupported,
                format!("this destination takes no manifests of the form {wanted}"),
            )
            .on(Side::Destination)),
        }
    }

    /// Refuses before any blob is copied what would be refused at the end.
    fn check(&self, node: Node<'_>, document: &Document, steps: &[Step]) -> Result<()> {
        let digest = node.descriptor.digest;
        if matches!(document, Document::Index(_)) && !self.ends.target.takes().indexes {
            let message = format!("this destination holds single images, and {digest} is an index; choose a platform");
            return Err(Error::new(ErrorKind::Unsupported, message).on(Side::Destination));
        }
        let format = self.form(document)?;
        if !self.options.preserve_digests {
            return Ok(());
        }
        let reason = if format != document.format() {
            format!("it would have to be converted to {format}")
        } else if steps.contains(&Step::Drop) {
            "images would have to be dropped from it; a sparse index keeps its digest".to_owned()
        } else {
            return Ok(());
        };
        Err(changed(&digest, &reason))
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

    async fn manifest_exists(&self, digest: &Digest) -> Result<bool> {
        let Some(readable) = self.ends.target.readable() else {
            return Ok(false);
        };
        let found = readable.stat(Role::Manifest, digest, Intent::Write).await;
        Ok(found.map_err(|error| error.on(Side::Destination))?.is_some())
    }

    /// The document as the target gets it, and its digest.
    fn converted(
        &self,
        node: Node<'_>,
        document: &Document,
        children: &[Option<Descriptor>],
    ) -> Result<(Document, Digest)> {
        let digest = node.descriptor.digest;
        let (new, losses) = document
            .convert(self.form(document)?, children)
            .map_err(|error| Error::from(error).within(format!("manifest {digest}")))?;
        for loss in losses {
            self.warn(format!(
                "manifest {digest}: {loss} cannot be kept in Docker's form and is left out"
            ));
        }
        if new.raw() == document.raw() {
            return Ok((new, digest));
        }
        if self.options.preserve_digests {
            return Err(changed(&digest, "what it names changes"));
        }
        let digest = digest.algorithm().digest(new.raw());
        Ok((new, digest))
    }

    async fn put(&self, node: Node<'_>, document: &Document, digest: Digest) -> Result<()> {
        let is_root = node.depth == 0;
        let mut descriptor = Descriptor::new(document.media_type().clone(), digest, document.raw().len() as u64);
        descriptor.platform.clone_from(&node.descriptor.platform);
        let names = if is_root { self.names } else { &[] };
        let same = digest == node.descriptor.digest;
        let done = |existed| {
            (self.ends.events)(Event::ManifestDone {
                descriptor: descriptor.clone(),
                names: names.to_vec(),
                existed,
            });
        };
        let is_here = self.ends.target.readable().is_some_and(|here| here.origin().is_none());
        let skip = if is_root {
            same && self.known.named
        } else {
            // To ask a registry costs as much as to put.
            is_here && self.manifest_exists(&digest).await?
        };
        if skip {
            done(true);
            return Ok(());
        }
        (self.ends.events)(Event::ManifestStarted {
            descriptor: descriptor.clone(),
        });
        let expect = if is_root {
            self.options.expect
        } else {
            crate::Expect::Any
        };
        let put = self.ends.target.put_manifest(document, &digest, names, expect).await;
        put.map_err(|error| error.on(Side::Destination).within(format!("writing manifest {digest}")))?;
        self.tally.manifests.fetch_add(1, Ordering::Relaxed);
        done(false);
        Ok(())
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
        let left_out = blob.media_type.is_foreign()
            && !blob.urls.is_empty()
            && !self.options.foreign
            && !self.ends.target.takes().uncompressed_only;
        let how = if left_out {
            How::LeftOut
        } else {
            self.ends.copy(blob).await.map_err(of_blob(blob))?
        };
        if matches!(how, How::Copied | How::Linked | How::Recompressed) {
            self.tally.blobs.fetch_add(1, Ordering::Relaxed);
            self.tally.bytes.fetch_add(blob.size, Ordering::Relaxed);
        }
        (self.ends.events)(Event::BlobDone {
            digest: blob.digest,
            how,
        });
        Ok(blob.into())
    }
}

impl Visit for Copier<'_> {
    fn arrive<'a>(&'a self, node: Node<'a>) -> BoxFuture<'a, Result<Arrival>> {
        async move {
            // The root's presence was asked for before the walk. Where referrers are wanted, all manifests below an index are.
            let may_skip = node.depth > 0
                && self.is_identity()
                && self.ends.target.readable().is_some_and(Source::is_closed)
                && (!self.options.referrers || node.descriptor.media_type.is_manifest());
            if !may_skip || !self.manifest_exists(&node.descriptor.digest).await? {
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
            Ok(steps)
        }
        .boxed()
    }

    fn blob<'a>(&'a self, node: Node<'a>) -> BoxFuture<'a, Result<Option<Content>>> {
        self.blob_copied(node).map(|copied| copied.map(Some)).boxed()
    }

    fn leave<'a>(
        &'a self,
        node: Node<'a>,
        document: &'a Document,
        children: Vec<Option<Descriptor>>,
    ) -> BoxFuture<'a, Result<Option<Content>>> {
        async move {
            if node.depth > 0 && !children.is_empty() && children.iter().all(Option::is_none) {
                return Ok(None);
            }
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

fn changed(digest: &Digest, reason: &str) -> Error {
    Error::new(
        ErrorKind::Unsupported,
        format!(
            "the digest of manifest {digest} cannot be preserved: {reason}; allow it to change, or copy it as it is"
        ),
    )
}
