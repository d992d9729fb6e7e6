//! How did an image's tree come to be, layer by layer? [`Growth`]: every path that was ever there, and what it was from which layer on.
//!
//! It is one structure for all layers, so that who looks from one to the next waits for nothing: what is at a path once a layer is in place is a search in
//! the few versions of that path. It takes some 20 bytes for each path and 20 for each version; while it is made, as much as a [tree](crate::tree)
//! beside, whose limits bound it. Names, and what is said of files, are read from the tables of contents where they are asked for.
//!
//! Places in it are numbers from 0, the root, up to [`Growth::len`]; a directory has a lower number than what is in it. So what is said of a directory
//! by what is in it, such as a sum of sizes, takes one pass from the highest number down.

mod versions;

use std::ops::Range;

use teu_rootfs::{Metadata, Node};
use teu_store::Result;

use crate::{
    contents::Contents,
    room,
    tree::{Builder, Kind, NONE, Options, Paths, Place},
};

use versions::{Packed, Versions};

/// The root's number.
pub const ROOT: u32 = 0;

/// All paths of an image, and what became of them.
#[derive(Debug)]
pub struct Growth {
    paths: Paths,
    /// By number: the path's own, where its directory is, and where what is in it begins.
    items: Vec<Item>,
    versions: Vec<Packed>,
    layers: usize,
}

#[derive(Clone, Copy, Debug)]
struct Item {
    path: u32,
    parent: u32,
    /// What is in it has numbers from here to where that of the next item begins.
    first: u32,
    /// The last of its versions.
    last: u32,
}

/// What is at a path from a layer on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version {
    /// The layer that made it so, by position.
    pub layer: usize,
    /// What that layer did.
    pub did: Did,
    /// Bytes of a regular file; 0 for every name of a file but the one that has the content, and for all else.
    pub size: u64,
    kind: Option<Kind>,
    entry: u32,
}

/// What a layer did to a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Did {
    /// Made what was not there.
    Add,
    /// Replaced it, or described it otherwise.
    Change,
    /// Described a directory, a link or a device as it was before; times count for nothing.
    Repeat,
    /// Removed it.
    Remove,
}

/// What is at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// Its kind.
    pub node: Node,
    /// Mode, owner, time and extended attributes.
    pub metadata: Metadata,
    /// The entry that describes it; none for a directory that no layer describes.
    pub entry: Option<Place>,
}

impl Version {
    /// Whether something is there.
    #[must_use]
    pub fn is_there(&self) -> bool {
        self.kind.is_some()
    }

    /// Whether that is a directory.
    #[must_use]
    pub fn is_directory(&self) -> bool {
        self.kind == Some(Kind::Directory)
    }
}

impl Growth {
    /// Follows these layers, the lowest first.
    ///
    /// # Errors
    /// As [`Builder::layer`].
    pub fn of(layers: &[Contents], options: &Options) -> Result<Self> {
        let mut builder = Builder::new(options);
        builder.note_touched();
        let mut versions = Versions::default();
        for (layer, contents) in layers.iter().enumerate() {
            builder.layer(layer, contents)?;
            let mut touched = builder.take_touched();
            touched.sort_unstable();
            touched.dedup();
            versions.layer(&builder, layer, &touched)?;
        }
        if versions.last(ROOT) == NONE {
            versions.layer(&builder, 0, &[ROOT])?;
        }
        let paths = builder.into_paths();
        Ok(Self {
            items: items(&paths, &versions)?,
            paths,
            versions: versions.all,
            layers: layers.len(),
        })
    }

    /// How many layers there are.
    #[must_use]
    pub fn layers(&self) -> usize {
        self.layers
    }

    /// How many paths were ever there, the root with them.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "the root is always there")]
    pub fn len(&self) -> u32 {
        self.items.len() as u32
    }

    /// The last name of a path; empty for the root.
    ///
    /// # Errors
    /// That of the file in which a table of contents lies.
    pub fn name(&self, number: u32) -> Result<Vec<u8>> {
        let mut name = Vec::new();
        let path = self.items[number as usize].path;
        self.paths.name_at(self.paths.name(path), &mut name)?;
        Ok(name)
    }

