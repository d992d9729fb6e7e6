//! Which addresses has a host, and may we go there? As the system's resolver says; but where a registry leads, to no address that means
//! something to this machine alone (threat 61).
//!
//! The rules of `origin` see names. A name that somebody made up may stand for 169.254.169.254, where clouds give credentials to whoever
//! asks from within: so the addresses are looked at too, the very ones that are connected to.

use std::{
    collections::HashMap,
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

use super::origin::Near;

/// This machine's name for itself.
const LOCALHOST: &str = "localhost";

/// Whether a registry is at an address of this machine, for sure: by that itself, or by the name that means no other machine (RFC 6761, section 6.3),
/// unless `known` has another meaning for it.
pub(super) fn is_here(registry: &Url, known: &HashMap<String, Vec<IpAddr>>) -> bool {
    match registry.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == LOCALHOST && !known.contains_key(LOCALHOST),
        None => false,
    }
}

/// How near the registry itself is, as far as that is known: what is as near may be gone to from there.
#[derive(Default)]
pub(super) struct Whereabouts(AtomicU8);

impl Whereabouts {
    /// Of a registry whose URL may say it.
    pub(super) fn of(registry: &Url) -> Self {
        let here = Self::default();
        match registry.host() {
            Some(Host::Ipv4(address)) => here.add(IpAddr::V4(address)),
            Some(Host::Ipv6(address)) => here.add(IpAddr::V6(address)),
            _ => {}
        }
        here
    }

    fn add(&self, address: IpAddr) {
        if let Some(near) = Near::of(address) {
            self.0.fetch_or(bit(near), Ordering::Relaxed);
        }
    }

    fn allow(&self, address: IpAddr) -> bool {
        Near::of(address).is_none_or(|near| self.0.load(Ordering::Relaxed) & bit(near) != 0)
    }
}

fn bit(near: Near) -> u8 {
    match near {
        Near::Machine => 1,
        Near::Link => 2,
    }
}

/// The names that a registry's requests go to.
pub(super) struct Resolver {
    /// Addresses that are known without asking.
    pub(super) known: HashMap<String, Vec<IpAddr>>,
    /// Where the registry is.
    pub(super) registry: Arc<Whereabouts>,
    /// Whose names are resolved.
    pub(super) whose: Whose,
}

