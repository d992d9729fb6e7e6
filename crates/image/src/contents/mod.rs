//! What is in a layer? [`Contents`]: its table of contents, every entry but not what is in the files. It is [read] once, from a layer that
//! is verified to its end, and kept by a [`Cache`], so that who asks again need not read the layer.
//!
//! What an entry means is [`entry::check`]'s word: a layer that would not be unpacked has no table. A table is held in the compact form in which it
//! is kept, some 40 bytes an entry, in memory or, where that is much, in a file; [`Contents::entries`] reads it off one by one.

mod all;
mod cache;
mod content;
mod form;
mod frame;
mod gathered;
mod kept;
mod making;
pub mod places;
mod stored;
#[cfg(test)]
mod tests;

use std::{
    io::{self, BufRead},
    path::PathBuf,
    sync::Arc,
};

use teu_archive::{Escaped, tar};
use teu_rootfs::{Budget, Metadata, Node};
use teu_spec::{Algorithm, Digest};
use teu_store::{Error, ErrorKind, Result, Source, blocking};

pub(crate) use all::gather;
pub use all::{of_all, of_all_with};
pub use cache::Cache;
pub use content::Content;
pub(crate) use form::{BLOCK, Does, Raw};
pub(crate) use gathered::Gathered;
pub(crate) use making::Making;

use crate::{Layer, entry, failure::of_reading, layer, layers};

use content::{Counted, Hashed};
use stored::{Standing, Stored};

/// How many bytes of holes are hashed in a layer: they cost their maker nothing.
const MOST_HOLES: u64 = 4 << 30;

/// One entry of a layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name, as it stands in the archive.
    pub path: Vec<u8>,
    /// What it does.
    pub what: What,
    /// Mode, owner, time and extended attributes; of a whiteout they mean nothing.
    pub metadata: Metadata,
    /// The digest of a regular file's content, where [`Options::digests`] asked for it. Where holes have many bytes it is not known.
    pub content: Option<Digest>,
    /// Where its first header begins, in bytes of the uncompressed archive: no two entries have the same.
    pub offset: u64,
}

/// What an entry does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A file is made, or any other node that is no link.
    Make(Node),
    /// Another name of what is at this path.
    HardLink(Vec<u8>),
    /// What lower layers have at this path is hidden.
    Remove(Vec<u8>),
    /// All that lower layers have in this directory is hidden; empty for the root.
    Clear(Vec<u8>),
}

/// How a table is made.
#[derive(Clone, Debug)]
pub struct Options {
    /// Regular files get the digest of their content, which costs its hashing.
    pub digests: bool,
    /// How much the archive may ask for.
    pub tar: tar::Limits,
    /// What an entry may ask for, of which names, paths and sizes count here.
    pub budget: Budget,
    /// How many bytes a table may have. Default 256 MiB, some millions of entries.
    pub contents_bytes: usize,
    /// How many bytes the tables of an image may have in memory, where there is another place. Default 16 MiB.
    pub memory_bytes: usize,
    /// The directory of files, which have no names, for tables that have more. Without it they are in memory, up to `contents_bytes` each; so is one
    /// for which there is no room on its disk, or which cannot be made there.
    pub temporary: Option<PathBuf>,
    /// How layers are read.
    pub layers: layers::Options,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            digests: false,
            tar: tar::Limits::default(),
            budget: Budget::default(),
            contents_bytes: 256 << 20,
            memory_bytes: 16 << 20,
            temporary: None,
            layers: layers::Options::default(),
        }
    }
}

impl Options {
    /// Whether less is allowed than where nobody sets a limit: tables that are kept may have been made of more.
    pub(crate) fn is_stricter(&self) -> bool {
        let of = |options: &Self| {
            let (tar, budget, codec) = (&options.tar, &options.budget, &options.layers.limits);
            [
                tar.metadata_bytes,
                tar.name_bytes,
                tar.sparse_segments,
                tar.entries,
                tar.hole_bytes,
                tar.total_bytes,
                budget.file_bytes,
                budget.name_bytes as u64,
                budget.path_bytes as u64,
                budget.depth as u64,
                codec.output_bytes,
                codec.ratio,
                codec.ratio_from,
                codec.window_bytes,
                codec.header_bytes,
                options.contents_bytes as u64,
            ]
        };
        of(self)
            .iter()
            .zip(of(&Self::default()))
            .any(|(set, usual)| *set < usual)
    }

