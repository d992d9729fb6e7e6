//! How do layers become one tree? [`Builder`] takes them one upon the other, entry by entry, as [`teu_rootfs::Writer`] does with files.

use std::collections::{BTreeMap, HashSet};

use teu_archive::Escaped;
use teu_rootfs::{Metadata, Node};
use teu_store::{Error, ErrorKind, Result};

use super::{Child, Directory, How, Inode, NONE, Options, ROOT, Tree, Unknown, answer::Way};
use crate::contents::{Contents, Entry, What};

/// What a file takes, beside its names: the inode, and its place in the map of its directory.
const FILE: usize = size_of::<Inode>() + 48;

/// Makes a tree of layers. A copy goes on from where it was made.
#[derive(Clone, Debug)]
pub struct Builder {
    pub(super) tree: Tree,
    pub(super) options: Options,
    pub(super) layer: u32,
    /// Inodes that nothing has any more.
    pub(super) free: Vec<u32>,
    /// Directories in which nothing of an earlier layer is left, so that they are not walked twice.
    pub(super) cleared: HashSet<u32>,
    pub(super) bytes: usize,
    /// The paths of which something became, where that is to be known.
    pub(super) touched: Option<Vec<Vec<u8>>>,
}

/// What a path to a directory leads to.
pub(super) enum Step {
    At(u32),
    Missing,
    /// Nobody knows before lower layers are read.
    Doubt,
}

impl Builder {
    /// Begins with no layer: the root alone, which is a directory with mode 0755.
    #[must_use]
    pub fn new(options: &Options) -> Self {
        Self::beginning(options, None)
    }

    /// Begins above layers that nobody has read.
    #[must_use]
    pub fn above_unknown(options: &Options) -> Self {
        Self::beginning(options, Some(Unknown::default()))
    }

    fn beginning(options: &Options, unknown: Option<Unknown>) -> Self {
        let mut root = implied(NONE);
        root.directory = Some(Box::new(Directory {
            whole: unknown.is_none(),
            ..Directory::default()
        }));
        root.names = 1;
        Self {
            tree: Tree {
                inodes: vec![root],
                hidden: Vec::new(),
                unknown,
            },
            options: options.clone(),
            layer: 0,
            free: Vec::new(),
            cleared: HashSet::new(),
            bytes: 0,
            touched: None,
        }
    }

    /// Puts a layer on top; `position` is its place in the image, higher than those before.
    ///
    /// # Errors
    /// `Invalid` for an entry that could not be unpacked, such as a hard link to nothing or a file where another one's directory would be; `TooLarge`
    /// for what reaches a limit. The tree is of no use then.
    pub fn layer(&mut self, position: usize, contents: &Contents) -> Result<()> {
        self.layer = u32::try_from(position).unwrap_or(NONE - 1);
        self.cleared.clear();
        for entry in contents.entries() {
            let applied = self.entry(&entry);
            applied.map_err(|error| error.within(format!("{entry} of layer {}", contents.layer())))?;
        }
        Ok(())
    }

    /// The tree of all layers so far.
    #[must_use]
    pub fn finish(self) -> Tree {
        self.tree
    }

    fn entry(&mut self, entry: &Entry) -> Result<()> {
        match &entry.what {
            What::Make(Node::Directory) => self.make_directory(entry),
            What::Make(node) => {
                let Some((directory, name)) = self.place(&entry.path)? else {
                    return Ok(());
                };
                let inode = self.inode(node.clone(), entry)?;
                self.put(directory, &name, inode)
            }
            What::HardLink(target) => self.hard_link(&entry.path, target),
            What::Remove(path) => self.remove(path),
            What::Clear(path) => self.clear(path),
        }
    }

    fn make_directory(&mut self, entry: &Entry) -> Result<()> {
        let (parent, name) = split(&entry.path);
        let at = if matches!(name, b"" | b"..") {
            // The root, or a directory above.
            match self.directory_at(&entry.path, true)? {
                Step::At(at) => at,
                Step::Missing | Step::Doubt => return Ok(()),
            }
        } else {
            let Step::At(above) = self.directory_at(parent, true)? else {
                self.doubt(&[name]);
                return Ok(());
            };
            match self.tree.child(above, name) {
                Some(child) if self.tree.directory(child.inode).is_some() => {
                    let layer = self.layer;
                    if let Some(child) = self.children(above).get_mut(name) {
                        child.layer = layer;
                    }
                    child.inode
                }
                _ => self.new_directory(above, name)?,
            }
        };
        let xattrs = size_of_xattrs(&entry.metadata);
        self.spend(xattrs)?;
        let inode = &mut self.tree.inodes[at as usize];
        let before = std::mem::replace(&mut inode.metadata, entry.metadata.clone());
        (inode.layer, inode.offset) = (self.layer, entry.offset);
        self.bytes -= size_of_xattrs(&before);
        self.touch_directory(at)
    }

