//! How is an image opened by who looks inside?

use std::sync::Arc;

use teu_image::{
    Image,
    contents::{self, Cache},
    tree,
};
use teu_store::{Events, Source};

use crate::{arguments::ImageOptions, failure::Failure, limits::Limits, places, progress::Shown, settings::Settings};

/// An image, and what it takes to know what is in it.
#[derive(Clone)]
pub(crate) struct Inside {
    pub(crate) source: Arc<dyn Source>,
    pub(crate) image: Image,
    pub(crate) contents: contents::Options,
    pub(crate) tree: tree::Options,
    pub(crate) cache: Option<Cache>,
}

impl Inside {
    /// The one that is meant, as [`places::image`] has it.
    pub(crate) async fn open(
        name: &str,
        platform: Option<&str>,
        options: &ImageOptions,
        settings: &Arc<Settings>,
        shown: &Shown,
    ) -> Result<Self, Failure> {
        let (source, image) = places::image(name, platform, options, settings, shown.events()).await?;
        Ok(Self {
            source,
            image,
            contents: contents_options(settings, shown.events()),
            tree: tree::Options::default(),
            cache: cache(settings),
        })
    }

    /// How much the image may ask for.
    pub(crate) fn limits(&mut self) -> Limits<'_> {
        Limits::inside(&mut self.contents, &mut self.tree.limits)
    }
}

/// How many inflated bytes of layers wait for their turn. What is made of them is made as fast as they come.
const AHEAD: usize = 8 << 20;

/// How tables of contents are read.
pub(crate) fn contents_options(settings: &Settings, events: Events) -> contents::Options {
    let mut options = contents::Options {
        temporary: Some(settings.temporary.clone()),
        ..contents::Options::default()
    };
    options.layers.events = events;
    options.layers.ahead = AHEAD;
    options.layers.places = cache(settings);
    options
}

/// Where they are remembered.
pub(crate) fn cache(settings: &Settings) -> Option<Cache> {
    settings.contents().map(Cache::new)
}
