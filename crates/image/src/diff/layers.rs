//! Which layers do two images share? They are matched by DiffID, in their order: by what is in them, however they are compressed.

use similar::{Algorithm, DiffOp, capture_diff_slices};

use crate::{Image, Layer};

/// A layer of one image, of the other, or of both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair<'i> {
    /// In the first image.
    pub before: Option<&'i Layer>,
    /// In the second image; where both are there, they have the same DiffID.
    pub after: Option<&'i Layer>,
}

impl Pair<'_> {
    /// Whether both images have it, and their manifests say the same of it. What is compressed otherwise is not the same, but has the same in it.
    #[must_use]
    pub fn is_same(&self) -> bool {
        match (self.before, self.after) {
            (Some(before), Some(after)) => before.descriptor == after.descriptor,
            _ => false,
        }
    }
}

/// Whether both images are made of the same blobs, and so have the same files: to know that, nothing is read.
#[must_use]
pub fn has_same_layers(before: &Image, after: &Image) -> bool {
    let key = |layer: &Layer| (layer.descriptor.digest, layer.diff_id);
    before.layers.iter().map(key).eq(after.layers.iter().map(key))
}

/// The layers of both images, the lowest first; of those between two that both have the first image's come first.
#[must_use]
pub fn layers<'i>(before: &'i Image, after: &'i Image) -> Vec<Pair<'i>> {
    let [old, new] =
        [before, after].map(|image| -> Vec<_> { image.layers.iter().map(|layer| layer.diff_id).collect() });
    let mut pairs = Vec::new();
    for operation in capture_diff_slices(Algorithm::Myers, &old, &new) {
        let old = &before.layers[operation.old_range()];
        let new = &after.layers[operation.new_range()];
        if let DiffOp::Equal { .. } = operation {
            pairs.extend(old.iter().zip(new).map(|(before, after)| Pair {
                before: Some(before),
                after: Some(after),
            }));
            continue;
        }
        pairs.extend(old.iter().map(|layer| Pair {
            before: Some(layer),
            after: None,
        }));
        pairs.extend(new.iter().map(|layer| Pair {
            before: None,
            after: Some(layer),
        }));
    }
    pairs
}
