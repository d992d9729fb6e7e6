//! What may the one who asks do? Asked before each thing is done; where the answer is no, it says how to get further.

use std::sync::Arc;

use http::{HeaderValue, Method, StatusCode, header};

use super::{Guard, policy::Action, token::Claims};
use crate::{
    problem::{Code, Login, Problem},
    route::Route,
};

/// Who asks.
pub(crate) struct Caller(Option<Known>);

/// Who asks where a gate stands.
struct Known {
    guard: Arc<Guard>,
    /// Where they get tokens, unless that was set.
    realm: Option<String>,
    user: Option<String>,
    /// They are known by their password.
    has_password: bool,
    claims: Option<Claims>,
}

impl Caller {
    /// Anybody, where no gate stands: they may do everything.
    pub(crate) fn anybody() -> Self {
        Self(None)
    }

    pub(super) fn new(guard: Arc<Guard>, realm: Option<String>, user: Option<String>, claims: Option<Claims>) -> Self {
        Self(Some(Known {
            guard,
            realm,
            user,
            has_password: false,
            claims,
        }))
    }

    /// The same, known by their password.
    pub(super) fn by_password(mut self) -> Self {
        if let Some(known) = &mut self.0 {
            known.has_password = true;
        }
        self
    }

    /// What they are called, where that is known.
    pub(crate) fn user(&self) -> Option<&str> {
        self.0.as_ref()?.user.as_deref()
    }

    /// Whether they may do this.
    pub(crate) fn may(&self, action: Action, repository: &str) -> bool {
        self.0.as_ref().is_none_or(|known| known.may(action, repository))
    }

    /// Whether they see that a repository is there.
    pub(crate) fn sees(&self, repository: &str) -> bool {
        // That all may be listed was found out before.
        self.0.as_ref().is_none_or(|known| match known.claims {
            Some(_) if known.guard.policy.is_none() => true,
            _ => known.guard.permits(known.user.as_deref(), Action::List, repository),
        })
    }

    /// Whether all repositories are seen, so that none need be looked at.
    pub(crate) fn sees_all(&self) -> bool {
        self.0.as_ref().is_none_or(|known| known.guard.policy.is_none())
    }

    /// Refuses what they may not do at an endpoint; `from` is a repository that a blob is to be mounted from.
    pub(crate) fn check(
        &self,
        method: &Method,
        is_head: bool,
        route: &Route,
        from: Option<&str>,
    ) -> Result<(), Problem> {
        let Some(known) = &self.0 else { return Ok(()) };
        let reads = method == Method::GET || method == Method::HEAD;
        let (repository, action) = match route {
            Route::Base => return known.check_base(),
            Route::Catalog => return known.check_catalog(),
            Route::Tags(name) => (name, Action::List),
            Route::Referrers(name, _) => (name, Action::Pull),
            // Who pushes a blob asks whether it is there, as a mount would tell them too.
            Route::Blob(name, _) if is_head && known.may(Action::Push, name) => return Ok(()),
            Route::Manifest(name, _) | Route::Blob(name, _) if reads => (name, Action::Pull),
            Route::Manifest(name, _) | Route::Blob(name, _) if method == Method::DELETE => (name, Action::Delete),
            Route::Manifest(name, _) | Route::Blob(name, _) => (name, Action::Push),
            Route::Uploads(name) | Route::Upload(name, _) => (name, Action::Push),
        };
        match known.may(action, repository) {
            true => Ok(()),
            false => Err(known.refused(action, repository, from)),
        }
    }

    /// 403: they may not do this, whoever else they could be.
    pub(crate) fn denied(&self, action: Action, repository: &str) -> Problem {
        denied(self.user(), action, repository)
    }

    /// 401: what they showed is wrong.
    pub(super) fn unknown(&self, why: &str) -> Problem {
        match &self.0 {
            Some(known) => known.challenged(why, None, Some("invalid_token")),
            None => Problem::new(StatusCode::UNAUTHORIZED, Code::Unauthorized, why),
        }
    }

    /// The same for a password, which is counted.
    pub(super) fn wrong_password(&self) -> Problem {
        self.unknown("the user or the password is wrong").of_login(Login::Wrong)
    }

    pub(super) fn guard(&self) -> Option<&Guard> {
        self.0.as_ref().map(|known| &*known.guard)
    }

    /// Whether they came with their password.
    pub(super) fn has_password(&self) -> bool {
        self.0.as_ref().is_some_and(|known| known.has_password)
    }

