//! How does a new layer come to be? Entries are written as a deterministic tar archive, compressed on several threads, and hashed twice (the
//! blob, and the DiffID of what is in it) in one pass over the bytes, straight into a place's [`Ingest`](teu_store::Ingest).
//!
//! Entries come from wherever `work` has them ([`write()`]), or from a tar archive that is there already ([`from_tar()`]). The same entries,
//! compression and level give the same bytes on every machine, whatever the number of threads. Nothing is left where it fails.

mod digested;
mod from_tar;
mod header;
mod passed_over;
mod tree;
mod whole;
mod writer;

use std::{
    num::NonZeroUsize,
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use futures_util::{StreamExt, stream};
use teu_archive::codec::Encoder;
use teu_spec::{Algorithm, Digest, LayerCompression};
use teu_store::{
    Committed, Error, ErrorKind, Expected, Result, Target,
    blocking::{self, Outlet},
    codec,
};

use digested::{Content, Digested};

pub use from_tar::{Keep, Limits, from_tar};
pub use header::{hard_link, header, time};
pub(crate) use passed_over::{NO_SOCKETS, PassedOver};
pub use teu_archive::tar::Time;
pub use tree::{Owners, Tree, walk_options};
pub use writer::Writer;

/// The most threads that one layer is compressed on, each of which holds up to 8 MiB.
const MOST_THREADS: usize = 8;

/// How a layer is written.
#[derive(Clone, Debug)]
pub struct Options {
    /// How it is compressed. A place that keeps layers uncompressed only gets them so, whatever stands here.
    pub compression: LayerCompression,
    /// How hard it is tried: 0 to 9 for gzip (none: 6), -7 to 22 for zstd (none: 3); not for what is not compressed.
    pub level: Option<i32>,
    /// How many threads compress, of which at most 8 are used.
    pub threads: NonZeroUsize,
    /// The algorithm of the digest and of the DiffID.
    pub algorithm: Algorithm,
    /// What becomes of the times of entries.
    pub times: Times,
    /// What its entries may ask for: what whoever reads it under the same limits would refuse is not written.
    pub limits: Limits,
}

impl Default for Options {
    /// gzip at its usual level, on as many threads as this machine runs at once, SHA-256, times as they are, the default limits.
    fn default() -> Self {
        Self {
            compression: LayerCompression::Gzip,
            level: None,
            threads: thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            algorithm: Algorithm::Sha256,
            times: Times::Keep,
            limits: Limits::default(),
        }
    }
}

impl Options {
    /// # Errors
    /// `Unsupported` for a level that the compression does not have.
    pub fn check(&self) -> Result<()> {
        Encoder::new(std::io::sink(), codec(self.compression), self.level)?;
        Ok(())
    }

    /// What holds for this target.
    fn at(&self, target: &dyn Target) -> Self {
        let mut options = self.clone();
        if target.takes().uncompressed_only {
            options.compression = LayerCompression::None;
            options.level = None;
        }
        options.threads = options
            .threads
            .min(NonZeroUsize::new(MOST_THREADS).unwrap_or(NonZeroUsize::MIN));
        options
    }
}

/// What becomes of the times of entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Times {
    /// They stay.
    #[default]
    Keep,
    /// What is later becomes this: what `SOURCE_DATE_EPOCH` is for (reproducible-builds.org, "Source date epoch").
    Clamp(Time),
    /// All become this.
    Set(Time),
}

impl Times {
    /// What becomes of this one.
    #[must_use]
    pub fn apply(self, time: Time) -> Time {
        match self {
            Self::Keep => time,
            Self::Clamp(latest) => time.min(latest),
            Self::Set(set) => set,
        }
    }
}

/// A layer that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The digest of the blob.
    pub digest: Digest,
    /// The size of the blob in bytes.
    pub size: u64,
    /// The digest of what is in it, uncompressed.
    pub diff_id: Digest,
    /// The size of what is in it, likewise.
    pub content_size: u64,
    /// How many entries it has.
    pub entries: u64,
    /// How it is compressed.
    pub compression: LayerCompression,
}

/// Writes a layer of the entries that `work` gives, which is called on a thread for blocking work, and what `work` answers.
///
/// # Errors
/// What `work` says; `Unsupported` for a level that the compression does not have; what the target says. Nothing is left behind.
pub async fn write<T: Send + 'static>(
    target: &dyn Target,
    options: &Options,
    work: impl FnOnce(&mut Writer<'_>) -> Result<T> + Send + 'static,
) -> Result<(Written, T)> {
    let options = options.at(target);
    let compression = options.compression;
    let (committed, (content, entries, answer)) = pour(target, compression, options.algorithm, move |outlet| {
        let mut writer = Writer::new(Digested::new(outlet, &options)?, &options);
        let answer = work(&mut writer)?;
        let (content, entries) = writer.finish()?;
        Ok((content.diff_id, (content, entries, answer)))
    })
    .await?;
    Ok((written(committed, content, entries, compression), answer))
}

fn written(committed: Committed, content: Content, entries: u64, compression: LayerCompression) -> Written {
    Written {
        digest: committed.digest,
        size: committed.size,
        diff_id: content.diff_id,
        content_size: content.size,
        entries,
        compression,
    }
}

/// Writes a blob of what `work` writes on a thread for blocking work; `work` answers the DiffID, which is the digest already where nothing is
/// compressed, and anything else.
async fn pour<T: Send + 'static>(
    target: &dyn Target,
    compression: LayerCompression,
    algorithm: Algorithm,
    work: impl FnOnce(&mut Outlet) -> Result<(Digest, T)> + Send + 'static,
) -> Result<(Committed, T)> {
    let plain = compression == LayerCompression::None;
    let answer = Arc::new(Mutex::new(None));
    let mut reader = {
        let answer = Arc::clone(&answer);
        blocking::transform(stream::empty().boxed(), move |_, outlet| {
            let result = work(outlet)?;
            *answer.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
            Ok(())
        })
    };
    let expected = Expected {
        algorithm,
        verified: plain,
        ..Expected::default()
    };
    let mut ingest = target.ingest(expected).await?;
    while let Some(bytes) = reader.next().await {
        match bytes {
            Ok(bytes) => ingest.write(bytes).await?,
            Err(error) => {
                // The first error is the one that counts.
                let _ = ingest.abort().await;
                return Err(error);
            }
        }
    }
    let result = answer.lock().unwrap_or_else(PoisonError::into_inner).take();
    let Some((diff_id, answer)) = result else {
        let _ = ingest.abort().await;
        return Err(Error::new(
            ErrorKind::Cancelled,
            "the layer was broken off before its end",
        ));
    };
    let committed = ingest.commit(plain.then_some(diff_id)).await?;
    Ok((committed, answer))
}
