//! How do clients reach this registry, and so where are they told that things are? It may stand below a path, and behind proxies that call it
//! otherwise than it calls itself.

use http::{HeaderMap, HeaderName, HeaderValue, Uri, header, request::Parts};
use teu_store::{Error, ErrorKind, Result};

use crate::exchange::Peer;

const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// How a registry is reached.
#[derive(Clone, Debug, Default)]
pub struct Reached {
    /// What stands before `/v2/` in its paths.
    pub prefix: Prefix,
    /// How clients are told where things are.
    pub locations: Locations,
}

/// What every path begins with: nothing, or `/a/b`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prefix(String);

/// How clients are told where things are, in a `Location` and where they get tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Locations {
    /// By paths, which hold behind every proxy. Where tokens are takes a host, which is the one that the client asked.
    #[default]
    Relative,
    /// With the host that the client asked, as far as it and the proxies on the way say: `Forwarded` (RFC 7239), else `X-Forwarded-Proto` and
    /// `X-Forwarded-Host`, else `Host`. Whoever lies there leads only themselves astray.
    Absolute,
    /// Below this URL, whatever the client asked.
    At(Base),
}

/// A URL that paths are put behind: `https://registry.example`, with a path or without.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Base(String);

/// What a request says of how it came here: scheme and host. None where it says no host that could be one.
pub(crate) struct Way(Option<String>);

impl Prefix {
    /// Reads a path, such as `/registry/`. What stands for nothing is `/`, or no text at all.
    ///
    /// # Errors
    /// `Invalid` where it is no path, or could be read in two ways.
    pub fn parse(text: &str) -> Result<Self> {
        let path = text.strip_suffix('/').unwrap_or(text);
        let is_plain = |part: &str| {
            let known = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
            !matches!(part, "" | "." | "..") && part.bytes().all(known)
        };
        let is_path = path.is_empty() || path.strip_prefix('/').is_some_and(|path| path.split('/').all(is_plain));
        match is_path {
            true => Ok(Self(path.to_owned())),
            false => Err(invalid(format!(
                "{text:?} is no prefix of paths; write one such as /registry/"
            ))),
        }
    }

    /// The path without this, where it has it.
    fn strip<'a>(&self, path: &'a str) -> Option<&'a str> {
        path.strip_prefix(self.0.as_str()).filter(|rest| rest.starts_with('/'))
    }

    /// The same address without this before its path; none where it is not below it. Whatever stands before `path` is not looked at.
    pub(crate) fn within(&self, uri: &Uri) -> Option<Option<Uri>> {
        if self.0.is_empty() {
            return Some(None);
        }
        let path = self.strip(uri.path())?;
        let text = match uri.query() {
            Some(query) => format!("{path}?{query}"),
            None => path.to_owned(),
        };
        let mut parts = uri.clone().into_parts();
        // A part of what was an address is one.
        parts.path_and_query = Some(text.parse().ok()?);
        Some(Some(Uri::from_parts(parts).ok()?))
    }
}

impl Base {
    /// Reads a URL of `http` or `https`.
    ///
    /// # Errors
    /// `Invalid` where it is none, or has a user, a query or a fragment.
    pub fn parse(text: &str) -> Result<Self> {
        let wrong = || {
            invalid(format!(
                "{text:?} is no URL to put paths behind; write one such as https://registry.example"
            ))
        };
        let rest = text
            .strip_prefix("https://")
            .or_else(|| text.strip_prefix("http://"))
            .ok_or_else(wrong)?;
        let (host, path) = rest.find('/').map_or((rest, ""), |place| rest.split_at(place));
        match is_host(host) && Prefix::parse(path).is_ok() {
            true => Ok(Self(text.trim_end_matches('/').to_owned())),
            false => Err(wrong()),
        }
    }
}

impl Way {
    /// How this request came, without a proxy's word or with it.
    pub(crate) fn of(parts: &Parts) -> Self {
        let text = |name: &HeaderName| parts.headers.get(name).and_then(|value| value.to_str().ok());
        let asked = parts.uri.authority().map(|authority| authority.as_str());
        let is_secure = parts.extensions.get::<Peer>().is_some_and(|peer| peer.is_secure);
        let (proto, host) = match forwarded(&parts.headers) {
            Some(said) => said,
            None => {
                // Of several proxies each wrote what it was asked by, the client's first.
                (text(&FORWARDED_PROTO).map(first), text(&FORWARDED_HOST).map(first))
            }
        };
        let proto = proto.map(|proto| proto.to_ascii_lowercase());
        let scheme = match proto.as_deref() {
            Some(proto @ ("http" | "https")) => proto,
            _ if is_secure => "https",
            _ => "http",
        };
        let host = host.filter(|host| is_host(host));
        let host = host.or_else(|| {
            let host = asked.or_else(|| text(&header::HOST));
            host.filter(|host| is_host(host)).map(str::to_owned)
        });
        Self(host.map(|host| format!("{scheme}://{host}")))
    }
}

