//! Which annotations have a meaning that others agree on? The keys of image-spec's annotations.md, and those that other tools read
//! and write in layouts and indexes.

/// The name of a manifest in a layout's index (image-spec, image-layout.md): its grammar is [`crate::layout::check_name`]'s.
pub const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// When the image was built, by RFC 3339.
pub const CREATED: &str = "org.opencontainers.image.created";
/// Who is responsible for the image.
pub const AUTHORS: &str = "org.opencontainers.image.authors";
/// Where to learn more about the image.
pub const URL: &str = "org.opencontainers.image.url";
/// Where its documentation is.
pub const DOCUMENTATION: &str = "org.opencontainers.image.documentation";
/// Where its source is.
pub const SOURCE: &str = "org.opencontainers.image.source";
/// The version of the packaged software.
pub const VERSION: &str = "org.opencontainers.image.version";
/// The revision of the packaged software in source control.
pub const REVISION: &str = "org.opencontainers.image.revision";
/// Who distributes it.
pub const VENDOR: &str = "org.opencontainers.image.vendor";
/// Its licences, as an SPDX expression.
pub const LICENSES: &str = "org.opencontainers.image.licenses";
/// Its title, for people; ORAS keeps a file's name here.
pub const TITLE: &str = "org.opencontainers.image.title";
/// What it is, for people.
pub const DESCRIPTION: &str = "org.opencontainers.image.description";
/// The digest of the image that it was built on.
pub const BASE_DIGEST: &str = "org.opencontainers.image.base.digest";
/// The name of the image that it was built on.
pub const BASE_NAME: &str = "org.opencontainers.image.base.name";

/// The whole name of a manifest in a layout's index as containerd and Docker write it, beside the tag alone in [`REF_NAME`].
pub const CONTAINERD_NAME: &str = "io.containerd.image.name";
/// What buildkit calls a manifest that stands beside an image in its index: `attestation-manifest`.
pub const DOCKER_REFERENCE_TYPE: &str = "vnd.docker.reference.type";
/// The digest of the manifest that buildkit's attestation is about.
pub const DOCKER_REFERENCE_DIGEST: &str = "vnd.docker.reference.digest";
/// `true` on a manifest in an index whose layers are zstd, where the same platform also stands with gzip (containers/image).
pub const COMPRESSION_ZSTD: &str = "io.github.containers.compression.zstd";
