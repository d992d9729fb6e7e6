//! Is it what was asked for? [`Verified`] hashes content while it streams and ends in an error where size or digest differ.

mod within;

use std::{
    fs::File,
    io::Read as _,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt, stream};
use teu_spec::{Descriptor, Digest, Document, Hasher, json};

use crate::{
    BoxFuture, Error, ErrorKind, FetchOptions, Reader, Result, Role, Source,
    blocking::{self, Hashing},
};

/// Up to here a file is read where it is asked for.
const SMALL: u64 = 64 << 10;

/// Content on its way, checked: a stream that ends well gave exactly the bytes of the descriptor. Its last chunk comes only after the digest
/// was found right, so that a reader that stops at the expected size has not been lied to either.
pub struct Verified {
    reader: Reader,
    descriptor: Descriptor,
    state: State,
}

enum State {
    /// Chunks are checked as they come.
    Checking(Box<Check>),
    /// It is a file of which nothing was read yet.
    AtHand(Box<(File, Check)>),
    /// Chunks come checked from the thread that reads them.
    Checked,
    Ended,
}

impl Verified {
    /// Checks `reader` against `descriptor`.
    #[must_use]
    pub fn new(descriptor: Descriptor, reader: Reader) -> Self {
        let hasher = descriptor.digest.algorithm().hasher();
        Self::resumed(descriptor, reader, hasher, 0)
    }

    /// Goes on where `hasher` and `done` bytes left off: the first bytes were taken in elsewhere, and the reader gives the rest.
    #[must_use]
    pub fn resumed(descriptor: Descriptor, reader: Reader, hasher: Hasher, done: u64) -> Self {
        let check = Check::new(&descriptor, hasher, done);
        Self {
            reader,
            descriptor,
            state: State::Checking(Box::new(check)),
        }
    }

    /// Reads an open file from where it stands, and checks it beside the thread that reads it. A small one is read here and now: to hand it to a thread
    /// would take longer.
    fn of_file(descriptor: Descriptor, mut file: File) -> Result<Self> {
        let mut check = Check::new(&descriptor, descriptor.digest.algorithm().hasher(), 0);
        let (reader, state) = if descriptor.size <= SMALL {
            let mut content = Vec::with_capacity(usize::try_from(descriptor.size).unwrap_or_default());
            // One byte more says that there is more.
            file.by_ref().take(descriptor.size + 1).read_to_end(&mut content)?;
            let content = Bytes::from(content);
            check.take(&content).and_then(|()| check.take(&Bytes::new()))?;
            let all = stream::iter((!content.is_empty()).then_some(Ok(content)));
            (all.boxed(), State::Checked)
        } else {
            (stream::empty().boxed(), State::AtHand(Box::new((file, check))))
        };
        Ok(Self {
            reader,
            descriptor,
            state,
        })
    }

    /// The file that the content is in, where it is in one that is not small and nothing was read yet. The stream has ended then.
    fn take_file(&mut self) -> Option<(File, Check)> {
        match std::mem::replace(&mut self.state, State::Ended) {
            State::AtHand(file) => Some(*file),
            other => {
                self.state = other;
                None
            }
        }
    }

    /// What it is checked against.
    #[must_use]
    pub fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    /// Reads all of it into memory.
    ///
    /// # Errors
    /// `TooLarge` where the descriptor says more than `limit`, before a byte is read; else what the stream says.
    pub async fn read_all(mut self, limit: u64) -> Result<Bytes> {
        let size = self.descriptor.size;
        if size > limit {
            let digest = self.descriptor.digest;
            return Err(Error::new(
                ErrorKind::TooLarge,
                format!("{digest} has {size} bytes, more than the limit of {limit}"),
            ));
        }
        // The size is the descriptor's word; memory is taken as bytes come.
        let mut all = BytesMut::new();
        while let Some(bytes) = self.next().await {
            all.extend_from_slice(&bytes?);
        }
        Ok(all.freeze())
    }
}

impl Stream for Verified {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Bytes>>> {
        loop {
            if let Some((file, mut check)) = self.take_file() {
                self.reader = blocking::seen_reader(move || Ok(file), move |chunk| check.take(chunk));
                self.state = State::Checked;
            }
            if matches!(self.state, State::Ended) {
                return Poll::Ready(None);
            }
            let next = ready!(self.reader.poll_next_unpin(context));
            let checked = match (&mut self.state, &next) {
                (_, Some(Ok(bytes))) if bytes.is_empty() => continue,
                (State::Checking(check), Some(Ok(bytes))) => check.take(bytes),
                (State::Checking(check), None) => check.take(&Bytes::new()),
                _ => Ok(()),
            };
            let item = match checked {
                Ok(()) => next,
                Err(error) => Some(Err(error)),
            };
            if !matches!(item, Some(Ok(_))) {
                self.state = State::Ended;
            }
            return Poll::Ready(item);
        }
    }
}

