//! How do a blob's bytes get into a registry? By one streamed request where that works, in pieces where the registry demands it, and on
//! from where the registry got to when the connection breaks.
//!
//! distribution-spec, "Pushing blobs": POST begins a session. Where digest and size are known, one PUT streams the whole. Where they are
//! not, one PATCH streams what comes and an empty PUT names the digest. A registry that states `OCI-Chunk-Min-Length`, and one for which
//! the user asked for pieces, gets a PATCH for each piece.
//!
//! The last bytes that were sent are kept, up to [`WINDOW`] of them, and fewer where all uploads keep more than [`WINDOWS`]: when a request
//! breaks, the registry is asked how far it got, and what it lacks is sent again.

mod flight;
mod recover;
mod session;

use std::{
    collections::VecDeque,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use reqwest::{
    Method, StatusCode,
    header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderValue},
};
use teu_spec::{Digest, Hasher};
use teu_store::{BoxFuture, Committed, Error, ErrorKind, Expected, Ingest, Result};
use tokio::{sync::OwnedSemaphorePermit, time::timeout};
use url::Url;

use flight::Flight;
use session::{range, session, with_digest};

use super::{answer::Answer, broken::Failure, call::Call, client::Repository, origin::Origin, retry};

/// How many of the last bytes are kept to be sent again: about what the kernels on both sides may hold of a broken connection.
const WINDOW: usize = 4 << 20;
/// How many all uploads of a client keep before each keeps less.
const WINDOWS: usize = 16 << 20;
/// How many each keeps even then: some of them are still in our own buffers, unsent.
const LEAST_WINDOW: usize = 1 << 20;
/// The size of a piece where the registry asks for pieces and not for how large.
const PIECE: u64 = 4 << 20;
/// How long is waited until a registry dropped a session.
const DROPPED_WITHIN: Duration = Duration::from_secs(5);
/// The largest piece that a registry can demand: it is held in memory.
const MAX_PIECE: u64 = 32 << 20;

/// A blob on its way into a registry.
pub(super) struct Upload {
    repository: Repository,
    expected: Expected,
    hasher: Option<Hasher>,
    /// Bytes taken from the caller.
    taken: u64,
    location: Url,
    way: Way,
    /// The last chunk taken. It is held back until the next one or the commit, so that an upload that is aborted is never complete.
    held: Option<Bytes>,
    /// The last bytes given to the connection, ending at `given`. They are counted in the client's sum.
    window: VecDeque<Bytes>,
    given: u64,
    flight: Option<Flight>,
    /// What the last request brought along.
    authorization: Option<HeaderValue>,
    failures: u32,
    /// Whether the session is over: committed, cancelled or lost.
    over: bool,
    _permit: OwnedSemaphorePermit,
}

/// How the bytes are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// One PUT with digest and size.
    Whole,
    /// One PATCH.
    Stream,
    /// A PATCH for each piece of this size.
    Pieces(usize),
}

impl Upload {
    pub(super) async fn begin(repository: &Repository, expected: Expected) -> Result<Self> {
        let uploads = repository.registry().inner.uploads.clone();
        let permit = uploads
            .acquire_owned()
            .await
            .map_err(|_| Error::new(ErrorKind::Cancelled, "the registry is closed"))?;
        let begun = expected.digest.and_then(|digest| repository.take_begun_for(&digest));
        let mut smallest = None;
        let location = match begun {
            Some(location) => location,
            None => {
                let (location, least) = session(repository)
                    .await
                    .map_err(|error| error.within(format!("beginning an upload to {repository}")))?;
                smallest = least;
                location
            }
        };
        let asked = repository.registry().inner.chunk;
        let piece = match (asked, smallest) {
            (Some(asked), least) => Some(asked.max(least.unwrap_or(1))),
            // A whole blob in one PATCH or PUT is as large as any piece must be, but for one that is streamed and turns out small.
            (None, Some(least)) => Some(PIECE.max(least)),
            (None, None) => None,
        };
        let way = match piece {
            Some(piece) if piece > MAX_PIECE => {
                let message =
                    format!("the registry demands pieces of {piece} bytes, more than the limit of {MAX_PIECE}");
                return Err(Error::new(ErrorKind::Unsupported, message));
            }
            // It is not more than 32 MiB.
            Some(piece) => Way::Pieces(usize::try_from(piece).unwrap_or(usize::MAX)),
            None if expected.digest.is_some() && expected.size.is_some() => Way::Whole,
            None => Way::Stream,
        };
        let algorithm = expected.digest.map_or(expected.algorithm, |digest| digest.algorithm());
        Ok(Self {
            repository: repository.clone(),
            hasher: (!expected.verified).then(|| algorithm.hasher()),
            expected,
            taken: 0,
            location,
            way,
            held: None,
            window: VecDeque::new(),
            given: 0,
            flight: None,
            authorization: None,
            failures: 0,
            over: false,
            _permit: permit,
        })
    }