impl Reached {
    /// Whether a path of ours is already what clients are told, whatever they ask.
    pub(crate) fn is_plain(&self) -> bool {
        self.locations == Locations::Relative && self.prefix.0.is_empty()
    }

    /// What a client that came this way is told of a path of ours.
    pub(crate) fn location(&self, way: &Way, path: &str) -> String {
        let below = format!("{}{path}", self.prefix.0);
        match (&self.locations, &way.0) {
            (Locations::At(base), _) => format!("{}{path}", base.0),
            (Locations::Absolute, Some(host)) => format!("{host}{below}"),
            _ => below,
        }
    }

    /// What they are told of the next page, which is always a path.
    pub(crate) fn path(&self, path: &str) -> String {
        format!("{}{path}", self.prefix.0)
    }

    /// Where they get tokens: a URL where that can be known.
    pub(crate) fn realm(&self, way: &Way) -> String {
        match (&self.locations, &way.0) {
            (Locations::Relative, Some(host)) => format!("{host}{}/token", self.prefix.0),
            _ => self.location(way, "/token"),
        }
    }
}

/// Scheme and host as the first proxy says them (RFC 7239, 4); none where none says anything.
fn forwarded(headers: &HeaderMap) -> Option<(Option<String>, Option<String>)> {
    let text = headers.get(header::FORWARDED)?.to_str().ok()?;
    let (mut proto, mut host) = (None, None);
    for (name, value) in first_of(text) {
        match name.as_str() {
            "proto" => proto = Some(value),
            "host" => host = Some(value),
            _ => {}
        }
    }
    Some((proto, host))
}

/// The pairs that the first proxy wrote into `Forwarded`, their names in lower case.
fn first_of(text: &str) -> impl Iterator<Item = (String, String)> {
    let mut quoted = false;
    // What is between quotes ends no element and no pair.
    let end = text.find(|c: char| {
        quoted ^= c == '"';
        c == ',' && !quoted
    });
    let first = &text[..end.unwrap_or(text.len())];
    let mut quoted = false;
    let pairs = first.split(move |c: char| {
        quoted ^= c == '"';
        c == ';' && !quoted
    });
    pairs.filter_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        let value = value.trim().trim_matches('"').to_owned();
        Some((name.trim().to_ascii_lowercase(), value))
    })
}

/// The first of a list, as the client's own proxy wrote it.
fn first(list: &str) -> String {
    list.split(',').next().unwrap_or_default().trim().to_owned()
}

/// Whom a proxy asks for, for the log; none where it says nothing that could be an address or a name.
pub(crate) fn client(headers: &HeaderMap) -> Option<String> {
    const MOST: usize = 64;
    let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let said = match text(&header::FORWARDED) {
        Some(text) => first_of(text).find(|(name, _)| name == "for").map(|(_, value)| value),
        None => [FORWARDED_FOR, REAL_IP].iter().find_map(text).map(first),
    };
    let is_plain = |text: &String| {
        let known = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\';
        !text.is_empty() && text.len() <= MOST && text.bytes().all(known)
    };
    said.filter(is_plain)
}

/// All that is said of whom a proxy asks for, by itself and by those before it.
pub(crate) fn clients(headers: &HeaderMap) -> Vec<HeaderValue> {
    let names = [header::FORWARDED, FORWARDED_FOR, REAL_IP];
    let values = names.iter().flat_map(|name| headers.get_all(name));
    values.cloned().collect()
}

/// Whether it can be a host with a port or without, and nothing else.
fn is_host(host: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
    !host.is_empty() && host.bytes().all(known)
}

