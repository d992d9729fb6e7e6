//! Can nobody read these requests otherwise than we do, and does their sender hear what is wrong with them? A stream that is looked at before it
//! is parsed.
//!
//! The server's own parser is as lenient as RFC 9112 lets it be: it takes a bare LF for the end of a line, and passes over a
//! Content-Length beside a Transfer-Encoding. What is wrong by [`Framing`] is replaced by a NUL, which no head and no chunk can have, so that the
//! parser answers 400 by itself. A head that is too long, or has too many fields, is ended where it is, so that its client is answered why ([`Refused`]): the
//! parser's own limit is that of all that it reads at once, and content is to be read in large parts. Where its first line is too long already, more fields come
//! than the parser takes, so that it answers 431.
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
    refused::{Reason, Refused},
    settings::Limits,
};

/// How long, and for how many bytes, a client is listened to whose request nobody reads any more.
const LINGER: Duration = Duration::from_secs(5);
const LINGER_BYTES: usize = 16 << 20;

/// Ends a head, wherever it is in its fields: it ends a name, a value, or begins a line.
const END: &[u8] = b"x:\r\n\r\n";
/// What a record of TLS begins with in which a client says hello (RFC 8446, 5.1).
const TLS: u8 = 0x16;
/// How much is read at once of a head where content is taken beside: little of it comes with its head.
const HEAD: usize = 8 << 10;

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
    /// Who answers is told here what is refused.
    refused: Refused,
    /// What is still given to be read, where nothing more is read because it was wrong: the parser looks at a head when that has an end.
    over: Option<Bytes>,
    /// That makes a whole request of it, which is answered.
    is_whole: bool,
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
            // The parser may take no more at once than a head has: where one is ended, there is to be room for that.
            framing: Framing::of_heads(limits.head.saturating_sub(END.len()), limits.headers),
            head_time: limits.head_time,
            fields: limits.headers,
            refused: Refused::default(),
            head_end: None,
            over: None,
            is_whole: false,
            direct: None,
            untold: 0,
            lingers: None,
        }
    }

    /// The same, which tells there what it refuses.
    pub(crate) fn telling(mut self, refused: Refused) -> Self {
        self.refused = refused;
        self
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
        let mut most = usize::MAX;
        if self.untold > 0 {
            let (_, left) = self.framing.content().unwrap_or_default();
            most = usize::try_from(left.saturating_sub(self.untold)).unwrap_or(usize::MAX);
            if most == 0 {
                ready!(self.poll_untold(context));
            }
        }
        if self.direct.is_some() && self.framing.is_at_head() {
            most = HEAD;
        }
        if most >= buffer.remaining() {
            return Pin::new(&mut self.stream).poll_read(context, buffer);
        }
        let mut part = ReadBuf::new(buffer.initialize_unfilled_to(most));
        ready!(Pin::new(&mut self.stream).poll_read(context, &mut part))?;
        let count = part.filled().len();
        buffer.advance(count);
        Poll::Ready(Ok(()))
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
        if let Some(told) = Open::told(length, length - left) {
            digits.copy_from_slice(format!("{told:0width$}", width = digits.len()).as_bytes());
            self.untold = length - told;
            direct.offer(self.framing.heads(), length, self.untold);
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
        if let Some(over) = &self.over {
            // At the end of what is read the parser would drop a request that it has whole; the answer ends the connection.
            if over.is_empty() && self.is_whole {
                return Poll::Pending;
            }
            self.give_over(buffer);
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        match self.poll_next(context, buffer) {
            Poll::Ready(outcome) => outcome?,
            Poll::Pending => return self.poll_head(context),
        }
        let was_silent = self.framing.is_new();
        let found = self.framing.look(&buffer.filled()[before..]);
        if let Some((_, fault)) = found {
            let reason = match fault {
                Fault::Ambiguous if was_silent && buffer.filled()[before] == TLS => Reason::Tls,
                Fault::Ambiguous => Reason::Malformed,
                Fault::TooLong { .. } => Reason::TooLong,
                Fault::TooMany => Reason::TooMany,
            };
            self.refused.after(self.framing.heads(), reason);
        }
        match found {
            None => self.tell_less(&mut buffer.filled_mut()[before..]),
            Some((wrong, Fault::Ambiguous)) => {
                buffer.filled_mut()[before + wrong] = 0;
                buffer.set_filled(before + wrong + 1);
                self.over = Some(Bytes::from_static(b"\r\n\r\n"));
            }
            Some((wrong, fault @ (Fault::TooLong { .. } | Fault::TooMany))) => {
                buffer.set_filled(before + wrong);
                self.is_whole = fault != Fault::TooLong { within_first: true };
                self.over = Some(match self.is_whole {
                    true => Bytes::from_static(END),
                    false => {
                        let fields = "too-long:\r\n".repeat(self.fields + 2);
                        format!(" HTTP/1.1\r\n{fields}\r\n").into()
                    }
                });
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
        io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
        time::{advance, timeout},
    };

    use super::*;

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
}
