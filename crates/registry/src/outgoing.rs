//! How do the bytes of a file go out without passing through here? The kernel copies them from its cache to the socket (sendfile), which takes a
//! third of reading and writing them.
//!
//! The server's own writer knows no files. So an answer has a placeholder for its content: slices of memory that is there for that alone and that
//! nobody reads. Where the writer hands such a slice to the connection, the connection sends as many bytes of the file. Only for HTTP/1.1 without
//! TLS, where content goes out as it is.

use std::{
    collections::VecDeque,
    fs::File,
    io::{self, IoSlice},
    ops::Range,
    os::fd::AsFd,
    pin::Pin,
    sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::stream;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use rustix::{
    fs::sendfile,
    io::{Errno, ReadWriteFlags, preadv2},
    net::{SendFlags, Shutdown, send, shutdown, sockopt::set_tcp_cork},
};
use teu_store::{Error, blocking};
use tokio::{
    io::{AsyncRead, AsyncWrite, Interest, ReadBuf},
    net::TcpStream,
};

use crate::{body::Body, socket::Socket};

/// How much is promised to the writer at once.
const PART: u64 = 1 << 20;
/// What is no larger is sent from memory: with its head, and in one call.
const SMALL: u64 = 64 << 10;
/// How much the kernel reads ahead, at least: where one page of so much is in its cache, the others are.
const AHEAD: usize = 128 << 10;

/// What stands for content of files. No page of it is ever touched, so it takes no memory.
static PLACEHOLDER: LazyLock<Bytes> = LazyLock::new(|| vec![0; PART as usize].into());

/// The files of a connection that are on their way.
#[derive(Clone, Default)]
pub(crate) struct Outgoing(Arc<Mutex<VecDeque<Part>>>);

/// Bytes of a file that a placeholder stands for.
struct Part {
    file: Arc<File>,
    offset: u64,
    left: u64,
    /// Nothing of what is asked for was sent before it.
    is_first: bool,
    /// Nothing of it comes after.
    is_last: bool,
}

impl Outgoing {
    /// Whether so much is worth it.
    pub(crate) fn is_worth(length: u64) -> bool {
        length > SMALL
    }

    /// Content of an answer on this connection: a range of a file, which has all of it.
    pub(crate) fn body(&self, file: File, range: Range<u64>) -> Body {
        let (outgoing, file, begin) = (self.clone(), Arc::new(file), range.start);
        let parts = stream::try_unfold(range, move |range| {
            let (outgoing, file) = (outgoing.clone(), Arc::clone(&file));
            async move {
                let part = range.start..range.end.min(range.start + PART);
                if part.is_empty() {
                    return Ok::<_, Error>(None);
                }
                cached(&file, part.clone()).await?;
                let length = part.end - part.start;
                outgoing.parts().push_back(Part {
                    file,
                    offset: part.start,
                    left: length,
                    is_first: part.start == begin,
                    is_last: part.end == range.end,
                });
                // It is no more than PART.
                Ok(Some((
                    Frame::data(PLACEHOLDER.slice(..length as usize)),
                    part.end..range.end,
                )))
            }
        });
        StreamBody::new(parts).boxed_unsync()
    }

    fn parts(&self) -> MutexGuard<'_, VecDeque<Part>> {
        // No one leaves it half changed, so what a panic elsewhere left is whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends some of what this many bytes of placeholder stand for.
    ///
    /// Meanwhile only packets that are full go out (TCP_CORK): each answer of the other side would send what there is of the one that is being filled, and
    /// twice as many packets wake who reads.
    fn send(&self, socket: &TcpStream, count: usize) -> io::Result<usize> {
        let mut parts = self.parts();
        let part = parts.front_mut().ok_or(io::ErrorKind::InvalidData)?;
        if part.is_first {
            // Where it cannot be had, all is sent nevertheless.
            let _ = set_tcp_cork(socket, true);
            part.is_first = false;
        }
        let count = count.min(usize::try_from(part.left).unwrap_or(usize::MAX));
        let sent = sendfile(socket, &part.file, Some(&mut part.offset), count)?;
        if sent == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file became shorter"));
        }
        part.left -= sent as u64;
        if part.left == 0 {
            if part.is_last {
                let _ = set_tcp_cork(socket, false);
            }
            parts.pop_front();
        }
        Ok(sent)
    }

    /// Whether these bytes may go out as they are. So many zeros, while a file is on its way, are a placeholder that was copied: the connection ends
    /// before anybody takes that for content.
    fn may_pass(&self, bytes: &[u8]) -> bool {
        let tail = bytes.len().checked_sub(SMALL as usize).map(|begin| &bytes[begin..]);
        self.parts().is_empty() || tail.is_none_or(|tail| tail.iter().any(|byte| *byte != 0))
    }
}

