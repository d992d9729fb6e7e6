//! How do OCI's form of an image and Docker's become each other? By the media types, in place, so that a round trip gives the same bytes
//! where both can say the same.
//!
//! The config's bytes are kept: image-spec allows the fields that Docker adds (config.md, "additional members"). What Docker cannot say
//! is either nothing that a person could do without knowing, and then it is an error, or it is lost and told as a [`Loss`].

use std::{fmt, str::FromStr};

use crate::{
    Annotations, Descriptor, Digest, Document, Error, Index, MediaType, error::shown, rewrite::put_media_type,
};

/// In whose form a document is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// image-spec's: `--format oci`.
    Oci,
    /// Docker's, schema 2: `--format v2s2`.
    Docker,
}

impl Format {
    /// The name that skopeo's `--format` has for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Oci => "oci",
            Self::Docker => "v2s2",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl FromStr for Format {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        match name {
            "oci" => Ok(Self::Oci),
            "v2s2" => Ok(Self::Docker),
            "v2s1" => Err(Error::Unsupported {
                what: "the format v2s1 (Docker's schema 1)".to_owned(),
                advice: "it was retired in 2020; oci and v2s2 are".to_owned(),
            }),
            _ => Err(Error::Unsupported {
                what: format!("the format {name:?}"),
                advice: "oci and v2s2 are".to_owned(),
            }),
        }
    }
}

/// How a layer is compressed, as its media type says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LayerCompression {
    /// Not at all.
    None,
    /// gzip.
    Gzip,
    /// zstd.
    Zstd,
}

impl LayerCompression {
    /// The name that skopeo's `--dest-compress-format` has for it; `none` where it is not compressed.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }
}

impl fmt::Display for LayerCompression {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl FromStr for LayerCompression {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        match name {
            "none" => Ok(Self::None),
            "gzip" => Ok(Self::Gzip),
            "zstd" => Ok(Self::Zstd),
            "zstd:chunked" => Err(Error::Unsupported {
                what: "writing zstd:chunked".to_owned(),
                advice: "use zstd, which every reader of zstd:chunked takes".to_owned(),
            }),
            _ => Err(Error::Unsupported {
                what: format!("the compression {name:?}"),
                advice: "gzip, zstd and none are".to_owned(),
            }),
        }
    }
}

struct LayerType {
    oci: MediaType,
    docker: Option<MediaType>,
    compression: LayerCompression,
    foreign: bool,
}

const fn layer(oci: MediaType, docker: Option<MediaType>, compression: LayerCompression, foreign: bool) -> LayerType {
    LayerType {
        oci,
        docker,
        compression,
        foreign,
    }
}

/// What corresponds to what.
static LAYERS: [LayerType; 6] = {
    use LayerCompression::{Gzip, None as Plain, Zstd};
    use MediaType as M;
    [
        layer(M::OciLayer, Some(M::DockerLayer), Plain, false),
        layer(M::OciLayerGzip, Some(M::DockerLayerGzip), Gzip, false),
        layer(M::OciLayerZstd, None, Zstd, false),
        layer(M::OciForeignLayer, Some(M::DockerForeignLayer), Plain, true),
        layer(M::OciForeignLayerGzip, Some(M::DockerForeignLayerGzip), Gzip, true),
        layer(M::OciForeignLayerZstd, None, Zstd, true),
    ]
};

impl MediaType {
    /// What corresponds to this type in another form, or `None` where that form has no word for it: zstd, and what is no part of an
    /// image, in Docker's. A type of neither form stays as it is in OCI's, which allows any.
    ///
    /// The type of a *manifest* says what its own bytes say, so it changes only together with them: see [`Document::convert`].
    #[must_use]
    pub fn in_format(&self, format: Format) -> Option<Self> {
        match format {
            Format::Oci => Some(match self {
                Self::DockerConfig => Self::OciConfig,
                Self::DockerManifest => Self::OciManifest,
                Self::DockerManifestList => Self::OciIndex,
                Self::DockerLayerZstd => Self::OciLayerZstd,
                other => match self.layer_type() {
                    Some(layer) => layer.oci.clone(),
                    None => other.clone(),
                },
            }),
            Format::Docker => match self {
                Self::OciConfig | Self::DockerConfig => Some(Self::DockerConfig),
                Self::OciManifest | Self::DockerManifest => Some(Self::DockerManifest),
                Self::OciIndex | Self::DockerManifestList => Some(Self::DockerManifestList),
                Self::DockerLayerZstd => Some(Self::DockerLayerZstd),
                _ => self.layer_type().and_then(|layer| layer.docker.clone()),
            },
        }
    }

