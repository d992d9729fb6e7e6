//! What is made of the files that are taken, and in which order? First all that has no content to be read, directories before what is in them; then the
//! files, layer by layer; then their other names.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use teu_archive::{Escaped, tar};
use teu_rootfs::{self as rootfs, Metadata, Node, Root, Writer};
use teu_spec::Digest;
use teu_store::{Error, ErrorKind, Result};

use super::{
    Extracted, Options, Taken,
    meant::{Item, joined},
};
use crate::{
    Layer,
    failure::of_files,
    layers::Layers,
    read::Kept,
    tree::{Place, Tree},
    unpack::Owners,
};

/// Bits that give a program the rights of its owner or group.
const SET_ID: u32 = 0o6000;

/// What is made.
pub(super) struct Plan {
    made: Vec<Made>,
}

struct Made {
    taken: Taken,
    metadata: Metadata,
    /// The entry that has its content.
    content: Option<Place>,
}

/// Where the content of files comes from that is not read from layers.
pub(super) struct Waits {
    /// For each layer that is read, which files it has: their places in the plan by the offsets of their entries.
    read: Vec<BTreeMap<u64, usize>>,
    /// The others.
    kept: Vec<(usize, Digest, u64)>,
    from: Option<Kept>,
}

impl Plan {
    /// # Errors
    /// `Conflict` where two files would have one name, or one would be in another; `Unsupported` for what has its content in no layer that is
    /// known.
    pub(super) fn new(tree: &Tree, items: Vec<Item<'_>>, layers: &[Layer], options: &Options) -> Result<Self> {
        let mut made: Vec<Made> = Vec::new();
        let mut places: HashMap<Vec<u8>, usize> = HashMap::new();
        let mut first: HashMap<u32, Vec<u8>> = HashMap::new();
        for item in items {
            let walk = tree
                .walk_from(Vec::new(), item.file)
                .take(if item.whole { usize::MAX } else { 1 });
            for (below, file) in walk {
                let (path, from) = (joined(&item.at, &below), joined(&item.from, &below));
                if path.is_empty() {
                    continue;
                }
                if let Some(place) = places.get(&path) {
                    let other = &made[*place].taken.from;
                    // Asked for twice.
                    if *other == from {
                        continue;
                    }
                    return Err(same_name(other, &from, &path));
                }
                let content = match file.kind() {
                    Node::File(size) if *size > 0 => file.entry().filter(|place| place.layer < layers.len()),
                    _ => None,
                };
                let same_as = match file.names() {
                    _ if file.is_directory() => None,
                    0 | 1 => None,
                    _ => match first.get(&file.number()) {
                        Some(first) => Some(first.clone()),
                        None => {
                            first.insert(file.number(), path.clone());
                            None
                        }
                    },
                };
                places.insert(path.clone(), made.len());
                made.push(Made {
                    metadata: file.metadata().clone(),
                    content,
                    taken: Taken {
                        path,
                        from,
                        node: file.kind().clone(),
                        same_as,
                        layer: file.layer(),
                    },
                });
                if made.len() as u64 > options.budget.entries {
                    let message = format!(
                        "there are more files than the limit entries of {}; raise it only for an image that you trust",
                        options.budget.entries
                    );
                    return Err(Error::new(ErrorKind::TooLarge, message));
                }
            }
        }
        Ok(Self { made })
    }

    /// The layers that have to be read, and what waits for them and for what is kept.
    pub(super) fn sources(&self, layers: &[Layer], kept: Option<&Kept>) -> (Vec<Layer>, Waits) {
        let mut by_layer: BTreeMap<usize, BTreeMap<u64, usize>> = BTreeMap::new();
        let mut of_kept = Vec::new();
        for (number, made) in self.made.iter().enumerate() {
            let Some(place) = made.content.filter(|_| made.taken.same_as.is_none()) else {
                continue;
            };
            let digest = layers[place.layer].descriptor.digest;
            match kept.is_some_and(|kept| kept.has(&digest, place.offset)) {
                true => of_kept.push((number, digest, place.offset)),
                false => drop(by_layer.entry(place.layer).or_default().insert(place.offset, number)),
            }
        }
        let read = by_layer.keys().map(|position| layers[*position].clone()).collect();
        let waits = Waits {
            read: by_layer.into_values().collect(),
            kept: of_kept,
            from: kept.cloned(),
        };
        (read, waits)
    }

