//! What did the registry complain of? Its answer, read with limits and made one [`Error`] that says what to do.
//!
//! distribution-spec, "Error Codes": `{"errors":[{"code":…,"message":…,"detail":…}]}`. What a registry says is shown with everything escaped
//! that a terminal would obey, and
//! without what we sent it to be let in.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;
use teu_spec::{Digest, json};
use teu_store::{Error, ErrorKind};

use super::{answer::Answer, secrets::Secrets};

/// How much of an answer that is an error is read, in bytes (threat 79).
const MAX_BODY: u64 = 64 << 10;
/// How many of its errors are shown.
const MAX_ERRORS: usize = 5;
/// How many characters of each are shown.
const MAX_SHOWN: usize = 500;

/// What a registry said was wrong.
pub(super) struct Complaint {
    status: u16,
    errors: Vec<Entry>,
    secrets: Arc<Secrets>,
}

#[derive(Deserialize)]
struct Body {
    #[serde(default)]
    errors: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: Option<String>,
    #[serde(default)]
    detail: Option<Value>,
}

impl Complaint {
    /// Reads an answer that is no success. What cannot be read leaves the status alone to speak.
    pub(super) async fn read(answer: Answer) -> Self {
        let status = answer.status().as_u16();
        let secrets = Arc::clone(&answer.secrets);
        let body = answer.body(MAX_BODY, "error").await.unwrap_or_default();
        Self::of(status, &body, secrets)
    }

    /// The same of an answer's status and body.
    pub(super) fn of(status: u16, body: &[u8], secrets: Arc<Secrets>) -> Self {
        let read = match json::check(body, json::Shape::Any) {
            Ok(_) => serde_json::from_slice::<Body>(body).ok(),
            Err(_) => None,
        };
        Self {
            status,
            errors: read.map(|body| body.errors).unwrap_or_default(),
            secrets,
        }
    }

    /// The error, of the registry called `registry`.
    pub(super) fn into_error(self, registry: &str) -> Error {
        let kind = self.kind();
        let mut message = self.message();
        if let Some(advice) = advice(&kind, registry) {
            message.push_str("; ");
            message.push_str(&advice);
        }
        Error::new(kind, message)
    }

    fn kind(&self) -> ErrorKind {
        for error in &self.errors {
            match error.code.as_str() {
                "MANIFEST_BLOB_UNKNOWN" => return ErrorKind::MissingChildren(self.missing()),
                "BLOB_UNKNOWN" | "BLOB_UPLOAD_UNKNOWN" | "MANIFEST_UNKNOWN" | "NAME_UNKNOWN" => {
                    return ErrorKind::NotFound;
                }
                "TOOMANYREQUESTS" => return ErrorKind::Throttled,
                "DIGEST_INVALID" | "SIZE_INVALID" => return ErrorKind::Mismatch,
                "MANIFEST_INVALID" | "NAME_INVALID" | "TAG_INVALID" | "BLOB_UPLOAD_INVALID" => {
                    return ErrorKind::Invalid;
                }
                "UNSUPPORTED" => return ErrorKind::Unsupported,
                _ => {}
            }
        }
        match self.status {
            401 => ErrorKind::Unauthenticated,
            403 => ErrorKind::Denied,
            404 | 410 => ErrorKind::NotFound,
            405 | 501 => ErrorKind::Unsupported,
            409 | 412 => ErrorKind::Conflict,
            413 => ErrorKind::TooLarge,
            416 => ErrorKind::Range,
            429 => ErrorKind::Throttled,
            507 => ErrorKind::Quota,
            400..=499 => ErrorKind::Invalid,
            _ => ErrorKind::Io,
        }
    }

    /// The digests that a manifest names and the registry lacks, in the forms that registries tell them.
    fn missing(&self) -> Vec<Digest> {
        self.errors
            .iter()
            .filter(|error| error.code == "MANIFEST_BLOB_UNKNOWN")
            .filter_map(|error| match error.detail.as_ref()? {
                Value::String(digest) => digest.parse().ok(),
                Value::Object(detail) => detail.get("digest").or(detail.get("Digest"))?.as_str()?.parse().ok(),
                _ => None,
            })
            .collect()
    }