    /// How a layer of this type is compressed, or `None` where it is no known layer.
    #[must_use]
    pub fn layer_compression(&self) -> Option<LayerCompression> {
        match self {
            Self::DockerLayerZstd => Some(LayerCompression::Zstd),
            _ => self.layer_type().map(|layer| layer.compression),
        }
    }

    /// The type of this layer when it is compressed in another way, in the same form; Docker's knows no zstd, so that becomes OCI's.
    /// `None` where it is no known layer.
    #[must_use]
    pub fn recompressed(&self, compression: LayerCompression) -> Option<Self> {
        if self.layer_compression()? == compression {
            return Some(self.clone());
        }
        let foreign = self.is_foreign();
        let is_docker =
            matches!(self, Self::DockerLayerZstd) || LAYERS.iter().any(|layer| layer.docker.as_ref() == Some(self));
        let new = LAYERS
            .iter()
            .find(|layer| layer.compression == compression && layer.foreign == foreign)?;
        Some(match &new.docker {
            Some(docker) if is_docker => docker.clone(),
            _ => new.oci.clone(),
        })
    }

    /// Whether this is a layer, compressed or not, of either form.
    #[must_use]
    pub fn is_layer(&self) -> bool {
        self.layer_compression().is_some()
    }

    /// Whether this is a layer that is not to be distributed, and is fetched from its `urls`.
    #[must_use]
    pub fn is_foreign(&self) -> bool {
        self.layer_type().is_some_and(|layer| layer.foreign)
    }

    /// Whether this is the configuration of an image, of either form.
    #[must_use]
    pub fn is_image_config(&self) -> bool {
        matches!(self, Self::OciConfig | Self::DockerConfig)
    }

    fn layer_type(&self) -> Option<&'static LayerType> {
        LAYERS
            .iter()
            .find(|layer| layer.oci == *self || layer.docker.as_ref() == Some(self))
    }
}

/// What a conversion left out, because the other form has no place for it and tools for that form do not look for it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Loss {
    /// Annotations of the document, or of the child at that place.
    Annotations {
        /// The place among [`Document::children`], or `None` for the document itself.
        child: Option<usize>,
        /// What was lost.
        annotations: Annotations,
    },
    /// The artifact type of the document, or of the child at that place.
    ArtifactType {
        /// The place among [`Document::children`], or `None` for the document itself.
        child: Option<usize>,
        /// What was lost.
        artifact_type: String,
    },
    /// Which manifest this one was about.
    Subject {
        /// What was lost.
        digest: Digest,
    },
    /// The embedded copy of the child at that place; the child itself is where it was.
    Data {
        /// The place among [`Document::children`].
        child: usize,
    },
}

impl fmt::Display for Loss {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = |child: &Option<usize>| child.map_or_else(String::new, |place| format!(" of child {place}"));
        match self {
            Self::Annotations { child, annotations } => {
                let keys: Vec<&str> = annotations.keys().map(String::as_str).collect();
                write!(formatter, "the annotations{} ({})", of(child), keys.join(", "))
            }
            Self::ArtifactType { child, artifact_type } => {
                write!(formatter, "the artifact type{} ({artifact_type})", of(child))
            }
            Self::Subject { digest } => write!(formatter, "the subject ({digest})"),
            Self::Data { child } => write!(formatter, "the embedded data of child {child}"),
        }
    }
}

impl Document {
    /// The document in another form, with `children` in place of [`Self::children`] as in [`Self::rewrite`], and what was lost.
    ///
    /// Of a manifest, the media types of config and layers are converted here. Of an index, the children are manifests, whose own bytes
    /// state their types, so they are given as they are after their own conversion. In the form that it has already, a document is
    /// rewritten and nothing else.
    ///
    /// # Errors
    /// [`Error::Conversion`] for what Docker's form cannot hold at all: an artifact, a zstd layer, an index in an index, a manifest in an
    /// index that is not in Docker's form or has no platform. Otherwise as [`Self::rewrite`].
    pub fn convert(&self, format: Format, children: &[Option<Descriptor>]) -> Result<(Self, Vec<Loss>), Error> {
        if self.format() == format {
            return Ok((self.rewrite(children)?, Vec::new()));
        }
        let mut losses = Vec::new();
        let mut children = children.to_vec();
        let is_index = matches!(self, Self::Index(_));
        for (place, child) in children.iter_mut().enumerate() {
            let Some(child) = child else { continue };
            if !is_index {
                child.media_type = blob_type(format, place, child)?;
            }
            if format == Format::Docker {
                if is_index {
                    check_list_child(place, child)?;
                }
                strip(place, child, &mut losses);
            }
        }
        let Some(media_type) = self.media_type().in_format(format) else {
            return Err(refused(format, format!("{} has no counterpart", self.media_type())));
        };
        let converted = self.edited(&media_type, |editor| {
            self.put_children(editor, &children)?;
            put_media_type(editor, &media_type)?;
            if format == Format::Docker {
                self.lost(&mut losses);
                for key in ["annotations", "artifactType", "subject"] {
                    editor.remove(&[key.into()])?;
                }
            }
            Ok(())
        })?;
        Ok((converted, losses))
    }

