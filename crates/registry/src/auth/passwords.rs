//! Is the password right? An htpasswd file with bcrypt's hashes, as registry:2 has it.

use std::{collections::HashMap, sync::Arc};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::digest::{SHA256, digest};
use teu_store::{Error, ErrorKind, Result, blocking};

use super::{
    queue::{Asker, Queue},
    remembered::Remembered,
};

/// The most costly hash: beyond that a login takes longer than clients wait.
const MAX_COST: u32 = 16;

/// Users and the hashes of their passwords.
#[derive(Clone)]
pub struct Passwords {
    hashes: HashMap<String, String>,
    /// What is hashed for whom nobody knows, so that it takes as long.
    other: Option<String>,
    remembered: Arc<Remembered>,
    queue: Arc<Queue>,
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
        Ok(Arc::new(Self {
            hashes,
            other: costliest.map(|(_, hash)| hash),
            remembered: Arc::new(Remembered::new()?),
            queue: Queue::new(),
            left_out,
        }))
    }

    /// Who was left out, and why: a text for each, without the hash.
    #[must_use]
    pub fn left_out(&self) -> &[String] {
        &self.left_out
    }

    /// These, after others: what was right a moment ago is where the user's hash is the same, and who waits to be checked waits on. So many clients at once need not be
    /// hashed anew because a file was read again.
    pub(super) fn after(self: Arc<Self>, before: &Self) -> Arc<Self> {
        Arc::new(Self {
            remembered: Arc::clone(&before.remembered),
            queue: Arc::clone(&before.queue),
            ..Arc::unwrap_or_clone(self)
        })
    }

    /// Whether this is the user's password.
    ///
    /// # Errors
    /// `Throttled` where too many wait to be checked, from there or at all; `Cancelled` where the program ends meanwhile.
    pub(crate) async fn are(&self, user: &str, password: &str, asker: &Asker) -> Result<bool> {
        let known = self.hashes.get(user);
        // Who is not known is told so no faster.
        let Some(hash) = known.or(self.other.as_ref()).cloned() else {
            return Ok(false);
        };
        let (seen, is_known) = (self.remembered.seen(user, &hash, password), known.is_some());
        // Who was let in a moment ago needs no place. Others need a turn too, also where the password is remembered: who is refused many a guess, or does not wait
        // for what comes of it, would else be told at once which is right.
        if self.remembered.was_right_from(asker, &seen) && is_known {
            return Ok(true);
        }
        let place = self.queue.place(asker)?;
        let turn = place.turn().await?;
        // Of those that waited with the same password one is hashed.
        if self.remembered.was_right(asker, &seen) && is_known {
            return Ok(true);
        }
        let password = password.to_owned();
        let check = move || {
            // It is hashed to its end also where the client is gone, and so has its turn until then.
            let _held = (turn, place);
            // A hash that was read is one; what is wrong with it is no password's.
            Ok(bcrypt::verify(password, &hash).unwrap_or(false))
        };
        let is_right = blocking::run(check).await? && is_known;
        if is_right {
            self.remembered.is_right(asker, seen);
        }
        Ok(is_right)
    }

    /// What tells a user's password from another that they had or will have; none of whom nobody knows.
    pub(crate) fn mark(&self, user: &str) -> Option<String> {
        let hash = self.hashes.get(user)?;
        Some(URL_SAFE_NO_PAD.encode(digest(&SHA256, hash.as_bytes())))
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
    use base64::engine::general_purpose::STANDARD;
    use bytes::Bytes;
    use futures_util::FutureExt;
    use http_body_util::Full;
    use teu_store::ManyInMemory;
    use tokio::task::yield_now;

    use super::*;
    use crate::{
        Registry, Settings,
        auth::{Gate, Guard},
    };

    fn hash(password: &str) -> String {
        bcrypt::hash(password, 4).expect("a hash")
    }

    #[tokio::test]
    async fn only_the_right_password_is() {
        let (alice, bob, here) = (hash("secret"), hash(""), Asker::default());
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
                    passwords.are(user, password, &here).await.expect("an answer"),
                    expected,
                    "{user} {password}"
                );
            }
        }
        assert_eq!(passwords.remembered.count(), 2);
        let none = Passwords::parse("").expect("a file");
        assert!(!none.are("alice", "secret", &here).await.expect("an answer"));
    }

    /// The answers to these, in words.
    async fn told(passwords: &Passwords, asker: &Asker, asked: &[(&str, &str)]) -> Vec<&'static str> {
        let mut answers = Vec::new();
        for (user, password) in asked {
            answers.push(match passwords.are(user, password, asker).await {
                Ok(true) => "right",
                Ok(false) => "wrong",
                Err(error) if *error.kind() == ErrorKind::Throttled => "later",
                Err(_) => "failed",
            });
        }
        answers
    }

    /// Who was let in a moment ago does not wait with them, and who guesses is not told quickly what was right for others.
    #[tokio::test]
    async fn where_too_many_wait_nobody_is_told_what_they_did_not_know() {
        let passwords = Passwords::parse(&format!("alice:{}", hash("secret"))).expect("a file");
        let (here, guesser) = (Asker::at("10.0.0.1"), Asker::at("10.0.0.2"));
        let asked = [("alice", "secret"), ("alice", "wrong"), ("bob", "secret")];
        assert_eq!(told(&passwords, &here, &asked).await, ["right", "wrong", "wrong"]);
        let waiting = passwords.queue.all_places(&guesser);
        assert_eq!(told(&passwords, &guesser, &asked).await, ["later"; 3]);
        // Another of the same proxy's clients is another, and whoever asks from elsewhere has a place.
        assert_eq!(
            told(&passwords, &guesser.clone().asking_for("10.0.0.3"), &asked).await,
            ["later"; 3]
        );
        assert_eq!(told(&passwords, &here, &asked).await, ["right", "wrong", "wrong"]);
        let others: Vec<_> = (3..=9).map(|last| Asker::at(&format!("10.0.0.{last}"))).collect();
        let more: Vec<_> = others.iter().map(|other| passwords.queue.all_places(other)).collect();
        assert_eq!(told(&passwords, &here, &asked).await, ["right", "later", "later"]);
        drop((waiting, more));
        // It is right wherever it comes from, and from now on there too.
        assert_eq!(told(&passwords, &guesser, &asked).await, ["right", "wrong", "wrong"]);
        let _waiting = passwords.queue.all_places(&guesser);
        assert_eq!(told(&passwords, &guesser, &asked).await, ["right", "later", "later"]);
    }

    /// Who guesses and goes away before a turn comes learns nothing in the meantime.
    #[tokio::test]
    async fn what_is_remembered_of_others_is_not_told_before_a_turn() {
        let passwords = Passwords::parse(&format!("alice:{}", hash("secret"))).expect("a file");
        let (here, guesser) = (Asker::at("10.0.0.1"), Asker::at("10.0.0.2"));
        assert_eq!(told(&passwords, &here, &[("alice", "secret")]).await, ["right"]);
        let turns = passwords.queue.all_turns().await;
        assert!(passwords.are("alice", "secret", &guesser).now_or_never().is_none());
        assert!(matches!(
            passwords.are("alice", "secret", &here).now_or_never(),
            Some(Ok(true))
        ));
        drop(turns);
        assert!(matches!(
            passwords.are("alice", "secret", &guesser).now_or_never(),
            Some(Ok(true))
        ));
    }

    /// Else each that is read again under load has all clients be hashed at once.
    #[tokio::test]
    async fn what_was_right_is_after_another_file_too_where_the_hash_is_the_same() {
        let guard = |alice: &str, bob: &str| Guard {
            passwords: Some(Passwords::parse(&format!("alice:{alice}\nbob:{bob}")).expect("a file")),
            ..Guard::default()
        };
        let (here, alice) = (Asker::default(), hash("secret"));
        let asked = [("alice", "secret"), ("bob", "secret"), ("bob", "another")];
        let gate = Gate::new(guard(&alice, &hash("secret")));
        let before = gate.standing().guard.passwords.clone().expect("passwords");
        assert_eq!(told(&before, &here, &asked).await, ["right", "right", "wrong"]);
        let waiting = before.queue.all_places(&here);
        gate.replace(guard(&alice, &hash("another")));
        let after = gate.standing().guard.passwords.clone().expect("passwords");
        assert_eq!(told(&after, &here, &asked).await, ["right", "later", "later"]);
        drop(waiting);
        assert_eq!(told(&after, &here, &asked).await, ["right", "wrong", "right"]);
        // What is checked by the file that was there before is no more than that.
        assert_eq!(told(&before, &here, &asked).await, ["right", "right", "wrong"]);
    }

    /// An operator sees that somebody guesses more than is checked.
    #[tokio::test]
    async fn what_is_not_checked_is_counted_as_that() {
        let passwords = Passwords::parse(&format!("alice:{}", hash("secret"))).expect("a file");
        let gate = Gate::new(Guard {
            passwords: Some(Arc::clone(&passwords)),
            ..Guard::default()
        });
        let registry = Registry::new(Arc::new(ManyInMemory::new()), Settings::default(), None);
        let registry = Arc::new(registry.behind(Arc::new(gate)));
        let ask = async |password: &str| {
            let shown = format!("Basic {}", STANDARD.encode(format!("alice:{password}")));
            let request = http::Request::builder().uri("/v2/").header("authorization", shown);
            let response = registry.answer(request.body(Full::<Bytes>::default()).expect("a request"));
            let response = response.await;
            let status = response.status().as_u16();
            assert_eq!(response.headers().contains_key("retry-after"), status == 429);
            (status, registry.failed_logins(), registry.unchecked_logins())
        };
        assert_eq!(ask("wrong").await, (401, 1, 0));
        let waiting = passwords.queue.all_places(&Asker::default());
        assert_eq!(ask("wrong").await, (429, 1, 1));
        drop(waiting);
        assert_eq!(ask("secret").await, (200, 1, 1));
    }

    /// A client that goes away takes no turn from what is hashed for it.
    #[tokio::test]
    async fn what_nobody_waits_for_has_its_turn_to_its_end() {
        let slow = bcrypt::hash("secret", 8).expect("a hash");
        let passwords = Passwords::parse(&format!("alice:{slow}")).expect("a file");
        let here = Asker::default();
        let check = passwords.are("alice", "wrong", &here);
        assert!(check.now_or_never().is_none());
        assert_eq!(passwords.queue.taken(), (1, 1));
        while passwords.queue.taken() != (0, 0) {
            yield_now().await;
        }
    }

    #[tokio::test]
    async fn of_those_that_wait_with_the_same_password_one_is_hashed() {
        let alice = hash("secret");
        let passwords = Passwords::parse(&format!("alice:{alice}")).expect("a file");
        let here = Asker::default();
        let all = passwords.queue.all_turns().await;
        let mut check = Box::pin(passwords.are("alice", "secret", &here));
        assert!(check.as_mut().now_or_never().is_none());
        let seen = passwords.remembered.seen("alice", &alice, "secret");
        passwords.remembered.is_right(&here, seen);
        drop(all);
        // What is hashed is waited for.
        assert!(matches!(check.now_or_never(), Some(Ok(true))));
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
                passwords
                    .are(user, password, &Asker::default())
                    .await
                    .expect("an answer"),
                expected,
                "{user}"
            );
        }
    }
}
