//! Who are we to this registry? Basic, or tokens with scopes, got when the registry asks, kept, and renewed before they end.
//!
//! A registry says by its first 401 what it wants. Until then nothing is sent; afterwards every request brings what it needs at once.
//! Tokens: distribution's "Token Authentication Specification" (GET), and its OAuth2 form (POST) for identity tokens.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use reqwest::{
    Method,
    header::{CONTENT_TYPE, HeaderMap, HeaderValue, WWW_AUTHENTICATE},
};
use serde::Deserialize;
use teu_spec::json;
use teu_store::{Error, ErrorKind, Result};
use tokio::{sync::OnceCell, time::Instant};
use url::{Url, form_urlencoded};

use super::{
    call::Call,
    challenge::{self, Challenge},
    failure::Complaint,
    http::Http,
    origin::{self, Origin},
    secrets::Secrets,
    settings::{Access, Credential},
};

/// The largest answer of a token endpoint, in bytes (threat 79).
const MAX_TOKEN: u64 = 1 << 20;
/// The longest scope of a challenge that is passed on, in bytes.
const MAX_SCOPE: usize = 4 << 10;
/// How long a token holds whose giver does not say.
const DEFAULT_LIFE: Duration = Duration::from_secs(60);
/// How long before its end a token is renewed: it must outlast the way to the registry.
const MARGIN: Duration = Duration::from_secs(15);
/// Who we are to an OAuth2 endpoint.
const CLIENT_ID: &str = "teu";

/// Something that a request needs to be allowed: `repository:library/alpine:pull,push`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Scope {
    resource: String,
    actions: &'static [&'static str],
}

impl Scope {
    pub(super) fn pull(repository: &str) -> Self {
        Self::repository(repository, &["pull"])
    }

    pub(super) fn push(repository: &str) -> Self {
        Self::repository(repository, &["pull", "push"])
    }

    pub(super) fn delete(repository: &str) -> Self {
        Self::repository(repository, &["pull", "delete"])
    }

    pub(super) fn catalog() -> Self {
        Self {
            resource: "registry:catalog".to_owned(),
            actions: &["*"],
        }
    }

    fn repository(repository: &str, actions: &'static [&'static str]) -> Self {
        Self {
            resource: format!("repository:{repository}"),
            actions,
        }
    }

    fn covers(&self, other: &Self) -> bool {
        self.resource == other.resource && other.actions.iter().all(|action| self.actions.contains(action))
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.resource, self.actions.join(","))
    }
}

/// What a request needs: the repository whose credential is used, and the scopes.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Need {
    pub(super) repository: Option<Arc<str>>,
    pub(super) scopes: Vec<Scope>,
}

/// Knows who we are to one registry.
pub(super) struct Authenticator {
    registry: String,
    access: Access,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    mode: Mode,
    credentials: HashMap<Option<Arc<str>>, Arc<OnceCell<Option<Credential>>>>,
    needs: HashMap<Need, Known>,
}

/// How the registry wants us to say who we are.
#[derive(Clone, Default)]
enum Mode {
    /// It was not asked, or never wanted to know.
    #[default]
    Unknown,
    Basic,
    Bearer(Realm),
}

/// Where tokens come from.
#[derive(Clone)]
struct Realm {
    url: Url,
    service: Option<String>,
}

/// What is known of one need.
#[derive(Clone, Default)]
struct Known {
    /// The scope that the registry named itself: beside ours, as registries differ in what they call an action.
    named: Option<String>,
    token: Option<Token>,
    /// Held by who fetches the token, so that it is fetched once.
    flight: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Clone)]
pub(super) struct Token {
    header: HeaderValue,
    fresh_until: Instant,
}

impl Token {
    fn is_fresh(&self) -> bool {
        Instant::now() < self.fresh_until
    }
}

impl Authenticator {
    pub(super) fn new(registry: &str, access: Access) -> Self {
        Self {
            registry: registry.to_owned(),
            access,
            state: Mutex::default(),
        }
    }

