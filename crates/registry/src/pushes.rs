//! How does a blob come in? Mounted, in one request, in one stream, or chunk by chunk (distribution-spec, "Pushing blobs"). Its digest is found
//! while it comes, and it is visible when that was found right.

use std::sync::Arc;

use http::{HeaderName, HeaderValue, Method, Response, StatusCode, header};
use teu_spec::{Algorithm, Descriptor, Digest};
use teu_store::{Error, ErrorKind, Expected, Intent, Keyset, Role, Store, octet_stream};

use crate::{
    auth::Action,
    body::{Body, Incoming},
    problem::{Code, Problem},
    range,
    registry::{Answer, Asked, Registry, created, plain, set},
    route::{digest, repository},
    uploads::{Upload, Writer, broken},
};

const UPLOAD_ID: HeaderName = HeaderName::from_static("docker-upload-uuid");
/// How many other repositories are tried for a mount that names none.
const HOLDERS: usize = 4;

impl Registry {
    /// Begins an upload, unless it is done with that.
    pub(crate) async fn begin(&self, name: &str, asked: &Asked, content: Incoming) -> Answer {
        let store = self.writing(name).await?;
        let mut loss = None;
        if let Some(wanted) = asked.query.get("mount") {
            // What can be no digest is nowhere, as what no repository can be called is none.
            let mounted = match digest(wanted) {
                Ok(wanted) => self
                    .mount(&store, name, &wanted, asked)
                    .await
                    .map(|is| is.then_some(wanted)),
                Err(_) => Ok(None),
            };
            // Where it is not, as one that did not ask: 202, and the client sends it, which heals what is lost.
            match mounted {
                Ok(Some(wanted)) => {
                    store
                        .finish()
                        .await
                        .map_err(|error| Problem::writing(error, Code::BlobUploadInvalid))?;
                    return Ok(created(&format!("/v2/{name}/blobs/{wanted}"), &wanted));
                }
                Ok(None) => {}
                Err(problem) => loss = Some(problem.loss()?),
            }
        } else if let Some(wanted) = asked.query.get("digest") {
            let wanted = digest(wanted)?;
            return self.push_whole(name, store, wanted, content).await;
        }
        let algorithm = match asked.query.get("digest-algorithm") {
            None => Algorithm::default(),
            Some(name) => name
                .parse()
                .map_err(|error: teu_spec::DigestError| Problem::bad(Code::DigestInvalid, error.to_string()))?,
        };
        let begun = self.uploads.begin(&*self.repositories, name, store, algorithm);
        let upload = begun.await?;
        let mut response = under_way(StatusCode::ACCEPTED, &upload);
        if let Some(loss) = loss {
            response.extensions_mut().insert(loss);
        }
        Ok(response)
    }

    /// An upload that is there.
    pub(crate) async fn upload(&self, name: &str, id: &str, asked: &Asked, content: Incoming) -> Answer {
        let store = async || self.writing(name).await;
        let upload = self.uploads.find(&*self.repositories, name, id, store).await?;
        match asked.method {
            Method::PATCH => self.push_chunk(&upload, asked, content).await,
            Method::PUT => self.push_last(&upload, asked, content).await,
            Method::DELETE => self.cancel(&upload).await,
            _ => {
                // What came of a request whose client is gone is told of when it is kept.
                drop(upload.turn().await);
                Ok(under_way(StatusCode::NO_CONTENT, &upload))
            }
        }
    }

    /// The whole blob in the request that begins it.
    async fn push_whole(&self, name: &str, store: Arc<dyn Store>, wanted: Digest, mut content: Incoming) -> Answer {
        let expected = Expected {
            digest: Some(wanted),
            algorithm: wanted.algorithm(),
            ..Expected::default()
        };
        let failed = |error| Problem::writing(error, Code::BlobUploadInvalid);
        let mut ingest = store.ingest(expected).await.map_err(failed)?;
        while let Some(bytes) = content.next().await? {
            ingest.write(bytes).await.map_err(failed)?;
        }
        let committed = ingest.commit(Some(wanted)).await.map_err(failed)?;
        store.finish().await.map_err(failed)?;
        Ok(created(
            &format!("/v2/{name}/blobs/{}", committed.digest),
            &committed.digest,
        ))
    }

    async fn push_chunk(&self, upload: &Upload, asked: &Asked, mut content: Incoming) -> Answer {
        let mut turn = upload.turn().await.ok_or_else(|| at_work(upload))?;
        let length = announced(upload, asked)?;
        let taken = upload.take(&mut turn, &mut content, length).await;
        let kept = self.keep(upload, &mut turn).await;
        taken.and(kept)?;
        Ok(under_way(StatusCode::ACCEPTED, upload))
    }

    async fn push_last(&self, upload: &Upload, asked: &Asked, mut content: Incoming) -> Answer {
        let wanted = asked
            .query
            .get("digest")
            .ok_or_else(|| Problem::bad(Code::DigestInvalid, "the request that ends an upload says its digest"))?;
        let wanted = digest(wanted)?;
        let mut turn = upload.turn().await.ok_or_else(|| at_work(upload))?;
        let length = announced(upload, asked)?;
        let taken = upload.take(&mut turn, &mut content, length).await;
        if let Err(problem) = taken {
            // That it cannot be kept either is told to who goes on with it.
            let _ = self.keep(upload, &mut turn).await;
            return Err(problem);
        }
        let writer = turn.take().ok_or_else(broken)?;
        let failed = |error| Problem::writing(error, Code::BlobUploadInvalid);
        let committed = writer.commit(wanted).await;
        self.uploads.forget(upload);
        if committed.is_err() {
            self.look_again(upload).await;
        }
        let committed = committed.map_err(failed)?;
        upload.store.finish().await.map_err(failed)?;
        let location = format!("/v2/{}/blobs/{}", upload.repository, committed.digest);
        Ok(created(&location, &committed.digest))
    }

