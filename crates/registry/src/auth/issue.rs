//! Who gets which token? Docker's token protocol (distribution, "Token Authentication Specification"): a client asks at `/token` for what it
//! is about to do, and gets as much of that as it may do.

use std::time::SystemTime;

use http::{HeaderValue, Method, Response, StatusCode, header};
use serde_json::json;
use teu_spec::Timestamp;

use super::{
    Guard,
    caller::Caller,
    policy::Action,
    token::{Claims, MAX_SCOPES, Scope, issue, scopes},
};
use crate::{
    body::Body,
    problem::{Code, Problem},
    registry::json as json_response,
    route::Query,
};

impl Caller {
    /// Answers a request at `/token`; none where no tokens are issued here.
    pub(crate) fn token(&self, method: &Method, query: Option<&str>) -> Option<Result<Response<Body>, Problem>> {
        let guard = self.guard()?;
        let tokens = guard.tokens.as_ref()?;
        let issuer = tokens.issuer.as_ref()?;
        if method != Method::GET && method != Method::HEAD {
            // Those who ask by POST first ask by GET when they hear this.
            return Some(Err(Problem::not_allowed("GET, HEAD", "tokens are asked for by GET")));
        }
        let answer = || {
            let query = Query::read(query)?;
            if self.has_token() {
                return Err(Problem::bad(
                    Code::Unsupported,
                    "a token is got by a password, and not by another token",
                ));
            }
            if query
                .get("service")
                .is_some_and(|service| service != tokens.trusted.service)
            {
                let message = format!("tokens are issued here for {}", tokens.trusted.service);
                return Err(Problem::bad(Code::Denied, message));
            }
            let wanted = query.all("scope").flat_map(scopes).take(MAX_SCOPES);
            let claims = Claims {
                user: self.user().map(str::to_owned),
                scopes: wanted.filter_map(|scope| granted(guard, self.user(), scope)).collect(),
            };
            let now = SystemTime::now();
            let token = issue(&issuer.key, &tokens.trusted, &claims, now, issuer.lifetime);
            let token = token.map_err(Problem::internal)?;
            let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            let issued = Timestamp::from_unix(i64::try_from(since.as_secs()).unwrap_or_default(), 0);
            let text = json!({
                "token": token,
                "access_token": token,
                "expires_in": issuer.lifetime.as_secs(),
                "issued_at": issued.map(|issued| issued.to_string()).unwrap_or_default(),
            });
            let mut response = json_response(StatusCode::OK, text.to_string());
            response
                .headers_mut()
                .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
            Ok(response)
        };
        Some(answer())
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
        // Which of them are seen is decided when they are listed.
        "registry" if scope.name == "catalog" && (user.is_some() || guard.policy.is_some()) => {
            scope.actions = vec!["*".to_owned()];
        }
        _ => return None,
    }
    (!scope.actions.is_empty()).then_some(scope)
}
