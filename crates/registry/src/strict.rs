//! Can nobody read these requests otherwise than we do, and does their sender hear what is wrong with them? A stream that is looked at before it
//! is parsed.
//!
//! The server's own parser is as lenient as RFC 9112 lets it be: it takes a bare LF for the end of a line, and passes over a
//! Content-Length beside a Transfer-Encoding. What is wrong by [`Framing`] is replaced by a NUL, which no head and no chunk can have, so that the
//! parser answers 400 by itself. Behind a head that is too long come more fields than are allowed, so that it answers 431: its own limit is that of all
//! that it reads at once, and content is to be read in large parts.
//!
//! A head that does not end in its time ends the connection. Between two requests a client may be silent: that is not counted here.
//!
//! A connection that ends within a request is not closed before its client had time to hear why: bytes that nobody read when it is closed
//! make the kernel reset it, and then the last answer is lost.

use std::{
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep, sleep_until},
};

use crate::{
    connection::Patience,
    direct::Open,
    framing::{Fault, Framing},
    settings::Limits,
};

/// How long, and for how many bytes, a client is listened to whose request nobody reads any more.
const LINGER: Duration = Duration::from_secs(5);
const LINGER_BYTES: usize = 16 << 20;

/// A stream of requests, of which none can be read in two ways.
pub(crate) struct Strict<S> {
    stream: S,
    framing: Framing,
    /// How long a head may take to come.
    head_time: Duration,
    /// When the time of the one that has begun is over.
    head_end: Option<Pin<Box<Sleep>>>,
    /// The most fields of a head.
    fields: usize,
    /// What is still given to be read, where nothing more is read because it was wrong: the parser looks at a head when that has an end.
    over: Option<Bytes>,
    /// Where large content is taken from the socket beside this, if it is.
    direct: Option<Open>,
    /// How much of the content that comes the parser is not told of.
    untold: u64,
    /// Until when, and for how much, what comes is read and dropped.
    lingers: Option<(Pin<Box<Sleep>>, usize)>,
}

impl<S> Strict<S> {
    pub(crate) fn new(stream: S, limits: &Limits) -> Self {
        Self {
            stream,
            framing: Framing::of_heads(limits.head),
            head_time: limits.head_time,
            fields: limits.headers,
            head_end: None,
            over: None,
            direct: None,
            untold: 0,
            lingers: None,
        }
    }

    /// The same, of whose content what is large is taken from the socket.
    pub(crate) fn beside(mut self, direct: Option<Open>) -> Self {
        self.direct = direct;
        self
    }
}

impl<S: AsyncRead + Patience + Unpin> Strict<S> {
    fn give_over(&mut self, buffer: &mut ReadBuf<'_>) {
        if let Some(over) = &mut self.over {
            buffer.put_slice(&over.split_to(over.len().min(buffer.remaining())));
        }
    }

    /// Reads what the parser is told of.
    fn poll_next(&mut self, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.untold > 0 {
            let (_, left) = self.framing.content().unwrap_or_default();
            let told = usize::try_from(left.saturating_sub(self.untold)).unwrap_or(usize::MAX);
            if told == 0 {
                ready!(self.poll_untold(context));
            } else if told < buffer.remaining() {
                let mut part = ReadBuf::new(buffer.initialize_unfilled_to(told));
                ready!(Pin::new(&mut self.stream).poll_read(context, &mut part))?;
                let count = part.filled().len();
                buffer.advance(count);
                return Poll::Ready(Ok(()));
            }
        }
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }

    /// Waits until what the parser is not told of was taken.
    fn poll_untold(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if let Some(direct) = &self.direct {
            ready!(direct.poll_done(context));
            self.stream.anew();
            self.framing.pass(std::mem::take(&mut self.untold));
        }
        Poll::Ready(())
    }

    /// Where these bytes end the head of large content, and say how long it is, says less of it.
    fn tell_less(&mut self, bytes: &mut [u8]) {
        let (Some(direct), Some(at)) = (&self.direct, self.framing.length_at()) else {
            return;
        };
        let digits = &mut bytes[at];
        let said = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
        let Some((length, left)) = self.framing.content().filter(|(length, _)| Some(*length) == said) else {
            return;
        };
        // What is here of it already is told of.
        if let Some(told) = Open::told(length).filter(|told| length - left <= *told) {
            digits.copy_from_slice(format!("{told:0width$}", width = digits.len()).as_bytes());
            direct.offer(self.framing.heads(), length);
            self.untold = length - told;
        }
    }

