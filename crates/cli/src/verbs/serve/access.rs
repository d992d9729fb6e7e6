//! Who may do what? The files that say so, read again when they change, and what they would say to a question.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use serde_json::json;
use teu_registry::auth::{Action, Gate, Guard, Issuer, Keys, Passwords, Policy, SigningKey, Tokens, Trusted, Verdict};
use teu_spec::Repository;
use teu_store::{Error, ErrorKind, Result};

use super::{
    files::{Followed, Outcome, warn},
    issuer::{Refresh, Remote},
};
use crate::{
    arguments::{self, Access, NAME, PolicyVerb},
    failure::Failure,
    output,
    settings::Settings,
};

/// The least that a token is good for: Docker's clients hold what they are told to be less for a mistake.
const LEAST: Duration = Duration::from_secs(60);

/// The longest: who showed a certificate is let in by a token for so long after that was withdrawn.
const MOST: Duration = Duration::from_secs(24 * 3600);

/// The files, and what is said beside them.
struct Files {
    realm: String,
    htpasswd: Option<PathBuf>,
    policy: Option<PathBuf>,
    certificates: bool,
    tokens: Option<Issued>,
}

/// Whose tokens are believed.
struct Issued {
    /// Nobody asked for tokens: they count where a policy lets in who is not logged in. Docker's client pulls nothing without a login from a registry that
    /// asks for a password, and anonymously by a token.
    implied: bool,
    issuer: String,
    service: String,
    realm: Option<String>,
    lifetime: Duration,
    refresh: Option<Duration>,
    by: By,
}

enum By {
    /// By us, with a key that nobody else has.
    Us(Arc<SigningKey>),
    /// By us, with the key of a file.
    UsWith(PathBuf),
    /// By another, with one of the keys of a file.
    Another(PathBuf),
    /// By another, with one of the keys at a URL.
    Remote(Arc<Remote>),
}

/// What stands before the registry, where anything does; from now on as the files say.
pub(super) fn read(
    access: &Access,
    certificates: bool,
    settings: &Arc<Settings>,
    followed: &mut Followed,
) -> std::result::Result<(Option<Arc<Gate>>, Option<Refresh>), Failure> {
    let files = Files {
        realm: access.realm.clone(),
        htpasswd: access.htpasswd.clone(),
        policy: access.access_policy.clone(),
        certificates,
        tokens: issued(access, certificates)?,
    };
    if files.htpasswd.is_none() && files.policy.is_none() && files.tokens.is_none() && !certificates {
        return Ok((None, None));
    }
    let guard = files.guard()?;
    files.tell_left_out(&guard, settings);
    let gate = Arc::new(Gate::new(guard));
    let paths = files.paths();
    let remote = files.tokens.as_ref().and_then(|tokens| match &tokens.by {
        By::Remote(remote) => Some(Arc::clone(remote)),
        _ => None,
    });
    let (told, kept) = (Arc::clone(settings), Arc::clone(&gate));
    let replace = Arc::new(move || -> Outcome {
        let guard = files.guard();
        let guard = guard.map_err(|error| format!("{error}; who could do what before can do it on"))?;
        files.tell_left_out(&guard, &told);
        kept.replace(guard);
        Ok(())
    });
    let refresh = remote.map(|remote| {
        let replace = Arc::clone(&replace);
        Refresh::new(remote, Arc::clone(settings), move || replace())
    });
    let soon = refresh.as_ref().map(Refresh::soon);
    followed.add(paths, move |is_told| {
        if let Some(soon) = soon.as_ref().filter(|_| is_told) {
            soon.notify_one();
        }
        replace()
    });
    Ok((Some(gate), refresh))
}

