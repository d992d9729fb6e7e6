//! What may go? [`gc`]: what is named, and all below it, is marked by the walk of [`graph`](crate::graph); what is not marked and not young
//! is removed.

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use futures_util::{FutureExt, future};
use teu_spec::{Descriptor, Digest, Document};

use crate::{
    BoxFuture, Error, ErrorKind, Kept, Result, Source, Sweep,
    graph::{Content, Fold, Limits, Node, Visit},
};

/// How garbage is collected.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// What is younger than this stays: another tool may be about to name it. Our own writers are kept out by the sweep itself.
    pub grace: Duration,
    /// Whether nothing is removed, and the report says what would be.
    pub dry_run: bool,
    /// How deep indexes may stand in one another, and how much there may be in all.
    pub limits: Limits,
    /// How many manifests are read side by side.
    pub jobs: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            grace: Duration::from_secs(3600),
            dry_run: false,
            limits: Limits::ONLY_DEPTH,
            jobs: 6,
        }
    }
}

/// What was found and done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// What is named, or below something that is.
    pub reached: Count,
    /// What is not, but too young to go.
    pub young: Count,
    /// What was removed, or would have been.
    pub removed: Vec<Kept>,
    /// What is named by something and is not here. It need not be wrong: an index may be sparse.
    pub absent: Vec<Digest>,
}

impl Report {
    /// The bytes of what was removed, or would have been.
    #[must_use]
    pub fn freed(&self) -> u64 {
        self.removed.iter().map(|kept| kept.size).sum()
    }
}

/// Some content, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// How many.
    pub items: usize,
    /// Their bytes.
    pub bytes: u64,
}

impl Count {
    fn add(&mut self, kept: &Kept) {
        self.items += 1;
        self.bytes += kept.size;
    }
}

/// Removes from a store what nothing in it names. Writers are kept out meanwhile.
///
/// # Errors
/// `Conflict` where a writer is at work. Where a manifest that is here cannot be read, so that what it names cannot be known, nothing is
/// removed; where a removal fails, those before it were done.
pub async fn gc(source: &dyn Source, sweep: &dyn Sweep, options: &Options) -> Result<Report> {
    let session = sweep.begin().await?;
    let mark = Mark::default();
    let fold = Fold::new(source, &mark, options.limits, options.jobs);
    for root in session.roots().await? {
        fold.visit(&root).await?;
    }
    drop(fold);
    let marked = mark.0.into_inner().unwrap_or_else(PoisonError::into_inner);

    let mut report = Report::default();
    let mut here = HashSet::new();
    for kept in session.content().await? {
        here.insert(kept.digest);
        if marked.contains_key(&kept.digest) {
            report.reached.add(&kept);
        } else if kept.age.is_some_and(|age| age < options.grace) {
            report.young.add(&kept);
        } else {
            if !options.dry_run {
                let removed = session.remove(&kept.digest).await;
                removed.map_err(|error| error.within(format!("removing {}", kept.digest)))?;
            }
            report.removed.push(kept);
        }
    }
    report.absent = marked
        .into_iter()
        .filter(|(digest, expected)| *expected && !here.contains(digest))
        .map(|(digest, _)| digest)
        .collect();
    report.absent.sort();
    report.removed.sort_by_key(|kept| kept.digest);
    Ok(report)
}

/// All that was reached, and whether it should be here: non-distributable layers need not.
#[derive(Default)]
struct Mark(Mutex<HashMap<Digest, bool>>);

impl Mark {
    fn reached(&self, descriptor: &Descriptor) {
        let expected = !descriptor.media_type.is_foreign();
        let mut marked = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *marked.entry(descriptor.digest).or_default() |= expected;
    }
}

impl Visit for Mark {
    fn unreadable<'a>(&'a self, node: Node<'a>, error: Error) -> BoxFuture<'a, Result<Option<Content>>> {
        let absent = *error.kind() == ErrorKind::NotFound;
        // An index may list what is no manifest (image-spec, image-index.md): it names nothing, and stays.
        let opaque = *error.kind() == ErrorKind::Invalid && !node.descriptor.media_type.is_document();
        self.reached(node.descriptor);
        future::ready(if absent || opaque {
            Ok(Some(node.descriptor.into()))
        } else {
            let digest = node.descriptor.digest;
            Err(error.within(format!(
                "nothing is removed, as manifest {digest} cannot be read and what it names may be needed; delete it first"
            )))
        })
        .boxed()
    }

    fn blob<'a>(&'a self, node: Node<'a>) -> BoxFuture<'a, Result<Option<Content>>> {
        self.reached(node.descriptor);
        future::ready(Ok(Some(node.descriptor.into()))).boxed()
    }

