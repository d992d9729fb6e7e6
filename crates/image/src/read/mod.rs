//! What is in one file of an image? [`find`] says which entry of which layer has a path's content, reading the tables of no more layers than it
//! takes, the highest first; [`copy`] gives what is in it. With [`Kept`] a layer is read once for both.

mod kept;

use std::{
    collections::HashSet,
    io::{self, Write},
    sync::{Arc, Mutex, PoisonError},
};

use teu_archive::Escaped;
use teu_rootfs::Node;
use teu_store::{Error, ErrorKind, Result, Source};

use crate::{
    Layer,
    contents::places::{self, Wanted},
    contents::{self, Cache, Contents, Gathered, Visitor, What},
    failure::of_reading,
    glob::{Pattern, clean},
    tree::{self, Answer, Builder, File, Place, Tree},
};

pub use kept::Kept;

/// A regular file of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its real path, from the root and without a slash at either end: links on the way are followed, and the last one too. Where it took no more layers
    /// to find it than the highest, which does not say what is on the way, the path by which that has it.
    pub path: Vec<u8>,
    /// How many bytes it has, holes included.
    pub size: u64,
    /// The entry that has its content.
    pub place: Place,
}

impl From<&Found> for Wanted {
    fn from(file: &Found) -> Self {
        Self {
            offset: file.place.offset,
            size: file.size,
        }
    }
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
    found(source, layers, paths, cache, contents, tree, None).await
}

/// The tree of an image as far as it takes to say what these patterns mean: of one with wildcards all layers are read, of a path those that may have
/// something there. What it has besides is not all that the image has.
///
/// # Errors
/// What [`contents::of`] and [`Builder::layer`] say.
pub async fn listing(
    source: &Arc<dyn Source>,
    layers: &[Layer],
    patterns: &[Pattern],
    cache: Option<&Cache>,
    contents: &contents::Options,
    tree: &tree::Options,
) -> Result<Tree> {
    let paths: Option<Vec<Vec<u8>>> = patterns.iter().map(Pattern::path).collect();
    let paths = match paths {
        Some(paths) if !paths.is_empty() => paths,
        _ => {
            let tables = contents::of_all(source, layers, cache, contents).await?;
            return Tree::of(&tables, tree);
        }
    };
    let need = |tree: &Tree, _: &Contents| {
        for path in &paths {
            match tree.answer(path, false)? {
                Answer::Absent => {}
                Answer::Unknown => return Ok(Need::Next),
                Answer::Found(_, file) if tree.is_certain(file)? => {}
                // A directory, of which any layer may have something.
                Answer::Found(..) => return Ok(Need::All),
            }
        }
        Ok(Need::Nothing)
    };
    upper(source, layers, cache, contents, tree, None, need).await
}

/// As [`find`]; and the content is in `kept` then. A layer whose table nobody knew is read once for both where a file's name, or that of the link
/// that leads to it, stands in the path, and else twice.
///
/// # Errors
/// As [`find`]; `TooLarge` where there is more content than may be kept; `Mismatch` where a layer is not what its digest says; what the file
/// says that it is kept in.
pub async fn keep(
    source: &Arc<dyn Source>,
    layers: &[Layer],
    paths: &[Vec<u8>],
    cache: Option<&Cache>,
    contents: &contents::Options,
    tree: &tree::Options,
    kept: &Kept,
) -> Result<Vec<Found>> {
    let visitor = kept.visitor(speculation(paths));
    let found = found(source, layers, paths, cache, contents, tree, Some(&visitor)).await?;
    for (position, layer) in layers.iter().enumerate() {
        let digest = layer.descriptor.digest;
        let missing = found.iter().filter(|file| file.place.layer == position);
        let mut missing: Vec<Found> = missing
            .filter(|file| !kept.has(&digest, file.place.offset))
            .cloned()
            .collect();
        missing.sort_by_key(|file| file.place.offset);
        missing.dedup_by_key(|file| file.place.offset);
        let wanted = missing.iter().map(Wanted::from).collect();
        if missing.is_empty() || kept.keep_some(source, layer, contents, wanted).await {
            continue;
        }
        let kept = kept.clone();
        let read = contents::read_with(source, layer, contents, move |entry, content| {
            match missing.iter().find(|file| file.place.offset == entry.offset) {
                Some(file) if !kept.keep(&digest, entry.offset, content)? => Err(kept.full(&file.path)),
                _ => Ok(()),
            }
        });
        read.await?;
    }
    Ok(found)
}

