//! How does a layer change its compression on its way? It is read, checked, decoded and encoded in one pass, and its content must be what
//! the image's config says of it.
//!
//! The same layer, compression and level give the same bytes on every machine, whatever the number of threads, as long as the version
//! of the compressors is the same.

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    io::{Read, Write},
    num::NonZeroUsize,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
};

use futures_util::StreamExt;
use teu_archive::codec::{self, Decoder, Encoder};
use teu_spec::{Annotations, Descriptor, Digest, LayerCompression, annotation};

use super::{blob::ANEW, ends::Ends, progress::Progress};
use crate::{
    Error, ErrorKind, Expected, How, Reader, Result, Side,
    blocking::{self, BATCH, Chunks, Outlet},
    compression,
    graph::Content,
};

/// Annotations that say where in a layer's compressed bytes its files are, by their beginnings: `zstd:chunked` of containers/storage, by
/// its name of now and its earlier one, and eStargz. They go with these bytes.
const OF_OLD_BYTES: [&str; 4] = [
    "io.github.containers.zstd-chunked.",
    "io.containers.zstd-chunked.",
    "containerd.io/snapshot/stargz/",
    "io.containers.estargz.",
];

/// What compression the layers of images get: not configs, not the blobs of artifacts, not what is non-distributable.
///
/// A layer that has that compression already, by its media type, stays as it is, whatever its level.
#[derive(Clone, Debug)]
pub struct Recompress {
    /// The compression.
    pub compression: LayerCompression,
    /// How hard it is tried: 0 to 9 for gzip (none: 6), -7 to 22 for zstd (none: 3).
    pub level: Option<i32>,
    /// Which layers change.
    pub layers: Layers,
    /// How many threads compress, all layers together.
    pub threads: NonZeroUsize,
    /// What a compressed layer may ask of its reader.
    pub limits: codec::Limits,
    /// What became of layers before. Copies that share it do the work on a layer once; without it a copy that is repeated recompresses
    /// again, unless to none, as a DiffID tells beforehand what comes of that.
    pub known: Recompressed,
}

/// Which layers change their compression.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Layers {
    /// Those that are not compressed at all.
    Plain,
    /// Those of another compression, unless the target has them as they are: what skopeo's `--dest-compress-format` does.
    New,
    /// Those of another compression: what skopeo's `--dest-force-compress-format` adds.
    #[default]
    All,
}

impl Recompress {
    /// All layers get this compression, at its usual level, on as many threads as this machine runs at once.
    #[must_use]
    pub fn to(compression: LayerCompression) -> Self {
        Self {
            compression,
            level: None,
            layers: Layers::default(),
            threads: thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            limits: codec::Limits::default(),
            known: Recompressed::default(),
        }
    }

    /// Whether a layer of this compression changes, as far as can be told without asking the target.
    pub(super) fn changes(&self, now: LayerCompression) -> bool {
        let plain = now == LayerCompression::None;
        now != self.compression && (plain || self.layers != Layers::Plain)
    }

    /// # Errors
    /// `Unsupported` for a level that the compression does not have.
    pub(super) fn check(&self) -> Result<()> {
        Encoder::new(std::io::sink(), compression::codec(self.compression), self.level)?;
        Ok(())
    }

    fn key(&self, layer: &Digest) -> Key {
        (*layer, self.compression, self.level)
    }
}

/// What became of layers that were recompressed, so that it need not be done again: of the last [`MOST`](Self::MOST). Clones share it.
///
/// It is written, one line for each, by its `Display`, and read by [`read`](Self::read): a program can keep it in a file of its own. What
/// is in it is believed, as far as that a layer's new content is what the old one was.
#[derive(Clone, Debug, Default)]
pub struct Recompressed(Arc<Mutex<Memory>>);

#[derive(Debug, Default)]
struct Memory {
    made: HashMap<Key, Made>,
    /// The same, the oldest first.
    order: VecDeque<Key>,
}

type Key = (Digest, LayerCompression, Option<i32>);

/// What was made of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Made {
    digest: Digest,
    size: u64,
    /// The digest of what is in both.
    diff_id: Digest,
}

impl Recompressed {
    /// How many layers are remembered.
    pub const MOST: usize = 10_000;

