//! Which passwords were right a moment ago, and for whom? They need not be hashed again.
//!
//! That is quick, so it must not tell who guesses more than hashing would: before a turn to be checked comes, a password counts for those alone who sent it before.

use std::{
    collections::{HashMap, VecDeque},
    hash::{BuildHasher, RandomState},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use ring::{
    digest::{SHA256, digest},
    rand::{SecureRandom, SystemRandom},
};
use teu_store::{Error, ErrorKind, Result};

use super::queue::Asker;

/// How long a password that was right need not be hashed again.
const REMEMBERED: Duration = Duration::from_secs(300);
/// The most that are remembered.
const MAX: usize = 10_000;
/// How many of those who sent one are remembered with it: the last.
const SENDERS: usize = 16;

/// What was right.
pub(super) struct Remembered {
    key: [u8; 32],
    senders: RandomState,
    right: Mutex<HashMap<Seen, Right>>,
}

/// What a user's password is remembered by: nobody can tell it from that.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Seen([u8; 32]);

struct Right {
    since: Instant,
    senders: VecDeque<u64>,
}

impl Remembered {
    /// Nothing.
    ///
    /// # Errors
    /// Where the system has no random numbers.
    pub(super) fn new() -> Result<Self> {
        let mut key = [0; 32];
        let filled = SystemRandom::new().fill(&mut key);
        filled.map_err(|_| Error::new(ErrorKind::Io, "the system has no random numbers"))?;
        Ok(Self {
            key,
            senders: RandomState::new(),
            right: Mutex::default(),
        })
    }

    /// What this password would be remembered by, as long as this is the user's hash.
    pub(super) fn seen(&self, user: &str, hash: &str, password: &str) -> Seen {
        let mut text = self.key.to_vec();
        for part in [user, hash] {
            text.extend_from_slice(&(part.len() as u64).to_be_bytes());
            text.extend_from_slice(part.as_bytes());
        }
        text.extend_from_slice(password.as_bytes());
        let mut seen = [0; 32];
        seen.copy_from_slice(digest(&SHA256, &text).as_ref());
        Seen(seen)
    }

    /// Whether it was right when it came from there.
    pub(super) fn was_right_from(&self, asker: &Asker, seen: &Seen) -> bool {
        self.holds(asker, seen, |right, sender| right.senders.contains(&sender))
    }

    /// Whether it was right, whoever sent it; from now on from there too.
    pub(super) fn was_right(&self, asker: &Asker, seen: &Seen) -> bool {
        self.holds(asker, seen, |_, _| true)
    }

    /// Whether it holds and counts; who sends it then is the last who did.
    fn holds(&self, asker: &Asker, seen: &Seen, counts: impl Fn(&Right, u64) -> bool) -> bool {
        let sender = self.senders.hash_one(asker);
        let mut all = self.right();
        let right = all.get_mut(seen).filter(|right| right.holds() && counts(right, sender));
        right.map(|right| right.sent_by(sender)).is_some()
    }

    /// It was hashed, and is right; so it is from where it came before.
    pub(super) fn is_right(&self, asker: &Asker, seen: Seen) {
        let sender = self.senders.hash_one(asker);
        let mut all = self.right();
        if !all.contains_key(&seen) {
            if all.len() >= MAX {
                all.retain(|_, right| right.holds());
            }
            if all.len() >= MAX {
                all.clear();
            }
        }
        let right = all.entry(seen).or_insert_with(|| Right {
            since: Instant::now(),
            senders: VecDeque::new(),
        });
        right.since = Instant::now();
        right.sent_by(sender);
    }

    fn right(&self) -> MutexGuard<'_, HashMap<Seen, Right>> {
        // No one leaves it half changed, so what a panic elsewhere left is whole.
        self.right.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Right {
    fn sent_by(&mut self, sender: u64) {
        self.senders.retain(|known| *known != sender);
        self.senders.truncate(SENDERS - 1);
        self.senders.push_front(sender);
    }

    fn holds(&self) -> bool {
        self.since.elapsed() < REMEMBERED
    }
}

#[cfg(test)]
impl Remembered {
    /// How many.
    pub(super) fn count(&self) -> usize {
        self.right().len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_remembered_with_the_last_who_sent_it_and_for_a_while() {
        let remembered = Remembered::new().expect("a key");
        let seen = remembered.seen("alice", "hash", "secret");
        let wrong = remembered.seen("alice", "hashs", "ecret");
        let sender = |count: usize| Asker::at("10.0.0.1").asking_for(&count.to_string());
        assert!(!remembered.was_right(&sender(0), &seen));
        remembered.is_right(&sender(0), seen);
        assert!(remembered.was_right_from(&sender(0), &seen) && !remembered.was_right_from(&sender(0), &wrong));
        for count in 1..=SENDERS {
            assert!(!remembered.was_right_from(&sender(count), &seen));
            assert!(remembered.was_right(&sender(count), &seen) && !remembered.was_right(&sender(count), &wrong));
        }
        let known = (0..=SENDERS).filter(|count| remembered.was_right_from(&sender(*count), &seen));
        assert_eq!(known.collect::<Vec<_>>(), (1..=SENDERS).collect::<Vec<_>>());
        let age = |by: Duration| {
            for right in remembered.right().values_mut() {
                right.since = right.since.checked_sub(by).expect("a time");
            }
        };
        // Who sends it again stays, and who did not for longest goes.
        assert!(remembered.was_right_from(&sender(1), &seen) && remembered.was_right(&sender(0), &seen));
        assert!(remembered.was_right_from(&sender(1), &seen) && !remembered.was_right_from(&sender(2), &seen));
        age(REMEMBERED);
        assert!(!remembered.was_right(&sender(1), &seen) && !remembered.was_right_from(&sender(1), &seen));
        // Hashed again for one, it is right for those who sent it before.
        remembered.is_right(&sender(0), seen);
        assert!(remembered.was_right_from(&sender(0), &seen) && remembered.was_right_from(&sender(1), &seen));
    }

    #[test]
    fn there_is_room_for_so_many_and_those_that_hold_stay_as_long_as_they_can() {
        let remembered = Remembered::new().expect("a key");
        let asker = Asker::default();
        for count in 0..MAX {
            remembered.is_right(&asker, remembered.seen("alice", "hash", &count.to_string()));
        }
        let old = remembered.seen("alice", "hash", "0");
        if let Some(right) = remembered.right().get_mut(&old) {
            right.since = right.since.checked_sub(REMEMBERED).expect("a time");
        }
        let one_more = remembered.seen("bob", "hash", "secret");
        remembered.is_right(&asker, one_more);
        assert_eq!(remembered.count(), MAX);
        assert!(remembered.was_right(&asker, &one_more));
        remembered.is_right(&asker, remembered.seen("carol", "hash", "secret"));
        assert_eq!(remembered.count(), 1);
    }
}
