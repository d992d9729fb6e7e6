//! What was asked a moment ago? The answers hold until something is committed that could change them; then all are forgotten. So an image that
//! many pull, while nobody pushes, costs one look at the database.
//!
//! While a commit is on its way nothing is answered from here: nobody sees what was, after another saw what is.

use std::{
    borrow::Borrow,
    collections::HashMap,
    hash::Hash,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use teu_spec::{Descriptor, Digest};
use teu_store::Result;

use super::{Blob, Manifest};

/// How many answers are kept, and how many bytes of manifests; all are forgotten where there are more.
const MOST: usize = 10_000;
const MOST_BYTES: usize = 16 << 20;

/// The answers, and whether they hold.
pub(super) struct Recent {
    /// Odd while a commit is on its way.
    commits: AtomicU64,
    known: Mutex<Known>,
}

/// Answers, by repository. What is not there is not kept.
#[derive(Default)]
struct Known {
    /// After how many commits they were given.
    at: u64,
    repositories: HashMap<String, Repository>,
    count: usize,
    bytes: usize,
}

/// What is known of a repository, which is there.
#[derive(Default)]
pub(super) struct Repository {
    pub(super) itself: HashMap<(), ()>,
    pub(super) blobs: HashMap<Digest, Blob>,
    pub(super) manifests: HashMap<Digest, Manifest>,
    pub(super) described: HashMap<Digest, Descriptor>,
    pub(super) tags: HashMap<String, Descriptor>,
}

impl Recent {
    /// Keeps answers, where all commits are told of.
    pub(super) fn new() -> Self {
        Self {
            commits: AtomicU64::new(0),
            known: Mutex::default(),
        }
    }

    /// Keeps none: others commit too.
    pub(super) fn none() -> Self {
        Self {
            commits: AtomicU64::new(1),
            known: Mutex::default(),
        }
    }

    /// Has nothing be answered from here while `commit` is on its way, nor what was known before it.
    pub(super) fn during<T>(&self, commit: impl FnOnce() -> T) -> T {
        self.commits.fetch_add(1, Ordering::SeqCst);
        let done = commit();
        self.commits.fetch_add(1, Ordering::SeqCst);
        done
    }

    /// What is known of something in a repository, in the map that `of` gives; else what `ask` says, which is kept for the next who asks. `size` is
    /// how many bytes that takes.
    pub(super) fn answer<K, Q, T>(
        &self,
        repository: &str,
        of: impl Fn(&mut Repository) -> &mut HashMap<K, T>,
        key: &Q,
        ask: impl FnOnce() -> Result<Option<T>>,
        size: impl FnOnce(&T) -> usize,
    ) -> Result<Option<T>>
    where
        K: Borrow<Q> + Eq + Hash,
        Q: ToOwned<Owned = K> + Eq + Hash + ?Sized,
        T: Clone,
    {
        let Some(now) = self.now() else { return ask() };
        {
            let mut known = self.known();
            if known.at < now {
                *known = Known {
                    at: now,
                    ..Known::default()
                };
            }
            let is_now = known.at == now;
            let found = known.repositories.get_mut(repository).filter(|_| is_now);
            if let Some(found) = found.and_then(|found| of(found).get(key)) {
                return Ok(Some(found.clone()));
            }
        }
        let answer = ask()?;
        // Where something was committed meanwhile nobody knows what it is an answer to.
        if let Some(answer) = &answer
            && self.now() == Some(now)
        {
            let mut known = self.known();
            if known.at == now {
                of(known.room(repository, size(answer))).insert(key.to_owned(), answer.clone());
            }
        }
        Ok(answer)
    }

    fn now(&self) -> Option<u64> {
        let commits = self.commits.load(Ordering::SeqCst);
        commits.is_multiple_of(2).then_some(commits)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // What a panic elsewhere left is forgotten with the next commit; each answer in it is one.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// Where another answer about a repository is kept.
    fn room(&mut self, repository: &str, bytes: usize) -> &mut Repository {
        if self.count >= MOST || self.bytes >= MOST_BYTES {
            *self = Self {
                at: self.at,
                ..Self::default()
            };
        }
        self.count += 1;
        self.bytes += bytes;
        self.repositories.entry(repository.to_owned()).or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(recent: &Recent, size: u64) -> (u64, bool) {
        let mut asked = false;
        let digest = Digest::of(b"");
        let descriptor = Descriptor::new(teu_store::octet_stream(), digest, size);
        let found = recent.answer(
            "app",
            |known| &mut known.tags,
            "v1",
            || {
                asked = true;
                Ok(Some(descriptor))
            },
            |_| 0,
        );
        (found.expect("an answer").expect("found").size, asked)
    }

    #[test]
    fn an_answer_holds_until_something_is_committed() {
        let recent = Recent::new();
        assert_eq!(ask(&recent, 1), (1, true));
        assert_eq!(ask(&recent, 2), (1, false));
        recent.during(|| {
            assert_eq!(ask(&recent, 2), (2, true));
            assert_eq!(ask(&recent, 3), (3, true));
        });
        assert_eq!(ask(&recent, 4), (4, true));
        assert_eq!(ask(&recent, 5), (4, false));
        let none = Recent::none();
        assert_eq!(ask(&none, 1), (1, true));
        assert_eq!(ask(&none, 2), (2, true));
    }

    #[test]
    fn what_was_asked_before_a_commit_is_no_answer_after_it() {
        let recent = Recent::new();
        let ask_meanwhile = || {
            recent.during(|| {});
            Ok(Some(Descriptor::new(teu_store::octet_stream(), Digest::of(b""), 1)))
        };
        let kept = recent.answer(
            "app",
            |known| &mut known.tags,
            "v1",
            ask_meanwhile,
            |_| panic!("it is kept"),
        );
        assert_eq!(kept.expect("an answer").expect("found").size, 1);
        assert_eq!(ask(&recent, 2), (2, true));
    }

    #[test]
    fn no_more_is_kept_than_that() {
        let recent = Recent::new();
        for n in 0..3 * MOST {
            let answer = || Ok(Some(Descriptor::new(teu_store::octet_stream(), Digest::of(b""), 1)));
            let tag = n.to_string();
            let kept = recent.answer("app", |known| &mut known.tags, &*tag, answer, |_| MOST_BYTES / 100);
            kept.expect("an answer");
            let known = recent.known();
            assert!(known.count <= MOST && known.bytes <= MOST_BYTES + MOST_BYTES / 100);
            assert_eq!(known.repositories["app"].tags.len(), known.count);
        }
    }
}
