//! Layers of directories, files and whiteouts in any order: what is unpacked is the tree that a simple model has, and the same one where each layer's
//! whiteouts come first (image-spec, layer.md, "Whiteouts").

use std::{collections::BTreeMap, fs, os::unix::fs::PermissionsExt, path::Path, sync::LazyLock};

use crate::arena::Arena;
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use teu_archive::tar::{Header, Writer};
use teu_image::unpack;

static ARENA: LazyLock<Arena> = LazyLock::new(Arena::new);

/// A path of one to four of the names `a` to `d`, by the bits of a number.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub(crate) struct Names(u16);

impl Names {
    fn all(self) -> Vec<u8> {
        (0..=self.0 & 3)
            .map(|place| b'a' + (self.0 >> (2 + 2 * place) & 3) as u8)
            .collect()
    }

    fn path(names: &[u8]) -> String {
        names.iter().map(|name| format!("/{}", char::from(*name))).collect()
    }
}

#[derive(Arbitrary, Clone, Copy, Debug)]
pub(crate) enum Entry {
    Directory(Names, u8),
    File(Names, u8),
    Remove(Names),
    /// Of the root where there is no name.
    Clear(Option<Names>),
}

impl Entry {
    fn is_whiteout(&self) -> bool {
        matches!(self, Self::Remove(_) | Self::Clear(_))
    }
}

pub(crate) fn run(layers: Vec<Vec<Entry>>) {
    if layers.iter().map(Vec::len).sum::<usize>() > 64 {
        return;
    }
    let unpacked = unpacked(&layers);
    assert_eq!(unpacked, modelled(&layers));
    let mut first = layers;
    for layer in &mut first {
        layer.sort_by_key(|entry| !entry.is_whiteout());
    }
    // A whiteout can remove the file that is in an entry's way, and comes too late for that where it is behind it.
    if let (Some(one), Some(other)) = (unpacked, self::unpacked(&first)) {
        assert_eq!(names(&one), names(&other));
    }
}

/// A tree: paths with modes and, of files, content.
type Tree = BTreeMap<String, (u32, Option<u8>)>;

/// Without modes: a directory of a lower layer that stays for what is in it alone has no mode that an entry gave it.
fn names(tree: &Tree) -> Vec<(&String, Option<u8>)> {
    tree.iter().map(|(path, (_, content))| (path, *content)).collect()
}

/// What the door makes; `None` where it refuses.
fn unpacked(layers: &[Vec<Entry>]) -> Option<Tree> {
    ARENA.attack(|root| {
        let mut writer = teu_rootfs::Writer::new(root, teu_rootfs::Options::default()).expect("a writer");

        for layer in layers {
            let archive = archive(layer);
            unpack::apply(&mut writer, &archive[..], &unpack::Options::default()).ok()?;
            writer.next_layer();
        }
        writer.finish().ok()?;
        let mut tree = Tree::new();
        read(&ARENA.root(), "", &mut tree);
        Some(tree)
    })
}

fn archive(layer: &[Entry]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    for entry in layer {
        let mut content = Vec::new();
        let mut header = match *entry {
            Entry::Directory(names, _) => Header::directory(Names::path(&names.all())),
            Entry::File(names, said) => {
                content.push(said);
                Header::file(Names::path(&names.all()), 1)
            }
            Entry::Remove(names) => {
                let names = names.all();
                let (name, parent) = names.split_last().expect("one name");
                Header::file(format!("{}/.wh.{}", Names::path(parent), char::from(*name)), 0)
            }
            Entry::Clear(names) => {
                let names = names.map(Names::all).unwrap_or_default();
                Header::file(format!("{}/.wh..wh..opq", Names::path(&names)), 0)
            }
        };
        header.mode = mode(*entry);
        writer.append_data(&header, &content).expect("written");
    }
    writer.finish().expect("whole")
}

fn mode(entry: Entry) -> u32 {
    match entry {
        Entry::Directory(_, mode) => 0o700 | u32::from(mode & 0o77),
        _ => 0o644,
    }
}