    fn message(&self) -> String {
        let status = reqwest::StatusCode::from_u16(self.status)
            .ok()
            .and_then(|status| status.canonical_reason());
        let mut message = match status {
            Some(reason) => format!("the registry says {} {reason}", self.status),
            None => format!("the registry says {}", self.status),
        };
        for (place, error) in self.errors.iter().take(MAX_ERRORS).enumerate() {
            message.push_str(if place == 0 { ": " } else { ", " });
            message.push_str(&self.shown(&error.code));
            if let Some(text) = error.message.as_deref().filter(|text| !text.is_empty()) {
                message.push_str(": ");
                message.push_str(&self.shown(text));
            }
            if let Some(Value::String(detail)) = &error.detail {
                message.push_str(" (");
                message.push_str(&self.shown(detail));
                message.push(')');
            }
        }
        message
    }

    fn shown(&self, told: &str) -> String {
        escaped(&self.secrets.hide(told))
    }
}

fn advice(kind: &ErrorKind, registry: &str) -> Option<String> {
    match kind {
        ErrorKind::Unauthenticated => Some(format!(
            "log in with `teu login {registry}`, or check the credentials given"
        )),
        ErrorKind::Denied => Some(format!(
            "this user may not do that; log in as another with `teu login {registry}`, or check the repository's name"
        )),
        ErrorKind::Throttled => {
            Some("it asks to slow down: try again later, or log in, which often raises the limit".to_owned())
        }
        _ => None,
    }
}

/// A registry's words, fit for a terminal.
pub(super) fn escaped(text: &str) -> String {
    let mut shown = String::new();
    for (place, c) in text.chars().enumerate() {
        if place == MAX_SHOWN {
            shown.push('…');
            break;
        }
        if c.is_control() || is_invisible(c) {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}

/// Characters that turn the direction of text or hide it.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaint(status: u16, body: &str) -> Complaint {
        Complaint::of(status, body.as_bytes(), Arc::default())
    }

    #[test]
    fn kinds_and_messages() {
        let cases = [
            (
                401,
                "",
                ErrorKind::Unauthenticated,
                "the registry says 401 Unauthorized; log in with `teu login r.test`, or check the credentials given",
            ),
            (
                404,
                r#"{"errors":[{"code":"NAME_UNKNOWN","message":"no such repository"}]}"#,
                ErrorKind::NotFound,
                "the registry says 404 Not Found: NAME_UNKNOWN: no such repository",
            ),
            (
                404,
                r#"{"errors":[{"code":"UNSUPPORTED"}]}"#,
                ErrorKind::Unsupported,
                "the registry says 404 Not Found: UNSUPPORTED",
            ),
            (
                500,
                "<html>",
                ErrorKind::Io,
                "the registry says 500 Internal Server Error",
            ),
            (
                400,
                r#"{"errors":[{"code":"X","message":"\u001b[31mred\u202e","detail":"d"}]}"#,
                ErrorKind::Invalid,
                "the registry says 400 Bad Request: X: \\u{1b}[31mred\\u{202e} (d)",
            ),
            (599, "", ErrorKind::Io, "the registry says 599"),
        ];
        for (status, body, kind, message) in cases {
            let error = complaint(status, body).into_error("r.test");
            assert_eq!(error.kind(), &kind, "{body}");
            assert_eq!(error.to_string(), message);
        }
    }

    #[test]
    fn missing_children_are_named() {
        let (one, two) = (Digest::of(b"1"), Digest::of(b"2"));
        let body = format!(
            r#"{{"errors":[{{"code":"MANIFEST_BLOB_UNKNOWN","detail":"{one}"}},{{"code":"MANIFEST_BLOB_UNKNOWN","detail":{{"digest":"{two}"}}}}]}}"#
        );
        assert_eq!(complaint(404, &body).kind(), ErrorKind::MissingChildren(vec![one, two]));
    }
}
