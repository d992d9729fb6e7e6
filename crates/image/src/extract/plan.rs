//! What is made of the files that are taken, and in which order? First all that has no content to be read, directories before what is in them; then the
//! files, layer by layer; then their other names.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};

use teu_archive::{Escaped, tar};
use teu_rootfs::{self as rootfs, Node, Root, Writer};
use teu_store::{Error, ErrorKind, Result};

use super::{
    Extracted, Failure, Options, Request, Taken,
    meant::{Item, Target, items, joined},
};
use crate::{
    Layer,
    contents::places::Wanted,
    export::{self, Names},
    failure::of_files,
    layers::Layers,
    read::{Kept, absent},
    room,
    tree::{Described, NONE, Tree},
    unpack::Owners,
};

/// Bits that give a program the rights of its owner or group.
const SET_ID: u32 = 0o6000;

/// Of so many files of a layer it is asked whether they can be had without the whole layer.
const LITTLE: usize = 1024;

/// What is made: files of the tree by numbers, so that many take little.
#[derive(Debug)]
pub(super) struct Plan {
    tree: Tree,
    tops: Vec<Top>,
    made: Vec<Made>,
}

/// Something that was asked for: where it goes, and its path in the image.
#[derive(Debug)]
struct Top {
    at: Vec<u8>,
    from: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
struct Made {
    top: u32,
    /// Its path in the tree.
    path: u32,
    /// The place here of what it is another name of.
    same_as: u32,
}

/// Where the content of files comes from: by the entries that have it, their places in the plan.
pub(super) struct Waits {
    layers: Vec<usize>,
    read: Vec<(u32, u32)>,
    kept: Vec<(u32, u32)>,
    from: Option<Kept>,
}

/// What is found out of a file before it is made.
struct ToMake {
    path: Vec<u8>,
    from: Vec<u8>,
    described: Described,
    /// It lost its set-id bits.
    is_stripped: bool,
}

impl Plan {
    /// # Errors
    /// [`Failure::SameName`]; `TooLarge` where there are more than the budget allows.
    pub(super) fn new(tree: Tree, requests: &[Request], target: &Target, options: &Options) -> Result<Self, Failure> {
        let (tops, made) = listed(&tree, &items(&tree, requests, target, options)?, options)?;
        Ok(Self { tree, tops, made })
    }

    /// The layers that have to be read, and what waits for them and for what is kept.
    pub(super) fn sources(&self, layers: &[Layer], kept: Option<&Kept>) -> Result<(Vec<Layer>, Waits)> {
        let mut waits = Waits {
            layers: Vec::new(),
            read: room::of(self.made.len()),
            kept: Vec::new(),
            from: kept.cloned(),
        };
        let mut needed = vec![false; layers.len()];
        for (place, made) in (0..).zip(&self.made) {
            let Some((entry, position, file)) = self.content(made)? else {
                continue;
            };
            let Some(layer) = layers.get(position) else { continue };
            match kept.is_some_and(|kept| kept.has(&layer.descriptor.digest, file.offset)) {
                true => waits.kept.push((entry, place)),
                false => {
                    needed[position] = true;
                    waits.read.push((entry, place));
                }
            }
        }
        waits.layers = (0..layers.len()).filter(|position| needed[*position]).collect();
        let read = waits.layers.iter().map(|position| layers[*position].clone()).collect();
        Ok((read, waits))
    }

    /// What is wanted of each layer and not kept, where that is little.
    pub(super) fn little(&self, layers: &[Layer], kept: &Kept) -> Result<Vec<Vec<Wanted>>> {
        let mut little = vec![Vec::new(); layers.len()];
        for made in &self.made {
            let Some((_, position, file)) = self.content(made)? else {
                continue;
            };
            if let (Some(layer), Some(files)) = (layers.get(position), little.get_mut(position))
                && files.len() <= LITTLE
                && !kept.has(&layer.descriptor.digest, file.offset)
            {
                files.push(file);
            }
        }
        for files in &mut little {
            if files.len() > LITTLE {
                files.clear();
            }
        }
        Ok(little)
    }

    /// The entry that has the content of a file, its layer and its place there, where the file is made here and has any content.
    fn content(&self, made: &Made) -> Result<Option<(u32, usize, Wanted)>> {
        let file = self.tree.file_at(made.path).filter(|file| file.is_regular());
        let Some(entry) = file
            .filter(|_| made.same_as == NONE)
            .and_then(|file| file.entry_number())
        else {
            return Ok(None);
        };
        let (offset, size) = self
            .tree
            .paths()
            .with(entry, |entry| Ok((entry.offset, entry.size())))?;
        let position = self.tree.paths().layer(entry) as usize;
        Ok((size > 0).then_some((entry, position, Wanted { offset, size })))
    }

