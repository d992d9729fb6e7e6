//! What do the private parsers make of bytes that nobody vouches for? For fuzz targets alone, and no part of what this crate promises.

use std::{
    ops::Range,
    sync::OnceLock,
    time::{Duration, UNIX_EPOCH},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use http::{HeaderMap, HeaderName, HeaderValue, Request};
use rustls::pki_types::CertificateDer;
use teu_spec::Digest;

use crate::{
    auth::{self, SigningKey, Trusted},
    certificate, condition,
    framing::Framing,
    range::{self, Wanted},
    reached::{Base, Locations, Prefix, Reached, Way},
    route::{self, Query, Reference, Route},
};

/// Looks at a stream of requests in these parts: whether something in it is wrong, and if not, whether it ends within a request.
///
/// # Panics
/// Where a length is said to stand where it does not, or where another cannot be written in its place.
pub fn framing<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Option<bool> {
    let mut framing = Framing::default();
    for part in parts {
        let mut other = framing.clone();
        if framing.look(part).is_some() {
            return None;
        }
        if let (Some(at), Some((length, left))) = (framing.length_at(), framing.content()) {
            let digits = std::str::from_utf8(&part[at.clone()]).expect("digits");
            assert_eq!(digits.parse(), Ok(length), "{digits:?}");
            let (came, told) = (length - left, length - left / 2);
            let mut written = part.to_vec();
            written[at].copy_from_slice(format!("{told:0width$}", width = digits.len()).as_bytes());
            assert_eq!(other.look(&written), None);
            assert_eq!(
                (other.content(), other.heads()),
                (Some((told, told - came)), framing.heads())
            );
        }
    }
    Some(framing.is_within())
}

/// Reads a path, and gives it as we would write it; none where it leads nowhere.
#[must_use]
pub fn route(path: &str) -> Option<String> {
    let tail = |reference: &Reference| match reference {
        Reference::Digest(digest) => digest.to_string(),
        Reference::Tag(tag) => tag.to_string(),
        Reference::Neither(text) => route::encoded(text).replace('/', "%2F"),
    };
    Some(match route::route(path).ok()? {
        Route::Base => "/v2/".to_owned(),
        Route::Catalog => "/v2/_catalog".to_owned(),
        Route::Tags(name) => format!("/v2/{name}/tags/list"),
        Route::Manifest(name, reference) => format!("/v2/{name}/manifests/{}", tail(&reference)),
        Route::Blob(name, digest) => format!("/v2/{name}/blobs/{digest}"),
        Route::Uploads(name) => format!("/v2/{name}/blobs/uploads/"),
        Route::Upload(name, id) => format!("/v2/{name}/blobs/uploads/{}", route::encoded(&id)),
        Route::Referrers(name, digest) => format!("/v2/{name}/referrers/{digest}"),
    })
}

/// Reads a query, and looks for what is asked for in it.
#[must_use]
pub fn query(text: &str) -> Option<Vec<(&'static str, String)>> {
    let query = Query::read(Some(text)).ok()?;
    let names = ["n", "last", "digest", "mount", "from", "tag", "artifactType"];
    let all = names.iter().flat_map(|name| {
        let found = query.all(name).map(|value| (*name, value.to_owned()));
        found.collect::<Vec<_>>()
    });
    Some(all.collect())
}

/// Percent-encodes what does not stand for itself in a query.
#[must_use]
pub fn encoded(text: &str) -> String {
    route::encoded(text)
}

/// Reads `Range` of content of this size: no parts where all is meant, or nothing that there is.
#[must_use]
pub fn range(header: &str, size: u64) -> Vec<Range<u64>> {
    match range::wanted(header, size) {
        Wanted::Parts(parts) => parts,
        Wanted::All | Wanted::Nothing => Vec::new(),
    }
}

/// Reads `Content-Range` of a chunk: where it begins, and its length.
#[must_use]
pub fn chunk(header: &str) -> Option<(u64, u64)> {
    range::chunk(header)
}

fn key() -> &'static (SigningKey, Trusted) {
    static KEY: OnceLock<(SigningKey, Trusted)> = OnceLock::new();
    KEY.get_or_init(|| {
        let key = SigningKey::generate().expect("random numbers");
        let trusted = Trusted {
            issuer: "issuer".to_owned(),
            service: "registry".to_owned(),
            keys: key.keys(),
        };
        (key, trusted)
    })
}