    /// Makes what came of an upload last; where that fails, or writing did, it goes on from where it was kept before, if it was.
    async fn keep(&self, upload: &Upload, writer: &mut Option<Writer>) -> Result<(), Problem> {
        let kept = upload.keep(writer).await;
        if writer.is_none() {
            self.uploads.forget(upload);
            self.look_again(upload).await;
        }
        kept
    }

    /// Opens an upload that failed as far as it was kept, so that what came since takes no room any more.
    async fn look_again(&self, upload: &Upload) {
        let store = async || Ok(Arc::clone(&upload.store));
        let (repository, id) = (&upload.repository, &upload.id);
        // What cannot be opened is looked for anew by who goes on with it, and told why.
        let _ = self.uploads.find(&*self.repositories, repository, id, store).await;
    }

    async fn cancel(&self, upload: &Upload) -> Answer {
        let mut turn = upload.turn().await.ok_or_else(|| at_work(upload))?;
        let aborted = match turn.take() {
            Some(writer) => writer.abort().await,
            None => Ok(()),
        };
        self.uploads.forget(upload);
        aborted.map_err(|error| Problem::writing(error, Code::BlobUploadInvalid))?;
        Ok(plain(StatusCode::NO_CONTENT))
    }

    /// Tries to take a blob over from another repository, from any where none is named; whether it is here then. That its bytes are lost is a
    /// [loss](Problem::loss).
    async fn mount(&self, store: &Arc<dyn Store>, name: &str, wanted: &Digest, asked: &Asked) -> Result<bool, Problem> {
        let failed = |error: Error| match error.kind() {
            ErrorKind::Mismatch => Problem::reading(error, Code::BlobUnknown),
            _ => Problem::writing(error, Code::BlobUploadInvalid),
        };
        let here = store.stat(Role::Blob, wanted, Intent::Write).await.map_err(failed)?;
        if here.is_some() {
            return Ok(true);
        }
        let candidates = match asked.query.get("from") {
            Some(from) => Vec::from_iter(repository(&from.split('/').collect::<Vec<_>>())),
            None => {
                let part = Keyset {
                    after: None,
                    limit: HOLDERS,
                };
                self.repositories.holders(wanted, part).await.map_err(failed)?.items
            }
        };
        for from in candidates.iter().filter(|from| *from != name) {
            // What may not be read, or is not there, is the same to who asks (threat 87).
            if !asked.caller.may(Action::Pull, from) {
                continue;
            }
            let Ok(source) = self.reading(from).await else {
                continue;
            };
            let Some(found) = source.stat(Role::Blob, wanted, Intent::Read).await.map_err(failed)? else {
                continue;
            };
            if let Some(mount) = store.mount() {
                if mount.mount(from, wanted).await.map_err(failed)? {
                    return Ok(true);
                }
            } else if let (Some(adopt), Some(local)) = (store.adopt(), source.local())
                && let Some(file) = local.open_file(wanted).map_err(failed)?
            {
                let blob = Descriptor::new(octet_stream(), *wanted, found.size);
                adopt.adopt(file, &blob, false).await.map_err(failed)?;
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// How long the chunk is, where the client says where it belongs.
///
/// # Errors
/// 416 where it belongs elsewhere than to the end of what is there (threat 86); 400 where its two lengths differ.
fn announced(upload: &Upload, asked: &Asked) -> Result<Option<u64>, Problem> {
    let Some(value) = asked.headers.get(header::CONTENT_RANGE) else {
        return Ok(None);
    };
    let chunk = value.to_str().ok().and_then(range::chunk);
    let (start, length) =
        chunk.ok_or_else(|| Problem::bad(Code::BlobUploadInvalid, "Content-Range must be FIRST-LAST"))?;
    if start != upload.written() {
        return Err(elsewhere(upload));
    }
    let stated = asked
        .headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok());
    match stated.and_then(|stated| stated.parse::<u64>().ok()) {
        Some(stated) if stated != length => Err(Problem::bad(
            Code::SizeInvalid,
            format!("Content-Range is of {length} bytes, and Content-Length of {stated}"),
        )),
        _ => Ok(Some(length)),
    }
}

fn elsewhere(upload: &Upload) -> Problem {
    let message = format!("the next chunk begins at byte {}", upload.written());
    resumable(Code::BlobUploadInvalid, message, upload)
}

fn at_work(upload: &Upload) -> Problem {
    let message = "another request is writing to this upload";
    resumable(Code::BlobUploadInvalid, message.to_owned(), upload)
}

/// 416, with what tells a client how to go on.
fn resumable(code: Code, message: String, upload: &Upload) -> Problem {
    let mut problem = Problem::new(StatusCode::RANGE_NOT_SATISFIABLE, code, message);
    for (name, value) in [(header::LOCATION, upload.location()), (header::RANGE, range_of(upload))] {
        if let Ok(value) = HeaderValue::from_str(&value) {
            problem = problem.with(name, value);
        }
    }
    problem
}

/// `0-N`, N the last byte. Of no bytes it is `0-0` too: clients read no other form.
fn range_of(upload: &Upload) -> String {
    format!("0-{}", upload.written().saturating_sub(1))
}

fn under_way(status: StatusCode, upload: &Upload) -> Response<Body> {
    let mut response = plain(status);
    set(&mut response, header::LOCATION, &upload.location());
    set(&mut response, header::RANGE, &range_of(upload));
    set(&mut response, UPLOAD_ID, &upload.id);
    response
}
