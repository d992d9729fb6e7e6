//! How is a blob read and deleted? Whole or a range of it, streamed as the store gives it, which checked it when it was put.

use std::ops::Range;

use http::{Method, Response, StatusCode, header};
use teu_spec::Digest;
use teu_store::{Error, FetchOptions, Intent, Role, Store};

use crate::{
    body::{self, Body},
    condition::{self, Holds},
    named,
    outgoing::Outgoing,
    parts::Parts,
    problem::{Code, Problem},
    range::{self, Wanted},
    registry::{Answer, Asked, CONTENT_DIGEST, Registry, plain, set},
};

impl Registry {
    pub(crate) async fn blob(&self, name: &str, digest: &Digest, asked: &Asked) -> Answer {
        match asked.method {
            Method::DELETE => self.delete_blob(name, digest, asked).await,
            _ => self.read_blob(name, digest, asked).await,
        }
    }

    async fn read_blob(&self, name: &str, digest: &Digest, asked: &Asked) -> Answer {
        let store = self.reading(name).await?;
        let unknown = |error| Problem::reading(error, Code::BlobUnknown);
        // Who asks only whether it is there may leave out to push it, and name it next.
        let intent = match asked.is_head && self.settings.writable {
            true => Intent::Write,
            false => Intent::Read,
        };
        let found = store.stat(Role::Blob, digest, intent).await.map_err(unknown)?;
        let size = found.ok_or_else(|| Problem::absent(Code::BlobUnknown))?.size;
        match condition::reading(&asked.headers, digest) {
            Holds::Yes => {}
            Holds::Unchanged => return Ok(described(plain(StatusCode::NOT_MODIFIED), digest)),
            Holds::No => return Err(failed_condition()),
        }
        let wanted = asked.headers.get(header::RANGE).and_then(|value| value.to_str().ok());
        let wanted = match wanted {
            // A range means something to GET alone (RFC 9110, 14.2).
            Some(wanted) if !asked.is_head && condition::range(&asked.headers, digest) => range::wanted(wanted, size),
            _ => Wanted::All,
        };
        let ranges = match wanted {
            Wanted::All => Vec::new(),
            Wanted::Parts(ranges) => ranges,
            Wanted::Nothing => {
                let problem = Problem::new(
                    StatusCode::RANGE_NOT_SATISFIABLE,
                    Code::RangeInvalid,
                    format!("the blob has {size} bytes, and none in that range"),
                );
                // It is digits.
                let Ok(value) = format!("bytes */{size}").parse() else {
                    return Err(problem);
                };
                return Err(problem.with(header::CONTENT_RANGE, value));
            }
        };
        let range = ranges.first().cloned();
        let whole_or_one = ranges.len() <= 1;
        let sent = match whole_or_one {
            true => file(&*store, digest, size, range.as_ref(), asked).map_err(unknown)?,
            false => None,
        };
        let (content, start) = match sent {
            Some(sent) => sent,
            None => {
                let options = FetchOptions {
                    range: range.clone(),
                    at_pace: true,
                    ..FetchOptions::default()
                };
                let fetched = store.fetch(Role::Blob, digest, options).await.map_err(unknown)?;
                if !whole_or_one && range.as_ref().is_some_and(|range| range.start == fetched.start) {
                    return several(Parts::new(store, *digest, size, ranges, fetched.reader)?, digest);
                }
                (body::stream(fetched.reader), fetched.start)
            }
        };
        let mut response = described(Response::new(content), digest);
        // A store that has no ranges gives all, and so do we.
        let part = range.filter(|range| range.start == start && whole_or_one);
        let length = part.as_ref().map_or(size, |part| part.end - part.start);
        if let Some(part) = part {
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            let range = format!("bytes {}-{}/{size}", part.start, part.end - 1);
            set(&mut response, header::CONTENT_RANGE, &range);
        }
        response.headers_mut().insert(header::CONTENT_LENGTH, length.into());
        set(&mut response, header::CONTENT_TYPE, "application/octet-stream");
        Ok(response)
    }

    async fn delete_blob(&self, name: &str, digest: &Digest, asked: &Asked) -> Answer {
        let store = self.reading(name).await?;
        let delete = store
            .delete()
            .ok_or_else(|| Problem::not_allowed("GET, HEAD", "this place deletes no blobs"))?;
        let turn = self.deleting().await;
        may_change(&*store, Role::Blob, digest, asked).await?;
        if turn.is_some() {
            let is_named = named::is_named(&*store, digest).await;
            let within = |error: Error| error.within(format!("looking whether something names {digest}"));
            if is_named.map_err(|error| Problem::internal(within(error)))? {
                let message = format!("a manifest of {name} names the blob {digest}; delete that first");
                return Err(Problem::new(StatusCode::CONFLICT, Code::Denied, message));
            }
        }
        let deleted = delete.delete(Role::Blob, digest).await;
        deleted.map_err(|error| Problem::reading(error, Code::BlobUnknown))?;
        store
            .finish()
            .await
            .map_err(|error| Problem::writing(error, Code::Unknown))?;
        Ok(plain(StatusCode::ACCEPTED))
    }
}

/// Several ranges.
fn several(parts: Parts, digest: &Digest) -> Answer {
    let mut response = described(Response::new(parts.content), digest);
    *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    response
        .headers_mut()
        .insert(header::CONTENT_LENGTH, parts.length.into());
    set(&mut response, header::CONTENT_TYPE, &parts.media_type);
    Ok(response)
}

/// The blob as a file that is sent without being read, and where it begins; none where it is small, lies in no file, or this connection sends none.
fn file(
    store: &dyn Store,
    digest: &Digest,
    size: u64,
    range: Option<&Range<u64>>,
    asked: &Asked,
) -> teu_store::Result<Option<(Body, u64)>> {
    let range = range.cloned().unwrap_or(0..size);
    let is_worth = !asked.is_head && Outgoing::is_worth(range.end - range.start);
    let (Some(outgoing), Some(local)) = (asked.outgoing.as_ref().filter(|_| is_worth), store.local()) else {
        return Ok(None);
    };
    let Some(file) = local.open_file(digest)? else {
        return Ok(None);
    };
    let start = range.start;
    // Another that was put in its place meanwhile has the same size, as it has the same digest.
    Ok(Some((outgoing.body(file, range), start)))
}

/// What holds of content of this digest, whatever is sent of it.
pub(crate) fn described(mut response: Response<Body>, digest: &Digest) -> Response<Body> {
    set(&mut response, CONTENT_DIGEST, &digest.to_string());
    set(&mut response, header::ETAG, &condition::tag(digest));
    set(&mut response, header::ACCEPT_RANGES, "bytes");
    response
}

/// Refuses to put or delete what has a digest where a condition that was asked for does not hold.
pub(crate) async fn may_change(store: &dyn Store, role: Role, digest: &Digest, asked: &Asked) -> Result<(), Problem> {
    if !condition::is_there(&asked.headers) {
        return Ok(());
    }
    let found = store.stat(role, digest, Intent::Read).await;
    let is_here = found.map_err(Problem::internal)?.is_some();
    match condition::changing(&asked.headers, digest, is_here) {
        true => Ok(()),
        false => Err(failed_condition()),
    }
}

pub(crate) fn failed_condition() -> Problem {
    Problem::new(
        StatusCode::PRECONDITION_FAILED,
        Code::Denied,
        "what is here is not what the client expected",
    )
}