    /// Whether they came with a token.
    pub(super) fn has_token(&self) -> bool {
        self.0.as_ref().is_some_and(|known| known.claims.is_some())
    }
}

impl Known {
    fn may(&self, action: Action, repository: &str) -> bool {
        let permitted = || self.guard.permits(self.user.as_deref(), action, repository);
        match &self.claims {
            // Whoever issued it decided; a policy of ours decides too.
            Some(claims) => claims.grant(action, repository) && (self.guard.policy.is_none() || permitted()),
            None => permitted(),
        }
    }

    fn check_base(&self) -> Result<(), Problem> {
        // Clients ask here whether they are logged in, and how they could be.
        match self.user.is_some() || self.claims.is_some() || !self.guard.has_login() {
            true => Ok(()),
            false => Err(self.challenged("log in first", None, None)),
        }
    }

    fn check_catalog(&self) -> Result<(), Problem> {
        let may = match &self.claims {
            Some(claims) => claims.grant_catalog(),
            // Clients show their password when they are asked, and would take a list of what everybody sees for all there is. A token without a user
            // gets them that list.
            None => self.user.is_some() || (self.guard.policy.is_some() && !self.guard.has_login()),
        };
        let scope = "registry:catalog:*".to_owned();
        let error = self.claims.is_some().then_some("insufficient_scope");
        match may {
            true => Ok(()),
            false => Err(self.challenged("log in to list the repositories", Some(scope), error)),
        }
    }

    fn refused(&self, action: Action, repository: &str, from: Option<&str>) -> Problem {
        let permitted = self.guard.permits(self.user.as_deref(), action, repository);
        let claims_decide = self.claims.is_some() && self.guard.policy.is_none();
        // Another token could help, or another user; nothing helps one who is known and may not.
        if self.user.is_some() && !permitted && !claims_decide {
            return denied(self.user.as_deref(), action, repository);
        }
        let actions = match action {
            Action::Pull | Action::List => "pull",
            Action::Push | Action::Overwrite => "pull,push",
            Action::Delete => "delete",
        };
        let mut scope = format!("repository:{repository}:{actions}");
        if let Some(from) = from {
            scope.push_str(&format!(" repository:{from}:pull"));
        }
        let error = self.claims.is_some().then_some("insufficient_scope");
        let how = match (self.guard.has_login(), self.guard.certificates) {
            (true, _) => "log in",
            (false, true) => "show a certificate",
            (false, false) => return denied(None, action, repository),
        };
        self.challenged(&format!("{how} to {action} in {repository}"), Some(scope), error)
    }

    /// 401 with how to log in; 403 where there is no way.
    fn challenged(&self, message: &str, scope: Option<String>, error: Option<&str>) -> Problem {
        if !self.guard.has_login() {
            return Problem::new(StatusCode::FORBIDDEN, Code::Denied, message);
        }
        let problem = Problem::new(StatusCode::UNAUTHORIZED, Code::Unauthorized, message);
        let challenge = match &self.guard.tokens {
            None => {
                let realm = Some(self.guard.realm.as_str()).filter(|realm| !realm.is_empty() && plain(realm));
                format!("Basic realm=\"{}\", charset=\"UTF-8\"", realm.unwrap_or("teu"))
            }
            Some(tokens) => {
                let realm = tokens.realm.as_ref().or(self.realm.as_ref());
                let mut challenge = format!(
                    "Bearer realm=\"{}\",service=\"{}\"",
                    realm.map_or("/token", String::as_str),
                    tokens.trusted.service
                );
                if let Some(scope) = scope.filter(|scope| plain(scope)) {
                    challenge.push_str(&format!(",scope=\"{scope}\""));
                }
                if let Some(error) = error {
                    challenge.push_str(&format!(",error=\"{error}\""));
                }
                challenge
            }
        };
        match HeaderValue::from_str(&challenge) {
            Ok(challenge) => problem.with(header::WWW_AUTHENTICATE, challenge),
            Err(_) => problem,
        }
    }
}

fn denied(user: Option<&str>, action: Action, repository: &str) -> Problem {
    let who = user.map_or_else(
        || "who is not logged in".to_owned(),
        |user| format!("the user {user:?}"),
    );
    let message = format!("{who} may not {action} in {repository}");
    Problem::new(StatusCode::FORBIDDEN, Code::Denied, message)
}

/// Whether a text may stand between quotes as it is.
fn plain(text: &str) -> bool {
    text.bytes()
        .all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\' || byte == b' ')
}
