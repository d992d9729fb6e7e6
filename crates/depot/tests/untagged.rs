//! Do manifests go that no tag leads to, when that is wanted, and nothing that is being pushed, is part of what stays, or is about it?

mod support;

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    sync::{Arc, Mutex},
    time::Duration,
};

use support::{Here, LEASE, clock, settings};
use teu_depot::{Asking, Clock, Collected, Depot, Millis, PARTS, Settings, Terms};
use teu_spec::{Digest, Document, Format, Index};
use teu_store::{Expect, Intent, Repositories, Result, Role, Store, Takes, suite::Image, suite::run};

/// How long what no tag leads to stays.
const STAYS: Duration = Duration::from_secs(10_000);

fn here() -> (Here, impl Fn(u64)) {
    let (clock, wait) = clock();
    let untagged = Some(STAYS);
    let here = Here::of(Settings {
        clock,
        untagged,
        ..settings()
    });
    (here, wait)
}

async fn app(depot: &Depot) -> Arc<dyn Store> {
    depot.open("app", Intent::Write).await.expect("a repository")
}

/// An image that no other one shares anything with, under these tags.
async fn image(store: &dyn Store, seed: &str, tags: &[&str]) -> Image {
    let image = Image::small(Takes::EVERYTHING, seed);
    image.put(store.as_target(), tags).await.expect("put");
    image
}

async fn put(store: &dyn Store, document: &Document, tags: &[&str]) -> Digest {
    let digest = Digest::of(document.raw());
    let names: Vec<String> = tags.iter().map(ToString::to_string).collect();
    let put = store.put_manifest(document, &digest, &names, Expect::Any).await;
    put.expect("put");
    digest
}

async fn is_there(store: &dyn Store, digest: &Digest) -> bool {
    let found = store.stat(Role::Manifest, digest, Intent::Read).await;
    found.expect("asked").is_some()
}

async fn untagged(depot: &Depot) -> u64 {
    depot.collect(0).await.expect("collected").untagged
}

#[test]
fn what_a_tag_moved_from_goes_that_long_after() {
    run(async {
        let (here, wait) = here();
        let store = app(&here.depot).await;
        let old = image(&*store, "old", &["latest"]).await;
        wait(10 * STAYS.as_secs());
        assert_eq!(untagged(&here.depot).await, 0, "it has a tag");
        let new = image(&*store, "new", &["latest"]).await;
        wait(STAYS.as_secs() - 1);
        assert_eq!(untagged(&here.depot).await, 0, "it had one a moment ago");
        wait(1);
        let layers: Vec<Digest> = old.document.children().iter().map(|child| child.digest).collect();
        let collected = here.depot.collect(0).await.expect("collected");
        assert_eq!(collected.untagged, 1);
        // What it named and nothing else does went at once: its lease was over.
        let own = layers.iter().filter(|layer| here.blobs(layer).is_empty()).count() as u64;
        assert!(
            own > 0 && collected.blobs == own && collected.removed == own,
            "{collected:?}"
        );
        assert!(!is_there(&*store, &old.digest).await && is_there(&*store, &new.digest).await);
        for child in new.document.children() {
            assert_eq!(here.blobs(&child.digest).len(), 1);
        }
        // Untagged by hand is the same.
        store
            .delete()
            .expect("deletes")
            .untag("latest", Expect::Any)
            .await
            .expect("untagged");
        wait(STAYS.as_secs() - 1);
        assert_eq!(untagged(&here.depot).await, 0);
        wait(1);
        assert_eq!(untagged(&here.depot).await, 1);
        assert!(!is_there(&*store, &new.digest).await);
    });
}

#[test]
fn without_the_setting_nothing_goes() {
    run(async {
        let (clock, wait) = clock();
        let here = Here::of(Settings { clock, ..settings() });
        let store = app(&here.depot).await;
        let image = image(&*store, "one", &[]).await;
        wait(1000 * STAYS.as_secs());
        assert_eq!(
            here.depot.collect(PARTS).await.expect("collected"),
            Collected::default()
        );
        assert!(is_there(&*store, &image.digest).await);
    });
}

