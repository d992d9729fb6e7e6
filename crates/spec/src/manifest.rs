//! What does a manifest or an index say? [`Document`], which owns the bytes that it was read from: they are its identity.
//!
//! How one is made, and how one becomes another, is the question of `rewrite`; how OCI's and Docker's forms become each other, of
//! `convert`.

use bytes::Bytes;
use serde::{Deserialize, Deserializer, de::IgnoredAny};

use crate::{Annotations, Descriptor, Digest, Error, Format, MediaType, error::shown, json};

/// The most manifests that an index may list, and the most layers that a manifest may have.
pub const MAX_CHILDREN: usize = 10_000;

/// An image manifest (image-spec, manifest.md) or Docker's of schema 2, with the bytes it came as.
///
/// The fields are a view of these bytes: to change one changes no bytes, so a manifest is changed by the methods of [`Document`].
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
///
/// The fields are a view of these bytes: to change one changes no bytes, so an index is changed by the methods of [`Document`].
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
#[expect(
    clippy::large_enum_variant,
    reason = "few stand side by side, and a match that looks through a box reads worse"
)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Document {
    /// One image or artifact.
    Manifest(Manifest),
    /// Several.
    Index(Index),
}

const PLATFORM: json::Shape = json::Shape::Object(&[
    ("architecture", json::Shape::Any),
    ("os", json::Shape::Any),
    ("os.version", json::Shape::Any),
    ("os.features", json::Shape::Any),
    ("variant", json::Shape::Any),
    ("features", json::Shape::Any),
]);

const DESCRIPTOR: json::Shape = json::Shape::Object(&[
    ("mediaType", json::Shape::Any),
    ("digest", json::Shape::Any),
    ("size", json::Shape::Any),
    ("urls", json::Shape::Any),
    ("annotations", json::Shape::Any),
    ("data", json::Shape::Any),
    ("platform", PLATFORM),
    ("artifactType", json::Shape::Any),
]);

/// Manifests and indexes together: a document of one kind that has a field of the other's is refused, and `Manifests` is one.
const DOCUMENT: json::Shape = json::Shape::Object(&[
    ("schemaVersion", json::Shape::Any),
    ("mediaType", json::Shape::Any),
    ("artifactType", json::Shape::Any),
    ("config", DESCRIPTOR),
    ("layers", json::Shape::Array(&DESCRIPTOR)),
    ("manifests", json::Shape::Array(&DESCRIPTOR)),
    ("subject", DESCRIPTOR),
    ("annotations", json::Shape::Any),
]);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ManifestFields {
    config: Descriptor,
    #[serde(default, deserialize_with = "json::null_is_default")]
    layers: Vec<Descriptor>,
    subject: Option<Descriptor>,
    #[serde(default, deserialize_with = "json::empty_is_absent")]
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
    #[serde(default, deserialize_with = "json::empty_is_absent")]
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
    /// Whether there is something, where the key is at all: an empty list is `null` to Go's writers.
    #[serde(default, deserialize_with = "stated")]
    manifests: Option<Option<IgnoredAny>>,
    layers: Option<IgnoredAny>,
    config: Option<IgnoredAny>,
}

/// Tells a key whose value is `null` from one that is absent.
fn stated<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<IgnoredAny>>, D::Error> {
    Option::<IgnoredAny>::deserialize(deserializer).map(Some)
}

impl Manifest {
    /// The bytes that it came as.
    #[must_use]
    pub fn raw(&self) -> &Bytes {
        &self.raw
    }
}

impl Index {
    /// The bytes that it came as.
    #[must_use]
    pub fn raw(&self) -> &Bytes {
        &self.raw
    }
}

impl Document {
    /// Whether these bytes are of schema 1, whatever they were called and whatever else is wrong with them.
    #[must_use]
    pub fn is_schema1(raw: &[u8]) -> bool {
        json::check(raw, DOCUMENT).is_ok()
            && json::read::<Head>(raw, "manifest").is_ok_and(|head| head.is_schema1(None))
    }