    /// The value of `Authorization` for a request, if the registry wants one and we have one.
    pub(super) async fn authorization(&self, http: &Http, need: &Need) -> Result<Option<HeaderValue>> {
        let mode = self.state().mode.clone();
        match mode {
            Mode::Unknown => Ok(None),
            Mode::Basic => match self.credential(http, need).await? {
                Some(Credential::Basic { username, password }) => basic(&username, &password).map(Some),
                Some(Credential::Bearer(token)) => bearer(&token).map(Some),
                Some(Credential::IdentityToken(_)) => Err(Error::new(
                    ErrorKind::Unauthenticated,
                    format!(
                        "{} wants a password, and there is only an identity token; log in with `teu login {}`",
                        self.registry, self.registry
                    ),
                )),
                None => Ok(None),
            },
            Mode::Bearer(realm) => match self.credential(http, need).await? {
                Some(Credential::Bearer(token)) => bearer(&token).map(Some),
                credential => self.token(http, &realm, need, credential.as_ref()).await.map(Some),
            },
        }
    }

    /// Whether there is anything secret that it would say, as the registry wants to know who we are and we have an answer.
    pub(super) async fn knows_secret(&self, http: &Http, need: &Need) -> Result<bool> {
        let is_asked = !matches!(self.state().mode, Mode::Unknown);
        Ok(is_asked && self.credential(http, need).await?.is_some())
    }

    /// Forgets what the registry said of how to log in, and its tokens.
    pub(super) fn forget(&self) {
        let mut state = self.state();
        state.mode = Mode::Unknown;
        state.needs.clear();
    }

    /// Learns from a 401 what the registry at `url` wants. `sent` is what the refused request brought along.
    ///
    /// # Errors
    /// `Unauthenticated` where it wants nothing that we can give; `Denied` for a realm that is refused.
    pub(super) fn learn(&self, url: &Url, headers: &HeaderMap, need: &Need, sent: Option<&HeaderValue>) -> Result<()> {
        let mut challenges: Vec<Challenge> = Vec::new();
        for header in headers.get_all(WWW_AUTHENTICATE).iter().take(challenge::MAX_CHALLENGES) {
            challenges.extend(challenge::parse(header.as_bytes())?);
        }
        let mut state = self.state();
        if let Some(challenge) = challenges.iter().find(|challenge| challenge.scheme == "bearer") {
            let told = challenge.parameter("realm").ok_or_else(|| {
                Error::new(
                    ErrorKind::Invalid,
                    "the registry wants a token and does not say from where",
                )
            })?;
            let realm = Url::parse(told)
                .map_err(|_| ())
                .and_then(|_| origin::join(url, told, "token realm").map_err(|_| ()))
                .map_err(|()| {
                    Error::new(
                        ErrorKind::Invalid,
                        "the registry's token realm is no URL of http or https",
                    )
                })?;
            origin::check_realm(url, &realm, &self.access.realms)?;
            state.mode = Mode::Bearer(Realm {
                url: realm,
                service: challenge.parameter("service").map(str::to_owned),
            });
            let named = challenge.parameter("scope").filter(|scope| scope.len() <= MAX_SCOPE);
            state.needs.entry(need.clone()).or_default().named = named.map(str::to_owned);
            // What was refused is dropped, whatever it was got for; another request may have renewed it meanwhile.
            for known in state.needs.values_mut() {
                known.token.take_if(|token| Some(&token.header) == sent);
            }
            return Ok(());
        }
        if challenges.iter().any(|challenge| challenge.scheme == "basic") {
            state.mode = Mode::Basic;
            return Ok(());
        }
        let schemes: Vec<&str> = challenges.iter().map(|challenge| challenge.scheme.as_str()).collect();
        Err(Error::new(
            ErrorKind::Unauthenticated,
            match schemes[..] {
                [] => format!("{} refuses us and does not say how to log in", self.registry),
                _ => format!(
                    "{} wants to be authenticated to by {}, which is not supported: Basic and Bearer are",
                    self.registry,
                    super::failure::escaped(&schemes.join(", "))
                ),
            },
        ))
    }

