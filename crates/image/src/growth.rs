//! How did an image's tree come to be, layer by layer? [`Growth`]: every path that was ever there, and what it was from which layer on.
//!
//! It is one structure for all layers, so that who looks from one to the next waits for nothing: what is at a path once a layer is in place is a search in
//! the few versions of that path. It takes some 20 bytes for each path and 20 for each version; while it is made, as much as a [tree](crate::tree)
//! beside, whose limits bound it. Names, and what is said of files, are read from the tables of contents where they are asked for.
//!
//! Places in it are numbers from 0, the root, up to [`Growth::len`]; a directory has a lower number than what is in it. So what is said of a directory
//! by what is in it, such as a sum of sizes, takes one pass from the highest number down.

use std::{
    collections::{HashMap, hash_map},
    ops::Range,
};

use teu_rootfs::{Metadata, Node};
use teu_store::{Error, ErrorKind, Result};

use crate::{
    contents::Contents,
    tree::{Builder, Kind, NONE, Options, Paths, Place},
};

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

/// A version, and which was before it.
#[derive(Clone, Copy, Debug)]
struct Packed {
    size: [u32; 2],
    entry: u32,
    /// Above five bits for what the layer did and what is there.
    layer: u32,
    before: u32,
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
    let mut ends = vec![0_u32; count + 1];
    let is_there = |path: &u32| versions.last(*path) != NONE;
    for path in (1..count as u32).filter(is_there) {
        ends[paths.parent(path) as usize + 1] += 1;
    }
    for at in 1..=count {
        ends[at] += ends[at - 1];
    }
    let mut below = vec![0_u32; ends[count] as usize];
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
    let mut items = Vec::with_capacity(below.len() + 1);
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

/// What became of paths, while that is found out.
#[derive(Default)]
struct Versions {
    all: Vec<Packed>,
    /// The last one of each path.
    lasts: Vec<u32>,
}

impl Versions {
    fn last(&self, path: u32) -> u32 {
        self.lasts.get(path as usize).copied().unwrap_or(NONE)
    }

    /// What a layer made of these paths, of which it did something.
    fn layer(&mut self, builder: &Builder, layer: usize, touched: &[u32]) -> Result<()> {
        let paths = builder.paths();
        self.lasts.resize(paths.len(), NONE);
        let holders = holders(builder, layer, touched)?;
        for path in touched {
            let known = self.all.get(self.last(*path) as usize).map(Packed::open);
            let now = builder.at(*path);
            let before = known.filter(Version::is_there);
            let did = match (before, now) {
                // What was there for no layer's end was never there.
                (None, None) => continue,
                (None, Some(_)) => Did::Add,
                (Some(_), None) => Did::Remove,
                (Some(before), Some(now)) => match is_repeated(paths, &before, (now.kind, now.entry))? {
                    true => Did::Repeat,
                    false => Did::Change,
                },
            };
            let size = match now {
                Some(now) if now.kind == Kind::File && paths.layer(now.entry) as usize == layer => {
                    match now.names < 2 || holders.get(&now.entry) == Some(path) {
                        true => paths.with(now.entry, |entry| Ok(entry.size()))?,
                        false => 0,
                    }
                }
                // What a lower layer has counts where it was counted.
                Some(now) if now.entry != NONE => before
                    .filter(|before| before.entry == now.entry)
                    .map_or(0, |before| before.size),
                _ => 0,
            };
            let version = Version {
                layer,
                did,
                size,
                kind: now.map(|now| now.kind),
                entry: now.map_or(NONE, |now| now.entry),
            };
            let packed = Packed::new(version, self.last(*path))?;
            self.lasts[*path as usize] = self.all.len() as u32;
            self.all.push(packed);
        }
        Ok(())
    }
}

/// Of each file of this layer with several names the one that counts for its content: the first in the order of the paths' bytes.
fn holders(builder: &Builder, layer: usize, touched: &[u32]) -> Result<HashMap<u32, u32>> {
    let paths = builder.paths();
    let mut holders = HashMap::new();
    for path in touched {
        let Some(now) = builder.at(*path) else { continue };
        if now.kind != Kind::File || now.names < 2 || paths.layer(now.entry) as usize != layer {
            continue;
        }
        match holders.entry(now.entry) {
            hash_map::Entry::Vacant(free) => drop(free.insert(*path)),
            hash_map::Entry::Occupied(mut holder) => {
                if paths.path(*path)? < paths.path(*holder.get())? {
                    holder.insert(*path);
                }
            }
        }
    }
    Ok(holders)
}

impl Packed {
    fn new(version: Version, before: u32) -> Result<Self> {
        let layer = u32::try_from(version.layer).ok().filter(|layer| *layer < 1 << 27);
        let layer = layer.ok_or_else(|| {
            let message = format!("there are more layers than the {} that can be followed", 1 << 27);
            Error::new(ErrorKind::TooLarge, message)
        })?;
        let did = match version.did {
            Did::Add => 0,
            Did::Change => 1,
            Did::Repeat => 2,
            Did::Remove => 3,
        };
        let kind = match version.kind {
            Some(Kind::Directory) => 0,
            Some(Kind::File) => 1,
            Some(Kind::Symlink) => 2,
            Some(Kind::Other | Kind::Elsewhere) => 3,
            None => 4,
        };
        Ok(Self {
            size: [version.size as u32, (version.size >> 32) as u32],
            entry: version.entry,
            layer: layer << 5 | did << 3 | kind,
            before,
        })
    }

