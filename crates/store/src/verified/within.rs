//! How does content come to blocking code that reads all of it? That code's thread reads a file itself, as a thread that only reads would take longer to
//! wake than it saves; what comes from elsewhere a task feeds to it.

use std::{
    fs::File,
    io::{self, Read},
    sync::{Arc, Weak},
};

use bytes::{Buf, Bytes};
use futures_util::StreamExt;

use super::{Check, Verified};
use crate::{
    Error, ErrorKind, Result,
    blocking::{self, Buffers, Sink},
};

impl Verified {
    /// Has `work` read the content on a thread for blocking work; `told` hears how many bytes there were so far. What `work` makes is given only where all
    /// of the content was read, whether it wanted that or not, and is what its digest says; what it sees before is nobody's word.
    ///
    /// Where the future is dropped, the content breaks off.
    ///
    /// # Errors
    /// What `work` says. Where that finds something `Invalid` the rest is read nevertheless, and the error is that of the content if that is not even what
    /// its digest says. Without one, that of the content: as of the stream.
    pub async fn within<T: Send + 'static>(
        mut self,
        told: impl Fn(u64) + Send + 'static,
        work: impl FnOnce(&mut dyn Read) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        match self.take_file() {
            Some((file, check)) => of_file(CheckedFile::new(file, check, told), work).await,
            None => of_stream(self, told, work).await,
        }
    }
}

async fn of_file<T: Send + 'static, F: Fn(u64) + Send + 'static>(
    mut file: CheckedFile<F>,
    work: impl FnOnce(&mut dyn Read) -> Result<T> + Send + 'static,
) -> Result<T> {
    let wanted = Arc::new(());
    file.wanted = Arc::downgrade(&wanted);
    let made = blocking::run(move || match work(&mut file) {
        Ok(made) => file.finish().map(|()| made),
        Err(error) if *error.kind() == ErrorKind::Invalid => Err(file.finish().err().unwrap_or(error)),
        Err(error) => Err(error),
    })
    .await;
    drop(wanted);
    made
}

/// A file that is read where it is used. As in the stream, the last bytes come only after the digest was found right.
struct CheckedFile<F> {
    file: File,
    check: Check,
    told: F,
    /// Somebody waits for what comes of it.
    wanted: Weak<()>,
    buffers: Buffers,
    /// What was read and not taken yet.
    ahead: Bytes,
    /// What was wrong with it.
    failed: Option<(ErrorKind, String)>,
}

impl<F: Fn(u64)> CheckedFile<F> {
    fn new(file: File, check: Check, told: F) -> Self {
        Self {
            file,
            check,
            told,
            wanted: Weak::new(),
            buffers: Buffers::default(),
            ahead: Bytes::new(),
            failed: None,
        }
    }

    /// Reads what is left, and so checks all of it.
    fn finish(&mut self) -> Result<()> {
        while self.refill()? {}
        Ok(())
    }

    /// Reads the next chunk, and says whether there is one.
    fn refill(&mut self) -> Result<bool> {
        if let Some((kind, message)) = &self.failed {
            // Whoever read it may have passed over that.
            return Err(Error::new(kind.clone(), message.clone()));
        }
        let next = self.next_chunk();
        self.failed = next
            .as_ref()
            .err()
            .map(|error| (error.kind().clone(), error.to_string()));
        self.ahead = next?;
        Ok(!self.ahead.is_empty())
    }

    fn next_chunk(&mut self) -> Result<Bytes> {
        if self.wanted.strong_count() == 0 {
            return Err(Error::new(ErrorKind::Cancelled, "nobody waits for it any more"));
        }
        // The buffer that nobody holds any more comes first: it is in the processor's cache.
        self.ahead = Bytes::new();
        let mut buffer = self.buffers.take();
        let filled = blocking::fill(&mut self.file, &mut buffer)?;
        let chunk = self.buffers.lend(buffer, filled);
        self.check.take(&chunk)?;
        if filled > 0 {
            (self.told)(self.check.size - self.check.left);
        }
        Ok(chunk)
    }
}

impl<F: Fn(u64)> Read for CheckedFile<F> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if into.is_empty() || (self.ahead.is_empty() && !self.refill()?) {
            return Ok(0);
        }
        let count = into.len().min(self.ahead.len());
        self.ahead.copy_to_slice(&mut into[..count]);
        Ok(count)
    }
}

async fn of_stream<T: Send + 'static>(
    mut content: Verified,
    told: impl Fn(u64),
    work: impl FnOnce(&mut dyn Read) -> Result<T> + Send + 'static,
) -> Result<T> {
    let mut sink = Sink::spawn(move |mut chunks| {
        let made = work(&mut chunks)?;
        for chunk in chunks {
            chunk?;
        }
        Ok(made)
    });
    let mut done = 0;
    while let Some(bytes) = content.next().await {
        let bytes = match bytes {
            Ok(bytes) => bytes,
            Err(error) => {
                sink.abort().await;
                return Err(error);
            }
        };
        done += bytes.len() as u64;
        told(done);
        if let Err(error) = sink.send(bytes).await {
            return Err(cause(error, content).await);
        }
    }
    sink.finish().await
}

