//! What is in a layer that stands for several? All that is another above them than below: found in the merged trees of both.

use std::collections::{BTreeMap, HashMap, HashSet};

use teu_archive::tar;
use teu_rootfs::{Metadata, Node};
use teu_store::{Error, ErrorKind, Result};

use crate::{
    layer::{self, Time},
    layers::Layers,
    tree::{File, Tree},
};

/// The entries of a layer to be, in three parts: what has no content to be read, directories before what is in them and what is hidden in a directory
/// before its files; then files, as the layers have them; and their other names, each behind its file.
#[derive(Debug, Default)]
pub(super) struct Outline {
    first: Vec<Entry>,
    /// By the position of the layer that has them and the offsets of their entries.
    files: BTreeMap<usize, HashMap<u64, Named>>,
    bytes: usize,
}

#[derive(Debug)]
enum Entry {
    Make(Vec<u8>, Node, Metadata),
    /// Another name of what stands before it.
    Link(Vec<u8>, Vec<u8>, Metadata),
    Hide(Vec<u8>),
    Clear(Vec<u8>),
}

/// A file that has content, and its names in the order of a walk.
#[derive(Debug)]
struct Named {
    path: Vec<u8>,
    size: u64,
    metadata: Metadata,
    others: Vec<Vec<u8>>,
}

/// What is in the directory that was entered last is part of the layer, and how.
struct Level<'t> {
    /// The length of the directory's path.
    path: usize,
    /// The same directory below.
    below: Option<File<'t>>,
}

