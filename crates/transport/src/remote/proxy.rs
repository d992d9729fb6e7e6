//! Through which proxy does a request go? By [`Proxies`], as Go's programs read the variables that they come from
//! (golang.org/x/net/http/httpproxy), so that what holds for skopeo and Docker holds here.

use std::net::IpAddr;

use reqwest::Proxy;
use teu_store::{Error, ErrorKind, Result};
use url::{Host, Url};

use super::settings::Proxies;

/// What `proxies` say, for a client; none where no request goes through one.
pub(super) fn of(proxies: &Proxies) -> Result<Option<Proxy>> {
    let http = proxies.http.as_deref().map(read).transpose()?;
    let https = proxies.https.as_deref().map(read).transpose()?;
    let direct = Exceptions::read(&proxies.none_for);
    if (http.is_none() && https.is_none()) || direct.all {
        return Ok(None);
    }
    Ok(Some(Proxy::custom(move |url| {
        let proxy = match url.scheme() {
            "https" => https.as_ref(),
            _ => http.as_ref(),
        };
        proxy.filter(|_| !direct.has(url)).cloned()
    })))
}

/// The hosts of the proxies themselves, which are reached wherever they are.
pub(super) fn hosts(proxies: &Proxies) -> impl Iterator<Item = String> {
    [&proxies.http, &proxies.https]
        .into_iter()
        .filter_map(|proxy| read(proxy.as_deref()?).ok()?.host_str().map(str::to_owned))
}

/// Whether `list` has no proxy used for this URL.
#[cfg(feature = "fuzz")]
pub(super) fn excepts(list: &str, url: &Url) -> bool {
    Exceptions::read(list).has(url)
}

/// A proxy's URL, which may lack `http://`.
fn read(text: &str) -> Result<Url> {
    let whole = Url::parse(text).ok().filter(|url| url.has_host());
    // What was given may hold a password and is not shown.
    whole
        .or_else(|| Url::parse(&format!("http://{text}")).ok())
        .ok_or_else(|| {
            let message = "the proxy that HTTP_PROXY or HTTPS_PROXY names is no URL: http://host:port is one";
            Error::new(ErrorKind::Invalid, message)
        })
}

/// Where no proxy is used.
#[derive(Debug, Default)]
struct Exceptions {
    all: bool,
    list: Vec<(Which, Option<u16>)>,
}

#[derive(Debug)]
enum Which {
    Address(IpAddr),
    Block(IpAddr, u32),
    /// The name and all below it.
    Name(String),
    /// All below the name.
    Below(String),
}

impl Exceptions {
    fn read(list: &str) -> Self {
        let mut exceptions = Self::default();
        for entry in list.split(',').map(|entry| entry.trim().to_lowercase()) {
            match entry.as_str() {
                "" => {}
                "*" => exceptions.all = true,
                entry => exceptions.list.extend(exception(entry)),
            }
        }
        exceptions
    }

    fn has(&self, url: &Url) -> bool {
        let address = match url.host() {
            Some(Host::Ipv4(address)) => Some(IpAddr::V4(address)),
            Some(Host::Ipv6(address)) => Some(IpAddr::V6(address)),
            _ => None,
        };
        let name = url.host_str().unwrap_or_default().trim_end_matches('.');
        // What is on this machine is reached directly: a proxy would reach its own machine.
        if name == "localhost" || address.is_some_and(|address| address.is_loopback()) {
            return true;
        }
        self.list.iter().any(|(which, port)| {
            let is_it = match (which, address) {
                (Which::Address(excepted), Some(address)) => *excepted == address,
                (Which::Block(first, length), Some(address)) => in_block(address, *first, *length),
                (Which::Name(excepted), None) => {
                    name == excepted
                        || name
                            .strip_suffix(excepted.as_str())
                            .is_some_and(|before| before.ends_with('.'))
                }
                (Which::Below(excepted), None) => name
                    .strip_suffix(excepted.as_str())
                    .is_some_and(|before| before.ends_with('.')),
                _ => false,
            };
            is_it && port.is_none_or(|port| url.port_or_known_default() == Some(port))
        })
    }
}