    /// The directory that it is in; the root's is the root.
    #[must_use]
    pub fn parent(&self, number: u32) -> u32 {
        self.items[number as usize].parent
    }

    /// The whole path, without a slash at either end.
    ///
    /// # Errors
    /// As [`name`](Self::name).
    pub fn path(&self, number: u32) -> Result<Vec<u8>> {
        self.paths.path(self.items[number as usize].path)
    }

    /// What was ever in a directory, in the order of its names.
    #[must_use]
    pub fn children(&self, number: u32) -> Range<u32> {
        let begin = |number: usize| self.items.get(number).map_or(self.len(), |item| item.first);
        begin(number as usize)..begin(number as usize + 1)
    }

    /// What became of a path, the lowest layer first.
    #[must_use]
    pub fn versions(&self, number: u32) -> Vec<Version> {
        let mut versions: Vec<Version> = self.newest(number).collect();
        versions.reverse();
        versions
    }

    /// What is known of a path once this layer is in place, those below it with it: its last version until then, which may say that it was removed. None
    /// where it was never there.
    #[must_use]
    pub fn at(&self, number: u32, layer: usize) -> Option<Version> {
        self.newest(number).find(|version| version.layer <= layer)
    }

    /// What is there; none where it was removed.
    ///
    /// # Errors
    /// As [`name`](Self::name).
    pub fn state(&self, version: &Version) -> Result<Option<State>> {
        match version.kind {
            None => Ok(None),
            Some(kind) => state(&self.paths, kind, version.entry).map(Some),
        }
    }

    pub(crate) fn paths(&self) -> &Paths {
        &self.paths
    }

    /// The entries that describe the regular files that are there with all layers in place; for each of its names once.
    pub(crate) fn described_files(&self) -> impl Iterator<Item = u32> + '_ {
        let versions = self
            .items
            .iter()
            .filter_map(|item| self.versions.get(item.last as usize));
        let files = versions.map(Packed::open).filter(|last| last.kind == Some(Kind::File));
        files.map(|last| last.entry).filter(|entry| *entry != NONE)
    }

    fn newest(&self, number: u32) -> impl Iterator<Item = Version> + '_ {
        let version = |at: u32| self.versions.get(at as usize);
        let last = version(self.items[number as usize].last);
        std::iter::successors(last, move |packed| version(packed.before)).map(Packed::open)
    }
}

/// The numbers of all paths that were ever there: of what is in one directory one behind the other, in the order of the names.
fn items(paths: &Paths, versions: &Versions) -> Result<Vec<Item>> {
    let count = paths.len();
    // Where what is in each directory begins, then where it ends, in a list by directories.
    let mut ends = room::filled(0_u32, count + 1);
    let is_there = |path: &u32| versions.last(*path) != NONE;
    for path in (1..count as u32).filter(is_there) {
        ends[paths.parent(path) as usize + 1] += 1;
    }
    for at in 1..=count {
        ends[at] += ends[at - 1];
    }
    let mut below = room::filled(0_u32, ends[count] as usize);
    for path in (1..count as u32).filter(is_there) {
        let end = &mut ends[paths.parent(path) as usize];
        below[*end as usize] = path;
        *end += 1;
    }
    let item = |path: u32, parent: u32| Item {
        path,
        parent,
        first: 0,
        last: versions.last(path),
    };
    let mut items = room::of(below.len() + 1);
    items.push(item(ROOT, ROOT));
    let mut at = 0;
    while at < items.len() {
        items[at].first = items.len() as u32;
        let directory = items[at].path as usize;
        let begin = directory.checked_sub(1).map_or(0, |before| ends[before]);
        let children = &mut below[begin as usize..ends[directory] as usize];
        paths.sort(children)?;
        items.extend(children.iter().map(|child| item(*child, at as u32)));
        at += 1;
    }
    Ok(items)
}

fn state(paths: &Paths, kind: Kind, entry: u32) -> Result<State> {
    let described = crate::tree::described(paths, kind, entry)?;
    Ok(State {
        node: described.node,
        metadata: described.metadata,
        entry: described.entry,
    })
}

#[cfg(test)]
mod tests;
