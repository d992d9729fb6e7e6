//! How does an image become a tar file, as a stream? One blob after the other as they come, and what lists them last.
//!
//! One member is written at a time. A blob whose size is known goes straight into the archive where that is free; one that comes side by
//! side with it, or whose size is not known, is put into a file without a name first, and follows. Memory does not grow with either.
//!
//! The archive is written beside its place and takes it when it is whole. Where the place is no file (a pipe, `/dev/stdout`) it is written
//! straight there: then what was broken off cannot be taken back, and nothing can follow it.

use std::{
    collections::HashMap,
    fs::File,
    io::Seek,
    path::{Path, PathBuf},
    sync::{Arc, MutexGuard, PoisonError},
};

use bytes::{Bytes, BytesMut};
use teu_spec::{Descriptor, Digest};
use teu_store::{
    Committed, Expected, Ingest, Result,
    blocking::{self, Sink},
};
use tokio::sync::Mutex;

use super::{
    ingest::{FileChunks, Member, Spooled, StreamIngest, Way, Written, remember, spool, write_member},
    out::Out,
    refused_io,
};

/// How many blobs that are whole may wait for their turn in files of their own before their writers wait themselves.
const PENDING: usize = 16;
/// How many bytes of small documents are kept in memory in all, where they are kept.
const REMEMBERED: usize = 64 << 20;

/// An archive that is being written. Clones write to the same.
#[derive(Clone)]
pub(crate) struct Stream(Arc<Shared>);

pub(super) struct Shared {
    path: PathBuf,
    pub(super) out: Arc<Mutex<Out>>,
    temporary: Option<PathBuf>,
    state: std::sync::Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Blobs that are in the archive, or wait to be.
    committed: HashMap<Digest, u64>,
    /// Those that wait.
    pending: Vec<Spooled>,
    /// Small blobs that may be JSON, where they are wanted.
    remembered: Option<HashMap<Digest, Bytes>>,
    remembered_bytes: usize,
}

impl Stream {
    /// Begins an archive that will be at `path`, in place of what is there. `temporary` is where blobs wait for their turn; without it,
    /// the directory of the archive. Where `remember`, small blobs that may be JSON can be [asked for](Self::remembered).
    pub(crate) fn create(path: &Path, temporary: Option<PathBuf>, remember: bool) -> Result<Self> {
        let (out, temporary) = Out::create(path, temporary)?;
        Ok(Self(Arc::new(Shared {
            path: path.to_owned(),
            out: Arc::new(Mutex::new(out)),
            temporary,
            state: std::sync::Mutex::new(State {
                remembered: remember.then(HashMap::new),
                ..State::default()
            }),
        })))
    }

    /// Where it will be.
    pub(crate) fn path(&self) -> &Path {
        &self.0.path
    }

    /// The size of a blob that was committed.
    pub(crate) fn size(&self, digest: &Digest) -> Option<u64> {
        self.0.state().committed.get(digest).copied()
    }

    /// A small blob that was committed and began as a JSON object does.
    pub(crate) fn remembered(&self, digest: &Digest) -> Option<Bytes> {
        self.0.state().remembered.as_ref()?.get(digest).cloned()
    }

    /// Begins to write a blob.
    pub(crate) fn ingest(&self, expected: Expected) -> Box<dyn Ingest> {
        let shared = Arc::clone(&self.0);
        let hashed =
            (!expected.verified).then(|| expected.digest.map_or(expected.algorithm, |digest| digest.algorithm()));
        let known = expected.digest.zip(expected.size);
        let known = known.filter(|(digest, _)| !shared.state().committed.contains_key(digest));
        let out = known.and_then(|known| Some((known, Arc::clone(&shared.out).try_lock_owned().ok()?)));
        let way = match out {
            // What may turn out to be wrong can only be taken back from a file.
            Some(((digest, size), out)) if expected.verified || out.can_take_back() => {
                Way::Straight(Sink::spawn(move |chunks| {
                    write_member(out, &digest, size, chunks, hashed)
                }))
            }
            _ => {
                let temporary = shared.temporary.clone();
                Way::Spooled(Sink::spawn(move |chunks| spool(temporary.as_deref(), chunks, hashed)))
            }
        };
        let remembered = shared.state().remembered.is_some().then(BytesMut::new);
        Box::new(StreamIngest {
            shared,
            way,
            expected,
            remembered,
        })
    }