/// Parts of an index that stays stay, what is about what stays, and both as long as the index itself does that lost its tag.
#[test]
fn what_belongs_to_what_stays_stays() {
    run(async {
        let (here, wait) = here();
        let store = app(&here.depot).await;
        let parts = [image(&*store, "one", &[]).await, image(&*store, "two", &[]).await];
        let listed: Vec<_> = parts.iter().map(|part| part.document.descriptor()).collect();
        let index = Index::build(Format::Oci, &listed).expect("an index");
        let all = put(&*store, &index, &["all"]).await;
        let about = |what: &Document| parts[1].document.with_subject(Some(&what.descriptor())).expect("one");
        // A signature of the index, one of a part, and one of that signature.
        let of_index = about(&index);
        let of_part = about(&parts[0].document);
        let of_signature = about(&of_part);
        let mut family = vec![all, parts[0].digest, parts[1].digest];
        for signature in [&of_index, &of_part, &of_signature] {
            family.push(put(&*store, signature, &[]).await);
        }
        let other = image(&*store, "other", &[]).await;
        wait(STAYS.as_secs());
        assert_eq!(untagged(&here.depot).await, 1);
        assert!(!is_there(&*store, &other.digest).await);
        store
            .delete()
            .expect("deletes")
            .untag("all", Expect::Any)
            .await
            .expect("untagged");
        wait(STAYS.as_secs() - 1);
        assert_eq!(untagged(&here.depot).await, 0, "the index lost its tag a moment ago");
        for digest in &family {
            assert!(is_there(&*store, digest).await, "{digest}");
        }
        wait(1);
        assert_eq!(untagged(&here.depot).await, family.len() as u64);
        for digest in &family {
            assert!(!is_there(&*store, digest).await, "{digest}");
        }
    });
}

/// What a client was told that is there, before it names it in an index, is there when it does; and what was pushed again.
#[test]
fn what_is_being_pushed_stays() {
    run(async {
        let (here, wait) = here();
        let store = app(&here.depot).await;
        let [told, pushed, read] = ["told", "pushed", "read"].map(|seed| Image::small(Takes::EVERYTHING, seed));
        for image in [&told, &pushed, &read] {
            image.put(store.as_target(), &[]).await.expect("put");
        }
        wait(STAYS.as_secs() - 1);
        let found = store.stat(Role::Manifest, &told.digest, Intent::Write).await;
        assert!(found.expect("asked").is_some());
        pushed.put(store.as_target(), &[]).await.expect("put");
        assert!(is_there(&*store, &read.digest).await, "who only reads extends nothing");
        wait(1);
        assert_eq!(untagged(&here.depot).await, 1);
        assert!(!is_there(&*store, &read.digest).await);
        wait(STAYS.as_secs() - 2);
        assert_eq!(untagged(&here.depot).await, 0);
        let listed = [told.document.descriptor(), pushed.document.descriptor()];
        let index = Index::build(Format::Oci, &listed).expect("an index");
        put(&*store, &index, &["all"]).await;
        wait(10 * STAYS.as_secs());
        assert_eq!(untagged(&here.depot).await, 0);
        // What is gone is not said to be there.
        let found = store.stat(Role::Manifest, &read.digest, Intent::Write).await;
        assert_eq!(found.expect("asked"), None);
    });
}

/// More than one collection looks at: all are found, in some.
#[test]
fn many_go_bit_by_bit() {
    run(async {
        let (here, wait) = here();
        let store = app(&here.depot).await;
        let first = image(&*store, "first", &["kept"]).await;
        let children = first.document.children();
        let many = 5_100_u32;
        let mut puts = Vec::new();
        for n in 0..many {
            let kind = format!("application/vnd.test.{n}");
            puts.push(first.document.with_artifact_type(Some(&kind)).expect("another"));
        }
        let puts = puts.iter().map(|document| put(&*store, document, &[]));
        futures_util::future::join_all(puts).await;
        wait(STAYS.as_secs());
        let mut counts = Vec::new();
        for _ in 0..3 {
            counts.push(untagged(&here.depot).await);
        }
        assert_eq!(counts, [5_000, 100, 0]);
        assert!(is_there(&*store, &first.digest).await);
        for child in children {
            assert_eq!(here.blobs(&child.digest).len(), 1);
        }
    });
}