fn issued(access: &Access, certificates: bool) -> std::result::Result<Option<Issued>, Failure> {
    if !plain(&access.realm.replace(' ', "")) {
        return Err(Failure::Usage(
            "--realm stands in a header: it has no quotes or backslashes".to_owned(),
        ));
    }
    let without = |flag: &str, other: &str| Failure::Usage(format!("{flag} means nothing without {other}"));
    // It is a variable that was misspelt, and nobody would be asked for a password.
    if access.realm != NAME && access.htpasswd.is_none() {
        return Err(without("--realm", "--htpasswd"));
    }
    match (access.tokens, &access.token_key, &access.token_keys) {
        (true, _, Some(_)) => {
            let message = "--tokens cannot be used with --token-keys: tokens are issued here, or by another";
            return Err(Failure::Usage(message.to_owned()));
        }
        (false, Some(_), _) => return Err(without("--token-key", "--tokens")),
        (_, _, Some(_)) if access.token_url.is_none() => return Err(without("--token-keys", "--token-url")),
        _ => {}
    }
    if access.token_lifetime.0.as_secs() < LEAST.as_secs() {
        let message = format!(
            "--token-lifetime is at least {} seconds: clients take no less",
            LEAST.as_secs()
        );
        return Err(Failure::Usage(message));
    }
    let said = access.tokens || access.token_keys.is_some();
    let is_implied = !said && access.htpasswd.is_some() && access.access_policy.is_some();
    let by = match (&access.token_keys, access.tokens, &access.token_key) {
        (Some(keys), ..) if Remote::is_url(keys) => {
            By::Remote(Arc::new(Remote::new(keys, access.token_keys_interval.0)?))
        }
        (Some(keys), ..) => By::Another(PathBuf::from(keys)),
        (None, true, Some(key)) => By::UsWith(key.clone()),
        (None, true, None) => By::Us(Arc::new(SigningKey::generate()?)),
        (None, false, _) if is_implied => By::Us(Arc::new(SigningKey::generate()?)),
        (None, false, _) => {
            return match access.of_tokens() {
                None => Ok(None),
                Some(flag) => Err(without(flag, "--tokens or --token-keys")),
            };
        }
    };
    let is_ours = !matches!(by, By::Another(_) | By::Remote(_));
    if is_ours && access.token_lifetime.0 > MOST {
        let message =
            "--token-lifetime is at most 24h: who showed a certificate is let in for so long after it was withdrawn";
        return Err(Failure::Usage(message.to_owned()));
    }
    if is_ours && access.htpasswd.is_none() && !certificates {
        let message = "tokens are for those who show who they are: --tokens wants --htpasswd or --tls-clients";
        return Err(Failure::Usage(message.to_owned()));
    }
    if access.token_key.is_none() && access.sets_refresh() {
        return Err(without("--token-refresh", "--token-key"));
    }
    for (flag, text) in [
        ("--token-service", Some(&access.token_service)),
        ("--token-url", access.token_url.as_ref()),
    ] {
        if text.is_some_and(|text| !plain(text)) {
            return Err(Failure::Usage(format!(
                "{flag} stands in a header: it has no spaces, quotes or backslashes"
            )));
        }
    }
    Ok(Some(Issued {
        implied: is_implied,
        issuer: access.token_issuer.clone(),
        service: access.token_service.clone(),
        realm: access.token_url.clone(),
        lifetime: access.token_lifetime.0,
        // One that is for a run alone would be of no use in the next.
        refresh: (!access.token_refresh.0.is_zero() && access.token_key.is_some()).then_some(access.token_refresh.0),
        by,
    }))
}

/// Whether a text may stand between quotes in a header.
fn plain(text: &str) -> bool {
    text.bytes()
        .all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\')
}

impl Files {
    fn paths(&self) -> Vec<PathBuf> {
        let key = self.tokens.as_ref().and_then(|tokens| match &tokens.by {
            By::UsWith(path) | By::Another(path) => Some(path),
            By::Us(_) | By::Remote(_) => None,
        });
        [self.htpasswd.as_ref(), self.policy.as_ref(), key]
            .into_iter()
            .flatten()
            .cloned()
            .collect()
    }

