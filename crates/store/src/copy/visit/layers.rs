//! Which layers are recompressed, what must they be, and what that was said of them is still true?

use std::{collections::HashMap, sync::PoisonError};

use teu_spec::{Descriptor, Document, ImageConfig, LayerCompression, Manifest, annotation};

use super::Copier;
use crate::{
    Error, ErrorKind, Result, Side,
    copy::recompress::{self, Recompress},
    graph::Node,
};

impl Copier<'_> {
    /// How an image's layer is recompressed, if it is.
    pub(super) fn recompressed(&self, layer: &Descriptor) -> Option<&Recompress> {
        let how = self.recompress?;
        let stays = layer.media_type.is_foreign() && !self.ends.target.takes().uncompressed_only;
        let now = layer.media_type.layer_compression()?;
        (!stays && how.changes(now)).then_some(how)
    }

    /// The layers of a document that are recompressed.
    pub(super) fn recompressed_of<'b>(&self, document: &'b Document) -> Vec<(usize, &'b Descriptor)> {
        match document {
            Document::Manifest(manifest) if manifest.config.media_type.is_image_config() => {
                let layers = manifest.layers.iter().enumerate();
                layers.filter(|(_, layer)| self.recompressed(layer).is_some()).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Learns from an image's config what its layers must be uncompressed, where they are recompressed (threat 54).
    pub(super) async fn learn_diff_ids(&self, manifest: &Manifest, layers: &[(usize, &Descriptor)]) -> Result<()> {
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
    pub(super) fn follow(&self, node: Node<'_>, document: &Document, children: &mut [Option<Descriptor>]) {
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
            self.warn(recompress::attested(&node.descriptor.digest, attested));
        }
    }
}