    /// Takes in what [`Display`](fmt::Display) wrote. Lines that are not understood are passed over: they cost only work.
    pub fn read(&self, text: &str) {
        for (key, made) in text.lines().filter_map(read_line) {
            self.keep(key, made);
        }
    }

    fn find(&self, key: &Key) -> Option<Made> {
        self.memory().made.get(key).copied()
    }

    fn keep(&self, key: Key, made: Made) {
        let mut memory = self.memory();
        if memory.made.insert(key, made).is_none() {
            memory.order.push_back(key);
        }
        if memory.order.len() > Self::MOST
            && let Some(oldest) = memory.order.pop_front()
        {
            memory.made.remove(&oldest);
        }
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Display for Recompressed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let memory = self.memory();
        let mut all = memory.order.iter().filter_map(|key| Some((key, memory.made.get(key)?)));
        all.try_for_each(|(key, made)| writeln!(formatter, "{}", line(key, made)))
    }
}

fn line((layer, compression, level): &Key, made: &Made) -> String {
    let level = level.map_or_else(|| "-".to_owned(), |level| level.to_string());
    let Made { digest, size, diff_id } = made;
    format!("{layer} {compression} {level} {digest} {size} {diff_id}")
}

fn read_line(line: &str) -> Option<(Key, Made)> {
    let fields: Vec<&str> = line.split(' ').collect();
    let [layer, compression, level, digest, size, diff_id] = fields[..] else {
        return None;
    };
    let level = match level {
        "-" => None,
        level => Some(level.parse().ok()?),
    };
    let made = Made {
        digest: digest.parse().ok()?,
        size: size.parse().ok()?,
        diff_id: diff_id.parse().ok()?,
    };
    Some(((layer.parse().ok()?, compression.parse().ok()?, level), made))
}

/// Takes from a layer's annotations what is about bytes that it no longer has, and gives the keys.
pub fn forget_bytes(annotations: &mut Annotations) -> Vec<String> {
    let old = |key: &String| OF_OLD_BYTES.iter().any(|beginning| key.starts_with(beginning));
    let dropped: Vec<String> = annotations.keys().filter(|key| old(key)).cloned().collect();
    annotations.retain(|key, _| !old(key));
    dropped
}

/// What is told of an index where [`follow`] led so many attestations.
#[must_use]
pub fn attested(index: &Digest, count: usize) -> String {
    let attestations = match count {
        1 => "an attestation names the old one".to_owned(),
        count => format!("{count} attestations name the old ones"),
    };
    format!("index {index}: images change their digests, and {attestations} within")
}

/// Has what buildkit attests of an image name it by its new digest, and says whether it does. `moved` has the new digests by the old ones.
pub fn follow(annotations: &mut Annotations, moved: &HashMap<String, Digest>) -> bool {
    let about = annotations.get_mut(annotation::DOCKER_REFERENCE_DIGEST);
    match about.and_then(|about| moved.get(about.as_str()).map(|new| (about, new))) {
        Some((about, new)) => {
            *about = new.to_string();
            true
        }
        None => false,
    }
}

impl Ends {
    /// Copies a layer, compressed anew. `diff_id` is the digest that its content must have.
    pub(super) async fn recompress(
        &self,
        layer: &Descriptor,
        how: &Recompress,
        diff_id: &Digest,
    ) -> Result<(How, Content)> {
        let Some(media_type) = layer.media_type.recompressed(how.compression) else {
            let message = format!("{} is no layer whose compression is known", layer.media_type);
            return Err(Error::new(ErrorKind::Unsupported, message).on(Side::Source));
        };
        let content = |made: &Made| Content {
            media_type: media_type.clone(),
            digest: made.digest,
            size: made.size,
        };
        let _turn = self.turn(&layer.digest).await;
        if how.layers == Layers::New && self.has(layer).await? {
            return Ok((How::Existed, layer.into()));
        }
        if let Some(known) = self.made_before(layer, how, diff_id).await? {
            return Ok((How::Existed, content(&known)));
        }
        let (ends, layer, how, diff_id) = (self.clone(), layer.clone(), how.clone(), *diff_id);
        let made = self
            .tasks
            .run(async move { ends.recompressed(&layer, &how, &diff_id).await });
        Ok((How::Recompressed, content(&made.await?)))
    }

