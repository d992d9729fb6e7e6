//! How is content put into a repository? [`Target`] for [`Repository`]: distribution-spec, "Push". How a blob's bytes get there is the
//! question of `upload`.

use reqwest::{
    Method, StatusCode,
    header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, IF_MATCH, IF_NONE_MATCH},
};
use teu_spec::{Algorithm, Descriptor, Digest, Document, Tag};
use teu_store::{
    Adopt, BoxFuture, Delete, Error, ErrorKind, Expect, Expected, Ingest, Mount, Origin, Result, Resume, Role, Source,
    Sweep, Takes, Target,
};

use super::{answer::Answer, auth::Scope, call::Call, client::Repository, pull::Wanted, upload::Upload};

impl Target for Repository {
    fn ingest(&self, expected: Expected) -> BoxFuture<'_, Result<Box<dyn Ingest>>> {
        self.will_write();
        Box::pin(async move {
            let upload = Upload::begin(self, expected).await?;
            Ok(Box::new(upload) as Box<dyn Ingest>)
        })
    }

    /// Several names are set by one request where the registry knows `?tag=`, and one by one, in their order, where it does not. A name is
    /// guarded by `If-Match`, and looked at before, as most registries ignore that.
    fn put_manifest<'a>(
        &'a self,
        document: &'a Document,
        digest: &'a Digest,
        names: &'a [String],
        expect: Expect,
    ) -> BoxFuture<'a, Result<Descriptor>> {
        self.will_write();
        Box::pin(async move {
            let tags = names
                .iter()
                .map(|name| name.parse().map_err(Error::from))
                .collect::<Result<Vec<Tag>>>()?;
            self.put(document, digest, &tags, expect)
                .await
                .map_err(|error| error.within(format!("putting the manifest {digest} into {self}")))?;
            Ok(Descriptor::new(
                document.media_type().clone(),
                *digest,
                document.raw().len() as u64,
            ))
        })
    }

    /// Nothing is left to do: what a registry acknowledged is there. Uploads that were begun and not used are cancelled.
    fn finish(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            for location in self.take_begun() {
                // They would expire anyway.
                let _ = self.cancel(&location).await;
            }
            Ok(())
        })
    }

    fn takes(&self) -> Takes {
        Takes::EVERYTHING
    }

    fn readable(&self) -> Option<&dyn Source> {
        Some(self)
    }

    fn mount(&self) -> Option<&dyn Mount> {
        Some(self)
    }

    fn adopt(&self) -> Option<&dyn Adopt> {
        None
    }

    fn resume(&self) -> Option<&dyn Resume> {
        None
    }

    fn delete(&self) -> Option<&dyn Delete> {
        Some(self)
    }

    fn sweep(&self) -> Option<&dyn Sweep> {
        None
    }
}

impl Repository {
    async fn put(&self, document: &Document, digest: &Digest, tags: &[Tag], expect: Expect) -> Result<()> {
        for tag in tags {
            if expect != Expect::Any {
                check_name(tag, self.leads_to(tag).await?, expect)?;
            }
        }
        // A push by tag has the digest that the registry prefers; another can be asked for by name alone.
        let by_digest = tags.is_empty() || tags.len() > 1 || digest.algorithm() != Algorithm::default();
        let mut left: Vec<&Tag> = tags.iter().collect();
        let mut tracked = false;
        if by_digest {
            let query: Vec<String> = tags.iter().map(|tag| format!("tag={tag}")).collect();
            let path = match query[..] {
                [] => format!("manifests/{digest}"),
                _ => format!("manifests/{digest}?{}", query.join("&")),
            };
            let answer = self.put_once(&path, document, digest, Expect::Any).await?;
            tracked |= answer.header("oci-subject").is_some();
            let set: Vec<String> = named(&answer);
            left.retain(|tag| !set.iter().any(|name| name == tag.as_str()));
        }
        for tag in left {
            let path = format!("manifests/{tag}");
            let answer = self.put_once(&path, document, digest, expect).await?;
            tracked |= answer.header("oci-subject").is_some();
        }
        if let Some(subject) = document.subject()
            && !tracked
        {
            let referrer = teu_store::referrer(document, *digest);
            self.tag_referrer(&subject.digest, &referrer).await?;
        }
        Ok(())
    }