    fn from(&self, made: &Made) -> Result<Vec<u8>> {
        self.tree.paths().path(made.path)
    }

    fn path(&self, made: &Made, from: &[u8]) -> Vec<u8> {
        let top = &self.tops[made.top as usize];
        let below = &from[top.from.len().min(from.len())..];
        joined(&top.at, below.strip_prefix(b"/").unwrap_or(below))
    }

    fn to_make(&self, made: &Made, options: &Options) -> Result<ToMake> {
        let from = self.from(made)?;
        let Some(file) = self.tree.file_at(made.path) else {
            return Err(absent(&from));
        };
        let mut described = file.read()?;
        let mut is_stripped = false;
        if options.owners != Owners::Kept {
            is_stripped = described.metadata.mode & SET_ID != 0 && !file.is_directory();
            described.metadata.mode &= !SET_ID;
        }
        Ok(ToMake {
            path: self.path(made, &from),
            from,
            described,
            is_stripped,
        })
    }

    /// Makes all in `root`.
    pub(super) fn write(
        self,
        root: &Root,
        layers: Layers,
        waits: Waits,
        all: &[Layer],
        options: &Options,
    ) -> Result<Extracted> {
        let writing = rootfs::Options {
            owners: options.owners.clone(),
            budget: options.budget.clone(),
            ..rootfs::Options::default()
        };
        let mut writer = Writer::new(root, writing).map_err(of_files)?;
        let stripped = self.without_content(&mut writer, options)?;
        if let Some(kept) = &waits.from {
            for (count, (entry, place)) in waits.kept.iter().enumerate() {
                forget(&mut writer, count);
                let layer = &all[self.tree.paths().layer(*entry) as usize].descriptor.digest;
                let offset = self.tree.paths().with(*entry, |entry| Ok(entry.offset))?;
                let to_make = self.to_make(&self.made[*place as usize], options)?;
                let mut file = to_make.file(&mut writer)?;
                kept.give(layer, offset, |at, bytes| {
                    options.stop.check()?;
                    file.write_at(at, bytes).map_err(of_files)
                })?;
                file.finish().map_err(of_files)?;
            }
        }
        let names = Names::new(&self.tree, waits.read);
        let mut count = 0;
        for ((layer, opened), position) in layers.zip(waits.layers) {
            let mut wanted = names.of_layer(position);
            let mut reader = tar::Reader::with_limits(opened, options.contents.tar.clone());
            while let Some(mut entry) = reader.next_entry()? {
                options.stop.check()?;
                let Some((_, places)) = wanted.at(entry.header_offset())? else {
                    continue;
                };
                // Each content is made once: other names are links to it.
                let Some((_, place)) = places.first() else { continue };
                forget(&mut writer, count);
                count += 1;
                let to_make = self.to_make(&self.made[*place as usize], options)?;
                if entry.header().size != to_make.size() {
                    return Err(export::not_as_told(&layer));
                }
                let mut file = to_make.file(&mut writer)?;
                while let Some(chunk) = entry.next_chunk()? {
                    options.stop.check()?;
                    file.write_at(chunk.offset, chunk.data).map_err(of_files)?;
                }
                file.finish().map_err(of_files)?;
            }
            // To its end, where it is known whether it is what its digest says.
            reader.finish()?;
            wanted.finish(&layer)?;
        }
        drop(names);
        let others = self.made.iter().filter(|made| made.same_as != NONE);
        for (count, made) in others.enumerate() {
            forget(&mut writer, count);
            let first = &self.made[made.same_as as usize];
            let paths = [made, first].map(|made| Ok(self.path(made, &self.from(made)?)));
            let [path, first]: [Result<Vec<u8>>; 2] = paths;
            writer.hard_link(&path?, &first?).map_err(of_files)?;
        }
        let mut report = writer.finish().map_err(of_files)?;
        report.set_id = stripped;
        Ok(Extracted {
            files: Files(Some(Arc::new(self))),
            report,
            ..Extracted::default()
        })
    }

    /// Makes what has no content to be read; of which files set-id bits were taken away.
    fn without_content(&self, writer: &mut Writer, options: &Options) -> Result<rootfs::PassedOver> {
        let mut stripped = rootfs::PassedOver::default();
        for (place, made) in self.made.iter().enumerate() {
            options.stop.check()?;
            forget(writer, place);
            if made.same_as != NONE {
                continue;
            }
            let to_make = self.to_make(made, options)?;
            if to_make.is_stripped {
                stripped.add(&to_make.from);
            }
            let (path, metadata) = (&to_make.path, &to_make.described.metadata);
            match &to_make.described.node {
                Node::File(_) if self.content(made)?.is_some() => Ok(()),
                Node::File(size) => writer.file(path, metadata, *size).and_then(|file| file.finish()),
                Node::Directory => writer.directory(path, metadata),
                Node::Symlink(target) => writer.symlink(path, metadata, target),
                node => writer.node(path, metadata, node),
            }
            .map_err(of_files)?;
        }
        Ok(stripped)
    }

