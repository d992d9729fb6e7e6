//! Which registry, and which repository of it? [`Client`], [`Registry`] and [`Repository`], and how they come from one another.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use reqwest::{Method, StatusCode, header::HeaderValue};
use teu_spec::Digest;
use teu_store::{Error, ErrorKind, Event, Events, Result};
use tokio::sync::Semaphore;
use url::Url;

use super::{
    answer::Answer,
    auth::{Authenticator, Need, Scope},
    call::Call,
    failure::{self, Complaint},
    http::{Http, SharedRoots},
    origin::Origin,
    scheme::Schemes,
    settings::{Access, Settings},
};

/// How often one request may be refused for want of authentication (threat 77): once to learn what is wanted, once for a token that ended.
const MAX_CHALLENGES: usize = 2;

/// What is common to all registries.
#[derive(Clone)]
pub struct Client {
    settings: Arc<Settings>,
    roots: SharedRoots,
    /// [`Inner::kept`].
    kept: Arc<AtomicUsize>,
}

impl Client {
    /// A client. Nothing is read or connected to before it is needed.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            settings: Arc::new(settings),
            roots: SharedRoots::default(),
            kept: Arc::default(),
        }
    }

    /// The registry `name`: `host` or `host:port`, as in [`teu_spec::Repository::registry`]. `docker.io` is where Docker keeps it,
    /// `registry-1.docker.io`.
    ///
    /// # Errors
    /// `Invalid` where it is no name of a host.
    pub fn registry(&self, name: &str, access: Access) -> Result<Registry> {
        Registry::new(self, name, access, true)
    }

    /// What is at a URL that is no registry's, such as the keys of who issues tokens: all of it, if it has no more than `limit` bytes. Redirects are
    /// followed, but to no plain HTTP; nothing is said of who asks.
    ///
    /// # Errors
    /// None says what the URL is, whose query may be a secret. `Invalid` where it is no URL of `http` or `https`; what kept us from reaching it, `TooLarge`, and `NotFound` where the answer is not 200.
    pub async fn document(&self, url: &str, access: Access, limit: u64) -> Result<Bytes> {
        let invalid = |why: String| Error::new(ErrorKind::Invalid, format!("that is no URL: {why}"));
        let parsed = Url::parse(url).map_err(|error| invalid(error.to_string()))?;
        if !matches!(parsed.scheme(), "http" | "https") {
            return Err(invalid("it is of neither http nor https".to_owned()));
        }
        let http = Http::new(
            Arc::clone(&self.settings),
            access.tls,
            self.roots.clone(),
            &parsed,
            &access.realms,
            false,
        );
        let call = Call::new(Method::GET, parsed.clone());
        let answer = http.send_repeatedly(&call, &Origin::of(&parsed), None).await?;
        match answer.status() {
            StatusCode::OK => answer.body(limit, "answer").await,
            status => Err(Error::new(ErrorKind::NotFound, format!("the answer is {status}"))),
        }
    }

    /// The same of a mirror: where it cannot be reached, another place is asked instead of it again.
    pub(super) fn mirror(&self, name: &str, access: Access) -> Result<Registry> {
        Registry::new(self, name, access, false)
    }

    /// Who is told of what happens: [`Settings::events`].
    #[must_use]
    pub fn events(&self) -> Events {
        self.settings.events.clone()
    }
}

/// One registry, spoken to as one user.
#[derive(Clone)]
pub struct Registry {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub(super) settings: Arc<Settings>,
    pub(super) http: Http,
    /// Held while a blob is downloaded, or uploaded. They are two, so that a copy within one registry cannot wait for itself.
    pub(super) downloads: Arc<Semaphore>,
    pub(super) uploads: Arc<Semaphore>,
    /// How many bytes all uploads of the client keep to send them again.
    pub(super) kept: Arc<AtomicUsize>,
    name: String,
    pub(super) schemes: Schemes,
    pub(super) auth: Authenticator,
    pub(super) chunk: Option<u64>,
}

