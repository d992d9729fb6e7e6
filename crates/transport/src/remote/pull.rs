//! How is content of a repository found and read? [`Source`] for [`Repository`]: distribution-spec, "Pull".

use bytes::Bytes;
use reqwest::{Method, StatusCode};
use teu_spec::{Algorithm, Descriptor, Digest, Document, MediaType, Pick, Tag, json};
use teu_store::{
    BoxFuture, Browse, Error, ErrorKind, FetchOptions, Fetched, Intent, Local, Origin, Result, Role, Source,
    octet_stream,
};

use super::{
    answer::{Answer, whole},
    call::Call,
    client::Repository,
    download,
};

impl Source for Repository {
    /// A tag (`latest` where none is picked) or a digest. It costs one HEAD, where the registry answers that as distribution-spec says.
    fn resolve<'a>(&'a self, pick: &'a Pick) -> BoxFuture<'a, Result<Descriptor>> {
        Box::pin(async move {
            let wanted = Wanted::new(pick)?;
            self.manifest(&wanted)
                .await
                .and_then(|found| found.ok_or_else(no_manifest))
                .map_err(|error| error.within(format!("{self}{wanted}")))
        })
    }

    /// It costs one GET.
    fn resolve_document<'a>(&'a self, pick: &'a Pick) -> BoxFuture<'a, Result<(Descriptor, Document)>> {
        Box::pin(async move {
            let wanted = Wanted::new(pick)?;
            let read = async {
                let (descriptor, body) = self.manifest_body(&wanted).await?.ok_or_else(no_manifest)?;
                let document = Document::parse(body, Some(&descriptor.media_type))?;
                Ok::<_, Error>((descriptor, document))
            };
            read.await.map_err(|error| error.within(format!("{self}{wanted}")))
        })
    }

    fn stat<'a>(&'a self, role: Role, digest: &'a Digest, intent: Intent) -> BoxFuture<'a, Result<Option<Descriptor>>> {
        if intent == Intent::Write {
            self.will_write();
        }
        Box::pin(async move {
            let found = match role {
                Role::Manifest => self.manifest(&Wanted::Digest(*digest)).await,
                Role::Blob => self.blob(digest).await,
            };
            found.map_err(|error| error.within(format!("{self}@{digest}")))
        })
    }

    fn fetch<'a>(&'a self, role: Role, digest: &'a Digest, options: FetchOptions) -> BoxFuture<'a, Result<Fetched>> {
        Box::pin(async move {
            download::fetch(self, role, digest, options)
                .await
                .map_err(|error| error.within(format!("{self}@{digest}")))
        })
    }

    fn browse(&self) -> Option<&dyn Browse> {
        Some(self)
    }

    fn local(&self) -> Option<&dyn Local> {
        None
    }

    /// A registry takes a manifest only when all that it names is there, but for those that allow sparse indexes, and those that lost
    /// something: what is asked costs a HEAD for each child, for which few would thank us.
    fn is_closed(&self) -> bool {
        true
    }

    fn origin(&self) -> Option<Origin> {
        Some(self.place())
    }
}

fn no_manifest() -> Error {
    Error::new(ErrorKind::NotFound, "the registry has no such manifest")
}

/// Which manifest of a repository.
#[derive(Clone, Debug)]
pub(super) enum Wanted {
    Tag(Tag),
    Digest(Digest),
}

impl Wanted {
    fn new(pick: &Pick) -> Result<Self> {
        match pick {
            Pick::Only => Ok(Self::Tag(Tag::latest())),
            Pick::Name(name) => Ok(Self::Tag(name.parse()?)),
            Pick::Digest(digest) => Ok(Self::Digest(*digest)),
            Pick::At(_) => Err(Error::new(
                ErrorKind::Unsupported,
                "images of a registry are not counted; give a tag or a digest",
            )),
        }
    }

    pub(super) fn path(&self) -> String {
        match self {
            Self::Tag(tag) => format!("manifests/{tag}"),
            Self::Digest(digest) => format!("manifests/{digest}"),
        }
    }

    /// The digest that an answer states, if it can be compared: where a pinned digest has another algorithm than the one that the registry
    /// prefers, the body tells.
    fn compare(&self, stated: Option<Digest>) -> Result<Option<Digest>> {
        match (self, stated) {
            (Self::Digest(wanted), Some(stated)) if wanted.algorithm() == stated.algorithm() && *wanted != stated => {
                Err(Error::new(
                    ErrorKind::Mismatch,
                    format!("the registry answers with another manifest, {stated}"),
                ))
            }
            (Self::Digest(wanted), Some(stated)) if *wanted == stated => Ok(stated.into()),
            (Self::Digest(_), _) => Ok(None),
            (Self::Tag(_), stated) => Ok(stated),
        }
    }
}

impl std::fmt::Display for Wanted {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tag(tag) => write!(formatter, ":{tag}"),
            Self::Digest(digest) => write!(formatter, "@{digest}"),
        }
    }
}

