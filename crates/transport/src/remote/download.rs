//! How does a blob arrive whole over a connection that breaks? It goes on where it broke off, by Range (RFC 9110, section 14).

use std::{ops::Range, sync::Arc};

use futures_util::StreamExt;
use reqwest::{
    Method, StatusCode,
    header::{ETAG, HeaderValue, IF_RANGE, RANGE},
};
use teu_spec::Digest;
use teu_store::{Error, ErrorKind, FetchOptions, Fetched, Reader, Result, Role, blocking::Compact};
use tokio::sync::OwnedSemaphorePermit;
use url::Url;

use super::{
    answer::Answer,
    call::Call,
    client::Repository,
    failure::Complaint,
    origin::{self, Origin},
    retry,
};

/// How many bytes make a connection that breaks again count as the first one: one that gives a byte at a time is given up.
const PROGRESS: u64 = 1 << 20;

/// Begins to read content.
pub(super) async fn fetch(
    repository: &Repository,
    role: Role,
    digest: &Digest,
    options: FetchOptions,
) -> Result<Fetched> {
    if options.range.as_ref().is_some_and(Range::is_empty) {
        return Err(Error::new(ErrorKind::Range, "an empty range cannot be asked for"));
    }
    let permit = match role {
        Role::Blob => {
            let downloads = repository.registry().inner.downloads.clone();
            Some(
                downloads
                    .acquire_owned()
                    .await
                    .map_err(|_| Error::new(ErrorKind::Cancelled, "the registry is closed"))?,
            )
        }
        // Small, and wanted by who holds a blob's permit.
        Role::Manifest => None,
    };
    let mut place = Place::Repository(role);
    let range = options.range.clone();
    let part = Part::of(range);
    let mut answer = request(repository, &place, digest, &part, None).await?;
    if role == Role::Blob && answer.status() == StatusCode::NOT_FOUND {
        for url in &options.urls {
            let url = elsewhere(repository, url)?;
            place = Place::Elsewhere(url);
            answer = request(repository, &place, digest, &part, None).await?;
            if answer.status().is_success() {
                break;
            }
        }
    }
    let opened = Opened::read(answer, &part, repository, &place).await?;
    Ok(Download::of(repository, place, digest, opened, permit))
}

/// The body of an answer that gives a manifest, by whatever name that was asked for: where the connection breaks it goes on by its digest.
pub(super) async fn go_on_by(repository: &Repository, digest: &Digest, answer: Answer) -> Result<Fetched> {
    let place = Place::Repository(Role::Manifest);
    let opened = Opened::read(answer, &Part::of(None), repository, &place).await?;
    Ok(Download::of(repository, place, digest, opened, None))
}

/// Where content is read.
enum Place {
    /// In the repository.
    Repository(Role),
    /// At one of a descriptor's `urls`: as nobody (threat 70).
    Elsewhere(Url),
}

/// Which bytes are asked for: from here, to there or to the end.
#[derive(Clone)]
struct Part {
    start: u64,
    end: Option<u64>,
}

impl Part {
    fn of(range: Option<Range<u64>>) -> Self {
        range.map_or(Self { start: 0, end: None }, |range| Self {
            start: range.start,
            end: Some(range.end),
        })
    }

    fn is_all(&self) -> bool {
        self.start == 0 && self.end.is_none()
    }

    fn header(&self) -> Result<HeaderValue> {
        let text = match self.end {
            Some(end) => format!("bytes={}-{}", self.start, end - 1),
            None => format!("bytes={}-", self.start),
        };
        HeaderValue::try_from(text).map_err(|error| Error::new(ErrorKind::Invalid, error.to_string()))
    }
}

/// A descriptor's `url`, if it is one that may be asked.
fn elsewhere(repository: &Repository, url: &str) -> Result<Url> {
    let base = repository.registry().base();
    let url = Url::parse(url)
        .map_err(|error| Error::new(ErrorKind::Invalid, format!("the layer's url {url:?} is none: {error}")))
        .and_then(|_| origin::join(base, url, "layer url"))?;
    origin::check_step(base, &url, "layer url")?;
    Ok(url)
}