impl Registry {
    fn new(client: &Client, name: &str, access: Access, insists: bool) -> Result<Self> {
        // Any path would do: it is the host that is checked.
        let checked = teu_spec::Repository::new(name, "check")?;
        let name = checked.registry().to_owned();
        let host = match name.as_str() {
            "docker.io" => "registry-1.docker.io",
            other => other,
        };
        let settings = client.settings.clone();
        let schemes = Schemes::of(host, access.plain_http, &settings.addresses)?;
        Ok(Self {
            inner: Arc::new(Inner {
                http: Http::new(
                    settings.clone(),
                    access.tls.clone(),
                    client.roots.clone(),
                    &schemes.https,
                    &access.realms,
                    insists,
                ),
                downloads: Arc::new(Semaphore::new(settings.transfers_per_registry.max(1))),
                uploads: Arc::new(Semaphore::new(settings.transfers_per_registry.max(1))),
                kept: client.kept.clone(),
                schemes,
                chunk: access.chunk,
                auth: Authenticator::new(&name, access),
                settings,
                name,
            }),
        })
    }

    /// Its name, as it was given.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// One of its repositories, by path: `library/alpine`.
    ///
    /// # Errors
    /// `Invalid` where the path is none that distribution-spec allows.
    pub fn repository(&self, path: &str) -> Result<Repository> {
        teu_spec::Repository::check_path(path)?;
        Ok(Repository {
            registry: self.clone(),
            path: path.into(),
            writes: Arc::default(),
            begun: Arc::default(),
            referrers_turn: Arc::default(),
        })
    }

    /// Asks the registry whether it knows us: `GET /v2/`, with the credentials that were given.
    ///
    /// # Errors
    /// `Unauthenticated` where it does not; what kept us from reaching it, and `Unsupported` where what is there is no registry.
    pub async fn ping(&self) -> Result<()> {
        let need = Need {
            repository: None,
            scopes: Vec::new(),
        };
        let answer = self.call(|base| Call::new(Method::GET, base), &need).await?;
        match answer.status() {
            StatusCode::OK => Ok(()),
            StatusCode::NOT_FOUND => {
                let message = format!("there is no registry of OCI's distribution-spec at {}", self.inner.name);
                Err(Error::new(ErrorKind::Unsupported, message))
            }
            _ => Err(self.complaint(answer).await),
        }
    }

    /// Sends a request, authenticated as the registry wants it and repeated as far as it may be. `call` makes it, from the URL of `/v2/`.
    pub(super) async fn call(&self, call: impl Fn(Url) -> Call, need: &Need) -> Result<Answer> {
        let inner = &*self.inner;
        let mut first = self.find_scheme(&call).await?;
        let mut refused: Option<(Option<HeaderValue>, Complaint)> = None;
        let mut times = 0..=MAX_CHALLENGES;
        while times.next().is_some() {
            let (authorization, answer) = match first.take() {
                Some(answer) => (None, answer),
                None => {
                    if self.prefers_tls_for_secrets(need).await? {
                        // What was refused was refused elsewhere.
                        (refused, times) = (None, 0..=MAX_CHALLENGES);
                    }
                    let authorization = inner.auth.authorization(&inner.http, need).await?;
                    // What was refused once is not sent again: some registries lock a user out.
                    if let Some((sent, complaint)) = refused.take()
                        && sent == authorization
                    {
                        return Err(complaint.into_error(&inner.name));
                    }
                    let base = self.base();
                    let (call, home) = (call(base.clone()), Origin::of(base));
                    let answer = inner.http.send_repeatedly(&call, &home, authorization.as_ref()).await?;
                    (authorization, answer)
                }
            };
            if answer.status() != StatusCode::UNAUTHORIZED || !answer.is_own {
                self.warn(&answer);
                return Ok(answer);
            }
            if !Origin::of(self.base()).has(&answer.url) {
                // It is spoken to by TLS by now, and will say there what it wants.
                refused = None;
                continue;
            }
            self.learn(&answer, need, authorization.as_ref())?;
            refused = Some((authorization, Complaint::read(answer).await));
        }
        let message = format!("{} refuses every token that it gave us", inner.name);
        Err(Error::new(ErrorKind::Unauthenticated, message))
    }

    /// `/v2/` of the registry, by the scheme that it speaks as far as that is known.
    pub(super) fn base(&self) -> &Url {
        self.inner.schemes.base()
    }

