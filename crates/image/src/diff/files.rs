//! Which files differ, and in what? Two trees are walked side by side, in one order.

use std::{cmp::Ordering, collections::HashMap, iter::Peekable};

use teu_rootfs::Node;
use teu_store::Result;

use super::Trees;
use crate::{
    glob::Pattern,
    tree::{File, Walk},
};

/// A path at which the trees differ.
#[derive(Clone, Debug)]
pub struct Change<'t> {
    /// From the root, without a slash at either end; the root's is empty.
    pub path: Vec<u8>,
    /// What is there in the first image; none where it was added.
    pub before: Option<File<'t>>,
    /// What is there in the second image; none where it was removed.
    pub after: Option<File<'t>>,
    /// In what they differ; nothing where one of them is not there.
    pub differs: Vec<Aspect>,
}

/// In what two files differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Aspect {
    /// In kind: a file that becomes a directory. Of files of two kinds only owner and extended attributes are compared beside it, and modes where
    /// neither is a link.
    Kind,
    /// In what is in a regular file.
    Content,
    /// Perhaps in content: the sizes are the same, and holes were too many to hash them.
    ContentUnknown,
    /// In the text of a symbolic link.
    Target,
    /// In the number of a device.
    Device,
    /// In permission, set-id and sticky bits. Those of links mean nothing (symlink(7)), and are not compared.
    Mode,
    /// In user or group.
    Owner,
    /// In these extended attributes, by name.
    Xattrs(Vec<Vec<u8>>),
    /// In which other file it is: hard links, counted among the paths that both images have. For each image it has the first of these paths that is
    /// the same file, or this path where none comes before.
    Links([Vec<u8>; 2]),
    /// In the time of its last change.
    Time,
}

/// The differences of two trees, in the order of [`Tree::walk`](crate::tree::Tree::walk); an error ends them.
#[derive(Debug)]
pub struct Changes<'t> {
    trees: &'t Trees,
    before: Peekable<Walk<'t>>,
    after: Peekable<Walk<'t>>,
    patterns: &'t [Pattern],
    met: Vec<bool>,
    times: bool,
    /// Of each file with several names the first that is in both trees, by its number.
    first: [HashMap<u32, u32>; 2],
}

impl Trees {
    /// What differs in the files that these patterns [cover](Pattern::covers), or in all where there are none; in their times too, where `times`
    /// says so.
    #[must_use]
    pub fn changes<'t>(&'t self, patterns: &'t [Pattern], times: bool) -> Changes<'t> {
        Changes {
            trees: self,
            before: self.before().walk().peekable(),
            after: self.after().walk().peekable(),
            patterns,
            met: vec![false; patterns.len()],
            times,
            first: Default::default(),
        }
    }
}