/// What is still to be checked of content.
struct Check {
    digest: Digest,
    size: u64,
    left: u64,
    hashing: Option<Hashing>,
}

impl Check {
    fn new(descriptor: &Descriptor, hasher: Hasher, done: u64) -> Self {
        Self {
            digest: descriptor.digest,
            size: descriptor.size,
            left: descriptor.size.saturating_sub(done),
            hashing: Some(hasher.into()),
        }
    }

    /// Takes the next bytes in, or with none the end. With the last bytes the digest is compared.
    fn take(&mut self, bytes: &Bytes) -> Result<()> {
        let Self { digest, size, left, .. } = *self;
        let mismatch = |message: String| Err(Error::new(ErrorKind::Mismatch, message));
        match left.checked_sub(bytes.len() as u64) {
            None => return mismatch(format!("content of {digest} goes on past its {size} bytes")),
            Some(left) if left > 0 && bytes.is_empty() => {
                return mismatch(format!("content of {digest} ends {left} bytes before its {size}"));
            }
            Some(left) => self.left = left,
        }
        if let Some(hashing) = &mut self.hashing {
            hashing.update(bytes.clone());
        }
        if self.left == 0
            && let Some(hashing) = self.hashing.take()
        {
            let found = hashing.finish();
            if found != digest {
                return mismatch(format!("content of {digest} has the digest {found}"));
            }
        }
        Ok(())
    }
}

/// What every source can do by what it must do.
pub trait SourceExt: Source {
    /// Reads content and checks it: the one way in which content is used.
    fn open<'a>(&'a self, role: Role, descriptor: &'a Descriptor) -> BoxFuture<'a, Result<Verified>> {
        Box::pin(async move {
            // A role is the place's to check; what is at hand as a file is a blob.
            if role == Role::Blob
                && let Some(local) = self.local()
                && let Some(file) = local.open_file(&descriptor.digest)?
            {
                check_size(descriptor, file.metadata()?.len())?;
                return Verified::of_file(descriptor.clone(), file);
            }
            let options = FetchOptions {
                range: None,
                urls: descriptor.urls.clone(),
                ..FetchOptions::default()
            };
            let fetched = self.fetch(role, &descriptor.digest, options).await?;
            if let Some(size) = fetched.size {
                check_size(descriptor, size)?;
            }
            Ok(Verified::new(descriptor.clone(), fetched.reader))
        })
    }

    /// Reads a manifest or an index, checked and parsed. Where its parent embeds it (`data`) and that is right, nothing is fetched.
    fn document<'a>(&'a self, descriptor: &'a Descriptor) -> BoxFuture<'a, Result<Document>> {
        Box::pin(async move {
            let read = async {
                // It is not asked for from afar. What lies here may not be there, or be something else, which is more to know.
                if self.origin().is_some() {
                    Document::check_type(&descriptor.media_type)?;
                }
                let raw = small(self, Role::Manifest, descriptor).await?;
                Ok::<_, Error>(Document::parse(raw, Some(&descriptor.media_type))?)
            };
            read.await
                .map_err(|error| error.within(format!("reading manifest {}", descriptor.digest)))
        })
    }

    /// Reads a small blob, such as a config, checked. Where its parent embeds it (`data`) and that is right, nothing is fetched.
    fn small_blob<'a>(&'a self, descriptor: &'a Descriptor) -> BoxFuture<'a, Result<Bytes>> {
        Box::pin(async move {
            let read = small(self, Role::Blob, descriptor).await;
            read.map_err(|error| error.within(format!("reading blob {}", descriptor.digest)))
        })
    }
}

fn check_size(descriptor: &Descriptor, size: u64) -> Result<()> {
    let (digest, want) = (descriptor.digest, descriptor.size);
    if size == want {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Mismatch,
        format!("content of {digest} has {size} bytes instead of {want}"),
    ))
}

async fn small<S: Source + ?Sized>(source: &S, role: Role, descriptor: &Descriptor) -> Result<Bytes> {
    match descriptor.verified_data() {
        Some(data) => Ok(data.clone()),
        None => source.open(role, descriptor).await?.read_all(json::MAX_DOCUMENT).await,
    }
}

impl<T: Source + ?Sized> SourceExt for T {}

#[cfg(test)]
mod tests {
    use teu_spec::MediaType;

    use super::*;
    use crate::Memory;

