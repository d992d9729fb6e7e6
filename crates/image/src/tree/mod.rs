//! What files has an image? [`Tree`]: the trees of its layers, merged as unpacking would merge them, made of tables of contents alone.
//!
//! It is what [`teu_rootfs::Writer`] would make, by the same rules: links on the way to a name are followed inside the image, a parent that nobody
//! describes is made, a whiteout hides what lower layers left and nothing of its own layer. Where unpacking would fail there is no tree.
//!
//! ```no_run
//! # use std::sync::Arc;
//! # use teu_image::{Image, contents, tree::{Options, Tree}};
//! # async fn example(source: Arc<dyn teu_store::Source>, image: Image) -> teu_store::Result<()> {
//! let tables = contents::of_all(&source, &image.layers, None, &contents::Options::default()).await?;
//! let tree = Tree::of(&tables, &Options::default())?;
//! for (path, file) in tree.walk() {
//!     println!("{path:?} is of layer {:?}", file.layer());
//! }
//! if let Some((path, file)) = tree.find(b"/bin/sh", true)? {
//!     println!("/bin/sh is {path:?}, {:?}", file.kind());
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Which layer has what is told in three ways: [`File::layer`] made the name, [`File::entry`] is the entry that describes the file (another
//! layer's, where the name is a hard link), and [`Tree::hidden`] is what is there no more.
//!
//! # Above what is not known
//!
//! [`Builder::above_unknown`] begins a tree whose lower layers nobody has read. [`Tree::answer`] says then whether they matter: what it has
//! [found](Answer::Found), or knows to be [absent](Answer::Absent), is what the whole image has. So a file of a remote image is found with the fewest
//! layers, the newest first.
//!
//! # Memory
//!
//! A file takes some 200 bytes and its names; [`Limits::tree_bytes`] bounds all of it.

mod answer;
mod apply;
mod remove;
#[cfg(test)]
mod tests;
mod touched;

use std::collections::{BTreeMap, HashSet, btree_map};

use teu_rootfs::{Metadata, Node};
use teu_spec::Digest;
use teu_store::Result;

pub use answer::Answer;
pub use apply::Builder;

use crate::{contents::Contents, glob::Pattern};

/// The root's place among the inodes.
const ROOT: u32 = 0;
/// The layer of what no layer describes.
const NONE: u32 = u32::MAX;

/// How a tree is made.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// How much it may take.
    pub limits: Limits,
    /// What is there no more is remembered, for [`Tree::hidden`].
    pub hidden: bool,
}

/// How much a tree may take. Errors name the field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of memory, about, with what is hidden. Default 1 GiB, some 4,000,000 files.
    pub tree_bytes: usize,
    /// How deep directories may lie in one another. Default 2048.
    pub depth: usize,
    /// The bytes of the path at which a directory really lies, links followed. Default 4095, what Linux allows.
    pub path_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            tree_bytes: 1 << 30,
            depth: 2048,
            path_bytes: 4095,
        }
    }
}

/// The merged tree of layers.
#[derive(Clone, Debug)]
pub struct Tree {
    inodes: Vec<Inode>,
    hidden: Vec<Hidden>,
    unknown: Option<Unknown>,
}

/// What is not certain in a tree above layers that nobody has read.
#[derive(Clone, Debug, Default)]
struct Unknown {
    /// Names that somewhere were made or removed, behind directories that may be links.
    names: HashSet<Box<[u8]>>,
    /// Some directory was cleared, and nobody knows which.
    all: bool,
}

#[derive(Clone, Debug)]
struct Inode {
    node: Node,
    metadata: Metadata,
    content: Option<Box<Digest>>,
    directory: Option<Box<Directory>>,
    names: u32,
    /// Whose entry describes it.
    layer: u32,
    offset: u64,
    /// A hard link to something in a layer that nobody has read.
    elsewhere: bool,
}

#[derive(Clone, Debug, Default)]
struct Directory {
    parent: u32,
    name: Box<[u8]>,
    depth: usize,
    /// How long its path is.
    path_bytes: usize,
    children: BTreeMap<Box<[u8]>, Child>,
    /// Layers that nobody has read have nothing in it.
    whole: bool,
    /// Names that they may have in it, and that are hidden.
    gone: HashSet<Box<[u8]>>,
}

