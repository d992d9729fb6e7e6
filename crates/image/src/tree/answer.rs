//! Where does a path lead? As the kernel resolves one in a root: links are followed inside of it, 40 of them at most, and `..` of the root is
//! the root.

use std::borrow::Cow;

use teu_archive::Escaped;
use teu_rootfs::Node;
use teu_store::{Error, ErrorKind, Result};

use super::{Child, File, ROOT, Tree};

/// How many links are followed; as many as the kernel follows.
const LINKS: u32 = 40;

/// What a tree knows of a path.
#[derive(Clone, Debug)]
pub enum Answer<'t> {
    /// It is there: its real path, and what it is.
    Found(Vec<u8>, File<'t>),
    /// Nothing is there.
    Absent,
    /// Layers that nobody has read say it.
    Unknown,
}

/// The names of a path that are still to be gone, and those of links on the way.
pub(super) struct Way<'p> {
    frames: Vec<(Cow<'p, [u8]>, usize)>,
    links: u32,
}

impl<'p> Way<'p> {
    pub(super) fn new(path: &'p [u8]) -> Self {
        Self {
            frames: vec![(Cow::Borrowed(path), 0)],
            links: 0,
        }
    }

    /// The next name that says something.
    pub(super) fn next(&mut self) -> Option<Vec<u8>> {
        while let Some((path, at)) = self.frames.last_mut() {
            let rest = &path[*at..];
            let Some(from) = rest.iter().position(|byte| *byte != b'/') else {
                self.frames.pop();
                continue;
            };
            let rest = &rest[from..];
            let length = rest.iter().position(|byte| *byte == b'/').unwrap_or(rest.len());
            *at += from + length;
            if &rest[..length] != b"." {
                return Some(rest[..length].to_vec());
            }
        }
        None
    }

    fn is_over(&self) -> bool {
        let says = |path: &[u8]| path.split(|byte| *byte == b'/').any(|name| !matches!(name, b"" | b"."));
        !self.frames.iter().any(|(path, at)| says(&path[*at..]))
    }

    /// Goes on where a link in directory `at` leads; the directory from there.
    pub(super) fn follow(&mut self, at: u32, target: &[u8], path: &[u8]) -> Result<u32> {
        self.links += 1;
        if self.links > LINKS {
            let message = format!("\"{}\" leads through more than {LINKS} links", Escaped(path));
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        self.frames.push((Cow::Owned(target.to_vec()), 0));
        Ok(if target.first() == Some(&b'/') { ROOT } else { at })
    }
}

impl Tree {
    /// What is known of a path, as [`find`](Self::find) has it, and whether layers that nobody has read could change it.
    ///
    /// # Errors
    /// As [`find`](Self::find).
    pub fn answer(&self, path: &[u8], follow: bool) -> Result<Answer<'_>> {
        let mut way = Way::new(path);
        let mut at = ROOT;
        let mut named = None;
        while let Some(name) = way.next() {
            named = None;
            if name == b".." {
                at = self.above(at);
                continue;
            }
            if self.is_doubtful(&name) {
                return Ok(Answer::Unknown);
            }
            let Some(child) = self.child(at, &name) else {
                return Ok(match self.may_have(at, &name) || self.has_doubts() {
                    true => Answer::Unknown,
                    false => Answer::Absent,
                });
            };
            let inode = &self.inodes[child.inode as usize];
            if inode.elsewhere {
                return Ok(Answer::Unknown);
            }
            match &inode.node {
                Node::Directory => at = child.inode,
                Node::Symlink(target) if follow || !way.is_over() => at = way.follow(at, target, path)?,
                _ if way.is_over() => named = Some((name, child)),
                _ => return Ok(Answer::Absent),
            }
        }
        let mut path = self.path_of(at);
        let child = match named {
            Some((name, child)) => {
                if !path.is_empty() {
                    path.push(b'/');
                }
                path.extend(name);
                child
            }
            None => self.as_child(at),
        };
        Ok(Answer::Found(path, File { tree: self, child }))
    }

    /// Whether all that is in a file that was [found](Answer::Found) is known: of a directory, that layers that nobody has read have nothing in it.
    #[must_use]
    pub fn is_certain(&self, file: File<'_>) -> bool {
        if self.unknown.is_none() || !file.is_directory() {
            return true;
        }
        let certain = |file: File<'_>| {
            let inode = &self.inodes[file.child.inode as usize];
            !inode.elsewhere && inode.directory.as_ref().is_none_or(|directory| directory.whole)
        };
        !self.has_doubts() && self.walk_from(Vec::new(), file).all(|(_, file)| certain(file))
    }

    /// The directory above.
    pub(super) fn above(&self, directory: u32) -> u32 {
        self.directory(directory).map_or(ROOT, |directory| directory.parent)
    }

    pub(super) fn child(&self, directory: u32, name: &[u8]) -> Option<Child> {
        self.directory(directory)?.children.get(name).copied()
    }

    fn as_child(&self, directory: u32) -> Child {
        let below = self.directory(directory).filter(|_| directory != ROOT);
        let child = below.and_then(|below| self.child(below.parent, &below.name));
        child.unwrap_or(Child {
            inode: directory,
            layer: self.inodes[directory as usize].layer,
        })
    }

    /// Whether layers that nobody has read may have this name here.
    pub(super) fn may_have(&self, directory: u32, name: &[u8]) -> bool {
        let is_open = |directory: &super::Directory| !directory.whole && !directory.gone.contains(name);
        self.unknown.is_some() && self.directory(directory).is_some_and(is_open)
    }

    /// Whether something of this name was made or removed somewhere, and nobody knows where.
    pub(super) fn is_doubtful(&self, name: &[u8]) -> bool {
        let unknown = self.unknown.as_ref();
        unknown.is_some_and(|unknown| unknown.all || unknown.names.contains(name))
    }

    fn has_doubts(&self) -> bool {
        let unknown = self.unknown.as_ref();
        unknown.is_some_and(|unknown| unknown.all || !unknown.names.is_empty())
    }
}
