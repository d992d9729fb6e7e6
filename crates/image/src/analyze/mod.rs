//! What do an image's layers hold that nobody sees, and what makes it large? [`analyze`] tells of each layer what it brings and what of that later
//! layers hide, names the largest files and those that are there in vain, and measures the whole ([`Efficiency`]).
//!
//! It goes by the tables of contents of the layers ([`contents`]): a layer that is in the cache is not read.

mod efficiency;

use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use teu_rootfs::Node;
use teu_spec::History;
use teu_store::{Result, Source, blocking};

use crate::{
    Image, Layer,
    contents::{self, Cache, Contents, Entry, What},
    glob::clean,
    tree::{self, Place, Tree},
};

use efficiency::{Counted, Counter};

pub use efficiency::Efficiency;

/// How an image is analyzed.
#[derive(Clone, Debug)]
pub struct Options {
    /// How many of the largest files, and of those that are hidden, are named.
    pub most: usize,
    /// How tables of contents are made.
    pub contents: contents::Options,
    /// How layers become one tree.
    pub tree: tree::Options,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            most: 20,
            contents: contents::Options::default(),
            tree: tree::Options::default(),
        }
    }
}

/// What was found.
#[derive(Clone, Debug)]
pub struct Analysis {
    /// The layers, the lowest first.
    pub layers: Vec<LayerShare>,
    /// The measure of the whole.
    pub efficiency: Efficiency,
    /// The files that are seen with all layers in place.
    pub seen: Sum,
    /// Those that a later layer writes again or removes.
    pub hidden: Sum,
    /// The largest that are hidden, by path.
    pub hidden_files: Vec<Hidden>,
    /// The largest that are seen.
    pub largest: Vec<Large>,
}

/// Regular files, and the bytes in them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    /// How many.
    pub files: u64,
    /// Bytes of content.
    pub bytes: u64,
}

impl Sum {
    fn add(&mut self, bytes: u64) {
        self.files += 1;
        self.bytes += bytes;
    }
}

/// What a layer brings.
#[derive(Clone, Debug)]
pub struct LayerShare {
    /// Which layer.
    pub layer: Layer,
    /// How it was made, where the history says.
    pub history: Option<History>,
    /// Entries of all kinds, whiteouts among them.
    pub entries: u64,
    /// How many of them hide what lower layers have.
    pub whiteouts: u64,
    /// Regular files in it.
    pub files: Sum,
    /// Those of them that later layers hide.
    pub hidden: Sum,
}

/// A path at which there are files that nobody sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hidden {
    /// From the root of the image, without a slash at either end.
    pub path: Vec<u8>,
    /// Bytes of all copies that are hidden.
    pub bytes: u64,
    /// The layers that have such a copy, by position.
    pub layers: Vec<usize>,
    /// Whether nothing is to be seen there any more.
    pub removed: bool,
}

/// A file that is seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Large {
    /// From the root of the image, without a slash at either end.
    pub path: Vec<u8>,
    /// Bytes of content.
    pub bytes: u64,
    /// The layer that it is from, by position.
    pub layer: usize,
}

/// Analyzes an image, within a tokio runtime.
///
/// # Errors
/// As [`contents::of`], and those of the tree's limits.
pub async fn analyze(
    source: &Arc<dyn Source>,
    image: &Image,
    cache: Option<&Cache>,
    options: &Options,
) -> Result<Analysis> {
    let tables = contents::of_all(source, &image.layers, cache, &options.contents).await?;
    let (image, options) = (image.clone(), options.clone());
    blocking::run(move || of(&image, &tables, &options)).await
}

fn of(image: &Image, tables: &[Contents], options: &Options) -> Result<Analysis> {
    let mut counter = Counter::default();
    for table in tables {
        counter.layer(table.entries().filter_map(|entry| counted(&entry)));
    }
    let with_hidden = tree::Options {
        hidden: true,
        ..options.tree.clone()
    };
    let tree = Tree::of(tables, &with_hidden)?;
    // Where what is hidden was: links lead elsewhere than an entry's own name says.
    let gone = tree.hidden().iter().filter(|hidden| hidden.last);
    let gone: HashMap<Place, &[u8]> = gone
        .filter_map(|hidden| Some((hidden.entry?, &hidden.path[..])))
        .collect();
    let mut seen_at = HashSet::new();
    let mut seen_paths = HashSet::new();
    let mut seen = Sum::default();
    let mut largest = Vec::new();
    for (path, file) in tree.walk() {
        let (Node::File(bytes), Some(place)) = (file.kind(), file.entry()) else {
            seen_paths.insert(path);
            continue;
        };
        // A file with several names is seen once.
        if seen_at.insert(place) {
            seen.add(*bytes);
            largest.push(Large {
                path: path.clone(),
                bytes: *bytes,
                layer: place.layer,
            });
        }
        seen_paths.insert(path);
    }
    let mut hidden_files: BTreeMap<Vec<u8>, Hidden> = BTreeMap::new();
    let mut hidden = Sum::default();
    let mut layers = Vec::new();
    for ((position, layer), history) in image.layers.iter().enumerate().zip(image.history()) {
        let mut share = LayerShare {
            layer: layer.clone(),
            history: history.cloned(),
            entries: 0,
            whiteouts: 0,
            files: Sum::default(),
            hidden: Sum::default(),
        };
        for entry in tables[position].entries() {
            share.entries += 1;
            let bytes = match entry.what {
                What::Make(Node::File(bytes)) => bytes,
                What::Remove(_) | What::Clear(_) => {
                    share.whiteouts += 1;
                    continue;
                }
                _ => continue,
            };
            share.files.add(bytes);
            let place = Place {
                layer: position,
                offset: entry.offset,
            };
            if seen_at.contains(&place) {
                continue;
            }
            share.hidden.add(bytes);
            hidden.add(bytes);
            let path = gone
                .get(&place)
                .map_or_else(|| clean(&entry.path), |path| path.to_vec());
            let removed = !seen_paths.contains(&path);
            let file = hidden_files.entry(path).or_insert_with_key(|path| Hidden {
                path: path.clone(),
                bytes: 0,
                layers: Vec::new(),
                removed,
            });
            file.bytes += bytes;
            if file.layers.last() != Some(&position) {
                file.layers.push(position);
            }
        }
        layers.push(share);
    }
    largest.sort_by(|a, b| (Reverse(a.bytes), &a.path).cmp(&(Reverse(b.bytes), &b.path)));
    largest.truncate(options.most);
    Ok(Analysis {
        layers,
        efficiency: counter.finish(),
        seen,
        hidden,
        hidden_files: largest_hidden(hidden_files, options.most),
        largest,
    })
}

fn counted(entry: &Entry) -> Option<(Vec<u8>, Counted)> {
    let counted = match &entry.what {
        What::Make(Node::File(size)) => Counted::File(*size),
        What::Make(Node::Directory) => Counted::Directory,
        What::Make(_) | What::HardLink(_) => Counted::Other,
        What::Remove(path) => return Some((clean(path), Counted::Whiteout)),
        // dive passes over it.
        What::Clear(_) => return None,
    };
    Some((clean(&entry.path), counted))
}

fn largest_hidden(files: BTreeMap<Vec<u8>, Hidden>, most: usize) -> Vec<Hidden> {
    let mut files: Vec<Hidden> = files.into_values().filter(|file| file.bytes > 0).collect();
    files.sort_by(|a, b| (Reverse(a.bytes), &a.path).cmp(&(Reverse(b.bytes), &b.path)));
    files.truncate(most);
    files
}

#[cfg(test)]
mod tests;