/// Checks a token that nobody signed.
///
/// # Panics
/// Where it is believed.
pub fn token(text: &str) {
    let (_, trusted) = key();
    let now = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    trusted.check(text, now).expect_err("nobody signed it");
}

/// Checks a token of this header and body that was signed by the key that is trusted: who it is of, if it is good.
///
/// # Panics
/// Where one is good that does not say by which algorithm it was signed, or grants what it does not name.
#[must_use]
pub fn signed(header: &[u8], body: &[u8]) -> Option<Option<String>> {
    let (key, trusted) = key();
    let now = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(body));
    let signature = URL_SAFE_NO_PAD.encode(key.sign(message.as_bytes()).expect("signed"));
    let token = format!("{message}.{signature}");
    let claims = trusted.check(&token, now).ok()?;
    let text = String::from_utf8_lossy(header);
    assert!(text.contains("EdDSA") || text.contains('\\'), "{text}");
    for name in ["never/named", ""] {
        let is_named = claims.scopes.iter().any(|scope| scope.name == name);
        assert!(is_named || !claims.grant(auth::Action::Pull, name), "{name}");
    }
    Some(claims.user)
}

/// Reads what a client asks a token for.
///
/// # Panics
/// Where that is more than the limit.
pub fn scopes(text: &str) {
    assert!(auth::scopes(text).len() <= auth::MAX_SCOPES);
}

/// Reads header fields, one a line: conditions, what proxies say of the way, and who asks.
///
/// # Panics
/// Where a client would be led to what is no URL, or somebody is called what no name can be.
pub fn headers(text: &str) {
    let fields = text.lines().filter_map(|line| line.split_once(':'));
    let fields = fields.filter_map(|(name, value)| {
        let value = HeaderValue::from_str(value.trim()).ok()?;
        Some((name.parse::<HeaderName>().ok()?, value))
    });
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(name, value);
    }
    let digest = Digest::of(b"content");
    let _ = condition::reading(&headers, &digest);
    let _ = condition::range(&headers, &digest);
    let _ = condition::of_tag(&headers);
    for value in headers.get_all("authorization") {
        if let Some((user, _)) = value.to_str().ok().and_then(auth::basic) {
            assert!(!user.contains(':'), "{user:?}");
        }
    }
    let (mut parts, ()) = Request::new(()).into_parts();
    parts.headers = headers;
    let reached = Reached {
        prefix: Prefix::default(),
        locations: Locations::Absolute,
    };
    let way = Way::of(&parts);
    for told in [reached.location(&way, "/v2/"), reached.realm(&way)] {
        assert!(
            told.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"'),
            "{told:?}"
        );
    }
    let _ = Query::form(text);
    for line in text.lines() {
        if Base::parse(line).is_ok() || Prefix::parse(line).is_ok() {
            assert!(line.bytes().all(|byte| byte.is_ascii_graphic()), "{line:?}");
        }
    }
}

/// Reads a certificate: whose it is, and which key it has.
///
/// # Panics
/// Where somebody is called what no name can be.
pub fn certificate(bytes: &[u8]) {
    let der = CertificateDer::from(bytes);
    if let Some(name) = certificate::common_name(&der) {
        assert!(!name.is_empty() && !name.contains(char::is_control), "{name:?}");
    }
    if let Some(key) = certificate::public_key(&der) {
        let _ = certificate::rsa(key.bits);
    }
    let _ = certificate::subject_public_key(bytes);
    let _ = certificate::rsa(bytes);
}
