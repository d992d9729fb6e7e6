//! What does a manifest or an index say? [`Document`], which owns the bytes that it was read from: they are its identity.

use bytes::Bytes;
use serde::Deserialize;

use crate::{Annotations, Descriptor, Digest, Error, MediaType, json};

/// An image manifest (image-spec, manifest.md) or Docker's of schema 2, with the bytes it came as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    raw: Bytes,
    /// What the document is: the type it states, or the one that it was read as.
    pub media_type: MediaType,
    /// The configuration.
    pub config: Descriptor,
    /// The layers, lowest first.
    pub layers: Vec<Descriptor>,
    /// The manifest that this one is about.
    pub subject: Option<Descriptor>,
    /// The kind of artifact, where it is one.
    pub artifact_type: Option<String>,
    /// Annotations of the manifest.
    pub annotations: Annotations,
}

/// An image index (image-spec, image-index.md) or Docker's manifest list, with the bytes it came as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Index {
    raw: Bytes,
    /// What the document is: the type it states, or the one that it was read as.
    pub media_type: MediaType,
    /// The manifests, and indexes, that it lists.
    pub manifests: Vec<Descriptor>,
    /// The manifest that this one is about.
    pub subject: Option<Descriptor>,
    /// The kind of artifact, where it is one.
    pub artifact_type: Option<String>,
    /// Annotations of the index.
    pub annotations: Annotations,
}

/// What a registry calls a manifest: a [`Manifest`] or an [`Index`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Document {
    /// One image or artifact.
    Manifest(Manifest),
    /// Several.
    Index(Index),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ManifestFields {
    config: Descriptor,
    #[serde(default, deserialize_with = "json::null_is_default")]
    layers: Vec<Descriptor>,
    subject: Option<Descriptor>,
    artifact_type: Option<String>,
    #[serde(default, deserialize_with = "json::null_is_default")]
    annotations: Annotations,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct IndexFields {
    #[serde(default, deserialize_with = "json::null_is_default")]
    manifests: Vec<Descriptor>,
    subject: Option<Descriptor>,
    artifact_type: Option<String>,
    #[serde(default, deserialize_with = "json::null_is_default")]
    annotations: Annotations,
}

/// What every kind of document states of itself, to tell which it is.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Head {
    schema_version: Option<u64>,
    media_type: Option<MediaType>,
    manifests: Option<serde::de::IgnoredAny>,
    layers: Option<serde::de::IgnoredAny>,
    config: Option<serde::de::IgnoredAny>,
}

impl Document {
    /// Reads a document strictly.
    ///
    /// `expected` is what the parent or the server called it. Where both it and the document state a type they must agree (threat 53 and
    /// image-spec, manifest.md: `mediaType` SHOULD be used and MUST be the type itself).
    ///
    /// # Errors
    /// [`Error::Json`] and [`Error::Document`] for what is malformed, [`Error::Unsupported`] for schema 1 and for types that are no manifest.
    pub fn parse(raw: Bytes, expected: Option<&MediaType>) -> Result<Self, Error> {
        json::check(&raw)?;
        let head: Head = read(&raw, "manifest")?;
        let media_type = head_type(&head, expected)?;
        if media_type.is_index() {
            let fields: IndexFields = read(&raw, "index")?;
            Ok(Self::Index(Index {
                raw,
                media_type,
                manifests: fields.manifests,
                subject: fields.subject,
                artifact_type: fields.artifact_type,
                annotations: fields.annotations,
            }))
        } else {
            let fields: ManifestFields = read(&raw, "manifest")?;
            Ok(Self::Manifest(Manifest {
                raw,
                media_type,
                config: fields.config,
                layers: fields.layers,
                subject: fields.subject,
                artifact_type: fields.artifact_type,
                annotations: fields.annotations,
            }))
        }
    }

    /// The bytes that it came as.
    #[must_use]
    pub fn raw(&self) -> &Bytes {
        match self {
            Self::Manifest(manifest) => &manifest.raw,
            Self::Index(index) => &index.raw,
        }
    }

    /// What it is.
    #[must_use]
    pub fn media_type(&self) -> &MediaType {
        match self {
            Self::Manifest(manifest) => &manifest.media_type,
            Self::Index(index) => &index.media_type,
        }
    }

    /// All that it names and that a copy needs, in the order it stands: config and layers, or manifests. The subject is no child.
    #[must_use]
    pub fn children(&self) -> Vec<Descriptor> {
        match self {
            Self::Manifest(manifest) => std::iter::once(&manifest.config)
                .chain(&manifest.layers)
                .cloned()
                .collect(),
            Self::Index(index) => index.manifests.clone(),
        }
    }

    /// The manifest that it is about.
    #[must_use]
    pub fn subject(&self) -> Option<&Descriptor> {
        match self {
            Self::Manifest(manifest) => manifest.subject.as_ref(),
            Self::Index(index) => index.subject.as_ref(),
        }
    }

    /// The descriptor that names it under SHA-256.
    #[must_use]
    pub fn descriptor(&self) -> Descriptor {
        Descriptor::new(
            self.media_type().clone(),
            Digest::of(self.raw()),
            self.raw().len() as u64,
        )
    }
}

fn read<'de, T: Deserialize<'de>>(raw: &'de [u8], what: &'static str) -> Result<T, Error> {
    serde_json::from_slice(raw).map_err(|error| Error::Document {
        what,
        reason: error.to_string(),
    })
}

fn head_type(head: &Head, expected: Option<&MediaType>) -> Result<MediaType, Error> {
    let invalid = |reason: String| {
        Err(Error::Document {
            what: "manifest",
            reason,
        })
    };
    let stated = head.media_type.as_ref().or(expected);
    if head.schema_version == Some(1) || stated.is_some_and(MediaType::is_schema1) {
        return Err(Error::Unsupported {
            what: "Docker's schema 1".to_owned(),
            advice: "it was retired in 2020; push the image again with a current tool and copy that".to_owned(),
        });
    }
    if head.schema_version != Some(2) {
        return invalid("schemaVersion is not 2".to_owned());
    }
    if head.manifests.is_some() && (head.layers.is_some() || head.config.is_some()) {
        return invalid(
            "it has both manifests and config or layers, so different readers would see different images".to_owned(),
        );
    }
    if let (Some(stated), Some(expected)) = (&head.media_type, expected)
        && stated != expected
        && (expected.is_index() || expected.is_manifest())
    {
        return invalid(format!(
            "it states the media type {stated}, but was announced as {expected}"
        ));
    }
    match stated {
        Some(media_type) if media_type.is_index() || media_type.is_manifest() => Ok(media_type.clone()),
        Some(media_type) if head.media_type.is_some() => Err(Error::Unsupported {
            what: format!("a manifest of type {media_type}"),
            advice: "OCI manifests and indexes and Docker's schema 2 are".to_owned(),
        }),
        // A layout or a server that says nothing useful: the shape decides, as image-spec allows mediaType to be absent.
        _ if head.config.is_some() => Ok(MediaType::OciManifest),
        _ => Ok(MediaType::OciIndex),
    }
}
