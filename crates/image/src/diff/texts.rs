//! How does the content of files differ? Layers are read once more for it, each once, and no more is held of them than the limits allow.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
};

use futures_util::{StreamExt, TryStreamExt, stream};
use teu_rootfs::Node;
use teu_spec::Digest;
use teu_store::{Result, Source, blocking};

use super::{Aspect, Change, Side, unified};
use crate::{
    Layer,
    contents::{self, Options},
    failure::of_reading,
    tree::{File, Place},
};

/// How much of the files is held to compare them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextLimits {
    /// The largest file that is shown, in bytes. Default 1 MiB.
    pub file_bytes: u64,
    /// The bytes of all files of both images that are shown: the first by path. Default 64 MiB.
    pub all_bytes: u64,
}

impl Default for TextLimits {
    fn default() -> Self {
        Self {
            file_bytes: 1 << 20,
            all_bytes: 64 << 20,
        }
    }
}

/// How the content of a file differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Text {
    /// As [`unified`](unified()) has it.
    Unified(Vec<u8>),
    /// One of them is no text.
    Binary,
    /// It is past a limit, whose field and value these are.
    Past(&'static str, u64),
}

/// Files whose texts are to be shown.
#[derive(Clone, Debug)]
pub struct Pending {
    limits: TextLimits,
    bytes: u64,
    files: BTreeMap<Vec<u8>, std::result::Result<[Place; 2], Text>>,
}

impl Pending {
    /// None yet.
    #[must_use]
    pub fn new(limits: &TextLimits) -> Self {
        Self {
            limits: limits.clone(),
            bytes: 0,
            files: BTreeMap::new(),
        }
    }

    /// Adds a file, where what differs is the content of a regular file; others have no text to show.
    ///
    /// # Errors
    /// As [`File::read`].
    pub fn add(&mut self, change: &Change<'_>) -> Result<()> {
        let differs = |aspect: &Aspect| matches!(aspect, Aspect::Content | Aspect::ContentUnknown);
        if !change.differs.iter().any(differs) {
            return Ok(());
        }
        let regular = |file: Option<File<'_>>| -> Result<Option<(u64, Place)>> {
            let described = file.map(File::read).transpose()?;
            Ok(match described.map(|file| (file.node, file.entry)) {
                Some((Node::File(size), Some(place))) => Some((size, place)),
                _ => None,
            })
        };
        let (Some((old_size, old)), Some((new_size, new))) = (regular(change.before)?, regular(change.after)?) else {
            return Ok(());
        };
        let bytes = self.bytes.saturating_add(old_size).saturating_add(new_size);
        let TextLimits { file_bytes, all_bytes } = self.limits;
        let file = if old_size.max(new_size) > file_bytes {
            Err(Text::Past("file_bytes", file_bytes))
        } else if bytes > all_bytes {
            Err(Text::Past("all_bytes", all_bytes))
        } else {
            self.bytes = bytes;
            Ok([old, new])
        };
        self.files.insert(change.path.clone(), file);
        Ok(())
    }
}

/// How the contents of these files differ, by path, within a tokio runtime. A layer that has any of them is read once, to its verified end.
///
/// # Errors
/// As [`contents::read`].
pub async fn texts(sides: [&Side; 2], pending: Pending, options: &Options) -> Result<BTreeMap<Vec<u8>, Text>> {
    let mut wanted: HashMap<Digest, Wanted> = HashMap::new();
    let mut keyed = Vec::new();
    let mut texts = BTreeMap::new();
    for (path, file) in pending.files {
        let places = match file {
            Ok(places) => places,
            Err(text) => {
                texts.insert(path, text);
                continue;
            }
        };
        let keys: Vec<Key> = places
            .iter()
            .zip(sides)
            .filter_map(|(place, side)| {
                let layer = side.image.layers.get(place.layer)?;
                let digest = layer.descriptor.digest;
                let wanted = wanted.entry(digest).or_insert_with(|| Wanted {
                    source: Arc::clone(&side.source),
                    layer: layer.clone(),
                    offsets: HashSet::new(),
                });
                wanted.offsets.insert(place.offset);
                Some((digest, place.offset))
            })
            .collect();
        keyed.push((path, keys));
    }
    let mut options = options.clone();
    options.digests = false;
    let side_by_side = options.layers.side_by_side.max(1);
    let contents: HashMap<Key, Vec<u8>> = stream::iter(wanted.into_values())
        .map(|wanted| wanted.read(options.clone()))
        .buffer_unordered(side_by_side)
        .try_fold(HashMap::new(), async |mut all, some| {
            all.extend(some);
            Ok(all)
        })
        .await?;
    blocking::run(move || {
        for (path, keys) in keyed {
            if let [Some(old), Some(new)] = [0, 1].map(|side| keys.get(side).and_then(|key| contents.get(key))) {
                let text = unified(old, new).map_or(Text::Binary, Text::Unified);
                texts.insert(path, text);
            }
        }
        Ok(texts)
    })
    .await
}

/// A blob and an entry of the archive in it.
type Key = (Digest, u64);

/// Entries of a layer whose content is wanted.
struct Wanted {
    source: Arc<dyn Source>,
    layer: Layer,
    offsets: HashSet<u64>,
}

impl Wanted {
    async fn read(self, options: Options) -> Result<Vec<(Key, Vec<u8>)>> {
        let digest = self.layer.descriptor.digest;
        let found = Arc::new(Mutex::new(Vec::new()));
        let (keep, offsets) = (Arc::clone(&found), self.offsets);
        let visit = move |entry: &contents::Entry, content: &mut dyn contents::Content| {
            if offsets.contains(&entry.offset) {
                let mut bytes = Vec::new();
                content.read_to_end(&mut bytes).map_err(of_reading)?;
                let mut found = keep.lock().unwrap_or_else(PoisonError::into_inner);
                found.push(((digest, entry.offset), bytes));
            }
            Ok(())
        };
        contents::read_with(&self.source, &self.layer, &options, visit).await?;
        let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(std::mem::take(&mut *found))
    }
}
