//! How is a request answered? It is read, led to its endpoint, and what comes of it is told in distribution-spec's words.

use std::{
    fmt,
    future::Future,
    net::SocketAddr,
    sync::{
        Arc, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header, request::Parts};
use teu_spec::Digest;
use teu_store::{ErrorKind, Intent, Repositories, Store, blocking::pieces};
use tokio::sync::RwLock;

use crate::{
    auth::{Caller, Gate, Known},
    body::{self, Body, Incoming},
    budget::{Budget, Room},
    direct::Passed,
    exchange::{Begun, Exchange, Observer, Why},
    handshakes::{FailedHandshake, HandshakeObserver},
    outgoing::Outgoing,
    problem::{Cause, Code, Login, Problem},
    reached::{Reached, Way},
    refused::Reason,
    route::{Query, Route, nowhere, route},
    settings::Settings,
    uploads::Uploads,
};

pub(crate) const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
/// Where tokens are issued.
const TOKEN: &str = "/token";
const API_VERSION: HeaderName = HeaderName::from_static("docker-distribution-api-version");

/// A registry: what answers requests. It knows nothing of connections, so that tests, and whoever has a server of their own, can ask it directly.
pub struct Registry {
    pub(crate) repositories: Arc<dyn Repositories>,
    pub(crate) settings: Settings,
    pub(crate) uploads: Uploads,
    pub(crate) budget: Budget,
    /// See [`Self::naming`].
    pub(crate) named: RwLock<()>,
    gate: Option<Arc<Gate>>,
    observer: Option<Observer>,
    connections: AtomicUsize,
    failed_logins: AtomicU64,
    unchecked_logins: AtomicU64,
    losses: AtomicU64,
    failed_handshakes: AtomicU64,
    handshakes: Option<HandshakeObserver>,
    /// What is under way is broken off.
    stopping: Arc<AtomicBool>,
}

/// How much is under way at this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gauges {
    /// Connections of clients.
    pub connections: usize,
    /// Bytes of manifests, forms and lists that there is no room for any more: see [`Limits::gathered`](crate::Limits::gathered).
    pub gathered: usize,
    /// Uploads that were begun, and are neither done nor forgotten; those that the place keeps for who goes on with them are none before
    /// somebody does.
    pub uploads: usize,
}

/// A connection that counts until this is dropped.
pub(crate) struct Connected(Arc<Registry>);

impl Drop for Connected {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A request, without its content.
pub(crate) struct Asked {
    /// GET where it is HEAD: what is left out of the answer is left out at last.
    pub(crate) method: Method,
    pub(crate) is_head: bool,
    pub(crate) headers: HeaderMap,
    pub(crate) query: Query,
    pub(crate) caller: Caller,
    /// What sends files on this connection, where it can.
    pub(crate) outgoing: Option<Outgoing>,
}

pub(crate) type Answer = Result<Response<Body>, Problem>;

impl Registry {
    /// A registry of these repositories, in which everybody may do what the settings allow. `observer` is told of each exchange.
    #[must_use]
    pub fn new(repositories: Arc<dyn Repositories>, settings: Settings, observer: Option<Observer>) -> Self {
        Self {
            uploads: Uploads::new(&settings.limits),
            budget: Budget::new(&settings.limits),
            named: RwLock::default(),
            repositories,
            settings,
            gate: None,
            observer,
            connections: AtomicUsize::new(0),
            failed_logins: AtomicU64::new(0),
            unchecked_logins: AtomicU64::new(0),
            losses: AtomicU64::new(0),
            failed_handshakes: AtomicU64::new(0),
            handshakes: None,
            stopping: Arc::default(),
        }
    }

    /// How often a user or a password was wrong.
    #[must_use]
    pub fn failed_logins(&self) -> u64 {
        self.failed_logins.load(Ordering::Relaxed)
    }

    /// How often a password was not checked, as too many waited to be.
    #[must_use]
    pub fn unchecked_logins(&self) -> u64 {
        self.unchecked_logins.load(Ordering::Relaxed)
    }

    /// How often a client was told that something is not here as its bytes are lost.
    #[must_use]
    pub fn losses(&self) -> u64 {
        self.losses.load(Ordering::Relaxed)
    }

    /// How often TLS was not agreed on, as one side refused what the other said.
    #[must_use]
    pub fn failed_handshakes(&self) -> u64 {
        self.failed_handshakes.load(Ordering::Relaxed)
    }

