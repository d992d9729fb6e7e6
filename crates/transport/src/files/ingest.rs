//! How does a stream become a file? It is written to a temporary one beside its place.

use std::{
    any::Any,
    fs::File,
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use bytes::Bytes;
use teu_spec::{Algorithm, Digest};
use teu_store::{
    BoxFuture, Committed, Error, ErrorKind, Expected, Ingest, Park, Result,
    blocking::{self, Buffers, Chunks, Hashing, Sink, Together},
};

use super::{Temporary, part::Keeper};

/// A write that takes longer than this is not one into the kernel's cache: what follows is written by a thread of its own.
const SLOW: Duration = Duration::from_millis(20);

/// A blob that is being written to a temporary file beside its place.
///
/// While writes go into the kernel's cache they are done where the bytes arrive: that takes a fraction of what a thread costs to be woken, and the
/// bytes are still in the processor's cache. Once one is slow, the rest goes to a thread.
pub(crate) struct FileIngest<P, G> {
    writer: Writer,
    directory: PathBuf,
    /// Of a part that may stay.
    keeper: Option<Keeper>,
    expected: Expected,
    place: P,
    guard: G,
}

enum Writer {
    New,
    Here(Box<Written>),
    Thread(Sink<Written>),
    /// It failed, and said so.
    Failed,
}

struct Written {
    temporary: Temporary,
    size: u64,
    hasher: Option<(Algorithm, Together)>,
}

impl<P, G> FileIngest<P, G>
where
    P: FnOnce(&Digest) -> Result<PathBuf> + Send + 'static,
    G: Any + Send,
{
    /// Begins to write. `place` says where the file goes once its digest is known; `guard` is held until the end.
    pub(crate) fn new(directory: PathBuf, expected: Expected, place: P, guard: G) -> Self {
        Self {
            writer: Writer::New,
            directory,
            keeper: None,
            expected,
            place,
            guard,
        }
    }

    /// Goes on with a part in `directory` that has `done` bytes. It stays where this is dropped or parked.
    pub(crate) fn resumed(
        directory: PathBuf,
        part: Temporary,
        done: u64,
        expected: Expected,
        place: P,
        guard: G,
    ) -> Self {
        let keeper = Some(part.keeper());
        let algorithm = expected.digest.map_or(expected.algorithm, |digest| digest.algorithm());
        let written = Written {
            temporary: part,
            size: 0,
            hasher: Some((algorithm, Together::new(algorithm))),
        };
        let writer = if done == 0 {
            Writer::Here(Box::new(written))
        } else {
            Writer::Thread(Sink::spawn(move |chunks| written.reread()?.write_all(chunks)))
        };
        Self {
            writer,
            directory,
            keeper,
            expected,
            place,
            guard,
        }
    }

    async fn take(&mut self, bytes: Bytes) -> Result<()> {
        match std::mem::replace(&mut self.writer, Writer::Failed) {
            Writer::New => self.write_here(Box::new(Written::new(&self.directory, &self.expected)?), &bytes),
            Writer::Here(written) => self.write_here(written, &bytes),
            Writer::Thread(mut sink) => {
                sink.send(bytes).await?;
                self.writer = Writer::Thread(sink);
                Ok(())
            }
            Writer::Failed => Err(failed_before()),
        }
    }

    fn write_here(&mut self, mut written: Box<Written>, bytes: &Bytes) -> Result<()> {
        let begin = Instant::now();
        written.write(bytes)?;
        self.writer = if begin.elapsed() < SLOW {
            Writer::Here(written)
        } else {
            Writer::Thread(Sink::spawn(move |chunks| written.write_all(chunks)))
        };
        Ok(())
    }
}

fn failed_before() -> Error {
    Error::new(ErrorKind::Cancelled, "writing it had failed before")
}

impl<P, G> Ingest for FileIngest<P, G>
where
    P: FnOnce(&Digest) -> Result<PathBuf> + Send + 'static,
    G: Any + Send,
{
    fn write(&mut self, bytes: Bytes) -> BoxFuture<'_, Result<()>> {
        Box::pin(self.take(bytes))
    }

    fn commit(self: Box<Self>, digest: Option<Digest>) -> BoxFuture<'static, Result<Committed>> {
        Box::pin(async move {
            let Self {
                writer,
                directory,
                keeper: _,
                expected,
                place,
                guard,
            } = *self;
            let written = match writer {
                Writer::New => None,
                Writer::Here(written) => Some(*written),
                Writer::Thread(sink) => Some(sink.finish().await?),
                Writer::Failed => return Err(failed_before()),
            };
            blocking::run(move || {
                let _guard = guard;
                let written = match written {
                    Some(written) => written,
                    None => Written::new(&directory, &expected)?,
                };
                written.commit(&expected, digest, place)
            })
            .await
        })
    }

    fn abort(self: Box<Self>) -> BoxFuture<'static, Result<()>> {
        Box::pin(async move {
            if let Some(keeper) = &self.keeper {
                keeper.forget();
            }
            if let Writer::Thread(sink) = self.writer {
                sink.abort().await;
            }
            Ok(())
        })
    }
}

