//! How do layers of an image become one? [`Squash`] is the [`Change`] that has one layer stand for all of them, for the highest few, or for those above
//! some layer: with all files that are left of theirs, each once, and with whiteouts of what they took away from the layers below.
//!
//! The layer is made of the two merged [trees](crate::tree) below and above it, so that it says what the layers made together wherever links of the
//! image led them; what it hides is what is there to be hidden. Unpacked, the image is the same as before. The same layers make the same bytes on
//! every machine. Of a file with several names it has all or none, also where only some of them are new: engines that apply a layer by itself find
//! no file of another one to link to.

mod outline;

use std::{
    collections::HashMap,
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use teu_spec::{Digest, History, LayerCompression};
use teu_store::{BoxFuture, Result};

use crate::{
    Layer,
    append::Settings,
    change::{Change, Image, Stage},
    contents::{self, Cache},
    edit::{WhichLayer, readable},
    layer::{self, Written},
    layers::Layers,
    tree::{self, Builder},
};

use outline::Outline;

/// Which layers become one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Which {
    /// All.
    #[default]
    All,
    /// So many of the highest.
    Last(usize),
    /// This one and all above.
    From(WhichLayer),
}

/// How layers are squashed.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Which.
    pub which: Which,
    /// How the new layer is written.
    pub settings: Settings,
    /// What the history says of it. What made the layers stays in it, as what made none.
    pub history: History,
    /// How layers are read.
    pub contents: contents::Options,
    /// How much a tree may take.
    pub tree: tree::Limits,
}

/// The layers below, those that became one, and how that is compressed.
type Key = (Vec<Digest>, Vec<Digest>, LayerCompression);

/// Has layers be one.
#[derive(Debug)]
pub struct Squash {
    options: Options,
    cache: Option<Cache>,
    /// What became of layers: images share them.
    made: Mutex<HashMap<Key, Written>>,
}

impl Squash {
    /// Squashes so. What layers have is looked up in `cache`, and kept there.
    #[must_use]
    pub fn new(options: Options, cache: Option<Cache>) -> Self {
        Self {
            options,
            cache,
            made: Mutex::default(),
        }
    }

    fn made(&self) -> MutexGuard<'_, HashMap<Key, Written>> {
        // No one leaves it half changed.
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn squash(&self, image: &mut Image, stage: &Stage) -> Result<()> {
        let places = self.places(image)?;
        // One layer is one already.
        if places.len() < 2 {
            return Ok(());
        }
        let old = image.layers().to_vec();
        for (place, layer) in old.iter().enumerate() {
            readable(layer, place)?;
        }
        let digests = |range: Range<usize>| old[range].iter().map(|layer| layer.digest).collect::<Vec<_>>();
        let mut writing = self.options.settings.for_image(image)?;
        writing.limits = self.options.contents.limits();
        let key = (digests(0..places.start), digests(places.clone()), writing.compression);
        let known = self.made().get(&key).cloned();
        let written = match known {
            Some(known) => known,
            None => {
                let mut layers = image.read_layers()?;
                layers.truncate(places.end);
                let written = self.write(&writing, &layers, places.start, stage).await?;
                self.made().insert(key, written.clone());
                written
            }
        };
        image.merge_layers(places, &image.layer_of(&written)?, &self.options.history)
    }

    /// The places of the layers that become one.
    fn places(&self, image: &Image) -> Result<Range<usize>> {
        let count = image.layers().len();
        let start = match &self.options.which {
            Which::All => 0,
            Which::Last(last) => count.saturating_sub(*last),
            Which::From(which) => which.place(image)?,
        };
        Ok(start..count)
    }

    async fn write(&self, writing: &layer::Options, layers: &[Layer], from: usize, stage: &Stage) -> Result<Written> {
        let mut options = self.options.clone();
        options.contents.layers.events = Arc::clone(stage.events());
        let of_tree = tree::Options {
            limits: options.tree.clone(),
            hidden: false,
        };
        let source = stage.source();
        let tables = contents::of_all(&source, layers, self.cache.as_ref(), &options.contents).await?;
        let (below, above) = Builder::both(&tables[..from], [&[], &tables[from..]], &of_tree)?;
        drop(tables);
        let outline = Outline::of(&below, &above, from)?;
        drop(below);
        let needed: Vec<Layer> = outline
            .layers(&above)
            .into_iter()
            .map(|position| layers[position].clone())
            .collect();
        let opened = Layers::open(&source, needed, &options.contents.layers);
        let limits = options.contents.tar.clone();
        let work = move |writer: &mut layer::Writer<'_>| outline.write(&above, opened, &limits, writer);
        let (written, ()) = layer::write(stage.target(), writing, work).await?;
        Ok(written)
    }
}

impl Change for Squash {
    fn image<'a>(&'a self, image: &'a mut Image, stage: &'a Stage) -> BoxFuture<'a, Result<()>> {
        Box::pin(self.squash(image, stage))
    }
}