    fn leave<'a>(
        &'a self,
        node: Node<'a>,
        _: &'a Document,
        _: Vec<Option<Descriptor>>,
    ) -> BoxFuture<'a, Result<Option<Content>>> {
        self.reached(node.descriptor);
        future::ready(Ok(Some(node.descriptor.into()))).boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Delete, Memory, Takes, Target,
        suite::{Image, image::index, powers::about},
    };

    const AT_ONCE: Options = Options {
        grace: Duration::ZERO,
        dry_run: false,
        limits: Limits::ONLY_DEPTH,
        jobs: 2,
    };

    /// A store with an index of two images, one of which is signed, and one image that lost its name.
    async fn store() -> (Memory, Image) {
        let store = Memory::new();
        let [one, two, gone] = ["one", "two", "gone"].map(|seed| Image::small(Takes::EVERYTHING, seed));
        for image in [&one, &two, &about(&one, "example/signature")] {
            image.put(&store, &[]).await.expect("put");
        }
        let all = index(&[&one, &two]);
        let digest = Digest::of(all.raw());
        store
            .put_manifest(&all, &digest, &["all".to_owned()], Default::default())
            .await
            .expect("put");
        gone.put(&store, &["gone"]).await.expect("put");
        Delete::delete(&store, crate::Role::Manifest, &gone.digest)
            .await
            .expect("deleted");
        (store, gone)
    }

    #[tokio::test]
    async fn what_nothing_names_goes_and_all_else_stays() {
        let (store, gone) = store().await;
        let before = store.len();
        let dry = gc(
            &store,
            &store,
            &Options {
                dry_run: true,
                ..AT_ONCE
            },
        )
        .await
        .expect("a report");
        assert_eq!(store.len(), before);
        let report = gc(&store, &store, &AT_ONCE).await.expect("a report");
        let digests = |report: &Report| report.removed.iter().map(|kept| kept.digest).collect::<Vec<_>>();
        assert_eq!(digests(&dry), digests(&report));
        // The config and the layer of its own; the layer that it shares is named by others.
        let children = gone.document.children();
        let mut expected = [children[0].digest, children[2].digest];
        expected.sort();
        assert_eq!(digests(&report), expected);
        assert_eq!(report.freed(), children[0].size + children[2].size);
        assert_eq!((report.reached.items, report.young.items), (before - 2, 0));
        assert_eq!(report.absent, []);
        assert_eq!(store.len(), before - 2);
    }

    #[tokio::test]
    async fn blobs_that_an_index_names_stay() {
        let store = Memory::new();
        let cache = Image::cache(Takes::EVERYTHING, "cache");
        cache.put(&store, &["cache"]).await.expect("put");
        let report = gc(&store, &store, &AT_ONCE).await.expect("a report");
        assert_eq!((report.removed, report.reached.items, store.len()), (vec![], 3, 3));
    }

    #[tokio::test]
    async fn what_is_young_stays() {
        let (store, _) = store().await;
        let before = store.len();
        let report = gc(&store, &store, &Options::default()).await.expect("a report");
        assert_eq!((report.removed.len(), report.young.items), (0, 2));
        assert_eq!(store.len(), before);
    }

    #[tokio::test]
    async fn a_writer_keeps_it_out() {
        let (store, _) = store().await;
        let writer = store.ingest(Default::default()).await.expect("an ingest");
        let error = gc(&store, &store, &AT_ONCE).await.expect_err("a writer is at work");
        assert_eq!(error.kind(), &ErrorKind::Conflict);
        drop(writer);
        gc(&store, &store, &AT_ONCE).await.expect("a report");
    }

    #[tokio::test]
    async fn an_index_may_be_sparse() {
        let store = Memory::sparse();
        let [here, absent] = ["here", "absent"].map(|seed| Image::small(Takes::EVERYTHING, seed));
        here.put(&store, &[]).await.expect("put");
        let all = index(&[&here, &absent]);
        let digest = Digest::of(all.raw());
        store
            .put_manifest(&all, &digest, &["all".to_owned()], Default::default())
            .await
            .expect("put");
        let report = gc(&store, &store, &AT_ONCE).await.expect("a report");
        assert_eq!(report.removed, []);
        assert_eq!(report.absent, [absent.digest]);
    }

    /// Gives its manifests with a bit turned.
    struct Broken(Memory);

    impl Source for Broken {
        fn resolve<'a>(&'a self, pick: &'a teu_spec::Pick) -> BoxFuture<'a, Result<Descriptor>> {
            self.0.resolve(pick)
        }

        fn stat<'a>(
            &'a self,
            role: crate::Role,
            digest: &'a Digest,
            intent: crate::Intent,
        ) -> BoxFuture<'a, Result<Option<Descriptor>>> {
            self.0.stat(role, digest, intent)
        }

        fn fetch<'a>(
            &'a self,
            role: crate::Role,
            digest: &'a Digest,
            options: crate::FetchOptions,
        ) -> BoxFuture<'a, Result<crate::Fetched>> {
            use futures_util::StreamExt;
            async move {
                let mut fetched = self.0.fetch(role, digest, options).await?;
                let spoiled = fetched.reader.map(|bytes| {
                    bytes.map(|bytes| {
                        let mut bytes = bytes.to_vec();
                        bytes[0] ^= 1;
                        bytes.into()
                    })
                });
                fetched.reader = spoiled.boxed();
                Ok(fetched)
            }
            .boxed()
        }

        fn browse(&self) -> Option<&dyn crate::Browse> {
            None
        }

        fn local(&self) -> Option<&dyn crate::Local> {
            None
        }

        fn is_closed(&self) -> bool {
            false
        }

        fn origin(&self) -> Option<crate::Origin> {
            None
        }
    }

    #[tokio::test]
    async fn nothing_goes_where_a_manifest_cannot_be_read() {
        let (store, _) = store().await;
        let before = store.len();
        let error = gc(&Broken(store.clone()), &store, &AT_ONCE)
            .await
            .expect_err("a broken manifest");
        assert_eq!(error.kind(), &ErrorKind::Mismatch);
        assert!(error.to_string().contains("nothing is removed"), "{error}");
        assert_eq!(store.len(), before);
    }
}
