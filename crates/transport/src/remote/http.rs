//! How does one request get its answer? Connections, redirects by our own rule, and timeouts.
//!
//! There is no cookie jar and no decompression (threat 71): what comes is what was hashed when it was pushed. Credentials are sent to the
//! registry's own origin alone; a redirect elsewhere goes without (threats 56 and 57).

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use reqwest::{
    Body, Method, Request, Response,
    header::{ACCEPT_ENCODING, AUTHORIZATION, HeaderValue, LOCATION},
    redirect::Policy,
};
use rustls::RootCertStore;
use teu_store::{Error, ErrorKind, Event, Result};
use tokio::{sync::OnceCell, time::Instant};
use url::Url;

use super::{
    answer::Answer,
    broken::{Failure, failure},
    call::Call,
    origin::{self, Origin},
    proxy,
    resolve::{Resolver, Whereabouts, Whose},
    retry,
    secrets::Secrets,
    settings::{Settings, Timeouts, Tls},
    tls,
};

/// The most redirects that one request follows (threat 64).
const MAX_REDIRECTS: usize = 10;

/// The certificate authorities of [`Settings::roots`], read once and shared by all registries of a client.
pub(super) type SharedRoots = Arc<OnceCell<Arc<RootCertStore>>>;

/// Sends requests of one registry, there and to where it leads.
pub(super) struct Http {
    settings: Arc<Settings>,
    tls: Tls,
    roots: SharedRoots,
    /// The registry's own place, where it speaks TLS.
    registry: Origin,
    whereabouts: Arc<Whereabouts>,
    /// Hosts that the user chose, beside the registry's.
    chosen: Vec<String>,
    clients: Clients,
    held_until: Mutex<Option<Instant>>,
    secrets: Arc<Secrets>,
    /// Whether a connection that does not come about is tried again.
    insists: bool,
}

/// One client for each way to connect: they share no connections.
#[derive(Default)]
struct Clients {
    /// To the registry, showing it our certificate.
    known: OnceCell<reqwest::Client>,
    /// To the registry's host, by TLS.
    own: OnceCell<reqwest::Client>,
    /// To the registry's host, by plain HTTP.
    plain: OnceCell<reqwest::Client>,
    /// To wherever the registry leads, by TLS or not.
    foreign: OnceCell<reqwest::Client>,
}

impl Http {
    /// For the registry that is at `https` where it speaks TLS: only there the client certificate is shown. `chosen` are hosts that the
    /// user trusts as much.
    pub(super) fn new(
        settings: Arc<Settings>,
        tls: Tls,
        roots: SharedRoots,
        https: &Url,
        chosen: &[String],
        insists: bool,
    ) -> Self {
        // A port does not matter to a name's addresses.
        let bare = |host: &String| host.split(':').next().unwrap_or_default().to_owned();
        Self {
            chosen: chosen.iter().map(bare).chain(proxy::hosts(&settings.proxies)).collect(),
            settings,
            tls,
            roots,
            registry: Origin::of(https),
            whereabouts: Arc::new(Whereabouts::of(https)),
            clients: Clients::default(),
            held_until: Mutex::new(None),
            secrets: Arc::default(),
            insists,
        }
    }

    /// Sends a request and follows its redirects. `home` is the origin that `authorization` belongs to.
    pub(super) async fn send(
        &self,
        call: &Call,
        home: &Origin,
        authorization: Option<&HeaderValue>,
    ) -> std::result::Result<Answer, Failure> {
        let mut url = call.url.clone();
        let mut left_home = false;
        for _ in 0..=MAX_REDIRECTS {
            // Once led away, a request does not come back with credentials: who led it may have chosen what is asked.
            let is_own = home.has(&url) && !left_home;
            left_home |= !is_own;
            let mut request = Request::new(call.method.clone(), url.clone());
            *request.headers_mut() = call.headers.clone();
            if let (true, Some(authorization)) = (is_own, authorization) {
                self.secrets.keep_authorization(authorization);
                request.headers_mut().insert(AUTHORIZATION, authorization.clone());
            }
            if let Some(body) = &call.body {
                *request.body_mut() = Some(Body::from(body.clone()));
            }
            let answer = self
                .exchange(request, is_own, Some(self.settings.timeouts.answer))
                .await?;
            let Some(location) = redirect(&answer.response, &call.method) else {
                return Ok(answer);
            };
            if !call.follow {
                let message = format!(
                    "{} redirects a request that must not go elsewhere",
                    origin::authority(&url)
                );
                return Err(Failure::Refused(Error::new(ErrorKind::Refused, message)));
            }
            let next = (|| {
                let location = location.to_str().map_err(|_| {
                    Error::new(
                        ErrorKind::Invalid,
                        "the registry's redirect is refused: it is not ASCII",
                    )
                })?;
                let next = origin::join(&url, location, "redirect")?;
                origin::check_step(&url, &next, "redirect")?;
                Ok(next)
            })();
            url = next.map_err(|error| Failure::Refused(self.secrets.hide_in(error)))?;
        }
        let message = format!("the registry's redirects are refused: more than the limit of {MAX_REDIRECTS}");
        Err(Failure::Refused(Error::new(ErrorKind::Invalid, message)))
    }