    async fn take(&mut self, bytes: Bytes) -> Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.taken += bytes.len() as u64;
        if let Some(size) = self.expected.size
            && self.taken > size
        {
            self.give_up();
            let message = format!("content goes on past its {size} bytes");
            return Err(Error::new(ErrorKind::Mismatch, message));
        }
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&bytes);
        }
        match self.way {
            Way::Pieces(piece) => {
                let mut pending = BytesMut::from(self.held.take().unwrap_or_default());
                pending.extend_from_slice(&bytes);
                // A piece goes when more follows: the last one may be any size.
                while pending.len() > piece {
                    let piece = pending.split_to(piece).freeze();
                    self.patch(piece).await?;
                }
                self.held = Some(pending.freeze());
                Ok(())
            }
            Way::Whole | Way::Stream => match self.held.replace(bytes) {
                Some(before) => self.give(before).await,
                None => Ok(()),
            },
        }
    }

    /// Sends the next bytes in the request under way, or begins it.
    async fn give(&mut self, bytes: Bytes) -> Result<()> {
        self.given += bytes.len() as u64;
        self.window.push_back(bytes.clone());
        let all = &self.repository.registry().inner.kept;
        all.fetch_add(bytes.len(), Ordering::Relaxed);
        let mut kept: usize = self.window.iter().map(Bytes::len).sum();
        while let Some(first) = self.window.front().map(Bytes::len)
            && (kept - first >= WINDOW || kept - first >= LEAST_WINDOW && all.load(Ordering::Relaxed) > WINDOWS)
        {
            self.window.pop_front();
            kept -= first;
            all.fetch_sub(first, Ordering::Relaxed);
        }
        if self.flight.is_none() {
            self.take_off(0).await?;
        }
        if self.load(bytes).await.is_err() {
            self.recover().await?;
        }
        Ok(())
    }

    /// Sends a piece and waits until the registry has it.
    async fn patch(&mut self, piece: Bytes) -> Result<()> {
        let size = piece.len() as u64;
        let mut from = self.given;
        loop {
            let rest = piece.slice(usize::try_from(from - self.given).unwrap_or(piece.len())..);
            let call = Call::new(Method::PATCH, self.location.clone())
                .header(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"))
                .header(CONTENT_RANGE, range(from, rest.len() as u64)?)
                .body(rest)
                .once();
            let outcome = self.try_send(&call).await;
            let why = match outcome {
                Ok(answer) if answer.status() == StatusCode::ACCEPTED => {
                    self.location = Self::location(&answer)?;
                    self.given += size;
                    self.failures = 0;
                    return Ok(());
                }
                Ok(answer) => self.reason(Ok((answer, false))).await?,
                Err(failure) => self.reason(Err(failure)).await?,
            };
            let settings = Arc::clone(self.repository.settings());
            if self.failures >= settings.retry.times {
                self.give_up();
                return Err(why);
            }
            let wait = retry::wait(&settings.retry, self.failures, None);
            self.failures += 1;
            self.repository.registry().inner.http.announce(why.to_string(), wait);
            tokio::time::sleep(wait).await;
            match self.offset().await? {
                Some(offset) if offset == self.given + size => {
                    self.given += size;
                    return Ok(());
                }
                Some(offset) if (self.given..self.given + size).contains(&offset) => from = offset,
                _ => {
                    self.cancel().await;
                    let message = "the registry has not what was sent of the upload any more; the upload broke off";
                    return Err(Error::new(ErrorKind::Lost, message).with_cause(why));
                }
            }
        }
    }

    async fn complete(mut self, digest: Option<Digest>) -> Result<Committed> {
        let hasher = self.hasher.take();
        let algorithm = self.expected.algorithm;
        let checked = self.expected.check(digest, self.taken, |wanted| match hasher {
            Some(hasher) => {
                let found = hasher.finish();
                debug_assert!(found.algorithm() == wanted || wanted == algorithm);
                found
            }
            // `check` asks only where nobody else verified, and then there is a hasher.
            None => wanted.hasher().finish(),
        });
        let digest = match checked {
            Ok(digest) => digest,
            Err(error) => {
                self.cancel().await;
                return Err(error);
            }
        };
        let committed = Committed {
            digest,
            size: self.taken,
        };
        if let Way::Pieces(_) = self.way {
            if let Some(last) = self.held.take().filter(|last| !last.is_empty()) {
                self.patch(last).await?;
            }
            self.seal(&digest).await?;
            return Ok(committed);
        }
        if let Some(last) = self.held.take() {
            self.give(last).await?;
        }
        while let Some(flight) = &self.flight {
            let commits = flight.commits;
            match self.land().await {
                Ok((answer, true)) if answer.status() == StatusCode::CREATED => {
                    self.over = true;
                    self.check_stored(&answer, &digest)?;
                    return Ok(committed);
                }
                Ok((answer, false)) if answer.status() == StatusCode::ACCEPTED => {
                    self.location = Self::location(&answer)?;
                }
                outcome => {
                    // The answer may have been lost after the registry did its part.
                    if commits && matches!(outcome, Err(Failure::Broken(_))) && self.exists(&digest).await {
                        self.over = true;
                        return Ok(committed);
                    }
                    self.resume(outcome).await?;
                }
            }
        }
        self.seal(&digest).await?;
        Ok(committed)
    }

    /// Names the digest of what was uploaded.
    async fn seal(&mut self, digest: &Digest) -> Result<()> {
        let call = Call::new(Method::PUT, with_digest(&self.location, digest))
            .header(CONTENT_LENGTH, HeaderValue::from_static("0"))
            .header(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        let answer = self.send(call).await?;
        self.over = true;
        if answer.status() == StatusCode::CREATED {
            return self.check_stored(&answer, digest);
        }
        // A repetition of what was done already finds no session.
        if answer.status() == StatusCode::NOT_FOUND && self.exists(digest).await {
            return Ok(());
        }
        Err(self.repository.registry().complaint(answer).await)
    }

    async fn exists(&self, digest: &Digest) -> bool {
        use teu_store::{Intent, Role, Source as _};
        let found = self.repository.stat(Role::Blob, digest, Intent::Write).await;
        matches!(found, Ok(Some(found)) if self.expected.size.is_none_or(|size| size == found.size))
    }

    /// A registry that stores something else than it was sent says so, if it is honest.
    fn check_stored(&self, answer: &Answer, digest: &Digest) -> Result<()> {
        let stored = answer
            .header("docker-content-digest")
            .and_then(|stored| stored.parse::<Digest>().ok());
        match stored {
            Some(stored) if stored.algorithm() == digest.algorithm() && stored != *digest => {
                let message = format!("the registry stored {digest} as {stored}");
                Err(Error::new(ErrorKind::Mismatch, message))
            }
            _ => Ok(()),
        }
    }

    async fn send(&self, call: Call) -> Result<Answer> {
        let registry = self.repository.registry();
        let make = |_| call.clone();
        registry.call(make, &self.repository.need()).await
    }

    async fn try_send(&mut self, call: &Call) -> std::result::Result<Answer, Failure> {
        let registry = self.repository.registry();
        let authorization = registry
            .authorization(&self.repository.need())
            .await
            .map_err(Failure::Refused)?;
        self.authorization.clone_from(&authorization);
        let home = Origin::of(registry.base());
        registry
            .inner
            .http
            .send_repeatedly(call, &home, authorization.as_ref())
            .await
    }

    /// The session is of no use any more and is left to expire.
    fn give_up(&mut self) {
        self.flight = None;
        self.over = true;
    }

    async fn cancel(&mut self) {
        self.flight = None;
        if !self.over {
            self.over = true;
            // It would expire anyway.
            let _ = timeout(DROPPED_WITHIN, self.repository.cancel(&self.location)).await;
        }
    }
}

impl Ingest for Upload {
    fn write(&mut self, bytes: Bytes) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            let place = format!("uploading to {}", self.repository);
            self.take(bytes).await.map_err(|error| error.within(place))
        })
    }

    fn commit(self: Box<Self>, digest: Option<Digest>) -> BoxFuture<'static, Result<Committed>> {
        Box::pin(async move {
            let place = format!("uploading to {}", self.repository);
            self.complete(digest).await.map_err(|error| error.within(place))
        })
    }

    fn abort(mut self: Box<Self>) -> BoxFuture<'static, Result<()>> {
        Box::pin(async move {
            self.cancel().await;
            Ok(())
        })
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        self.flight = None;
        let kept: usize = self.window.iter().map(Bytes::len).sum();
        self.repository.registry().inner.kept.fetch_sub(kept, Ordering::Relaxed);
        let runtime = tokio::runtime::Handle::try_current();
        if let (false, Ok(runtime)) = (self.over, runtime) {
            let (repository, location) = (self.repository.clone(), self.location.clone());
            runtime.spawn(async move { repository.cancel(&location).await });
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::{
        super::{
            client::Client,
            settings::{Access, Settings},
        },
        *,
    };

    const MIB: usize = 1 << 20;

    /// An upload whose connection takes whatever it is given.
    fn upload(repository: &Repository) -> Upload {
        let (body, mut taken) = mpsc::channel::<Result<Bytes>>(1);
        tokio::spawn(async move { while taken.recv().await.is_some() {} });
        let uploads = repository.registry().inner.uploads.clone();
        Upload {
            repository: repository.clone(),
            expected: Expected::default(),
            hasher: None,
            taken: 0,
            location: Url::parse("https://localhost/upload").expect("a URL"),
            way: Way::Stream,
            held: None,
            window: VecDeque::new(),
            given: 0,
            flight: Some(Flight {
                body,
                answer: tokio::spawn(std::future::pending::<std::result::Result<Answer, Failure>>()),
                commits: false,
            }),
            authorization: None,
            failures: 0,
            over: true,
            _permit: uploads.try_acquire_owned().expect("few uploads"),
        }
    }

    async fn give(upload: &mut Upload, chunks: usize) {
        for _ in 0..chunks {
            upload.give(Bytes::from(vec![0; MIB])).await.expect("given");
        }
    }

    /// How many chunks each keeps, and the sum that is counted.
    fn kept(uploads: &[Upload], repository: &Repository) -> (Vec<usize>, usize) {
        let each = uploads.iter().map(|upload| upload.window.len()).collect();
        (each, repository.registry().inner.kept.load(Ordering::Relaxed) / MIB)
    }

    #[tokio::test]
    async fn many_uploads_keep_no_more_than_four() {
        let client = Client::new(Settings::default());
        let repository = |name| {
            let registry = client.registry(name, Access::default()).expect("a registry");
            registry.repository("app").expect("a repository")
        };
        let (one, other) = (repository("one.example"), repository("other.example"));
        let mut uploads: Vec<Upload> = [&one, &one, &one, &other].map(upload).into();
        for upload in &mut uploads {
            give(upload, 6).await;
        }
        assert_eq!(kept(&uploads, &one), (vec![4, 4, 4, 4], 16));
        // The fifth finds no room, and has the least; then others make some when their next bytes come.
        uploads.push(upload(&other));
        give(&mut uploads[4], 3).await;
        assert_eq!(kept(&uploads, &one), (vec![4, 4, 4, 4, 1], 17));
        give(&mut uploads[0], 1).await;
        assert_eq!(kept(&uploads, &one), (vec![3, 4, 4, 4, 1], 16));
        // What is over keeps nothing, and leaves room.
        drop(uploads.remove(1));
        assert_eq!(kept(&uploads, &one), (vec![3, 4, 4, 1], 12));
        give(&mut uploads[3], 6).await;
        assert_eq!(kept(&uploads, &one), (vec![3, 4, 4, 4], 15));
        uploads.clear();
        assert_eq!(kept(&uploads, &other), (vec![], 0));
    }
}