impl<P, G> Park for FileIngest<P, G>
where
    P: FnOnce(&Digest) -> Result<PathBuf> + Send + 'static,
    G: Any + Send,
{
    fn park(self: Box<Self>) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            if let Writer::Thread(sink) = self.writer {
                sink.abort().await;
            }
        })
    }
}

impl Written {
    fn new(directory: &Path, expected: &Expected) -> Result<Self> {
        let hashed =
            (!expected.verified).then(|| expected.digest.map_or(expected.algorithm, |digest| digest.algorithm()));
        Ok(Self {
            temporary: Temporary::new(directory)?,
            size: 0,
            hasher: hashed.map(|algorithm| (algorithm, Together::new(algorithm))),
        })
    }

    fn write(&mut self, bytes: &Bytes) -> Result<()> {
        if let Some((_, hasher)) = &mut self.hasher {
            hasher.update(bytes);
        }
        self.size += bytes.len() as u64;
        if let Err(error) = self.temporary.file().write_all(bytes) {
            // A disk that is full is not to stay full.
            self.temporary.keeper().forget();
            return Err(self.temporary.failed(error));
        }
        Ok(())
    }

    /// Takes in what a part has already. Reading it to its end leaves the file where it goes on.
    fn reread(mut self) -> Result<Self> {
        let hasher = &mut self.hasher;
        let read = copy(self.temporary.file(), |piece| {
            if let Some((_, hasher)) = hasher {
                hasher.update(&piece);
            }
            Ok(())
        });
        self.size = read.map_err(|error| self.temporary.failed(error))?;
        Ok(self)
    }

    fn write_all(mut self, chunks: Chunks) -> Result<Self> {
        for chunk in chunks {
            self.write(&chunk?)?;
        }
        Ok(self)
    }

    fn commit(
        self,
        expected: &Expected,
        digest: Option<Digest>,
        place: impl FnOnce(&Digest) -> Result<PathBuf>,
    ) -> Result<Committed> {
        let Self {
            mut temporary,
            size,
            mut hasher,
        } = self;
        // What is whole and not what it should be is of no use to anybody.
        temporary.keeper().forget();
        let mut reread = Ok(());
        let digest = expected.check(digest, size, |algorithm| match hasher.take() {
            Some((hashed, hasher)) if hashed == algorithm => hasher.finish(),
            // The digest that it is committed under is of another algorithm than was announced.
            _ => digest_of(temporary.file(), algorithm).unwrap_or_else(|error| {
                reread = Err(error);
                algorithm.digest(&[])
            }),
        });
        reread.map_err(|error| temporary.failed(error))?;
        let digest = digest?;
        temporary.put(&place(&digest)?)?;
        Ok(Committed { digest, size })
    }
}

/// The digest of a whole file.
pub(crate) fn digest_of(file: &mut File, algorithm: Algorithm) -> io::Result<Digest> {
    let mut hashing = Hashing::new(algorithm);
    file.seek(SeekFrom::Start(0))?;
    copy(file, |piece| {
        hashing.update(piece);
        Ok(())
    })?;
    Ok(hashing.finish())
}

/// Reads a file to its end, piece by piece, and says how much it was.
pub(super) fn copy(file: &mut impl Read, mut take: impl FnMut(Bytes) -> io::Result<()>) -> io::Result<u64> {
    let buffers = Buffers::default();
    let mut size = 0;
    loop {
        let mut buffer = buffers.take();
        let read = blocking::fill(file, &mut buffer)?;
        if read == 0 {
            return Ok(size);
        }
        take(buffers.lend(buffer, read))?;
        size += read as u64;
    }
}
