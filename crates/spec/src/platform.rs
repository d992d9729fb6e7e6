//! Which machine is an image for? [`Platform`], by image-spec's image-index.md and Go's names.

use serde::{Deserialize, Serialize};

/// A machine that an image runs on: the fields of image-spec's `platform`, as they stand in an index.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(default)]
pub struct Platform {
    /// The CPU, by Go's names: `amd64`, `arm64`, ….
    pub architecture: String,
    /// The operating system, by Go's names: `linux`, `windows`, ….
    pub os: String,
    /// The version of the operating system, as Windows has it.
    #[serde(rename = "os.version", skip_serializing_if = "String::is_empty")]
    pub os_version: String,
    /// Features of the operating system that the image needs, such as `win32k`.
    #[serde(rename = "os.features", skip_serializing_if = "Vec::is_empty")]
    pub os_features: Vec<String>,
    /// The variant of the CPU, such as `v7` of `arm`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub variant: String,
    /// CPU features: reserved by image-spec, written by some tools.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub features: Vec<String>,
}
