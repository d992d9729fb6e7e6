//! How does a tree of files on a disk become entries of a layer?

use std::collections::BTreeMap;

use teu_archive::{Escaped, tar::EntryKind};
use teu_rootfs::{
    self as files, Metadata, Node,
    walk::{self, Found, Walk},
};
use teu_store::{Error, ErrorKind, Result};

use super::{
    Writer,
    header::{hard_link, header},
};
use crate::{failure::of_files, whiteout};

/// How the files of a tree are put into a layer.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    /// The path in the image at which the top of the tree stands, without a slash at either end; empty for the root.
    pub at: Vec<u8>,
    /// What the directory is like that the image has there, where it is to stay so; else it becomes as the top of the tree.
    pub top: Option<Box<Metadata>>,
    /// Who owns the files.
    pub owners: Owners,
    /// Whether times keep their fractions of a second. What builds images leaves them out: they take a header of 1 KiB for each file.
    pub fractions: bool,
}

/// Who owns the files of a tree in the image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owners {
    /// Whom the files belonged to before these owners were given to them on the disk: as [`undo`](files::Owners::undo) has it.
    Undo {
        /// How the tree's owners became those on the disk.
        owners: files::Owners,
        /// The user and the group that stand for root where nothing could be given away.
        own: (u32, u32),
    },
    /// These own all.
    Set {
        /// The user's number.
        uid: u32,
        /// The group's number.
        gid: u32,
    },
}

impl Default for Owners {
    /// Who owns them on the disk.
    fn default() -> Self {
        Self::Undo {
            owners: files::Owners::Kept,
            own: (0, 0),
        }
    }
}

impl Owners {
    fn apply(&self, path: &[u8], metadata: &mut Metadata) -> Result<()> {
        match self {
            Self::Undo { owners, own } => owners.undo(path, metadata, *own).map_err(of_files),
            Self::Set { uid, gid } => {
                metadata.xattrs.remove(files::RECORD.as_bytes());
                (metadata.uid, metadata.gid) = (*uid, *gid);
                Ok(())
            }
        }
    }
}

/// How a tree is walked that becomes a layer: with those extended attributes that mean the same in every container, what a file may do
/// (`security.capability`) and what users noted (`user.*`). What this machine says of its files for itself stays here, as with all who build
/// images.
#[must_use]
pub fn walk_options() -> walk::Options {
    walk::Options {
        xattrs: |name| {
            name == b"security.capability" || (name.starts_with(b"user.") && !name.starts_with(b"user.overlay."))
        },
        ..walk::Options::default()
    }
}

impl Writer<'_> {
    /// Appends all files of a tree, in the order of the walk. The root of the image itself is left as it is: a tree that is put there gives
    /// what is in its top, and not its top. `passed_over` is told of sockets, which no layer can hold.
    ///
    /// # Errors
    /// `Conflict` where the tree is changed while it is read; `Invalid` for a file whose name would make it a whiteout; what else the walk says;
    /// as [`append_from`](Self::append_from).
    pub fn append_tree(&mut self, walk: &mut Walk, tree: &Tree, mut passed_over: impl FnMut(&[u8])) -> Result<()> {
        while let Some(mut found) = walk.next_file().map_err(of_files)? {
            let path = joined(&tree.at, found.path);
            if path.is_empty() {
                if found.node == Node::Directory {
                    continue;
                }
                let message = "the root of an image is a directory, and can be nothing else; give a path in it";
                return Err(Error::new(ErrorKind::Invalid, message));
            }
            if let Some(top) = tree
                .top
                .as_ref()
                .filter(|_| found.path.is_empty() && found.node == Node::Directory)
                && let Some(header) = header(&path, &found.node, top)
            {
                self.append(&header)?;
                continue;
            }
            if found.node == Node::Socket {
                passed_over(found.path);
                continue;
            }
            let link = found.link.as_ref().map(|first| joined(&tree.at, first));
            let more = BTreeMap::new();
            self.append_found(&mut found, &path, link.as_deref(), &tree.owners, tree.fractions, more)?;
        }
        Ok(())
    }

    /// Appends one file of a tree, which is no socket, at a path in the image: another name of `link`, where there is one, which stands before it. It gets
    /// `more` extended attributes beside its own.
    pub(crate) fn append_found(
        &mut self,
        found: &mut Found<'_>,
        path: &[u8],
        link: Option<&[u8]>,
        owners: &Owners,
        fractions: bool,
        more: BTreeMap<Vec<u8>, Vec<u8>>,
    ) -> Result<()> {
        check_name(path)?;
        found.read_xattrs().map_err(of_files)?;
        let metadata = &mut found.metadata;
        owners.apply(path, metadata)?;
        for (name, value) in more {
            metadata.xattrs.entry(name).or_insert(value);
        }
        if !fractions {
            metadata.mtime.nanoseconds = 0;
        }
        if let Some(first) = link {
            return self.append(&hard_link(path, first, metadata));
        }
        let Some(header) = header(path, &found.node, metadata) else {
            return Ok(());
        };
        match header.kind {
            EntryKind::Regular => {
                let content = found.open().map_err(of_files)?;
                self.append_from(&header, content)
            }
            _ => self.append(&header),
        }
    }
}

/// A file of a tree hides nothing: who means a whiteout says so, or has it in an archive.
fn check_name(path: &[u8]) -> Result<()> {
    match whiteout::meaning(path) {
        whiteout::Meaning::Make => Ok(()),
        _ => Err(Error::new(
            ErrorKind::Invalid,
            format!(
                "{}: in a layer a name that begins with .wh. hides another file; rename it, or pack the tree with tar where that is meant",
                Escaped(path)
            ),
        )),
    }
}

fn joined(directory: &[u8], path: &[u8]) -> Vec<u8> {
    match (directory, path) {
        ([], path) => path.to_vec(),
        (directory, []) => directory.to_vec(),
        (directory, path) => [directory, b"/", path].concat(),
    }
}