    /// Sends a request, again and again where that may help.
    pub(super) async fn send_repeatedly(
        &self,
        call: &Call,
        home: &Origin,
        authorization: Option<&HeaderValue>,
    ) -> std::result::Result<Answer, Failure> {
        let mut number = 0;
        loop {
            self.pause().await;
            let outcome = self.send(call, home, authorization).await;
            let is_last = number >= self.settings.retry.times;
            let (reason, asked) = match &outcome {
                Ok(answer)
                    if retry::is_passing(answer.status().as_u16()) && (call.repeat || answer.status() == 429) =>
                {
                    (
                        format!("{} answers {}", origin::authority(&answer.url), answer.status()),
                        answer.header("retry-after").and_then(retry::asked),
                    )
                }
                Err(Failure::Connect(error)) if self.insists => (error.to_string(), None),
                Err(Failure::Broken(error)) if call.repeat => (error.to_string(), None),
                _ => return outcome,
            };
            if is_last {
                return outcome;
            }
            let wait = retry::wait(&self.settings.retry, number, asked);
            if let (Ok(answer), Some(_)) = (&outcome, asked)
                && answer.is_own
            {
                self.hold(wait);
            }
            drop(outcome);
            self.announce(reason, wait);
            tokio::time::sleep(wait).await;
            number += 1;
        }
    }

    /// What this registry was told and must not be shown.
    pub(super) fn secrets(&self) -> &Arc<Secrets> {
        &self.secrets
    }

    /// Tells that something failed and is tried again after `wait`.
    pub(super) fn announce(&self, reason: String, wait: Duration) {
        let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        (self.settings.events)(Event::Retry { reason, wait_ms });
    }

    /// Waits as long as the registry asked all of us to.
    async fn pause(&self) {
        let until = *self.held_until.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(until) = until {
            tokio::time::sleep_until(until).await;
        }
    }

    fn hold(&self, wait: Duration) {
        let until = Instant::now() + wait;
        let mut held = self.held_until.lock().unwrap_or_else(PoisonError::into_inner);
        *held = (*held).max(Some(until));
    }

    /// Sends a request whose body is a stream, once and without redirects: there is nothing to repeat it from. How long to wait for the
    /// answer is the caller's to say, who knows how the body gets on.
    pub(super) async fn stream(
        &self,
        mut request: Request,
        home: &Origin,
        authorization: Option<&HeaderValue>,
    ) -> std::result::Result<Answer, Failure> {
        let is_own = home.has(request.url());
        if let (true, Some(authorization)) = (is_own, authorization) {
            self.secrets.keep_authorization(authorization);
            request.headers_mut().insert(AUTHORIZATION, authorization.clone());
        }
        self.exchange(request, is_own, None).await
    }

