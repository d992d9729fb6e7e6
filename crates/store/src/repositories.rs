//! What must a place of many repositories be able to do? [`Repositories`], and the simplest of them: stores that were [`Given`] names.

use std::{collections::BTreeMap, ops::Bound, sync::Arc, time::Duration};

use futures_util::FutureExt;
use teu_spec::{Algorithm, Descriptor, Digest, Repository};

use crate::{BoxFuture, Error, ErrorKind, Ingest, Intent, Page, Result, Role, Store};

/// Stores by the names of their repositories: what a registry serves.
///
/// Blobs may be shared below, but a repository shows only what was put or mounted there.
pub trait Repositories: Send + Sync {
    /// The store of a repository. To [read](Intent::Read) it must be there. To [write](Intent::Write) it need not: it comes to be with the first
    /// that is put.
    ///
    /// # Errors
    /// `NotFound` where there is no such repository; `Denied` where none of this name can come to be here.
    fn open<'a>(&'a self, repository: &'a str, intent: Intent) -> BoxFuture<'a, Result<Arc<dyn Store>>>;

    /// The repositories that are there.
    fn repositories<'a>(&'a self, part: Keyset<'a>) -> BoxFuture<'a, Result<Page<String>>>;

    /// The repositories that a blob could be mounted from.
    fn holders<'a>(&'a self, blob: &'a Digest, part: Keyset<'a>) -> BoxFuture<'a, Result<Page<String>>>;

    /// The power to keep uploads that are under way.
    fn sessions(&self) -> Option<&dyn Sessions>;

    /// Whether what is kept can be reached, without reading much of it. Where all of it is one thing, a list of it tells.
    ///
    /// # Errors
    /// Why not.
    fn reach(&self) -> BoxFuture<'_, Result<()>> {
        let first = Keyset { after: None, limit: 1 };
        self.repositories(first).map(|found| found.map(drop)).boxed()
    }
}

/// How long an upload stays, where others want its room, of which no byte came: to begin one costs a client nothing, and it loses nothing with it. Who answers
/// for [`Sessions`] closes it then, so that they may forget it.
pub const EMPTY: Duration = Duration::from_secs(60);

/// The power to keep blobs that are being written, each under an id that whoever sends it knows it by: they outlive who holds them, and the
/// process too. What becomes of those that nobody goes on with is for the place to decide.
pub trait Sessions: Send + Sync {
    /// Begins to write a blob that is meant for a repository. `id` has 1 to 64 characters of `a` to `z`, digits and `-`, and nobody guesses it.
    ///
    /// # Errors
    /// `Conflict` where the id is taken; `Throttled` where too many are open.
    fn begin<'a>(
        &'a self,
        repository: &'a str,
        id: &'a str,
        algorithm: Algorithm,
    ) -> BoxFuture<'a, Result<Box<dyn Session>>>;

    /// Goes on with a blob where it was last [recorded](Session::record); none where there is no such one for
    /// this repository.
    ///
    /// # Errors
    /// `Conflict` where somebody holds it.
    fn reopen<'a>(&'a self, repository: &'a str, id: &'a str) -> BoxFuture<'a, Result<Option<Reopened>>>;
}

/// A blob that is gone on with.
pub struct Reopened {
    /// Takes the bytes from [`Self::done`] on.
    pub session: Box<dyn Session>,
    /// How many bytes are there.
    pub done: u64,
}

/// A blob that is being written, and kept meanwhile. Dropped, as where a write failed, it stays as far as it was recorded; committed or aborted, it is none any
/// more.
pub trait Session: Ingest {
    /// Makes all that was written last: it goes on from here, whatever happens.
    ///
    /// # Errors
    /// Those of the disk. Where there is no room (`Quota`) it stays as it was recorded last, and is [reopened](Sessions::reopen) when this is dropped; else it may be
    /// gone, and must be begun anew.
    fn record(&mut self) -> BoxFuture<'_, Result<()>>;
}

/// The part of a list in byte order that is asked for. The next part is the one after [`Page::next`], so that none is missed or told twice
/// whatever comes and goes meanwhile.
#[derive(Clone, Copy, Debug)]
pub struct Keyset<'a> {
    /// Only what stands behind this, which need not be there itself.
    pub after: Option<&'a str>,
    /// At most so many.
    pub limit: usize,
}

impl Keyset<'_> {
    /// The part that is asked for of `names`, which stand in byte order.
    #[must_use]
    pub fn of<'n>(&self, names: impl IntoIterator<Item = &'n str>) -> Page<String> {
        let behind = |name: &&str| self.after.is_none_or(|after| *name > after);
        let mut rest = names.into_iter().filter(behind).peekable();
        let items: Vec<String> = rest.by_ref().take(self.limit).map(str::to_owned).collect();
        let next = rest.peek().and(items.last().cloned());
        Page { items, next }
    }

    /// The same of digests, in any order: they are put in that of their texts.
    #[must_use]
    pub fn of_digests(&self, digests: Vec<Digest>) -> Page<Digest> {
        self.by_text(digests, Digest::to_string)
    }

    /// The same of descriptors, by their digests.
    #[must_use]
    pub fn of_descriptors(&self, descriptors: Vec<Descriptor>) -> Page<Descriptor> {
        self.by_text(descriptors, |descriptor| descriptor.digest.to_string())
    }

    fn by_text<T>(&self, mut all: Vec<T>, text: impl Fn(&T) -> String) -> Page<T> {
        all.sort_by_cached_key(&text);
        let behind = |item: &T| self.after.is_none_or(|after| text(item).as_str() > after);
        let mut rest = all.into_iter().filter(behind).peekable();
        let items: Vec<T> = rest.by_ref().take(self.limit).collect();
        let next = rest.peek().and(items.last()).map(&text);
        Page { items, next }
    }
}

