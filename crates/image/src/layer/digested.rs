//! What is the DiffID of a layer that is being written? Its content goes into the encoder and, beside it, to a thread that hashes it.

use std::{
    collections::VecDeque,
    io::{self, Write},
    sync::{
        Arc,
        mpsc::{SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
};

use teu_archive::codec::Encoder;
use teu_spec::{Algorithm, Digest, Hasher};
use teu_store::{Error, ErrorKind, Result, codec};

use super::Options;

/// How much goes from one thread to the other at once: what the encoder takes in one go, too.
const CHUNK: usize = 1 << 20;
/// Chunks that wait for the thread that hashes.
const WAITING: usize = 2;

/// Encodes what is written to it and hashes it. What fits into one chunk is hashed here, without a thread.
pub(super) struct Digested<W: Write> {
    encoder: Encoder<W>,
    chunk: Vec<u8>,
    /// Chunks that the thread may still hold, the oldest first: their memory is used again.
    lent: VecDeque<Arc<Vec<u8>>>,
    algorithm: Algorithm,
    beside: Option<Beside>,
    size: u64,
}

struct Beside {
    chunks: SyncSender<Arc<Vec<u8>>>,
    thread: JoinHandle<Hasher>,
}

/// What was written, before it was encoded.
pub(super) struct Content {
    pub(super) diff_id: Digest,
    pub(super) size: u64,
}

impl<W: Write> Digested<W> {
    pub(super) fn new(sink: W, options: &Options) -> Result<Self> {
        let encoder = Encoder::with_threads(sink, codec(options.compression), options.level, options.threads)?;
        Ok(Self {
            encoder,
            chunk: Vec::new(),
            lent: VecDeque::new(),
            algorithm: options.algorithm,
            beside: None,
            size: 0,
        })
    }

    /// Writes the end of the stream, and says what was in it.
    pub(super) fn finish(mut self) -> Result<Content> {
        let hasher = match self.beside.take() {
            None => {
                let mut hasher = self.algorithm.hasher();
                hasher.update(&self.chunk);
                self.encoder.write_all(&self.chunk)?;
                hasher
            }
            Some(beside) => {
                self.encoder.write_all(&self.chunk)?;
                // Where the thread is gone, the join says so.
                let _ = beside.chunks.send(Arc::new(std::mem::take(&mut self.chunk)));
                drop(beside.chunks);
                beside.thread.join().map_err(|_| gone())?
            }
        };
        self.encoder.finish()?;
        Ok(Content {
            diff_id: hasher.finish(),
            size: self.size,
        })
    }

    /// Hands on a full chunk, and begins another one.
    fn hand_on(&mut self) -> Result<()> {
        let chunk = Arc::new(std::mem::take(&mut self.chunk));
        if self.beside.is_none() {
            self.beside = Some(start(self.algorithm)?);
        }
        if let Some(beside) = &self.beside {
            beside.chunks.send(Arc::clone(&chunk)).map_err(|_| gone())?;
        }
        self.encoder.write_all(&chunk)?;
        self.lent.push_back(chunk);
        if let Some(oldest) = self.lent.pop_front() {
            match Arc::try_unwrap(oldest) {
                Ok(mut chunk) => {
                    chunk.clear();
                    self.chunk = chunk;
                }
                Err(oldest) => self.lent.push_front(oldest),
            }
        }
        Ok(())
    }
}

impl<W: Write> Write for Digested<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.chunk.capacity() < CHUNK {
            self.chunk.reserve_exact(CHUNK - self.chunk.len());
        }
        let count = bytes.len().min(CHUNK - self.chunk.len());
        self.chunk.extend_from_slice(&bytes[..count]);
        self.size += count as u64;
        if self.chunk.len() == CHUNK {
            self.hand_on()?;
        }
        Ok(count)
    }

    /// Nothing: what is compressed comes out in its own time.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn start(algorithm: Algorithm) -> io::Result<Beside> {
    let (sender, receiver) = sync_channel::<Arc<Vec<u8>>>(WAITING);
    let thread = thread::Builder::new().name("diff-id".into()).spawn(move || {
        let mut hasher = algorithm.hasher();
        for chunk in receiver {
            hasher.update(&chunk);
        }
        hasher
    })?;
    Ok(Beside { chunks: sender, thread })
}

fn gone() -> Error {
    Error::new(ErrorKind::Io, "a thread that hashes has died")
}
