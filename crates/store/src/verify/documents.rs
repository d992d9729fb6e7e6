//! What do the documents of an image demand, each for itself and of one another?

use std::{collections::HashMap, sync::PoisonError};

use teu_spec::{Descriptor, Digest, Document, ImageConfig, Manifest, MediaType, Platform, json::MAX_DOCUMENT};

use super::{Checker, Image, Kind, LayerIds, Severity, is_finding, pass::DIFF_ID};
use crate::{ErrorKind, Result, SourceExt, graph::Node};

impl Checker<'_> {
    /// What is wrong with what a document says of its children.
    pub(super) fn check_children(&self, node: Node<'_>, document: &Document) {
        for (place, child) in document.children().iter().enumerate() {
            if child.data.is_some() && child.verified_data().is_none() {
                let message = format!(
                    "the data embedded for child {place} is not the content of {}",
                    child.digest
                );
                self.find(Severity::Wrong, Kind::Document, node, message);
            }
        }
        match document {
            Document::Index(index) => self.check_index(node, &index.manifests),
            Document::Manifest(manifest) => self.check_manifest(node, manifest),
        }
    }

    fn check_index(&self, node: Node<'_>, manifests: &[Descriptor]) {
        for (place, child) in manifests.iter().enumerate() {
            if !child.media_type.is_document() {
                let message = format!(
                    "manifest {place} is said to be {}, which is no manifest",
                    child.media_type
                );
                self.find(Severity::Odd, Kind::Document, node, message);
            }
            if let Some(platform) = &child.platform
                && (platform.os.is_empty() || platform.architecture.is_empty())
            {
                let message = format!("the platform of manifest {place} lacks its os or architecture");
                self.find(Severity::Wrong, Kind::Document, node, message);
            }
        }
    }

    /// The demands of image-spec's manifest.md.
    fn check_manifest(&self, node: Node<'_>, manifest: &Manifest) {
        if manifest.config.media_type == MediaType::OciEmpty && manifest.artifact_type.is_none() {
            let message = "its config is empty, so it must have an artifactType, and has none";
            self.find(Severity::Wrong, Kind::Document, node, message);
        }
        if !manifest.config.media_type.is_image_config() {
            return;
        }
        // What BuildKit attests of an image has the form of one, and statements for layers (its docs/attestations).
        let attests = node.descriptor.is_attestation();
        for (place, layer) in manifest.layers.iter().enumerate() {
            if !layer.media_type.is_layer() && !attests {
                let message = format!("layer {place} is said to be {}, which is no layer", layer.media_type);
                self.find(Severity::Odd, Kind::Document, node, message);
            }
        }
        self.check_repeated(node, &manifest.layers);
    }

    /// Whether an image's config agrees with its manifest, and with what the index says of that.
    pub(super) async fn check_config(&self, node: Node<'_>, manifest: &Manifest) -> Result<()> {
        if !manifest.config.media_type.is_image_config() {
            return Ok(());
        }
        let raw = match self.source.small_blob(&manifest.config).await {
            Ok(raw) => raw,
            // It was found where it was visited.
            Err(error) if is_finding(&error) => return Ok(()),
            Err(error) if *error.kind() == ErrorKind::TooLarge => {
                let message = format!("the config has more than the limit of {MAX_DOCUMENT} bytes");
                self.find(Severity::Wrong, Kind::Document, node, message);
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let config = match ImageConfig::parse(raw) {
            Ok(config) => config,
            Err(error) => {
                self.find(Severity::Wrong, Kind::Document, node, format!("its config: {error}"));
                return Ok(());
            }
        };
        match config.check_layers(manifest.layers.len()) {
            Ok(()) => self.check_diff_ids(node, manifest, &config),
            Err(error) => self.find(Severity::Wrong, Kind::Agreement, node, format!("its config: {error}")),
        }
        self.check_history(node, manifest, &config);
        if let Err(error) = config.created() {
            self.find(Severity::Wrong, Kind::Document, node, format!("its config: {error}"));
        }
        let platform = config.platform();
        if platform.os.is_empty() || platform.architecture.is_empty() {
            self.find(
                Severity::Wrong,
                Kind::Document,
                node,
                "its config lacks its os or architecture",
            );
        } else if let Some(said) = &node.descriptor.platform
            && let Some(severity) = other_machine(said, &platform)
        {
            let message = format!("the index says it is for {said}, its config for {platform}");
            self.find(severity, Kind::Agreement, node, message);
        }
        Ok(())
    }

    /// Whether the history tells of as many layers as there are. A config may have none.
    fn check_history(&self, node: Node<'_>, manifest: &Manifest, config: &ImageConfig) {
        let history = &config.fields.history;
        let told = history.iter().filter(|step| !step.empty_layer).count();
        let layers = manifest.layers.len();
        if !history.is_empty() && told != layers {
            let message = format!("its config has a history of {told} layers, but the manifest has {layers}");
            self.find(Severity::Odd, Kind::Agreement, node, message);
        }
    }

    /// Whether a layer stands more than once: that is allowed, and changes what whiteouts between them hide.
    fn check_repeated(&self, node: Node<'_>, layers: &[Descriptor]) {
        let mut first: HashMap<Digest, usize> = HashMap::new();
        for (place, layer) in layers.iter().enumerate() {
            if let Some(before) = first.get(&layer.digest) {
                let message = format!("layer {place} is the same as layer {before}");
                self.find(Severity::Odd, Kind::Document, node, message);
            } else {
                first.insert(layer.digest, place);
            }
        }
    }

    /// Whether the layers are those of the config, by their content without compression. Where all are, the image is noted.
    fn check_diff_ids(&self, node: Node<'_>, manifest: &Manifest, config: &ImageConfig) {
        let uncompressed = self.uncompressed.lock().unwrap_or_else(PoisonError::into_inner);
        let mut right = Vec::new();
        for (layer, diff_id) in manifest.layers.iter().zip(config.diff_ids()) {
            match uncompressed.get(&layer.digest) {
                Some(Ok(found)) if found == diff_id => right.push(layer.digest),
                Some(Ok(_)) if diff_id.algorithm() != DIFF_ID => {
                    let message = format!("the DiffID {diff_id} was not checked, as it is no {DIFF_ID}");
                    self.find(Severity::Odd, Kind::Agreement, node, message);
                }
                Some(Ok(found)) => {
                    let message = format!(
                        "layer {} has the DiffID {found}, but the config says {diff_id}",
                        layer.digest
                    );
                    self.find(Severity::Wrong, Kind::Agreement, node, message);
                }
                // It is not there, or wrong, which was found where it was read; or nobody knows how it is compressed.
                Some(Err(_)) | None => {}
            }
        }
        if right.len() == manifest.layers.len() {
            let names = right.into_iter().zip(config.diff_ids()).zip(config.chain_ids());
            let layers = names.map(|((digest, diff_id), chain_id)| LayerIds {
                digest,
                diff_id: *diff_id,
                chain_id,
            });
            let image = Image {
                manifest: node.descriptor.digest,
                platform: config.platform(),
                layers: layers.collect(),
            };
            self.report(|report| report.images.push(image));
        }
    }
}

/// How bad it is that two platforms are not one machine's. What only one of them says is not held against the other.
fn other_machine(said: &Platform, config: &Platform) -> Option<Severity> {
    let (said, config) = (said.normalized(), config.normalized());
    let differ = |one: &str, other: &str| !one.is_empty() && !other.is_empty() && one != other;
    if said.os != config.os || said.architecture != config.architecture {
        Some(Severity::Wrong)
    } else if differ(&said.variant, &config.variant) || differ(&said.os_version, &config.os_version) {
        Some(Severity::Odd)
    } else {
        None
    }
}
