//! Is a copy of a depot one that has all that was acknowledged when it began, whatever goes on beside?

mod support;

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::future::{join, join_all};
use support::{Here, below, settings};
use teu_depot::{BackedUp, Depot, Settings, backup, restore};
use teu_spec::Pick;
use teu_store::{ErrorKind, Intent, Repositories, Role, Sessions, Store, Takes, suite::Image, suite::run};

async fn put(depot: &Depot, seed: &str) -> (Arc<dyn Store>, Image) {
    let store = depot.open("app", Intent::Write).await.expect("a repository");
    let image = Image::small(Takes::EVERYTHING, seed);
    while let Err(error) = image.put(store.as_target(), &[seed]).await {
        assert!(matches!(error.kind(), ErrorKind::MissingChildren(_)), "{error}");
    }
    (store, image)
}

/// What is found wrong in the depot of a directory.
async fn wrong(path: &std::path::Path) -> Vec<teu_depot::Finding> {
    let depot = Depot::open(path, settings()).await.expect("a depot");
    let mut found = Vec::new();
    depot
        .check(false, |finding| found.push(finding))
        .await
        .expect("checked");
    found
}

async fn tags(path: &std::path::Path) -> Vec<String> {
    let depot = Depot::open(path, settings()).await.expect("a depot");
    let store = depot.open("app", Intent::Read).await.expect("a repository");
    let page = store.browse().expect("a list").names(None).await.expect("names");
    page.items.into_iter().filter_map(|named| named.name).collect()
}

#[test]
fn a_copy_is_a_depot_and_only_what_is_new_is_copied() {
    run(async {
        let here = Here::of(settings());
        let (store, image) = put(&here.depot, "v1").await;
        let mut session = here.depot.begin("app", "one", Default::default()).await.expect("begun");
        session.write("half".into()).await.expect("written");
        session.record().await.expect("recorded");
        let to = here.directory.path().join("copy");
        let first = backup(&here.path(), &to).await.expect("copied");
        let bytes = image.blobs.iter().map(|blob| blob.len() as u64).sum();
        let all = BackedUp {
            blobs: 3,
            copied: 3,
            bytes,
            removed: 0,
        };
        assert_eq!(first, all);
        assert_eq!((wrong(&to).await, tags(&to).await), (vec![], vec!["v1".to_owned()]));
        let copied = Depot::open(&to, settings()).await.expect("a depot");
        assert!(
            copied.reopen("app", "one").await.expect("asked").is_none(),
            "no uploads"
        );
        drop(copied);
        let (_, other) = put(&here.depot, "v2").await;
        store
            .delete()
            .expect("deletes")
            .delete(Role::Manifest, &image.digest)
            .await
            .expect("deleted");
        let second = backup(&here.path(), &to).await.expect("copied");
        assert_eq!(
            (second.blobs, second.copied),
            (5, 3),
            "config, layer, and what came anew"
        );
        assert_eq!((wrong(&to).await, tags(&to).await), (vec![], vec!["v2".to_owned()]));
        // What was lost is copied back.
        let restored = here.directory.path().join("restored");
        restore(&to, &restored).await.expect("restored");
        let error = restore(&to, &restored).await.expect_err("it is there");
        assert_eq!(error.kind(), &ErrorKind::Conflict, "{error}");
        let depot = Depot::open(&restored, settings()).await.expect("a depot");
        let store = depot.open("app", Intent::Read).await.expect("a repository");
        let found = store.resolve(&Pick::Name("v2".to_owned())).await.expect("resolved");
        assert_eq!(found.digest, other.digest);
    });
}

/// What broke off leaves the copy before as it was, and is gone on with.
#[test]
fn a_copy_that_breaks_off_is_gone_on_with() {
    run(async {
        let here = Here::of(settings());
        put(&here.depot, "v1").await;
        let to = here.directory.path().join("copy");
        backup(&here.path(), &to).await.expect("copied");
        put(&here.depot, "v2").await;
        // A database that is half, and a file that is.
        fs::write(to.join("metadata.new"), "half").expect("written");
        fs::write(to.join("uploads/b-01j0000000000000000000000"), "half").expect("written");
        assert_eq!((wrong(&to).await, tags(&to).await), (vec![], vec!["v1".to_owned()]));
        backup(&here.path(), &to).await.expect("copied");
        assert_eq!(
            (wrong(&to).await, tags(&to).await),
            (vec![], vec!["v1".to_owned(), "v2".to_owned()])
        );
        for (from, to, kind) in [
            ("nowhere", "copy", ErrorKind::NotFound),
            ("copy", "other", ErrorKind::Conflict),
            ("copy", "depot", ErrorKind::Conflict),
        ] {
            let at = |name: &str| here.directory.path().join(name);
            fs::create_dir_all(at("other")).expect("made");
            fs::write(at("other/file"), "something").expect("written");
            let error = backup(&at(from), &at(to)).await.expect_err("refused");
            assert_eq!(error.kind(), &kind, "{from} {to}: {error}");
        }
    });
}

/// Pushes and collections beside it: the copy has what was there when it began, and is whole.
#[test]
fn a_copy_is_whole_while_all_goes_on() {
    run(async {
        let here = Here::of(Settings {
            lease: Duration::ZERO,
            ..settings()
        });
        let depot = &here.depot;
        for n in 0..10 {
            put(depot, &format!("before{n}")).await;
        }
        let done = AtomicBool::new(false);
        let to = here.directory.path().join("copy");
        let pushes = (0..3).map(|pusher| {
            let done = &done;
            async move {
                let mut n = 0;
                while !done.load(Ordering::SeqCst) {
                    let (store, image) = put(depot, &format!("beside{pusher}-{n}")).await;
                    if n % 2 == 0 {
                        let delete = store.delete().expect("deletes");
                        delete.delete(Role::Manifest, &image.digest).await.expect("deleted");
                    }
                    depot.collect(0).await.expect("collected");
                    n += 1;
                }
            }
        });
        let copies = async {
            for _ in 0..3 {
                // What all push alike is put anew all the time: it may go while it is copied, and is asked for again.
                while let Err(error) = backup(&here.path(), &to).await {
                    assert_eq!(error.kind(), &ErrorKind::Conflict, "{error}");
                }
                assert_eq!(wrong(&to).await, []);
            }
            done.store(true, Ordering::SeqCst);
        };
        join(join_all(pushes), copies).await;
        let tags = tags(&to).await;
        assert_eq!(tags.iter().filter(|tag| tag.starts_with("before")).count(), 10);
        assert!(below(&to.join("uploads")).is_empty());
    });
}
