//! Where do async and blocking code meet? Here, and nowhere else: network code is async; files, tar and codecs are blocking.
//!
//! Between a task and the one worker thread of a stream goes a bounded channel of batches of [`BATCH`] bytes and more, never a hop for each
//! small chunk. Bytes are handed over, not copied. Both ends tell an end from a break: what was cut off never looks complete.

use std::{
    collections::VecDeque,
    future::Future,
    io::{self, Read, Write},
};

use bytes::{Buf, Bytes};
use futures_util::{FutureExt, StreamExt, stream};
use tokio::{
    sync::mpsc,
    task::{self, JoinError, JoinHandle},
};

use crate::{Error, ErrorKind, Reader, Result};

mod buffers;
mod compact;
mod file;
mod hashing;
mod past;
pub mod pieces;
mod states;
mod streams;
mod system;
mod together;

pub use buffers::{Buffer, Buffers};
pub use compact::Compact;
pub use file::{SMALL_FILE, file};
pub use hashing::Hashing;
pub use past::PastCache;
pub use states::States;
pub use system::lies_in_memory;
pub use together::Together;

/// How many bytes go from one side to the other at once, at least, but for the last: 256 KiB.
pub const BATCH: usize = 256 << 10;

/// How many batches may wait in a channel: enough to keep both sides at work, 1 MiB a stream.
const WAITING: usize = 4;

/// Does `work` on a thread for blocking work. It is not cut short when the future is dropped: what has begun runs to its end.
///
/// # Errors
/// What `work` says; `Cancelled` where the runtime shuts down before it began.
///
/// # Panics
/// Where `work` does.
pub async fn run<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    begin(work).await
}

/// Begins the same at once; what is given tells what became of it.
///
/// # Errors
/// As [`run`].
///
/// # Panics
/// As [`run`], where it is waited for.
pub fn begin<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> impl Future<Output = Result<T>> + Send + 'static {
    let worker = task::spawn_blocking(work);
    async move { worker.await.map_err(join_error)? }
}

/// The same, done here and now where `is_little`: a few calls that wait for nobody, which take less time than to wake a thread for them.
///
/// # Errors
/// As [`run`].
///
/// # Panics
/// As [`run`].
pub async fn run_unless<T: Send + 'static>(
    is_little: bool,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match is_little {
        true => work(),
        false => run(work).await,
    }
}

/// A stream of what a blocking reader gives, in chunks of [`BATCH`]. `open` is called, and the thread taken, when the stream is first
/// polled; when the stream is dropped, the thread ends at its next chunk.
///
/// The stream ends in an error where `open` or the reader fails or panics.
pub fn reader<R: Read + Send + 'static>(open: impl FnOnce() -> Result<R> + Send + 'static) -> Reader {
    seen_reader(open, |_| Ok(()))
}

/// The same, where `see` is shown each chunk on the thread that read it, and may refuse it: the stream ends in that error.
/// The end is shown as a chunk of no bytes.
pub(crate) fn seen_reader<R: Read + Send + 'static>(
    open: impl FnOnce() -> Result<R> + Send + 'static,
    see: impl FnMut(&Bytes) -> Result<()> + Send + 'static,
) -> Reader {
    enum State<F> {
        New(F),
        Running(mpsc::Receiver<Bytes>, JoinHandle<Result<()>>),
        Ended,
    }
    stream::unfold(State::New((open, see)), |state| async move {
        let (mut receiver, worker) = match state {
            State::New((open, see)) => {
                let (sender, receiver) = mpsc::channel(WAITING);
                (receiver, task::spawn_blocking(move || pump(open()?, see, &sender)))
            }
            State::Running(receiver, worker) => (receiver, worker),
            State::Ended => return None,
        };
        if let Some(bytes) = receiver.recv().await {
            return Some((Ok(bytes), State::Running(receiver, worker)));
        }
        // The channel is closed by an end, an error and a panic alike: the worker tells which.
        let end = worker.await.map_err(join_error).and_then(|outcome| outcome);
        end.err().map(|error| (Err(error), State::Ended))
    })
    .boxed()
}

