//! What does a copy do with each manifest and blob that the walk comes to?

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, PoisonError, atomic::Ordering},
};

use futures_util::{FutureExt, future};
use teu_spec::{Descriptor, Digest, Document, Format, ImageConfig, LayerCompression, Manifest, MediaType, annotation};

use super::{
    Foreign, Options, Recompress, Which,
    blind::answered,
    blob::of_blob,
    ends::Ends,
    known::{self, Known, Names},
    order::Place,
    recompress,
    tally::{Fate, Tally},
};
use crate::{
    BoxFuture, Error, ErrorKind, Event, Expect, How, Intent, Result, Role, Side, Source, SourceExt,
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

    /// Whether the target is asked for a manifest below an index before that is read, as all below it is there too where it is. Where referrers are
    /// wanted, all manifests below an index are read.
    fn asks_for(&self, node: Node<'_>) -> bool {
        node.depth > 0
            && self.is_identity()
            && self.ends.target.readable().is_some_and(Source::is_closed)
            && (!self.options.referrers || node.descriptor.media_type.is_manifest())
    }

    /// Keeps in mind that the target, which has not this image, will not have its config: it says what this image is, and only a copy that was cut off
    /// brings it without its manifest.
    fn expect_new_config(&self, node: Node<'_>, manifest: &Manifest) {
        let is_absent = match node.depth {
            0 => self.known.absent,
            // What was found was not entered.
            _ => self.asks_for(node),
        };
        if is_absent && manifest.config.media_type.is_image_config() {
            let mut new = self.new_configs.lock().unwrap_or_else(PoisonError::into_inner);
            new.insert(manifest.config.digest);
        }
    }

    /// Whether a blob is such a config. The next who asks is told no, as it is brought then.
    fn is_new_config(&self, node: Node<'_>) -> bool {
        let mut new = self.new_configs.lock().unwrap_or_else(PoisonError::into_inner);
        node.position == Position::Config && node.in_image && new.remove(&node.descriptor.digest)
    }

    /// How an image's layer is recompressed, if it is.
    fn recompressed(&self, layer: &Descriptor) -> Option<&Recompress> {
        let how = self.recompress?;
        let stays = layer.media_type.is_foreign() && !self.ends.target.takes().uncompressed_only;
        let now = layer.media_type.layer_compression()?;
        (!stays && how.changes(now)).then_some(how)
    }

    /// The layers of a document that are recompressed.
    fn recompressed_of<'b>(&self, document: &'b Document) -> Vec<(usize, &'b Descriptor)> {
        match document {
            Document::Manifest(manifest) if manifest.config.media_type.is_image_config() => {
                let layers = manifest.layers.iter().enumerate();
                layers.filter(|(_, layer)| self.recompressed(layer).is_some()).collect()
            }
            _ => Vec::new(),
        }
    }

    /// The form that a document gets, which names these children.
    fn form(&self, document: &Document, children: &[Option<Descriptor>]) -> Result<Format> {
        let takes = self.ends.target.takes();
        let wanted = self.options.format.unwrap_or_else(|| self.own_form(document, children));
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

    /// The form that a document has, or must have because of what it names: Docker's has no zstd.
    fn own_form(&self, document: &Document, children: &[Option<Descriptor>]) -> Format {
        let is_oci = match document {
            Document::Manifest(_) => {
                let zstd = self
                    .recompress
                    .is_some_and(|how| how.compression == LayerCompression::Zstd);
                zstd && !self.recompressed_of(document).is_empty()
            }
            // What had become OCI's elsewhere is no reason to change the list that names it.
            Document::Index(index) => {
                let mut both = index.manifests.iter().zip(children);
                both.any(|(old, new)| {
                    let became = |new: &Descriptor| {
                        new.media_type != old.media_type
                            && matches!(new.media_type, MediaType::OciManifest | MediaType::OciIndex)
                    };
                    new.as_ref().is_some_and(became)
                })
            }
        };
        if is_oci { Format::Oci } else { document.format() }
    }

    /// Refuses before any blob is copied what would be refused at the end.
    fn check(&self, node: Node<'_>, document: &Document, steps: &[Step]) -> Result<()> {
        let digest = node.descriptor.digest;
        if matches!(document, Document::Index(_)) && !self.ends.target.takes().indexes {
            let message = format!("this destination holds single images, and {digest} is an index; choose a platform");
            return Err(Error::new(ErrorKind::Unsupported, message).on(Side::Destination));
        }
        let children: Vec<_> = document.children().into_iter().map(Some).collect();
        let format = self.form(document, &children)?;
        if !self.options.preserve_digests {
            return Ok(());
        }
        let reason = if let [(_, layer), ..] = self.recompressed_of(document)[..] {
            format!("layer {} would have to be recompressed", layer.digest)
        } else if format != document.format() {
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

    /// Learns from an image's config what its layers must be uncompressed, where they are recompressed (threat 54).
    async fn learn_diff_ids(&self, manifest: &Manifest, layers: &[(usize, &Descriptor)]) -> Result<()> {
        if layers.is_empty() {
            return Ok(());
        }
        let config = &manifest.config;
        let of_config = |error: Error| {
            error
                .on(Side::Source)
                .within(format!("reading config {}", config.digest))
        };
        let raw = self.ends.small_blob(config).await.map_err(of_config)?;
        let read = ImageConfig::parse(raw).map_err(|error| of_config(error.into()))?;
        read.check_layers(manifest.layers.len())
            .map_err(|error| of_config(error.into()))?;
        let mut known = self.diff_ids.lock().unwrap_or_else(PoisonError::into_inner);
        for (place, layer) in layers {
            let diff_id = read.diff_ids()[*place];
            let said = *known.entry(layer.digest).or_insert(diff_id);
            if said != diff_id {
                let message = format!(
                    "layer {} is said to be {said} uncompressed in one place and {diff_id} in another",
                    layer.digest
                );
                return Err(of_config(Error::new(ErrorKind::Mismatch, message)));
            }
        }
        Ok(())
    }

    /// Has the children of a document say nothing of the content that they were, where they are other content now.
    fn follow(&self, node: Node<'_>, document: &Document, children: &mut [Option<Descriptor>]) {
        let old = document.children();
        let mut moved = HashMap::new();
        for (old, new) in old.iter().zip(children.iter_mut()) {
            let Some(new) = new.as_mut().filter(|new| new.digest != old.digest) else {
                continue;
            };
            moved.insert(old.digest.to_string(), new.digest);
            let mut dropped = recompress::forget_bytes(&mut new.annotations);
            let zstd = self
                .recompress
                .is_none_or(|how| how.compression == LayerCompression::Zstd);
            if !zstd && new.annotations.remove(annotation::COMPRESSION_ZSTD).is_some() {
                dropped.push(annotation::COMPRESSION_ZSTD.to_owned());
            }
            if !dropped.is_empty() {
                let (digest, dropped) = (old.digest, dropped.join(", "));
                self.warn(format!(
                    "{digest} is recompressed, so what was said of its bytes is left out: {dropped}"
                ));
            }
        }
        let attested = children.iter_mut().flatten();
        let attested = attested.filter_map(|child| recompress::follow(&mut child.annotations, &moved).then_some(()));
        let attested = attested.count();
        if attested > 0 {
            self.warn(format!(
                "index {}: images change their digests, and {attested} attestations name the old ones within",
                node.descriptor.digest
            ));
        }
    }

    async fn manifest_exists(&self, digest: &Digest) -> Result<bool> {
        let Some(readable) = self.ends.target.readable() else {
            return Ok(false);
        };
        let answer = readable.stat(Role::Manifest, digest, self.ends.intent()).await;
        Ok(answered(&*self.ends.target, answer, self.ends.intent()).await?.is_some())
    }

    /// The document as the target gets it, and its digest.
    fn converted(
        &self,
        node: Node<'_>,
        document: &Document,
        children: &[Option<Descriptor>],
    ) -> Result<(Document, Digest)> {
        let digest = node.descriptor.digest;
        let form = self.form(document, children)?;
        if form == Format::Oci
            && document.format() == Format::Docker
            && self.options.format.is_none()
            && self.ends.target.takes().docker
        {
            self.warn(format!(
                "manifest {digest} is converted to OCI's form, as Docker's has no zstd"
            ));
        }
        let (new, losses) = document
            .convert(form, children)
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

    /// Refuses an image that would not be the one that the target was asked for by its digest.
    pub(super) fn check_digest(&self, found: &Digest) -> Result<()> {
        match self.options.digest {
            Some(wanted) if wanted != *found => Err(Error::new(
                ErrorKind::Mismatch,
                format!("the image is {found}, and the destination asks for {wanted}; write a tag, or that digest"),
            )
            .on(Side::Destination)),
            _ => Ok(()),
        }
    }

    async fn put(&self, node: Node<'_>, document: &Document, digest: Digest) -> Result<()> {
        let is_root = node.depth == 0;
        if is_root {
            self.check_digest(&digest)?;
        }
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
        let skip = if is_root && same && self.is_identity() {
            self.known.named
        } else if is_root {
            // What comes of the image is known only now, and what it names is there.
            Names::ask(&*self.ends.target, names, self.ends.intent())
                .await?
                .all(&digest)
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
        let expect = if is_root { self.expect } else { Expect::Any };
        if !self.ends.rehearse {
            self.ends.ready().await;
            let put = self.ends.target.put_manifest(document, &digest, names, expect).await;
            put.map_err(|error| error.on(Side::Destination).within(format!("writing manifest {digest}")))?;
        }
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

fn changed(digest: &Digest, reason: &str) -> Error {
    Error::new(
        ErrorKind::Unsupported,
        format!(
            "the digest of manifest {digest} cannot be preserved: {reason}; allow it to change, or copy it as it is"
        ),
    )
}
