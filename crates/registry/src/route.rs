//! What does a path ask for? Distribution-spec's endpoints, and a query's parameters. A path is never more than looked at: what it names are
//! digests, tags and names of repositories, each of a strict grammar (threat 81).

use std::fmt;

use teu_spec::{Digest, MAX_REPOSITORY, Repository, Tag};

use crate::problem::{Code, Problem};

/// An endpoint, of a repository where it has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// `/v2/`
    Base,
    /// `/v2/_catalog`
    Catalog,
    /// `/v2/<name>/tags/list`
    Tags(String),
    /// `/v2/<name>/manifests/<reference>`
    Manifest(String, Reference),
    /// `/v2/<name>/blobs/<digest>`
    Blob(String, Digest),
    /// `/v2/<name>/blobs/uploads/`
    Uploads(String),
    /// `/v2/<name>/blobs/uploads/<id>`
    Upload(String, String),
    /// `/v2/<name>/referrers/<digest>`
    Referrers(String, Digest),
}

/// What a manifest is asked for by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reference {
    Digest(Digest),
    Tag(Tag),
    /// What is neither: there is none of this name, and none can be put.
    Neither(String),
}

impl Route {
    /// The repository that it is of.
    pub(crate) fn repository(&self) -> Option<&str> {
        match self {
            Self::Base | Self::Catalog => None,
            Self::Tags(name) | Self::Uploads(name) => Some(name),
            Self::Manifest(name, _) | Self::Blob(name, _) | Self::Upload(name, _) | Self::Referrers(name, _) => {
                Some(name)
            }
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Digest(digest) => digest.fmt(formatter),
            Self::Tag(tag) => tag.fmt(formatter),
            Self::Neither(text) => write!(formatter, "{text:?}"),
        }
    }
}

/// Reads a path.
///
/// # Errors
/// 404 where there is no such endpoint; 400 where what it names cannot be a name or a digest.
pub(crate) fn route(path: &str) -> Result<Route, Problem> {
    let unknown = nowhere;
    let rest = match path.strip_prefix("/v2") {
        Some("" | "/") => return Ok(Route::Base),
        Some(rest) => rest.strip_prefix('/').ok_or_else(unknown)?,
        None => return Err(unknown()),
    };
    let segments: Option<Vec<String>> = rest
        .split('/')
        .map(|segment| decoded(segment).filter(|s| !s.contains('/')))
        .collect();
    let segments = segments.ok_or_else(|| Problem::bad(Code::NameInvalid, "the path cannot be read"))?;
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    match segments[..] {
        ["_catalog"] => Ok(Route::Catalog),
        [ref name @ .., "blobs", "uploads"] | [ref name @ .., "blobs", "uploads", ""] => {
            Ok(Route::Uploads(repository(name)?))
        }
        [ref name @ .., "blobs", "uploads", id] => Ok(Route::Upload(repository(name)?, id.to_owned())),
        [ref name @ .., "blobs", id] => Ok(Route::Blob(repository(name)?, digest(id)?)),
        [ref name @ .., "referrers", id] => Ok(Route::Referrers(repository(name)?, digest(id)?)),
        [ref name @ .., "tags", "list"] => Ok(Route::Tags(repository(name)?)),
        [ref name @ .., "manifests", reference] => Ok(Route::Manifest(repository(name)?, self::reference(reference)?)),
        _ => Err(unknown()),
    }
}

/// There is no endpoint at a path.
pub(crate) fn nowhere() -> Problem {
    Problem::not_found(Code::Unsupported, "there is nothing at this path")
}

/// The name of a repository.
pub(crate) fn repository(segments: &[&str]) -> Result<String, Problem> {
    let name = segments.join("/");
    if name.len() > MAX_REPOSITORY {
        let message = format!("a repository's name has at most {MAX_REPOSITORY} bytes");
        return Err(Problem::bad(Code::NameInvalid, message));
    }
    Repository::check_path(&name).map_err(|error| Problem::bad(Code::NameInvalid, error.to_string()))?;
    Ok(name)
}

/// A digest.
pub(crate) fn digest(text: &str) -> Result<Digest, Problem> {
    text.parse()
        .map_err(|error: teu_spec::DigestError| Problem::bad(Code::DigestInvalid, error.to_string()))
}

fn reference(text: &str) -> Result<Reference, Problem> {
    // No tag has a colon.
    if text.contains(':') {
        return Ok(Reference::Digest(digest(text)?));
    }
    Ok(match text.parse() {
        Ok(tag) => Reference::Tag(tag),
        Err(_) => Reference::Neither(text.chars().take(200).collect()),
    })
}

