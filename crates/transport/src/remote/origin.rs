//! Where may a registry send us, and with what? The rules for redirects, upload locations, links and token realms (threats 56 to 64, 70, 73).
//!
//! Credentials belong to an [`Origin`]. A registry that was broken into, or a name that was mistyped, decides where the next request goes;
//! it must not decide who sees a password.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use teu_store::{Error, ErrorKind, Result};
use url::{Host, Url};

/// Scheme, host and port: what credentials belong to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Origin {
    scheme: String,
    host: String,
    port: u16,
}

impl Origin {
    /// Of a URL with a host.
    pub(super) fn of(url: &Url) -> Self {
        Self {
            scheme: url.scheme().to_owned(),
            host: url.host_str().unwrap_or_default().to_owned(),
            port: url.port_or_known_default().unwrap_or_default(),
        }
    }
}

impl Origin {
    /// Whether a URL is of it.
    pub(super) fn has(&self, url: &Url) -> bool {
        self.is_host_of(url)
            && self.scheme == url.scheme()
            && self.port == url.port_or_known_default().unwrap_or_default()
    }

    /// Whether a URL is at its host, be it on another port.
    pub(super) fn is_host_of(&self, url: &Url) -> bool {
        self.host == url.host_str().unwrap_or_default()
    }
}

/// An address that means something to this machine alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Near {
    /// This machine itself.
    Machine,
    /// What is on the same link: there clouds tell their machines who they are (169.254.169.254).
    Link,
}

impl Near {
    /// An IPv4 address in IPv6's clothes is one of IPv4.
    pub(super) fn of(address: IpAddr) -> Option<Self> {
        let address = match address {
            IpAddr::V6(address) => unmapped(address),
            address => address,
        };
        match address {
            _ if address.is_loopback() || address.is_unspecified() => Some(Self::Machine),
            IpAddr::V4(address) => address.is_link_local().then_some(Self::Link),
            IpAddr::V6(address) => address.is_unicast_link_local().then_some(Self::Link),
        }
    }
}

impl std::fmt::Display for Origin {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}://{}:{}", self.scheme, self.host, self.port)
    }
}

