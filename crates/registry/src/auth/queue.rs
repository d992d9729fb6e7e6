//! Whose password is checked next? To hash one takes long, so few are hashed at once, and not many wait for that: where there is no place left, who comes is told
//! to come again.
//!
//! Whoever guesses from one address keeps others neither from a place nor from a turn. An address has no more places than it leaves: half of all where it is alone,
//! and who comes from another finds one. Behind a proxy that is half for all its clients, so it is not less. And of those that wait each address has no more in the
//! line for the next turn than there are turns, however many it has behind.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use http::{HeaderValue, request::Parts};
use teu_store::{Error, ErrorKind, Result};
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

use crate::{exchange::Peer, reached};

/// How many passwords are hashed at once: more would leave nothing for other work.
const AT_ONCE: usize = 2;
/// How many are hashed or wait for that, at most: with a cost of 10 the last of them for two seconds or so.
const PLACES: usize = AT_ONCE + 64;

/// Where somebody asks from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Asker {
    /// An address, or the first of those that one machine may choose from: a `/64` of IPv6. None where it is not known.
    address: Option<IpAddr>,
    /// For whom, as a proxy says, and whoever asks it: all of it, as the proxy's own word stands behind or beside what it was told.
    forwarded: Vec<HeaderValue>,
}

impl Asker {
    /// Who sent this request.
    pub(crate) fn of(parts: &Parts) -> Self {
        let peer = parts.extensions.get::<Peer>();
        Self {
            address: peer.map(|peer| first_of(peer.address.ip(), 64)),
            forwarded: reached::clients(&parts.headers),
        }
    }

    /// Whose places these are: of IPv6 the first address of all that one customer of a network may have, a `/48`.
    fn network(&self) -> Option<IpAddr> {
        self.address.map(|address| first_of(address, 48))
    }
}

/// The first address of those of IPv6 that have so many bits in common; one of IPv4 as it is.
fn first_of(address: IpAddr, bits: u32) -> IpAddr {
    /// Where a translator has all addresses of IPv4 (RFC 6052).
    const TRANSLATED: u128 = 0x0064_ff9b << 96;
    // A socket for all addresses has those of IPv4 as some of IPv6.
    match address.to_canonical() {
        IpAddr::V6(address) if address.to_bits() >> 32 << 32 == TRANSLATED => {
            Ipv4Addr::from_bits(address.to_bits() as u32).into()
        }
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> (128 - bits) << (128 - bits)).into(),
        address => address,
    }
}

/// Who waits, and whose turn it is.
pub(super) struct Queue {
    turns: Arc<Semaphore>,
    places: Mutex<Places>,
}

#[derive(Default)]
struct Places {
    held: usize,
    /// Those that hold any.
    shares: HashMap<Option<IpAddr>, Share>,
}

struct Share {
    held: usize,
    /// To wait for a turn.
    turns: Arc<Semaphore>,
}

/// A place in the queue, which is free again when this is dropped.
pub(super) struct Place {
    queue: Arc<Queue>,
    network: Option<IpAddr>,
    share: Arc<Semaphore>,
}

/// A turn, until it is dropped.
pub(super) struct Turn {
    _own: OwnedSemaphorePermit,
    _common: OwnedSemaphorePermit,
}