    /// What layers may ask for.
    pub(crate) fn limits(&self) -> layer::Limits {
        layer::Limits {
            codec: self.layers.limits.clone(),
            tar: self.tar.clone(),
            budget: self.budget.clone(),
        }
    }

    /// What is left for each table where there are so many.
    pub(crate) fn for_each_of(&self, tables: usize) -> Self {
        Self {
            memory_bytes: self.memory_bytes / tables.max(1),
            ..self.clone()
        }
    }
}

/// The table of contents of a layer. A copy shares its memory.
#[derive(Clone, Debug)]
pub struct Contents {
    layer: Digest,
    diff_id: Digest,
    digests: bool,
    size: u64,
    count: u64,
    /// The entries in their compact form, which was checked when it was made.
    entries: Arc<Stored>,
}

impl Contents {
    /// The digest of the layer's blob.
    #[must_use]
    pub fn layer(&self) -> &Digest {
        &self.layer
    }

    /// The digest of the archive in it.
    #[must_use]
    pub fn diff_id(&self) -> &Digest {
        &self.diff_id
    }

    /// Whether regular files have the digest of their content.
    #[must_use]
    pub fn has_digests(&self) -> bool {
        self.digests
    }

    /// The size of the archive in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// How many entries there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The entries, in the order of the archive; an error is that of the file that they lie in. What AUFS keeps for itself is not among them.
    #[must_use]
    pub fn entries(&self) -> Entries<'_> {
        Entries(self.reader())
    }

    /// Reads the entries one by one, without a copy of what they say.
    pub(crate) fn reader(&self) -> Reader<'_> {
        Reader {
            contents: self,
            standing: Standing::default(),
        }
    }

    /// Shows `look` the entry with this number.
    pub(crate) fn with<R>(&self, number: u32, look: impl FnOnce(&Raw<'_>) -> Result<R>) -> Result<R> {
        self.entries.with(number, look)
    }

    /// Lets go of what is in memory of the file in which the entries lie, if they do: nobody reads them for a while.
    pub(crate) fn rest(&self) {
        self.entries.rest();
    }

    /// What the numbers of all entries are below.
    pub(crate) fn numbers(&self) -> u64 {
        self.entries.blocks() as u64 * u64::from(BLOCK)
    }
}

/// Reads the entries of a table in the order of the archive.
pub(crate) struct Reader<'a> {
    contents: &'a Contents,
    standing: Standing,
}

impl Reader<'_> {
    pub(crate) fn next(&mut self) -> Result<Option<Raw<'_>>> {
        self.standing.next(&self.contents.entries)
    }
}

/// The entries of a table, in the order of the archive.
pub struct Entries<'a>(Reader<'a>);

impl Iterator for Entries<'_> {
    type Item = Result<Entry>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().transpose().map(|raw| raw?.entry())
    }
}

/// Reads a layer's table of contents out of the layer, within a tokio runtime.
///
/// # Errors
/// `Invalid` for a layer that would not be unpacked, with the entry; `TooLarge` for what reaches a limit, which is named; `Mismatch` where size, digest
/// or DiffID differ; what the source says.
pub async fn read(source: &Arc<dyn Source>, layer: &Layer, options: &Options) -> Result<Contents> {
    read_with(source, layer, options, |_, _| Ok(())).await
}

