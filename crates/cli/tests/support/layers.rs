//! Layers of a few files, and images of such.

use serde_json::json;
use teu_archive::tar::{Header, Writer};
use teu_spec::Digest;

use super::{Image, image};

/// The tar of these entries.
pub(crate) fn archive(entries: &[(Header, &str)]) -> Vec<u8> {
    let mut tar = Writer::new(Vec::new());
    for (header, content) in entries {
        tar.append_data(header, content.as_bytes()).expect("written");
    }
    tar.finish().expect("whole")
}

/// A file with this content.
pub(crate) fn file(path: &str, content: &'static str) -> (Header, &'static str) {
    let mut header = Header::file(path, content.len() as u64);
    header.mtime.seconds = 1_700_000_000;
    (header, content)
}

/// An entry without content.
pub(crate) fn bare(header: Header) -> (Header, &'static str) {
    (header, "")
}

/// A directory, with a time that is another than that of files.
pub(crate) fn directory(path: &str) -> (Header, &'static str) {
    let mut header = Header::directory(path);
    header.mtime.seconds = 1_600_000_000;
    bare(header)
}

/// An image of these layers, the lowest first, which are not compressed.
pub(crate) fn of(layers: &[Vec<u8>]) -> Image {
    let mut made = image();
    let digests: Vec<String> = layers.iter().map(|layer| Digest::of(layer).to_string()).collect();
    made.config["rootfs"]["diff_ids"] = json!(digests);
    made.config["history"] = json!([]);
    let kind = "application/vnd.oci.image.layer.v1.tar".to_owned();
    made.layers = layers.iter().map(|layer| (kind.clone(), layer.clone())).collect();
    made
}