    fn hard_link(&mut self, path: &[u8], target: &[u8]) -> Result<()> {
        let (parent, name) = split(target);
        if matches!(name, b"" | b"..") {
            return Err(invalid("it is a hard link to a directory"));
        }
        let nothing = || invalid("it is a hard link, and nothing is where it leads to");
        let target = match self.directory_at(parent, false)? {
            Step::At(at) if self.tree.is_doubtful(name) => Err(at),
            Step::At(at) => match self.tree.child(at, name) {
                Some(child) => Ok((at, child.inode)),
                None if self.tree.may_have(at, name) => Err(at),
                None => return Err(nothing()),
            },
            Step::Missing => return Err(nothing()),
            Step::Doubt => Err(NONE),
        };
        if let Ok((_, inode)) = target
            && self.tree.directory(inode).is_some()
        {
            return Err(invalid("it is a hard link to a directory"));
        }
        let Some((directory, leaf)) = self.place(path)? else {
            return Ok(());
        };
        if let Ok((at, _)) | Err(at) = target
            && (at, name) == (directory, &leaf[..])
        {
            return Err(invalid("it is a hard link to itself"));
        }
        let inode = match target {
            Ok((at, inode)) => {
                let there = self.tree.child(directory, &leaf);
                if there.is_some_and(|there| there.inode == inode) {
                    let layer = self.layer;
                    if let Some(child) = self.children(directory).get_mut(&leaf[..]) {
                        child.layer = layer;
                    }
                    return self.touch(directory, &leaf);
                }
                if there.is_some() {
                    self.take_away(directory, &leaf, How::Replaced)?;
                    // What was replaced may have had the target in it.
                    let still = self.tree.directory(at).is_some() && self.tree.child(at, name).is_some();
                    if !still {
                        return Err(nothing());
                    }
                }
                inode
            }
            Err(_) => {
                let mut inode = implied(self.layer);
                (inode.node, inode.elsewhere) = (Node::File(0), true);
                self.add(inode)?
            }
        };
        self.put(directory, &leaf, inode)
    }

    /// Where an entry that is no directory is made: its directory, and its name; none where nobody knows.
    fn place(&mut self, path: &[u8]) -> Result<Option<(u32, Vec<u8>)>> {
        let (parent, name) = split(path);
        match self.directory_at(parent, true)? {
            Step::At(at) => Ok(Some((at, name.to_vec()))),
            Step::Missing | Step::Doubt => {
                self.doubt(&[name]);
                Ok(None)
            }
        }
    }

    /// Resolves a path to a directory; `make` makes those that are missing.
    pub(super) fn directory_at(&mut self, path: &[u8], make: bool) -> Result<Step> {
        let mut way = Way::new(path);
        let mut at = ROOT;
        while let Some(name) = way.next() {
            if name == b".." {
                at = self.tree.above(at);
                continue;
            }
            let child = self.tree.child(at, &name);
            let elsewhere = child.is_some_and(|child| self.tree.inodes[child.inode as usize].elsewhere);
            let may_be_link = child.is_none() && self.tree.may_have(at, &name);
            if elsewhere || may_be_link || self.tree.is_doubtful(&name) {
                let mut names = vec![name];
                while let Some(name) = way.next() {
                    names.push(name);
                }
                self.doubt(&names);
                return Ok(Step::Doubt);
            }
            match child.map(|child| (child.inode, &self.tree.inodes[child.inode as usize].node)) {
                Some((inode, Node::Directory)) => at = inode,
                Some((_, Node::Symlink(target))) => match way.follow(at, target, path) {
                    Ok(next) => at = next,
                    Err(error) if make => return Err(error),
                    // Nothing is where a circle of links leads to.
                    Err(_) => return Ok(Step::Missing),
                },
                Some(_) if make => {
                    let what = format!("\"{}\" is a file, and no directory", Escaped(&name));
                    return Err(Error::new(ErrorKind::Invalid, what));
                }
                Some(_) => return Ok(Step::Missing),
                None if make => at = self.new_directory(at, &name)?,
                None => return Ok(Step::Missing),
            }
        }
        Ok(Step::At(at))
    }

    /// Notes names of which nobody knows where they are made or removed.
    pub(super) fn doubt<N: AsRef<[u8]>>(&mut self, names: &[N]) {
        if let Some(unknown) = &mut self.tree.unknown {
            unknown.names.extend(names.iter().map(|name| name.as_ref().into()));
        }
    }