    /// What `chunks` give where `content` was asked for.
    async fn read(content: &[u8], chunks: &[&'static [u8]]) -> Vec<std::result::Result<Bytes, ErrorKind>> {
        let chunks: Vec<Result<Bytes>> = chunks.iter().map(|chunk| Ok(Bytes::from_static(chunk))).collect();
        let reader = futures_util::stream::iter(chunks).boxed();
        let verified = Verified::new(Descriptor::of(MediaType::OciLayer, content), reader);
        verified
            .map(|chunk| chunk.map_err(|error| error.kind().clone()))
            .collect()
            .await
    }

    #[tokio::test]
    async fn the_last_chunk_comes_only_where_all_is_right() {
        let right = |chunk: &'static [u8]| Ok(Bytes::from_static(chunk));
        let wrong = || Err(ErrorKind::Mismatch);
        assert_eq!(read(b"abcd", &[b"ab", b"", b"cd"]).await, [right(b"ab"), right(b"cd")]);
        assert_eq!(read(b"", &[]).await, []);
        assert_eq!(read(b"", &[b""]).await, []);
        assert_eq!(read(b"abcd", &[b"ab", b"cx"]).await, [right(b"ab"), wrong()]);
        assert_eq!(read(b"abcd", &[b"ab"]).await, [right(b"ab"), wrong()]);
        assert_eq!(read(b"abcd", &[]).await, [wrong()]);
        assert_eq!(read(b"abcd", &[b"ab", b"cde"]).await, [right(b"ab"), wrong()]);
        assert_eq!(read(b"", &[b"a"]).await, [wrong()]);
    }

    #[tokio::test]
    async fn what_was_taken_in_before_counts() {
        let content = b"abcdef";
        let mut hasher = teu_spec::Algorithm::Sha256.hasher();
        hasher.update(b"abc");
        let reader = |rest: &'static [u8]| futures_util::stream::iter([Ok(Bytes::from_static(rest))]).boxed();
        let descriptor = Descriptor::of(MediaType::OciLayer, content);
        let resumed = Verified::resumed(descriptor.clone(), reader(b"def"), hasher.clone(), 3);
        assert_eq!(resumed.read_all(6).await.expect("the rest"), "def");
        let other = Verified::resumed(descriptor, reader(b"deg"), hasher, 3);
        assert_eq!(
            other.read_all(6).await.expect_err("another").kind(),
            &ErrorKind::Mismatch
        );
    }

    #[tokio::test]
    async fn a_limit_is_held_before_anything_is_read() {
        let store = Memory::new();
        let digest = store.insert_blob("four");
        let descriptor = Descriptor::new(MediaType::OciLayer, digest, 4);
        let open = async || store.open(Role::Blob, &descriptor).await.expect("opened");
        let error = open().await.read_all(3).await.expect_err("too large");
        assert_eq!(error.kind(), &ErrorKind::TooLarge);
        assert!(error.to_string().contains("limit of 3"), "{error}");
        assert_eq!(open().await.read_all(4).await.expect("read"), "four");
    }

    #[tokio::test]
    async fn embedded_data_is_used_where_it_is_right() {
        let store = Memory::new();
        let mut descriptor = Descriptor::of(MediaType::OciConfig, b"{}");
        descriptor.data = Some(Bytes::from_static(b"{}"));
        assert_eq!(store.small_blob(&descriptor).await.expect("embedded"), "{}");
        descriptor.data = Some(Bytes::from_static(b"[]"));
        let error = store.small_blob(&descriptor).await.expect_err("not there");
        assert_eq!(error.kind(), &ErrorKind::NotFound);
    }

    #[tokio::test]
    async fn a_file_is_checked_whether_it_is_small_or_not() {
        use std::io::{Seek as _, Write as _};
        for size in [0, 1, SMALL, SMALL + 1, 3 * blocking::BATCH as u64 + 7] {
            let content: Vec<u8> = (0..size).map(|n| (n % 251) as u8).collect();
            let descriptor = Descriptor::of(MediaType::OciLayer, &content);
            let read = async |content: &[u8]| {
                let mut file = tempfile::tempfile().expect("a file");
                file.write_all(content).expect("written");
                file.rewind().expect("at its beginning");
                let verified = Verified::of_file(descriptor.clone(), file)?;
                Ok::<_, Error>(verified.read_all(size).await?.to_vec())
            };
            assert_eq!(read(&content).await.expect("right"), content, "{size} bytes");
            let more = [&content[..], b"x"].concat();
            let error = read(&more).await.expect_err("more");
            assert_eq!(error.kind(), &ErrorKind::Mismatch, "{size} bytes and one");
            if let Some((_, less)) = content.split_last() {
                let error = read(less).await.expect_err("less");
                assert_eq!(error.kind(), &ErrorKind::Mismatch, "{size} bytes but one");
                let other = [less, b"\xff"].concat();
                let error = read(&other).await.expect_err("another");
                assert!(error.to_string().contains("has the digest"), "{error}");
            }
        }
    }
}