impl Repository {
    /// The descriptor of a manifest, by HEAD, or by GET where HEAD does not say enough.
    pub(super) async fn manifest(&self, wanted: &Wanted) -> Result<Option<Descriptor>> {
        let head = |url| Call::new(Method::HEAD, url).accepting_manifests();
        let answer = self.call(&wanted.path(), head).await?;
        match answer.status() {
            StatusCode::OK => {
                if let Some(descriptor) = described(&answer, wanted)? {
                    return Ok(Some(descriptor));
                }
            }
            StatusCode::NOT_FOUND => return Ok(None),
            // Registries that know no HEAD of a manifest.
            StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED | StatusCode::BAD_REQUEST => {}
            _ => return Err(self.registry().complaint(answer).await),
        }
        Ok(self.manifest_body(wanted).await?.map(|(descriptor, _)| descriptor))
    }

    /// A manifest itself, checked as far as it can be: against the digest asked for, or the one that the registry states (threat 65). By that the rest
    /// is asked for where the connection breaks.
    pub(super) async fn manifest_body(&self, wanted: &Wanted) -> Result<Option<(Descriptor, Bytes)>> {
        let get = |url| Call::new(Method::GET, url).accepting_manifests();
        let answer = self.call(&wanted.path(), get).await?;
        match answer.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Ok(None),
            _ => return Err(self.registry().complaint(answer).await),
        }
        let media_type = content_type(&answer);
        let stated = stated_digest(&answer)?;
        wanted.compare(stated)?;
        let asked = match wanted {
            Wanted::Digest(digest) => Some(*digest),
            Wanted::Tag(_) => None,
        };
        let body = match asked.or(stated) {
            Some(digest) => {
                let fetched = download::go_on_by(self, &digest, answer).await?;
                whole(fetched.reader, fetched.size, json::MAX_DOCUMENT, "manifest").await?
            }
            None => answer.body(json::MAX_DOCUMENT, "manifest").await?,
        };
        if let Some(media_type) = &media_type {
            Document::check_type(media_type)?;
        }
        for expected in [asked, stated].into_iter().flatten() {
            let found = expected.algorithm().digest(&body);
            if found != expected {
                // One of schema 1 that has another type, or none, is refused as such.
                if Document::is_schema1(&body) {
                    Document::parse(body, media_type.as_ref())?;
                }
                let message = format!("the registry calls a manifest {expected} whose digest is {found}");
                return Err(Error::new(ErrorKind::Mismatch, message));
            }
        }
        let digest = asked.or(stated).unwrap_or_else(|| Algorithm::default().digest(&body));
        let media_type = match media_type {
            Some(media_type) => media_type,
            None => Document::parse(body.clone(), None)?.media_type().clone(),
        };
        Ok(Some((Descriptor::new(media_type, digest, body.len() as u64), body)))
    }

    async fn blob(&self, digest: &Digest) -> Result<Option<Descriptor>> {
        let answer = self
            .call(&format!("blobs/{digest}"), |url| Call::new(Method::HEAD, url))
            .await?;
        match answer.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Ok(None),
            _ => return Err(self.registry().complaint(answer).await),
        }
        let size = match answer.content_length() {
            Some(size) => size,
            // Rare, and against distribution-spec: the answer to GET says it, and is not read.
            None => {
                let fetched = download::fetch(self, Role::Blob, digest, FetchOptions::default()).await?;
                fetched.size.ok_or_else(|| {
                    Error::new(
                        ErrorKind::Unsupported,
                        "the registry does not say how large the blob is",
                    )
                })?
            }
        };
        Ok(Some(Descriptor::new(octet_stream(), *digest, size)))
    }
}

/// What an answer to HEAD says of a manifest; none if that is not enough.
fn described(answer: &Answer, wanted: &Wanted) -> Result<Option<Descriptor>> {
    let digest = wanted.compare(stated_digest(answer)?)?;
    let (Some(media_type), Some(digest), Some(size)) = (content_type(answer), digest, answer.content_length()) else {
        return Ok(None);
    };
    if size > json::MAX_DOCUMENT {
        let limit = json::MAX_DOCUMENT;
        let message = format!("the manifest has {size} bytes, more than the limit of {limit}");
        return Err(Error::new(ErrorKind::TooLarge, message));
    }
    Ok(Some(Descriptor::new(media_type, digest, size)))
}

/// The type of a manifest, where the registry states one that a manifest can have: some say `application/json` or less.
fn content_type(answer: &Answer) -> Option<MediaType> {
    let stated = answer.header("content-type")?;
    let media_type = MediaType::from(stated.split(';').next().unwrap_or_default().trim());
    (media_type.is_document() || media_type.is_schema1()).then_some(media_type)
}

/// `Docker-Content-Digest`: what is there must be a digest; one of an algorithm that we do not know is as good as absent.
fn stated_digest(answer: &Answer) -> Result<Option<Digest>> {
    let Some(stated) = answer.header("docker-content-digest") else {
        return Ok(None);
    };
    match stated.split_once(':') {
        Some((algorithm, _)) if algorithm.parse::<Algorithm>().is_ok() => {
            stated.parse().map(Some).map_err(|error: teu_spec::DigestError| {
                let error = Error::new(ErrorKind::Invalid, format!("Docker-Content-Digest: {error}"));
                answer.secrets.hide_in(error)
            })
        }
        _ => Ok(None),
    }
}