    /// Makes a directory that no entry describes yet, in the place of whatever is there.
    fn new_directory(&mut self, above: u32, name: &[u8]) -> Result<u32> {
        let depth = self.tree.directory(above).map_or(0, |above| above.depth) + 1;
        let limit = self.options.limits.depth;
        if depth > limit {
            return Err(reached("depth", limit, "directories lie deeper in one another"));
        }
        let path_bytes = self.tree.directory(above).map_or(0, |above| above.path_bytes);
        // A slash stands between two names.
        let path_bytes = path_bytes + usize::from(path_bytes > 0) + name.len();
        let limit = self.options.limits.path_bytes;
        if path_bytes > limit {
            return Err(reached(
                "path_bytes",
                limit,
                "a directory lies deeper than a path can say",
            ));
        }
        let whole = self.tree.child(above, name).is_some() || !self.tree.may_have(above, name);
        let mut inode = implied(NONE);
        inode.directory = Some(Box::new(Directory {
            parent: above,
            name: name.into(),
            depth,
            path_bytes,
            whole,
            ..Directory::default()
        }));
        self.spend(size_of::<Directory>() + name.len())?;
        let inode = self.add(inode)?;
        self.put(above, name, inode)?;
        Ok(inode)
    }

    /// A new file, as an entry describes it.
    fn inode(&mut self, node: Node, entry: &Entry) -> Result<u32> {
        self.add(Inode {
            node,
            metadata: entry.metadata.clone(),
            content: entry.content.map(Box::new),
            directory: None,
            names: 0,
            layer: self.layer,
            offset: entry.offset,
            elsewhere: false,
        })
    }

    fn add(&mut self, inode: Inode) -> Result<u32> {
        self.spend(size_of_file(&inode))?;
        if let Some(free) = self.free.pop() {
            self.tree.inodes[free as usize] = inode;
            return Ok(free);
        }
        let number = u32::try_from(self.tree.inodes.len())
            .ok()
            .filter(|number| *number < NONE);
        let number = number.ok_or_else(|| reached("tree_bytes", NONE as usize, "there are more files"))?;
        self.tree.inodes.push(inode);
        Ok(number)
    }

    /// Gives a file a name, in the place of whatever has it.
    fn put(&mut self, directory: u32, name: &[u8], inode: u32) -> Result<()> {
        if self.tree.child(directory, name).is_some() {
            self.take_away(directory, name, How::Replaced)?;
        }
        self.spend(name.len())?;
        let layer = self.layer;
        self.children(directory).insert(name.into(), Child { inode, layer });
        self.tree.inodes[inode as usize].names += 1;
        self.touch(directory, name)
    }

    pub(super) fn children(&mut self, directory: u32) -> &mut BTreeMap<Box<[u8]>, Child> {
        let directory = self.tree.inodes[directory as usize].directory.get_or_insert_default();
        &mut directory.children
    }

    pub(super) fn spend(&mut self, bytes: usize) -> Result<()> {
        self.bytes += bytes;
        let limit = self.options.limits.tree_bytes;
        match self.bytes > limit {
            true => Err(reached("tree_bytes", limit, "the tree of the image takes more memory")),
            false => Ok(()),
        }
    }
}

pub(super) fn size_of_file(inode: &Inode) -> usize {
    let content = inode.content.as_ref().map_or(0, |digest| size_of_val(&**digest));
    FILE + content + size_of_text(&inode.node) + size_of_xattrs(&inode.metadata)
}

pub(super) fn size_of_text(node: &Node) -> usize {
    match node {
        Node::Symlink(text) => text.len(),
        _ => 0,
    }
}

fn size_of_xattrs(metadata: &Metadata) -> usize {
    let xattrs = metadata.xattrs.iter();
    xattrs.map(|(name, value)| name.len() + value.len() + 80).sum()
}

/// What a directory is that no entry describes.
pub(super) fn implied(layer: u32) -> Inode {
    Inode {
        node: Node::Directory,
        metadata: Metadata {
            mode: 0o755,
            ..Metadata::default()
        },
        content: None,
        directory: None,
        names: 0,
        layer,
        offset: 0,
        elsewhere: false,
    }
}

/// The directory of a path and the last name: empty for the root, or `..`.
pub(super) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    let mut whole = path;
    loop {
        whole = match whole {
            [before @ .., b'/'] | [before @ .., b'/', b'.'] => before,
            b"." => &[],
            _ => break,
        }
    }
    let name = whole
        .iter()
        .rposition(|byte| *byte == b'/')
        .map_or(0, |slash| slash + 1);
    whole.split_at(name)
}

fn invalid(why: &str) -> Error {
    Error::new(ErrorKind::Invalid, why)
}

fn reached(limit: &str, value: usize, what: &str) -> Error {
    let message = format!("{what} (the limit {limit} is {value}; raise it only for an image that you trust)");
    Error::new(ErrorKind::TooLarge, message)
}