    async fn exchange(
        &self,
        mut request: Request,
        is_own: bool,
        patience: Option<Duration>,
    ) -> std::result::Result<Answer, Failure> {
        let url = request.url().clone();
        request
            .headers_mut()
            .insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        let client = self.client(&url).await.map_err(Failure::Refused)?;
        // A connection whose answer was just read goes back to the pool by a task of its own: it may do so before another is opened.
        tokio::task::yield_now().await;
        let (method, begun) = (request.method().clone(), Instant::now());
        let execution = client.execute(request);
        let response = match patience {
            None => execution.await,
            Some(patience) => tokio::time::timeout(patience, execution).await.map_err(|_| {
                let host = origin::authority(&url);
                let message = format!("no answer from {host} for {} s", patience.as_secs_f32());
                Failure::Broken(Error::new(ErrorKind::Io, message))
            })?,
        };
        if self.settings.details {
            self.tell(&method, &url, &response, begun.elapsed());
        }
        let response = response.map_err(|error| failure(&url, error))?;
        let idle = self.settings.timeouts.idle;
        Ok(Answer {
            response,
            url,
            is_own,
            secrets: Arc::clone(&self.secrets),
            idle,
        })
    }

    /// Tells of a request and its answer who looks for a fault.
    fn tell(&self, method: &Method, url: &Url, response: &reqwest::Result<Response>, took: Duration) {
        let told = match response {
            Ok(response) => response.status().to_string(),
            Err(_) => "no answer".to_owned(),
        };
        let mut shown = url.clone();
        // What is behind the path may be a signature that lets whoever has it in.
        shown.set_query(None);
        let query = url.query().map_or("", |_| "?…");
        let _ = (shown.set_username(""), shown.set_password(None));
        (self.settings.events)(Event::Detail {
            // A redirect may lead to a path that holds what we sent.
            message: self
                .secrets
                .hide(&format!("{method} {shown}{query}: {told} ({} ms)", took.as_millis())),
        });
    }

    async fn client(&self, url: &Url) -> Result<&reqwest::Client> {
        let show = self.tls.client.is_some() && self.registry.has(url);
        let is_registry = self.registry.is_host_of(url);
        let is_plain = is_registry && url.scheme() == "http";
        let (cell, whose) = match is_registry {
            true if show => (&self.clients.known, Whose::Registry),
            true if is_plain => (&self.clients.plain, Whose::Registry),
            true => (&self.clients.own, Whose::Registry),
            false => (&self.clients.foreign, Whose::Anybody(self.chosen.clone())),
        };
        cell.get_or_try_init(|| async {
            // Who takes any certificate, or sees none, needs none to compare it with, and to read them takes longer than most requests. A proxy may
            // have one.
            let none = Arc::new(RootCertStore::empty());
            let needs_none = self.tls.skip_verify || is_plain && self.settings.proxies.http.is_none();
            let roots = match needs_none {
                true => &none,
                false => self.roots.get_or_try_init(|| tls::roots(&self.settings.roots)).await?,
            };
            let resolver = Resolver {
                known: self.settings.addresses.clone(),
                registry: Arc::clone(&self.whereabouts),
                whose,
            };
            build(&self.settings, tls::config(&self.tls, roots, show)?, resolver)
        })
        .await
    }
}

/// Where an answer leads, if it is a redirect that keeps the method: others would turn a PUT into a GET.
fn redirect<'a>(response: &'a Response, method: &Method) -> Option<&'a HeaderValue> {
    let follows = match response.status().as_u16() {
        301..=303 => matches!(*method, Method::GET | Method::HEAD),
        307 | 308 => true,
        _ => false,
    };
    response.headers().get(LOCATION).filter(|_| follows)
}

fn build(settings: &Settings, tls: rustls::ClientConfig, resolver: Resolver) -> Result<reqwest::Client> {
    let Timeouts { connect, .. } = settings.timeouts;
    let invalid =
        |error: reqwest::Error| Error::new(ErrorKind::Invalid, "the HTTP client cannot be set up").with_cause(error);
    // `no_proxy` also keeps reqwest from reading the environment, which is the caller's to do.
    let mut builder = reqwest::Client::builder()
        .user_agent(&settings.user_agent)
        .tls_backend_preconfigured(tls)
        .redirect(Policy::none())
        .referer(false)
        .no_proxy()
        .connect_timeout(connect)
        .dns_resolver(Arc::new(resolver))
        .tcp_nodelay(true)
        .http2_initial_stream_window_size(4 << 20)
        .http2_initial_connection_window_size(16 << 20);
    if let Some(proxy) = proxy::of(&settings.proxies)? {
        builder = builder.proxy(proxy);
    }
    builder.build().map_err(invalid)
}
