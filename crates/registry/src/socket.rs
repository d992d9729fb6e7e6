//! Who is told that a connection's socket can be read from or written to? Whoever waits for that, by the runtime. Where content comes faster than it is taken
//! nobody does, and yet each packet wakes the thread that waits for all sockets: as often as a hundred times for what is hashed and written meanwhile. So for
//! that long the runtime is not asked to look after the socket. Whoever has to wait asks it to again, and nobody stops that while they hold it.

use std::{
    io::{self, Read},
    mem,
    net::TcpStream as Quiet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::net::TcpStream;

/// A connection's socket.
pub(crate) struct Socket(Mutex<State>);

enum State {
    Told(Arc<TcpStream>),
    Quiet(Quiet),
    /// The runtime did not take it.
    Gone,
}

impl Socket {
    pub(crate) fn new(stream: TcpStream) -> Self {
        Self(Mutex::new(State::Told(Arc::new(stream))))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No one leaves it half changed, so what a panic elsewhere left is whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The socket, whose holder the runtime tells what it can do. Whoever waits holds it as long as that.
    ///
    /// # Errors
    /// `NotConnected` where the runtime takes no more sockets.
    pub(crate) fn told(&self) -> io::Result<Arc<TcpStream>> {
        let mut state = self.state();
        if let State::Quiet(_) = *state
            && let State::Quiet(stream) = mem::replace(&mut *state, State::Gone)
        {
            *state = State::Told(Arc::new(TcpStream::from_std(stream)?));
        }
        match &*state {
            State::Told(stream) => Ok(Arc::clone(stream)),
            State::Quiet(_) | State::Gone => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// Has nobody be told for now, unless somebody holds it.
    pub(crate) fn hush(&self) {
        let mut state = self.state();
        *state = match mem::replace(&mut *state, State::Gone) {
            State::Told(stream) => match Arc::try_unwrap(stream).map(TcpStream::into_std) {
                Ok(Ok(stream)) => State::Quiet(stream),
                Ok(Err(_)) => State::Gone,
                Err(stream) => State::Told(stream),
            },
            other => other,
        };
    }

    /// Reads what is there.
    ///
    /// # Errors
    /// `WouldBlock` where that is nothing; those of the system, and of [`told`](Self::told).
    pub(crate) fn try_read(&self, bytes: &mut [u8]) -> io::Result<usize> {
        match &mut *self.state() {
            State::Told(stream) => stream.try_read(bytes),
            State::Quiet(stream) => stream.read(bytes),
            State::Gone => Err(io::ErrorKind::NotConnected.into()),
        }
    }
}

#[cfg(test)]
impl Socket {
    /// Whether nobody is told.
    pub(crate) fn is_quiet(&self) -> bool {
        matches!(*self.state(), State::Quiet(_))
    }
}

#[cfg(test)]
mod tests {
    use tokio::{io::AsyncWriteExt, net::TcpListener};

    use super::*;

    async fn connected() -> (TcpStream, Socket) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let client = TcpStream::connect(listener.local_addr().expect("an address"));
        let (client, server) = tokio::join!(client, listener.accept());
        (client.expect("connected"), Socket::new(server.expect("accepted").0))
    }

    #[tokio::test]
    async fn it_is_read_from_whether_anybody_is_told_or_not() {
        let (mut client, socket) = connected().await;
        let mut byte = [0];
        for sent in [b'a', b'b', b'c'] {
            socket.hush();
            assert!(socket.is_quiet());
            let error = socket.try_read(&mut byte).expect_err("nothing is there");
            assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
            client.write_all(&[sent]).await.expect("sent");
            // It may be there already, and is told of nevertheless.
            socket.told().expect("told").readable().await.expect("readable");
            if sent == b'b' {
                socket.hush();
            }
            assert_eq!(
                (socket.is_quiet(), socket.try_read(&mut byte).ok(), byte[0]),
                (sent == b'b', Some(1), sent)
            );
        }
    }

    #[tokio::test]
    async fn who_waits_is_told() {
        let (mut client, socket) = connected().await;
        let held = socket.told().expect("told");
        socket.hush();
        assert!(!socket.is_quiet());
        client.write_all(b"a").await.expect("sent");
        held.readable().await.expect("readable");
        drop(held);
        socket.hush();
        assert!(socket.is_quiet());
    }
}
