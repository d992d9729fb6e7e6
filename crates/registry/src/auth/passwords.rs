//! Is the password right? An htpasswd file with bcrypt's hashes, as registry:2 has it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::{
    digest::{SHA256, digest},
    rand::{SecureRandom, SystemRandom},
};
use teu_store::{Error, ErrorKind, Result, blocking};
use tokio::sync::Semaphore;

/// The most costly hash: beyond that a login takes longer than clients wait.
const MAX_COST: u32 = 16;
/// How long a password that was right need not be hashed again. One that was taken away is taken with the file.
const REMEMBERED: Duration = Duration::from_secs(300);
/// The most that are remembered.
const MAX_REMEMBERED: usize = 10_000;
/// How many passwords are hashed at once: more would leave nothing for other work.
const AT_ONCE: usize = 2;
/// How many more wait for that, at most: with a cost of 10 the last of them for two seconds or so. Who sends wrong ones could have others wait for minutes.
const WAITING: usize = 64;

/// Users and the hashes of their passwords.
pub struct Passwords {
    hashes: HashMap<String, String>,
    /// What is hashed for whom nobody knows, so that it takes as long.
    other: Option<String>,
    key: [u8; 32],
    right: Mutex<HashMap<[u8; 32], Instant>>,
    turns: Arc<Semaphore>,
    /// For those that have their turn, and those that wait.
    places: Arc<Semaphore>,
    left_out: Vec<String>,
}

impl Passwords {
    /// The longest file that is read, in bytes.
    pub const MAX: usize = 16 << 20;

    /// Reads an htpasswd file: `user:hash` in each line, of bcrypt's hashes (`htpasswd -B`). Users whose hash is another, or takes too long, are left out, as
    /// registry:2 lets them in by no password: see [`Self::left_out`].
    ///
    /// # Errors
    /// `Invalid`, with the line, where it is no such file; what is in it is not said.
    pub fn parse(text: &str) -> Result<Arc<Self>> {
        let invalid = |message: String| Error::new(ErrorKind::Invalid, message);
        if text.len() > Self::MAX {
            return Err(invalid(format!("an htpasswd file has at most {} bytes", Self::MAX)));
        }
        let (mut hashes, mut left_out) = (HashMap::new(), Vec::new());
        let mut costliest: Option<(u32, String)> = None;
        for (place, line) in text.lines().enumerate() {
            let line = line.trim_end();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let place = place + 1;
            let (user, hash) = line
                .split_once(':')
                .filter(|(user, _)| !user.is_empty())
                .ok_or_else(|| invalid(format!("line {place} is no user:hash")))?;
            let known = match cost(hash) {
                None => Err("is none of bcrypt's; htpasswd -B makes one".to_owned()),
                Some(cost) if cost > MAX_COST => Err(format!("has a cost of {cost}, and {MAX_COST} is the most")),
                Some(cost) => Ok((cost, hash.to_owned())),
            };
            if let Err(why) = &known {
                left_out.push(format!("line {place}: the hash of {user:?} {why}"));
            }
            let known = known.ok();
            if costliest.as_ref().map(|(most, _)| most) < known.as_ref().map(|(cost, _)| cost) {
                costliest.clone_from(&known);
            }
            if hashes.insert(user.to_owned(), known.map(|(_, hash)| hash)).is_some() {
                return Err(invalid(format!("line {place}: {user:?} stands there twice")));
            }
        }
        let hashes = hashes
            .into_iter()
            .filter_map(|(user, hash)| Some((user, hash?)))
            .collect();
        let mut key = [0; 32];
        let filled = SystemRandom::new().fill(&mut key);
        filled.map_err(|_| Error::new(ErrorKind::Io, "the system has no random numbers"))?;
        Ok(Arc::new(Self {
            hashes,
            other: costliest.map(|(_, hash)| hash),
            key,
            right: Mutex::default(),
            turns: Arc::new(Semaphore::new(AT_ONCE)),
            places: Arc::new(Semaphore::new(AT_ONCE + WAITING)),
            left_out,
        }))
    }