#[derive(Clone, Copy, Debug)]
struct Child {
    inode: u32,
    /// Who made the name.
    layer: u32,
}

/// Something that a layer has and the tree has no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hidden {
    /// Where it was, as in [`Tree::walk`].
    pub path: Vec<u8>,
    /// What it was.
    pub node: Node,
    /// The layer that made this name; none for what no layer describes.
    pub layer: Option<usize>,
    /// The entry that describes the file; none for a directory that no entry describes.
    pub entry: Option<Place>,
    /// The layer that took it away: perhaps the same one, where an archive has a name twice.
    pub by: usize,
    /// How.
    pub how: How,
    /// No other name of the file is left: what is in it is in the image, and in no tree.
    pub last: bool,
}

/// How something is hidden.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum How {
    /// Something else has its name, or that of a directory that it was in.
    Replaced,
    /// By a whiteout of it, or of a directory that it was in.
    Removed,
    /// By an opaque whiteout.
    Cleared,
}

/// The entry of a layer that describes a file, and has its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// The layer's place in the image, the lowest being 0.
    pub layer: usize,
    /// As [`Entry::offset`](crate::contents::Entry::offset).
    pub offset: u64,
}

/// A file of any kind, under one of its names.
#[derive(Clone, Copy, Debug)]
pub struct File<'t> {
    tree: &'t Tree,
    child: Child,
}

impl Tree {
    /// The merged tree of these layers, the lowest first.
    ///
    /// # Errors
    /// As [`Builder::layer`].
    pub fn of(layers: &[Contents], options: &Options) -> Result<Self> {
        let mut builder = Builder::new(options);
        for (position, contents) in layers.iter().enumerate() {
            builder.layer(position, contents)?;
        }
        Ok(builder.finish())
    }

    /// The root, which is always there.
    #[must_use]
    pub fn root(&self) -> File<'_> {
        let child = Child {
            inode: ROOT,
            layer: self.inodes[ROOT as usize].layer,
        };
        File { tree: self, child }
    }

    /// What a path leads to, with its real path, links on the way followed inside the image; the last name too, where `follow` says so. None
    /// where nothing is.
    ///
    /// # Errors
    /// `Invalid` where it leads through more than 40 links: in circles, mostly.
    pub fn find(&self, path: &[u8], follow: bool) -> Result<Option<(Vec<u8>, File<'_>)>> {
        Ok(match self.answer(path, follow)? {
            Answer::Found(path, file) => Some((path, file)),
            Answer::Absent | Answer::Unknown => None,
        })
    }

    /// All files, the root first: a directory, then what is in it, names in the order of their bytes. Paths have no slash at either end, and the
    /// root's is empty.
    #[must_use]
    pub fn walk(&self) -> Walk<'_> {
        self.walk_from(Vec::new(), self.root())
    }

    /// As [`walk`](Self::walk), of a file that is at `path` and of what is in it.
    #[must_use]
    pub fn walk_from<'t>(&'t self, path: Vec<u8>, file: File<'t>) -> Walk<'t> {
        Walk {
            first: Some(file),
            levels: Vec::new(),
            path,
        }
    }

    /// The files whose paths a pattern means, in the order of a walk. Links are not followed.
    pub fn glob<'t>(&'t self, pattern: &'t Pattern) -> impl Iterator<Item = (Vec<u8>, File<'t>)> {
        self.walk().filter(|(path, _)| pattern.matches(path))
    }

    /// What layers have and the tree has not, in the order in which it was hidden; empty unless [`Options::hidden`] asked for it. A directory that a
    /// later layer describes anew is not hidden.
    #[must_use]
    pub fn hidden(&self) -> &[Hidden] {
        &self.hidden
    }

    fn directory(&self, inode: u32) -> Option<&Directory> {
        self.inodes[inode as usize].directory.as_deref()
    }

    /// Where a directory is.
    fn path_of(&self, mut inode: u32) -> Vec<u8> {
        let mut names: Vec<&[u8]> = Vec::new();
        while let Some(directory) = self.directory(inode).filter(|_| inode != ROOT) {
            names.push(&directory.name);
            inode = directory.parent;
        }
        names.reverse();
        names.join(&b'/')
    }
}

