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
    io::{Read, Write},
    sync::Arc,
};

use teu_archive::tar::{self, EntryKind};
use teu_store::{Error, ErrorKind, Result, Source, blocking};

use crate::{
    Layer, contents, layer,
    layers::Layers,
    room,
    tree::{self, Described, Tree},
};

/// How an image is exported.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// How layers are read, both times.
    pub contents: contents::Options,
    /// How much the tree may take.
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
    let (mut files, mut directories) = (room::of(tree.paths().len()), Vec::new());
    for found in tree.walk() {
        let (_, file) = found?;
        match (file.is_directory(), file.entry_number()) {
            (true, _) => directories.push(file.path_number()),
            (false, Some(entry)) => files.push((entry, file.path_number())),
            (false, None) => {}
        }
    }
    let names = Names::new(tree, files);
    for (position, (layer, opened)) in layers.enumerate() {
        let mut of_layer = names.of_layer(position);
        let mut reader = tar::Reader::buffered(opened, options.contents.tar.clone());
        while let Some(found) = reader.next_entry()? {
            let Some((described, paths)) = of_layer.at(found.header_offset())? else {
                continue;
            };
            let mut paths = paths.iter().map(|(_, path)| tree.paths().path(*path));
            let Some(first) = paths.next().transpose()? else {
                continue;
            };
            append(&mut writer, &first, &described, found)?;
            for other in paths {
                writer.append(&layer::hard_link(&other?, &first, &described.metadata))?;
            }
        }
        reader.finish()?;
        of_layer.finish(&layer)?;
    }
    for path in directories.into_iter().rev() {
        let Some(directory) = tree.file_at(path) else { continue };
        let path = match directory.path()? {
            path if !path.is_empty() => path,
            _ if directory.entry_number().is_none() => continue,
            _ => b".".to_vec(),
        };
        append(&mut writer, &path, &directory.read()?, std::io::empty())?;
    }
    Ok(writer.finish()?)
}

fn append<W: Write>(writer: &mut tar::Writer<W>, path: &[u8], described: &Described, content: impl Read) -> Result<()> {
    // A tree of layers has no sockets.
    let Some(header) = layer::header(path, &described.node, &described.metadata) else {
        return Ok(());
    };
    match header.kind {
        EntryKind::Regular => writer.append_from(&header, content)?,
        _ => writer.append(&header)?,
    }
    Ok(())
}

/// Files by the numbers of their entries, in the order of these; for each a number or several, as they came.
pub(crate) struct Names<'t> {
    tree: &'t Tree,
    files: Vec<(u32, u32)>,
}

/// What is said of a file, and its entry with what it is for, once or several times.
type Wanted<'n> = (Described, &'n [(u32, u32)]);

/// Those that one layer describes, in the order of its archive.
pub(crate) struct OfLayer<'n> {
    tree: &'n Tree,
    files: &'n [(u32, u32)],
    /// What the first of them is.
    next: Option<(u64, Described)>,
}

impl<'t> Names<'t> {
    /// Of these entries and what they are for.
    pub(crate) fn new(tree: &'t Tree, mut files: Vec<(u32, u32)>) -> Self {
        // It keeps those of one entry in their order.
        files.sort_by_key(|(entry, _)| *entry);
        Self { tree, files }
    }

    pub(crate) fn of_layer(&self, position: usize) -> OfLayer<'_> {
        let numbers = u32::try_from(position)
            .ok()
            .and_then(|position| self.tree.paths().numbers_of(position));
        let (from, to) = numbers.unwrap_or_default();
        let place = |number| self.files.partition_point(|(entry, _)| *entry < number);
        OfLayer {
            tree: self.tree,
            files: &self.files[place(from)..place(to)],
            next: None,
        }
    }
}

impl<'n> OfLayer<'n> {
    /// What is said of the file whose header is here in the archive, and its numbers; none where nothing is wanted of it.
    pub(crate) fn at(&mut self, offset: u64) -> Result<Option<Wanted<'n>>> {
        let Some((entry, _)) = self.files.first().copied() else {
            return Ok(None);
        };
        let next = match self.next.take() {
            Some(next) => next,
            None => {
                let described = tree::described(self.tree.paths(), tree::Kind::Other, entry)?;
                let Some(place) = described.entry else { return Ok(None) };
                (place.offset, described)
            }
        };
        if next.0 != offset {
            self.next = Some(next);
            return Ok(None);
        }
        let names = self.files.partition_point(|(other, _)| *other == entry);
        let (of_file, rest) = self.files.split_at(names);
        self.files = rest;
        Ok(Some((next.1, of_file)))
    }

    /// # Errors
    /// `Invalid` where something was not met.
    pub(crate) fn finish(self, layer: &Layer) -> Result<()> {
        match self.files.is_empty() {
            true => Ok(()),
            false => Err(not_as_told(layer)),
        }
    }
}

/// That a layer is another one when it is read again.
pub(crate) fn not_as_told(layer: &Layer) -> Error {
    let message = format!(
        "layer {} has not what its table of contents says",
        layer.descriptor.digest
    );
    Error::new(ErrorKind::Invalid, message)
}
