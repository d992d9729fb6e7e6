//! Who asks, and may they? A [`Gate`] stands before a registry and holds what is believed and allowed, a [`Guard`], which is replaced as a
//! whole when what it was made of has changed.
//!
//! Who asks is told by a password ([`Passwords`]), a token ([`Tokens`], of our own issuing or another's) or a certificate; what they may do by
//! a [`Policy`]. Where there is none, whoever is known may do everything, and who is not nothing. A token does no more than it says *and* the
//! policy allows now: a right that was taken away is gone before the token is.
//!
//! Who may not is told 401 with how to log in where that could help, else 403. Neither says whether there is anything.

mod caller;
mod issue;
mod keys;
mod passwords;
mod policy;
mod queue;
mod remembered;
mod token;

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, SystemTime},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{header, request::Parts};
use teu_store::{Error, ErrorKind};

pub(crate) use caller::Caller;
pub(crate) use issue::Known;
pub use keys::{Keys, SigningKey};
pub use passwords::Passwords;
pub use policy::{Action, Policy, Verdict};
pub use token::Trusted;
#[cfg(feature = "fuzz")]
pub(crate) use token::{MAX_SCOPES, scopes};

use self::{
    queue::Asker,
    token::{Claims, LEEWAY},
};
use crate::{
    exchange::Peer,
    problem::{Login, Problem},
    reached::{Reached, Way},
};

/// What is believed of who asks, and what they may do.
#[derive(Default)]
pub struct Guard {
    /// What those who are asked for a password are told that it is for; `teu` where it is empty.
    pub realm: String,
    /// Users and their passwords.
    pub passwords: Option<Arc<Passwords>>,
    /// Tokens that are believed.
    pub tokens: Option<Tokens>,
    /// Whether a client's certificate says by its common name who asks.
    pub certificates: bool,
    /// Who may do what. Where there is none, whoever is known may do everything.
    pub policy: Option<Policy>,
}

/// Tokens that are believed, and where clients get them.
pub struct Tokens {
    /// Whose they are.
    pub trusted: Trusted,
    /// Where clients get them, a URL. Needed where another issues them; else it is `/token` of this registry, as the client reaches it.
    pub realm: Option<String>,
    /// What is issued here.
    pub issuer: Option<Issuer>,
}

/// How tokens are issued here, at `/token`: to whoever has a password or a certificate, and to nobody in particular. By GET as Docker's protocol has
/// it, and by POST as OAuth 2 does.
pub struct Issuer {
    /// What they are signed with.
    pub key: Arc<SigningKey>,
    /// How long they are good.
    pub lifetime: Duration,
    /// How long a client may ask for more with what it gets beside a token when it asks for that, a refresh token, and need not keep the password.
    /// It is good as long as the user has the password that they showed then, and given to nobody who showed a certificate instead: it would be good
    /// after that has expired. None where there is no such thing: it would not outlive a key that is made for one run.
    pub refresh: Option<Duration>,
}

/// What stands before a registry.
pub struct Gate(RwLock<Standing>);

/// What is believed at this moment.
#[derive(Clone)]
struct Standing {
    guard: Arc<Guard>,
    /// Whose tokens were issued here before the key was another.
    former: Option<Arc<Former>>,
}

/// Tokens that were issued here by a key which signs no more.
struct Former {
    trusted: Trusted,
    /// When the last of them has expired.
    until: SystemTime,
}

impl fmt::Debug for Gate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Gate")
    }
}

impl Gate {
    /// A gate with this guard.
    #[must_use]
    pub fn new(guard: Guard) -> Self {
        Self(RwLock::new(Standing {
            guard: Arc::new(guard),
            former: None,
        }))
    }

    /// Has another guard from the next request on. Who was let in by a password a moment ago need not be checked anew where the user's hash is the same.
    /// Where tokens are signed by another key, those that were issued before to who showed a password are good until they expire; others are not.
    pub fn replace(&self, mut guard: Guard) {
        // It is replaced as a whole, so what a panic elsewhere left is whole.
        let mut now = self.0.write().unwrap_or_else(PoisonError::into_inner);
        guard.passwords = match (guard.passwords, &now.guard.passwords) {
            (Some(passwords), Some(before)) => Some(passwords.after(before)),
            (passwords, _) => passwords,
        };
        let former = now.former(&guard);
        *now = Standing {
            guard: Arc::new(guard),
            former,
        };
    }

