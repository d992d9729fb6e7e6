//! Registries that not everybody may do everything with.

use std::{sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use teu_registry::auth::{Gate, Guard, Issuer, Keys, Passwords, Policy, SigningKey, Tokens, Trusted};
use teu_store::ManyInMemory;

use super::{Answer, Server, Setup, writable};

/// Everybody pulls what is public; the team pulls, one of them pushes, one only pushes, and one may do everything.
pub(crate) const POLICY: &str = r#"
[[rule]]
who = ["anonymous"]
repositories = ["public/**"]
allow = ["pull", "list"]

[[rule]]
who = ["*"]
repositories = ["team/**"]
allow = ["pull", "list"]

[[rule]]
who = ["writer", "blind"]
repositories = ["team/**", "public/**"]
allow = ["push"]

[[rule]]
who = ["blind"]
repositories = ["drop"]
allow = ["push"]

[[rule]]
who = ["owner"]
repositories = ["**"]
allow = ["pull", "push", "overwrite", "delete", "list"]
"#;

pub(crate) fn passwords() -> Arc<Passwords> {
    passwords_of(["reader", "writer", "blind", "owner"].map(|user| (user, format!("{user}'s secret"))))
}

/// A file of these users and their passwords.
pub(crate) fn passwords_of(users: impl IntoIterator<Item = (&'static str, String)>) -> Arc<Passwords> {
    // The least cost: tests ask often.
    let line = |(user, password): (&str, String)| format!("{user}:{}\n", bcrypt::hash(password, 4).expect("a hash"));
    let text: String = users.into_iter().map(line).collect();
    Passwords::parse(&text).expect("a file")
}

pub(crate) fn policy() -> Option<Policy> {
    Some(Policy::parse(POLICY).expect("a policy"))
}

pub(crate) fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

/// A server behind a guard, with an image in each of some repositories.
pub(crate) fn guarded(guard: Guard) -> (Server, Arc<Gate>) {
    let all = ManyInMemory::new();
    let open = Server::of(Arc::new(all.clone()), writable());
    for repository in ["public/app", "team/app", "secret/app"] {
        open.push_image(repository, "1");
    }
    let gate = Arc::new(Gate::new(guard));
    let setup = Setup {
        gate: Some(Arc::clone(&gate)),
        ..Setup::default()
    };
    (Server::with(Arc::new(all), writable(), setup), gate)
}

pub(crate) fn by_password() -> (Server, Arc<Gate>) {
    guarded(Guard {
        passwords: Some(passwords()),
        policy: policy(),
        ..Guard::default()
    })
}

/// Whose tokens are good that are signed with one of these keys.
pub(crate) fn trusted(keys: Keys) -> Trusted {
    Trusted {
        issuer: "teu".to_owned(),
        service: "registry.example".to_owned(),
        keys,
    }
}

/// Tokens that are issued here.
pub(crate) fn tokens(key: SigningKey) -> Tokens {
    Tokens {
        trusted: trusted(key.keys()),
        realm: None,
        issuer: Some(Issuer {
            key: Arc::new(key),
            lifetime: Duration::from_secs(300),
            refresh: None,
        }),
    }
}

pub(crate) fn by_token() -> (Server, Arc<Gate>) {
    guarded(Guard {
        passwords: Some(passwords()),
        tokens: Some(tokens(SigningKey::generate().expect("a key"))),
        policy: policy(),
        ..Guard::default()
    })
}

pub(crate) fn as_user(server: &Server, user: &str, method: &str, target: &str, content: &[u8]) -> Answer {
    let shown = basic(user, &format!("{user}'s secret"));
    let media_type = ("Content-Type", "application/vnd.oci.image.manifest.v1+json");
    let headers: &[(&str, &str)] = match user {
        "" => &[media_type],
        _ => &[media_type, ("Authorization", &shown)],
    };
    server.ask(method, target, headers, content)
}
