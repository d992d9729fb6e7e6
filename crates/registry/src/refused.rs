//! Why is a request refused before it is understood? Who looks at bytes before they are parsed ([`Strict`](crate::strict::Strict)) says so here, to who answers.

use std::sync::{Arc, OnceLock};

use http::StatusCode;

use crate::settings::Limits;

/// Why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// Its head has more bytes than [`Limits::head`].
    TooLong,
    /// Its path has more bytes than the parser reads.
    PathTooLong,
    /// Its head has more fields than [`Limits::headers`].
    TooMany,
    /// It can be read in two ways, or in none.
    Malformed,
    /// It begins as TLS does, and none is spoken here.
    Tls,
}

/// What is known of a connection of which no more is read.
#[derive(Clone, Default)]
pub(crate) struct Refused(Arc<OnceLock<(u64, Reason)>>);

impl Refused {
    /// What comes behind so many requests is refused.
    pub(crate) fn after(&self, requests: u64, reason: Reason) {
        // Of what is read no more nothing else can be found out.
        let _ = self.0.set((requests, reason));
    }

    /// Why a request is refused, of which it is told how many came on the connection with it.
    pub(crate) fn of(&self, ordinal: u64) -> Option<Reason> {
        let (requests, reason) = *self.0.get()?;
        (ordinal > requests).then_some(reason)
    }

    /// Why the parser refused what it did: it cannot know why it got what it does not take.
    pub(crate) fn parsed(&self, is_too_large: bool) -> Reason {
        match self.0.get() {
            Some((_, reason)) => *reason,
            // Its own limit beside ours.
            None if is_too_large => Reason::PathTooLong,
            None => Reason::Malformed,
        }
    }
}

impl Reason {
    /// What the client is answered.
    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::PathTooLong => StatusCode::URI_TOO_LONG,
            Self::TooLong | Self::TooMany => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::Malformed | Self::Tls => StatusCode::BAD_REQUEST,
        }
    }

    /// In words, with the limit by the name of its setting.
    pub(crate) fn words(self, limits: &Limits) -> String {
        match self {
            Self::TooLong => format!(
                "the head of the request has more than max.head of {} bytes",
                limits.head
            ),
            Self::PathTooLong => "the path of the request has more than the 65,534 bytes that are read".to_owned(),
            Self::TooMany => format!(
                "the head of the request has more than max.headers of {} fields",
                limits.headers
            ),
            Self::Malformed => "what came is no request, or one that can be read in two ways".to_owned(),
            Self::Tls => "what came is TLS, which is not spoken at this address".to_owned(),
        }
    }
}
