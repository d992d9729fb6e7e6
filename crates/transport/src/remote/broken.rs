//! Why did no answer come? What a connection failed by, in words that say what to do.

use teu_store::{Error, ErrorKind};
use url::Url;

use super::{origin, resolve::Forbidden};

/// Why there is no answer.
pub(super) enum Failure {
    /// No connection came about: nothing was sent.
    Connect(Error),
    /// A connection came about and TLS on it did not, which will be the same the next time: nothing was sent.
    Tls(Error),
    /// The connection failed once something may have been sent.
    Broken(Error),
    /// An answer came, and it or where it leads is refused.
    Refused(Error),
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Connect(error) | Failure::Tls(error) | Failure::Broken(error) | Failure::Refused(error) => error,
        }
    }
}

pub(super) fn failure(url: &Url, error: reqwest::Error) -> Failure {
    if let Some(forbidden) = cause::<Forbidden>(&error) {
        return Failure::Refused(Error::new(ErrorKind::Refused, forbidden.to_string()));
    }
    let is_connect = error.is_connect();
    let is_tls = is_of_tls(&error);
    let error = broken(&origin::authority(url), error);
    if is_connect && is_tls {
        Failure::Tls(error)
    } else if is_connect {
        Failure::Connect(error)
    } else {
        Failure::Broken(error)
    }
}

/// URLs stay out of errors: those of storages are secrets.
pub(super) fn broken(host: &str, error: reqwest::Error) -> Error {
    let error = error.without_url();
    let mut causes = Vec::new();
    let mut cause: Option<&dyn std::error::Error> = Some(&error);
    while let Some(error) = cause {
        causes.push(error.to_string());
        cause = error.source();
    }
    // The outer ones say no more than that a request failed, which is known.
    if let Some(telling) = causes.iter().position(|cause| !is_vague(cause)) {
        causes.drain(..telling);
    }
    let mut message = format!("talking to {host}: {}", causes.join(": "));
    if let Some((_, advice)) = ADVICE.iter().find(|(sign, _)| message.contains(sign)) {
        message.push_str("; ");
        message.push_str(advice);
    }
    Error::new(ErrorKind::Io, message)
}

/// The first of an error's causes that is of a type.
fn cause<'a, T: std::error::Error + 'static>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a T> {
    error
        .downcast_ref::<T>()
        .or_else(|| error.source().and_then(cause::<T>))
}

/// Whether TLS is what came in the way.
fn is_of_tls(error: &(dyn std::error::Error + 'static)) -> bool {
    // What an I/O error was made of is not among its sources.
    let made_of = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    error.is::<rustls::Error>()
        || made_of.is_some_and(|inner| is_of_tls(inner))
        || error.source().is_some_and(is_of_tls)
}

fn is_vague(cause: &str) -> bool {
    cause == "error sending request" || cause.starts_with("client error")
}

/// What to do about what a connection fails by, told by what the causes say.
const ADVICE: [(&str, &str); 4] = [
    (
        "InvalidContentType",
        "it answers without TLS: --tls-verify=false allows plain HTTP",
    ),
    (
        "UnknownIssuer",
        "nobody trusted vouches for its certificate: --cert-dir names a directory with the authority's (*.crt), \
         --tls-verify=false takes any",
    ),
    ("Connection refused", "is a registry running there, on that port?"),
    (
        "failed to lookup address",
        "is the name of the host right, and the network up?",
    ),
];
