//! How is a manifest read, pushed and deleted? The only content that is held whole, for it must be understood: it is small, by a limit.

use std::str::FromStr;

use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};
use teu_spec::{Algorithm, Descriptor, Digest, Document, MediaType, Pick, Tag};
use teu_store::{ErrorKind, Expect, FetchOptions, Intent, Role, Store, missing_children};

use crate::{
    auth::Action,
    blobs::{described, failed_condition, may_change},
    body::{self, Incoming},
    budget::Room,
    condition::{self, Holds},
    problem::{Code, Problem},
    registry::{Answer, Asked, Registry, created, plain, set},
    route::Reference,
};

const SUBJECT: HeaderName = HeaderName::from_static("oci-subject");
const TAG: HeaderName = HeaderName::from_static("oci-tag");

impl Registry {
    pub(crate) async fn manifest(&self, name: &str, reference: &Reference, asked: &Asked, content: Incoming) -> Answer {
        match asked.method {
            Method::PUT => self.put_manifest(name, reference, asked, content).await,
            Method::DELETE => self.delete_manifest(name, reference, asked).await,
            _ => self.read_manifest(name, reference, asked).await,
        }
    }

    async fn read_manifest(&self, name: &str, reference: &Reference, asked: &Asked) -> Answer {
        let store = self.reading(name).await?;
        // Who asks only whether it is there may leave out to push it, and name it next.
        let intent = match asked.is_head && self.settings.writable {
            true => Intent::Write,
            false => Intent::Read,
        };
        let found = find(&*store, reference, intent).await?;
        let digest = found.digest;
        match condition::reading(&asked.headers, &digest) {
            Holds::Yes => {}
            Holds::Unchanged => {
                let mut response = described(plain(StatusCode::NOT_MODIFIED), &digest);
                response.headers_mut().remove(header::ACCEPT_RANGES);
                return Ok(response);
            }
            Holds::No => return Err(failed_condition()),
        }
        let fetched = store.fetch(Role::Manifest, &digest, FetchOptions::default()).await;
        let fetched = fetched.map_err(|error| Problem::reading(error, Code::ManifestUnknown))?;
        let size = fetched.size.unwrap_or(found.size);
        let mut response = described(Response::new(body::stream(fetched.reader)), &digest);
        response.headers_mut().remove(header::ACCEPT_RANGES);
        response.headers_mut().insert(header::CONTENT_LENGTH, size.into());
        set(&mut response, header::CONTENT_TYPE, found.media_type.as_str());
        Ok(response)
    }

    async fn put_manifest(&self, name: &str, reference: &Reference, asked: &Asked, content: Incoming) -> Answer {
        let mut names = Vec::new();
        match reference {
            Reference::Tag(tag) => names.push(tag.to_string()),
            Reference::Digest(_) => {}
            Reference::Neither(text) => {
                let error = Tag::from_str(text)
                    .err()
                    .map_or_else(String::new, |error| error.to_string());
                return Err(Problem::bad(Code::TagInvalid, error));
            }
        }
        for tag in asked.query.all("tag") {
            let tag = Tag::from_str(tag).map_err(|error| Problem::bad(Code::TagInvalid, error.to_string()))?;
            names.push(tag.to_string());
        }
        let most = self.settings.limits.tags;
        if names.len() > most {
            let message = format!("one push sets at most {most} tags");
            return Err(Problem::bad(Code::TagInvalid, message));
        }
        let expect = match names.is_empty() {
            true => Expect::Any,
            false => expected(asked)?,
        };
        let (document, _room) = self.document(&asked.headers, content).await?;
        let digest = match reference {
            Reference::Digest(digest) => *digest,
            _ => Algorithm::Sha256.digest(document.raw()),
        };
        if digest.algorithm().digest(document.raw()) != digest {
            let message = format!("the manifest that was sent is not {digest}");
            return Err(Problem::bad(Code::DigestInvalid, message));
        }
        let store = self.writing(name).await?;
        let turn = self.naming().await;
        if names.is_empty() {
            may_change(&*store, Role::Manifest, &digest, asked).await?;
        }
        if turn.is_some() {
            let missing = missing_children(store.as_source(), &document).await;
            let missing = missing.map_err(|error| Problem::writing(error, Code::ManifestInvalid))?;
            if !missing.is_empty() {
                let digests: Vec<Digest> = missing.iter().map(|child| child.digest).collect();
                return Err(Problem::missing(&digests));
            }
        }
        let overwrites = asked.caller.may(Action::Overwrite, name);
        let (moved, expect) = match overwrites || names.is_empty() {
            true => (names.clone(), expect),
            false => {
                let free = free(&*store, &names, &digest, || {
                    asked.caller.denied(Action::Overwrite, name)
                })
                .await?;
                // Those that are not free are this already.
                let found = |name| (!free.contains(name)).then_some(digest);
                if !names.iter().all(|name| expect.holds(found(name))) {
                    return Err(failed_condition());
                }
                (free, Expect::Absent)
            }
        };
        let put = store.put_manifest(&document, &digest, &moved, expect).await;
        put.map_err(|error| match error.kind() {
            // Another was quicker.
            ErrorKind::Conflict if !overwrites => asked.caller.denied(Action::Overwrite, name),
            _ => Problem::writing(error, Code::ManifestInvalid),
        })?;
        store
            .finish()
            .await
            .map_err(|error| Problem::writing(error, Code::ManifestInvalid))?;
        let mut response = created(&format!("/v2/{name}/manifests/{digest}"), &digest);
        if let Some(subject) = document.subject() {
            set(&mut response, SUBJECT, &subject.digest.to_string());
        }
        for tag in asked_tags(reference, &names) {
            if let Ok(value) = HeaderValue::from_str(tag) {
                response.headers_mut().append(TAG, value);
            }
        }
        Ok(response)
    }