/// Says of an entry whether it may be what one of these paths leads to: the last name is right, or is that of a link that was seen before.
pub(crate) fn speculation(paths: &[Vec<u8>]) -> impl Fn(&contents::Entry) -> bool + Send + Sync + use<> {
    let names: HashSet<Vec<u8>> = paths.iter().map(|path| last_name(path)).collect();
    let names = Mutex::new(names);
    move |entry| {
        let mut names = names.lock().unwrap_or_else(PoisonError::into_inner);
        let may_be = names.contains(&last_name(&entry.path));
        if let What::Make(Node::Symlink(target)) = &entry.what
            && may_be
        {
            names.insert(last_name(target));
        }
        may_be
    }
}

fn last_name(path: &[u8]) -> Vec<u8> {
    clean(path)
        .rsplit(|byte| *byte == b'/')
        .next()
        .unwrap_or_default()
        .to_vec()
}

async fn found(
    source: &Arc<dyn Source>,
    layers: &[Layer],
    paths: &[Vec<u8>],
    cache: Option<&Cache>,
    contents: &contents::Options,
    tree: &tree::Options,
    visitor: Option<&Visitor>,
) -> Result<Vec<Found>> {
    let last = Mutex::new(None);
    let enough = |tree: &Tree, highest: &Contents| {
        let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_none() {
            *last = Some(last_made(highest, layers.len() - 1)?);
        }
        for path in paths {
            match tree.answer(path, true)? {
                Answer::Found(..) => {}
                Answer::Absent => return Err(absent(path)),
                Answer::Unknown if last.iter().flatten().any(|made| made.is_at(path)) => {}
                Answer::Unknown => return Ok(Need::Next),
            }
        }
        Ok(Need::Nothing)
    };
    let tree = upper(source, layers, cache, contents, tree, visitor, enough).await?;
    let last = last.into_inner().unwrap_or_else(PoisonError::into_inner).flatten();
    let regular = |path: &Vec<u8>| match tree.answer(path, true)? {
        Answer::Unknown if last.as_ref().is_some_and(|made| made.is_at(path)) => {
            last.clone().ok_or_else(|| absent(path))
        }
        Answer::Found(real, file) => regular(path, real, file),
        Answer::Absent | Answer::Unknown => Err(absent(path)),
    };
    paths.iter().map(regular).collect()
}

/// The file that the last entry of an image's highest layer makes, if it makes one. Wherever its name leads, it leads to this file: whatever is on the way
/// is so when the entry is made, and nothing comes behind it.
pub(crate) fn last_made(highest: &Contents, layer: usize) -> Result<Option<Found>> {
    let Some(entry) = highest.entries().last().transpose()? else {
        return Ok(None);
    };
    Ok(match entry.what {
        What::Make(Node::File(size)) => Some(Found {
            path: clean(&entry.path),
            size,
            place: Place {
                layer,
                offset: entry.offset,
            },
        })
        // What leads up is not where its letters say.
        .filter(|_| !leads_up(&entry.path)),
        _ => None,
    })
}

fn leads_up(path: &[u8]) -> bool {
    path.split(|byte| *byte == b'/').any(|name| name == b"..")
}

impl Found {
    /// Whether this is the path by which it is known.
    pub(crate) fn is_at(&self, path: &[u8]) -> bool {
        !leads_up(path) && clean(path) == self.path
    }
}

/// What more has to be read.
pub(crate) enum Need {
    Nothing,
    /// The next layer, which may say it.
    Next,
    /// All layers.
    All,
}