    /// What a tag points at.
    async fn leads_to(&self, tag: &Tag) -> Result<Option<Digest>> {
        let found = self.manifest(&Wanted::Tag(tag.clone())).await?;
        Ok(found.map(|found| found.digest))
    }

    /// Puts a manifest at one path.
    pub(super) async fn put_once(
        &self,
        path: &str,
        document: &Document,
        digest: &Digest,
        expect: Expect,
    ) -> Result<Answer> {
        let invalid = |_| {
            Error::new(
                ErrorKind::Invalid,
                "the media type holds characters that no header may hold",
            )
        };
        let media_type = HeaderValue::from_str(document.media_type().as_str()).map_err(invalid)?;
        let condition = condition(expect)?;
        let make = |url| {
            let call = Call::new(Method::PUT, url)
                .header(CONTENT_TYPE, media_type.clone())
                .body(document.raw().clone());
            conditional(call, condition.as_ref())
        };
        let answer = self.call(path, make).await?;
        if !answer.status().is_success() {
            return Err(self.registry().complaint(answer).await);
        }
        if let Some(stored) = answer.header("docker-content-digest")
            && let Ok(stored) = stored.parse::<Digest>()
            && stored.algorithm() == digest.algorithm()
            && stored != *digest
        {
            let message = format!("the registry stored it as {stored}: it changed the manifest's bytes");
            return Err(Error::new(ErrorKind::Mismatch, message));
        }
        Ok(answer)
    }

    /// Begins an upload session, whose place is told.
    pub(super) async fn begin_upload(&self, query: &str) -> Result<Answer> {
        let post = |url| Call::new(Method::POST, url).header(CONTENT_LENGTH, HeaderValue::from_static("0"));
        self.call(&format!("blobs/uploads/{query}"), post).await
    }
}

fn check_name(tag: &Tag, found: Option<Digest>, expect: Expect) -> Result<()> {
    if expect.holds(found) {
        return Ok(());
    }
    let message = match (found, expect) {
        (Some(found), Expect::Digest(wanted)) => format!("{tag} points at {found} and not at {wanted}"),
        (Some(found), _) => format!("{tag} exists already and points at {found}"),
        (None, _) => format!("{tag} does not exist"),
    };
    Err(Error::new(ErrorKind::Conflict, message))
}

/// What is expected, as a registry is told it.
fn condition(expect: Expect) -> Result<Option<(HeaderName, HeaderValue)>> {
    Ok(match expect {
        Expect::Any => None,
        Expect::Absent => Some((IF_NONE_MATCH, HeaderValue::from_static("*"))),
        Expect::Present => Some((IF_MATCH, HeaderValue::from_static("*"))),
        Expect::Digest(digest) => {
            let invalid = |_| Error::new(ErrorKind::Invalid, "a digest cannot stand in a header");
            Some((
                IF_MATCH,
                HeaderValue::try_from(format!("\"{digest}\"")).map_err(invalid)?,
            ))
        }
    })
}

fn conditional(call: Call, condition: Option<&(HeaderName, HeaderValue)>) -> Call {
    match condition {
        Some((name, value)) => call.header(name.clone(), value.clone()),
        None => call,
    }
}

/// The tags that a push by digest set, by the header `OCI-Tag`.
fn named(answer: &Answer) -> Vec<String> {
    answer
        .response
        .headers()
        .get_all("oci-tag")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|tag| tag.trim().to_owned())
        .collect()
}

impl Mount for Repository {
    fn origin(&self) -> Origin {
        self.place()
    }

    /// `from` may be empty: then the registry is asked whether it has the blob anywhere that we may read.
    ///
    /// Where it declines it has begun an upload instead, which is kept for the blob that follows.
    fn mount<'a>(&'a self, from: &'a str, digest: &'a Digest) -> BoxFuture<'a, Result<bool>> {
        self.will_write();
        Box::pin(async move {
            self.try_mount(from, digest)
                .await
                .map_err(|error| error.within(format!("mounting {digest} into {self}")))
        })
    }
}