/// As [`read`], and shows `visit` each entry with its content on the way. What it sees is nobody's word until this returns: it is verified
/// at the end.
///
/// # Errors
/// As [`read`], and what `visit` says.
pub async fn read_with<V>(source: &Arc<dyn Source>, layer: &Layer, options: &Options, visit: V) -> Result<Contents>
where
    V: FnMut(&Entry, &mut dyn Content) -> Result<()> + Send + 'static,
{
    let (of, how) = (layer.clone(), options.clone());
    let made = move |tar: &mut dyn BufRead| table(tar, &of, &how, visit);
    let read = match options.digests {
        // To hash what is in files takes half as long as to inflate it.
        true => {
            let mut opened = layers::open(source, layer, &options.layers);
            blocking::run(move || made(&mut opened)).await
        }
        false => layers::within(source, layer, &options.layers, made).await,
    };
    let digest = layer.descriptor.digest;
    read.map_err(|error| error.within(format!("the contents of layer {digest}")))
}

/// A layer's table of contents: what the cache has, or else read out of the layer and put there.
///
/// # Errors
/// As [`read`].
pub async fn of(source: &Arc<dyn Source>, layer: &Layer, cache: Option<&Cache>, options: &Options) -> Result<Contents> {
    of_with(source, layer, cache, options, None).await
}

/// Who looks at entries while the tables of layers are read, if they are: it is told the layer, the entry, and what is in it.
pub type Visitor = Arc<dyn Fn(&Layer, &Entry, &mut dyn Content) -> Result<()> + Send + Sync>;

/// As [`of`]; a layer that is read is shown to `visitor` on the way, as by [`read_with`].
///
/// # Errors
/// As [`read_with`].
pub async fn of_with(
    source: &Arc<dyn Source>,
    layer: &Layer,
    cache: Option<&Cache>,
    options: &Options,
    visitor: Option<&Visitor>,
) -> Result<Contents> {
    if let Some(cache) = cache
        && let Some(known) = cache.load(layer, options).await
    {
        return Ok(known);
    }
    read_once(source, layer, cache, options, visitor).await
}

/// As [`of_with`], where the cache is known not to have it.
pub(crate) async fn read_once(
    source: &Arc<dyn Source>,
    layer: &Layer,
    cache: Option<&Cache>,
    options: &Options,
    visitor: Option<&Visitor>,
) -> Result<Contents> {
    let contents = match visitor {
        None => read(source, layer, options).await?,
        Some(visitor) => {
            let (visitor, of) = (Arc::clone(visitor), layer.clone());
            read_with(source, layer, options, move |entry, content| {
                visitor(&of, entry, content)
            })
            .await?
        }
    };
    if let Some(cache) = cache {
        cache.keep(&contents).await;
    }
    Ok(contents)
}

/// Reads the archive in a layer to its end.
fn table<V>(tar: &mut dyn BufRead, layer: &Layer, options: &Options, mut visit: V) -> Result<Contents>
where
    V: FnMut(&Entry, &mut dyn Content) -> Result<()>,
{
    let mut reader = tar::Reader::buffered(Counted { tar, count: 0 }, options.tar.clone());
    let mut making = Making::new(options);
    let mut holes: u64 = 0;
    while let Some(mut found) = reader.next_entry()? {
        let offset = found.header_offset();
        let action = entry::check(found.header(), &options.budget).map_err(refused)?;
        let Some(mut entry) = Entry::of(found.header(), action, offset) else {
            continue;
        };
        let is_file = matches!(entry.what, What::Make(Node::File(_)));
        let stored: u64 = found.segments().iter().map(|segment| segment.length).sum();
        holes = holes.saturating_add(found.header().size - stored);
        let is_hashed = options.digests && is_file && (holes <= MOST_HOLES || stored == found.header().size);
        let hasher = is_hashed.then(|| Algorithm::Sha256.hasher());
        let mut content = Hashed::new(&mut found, stored, hasher);
        visit(&entry, &mut content)?;
        if is_hashed {
            io::copy(&mut content, &mut io::sink()).map_err(of_reading)?;
        }
        entry.content = content.finish();
        making.push(&entry)?;
    }
    let (counted, _) = reader.finish()?;
    making.finish(layer.descriptor.digest, layer.diff_id, counted.count)
}

fn refused(why: String) -> Error {
    Error::new(ErrorKind::Invalid, format!("entry {why}"))
}

/// An entry as a person is told of it.
impl std::fmt::Display for Entry {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "\"{}\"", Escaped(&self.path))
    }
}
