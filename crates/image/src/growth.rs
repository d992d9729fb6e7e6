//! How did an image's tree come to be, layer by layer? [`Growth`]: every path that was ever there, and what it was from which layer on.
//!
//! It is one structure for all layers, so that who looks from one to the next waits for nothing: what is at a path once a layer is in place is a search in
//! the few versions of that path. It takes some hundred bytes for each path and each version, about as much again as a [tree](crate::tree), whose
//! limits bound it.
//!
//! Places in it are numbers from 0, the root, up to [`Growth::len`]; a directory has a lower number than what is in it. So what is said of a directory
//! by what is in it, such as a sum of sizes, takes one pass from the highest number down.

use std::collections::{BTreeMap, HashSet};

use teu_rootfs::{Metadata, Node};
use teu_store::Result;

use crate::{
    contents::Contents,
    tree::{Builder, File, Options, Place},
};

/// The root's number.
pub const ROOT: u32 = 0;

/// All paths of an image, and what became of them.
#[derive(Debug)]
pub struct Growth {
    items: Vec<Item>,
    /// Where the versions of each begin, and behind the last where they end.
    spans: Vec<u32>,
    versions: Vec<Version>,
    layers: usize,
}

#[derive(Debug)]
struct Item {
    parent: u32,
    name: Box<[u8]>,
    children: BTreeMap<Box<[u8]>, u32>,
}

/// What is at a path from a layer on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// The layer that made it so, by position.
    pub layer: usize,
    /// What that layer did.
    pub did: Did,
    /// Bytes of a regular file; 0 for every name of a file but the one that has the content, and for all else.
    pub size: u64,
    /// What is there; none where it was removed.
    pub state: Option<Box<State>>,
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