/// The tree of as few layers as it takes, the highest read first, and above those that were not read; `need` says of what there is, and of the table of the
/// highest, what is missing.
pub(crate) async fn upper(
    source: &Arc<dyn Source>,
    layers: &[Layer],
    cache: Option<&Cache>,
    contents: &contents::Options,
    options: &tree::Options,
    visitor: Option<&Visitor>,
    need: impl Fn(&Tree, &Contents) -> Result<Need>,
) -> Result<Tree> {
    let contents = &contents.for_each_of(layers.len());
    let gathered = Gathered::new(cache, contents);
    // The highest first.
    let mut tables: Vec<Contents> = Vec::new();
    let (mut entries, mut asked) = (0, 0);
    for layer in layers.iter().rev() {
        let known = match cache {
            Some(cache) => cache.load(layer, contents).await,
            None => None,
        };
        // It is asked before a layer is read. A table that is known costs less than a tree, which is made anew each time: so each has at least twice as
        // many entries as the one before.
        if !tables.is_empty() && (known.is_none() || entries >= 2 * asked) {
            asked = entries;
            let lowest = layers.len() - tables.len();
            let tree = merged(&tables, lowest, options)?;
            let need = need(&tree, &tables[0])?;
            if matches!(need, Need::Nothing) {
                return Ok(tree);
            }
            // With more layers: both need not be in memory.
            drop(tree);
            if matches!(need, Need::All) {
                // Several at a time.
                let rest = contents::gather(source, &layers[..lowest], cache, contents, visitor, &gathered).await?;
                tables.extend(rest.into_iter().rev());
                break;
            }
        }
        let table = match known {
            Some(known) => known,
            None => contents::read_once(source, layer, cache, contents, visitor).await?,
        };
        entries += table.count();
        tables.push(gathered.add(table).await?);
    }
    merged(&tables, 0, options)
}

/// The tree of the layers from `lowest` on, whose tables come the highest first.
fn merged(tables: &[Contents], lowest: usize, options: &tree::Options) -> Result<Tree> {
    let mut builder = match lowest {
        0 => Builder::new(options),
        _ => Builder::above_unknown(options),
    };
    for (above, table) in tables.iter().rev().enumerate() {
        builder.layer(lowest + above, table)?;
    }
    Ok(builder.finish())
}

pub(crate) fn absent(path: &[u8]) -> Error {
    let message = format!("\"{}\" is not in the image", Escaped(path));
    Error::new(ErrorKind::NotFound, message)
}

fn regular(asked: &[u8], path: Vec<u8>, file: File<'_>) -> Result<Found> {
    let described = file.read()?;
    let what = match (described.node, described.entry) {
        (Node::File(size), Some(place)) => return Ok(Found { path, size, place }),
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
    let layer = layer_of(layers, file)?;
    let written = contents::read_with(source, layer, options, move |entry, content| {
        if entry.offset == place.offset {
            io::copy(content, &mut sink).map_err(of_reading)?;
            sink.flush()?;
        }
        Ok(())
    });
    written.await.map(drop)
}

/// What is in a file of at most `limit` bytes that a path leads to; none where nothing is.
///
/// # Errors
/// As [`find`] and [`copy`]; `TooLarge` for a file with more bytes.
pub async fn content(
    source: &Arc<dyn Source>,
    layers: &[Layer],
    path: &[u8],
    limit: u64,
    cache: Option<&Cache>,
    contents: &contents::Options,
    tree: &tree::Options,
) -> Result<Option<Vec<u8>>> {
    let need = |tree: &Tree, _: &Contents| {
        Ok(match tree.answer(path, true)? {
            Answer::Unknown => Need::Next,
            Answer::Found(..) | Answer::Absent => Need::Nothing,
        })
    };
    let tree = upper(source, layers, cache, contents, tree, None, need).await?;
    let file = match tree.answer(path, true)? {
        Answer::Found(real, file) => regular(path, real, file)?,
        Answer::Absent | Answer::Unknown => return Ok(None),
    };
    drop(tree);
    if file.size > limit {
        let message = format!("\"{}\" has more bytes than the limit of {limit}", Escaped(path));
        return Err(Error::new(ErrorKind::TooLarge, message));
    }
    let sink = Shared::default();
    let mut some = sink.clone();
    let shown = places::visit(
        source,
        layer_of(layers, &file)?,
        contents,
        vec![Wanted::from(&file)],
        move |_, content| {
            io::copy(content, &mut some).map_err(of_reading)?;
            Ok(())
        },
    );
    if shown.await {
        return Ok(Some(sink.take()));
    }
    // It may have been broken off.
    sink.take();
    copy(source, layers, &file, sink.clone(), contents).await?;
    Ok(Some(sink.take()))
}

/// Bytes that are written on another thread.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Shared {
    /// What was written so far.
    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The layer that a file is in.
fn layer_of<'l>(layers: &'l [Layer], file: &Found) -> Result<&'l Layer> {
    layers.get(file.place.layer).ok_or_else(|| {
        let message = format!("the image has no layer {}", file.place.layer);
        Error::new(ErrorKind::NotFound, message)
    })
}
