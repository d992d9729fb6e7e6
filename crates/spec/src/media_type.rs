//! What kind of content is this said to be? [`MediaType`], OCI's and Docker's, known and unknown.

use std::{convert::Infallible, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

macro_rules! media_types {
    ($($(#[$doc:meta])* $variant:ident = $text:literal,)*) => {
        /// A media type: one that image-spec or Docker's schema 2 defines, or any other, kept as it was written.
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum MediaType {
            $($(#[$doc])* $variant,)*
            /// One that is none of these.
            Other(Box<str>),
        }

        impl MediaType {
            /// The text as it stands in a descriptor or a header.
            #[must_use]
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $text,)*
                    Self::Other(text) => text,
                }
            }
        }

        impl From<&str> for MediaType {
            fn from(text: &str) -> Self {
                match text {
                    $($text => Self::$variant,)*
                    other => Self::Other(other.into()),
                }
            }
        }
    };
}

media_types! {
    /// An image index (image-spec, image-index.md).
    OciIndex = "application/vnd.oci.image.index.v1+json",
    /// An image manifest (image-spec, manifest.md).
    OciManifest = "application/vnd.oci.image.manifest.v1+json",
    /// An image configuration (image-spec, config.md).
    OciConfig = "application/vnd.oci.image.config.v1+json",
    /// A layer: a tar archive.
    OciLayer = "application/vnd.oci.image.layer.v1.tar",
    /// A layer: a tar archive in gzip.
    OciLayerGzip = "application/vnd.oci.image.layer.v1.tar+gzip",
    /// A layer: a tar archive in zstd.
    OciLayerZstd = "application/vnd.oci.image.layer.v1.tar+zstd",
    /// A non-distributable layer (deprecated by image-spec 1.1).
    OciForeignLayer = "application/vnd.oci.image.layer.nondistributable.v1.tar",
    /// A non-distributable layer in gzip.
    OciForeignLayerGzip = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
    /// A non-distributable layer in zstd.
    OciForeignLayerZstd = "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd",
    /// The empty JSON object, `{}` (image-spec, manifest.md#guidance-for-an-empty-descriptor).
    OciEmpty = "application/vnd.oci.empty.v1+json",
    /// Docker's manifest list.
    DockerManifestList = "application/vnd.docker.distribution.manifest.list.v2+json",
    /// Docker's manifest, schema 2.
    DockerManifest = "application/vnd.docker.distribution.manifest.v2+json",
    /// Docker's manifest, schema 1: known so that it can be refused by name.
    DockerManifestV1 = "application/vnd.docker.distribution.manifest.v1+json",
    /// Docker's manifest, schema 1, signed: known so that it can be refused by name.
    DockerManifestV1Signed = "application/vnd.docker.distribution.manifest.v1+prettyjws",
    /// Docker's image configuration.
    DockerConfig = "application/vnd.docker.container.image.v1+json",
    /// Docker's layer in gzip.
    DockerLayerGzip = "application/vnd.docker.image.rootfs.diff.tar.gzip",
    /// Docker's layer, a plain tar archive.
    DockerLayer = "application/vnd.docker.image.rootfs.diff.tar",
    /// Docker's layer in zstd: written by some tools, never registered.
    DockerLayerZstd = "application/vnd.docker.image.rootfs.diff.tar.zstd",
    /// Docker's non-distributable layer in gzip.
    DockerForeignLayerGzip = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
    /// Docker's non-distributable layer, a plain tar archive.
    DockerForeignLayer = "application/vnd.docker.image.rootfs.foreign.diff.tar",
}

impl MediaType {
    /// Whether content of this type names other manifests: an OCI index or a Docker manifest list.
    #[must_use]
    pub fn is_index(&self) -> bool {
        matches!(self, Self::OciIndex | Self::DockerManifestList)
    }

    /// Whether content of this type is an image manifest, OCI's or Docker's schema 2.
    #[must_use]
    pub fn is_manifest(&self) -> bool {
        matches!(self, Self::OciManifest | Self::DockerManifest)
    }

    /// Whether content of this type is what [`Document`](crate::Document) reads: an index or a manifest.
    #[must_use]
    pub fn is_document(&self) -> bool {
        self.is_index() || self.is_manifest()
    }

    /// Whether content of this type is Docker's schema 1, which is retired.
    #[must_use]
    pub fn is_schema1(&self) -> bool {
        matches!(self, Self::DockerManifestV1 | Self::DockerManifestV1Signed)
    }
}

impl FromStr for MediaType {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(text.into())
    }
}

impl fmt::Display for MediaType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl Serialize for MediaType {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for MediaType {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::json::parsed(deserializer, "a media type", str::parse)
    }
}
