//! What is told of the image beside its files?

use teu_image::{Image, analyze::Analysis};

use crate::output::{self, plain};

/// An image, as it is told of.
#[derive(Clone, Debug, Default)]
pub(super) struct About {
    pub(super) title: String,
    pub(super) layers: Vec<LayerAbout>,
    /// What is known of all layers together, once it is.
    pub(super) whole: Vec<String>,
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
            whole: Vec::new(),
        }
    }

    /// Adds what was found out of the whole.
    pub(super) fn know(&mut self, analysis: &Analysis) {
        let found = &analysis.efficiency;
        self.whole = vec![
            format!(
                "{} seen, {} hidden",
                output::size(analysis.seen.bytes),
                output::size(analysis.hidden.bytes)
            ),
            format!(
                "efficiency {:.4}, {} wasted",
                found.score,
                output::size(found.wasted_bytes)
            ),
        ];
    }
}