/// What a registry told us to go to, against the URL that was asked: absolute or relative. It has a scheme that we speak, a host, and no
/// user or password (threat 59).
pub(super) fn join(asked: &Url, told: &str, what: &str) -> Result<Url> {
    if told.len() > MAX_URL {
        return Err(refused(
            what,
            &format!("it is longer than the limit of {MAX_URL} bytes"),
        ));
    }
    let url = asked
        .join(told)
        .map_err(|error| refused(what, &format!("{:?} is not a URL: {error}", shown(told))))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(refused(
            what,
            &format!("the scheme {:?} is not spoken", shown(url.scheme())),
        ));
    }
    if url.host().is_none() {
        return Err(refused(what, "it has no host"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(refused(what, "it holds a user's name or a password"));
    }
    Ok(url)
}

/// Whether a redirect, an upload location or a descriptor's `url` may be followed from `from`: never from TLS to plain text (threat 58), and
/// to addresses that only mean something to this machine only from such an address.
pub(super) fn check_step(from: &Url, to: &Url, what: &str) -> Result<()> {
    if from.scheme() == "https" && to.scheme() != "https" {
        return Err(refused(what, &format!("it leads from https to {}", to.scheme())));
    }
    if is_link_local(to) && !is_link_local(from) {
        return Err(refused(what, "it leads to a link-local address"));
    }
    if is_loopback(to) && !is_loopback(from) {
        return Err(refused(what, "it leads to this machine itself"));
    }
    Ok(())
}

/// Whether a registry at `registry` may send us to `realm` for a token (threats 61 to 63). `allowed` are hosts that the user named.
pub(super) fn check_realm(registry: &Url, realm: &Url, allowed: &[String]) -> Result<()> {
    let host = realm.host_str().unwrap_or_default();
    let refuse = |why: &str| {
        let message = format!(
            "the registry {} sends us to {} for a token: {why}",
            authority(registry),
            authority(realm)
        );
        Err(Error::new(ErrorKind::Refused, message))
    };
    if realm.scheme() != "https" && registry.scheme() == "https" {
        return refuse("it is refused, as it is no https");
    }
    if Origin::of(registry).host == host {
        return Ok(());
    }
    let with_port = authority(realm);
    if allowed.iter().any(|name| *name == host || *name == with_port) {
        return Ok(());
    }
    if (is_loopback(realm) && is_loopback(registry)) || (is_link_local(realm) && is_link_local(registry)) {
        return Ok(());
    }
    if is_loopback(realm) || is_link_local(realm) {
        return refuse("it is refused, as that is an address of this machine or its link");
    }
    if !same_site(registry, realm) {
        return refuse(
            "it is refused, as that is another site; if you trust it with your password, allow it by --token-realm HOST",
        );
    }
    Ok(())
}

/// `host` or `host:port`, as a person writes it.
pub(super) fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

/// The longest URL that is accepted: presigned ones have about 2 KiB, upload locations of some registries hold state.
const MAX_URL: usize = 16 << 10;

/// Names below which each host is somebody else's, and which the public suffix list does not have as such.
const SHARED: [&str; 4] = ["amazonaws.com", "amazonaws.com.cn", "azurecr.io", "jfrog.io"];

fn same_site(one: &Url, other: &Url) -> bool {
    let (Some(Host::Domain(one)), Some(Host::Domain(other))) = (one.host(), other.host()) else {
        return false;
    };
    site(one).is_some_and(|one| site(other) == Some(one))
}

/// The part of a host's name that one owner has: what stands below a public suffix, by the list that browsers go by too. Its private part
/// counts, of suffixes such as `github.io` below which each name is another customer's.
fn site(host: &str) -> Option<&str> {
    let host = host.trim_end_matches('.');
    let is_below = |suffix: &&str| host.strip_suffix(*suffix).is_some_and(|before| before.ends_with('.'));
    if SHARED.iter().any(is_below) {
        return Some(host);
    }
    psl::domain_str(host)
}

fn is_loopback(url: &Url) -> bool {
    match address(url) {
        Some(address) => Near::of(address) == Some(Near::Machine),
        None => url
            .host_str()
            .is_some_and(|host| host == "localhost" || host.ends_with(".localhost")),
    }
}

fn is_link_local(url: &Url) -> bool {
    address(url).and_then(Near::of) == Some(Near::Link)
}

/// The address that a URL names by itself.
fn address(url: &Url) -> Option<IpAddr> {
    match url.host()? {
        Host::Ipv4(address) => Some(IpAddr::V4(address)),
        Host::Ipv6(address) => Some(IpAddr::V6(address)),
        Host::Domain(_) => None,
    }
}

fn unmapped(address: Ipv6Addr) -> IpAddr {
    address
        .to_ipv4_mapped()
        .map_or(IpAddr::V6(address), |address: Ipv4Addr| IpAddr::V4(address))
}

fn refused(what: &str, why: &str) -> Error {
    Error::new(ErrorKind::Refused, format!("the registry's {what} is refused: {why}"))
}

/// A part of a URL for an error, without what may follow a `?`: presigned URLs are secrets.
fn shown(told: &str) -> String {
    told.split('?').next().unwrap_or_default().chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).expect("a URL of the test")
    }

    #[test]
    fn realms() {
        let cases: &[(&str, &str, &[&str], bool)] = &[
            (
                "https://registry-1.docker.io/",
                "https://auth.docker.io/token",
                &[],
                true,
            ),
            (
                "https://registry.corp.example/",
                "https://gitlab.corp.example/jwt",
                &[],
                true,
            ),
            ("https://quay.io/", "https://quay.io/v2/auth", &[], true),
            ("https://r.example/", "https://r.example:8443/token", &[], true),
            ("http://127.0.0.1:5000/", "http://127.0.0.1:5001/token", &[], true),
            ("http://127.0.0.1:5000/", "http://localhost:5001/token", &[], true),
            ("https://r.example/", "http://r.example/token", &[], false),
            ("https://r.example/", "http://r.example/token", &["r.example"], false),
            ("https://r.example/", "https://evil.test/token", &[], false),
            ("https://r.example/", "https://evil.test/token", &["evil.test"], true),
            (
                "https://r.example/",
                "https://evil.test:444/token",
                &["evil.test:444"],
                true,
            ),
            (
                "https://r.example/",
                "https://evil.test:444/token",
                &["evil.test:443"],
                false,
            ),
            ("https://r.example.co.uk/", "https://evil.co.uk/token", &[], false),
            (
                "https://r.example.co.uk/",
                "https://auth.example.co.uk/token",
                &[],
                true,
            ),
            ("https://r.example.co.uk/", "https://r.example.co.uk./token", &[], true),
            ("https://mine.azurecr.io/", "https://evil.azurecr.io/token", &[], false),
            (
                "https://mine.azurecr.io/",
                "https://mine.azurecr.io/oauth2/token",
                &[],
                true,
            ),
            ("https://mine.github.io/", "https://evil.github.io/token", &[], false),
            (
                "https://mine.github.io/",
                "https://auth.mine.github.io/token",
                &[],
                true,
            ),
            (
                "https://1.dkr.ecr.eu-west-1.amazonaws.com/",
                "https://2.execute-api.eu-west-1.amazonaws.com/token",
                &[],
                false,
            ),
            (
                "https://1.dkr.ecr.eu-west-1.amazonaws.com/",
                "https://evil.amazonaws.com/token",
                &[],
                false,
            ),
            (
                "https://mine.jfrog.io/",
                "https://evil.jfrog.io/token",
                &["evil.jfrog.io"],
                true,
            ),
            ("https://github.io/", "https://evil.github.io/token", &[], false),
            (
                "https://r.xn--55qx5d.cn/",
                "https://evil.xn--55qx5d.cn/token",
                &[],
                false,
            ),
            (
                "https://registry.corp.internal/",
                "https://sso.corp.internal/token",
                &[],
                true,
            ),
            ("https://registry.gitlab.com/", "https://gitlab.com/jwt/auth", &[], true),
            ("https://r.example/", "https://169.254.169.254/latest", &[], false),
            ("https://r.example/", "https://[fe80::1]/latest", &[], false),
            (
                "https://r.example/",
                "https://[::ffff:169.254.169.254]/latest",
                &[],
                false,
            ),
            ("https://r.example/", "https://127.0.0.1/token", &[], false),
            ("https://r.example/", "https://localhost/token", &[], false),
            ("https://r.example/", "https://x.localhost/token", &[], false),
            ("http://127.0.0.1:5000/", "http://169.254.169.254/latest", &[], false),
            ("http://169.254.0.1/", "http://127.0.0.1/token", &[], false),
            ("https://10.0.0.1/", "https://10.0.0.2/token", &[], false),
            ("https://example/", "https://other/token", &[], false),
        ];
        for (registry, realm, allowed, fine) in cases {
            let allowed: Vec<String> = allowed.iter().map(|name| (*name).to_owned()).collect();
            let found = check_realm(&url(registry), &url(realm), &allowed);
            assert_eq!(found.is_ok(), *fine, "{registry} to {realm}: {found:?}");
        }
    }

    #[test]
    fn steps() {
        let cases = [
            ("https://r.example/", "https://storage.test/blob", true),
            ("http://r.example/", "https://storage.test/blob", true),
            ("http://r.example/", "http://storage.test/blob", true),
            ("https://r.example/", "http://r.example/blob", false),
            ("https://r.example/", "https://169.254.169.254/blob", false),
            ("https://169.254.1.1/", "https://169.254.169.254/blob", true),
            ("http://r.example/", "http://127.0.0.1:8080/blob", false),
            ("https://r.example/", "https://localhost/blob", false),
            ("http://r.example/", "http://[::1]/blob", false),
            ("http://localhost:5000/", "http://127.0.0.1:9000/blob", true),
        ];
        for (from, to, fine) in cases {
            assert_eq!(
                check_step(&url(from), &url(to), "redirect").is_ok(),
                fine,
                "{from} to {to}"
            );
        }
    }

    #[test]
    fn what_is_told() {
        let asked = url("https://r.example/v2/a/blobs/uploads/");
        let cases = [
            (
                "/v2/a/blobs/uploads/1?s=2",
                Some("https://r.example/v2/a/blobs/uploads/1?s=2"),
            ),
            ("1", Some("https://r.example/v2/a/blobs/uploads/1")),
            ("?s=2", Some("https://r.example/v2/a/blobs/uploads/?s=2")),
            ("//other.test/x", Some("https://other.test/x")),
            ("http://other.test/x", Some("http://other.test/x")),
            ("file:///etc/passwd", None),
            ("gopher://other.test/", None),
            ("https://user:pw@other.test/", None),
            ("https://", None),
        ];
        for (told, expected) in cases {
            let found = join(&asked, told, "redirect").ok().map(String::from);
            assert_eq!(found.as_deref(), expected, "{told}");
        }
        assert!(join(&asked, &"a".repeat(MAX_URL + 1), "redirect").is_err());
    }
}