async fn request(
    repository: &Repository,
    place: &Place,
    digest: &Digest,
    part: &Part,
    etag: Option<&HeaderValue>,
) -> Result<Answer> {
    let range = if part.is_all() { None } else { Some(part.header()?) };
    let make = |url| {
        let mut call = Call::new(Method::GET, url);
        if let Some(range) = &range {
            call = call.header(RANGE, range.clone());
            if let Some(etag) = etag {
                call = call.header(IF_RANGE, etag.clone());
            }
        }
        call
    };
    match place {
        Place::Repository(Role::Manifest) => {
            let path = format!("manifests/{digest}");
            repository.call(&path, |url| make(url).accepting_manifests()).await
        }
        Place::Repository(Role::Blob) => repository.call(&format!("blobs/{digest}"), make).await,
        Place::Elsewhere(url) => {
            let http = &repository.registry().inner.http;
            Ok(http.send_repeatedly(&make(url.clone()), &Origin::of(url), None).await?)
        }
    }
}

/// An answer that gives content.
struct Opened {
    reader: Reader,
    /// The first byte that the reader gives.
    start: u64,
    /// Where the reader ends, as far as that is known.
    end: Option<u64>,
    /// The size of the whole.
    size: Option<u64>,
    etag: Option<HeaderValue>,
}

impl Opened {
    async fn read(answer: Answer, asked: &Part, repository: &Repository, place: &Place) -> Result<Self> {
        answer.check_encoding()?;
        let etag = strong(answer.response.headers().get(ETAG));
        match answer.status() {
            StatusCode::OK => Ok(Self {
                start: 0,
                end: answer.content_length(),
                size: answer.content_length(),
                reader: answer.into_reader(),
                etag,
            }),
            StatusCode::PARTIAL_CONTENT => {
                let given = ContentRange::read(&answer)?;
                if given.start != asked.start || asked.end.is_some_and(|end| given.end > end) {
                    let message = format!("bytes {}-{} were not asked for", given.start, given.end);
                    return Err(Error::new(ErrorKind::Invalid, message));
                }
                Ok(Self {
                    start: given.start,
                    end: Some(given.end),
                    size: given.size,
                    reader: answer.into_reader(),
                    etag,
                })
            }
            StatusCode::RANGE_NOT_SATISFIABLE => {
                let message = format!("the content has no bytes from {} on", asked.start);
                Err(Error::new(ErrorKind::Range, message))
            }
            _ => match place {
                Place::Repository(_) => Err(repository.registry().complaint(answer).await),
                Place::Elsewhere(url) => {
                    let host = origin::authority(url);
                    Err(Complaint::read(answer).await.into_error(&host))
                }
            },
        }
    }
}

/// An entity tag that says that bytes are the same, and not only that they mean the same.
fn strong(etag: Option<&HeaderValue>) -> Option<HeaderValue> {
    etag.filter(|etag| etag.as_bytes().starts_with(b"\"")).cloned()
}

/// `Content-Range: bytes 0-9/100`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ContentRange {
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) size: Option<u64>,
}

impl ContentRange {
    fn read(answer: &Answer) -> Result<Self> {
        answer.header("content-range").and_then(Self::parse).ok_or_else(|| {
            Error::new(
                ErrorKind::Invalid,
                "the registry answers 206 with no Content-Range that can be read",
            )
        })
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        let (range, size) = text.strip_prefix("bytes ")?.split_once('/')?;
        let (first, last) = range.split_once('-')?;
        let (start, last): (u64, u64) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        let end = last.checked_add(1)?;
        let size = match size.trim() {
            "*" => None,
            size => Some(size.parse().ok()?),
        };
        (start < end && size.is_none_or(|size| end <= size)).then_some(Self { start, end, size })
    }
}