fn pump(mut reader: impl Read, mut see: impl FnMut(&Bytes) -> Result<()>, sender: &mpsc::Sender<Bytes>) -> Result<()> {
    let buffers = Buffers::default();
    loop {
        let mut buffer = buffers.take();
        let read = fill(&mut reader, &mut buffer)?;
        let chunk = buffers.lend(buffer, read);
        see(&chunk)?;
        if read == 0 {
            return Ok(());
        }
        if sender.blocking_send(chunk).is_err() {
            return Ok(());
        }
    }
}

/// Reads until the buffer is full or the reader ends; how much there is.
///
/// # Errors
/// What the reader fails with.
pub fn fill(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// A blocking consumer that is fed by a task.
///
/// Dropped before [`finish`](Self::finish), it gives its consumer an error, `Cancelled`, and the consumer cleans up on its own.
pub struct Sink<T> {
    sender: Option<mpsc::Sender<Batch>>,
    worker: Option<JoinHandle<Result<T>>>,
    batch: Vec<Bytes>,
    batched: usize,
}

enum Batch {
    Chunks(Vec<Bytes>),
    End,
}

impl<T: Send + 'static> Sink<T> {
    /// Starts `work` on a thread of its own.
    pub fn spawn(work: impl FnOnce(Chunks) -> Result<T> + Send + 'static) -> Self {
        let (sender, receiver) = mpsc::channel(WAITING);
        let chunks = Chunks {
            receiver,
            ready: VecDeque::new(),
            state: ChunksState::Open,
        };
        Self {
            sender: Some(sender),
            worker: Some(task::spawn_blocking(move || work(chunks))),
            batch: Vec::new(),
            batched: 0,
        }
    }

    /// Hands over bytes, waiting while the consumer is far behind. Small chunks wait until they are worth a hop.
    ///
    /// # Errors
    /// What the consumer failed with, if it did; `Invalid` where it ended well without wanting these bytes.
    pub async fn send(&mut self, bytes: Bytes) -> Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.batched += bytes.len();
        self.batch.push(bytes);
        if self.batched < BATCH {
            return Ok(());
        }
        self.flush().await
    }

    /// Says that this was all, and waits for what the consumer makes of it.
    ///
    /// # Errors
    /// What the consumer failed with.
    pub async fn finish(mut self) -> Result<T> {
        // Where the consumer is gone already, its own outcome says why.
        let _ = self.flush_batch().await;
        if let Some(sender) = self.sender.take() {
            let _ = sender.send(Batch::End).await;
        }
        self.outcome().await
    }

    /// Breaks off, and waits until the consumer has cleaned up.
    pub fn abort(mut self) -> impl Future<Output = ()> + Send {
        self.sender = None;
        let worker = self.worker.take();
        async move {
            if let Some(worker) = worker {
                // That it failed is what was asked for.
                let _ = worker.await;
            }
        }
    }

    async fn flush(&mut self) -> Result<()> {
        if self.flush_batch().await {
            return Ok(());
        }
        self.sender = None;
        match self.outcome().await {
            Err(error) => Err(error),
            Ok(_) => Err(Error::new(ErrorKind::Invalid, "there is more content than was wanted")),
        }
    }

    /// Whether the consumer is still there.
    async fn flush_batch(&mut self) -> bool {
        let batch = std::mem::take(&mut self.batch);
        self.batched = 0;
        match &self.sender {
            _ if batch.is_empty() => true,
            Some(sender) => sender.send(Batch::Chunks(batch)).await.is_ok(),
            None => false,
        }
    }

    async fn outcome(&mut self) -> Result<T> {
        match self.worker.take() {
            Some(worker) => worker.await.map_err(join_error)?,
            None => Err(Error::new(ErrorKind::Cancelled, "it had failed before")),
        }
    }
}

