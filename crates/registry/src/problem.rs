//! What went wrong, as a client reads it? A status, and JSON with a code of distribution-spec ("Error Codes").

use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use serde_json::{Value, json};
use teu_spec::Digest;
use teu_store::{Error, ErrorKind};

use crate::{
    body::{self, Body},
    route::Route,
};

/// What clients tell errors by: distribution-spec's codes, and those of Docker's registry that it has no word for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    BlobUnknown,
    BlobUploadInvalid,
    BlobUploadUnknown,
    Denied,
    DigestInvalid,
    ManifestBlobUnknown,
    ManifestInvalid,
    ManifestUnknown,
    NameInvalid,
    NameUnknown,
    NumberInvalid,
    RangeInvalid,
    SizeInvalid,
    TagInvalid,
    TooManyRequests,
    Unauthorized,
    Unknown,
    Unsupported,
}

impl Code {
    fn as_str(self) -> &'static str {
        match self {
            Self::BlobUnknown => "BLOB_UNKNOWN",
            Self::BlobUploadInvalid => "BLOB_UPLOAD_INVALID",
            Self::BlobUploadUnknown => "BLOB_UPLOAD_UNKNOWN",
            Self::Denied => "DENIED",
            Self::DigestInvalid => "DIGEST_INVALID",
            Self::ManifestBlobUnknown => "MANIFEST_BLOB_UNKNOWN",
            Self::ManifestInvalid => "MANIFEST_INVALID",
            Self::ManifestUnknown => "MANIFEST_UNKNOWN",
            Self::NameInvalid => "NAME_INVALID",
            Self::NameUnknown => "NAME_UNKNOWN",
            Self::NumberInvalid => "PAGINATION_NUMBER_INVALID",
            Self::RangeInvalid => "RANGE_INVALID",
            Self::SizeInvalid => "SIZE_INVALID",
            Self::TagInvalid => "TAG_INVALID",
            Self::TooManyRequests => "TOOMANYREQUESTS",
            Self::Unauthorized => "UNAUTHORIZED",
            Self::Unknown => "UNKNOWN",
            Self::Unsupported => "UNSUPPORTED",
        }
    }
}

/// Why a request is not answered as it was meant.
#[derive(Debug)]
pub(crate) struct Problem {
    pub(crate) status: StatusCode,
    code: Code,
    said: Box<Said>,
}

/// The most that is told of one by one.
const DETAILS: usize = 100;

/// What there is to say, on the heap: most requests have nothing of it.
#[derive(Debug)]
struct Said {
    message: String,
    /// One error is told for each; one alone where there are none.
    details: Vec<Value>,
    headers: Vec<(HeaderName, HeaderValue)>,
    /// What is told in the log alone: paths and addresses of ours are none of a client's business.
    cause: Option<Cause>,
    login: Option<Login>,
    /// What was asked for is not here, and is not named yet.
    is_absent: bool,
}

/// What a log says of an answer that was no client's fault: an extension of the answer.
#[derive(Clone, Debug)]
pub(crate) struct Cause {
    pub(crate) text: String,
    /// Bytes are lost that should be there.
    pub(crate) is_loss: bool,
}

