//! Which keys does another's issuer sign with, that shows them at a URL? Fetched when the server starts, and again and again.
//!
//! A server starts where they cannot be had yet, and believes no token until they can: the two may well start together.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use teu_registry::auth::Keys;
use teu_store::{Error, ErrorKind, Result};
use teu_transport::remote::{Access, Client};
use tokio::sync::Notify;

use super::files::{Outcome, warn};
use crate::{failure::Failure, settings::Settings};

/// How soon it is tried again where it failed.
const AGAIN: Duration = Duration::from_secs(5);
/// The least time between two.
const LEAST: Duration = Duration::from_secs(1);

/// The keys at a URL.
pub(super) struct Remote {
    url: String,
    /// The same without what may be a secret.
    shown: String,
    every: Duration,
    keys: Mutex<Keys>,
}

/// Keeps them new.
pub(super) struct Refresh {
    remote: Arc<Remote>,
    settings: Arc<Settings>,
    changed: Box<dyn Fn() -> Outcome + Send>,
    soon: Arc<Notify>,
}

impl Remote {
    /// Whether this names a URL, and no file.
    pub(super) fn is_url(text: &str) -> bool {
        text.starts_with("https://") || text.starts_with("http://")
    }

    /// None of the keys yet.
    ///
    /// # Errors
    /// Where anybody on the way could put keys of their own there.
    pub(super) fn new(url: &str, every: Duration) -> std::result::Result<Self, Failure> {
        let shown = shown(url);
        let authority = url.split_once("://").map_or(url, |(_, rest)| rest);
        let authority = authority.split(['/', '?', '#']).next().unwrap_or_default();
        if authority.contains('@') {
            let message = "the URL of --token-keys has a user, which would stand in warnings; keys are public";
            return Err(Failure::Usage(message.to_owned()));
        }
        let host = url.starts_with("http://").then_some(authority);
        let is_here = |host: &str| {
            let bare = host.rsplit_once(':').map_or(host, |(bare, _)| bare);
            [host, bare]
                .iter()
                .any(|host| matches!(*host, "localhost" | "127.0.0.1" | "[::1]"))
        };
        if host.is_some_and(|host| !is_here(host)) {
            let message = format!(
                "{shown} is asked in plain HTTP, so that anybody on the way may answer; --token-keys wants https://"
            );
            return Err(Failure::Usage(message));
        }
        Ok(Self {
            url: url.to_owned(),
            shown,
            every: every.max(LEAST),
            keys: Mutex::default(),
        })
    }

    /// Those that were fetched last.
    pub(super) fn keys(&self) -> Keys {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How long until they are fetched again.
    fn wait(&self, fetched: bool) -> Duration {
        match fetched {
            true => self.every,
            false => AGAIN.min(self.every),
        }
    }

    async fn fetch(&self, client: &Client) -> Result<Keys> {
        let raw = client.document(&self.url, Access::default(), Keys::MAX as u64).await;
        let keys = raw.and_then(|raw| {
            let text = std::str::from_utf8(&raw);
            Keys::parse(text.map_err(|_| Error::new(ErrorKind::Invalid, "it is no UTF-8"))?)
        });
        keys.map_err(|error| error.within(self.shown.clone()))
    }
}

/// A URL without its query, which may be what lets whoever has it in.
fn shown(url: &str) -> String {
    match url.split_once(['?', '#']) {
        Some((bare, _)) => format!("{bare}?…"),
        None => url.to_owned(),
    }
}

impl Refresh {
    /// `changed` is called whenever keys were fetched. They are fetched again soon where they could not be, and when it is time where `changed` fails: that is for who
    /// looks at files.
    pub(super) fn new(
        remote: Arc<Remote>,
        settings: Arc<Settings>,
        changed: impl Fn() -> Outcome + Send + 'static,
    ) -> Self {
        Self {
            remote,
            settings,
            changed: Box::new(changed),
            soon: Arc::default(),
        }
    }

    /// What has them fetched before it is time.
    pub(super) fn soon(&self) -> Arc<Notify> {
        Arc::clone(&self.soon)
    }

    /// Fetches them now and then, for ever.
    pub(super) async fn run(self) {
        let client = Client::new(self.settings.remote());
        let mut failed: Option<String> = None;
        loop {
            let fetched = self.remote.fetch(&client).await;
            let wait = self.remote.wait(fetched.is_ok());
            let outcome = match fetched {
                Ok(keys) => {
                    *self.remote.keys.lock().unwrap_or_else(PoisonError::into_inner) = keys;
                    (self.changed)()
                }
                Err(error) => Err(format!(
                    "{error}; the keys that were known before are believed on, and it is tried again"
                )),
            };
            let why = outcome.err();
            // Once is enough, until it went well or fails otherwise.
            if let Some(why) = why.clone().filter(|_| why != failed) {
                warn(&self.settings, why);
            }
            failed = why;
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.soon.notified() => {}
            }
        }
    }
}