/// Alone a lease may be cut short, to nothing too; what is named stays.
#[test]
fn alone_leases_are_as_long_as_is_wanted() {
    run(async {
        let (clock, wait) = clock();
        let here = Here::of(Settings { clock, ..settings() });
        let store = app(&here.depot).await;
        let [gone, kept] = ["gone", "kept"].map(|seed| Image::small(Takes::EVERYTHING, seed));
        gone.put(store.as_target(), &["v1"]).await.expect("put");
        kept.put(store.as_target(), &["v2"]).await.expect("put");
        let delete = store.delete().expect("deletes");
        delete.delete(Role::Manifest, &gone.digest).await.expect("deleted");
        wait(100);
        let lease = |seconds| Duration::from_secs(seconds);
        let goes = async |lease| {
            let candidates = here.depot.candidates(None, 10, lease).await.expect("asked");
            candidates.iter().filter(|candidate| candidate.goes).count() as u64
        };
        assert_eq!((goes(None).await, goes(Some(lease(101))).await), (0, 0));
        let all = goes(Some(lease(100))).await;
        assert!(all > 0 && goes(Some(lease(0))).await == all);
        let removed = async |lease| here.depot.collect_alone(0, lease).await.expect("collected").blobs;
        assert_eq!(here.depot.collect(0).await.expect("collected").blobs, 0);
        assert_eq!(removed(lease(101)).await, 0);
        assert_eq!(removed(lease(0)).await, all);
        for child in kept.document.children() {
            assert_eq!(here.blobs(&child.digest).len(), 1);
        }
        // What was looked at too early is looked at again.
        delete.delete(Role::Manifest, &kept.digest).await.expect("deleted");
        assert_eq!(removed(lease(0)).await, kept.document.children().len() as u64);
        assert_eq!(LEASE, lease(1000));
    });
}

