//! How do a blob's bytes get into a registry? By one streamed request where that works, in pieces where the registry demands it, and on
//! from where the registry got to when the connection breaks.
//!
//! distribution-spec, "Pushing blobs": POST begins a session. Where digest and size are known, one PUT streams the whole. Where they are
//! not, one PATCH streams what comes and an empty PUT names the digest. A registry that states `OCI-Chunk-Min-Length`, and one for which
//! the user asked for pieces, gets a PATCH for each piece.
//!
//! The last bytes that were sent are kept, [`WINDOW`] of them: when a request breaks, the registry is asked how far it got, and what it
//! lacks is sent again.

use std::{
    collections::VecDeque,
    sync::{Arc, PoisonError},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use reqwest::{
    Body, Method, Request, StatusCode,
    header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderValue},
};
use teu_spec::{Digest, Hasher};
use teu_store::{BoxFuture, Committed, Error, ErrorKind, Expected, Ingest, Result};
use tokio::{
    sync::{OwnedSemaphorePermit, mpsc},
    task::JoinHandle,
};
use url::Url;

use super::{
    answer::Answer,
    broken::Failure,
    call::Call,
    client::Repository,
    origin::{self, Origin},
    retry,
};

/// How many of the last bytes are kept to be sent again: about what the kernels on both sides may hold of a broken connection.
const WINDOW: usize = 4 << 20;
/// The size of a piece where the registry asks for pieces and not for how large.
const PIECE: u64 = 4 << 20;
/// The largest piece that a registry can demand: it is held in memory.
const MAX_PIECE: u64 = 32 << 20;
/// How many chunks of a body wait for the connection.
const WAITING: usize = 2;

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
    /// The last bytes given to the connection, ending at `given`.
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

/// A request whose body is being sent.
struct Flight {
    body: mpsc::Sender<Result<Bytes>>,
    answer: JoinHandle<std::result::Result<Answer, Failure>>,
    /// Whether its success makes the blob.
    commits: bool,
}

impl Drop for Flight {
    fn drop(&mut self) {
        // A body that merely ended could look complete.
        self.answer.abort();
    }
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

    /// Where an answer says that the session goes on: relative or absolute, with a query that must be kept.
    pub(super) fn location(answer: &Answer) -> Result<Url> {
        let told = answer.header("location").ok_or_else(|| {
            Error::new(
                ErrorKind::Invalid,
                "the registry does not say where the upload goes: there is no Location",
            )
        })?;
        origin::join(&answer.url, told, "upload location")
            .and_then(|url| origin::check_step(&answer.url, &url, "upload location").map(|()| url))
            .map_err(|error| answer.secrets.hide_in(error))
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
        let mut kept: usize = self.window.iter().map(Bytes::len).sum();
        while let Some(first) = self.window.front()
            && kept - first.len() >= WINDOW
        {
            kept -= first.len();
            self.window.pop_front();
        }
        if self.flight.is_none() {
            self.take_off(0).await?;
        }
        if self.load(bytes).await.is_err() {
            self.recover().await?;
        }
        Ok(())
    }

