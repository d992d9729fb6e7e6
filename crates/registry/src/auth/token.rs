//! What may the bearer of this do? Tokens as Docker's registries have them: JWTs (RFC 7519) that name repositories and what may be done there.

use std::{
    collections::BTreeSet,
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use serde_json::json;
use teu_spec::{json, json::Shape};
use teu_store::Result;

use super::{
    keys::{Keys, SigningKey},
    policy::Action,
};

/// How far clocks may be apart.
pub(super) const LEEWAY: Duration = Duration::from_secs(60);
/// The longest token, in bytes: it has room in a request's head.
const MAX_TOKEN: usize = 32 << 10;
/// What a refresh token is for beside the service: nothing but more tokens.
const REFRESH: &str = "refresh ";
/// The most scopes of a request for a token.
pub(crate) const MAX_SCOPES: usize = 100;

/// Whose tokens are good.
#[derive(Clone, Debug)]
pub struct Trusted {
    /// The issuer that they name.
    pub issuer: String,
    /// For whom they are: what this registry is called.
    pub service: String,
    /// What they are signed with.
    pub keys: Keys,
}

/// What a token says of who has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Claims {
    /// Who it is; none where it is nobody in particular.
    pub(crate) user: Option<String>,
    pub(crate) scopes: Vec<Scope>,
    /// The mark of the password that they showed; none where they showed something else, or nothing.
    pub(crate) mark: Option<String>,
}

/// Something, and what may be done with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Scope {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) actions: Vec<String>,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    #[serde(default)]
    kid: Option<String>,
    /// What must be understood, and is not.
    #[serde(default)]
    crit: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct Body {
    iss: String,
    aud: Audience,
    #[serde(default)]
    sub: Option<String>,
    exp: f64,
    #[serde(default)]
    nbf: Option<f64>,
    #[serde(default)]
    access: Option<Vec<Scope>>,
    /// The mark of a password that was shown. What older versions called `mark` may be of one that nobody showed, beside a certificate.
    #[serde(default)]
    password: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

impl Trusted {
    /// What a token says, if it is good now.
    ///
    /// # Errors
    /// Why it is not, in words that say nothing of what is in it.
    pub(crate) fn check(&self, token: &str, now: SystemTime) -> std::result::Result<Claims, &'static str> {
        let body = self.body(token, &self.service, now)?;
        Ok(Claims {
            user: body.sub.filter(|user| !user.is_empty()),
            scopes: body.access.unwrap_or_default(),
            mark: body.password,
        })
    }

    /// Whom a refresh token is of, and the mark of their password when it was issued.
    ///
    /// # Errors
    /// As those of [`Self::check`].
    pub(crate) fn check_refresh(
        &self,
        token: &str,
        now: SystemTime,
    ) -> std::result::Result<(String, String), &'static str> {
        let body = self.body(token, &format!("{REFRESH}{}", self.service), now)?;
        body.sub.zip(body.password).ok_or("the token is no refresh token")
    }

    fn body(&self, token: &str, audience: &str, now: SystemTime) -> std::result::Result<Body, &'static str> {
        if token.len() > MAX_TOKEN {
            return Err("the token is too long");
        }
        let (signed, signature) = token.rsplit_once('.').ok_or("the token is no JWT")?;
        let (header, body) = signed.split_once('.').ok_or("the token is no JWT")?;
        let header: Header = part(header).ok_or("the token is no JWT")?;
        if header.crit.is_some() {
            return Err("the token asks for what is not understood here");
        }
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| "the token is no JWT")?;
        let id = header.kid.as_deref();
        if !self.keys.signed(id, &header.alg, signed.as_bytes(), &signature) {
            return Err("the token was not signed by a key that is trusted here");
        }
        // From here on it is the issuer's word.
        let body: Body = part(body).ok_or("the token does not say all that it must")?;
        if body.iss != self.issuer {
            return Err("the token is of another issuer");
        }
        if !body.aud.is(audience) {
            return Err("the token is for another service");
        }
        let now = seconds(now);
        let leeway = LEEWAY.as_secs_f64();
        if now >= body.exp + leeway {
            return Err("the token has expired");
        }
        if body.nbf.is_some_and(|begin| now + leeway < begin) {
            return Err("the token is not good yet");
        }
        Ok(body)
    }
}