    /// Waits until the time of a head is over that has begun.
    fn poll_head(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.head_end {
            Some(end) => end.as_mut().poll(context).map(|()| Err(io::ErrorKind::TimedOut.into())),
            None => Poll::Pending,
        }
    }

    /// Reads what nobody wants, until there is no more of it, or for long enough.
    fn poll_drain(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let (end, left) = self
            .lingers
            .get_or_insert_with(|| (Box::pin(sleep(LINGER)), LINGER_BYTES));
        let mut space = [0; 8 << 10];
        while *left > 0 && end.as_mut().poll(context).is_pending() {
            let mut buffer = ReadBuf::new(&mut space);
            // Where reading fails there is nobody to hear.
            match ready!(Pin::new(&mut self.stream).poll_read(context, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => *left = left.saturating_sub(buffer.filled().len()),
                _ => break,
            }
        }
        Poll::Ready(())
    }
}

impl<S: AsyncRead + Patience + Unpin> AsyncRead for Strict<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.over.is_some() {
            self.give_over(buffer);
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        match self.poll_next(context, buffer) {
            Poll::Ready(outcome) => outcome?,
            Poll::Pending => return self.poll_head(context),
        }
        match self.framing.look(&buffer.filled()[before..]) {
            None => self.tell_less(&mut buffer.filled_mut()[before..]),
            Some((wrong, Fault::Ambiguous)) => {
                buffer.filled_mut()[before + wrong] = 0;
                buffer.set_filled(before + wrong + 1);
                self.over = Some(Bytes::from_static(b"\r\n\r\n"));
            }
            Some((wrong, Fault::TooLong { within_first })) => {
                buffer.set_filled(before + wrong);
                // Ends a name, a value, or begins a line.
                let line = if within_first { " HTTP/1.1\r\n" } else { "x:\r\n" };
                let over = format!("{line}{}\r\n", "too-long:\r\n".repeat(self.fields + 1));
                self.over = Some(over.into());
                // Nothing at all would be the end.
                self.give_over(buffer);
            }
        }
        match self.framing.is_within_head() {
            false => self.head_end = None,
            true if self.head_end.is_none() => {
                let end = Instant::now() + self.head_time;
                self.head_end = Some(Box::pin(sleep_until(end)));
            }
            true => {}
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Patience + Unpin> AsyncWrite for Strict<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.lingers.is_none() {
            ready!(Pin::new(&mut self.stream).poll_shutdown(context))?;
        }
        if self.untold > 0 {
            // Taken to its end it is no request that nobody reads.
            let _ = self.poll_untold(context);
        }
        if self.over.is_some() || self.framing.is_within() {
            ready!(self.poll_drain(context));
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt, DuplexStream, Interest, duplex},
        net::{TcpListener, TcpStream},
        time::{advance, timeout},
    };

    use super::*;
    use crate::{connection::Patient, outgoing::Sending};

    impl Patience for DuplexStream {
        fn anew(&mut self) {}
    }

    const TIME: Duration = Duration::from_secs(30);

