//! Which layers has an image? [`Image`]: its manifest, its config, and its layers by position.

use teu_spec::{Descriptor, Digest, Document, History, ImageConfig, Manifest, Pick, Platform};
use teu_store::{
    Error, ErrorKind, Result, Source, SourceExt,
    copy::{choose_image, find_image},
};

/// One image, as far as its documents say.
#[derive(Clone, Debug)]
pub struct Image {
    /// What names the manifest.
    pub descriptor: Descriptor,
    /// The manifest.
    pub manifest: Manifest,
    /// The config.
    pub config: ImageConfig,
    /// The layers, lowest first.
    pub layers: Vec<Layer>,
}

/// A layer of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// Its place: 0 is the lowest.
    pub position: usize,
    /// What the manifest says of it.
    pub descriptor: Descriptor,
    /// The digest of the tar in it, as the config says.
    pub diff_id: Digest,
}

impl Image {
    /// Reads what `top` leads to, whose document is at hand: itself where it is an image, else the image for `platform`.
    ///
    /// # Errors
    /// As [`choose_image`] and [`of`](Self::of).
    pub async fn read(source: &dyn Source, top: &Descriptor, document: Document, platform: &Platform) -> Result<Self> {
        let (descriptor, document) = choose_image(source, top, Some(document), platform).await?;
        Self::of_document(source, descriptor, document).await
    }

    /// Reads what `pick` leads to, as [`Source::resolve_document`] and [`read`](Self::read) do.
    ///
    /// # Errors
    /// As of both.
    pub async fn find(source: &dyn Source, pick: &Pick, platform: &Platform) -> Result<Self> {
        let (_, descriptor, document) = find_image(source, pick, platform).await?;
        Self::of_document(source, descriptor, document).await
    }

    async fn of_document(source: &dyn Source, descriptor: Descriptor, document: Document) -> Result<Self> {
        match document {
            Document::Manifest(manifest) => Self::of(source, descriptor, manifest).await,
            Document::Index(_) => {
                let message = format!("{} is an index within an index, and no image", descriptor.digest);
                Err(Error::new(ErrorKind::Unsupported, message))
            }
        }
    }

    /// The image whose manifest was read.
    ///
    /// # Errors
    /// `Unsupported` for an artifact that is no image; `Invalid` where the config does not tell the layers that the manifest has (threat 54); what the
    /// source says of the config.
    pub async fn of(source: &dyn Source, descriptor: Descriptor, manifest: Manifest) -> Result<Self> {
        if !manifest.config.media_type.is_image_config() {
            let kind = manifest.artifact_type.as_deref();
            let kind = kind.map_or_else(|| manifest.config.media_type.to_string(), str::to_owned);
            let message = format!("{} is no image but an artifact ({kind})", descriptor.digest);
            return Err(Error::new(ErrorKind::Unsupported, message));
        }
        let config = ImageConfig::parse(source.small_blob(&manifest.config).await?)?;
        let layers = layers(&manifest, &config)?;
        Ok(Self {
            descriptor,
            manifest,
            config,
            layers,
        })
    }

    /// What the history says of each layer, the lowest first: as many as there are layers. Its entries that made no layer are passed over
    /// (config.md, `empty_layer`); where it is shorter than the layers are many it says nothing of those above.
    #[must_use]
    pub fn history(&self) -> Vec<Option<&History>> {
        let entries = &self.config.fields.history;
        let mut made_a_layer = entries.iter().filter(|entry| !entry.empty_layer);
        self.layers.iter().map(|_| made_a_layer.next()).collect()
    }
}

/// The layers that manifest and config tell of, lowest first.
///
/// # Errors
/// `Invalid` where they differ in number.
pub fn layers(manifest: &Manifest, config: &ImageConfig) -> Result<Vec<Layer>> {
    let diff_ids = config.diff_ids();
    if diff_ids.len() != manifest.layers.len() {
        let message = format!(
            "config {} has {} diff_ids, but the manifest has {} layers",
            manifest.config.digest,
            diff_ids.len(),
            manifest.layers.len()
        );
        return Err(Error::new(ErrorKind::Invalid, message));
    }
    let both = manifest.layers.iter().zip(diff_ids).enumerate();
    Ok(both
        .map(|(position, (descriptor, diff_id))| Layer {
            position,
            descriptor: descriptor.clone(),
            diff_id: *diff_id,
        })
        .collect())
}