impl Repository {
    async fn try_mount(&self, from: &str, digest: &Digest) -> Result<bool> {
        let mut need = self.need();
        let mut query = format!("?mount={digest}");
        if !from.is_empty() {
            teu_spec::Repository::check_path(from)?;
            need.scopes.push(Scope::pull(from));
            // A path has nothing in it that a query would have to escape.
            query.push_str(&format!("&from={from}"));
        }
        let post = |url| Call::new(Method::POST, url).header(CONTENT_LENGTH, HeaderValue::from_static("0"));
        let answer = self.call_with(&format!("blobs/uploads/{query}"), post, &need).await?;
        match answer.status() {
            StatusCode::CREATED => Ok(true),
            StatusCode::ACCEPTED => {
                self.keep_begun(*digest, Upload::location(&answer)?);
                Ok(false)
            }
            // Those that know no mount, and those that do not let us read there: the blob is uploaded instead.
            status if status.is_client_error() && status != StatusCode::TOO_MANY_REQUESTS => Ok(false),
            _ => Err(self.registry().complaint(answer).await),
        }
    }
}

impl Delete for Repository {
    fn delete<'a>(&'a self, role: Role, digest: &'a Digest) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            self.delete_content(role, digest)
                .await
                .map_err(|error| error.within(format!("deleting {self}@{digest}")))
        })
    }

    /// A name is guarded as by [`put_manifest`](Target::put_manifest).
    fn untag<'a>(&'a self, name: &'a str, expect: Expect) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let tag: Tag = name.parse()?;
            self.remove_tag(&tag, expect)
                .await
                .map_err(|error| error.within(format!("deleting the tag {self}:{tag}")))
        })
    }
}

impl Repository {
    async fn delete_content(&self, role: Role, digest: &Digest) -> Result<()> {
        if role == Role::Blob {
            return self.remove(&format!("blobs/{digest}"), None).await;
        }
        // The tag that stands for the referrers API must not name what is gone. What cannot be read can still be deleted.
        let subject = match self.manifest_body(&Wanted::Digest(*digest)).await {
            Ok(Some((descriptor, body))) => Document::parse(body, Some(&descriptor.media_type))
                .ok()
                .and_then(|document| document.subject().map(|subject| subject.digest)),
            _ => None,
        };
        self.remove(&format!("manifests/{digest}"), None).await?;
        match subject {
            Some(subject) => self.untag_referrer(&subject, digest).await,
            None => Ok(()),
        }
    }

    async fn remove_tag(&self, tag: &Tag, expect: Expect) -> Result<()> {
        if expect != Expect::Any
            && let Some(found) = self.leads_to(tag).await?
        {
            check_name(tag, Some(found), expect)?;
        }
        self.remove(&format!("manifests/{tag}"), Some(expect)).await
    }

    /// Deletes what is at one path; `of_tag` is what is expected of the tag that it ends in, where it is one.
    async fn remove(&self, path: &str, of_tag: Option<Expect>) -> Result<()> {
        let need = self.need_of(Scope::delete(self.path()));
        let condition = condition(of_tag.unwrap_or_default())?;
        let make = |url| conditional(Call::new(Method::DELETE, url), condition.as_ref());
        let answer = self.call_with(path, make, &need).await?;
        let status = answer.status();
        if status.is_success() {
            return Ok(());
        }
        let error = self.registry().complaint(answer).await;
        // docker-registry 2 takes a tag for a digest that is malformed.
        if of_tag.is_some() && status == StatusCode::BAD_REQUEST {
            let message =
                "the registry cannot delete a tag alone; deleting the manifest by its digest deletes all its tags";
            return Err(Error::new(ErrorKind::Unsupported, message).with_cause(error));
        }
        if *error.kind() == ErrorKind::Unsupported {
            let message = "the registry does not allow deletion; its operator can enable it";
            return Err(Error::new(ErrorKind::Unsupported, message).with_cause(error));
        }
        Err(error)
    }
}