fn invalid(message: String) -> Error {
    Error::new(ErrorKind::Invalid, message)
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn told(reached: &Reached, headers: &[(&str, &str)]) -> (String, String) {
        let mut request = Request::builder().uri("/v2/");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).expect("a request").into_parts();
        let way = Way::of(&parts);
        (reached.location(&way, "/v2/a"), reached.realm(&way))
    }

    #[test]
    fn where_things_are_is_told_as_proxies_say() {
        let absolute = Reached {
            locations: Locations::Absolute,
            ..Reached::default()
        };
        for (headers, host) in [
            (&[("host", "a:1")][..], "http://a:1"),
            (&[("host", "a:1"), ("x-forwarded-proto", "https")], "https://a:1"),
            (&[("host", "a:1"), ("x-forwarded-host", "b, c")], "http://b"),
            (
                &[
                    ("host", "a"),
                    ("x-forwarded-host", "b:2"),
                    ("x-forwarded-proto", "https"),
                ],
                "https://b:2",
            ),
            (&[("host", "a"), ("forwarded", "for=x;proto=https;host=b")], "https://b"),
            (
                &[
                    ("host", "a"),
                    ("forwarded", "For=\"[::1]:4;,\"; Host=\"b:2\" ;PROTO=https, host=c"),
                ],
                "https://b:2",
            ),
            // What one header says the other is not asked for.
            (
                &[("host", "a"), ("forwarded", "for=x"), ("x-forwarded-host", "b")],
                "http://a",
            ),
            (&[("host", "a"), ("x-forwarded-proto", "gopher")], "http://a"),
            (&[("host", "a"), ("x-forwarded-proto", "https,http")], "https://a"),
            (&[("host", "a"), ("x-forwarded-proto", "HTTPS")], "https://a"),
            (&[("host", "a"), ("x-forwarded-proto", " http , https")], "http://a"),
            (&[("host", "a"), ("x-forwarded-host", "b/c\"")], "http://a"),
        ] {
            let (location, realm) = told(&absolute, headers);
            assert_eq!(
                (location, realm),
                (format!("{host}/v2/a"), format!("{host}/token")),
                "{headers:?}"
            );
        }
        let (location, realm) = told(&absolute, &[]);
        assert_eq!((location.as_str(), realm.as_str()), ("/v2/a", "/token"));
        let plain = Reached::default();
        let (location, realm) = told(&plain, &[("host", "a"), ("x-forwarded-proto", "https")]);
        assert_eq!((location.as_str(), realm.as_str()), ("/v2/a", "https://a/token"));
        let below = Reached {
            prefix: Prefix::parse("/x/y/").expect("a prefix"),
            ..Reached::default()
        };
        let (location, realm) = told(&below, &[("host", "a")]);
        assert_eq!((location.as_str(), realm.as_str()), ("/x/y/v2/a", "http://a/x/y/token"));
        let at = Reached {
            locations: Locations::At(Base::parse("https://b/z/").expect("a URL")),
            ..below
        };
        let (location, realm) = told(&at, &[("host", "a"), ("x-forwarded-host", "c")]);
        assert_eq!(
            (location.as_str(), realm.as_str()),
            ("https://b/z/v2/a", "https://b/z/token")
        );
    }

    #[test]
    fn whom_a_proxy_asks_for_is_told_as_it_says() {
        let long = "a".repeat(65);
        for (headers, expected) in [
            (&[][..], None),
            (&[("x-real-ip", "10.0.0.1")], Some("10.0.0.1")),
            (&[("x-forwarded-for", " 10.0.0.1 , 10.0.0.2")], Some("10.0.0.1")),
            (
                &[("x-forwarded-for", "10.0.0.1"), ("x-real-ip", "10.0.0.2")],
                Some("10.0.0.1"),
            ),
            (
                &[
                    ("forwarded", "proto=https;For=\"[2001:db8::1]:4711\", for=10.0.0.2"),
                    ("x-forwarded-for", "10.0.0.3"),
                ],
                Some("[2001:db8::1]:4711"),
            ),
            (&[("forwarded", "for=_hidden")], Some("_hidden")),
            // What says nothing of it is not amended by others, and no line is forged.
            (&[("forwarded", "proto=https"), ("x-forwarded-for", "10.0.0.3")], None),
            (&[("x-forwarded-for", "")], None),
            (&[("x-forwarded-for", "10.0.0.1 PUT /v2/ 201")], None),
            (&[("x-forwarded-for", "a\"b")], None),
            (&[("x-forwarded-for", "a\\b")], None),
            (&[("x-forwarded-for", long.as_str())], None),
        ] {
            let mut map = HeaderMap::new();
            for (name, value) in headers {
                let name: HeaderName = name.parse().expect("a name");
                map.insert(name, value.parse().expect("a value"));
            }
            assert_eq!(client(&map).as_deref(), expected, "{headers:?}");
        }
    }

    #[test]
    fn only_what_is_below_a_prefix_is_ours() {
        let prefix = Prefix::parse("/a/b").expect("a prefix");
        let within = |path: &str| {
            let found = prefix.within(&path.parse().expect("a path"))?;
            found.map(|uri| uri.to_string())
        };
        assert_eq!(within("/a/b/v2/?n=1").as_deref(), Some("/v2/?n=1"));
        assert_eq!(within("/a/b/").as_deref(), Some("/"));
        for path in ["/v2/", "/a/b", "/a/bc/v2/", "/a/B/v2/", "/"] {
            assert_eq!(within(path), None, "{path}");
        }
        for text in ["a", "a/", "//", "/a//b", "/a b/", "/../", "/a?b", "/%61/"] {
            assert!(Prefix::parse(text).is_err(), "{text}");
        }
        assert_eq!(Prefix::parse("/").expect("none"), Prefix::default());
        for text in [
            "",
            "a",
            "ftp://a",
            "https://",
            "https://u@a",
            "https://a?b",
            "https://a/b c",
            "https://a#b",
        ] {
            assert!(Base::parse(text).is_err(), "{text}");
        }
    }
}