    /// What was sent, read strictly. A client is told the same type that was pushed, so what is said beside the document must be what it is.
    async fn document(&self, headers: &HeaderMap, content: Incoming) -> Result<(Document, Room), Problem> {
        let limit = self.settings.limits.manifest;
        let too_large = || {
            let message = format!("a manifest has at most {limit} bytes");
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, Code::ManifestInvalid, message)
        };
        let announced = headers
            .get(header::CONTENT_LENGTH)
            .and_then(|value| value.to_str().ok());
        if announced
            .and_then(|length| length.parse().ok())
            .is_some_and(|length: u64| length > limit)
        {
            return Err(too_large());
        }
        let media_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let media_type = media_type.map(|value| MediaType::from(value.split(';').next().unwrap_or(value).trim()));
        let (raw, room) = content.small(limit, &self.budget).await?.ok_or_else(too_large)?;
        let invalid = |message: String| Problem::bad(Code::ManifestInvalid, message);
        let document = Document::parse(raw, media_type.as_ref()).map_err(|error| invalid(error.to_string()))?;
        match media_type {
            Some(media_type) if media_type != *document.media_type() => Err(invalid(format!(
                "the Content-Type is {media_type}, and the manifest is {}",
                document.media_type()
            ))),
            _ => Ok((document, room)),
        }
    }

    async fn delete_manifest(&self, name: &str, reference: &Reference, asked: &Asked) -> Answer {
        let store = self.reading(name).await?;
        let delete = store
            .delete()
            .ok_or_else(|| Problem::not_allowed("GET, HEAD, PUT", "this place deletes no manifests"))?;
        let deleted = match reference {
            Reference::Digest(digest) => {
                // An index may be on its way that names it.
                let turn = self.deleting().await;
                if turn.is_some() {
                    // A place that does not ask itself has its blobs beside its manifests, and would delete either.
                    find(&*store, reference, Intent::Write).await?;
                }
                may_change(&*store, Role::Manifest, digest, asked).await?;
                delete.delete(Role::Manifest, digest).await
            }
            Reference::Tag(tag) => {
                let expect = expected(asked)?;
                match delete.untag(tag.as_str(), expect).await {
                    Err(error) if expect != Expect::Any && *error.kind() == ErrorKind::Conflict => {
                        return Err(Problem::writing(error, Code::ManifestUnknown));
                    }
                    deleted => deleted,
                }
            }
            Reference::Neither(_) => return Err(unknown()),
        };
        deleted.map_err(|error| Problem::reading(error, Code::ManifestUnknown))?;
        store
            .finish()
            .await
            .map_err(|error| Problem::writing(error, Code::Unknown))?;
        Ok(plain(StatusCode::ACCEPTED))
    }
}

/// Those of the names that are free; the others must be this already (threat 91).
async fn free(
    store: &dyn Store,
    names: &[String],
    digest: &Digest,
    denied: impl Fn() -> Problem,
) -> Result<Vec<String>, Problem> {
    let mut free = Vec::new();
    for name in names {
        match store.resolve(&Pick::Name(name.clone())).await {
            Ok(found) if found.digest == *digest => {}
            Ok(_) => return Err(denied()),
            Err(error) if *error.kind() == ErrorKind::NotFound => free.push(name.clone()),
            Err(error) => return Err(Problem::reading(error, Code::ManifestUnknown)),
        }
    }
    Ok(free)
}

/// The tags that were asked for by parameters: a client tells by them that they are understood.
fn asked_tags<'a>(reference: &Reference, names: &'a [String]) -> &'a [String] {
    match reference {
        Reference::Tag(_) => &names[1..],
        _ => names,
    }
}

fn expected(asked: &Asked) -> Result<Expect, Problem> {
    condition::of_tag(&asked.headers).map_err(|error| Problem::bad(Code::Unsupported, error))
}

fn unknown() -> Problem {
    Problem::absent(Code::ManifestUnknown)
}

/// The manifest that is meant, as it is here: whatever an index says of it, size and type are its own.
async fn find(store: &dyn Store, reference: &Reference, intent: Intent) -> Result<Descriptor, Problem> {
    let failed = |error| Problem::reading(error, Code::ManifestUnknown);
    let digest: Digest = match reference {
        Reference::Digest(digest) => *digest,
        Reference::Tag(tag) => {
            let pick = Pick::Name(tag.to_string());
            store.resolve(&pick).await.map_err(failed)?.digest
        }
        Reference::Neither(_) => return Err(unknown()),
    };
    let found = store.stat(Role::Manifest, &digest, intent).await.map_err(failed)?;
    found.ok_or_else(unknown)
}
