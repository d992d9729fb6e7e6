//! Registries that real clients come to: by TLS and without, one for each way to show who one is.

use std::{fs, sync::Arc};

use teu_registry::{
    Clients,
    auth::{Gate, Guard, Policy, SigningKey, Tokens},
};
use teu_store::ManyInMemory;

use super::{
    Server, Setup,
    certificates::{Pair, authority, named},
    guarded::{passwords_of, tokens, trusted},
    lab::Lab,
    writable,
};

pub(crate) const CREDENTIALS: &str = "user:secret";
/// Everybody may read what was there before; the user may do everything.
const POLICY: &str = r#"
[[rule]]
who = ["anonymous"]
repositories = ["seed", "multi"]
allow = ["pull"]

[[rule]]
who = ["user"]
repositories = ["**"]
allow = ["pull", "push", "overwrite", "delete", "list"]
"#;

/// How one shows who one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Login {
    Password,
    Token,
    /// By a token of another server, which alone knows the password.
    OutsideToken,
    /// By a certificate, without which nobody is heard at all. It lies in the directory `certificates`, as `client.cert` and `client.key`.
    Certificate,
}

impl Login {
    /// Whether a password is asked for.
    pub(crate) fn is_by_password(self) -> bool {
        self != Self::Certificate
    }

    /// These arguments where a password is asked for, else those.
    pub(crate) fn choose<'a>(self, password: &[&'a str], certificate: &[&'a str]) -> Vec<&'a str> {
        match self.is_by_password() {
            true => password.to_vec(),
            false => certificate.to_vec(),
        }
    }
}

/// A place for each, by TLS and, but for certificates, without. Says loudly where there are none by TLS.
pub(crate) fn labs(test: &str) -> Vec<(Login, Lab)> {
    let by_password = [Login::Password, Login::Token, Login::OutsideToken];
    let mut labs: Vec<(Login, Lab)> = by_password.map(|login| (login, lab(login, None))).into();
    let (Some(shown), Some(client)) = (authority(test), named(test, "user")) else {
        return labs;
    };
    labs.extend(by_password.map(|login| (login, lab(login, Some(&shown)))));
    labs.push((Login::Certificate, lab_of_certificates(&shown, &client)));
    labs
}

fn policy() -> Option<Policy> {
    Some(Policy::parse(POLICY).expect("a policy"))
}

/// One where a password is asked for, there or by who issues tokens.
fn lab(login: Login, shown: Option<&Pair>) -> Lab {
    let key = SigningKey::generate().expect("a key");
    let keys = key.keys();
    let mut guard = Guard {
        passwords: Some(passwords_of([("user", "secret".to_owned())])),
        policy: policy(),
        tokens: (login != Login::Password).then(|| tokens(key)),
        ..Guard::default()
    };
    if login != Login::OutsideToken {
        return Lab::guarded(shown, None, Gate::new(guard));
    }
    let setup = Setup {
        tls: shown.map(|shown| Arc::new(shown.tls(None))),
        gate: Some(Arc::new(Gate::new(guard))),
        ..Setup::default()
    };
    let issuer = Server::with(Arc::new(ManyInMemory::new()), writable(), setup);
    let scheme = if shown.is_some() { "https" } else { "http" };
    guard = Guard {
        policy: policy(),
        tokens: Some(Tokens {
            trusted: trusted(keys),
            realm: Some(format!("{scheme}://{}/token", issuer.address)),
            issuer: None,
        }),
        ..Guard::default()
    };
    Lab::guarded(shown, None, Gate::new(guard)).beside(issuer)
}

/// One where a client's certificate says who asks.
fn lab_of_certificates(shown: &Pair, client: &Pair) -> Lab {
    let guard = Guard {
        policy: policy(),
        certificates: true,
        ..Guard::default()
    };
    let clients = Clients {
        authorities: vec![client.certificate.clone()],
        required: true,
    };
    let lab = Lab::guarded(Some(shown), Some(clients), Gate::new(guard));
    for (from, to) in [("cert.pem", "client.cert"), ("key.pem", "client.key")] {
        let to = lab.path("certificates").join(to);
        fs::copy(client.directory.path().join(from), to).expect("copied");
    }
    lab
}