    fn standing(&self) -> Standing {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Finds out who asks.
    ///
    /// # Errors
    /// 401 where what they show is wrong: that is no way to be nobody in particular.
    pub(crate) async fn identify(&self, parts: &Parts, reached: &Reached) -> Result<Caller, Problem> {
        let standing = self.standing();
        let guard = Arc::clone(&standing.guard);
        let way = guard.tokens.as_ref().map(|_| reached.realm(&Way::of(parts)));
        let mut shown = parts.headers.get_all(header::AUTHORIZATION).iter();
        let Some(first) = shown.next() else {
            let peer = parts.extensions.get::<Peer>();
            let name = peer.and_then(|peer| peer.common_name.as_deref());
            let user = name.filter(|_| guard.certificates).map(str::to_owned);
            return Ok(Caller::new(guard, way, user, None));
        };
        let nobody = Caller::new(Arc::clone(&guard), way.clone(), None, None);
        let refused = |why: &str| Err(nobody.unknown(why));
        let text = first.to_str().ok().filter(|_| shown.next().is_none());
        let Some((scheme, shown)) = text.and_then(|text| text.split_once(' ')) else {
            return refused("the Authorization cannot be read");
        };
        if scheme.eq_ignore_ascii_case("basic") {
            let Some(passwords) = &guard.passwords else {
                return refused("there are no passwords here");
            };
            let Some((user, password)) = basic(shown) else {
                return refused("the Authorization cannot be read");
            };
            if user.is_empty() && password.is_empty() {
                // So do skopeo and Podman say that they have nothing to show.
                return Ok(nobody);
            }
            let is_right = passwords.are(&user, &password, &Asker::of(parts)).await;
            return match is_right.map_err(unchecked)? {
                true => Ok(Caller::new(Arc::clone(&guard), way, Some(user), None).by_password()),
                false => Err(nobody.wrong_password()),
            };
        }
        if scheme.eq_ignore_ascii_case("bearer") {
            let Some(tokens) = &guard.tokens else {
                return refused("there are no tokens here");
            };
            return match standing.check(tokens, shown.trim(), SystemTime::now()) {
                Ok(claims) => Ok(Caller::new(Arc::clone(&guard), way, claims.user.clone(), Some(claims))),
                Err(why) => refused(why),
            };
        }
        refused("that way of logging in is not known here")
    }
}

impl Standing {
    /// Whose tokens are good until they expire, where this guard comes next.
    fn former(&self, next: &Guard) -> Option<Arc<Former>> {
        let (now, next) = (self.guard.tokens.as_ref()?, next.tokens.as_ref()?);
        let (issuer, other) = (now.issuer.as_ref()?, next.issuer.as_ref()?);
        match issuer.key.id() == other.key.id() {
            true => self.former.clone(),
            false => Some(Arc::new(Former {
                trusted: now.trusted.clone(),
                until: SystemTime::now() + issuer.lifetime + LEEWAY,
            })),
        }
    }

    /// What a token says, if it is good now.
    fn check(&self, tokens: &Tokens, token: &str, now: SystemTime) -> Result<Claims, &'static str> {
        let former = self.former.as_ref().filter(|former| now < former.until);
        let claims = tokens.trusted.check(token, now).or_else(|why| match former {
            // Who has the key that may have been replaced for that knows no password's mark.
            Some(former) => former
                .trusted
                .check(token, now)
                .ok()
                .filter(|claims| claims.mark.is_some())
                .ok_or(why),
            None => Err(why),
        })?;
        // What another issues is the other's word alone.
        match (&claims.mark, &claims.user, &tokens.issuer) {
            (Some(mark), Some(user), Some(_)) if self.guard.mark(user).as_ref() != Some(mark) => {
                Err("the password is another since then; log in again")
            }
            _ => Ok(claims),
        }
    }
}

impl Guard {
    /// What tells a user's password from others; none where there is no such user.
    fn mark(&self, user: &str) -> Option<String> {
        self.passwords.as_ref()?.mark(user)
    }

    /// Whether somebody may do something, as far as it does not hang on a token.
    fn permits(&self, user: Option<&str>, action: Action, repository: &str) -> bool {
        match &self.policy {
            Some(policy) => policy.judge(user, action, repository) != Verdict::Denied,
            None => user.is_some(),
        }
    }

    /// Whether there is a way to become known that a client can be told of.
    fn has_login(&self) -> bool {
        self.passwords.is_some() || self.tokens.is_some()
    }
}

/// Why a password could not be checked.
pub(crate) fn unchecked(error: Error) -> Problem {
    match error.kind() {
        ErrorKind::Throttled => Problem::throttled(error.to_string()).of_login(Login::Unchecked),
        _ => Problem::internal(error),
    }
}

/// The user and the password of Basic authentication (RFC 7617).
pub(crate) fn basic(text: &str) -> Option<(String, String)> {
    let text = String::from_utf8(STANDARD.decode(text.trim()).ok()?).ok()?;
    let (user, password) = text.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}
