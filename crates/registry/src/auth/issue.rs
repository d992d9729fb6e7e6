//! Who gets which token? Docker's token protocol: a client asks at `/token` for what it is about to do, and gets as much of that as it may do.
//! By GET as distribution's "Token Authentication Specification" has it, with the password in the head; by POST as its "Oauth2 Token
//! Authentication" does, with a password or a refresh token in a form.

use std::{str, time::SystemTime};

use http::{HeaderValue, Method, StatusCode, header, request::Parts};
use serde_json::json;
use teu_spec::Timestamp;

use super::{
    Guard, Issuer, Tokens,
    caller::Caller,
    policy::Action,
    queue::Asker,
    token::{Claims, MAX_SCOPES, Scope, issue, issue_refresh, scopes},
    unchecked,
};
use crate::{
    body::Incoming,
    budget::Budget,
    problem::{Code, Problem},
    registry::{Answer, json as json_response, plain, set},
    route::Query,
};

/// What means something at `/token`.
const METHODS: &str = "GET, HEAD, POST";
/// The longest form, in bytes: what it has stands in a request's head elsewhere.
const FORM: u64 = 64 << 10;

impl Caller {
    /// Whether tokens are issued here.
    pub(crate) fn issues(&self) -> bool {
        self.issuing().is_some()
    }

    fn issuing(&self) -> Option<Issuing<'_>> {
        let guard = self.guard()?;
        let tokens = guard.tokens.as_ref()?;
        Some(Issuing {
            guard,
            tokens,
            issuer: tokens.issuer.as_ref()?,
        })
    }

    /// Answers a request at `/token`.
    pub(crate) async fn token(&self, parts: &Parts, content: Incoming, budget: &Budget) -> Answer {
        let Some(issuing) = self.issuing() else {
            return Err(Problem::not_found(Code::Unsupported, "no tokens are issued here"));
        };
        if self.has_token() {
            let message = "a token is got by a password, and not by another token";
            return Err(Problem::bad(Code::Unsupported, message));
        }
        let method = &parts.method;
        if method == Method::GET || method == Method::HEAD {
            let query = Query::read(parts.uri.query())?;
            let wanted = query.get("offline_token").is_some_and(|value| value == "true");
            // It ends with a password, and so is for who showed one: a user of the same name who showed a certificate loses that some day.
            let offline = wanted && self.has_password();
            return issuing.answer(&query, self.user(), self.has_password(), offline);
        }
        if method == Method::OPTIONS {
            // As elsewhere: a browser asks what it may ask.
            let mut response = plain(StatusCode::OK);
            set(&mut response, header::ALLOW, METHODS);
            return Ok(response);
        }
        if method != Method::POST {
            return Err(Problem::not_allowed(METHODS, "tokens are asked for by GET or POST"));
        }
        let form = content.small(FORM, budget).await?;
        let (raw, _room) = form.ok_or_else(|| {
            let message = format!("a form has at most {FORM} bytes");
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, Code::Unsupported, message)
        })?;
        let text = str::from_utf8(&raw).map_err(|_| Problem::bad(Code::Unsupported, "the form is no UTF-8"))?;
        let form = Query::form(text)?;
        let mut offline = form.get("access_type").is_some_and(|value| value == "offline");
        let user = match form.get("grant_type") {
            Some("password") => self.with_password(issuing.guard, &form, &Asker::of(parts)).await?,
            Some("refresh_token") => {
                // Or one would last for ever that is meant to last for so long.
                offline = false;
                self.with_refresh(&issuing, &form)?
            }
            _ => {
                let message = "grant_type is password or refresh_token";
                return Err(Problem::bad(Code::Unsupported, message));
            }
        };
        let mut response = issuing.answer(&form, Some(&user), true, offline)?;
        response.extensions_mut().insert(Known(user));
        Ok(response)
    }

    /// Who has this password.
    async fn with_password(&self, guard: &Guard, form: &Query, asker: &Asker) -> Result<String, Problem> {
        let (Some(user), Some(password)) = (form.get("username"), form.get("password")) else {
            return Err(Problem::bad(Code::Unsupported, "a password is sent with its username"));
        };
        let Some(passwords) = &guard.passwords else {
            return Err(self.unknown("there are no passwords here"));
        };
        match passwords.are(user, password, asker).await.map_err(unchecked)? {
            true => Ok(user.to_owned()),
            false => Err(self.wrong_password()),
        }
    }

    /// Whose refresh token this is, if they have the password still that they had then.
    fn with_refresh(&self, issuing: &Issuing<'_>, form: &Query) -> Result<String, Problem> {
        let Some(token) = form.get("refresh_token") else {
            return Err(Problem::bad(Code::Unsupported, "there is no refresh_token"));
        };
        let checked = issuing.tokens.trusted.check_refresh(token, SystemTime::now());
        let (user, mark) = checked.map_err(|why| self.unknown(why))?;
        match issuing.guard.mark(&user) {
            Some(now) if now == mark => Ok(user),
            _ => Err(self.unknown("the password is another since then; log in again")),
        }
    }
}

