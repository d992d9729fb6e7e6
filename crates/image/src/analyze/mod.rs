//! What do an image's layers hold that nobody sees, and what makes it large? [`analyze`] tells of each layer what it brings and what of that later
//! layers hide, names the largest files and those that are there in vain, and measures the whole ([`Efficiency`]).
//!
//! It goes by the tables of contents of the layers ([`contents`]): a layer that is in the cache is not read.

mod efficiency;

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
    sync::Arc,
};

use teu_spec::History;
use teu_store::{Result, Source, blocking};

use crate::{
    Image, Layer,
    contents::{self, Cache, Contents, Does},
    growth::Growth,
    tree::{self, Tree},
};

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
    let efficiency = Efficiency::of(tables, &options.tree.limits)?;
    let with_hidden = tree::Options {
        hidden: true,
        ..options.tree.clone()
    };
    let tree = Tree::of(tables, &with_hidden)?;
    let mut met = Met::new(tree.paths().entries());
    let mut seen = Sum::default();
    let mut largest = Largest::new(options.most);
    for found in tree.walk() {
        let (path, file) = found?;
        // A file with several names is seen once.
        let entry = file
            .entry_number()
            .filter(|entry| file.is_regular() && met.is_new(*entry));
        if let Some(entry) = entry {
            let bytes = tree.paths().with(entry, |entry| Ok(entry.size()))?;
            seen.add(bytes);
            largest.take(bytes, tree.paths().layer(entry), || Ok(path))?;
        }
    }
    // Where what is hidden was: links lead elsewhere than an entry's own name says.
    let mut gone: Vec<(u32, u32)> = tree
        .gone()
        .iter()
        .filter(|gone| gone.last && gone.entry != tree::NONE)
        .map(|gone| (gone.entry, gone.path))
        .collect();
    gone.sort_unstable();
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
        let first = tree.paths().numbers_of(position as u32).map_or(0, |(first, _)| first);
        let mut entries = tables[position].reader();
        while let Some(entry) = entries.next()? {
            share.entries += 1;
            match entry.does() {
                Does::File => {}
                Does::Whiteout(_) => {
                    share.whiteouts += 1;
                    continue;
                }
                _ => continue,
            }
            share.files.add(entry.size());
            if !met.has(first + entry.number) {
                share.hidden.add(entry.size());
                hidden.add(entry.size());
            }
        }
        layers.push(share);
    }
    Ok(Analysis {
        layers,
        efficiency,
        seen,
        hidden,
        hidden_files: hidden_files(&tree, &gone, options.most)?,
        largest: largest
            .finish()
            .into_iter()
            .map(|(path, bytes, layer)| Large {
                path,
                bytes,
                layer: layer as usize,
            })
            .collect(),
    })
}

/// The files that are seen with all layers in place, and those that a later layer writes again or removes: as [`analyze`] has them, for who has an
/// image's growth already.
///
/// # Errors
/// That of the file in which a table of contents lies.
pub fn seen_and_hidden(growth: &Growth) -> Result<[Sum; 2]> {
    let mut met = Met::new(growth.paths().entries());
    for entry in growth.described_files() {
        met.is_new(entry);
    }
    let (mut seen, mut hidden) = (Sum::default(), Sum::default());
    growth.paths().each_entry(|number, entry| {
        if entry.does() == Does::File {
            match met.has(number) {
                true => seen.add(entry.size()),
                false => hidden.add(entry.size()),
            }
        }
    })?;
    Ok([seen, hidden])
}

/// The paths at which most bytes are hidden, of these entries and where they were.
fn hidden_files(tree: &Tree, gone: &[(u32, u32)], most: usize) -> Result<Vec<Hidden>> {
    let mut sums: HashMap<u32, u64> = HashMap::new();
    for (entry, path) in gone {
        let bytes = tree.paths().with(*entry, |entry| Ok(entry.size()))?;
        if bytes > 0 {
            *sums.entry(*path).or_default() += bytes;
        }
    }
    let mut largest = Largest::new(most);
    for (path, bytes) in sums {
        largest.take(bytes, path, || tree.paths().path(path))?;
    }
    let mut files: Vec<(u32, Hidden)> = largest
        .finish()
        .into_iter()
        .map(|(path, bytes, number)| {
            let removed = tree.file_at(number).is_none();
            let layers = Vec::new();
            (
                number,
                Hidden {
                    path,
                    bytes,
                    layers,
                    removed,
                },
            )
        })
        .collect();
    let places: HashMap<u32, usize> = files.iter().enumerate().map(|(at, (path, _))| (*path, at)).collect();
    // In the order of entries, and so of layers.
    for (entry, path) in gone {
        let Some(place) = places.get(path) else { continue };
        let is_file = tree.paths().with(*entry, |entry| Ok(entry.does() == Does::File))?;
        let layer = tree.paths().layer(*entry) as usize;
        let layers = &mut files[*place].1.layers;
        if is_file && layers.last() != Some(&layer) {
            layers.push(layer);
        }
    }
    Ok(files.into_iter().map(|(_, file)| file).collect())
}

/// Entries that were met, a bit for each.
struct Met(Vec<u64>);

impl Met {
    fn new(entries: u32) -> Self {
        Self(vec![0; entries as usize / 64 + 1])
    }

    fn has(&self, entry: u32) -> bool {
        self.0[entry as usize / 64] & (1 << (entry % 64)) != 0
    }

    /// Whether it was not met before; now it is.
    fn is_new(&mut self, entry: u32) -> bool {
        let is_new = !self.has(entry);
        self.0[entry as usize / 64] |= 1 << (entry % 64);
        is_new
    }
}

/// The largest files, and of files of one size the first by path.
struct Largest {
    most: usize,
    /// The one that goes first is on top.
    kept: BinaryHeap<(Reverse<u64>, Vec<u8>, u32)>,
}

impl Largest {
    fn new(most: usize) -> Self {
        Self {
            most,
            kept: BinaryHeap::new(),
        }
    }

    /// Takes in a file; its path is asked for only where it may stay.
    fn take(&mut self, bytes: u64, number: u32, path: impl FnOnce() -> Result<Vec<u8>>) -> Result<()> {
        let is_full = self.kept.len() >= self.most;
        let smallest = self.kept.peek().map_or(0, |(Reverse(bytes), ..)| *bytes);
        if self.most == 0 || (is_full && bytes < smallest) {
            return Ok(());
        }
        self.kept.push((Reverse(bytes), path()?, number));
        if is_full {
            self.kept.pop();
        }
        Ok(())
    }

    fn finish(self) -> Vec<(Vec<u8>, u64, u32)> {
        let sorted = self.kept.into_sorted_vec().into_iter();
        sorted
            .map(|(Reverse(bytes), path, number)| (path, bytes, number))
            .collect()
    }
}

#[cfg(test)]
mod tests;
