//! How does the content of files differ? Layers are read once more for it, each once, and what is in the files waits in a file of its own: in memory is
//! what is shown just now.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use futures_util::{StreamExt, TryStreamExt, stream};
use teu_archive::Escaped;
use teu_rootfs::Node;
use teu_spec::Digest;
use teu_store::{Error, ErrorKind, Result, Source};

use super::{Aspect, Change, Side, unified};
use crate::{
    Layer,
    contents::{self, Options, places},
    read::Kept,
    tree::{File, Place},
};

/// How many files are shown, and how large ones: the first by path. Those that both images have are counted by themselves, and so are those that only
/// one has; so that a directory that was added hides no change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextLimits {
    /// The largest file that is shown, in bytes. Default 1 MiB.
    pub text_file_bytes: u64,
    /// The bytes of all files that are shown. Default 64 MiB.
    pub text_bytes: u64,
    /// How many files are shown. Default 50,000.
    pub text_files: u64,
}

impl Default for TextLimits {
    fn default() -> Self {
        Self {
            text_file_bytes: 1 << 20,
            text_bytes: 64 << 20,
            text_files: 50_000,
        }
    }
}

/// How the content of a file differs. A file that only one image has is compared with nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Text {
    /// As [`unified`](unified()) has it.
    Unified(Vec<u8>),
    /// One of them is no text.
    Binary,
    /// It is past a limit, whose field and value these are.
    Past(&'static str, u64),
}

/// Says of each change whether its text is shown. Who asks about the same changes in the same order is told the same.
#[derive(Clone, Debug)]
struct Choice {
    limits: TextLimits,
    /// The bytes and the number of files so far, of those that both have and of those that one has.
    used: [(u64, u64); 2],
}

/// What is in a regular file: its size, and the entry that has it.
type Content = (u64, Place);

enum Chosen {
    Shown([Option<Content>; 2]),
    /// A limit, and its value.
    Past(&'static str, u64),
}

impl Choice {
    fn new(limits: &TextLimits) -> Self {
        Self {
            limits: limits.clone(),
            used: Default::default(),
        }
    }

    /// What is shown of a change, or the limit that keeps it from being shown; none where it is none of the content of regular files.
    fn of(&mut self, change: &Change<'_>) -> Result<Option<Chosen>> {
        let differs = |aspect: &Aspect| matches!(aspect, Aspect::Content | Aspect::ContentUnknown);
        let is_alone = change.before.is_none() || change.after.is_none();
        if !is_alone && !change.differs.iter().any(differs) {
            return Ok(None);
        }
        let regular = |file: Option<File<'_>>| -> Result<Option<Content>> {
            let described = file.filter(|file| file.is_regular()).map(File::read).transpose()?;
            Ok(match described.map(|file| (file.node, file.entry)) {
                Some((Node::File(size), Some(place))) => Some((size, place)),
                _ => None,
            })
        };
        let sides = [regular(change.before)?, regular(change.after)?];
        let sizes = sides.map(|side| side.map_or(0, |(size, _)| size));
        // An empty file has nothing that is not there in none.
        if sizes == [0, 0] {
            return Ok(None);
        }
        let TextLimits {
            text_file_bytes,
            text_bytes,
            text_files,
        } = self.limits;
        let (bytes, count) = &mut self.used[usize::from(is_alone)];
        let all = bytes.saturating_add(sizes[0]).saturating_add(sizes[1]);
        let chosen = if sizes[0].max(sizes[1]) > text_file_bytes {
            Chosen::Past("text_file_bytes", text_file_bytes)
        } else if all > text_bytes {
            Chosen::Past("text_bytes", text_bytes)
        } else if *count >= text_files {
            Chosen::Past("text_files", text_files)
        } else {
            (*bytes, *count) = (all, *count + 1);
            Chosen::Shown(sides)
        };
        Ok(Some(chosen))
    }
}

/// Files whose texts are to be shown.
#[derive(Clone, Debug)]
pub struct Pending {
    choice: Choice,
    /// For both sides the entries that have them, by layer.
    wanted: [HashMap<usize, BTreeSet<places::Wanted>>; 2],
}

impl Pending {
    /// None yet.
    #[must_use]
    pub fn new(limits: &TextLimits) -> Self {
        Self {
            choice: Choice::new(limits),
            wanted: Default::default(),
        }
    }

    /// Adds a file, where what differs is the content of a regular file or only one image has it; others have no text to show.
    ///
    /// # Errors
    /// As [`File::read`].
    pub fn add(&mut self, change: &Change<'_>) -> Result<()> {
        let Some(Chosen::Shown(sides)) = self.choice.of(change)? else {
            return Ok(());
        };
        for (wanted, side) in self.wanted.iter_mut().zip(sides) {
            if let Some((size @ 1.., place)) = side {
                let offset = place.offset;
                let wanted = wanted.entry(place.layer).or_default();
                wanted.insert(places::Wanted { offset, size });
            }
        }
        Ok(())
    }
}