/// Stores that were given the names of repositories. There are no others, and none comes to be.
#[derive(Default)]
pub struct Given(BTreeMap<String, Arc<dyn Store>>);

impl Given {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Gives a store the name of a repository.
    ///
    /// # Errors
    /// `Invalid` where it is no name of a repository (distribution-spec, "Pulling manifests"); `Conflict` where it is given already.
    pub fn give(&mut self, repository: &str, store: Arc<dyn Store>) -> Result<()> {
        Repository::check_path(repository)?;
        if self.0.contains_key(repository) {
            let message = format!("two places cannot both be the repository {repository}");
            return Err(Error::new(ErrorKind::Conflict, message));
        }
        self.0.insert(repository.to_owned(), store);
        Ok(())
    }

    /// What is behind a name.
    fn after(&self, name: Option<&str>) -> impl Iterator<Item = (&str, &Arc<dyn Store>)> {
        let from = name.map_or(Bound::Unbounded, Bound::Excluded);
        let range = self.0.range::<str, _>((from, Bound::Unbounded));
        range.map(|(name, store)| (name.as_str(), store))
    }
}

impl Repositories for Given {
    fn open<'a>(&'a self, repository: &'a str, intent: Intent) -> BoxFuture<'a, Result<Arc<dyn Store>>> {
        let found = self.0.get(repository).cloned().ok_or_else(|| match intent {
            Intent::Read => no_repository(repository),
            Intent::Write => {
                let names: Vec<&str> = self.0.keys().map(String::as_str).collect();
                let message = format!("there is no repository {repository} here, only {}", names.join(", "));
                Error::new(ErrorKind::Denied, message)
            }
        });
        std::future::ready(found).boxed()
    }

    fn repositories<'a>(&'a self, part: Keyset<'a>) -> BoxFuture<'a, Result<Page<String>>> {
        let page = part.of(self.after(part.after).map(|(name, _)| name));
        std::future::ready(Ok(page)).boxed()
    }

    fn holders<'a>(&'a self, blob: &'a Digest, part: Keyset<'a>) -> BoxFuture<'a, Result<Page<String>>> {
        async move {
            let mut holders = Vec::new();
            for (name, store) in self.after(part.after) {
                if holders.len() > part.limit {
                    break;
                }
                if store.stat(Role::Blob, blob, Intent::Read).await?.is_some() {
                    holders.push(name);
                }
            }
            Ok(part.of(holders))
        }
        .boxed()
    }

    fn sessions(&self) -> Option<&dyn Sessions> {
        None
    }

    /// Each of them: their names are here, and they are elsewhere.
    fn reach(&self) -> BoxFuture<'_, Result<()>> {
        async move {
            for (name, store) in &self.0 {
                if let Some(browse) = store.browse() {
                    let names = browse.names(None).await;
                    names.map_err(|error| error.within(format!("repository {name}")))?;
                }
            }
            Ok(())
        }
        .boxed()
    }
}

pub(crate) fn no_repository(repository: &str) -> Error {
    Error::new(ErrorKind::NotFound, format!("there is no repository {repository}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Memory, suite::House};

    struct Three(Arc<Given>);

    impl House for Three {
        fn repositories(&self) -> Arc<dyn Repositories> {
            Arc::clone(&self.0) as Arc<dyn Repositories>
        }

        fn is_open(&self) -> bool {
            false
        }
    }

    fn three() -> Three {
        let mut given = Given::new();
        for name in crate::suite::REPOSITORIES {
            given.give(name, Arc::new(Memory::new())).expect("a name");
        }
        Three(Arc::new(given))
    }

    crate::repositories_suite!(three);

    #[test]
    fn a_name_is_given_once_and_is_a_name() {
        let mut given = Given::new();
        given.give("app/one", Arc::new(Memory::new())).expect("a name");
        for (name, kind) in [
            ("app/one", ErrorKind::Conflict),
            ("App", ErrorKind::Invalid),
            ("../app", ErrorKind::Invalid),
            ("", ErrorKind::Invalid),
        ] {
            let error = given.give(name, Arc::new(Memory::new())).expect_err("no name");
            assert_eq!(error.kind(), &kind, "{name}: {error}");
        }
    }

    #[test]
    fn a_part_ends_where_the_next_begins() {
        let names = ["a", "b", "c"];
        let part = |after, limit| {
            let page = Keyset { after, limit }.of(names);
            (page.items.join(""), page.next)
        };
        let next = |name: &str| Some(name.to_owned());
        assert_eq!(part(None, 2), ("ab".to_owned(), next("b")));
        assert_eq!(part(Some("b"), 2), ("c".to_owned(), None));
        assert_eq!(part(None, 3), ("abc".to_owned(), None));
        assert_eq!(part(Some("aa"), 1), ("b".to_owned(), next("b")));
        assert_eq!(part(Some("c"), 1), (String::new(), None));
        assert_eq!(part(None, 0), (String::new(), None));
    }
}