    /// Who was left out, and why: a text for each, without the hash.
    #[must_use]
    pub fn left_out(&self) -> &[String] {
        &self.left_out
    }

    /// Whether this is the user's password.
    ///
    /// # Errors
    /// `Throttled` where too many wait to be checked; `Cancelled` where the program ends meanwhile.
    pub(crate) async fn are(&self, user: &str, password: &str) -> Result<bool> {
        let known = self.hashes.get(user);
        let seen = self.seen(user, password);
        if known.is_some()
            && self
                .right()
                .get(&seen)
                .is_some_and(|since| since.elapsed() < REMEMBERED)
        {
            return Ok(true);
        }
        // Who is not known is told so no faster.
        let Some(hash) = known.or(self.other.as_ref()).cloned() else {
            return Ok(false);
        };
        let password = password.to_owned();
        let place = Arc::clone(&self.places).try_acquire_owned();
        let place = place.map_err(|_| {
            let message = "too many passwords wait to be checked; try again later";
            Error::new(ErrorKind::Throttled, message)
        })?;
        let turn = Arc::clone(&self.turns).acquire_owned().await;
        let turn = turn.map_err(|_| Error::new(ErrorKind::Cancelled, "the server ends"))?;
        let check = move || {
            // It is hashed to its end also where the client is gone, and so has its turn until then.
            let _held = (place, turn);
            // A hash that was read is one; what is wrong with it is no password's.
            Ok(bcrypt::verify(password, &hash).unwrap_or(false))
        };
        let is_right = blocking::run(check).await?;
        let is_right = is_right && known.is_some();
        if is_right {
            let mut right = self.right();
            if right.len() >= MAX_REMEMBERED {
                right.clear();
            }
            right.insert(seen, Instant::now());
        }
        Ok(is_right)
    }

    /// What tells a user's password from another that they had or will have; none of whom nobody knows.
    pub(crate) fn mark(&self, user: &str) -> Option<String> {
        let hash = self.hashes.get(user)?;
        Some(URL_SAFE_NO_PAD.encode(digest(&SHA256, hash.as_bytes())))
    }

    /// What a password is remembered by: nobody can tell it from that.
    fn seen(&self, user: &str, password: &str) -> [u8; 32] {
        let mut text = self.key.to_vec();
        text.extend_from_slice(&(user.len() as u64).to_be_bytes());
        text.extend_from_slice(user.as_bytes());
        text.extend_from_slice(password.as_bytes());
        let mut seen = [0; 32];
        seen.copy_from_slice(digest(&SHA256, &text).as_ref());
        seen
    }