    /// Takes over an open file as a blob, when its turn comes.
    pub(crate) async fn adopt(&self, mut file: File, descriptor: &Descriptor, trust: bool) -> Result<Committed> {
        let (digest, size) = (descriptor.digest, descriptor.size);
        let committed = Committed { digest, size };
        if self.size(&digest).is_some() {
            return Ok(committed);
        }
        let out = Arc::clone(&self.0.out).lock_owned().await;
        let shared = Arc::clone(&self.0);
        blocking::run(move || {
            let hashed = (!trust).then(|| digest.algorithm());
            let mut remembered = shared.state().remembered.is_some().then(BytesMut::new);
            file.rewind()?;
            let chunks = FileChunks(file).inspect(|chunk| {
                if let Ok(chunk) = chunk {
                    remember(&mut remembered, chunk);
                }
            });
            let written = write_member(out, &digest, size, chunks, hashed)?;
            let expected = Expected {
                verified: trust,
                ..Expected::verified(&Descriptor::new(teu_store::octet_stream(), digest, size))
            };
            shared.keep(written, &expected, None, remembered)
        })
        .await
    }

    /// Appends a small blob.
    pub(crate) async fn append(&self, digest: Digest, content: Bytes) -> Result<()> {
        if self.size(&digest).is_some() {
            return Ok(());
        }
        let mut out = Arc::clone(&self.0.out).lock_owned().await;
        let shared = Arc::clone(&self.0);
        blocking::run(move || {
            out.blob(&digest, content.len() as u64, |entry| {
                entry.write_all(&content).map_err(refused_io)?;
                Ok(content.len() as u64)
            })?;
            shared.state().committed.insert(digest, content.len() as u64);
            Ok(())
        })
        .await
    }

    /// Writes what waits, then `last`, and puts the archive in its place. It lasts when this returns.
    pub(crate) async fn finish(&self, last: Vec<Last>) -> Result<()> {
        let mut out = Arc::clone(&self.0.out).lock_owned().await;
        let shared = Arc::clone(&self.0);
        let finish = move || {
            shared.write_pending(&mut out)?;
            for last in last {
                match last {
                    Last::File(name, content) => out.file(&name, &content)?,
                    Last::Link(name, target) => out.link(&name, &target)?,
                }
            }
            out.finish()
        };
        blocking::run(finish).await
    }
}

/// A member that is written last.
pub(crate) enum Last {
    /// A file: its name and what is in it.
    File(String, Bytes),
    /// A symbolic link: its name and where it leads.
    Link(String, String),
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // No one leaves it half changed, so what a panic elsewhere left is whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a member that was written, if it is what was expected; else takes it back.
    pub(super) fn keep(
        &self,
        written: Written<Member>,
        expected: &Expected,
        digest: Option<Digest>,
        remembered: Option<BytesMut>,
    ) -> Result<Committed> {
        let Written {
            mut to,
            size,
            mut hasher,
        } = written;
        let digest = expected.check(digest, size, |algorithm| match hasher.take() {
            Some((hashed, hasher)) if hashed == algorithm => hasher.finish(),
            // Not reached: it was announced under the digest that it is committed as.
            _ => algorithm.digest(&[]),
        })?;
        self.commit(digest, size, remembered);
        // Nobody else can have written it since this was begun.
        to.out.blobs.insert(digest);
        to.kept = true;
        self.write_pending(&mut to.out)?;
        Ok(Committed { digest, size })
    }

    /// Counts a blob as here, and says whether it was not before.
    pub(super) fn commit(&self, digest: Digest, size: u64, content: Option<BytesMut>) -> bool {
        let mut state = self.state();
        let new = state.committed.insert(digest, size).is_none();
        if let Some(content) = content.filter(|content| new && !content.is_empty())
            && state.remembered_bytes + content.len() <= REMEMBERED
        {
            state.remembered_bytes += content.len();
            if let Some(remembered) = &mut state.remembered {
                remembered.insert(digest, content.freeze());
            }
        }
        new
    }

    /// Lets a blob wait, or gives it back where too many do.
    pub(super) fn wait(&self, spooled: Spooled) -> Option<Spooled> {
        let mut state = self.state();
        if state.pending.len() == PENDING {
            return Some(spooled);
        }
        state.pending.push(spooled);
        None
    }

    pub(super) fn write_pending(&self, out: &mut Out) -> Result<()> {
        loop {
            let pending = self.state().pending.pop();
            let Some(spooled) = pending else { return Ok(()) };
            spooled.append(out)?;
        }
    }
}