impl Audience {
    fn is(&self, service: &str) -> bool {
        match self {
            Self::One(one) => one == service,
            Self::Many(services) => services.iter().any(|one| one == service),
        }
    }
}

fn part<T: for<'a> Deserialize<'a>>(text: &str) -> Option<T> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    json::check(&bytes, Shape::Any).ok()?;
    serde_json::from_slice(&bytes).ok()
}

fn seconds(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs_f64()
}

/// A token that says this.
///
/// # Errors
/// `Io` where the system has no random numbers.
pub(crate) fn issue(
    key: &SigningKey,
    trusted: &Trusted,
    claims: &Claims,
    now: SystemTime,
    lifetime: Duration,
) -> Result<String> {
    let now = seconds(now).floor() as u64;
    let mut body = json!({
        "iss": trusted.issuer,
        "aud": trusted.service,
        "sub": claims.user.as_deref().unwrap_or_default(),
        "iat": now,
        "nbf": now,
        "exp": now + lifetime.as_secs(),
        "access": claims.scopes,
    });
    if let Some(mark) = &claims.mark {
        body["password"] = mark.as_str().into();
    }
    signed(key, body)
}

/// A token that gets its user others, as long as their password has this mark.
///
/// # Errors
/// `Io` where the system has no random numbers.
pub(crate) fn issue_refresh(
    key: &SigningKey,
    trusted: &Trusted,
    (user, mark): (&str, &str),
    now: SystemTime,
    lifetime: Duration,
) -> Result<String> {
    let now = seconds(now).floor() as u64;
    let body = json!({
        "iss": trusted.issuer,
        "aud": format!("{REFRESH}{}", trusted.service),
        "sub": user,
        "iat": now,
        "exp": now + lifetime.as_secs(),
        "password": mark,
    });
    signed(key, body)
}

fn signed(key: &SigningKey, body: serde_json::Value) -> Result<String> {
    let header = json!({"typ": "JWT", "alg": key.algorithm(), "kid": key.id()});
    let encoded = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", encoded(header), encoded(body));
    let signature = key.sign(signed.as_bytes())?;
    Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

impl Claims {
    /// Whether this may be done in a repository. Overwriting is pushing here; listing is reading.
    pub(crate) fn grant(&self, action: Action, repository: &str) -> bool {
        let named = match action {
            Action::Pull | Action::List => "pull",
            Action::Push | Action::Overwrite => "push",
            Action::Delete => "delete",
        };
        self.has("repository", repository, named)
    }

    /// Whether all repositories may be listed.
    pub(crate) fn grant_catalog(&self) -> bool {
        self.has("registry", "catalog", "*")
    }

    fn has(&self, kind: &str, name: &str, action: &str) -> bool {
        let is_it = |scope: &&Scope| scope.kind == kind && scope.name == name;
        let mut actions = self.scopes.iter().filter(is_it).flat_map(|scope| &scope.actions);
        actions.any(|granted| granted == action || granted == "*")
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}:{}", self.kind, self.name, self.actions.join(","))
    }
}

/// Reads what a client asks for: `repository:team/app:pull,push`, several behind spaces (distribution's "Token Scope Documentation").
pub(crate) fn scopes(text: &str) -> Vec<Scope> {
    let read = |scope: &str| {
        let (kind, rest) = scope.split_once(':')?;
        // A name may have a port, and so a colon.
        let (name, actions) = rest.rsplit_once(':')?;
        let actions: BTreeSet<&str> = actions.split(',').filter(|action| !action.is_empty()).collect();
        Some(Scope {
            // `repository(plugin)` is one of a kind.
            kind: kind.split('(').next().unwrap_or(kind).to_owned(),
            name: name.to_owned(),
            actions: actions.into_iter().map(str::to_owned).collect(),
        })
    };
    text.split(' ')
        .filter(|scope| !scope.is_empty())
        .filter_map(read)
        .take(MAX_SCOPES)
        .collect()
}

#[cfg(test)]
mod tests;