/// Whose a name is.
#[derive(Clone)]
pub(super) enum Whose {
    /// The registry's own, which the user chose.
    Registry,
    /// A place that the registry leads to, unless it is one of these, which the user chose.
    Anybody(Vec<String>),
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let known = self.known.get(name.as_str()).cloned();
        let (registry, whose) = (Arc::clone(&self.registry), self.whose.clone());
        Box::pin(async move {
            let name = name.as_str();
            let found: Vec<SocketAddr> = match known {
                Some(known) => known.into_iter().map(|address| SocketAddr::new(address, 0)).collect(),
                // As `is_here` says; and nobody need be asked.
                None if name == LOCALHOST => localhost(),
                None => tokio::net::lookup_host((name, 0)).await?.collect(),
            };
            let allowed = match &whose {
                Whose::Registry => {
                    found.iter().for_each(|address| registry.add(address.ip()));
                    found
                }
                Whose::Anybody(chosen) if chosen.iter().any(|chosen| chosen == name) => found,
                Whose::Anybody(_) => held(name, found, &registry)?,
            };
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

/// What `localhost` stands for. What listens here does so at 127.0.0.1, if not at both.
fn localhost() -> Vec<SocketAddr> {
    vec![(Ipv4Addr::LOCALHOST, 0).into(), (Ipv6Addr::LOCALHOST, 0).into()]
}

/// Those of a host's addresses that a registry may lead to.
fn held(name: &str, found: Vec<SocketAddr>, registry: &Whereabouts) -> Result<Vec<SocketAddr>, Forbidden> {
    let (allowed, forbidden): (Vec<_>, Vec<_>) = found.into_iter().partition(|address| registry.allow(address.ip()));
    match forbidden.first() {
        Some(address) if allowed.is_empty() => Err(Forbidden {
            host: name.to_owned(),
            address: address.ip(),
        }),
        _ => Ok(allowed),
    }
}

/// Why a host that a registry leads to is not connected to.
#[derive(Debug)]
pub(super) struct Forbidden {
    host: String,
    address: IpAddr,
}

impl fmt::Display for Forbidden {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, address } = self;
        write!(
            formatter,
            "the registry leads to {host}, which is refused: its address {address} is one of this machine or its link"
        )
    }
}

impl std::error::Error for Forbidden {}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        let address = |text: &&str| SocketAddr::new(text.parse().expect("an address"), 0);
        texts.iter().map(address).collect()
    }

    #[test]
    fn what_is_on_this_machine_for_sure() {
        let cases = [
            ("https://127.0.0.1:5000/", true),
            ("https://127.8.9.10/", true),
            ("https://[::1]:5000/", true),
            ("https://localhost:5000/", true),
            ("https://LOCALHOST/", true),
            ("https://localhost.example/", false),
            ("https://here.localhost/", false),
            ("https://0.0.0.0/", false),
            ("https://10.0.0.1/", false),
            ("https://169.254.169.254/", false),
            ("https://[::ffff:10.0.0.1]/", false),
            ("https://r.example/", false),
        ];
        for (registry, here) in cases {
            let url = Url::parse(registry).expect("a URL");
            assert_eq!(is_here(&url, &HashMap::new()), here, "{registry}");
        }
        let elsewhere = HashMap::from([("localhost".to_owned(), vec![IpAddr::from([10, 0, 0, 1])])]);
        assert!(!is_here(&Url::parse("https://localhost/").expect("a URL"), &elsewhere));
    }

    #[tokio::test]
    async fn localhost_is_this_machine_by_the_address_that_most_listen_at_first() {
        let resolver = Resolver {
            known: HashMap::new(),
            registry: Arc::default(),
            whose: Whose::Registry,
        };
        let found = resolver
            .resolve("localhost".parse().expect("a name"))
            .await
            .expect("addresses");
        assert_eq!(found.collect::<Vec<_>>(), addresses(&["127.0.0.1", "::1"]));
    }

    #[test]
    fn a_registry_leads_no_nearer_than_it_is() {
        let at = |text: &str| Whereabouts::of(&Url::parse(text).expect("a URL"));
        // Where nothing is allowed it is an error.
        let cases: &[(&str, &[&str], &[&str])] = &[
            ("https://r.example/", &["192.0.2.1"], &["192.0.2.1"]),
            ("https://r.example/", &["10.0.0.1", "fd00::1"], &["10.0.0.1", "fd00::1"]),
            ("https://r.example/", &["169.254.169.254"], &[]),
            ("https://r.example/", &["fe80::1"], &[]),
            ("https://r.example/", &["::ffff:169.254.169.254"], &[]),
            ("https://r.example/", &["127.0.0.1", "::1"], &[]),
            ("https://r.example/", &["0.0.0.0"], &[]),
            // What is left may be gone to: the others are not tried.
            ("https://r.example/", &["fe80::1", "192.0.2.1"], &["192.0.2.1"]),
            ("http://169.254.1.1/", &["169.254.169.254"], &["169.254.169.254"]),
            ("http://169.254.1.1/", &["127.0.0.1"], &[]),
            ("http://127.0.0.1:5000/", &["127.0.0.1"], &["127.0.0.1"]),
            ("http://127.0.0.1:5000/", &["169.254.169.254"], &[]),
        ];
        for (registry, found, allowed) in cases {
            let held = held("there.example", addresses(found), &at(registry));
            assert_eq!(held.is_err(), allowed.is_empty(), "{registry} to {found:?}");
            assert_eq!(held.unwrap_or_default(), addresses(allowed), "{registry} to {found:?}");
        }
    }
}