/// The parameters of a query, in their order.
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    /// Reads a query.
    ///
    /// # Errors
    /// 400 where it is no UTF-8.
    pub(crate) fn read(query: Option<&str>) -> Result<Self, Problem> {
        let pairs = query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        let read: Option<Vec<(String, String)>> = pairs
            .map(|pair| {
                let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
                Some((decoded(key)?, decoded(value)?))
            })
            .collect();
        read.map(Self)
            .ok_or_else(|| Problem::bad(Code::Unsupported, "the query cannot be read"))
    }

    /// Reads the content of a form (`application/x-www-form-urlencoded`), in which a plus is a space.
    ///
    /// # Errors
    /// 400 where it is no UTF-8.
    pub(crate) fn form(text: &str) -> Result<Self, Problem> {
        Self::read(Some(&text.replace('+', " ")))
    }

    /// The first of this name.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }

    /// All of this name.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0
            .iter()
            .filter(move |(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }
}

/// Undoes percent-encoding. `+` stays: nothing here has a space, and media types have it.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let (high, low) = (rest.next()?, rest.next()?);
                let digit = |byte: u8| char::from(byte).to_digit(16);
                u8::try_from(digit(high)? << 4 | digit(low)?).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

/// Percent-encodes what does not stand for itself in a query.
pub(crate) fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b':' | b'/' => {
                out.push(char::from(byte))
            }
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn paths_lead_to_endpoints() {
        let name = || "a/b".to_owned();
        let digest = Digest::of(b"");
        for (path, expected) in [
            ("/v2/".to_owned(), Route::Base),
            ("/v2".to_owned(), Route::Base),
            ("/v2/_catalog".to_owned(), Route::Catalog),
            ("/v2/a/b/tags/list".to_owned(), Route::Tags(name())),
            (format!("/v2/a/b/blobs/sha256:{HEX}"), Route::Blob(name(), digest)),
            (format!("/v2/a/b/blobs/sha256%3A{HEX}"), Route::Blob(name(), digest)),
            ("/v2/a/b/blobs/uploads/".to_owned(), Route::Uploads(name())),
            ("/v2/a/b/blobs/uploads".to_owned(), Route::Uploads(name())),
            (
                "/v2/a/b/blobs/uploads/x".to_owned(),
                Route::Upload(name(), "x".to_owned()),
            ),
            (
                format!("/v2/a/b/referrers/sha256:{HEX}"),
                Route::Referrers(name(), digest),
            ),
            (
                format!("/v2/a/b/manifests/sha256:{HEX}"),
                Route::Manifest(name(), Reference::Digest(digest)),
            ),
            (
                "/v2/a/b/manifests/latest".to_owned(),
                Route::Manifest(name(), Reference::Tag("latest".parse().expect("a tag"))),
            ),
            (
                "/v2/a/b/manifests/.hidden".to_owned(),
                Route::Manifest(name(), Reference::Neither(".hidden".to_owned())),
            ),
            // A repository may be called by words of the API.
            (
                "/v2/tags/list/manifests/list".to_owned(),
                Route::Manifest("tags/list".to_owned(), Reference::Tag("list".parse().expect("a tag"))),
            ),
        ] {
            assert_eq!(route(&path).expect("an endpoint"), expected, "{path}");
        }
    }

    #[test]
    fn what_leads_out_leads_nowhere() {
        let long = format!("/v2/{}/tags/list", "a".repeat(256));
        for (path, status) in [
            ("/", 404),
            ("/etc/passwd", 404),
            ("/v2/../../etc/passwd", 404),
            ("/v2x/", 404),
            ("/v2/a/b", 404),
            ("/v2/../../etc/manifests/passwd", 400),
            ("/v2/%2e%2e/manifests/x", 400),
            ("/v2/a%2fb/manifests/x", 400),
            ("/v2/a%00/manifests/x", 400),
            ("/v2/a%/manifests/x", 400),
            ("/v2/a%ff/manifests/x", 400),
            ("/v2//manifests/x", 400),
            ("/v2/manifests/x", 400),
            ("/v2/A/manifests/x", 400),
            ("/v2/a/blobs/../../x", 404),
            ("/v2/a/blobs/sha256:..", 400),
            ("/v2/a/blobs/sha256:../../x", 404),
            ("/v2/a/manifests/sha256:short", 400),
            ("/v2/a/manifests/md5:d41d8cd98f00b204e9800998ecf8427e", 400),
            (long.as_str(), 400),
        ] {
            let problem = route(path).expect_err("nowhere");
            assert_eq!(problem.status.as_u16(), status, "{path}");
        }
    }

    #[test]
    fn queries_are_read_and_written() {
        let query = Query::read(Some("digest=sha256%3Ax&tag=a&tag=b&artifactType=a/b+json&&empty")).expect("a query");
        assert_eq!(query.get("digest"), Some("sha256:x"));
        assert_eq!(query.all("tag").collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(query.get("artifactType"), Some("a/b+json"));
        assert_eq!(query.get("empty"), Some(""));
        assert_eq!(query.get("absent"), None);
        assert!(Query::read(Some("a=%zz")).is_err());
        assert_eq!(decoded(&encoded("a/b+json; é\r\n")).as_deref(), Some("a/b+json; é\r\n"));
        assert_eq!(encoded("a b+\n"), "a%20b%2B%0A");
    }
}