/// Has these bytes of a file be in the kernel's cache: sending them must not wait for a disk, for others are served by the same thread.
async fn cached(file: &Arc<File>, part: Range<u64>) -> Result<(), Error> {
    let is_cached = |at: u64| {
        let mut byte = [0];
        let slices = &mut [io::IoSliceMut::new(&mut byte)];
        // Where that cannot be told it is sent as it is.
        preadv2(file.as_fd(), slices, at, ReadWriteFlags::NOWAIT) != Err(Errno::AGAIN)
    };
    if part.clone().step_by(AHEAD).chain([part.end - 1]).all(is_cached) {
        return Ok(());
    }
    let file = Arc::clone(file);
    blocking::run(move || {
        let mut buffer = vec![0; AHEAD];
        for at in part.step_by(AHEAD) {
            std::os::unix::fs::FileExt::read_at(&*file, &mut buffer, at)
                .map_err(|error| Error::from(error).within("reading a blob"))?;
        }
        Ok(())
    })
    .await
}

/// Whether it is some of the placeholder.
fn is_placeholder(bytes: &[u8]) -> bool {
    PLACEHOLDER.as_ptr_range().contains(&bytes.as_ptr())
}

/// A connection that sends files where placeholders stand for them.
pub(crate) struct Sending {
    socket: Arc<Socket>,
    /// Held by who waits to read, and by who waits to write.
    reading: Option<Arc<TcpStream>>,
    writing: Option<Arc<TcpStream>>,
    outgoing: Outgoing,
}

impl Sending {
    pub(crate) fn new(stream: TcpStream) -> Self {
        Self {
            socket: Arc::new(Socket::new(stream)),
            reading: None,
            writing: None,
            outgoing: Outgoing::default(),
        }
    }

    /// The socket.
    pub(crate) fn socket(&self) -> Arc<Socket> {
        Arc::clone(&self.socket)
    }

    /// The files that are on their way here.
    pub(crate) fn outgoing(&self) -> Outgoing {
        self.outgoing.clone()
    }

    /// Does something with the socket when it takes bytes.
    fn poll_send(
        &mut self,
        context: &mut Context<'_>,
        try_send: impl Fn(&TcpStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        let stream = self.socket.told()?;
        loop {
            let Poll::Ready(ready) = stream.poll_write_ready(context) else {
                self.writing = Some(stream);
                return Poll::Pending;
            };
            self.writing = None;
            ready?;
            match try_send(&stream) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                outcome => return Poll::Ready(outcome),
            }
        }
    }
}

impl AsyncRead for Sending {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let stream = self.socket.told()?;
        loop {
            let Poll::Ready(ready) = stream.poll_read_ready(context) else {
                self.reading = Some(stream);
                return Poll::Pending;
            };
            self.reading = None;
            ready?;
            match stream.try_read_buf(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                outcome => return Poll::Ready(outcome.map(drop)),
            }
        }
    }
}

impl AsyncWrite for Sending {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let first = slices
            .iter()
            .position(|slice| !slice.is_empty() && is_placeholder(slice));
        let before = &slices[..first.unwrap_or(slices.len())];
        if !before.iter().all(|slice| self.outgoing.may_pass(slice)) {
            return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
        }
        let mut filled = before.iter().filter(|slice| !slice.is_empty());
        match (filled.next(), first) {
            (None, Some(first)) => {
                let (count, outgoing) = (slices[first].len(), self.outgoing.clone());
                self.poll_send(context, |socket| {
                    socket.try_io(Interest::WRITABLE, || outgoing.send(socket, count))
                })
            }
            // A file follows, and may go out in the same packet.
            (Some(bytes), Some(_)) => self.poll_send(context, |socket| {
                let flags = SendFlags::MORE | SendFlags::NOSIGNAL;
                socket.try_io(Interest::WRITABLE, || Ok(send(socket, bytes, flags)?))
            }),
            (_, None) => self.poll_send(context, |socket| socket.try_write_vectored(slices)),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // A socket keeps nothing back.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(shutdown(&*self.socket.told()?, Shutdown::Write)?))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use http_body::Body as _;
    use rustix::net::sockopt::tcp_cork;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;

    async fn connected() -> (TcpStream, Sending) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let client = TcpStream::connect(listener.local_addr().expect("an address"));
        let (client, server) = tokio::join!(client, listener.accept());
        (client.expect("connected"), Sending::new(server.expect("accepted").0))
    }