    fn open(&self) -> Version {
        let [low, high] = self.size.map(u64::from);
        Version {
            layer: (self.layer >> 5) as usize,
            did: match self.layer >> 3 & 3 {
                0 => Did::Add,
                1 => Did::Change,
                2 => Did::Repeat,
                _ => Did::Remove,
            },
            size: low | high << 32,
            kind: match self.layer & 7 {
                0 => Some(Kind::Directory),
                1 => Some(Kind::File),
                2 => Some(Kind::Symlink),
                3 => Some(Kind::Other),
                _ => None,
            },
            entry: self.entry,
        }
    }
}

fn state(paths: &Paths, kind: Kind, entry: u32) -> Result<State> {
    let described = crate::tree::described(paths, kind, entry)?;
    Ok(State {
        node: described.node,
        metadata: described.metadata,
        entry: described.entry,
    })
}

/// Whether what is at a path now is as it was before.
fn is_repeated(paths: &Paths, before: &Version, (kind, entry): (Kind, u32)) -> Result<bool> {
    let Some(was) = before.kind.filter(|was| *was == kind) else {
        return Ok(false);
    };
    if kind == Kind::File {
        // One that is written again is another one, whatever is in it.
        return Ok(before.entry == entry);
    }
    let (old, new) = (state(paths, was, before.entry)?, state(paths, kind, entry)?);
    let owner = |state: &State| (state.metadata.mode, state.metadata.uid, state.metadata.gid);
    Ok(old.node == new.node && owner(&old) == owner(&new) && old.metadata.xattrs == new.metadata.xattrs)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use teu_archive::{codec::Compression, tar::Header};
    use teu_store::{Memory, Source};

    use super::*;
    use crate::{
        contents,
        rigged::{insert, tar},
        tree::Tree,
    };

    type Entries<'a> = &'a [(Header, &'a [u8])];

    fn file<'a>(path: &str, content: &'a [u8]) -> (Header, &'a [u8]) {
        (Header::file(path, content.len() as u64), content)
    }

    fn bare(header: Header) -> (Header, &'static [u8]) {
        (header, b"")
    }

    async fn tables(layers: &[Entries<'_>]) -> Vec<Contents> {
        let store = Memory::new();
        let layers: Vec<_> = layers
            .iter()
            .enumerate()
            .map(|(place, entries)| insert(&store, place, &tar(entries), Compression::None))
            .collect();
        let source: Arc<dyn Source> = Arc::new(store);
        let options = contents::Options::default();
        contents::of_all(&source, &layers, None, &options)
            .await
            .expect("tables")
    }

    /// What each layer did, path by path.
    fn told(growth: &Growth) -> Vec<String> {
        let line = |number: u32| {
            let did = growth
                .versions(number)
                .into_iter()
                .map(|version| format!(" {}{:?}", version.layer, version.did));
            format!(
                "{}{}",
                growth.path(number).expect("a path").escape_ascii(),
                did.collect::<String>()
            )
        };
        let mut all: Vec<String> = (0..growth.len()).map(line).collect();
        all.sort();
        all
    }

    #[tokio::test]
    async fn each_path_has_what_layers_did_to_it() {
        let mut other = Header::directory("etc");
        other.mode = 0o700;
        let layers: [Entries<'_>; 4] = [
            &[
                bare(Header::directory("etc")),
                file("etc/a", b"12345"),
                file("etc/b", b"1"),
                file("opt/x/y", b"1"),
                bare(Header::symlink("link", "etc")),
                file("kind", b""),
                bare(Header::hard_link("hard", "etc/a")),
                file("single", b"0123456789"),
            ],
            &[
                bare(Header::directory("etc")),
                // Through a link, into a directory that is described again.
                file("link/a", b"123"),
                file("etc/.wh.b", b""),
                file("opt/.wh..wh..opq", b""),
                file("opt/new", b""),
                bare(Header::directory("kind")),
                file("twice", b"1"),
                file("twice/.wh.x", b""),
            ],
            &[
                bare(other),
                file("etc/b", b"22"),
                file(".wh.opt", b""),
                file("kind/in", b""),
                bare(Header::hard_link("second", "single")),
            ],
            &[
                file(".wh.kind", b""),
                bare(Header::symlink("link", "etc")),
                bare(Header::hard_link("more", "hard")),
            ],
        ];
        let all = tables(&layers).await;
        let growth = Growth::of(&all, &Options::default()).expect("a growth");
        let expected = [
            " 0Add",
            "etc 0Add 1Repeat 2Change",
            "etc/a 0Add 1Change",
            "etc/b 0Add 1Remove 2Add",
            "hard 0Add",
            "kind 0Add 1Change 3Remove",
            "kind/in 2Add 3Remove",
            "link 0Add 3Repeat",
            "more 3Add",
            "opt 0Add 2Remove",
            "opt/new 1Add 2Remove",
            "opt/x 0Add 1Remove",
            "opt/x/y 0Add 1Remove",
            "second 2Add",
            "single 0Add",
            "twice 1Add",
        ];
        assert_eq!(told(&growth), expected);
        assert_eq!(growth.layers(), 4);
        // It says of each layer what the tree of all until then has.
        for layer in 0..layers.len() {
            let tree = Tree::of(&all[..=layer], &Options::default()).expect("a tree");
            let of = |found: Result<(Vec<u8>, crate::tree::File<'_>)>| {
                let (path, file) = found.expect("a file");
                (path, file.read().expect("described").node)
            };
            let listed: Vec<(Vec<u8>, Node)> = tree.walk().map(of).collect();
            let mut grown = Vec::new();
            let mut next = vec![ROOT];
            while let Some(number) = next.pop() {
                let state = growth.at(number, layer);
                let state = state.and_then(|version| growth.state(&version).expect("a state"));
                grown.extend(state.map(|state| (growth.path(number).expect("a path"), state.node)));
                next.extend(growth.children(number).rev());
            }
            assert_eq!(grown, listed, "layer {layer}");
        }
        // Each content counts once; a file that was replaced does not.
        let sum = |layer| {
            (0..growth.len())
                .filter_map(|number| growth.at(number, layer))
                .map(|version| version.size)
                .sum::<u64>()
        };
        assert_eq!([0, 1, 2, 3].map(sum), [17, 14, 16, 16]);
        assert!((1..growth.len()).all(|number| growth.parent(number) < number));
        let entry = |path: &[u8], layer| {
            let number = (0..growth.len())
                .find(|number| growth.path(*number).expect("a path") == path)
                .expect("a path");
            growth
                .at(number, layer)
                .and_then(|version| growth.state(&version).expect("a state")?.entry)
        };
        let first = entry(b"etc/a", 0);
        assert_eq!((entry(b"hard", 1), entry(b"more", 3)), (first, first));
        assert_ne!(entry(b"etc/a", 1), first);
    }

    #[tokio::test]
    async fn an_image_without_files_has_its_root() {
        for layers in [&[][..], &[&[][..]]] {
            let growth = Growth::of(&tables(layers).await, &Options::default()).expect("a growth");
            assert_eq!(told(&growth), [" 0Add"]);
        }
    }

    #[tokio::test]
    async fn what_it_remembers_counts_for_the_limit() {
        let layers: [Entries<'_>; 1] = [&[file("a-name-of-some-length", b"")]];
        let tables = tables(&layers).await;
        let plain = Tree::of(&tables, &Options::default());
        assert!(plain.is_ok());
        let mut options = Options::default();
        options.limits.tree_bytes = 10;
        let error = Growth::of(&tables, &options).expect_err("a limit").to_string();
        assert!(error.contains("tree_bytes"), "{error}");
    }
}
