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
//! for found in tree.walk() {
//!     let (path, file) = found?;
//!     println!("{path:?} is of layer {:?}", file.layer());
//! }
//! if let Some((path, file)) = tree.find(b"/bin/sh", true)? {
//!     println!("/bin/sh is {path:?}, {:?}", file.read()?.node);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Which layer has what is told in three ways: [`File::layer`] made the name, [`Described::entry`] is the entry that describes the file (another
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
//! A file takes some 50 bytes: what is said of it, and its name, stay in the tables of contents, which [may lie in files](crate::contents::Options::temporary)
//! and are read where they are asked for. So whatever tells of a file may fail, as its table's file may. [`Limits::tree_bytes`] bounds all of it.

mod answer;
mod apply;
mod file;
mod paths;
mod remove;
mod state;
#[cfg(test)]
mod tests;
mod touched;
mod walk;

use std::sync::Arc;

use teu_rootfs::Node;
use teu_store::Result;

pub use answer::Answer;
pub use apply::Builder;
pub(crate) use apply::{past, reached, split};
pub(crate) use file::described;
pub use file::{Described, File};
pub(crate) use paths::Paths;
pub use walk::Walk;

use self::state::State;
use crate::{contents::Contents, glob::Pattern};

/// The root's number among the paths.
pub(crate) const ROOT: u32 = 0;
/// The layer of what no layer describes, and the entry of what none does.
pub(crate) const NONE: u32 = u32::MAX;

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
    /// Bytes of memory, about, with what is hidden. Default 1 GiB, some 20,000,000 files.
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
    paths: Arc<Paths>,
    state: State,
}

/// What is at a path, as far as it matters to those that lead through it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Directory = 0,
    File = 1,
    Symlink = 2,
    /// A device, a pipe.
    Other = 3,
    /// A hard link to something in a layer that nobody has read.
    Elsewhere = 4,
}

/// Something that a layer has and the tree has no more, by numbers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gone {
    pub(crate) path: u32,
    pub(crate) entry: u32,
    layer: u32,
    by: u32,
    how: How,
    kind: Kind,
    pub(crate) last: bool,
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
        File::new(self, ROOT)
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
        Walk::new(path, file)
    }

    /// The files whose paths a pattern means, in the order of a walk. Links are not followed.
    pub fn glob<'t>(&'t self, pattern: &'t Pattern) -> impl Iterator<Item = Result<(Vec<u8>, File<'t>)>> {
        let is_meant = |found: &Result<(Vec<u8>, File<'_>)>| match found {
            Ok((path, _)) => pattern.matches(path),
            Err(_) => true,
        };
        self.walk().filter(is_meant)
    }

    /// What layers have and the tree has not, in the order in which it was hidden; empty unless [`Options::hidden`] asked for it. A directory that a
    /// later layer describes anew is not hidden.
    pub fn hidden(&self) -> impl Iterator<Item = Result<Hidden>> + '_ {
        self.state.hidden.iter().map(|gone| {
            let described = described(&self.paths, gone.kind, gone.entry)?;
            Ok(Hidden {
                path: self.paths.path(gone.path)?,
                node: described.node,
                layer: known(gone.layer),
                entry: described.entry,
                by: gone.by as usize,
                how: gone.how,
                last: gone.last,
            })
        })
    }

    /// The same by numbers.
    pub(crate) fn gone(&self) -> &[Gone] {
        &self.state.hidden
    }

    pub(crate) fn paths(&self) -> &Arc<Paths> {
        &self.paths
    }

    /// What is at a path, by its number.
    pub(crate) fn file_at(&self, path: u32) -> Option<File<'_>> {
        self.state.inode_at(path).map(|_| File::new(self, path))
    }
}

fn known(layer: u32) -> Option<usize> {
    (layer != NONE).then_some(layer as usize)
}