    async fn credential(&self, http: &Http, need: &Need) -> Result<Option<Credential>> {
        let Some(source) = &self.access.credentials else {
            return Ok(None);
        };
        let cell = self
            .state()
            .credentials
            .entry(need.repository.clone())
            .or_default()
            .clone();
        let found = cell
            .get_or_try_init(|| source.lookup(&self.registry, need.repository.as_deref()))
            .await?;
        if let Some(credential) = found {
            http.secrets().keep_credential(credential);
        }
        Ok(found.clone())
    }

    async fn token(
        &self,
        http: &Http,
        realm: &Realm,
        need: &Need,
        credential: Option<&Credential>,
    ) -> Result<HeaderValue> {
        let flight = {
            let mut state = self.state();
            if let Some(token) = state.fresh(need) {
                return Ok(token);
            }
            state.needs.entry(need.clone()).or_default().flight.clone()
        };
        let _flight = flight.lock().await;
        let named = {
            let state = self.state();
            if let Some(token) = state.fresh(need) {
                return Ok(token);
            }
            state.needs.get(need).and_then(|known| known.named.clone())
        };
        let asked = Instant::now();
        let answer = fetch(http, realm, &scopes(need, named.as_deref()), credential)
            .await
            .map_err(|error| error.within(format!("asking {} for a token", origin::authority(&realm.url))))?;
        let token = answer.into_token(asked)?;
        let header = token.header.clone();
        self.state().needs.entry(need.clone()).or_default().token = Some(token);
        Ok(header)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that is done under the lock can be left half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// A token that is still good and that allows what is needed, be it more.
    fn fresh(&self, need: &Need) -> Option<HeaderValue> {
        self.needs.iter().find_map(|(have, known)| {
            let covers = have.repository == need.repository
                && need
                    .scopes
                    .iter()
                    .all(|scope| have.scopes.iter().any(|wide| wide.covers(scope)));
            let token = known.token.as_ref().filter(|token| covers && token.is_fresh())?;
            Some(token.header.clone())
        })
    }
}

/// The scopes to ask for: ours, and those that the registry named and that ours do not say already.
fn scopes(need: &Need, named: Option<&str>) -> Vec<String> {
    let mut scopes: Vec<String> = need.scopes.iter().map(Scope::to_string).collect();
    let is_scope = |scope: &&str| {
        scope
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\')
    };
    for scope in named.into_iter().flat_map(str::split_ascii_whitespace).filter(is_scope) {
        if !scopes.iter().any(|have| have == scope) {
            scopes.push(scope.to_owned());
        }
    }
    scopes
}

async fn fetch(http: &Http, realm: &Realm, scopes: &[String], credential: Option<&Credential>) -> Result<TokenAnswer> {
    let home = Origin::of(&realm.url);
    let (call, authorization) = match credential {
        Some(Credential::IdentityToken(identity)) => {
            let mut form = form_urlencoded::Serializer::new(String::new());
            form.append_pair("grant_type", "refresh_token")
                .append_pair("client_id", CLIENT_ID)
                .append_pair("refresh_token", identity);
            if let Some(service) = &realm.service {
                form.append_pair("service", service);
            }
            if !scopes.is_empty() {
                form.append_pair("scope", &scopes.join(" "));
            }
            let call = Call::new(Method::POST, realm.url.clone())
                .header(
                    CONTENT_TYPE,
                    HeaderValue::from_static("application/x-www-form-urlencoded"),
                )
                .body(Bytes::from(form.finish()))
                // The identity token is in the body: it must not follow a redirect anywhere.
                .stay();
            (call, None)
        }
        other => {
            let mut url = realm.url.clone();
            {
                let mut query = url.query_pairs_mut();
                if let Some(service) = &realm.service {
                    query.append_pair("service", service);
                }
                for scope in scopes {
                    query.append_pair("scope", scope);
                }
                if let Some(Credential::Basic { username, .. }) = other {
                    query.append_pair("account", username);
                }
            }
            let authorization = match other {
                Some(Credential::Basic { username, password }) => Some(basic(username, password)?),
                _ => None,
            };
            (Call::new(Method::GET, url), authorization)
        }
    };
    let answer = http.send_repeatedly(&call, &home, authorization.as_ref()).await?;
    if !answer.status().is_success() {
        let host = origin::authority(&realm.url);
        return Err(Complaint::read(answer).await.into_error(&host));
    }
    let body = answer.body(MAX_TOKEN, "token").await?;
    TokenAnswer::read(&body, http.secrets())
}

/// What a token endpoint answers. Old ones call it `token`, OAuth2 `access_token`, many say both.
#[derive(Deserialize)]
pub(super) struct TokenAnswer {
    #[serde(default)]
    token: Option<String>,
    #[serde(default)]
    access_token: Option<String>,
    #[serde(default)]
    expires_in: Option<f64>,
}

impl TokenAnswer {
    pub(super) fn read(body: &[u8], secrets: &Secrets) -> Result<Self> {
        let unreadable = |cause: String| {
            let error = Error::new(ErrorKind::Invalid, "the token cannot be read");
            error.with_cause(super::failure::escaped(&secrets.hide(&cause)))
        };
        json::check(body, json::Shape::Any).map_err(|error| unreadable(error.to_string()))?;
        serde_json::from_slice(body).map_err(|error| unreadable(error.to_string()))
    }