/// Why `work` failed: where the content is not even what its digest says, that is why.
async fn cause(error: Error, mut content: Verified) -> Error {
    if *error.kind() != ErrorKind::Invalid {
        return error;
    }
    while let Some(bytes) = content.next().await {
        if let Err(mismatch) = bytes {
            return mismatch;
        }
    }
    error
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Seek, Write},
        sync::Mutex,
    };

    use futures_util::stream;
    use teu_spec::{Descriptor, MediaType};

    use super::*;

    /// More than waits for blocking code at once.
    const SIZE: usize = 9 * blocking::BATCH + 7;

    fn content() -> Vec<u8> {
        (0..SIZE).map(|n| (n % 251) as u8).collect()
    }

    /// The same content, out of a file and as a stream, where `wanted` is what it should be.
    fn both(wanted: &[u8], there: &[u8]) -> [Verified; 2] {
        let descriptor = Descriptor::of(MediaType::OciLayer, wanted);
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(there).expect("written");
        file.rewind().expect("at its beginning");
        let chunks: Vec<Result<Bytes>> = there
            .chunks(blocking::BATCH)
            .map(|chunk| Ok(Bytes::copy_from_slice(chunk)))
            .collect();
        [
            Verified::of_file(descriptor.clone(), file).expect("opened"),
            Verified::new(descriptor, stream::iter(chunks).boxed()),
        ]
    }

    #[tokio::test]
    async fn what_is_made_of_content_is_given_where_all_of_it_is_right() {
        let content = content();
        for verified in both(&content, &content) {
            let told = Arc::new(Mutex::new(Vec::new()));
            let hears = Arc::clone(&told);
            let read = verified.within(
                move |done| hears.lock().expect("a list").push(done),
                |content| {
                    let mut all = Vec::new();
                    content.read_to_end(&mut all)?;
                    Ok(all)
                },
            );
            assert!(read.await.expect("right") == content);
            let expected = (1..10).map(|number| number * blocking::BATCH as u64);
            let expected: Vec<u64> = expected.chain([SIZE as u64]).collect();
            assert_eq!(*told.lock().expect("a list"), expected);
        }
        // Who reads only the beginning has all of it checked nevertheless.
        let first = |content: &mut dyn Read| {
            let mut first = [0; 2];
            content.read_exact(&mut first)?;
            Ok(first)
        };
        for verified in both(&content, &content) {
            assert_eq!(verified.within(|_| (), first).await.expect("right"), [0, 1]);
        }
        let mut spoiled = content.clone();
        spoiled[SIZE - 1] ^= 1;
        for there in [&spoiled[..], &content[..SIZE - 1], &[&content[..], b"x"].concat()] {
            for verified in both(&content, there) {
                let error = verified.within(|_| (), first).await.expect_err("another");
                assert_eq!(*error.kind(), ErrorKind::Mismatch, "{error}");
            }
        }
    }

    #[tokio::test]
    async fn who_finds_something_invalid_in_content_that_is_another_is_told_so() {
        let content = content();
        let mut spoiled = content.clone();
        spoiled[SIZE - 1] ^= 1;
        for (there, kind, expected) in [
            (&content, ErrorKind::Invalid, ErrorKind::Invalid),
            (&spoiled, ErrorKind::Invalid, ErrorKind::Mismatch),
            (&spoiled, ErrorKind::TooLarge, ErrorKind::TooLarge),
        ] {
            for verified in both(&content, there) {
                let kind = kind.clone();
                let refused = verified.within(|_| (), move |_| Err::<(), _>(Error::new(kind, "no")));
                assert_eq!(*refused.await.expect_err("no").kind(), expected);
            }
        }
        // An error that nobody minds stays one.
        for verified in both(&content, &spoiled) {
            let passed = verified.within(
                |_| (),
                |content| {
                    let _ = content.read_to_end(&mut Vec::new());
                    Ok(())
                },
            );
            let error = passed.await.expect_err("another");
            assert_eq!(*error.kind(), ErrorKind::Mismatch);
            assert!(error.to_string().contains("has the digest"), "{error}");
        }
    }

    #[tokio::test]
    async fn content_that_nobody_waits_for_breaks_off() {
        let content = content();
        for verified in both(&content, &content) {
            let (begun, has_begun) = tokio::sync::oneshot::channel();
            let (go, may_go) = std::sync::mpsc::channel::<()>();
            let (tell, ended) = tokio::sync::oneshot::channel();
            let within = verified.within(
                |_| (),
                move |content| {
                    content.read_exact(&mut [0; 1])?;
                    let _ = begun.send(());
                    let _ = may_go.recv();
                    let end = content.read_to_end(&mut Vec::new()).map_err(Error::from);
                    let _ = tell.send(end.map_err(|error| error.kind().clone()));
                    Ok(())
                },
            );
            let mut within = Box::pin(within);
            tokio::select! {
                _ = &mut within => panic!("it waits"),
                begun = has_begun => begun.expect("it has begun"),
            }
            drop(within);
            drop(go);
            // What came before may be read.
            let end = ended.await.expect("it ends");
            assert_eq!(end, Err(ErrorKind::Cancelled));
        }
    }
}
