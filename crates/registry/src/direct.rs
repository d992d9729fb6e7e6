//! How does large content come in without passing through the server's parser? From the socket into pieces of memory that lie as disks want it ([`Piece`]), where it
//! is hashed and written. What the parser reads it copies on, and hands over part by part to another task.
//!
//! So of content that is large the parser is told that it has only its first bytes: [`Strict`](crate::strict::Strict), which has read the head beyond doubt, writes that
//! length into it where it is known to the last digit, and reads nothing from the socket until the rest was taken. The rest is taken by who has the
//! request ([`Rest`]); the true length is put back into what it sees. Where the rest is not taken to its end the connection ends with the answer. Only for HTTP/1.1
//! without TLS, and for content whose length was said.

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use teu_store::blocking::{
    BATCH,
    pieces::{ALIGNMENT, PIECE, Piece, SMALL},
};
use tokio::{net::TcpStream, sync::watch, time::timeout};

/// What a connection and who takes its content know of it.
#[derive(Clone)]
pub(crate) struct Direct {
    socket: Arc<TcpStream>,
    state: Arc<Mutex<State>>,
    /// Ends where the connection does.
    open: watch::Receiver<()>,
}

/// Keeps a connection's content open until it is dropped.
pub(crate) struct Open {
    direct: Direct,
    _open: watch::Sender<()>,
}

#[derive(Default)]
enum State {
    /// The parser reads.
    #[default]
    Parsed,
    /// So much content is that of a request which is to be parsed: of the how manieth, as the one before it may be parsed from the same bytes.
    Offered { request: u64, length: u64 },
    /// Somebody takes it.
    Taken(Option<Waker>),
    /// It was taken to its end.
    Done,
}

impl Open {
    pub(crate) fn new(socket: Arc<TcpStream>) -> Self {
        let (sender, open) = watch::channel(());
        let direct = Direct {
            socket,
            state: Arc::default(),
            open,
        };
        Self { direct, _open: sender }
    }

    pub(crate) fn direct(&self) -> Direct {
        self.direct.clone()
    }

    /// How many bytes of content of this length the parser is told of; none where that is all.
    pub(crate) fn told(length: u64) -> Option<u64> {
        (length >= SMALL + PIECE as u64).then_some(SMALL)
    }

    /// The connection's how manieth request has content of this length, of which the parser is told less.
    pub(crate) fn offer(&self, request: u64, length: u64) {
        *self.direct.state() = State::Offered { request, length };
    }

    /// Waits until the rest was taken.
    pub(crate) fn poll_done(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.direct.state();
        match &mut *state {
            State::Done => {
                *state = State::Parsed;
                return Poll::Ready(());
            }
            State::Taken(waker) => *waker = Some(context.waker().clone()),
            // It is refused, and the connection ends.
            State::Parsed | State::Offered { .. } => {}
        }
        Poll::Pending
    }
}

impl Direct {
    fn state(&self) -> MutexGuard<'_, State> {
        // No one leaves it half changed, so what a panic elsewhere left is whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the parser is not told of the request that it has just parsed, the how manieth, and the true length of its content.
    pub(crate) fn rest(&self, number: u64) -> Option<(u64, Passed)> {
        let mut state = self.state();
        let State::Offered { request, length } = *state else {
            return None;
        };
        if request != number {
            return None;
        }
        *state = State::Taken(None);
        let rest = Rest {
            left: length - Open::told(length)?,
            direct: self.clone(),
            room: Room::None,
        };
        Some((length, Arc::new(Mutex::new(Some(rest)))))
    }

    /// Whether a rest is not taken to its end.
    pub(crate) fn is_left(&self) -> bool {
        matches!(*self.state(), State::Taken(_))
    }
}

/// What hands the rest to who answers the request: an extension of that.
pub(crate) type Passed = Arc<Mutex<Option<Rest>>>;

/// The rest of a request's content.
pub(crate) struct Rest {
    direct: Direct,
    left: u64,
    /// Where it is read into.
    room: Room,
}

enum Room {
    None,
    Piece(Piece),
    /// There is no piece. As long as a disk wants it, so that the next one can be.
    Chunk {
        memory: Vec<u8>,
        filled: usize,
    },
}

impl Rest {
    /// The next bytes; none at the end. What came is not lost where this is dropped.
    ///
    /// # Errors
    /// `TimedOut` where nothing came for so long; another where the connection broke before the end.
    pub(crate) async fn next(&mut self, idle: Duration) -> io::Result<Option<Bytes>> {
        let socket = Arc::clone(&self.direct.socket);
        while self.left > 0 {
            let count = loop {
                match socket.try_read(self.room()) {
                    Ok(count) => break count,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) => return Err(error),
                }
                tokio::select! {
                    ready = timeout(idle, socket.readable()) => ready??,
                    _ = self.direct.open.changed() => return Err(io::ErrorKind::ConnectionAborted.into()),
                }
            };
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.left -= count as u64;
            let is_full = match &mut self.room {
                Room::None => true,
                Room::Piece(piece) => {
                    piece.add(count);
                    piece.is_full()
                }
                Room::Chunk { memory, filled } => {
                    *filled += count;
                    *filled == memory.len()
                }
            };
            if self.left == 0 {
                self.end();
            }
            if is_full || self.left == 0 {
                return Ok(self.came());
            }
        }
        Ok(None)
    }

    /// What came and was not given yet.
    pub(crate) fn came(&mut self) -> Option<Bytes> {
        let bytes = match std::mem::replace(&mut self.room, Room::None) {
            Room::None => return None,
            Room::Piece(piece) => Bytes::from(piece),
            Room::Chunk { mut memory, filled } => {
                memory.truncate(filled);
                memory.into()
            }
        };
        (!bytes.is_empty()).then_some(bytes)
    }

    /// Where the next bytes go, and no more than are left.
    fn room(&mut self) -> &mut [u8] {
        if matches!(self.room, Room::None) {
            let piece = (self.left >= PIECE as u64).then(Piece::take).flatten();
            self.room = match piece {
                Some(piece) => Room::Piece(piece),
                None => Room::Chunk {
                    memory: vec![0; BATCH.next_multiple_of(ALIGNMENT)],
                    filled: 0,
                },
            };
        }
        let room = match &mut self.room {
            Room::None => &mut [],
            Room::Piece(piece) => piece.room(),
            Room::Chunk { memory, filled } => &mut memory[*filled..],
        };
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(room.len());
        &mut room[..most]
    }

    fn end(&self) {
        let state = std::mem::replace(&mut *self.direct.state(), State::Done);
        if let State::Taken(Some(waker)) = state {
            waker.wake();
        }
    }
}
