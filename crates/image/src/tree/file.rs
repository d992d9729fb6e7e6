//! What is told of one file of a tree?

use teu_rootfs::{Metadata, Node};
use teu_spec::Digest;
use teu_store::Result;

use super::{Kind, NONE, Place, Tree, known, paths::Paths, state::child};

/// A file of any kind, under one of its names.
#[derive(Clone, Copy, Debug)]
pub struct File<'t> {
    tree: &'t Tree,
    path: u32,
}

/// What is said of a file by the entry that describes it, or of a directory that none describes by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    /// What it is.
    pub node: Node,
    /// Mode, owner, time and extended attributes.
    pub metadata: Metadata,
    /// The digest of a regular file's content, where the table of contents has it.
    pub content: Option<Digest>,
    /// The entry; none for a directory that none describes.
    pub entry: Option<Place>,
}

impl<'t> File<'t> {
    pub(super) fn new(tree: &'t Tree, path: u32) -> Self {
        Self { tree, path }
    }

    /// What is said of it.
    ///
    /// # Errors
    /// That of the file in which its table of contents lies.
    pub fn read(self) -> Result<Described> {
        let entry = self.entry_number().unwrap_or(NONE);
        described(&self.tree.paths, self.kind(), entry)
    }

    pub(super) fn kind(self) -> Kind {
        self.tree.state.kind(self.path).unwrap_or(Kind::Elsewhere)
    }

    /// Whether it is a directory.
    #[must_use]
    pub fn is_directory(self) -> bool {
        self.kind() == Kind::Directory
    }

    /// Whether it is a regular file.
    #[must_use]
    pub fn is_regular(self) -> bool {
        self.kind() == Kind::File
    }

    /// The layer that made this name, or, for a directory, described it last; none for what no layer describes.
    #[must_use]
    pub fn layer(self) -> Option<usize> {
        match self.is_directory() {
            true => self
                .entry_number()
                .and_then(|entry| known(self.tree.paths.layer(entry))),
            false => known(self.tree.state.layer(self.path)),
        }
    }

    /// The number of the entry that describes it among those of all layers.
    pub(crate) fn entry_number(self) -> Option<u32> {
        let inode = self.tree.state.at(self.path)?;
        (inode.entry != NONE).then_some(inode.entry)
    }

    /// How many names it has; a directory has one.
    #[must_use]
    pub fn names(self) -> u32 {
        self.tree.state.at(self.path).map_or(0, super::state::Inode::names)
    }

    /// The same number for all names of one file, and for no other file of this tree.
    #[must_use]
    pub fn number(self) -> u32 {
        self.tree.state.inode_at(self.path).unwrap_or(NONE)
    }

    /// The number of its path.
    pub(crate) fn path_number(self) -> u32 {
        self.path
    }

    /// Its real path, without a slash at either end.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn path(self) -> Result<Vec<u8>> {
        self.tree.paths.path(self.path)
    }

    /// What has this name in a directory.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn child(self, name: &[u8]) -> Result<Option<Self>> {
        let child = child(&self.tree.paths, &self.tree.state, self.path, name)?;
        Ok(child.map(|path| Self::new(self.tree, path)))
    }

    /// What is in a directory, by the numbers of paths.
    pub(crate) fn unordered(self) -> Vec<u32> {
        match self.is_directory() {
            true => self.tree.state.children(self.path),
            false => Vec::new(),
        }
    }

    /// The same in the order of the names.
    pub(crate) fn children(self) -> Result<Vec<u32>> {
        let mut children = self.unordered();
        self.tree.paths.sort(&mut children)?;
        Ok(children)
    }

    pub(super) fn tree(self) -> &'t Tree {
        self.tree
    }
}

/// What an entry says of a file of this kind, or, where it is none, what a directory is that no entry describes.
pub(crate) fn described(paths: &Paths, kind: Kind, entry: u32) -> Result<Described> {
    if entry == NONE {
        return Ok(Described {
            node: Node::Directory,
            metadata: Metadata {
                mode: 0o755,
                ..Metadata::default()
            },
            content: None,
            entry: None,
        });
    }
    let layer = known(paths.layer(entry));
    paths.with(entry, |raw| {
        Ok(Described {
            node: match kind {
                Kind::Elsewhere => Node::File(0),
                _ => raw.node().unwrap_or(Node::Directory),
            },
            metadata: raw.metadata()?,
            content: raw.content(),
            entry: layer.map(|layer| Place {
                layer,
                offset: raw.offset,
            }),
        })
    })
}