    fn taken(&self, made: &Made) -> Result<Taken> {
        let from = self.from(made)?;
        let file = self.tree.file_at(made.path).ok_or_else(|| absent(&from))?;
        let same_as = match self.made.get(made.same_as as usize) {
            Some(first) => Some(self.path(first, &self.from(first)?)),
            None => None,
        };
        Ok(Taken {
            path: self.path(made, &from),
            from,
            node: file.read()?.node,
            same_as,
            layer: file.layer(),
        })
    }
}

/// What was made: of each path that was asked for what is there, in the order of a walk. Devices are not: they are passed over.
#[derive(Clone, Debug, Default)]
pub struct Files(Option<Arc<Plan>>);

impl Files {
    /// One by one; an error is that of the file in which a table of contents lies.
    pub fn iter(&self) -> impl Iterator<Item = Result<Taken>> + '_ {
        let plans = self.0.iter();
        let taken = plans.flat_map(|plan| plan.made.iter().map(|made| plan.taken(made)));
        let is_device = |taken: &Result<Taken>| {
            let node = taken.as_ref().map(|taken| &taken.node);
            matches!(node, Ok(Node::CharDevice(_) | Node::BlockDevice(_)))
        };
        taken.filter(move |taken| !is_device(taken))
    }
}

impl ToMake {
    fn size(&self) -> u64 {
        match self.described.node {
            Node::File(size) => size,
            _ => 0,
        }
    }

    fn file<'a>(&'a self, writer: &'a mut Writer) -> Result<rootfs::FileWriter<'a>> {
        writer
            .file(&self.path, &self.described.metadata, self.size())
            .map_err(of_files)
    }
}

/// What was asked for, and what is made of it.
///
/// # Errors
/// [`Failure::SameName`]; `TooLarge` where there are more than the budget allows.
fn listed(tree: &Tree, items: &[Item<'_>], options: &Options) -> Result<(Vec<Top>, Vec<Made>), Failure> {
    let mut made: Vec<Made> = room::of(tree.paths().len());
    // Of one item no two files have one name, and files that have one name here are met once.
    let is_one = items.len() == 1;
    let mut places: HashMap<Vec<u8>, u32> = HashMap::new();
    let mut first: HashMap<u32, u32> = HashMap::new();
    for (top, item) in (0..).zip(items) {
        let walk = tree
            .walk_from(Vec::new(), item.file)
            .take(if item.whole { usize::MAX } else { 1 });
        for found in walk {
            let (below, file) = found?;
            let place = made.len() as u32;
            if below.is_empty() && item.at.is_empty() {
                continue;
            }
            if !is_one {
                let path = joined(&item.at, &below);
                if let Some(other) = places.get(&path) {
                    let other = made[*other as usize].path;
                    // Asked for twice.
                    if other == file.path_number() {
                        continue;
                    }
                    let [one, other] = [other, file.path_number()].map(|path| tree.paths().path(path));
                    return Err(same_name(&one?, &other?, &path));
                }
                places.insert(path, place);
            }
            let is_met_once = file.is_directory() || (is_one && file.names() < 2);
            let same_as = match is_met_once {
                true => NONE,
                false => match first.entry(file.number()) {
                    Entry::Occupied(first) => *first.get(),
                    Entry::Vacant(free) => {
                        free.insert(place);
                        NONE
                    }
                },
            };
            made.push(Made {
                top,
                path: file.path_number(),
                same_as,
            });
            if made.len() as u64 > options.budget.entries {
                let message = format!(
                    "there are more files than the limit entries of {}; raise it only for an image that you trust",
                    options.budget.entries
                );
                return Err(Error::new(ErrorKind::TooLarge, message).into());
            }
        }
    }
    let tops = items.iter().map(|item| Top {
        at: item.at.clone(),
        from: item.from.clone(),
    });
    Ok((tops.collect(), made))
}

/// Has the writer forget, from time to time, what it made: it remembers that for a layer's whiteouts, and here there are none.
fn forget(writer: &mut Writer, count: usize) {
    if count.is_multiple_of(1 << 16) {
        writer.next_layer();
    }
}

fn same_name(one: &[u8], other: &[u8], path: &[u8]) -> Failure {
    let message = format!(
        "\"{}\" and \"{}\" would both be \"{}\"; take one at a time, or keep their paths",
        Escaped(one),
        Escaped(other),
        Escaped(path)
    );
    Failure::SameName(Error::new(ErrorKind::Conflict, message))
}