fn read(at: &Path, path: &str, tree: &mut Tree) {
    for entry in fs::read_dir(at).expect("a directory") {
        let entry = entry.expect("an entry");
        let seen = entry.metadata().expect("it is there");
        let path = format!("{path}/{}", entry.file_name().display());
        let content = match seen.is_dir() {
            true => {
                read(&entry.path(), &path, tree);
                None
            }
            false => fs::read(entry.path()).expect("read").pop(),
        };
        tree.insert(path, (seen.permissions().mode() & 0o7777, content));
    }
}

#[derive(Debug)]
struct Node {
    mode: u32,
    /// The present layer made it.
    ours: bool,
    /// `Err` is a file's.
    content: Result<BTreeMap<u8, Node>, u8>,
}

impl Node {
    fn directory(mode: u32) -> Self {
        Self {
            mode,
            ours: true,
            content: Ok(BTreeMap::new()),
        }
    }

    /// The directory at `names`; those that are missing are made. `None` where a file is in the way.
    fn made(&mut self, names: &[u8]) -> Option<&mut Self> {
        let mut node = self;
        for name in names {
            node = node
                .content
                .as_mut()
                .ok()?
                .entry(*name)
                .or_insert_with(|| Self::directory(0o755));
        }
        node.content.is_ok().then_some(node)
    }

    /// What is at `names`.
    fn found(&mut self, names: &[u8]) -> Option<&mut Self> {
        names
            .iter()
            .try_fold(self, |node, name| node.content.as_mut().ok()?.get_mut(name))
    }

    /// Removes of what is in it what the present layer did not make; says whether it stays itself.
    fn strip(&mut self) -> bool {
        match &mut self.content {
            Ok(children) => {
                children.retain(|_, child| child.strip());
                self.ours || !children.is_empty()
            }
            Err(_) => self.ours,
        }
    }

    fn next_layer(&mut self) {
        self.ours = false;
        self.content
            .iter_mut()
            .flat_map(BTreeMap::values_mut)
            .for_each(Self::next_layer);
    }

    fn tree(&self, path: &str, tree: &mut Tree) {
        for (name, node) in self.content.iter().flatten() {
            let path = format!("{path}/{}", char::from(*name));
            node.tree(&path, tree);
            tree.insert(path, (node.mode, node.content.as_ref().err().copied()));
        }
    }
}

fn modelled(layers: &[Vec<Entry>]) -> Option<Tree> {
    let mut root = Node::directory(0o755);
    for layer in layers {
        for entry in layer {
            step(&mut root, *entry)?;
        }
        root.next_layer();
    }
    let mut tree = Tree::new();
    root.tree("", &mut tree);
    Some(tree)
}

fn step(root: &mut Node, entry: Entry) -> Option<()> {
    match entry {
        Entry::Directory(names, _) => {
            let names = names.all();
            let (name, parent) = names.split_last().expect("one name");
            let children = root.made(parent)?.content.as_mut().ok()?;
            let node = children.entry(*name).or_insert_with(|| Node::directory(0));
            if node.content.is_err() {
                *node = Node::directory(0);
            }
            (node.mode, node.ours) = (mode(entry), true);
        }
        Entry::File(names, content) => {
            let names = names.all();
            let (name, parent) = names.split_last().expect("one name");
            let children = root.made(parent)?.content.as_mut().ok()?;
            children.insert(
                *name,
                Node {
                    mode: mode(entry),
                    ours: true,
                    content: Err(content),
                },
            );
        }
        Entry::Remove(names) => {
            let names = names.all();
            let (name, parent) = names.split_last().expect("one name");
            let Some(Node {
                content: Ok(children), ..
            }) = root.found(parent)
            else {
                return Some(());
            };
            let Some(node) = children.get_mut(name) else {
                return Some(());
            };
            match node.strip() {
                false => drop(children.remove(name)),
                // It is as if it had been made for what is in it.
                true if !node.ours => (node.mode, node.ours) = (0o755, true),
                true => {}
            }
        }
        Entry::Clear(names) => {
            let names = names.map(Names::all).unwrap_or_default();
            if let Some(Node {
                content: Ok(children), ..
            }) = root.found(&names)
            {
                children.retain(|_, child| child.strip());
            }
        }
    }
    Some(())
}