    /// What a layer is recompressed, where that is known and the target has it.
    async fn made_before(&self, layer: &Descriptor, how: &Recompress, diff_id: &Digest) -> Result<Option<Made>> {
        if how.compression == LayerCompression::None {
            let size = self.size_of(diff_id).await?;
            return Ok(size.map(|size| Made {
                digest: *diff_id,
                size,
                diff_id: *diff_id,
            }));
        }
        let known = how.known.find(&how.key(&layer.digest));
        match known.filter(|known| known.diff_id == *diff_id) {
            Some(known) if self.size_of(&known.digest).await? == Some(known.size) => Ok(Some(known)),
            _ => Ok(None),
        }
    }

    async fn recompressed(&self, layer: &Descriptor, how: &Recompress, diff_id: &Digest) -> Result<Made> {
        let threads = self.threads.take(how.compression).await;
        let (_taken, threads) = threads.ok_or_else(|| Error::new(ErrorKind::Cancelled, "the copy has ended"))?;
        let plain = how.compression == LayerCompression::None;
        let mut anew = 0..ANEW;
        let committed = loop {
            let reader = self.open(layer).await.map_err(|error| error.on(Side::Source))?;
            let reader = self.reported(layer, reader);
            let work = {
                let (how, diff_id) = (how.clone(), *diff_id);
                move |input: Chunks, output: &mut Outlet| change(input, output, &how, threads, &diff_id)
            };
            let reader = blocking::transform(reader, work);
            // What is not compressed is what the DiffID says, and was hashed when it was decoded.
            let expected = Expected {
                digest: plain.then_some(*diff_id),
                size: None,
                algorithm: layer.digest.algorithm(),
                verified: plain,
            };
            match self.pour(reader, expected, |_| {}).await {
                // Why it cannot be decoded is seen by whoever reads it to its end: most likely it is not what its digest says.
                Err(error) if *error.kind() == ErrorKind::Invalid => {
                    self.check(layer).await?;
                    return Err(error);
                }
                // The same bytes come of it again.
                Err(error) if *error.kind() == ErrorKind::Lost && anew.next().is_some() => self.tell_anew(layer),
                outcome => break outcome?,
            }
        };
        let made = Made {
            digest: committed.digest,
            size: committed.size,
            diff_id: *diff_id,
        };
        how.known.keep(how.key(&layer.digest), made);
        Ok(made)
    }

    /// Reads a blob to its end only to see whether it is what its digest says.
    async fn check(&self, blob: &Descriptor) -> Result<()> {
        let mut reader = self.open(blob).await.map_err(|error| error.on(Side::Source))?;
        while let Some(bytes) = reader.next().await {
            bytes.map_err(|error| error.on(Side::Source))?;
        }
        Ok(())
    }

    /// The same content, whose progress is told as it is read: sizes are those of the source.
    fn reported(&self, layer: &Descriptor, reader: Reader) -> Reader {
        let mut progress = Progress::new(&self.events, layer);
        reader
            .inspect(move |bytes| {
                if let Ok(bytes) = bytes {
                    progress.add(bytes.len());
                }
            })
            .boxed()
    }
}

/// Decodes a layer, whatever its media type says of how it is compressed, and encodes it.
fn change(input: Chunks, output: &mut Outlet, how: &Recompress, threads: NonZeroUsize, diff_id: &Digest) -> Result<()> {
    let failed = |error: std::io::Error| Error::from(teu_archive::Error::from(error));
    let mut decoder = Decoder::detect(input, how.limits.clone())?;
    let mut encoder = Encoder::with_threads(output, compression::codec(how.compression), how.level, threads)?;
    let mut hasher = diff_id.algorithm().hasher();
    let mut buffer = vec![0; BATCH];
    loop {
        let count = decoder.read(&mut buffer).map_err(failed)?;
        if count == 0 {
            break;
        }
        hasher.update(&buffer[..count]);
        encoder.write_all(&buffer[..count]).map_err(failed)?;
    }
    let found = hasher.finish();
    if found != *diff_id {
        return Err(Error::new(
            ErrorKind::Mismatch,
            format!(
                "uncompressed it has the digest {found}, but the image's config says {diff_id}; \
                 the image is broken, and must be made anew"
            ),
        ));
    }
    encoder.finish()?;
    Ok(())
}
