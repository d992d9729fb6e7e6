//! How does content name other content? By a [`Descriptor`] (image-spec, descriptor.md).

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{Digest, MediaType, Platform, annotation};

/// Annotations, or labels: keys in byte order.
pub type Annotations = BTreeMap<String, String>;

/// Names content by what it is said to be, its digest and its size; image-spec 1.1's fields.
///
/// It is a view: a document that is edited keeps the fields of its descriptors that stand nowhere here. Written as JSON its fields stand
/// in the order of image-spec's own Go types, which is the order here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What the content is said to be. Docker's schema 2 and image-spec both require it.
    pub media_type: MediaType,
    /// The digest of the content.
    pub digest: Digest,
    /// The size of the content in bytes, at most `i64::MAX`.
    #[serde(deserialize_with = "size")]
    pub size: u64,
    /// Where else the content can be had: used for non-distributable layers.
    #[serde(
        default,
        deserialize_with = "crate::json::null_is_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub urls: Vec<String>,
    /// What the parent says of this child.
    #[serde(
        default,
        deserialize_with = "crate::json::null_is_default",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub annotations: Annotations,
    /// The content itself, where it is small enough to stand in the parent; it is not trusted before its digest was checked.
    #[serde(default, with = "base64_data", skip_serializing_if = "Option::is_none")]
    pub data: Option<Bytes>,
    /// The machine that the content is for, where it is a manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// The kind of artifact that the content is, where it is a manifest.
    #[serde(
        default,
        deserialize_with = "crate::json::empty_is_absent",
        skip_serializing_if = "Option::is_none"
    )]
    pub artifact_type: Option<String>,
}

impl Descriptor {
    /// A descriptor with the three required fields.
    #[must_use]
    pub fn new(media_type: MediaType, digest: Digest, size: u64) -> Self {
        Self {
            media_type,
            digest,
            size,
            urls: Vec::new(),
            annotations: Annotations::new(),
            data: None,
            platform: None,
            artifact_type: None,
        }
    }

    /// The descriptor of `content` under SHA-256.
    #[must_use]
    pub fn of(media_type: MediaType, content: &[u8]) -> Self {
        Self::new(media_type, Digest::of(content), content.len() as u64)
    }

    /// Whether this is what BuildKit attests of an image beside it in an index: it has the form of an image, and is none.
    #[must_use]
    pub fn is_attestation(&self) -> bool {
        self.annotations.contains_key(annotation::DOCKER_REFERENCE_DIGEST)
    }

    /// Whether `content` is what this names: of its size and digest.
    #[must_use]
    pub fn names(&self, content: &[u8]) -> bool {
        content.len() as u64 == self.size && self.digest.algorithm().digest(content) == self.digest
    }

    /// The content, where it is embedded and is what the digest and size say: what lies is as good as absent.
    #[must_use]
    pub fn verified_data(&self) -> Option<&Bytes> {
        self.data.as_ref().filter(|data| self.names(data))
    }
}

/// Refuses what Go's `int64` cannot hold (threat 51): a size of 2^63 is negative to others.
fn size<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let size = u64::deserialize(deserializer)?;
    if i64::try_from(size).is_err() {
        return Err(serde::de::Error::custom(format!("size {size} is larger than 2^63-1")));
    }
    Ok(size)
}

/// `data` is base64 with padding (image-spec, descriptor.md#embedded-content).
pub(crate) mod base64_data {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    use bytes::Bytes;
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(crate) fn serialize<S: Serializer>(data: &Option<Bytes>, serializer: S) -> Result<S::Ok, S::Error> {
        match data {
            Some(data) => serializer.collect_str(&base64::display::Base64Display::new(data, &STANDARD)),
            None => serializer.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Bytes>, D::Error> {
        let text = Option::<std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.map(|text| STANDARD.decode(text.as_bytes()).map(Bytes::from))
            .transpose()
            .map_err(de::Error::custom)
    }
}
