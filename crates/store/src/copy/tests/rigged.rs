//! A store that records what is asked of it, lies and fails as it is told to.

use std::{
    collections::HashMap,
    fs::File,
    io::{Read, Seek, Write},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, future, stream};
use teu_spec::{Descriptor, Digest, Document, Pick};
use tokio::sync::Notify;

use crate::{
    Adopt, BoxFuture, Browse, Committed, Delete, Error, ErrorKind, Expect, Expected, FetchOptions, Fetched, How,
    Ingest, Intent, Local, Memory, Mount, Origin, Result, Resume, Role, Source, Sweep, Takes, Target,
};

/// What is wrong with content when it is fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lie {
    /// One bit is another.
    Flipped,
    /// The last byte is missing.
    Short,
    /// There is a byte more.
    Long,
    /// The size is announced wrongly; the content is right.
    WrongSize,
    /// It breaks off in the middle.
    Dies,
    /// It never goes on.
    Hangs,
}

#[derive(Default)]
pub(super) struct Rigged {
    pub(super) inner: Memory,
    pub(super) lies: HashMap<Digest, Lie>,
    pub(super) origin: Option<Origin>,
    /// Whether a mount succeeds, where it is offered at all.
    pub(super) mounts: Option<bool>,
    /// Files that are handed out, by digest; `adopts` takes them.
    pub(super) files: HashMap<Digest, Vec<u8>>,
    pub(super) adopts: bool,
    /// The write of this blob, or of this manifest, fails.
    pub(super) fails: Option<Digest>,
    /// So many blobs whose digest nobody knew when they were begun are lost when all of them was written.
    pub(super) loses: Arc<AtomicUsize>,
    /// The write of this blob takes longer than any other.
    pub(super) slow: Option<Digest>,
    pub(super) log: Mutex<Vec<Asked>>,
    pub(super) ingests: Arc<InFlight>,
    /// Told when content that hangs is asked for.
    pub(super) hanging: Arc<Notify>,
}

/// What a store was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    Resolve,
    Stat(Role, Digest),
    Fetch(Role, Digest),
    Ingest(Option<Digest>),
    Put(Digest, Vec<String>),
    Mount(String, Digest),
    Adopt(Digest, bool),
}

/// How many ingests there are, and were at most.
#[derive(Default)]
pub(super) struct InFlight {
    pub(super) now: AtomicUsize,
    pub(super) most: AtomicUsize,
}

impl Rigged {
    pub(super) fn of(inner: &Memory) -> Self {
        Self {
            inner: inner.clone(),
            ..Self::default()
        }
    }

    pub(super) fn lying(inner: &Memory, digest: Digest, lie: Lie) -> Self {
        Self {
            lies: HashMap::from([(digest, lie)]),
            ..Self::of(inner)
        }
    }

    pub(super) fn asked(&self) -> Vec<Asked> {
        self.log.lock().expect("a log").clone()
    }

    pub(super) fn count(&self, wanted: impl Fn(&Asked) -> bool) -> usize {
        self.asked().iter().filter(|asked| wanted(asked)).count()
    }

    fn ask(&self, asked: Asked) {
        self.log.lock().expect("a log").push(asked);
    }

    fn may(&self, digest: Option<Digest>) -> Result<()> {
        if digest.is_some() && digest == self.fails {
            return Err(Error::new(ErrorKind::Quota, "the disk is full"));
        }
        Ok(())
    }

    fn twisted(&self, lie: Lie, fetched: Fetched) -> Fetched {
        let Fetched { size, start, reader } = fetched;
        let hanging = Arc::clone(&self.hanging);
        let twisted = reader
            .map(move |bytes| {
                let mut bytes = bytes.expect("content in memory").to_vec();
                let half = bytes.len() / 2;
                match lie {
                    Lie::Flipped => bytes[half] ^= 1,
                    Lie::Short => drop(bytes.pop()),
                    Lie::Long => bytes.push(0),
                    Lie::WrongSize => {}
                    Lie::Dies | Lie::Hangs => bytes.truncate(half),
                }
                Ok(Bytes::from(bytes))
            })
            .chain(stream::once(async move {
                match lie {
                    Lie::Dies => Err(Error::new(ErrorKind::Io, "the connection was reset")),
                    Lie::Hangs => {
                        hanging.notify_one();
                        future::pending().await
                    }
                    _ => Ok(Bytes::new()),
                }
            }));
        Fetched {
            size: if lie == Lie::WrongSize {
                size.map(|size| size + 1)
            } else {
                None
            },
            start,
            reader: twisted.boxed(),
        }
    }
}

impl Source for Rigged {
    fn resolve<'a>(&'a self, pick: &'a Pick) -> BoxFuture<'a, Result<Descriptor>> {
        self.ask(Asked::Resolve);
        self.inner.resolve(pick)
    }

    fn stat<'a>(&'a self, role: Role, digest: &'a Digest, intent: Intent) -> BoxFuture<'a, Result<Option<Descriptor>>> {
        self.ask(Asked::Stat(role, *digest));
        self.inner.stat(role, digest, intent)
    }

    fn fetch<'a>(&'a self, role: Role, digest: &'a Digest, options: FetchOptions) -> BoxFuture<'a, Result<Fetched>> {
        self.ask(Asked::Fetch(role, *digest));
        async move {
            let fetched = self.inner.fetch(role, digest, options).await?;
            Ok(match self.lies.get(digest) {
                Some(lie) => self.twisted(*lie, fetched),
                None => fetched,
            })
        }
        .boxed()
    }