    pub(super) fn into_token(self, asked: Instant) -> Result<Token> {
        let token = [self.token, self.access_token]
            .into_iter()
            .flatten()
            .find(|token| !token.is_empty())
            .ok_or_else(|| Error::new(ErrorKind::Invalid, "the token endpoint's answer holds no token"))?;
        let life = match self.expires_in {
            Some(seconds) if seconds > 0.0 => Duration::try_from_secs_f64(seconds).unwrap_or(DEFAULT_LIFE),
            _ => DEFAULT_LIFE,
        };
        // A year is for ever, and no clock overflows.
        let life = life.min(Duration::from_secs(365 * 24 * 3600));
        Ok(Token {
            header: bearer(&token)?,
            fresh_until: asked + life - MARGIN.min(life / 4),
        })
    }
}

fn basic(username: &str, password: &str) -> Result<HeaderValue> {
    secret(&format!("Basic {}", STANDARD.encode(format!("{username}:{password}"))))
}

fn bearer(token: &str) -> Result<HeaderValue> {
    secret(&format!("Bearer {token}"))
}

fn secret(text: &str) -> Result<HeaderValue> {
    let mut value = HeaderValue::from_str(text)
        .map_err(|_| Error::new(ErrorKind::Invalid, "a token holds characters that no header may hold"))?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_cover_each_other() {
        let (pull, push, other) = (Scope::pull("a"), Scope::push("a"), Scope::push("b"));
        assert!(push.covers(&pull) && !pull.covers(&push) && !other.covers(&pull));
        assert_eq!(push.to_string(), "repository:a:pull,push");
        assert_eq!(Scope::catalog().to_string(), "registry:catalog:*");
        let need = Need {
            repository: None,
            scopes: vec![pull],
        };
        assert_eq!(
            scopes(&need, Some("repository:a:pull repository:a:* \"x")),
            ["repository:a:pull", "repository:a:*"]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn tokens_are_renewed_before_they_end() {
        let answer = |expires_in| TokenAnswer {
            token: Some("t".to_owned()),
            access_token: None,
            expires_in,
        };
        let asked = Instant::now();
        for (expires_in, fresh) in [
            (None, 45),
            (Some(300.0), 285),
            (Some(20.0), 15),
            (Some(-1.0), 45),
            (Some(f64::NAN), 45),
        ] {
            let token = answer(expires_in).into_token(asked).unwrap();
            assert_eq!(token.fresh_until - asked, Duration::from_secs(fresh), "{expires_in:?}");
        }
        let token = answer(Some(40.0)).into_token(asked).unwrap();
        tokio::time::advance(Duration::from_secs(29)).await;
        assert!(token.is_fresh());
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(!token.is_fresh());
        assert!(answer(Some(1e300)).into_token(asked).is_ok());
    }
}