/// Who somebody turned out to be by what they sent: an extension of the answer, for the log.
#[derive(Clone)]
pub(crate) struct Known(pub(crate) String);

/// What issues tokens.
struct Issuing<'a> {
    guard: &'a Guard,
    tokens: &'a Tokens,
    issuer: &'a Issuer,
}

impl Issuing<'_> {
    /// A token for what is asked for, with another to ask for more where that is wanted and can be. Of who showed a password it is good as long as they
    /// have that.
    fn answer(&self, query: &Query, user: Option<&str>, by_password: bool, offline: bool) -> Answer {
        let trusted = &self.tokens.trusted;
        if query.get("service").is_some_and(|service| service != trusted.service) {
            let message = format!("tokens are issued here for {}", trusted.service);
            return Err(Problem::bad(Code::Denied, message));
        }
        let wanted = query.all("scope").flat_map(scopes).take(MAX_SCOPES);
        let claims = Claims {
            user: user.map(str::to_owned),
            scopes: wanted.filter_map(|scope| granted(self.guard, user, scope)).collect(),
            mark: user.filter(|_| by_password).and_then(|user| self.guard.mark(user)),
        };
        let now = SystemTime::now();
        let Issuer { key, lifetime, refresh } = self.issuer;
        let token = issue(key, trusted, &claims, now, *lifetime).map_err(Problem::internal)?;
        let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let issued = Timestamp::from_unix(i64::try_from(since.as_secs()).unwrap_or_default(), 0);
        let mut said = json!({
            "token": token,
            "access_token": token,
            "expires_in": lifetime.as_secs(),
            "issued_at": issued.map(|issued| issued.to_string()).unwrap_or_default(),
            "scope": claims.scopes.iter().map(Scope::to_string).collect::<Vec<_>>().join(" "),
        });
        if let (true, Some(user), Some(mark), Some(refresh)) = (offline, user, &claims.mark, refresh) {
            let token = issue_refresh(key, trusted, (user, mark), now, *refresh);
            said["refresh_token"] = token.map_err(Problem::internal)?.into();
        }
        let mut response = json_response(StatusCode::OK, said.to_string());
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Ok(response)
    }
}

/// As much of this as somebody may do; none where that is nothing.
fn granted(guard: &Guard, user: Option<&str>, mut scope: Scope) -> Option<Scope> {
    let permits = |action| guard.permits(user, action, &scope.name);
    match scope.kind.as_str() {
        "repository" => {
            let rights = [
                ("pull", permits(Action::Pull) || permits(Action::List)),
                ("push", permits(Action::Push)),
                ("delete", permits(Action::Delete)),
            ];
            let has = |name: &str| rights.iter().any(|(right, has)| right == &name && *has);
            scope.actions = match scope.actions.iter().any(|action| action == "*") {
                true => rights
                    .iter()
                    .filter(|(_, has)| *has)
                    .map(|(right, _)| (*right).to_owned())
                    .collect(),
                false => scope.actions.into_iter().filter(|action| has(action)).collect(),
            };
        }
        // Which of them are seen is decided when they are listed. Who would see none is to log in.
        "registry" if scope.name == "catalog" => {
            let lists = user.is_some()
                || guard
                    .policy
                    .as_ref()
                    .is_some_and(|policy| policy.lets_anybody(Action::List));
            scope.actions = if lists { vec!["*".to_owned()] } else { Vec::new() };
        }
        _ => return None,
    }
    (!scope.actions.is_empty()).then_some(scope)
}
