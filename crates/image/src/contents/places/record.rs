//! How are places remembered while a layer is read? They go to a file of the cache as they come by, which gets its name when all was verified.

use std::{fs, io::Write};

use teu_archive::codec::{Compression, Place};
use teu_store::blocking::{self, States};

use super::{Begin, MOST_BETWEEN, MOST_STATES, Map, Window};
use crate::{
    Layer,
    contents::{
        Cache,
        cache::{Unnamed, make_room},
    },
};

/// Writes down the places of a layer that is being read. That they cannot be kept takes nothing from who reads it.
pub(crate) struct Recorder {
    cache: Cache,
    layer: Layer,
    every: u64,
    /// None where it could not be written to.
    file: Option<Unnamed>,
    places: Vec<Begin>,
    windows: u64,
}

impl Recorder {
    /// How many states the DiffID's hasher is to remember.
    pub(crate) const MOST_STATES: usize = MOST_STATES;

    /// Begins, where it is worth it and nothing is kept of this layer yet.
    pub(crate) fn begin(cache: &Cache, layer: &Layer) -> Option<Self> {
        let every = cache.every(layer)?;
        if fs::symlink_metadata(cache.places_path(&layer.descriptor.digest)).is_ok() {
            return None;
        }
        Some(Self {
            cache: cache.clone(),
            layer: layer.clone(),
            every,
            file: Some(cache.begin()?),
            places: Vec::new(),
            windows: 0,
        })
    }

    /// How many bytes of the blob are to be between two places.
    pub(crate) fn every(&self) -> u64 {
        self.every
    }

    /// Takes places in that came by.
    pub(crate) fn add(&mut self, places: Vec<Place>) {
        for place in places {
            let begin = place.with_window(|window| {
                let is_written = |file: &mut Unnamed| file.file.write_all(&window).is_ok();
                self.file = self
                    .file
                    .take()
                    .and_then(|mut file| is_written(&mut file).then_some(file));
                let (at, bytes) = (self.windows, window.len() as u32);
                self.windows += u64::from(bytes);
                Window { at, bytes }
            });
            self.places.push(begin);
        }
    }

    /// Takes in what there is at the end of an archive of so many bytes. It is to be [kept](Recorded::keep) when the blob was verified, too.
    pub(crate) fn finish(self, compression: Compression, size: u64, states: States) -> Option<Recorded> {
        let between = states.every.saturating_mul(blocking::BATCH as u64);
        let mut file = self.file.filter(|_| between <= MOST_BETWEEN)?;
        let mut saved = states.saved;
        // The last chunk may be a short one.
        saved.truncate(usize::try_from(size / between).ok()?);
        let map = Map {
            layer: self.layer.descriptor.digest,
            diff_id: self.layer.diff_id,
            compression,
            blob_size: self.layer.descriptor.size,
            size,
            between,
            states: saved,
            places: self.places,
        };
        file.file.write_all(&map.end()).ok()?;
        Some(Recorded {
            cache: self.cache,
            layer: self.layer,
            file,
        })
    }
}

/// What was remembered of a layer. Dropped, it is gone.
pub(crate) struct Recorded {
    cache: Cache,
    layer: Layer,
    file: Unnamed,
}

impl Recorded {
    /// Keeps it, as the layer was what its digest says.
    pub(crate) fn keep(self) {
        let path = self.cache.places_path(&self.layer.descriptor.digest);
        let fits = |length| length <= self.cache.bound;
        if !self.file.file.metadata().is_ok_and(|file| fits(file.len())) {
            return;
        }
        // It is there already, under another name.
        make_room(&self.cache.directory, self.cache.bound);
        // It is remembered the next time, where there is room then.
        let _ = self.file.named(&path);
    }
}
