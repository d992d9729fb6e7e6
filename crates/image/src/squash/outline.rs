//! What is in a layer that stands for several? All that is another above them than below: found in the merged trees of both.

use std::collections::{BTreeSet, HashMap};

use teu_archive::tar;
use teu_store::Result;

use crate::{
    export::Names,
    layer::{self, Time},
    layers::Layers,
    room,
    tree::{File, ROOT, Tree},
};

/// The entries of a layer to be, in three parts: what has no content to be read, directories before what is in them and what is hidden in a directory
/// before its files; then files, as the layers have them; and their other names, each behind its file. Paths are numbers of the tree's.
#[derive(Debug, Default)]
pub(super) struct Outline {
    first: Vec<Entry>,
    /// Files that have content, by their entries.
    files: Vec<(u32, u32)>,
}

#[derive(Clone, Copy, Debug)]
enum Entry {
    Make(u32),
    /// Another name of what stands before it.
    Link(u32, u32),
    Hide(u32),
    Clear(u32),
}

/// A directory that leads to where the walk is.
struct Level {
    directory: u32,
    /// Whether something of it may be there below.
    below: bool,
    /// Whether it is part of the layer already.
    written: bool,
}

impl Outline {
    /// What layers from `from` on made of the tree `below`, which is `above`; both were made together.
    ///
    /// # Errors
    /// That of the file in which a table of contents lies.
    pub(super) fn of(below: &Tree, above: &Tree, from: usize) -> Result<Self> {
        let new = News::of(above, from);
        let mut outline = Self {
            first: room::of(above.paths().len()),
            files: room::of(above.paths().len()),
        };
        let mut levels: Vec<Level> = Vec::new();
        let mut first: HashMap<u32, u32> = HashMap::new();
        for found in above.walk() {
            let (_, file) = found?;
            let path = file.path_number();
            let parent = above.paths().parent(path);
            while levels
                .last()
                .is_some_and(|level| path == ROOT || level.directory != parent)
            {
                levels.pop();
            }
            if !file.is_directory() {
                if new.has_file(file) {
                    outline.write_levels(&mut levels);
                    outline.file(above, file, &mut first)?;
                }
                continue;
            }
            let was = match levels.last() {
                Some(level) if !level.below => None,
                _ => below.file_at(path),
            };
            let was = was.filter(|was| was.is_directory());
            levels.push(Level {
                directory: path,
                below: was.is_some(),
                // The root is there, and has an entry only where a layer described it.
                written: path == ROOT && file.entry_number().is_none(),
            });
            // Another entry describes it, or none where one did.
            let is_described = was.is_none_or(|was| was.entry_number() != file.entry_number());
            let gone = match was {
                Some(was) => gone(was, above)?,
                None => Vec::new(),
            };
            if is_described || !gone.is_empty() {
                outline.write_levels(&mut levels);
            }
            if gone.is_empty() {
                continue;
            }
            if new.is_whole(path) {
                outline.first.push(Entry::Clear(path));
                // Nothing of it is left to be hidden further down.
                if let Some(level) = levels.last_mut() {
                    level.below = false;
                }
            } else {
                outline.first.extend(gone.into_iter().map(Entry::Hide));
            }
        }
        Ok(outline)
    }

    /// The positions of the layers that have to be read, the lowest first.
    pub(super) fn layers(&self, above: &Tree) -> BTreeSet<usize> {
        let layers = self.files.iter();
        layers.map(|(entry, _)| above.paths().layer(*entry) as usize).collect()
    }

