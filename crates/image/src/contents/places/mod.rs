//! How is one file of a layer read without all that lies before it? From a place that whoever read the whole layer remembered, up to where the file
//! ends.
//!
//! While a layer is read to its verified end, `Recorder` writes down where its inflater can begin anew, every some MiB, and what had been made of its
//! DiffID behind every 256 KiB or more of the archive. It is kept beside the layer's table of contents. Whoever wants a file then begins at the place
//! before it, and `visit` gives what comes out, piece by piece, only where it leads from one state of the DiffID's hasher to the next one: so it is
//! what stood there when the whole was verified, or else nobody sees it, and the layer is read as if nothing were known.

mod map;
mod record;
mod visit;

use std::{fs::File, os::unix::fs::FileExt, path::PathBuf, sync::Arc};

use teu_archive::codec::Place;
use teu_spec::Digest;
use teu_store::{Result, blocking};

use super::Cache;
use crate::Layer;

pub use map::{Begin, Map, Window};
pub(crate) use record::{Recorded, Recorder};
pub(crate) use visit::{Wanted, visit};

/// How many places a layer has at most: 32 MiB of windows.
const MOST_PLACES: u64 = 1024;
/// How many states a layer has at most.
const MOST_STATES: usize = 4096;
/// How many bytes may lie between two states, as so many are held in memory: of an archive of more than 16 GiB nothing is kept.
const MOST_BETWEEN: u64 = 4 << 20;

/// What is kept of a layer: the map, and the file that has the windows.
#[derive(Debug)]
struct Places {
    map: Map,
    file: File,
}

impl Places {
    /// One that the map has.
    fn place(&self, begin: &Begin) -> Result<Place> {
        let mut window = Vec::new();
        if let Some(inside) = &begin.inside {
            window.resize(inside.window.bytes as usize, 0);
            self.file.read_exact_at(&mut window, inside.window.at)?;
        }
        Ok(begin.clone().with_window(|_| window))
    }
}

impl Cache {
    /// How many bytes of this layer's blob are to be between two places; none where it is so small that to read all of it takes no longer.
    fn every(&self, layer: &Layer) -> Option<u64> {
        let blob = layer.descriptor.size;
        (blob / 2 >= self.places_every).then(|| self.places_every.max(blob / MOST_PLACES))
    }

    /// What is kept of a layer, where it is here and whole.
    async fn places(&self, layer: &Layer) -> Option<Arc<Places>> {
        self.every(layer)?;
        let (cache, layer) = (self.clone(), layer.clone());
        let found = blocking::run(move || Ok(cache.find_places(&layer))).await;
        found.ok().flatten().map(Arc::new)
    }

    fn find_places(&self, layer: &Layer) -> Option<Places> {
        let file = self.opened(&self.places_path(&layer.descriptor.digest))?;
        let map = Map::of_file(&file).ok().filter(|map| {
            map.layer == layer.descriptor.digest
                && map.diff_id == layer.diff_id
                && map.blob_size == layer.descriptor.size
        });
        let Some(map) = map else {
            self.forget_places(&layer.descriptor.digest);
            return None;
        };
        super::cache::used(&file);
        Some(Places { map, file })
    }

    /// Takes away what is not right, so that it is made anew.
    fn forget_places(&self, layer: &Digest) {
        // What stays is found not to be right the next time, too.
        let _ = std::fs::remove_file(self.places_path(layer));
    }

    pub(super) fn places_path(&self, layer: &Digest) -> PathBuf {
        self.path(layer).with_extension("places")
    }
}

#[cfg(test)]
mod tests;