    /// What the document itself says that Docker's form cannot.
    fn lost(&self, losses: &mut Vec<Loss>) {
        if !self.annotations().is_empty() {
            losses.push(Loss::Annotations {
                child: None,
                annotations: self.annotations().clone(),
            });
        }
        if let Some(artifact_type) = self.artifact_type() {
            losses.push(Loss::ArtifactType {
                child: None,
                artifact_type: artifact_type.to_owned(),
            });
        }
        if let Some(subject) = self.subject() {
            losses.push(Loss::Subject { digest: subject.digest });
        }
    }
}

impl Index {
    /// Checks that what is listed may stand in a list of this form: OCI's takes all, Docker's only single images in Docker's form, each
    /// with its platform and nothing that Docker's descriptors do not have.
    ///
    /// # Errors
    /// [`Error::Conversion`] with what may not, and what to do.
    pub fn check_form(&self) -> Result<(), Error> {
        if self.media_type != MediaType::DockerManifestList {
            return Ok(());
        }
        for (place, child) in self.manifests.iter().enumerate() {
            check_list_child(place, child)?;
            let mut stripped = child.clone();
            let mut losses = Vec::new();
            strip(place, &mut stripped, &mut losses);
            if let Some(loss) = losses.first() {
                let reason = format!("a manifest list has no place for {loss}; convert it to oci first");
                return Err(refused(Format::Docker, reason));
            }
        }
        Ok(())
    }
}

/// The type that a config or a layer has in the other form.
fn blob_type(format: Format, place: usize, child: &Descriptor) -> Result<MediaType, Error> {
    let media_type = &child.media_type;
    if format == Format::Docker && place == 0 && !media_type.is_image_config() {
        return Err(refused(
            format,
            format!(
                "its config is of type {}, so it is an artifact and no image; copy it as oci",
                shown(media_type.as_str())
            ),
        ));
    }
    let converted = media_type.in_format(format);
    converted
        .filter(|converted| place == 0 || format == Format::Oci || converted.is_layer())
        .ok_or_else(|| {
            let advice = match media_type.layer_compression() {
                Some(LayerCompression::Zstd) => "recompress it with gzip, or copy it as oci",
                _ if media_type.as_str() == "application/vnd.in-toto+json" => {
                    "it is an attestation: take it out of the index (teu index rm), or copy it as oci"
                }
                _ => "copy it as oci",
            };
            refused(
                format,
                format!(
                    "layer {} ({}) is of type {}; {advice}",
                    place.saturating_sub(1),
                    child.digest,
                    shown(media_type.as_str())
                ),
            )
        })
}

/// Docker's lists hold manifests of Docker's form, each with its platform.
fn check_list_child(place: usize, child: &Descriptor) -> Result<(), Error> {
    let refuse = |reason: &str| {
        Err(refused(
            Format::Docker,
            format!("manifest {place} ({}) {reason}", child.digest),
        ))
    };
    match &child.media_type {
        MediaType::DockerManifest => {}
        kind if kind.is_index() => return refuse("is an index, which a manifest list cannot hold; copy it as oci"),
        kind => {
            return refuse(&format!(
                "is of type {} and was not converted; copy it as oci",
                shown(kind.as_str())
            ));
        }
    }
    if child.platform.is_none() {
        return refuse("has no platform, which a manifest list must give; copy it as oci, or annotate it first");
    }
    Ok(())
}

/// Takes from a child what Docker's descriptors do not have.
fn strip(place: usize, child: &mut Descriptor, losses: &mut Vec<Loss>) {
    if !child.annotations.is_empty() {
        losses.push(Loss::Annotations {
            child: Some(place),
            annotations: std::mem::take(&mut child.annotations),
        });
    }
    if let Some(artifact_type) = child.artifact_type.take() {
        losses.push(Loss::ArtifactType {
            child: Some(place),
            artifact_type,
        });
    }
    if child.data.take().is_some() {
        losses.push(Loss::Data { child: place });
    }
}

fn refused(format: Format, reason: String) -> Error {
    Error::Conversion {
        format: format.as_str(),
        reason,
    }
}
