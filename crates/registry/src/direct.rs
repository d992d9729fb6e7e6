//! How does content come in without passing through the server's parser? From the socket into memory that is as large as what is in it: pieces that lie as disks
//! want it ([`Piece`]) for what is large, where it is hashed and written. What the parser reads it hands over part by part to another task, and of each part all of
//! the buffer that it was read into is held until that was hashed.
//!
//! So of content of [`LEAST`] bytes and more the parser is told that it has only its first bytes: [`Strict`](crate::strict::Strict), which has read the head beyond doubt, writes that
//! length into it where it is known to the last digit, and reads nothing from the socket until the rest was taken. The rest is taken by who has the
//! request ([`Rest`]); the true length is put back into what it sees. Where the rest is not taken to its end the connection ends with the answer. Only for HTTP/1.1
//! without TLS, and for content whose length was said.

use std::{
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use bytes::{BufMut, Bytes};
use teu_store::blocking::pieces::{ALIGNMENT, HELD, PIECE, Piece, SMALL};
use tokio::{sync::watch, task::yield_now, time::timeout};

use crate::socket::Socket;

/// What is smaller is read by the parser: it is there with its head, or nearly.
const LEAST: u64 = 64 << 10;

/// How long who sends without a pause may keep others from the thread that takes it, where nobody else sends what is as large: what comes of two by turns is hashed
/// in less time.
const TURN: Duration = Duration::from_millis(4);

/// What a connection and who takes its content know of it.
#[derive(Clone)]
pub(crate) struct Direct {
    socket: Arc<Socket>,
    /// How much is read at once, at most, where there is no piece.
    at_once: usize,
    shared: Arc<Mutex<Shared>>,
    /// Ends where the connection does.
    open: watch::Receiver<()>,
    under_way: UnderWay,
}

/// Of how many requests' content the rest is under way, on all connections.
pub(crate) type UnderWay = Arc<AtomicUsize>;

/// Keeps a connection's content open until it is dropped.
pub(crate) struct Open {
    direct: Direct,
    _open: watch::Sender<()>,
}

#[derive(Default)]
struct Shared {
    state: State,
    /// Who waits until the rest was taken.
    waker: Option<Waker>,
}

#[derive(Default)]
enum State {
    /// The parser reads.
    #[default]
    Parsed,
    /// So much content is that of a request which is to be parsed, and so much of it the parser is not told of. The request has its ordinal on this
    /// connection, as the one before it may be parsed from the same bytes.
    Offered { ordinal: u64, length: u64, untold: u64 },
    /// Somebody takes it.
    Taken,
    /// It was taken to its end.
    Done,
}

impl Open {
    /// Of a connection that reads so much at once.
    pub(crate) fn new(socket: Arc<Socket>, at_once: usize, under_way: UnderWay) -> Self {
        let (sender, open) = watch::channel(());
        let direct = Direct {
            socket,
            at_once,
            shared: Arc::default(),
            open,
            under_way,
        };
        Self { direct, _open: sender }
    }

    pub(crate) fn direct(&self) -> Direct {
        self.direct.clone()
    }

    /// How many bytes of content of this length the parser is told of, where so many are here; none where that is all.
    pub(crate) fn told(length: u64, here: u64) -> Option<u64> {
        // Behind them the rest lies as disks want it. One byte at least, so that the parser asks for content where a client waits for that.
        let told = here.max(1).next_multiple_of(ALIGNMENT as u64);
        (length >= LEAST && told < length).then_some(told)
    }

    /// The request of this ordinal on the connection has content of this length, and so much of it the parser is not told of.
    pub(crate) fn offer(&self, ordinal: u64, length: u64, untold: u64) {
        self.direct.shared().state = State::Offered {
            ordinal,
            length,
            untold,
        };
    }

    /// Waits until the rest was taken. Where it is refused that is never, and the connection ends.
    pub(crate) fn poll_done(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut shared = self.direct.shared();
        if let State::Done = shared.state {
            shared.state = State::Parsed;
            return Poll::Ready(());
        }
        shared.waker = Some(context.waker().clone());
        Poll::Pending
    }
}

impl Direct {
    fn shared(&self) -> MutexGuard<'_, Shared> {
        // No one leaves it half changed, so what a panic elsewhere left is whole.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the parser is not told of the request of this ordinal, which it has just parsed, and the true length of its content.
    pub(crate) fn rest(&self, ordinal: u64) -> Option<(u64, Passed)> {
        let mut shared = self.shared();
        let (length, left) = match shared.state {
            State::Offered {
                ordinal: offered,
                length,
                untold,
            } if offered == ordinal => (length, untold),
            _ => return None,
        };
        shared.state = State::Taken;
        self.under_way.fetch_add(1, Ordering::Relaxed);
        let rest = Rest {
            left,
            is_large: length >= SMALL + PIECE as u64,
            direct: self.clone(),
            room: Room::None,
            since: Instant::now(),
            flows: false,
            turn: Instant::now(),
        };
        Some((length, Arc::new(Mutex::new(Some(rest)))))
    }

    /// Whether a rest is not taken to its end.
    pub(crate) fn is_left(&self) -> bool {
        matches!(self.shared().state, State::Taken)
    }
}

/// What hands the rest to who answers the request: an extension of that.
pub(crate) type Passed = Arc<Mutex<Option<Rest>>>;

/// The rest of a request's content.
pub(crate) struct Rest {
    direct: Direct,
    left: u64,
    /// Whether pieces are taken for it: what is small stays in the kernel's cache, and who fills one slowly goes on without.
    is_large: bool,
    /// Where it is read into.
    room: Room,
    /// When there was nothing in the room last.
    since: Instant,
    /// It came without a pause since the last part of it was given.
    flows: bool,
    /// When others were let work last.
    turn: Instant,
}

enum Room {
    None,
    Piece(Piece),
    /// There is no piece. As long as a disk wants it, so that the next one can be.
    Chunk(Vec<u8>),
}

impl Rest {
    /// The next bytes; none at the end. What came is not lost where this is dropped.
    ///
    /// # Errors
    /// `TimedOut` where nothing came for so long; another where the connection broke before the end.
    pub(crate) async fn next(&mut self, idle: Duration) -> io::Result<Option<Bytes>> {
        // Who sends without a pause keeps no other from this thread, and does not outlive its connection.
        let is_alone = self.direct.under_way.load(Ordering::Relaxed) == 1;
        if !is_alone || self.turn.elapsed() >= TURN {
            yield_now().await;
            self.turn = Instant::now();
        }
        while self.left > 0 {
            if self.direct.open.has_changed().is_err() {
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
            if self.fill()? || self.gives_back() {
                break;
            }
            let patience = match self.room {
                Room::None => idle,
                Room::Piece(_) | Room::Chunk(_) => idle.min(HELD.saturating_sub(self.since.elapsed())),
            };
            let socket = self.direct.socket.told()?;
            tokio::select! {
                ready = timeout(patience, socket.readable()) => match ready {
                    Ok(ready) => ready?,
                    Err(_) if self.gives_back() => break,
                    Err(elapsed) => return Err(elapsed.into()),
                },
                _ = self.direct.open.changed() => return Err(io::ErrorKind::ConnectionAborted.into()),
            }
        }
        Ok(self.filled())
    }

    /// What came and was not given yet, and of what is there as much as there is room for: nothing is waited for.
    pub(crate) fn came(&mut self) -> Option<Bytes> {
        // Where the connection broke no more is there.
        let _ = self.fill();
        self.filled()
    }

    /// Reads what is there; whether the room is full with it, or has all that is left.
    fn fill(&mut self) -> io::Result<bool> {
        while self.left > 0 {
            match self.read() {
                Ok(None) => break,
                Ok(Some(0)) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(Some(count)) => self.took(count),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.flows = false;
                    // Who sends nothing holds no memory.
                    if self.room.is_empty() {
                        self.room = Room::None;
                    }
                    return Ok(false);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Whether what it is read into was not filled in its time: then what is in it goes on, and a piece is others'.
    fn gives_back(&mut self) -> bool {
        let is_late = !self.room.is_empty() && self.since.elapsed() >= HELD;
        self.is_large &= !(is_late && matches!(self.room, Room::Piece(_)));
        is_late
    }

    /// Reads into the room, and no more than is left; how much, or none where it is full.
    fn read(&mut self) -> io::Result<Option<usize>> {
        let left = usize::try_from(self.left).unwrap_or(usize::MAX);
        if let Room::None = self.room {
            let piece = self.is_large.then(Piece::take).flatten();
            self.since = Instant::now();
            self.room = match piece {
                Some(piece) => {
                    if self.flows {
                        // It comes faster than it is taken.
                        self.direct.socket.hush();
                    }
                    self.flows = true;
                    Room::Piece(piece)
                }
                None => Room::Chunk(Vec::with_capacity(
                    self.direct.at_once.next_multiple_of(ALIGNMENT).min(left),
                )),
            };
        }
        let socket = &self.direct.socket;
        match &mut self.room {
            Room::None => Ok(None),
            Room::Piece(piece) if piece.is_full() => Ok(None),
            Room::Piece(piece) => {
                let room = piece.room();
                let most = left.min(room.len());
                let count = socket.try_read(&mut room[..most])?;
                piece.add(count);
                Ok(Some(count))
            }
            Room::Chunk(memory) => match left.min(memory.capacity() - memory.len()) {
                0 => Ok(None),
                most => socket.told()?.try_read_buf(&mut memory.limit(most)).map(Some),
            },
        }
    }

    /// So many bytes were put into the room.
    fn took(&mut self, count: usize) {
        self.left -= count as u64;
        if self.left == 0 {
            let mut shared = self.direct.shared();
            shared.state = State::Done;
            if let Some(waker) = shared.waker.take() {
                waker.wake();
            }
        }
    }

    /// What is in the room.
    fn filled(&mut self) -> Option<Bytes> {
        let bytes = match std::mem::replace(&mut self.room, Room::None) {
            Room::None => return None,
            // Who hashes what was given back may hold it until the next comes.
            Room::Piece(piece) if !self.is_large => Bytes::copy_from_slice(piece.as_ref()),
            Room::Piece(piece) => Bytes::from(piece),
            Room::Chunk(memory) => memory.into(),
        };
        (!bytes.is_empty()).then_some(bytes)
    }
}

impl Drop for Rest {
    fn drop(&mut self) {
        self.direct.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Room {
    fn is_empty(&self) -> bool {
        match self {
            Self::None => true,
            Self::Piece(piece) => piece.as_ref().is_empty(),
            Self::Chunk(memory) => memory.is_empty(),
        }
    }
}

#[cfg(test)]
mod tests;