    fn browse(&self) -> Option<&dyn Browse> {
        self.inner.browse()
    }

    fn local(&self) -> Option<&dyn Local> {
        (!self.files.is_empty()).then_some(self)
    }

    fn is_closed(&self) -> bool {
        self.inner.is_closed()
    }

    fn origin(&self) -> Option<Origin> {
        self.origin.clone()
    }
}

impl Local for Rigged {
    fn open_file(&self, digest: &Digest) -> Result<Option<File>> {
        let Some(content) = self.files.get(digest) else {
            return Ok(None);
        };
        let mut file = tempfile::tempfile()?;
        file.write_all(content)?;
        file.rewind()?;
        Ok(Some(file))
    }
}

impl Target for Rigged {
    fn ingest(&self, expected: Expected) -> BoxFuture<'_, Result<Box<dyn Ingest>>> {
        self.ask(Asked::Ingest(expected.digest));
        let slow = expected.digest.is_some() && expected.digest == self.slow;
        async move {
            let expected_digest = expected.digest;
            self.may(expected_digest)?;
            let now = self.ingests.now.fetch_add(1, Ordering::SeqCst) + 1;
            self.ingests.most.fetch_max(now, Ordering::SeqCst);
            let ingest = Counted {
                inner: Some(self.inner.ingest(expected).await?),
                ingests: Arc::clone(&self.ingests),
                loses: expected_digest.is_none().then(|| Arc::clone(&self.loses)),
                yields: if slow { 1000 } else { 8 },
            };
            Ok(Box::new(ingest) as Box<dyn Ingest>)
        }
        .boxed()
    }

    fn put_manifest<'a>(
        &'a self,
        document: &'a Document,
        digest: &'a Digest,
        names: &'a [String],
        expect: Expect,
    ) -> BoxFuture<'a, Result<Descriptor>> {
        self.ask(Asked::Put(*digest, names.to_vec()));
        async move {
            self.may(Some(*digest))?;
            self.inner.put_manifest(document, digest, names, expect).await
        }
        .boxed()
    }

    fn finish(&self) -> BoxFuture<'_, Result<()>> {
        self.inner.finish()
    }

    fn takes(&self) -> Takes {
        self.inner.takes()
    }

    fn readable(&self) -> Option<&dyn Source> {
        Some(self)
    }

    fn mount(&self) -> Option<&dyn Mount> {
        self.mounts.is_some().then_some(self)
    }

    fn adopt(&self) -> Option<&dyn Adopt> {
        self.adopts.then_some(self)
    }

    fn resume(&self) -> Option<&dyn Resume> {
        self.inner.resume()
    }

    fn delete(&self) -> Option<&dyn Delete> {
        Target::delete(&self.inner)
    }

    fn sweep(&self) -> Option<&dyn Sweep> {
        self.inner.sweep()
    }
}

impl Mount for Rigged {
    fn origin(&self) -> Origin {
        self.origin.clone().expect("an origin")
    }

    fn mount<'a>(&'a self, from: &'a str, digest: &'a Digest) -> BoxFuture<'a, Result<bool>> {
        self.ask(Asked::Mount(from.to_owned(), *digest));
        let mounted = self.mounts == Some(true);
        if mounted {
            // What it is does not matter here, only that it is there.
            self.inner.insert_unchecked(*digest, Bytes::new());
        }
        future::ready(Ok(mounted)).boxed()
    }
}

impl Adopt for Rigged {
    fn adopt<'a>(&'a self, mut file: File, descriptor: &'a Descriptor, trust: bool) -> BoxFuture<'a, Result<How>> {
        self.ask(Asked::Adopt(descriptor.digest, trust));
        async move {
            let mut content = Vec::new();
            file.read_to_end(&mut content)?;
            if !trust && !descriptor.names(&content) {
                return Err(Error::new(ErrorKind::Mismatch, "the copy is not what it should be"));
            }
            self.inner.insert_unchecked(descriptor.digest, content);
            Ok(How::Linked)
        }
        .boxed()
    }
}

/// An ingest that is counted while it lives, and takes its time.
struct Counted {
    inner: Option<Box<dyn Ingest>>,
    ingests: Arc<InFlight>,
    /// How many are lost yet, where it may be one.
    loses: Option<Arc<AtomicUsize>>,
    /// How often all others go first.
    yields: usize,
}

impl Ingest for Counted {
    fn write(&mut self, bytes: Bytes) -> BoxFuture<'_, Result<()>> {
        async move {
            for _ in 0..self.yields {
                tokio::task::yield_now().await;
            }
            match &mut self.inner {
                Some(inner) => inner.write(bytes).await,
                None => Ok(()),
            }
        }
        .boxed()
    }

    fn commit(mut self: Box<Self>, digest: Option<Digest>) -> BoxFuture<'static, Result<Committed>> {
        let inner = self.inner.take().expect("an ingest");
        async move {
            let left = self.loses.as_ref().filter(|left| {
                let less = |left: usize| left.checked_sub(1);
                left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less).is_ok()
            });
            let outcome = match left {
                None => inner.commit(digest).await,
                Some(_) => {
                    inner.abort().await?;
                    Err(Error::new(ErrorKind::Lost, "the upload broke off"))
                }
            };
            drop(self);
            outcome
        }
        .boxed()
    }

    fn abort(mut self: Box<Self>) -> BoxFuture<'static, Result<()>> {
        let inner = self.inner.take().expect("an ingest");
        inner.abort()
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.ingests.now.fetch_sub(1, Ordering::SeqCst);
    }
}
