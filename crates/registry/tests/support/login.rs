//! Registries that real clients come to by TLS, one for each way to show who one is.

use std::{fs, sync::Arc, time::Duration};

use teu_registry::{
    Clients,
    auth::{Gate, Guard, Issuer, Passwords, Policy, SigningKey, Tokens, Trusted},
};

use super::{
    certificates::{authority, named},
    lab::Lab,
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

/// A place for each. Says loudly why there are none.
pub(crate) fn labs(test: &str) -> Vec<(Login, Lab)> {
    let (Some(shown), Some(client)) = (authority(test), named(test, "user")) else {
        return Vec::new();
    };
    let of = |login: Login| {
        let hash = bcrypt::hash("secret", 4).expect("a hash");
        let passwords = || Passwords::parse(&format!("user:{hash}")).expect("a file");
        let guard = Guard {
            passwords: login.is_by_password().then(passwords),
            policy: Some(Policy::parse(POLICY).expect("a policy")),
            tokens: (login == Login::Token).then(tokens),
            certificates: login == Login::Certificate,
            ..Guard::default()
        };
        let clients = (login == Login::Certificate).then(|| Clients {
            authorities: vec![client.certificate.clone()],
            required: true,
        });
        let lab = Lab::secured(&shown, clients, Gate::new(guard));
        if login == Login::Certificate {
            for (from, to) in [("cert.pem", "client.cert"), ("key.pem", "client.key")] {
                let to = lab.path("certificates").join(to);
                fs::copy(client.directory.path().join(from), to).expect("copied");
            }
        }
        (login, lab)
    };
    [Login::Password, Login::Token, Login::Certificate].map(of).into()
}

fn tokens() -> Tokens {
    let key = SigningKey::generate().expect("a key");
    Tokens {
        trusted: Trusted {
            issuer: "teu".to_owned(),
            service: "teu".to_owned(),
            keys: key.keys(),
        },
        realm: None,
        issuer: Some(Issuer {
            key: Arc::new(key),
            lifetime: Duration::from_secs(300),
            refresh: None,
        }),
    }
}
