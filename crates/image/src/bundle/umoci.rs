//! What does umoci remember of a bundle? `umoci.json`, of umoci 0.4 and later, and the name of the mtree beside it.

use serde::Deserialize;
use teu_rootfs::Ranges;
use teu_spec::{Descriptor, Digest};
use teu_store::{Error, ErrorKind, Result};

use super::Bundle;
use crate::runtime::mappings;

/// The name of umoci's own file.
pub const FILE: &str = "umoci.json";

#[derive(Deserialize)]
struct Meta {
    umoci_version: String,
    from_descriptor_path: DescriptorPath,
    #[serde(default)]
    map_options: MapOptions,
    #[serde(default)]
    whiteout_mode: u32,
}

#[derive(Deserialize)]
struct DescriptorPath {
    descriptor_walk: Vec<Descriptor>,
}

#[derive(Default, Deserialize)]
struct MapOptions {
    #[serde(default, with = "mappings")]
    uid_mappings: Ranges,
    #[serde(default, with = "mappings")]
    gid_mappings: Ranges,
    #[serde(default)]
    rootless: bool,
}

/// The name of the mtree of an image with this manifest.
#[must_use]
pub fn mtree_file(manifest: &Digest) -> String {
    format!("{}.mtree", manifest.to_string().replacen(':', "_", 1))
}

pub(super) fn read(json: &[u8]) -> Result<Bundle> {
    let meta: Meta = serde_json::from_slice(json)
        .map_err(|error| Error::new(ErrorKind::Invalid, error.to_string()).within("reading umoci.json"))?;
    let unsupported = |what: String| Err(Error::new(ErrorKind::Unsupported, what));
    if meta.umoci_version != "2" {
        return unsupported(format!(
            "umoci.json is of version \"{}\", and this teu knows \"2\"; unpack the image anew",
            meta.umoci_version.escape_default()
        ));
    }
    if meta.whiteout_mode != 0 {
        return unsupported("umoci unpacked it with whiteouts for overlayfs; unpack the image anew".to_owned());
    }
    // From the top down; the last is what was unpacked.
    let Some(from) = meta.from_descriptor_path.descriptor_walk.into_iter().next_back() else {
        return Err(Error::new(ErrorKind::Invalid, "umoci.json names no image"));
    };
    Ok(Bundle {
        from,
        image: None,
        other_record: false,
        rootless: meta.map_options.rootless,
        uid_map: meta.map_options.uid_mappings,
        gid_map: meta.map_options.gid_mappings,
    })
}