/// The contents of files that differ.
#[derive(Clone, Debug)]
pub struct Texts {
    limits: TextLimits,
    /// For both sides the digests of the layers.
    layers: [Vec<Digest>; 2],
    kept: Kept,
}

/// Reads the contents of these files into `kept`, which has room for them, within a tokio runtime. A layer that has any of them is read once, to its
/// verified end, or as far as it takes from [places](crate::layers::Options::places) that are known.
///
/// # Errors
/// As [`contents::read`], and those of the file that they are kept in.
pub async fn texts(sides: [&Side; 2], pending: Pending, kept: Kept, options: &Options) -> Result<Texts> {
    let mut once: HashMap<Digest, Wanted> = HashMap::new();
    for (side, wanted) in sides.into_iter().zip(pending.wanted) {
        for (layer, files) in wanted {
            let Some(layer) = side.image.layers.get(layer) else {
                continue;
            };
            let wanted = once.entry(layer.descriptor.digest).or_insert_with(|| Wanted {
                source: Arc::clone(&side.source),
                layer: layer.clone(),
                files: BTreeSet::new(),
            });
            wanted.files.extend(files);
        }
    }
    let mut options = options.clone();
    options.digests = false;
    let side_by_side = options.layers.side_by_side.max(1);
    stream::iter(once.into_values())
        .map(|wanted| wanted.read(kept.clone(), options.clone()))
        .buffer_unordered(side_by_side)
        .try_collect::<()>()
        .await?;
    Ok(Texts {
        limits: pending.choice.limits,
        layers: sides.map(|side| side.image.layers.iter().map(|layer| layer.descriptor.digest).collect()),
        kept,
    })
}

/// Files of a layer whose content is wanted.
struct Wanted {
    source: Arc<dyn Source>,
    layer: Layer,
    files: BTreeSet<places::Wanted>,
}

impl Wanted {
    async fn read(self, kept: Kept, options: Options) -> Result<()> {
        let files = self.files.iter().copied().collect();
        if kept.keep_some(&self.source, &self.layer, &options, files).await {
            return Ok(());
        }
        let digest = self.layer.descriptor.digest;
        let offsets: BTreeSet<u64> = self.files.iter().map(|file| file.offset).collect();
        let visit = move |entry: &contents::Entry, content: &mut dyn contents::Content| {
            if offsets.contains(&entry.offset) {
                kept.keep(&digest, entry.offset, content)?;
            }
            Ok(())
        };
        contents::read_with(&self.source, &self.layer, &options, visit).await?;
        Ok(())
    }
}

impl Texts {
    /// Shows them, from the first change on.
    #[must_use]
    pub fn show(&self) -> Show<'_> {
        Show {
            texts: self,
            choice: Choice::new(&self.limits),
        }
    }
}

/// Shows texts. It is asked about all changes in the order in which [`Pending`] was told of them, each once.
#[derive(Clone, Debug)]
pub struct Show<'t> {
    texts: &'t Texts,
    choice: Choice,
}

impl Show<'_> {
    /// How the content of a file differs; none where that is no question.
    ///
    /// # Errors
    /// As [`File::read`], and those of the file that contents are kept in.
    pub fn text(&mut self, change: &Change<'_>) -> Result<Option<Text>> {
        let sides = match self.choice.of(change)? {
            None => return Ok(None),
            Some(Chosen::Past(limit, value)) => return Ok(Some(Text::Past(limit, value))),
            Some(Chosen::Shown(sides)) => sides,
        };
        let mut contents = [Vec::new(), Vec::new()];
        for ((content, layers), side) in contents.iter_mut().zip(&self.texts.layers).zip(sides) {
            if let Some((size @ 1.., place)) = side
                && let Some(layer) = layers.get(place.layer)
            {
                // Holes are zeros.
                content.resize(usize::try_from(size).unwrap_or(usize::MAX), 0);
                self.texts.kept.give(layer, place.offset, |at, bytes| -> Result<()> {
                    let at = usize::try_from(at).unwrap_or(usize::MAX);
                    let part = content.get_mut(at..at.saturating_add(bytes.len()));
                    let part = part.ok_or_else(|| {
                        let message = format!(
                            "\"{}\" is larger than the table of contents of layer {layer} says",
                            Escaped(&change.path)
                        );
                        Error::new(ErrorKind::Invalid, message)
                    })?;
                    part.copy_from_slice(bytes);
                    Ok(())
                })?;
            }
        }
        let [before, after] = contents;
        Ok(Some(unified(&before, &after).map_or(Text::Binary, Text::Unified)))
    }

    /// The limit that keeps it from being shown, and its value, without looking at what is in it.
    ///
    /// # Errors
    /// As [`File::read`].
    pub fn past(&mut self, change: &Change<'_>) -> Result<Option<(&'static str, u64)>> {
        Ok(match self.choice.of(change)? {
            Some(Chosen::Past(limit, value)) => Some((limit, value)),
            _ => None,
        })
    }
}
