//! In which fields do the documents of two images differ? Digests of what is compared by itself are left out: they would say the same once more.

use serde_json::Value;

use super::{Field, fields};
use crate::Image;

/// The fields in which two configs differ, without their DiffIDs, which are the [`layers`](super::layers())' to tell; the times at which an image and the
/// steps of its history were made count only where `times` says so.
#[must_use]
pub fn config(before: &Image, after: &Image, times: bool) -> Vec<Field> {
    let [before, after] = [before, after].map(|image| {
        let mut value = value(image.config.raw());
        if let Some(rootfs) = value.get_mut("rootfs").and_then(Value::as_object_mut) {
            rootfs.shift_remove("diff_ids");
        }
        if !times {
            let steps = value.get_mut("history").and_then(Value::as_array_mut);
            for step in steps.into_iter().flatten().filter_map(Value::as_object_mut) {
                step.shift_remove("created");
            }
            if let Some(fields) = value.as_object_mut() {
                fields.shift_remove("created");
            }
        }
        value
    });
    fields(&before, &after)
}

/// The fields in which two manifests differ, without the layers, and without digest and size of the config.
#[must_use]
pub fn manifest(before: &Image, after: &Image) -> Vec<Field> {
    let [before, after] = [before, after].map(|image| {
        let mut value = value(image.manifest.raw());
        if let Some(fields) = value.as_object_mut() {
            fields.shift_remove("layers");
            // OCI's may leave out what it is (manifest.md).
            fields.insert("mediaType".to_owned(), image.manifest.media_type.as_str().into());
        }
        if let Some(config) = value.get_mut("config").and_then(Value::as_object_mut) {
            for of_content in ["digest", "size", "data"] {
                config.shift_remove(of_content);
            }
        }
        value
    });
    fields(&before, &after)
}

fn value(raw: &[u8]) -> Value {
    // It was read before; null would be without fields.
    serde_json::from_slice(raw).unwrap_or_default()
}
