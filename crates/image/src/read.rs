//! What is in one file of an image? [`find`] says which entry of which layer has a path's content, reading the tables of no more layers than it
//! takes, the highest first; [`copy`] gives what is in it.

use std::{
    io::{self, Write},
    sync::Arc,
};

use teu_archive::Escaped;
use teu_rootfs::Node;
use teu_store::{Error, ErrorKind, Result, Source};

use crate::{
    Layer,
    contents::{self, Cache, Contents},
    failure::of_reading,
    tree::{self, Answer, Builder, File, Place},
};

/// A regular file of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its real path, from the root and without a slash at either end: links on the way are followed, and the last one too.
    pub path: Vec<u8>,
    /// How many bytes it has, holes included.
    pub size: u64,
    /// The entry that has its content.
    pub place: Place,
}

/// Where the contents of these paths are, in their order. `layers` are all of the image, the lowest first; of a layer that lies below what answers
/// for every path nothing is read.
///
/// # Errors
/// `NotFound` for a path that leads to nothing; `Unsupported` where it leads to what has no content: a directory, a device, a pipe; `Invalid`
/// where it leads through more than 40 links; what [`contents::of`] and [`Builder::layer`] say.
pub async fn find(
    source: &Arc<dyn Source>,
    layers: &[Layer],
    paths: &[Vec<u8>],
    cache: Option<&Cache>,
    contents: &contents::Options,
    tree: &tree::Options,
) -> Result<Vec<Found>> {
    // The highest first.
    let mut tables: Vec<Contents> = Vec::new();
    for layer in layers.iter().rev() {
        tables.push(contents::of(source, layer, cache, contents).await?);
        let lowest = layers.len() - tables.len();
        if let Some(found) = answers(&tables, lowest, paths, tree)? {
            return Ok(found);
        }
    }
    // Of no layers at all nothing is unknown, and nothing is there.
    answers(&[], 0, paths, tree).map(Option::unwrap_or_default)
}

/// What the layers from `lowest` on say of these paths; none where one of them is for the layers below to say.
fn answers(
    tables: &[Contents],
    lowest: usize,
    paths: &[Vec<u8>],
    options: &tree::Options,
) -> Result<Option<Vec<Found>>> {
    let mut builder = match lowest {
        0 => Builder::new(options),
        _ => Builder::above_unknown(options),
    };
    for (above, table) in tables.iter().rev().enumerate() {
        builder.layer(lowest + above, table)?;
    }
    let tree = builder.finish();
    let mut found = Vec::new();
    for path in paths {
        match tree.answer(path, true)? {
            Answer::Found(real, file) => found.push(regular(path, real, file)?),
            Answer::Absent => {
                let message = format!("\"{}\" is not in the image", Escaped(path));
                return Err(Error::new(ErrorKind::NotFound, message));
            }
            Answer::Unknown => return Ok(None),
        }
    }
    Ok(Some(found))
}

fn regular(asked: &[u8], path: Vec<u8>, file: File<'_>) -> Result<Found> {
    let what = match (file.kind(), file.entry()) {
        (Node::File(size), Some(place)) => {
            let size = *size;
            return Ok(Found { path, size, place });
        }
        (Node::Directory, _) => "a directory",
        (Node::CharDevice(_) | Node::BlockDevice(_), _) => "a device",
        (Node::Fifo, _) => "a named pipe",
        _ => "no regular file",
    };
    let message = format!("\"{}\" is {what}, which has no content", Escaped(asked));
    Err(Error::new(ErrorKind::Unsupported, message))
}

/// Writes what is in a file to `sink`, holes as zeros. What was written is nobody's word until this returns: the layer is verified to its end.
///
/// # Errors
/// As [`contents::read`]; what `sink` says. What was written until then stays.
pub async fn copy<W>(
    source: &Arc<dyn Source>,
    layers: &[Layer],
    file: &Found,
    mut sink: W,
    options: &contents::Options,
) -> Result<()>
where
    W: Write + Send + 'static,
{
    let place = file.place;
    let layer = layers.get(place.layer).ok_or_else(|| {
        let message = format!("the image has no layer {}", place.layer);
        Error::new(ErrorKind::NotFound, message)
    })?;
    let written = contents::read_with(source, layer, options, move |entry, content| {
        if entry.offset == place.offset {
            io::copy(content, &mut sink).map_err(of_reading)?;
            sink.flush()?;
        }
        Ok(())
    });
    written.await.map(drop)
}
