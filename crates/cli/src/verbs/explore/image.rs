//! What is told of the image beside its files?

use teu_image::{
    Image,
    analyze::{Efficiency, Sum},
};

use crate::output::{self, plain};

/// An image, as it is told of.
#[derive(Clone, Debug, Default)]
pub(super) struct About {
    pub(super) title: String,
    pub(super) layers: Vec<LayerAbout>,
    /// The files that are seen with all layers in place, and those that are hidden.
    pub(super) files: Option<[Sum; 2]>,
    /// The measure of the whole, once it is known.
    pub(super) efficiency: Option<Efficiency>,
}

/// A layer, as it is told of.
#[derive(Clone, Debug, Default)]
pub(super) struct LayerAbout {
    pub(super) size: u64,
    pub(super) made_by: String,
    /// Names and values.
    pub(super) facts: Vec<(&'static str, String)>,
}

impl About {
    pub(super) fn new(reference: &str, image: &Image) -> Self {
        let platform = image.config.platform().to_string();
        let title = format!("{reference}  {}  {platform}", image.descriptor.digest.short());
        let history = image.history();
        let layers = image.layers.iter().zip(history).map(|(layer, step)| {
            let mut facts = vec![
                ("digest", layer.descriptor.digest.to_string()),
                ("DiffID", layer.diff_id.to_string()),
                ("type", plain(layer.descriptor.media_type.as_str())),
                ("size", output::size(layer.descriptor.size)),
            ];
            let created = step.and_then(|step| step.created.as_deref());
            facts.extend(created.map(|created| ("created", plain(created))));
            LayerAbout {
                size: layer.descriptor.size,
                made_by: plain(step.map_or("", |step| step.created_by.trim())),
                facts,
            }
        });
        Self {
            title: plain(&title),
            layers: layers.collect(),
            files: None,
            efficiency: None,
        }
    }

    /// What is known of all layers together.
    pub(super) fn whole(&self) -> Vec<String> {
        let size = output::size;
        let files = self
            .files
            .map(|[seen, hidden]| format!("{} seen, {} hidden", size(seen.bytes), size(hidden.bytes)));
        let measure = self
            .efficiency
            .map(|found| format!("efficiency {:.4}, {} wasted", found.score, size(found.wasted_bytes)));
        files.into_iter().chain(measure).collect()
    }
}