    /// Counts one of those, and tells of it.
    pub(crate) fn failed_handshake(&self, failed: &FailedHandshake) {
        self.failed_handshakes.fetch_add(1, Ordering::Relaxed);
        if let Some(handshakes) = &self.handshakes {
            handshakes(failed);
        }
    }

    /// How much is under way.
    #[must_use]
    pub fn gauges(&self) -> Gauges {
        Gauges {
            connections: self.connections.load(Ordering::Relaxed),
            gathered: self.budget.used(),
            uploads: self.uploads.count(),
        }
    }

    /// Counts a connection.
    pub(crate) fn connected(self: &Arc<Self>) -> Connected {
        self.connections.fetch_add(1, Ordering::Relaxed);
        Connected(Arc::clone(self))
    }

    /// The same, where nobody may do anything but what a gate lets through.
    #[must_use]
    pub fn behind(mut self, gate: Arc<Gate>) -> Self {
        self.gate = Some(gate);
        self
    }

    /// The same, where `observer` is told of each connection on which TLS was not agreed on.
    #[must_use]
    pub fn telling(mut self, observer: HandshakeObserver) -> Self {
        self.handshakes = Some(observer);
        self
    }

    /// Answers a request. What it writes is written to its end, also where nobody waits for the answer any more.
    pub async fn answer<B>(self: &Arc<Self>, request: Request<B>) -> Response<Body>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: fmt::Display,
    {
        let mut begun = Begun::new(&request, self.observer.as_ref(), &self.stopping);
        let (mut parts, content) = request.into_parts();
        let reached = &self.settings.reached;
        let way = (!reached.is_plain()).then(|| Way::of(&parts));
        let is_head = parts.method == Method::HEAD;
        let rest = parts.extensions.remove::<Passed>();
        let rest = rest.and_then(|rest| rest.lock().unwrap_or_else(PoisonError::into_inner).take());
        let content = Incoming::new(content, rest, self.settings.limits.body_idle);
        let (mut below_api, mut is_token) = (false, false);
        let outcome = match self.health(&parts).await {
            Some(outcome) => outcome,
            None => match reached.prefix.within(&parts.uri) {
                None => Err(nowhere()),
                Some(inner) => {
                    if let Some(inner) = inner {
                        parts.uri = inner;
                    }
                    below_api = parts.uri.path().starts_with("/v2");
                    is_token = parts.uri.path() == TOKEN;
                    self.work(&mut begun, parts, content).await
                }
            },
        };
        let mut response = outcome.unwrap_or_else(Problem::into_response);
        if let Some(Known(user)) = response.extensions_mut().remove() {
            begun.is_by(Some(&user));
        }
        if let Some(login) = response.extensions().get::<Login>() {
            let counted = match login {
                Login::Wrong => &self.failed_logins,
                Login::Unchecked => &self.unchecked_logins,
            };
            counted.fetch_add(1, Ordering::Relaxed);
        }
        if response.extensions().get::<Cause>().is_some_and(|cause| cause.is_loss) {
            self.losses.fetch_add(1, Ordering::Relaxed);
        }
        if let Some(way) = way {
            relocate(response.headers_mut(), reached, &way);
        }
        let headers = response.headers_mut();
        if below_api {
            headers.insert(API_VERSION, HeaderValue::from_static("registry/2.0"));
        }
        for name in self.settings.headers.keys() {
            if (below_api || is_token) && !headers.contains_key(name) {
                let values = self.settings.headers.get_all(name).iter();
                headers.extend(values.map(|value| (name.clone(), value.clone())));
            }
        }
        // Whoever pushed content chose what it looks like (threat 102).
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        if is_head {
            response = without_content(response);
        }
        begun.observed(response)
    }

    /// Answers a request that is refused before anything is done for it, and of whose head a part may be missing. No more is read of its connection.
    pub(crate) fn refuse<B>(&self, request: &Request<B>, reason: Reason) -> Response<Body> {
        let begun = Begun::new(request, self.observer.as_ref(), &self.stopping);
        let why = reason.words(&self.settings.limits);
        let mut response = Problem::new(reason.status(), Code::Unsupported, why.as_str()).into_response();
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(header::CONNECTION, close);
        response.extensions_mut().insert(Why(why));
        begun.observed(response)
    }

