//! Which trees are compared? [`Trees`]: those of two images, of which nothing is read twice.

use std::{collections::HashMap, sync::Arc};

use futures_util::future;
use teu_spec::Digest;
use teu_store::{Result, Source, blocking};

use crate::{
    Image, Layer,
    contents::{self, Cache, Contents},
    tree::{self, Builder, File, Tree},
};

/// One of two images, with the place that it is in.
#[derive(Clone)]
pub struct Side {
    /// Where it is.
    pub source: Arc<dyn Source>,
    /// What it is.
    pub image: Image,
}

/// How the trees are made.
#[derive(Clone, Debug)]
pub struct Options {
    /// How tables of contents are read. Whatever they say of it, files get the digests of their content.
    pub contents: contents::Options,
    /// What each tree may take.
    pub tree: tree::Options,
}

impl Default for Options {
    fn default() -> Self {
        let contents = contents::Options {
            digests: true,
            ..contents::Options::default()
        };
        Self {
            contents,
            tree: tree::Options::default(),
        }
    }
}

/// The merged trees of two images.
#[derive(Debug)]
pub struct Trees {
    before: Tree,
    /// None where it is the same, as all layers are.
    after: Option<Tree>,
}

impl Trees {
    /// Reads the trees of two images, within a tokio runtime. A layer that both have is read from the first, and the tree of the layers that both
    /// begin with is made once.
    ///
    /// # Errors
    /// As [`contents::of`] and [`Builder::layer`].
    pub async fn read(sides: [&Side; 2], cache: Option<&Cache>, options: &Options) -> Result<Self> {
        let mut options = options.clone();
        options.contents.digests = true;
        let tables = tables(sides, cache, &options.contents).await?;
        blocking::run(move || Self::of(&tables, &options.tree)).await
    }

    pub(super) fn of(tables: &[Vec<Contents>; 2], options: &tree::Options) -> Result<Self> {
        // Tables are made of layers that were verified: the same DiffID is the same archive.
        let diff_ids = tables
            .each_ref()
            .map(|tables| -> Vec<Digest> { tables.iter().map(|table| *table.diff_id()).collect() });
        let [old, new] = &diff_ids;
        let shared = old.iter().zip(new).take_while(|(old, new)| old == new).count();
        let [old, new] = tables;
        let is_same = old.len() == shared && new.len() == shared;
        let (before, after) = match is_same {
            true => (Tree::of(old, options)?, None),
            false => {
                let rest = [&old[shared..], &new[shared..]];
                let (before, after) = Builder::both(&old[..shared], rest, options)?;
                (before, Some(after))
            }
        };
        Ok(Self { before, after })
    }

    /// The first image's.
    #[must_use]
    pub fn before(&self) -> &Tree {
        &self.before
    }

    /// The second image's.
    #[must_use]
    pub fn after(&self) -> &Tree {
        self.after.as_ref().unwrap_or(&self.before)
    }

    /// Whether both are the same by the layers that they are made of.
    pub(super) fn is_one(&self) -> bool {
        self.after.is_none()
    }

    /// Whether two files are the same entry of the same archive.
    pub(super) fn is_same_entry(&self, before: File<'_>, after: File<'_>) -> Result<bool> {
        match (before.entry_number(), after.entry_number()) {
            // Tables are made of layers that were verified: the same DiffID is the same archive.
            (Some(old), Some(new)) => self.before.paths().is_same_entry(old, new),
            (None, None) => Ok(true),
            _ => Ok(false),
        }
    }
}

/// The tables of contents of both images.
async fn tables(sides: [&Side; 2], cache: Option<&Cache>, options: &contents::Options) -> Result<[Vec<Contents>; 2]> {
    let [before, after] = sides;
    let key = |layer: &Layer| (layer.descriptor.digest, layer.diff_id);
    let old = &before.image.layers;
    let known: HashMap<_, _> = old
        .iter()
        .enumerate()
        .map(|(place, layer)| (key(layer), place))
        .collect();
    let new: Vec<Layer> = after
        .image
        .layers
        .iter()
        .filter(|layer| !known.contains_key(&key(layer)))
        .cloned()
        .collect();
    let (old, new) = future::try_join(
        contents::of_all(&before.source, old, cache, options),
        contents::of_all(&after.source, &new, cache, options),
    )
    .await?;
    let mut new = new.into_iter();
    let all = after
        .image
        .layers
        .iter()
        .filter_map(|layer| match known.get(&key(layer)) {
            Some(place) => Some(old[*place].clone()),
            None => new.next(),
        });
    let all = all.collect();
    Ok([old, all])
}
