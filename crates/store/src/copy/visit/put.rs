//! What has the target of an image, and how does a manifest get there?

use std::sync::{PoisonError, atomic::Ordering};

use teu_spec::{Descriptor, Digest, Document, Manifest};

use super::Copier;
use crate::{
    Event, Expect, Result, Role, Side, Source,
    copy::known::Names,
    graph::{Node, Position},
};

impl Copier<'_> {
    /// Whether the target is asked for a manifest below an index before that is read, as all below it is there too where it is. Where referrers are
    /// wanted, all manifests below an index are read.
    pub(super) fn asks_for(&self, node: Node<'_>) -> bool {
        node.depth > 0
            && self.is_identity()
            && self.ends.target.readable().is_some_and(Source::is_closed)
            && (!self.options.referrers || node.descriptor.media_type.is_manifest())
    }

    /// Whether the target has a manifest, as far as it lets us look.
    pub(super) async fn manifest_exists(&self, digest: &Digest) -> Result<bool> {
        let Some(readable) = self.ends.target.readable() else {
            return Ok(false);
        };
        let question = readable.stat(Role::Manifest, digest, self.ends.intent());
        let found = self.ends.sight.look(&*self.ends.target, self.ends.intent(), question);
        Ok(found.await?.is_some())
    }

    /// Keeps in mind that the target, which has not this image, will not have its config: it says what this image is, and only a copy that was cut off
    /// brings it without its manifest.
    pub(super) fn expect_new_config(&self, node: Node<'_>, manifest: &Manifest) {
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
    pub(super) fn is_new_config(&self, node: Node<'_>) -> bool {
        let mut new = self.new_configs.lock().unwrap_or_else(PoisonError::into_inner);
        node.position == Position::Config && node.in_image && new.remove(&node.descriptor.digest)
    }

    /// Puts a manifest, and the root under its names, where that is not so already.
    pub(super) async fn put(&self, node: Node<'_>, document: &Document, digest: Digest) -> Result<()> {
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
            Names::ask(&*self.ends.target, names, self.ends.intent(), &self.ends.sight)
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
}