    async fn sent(other: &mut DuplexStream, strict: &mut Strict<DuplexStream>, bytes: &str) {
        other.write_all(bytes.as_bytes()).await.expect("written");
        let mut read = vec![0; bytes.len()];
        strict.read_exact(&mut read).await.expect("read");
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_has_its_time_and_silence_between_two_has_not() {
        let (mut other, stream) = duplex(1024);
        let limits = Limits {
            head_time: TIME,
            ..Limits::default()
        };
        let mut strict = Strict::new(stream, &limits);
        for request in [
            "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n",
        ] {
            sent(&mut other, &mut strict, request).await;
            let silence = timeout(TIME * 10, strict.read_u8()).await;
            silence.expect_err("it waits on");
        }
        sent(&mut other, &mut strict, "abc").await;
        timeout(TIME * 10, strict.read_u8()).await.expect_err("it waits on");
        // Each byte of a head gives it no time anew.
        for byte in ["G", "E", "T"] {
            sent(&mut other, &mut strict, byte).await;
            advance(TIME / 3 - Duration::from_millis(1)).await;
        }
        let begun = Instant::now();
        let error = strict.read_u8().await.expect_err("its time is over");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(begun.elapsed() < TIME / 10);
    }

    /// Large content is taken beside the parser, which reads a shorter one, and the next request when that was done.
    #[tokio::test]
    async fn what_is_large_is_taken_from_the_socket() {
        const MIB: usize = 1 << 20;
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let client = TcpStream::connect(listener.local_addr().expect("an address"));
        let (client, server) = tokio::join!(client, listener.accept());
        let (mut client, server) = (client.expect("connected"), server.expect("accepted").0);
        let server = Sending::new(server);
        let open = Open::new(server.socket());
        let direct = open.direct();
        let mut strict = Strict::new(Patient::new(server, TIME), &Limits::default()).beside(Some(open));
        let content: Vec<u8> = (0..4 * MIB + 300_001).map(|n| (n % 251) as u8).collect();
        let head = |length: usize| format!("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: {length:09}\r\n\r\n");
        let next = head(7) + "1234567";
        let all = [head(content.len()).as_bytes(), &content[..], next.as_bytes()].concat();
        let sent = tokio::spawn(async move {
            client.write_all(&all).await.expect("sent");
            client
        });
        let mut parsed = vec![0; head(0).len() + 2 * MIB];
        strict.read_exact(&mut parsed).await.expect("read");
        assert!(parsed == [head(2 * MIB).as_bytes(), &content[..2 * MIB]].concat());
        let waits = timeout(Duration::from_millis(1), strict.read_u8()).await;
        waits.expect_err("the parser reads no more");
        let (length, rest) = direct.rest(1).expect("there is more");
        assert_eq!((length, direct.rest(1).is_none()), (content.len() as u64, true));
        let mut rest = rest.lock().expect("one").take().expect("the rest");
        let (mut found, mut lengths) = (content[..2 * MIB].to_vec(), Vec::new());
        while let Some(bytes) = rest.next(TIME).await.expect("read") {
            assert!(direct.is_left() || found.len() + bytes.len() == content.len());
            found.extend_from_slice(&bytes);
            lengths.push(bytes.len());
        }
        assert!(found == content);
        assert_eq!(
            lengths.iter().filter(|length| **length == MIB).count(),
            2,
            "{lengths:?}"
        );
        assert!(!direct.is_left());
        let mut parsed = vec![0; next.len()];
        strict.read_exact(&mut parsed).await.expect("read");
        assert_eq!(parsed, next.as_bytes());
        drop((strict, sent.await));
    }

    /// What the connection takes with it is no end of content.
    #[tokio::test]
    async fn content_that_is_cut_off_gives_what_came_and_an_error() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        for is_dropped in [false, true] {
            let client = TcpStream::connect(listener.local_addr().expect("an address"));
            let (client, server) = tokio::join!(client, listener.accept());
            let (mut client, server) = (client.expect("connected"), Sending::new(server.expect("accepted").0));
            let open = Open::new(server.socket());
            let direct = open.direct();
            open.offer(2, 4 << 20);
            assert!(direct.rest(1).is_none());
            let mut rest = direct
                .rest(2)
                .expect("there is more")
                .1
                .lock()
                .expect("one")
                .take()
                .expect("the rest");
            client.write_all(b"0123456789").await.expect("sent");
            while server.socket().try_io(Interest::READABLE, || Ok(())).is_err() {
                server.socket().readable().await.expect("readable");
            }
            match is_dropped {
                true => drop(open),
                false => drop(client),
            }
            let kind = rest.next(TIME).await.expect_err("no end").kind();
            let expected = if is_dropped {
                io::ErrorKind::ConnectionAborted
            } else {
                io::ErrorKind::UnexpectedEof
            };
            assert_eq!(kind, expected);
            assert_eq!(rest.came().as_deref(), Some(&b"0123456789"[..]));
            assert_eq!((rest.came(), direct.is_left()), (None, true));
        }
    }
}