/// Who may not write asks who does.
#[test]
fn who_has_it_collects_for_who_asks() {
    run(async {
        let (clock, wait) = clock();
        let here = Here::of(Settings { clock, ..settings() });
        let store = app(&here.depot).await;
        let old = image(&*store, "old", &["latest"]).await;
        image(&*store, "new", &["latest"]).await;
        wait(LEASE.as_secs());
        let asked = async |untagged, nobody_pushes| {
            let asking = Asking::begin(&here.path(), untagged).expect("asked");
            assert!(asking.waits().expect("looked"));
            let answered = async {
                loop {
                    let answer = match asking.waits().expect("looked") {
                        // What is there is an older answer.
                        true => None,
                        false => asking.answer().expect("looked"),
                    };
                    if let Some(answer) = answer {
                        break answer;
                    }
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            };
            let answer = tokio::select! {
                answer = answered => answer,
                () = here.depot.answer(nobody_pushes, |_| (), |_| ()) => panic!("it ended"),
            };
            assert!(!asking.waits().expect("looked"));
            answer
        };
        let answer = asked(false, false).await;
        assert_eq!((answer.untagged, answer.blobs), (0, 0));
        assert!(is_there(&*store, &old.digest).await);
        // Who is about to name it was told that it is there.
        let found = store.stat(Role::Manifest, &old.digest, Intent::Write).await;
        assert!(found.expect("asked").is_some());
        assert_eq!(asked(true, false).await.untagged, 0);
        assert!(is_there(&*store, &old.digest).await);
        wait(LEASE.as_secs());
        let answer = asked(true, false).await;
        assert!(answer.untagged == 1 && answer.blobs > 0, "{answer:?}");
        assert!(!is_there(&*store, &old.digest).await);
        // What was pushed within the lease goes only where nobody pushes.
        let young = image(&*store, "young", &[]).await;
        let answer = asked(true, false).await;
        assert_eq!((answer.untagged, answer.blobs), (0, 0));
        let answer = asked(true, true).await;
        assert!(answer.untagged == 1 && answer.blobs > 0, "{answer:?}");
        assert!(!is_there(&*store, &young.digest).await);
        // It is for who may open the depot, as all that is in it.
        let answer = fs::metadata(here.path().join("gc.answer")).expect("an answer");
        assert_eq!(answer.permissions().mode() & 0o777, 0o600);
        // What was asked for before it began is not done.
        let left = Asking::begin(&here.path(), true).expect("asked");
        here.depot.forget_asked().await;
        assert!(!left.waits().expect("looked") && left.answer().is_err());
        // What cannot be taken up keeps nobody else from asking.
        fs::create_dir(here.path().join("gc.asked")).expect("a directory");
        assert_eq!(asked(true, false).await, Collected::default());
    });
}

/// What was collected is, whoever hears of it.
#[test]
fn that_an_answer_cannot_be_given_is_no_failure_to_collect() {
    run(async {
        let here = Here::of(settings());
        for name in ["gc.answer-new", "gc.asked-untagged"] {
            fs::create_dir(here.path().join(name)).expect("a directory");
        }
        let asking = Asking::begin(&here.path(), false).expect("asked");
        let heard = Mutex::new(Vec::new());
        let hear = |said: String| heard.lock().expect("what was heard").push(said);
        let told = |outcome: &Result<Collected>| hear(format!("{outcome:?}"));
        let all = async {
            while heard.lock().expect("what was heard").len() < 3 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::select! {
            all = tokio::time::timeout(Duration::from_secs(60), all) => all.expect("all was heard"),
            () = here.depot.answer(false, told, |error| hear(error.to_string())) => panic!("it ended"),
        }
        let heard = heard.into_inner().expect("what was heard");
        assert!(
            heard[0].contains("removing") && heard[0].contains("gc.asked-untagged"),
            "{heard:?}"
        );
        assert_eq!(heard[1], format!("{:?}", Ok::<_, ()>(Collected::default())));
        assert!(
            heard[2].contains("removing") && heard[2].contains("gc.answer-new"),
            "{heard:?}"
        );
        assert_eq!(asking.answer().expect("looked"), None);
    });
}

/// What a server gave a shorter lease may be over sooner than the longer one of the next says.
#[test]
fn the_shortest_lease_that_may_run_is_known() {
    run(async {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("depot");
        let (hour, now) = (Duration::from_secs(3600), Millis(1_700_000_000_000));
        for (hours, at, expected) in [
            // When it began, and for how long from then on which lease is the least.
            (2, 0, [(0, 2), (1000, 2)]),
            (9, 100, [(101, 2), (102, 9)]),
            // Those of the first and of the second may run.
            (20, 101, [(109, 2), (110, 20)]),
            (20, 102, [(109, 2), (110, 20)]),
            (1, 103, [(103, 1), (1000, 1)]),
        ] {
            let began = now.after(hour * at);
            let settings = Settings {
                lease: hour * hours,
                clock: Clock::of(move || began),
                ..settings()
            };
            let depot = Depot::open(&path, settings).await.expect("a depot");
            depot.say_terms(false).await.expect("said");
            drop(depot);
            let terms = Terms::read(&path).expect("looked").expect("terms");
            assert_eq!(terms.lease, hour * hours);
            for (at, least) in expected {
                assert_eq!(terms.least_lease(now.after(hour * at)), hour * least, "{hours} {at}");
            }
        }
    });
}

#[test]
fn on_which_terms_it_collects_is_said_to_who_looks_on() {
    run(async {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("depot");
        let read = || Terms::read(&path).expect("looked");
        assert_eq!(read(), None);
        let untagged = Some(Duration::from_secs(7));
        for (untagged, nobody_pushes, stays, as_if) in [
            (untagged, false, Duration::from_secs(7), None),
            (None, false, LEASE, None),
            (untagged, true, Duration::ZERO, Some(Duration::ZERO)),
        ] {
            let settings = Settings { untagged, ..settings() };
            let depot = Depot::open(&path, settings).await.expect("a depot");
            depot.say_terms(nobody_pushes).await.expect("said");
            let terms = read().expect("terms");
            assert_eq!((terms.lease, terms.stays(), terms.as_if()), (LEASE, stays, as_if));
            assert!(terms.is_held);
            drop(depot);
            let left = read().expect("terms");
            assert_eq!((left.is_held, left.stays()), (false, stays));
        }
        for other in [&b"{\"lease\": 7}"[..], b"\xff"] {
            fs::write(path.join("gc.terms"), other).expect("written");
            assert_eq!(read(), None);
        }
    });
}
