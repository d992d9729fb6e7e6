//! What must not be shown of a registry's words? The [`Secrets`] that it was sent, which it may send back: in an error, a warning, a header.
//!
//! They are found as they stand and in the forms in which they were sent: base64, and escaped for a form. Against a registry that wants
//! to have them shown and disguises them nothing helps; it has them already. What this is about are logs, and gateways that echo a request.

use std::{
    collections::VecDeque,
    ops::Range,
    sync::{Mutex, MutexGuard, PoisonError},
};

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use reqwest::header::HeaderValue;
use teu_store::Error;
use url::form_urlencoded;

use super::settings::Credential;

/// How many secrets are remembered: with more, the oldest tokens are forgotten.
const MAX_SECRETS: usize = 256;
/// A secret of fewer bytes is only found where it stands as a word: hidden in the midst of others it would say what it is.
const SHORT: usize = 8;
/// What stands in a secret's place.
const HIDDEN: &str = "[hidden]";

/// What one registry was told that nobody else must read.
#[derive(Default)]
pub(super) struct Secrets(Mutex<VecDeque<String>>);

impl Secrets {
    /// Remembers what a credential consists of.
    pub(super) fn keep_credential(&self, credential: &Credential) {
        match credential {
            Credential::Basic { username, password } => {
                self.keep(&format!("{username}:{password}"));
                self.keep(password);
            }
            Credential::IdentityToken(token) | Credential::Bearer(token) => self.keep(token),
        }
    }

    /// Remembers what stands behind the scheme in a value of `Authorization`.
    pub(super) fn keep_authorization(&self, value: &HeaderValue) {
        if let Some((_, secret)) = value.to_str().ok().and_then(|value| value.split_once(' ')) {
            self.keep(secret);
        }
    }

    fn keep(&self, secret: &str) {
        if secret.is_empty() {
            return;
        }
        let mut known = self.known();
        match known.iter().position(|known| known == secret) {
            // The latest used is the last to go.
            Some(place) => {
                if let Some(secret) = known.remove(place) {
                    known.push_back(secret);
                }
            }
            None => {
                if known.len() == MAX_SECRETS {
                    known.pop_front();
                }
                known.push_back(secret.to_owned());
            }
        }
    }

    /// The text without the secrets. To be asked before a text is cut: what is left of a secret is one too.
    pub(super) fn hide(&self, text: &str) -> String {
        let mut found: Vec<Range<usize>> = Vec::new();
        for secret in self.known().iter() {
            for form in forms(secret) {
                find(text, &form, form.len() < SHORT, &mut found);
            }
        }
        found.sort_by_key(|range| range.start);
        let (mut shown, mut at) = (String::new(), 0);
        for range in found {
            if range.start >= at {
                shown.push_str(&text[at..range.start]);
                shown.push_str(HIDDEN);
            }
            at = at.max(range.end);
        }
        shown.push_str(&text[at..]);
        shown
    }

    /// The error without the secrets, where a registry's words are in its text.
    pub(super) fn hide_in(&self, error: Error) -> Error {
        error.rewritten(|text| self.hide(text))
    }

    fn known(&self) -> MutexGuard<'_, VecDeque<String>> {
        // Nothing that is done under the lock can be left half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A secret in all forms that it is looked for in.
fn forms(secret: &str) -> Vec<String> {
    let mut forms = vec![
        // Unpadded, so that it is found with padding and without.
        STANDARD_NO_PAD.encode(secret),
        URL_SAFE_NO_PAD.encode(secret),
        form_urlencoded::byte_serialize(secret.as_bytes()).collect(),
        secret.trim_end_matches('=').to_owned(),
    ];
    forms.retain(|form| !form.is_empty());
    forms.sort();
    forms.dedup();
    forms
}

/// Adds to `found` where a form of a secret stands, with the padding behind it.
fn find(text: &str, form: &str, words: bool, found: &mut Vec<Range<usize>>) {
    let is_part = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
    for (start, _) in text.match_indices(form) {
        let (before, behind) = (&text[..start], &text[start + form.len()..]);
        if words && (is_part(before.chars().next_back()) || is_part(behind.chars().next())) {
            continue;
        }
        let padding = behind.len() - behind.trim_start_matches('=').len();
        found.push(start..start + form.len() + padding.min(2));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_hidden_in_every_form_they_were_sent_in() {
        let secrets = Secrets::default();
        secrets.keep_credential(&Credential::Basic {
            username: "me".to_owned(),
            password: "s3cret/pa+ss".to_owned(),
        });
        secrets.keep_credential(&Credential::IdentityToken("identity token".to_owned()));
        secrets.keep_authorization(&HeaderValue::from_static("Bearer abc.def-ghi"));
        for (told, shown) in [
            ("nothing of ours", "nothing of ours"),
            ("the password s3cret/pa+ss is wrong", "the password [hidden] is wrong"),
            ("password=s3cret%2Fpa%2Bss", "password=[hidden]"),
            (
                "Authorization: Basic bWU6czNjcmV0L3BhK3Nz",
                "Authorization: Basic [hidden]",
            ),
            ("(me:s3cret/pa+ss)", "([hidden])"),
            ("czNjcmV0L3BhK3Nz!", "[hidden]!"),
            ("refresh_token=identity+token&x", "refresh_token=[hidden]&x"),
            ("aWRlbnRpdHkgdG9rZW4=,", "[hidden],"),
            ("xabc.def-ghix", "x[hidden]x"),
            ("ü s3cret/pa+sss3cret/pa+ss ü", "ü [hidden][hidden] ü"),
        ] {
            assert_eq!(secrets.hide(told), shown);
        }
    }

    #[test]
    fn a_short_secret_is_hidden_where_it_stands_as_a_word() {
        let secrets = Secrets::default();
        secrets.keep_credential(&Credential::Bearer("test".to_owned()));
        assert_eq!(
            secrets.hide("the latest of the test: 'test'"),
            "the latest of the [hidden]: '[hidden]'"
        );
    }

    #[test]
    fn the_latest_are_remembered() {
        let secrets = Secrets::default();
        secrets.keep("the first secret");
        for number in 0..MAX_SECRETS {
            secrets.keep("the second secret");
            secrets.keep(&format!("secret number {number}"));
        }
        assert_eq!(secrets.known().len(), MAX_SECRETS);
        assert_eq!(secrets.hide("the first secret"), "the first secret");
        assert_eq!(secrets.hide("the second secret"), HIDDEN);
    }
}
