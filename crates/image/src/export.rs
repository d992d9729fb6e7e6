//! What is an image's root file system as one archive? [`export`] writes it: the merged [`Tree`] as a tar without whiteouts, the same bytes for
//! the same layers on every machine.
//!
//! Files stand first, layer by layer in the order in which each has them, each followed by its other names as hard links: so content goes straight from
//! a layer into the archive, and only the tree is in memory. Directories come last, and what is in a directory before itself. So whoever unpacks it in
//! order comes to the right tree, though what is made in a directory changes its time, and though into some even their owner may put nothing; and no
//! name stands twice, which containers/storage refuses.
//!
//! Each layer is read twice: for its table of contents, unless a cache has it, and for what is in its files.

use std::{
    collections::{HashMap, hash_map::Entry},
    io::{Read, Write},
    sync::Arc,
};

use teu_archive::tar::{self, EntryKind};
use teu_store::{Error, ErrorKind, Result, Source, blocking};

use crate::{
    Layer, contents, layer,
    layers::Layers,
    tree::{self, File, Tree},
};

/// How an image is exported.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// How layers are read, both times.
    pub contents: contents::Options,
    /// How much the tree may take; so much again may the paths of the files of one layer.
    pub tree: tree::Limits,
}

/// Writes the root file system that these layers, the lowest first, make together, within a tokio runtime; and gives back the sink, flushed.
///
/// The root itself has an entry, `./`, where a layer describes it.
///
/// # Errors
/// As [`contents::read`] and [`tree::Builder::layer`], before anything is written; as [`layers::Opened`](crate::layers::Opened) and what the sink says,
/// with what was written so far and without the two blocks of zeros that end an archive.
pub async fn export<W: Write + Send + 'static>(
    source: &Arc<dyn Source>,
    layers: &[Layer],
    cache: Option<&contents::Cache>,
    options: &Options,
    sink: W,
) -> Result<W> {
    let tables = contents::of_all(source, layers, cache, &options.contents).await?;
    let of_tree = tree::Options {
        limits: options.tree.clone(),
        hidden: false,
    };
    let tree = Tree::of(&tables, &of_tree)?;
    drop(tables);
    let opened = Layers::open(source, layers.to_vec(), &options.contents.layers);
    let options = options.clone();
    blocking::run(move || write(&tree, opened, &options, sink)).await
}

fn write<W: Write>(tree: &Tree, layers: Layers, options: &Options, sink: W) -> Result<W> {
    let mut writer = tar::Writer::new(sink);
    for (position, (layer, opened)) in layers.enumerate() {
        let mut names = names(tree, position, options.tree.tree_bytes)?;
        let mut reader = tar::Reader::with_limits(opened, options.contents.tar.clone());
        while let Some(found) = reader.next_entry()? {
            if let Some(Named { file, first, others }) = names.remove(&found.header_offset()) {
                append(&mut writer, &first, file, found)?;
                for other in others {
                    writer.append(&layer::hard_link(&other, &first, file.metadata()))?;
                }
            }
        }
        reader.finish()?;
        if !names.is_empty() {
            let message = format!(
                "layer {} has not what its table of contents says",
                layer.descriptor.digest
            );
            return Err(Error::new(ErrorKind::Invalid, message));
        }
    }
    directories(&mut writer, tree, options.tree.tree_bytes)?;
    Ok(writer.finish()?)
}

/// Writes all directories, those that are in others before them; their paths have at most so many bytes.
fn directories<W: Write>(writer: &mut tar::Writer<W>, tree: &Tree, most: usize) -> Result<()> {
    let mut directories = Vec::new();
    let mut bytes = 0;
    for (path, file) in tree.walk().filter(|(_, file)| file.is_directory()) {
        bytes += path.len();
        if bytes > most {
            let message = format!(
                "the paths of directories have more bytes than the limit tree_bytes of {most}; raise it only for an image that you trust"
            );
            return Err(Error::new(ErrorKind::TooLarge, message));
        }
        directories.push((path, file));
    }
    for (path, file) in directories.into_iter().rev() {
        match &path[..] {
            [] if file.entry().is_none() => {}
            [] => append(writer, b".", file, std::io::empty())?,
            path => append(writer, path, file, std::io::empty())?,
        }
    }
    Ok(())
}

fn append<W: Write>(writer: &mut tar::Writer<W>, path: &[u8], file: File<'_>, content: impl Read) -> Result<()> {
    // A tree of layers has no sockets.
    let Some(header) = layer::header(path, file.kind(), file.metadata()) else {
        return Ok(());
    };
    match header.kind {
        EntryKind::Regular => writer.append_from(&header, content)?,
        _ => writer.append(&header)?,
    }
    Ok(())
}

/// A file, and its names in the order of a walk.
struct Named<'t> {
    file: File<'t>,
    first: Vec<u8>,
    others: Vec<Vec<u8>>,
}

/// The files that a layer describes, by the offsets of their entries.
fn names(tree: &Tree, layer: usize, most: usize) -> Result<HashMap<u64, Named<'_>>> {
    let mut names: HashMap<u64, Named<'_>> = HashMap::new();
    let mut bytes = 0;
    for (path, file) in tree.walk().filter(|(_, file)| !file.is_directory()) {
        let Some(place) = file.entry().filter(|place| place.layer == layer) else {
            continue;
        };
        bytes += path.len();
        if bytes > most {
            let message = format!(
                "the paths of layer {layer} have more bytes than the limit tree_bytes of {most}; raise it only for an image that you trust"
            );
            return Err(Error::new(ErrorKind::TooLarge, message));
        }
        match names.entry(place.offset) {
            Entry::Occupied(mut named) => named.get_mut().others.push(path),
            Entry::Vacant(free) => {
                free.insert(Named {
                    file,
                    first: path,
                    others: Vec::new(),
                });
            }
        }
    }
    Ok(names)
}
