//! How do a runtime, umoci and what a bundle remembers write whose numbers become whose? As runtime-spec has it (config-linux.md, "User namespace
//! mappings"). What is read is held to what a map can be.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use teu_rootfs::{Range, Ranges};

#[derive(Serialize, Deserialize)]
struct Mapping {
    #[serde(rename = "containerID")]
    container: u32,
    #[serde(rename = "hostID")]
    host: u32,
    size: u32,
}

pub(crate) fn serialize<S: Serializer>(ranges: &Ranges, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(ranges.as_slice().iter().map(|range| Mapping {
        container: range.inside,
        host: range.outside,
        size: range.count,
    }))
}

/// Nothing, as umoci writes it, is no range.
pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Ranges, D::Error> {
    let written: Option<Vec<Mapping>> = Option::deserialize(deserializer)?;
    let ranges = written.into_iter().flatten().map(|mapping| Range {
        inside: mapping.container,
        outside: mapping.host,
        count: mapping.size,
    });
    Ranges::new(ranges.collect()).map_err(D::Error::custom)
}