/// Content on its way, begun again where it breaks off.
struct Download {
    repository: Repository,
    place: Place,
    digest: Digest,
    /// The byte that comes next, counted from the beginning of the content.
    next: u64,
    end: Option<u64>,
    size: Option<u64>,
    etag: Option<HeaderValue>,
    reader: Reader,
    /// What is read here may wait to be hashed with another, to be written or to be sent again.
    compact: Compact,
    /// How often it broke off since it last went well.
    failures: u32,
    since_failure: u64,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Download {
    fn of(
        repository: &Repository,
        place: Place,
        digest: &Digest,
        opened: Opened,
        permit: Option<OwnedSemaphorePermit>,
    ) -> Fetched {
        let (size, start) = (opened.size, opened.start);
        let download = Self {
            repository: repository.clone(),
            place,
            digest: *digest,
            next: start,
            end: opened.end,
            size,
            etag: opened.etag,
            reader: opened.reader,
            compact: Compact::default(),
            failures: 0,
            since_failure: 0,
            _permit: permit,
        };
        Fetched {
            size,
            start,
            reader: download.into_reader(),
        }
    }

    fn into_reader(self) -> Reader {
        Box::pin(futures_util::stream::unfold(
            Some(Box::new(self)),
            |download| async move {
                let mut download = download?;
                match download.step().await {
                    Ok(Some(bytes)) => Some((Ok(bytes), Some(download))),
                    Ok(None) => None,
                    Err(error) => {
                        let place = format!("{}@{}", download.repository, download.digest);
                        Some((Err(error.within(place)), None))
                    }
                }
            },
        ))
    }

    async fn step(&mut self) -> Result<Option<bytes::Bytes>> {
        loop {
            let error = match self.reader.next().await {
                Some(Ok(bytes)) => {
                    self.next += bytes.len() as u64;
                    self.since_failure += bytes.len() as u64;
                    if self.since_failure >= PROGRESS {
                        self.failures = 0;
                    }
                    return Ok(Some(self.compact.chunk(bytes)));
                }
                None if self.end.is_none_or(|end| self.next >= end) => return Ok(None),
                None => Error::new(ErrorKind::Io, "the registry ends its answer too early"),
                Some(Err(error)) => error,
            };
            self.go_on(error).await?;
        }
    }

    /// Opens the rest after `error`, or gives up with it.
    async fn go_on(&mut self, error: Error) -> Result<()> {
        let settings = Arc::clone(self.repository.settings());
        if self.failures >= settings.retry.times {
            return Err(error);
        }
        // All bytes came, and the connection broke where its end was due.
        if self.end.is_some_and(|end| self.next >= end) {
            self.reader = Box::pin(futures_util::stream::empty());
            return Ok(());
        }
        let wait = retry::wait(&settings.retry, self.failures, None);
        self.failures += 1;
        self.since_failure = 0;
        self.repository.registry().inner.http.announce(error.to_string(), wait);
        tokio::time::sleep(wait).await;
        let part = Part {
            start: self.next,
            end: self.end.filter(|end| Some(*end) != self.size),
        };
        let answer = request(&self.repository, &self.place, &self.digest, &part, self.etag.as_ref()).await?;
        let opened = Opened::read(answer, &part, &self.repository, &self.place).await?;
        if let (Some(before), Some(now)) = (self.size, opened.size)
            && before != now
        {
            let message = format!("the content had {before} bytes and has {now} after the connection broke");
            return Err(Error::new(ErrorKind::Mismatch, message));
        }
        self.reader = if opened.start == self.next {
            opened.reader
        } else {
            // The whole came instead of the rest: what is known of it is passed over.
            skip(opened.reader, self.next - opened.start)
        };
        Ok(())
    }
}

/// The same content without its first bytes.
pub(super) fn skip(reader: Reader, bytes: u64) -> Reader {
    let mut left = bytes;
    Box::pin(reader.filter_map(move |chunk| {
        let kept = match chunk {
            Ok(chunk) => {
                let passed = left.min(chunk.len() as u64);
                left -= passed;
                // `passed` is at most the chunk's length.
                let rest = chunk.slice(usize::try_from(passed).unwrap_or(chunk.len())..);
                (!rest.is_empty()).then_some(Ok(rest))
            }
            Err(error) => Some(Err(error)),
        };
        std::future::ready(kept)
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_ranges() {
        let read = |start, end, size| Some(ContentRange { start, end, size });
        let cases = [
            ("bytes 0-9/100", read(0, 10, Some(100))),
            ("bytes 5-5/*", read(5, 6, None)),
            ("bytes 0-9/9", None),
            ("bytes 9-0/100", None),
            ("bytes */100", None),
            ("0-9/100", None),
            ("bytes 0-18446744073709551615/*", None),
            ("bytes -1-9/100", None),
        ];
        for (text, expected) in cases {
            assert_eq!(ContentRange::parse(text), expected, "{text}");
        }
    }
}