/// Why somebody's password did not let them in: an extension of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Login {
    /// It is wrong, or the user.
    Wrong,
    /// Too many waited to be checked.
    Unchecked,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, code: Code, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            said: Box::new(Said {
                message: message.into(),
                details: Vec::new(),
                headers: Vec::new(),
                cause: None,
                login: None,
                is_absent: false,
            }),
        }
    }

    pub(crate) fn bad(code: Code, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    pub(crate) fn not_found(code: Code, message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, code, message)
    }

    /// What was asked for is not here; [`about`](Self::about) says what that was.
    pub(crate) fn absent(code: Code) -> Self {
        let mut problem = Self::not_found(code, "it is not here");
        problem.said.is_absent = true;
        problem
    }

    /// What cannot be done here, by this method or at all.
    pub(crate) fn not_allowed(allowed: &'static str, message: impl Into<String>) -> Self {
        let problem = Self::new(StatusCode::METHOD_NOT_ALLOWED, Code::Unsupported, message);
        problem.with(header::ALLOW, HeaderValue::from_static(allowed))
    }

    /// The same with a header.
    pub(crate) fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.said.headers.push((name, value));
        self
    }

    /// The same with what the log says of it.
    pub(crate) fn because(mut self, text: String) -> Self {
        self.said.cause = Some(Cause { text, is_loss: false });
        self
    }

    /// The same, because bytes are lost that should be there.
    fn by_loss(mut self, text: String) -> Self {
        self.said.cause = Some(Cause { text, is_loss: true });
        self
    }

    /// What was lost, where that is what it says.
    pub(crate) fn loss(self) -> Result<Cause, Self> {
        match self.said.cause {
            Some(cause) if cause.is_loss => Ok(cause),
            _ => Err(self),
        }
    }

    /// The same, which is counted as what came of a login.
    pub(crate) fn of_login(mut self, login: Login) -> Self {
        self.said.login = Some(login);
        self
    }

    /// What a store said when it was read; `missing` is what a client calls that which was not there.
    pub(crate) fn reading(error: Error, missing: Code) -> Self {
        let message = error.to_string();
        match error.kind() {
            // The store's own words may name places of ours.
            ErrorKind::NotFound => Self::absent(missing),
            ErrorKind::Range => Self::new(
                StatusCode::RANGE_NOT_SATISFIABLE,
                Code::RangeInvalid,
                "there are no such bytes",
            ),
            // As what is not here: clients push that, and no push heals what is said to have failed.
            ErrorKind::Mismatch => Self::not_found(missing, "its bytes are lost here; push it again").by_loss(message),
            // It is deleted, and something else wants it.
            ErrorKind::Conflict => Self::new(StatusCode::CONFLICT, Code::Denied, message),
            _ => Self::common(&error).unwrap_or_else(|| Self::ours(StatusCode::INTERNAL_SERVER_ERROR, message)),
        }
    }

    /// The same, which names what was asked for.
    pub(crate) fn about(mut self, route: &Route) -> Self {
        if self.said.is_absent {
            self.said.message = match (self.code, route) {
                (Code::ManifestUnknown, Route::Manifest(name, reference)) => {
                    format!("there is no manifest {reference} in {name}")
                }
                (Code::BlobUnknown, Route::Blob(name, digest)) => format!("there is no blob {digest} in {name}"),
                (Code::NameUnknown, route) => match route.repository() {
                    Some(name) => format!("there is no repository {name} here"),
                    None => return self,
                },
                _ => return self,
            };
        }
        self
    }

    /// What a store said when it was written to; `invalid` is what a client calls that which it sent.
    pub(crate) fn writing(error: Error, invalid: Code) -> Self {
        let message = error.to_string();
        match error.kind() {
            ErrorKind::NotFound => Self::not_found(Code::NameUnknown, "there is no such repository here"),
            ErrorKind::Invalid => Self::bad(invalid, message),
            ErrorKind::Mismatch => Self::bad(Code::DigestInvalid, message),
            ErrorKind::Conflict => Self::new(StatusCode::PRECONDITION_FAILED, Code::Denied, message),
            ErrorKind::TooLarge => Self::new(StatusCode::PAYLOAD_TOO_LARGE, invalid, message),
            ErrorKind::MissingChildren(missing) => {
                let cause = error.cause().and_then(|cause| cause.downcast_ref::<Error>());
                let is_loss = cause.is_some_and(|cause| *cause.kind() == ErrorKind::Mismatch);
                let problem = Self::missing(missing);
                if is_loss { problem.by_loss(message) } else { problem }
            }
            _ => Self::common(&error).unwrap_or_else(|| Self::ours(StatusCode::INTERNAL_SERVER_ERROR, message)),
        }
    }

    /// A manifest names what is not here: an error for each, as clients of Docker's registry read them.
    pub(crate) fn missing(digests: &[Digest]) -> Self {
        let mut problem = Self::bad(
            Code::ManifestBlobUnknown,
            "the manifest names content that is not in this repository; push that first",
        );
        let named = digests.iter().take(DETAILS);
        problem.said.details = named.map(|digest| json!({ "digest": digest.to_string() })).collect();
        problem
    }

    fn common(error: &Error) -> Option<Self> {
        Some(match error.kind() {
            ErrorKind::Denied => Self::new(StatusCode::FORBIDDEN, Code::Denied, "that is not allowed here"),
            ErrorKind::Unauthenticated => Self::new(StatusCode::UNAUTHORIZED, Code::Unauthorized, "log in first"),
            ErrorKind::Throttled => Self::throttled("try again later"),
            ErrorKind::Unsupported => Self::not_allowed("GET, HEAD", error.to_string()),
            ErrorKind::Quota => Self::ours(StatusCode::INSUFFICIENT_STORAGE, error.to_string()),
            _ => return None,
        })
    }

    /// Too much at once.
    pub(crate) fn throttled(message: impl Into<String>) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, Code::TooManyRequests, message)
            .with(header::RETRY_AFTER, HeaderValue::from_static("10"))
    }

    /// What failed on our side.
    pub(crate) fn internal(error: Error) -> Self {
        Self::ours(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
    }

    /// What is our fault: a client is told that, and the log the rest.
    fn ours(status: StatusCode, cause: String) -> Self {
        let message = match status {
            StatusCode::INSUFFICIENT_STORAGE => "there is no room left; the server's log says more",
            _ => "the registry failed; its log says why",
        };
        Self::new(status, Code::Unknown, message).because(cause)
    }

    pub(crate) fn into_response(self) -> Response<Body> {
        let error = json!({ "code": self.code.as_str(), "message": self.said.message });
        let mut errors: Vec<Value> = Vec::new();
        for detail in self.said.details {
            let mut error = error.clone();
            error["detail"] = detail;
            errors.push(error);
        }
        if errors.is_empty() {
            errors.push(error);
        }
        let text = json!({ "errors": errors }).to_string();
        let mut response = Response::new(body::full(text.into()));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        for (name, value) in self.said.headers {
            headers.insert(name, value);
        }
        if let Some(cause) = self.said.cause {
            response.extensions_mut().insert(cause);
        }
        if let Some(login) = self.said.login {
            response.extensions_mut().insert(login);
        }
        response
    }
}