fn exception(entry: &str) -> Option<(Which, Option<u16>)> {
    if let Some((first, length)) = entry.split_once('/') {
        return Some((Which::Block(first.parse().ok()?, length.parse().ok()?), None));
    }
    // An address of IPv6 has colons of its own, and brackets where a port follows.
    let (host, port) = match (entry.parse::<IpAddr>(), entry.rsplit_once(':')) {
        (Err(_), Some((host, port))) => (host, Some(port.parse().ok()?)),
        _ => (entry, None),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    if let Ok(address) = host.parse() {
        return Some((Which::Address(address), port));
    }
    let host = host.trim_end_matches('.');
    let below = host.strip_prefix("*.").or(host.strip_prefix('.'));
    match below {
        Some("") => None,
        Some(name) => Some((Which::Below(name.to_owned()), port)),
        None if host.is_empty() => None,
        None => Some((Which::Name(host.to_owned()), port)),
    }
}

fn in_block(address: IpAddr, first: IpAddr, length: u32) -> bool {
    match (address, first) {
        (IpAddr::V4(address), IpAddr::V4(first)) if length <= 32 => {
            (address.to_bits() ^ first.to_bits())
                .checked_shr(32 - length)
                .unwrap_or(0)
                == 0
        }
        (IpAddr::V6(address), IpAddr::V6(first)) if length <= 128 => {
            (address.to_bits() ^ first.to_bits())
                .checked_shr(128 - length)
                .unwrap_or(0)
                == 0
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exceptions_are_read_as_gos_programs_read_them() {
        let cases = [
            ("r.example", "https://r.example/", true),
            ("r.example", "https://sub.r.example:444/", true),
            ("r.example", "https://other.example/", false),
            ("r.example", "https://xr.example/", false),
            ("R.Example.", "https://r.example/", true),
            (".r.example", "https://r.example/", false),
            (".r.example", "https://sub.r.example/", true),
            ("*.r.example", "https://sub.r.example/", true),
            ("r.example:5000", "http://r.example:5000/", true),
            ("r.example:5000", "http://sub.r.example:5000/", true),
            ("r.example:5000", "http://r.example:5001/", false),
            ("r.example:443", "https://r.example/", true),
            ("r.example:80", "http://r.example/", true),
            ("r.example:80", "https://r.example/", false),
            ("r.example:x", "https://r.example/", false),
            ("192.0.2.1", "http://192.0.2.1:5000/", true),
            ("192.0.2.1:5000", "http://192.0.2.1:5000/", true),
            ("192.0.2.1:5000", "http://192.0.2.1/", false),
            ("192.0.2.0/24", "http://192.0.2.9/", true),
            ("192.0.2.0/24", "http://192.0.3.9/", false),
            ("0.0.0.0/0", "http://192.0.3.9/", true),
            ("192.0.2.0/33", "http://192.0.2.9/", false),
            ("2001:db8::1", "http://[2001:db8::1]:5000/", true),
            ("[2001:db8::1]:5000", "http://[2001:db8::1]:5000/", true),
            ("[2001:db8::1]:5000", "http://[2001:db8::1]:5001/", false),
            ("2001:db8::/32", "http://[2001:db8:1::1]/", true),
            ("a, r.example ,b", "https://r.example/", true),
            (",, ,.", "https://r.example/", false),
            ("", "http://127.0.0.1:5000/", true),
            ("", "http://localhost:5000/", true),
            ("", "http://[::1]:5000/", true),
        ];
        for (list, url, direct) in cases {
            let url = Url::parse(url).expect("a URL");
            assert_eq!(Exceptions::read(list).has(&url), direct, "{list:?}: {url}");
        }
        assert!(Exceptions::read("a, *").all);
    }

    #[test]
    fn proxies_may_lack_their_scheme() {
        for (text, read_as) in [
            ("proxy.example:3128", "http://proxy.example:3128/"),
            ("http://me:pw@proxy.example", "http://me:pw@proxy.example/"),
            ("localhost:1", "http://localhost:1/"),
        ] {
            assert_eq!(read(text).expect("a proxy").as_str(), read_as);
        }
        let error = read("secret pw").expect_err("none").to_string();
        assert!(!error.contains("secret"), "{error}");
    }
}
