//! How is a blob read and deleted? Whole or a range of it, streamed as the store gives it, which checked it when it was put.

use http::{Method, Response, StatusCode, header};
use teu_spec::Digest;
use teu_store::{FetchOptions, Intent, Role};

use crate::{
    body::{self, Body},
    condition::{self, Holds},
    problem::{Code, Problem},
    range::{self, Wanted},
    registry::{Answer, Asked, CONTENT_DIGEST, Registry, plain, set},
};

impl Registry {
    pub(crate) async fn blob(&self, name: &str, digest: &Digest, asked: &Asked) -> Answer {
        match asked.method {
            Method::DELETE => self.delete_blob(name, digest).await,
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
        let size = found
            .ok_or_else(|| Problem::not_found(Code::BlobUnknown, "there is no such blob in this repository"))?
            .size;
        match condition::reading(&asked.headers, digest) {
            Holds::Yes => {}
            Holds::Unchanged => return Ok(described(plain(StatusCode::NOT_MODIFIED), digest)),
            Holds::No => return Err(failed_condition()),
        }
        let wanted = asked.headers.get(header::RANGE).and_then(|value| value.to_str().ok());
        let wanted = match wanted {
            Some(wanted) if condition::range(&asked.headers, digest) => range::wanted(wanted, size),
            _ => Wanted::All,
        };
        let range = match wanted {
            Wanted::All => None,
            Wanted::Part(range) => Some(range),
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
        let options = FetchOptions {
            range: range.clone(),
            ..FetchOptions::default()
        };
        let fetched = store.fetch(Role::Blob, digest, options).await.map_err(unknown)?;
        let mut response = described(Response::new(body::stream(fetched.reader)), digest);
        // A store that has no ranges gives all, and so do we.
        let part = range.filter(|range| range.start == fetched.start && *range != (0..size));
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

    async fn delete_blob(&self, name: &str, digest: &Digest) -> Answer {
        let store = self.reading(name).await?;
        let delete = store
            .delete()
            .ok_or_else(|| Problem::not_allowed("GET, HEAD", "this place deletes no blobs"))?;
        let deleted = delete.delete(Role::Blob, digest).await;
        deleted.map_err(|error| Problem::reading(error, Code::BlobUnknown))?;
        store
            .finish()
            .await
            .map_err(|error| Problem::writing(error, Code::Unknown))?;
        Ok(plain(StatusCode::ACCEPTED))
    }
}

/// What holds of content of this digest, whatever is sent of it.
pub(crate) fn described(mut response: Response<Body>, digest: &Digest) -> Response<Body> {
    set(&mut response, CONTENT_DIGEST, &digest.to_string());
    set(&mut response, header::ETAG, &condition::tag(digest));
    set(&mut response, header::ACCEPT_RANGES, "bytes");
    response
}

pub(crate) fn failed_condition() -> Problem {
    Problem::new(
        StatusCode::PRECONDITION_FAILED,
        Code::Denied,
        "what is here is not what the client expected",
    )
}