    /// Warns of users that cannot log in.
    fn tell_left_out(&self, guard: &Guard, settings: &Arc<Settings>) {
        let passwords = guard.passwords.as_deref().map(Passwords::left_out);
        for why in passwords.unwrap_or_default() {
            let path = self.htpasswd.as_deref().unwrap_or(Path::new("")).display();
            warn(settings, format!("{path}: {why}; until then this user cannot log in"));
        }
    }

    fn guard(&self) -> Result<Guard> {
        let policy = parsed(self.policy.as_deref(), Policy::parse)?;
        let lets_anybody = |policy: &Policy| {
            [Action::Pull, Action::List]
                .iter()
                .any(|action| policy.lets_anybody(*action))
        };
        let is_open = policy.as_ref().is_some_and(lets_anybody);
        let tokens = self.tokens.as_ref().filter(|tokens| is_open || !tokens.implied);
        Ok(Guard {
            realm: self.realm.clone(),
            passwords: parsed(self.htpasswd.as_deref(), Passwords::parse)?,
            policy,
            certificates: self.certificates,
            tokens: tokens.map(Issued::tokens).transpose()?,
        })
    }
}

impl Issued {
    fn tokens(&self) -> Result<Tokens> {
        let (keys, key) = match &self.by {
            By::Us(key) => (key.keys(), Some(Arc::clone(key))),
            By::UsWith(path) => {
                let key = parse(path, |text| SigningKey::parse(text.as_bytes()))?;
                (key.keys(), Some(Arc::new(key)))
            }
            By::Another(path) => (parse(path, Keys::parse)?, None),
            By::Remote(remote) => (remote.keys(), None),
        };
        Ok(Tokens {
            trusted: Trusted {
                issuer: self.issuer.clone(),
                service: self.service.clone(),
                keys,
            },
            realm: self.realm.clone(),
            issuer: key.map(|key| Issuer {
                refresh: self.refresh,
                key,
                lifetime: self.lifetime,
            }),
        })
    }
}

fn parsed<T>(path: Option<&Path>, read: impl Fn(&str) -> Result<T>) -> Result<Option<T>> {
    path.map(|path| parse(path, read)).transpose()
}

/// What a file says, as `read` understands it.
fn parse<T>(path: &Path, read: impl Fn(&str) -> Result<T>) -> Result<T> {
    let text = fs::read_to_string(path).map_err(|error| {
        let message = format!("{} cannot be read: {error}", path.display());
        Error::new(ErrorKind::Invalid, message)
    })?;
    read(&text).map_err(|error| error.within(path.display().to_string()))
}

/// `teu serve policy`.
pub(super) fn policy(arguments: &arguments::Policy, settings: &Settings) -> std::result::Result<(), Failure> {
    let PolicyVerb::Check(asked) = &arguments.verb;
    let usage = |error: Error| Failure::Usage(error.to_string());
    let action: Action = asked.action.parse().map_err(usage)?;
    Repository::check_path(&asked.repository).map_err(|error| Failure::Usage(error.to_string()))?;
    // That it is denied is 1, so what is wrong with the policy is 2.
    let policy = parse(&asked.policy, Policy::parse).map_err(usage)?;
    let user = asked.user.as_deref();
    let verdict = policy.judge(user, action, &asked.repository);
    let rule = match verdict {
        Verdict::Allowed(rule) => Some(rule),
        Verdict::Denied => None,
    };
    if settings.json {
        output::json(&json!({
            "user": user,
            "action": action.as_str(),
            "repository": asked.repository,
            "allowed": rule.is_some(),
            "rule": rule,
        }))?;
    } else {
        output::line(&match rule {
            Some(rule) => format!("allowed by rule {rule}"),
            None => "denied: no rule allows it".to_owned(),
        })?;
    }
    match rule {
        Some(_) => Ok(()),
        None => Err(Failure::Found { code: 1 }),
    }
}
