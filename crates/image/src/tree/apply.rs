//! How do layers become one tree? [`Builder`] takes them one upon the other, entry by entry, as [`teu_rootfs::Writer`] does with files.

use std::{collections::HashSet, sync::Arc};

use teu_archive::Escaped;
use teu_store::{Error, ErrorKind, Result};

use super::{
    How, Kind, NONE, Options, Paths, ROOT, Tree,
    answer::Way,
    state::{FILE, Inode, State, Unknown, above, child},
};
use crate::{
    contents::{Contents, Does, Raw},
    room,
    whiteout::Meaning,
};

/// Makes a tree of layers.
#[derive(Clone, Debug)]
pub struct Builder {
    pub(super) paths: Paths,
    pub(super) state: State,
    pub(super) options: Options,
    pub(super) layer: u32,
    /// Directories in which nothing of an earlier layer is left, so that they are not walked twice.
    pub(super) cleared: HashSet<u32>,
    /// The paths of which something became, where that is to be known.
    pub(super) touched: Option<Vec<u32>>,
    /// Where the directory lies that was found last, as long as nothing was taken away that may be on the way.
    pub(super) found: Option<(Vec<u8>, u32)>,
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
        Self::going_on(Paths::new(), State::new(None), options)
    }

    /// Begins above layers that nobody has read.
    #[must_use]
    pub fn above_unknown(options: &Options) -> Self {
        Self::going_on(Paths::new(), State::new(Some(Unknown::default())), options)
    }

    fn going_on(paths: Paths, state: State, options: &Options) -> Self {
        Self {
            paths,
            state,
            options: options.clone(),
            layer: 0,
            cleared: HashSet::new(),
            touched: None,
            found: None,
        }
    }

    /// Puts a layer on top; `position` is its place in the image, higher than those before.
    ///
    /// # Errors
    /// `Invalid` for an entry that could not be unpacked, such as a hard link to nothing, a file where another one's directory would be, or a directory
    /// past the limit `path_bytes`; `TooLarge` for what reaches another limit, which is the tree's own; that of the file in which a table of contents
    /// lies. The tree is of no use then.
    pub fn layer(&mut self, position: usize, contents: &Contents) -> Result<()> {
        self.layer = u32::try_from(position).unwrap_or(NONE - 1);
        self.cleared.clear();
        let first = self.paths.add(self.layer, contents)?;
        // As much as there may be, so that nothing grows step by step: what is not used is not taken from the machine.
        let more = usize::try_from(contents.count()).unwrap_or(0);
        self.paths.reserve(more);
        self.state.reserve(more);
        if let Some(touched) = &mut self.touched {
            room::reserve(touched, more);
        }
        let mut reader = contents.reader();
        while let Some(entry) = reader.next()? {
            let applied = self.entry(&entry, first + entry.number);
            applied
                .map_err(|error| error.within(format!("\"{}\" of layer {}", Escaped(entry.path), contents.layer())))?;
        }
        Ok(())
    }

    /// The tree of all layers so far.
    #[must_use]
    pub fn finish(self) -> Tree {
        let paths = Arc::new(self.paths);
        Tree {
            paths,
            state: self.state,
        }
    }

    /// Two trees that begin with the same layers: of these, of these and some more, and of these and some others. What both have of paths is
    /// there once; the layers are given by their places in two images. Without others, there is one.
    pub(crate) fn both(
        begin: &[Contents],
        [some, others]: [&[Contents]; 2],
        options: &Options,
    ) -> Result<(Tree, Tree)> {
        let mut builder = Self::new(options);
        let on_top = |builder: &mut Self, layers: &[Contents], from: usize| -> Result<()> {
            for (place, table) in layers.iter().enumerate() {
                builder.layer(from + place, table)?;
            }
            Ok(())
        };
        on_top(&mut builder, begin, 0)?;
        let state = builder.fork();
        on_top(&mut builder, some, begin.len())?;
        let (one, paths) = (builder.state, builder.paths);
        let mut builder = Self::going_on(paths, state, options);
        on_top(&mut builder, others, begin.len())?;
        let (other, paths) = (builder.state, Arc::new(builder.paths));
        let one = Tree {
            paths: Arc::clone(&paths),
            state: one,
        };
        Ok((one, Tree { paths, state: other }))
    }

    fn entry(&mut self, entry: &Raw<'_>, number: u32) -> Result<()> {
        let kind = match entry.does() {
            Does::Directory => return self.make_directory(entry.path, number),
            Does::HardLink(target) => return self.hard_link(entry.path, target, number),
            Does::Whiteout(Meaning::Hide { directory, name }) => return self.remove(directory, name),
            Does::Whiteout(Meaning::Clear(directory)) => return self.clear(directory),
            // There are no others in a table.
            Does::Whiteout(_) => return Ok(()),
            Does::File => Kind::File,
            Does::Symlink(_) => Kind::Symlink,
            Does::Node => Kind::Other,
        };
        let Some((directory, name)) = self.place(entry.path)? else {
            return Ok(());
        };
        let inode = self.add(Inode::new(kind, number))?;
        let path = self.intern(directory, name, Some(number))?;
        self.put(path, inode)
    }

    fn make_directory(&mut self, path: &[u8], number: u32) -> Result<()> {
        let (parent, name) = split(path);
        let at = if matches!(name, b"" | b"..") {
            // The root, or a directory above.
            match self.directory_at(path, true)? {
                Step::At(at) => at,
                Step::Missing | Step::Doubt => return Ok(()),
            }
        } else {
            let Step::At(above) = self.directory_at(parent, true)? else {
                self.doubt(&[name]);
                return Ok(());
            };
            match self.child(above, name)? {
                Some(child) if self.state.is_directory(child) => {
                    self.state.set_layer(child, self.layer);
                    child
                }
                _ => self.new_directory(above, name)?,
            }
        };
        self.state.describe(at, number);
        self.touch(at)
    }

    fn hard_link(&mut self, path: &[u8], target: &[u8], number: u32) -> Result<()> {
        let (parent, name) = split(target);
        if matches!(name, b"" | b"..") {
            return Err(invalid("it is a hard link to a directory"));
        }
        let nothing = || invalid("it is a hard link, and nothing is where it leads to");
        // The directory of what it leads to, where that is known, and what that is.
        let (at, target) = match self.directory_at(parent, false)? {
            Step::At(at) => match self.child(at, name)? {
                child if self.state.is_doubtful(name, child) => (Some(at), None),
                Some(child) => (Some(at), Some(child)),
                None if self.may_have(at, name)? => (Some(at), None),
                None => return Err(nothing()),
            },
            Step::Missing => return Err(nothing()),
            Step::Doubt => (None, None),
        };
        if target.is_some_and(|target| self.state.is_directory(target)) {
            return Err(invalid("it is a hard link to a directory"));
        }
        let Some((directory, leaf)) = self.place(path)? else {
            return Ok(());
        };
        if at == Some(directory) && name == leaf {
            return Err(invalid("it is a hard link to itself"));
        }
        let path = self.intern(directory, leaf, Some(number))?;
        let inode = match target.and_then(|target| Some((target, self.state.inode_at(target)?))) {
            Some((target, inode)) => {
                let there = self.state.inode_at(path);
                if there == Some(inode) {
                    self.state.set_layer(path, self.layer);
                    return self.touch(path);
                }
                if there.is_some() {
                    self.take_away(path, How::Replaced)?;
                    // What was replaced may have had the target in it.
                    if self.state.inode_at(target).is_none() {
                        return Err(nothing());
                    }
                }
                inode
            }
            None => self.add(Inode::new(Kind::Elsewhere, number))?,
        };
        self.put(path, inode)
    }

    /// Where an entry that is no directory is made: its directory, and its name; none where nobody knows.
    fn place<'p>(&mut self, path: &'p [u8]) -> Result<Option<(u32, &'p [u8])>> {
        let (parent, name) = split(path);
        match self.directory_at(parent, true)? {
            Step::At(at) => Ok(Some((at, name))),
            Step::Missing | Step::Doubt => {
                self.doubt(&[name]);
                Ok(None)
            }
        }
    }

    /// Resolves a path to a directory; `make` makes those that are missing.
    pub(super) fn directory_at(&mut self, path: &[u8], make: bool) -> Result<Step> {
        if let Some((found, at)) = &self.found
            && found == path
        {
            return Ok(Step::At(*at));
        }
        let step = self.resolved(path, make)?;
        // Above what is not known, what was certain once may not stay so.
        if let Step::At(at) = step
            && self.state.unknown.is_none()
        {
            let (found, place) = self.found.get_or_insert_default();
            found.clear();
            found.extend_from_slice(path);
            *place = at;
        }
        Ok(step)
    }

    fn resolved(&mut self, path: &[u8], make: bool) -> Result<Step> {
        let mut way = Way::new(path);
        let mut at = ROOT;
        while let Some(name) = way.next() {
            if name == b".." {
                at = above(&self.paths, at);
                continue;
            }
            let child = self.child(at, &name)?;
            let kind = child.and_then(|child| self.state.kind(child));
            let may_be_link = child.is_none() && self.may_have(at, &name)?;
            if kind == Some(Kind::Elsewhere) || may_be_link || self.state.is_doubtful(&name, child) {
                let mut names = vec![name];
                while let Some(name) = way.next() {
                    names.push(name);
                }
                self.doubt(&names);
                return Ok(Step::Doubt);
            }
            match (child, kind) {
                (Some(child), Some(Kind::Directory)) => at = child,
                (Some(child), Some(Kind::Symlink)) => {
                    let target = super::answer::target(&self.paths, &self.state, child)?;
                    match way.follow(at, target, path) {
                        Ok(next) => at = next,
                        Err(error) if make => return Err(error),
                        // Nothing is where a circle of links leads to.
                        Err(_) => return Ok(Step::Missing),
                    }
                }
                (Some(_), _) if make => {
                    let what = format!("\"{}\" is a file, and no directory", Escaped(&name));
                    return Err(Error::new(ErrorKind::Invalid, what));
                }
                (Some(_), _) => return Ok(Step::Missing),
                (None, _) if make => at = self.new_directory(at, &name)?,
                (None, _) => return Ok(Step::Missing),
            }
        }
        Ok(Step::At(at))
    }

    /// Notes names of which nobody knows where they are made or removed.
    pub(super) fn doubt<N: AsRef<[u8]>>(&mut self, names: &[N]) {
        if let Some(unknown) = &mut self.state.unknown {
            unknown.names.extend(names.iter().map(|name| name.as_ref().into()));
        }
    }

    /// Makes a directory that no entry describes yet, in the place of whatever is there.
    fn new_directory(&mut self, above: u32, name: &[u8]) -> Result<u32> {
        let (mut depth, mut path_bytes) = (1, name.len());
        let mut up = above;
        let mut way = Vec::new();
        while up != ROOT {
            way.clear();
            self.paths.name_at(self.paths.name(up), &mut way)?;
            // A slash stands between two names.
            (depth, path_bytes) = (depth + 1, path_bytes + way.len() + 1);
            up = self.paths.parent(up);
        }
        // As unpacking has it, which knows no other limit of a place.
        let limit = self.options.limits.path_bytes;
        if path_bytes > limit {
            let what = "a directory lies deeper than a path can say";
            return Err(Error::new(ErrorKind::Invalid, past("path_bytes", limit, what)));
        }
        let limit = self.options.limits.depth;
        if depth > limit {
            return Err(reached("depth", limit, "directories lie deeper in one another"));
        }
        let whole = self.child(above, name)?.is_some() || !self.may_have(above, name)?;
        let inode = self.add(Inode::new(Kind::Directory, NONE))?;
        let path = self.intern(above, name, None)?;
        self.put(path, inode)?;
        self.state.set_whole(path, whole);
        Ok(path)
    }

    fn add(&mut self, inode: Inode) -> Result<u32> {
        self.spend(FILE)?;
        Ok(self.state.add(inode))
    }

    /// The path of this name, which `entry` has or none.
    pub(super) fn intern(&mut self, directory: u32, name: &[u8], entry: Option<u32>) -> Result<u32> {
        let (path, bytes) = self.paths.intern(directory, name, entry)?;
        self.spend(bytes)?;
        Ok(path)
    }

    /// Gives a file a name, in the place of whatever has it.
    fn put(&mut self, path: u32, inode: u32) -> Result<()> {
        if self.state.inode_at(path).is_some() {
            self.take_away(path, How::Replaced)?;
        }
        self.state.attach(&self.paths, path, inode, self.layer);
        self.touch(path)
    }

    pub(super) fn child(&self, directory: u32, name: &[u8]) -> Result<Option<u32>> {
        child(&self.paths, &self.state, directory, name)
    }

    /// Whether layers that nobody has read may have this name here.
    pub(super) fn may_have(&self, directory: u32, name: &[u8]) -> Result<bool> {
        if self.state.unknown.is_none() {
            return Ok(false);
        }
        let path = self.paths.find(directory, name)?;
        Ok(self.state.may_have(directory, path))
    }

    pub(super) fn spend(&mut self, bytes: usize) -> Result<()> {
        self.state.bytes += bytes;
        let limit = self.options.limits.tree_bytes;
        match self.state.bytes > limit {
            true => Err(reached("tree_bytes", limit, "the tree of the image takes more memory")),
            false => Ok(()),
        }
    }
}

/// The directory of a path and the last name: empty for the root, or `..`.
pub(crate) fn split(path: &[u8]) -> (&[u8], &[u8]) {
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

pub(crate) fn reached(limit: &str, value: usize, what: &str) -> Error {
    Error::new(ErrorKind::TooLarge, past(limit, value, what))
}

/// That a limit is reached, in words.
pub(crate) fn past(limit: &str, value: usize, what: &str) -> String {
    format!("{what} (the limit {limit} is {value}; raise it only for an image that you trust)")
}
