//! A place for tests: images in memory, which remembers what it was asked for, and lies as it is told to. `tests/handles.rs` has it too.

use std::{
    collections::HashMap,
    ops::Range,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, future, stream};
use teu_archive::{
    codec::{Compression, Encoder},
    tar::{Header, Writer},
};
use teu_spec::{Descriptor, Digest, MediaType, Pick};
use teu_store::{
    BoxFuture, Browse, Error, ErrorKind, FetchOptions, Fetched, Intent, Local, Memory, Origin, Result, Role, Source,
};

use crate::Layer;

/// What is wrong with content when it is fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lie {
    Flipped,
    Short,
    Long,
    Dies,
    Hangs,
}

#[derive(Default)]
pub(crate) struct Rigged {
    pub(crate) inner: Memory,
    pub(crate) lies: HashMap<Digest, Lie>,
    /// The blobs that were fetched, and what was asked for of each.
    pub(crate) fetched: Mutex<Vec<Digest>>,
    pub(crate) ranges: Mutex<Vec<Option<Range<u64>>>>,
    /// What is called whenever content is asked for.
    pub(crate) watch: Option<Box<dyn Fn() + Send + Sync>>,
}

impl Rigged {
    pub(crate) fn shared(self) -> Arc<dyn Source> {
        Arc::new(self)
    }
}

impl Source for Rigged {
    fn resolve<'a>(&'a self, pick: &'a Pick) -> BoxFuture<'a, Result<Descriptor>> {
        self.inner.resolve(pick)
    }

    fn stat<'a>(&'a self, role: Role, digest: &'a Digest, intent: Intent) -> BoxFuture<'a, Result<Option<Descriptor>>> {
        self.inner.stat(role, digest, intent)
    }

    fn fetch<'a>(&'a self, role: Role, digest: &'a Digest, options: FetchOptions) -> BoxFuture<'a, Result<Fetched>> {
        self.fetched.lock().expect("a list").push(*digest);
        self.ranges.lock().expect("a list").push(options.range.clone());
        if let Some(watch) = &self.watch {
            watch();
        }
        async move {
            let mut fetched = self.inner.fetch(role, digest, options).await?;
            if let Some(lie) = self.lies.get(digest).copied() {
                fetched.size = None;
                fetched.reader = fetched
                    .reader
                    .map(move |bytes| bytes.map(|bytes| twisted(bytes, lie)))
                    .chain(end(lie))
                    .boxed();
            }
            Ok(fetched)
        }
        .boxed()
    }

    fn browse(&self) -> Option<&dyn Browse> {
        None
    }

    fn local(&self) -> Option<&dyn Local> {
        None
    }

    fn is_closed(&self) -> bool {
        true
    }

    fn origin(&self) -> Option<Origin> {
        None
    }
}

fn twisted(bytes: Bytes, lie: Lie) -> Bytes {
    let mut bytes = bytes.to_vec();
    let half = bytes.len() / 2;
    match lie {
        Lie::Flipped => bytes[half] ^= 1,
        Lie::Short => drop(bytes.pop()),
        Lie::Long => bytes.push(0),
        Lie::Dies | Lie::Hangs => bytes.truncate(half),
    }
    bytes.into()
}

fn end(lie: Lie) -> impl futures_util::Stream<Item = Result<Bytes>> {
    stream::once(async move {
        match lie {
            Lie::Dies => Err(Error::new(ErrorKind::Io, "the connection was reset")),
            Lie::Hangs => future::pending().await,
            _ => Ok(Bytes::new()),
        }
    })
}

/// The tar of these entries.
pub(crate) fn tar(entries: &[(Header, &[u8])]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    for (header, content) in entries {
        writer.append_data(header, content).expect("an entry");
    }
    writer.finish().expect("a tar")
}

/// Keeps a tar as a layer.
pub(crate) fn insert(store: &Memory, position: usize, tar: &[u8], compression: Compression) -> Layer {
    use std::io::Write as _;
    let mut encoder = Encoder::new(Vec::new(), compression, None).expect("an encoder");
    encoder.write_all(tar).expect("compressed");
    let blob = encoder.finish().expect("compressed");
    let media_type = match compression {
        Compression::None => MediaType::OciLayer,
        Compression::Gzip => MediaType::OciLayerGzip,
        Compression::Zstd => MediaType::OciLayerZstd,
    };
    let descriptor = Descriptor::of(media_type, &blob);
    store.insert_blob(blob);
    Layer {
        position,
        descriptor,
        diff_id: Digest::of(tar),
    }
}