impl Outline {
    /// What layers from `from` on made of the tree `below`, which is `above`.
    ///
    /// # Errors
    /// `TooLarge` where paths have more bytes than `most`.
    pub(super) fn of(below: &Tree, above: &Tree, from: usize, most: usize) -> Result<Self> {
        let new = news(above, from);
        let mut outline = Self::default();
        let mut levels: Vec<Level<'_>> = Vec::new();
        // The directories that lead to where we are and are not written yet.
        let mut waiting: Vec<(Vec<u8>, File<'_>)> = Vec::new();
        let mut first: HashMap<u32, Vec<u8>> = HashMap::new();
        for (path, file) in above.walk() {
            while levels.last().is_some_and(|level| !is_in(&path, level.path)) {
                levels.pop();
            }
            waiting.retain(|(above, _)| is_in(&path, above.len()) && path.starts_with(above));
            let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
            let was = match levels.last() {
                None => Some(below.root()),
                Some(level) => level.below.and_then(|directory| directory.child(name)),
            };
            if !file.is_directory() {
                if new.files.contains(&file.number()) {
                    outline.write_waiting(&mut waiting, most)?;
                    outline.file(path, file, &mut first, most)?;
                }
                continue;
            }
            let was_directory = was.filter(|was| was.is_directory());
            waiting.push((path.clone(), file));
            // Another entry describes it, or none where one did.
            let described = was_directory.is_none_or(|was| was.entry() != file.entry());
            // The root is there, and has an entry only where a layer described it.
            if described && !(path.is_empty() && file.entry().is_none()) {
                outline.write_waiting(&mut waiting, most)?;
            }
            let mut was_directory = was_directory;
            let gone = match was_directory {
                Some(was) => gone(was, file),
                None => Vec::new(),
            };
            if !gone.is_empty() {
                outline.write_waiting(&mut waiting, most)?;
                if new.whole.contains(&file.number()) {
                    outline.spend(path.len(), most)?;
                    outline.first.push(Entry::Clear(path.clone()));
                    // Nothing of it is left to be hidden further down.
                    was_directory = None;
                } else {
                    for name in gone {
                        let hidden = joined(&path, name);
                        outline.spend(hidden.len(), most)?;
                        outline.first.push(Entry::Hide(hidden));
                    }
                }
            }
            levels.push(Level {
                path: path.len(),
                below: was_directory,
            });
        }
        Ok(outline)
    }

    /// The positions of the layers that have to be read, the lowest first.
    pub(super) fn layers(&self) -> impl Iterator<Item = usize> {
        self.files.keys().copied()
    }

    /// Writes all of it; `layers` are those that have to be read.
    pub(super) fn write(self, layers: Layers, limits: tar::Limits, writer: &mut layer::Writer<'_>) -> Result<()> {
        for entry in &self.first {
            match entry {
                Entry::Make(path, node, metadata) => {
                    // The root's name is that of the directory itself.
                    let path = if path.is_empty() { &b"."[..] } else { path };
                    writer.append_node(path, node, metadata, std::io::empty())?;
                }
                Entry::Link(path, target, metadata) => writer.append(&layer::hard_link(path, target, metadata))?,
                Entry::Hide(path) => writer.whiteout(path, Time::default())?,
                Entry::Clear(path) => writer.opaque(path, Time::default())?,
            }
        }
        for ((layer, opened), mut files) in layers.zip(self.files.into_values()) {
            let mut reader = tar::Reader::with_limits(opened, limits.clone());
            while let Some(entry) = reader.next_entry()? {
                let Some(file) = files.remove(&entry.header_offset()) else {
                    continue;
                };
                let Named {
                    path,
                    size,
                    metadata,
                    others,
                } = file;
                writer.append_node(&path, &Node::File(size), &metadata, entry)?;
                for other in others {
                    writer.append(&layer::hard_link(&other, &path, &metadata))?;
                }
            }
            reader.finish()?;
            if !files.is_empty() {
                let message = format!(
                    "layer {} has not what its table of contents says",
                    layer.descriptor.digest
                );
                return Err(Error::new(ErrorKind::Invalid, message));
            }
        }
        Ok(())
    }

    /// Adds the directories that lead to what is written.
    fn write_waiting(&mut self, waiting: &mut Vec<(Vec<u8>, File<'_>)>, most: usize) -> Result<()> {
        for (path, directory) in waiting.drain(..) {
            if path.is_empty() && directory.entry().is_none() {
                continue;
            }
            self.spend(path.len(), most)?;
            let made = Entry::Make(path, Node::Directory, directory.metadata().clone());
            self.first.push(made);
        }
        Ok(())
    }

    fn file(&mut self, path: Vec<u8>, file: File<'_>, first: &mut HashMap<u32, Vec<u8>>, most: usize) -> Result<()> {
        self.spend(path.len(), most)?;
        let metadata = file.metadata().clone();
        match (file.kind(), file.entry()) {
            (Node::File(size), Some(place)) if *size > 0 => {
                let files = self.files.entry(place.layer).or_default();
                match files.get_mut(&place.offset) {
                    Some(named) => named.others.push(path),
                    None => {
                        let named = Named {
                            path,
                            size: *size,
                            metadata,
                            others: Vec::new(),
                        };
                        files.insert(place.offset, named);
                    }
                }
            }
            (node, _) => match first.get(&file.number()) {
                Some(target) => self.first.push(Entry::Link(path, target.clone(), metadata)),
                None => {
                    if file.names() > 1 {
                        first.insert(file.number(), path.clone());
                    }
                    self.first.push(Entry::Make(path, node.clone(), metadata));
                }
            },
        }
        Ok(())
    }

    fn spend(&mut self, bytes: usize, most: usize) -> Result<()> {
        self.bytes += bytes;
        match self.bytes > most {
            true => {
                let message = format!(
                    "the paths of the layer have more bytes than the limit tree_bytes of {most}; raise it only for an image that you trust"
                );
                Err(Error::new(ErrorKind::TooLarge, message))
            }
            false => Ok(()),
        }
    }
}

/// What of a tree is written, by numbers.
struct News {
    /// Files of which some name is new.
    files: HashSet<u32>,
    /// Directories of which nothing but what is written is in them, however deep.
    whole: HashSet<u32>,
}

fn news(above: &Tree, from: usize) -> News {
    let is_new = |file: File<'_>| file.layer().is_some_and(|layer| layer >= from);
    let files = above.walk().filter(|(_, file)| !file.is_directory() && is_new(*file));
    let files: HashSet<u32> = files.map(|(_, file)| file.number()).collect();
    let mut whole = HashSet::new();
    // From below: what is in a directory comes behind it.
    let mut open: Vec<(usize, u32, bool)> = Vec::new();
    let close = |open: &mut Vec<(usize, u32, bool)>, whole: &mut HashSet<u32>| {
        if let Some((_, directory, is_whole)) = open.pop() {
            if is_whole {
                whole.insert(directory);
            } else if let Some((_, _, above)) = open.last_mut() {
                *above = false;
            }
        }
    };
    for (path, file) in above.walk() {
        while open.last().is_some_and(|(length, ..)| !is_in(&path, *length)) {
            close(&mut open, &mut whole);
        }
        match file.is_directory() {
            true => open.push((path.len(), file.number(), is_new(file))),
            false if !files.contains(&file.number()) => {
                if let Some((.., above)) = open.last_mut() {
                    *above = false;
                }
            }
            false => {}
        }
    }
    while !open.is_empty() {
        close(&mut open, &mut whole);
    }
    News { files, whole }
}

/// Whether a path, of a walk that was in a directory whose path is so long, is in that directory still.
fn is_in(path: &[u8], directory: usize) -> bool {
    directory == 0 && !path.is_empty() || path.get(directory) == Some(&b'/')
}

/// The names in a directory below that are not in it above.
fn gone<'t>(below: File<'t>, above: File<'_>) -> Vec<&'t [u8]> {
    let gone = below.children().filter(|(name, _)| above.child(name).is_none());
    gone.map(|(name, _)| name).collect()
}

fn joined(directory: &[u8], name: &[u8]) -> Vec<u8> {
    match directory {
        [] => name.to_vec(),
        directory => [directory, b"/", name].concat(),
    }
}
