//! How are many stores in memory one place? Each is a [`Memory`] that knows where it is at home, so that blobs can be mounted.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use futures_util::{FutureExt, future};
use teu_spec::Digest;

use super::Memory;
use crate::{
    BoxFuture, Intent, Keyset, Mount, Origin, Page, Repositories, Result, Sessions, Store, repositories::no_repository,
};

/// Many repositories in memory: any that is written to comes to be. Clones are the same place.
#[derive(Clone)]
pub struct ManyInMemory(Arc<Inner>);

struct Inner {
    /// What every repository is made as.
    model: Memory,
    /// What tells it from other places in memory.
    registry: String,
    stores: Mutex<BTreeMap<String, Memory>>,
}

/// Where a store in memory is at home.
#[derive(Clone)]
pub(super) struct Home {
    all: Weak<Inner>,
    repository: String,
}

impl Default for ManyInMemory {
    fn default() -> Self {
        Self::new()
    }
}

impl ManyInMemory {
    /// No repository yet; each takes a manifest only when all that it names is there.
    #[must_use]
    pub fn new() -> Self {
        Self::of(Memory::new())
    }

    /// No repository yet; each also takes a manifest whose children are missing.
    #[must_use]
    pub fn sparse() -> Self {
        Self::of(Memory::sparse())
    }

    fn of(model: Memory) -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        Self(Arc::new(Inner {
            model,
            registry: format!("memory:{}", COUNT.fetch_add(1, Ordering::Relaxed)),
            stores: Mutex::default(),
        }))
    }

    /// A repository, whether or not there is something in it yet.
    #[must_use]
    pub fn repository(&self, name: &str) -> Memory {
        let mut stores = self.0.stores();
        // What was only opened is forgotten when nobody holds it any more.
        stores.retain(|_, store| !store.is_empty() || Arc::strong_count(&store.state) > 1);
        let make = || {
            let mut store = self.0.model.clone();
            store.state = Arc::default();
            store.writers = Arc::default();
            store.home = Some(Home {
                all: Arc::downgrade(&self.0),
                repository: name.to_owned(),
            });
            store
        };
        stores.entry(name.to_owned()).or_insert_with(make).clone()
    }
}

impl Inner {
    fn stores(&self) -> MutexGuard<'_, BTreeMap<String, Memory>> {
        // No one leaves it half changed, so what a panic elsewhere left is whole.
        self.stores.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn list(&self, part: Keyset<'_>, counts: impl Fn(&Memory) -> bool) -> Page<String> {
        let stores = self.stores();
        let there = stores.iter().filter(|(_, store)| counts(store));
        part.of(there.map(|(name, _)| name.as_str()))
    }
}

impl Repositories for ManyInMemory {
    fn open<'a>(&'a self, repository: &'a str, intent: Intent) -> BoxFuture<'a, Result<Arc<dyn Store>>> {
        let store = match intent {
            Intent::Write => Ok(self.repository(repository)),
            Intent::Read => {
                let found = self.0.stores().get(repository).cloned();
                found
                    .filter(|store| !store.is_empty())
                    .ok_or_else(|| no_repository(repository))
            }
        };
        future::ready(store.map(|store| Arc::new(store) as Arc<dyn Store>)).boxed()
    }

    fn repositories<'a>(&'a self, part: Keyset<'a>) -> BoxFuture<'a, Result<Page<String>>> {
        future::ready(Ok(self.0.list(part, |store| !store.is_empty()))).boxed()
    }

    fn holders<'a>(&'a self, blob: &'a Digest, part: Keyset<'a>) -> BoxFuture<'a, Result<Page<String>>> {
        let has = |store: &Memory| store.state().blobs.contains_key(blob);
        future::ready(Ok(self.0.list(part, has))).boxed()
    }

    fn sessions(&self) -> Option<&dyn Sessions> {
        None
    }
}

impl Home {
    /// What this store is called among all; none where the place is gone.
    pub(super) fn origin(&self) -> Option<Origin> {
        Some(Origin {
            registry: self.all.upgrade()?.registry.clone(),
            repository: self.repository.clone(),
        })
    }
}

impl Mount for Memory {
    fn origin(&self) -> Origin {
        let origin = self.home.as_ref().and_then(Home::origin);
        origin.unwrap_or_else(|| Origin {
            registry: "memory:".to_owned(),
            repository: String::new(),
        })
    }

    fn mount<'a>(&'a self, from: &'a str, digest: &'a Digest) -> BoxFuture<'a, Result<bool>> {
        let all = self.home.as_ref().and_then(|home| home.all.upgrade());
        let source = all.and_then(|all| all.stores().get(from).cloned());
        let content = source.and_then(|source| source.state().blobs.get(digest).map(|blob| blob.content.clone()));
        let mounted = content.map(|content| self.insert_unchecked(*digest, content));
        future::ready(Ok(mounted.is_some())).boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suite::House;

    impl House for ManyInMemory {
        fn repositories(&self) -> Arc<dyn Repositories> {
            Arc::new(self.clone())
        }

        fn is_open(&self) -> bool {
            true
        }
    }

    crate::repositories_suite!(ManyInMemory::new);

    #[test]
    fn what_is_only_opened_is_forgotten() {
        let all = ManyInMemory::new();
        for n in 0..100 {
            drop(all.repository(&format!("r{n}")));
        }
        assert_eq!(all.0.stores().len(), 1);
    }
}
