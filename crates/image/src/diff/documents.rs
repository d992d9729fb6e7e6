//! In which fields do the documents of two images differ? Digests of what is compared by itself are left out: they would say the same once more.

use serde_json::Value;
use teu_spec::MediaType;

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
        let mut value = without(image.manifest.raw(), &image.manifest.media_type, "layers");
        if let Some(config) = value.get_mut("config") {
            forget_content(config);
        }
        value
    });
    fields(&before, &after)
}

/// What a document says, without the children that it lists by this name.
pub(super) fn without(raw: &[u8], media_type: &MediaType, children: &str) -> Value {
    let mut value = value(raw);
    if let Some(fields) = value.as_object_mut() {
        fields.shift_remove(children);
        // OCI's may leave out what it is (manifest.md, image-index.md).
        fields.insert("mediaType".to_owned(), media_type.as_str().into());
    }
    value
}

/// Leaves out of a descriptor what follows from its content.
pub(super) fn forget_content(descriptor: &mut Value) {
    let Some(fields) = descriptor.as_object_mut() else {
        return;
    };
    for of_content in ["digest", "size", "data"] {
        fields.shift_remove(of_content);
    }
}

/// What a document says.
pub(super) fn value(raw: &[u8]) -> Value {
    // It was read before; null would be without fields.
    serde_json::from_slice(raw).unwrap_or_default()
}