    /// Reads a document strictly.
    ///
    /// `expected` is what the parent or the server called it. Where both it and the document state a type they must agree (threat 53 and
    /// image-spec, manifest.md: `mediaType` SHOULD be used and MUST be the type itself). Where neither does, as in a layout's index that
    /// umoci wrote, the fields tell.
    ///
    /// # Errors
    /// [`Error::Json`] and [`Error::Document`] for what is malformed, [`Error::Unsupported`] for schema 1 and for types that are no manifest.
    pub fn parse(raw: Bytes, expected: Option<&MediaType>) -> Result<Self, Error> {
        json::check(&raw, DOCUMENT)?;
        let head: Head = json::read(&raw, "manifest")?;
        let media_type = head.kind(expected)?;
        if media_type.is_index() {
            let fields: IndexFields = json::read(&raw, "index")?;
            bounded(fields.manifests.len(), "manifests")?;
            Ok(Self::Index(Index {
                raw,
                media_type,
                manifests: fields.manifests,
                subject: fields.subject,
                artifact_type: fields.artifact_type,
                annotations: fields.annotations,
            }))
        } else {
            let fields: ManifestFields = json::read(&raw, "manifest")?;
            bounded(fields.layers.len(), "layers")?;
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

    /// Refuses a type whose documents are not read, whatever they hold: before they are asked for, and whatever their digest is. A registry calls a
    /// signed one of schema 1 by the digest of what was signed, which is not that of its bytes.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for schema 1.
    pub fn check_type(media_type: &MediaType) -> Result<(), Error> {
        match media_type.is_schema1() {
            true => Err(schema1()),
            false => Ok(()),
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

    /// In whose form it is: OCI's or Docker's.
    #[must_use]
    pub fn format(&self) -> Format {
        match self.media_type() {
            MediaType::DockerManifest | MediaType::DockerManifestList => Format::Docker,
            _ => Format::Oci,
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

    /// The kind of artifact that it says it is.
    #[must_use]
    pub fn artifact_type(&self) -> Option<&str> {
        match self {
            Self::Manifest(manifest) => manifest.artifact_type.as_deref(),
            Self::Index(index) => index.artifact_type.as_deref(),
        }
    }

    /// Its own annotations.
    #[must_use]
    pub fn annotations(&self) -> &Annotations {
        match self {
            Self::Manifest(manifest) => &manifest.annotations,
            Self::Index(index) => &index.annotations,
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

fn schema1() -> Error {
    Error::Unsupported {
        what: "Docker's schema 1".to_owned(),
        advice: "it was retired in 2020; push the image again with a current tool and copy that".to_owned(),
    }
}

fn bounded(count: usize, children: &str) -> Result<(), Error> {
    if count > MAX_CHILDREN {
        return Err(Error::document(
            "manifest",
            format!("{count} {children} are more than the limit of {MAX_CHILDREN}"),
        ));
    }
    Ok(())
}

impl Head {
    fn is_schema1(&self, expected: Option<&MediaType>) -> bool {
        self.schema_version == Some(1) || self.stated().or(expected).is_some_and(MediaType::is_schema1)
    }

    /// What it says that it is. Empty is absent, as Go's readers have it.
    fn stated(&self) -> Option<&MediaType> {
        self.media_type.as_ref().filter(|stated| !stated.as_str().is_empty())
    }

    /// What the document is, if all that tells it agrees.
    fn kind(&self, expected: Option<&MediaType>) -> Result<MediaType, Error> {
        let invalid = |reason: String| Err(Error::document("manifest", reason));
        let stated = self.stated();
        if self.is_schema1(expected) {
            return Err(schema1());
        }
        if let Some(stated) = stated
            && !stated.is_document()
        {
            return Err(Error::Unsupported {
                what: format!("a manifest of type {}", shown(stated.as_str())),
                advice: "OCI manifests and indexes and Docker's schema 2 are".to_owned(),
            });
        }
        match self.schema_version {
            Some(2) => {}
            Some(other) => return invalid(format!("its schemaVersion is {other} and must be 2")),
            None => return invalid("it has no schemaVersion, which must be 2".to_owned()),
        }
        // What a server or a parent says of it counts only where it says that it is a document at all: some layouts and servers do not.
        let expected = expected.filter(|expected| expected.is_document());
        if let (Some(stated), Some(expected)) = (stated, expected)
            && stated != expected
        {
            return invalid(format!(
                "it states the media type {stated}, but was announced as {expected}"
            ));
        }
        let image = self.layers.is_some() || self.config.is_some();
        let manifests = matches!(self.manifests, Some(Some(_)));
        if manifests && image {
            return invalid(
                "it has both manifests and config or layers, so different readers would see different images"
                    .to_owned(),
            );
        }
        match stated.or(expected) {
            Some(kind) if kind.is_index() && image => {
                invalid(format!("it is of type {kind}, but has config or layers"))
            }
            Some(kind) if !kind.is_index() && manifests => invalid(format!("it is of type {kind}, but has manifests")),
            Some(kind) => Ok(kind.clone()),
            None if image => Ok(MediaType::OciManifest),
            None if self.manifests.is_some() => Ok(MediaType::OciIndex),
            None => invalid("it has neither config and layers nor manifests".to_owned()),
        }
    }
}