    /// Writes all of it; `layers` are those that have to be read.
    pub(super) fn write(
        self,
        above: &Tree,
        layers: Layers,
        limits: &tar::Limits,
        writer: &mut layer::Writer<'_>,
    ) -> Result<()> {
        let positions = self.layers(above);
        let Self { first, files } = self;
        let path_of = |path: u32| above.paths().path(path);
        for entry in first {
            match entry {
                Entry::Make(number) => {
                    let Some(file) = above.file_at(number) else { continue };
                    let (path, described) = (path_of(number)?, file.read()?);
                    // The root's name is that of the directory itself.
                    let path = if path.is_empty() { &b"."[..] } else { &path };
                    writer.append_node(path, &described.node, &described.metadata, std::io::empty())?;
                }
                Entry::Link(number, target) => {
                    let Some(file) = above.file_at(number) else { continue };
                    let (path, target) = (path_of(number)?, path_of(target)?);
                    writer.append(&layer::hard_link(&path, &target, &file.read()?.metadata))?;
                }
                Entry::Hide(path) => writer.whiteout(&path_of(path)?, Time::default())?,
                Entry::Clear(path) => writer.opaque(&path_of(path)?, Time::default())?,
            }
        }
        let names = Names::new(above, files);
        for ((layer, opened), position) in layers.zip(positions) {
            let mut files = names.of_layer(position);
            let mut reader = tar::Reader::buffered(opened, limits.clone());
            while let Some(entry) = reader.next_entry()? {
                let Some((described, paths)) = files.at(entry.header_offset())? else {
                    continue;
                };
                let mut paths = paths.iter().map(|(_, path)| path_of(*path));
                let Some(path) = paths.next().transpose()? else {
                    continue;
                };
                writer.append_node(&path, &described.node, &described.metadata, entry)?;
                for other in paths {
                    writer.append(&layer::hard_link(&other?, &path, &described.metadata))?;
                }
            }
            reader.finish()?;
            files.finish(&layer)?;
        }
        Ok(())
    }

    /// Adds the directories that lead to what is written.
    fn write_levels(&mut self, levels: &mut [Level]) {
        for level in levels {
            if !std::mem::replace(&mut level.written, true) {
                self.first.push(Entry::Make(level.directory));
            }
        }
    }

    fn file(&mut self, above: &Tree, file: File<'_>, first: &mut HashMap<u32, u32>) -> Result<()> {
        let path = file.path_number();
        let entry = file.entry_number().filter(|_| file.is_regular());
        if let Some(entry) = entry
            && above.paths().with(entry, |entry| Ok(entry.size()))? > 0
        {
            self.files.push((entry, path));
            return Ok(());
        }
        self.first.push(match first.get(&file.number()) {
            Some(target) => Entry::Link(path, *target),
            None => {
                if file.names() > 1 {
                    first.insert(file.number(), path);
                }
                Entry::Make(path)
            }
        });
        Ok(())
    }
}

/// What of a tree is written.
struct News {
    /// Files of which some name is new, by their numbers.
    files: Vec<bool>,
    /// Directories of which nothing but what is written is in them, however deep, by the numbers of their paths.
    whole: Vec<bool>,
}

impl News {
    fn of(above: &Tree, from: usize) -> Self {
        let count = above.paths().len() as u32;
        let all = || (0..count).rev().filter_map(|path| above.file_at(path));
        let is_new = |file: File<'_>| file.layer().is_some_and(|layer| layer >= from);
        let mut files = Vec::new();
        for file in all().filter(|file| !file.is_directory() && is_new(*file)) {
            let number = file.number() as usize;
            if files.len() <= number {
                files.resize(number + 1, false);
            }
            files[number] = true;
        }
        let mut new = Self {
            files,
            whole: vec![true; count as usize],
        };
        // What is in a directory has a higher number.
        for file in all() {
            let path = file.path_number();
            let is_written = match file.is_directory() {
                true => new.whole[path as usize] && is_new(file),
                false => new.has_file(file),
            };
            if !is_written {
                new.whole[path as usize] = false;
                new.whole[above.paths().parent(path) as usize] = false;
            }
        }
        new
    }

    fn has_file(&self, file: File<'_>) -> bool {
        self.files.get(file.number() as usize).copied().unwrap_or(false)
    }

    fn is_whole(&self, directory: u32) -> bool {
        self.whole[directory as usize]
    }
}

/// What is in a directory below and not in it above, in the order of the names.
fn gone(below: File<'_>, above: &Tree) -> Result<Vec<u32>> {
    let mut gone = below.unordered();
    gone.retain(|path| above.file_at(*path).is_none());
    above.paths().sort(&mut gone)?;
    Ok(gone)
}