    /// Tells of one that the parser refused, and answered.
    pub(crate) fn refused(&self, peer: SocketAddr, reason: Reason) {
        if let Some(observer) = &self.observer {
            observer(&Exchange {
                peer: Some(peer),
                status: reason.status(),
                refused: Some(reason.words(&self.settings.limits)),
                ..Exchange::default()
            });
        }
    }

    /// Does what is asked, if who asks may.
    async fn work(self: &Arc<Self>, begun: &mut Begun, parts: Parts, content: Incoming) -> Answer {
        let caller = match &self.gate {
            None => Caller::anybody(),
            Some(gate) => gate.identify(&parts, &self.settings.reached).await?,
        };
        begun.is_by(caller.user());
        let reads = parts.method == Method::GET || parts.method == Method::HEAD;
        let registry = Arc::clone(self);
        let work = async move { registry.lead(parts, content, caller).await };
        match reads {
            // It changes nothing.
            true => work.await,
            // A connection that breaks drops what answers it, and a writer that is dropped at any point is one that nobody can go on with.
            false => finished(work).await,
        }
    }

    /// Forgets the uploads that were idle for too long; those that the place keeps are found there again. The memory that large content came through
    /// goes back to the system where none did since this was called last. [`serve`](crate::serve()) calls it now and then.
    pub fn expire(&self) {
        self.uploads.expire();
        pieces::tidy();
    }

    /// Ends all uploads: what was written of them is removed, unless the place keeps it for who goes on with them later. Says how many they were.
    pub async fn close(&self) -> usize {
        self.uploads.close().await
    }

    /// From now on what ends without an answer was broken off.
    pub(crate) fn breaks_off(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    async fn lead(self: Arc<Self>, parts: Parts, content: Incoming, caller: Caller) -> Answer {
        if parts.uri.path() == TOKEN && caller.issues() {
            return caller.token(&parts, content, &self.budget).await;
        }
        let route = route(parts.uri.path())?;
        let allowed = self.allowed(&route);
        if parts.method == Method::OPTIONS {
            // A browser asks what it may ask (Fetch, "CORS-preflight"), and shows nobody for that.
            let mut response = plain(StatusCode::OK);
            set(&mut response, header::ALLOW, allowed);
            return Ok(response);
        }
        let is_head = parts.method == Method::HEAD;
        let method = match parts.method {
            Method::HEAD => Method::GET,
            method => method,
        };
        if !route.means(&method) {
            return Err(Problem::not_allowed(allowed, format!("{method} means nothing here")));
        }
        let query = Query::read(parts.uri.query())?;
        caller.check(&method, is_head, &route, query.get("from"))?;
        if method == Method::DELETE && !matches!(route, Route::Upload(..)) && !self.deletes() {
            return Err(Problem::not_allowed(allowed, "nothing can be deleted here"));
        }
        if !matches!(method, Method::GET) && !self.settings.writable {
            return Err(Problem::not_allowed(allowed, "this registry can only be read"));
        }
        let asked = Asked {
            query,
            method,
            is_head,
            outgoing: parts.extensions.get().cloned(),
            headers: parts.headers,
            caller,
        };
        let outcome = match &route {
            Route::Base => Ok(json(StatusCode::OK, "{}".to_owned())),
            Route::Catalog => self.catalog(&asked).await,
            Route::Tags(name) => self.tags(name, &asked).await,
            Route::Referrers(name, digest) => self.referrers(name, digest, &asked).await,
            Route::Manifest(name, reference) => self.manifest(name, reference, &asked, content).await,
            Route::Blob(name, digest) => self.blob(name, digest, &asked).await,
            Route::Uploads(name) => self.begin(name, &asked, content).await,
            Route::Upload(name, id) => self.upload(name, id, &asked, content).await,
        };
        outcome.map_err(|problem| problem.about(&route))
    }

    fn deletes(&self) -> bool {
        self.settings.writable && self.settings.deletes
    }

    /// The methods that can be asked for at this moment (RFC 9110, 15.5.6), of those that mean something.
    fn allowed(&self, route: &Route) -> &'static str {
        match (route, self.settings.writable, self.deletes()) {
            (Route::Uploads(_), true, _) => "POST",
            (Route::Uploads(_), false, _) => "",
            (Route::Upload(..), true, _) => "GET, HEAD, PATCH, PUT, DELETE",
            (Route::Manifest(..), true, true) => "GET, HEAD, PUT, DELETE",
            (Route::Manifest(..), true, false) => "GET, HEAD, PUT",
            (Route::Blob(..), true, true) => "GET, HEAD, DELETE",
            _ => "GET, HEAD",
        }
    }