    async fn write(sending: &mut Sending, slices: &[&[u8]]) -> io::Result<usize> {
        let slices: Vec<IoSlice<'_>> = slices.iter().map(|slice| IoSlice::new(slice)).collect();
        std::future::poll_fn(|context| Pin::new(&mut *sending).poll_write_vectored(context, &slices)).await
    }

    async fn frame(body: &mut Body) -> Bytes {
        let frame = std::future::poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await;
        frame.expect("a frame").expect("no error").into_data().expect("data")
    }

    fn file(content: &[u8]) -> File {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(content).expect("written");
        file
    }

    #[tokio::test]
    async fn what_a_placeholder_stands_for_is_sent() {
        let content: Vec<u8> = (0..PART + 1000).map(|n| (n % 251) as u8).collect();
        let (mut client, mut sending) = connected().await;
        let mut body = sending.outgoing().body(file(&content), 10..content.len() as u64);
        let reader = tokio::spawn(async move {
            let mut all = Vec::new();
            client.read_to_end(&mut all).await.expect("read");
            all
        });
        let mut head: &[u8] = b"head";
        let mut sent = 0;
        while sent < content.len() - 10 {
            let placeholder = frame(&mut body).await;
            assert!(is_placeholder(&placeholder));
            let mut rest = &placeholder[..];
            while !rest.is_empty() {
                let written = write(&mut sending, &[head, b"", rest]).await.expect("sent");
                match head.is_empty() {
                    true => (rest, sent) = (&rest[written..], sent + written),
                    false => head = &head[written..],
                }
            }
        }
        assert!(sending.outgoing.parts().is_empty());
        drop((sending, body));
        let all = reader.await.expect("read");
        assert!(all == [&b"head"[..], &content[10..]].concat());
    }

    /// What does not fill a packet waits until the end of the file, and not longer.
    #[tokio::test]
    async fn packets_are_full_until_the_last_one() {
        let (mut client, mut sending) = connected().await;
        let content = vec![1; PART as usize + 1000];
        let mut body = sending.outgoing().body(file(&content), 0..content.len() as u64);
        let reader =
            tokio::spawn(async move { client.read_exact(&mut content.clone()).await.map(|read| (read, client)) });
        let mut corked = Vec::new();
        for _ in 0..2 {
            let placeholder = frame(&mut body).await;
            let mut rest = &placeholder[..];
            while !rest.is_empty() {
                rest = &rest[write(&mut sending, &[rest]).await.expect("sent")..];
            }
            let socket = sending.socket.told().expect("a socket");
            corked.push(tcp_cork(&*socket).expect("an option"));
        }
        assert_eq!(corked, [true, false]);
        reader.await.expect("no panic").expect("read");
    }

    /// Whatever is done with the socket meanwhile, by who needs not be told.
    #[tokio::test]
    async fn who_waits_is_told() {
        let (mut client, mut sending) = connected().await;
        let socket = sending.socket();
        let mut byte = [0];
        for _ in 0..2 {
            let (read, ()) = tokio::join!(sending.read(&mut byte), async {
                socket.hush();
                assert!(!socket.is_quiet());
                client.write_all(b"a").await.expect("sent");
            });
            assert_eq!((read.expect("read"), byte), (1, *b"a"));
            socket.hush();
            assert!(socket.is_quiet());
        }
        let content = vec![1; 32 << 20];
        let (sent, ()) = tokio::join!(sending.write_all(&content), async {
            socket.hush();
            assert!(!socket.is_quiet());
            client.read_exact(&mut content.clone()).await.expect("read");
        });
        sent.expect("sent");
        socket.hush();
        assert!(socket.is_quiet());
    }

    #[tokio::test]
    async fn a_placeholder_that_was_copied_ends_the_connection() {
        let (_client, mut sending) = connected().await;
        let zeros = vec![0; 100 << 10];
        // Where no file is on its way, zeros are content.
        assert!(write(&mut sending, &[&zeros]).await.is_ok());
        let mut body = sending.outgoing().body(file(&zeros), 0..100 << 10);
        let copied = frame(&mut body).await.to_vec();
        let error = write(&mut sending, &[&[b"head", &copied[..]].concat()]).await;
        assert_eq!(error.expect_err("refused").kind(), io::ErrorKind::InvalidData);
    }

    #[tokio::test]
    async fn a_file_that_became_shorter_ends_the_connection() {
        let (_client, mut sending) = connected().await;
        let file = file(&[1; 200_000]);
        let shorter = file.try_clone().expect("a handle");
        let mut body = sending.outgoing().body(file, 0..200_000);
        let placeholder = frame(&mut body).await;
        shorter.set_len(0).expect("shorter");
        let error = write(&mut sending, &[&placeholder]).await;
        assert_eq!(error.expect_err("refused").kind(), io::ErrorKind::UnexpectedEof);
    }
}