/// What a [`Sink`] is fed with, in blocking code: an iterator of chunks, or a [`Read`]er of bytes. It ends only where the sink was
/// [finished](Sink::finish); where that was dropped, it gives an error, `Cancelled`, from then on.
pub struct Chunks {
    receiver: mpsc::Receiver<Batch>,
    ready: VecDeque<Bytes>,
    state: ChunksState,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum ChunksState {
    Open,
    Finished,
    Broken,
}

impl Iterator for Chunks {
    type Item = Result<Bytes>;

    fn next(&mut self) -> Option<Result<Bytes>> {
        loop {
            if let Some(bytes) = self.ready.pop_front() {
                return Some(Ok(bytes));
            }
            match self.state {
                ChunksState::Finished => return None,
                ChunksState::Broken => return Some(Err(broken_off())),
                ChunksState::Open => {}
            }
            match self.receiver.blocking_recv() {
                Some(Batch::Chunks(chunks)) => self.ready = chunks.into(),
                Some(Batch::End) => self.state = ChunksState::Finished,
                None => self.state = ChunksState::Broken,
            }
        }
    }
}

impl Read for Chunks {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let Some(mut bytes) = self.next().transpose()? else {
            return Ok(0);
        };
        let count = bytes.len().min(buffer.len());
        bytes.copy_to_slice(&mut buffer[..count]);
        if !bytes.is_empty() {
            self.ready.push_front(bytes);
        }
        Ok(count)
    }
}

/// The stream of what `work` writes while it reads `input`: how a codec stands between two streams, on a thread of its own.
///
/// It ends in an error where `input` does, with that error, and where `work` fails or panics, or ends well without having read all.
pub fn transform(input: Reader, work: impl FnOnce(Chunks, &mut Outlet) -> Result<()> + Send + 'static) -> Reader {
    let (sender, receiver) = mpsc::channel(WAITING);
    let feed = async move {
        let mut input = input;
        let mut sink = Sink::spawn(move |chunks| {
            let mut outlet = Outlet {
                sender,
                buffer: Vec::new(),
            };
            work(chunks, &mut outlet)?;
            Ok(outlet.flush()?)
        });
        while let Some(bytes) = input.next().await {
            match bytes {
                Ok(bytes) => sink.send(bytes).await?,
                Err(error) => {
                    sink.abort().await;
                    return Err(error);
                }
            }
        }
        sink.finish().await
    };
    // What is fed and what comes of it go on side by side: each would wait for the other.
    stream::unfold(Some((receiver, Some(feed.boxed()))), |state| async move {
        let (mut receiver, mut feed) = state?;
        loop {
            let Some(feeding) = &mut feed else {
                let bytes = receiver.recv().await?;
                return Some((Ok(bytes), Some((receiver, None))));
            };
            tokio::select! {
                biased;
                Some(bytes) = receiver.recv() => return Some((Ok(bytes), Some((receiver, feed)))),
                outcome = feeding => match outcome {
                    Ok(()) => feed = None,
                    Err(error) => return Some((Err(error), None)),
                },
            }
        }
    })
    .boxed()
}

/// What blocking code [writes to](transform), in batches.
pub struct Outlet {
    sender: mpsc::Sender<Bytes>,
    buffer: Vec<u8>,
}

impl Write for Outlet {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.buffer.capacity() == 0 {
            self.buffer.reserve_exact(BATCH);
        }
        let count = bytes.len().min(BATCH - self.buffer.len());
        self.buffer.extend_from_slice(&bytes[..count]);
        if self.buffer.len() == BATCH {
            self.flush()?;
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let batch = Bytes::from(std::mem::take(&mut self.buffer));
        self.sender.blocking_send(batch).map_err(|_| broken_off().into())
    }
}

fn broken_off() -> Error {
    Error::new(ErrorKind::Cancelled, "the content was broken off before its end")
}

pub(crate) fn join_error(error: JoinError) -> Error {
    match error.try_into_panic() {
        // A defect in our own code: it goes on in the task that waited for it, as if it had happened there.
        Ok(panic) => std::panic::resume_unwind(panic),
        Err(_) => Error::new(ErrorKind::Cancelled, "the program is shutting down"),
    }
}

#[cfg(test)]
mod tests;