    /// A repository to read.
    pub(crate) async fn reading(&self, name: &str) -> Result<Arc<dyn Store>, Problem> {
        let opened = self.repositories.open(name, Intent::Read).await;
        opened.map_err(|error| Problem::reading(error, Code::NameUnknown))
    }

    /// A repository to write to.
    pub(crate) async fn writing(&self, name: &str) -> Result<Arc<dyn Store>, Problem> {
        let opened = self.repositories.open(name, Intent::Write).await;
        opened.map_err(|error| match error.kind() {
            ErrorKind::Denied => {
                let message = format!("there is no repository {name} here, and no push makes one");
                Problem::new(StatusCode::FORBIDDEN, Code::Denied, message)
            }
            _ => Problem::writing(error, Code::NameInvalid),
        })
    }
}

/// What comes of work that goes on where nobody waits for it any more.
async fn finished(work: impl Future<Output = Answer> + Send + 'static) -> Answer {
    match tokio::spawn(work).await {
        Ok(outcome) => outcome,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(_) => Err(Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            Code::Unknown,
            "the registry is stopping",
        )),
    }
}

impl Route {
    /// Whether a method means something there, HEAD being GET; be it allowed or not.
    fn means(&self, method: &Method) -> bool {
        let all: &[Method] = match self {
            Self::Base | Self::Catalog | Self::Tags(_) | Self::Referrers(..) => &[Method::GET],
            Self::Manifest(..) => &[Method::GET, Method::PUT, Method::DELETE],
            Self::Blob(..) => &[Method::GET, Method::DELETE],
            Self::Uploads(_) => &[Method::POST],
            Self::Upload(..) => &[Method::GET, Method::PATCH, Method::PUT, Method::DELETE],
        };
        all.contains(method)
    }
}

/// Says as clients reach it what an answer says of where things are.
fn relocate(headers: &mut HeaderMap, reached: &Reached, way: &Way) {
    let told = headers.get(header::LOCATION).and_then(|value| value.to_str().ok());
    let told = told
        .filter(|path| path.starts_with('/'))
        .map(|path| reached.location(way, path));
    if let Some(value) = told.and_then(|told| HeaderValue::from_str(&told).ok()) {
        headers.insert(header::LOCATION, value);
    }
    let link = headers.get(header::LINK).and_then(|value| value.to_str().ok());
    let link = link.and_then(|link| link.strip_prefix('<'));
    let link = link
        .filter(|path| path.starts_with('/'))
        .map(|path| format!("<{}", reached.path(path)));
    if let Some(value) = link.and_then(|link| HeaderValue::from_str(&link).ok()) {
        headers.insert(header::LINK, value);
    }
}

/// An answer without content.
pub(crate) fn plain(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(body::empty());
    *response.status_mut() = status;
    response
}

/// An answer in JSON.
pub(crate) fn json(status: StatusCode, text: String) -> Response<Body> {
    let mut response = Response::new(body::full(text.into()));
    *response.status_mut() = status;
    set(&mut response, header::CONTENT_TYPE, "application/json");
    response
}

/// The same of a list that there is room for.
pub(crate) async fn listed(budget: &Budget, room: Room, text: String) -> Answer {
    let text = budget.hold(room, text).await?;
    let mut response = Response::new(body::full(text));
    set(&mut response, header::CONTENT_TYPE, "application/json");
    Ok(response)
}

/// Sets a header. What cannot stand in one, which a name or a digest never is, is left out.
pub(crate) fn set(response: &mut Response<Body>, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

/// An answer that content is at its place: 201.
pub(crate) fn created(location: &str, digest: &Digest) -> Response<Body> {
    let mut response = plain(StatusCode::CREATED);
    set(&mut response, header::LOCATION, location);
    set(&mut response, CONTENT_DIGEST, &digest.to_string());
    response
}

/// The same headers, and the length that the content would have.
fn without_content(response: Response<Body>) -> Response<Body> {
    // No answer has a length that has no content whatever was asked (RFC 9110, 8.6).
    let length = http_body::Body::size_hint(response.body()).exact();
    let length = length.filter(|_| response.status() != StatusCode::NO_CONTENT);
    let mut response = response.map(|_| body::empty());
    if let (Some(length), false) = (length, response.headers().contains_key(header::CONTENT_LENGTH)) {
        response.headers_mut().insert(header::CONTENT_LENGTH, length.into());
    }
    response
}
