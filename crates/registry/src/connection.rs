//! How long may a connection be silent? A stream that ends in an error where no byte went either way for too long (threat 69): whoever sends
//! half a request, or reads half an answer, holds a connection no longer.

use std::{
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep},
};

pub(crate) struct Patient<S> {
    stream: S,
    idle: Duration,
    /// When patience ends. Every byte sets it anew.
    end: Pin<Box<Sleep>>,
}

/// What has patience, and gets it anew where bytes came beside it.
pub(crate) trait Patience {
    fn anew(&mut self);
}

impl<S> Patience for Patient<S> {
    fn anew(&mut self) {
        self.end.as_mut().reset(Instant::now() + self.idle);
    }
}

impl<S> Patient<S> {
    pub(crate) fn new(stream: S, idle: Duration) -> Self {
        Self {
            stream,
            idle,
            end: Box::pin(sleep(idle)),
        }
    }

    /// What became of reading or writing; where it waits, whether it may wait on.
    fn judge<T>(&mut self, outcome: Poll<io::Result<T>>, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        match outcome {
            Poll::Ready(outcome) => {
                self.end.as_mut().reset(Instant::now() + self.idle);
                Poll::Ready(outcome)
            }
            Poll::Pending => match self.end.as_mut().poll(context) {
                Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
                Poll::Pending => Poll::Pending,
            },
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.judge(outcome, context)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.judge(outcome, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.judge(outcome, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn silence_ends_a_connection_and_every_byte_gives_it_time() {
        let idle = Duration::from_secs(10);
        let (mut other, stream) = duplex(8);
        let mut patient = Patient::new(stream, idle);
        for _ in 0..3 {
            tokio::time::advance(Duration::from_secs(9)).await;
            other.write_all(b"x").await.expect("written");
            assert_eq!(patient.read_u8().await.expect("read"), b'x');
        }
        let error = patient.read_u8().await.expect_err("silence");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);

        let (_other, stream) = duplex(8);
        let mut patient = Patient::new(stream, idle);
        let error = patient.write_all(&[0; 9]).await.expect_err("nobody reads");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