    /// What a registry complains of.
    pub(super) async fn complaint(&self, answer: Answer) -> Error {
        Complaint::read(answer).await.into_error(&self.inner.name)
    }

    /// Takes in what a 401 to a request wants that [`Self::call`] did not send.
    pub(super) fn learn(&self, answer: &Answer, need: &Need, sent: Option<&HeaderValue>) -> Result<()> {
        self.inner
            .auth
            .learn(&answer.url, answer.response.headers(), need, sent)
            .map_err(|error| answer.secrets.hide_in(error))
    }

    /// What to send along to be let in, if anything; it may have moved what is [`Self::base`].
    pub(super) async fn authorization(&self, need: &Need) -> Result<Option<HeaderValue>> {
        self.prefers_tls_for_secrets(need).await?;
        self.inner.auth.authorization(&self.inner.http, need).await
    }

    /// Passes on what the registry warns of (distribution-spec, "Warnings").
    fn warn(&self, answer: &Answer) {
        for warning in answer.response.headers().get_all("warning").iter().take(4) {
            let text = warning.to_str().ok().and_then(|text| text.strip_prefix("299 - "));
            if let Some(text) = text {
                let text = answer.secrets.hide(text.trim_matches('"'));
                let message = format!("{}: {}", self.inner.name, failure::escaped(&text));
                (self.inner.settings.events)(Event::Warning { message });
            }
        }
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Registry").field(&self.inner.name).finish()
    }
}

/// One repository: a store of manifests, blobs and tags.
#[derive(Clone)]
pub struct Repository {
    pub(super) registry: Registry,
    pub(super) path: Arc<str>,
    /// Whether anything was written yet: then tokens are asked for that let one write, so that one token does for all that follows.
    pub(super) writes: Arc<AtomicBool>,
    /// Uploads that were begun where a mount was declined.
    pub(super) begun: Arc<Mutex<HashMap<Digest, Url>>>,
    /// Held while the index that stands for the referrers API is written anew.
    pub(super) referrers_turn: Arc<tokio::sync::Mutex<()>>,
}

impl Repository {
    /// The registry that it is of.
    #[must_use]
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Its path: `library/alpine`.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }
}

impl Repository {
    /// Sends a request to `path` under the repository, for reading or, where that was said or done before, for writing.
    pub(super) async fn call(&self, path: &str, make: impl Fn(Url) -> Call) -> Result<Answer> {
        self.call_with(path, make, &self.need()).await
    }

    pub(super) async fn call_with(&self, path: &str, make: impl Fn(Url) -> Call, need: &Need) -> Result<Answer> {
        // Paths are made of names and digests, which hold nothing that would have to be escaped, and a query where there is one.
        let (path, query) = path
            .split_once('?')
            .map_or((path, None), |(path, query)| (path, Some(query)));
        let path = format!("/v2/{}/{path}", self.path);
        let make = |mut url: Url| {
            url.set_path(&path);
            if query.is_some() {
                url.set_query(query);
            }
            make(url)
        };
        self.registry.call(make, need).await
    }

    pub(super) fn need(&self) -> Need {
        let scope = if self.writes.load(Ordering::Relaxed) {
            Scope::push(&self.path)
        } else {
            Scope::pull(&self.path)
        };
        self.need_of(scope)
    }

    pub(super) fn need_of(&self, scope: Scope) -> Need {
        Need {
            repository: Some(self.path.clone()),
            scopes: vec![scope],
        }
    }

    /// From now on tokens are asked for that let one write.
    pub(super) fn will_write(&self) {
        self.writes.store(true, Ordering::Relaxed);
    }

    /// The repository as others compare it. The scheme is the one that the registry would best be spoken to by: whoever finds out later
    /// that it speaks plain HTTP alone has not moved.
    pub(super) fn place(&self) -> teu_store::Origin {
        teu_store::Origin {
            registry: Origin::of(&self.registry.inner.schemes.https).to_string(),
            repository: self.path.to_string(),
        }
    }

    pub(super) fn settings(&self) -> &Arc<Settings> {
        &self.registry.inner.settings
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.registry.inner.name, self.path)
    }
}

impl fmt::Debug for Repository {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Repository({self})")
    }
}
