//! Where does a path lead? As the kernel resolves one in a root: links are followed inside of it, 40 of them at most, and `..` of the root is
//! the root.

use std::borrow::Cow;

use teu_archive::Escaped;
use teu_store::{Error, ErrorKind, Result};

use super::{
    File, Kind, Paths, ROOT, Tree,
    state::{State, above, child},
};
use crate::contents::Does;

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
    pub(super) fn follow(&mut self, at: u32, target: Vec<u8>, path: &[u8]) -> Result<u32> {
        self.links += 1;
        if self.links > LINKS {
            let message = format!("\"{}\" leads through more than {LINKS} links", Escaped(path));
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        let is_absolute = target.first() == Some(&b'/');
        self.frames.push((Cow::Owned(target), 0));
        Ok(if is_absolute { ROOT } else { at })
    }
}

impl Tree {
    /// What is known of a path, as [`find`](Self::find) has it, and whether layers that nobody has read could change it.
    ///
    /// # Errors
    /// As [`find`](Self::find).
    pub fn answer(&self, path: &[u8], follow: bool) -> Result<Answer<'_>> {
        let (paths, state) = (&*self.paths, &self.state);
        let mut way = Way::new(path);
        let mut at = ROOT;
        let mut named = None;
        while let Some(name) = way.next() {
            named = None;
            if name == b".." {
                at = above(paths, at);
                continue;
            }
            let found = child(paths, state, at, &name)?;
            if state.is_doubtful(&name, found) {
                return Ok(Answer::Unknown);
            }
            let Some(child) = found else {
                let is_open = state.has_doubts() || state.may_have(at, paths.find(at, &name)?);
                return Ok(match is_open {
                    true => Answer::Unknown,
                    false => Answer::Absent,
                });
            };
            match state.kind(child) {
                Some(Kind::Elsewhere) => return Ok(Answer::Unknown),
                Some(Kind::Directory) => at = child,
                Some(Kind::Symlink) if follow || !way.is_over() => {
                    at = way.follow(at, target(paths, state, child)?, path)?;
                }
                _ if way.is_over() => named = Some(child),
                _ => return Ok(Answer::Absent),
            }
        }
        let found = named.unwrap_or(at);
        Ok(Answer::Found(paths.path(found)?, File::new(self, found)))
    }

    /// Whether all that is in a file that was [found](Answer::Found) is known: of a directory, that layers that nobody has read have nothing in it.
    ///
    /// # Errors
    /// That of the file in which a table of contents lies.
    pub fn is_certain(&self, file: File<'_>) -> Result<bool> {
        let Some(unknown) = &self.state.unknown else {
            return Ok(true);
        };
        if !file.is_directory() {
            return Ok(true);
        }
        if self.state.has_doubts() {
            return Ok(false);
        }
        for found in self.walk_from(Vec::new(), file) {
            let (_, file) = found?;
            let is_certain = match file.kind() {
                Kind::Elsewhere => false,
                Kind::Directory => unknown.whole.contains(&file.path_number()),
                _ => true,
            };
            if !is_certain {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Where a symbolic link leads.
pub(super) fn target(paths: &Paths, state: &State, link: u32) -> Result<Vec<u8>> {
    let entry = state.at(link).map_or(super::NONE, |inode| inode.entry);
    paths.with(entry, |entry| {
        Ok(match entry.does() {
            Does::Symlink(target) => target.to_vec(),
            _ => Vec::new(),
        })
    })
}