impl<'t> File<'t> {
    fn inode(self) -> &'t Inode {
        &self.tree.inodes[self.child.inode as usize]
    }

    /// What it is.
    #[must_use]
    pub fn kind(self) -> &'t Node {
        &self.inode().node
    }

    /// Mode, owner, time and extended attributes.
    #[must_use]
    pub fn metadata(self) -> &'t Metadata {
        &self.inode().metadata
    }

    /// The digest of a regular file's content, where the table of contents has it.
    #[must_use]
    pub fn content(self) -> Option<&'t Digest> {
        self.inode().content.as_deref()
    }

    /// The layer that made this name, or, for a directory, described it last; none for what no layer describes.
    #[must_use]
    pub fn layer(self) -> Option<usize> {
        let layer = match self.inode().directory {
            Some(_) => self.inode().layer,
            None => self.child.layer,
        };
        known(layer)
    }

    /// The entry that describes the file; none for a directory that no entry describes.
    #[must_use]
    pub fn entry(self) -> Option<Place> {
        let inode = self.inode();
        known(inode.layer).map(|layer| Place {
            layer,
            offset: inode.offset,
        })
    }

    /// How many names it has; a directory has one.
    #[must_use]
    pub fn names(self) -> u32 {
        self.inode().names
    }

    /// The same number for all names of one file, and for no other file of this tree.
    #[must_use]
    pub fn number(self) -> u32 {
        self.child.inode
    }

    /// Whether it is a directory.
    #[must_use]
    pub fn is_directory(self) -> bool {
        self.inode().directory.is_some()
    }

    /// What has this name in a directory.
    #[must_use]
    pub fn child(self, name: &[u8]) -> Option<File<'t>> {
        let tree = self.tree;
        let child = self.inode().directory.as_deref()?.children.get(name)?;
        Some(File { tree, child: *child })
    }

    /// What is in a directory, names in the order of their bytes; nothing for what is none.
    pub fn children(self) -> impl Iterator<Item = (&'t [u8], File<'t>)> {
        let tree = self.tree;
        let directory = self.inode().directory.as_deref();
        let children = directory.into_iter().flat_map(|directory| &directory.children);
        children.map(move |(name, child)| (&name[..], File { tree, child: *child }))
    }
}

fn known(layer: u32) -> Option<usize> {
    (layer != NONE).then_some(layer as usize)
}

/// The files of a tree, in order.
#[derive(Debug)]
pub struct Walk<'t> {
    first: Option<File<'t>>,
    levels: Vec<Level<'t>>,
    path: Vec<u8>,
}

#[derive(Debug)]
struct Level<'t> {
    tree: &'t Tree,
    /// The length of the directory's path.
    path: usize,
    children: btree_map::Iter<'t, Box<[u8]>, Child>,
}

impl<'t> Walk<'t> {
    fn enter(&mut self, file: File<'t>) {
        if let Some(directory) = file.inode().directory.as_deref() {
            self.levels.push(Level {
                tree: file.tree,
                path: self.path.len(),
                children: directory.children.iter(),
            });
        }
    }

    /// Passes over what is in the directory that was given last.
    pub fn pass_over(&mut self) {
        if self.levels.last().is_some_and(|level| level.path == self.path.len()) {
            self.levels.pop();
        }
    }
}

impl<'t> Iterator for Walk<'t> {
    type Item = (Vec<u8>, File<'t>);

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(first) = self.first.take() {
            self.enter(first);
            return Some((self.path.clone(), first));
        }
        loop {
            let level = self.levels.last_mut()?;
            self.path.truncate(level.path);
            let Some((name, child)) = level.children.next() else {
                self.levels.pop();
                continue;
            };
            if !self.path.is_empty() {
                self.path.push(b'/');
            }
            self.path.extend_from_slice(name);
            let file = File {
                tree: level.tree,
                child: *child,
            };
            self.enter(file);
            return Some((self.path.clone(), file));
        }
    }
}