impl Queue {
    /// Nobody waits yet.
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            turns: Arc::new(Semaphore::new(AT_ONCE)),
            places: Mutex::default(),
        })
    }

    /// Takes a place.
    ///
    /// # Errors
    /// `Throttled` where there is none left for who asks from there.
    pub(super) fn place(self: &Arc<Self>, asker: &Asker) -> Result<Place> {
        let mut places = self.places();
        let (network, left) = (asker.network(), PLACES - places.held);
        let held = places.shares.get(&network).map_or(0, |share| share.held);
        if held >= left {
            let message = "too many passwords wait to be checked; try again later";
            return Err(Error::new(ErrorKind::Throttled, message));
        }
        places.held += 1;
        let share = places.shares.entry(network).or_insert_with(|| Share {
            held: 0,
            turns: Arc::new(Semaphore::new(AT_ONCE)),
        });
        share.held += 1;
        Ok(Place {
            queue: Arc::clone(self),
            network,
            share: Arc::clone(&share.turns),
        })
    }

    fn places(&self) -> MutexGuard<'_, Places> {
        // No one leaves it half changed, so what a panic elsewhere left is whole.
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Waits for a turn.
    ///
    /// # Errors
    /// `Cancelled` where there are none any more.
    pub(super) async fn turn(&self) -> Result<Turn> {
        let ends = |_: AcquireError| Error::new(ErrorKind::Cancelled, "the server ends");
        let own = Arc::clone(&self.share).acquire_owned().await.map_err(ends)?;
        let common = Arc::clone(&self.queue.turns).acquire_owned().await;
        Ok(Turn {
            _own: own,
            _common: common.map_err(ends)?,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut places = self.queue.places();
        places.held -= 1;
        if let Some(share) = places.shares.get_mut(&self.network) {
            share.held -= 1;
            if share.held == 0 {
                places.shares.remove(&self.network);
            }
        }
    }
}

#[cfg(test)]
impl Asker {
    /// Who asks from this address.
    pub(super) fn at(address: &str) -> Self {
        Self {
            address: Some(first_of(address.parse().expect("an address"), 64)),
            forwarded: Vec::new(),
        }
    }

    /// The same, for somebody.
    pub(super) fn asking_for(self, client: &str) -> Self {
        Self {
            forwarded: vec![HeaderValue::from_str(client).expect("a value")],
            ..self
        }
    }
}

#[cfg(test)]
impl Queue {
    /// All places that there are for who asks from there.
    pub(super) fn all_places(self: &Arc<Self>, asker: &Asker) -> Vec<Place> {
        std::iter::from_fn(|| self.place(asker).ok()).collect()
    }

    /// All turns.
    pub(super) async fn all_turns(&self) -> OwnedSemaphorePermit {
        let all = u32::try_from(AT_ONCE).expect("a number");
        Arc::clone(&self.turns).acquire_many_owned(all).await.expect("turns")
    }

    /// How many are hashed, and how many hold a place.
    pub(super) fn taken(&self) -> (usize, usize) {
        (AT_ONCE - self.turns.available_permits(), self.places().held)
    }
}

#[cfg(test)]
mod tests {
    use tokio::{sync::mpsc::unbounded_channel, task::yield_now};

    use super::*;

    #[test]
    fn no_address_has_more_places_than_it_leaves() {
        let queue = Queue::new();
        let mut held = Vec::new();
        let mut counts = Vec::new();
        for last in 1..=8 {
            let places = queue.all_places(&Asker::at(&format!("10.0.0.{last}")));
            counts.push(places.len());
            held.push(places);
        }
        assert_eq!(counts, [33, 17, 8, 4, 2, 1, 1, 0]);
        assert_eq!(queue.taken(), (0, PLACES));
        // What the first gives back is there for others at once, and for itself when that is little.
        held[0].truncate(31);
        assert_eq!(queue.all_places(&Asker::at("10.0.0.1")).len(), 0);
        assert_eq!(queue.all_places(&Asker::at("10.0.0.9")).len(), 1);
        drop(held);
        assert_eq!(queue.taken(), (0, 0));
        assert!(queue.places().shares.is_empty());
        assert_eq!(queue.all_places(&Asker::default()).len(), 33);
    }

    /// Who has a network of IPv6 has more addresses in it than anybody could count, and often many such networks.
    #[test]
    fn the_addresses_of_one_network_are_one() {
        let asker = Asker::at("2001:db8:1:2::1");
        for (address, is_same, shares) in [
            ("2001:db8:1:2::1", true, true),
            ("2001:db8:1:2:ffff:ffff:ffff:ffff", true, true),
            ("2001:db8:1:3::1", false, true),
            ("2001:db8:2:2::1", false, false),
            ("10.0.0.1", false, false),
        ] {
            let other = Asker::at(address);
            assert_eq!(
                (other == asker, other.network() == asker.network()),
                (is_same, shares),
                "{address}"
            );
        }
        assert_eq!(Asker::at("64:ff9b::10.0.0.1"), Asker::at("10.0.0.1"));
        assert_eq!(Asker::at("::ffff:10.0.0.1"), Asker::at("10.0.0.1"));
        assert_ne!(Asker::at("::ffff:10.0.0.1"), Asker::at("10.0.0.2"));
    }

    #[test]
    fn who_asks_is_told_by_the_connection_and_for_whom_by_what_they_say() {
        let request = http::Request::builder().header("x-forwarded-for", "10.0.0.9, 10.0.0.1");
        let mut request = request.body(()).expect("a request");
        let unknown = Asker::default().asking_for("10.0.0.9, 10.0.0.1");
        assert_eq!(Asker::of(&request.clone().into_parts().0), unknown);
        request.extensions_mut().insert(Peer {
            address: ([127, 0, 0, 1], 4711).into(),
            is_secure: false,
            common_name: None,
        });
        let known = Asker::at("127.0.0.1").asking_for("10.0.0.9, 10.0.0.1");
        assert_eq!(Asker::of(&request.clone().into_parts().0), known);
        // What a client adds that the proxy passes on makes it nobody else.
        request
            .headers_mut()
            .insert("forwarded", HeaderValue::from_static("for=10.0.0.8"));
        assert_ne!(
            Asker::of(&request.into_parts().0),
            Asker::at("127.0.0.1").asking_for("10.0.0.8")
        );
    }

    #[tokio::test]
    async fn who_comes_anew_does_not_wait_for_all_of_another_address() {
        let queue = Queue::new();
        let mut all = queue.all_turns().await;
        let (sender, mut order) = unbounded_channel();
        let begin = |name: &'static str, address: &str| {
            let (place, sender) = (queue.place(&Asker::at(address)).expect("a place"), sender.clone());
            tokio::spawn(async move {
                let turn = place.turn().await.expect("a turn");
                sender.send(name).expect("it is awaited");
                drop(turn);
            })
        };
        for _ in 0..6 {
            begin("guesser", "10.0.0.1");
            yield_now().await;
        }
        begin("other", "10.0.0.2");
        yield_now().await;
        // One alone, so that who is told first had it first.
        drop(all.split(1));
        let mut names = Vec::new();
        for _ in 0..7 {
            names.push(order.recv().await.expect("one"));
        }
        assert_eq!(
            names.iter().position(|name| *name == "other"),
            Some(AT_ONCE),
            "{names:?}"
        );
    }
}