    fn right(&self) -> MutexGuard<'_, HashMap<[u8; 32], Instant>> {
        // No one leaves it half changed, so what a panic elsewhere left is whole.
        self.right.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The cost of one of bcrypt's hashes: `$2y$10$` and 53 characters.
fn cost(hash: &str) -> Option<u32> {
    let rest = ["$2a$", "$2b$", "$2x$", "$2y$"]
        .iter()
        .find_map(|prefix| hash.strip_prefix(prefix))?;
    let (cost, rest) = rest.split_once('$')?;
    let known = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'/';
    if cost.len() != 2 || rest.len() != 53 || !rest.bytes().all(known) {
        return None;
    }
    cost.parse().ok().filter(|cost| *cost >= 4)
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn hash(password: &str) -> String {
        bcrypt::hash(password, 4).expect("a hash")
    }

    #[tokio::test]
    async fn only_the_right_password_is() {
        let (alice, bob) = (hash("secret"), hash(""));
        let passwords = Passwords::parse(&format!("# users\n\nalice:{alice}\nbob:{bob}\r\n")).expect("a file");
        for _ in 0..2 {
            for (user, password, expected) in [
                ("alice", "secret", true),
                ("alice", "Secret", false),
                ("alice", "", false),
                ("bob", "", true),
                ("bob", "secret", false),
                ("carol", "secret", false),
                ("", "", false),
                ("alices", "ecret", false),
            ] {
                assert_eq!(
                    passwords.are(user, password).await.expect("an answer"),
                    expected,
                    "{user} {password}"
                );
            }
        }
        assert_eq!(passwords.right().len(), 2);
        let none = Passwords::parse("").expect("a file");
        assert!(!none.are("alice", "secret").await.expect("an answer"));
    }

    /// Who was let in a moment ago does not wait with them.
    #[tokio::test]
    async fn so_many_wait_to_be_checked_and_no_more() {
        let passwords = Passwords::parse(&format!("alice:{}", hash("secret"))).expect("a file");
        assert!(passwords.are("alice", "secret").await.expect("an answer"));
        let all = u32::try_from(AT_ONCE + WAITING).expect("a number");
        let others = Arc::clone(&passwords.places).try_acquire_many_owned(all);
        for (user, password) in [("alice", "wrong"), ("bob", "secret")] {
            let error = passwords.are(user, password).await.expect_err("too many");
            assert_eq!(*error.kind(), ErrorKind::Throttled, "{user}");
            let problem = crate::auth::unchecked(error);
            assert_eq!((problem.status.as_u16(), problem.is_failed_login()), (429, false));
        }
        assert!(passwords.are("alice", "secret").await.expect("an answer"));
        drop(others);
        assert!(!passwords.are("alice", "wrong").await.expect("an answer"));
    }

    /// A client that goes away takes no turn from what is hashed for it.
    #[tokio::test]
    async fn what_nobody_waits_for_has_its_turn_to_its_end() {
        let slow = bcrypt::hash("secret", 8).expect("a hash");
        let passwords = Passwords::parse(&format!("alice:{slow}")).expect("a file");
        let check = passwords.are("alice", "wrong");
        assert!(check.now_or_never().is_none());
        assert_eq!(passwords.turns.available_permits(), AT_ONCE - 1);
        let both = Arc::clone(&passwords.turns).acquire_many_owned(2).await;
        assert!(both.is_ok());
        assert_eq!(passwords.places.available_permits(), AT_ONCE + WAITING);
    }

    #[test]
    fn what_is_no_file_of_hashes_is_refused_without_showing_it() {
        let good = hash("x");
        for (text, says) in [
            ("alice".to_owned(), "line 1 is no user:hash"),
            (format!("a:{good}\n:{good}"), "line 2 is no user:hash"),
            (format!("a:{good}\na:{good}"), "line 2: \"a\" stands there twice"),
            (format!("a:{good}\na:$apr1$x$y"), "line 2: \"a\" stands there twice"),
        ] {
            let error = Passwords::parse(&text).err().expect("no file").to_string();
            assert!(error.contains(says), "{text}: {error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[tokio::test]
    async fn who_has_no_hash_of_bcrypt_is_left_out_alone() {
        let good = hash("x");
        let costly = good.replacen("$04$", "$17$", 1);
        let none = |line: usize, user: &str| {
            format!("line {line}: the hash of {user:?} is none of bcrypt's; htpasswd -B makes one")
        };
        let text = format!(
            "plain:secret\napache:$apr1$x$y\nshort:{}\ncostly:{costly}\ngood:{good}\n",
            &good[..59]
        );
        let passwords = Passwords::parse(&text).expect("a file");
        let costs = "line 4: the hash of \"costly\" has a cost of 17, and 16 is the most".to_owned();
        let expected = [none(1, "plain"), none(2, "apache"), none(3, "short"), costs];
        assert_eq!(passwords.left_out(), expected);
        for (user, password, expected) in [
            ("good", "x", true),
            ("costly", "x", false),
            ("plain", "secret", false),
            ("apache", "$apr1$x$y", false),
            ("short", "x", false),
        ] {
            assert_eq!(
                passwords.are(user, password).await.expect("an answer"),
                expected,
                "{user}"
            );
        }
    }
}