impl<'t> Changes<'t> {
    /// The patterns that meant no path yet, changed or not: of all once there are no more changes.
    pub fn unmet(&self) -> impl Iterator<Item = &'t Pattern> {
        self.patterns
            .iter()
            .zip(&self.met)
            .filter(|(_, met)| !**met)
            .map(|(pattern, _)| pattern)
    }

    fn is_wanted(&mut self, path: &[u8]) -> bool {
        let mut wanted = self.patterns.is_empty();
        for (pattern, met) in self.patterns.iter().zip(&mut self.met) {
            if pattern.covers(path) {
                (wanted, *met) = (true, true);
            }
        }
        wanted
    }

    /// In what two files at one path differ.
    fn differs(&mut self, path: &[u8], before: File<'t>, after: File<'t>) -> Result<Vec<Aspect>> {
        let mut differs = Vec::new();
        let links = self.first_names(path, before, after)?;
        let links = links.filter(|[old, new]| old != new);
        let is_same_entry = self.trees.is_same_entry(before, after)?;
        if is_same_entry {
            differs.extend(links.map(Aspect::Links));
            return Ok(differs);
        }
        let (was, is) = (before.read()?, after.read()?);
        let (old, new) = (&was.node, &is.node);
        match (old, new) {
            (Node::File(old), Node::File(new)) => match (&was.content, &is.content) {
                _ if old != new => differs.push(Aspect::Content),
                _ if *old == 0 => {}
                (Some(old), Some(new)) if old == new => {}
                (Some(_), Some(_)) => differs.push(Aspect::Content),
                _ => differs.push(Aspect::ContentUnknown),
            },
            (Node::Symlink(_), Node::Symlink(_)) if old != new => differs.push(Aspect::Target),
            (Node::CharDevice(_), Node::CharDevice(_)) | (Node::BlockDevice(_), Node::BlockDevice(_)) if old != new => {
                differs.push(Aspect::Device);
            }
            _ if std::mem::discriminant(old) != std::mem::discriminant(new) => differs.push(Aspect::Kind),
            _ => {}
        }
        let is_link = |node: &Node| matches!(node, Node::Symlink(_));
        let (old_data, new_data) = (&was.metadata, &is.metadata);
        if old_data.mode != new_data.mode && !is_link(old) && !is_link(new) {
            differs.push(Aspect::Mode);
        }
        if (old_data.uid, old_data.gid) != (new_data.uid, new_data.gid) {
            differs.push(Aspect::Owner);
        }
        if old_data.xattrs != new_data.xattrs {
            let (old, new) = (&old_data.xattrs, &new_data.xattrs);
            let mut names: Vec<Vec<u8>> = old
                .keys()
                .chain(new.keys())
                .filter(|name| old.get(*name) != new.get(*name))
                .cloned()
                .collect();
            names.sort();
            names.dedup();
            differs.push(Aspect::Xattrs(names));
        }
        if let Some(links) = links
            && differs.first() != Some(&Aspect::Kind)
        {
            differs.push(Aspect::Links(links));
        }
        if self.times && old_data.mtime != new_data.mtime {
            differs.push(Aspect::Time);
        }
        Ok(differs)
    }

    /// For both trees the first path that is this file; none where it has one name in both.
    fn first_names(&mut self, path: &[u8], before: File<'t>, after: File<'t>) -> Result<Option<[Vec<u8>; 2]>> {
        if before.names() < 2 && after.names() < 2 {
            return Ok(None);
        }
        let [old, new] = &mut self.first;
        let first = |known: &mut HashMap<u32, u32>, file: File<'_>| match file.names() {
            0 | 1 => file.path_number(),
            _ => *known.entry(file.number()).or_insert_with(|| file.path_number()),
        };
        let firsts = [first(old, before), first(new, after)];
        let this = before.path_number();
        let mut names = [Vec::new(), Vec::new()];
        for (name, number) in names.iter_mut().zip(firsts) {
            *name = match number == this || firsts[0] == firsts[1] {
                true => path.to_vec(),
                false => self.trees.before().paths().path(number)?,
            };
        }
        Ok(Some(names))
    }

    fn step(&mut self) -> Result<Option<Change<'t>>> {
        // Of one tree there is only to be said which patterns mean something.
        if self.trees.is_one() && self.patterns.is_empty() {
            return Ok(None);
        }
        loop {
            let next = match (self.before.peek(), self.after.peek()) {
                (None, None) => return Ok(None),
                (Some(Ok((before, _))), Some(Ok((after, _)))) => in_order_of_walks(before, after),
                (None, Some(_)) | (_, Some(Err(_))) => Ordering::Greater,
                (Some(_), _) => Ordering::Less,
            };
            let before = if next.is_le() { self.before.next() } else { None };
            let after = if next.is_ge() { self.after.next() } else { None };
            let (path, before, after) = match (before.transpose()?, after.transpose()?) {
                (Some((path, before)), Some((_, after))) => (path, Some(before), Some(after)),
                (Some((path, before)), None) => (path, Some(before), None),
                (None, Some((path, after))) => (path, None, Some(after)),
                (None, None) => return Ok(None),
            };
            let differs = match (before, after) {
                (Some(before), Some(after)) => self.differs(&path, before, after)?,
                _ => Vec::new(),
            };
            let is_wanted = self.is_wanted(&path);
            if is_wanted && (before.is_none() || after.is_none() || !differs.is_empty()) {
                return Ok(Some(Change {
                    path,
                    before,
                    after,
                    differs,
                }));
            }
        }
    }
}

impl<'t> Iterator for Changes<'t> {
    type Item = Result<Change<'t>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.step().transpose()
    }
}

/// The order of walks: that of the names, one after the other. A slash comes before every byte of a name.
fn in_order_of_walks(a: &[u8], b: &[u8]) -> Ordering {
    let differ = a.iter().zip(b).find(|(a, b)| a != b);
    match differ {
        Some((b'/', _)) => Ordering::Less,
        Some((_, b'/')) => Ordering::Greater,
        Some((a, b)) => a.cmp(b),
        None => a.len().cmp(&b.len()),
    }
}