    /// Makes all in `root`.
    pub(super) fn write(self, root: &Root, layers: Layers, waits: &Waits, options: &Options) -> Result<Extracted> {
        let writing = rootfs::Options {
            owners: options.owners.clone(),
            budget: options.budget.clone(),
            ..rootfs::Options::default()
        };
        let mut extracted = Extracted::default();
        let mut stripped = rootfs::PassedOver::default();
        let mut made = self.made;
        for made in &mut made {
            if options.owners != Owners::Kept && made.metadata.mode & SET_ID != 0 {
                made.metadata.mode &= !SET_ID;
                if !matches!(made.taken.node, Node::Directory) && made.taken.same_as.is_none() {
                    stripped.add(&made.taken.from);
                }
            }
        }
        let mut writer = Writer::new(root, writing).map_err(of_files)?;
        for Made {
            taken,
            metadata,
            content,
        } in made.iter().filter(|made| made.taken.same_as.is_none())
        {
            options.stop.check()?;
            let path = &taken.path;
            match &taken.node {
                Node::File(_) if content.is_some() => Ok(()),
                Node::File(size) => writer.file(path, metadata, *size).and_then(|file| file.finish()),
                Node::Directory => writer.directory(path, metadata),
                Node::Symlink(target) => writer.symlink(path, metadata, target),
                node => writer.node(path, metadata, node),
            }
            .map_err(of_files)?;
        }
        for (number, layer, offset) in &waits.kept {
            let Made { taken, metadata, .. } = &made[*number];
            let Some(kept) = &waits.from else { continue };
            let mut file = writer
                .file(&taken.path, metadata, size(&taken.node))
                .map_err(of_files)?;
            kept.give(layer, *offset, |at, bytes| {
                options.stop.check()?;
                file.write_at(at, bytes).map_err(of_files)
            })?;
            file.finish().map_err(of_files)?;
        }
        for ((layer, opened), wanted) in layers.zip(&waits.read) {
            let mut found = BTreeSet::new();
            let mut reader = tar::Reader::with_limits(opened, options.contents.tar.clone());
            while let Some(mut entry) = reader.next_entry()? {
                options.stop.check()?;
                let offset = entry.header_offset();
                let Some(number) = wanted.get(&offset) else { continue };
                let Made { taken, metadata, .. } = &made[*number];
                if entry.header().size != size(&taken.node) {
                    break;
                }
                found.insert(offset);
                let mut file = writer
                    .file(&taken.path, metadata, size(&taken.node))
                    .map_err(of_files)?;
                while let Some(chunk) = entry.next_chunk()? {
                    options.stop.check()?;
                    file.write_at(chunk.offset, chunk.data).map_err(of_files)?;
                }
                file.finish().map_err(of_files)?;
            }
            // To its end, where it is known whether it is what its digest says.
            reader.finish()?;
            if found.len() != wanted.len() {
                let message = format!(
                    "layer {} has not what its table of contents says",
                    layer.descriptor.digest
                );
                return Err(Error::new(ErrorKind::Invalid, message));
            }
        }
        for made in &made {
            if let Some(first) = &made.taken.same_as {
                writer.hard_link(&made.taken.path, first).map_err(of_files)?;
            }
        }
        extracted.report = writer.finish().map_err(of_files)?;
        extracted.report.set_id = stripped;
        extracted.files = made.into_iter().map(|made| made.taken).collect();
        extracted
            .files
            .retain(|taken| !matches!(taken.node, Node::CharDevice(_) | Node::BlockDevice(_)));
        Ok(extracted)
    }
}

fn size(node: &Node) -> u64 {
    match node {
        Node::File(size) => *size,
        _ => 0,
    }
}

fn same_name(one: &[u8], other: &[u8], path: &[u8]) -> Error {
    let message = format!(
        "\"{}\" and \"{}\" would both be \"{}\"; take one at a time, or keep their paths",
        Escaped(one),
        Escaped(other),
        Escaped(path)
    );
    Error::new(ErrorKind::Conflict, message)
}