    /// Begins the request that sends the bytes from `offset` on.
    async fn take_off(&mut self, offset: u64) -> Result<()> {
        let whole = self.way == Way::Whole && offset == 0;
        let (method, url) = match self.expected.digest {
            Some(digest) if whole => (Method::PUT, with_digest(&self.location, &digest)),
            _ => (Method::PATCH, self.location.clone()),
        };
        let (sender, receiver) = mpsc::channel::<Result<Bytes>>(WAITING);
        let stream = futures_util::stream::unfold(receiver, |mut receiver| async move {
            let item = receiver.recv().await?;
            Some((item, receiver))
        });
        let mut request = Request::new(method, url);
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        if let (Way::Whole, Some(size)) = (self.way, self.expected.size) {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(size - offset));
            if offset > 0 {
                headers.insert(CONTENT_RANGE, range(offset, size - offset)?);
            }
        }
        *request.body_mut() = Some(Body::wrap_stream(stream));
        let repository = self.repository.clone();
        let authorization = repository.registry().authorization(&repository.need()).await?;
        self.authorization.clone_from(&authorization);
        let answer = tokio::spawn(async move {
            let registry = repository.registry();
            let home = Origin::of(registry.base());
            registry.inner.http.stream(request, &home, authorization.as_ref()).await
        });
        self.flight = Some(Flight {
            body: sender,
            answer,
            commits: whole,
        });
        Ok(())
    }

    /// Hands bytes to the request under way; an error says that it ended, or stalled.
    async fn load(&mut self, bytes: Bytes) -> std::result::Result<(), ()> {
        let idle = self.repository.settings().timeouts.idle;
        let flight = self.flight.as_ref().ok_or(())?;
        let sent = tokio::time::timeout(idle, flight.body.send(Ok(bytes))).await;
        sent.map_err(|_| ())?.map_err(|_| ())
    }

    /// Ends the request under way and waits for its answer.
    async fn land(&mut self) -> std::result::Result<(Answer, bool), Failure> {
        let Some(mut flight) = self.flight.take() else {
            let error = Error::new(ErrorKind::Io, "the upload has no request under way");
            return Err(Failure::Broken(error));
        };
        // The channel's end is the body's.
        let (ended, _) = mpsc::channel(1);
        flight.body = ended;
        let patience = self.repository.settings().timeouts.answer;
        match tokio::time::timeout(patience, &mut flight.answer).await {
            Ok(Ok(answer)) => answer.map(|answer| (answer, flight.commits)),
            Ok(Err(_)) => Err(Failure::Broken(Error::new(
                ErrorKind::Cancelled,
                "the upload was cancelled",
            ))),
            Err(_) => {
                let message = format!("no answer to the upload for {} s", patience.as_secs_f32());
                Err(Failure::Broken(Error::new(ErrorKind::Io, message)))
            }
        }
    }

    /// Why a request that takes no more bytes ended; it is dropped if it only stalled.
    async fn crash(&mut self) -> std::result::Result<(Answer, bool), Failure> {
        match self.flight.take() {
            Some(mut flight) => match tokio::time::timeout(Duration::from_secs(1), &mut flight.answer).await {
                Ok(Ok(answer)) => answer.map(|answer| (answer, flight.commits)),
                _ => Err(Failure::Broken(Error::new(
                    ErrorKind::Io,
                    "the registry stopped reading the upload",
                ))),
            },
            None => Err(Failure::Broken(Error::new(ErrorKind::Io, "the upload broke off"))),
        }
    }

    /// The request under way ended before its time: finds out why, and begins the next where the registry got to.
    async fn recover(&mut self) -> Result<()> {
        let why = self.crash().await;
        self.resume(why).await
    }

    async fn resume(&mut self, why: std::result::Result<(Answer, bool), Failure>) -> Result<()> {
        let mut why = self.reason(why).await?;
        loop {
            let settings = Arc::clone(self.repository.settings());
            if self.failures >= settings.retry.times {
                self.give_up();
                return Err(why);
            }
            let wait = retry::wait(&settings.retry, self.failures, None);
            self.failures += 1;
            self.repository.registry().inner.http.announce(why.to_string(), wait);
            tokio::time::sleep(wait).await;
            let Some(offset) = self.offset().await? else {
                self.give_up();
                return Err(why);
            };
            let kept: u64 = self.window.iter().map(|bytes| bytes.len() as u64).sum();
            if offset > self.given || offset < self.given - kept {
                self.give_up();
                let message = format!(
                    "the upload broke off; the registry got {offset} bytes of {}, and fewer are kept to be sent again",
                    self.given
                );
                return Err(Error::new(ErrorKind::Io, message).with_cause(why));
            }
            self.take_off(offset).await?;
            let mut pass = offset - (self.given - kept);
            let again: Vec<Bytes> = self
                .window
                .iter()
                .filter_map(|bytes| {
                    let passed = pass.min(bytes.len() as u64);
                    pass -= passed;
                    let rest = bytes.slice(usize::try_from(passed).unwrap_or(bytes.len())..);
                    (!rest.is_empty()).then_some(rest)
                })
                .collect();
            let mut landed = true;
            for bytes in again {
                if self.load(bytes).await.is_err() {
                    landed = false;
                    break;
                }
            }
            if landed {
                return Ok(());
            }
            let crash = self.crash().await;
            why = self.reason(crash).await?;
        }
    }

    /// Why a request did not do what it should, if trying again may help; else that is the error.
    async fn reason(&mut self, outcome: std::result::Result<(Answer, bool), Failure>) -> Result<Error> {
        match outcome {
            Ok((answer, _)) => {
                let status = answer.status();
                let registry = self.repository.registry();
                if status == StatusCode::UNAUTHORIZED && answer.is_own {
                    registry.learn(&answer, &self.repository.need(), self.authorization.as_ref())?;
                    return Ok(registry.complaint(answer).await);
                }
                let passing = retry::is_passing(status.as_u16()) || status == StatusCode::RANGE_NOT_SATISFIABLE;
                let error = registry.complaint(answer).await;
                if passing {
                    return Ok(error);
                }
                self.give_up();
                Err(error)
            }
            Err(Failure::Refused(error)) => {
                self.give_up();
                Err(error)
            }
            Err(Failure::Connect(error) | Failure::Tls(error) | Failure::Broken(error)) => Ok(error),
        }
    }

    /// How many bytes the registry has, and from where the upload goes on; none where it does not know the session any more.
    async fn offset(&mut self) -> Result<Option<u64>> {
        let answer = self.send(Call::new(Method::GET, self.location.clone())).await?;
        if !answer.status().is_success() {
            // The session is lost. What is still held from the beginning can begin another.
            let (location, _) = session(&self.repository).await?;
            self.location = location;
            return Ok(Some(0));
        }
        let reached = answer.header("range").and_then(reached);
        if answer.header("location").is_some() {
            self.location = Self::location(&answer)?;
        }
        match reached {
            // `0-0` is what registries say of one byte, and some of none.
            Some(0 | 1) | None => {
                let (location, _) = session(&self.repository).await?;
                self.location = location;
                Ok(Some(0))
            }
            reached => Ok(reached),
        }
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
                    self.give_up();
                    return Err(why);
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
            let _ = self.repository.cancel(&self.location).await;
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
        let runtime = tokio::runtime::Handle::try_current();
        if let (false, Ok(runtime)) = (self.over, runtime) {
            let (repository, location) = (self.repository.clone(), self.location.clone());
            runtime.spawn(async move { repository.cancel(&location).await });
        }
    }
}