impl Growth {
    /// Follows these layers, the lowest first.
    ///
    /// # Errors
    /// As [`Builder::layer`].
    pub fn of(layers: &[Contents], options: &Options) -> Result<Self> {
        let mut builder = Builder::new(options);
        builder.note_touched();
        let mut items = vec![Item {
            parent: ROOT,
            name: Box::default(),
            children: BTreeMap::new(),
        }];
        let mut versions: Vec<Vec<Version>> = vec![Vec::new()];
        let mut counted = HashSet::new();
        for (layer, contents) in layers.iter().enumerate() {
            builder.layer(layer, contents)?;
            let mut touched = builder.take_touched();
            // A directory comes before what is in it, and each path once.
            touched.sort_unstable();
            touched.dedup();
            for path in touched {
                let file = builder.tree().at(&path);
                let Some(number) = place(&mut items, &mut versions, &path, file.is_some()) else {
                    continue;
                };
                let known = &mut versions[number as usize];
                known.extend(version(known.last(), layer, file, &mut counted));
            }
        }
        if versions[ROOT as usize].is_empty() {
            let root = version(None, 0, Some(builder.tree().root()), &mut counted);
            versions[ROOT as usize].extend(root);
        }
        let mut spans = Vec::with_capacity(versions.len() + 1);
        let mut flat = Vec::new();
        for of_one in versions {
            spans.push(flat.len() as u32);
            flat.extend(of_one);
        }
        spans.push(flat.len() as u32);
        Ok(Self {
            items,
            spans,
            versions: flat,
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
    #[must_use]
    pub fn name(&self, number: u32) -> &[u8] {
        &self.items[number as usize].name
    }

    /// The directory that it is in; the root's is the root.
    #[must_use]
    pub fn parent(&self, number: u32) -> u32 {
        self.items[number as usize].parent
    }

    /// The whole path, without a slash at either end.
    #[must_use]
    pub fn path(&self, mut number: u32) -> Vec<u8> {
        let mut names = Vec::new();
        while number != ROOT {
            names.push(self.name(number));
            number = self.parent(number);
        }
        names.reverse();
        names.join(&b'/')
    }

    /// What was ever in a directory, in the order of its names.
    pub fn children(&self, number: u32) -> impl DoubleEndedIterator<Item = u32> + '_ {
        self.items[number as usize].children.values().copied()
    }

    /// What became of a path, the lowest layer first.
    #[must_use]
    pub fn versions(&self, number: u32) -> &[Version] {
        let span = |at: usize| self.spans[at] as usize;
        &self.versions[span(number as usize)..span(number as usize + 1)]
    }

    /// What is known of a path once this layer is in place, those below it with it: its last version until then, which may say that it was removed. None
    /// where it was never there.
    #[must_use]
    pub fn at(&self, number: u32, layer: usize) -> Option<&Version> {
        let versions = self.versions(number);
        let until = versions.partition_point(|version| version.layer <= layer);
        versions[..until].last()
    }
}

/// The number of a path, which is made where something is there; what was there for no layer's end has none.
fn place(items: &mut Vec<Item>, versions: &mut Vec<Vec<Version>>, path: &[u8], is_there: bool) -> Option<u32> {
    let mut at = ROOT;
    for name in path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()) {
        at = match items[at as usize].children.get(name) {
            Some(number) => *number,
            None if !is_there => return None,
            None => {
                let number = u32::try_from(items.len()).ok()?;
                items.push(Item {
                    parent: at,
                    name: name.into(),
                    children: BTreeMap::new(),
                });
                versions.push(Vec::new());
                items[at as usize].children.insert(name.into(), number);
                number
            }
        };
    }
    Some(at)
}

/// What a layer made of a path, of which `before` was known; none where nothing became of it.
fn version(
    known: Option<&Version>,
    layer: usize,
    file: Option<File<'_>>,
    counted: &mut HashSet<Place>,
) -> Option<Version> {
    let before = known.and_then(|before| before.state.as_deref());
    let state = file.map(|file| State {
        node: file.kind().clone(),
        metadata: file.metadata().clone(),
        entry: file.entry(),
    });
    let did = match (before, &state) {
        (None, None) => return None,
        (None, Some(_)) => Did::Add,
        (Some(_), None) => Did::Remove,
        (Some(before), Some(state)) => match is_repeated(before, state) {
            true => Did::Repeat,
            false => Did::Change,
        },
    };
    let size = match (file.map(|file| (file.names(), file.kind())), file.and_then(File::entry)) {
        // What a lower layer has counts where it was counted.
        (Some(_), Some(entry)) if entry.layer != layer => {
            let is_same = before.is_some_and(|before| before.entry == Some(entry));
            known.filter(|_| is_same).map_or(0, |known| known.size)
        }
        (Some((names, Node::File(size))), Some(entry)) if names < 2 || counted.insert(entry) => *size,
        _ => 0,
    };
    Some(Version {
        layer,
        did,
        size,
        state: state.map(Box::new),
    })
}

fn is_repeated(before: &State, state: &State) -> bool {
    let (old, new) = (&before.metadata, &state.metadata);
    let is_same_file = !matches!(state.node, Node::File(_)) || before.entry == state.entry;
    let is_same_metadata = (old.mode, old.uid, old.gid) == (new.mode, new.uid, new.gid) && old.xattrs == new.xattrs;
    before.node == state.node && is_same_file && is_same_metadata
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
                .iter()
                .map(|version| format!(" {}{:?}", version.layer, version.did));
            format!("{}{}", growth.path(number).escape_ascii(), did.collect::<String>())
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
            let listed: Vec<(Vec<u8>, Node)> = tree.walk().map(|(path, file)| (path, file.kind().clone())).collect();
            let mut grown = Vec::new();
            let mut next = vec![ROOT];
            while let Some(number) = next.pop() {
                let state = growth.at(number, layer).and_then(|version| version.state.as_deref());
                grown.extend(state.map(|state| (growth.path(number), state.node.clone())));
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
                .find(|number| growth.path(*number) == path)
                .expect("a path");
            growth
                .at(number, layer)
                .and_then(|version| version.state.as_ref()?.entry)
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
