//! By TLS or in plain: how is a registry spoken to that may be spoken to either way?
//!
//! TLS is tried first, as plain HTTP shows a password to whoever looks on. At an address of this machine most registries speak plain HTTP, and a question
//! without credentials gives nothing away: there that comes first. But what listens on such a port may be a server of TLS, a proxy that knows hosts by
//! their names, or the near end of a tunnel (`ssh -L`, `kubectl port-forward`) that goes on over a wire. So plain HTTP is found only by what nobody
//! but a registry says; whatever else comes, TLS is tried too. And it is tried once before anything secret goes over plain HTTP.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
};

use reqwest::{Method, StatusCode, header::WWW_AUTHENTICATE};
use teu_store::{Error, ErrorKind, Result};
use url::Url;

use super::{
    answer::Answer, auth::Need, broken::Failure, call::Call, client::Registry, origin::Origin, resolve, retry,
    settings::PlainHttp,
};

/// Both ways to a registry, and which of them it was found to take.
pub(super) struct Schemes {
    /// `/v2/` by TLS.
    pub(super) https: Url,
    plain: Url,
    /// Whether it is at an address of this machine.
    is_here: bool,
    found: Mutex<Found>,
    /// Held by who tries TLS before a secret is said.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Found {
    Nothing,
    Https,
    /// It answers over plain HTTP; whether it speaks TLS too is not known.
    PlainAtLeast,
    Plain,
}

impl Schemes {
    pub(super) fn of(host: &str, allowed: PlainHttp, addresses: &HashMap<String, Vec<IpAddr>>) -> Result<Self> {
        let url = |scheme: &str| {
            Url::parse(&format!("{scheme}://{host}/v2/"))
                .map_err(|error| Error::new(ErrorKind::Invalid, format!("{host:?} is no host: {error}")))
        };
        let https = url("https")?;
        Ok(Self {
            is_here: resolve::is_here(&https, addresses),
            https,
            plain: url("http")?,
            found: Mutex::new(match allowed {
                PlainHttp::Never => Found::Https,
                PlainHttp::Always => Found::Plain,
                PlainHttp::Fallback => Found::Nothing,
            }),
            turn: tokio::sync::Mutex::default(),
        })
    }

    /// `/v2/`, by the scheme that the registry speaks as far as that is known.
    pub(super) fn base(&self) -> &Url {
        match self.found() {
            Found::Plain | Found::PlainAtLeast => &self.plain,
            Found::Nothing | Found::Https => &self.https,
        }
    }

    fn found(&self) -> Found {
        *self.lock()
    }

    fn find(&self, found: Found) {
        *self.lock() = found;
    }

    fn lock(&self) -> MutexGuard<'_, Found> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Registry {
    /// Finds out, where that is not known yet, which scheme the registry speaks, by a request without credentials: its answer, unless it is to be sent again.
    pub(super) async fn find_scheme(&self, call: &impl Fn(Url) -> Call) -> Result<Option<Answer>> {
        let schemes = &self.inner.schemes;
        if schemes.found() != Found::Nothing {
            return Ok(None);
        }
        let mut in_plain = None;
        if schemes.is_here {
            let (plain, outcome) = self.ask(call, &schemes.plain).await;
            if outcome.as_ref().is_ok_and(is_of_registry) {
                let mut found = schemes.lock();
                // Another request may know more by now.
                if *found == Found::Nothing {
                    *found = Found::PlainAtLeast;
                }
                drop(found);
                return settled(&plain, outcome);
            }
            in_plain = Some((plain, outcome));
        }
        let (https, outcome) = self.ask(call, &schemes.https).await;
        if speaks_tls(&outcome) {
            schemes.find(Found::Https);
            return settled(&https, outcome);
        }
        schemes.find(Found::Plain);
        match in_plain {
            Some((plain, outcome)) => settled(&plain, outcome),
            None => Ok(None),
        }
    }

    /// Before a secret goes over plain HTTP: whether TLS, which was not tried, is what the registry is spoken to by from now on. What it said over plain
    /// HTTP of how to log in is forgotten then.
    pub(super) async fn prefers_tls_for_secrets(&self, need: &Need) -> Result<bool> {
        let (schemes, auth) = (&self.inner.schemes, &self.inner.auth);
        if schemes.found() != Found::PlainAtLeast || !auth.knows_secret(&self.inner.http, need).await? {
            return Ok(false);
        }
        let _turn = schemes.turn.lock().await;
        if schemes.found() != Found::PlainAtLeast {
            return Ok(schemes.found() == Found::Https);
        }
        let (_, outcome) = self.ask(&|base| Call::new(Method::GET, base), &schemes.https).await;
        if !speaks_tls(&outcome) {
            schemes.find(Found::Plain);
            return Ok(false);
        }
        schemes.find(Found::Https);
        auth.forget();
        Ok(true)
    }

    /// Sends it once, without credentials.
    async fn ask(&self, call: &impl Fn(Url) -> Call, base: &Url) -> (Call, std::result::Result<Answer, Failure>) {
        let call = call(base.clone());
        let outcome = self.inner.http.send(&call, &Origin::of(base), None).await;
        (call, outcome)
    }
}

/// Whether an answer is one that a registry alone gives: neither one of a server of TLS, which may refuse plain HTTP by any status, nor one of a proxy that
/// knows no such host, nor one of wherever either leads.
fn is_of_registry(answer: &Answer) -> bool {
    let status = answer.status();
    let has = |name: &str| answer.response.headers().contains_key(name);
    answer.is_own
        && (status.is_success()
            || status == StatusCode::UNAUTHORIZED && has(WWW_AUTHENTICATE.as_str())
            || has("docker-distribution-api-version"))
}

/// Whether what came of TLS says that it is spoken there; an answer of any kind does.
fn speaks_tls(outcome: &std::result::Result<Answer, Failure>) -> bool {
    !matches!(outcome, Err(Failure::Connect(_) | Failure::Tls(_)))
}

/// The answer to a request that was sent once; none where to send it again may help.
fn settled(call: &Call, outcome: std::result::Result<Answer, Failure>) -> Result<Option<Answer>> {
    match outcome {
        Ok(answer) if call.repeat && retry::is_passing(answer.status().as_u16()) => Ok(None),
        Ok(answer) => Ok(Some(answer)),
        Err(Failure::Broken(error)) if !call.repeat => Err(error),
        Err(Failure::Refused(error)) => Err(error),
        Err(_) => Ok(None),
    }
}