impl Repository {
    /// Cancels an upload session, if the registry can do that.
    pub(super) async fn cancel(&self, location: &Url) -> Result<()> {
        let call = Call::new(Method::DELETE, location.clone()).once();
        self.registry().call(|_| call.clone(), &self.need()).await?;
        Ok(())
    }

    /// Keeps an upload that was begun where a mount was declined.
    pub(super) fn keep_begun(&self, digest: Digest, location: Url) {
        let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        begun.insert(digest, location);
    }

    fn take_begun_for(&self, digest: &Digest) -> Option<Url> {
        let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        begun.remove(digest)
    }

    pub(super) fn take_begun(&self) -> Vec<Url> {
        let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        begun.drain().map(|(_, location)| location).collect()
    }
}

/// Begins a session: where it goes on, and the size that pieces must have.
async fn session(repository: &Repository) -> Result<(Url, Option<u64>)> {
    let answer = repository.begin_upload("").await?;
    if answer.status() != StatusCode::ACCEPTED {
        return Err(repository.registry().complaint(answer).await);
    }
    let smallest = answer
        .header("oci-chunk-min-length")
        .and_then(|least| least.trim().parse().ok());
    Ok((Upload::location(&answer)?, smallest))
}

fn with_digest(location: &Url, digest: &Digest) -> Url {
    let mut url = location.clone();
    url.query_pairs_mut().append_pair("digest", &digest.to_string());
    url
}

/// The end of `0-99` or `bytes=0-99`: how many bytes a registry has.
fn reached(range: &str) -> Option<u64> {
    let range = range.trim();
    let (first, last) = range.strip_prefix("bytes=").unwrap_or(range).split_once('-')?;
    if first.trim() != "0" {
        return None;
    }
    last.trim().parse::<u64>().ok()?.checked_add(1)
}

fn range(offset: u64, length: u64) -> Result<HeaderValue> {
    let last = (offset + length).saturating_sub(1);
    HeaderValue::try_from(format!("{offset}-{last}")).map_err(|error| Error::new(ErrorKind::Invalid, error.to_string()))
}
