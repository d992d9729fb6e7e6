//! Is a copy of a depot one that has all that was acknowledged when it began, whatever goes on beside?

mod support;

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::future::{join, join_all};
use support::{Here, below, settings};
use teu_depot::{BackedUp, Depot, Settings, backup, restore};
use teu_spec::{Digest, Pick};
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
            ..BackedUp::default()
        };
        assert_eq!(first, all);
        let mode = fs::metadata(to.join("metadata.sqlite"))
            .expect("there")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
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
        // So is the first one, also where it was killed.
        let first = here.directory.path().join("first");
        fs::create_dir_all(first.join("blobs/00")).expect("made");
        for left in ["metadata.new", "metadata.new-wal", "metadata.new-shm", "blobs/00/half"] {
            fs::write(first.join(left), "half").expect("written");
        }
        backup(&here.path(), &first).await.expect("copied");
        assert_eq!(tags(&first).await, ["v1", "v2"]);
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

/// Another depot in the directory `name`, with an image of each of these tags.
async fn another(here: &Here, name: &str, tags: &[&str]) -> std::path::PathBuf {
    let path = here.directory.path().join(name);
    let depot = Depot::open(&path, settings()).await.expect("a depot");
    for tag in tags {
        put(&depot, tag).await;
    }
    path
}

/// Asserts that a backup is refused for this reason, and that what is at `to` is as it was.
async fn assert_refused(from: &std::path::Path, to: &std::path::Path, why: &str) {
    let before = (tags(to).await, below(&to.join("blobs")));
    let error = backup(from, to).await.expect_err("refused");
    assert_eq!(error.kind(), &ErrorKind::Conflict, "{error}");
    assert!(error.to_string().contains(why), "{error}");
    assert_eq!((tags(to).await, below(&to.join("blobs"))), before);
}

/// Leaves out what tells depots apart, as if it were from before there was that.
fn without_identity(path: &std::path::Path) {
    let database = rusqlite::Connection::open(path.join("metadata.sqlite")).expect("opened");
    let statements = "DROP TABLE lost; DROP TABLE origins; DROP TABLE identity; PRAGMA user_version = 1;";
    database.execute_batch(statements).expect("left out");
}

const LATER: &str = "has what came after all that is in";
const NO_COPY: &str = "is a registry of its own";
const OTHER: &str = "is a copy of another registry";

#[test]
fn only_a_copy_of_the_same_depot_is_written_over() {
    run(async {
        let here = Here::of(settings());
        put(&here.depot, "v1").await;
        let copy = here.directory.path().join("copy");
        backup(&here.path(), &copy).await.expect("copied");
        let empty = here.directory.path().join("empty");
        drop(Depot::open(&empty, settings()).await.expect("a depot"));
        assert_refused(&empty, &copy, LATER).await;
        let larger = another(&here, "larger", &["w1", "w2", "w3"]).await;
        assert_refused(&larger, &copy, LATER).await;
        assert_refused(&here.path(), &larger, NO_COPY).await;
        // What has other manifests, and none of the same number.
        let elsewhere = another(&here, "elsewhere", &["v1", "v2"]).await;
        let depot = Depot::open(&elsewhere, settings()).await.expect("a depot");
        let store = depot.open("app", Intent::Write).await.expect("a repository");
        let first = store.resolve(&Pick::Name("v1".to_owned())).await.expect("resolved");
        let delete = store.delete().expect("deletes");
        delete.delete(Role::Manifest, &first.digest).await.expect("deleted");
        drop((store, depot));
        assert_refused(&elsewhere, &copy, OTHER).await;
        // Nothing tells what these were.
        fs::remove_file(larger.join("metadata.sqlite")).expect("removed");
        let blobs = below(&larger.join("blobs"));
        for error in [backup(&here.path(), &larger).await, restore(&copy, &larger).await] {
            assert_eq!(error.expect_err("refused").kind(), &ErrorKind::Conflict);
        }
        assert_eq!(below(&larger.join("blobs")), blobs);
        put(&here.depot, "v2").await;
        backup(&here.path(), &copy).await.expect("copied");
        assert_eq!(tags(&copy).await, ["v1", "v2"]);
    });
}

/// Of a disk that was cloned, or put back to what it was: both say that they are the same.
#[test]
fn what_came_elsewhere_or_later_is_not_lost_by_the_backup_of_a_clone() {
    run(async {
        let here = Here::of(settings());
        put(&here.depot, "v1").await;
        let copy = here.directory.path().join("copy");
        drop(here.depot);
        let [origin, clone] = ["depot", "clone"].map(|name| here.directory.path().join(name));
        let copied = std::process::Command::new("cp")
            .arg("-a")
            .args([&origin, &clone])
            .status();
        assert!(copied.expect("run").success());
        assert_refused(&origin, &clone, NO_COPY).await;
        let depot = Depot::open(&origin, settings()).await.expect("a depot");
        put(&depot, "v2").await;
        backup(&origin, &copy).await.expect("copied");
        assert_refused(&clone, &copy, LATER).await;
        another_tag(&clone, "elsewhere").await;
        another_tag(&clone, "elsewhere too").await;
        assert_refused(&clone, &copy, LATER).await;
    });
}

async fn another_tag(path: &std::path::Path, tag: &str) {
    put(&Depot::open(path, settings()).await.expect("a depot"), tag).await;
}

#[test]
fn what_was_restored_goes_on_with_its_copy_as_long_as_nobody_else_did() {
    run(async {
        let here = Here::of(settings());
        put(&here.depot, "v1").await;
        let at = |name: &str| here.directory.path().join(name);
        backup(&here.path(), &at("copy")).await.expect("copied");
        backup(&here.path(), &at("alternate")).await.expect("copied");
        restore(&at("copy"), &at("restored")).await.expect("restored");
        restore(&at("copy"), &at("trial")).await.expect("restored");
        another_tag(&at("restored"), "v2").await;
        for copy in ["copy", "alternate"] {
            backup(&at("restored"), &at(copy)).await.expect("the same content");
            assert_eq!(tags(&at(copy)).await, ["v1", "v2"]);
            assert_refused(&here.path(), &at(copy), LATER).await;
            assert_refused(&at("trial"), &at(copy), LATER).await;
        }
        // More came here, and what is there is not known here.
        put(&here.depot, "v3").await;
        put(&here.depot, "v4").await;
        assert_refused(&here.path(), &at("copy"), LATER).await;
    });
}

async fn remove(path: &std::path::Path, tag: &str) {
    let depot = Depot::open(path, settings()).await.expect("a depot");
    let store = depot.open("app", Intent::Write).await.expect("a repository");
    let found = store.resolve(&Pick::Name(tag.to_owned())).await.expect("resolved");
    let delete = store.delete().expect("deletes");
    delete.delete(Role::Manifest, &found.digest).await.expect("deleted");
}

/// Copies that take turns are gone on with, whichever of them it was that was restored, or served in its stead, and however often.
#[test]
fn what_was_restored_goes_on_with_all_copies_of_its_depot() {
    run(async {
        let here = Here::of(settings());
        put(&here.depot, "v1").await;
        let at = |name: &str| here.directory.path().join(name);
        for copy in ["one", "two"] {
            backup(&here.path(), &at(copy)).await.expect("copied");
        }
        for (n, from, to) in [(1, "one", "restored"), (2, "two", "again")] {
            restore(&at(from), &at(to)).await.expect("restored");
            remove(&at(to), &format!("v{n}")).await;
            another_tag(&at(to), &format!("v{}", n + 1)).await;
            for copy in ["one", "two"] {
                backup(&at(to), &at(copy)).await.expect(to);
                assert_eq!(tags(&at(copy)).await, [format!("v{}", n + 1)]);
            }
        }
        another_tag(&at("two"), "v4").await;
        remove(&at("two"), "v3").await;
        backup(&at("two"), &at("one")).await.expect("it is served now");
        assert_eq!(tags(&at("one")).await, ["v4"]);
        // Nobody else is one of theirs.
        let elsewhere = another(&here, "elsewhere", &["w1", "w2", "w3", "w4", "w5"]).await;
        remove(&elsewhere, "w4").await;
        assert_refused(&elsewhere, &at("one"), OTHER).await;
    });
}

#[test]
fn a_copy_that_was_pushed_to_is_written_over_no_more() {
    run(async {
        let here = Here::of(settings());
        put(&here.depot, "v1").await;
        let copy = here.directory.path().join("copy");
        backup(&here.path(), &copy).await.expect("copied");
        another_tag(&copy, "pushed").await;
        put(&here.depot, "v2").await;
        assert_refused(&here.path(), &copy, NO_COPY).await;
        backup(&copy, &here.directory.path().join("of the copy"))
            .await
            .expect("it is one");
    });
}

#[test]
fn a_copy_from_before_identities_is_taken_where_nothing_of_it_is_lost_and_restored() {
    run(async {
        let here = Here::of(settings());
        let (store, image) = put(&here.depot, "v1").await;
        let copy = here.directory.path().join("copy");
        backup(&here.path(), &copy).await.expect("copied");
        without_identity(&copy);
        restore(&copy, &here.directory.path().join("restored"))
            .await
            .expect("restored");
        backup(&here.path(), &copy).await.expect("all of it is there");
        // Opened, it says from then on that nobody knows what it is.
        without_identity(&copy);
        assert_eq!(tags(&copy).await, ["v1"]);
        backup(&here.path(), &copy).await.expect("all of it is there");
        let pushed = here.directory.path().join("pushed");
        backup(&here.path(), &pushed).await.expect("copied");
        without_identity(&pushed);
        another_tag(&pushed, "pushed").await;
        assert_refused(&here.path(), &pushed, NO_COPY).await;
        without_identity(&copy);
        put(&here.depot, "v2").await;
        let delete = store.delete().expect("deletes");
        delete.delete(Role::Manifest, &image.digest).await.expect("deleted");
        let before = below(&copy.join("blobs"));
        let error = backup(&here.path(), &copy).await.expect_err("refused");
        assert!(
            error
                .to_string()
                .contains("of which that is not known, and has 1 manifests"),
            "{error}"
        );
        assert_eq!(below(&copy.join("blobs")), before);
        // One that nobody opened since teu is newer gets its identity first.
        drop((store, here.depot));
        let origin = here.directory.path().join("depot");
        without_identity(&origin);
        let error = backup(&origin, &here.directory.path().join("new"))
            .await
            .expect_err("refused");
        assert_eq!(error.kind(), &ErrorKind::Unsupported, "{error}");
        let says = format!(
            "metadata.sqlite is of version 1, and this teu looks on at version 4 alone; start this teu's server on it once, which brings it up to date: teu serve --data {}; an older teu does not read it then",
            origin.display()
        );
        assert!(error.to_string().ends_with(&says), "{error}");
    });
}

/// Changes the first byte of the files that have a blob.
fn damage(files: &[std::path::PathBuf]) {
    for file in files {
        let mut content = fs::read(file).expect("read");
        content[0] ^= 1;
        fs::write(file, content).expect("written");
    }
}

#[test]
fn what_is_damaged_is_named_and_not_copied_and_all_else_is() {
    run(async {
        let here = Here::of(settings());
        let (_, image) = put(&here.depot, "v1").await;
        put(&here.depot, "v2").await;
        let mut damaged = [&image.blobs[0], &image.blobs[1], &image.blobs[2]].map(|blob| Digest::of(blob));
        damaged.sort();
        let [changed, missing, short] = damaged.map(|digest| here.blobs(&digest));
        damage(&changed);
        // Of what both images have, what was pushed first is there too.
        missing.iter().for_each(|file| fs::remove_file(file).expect("removed"));
        short.iter().for_each(|file| fs::write(file, "s").expect("written"));
        let [copy, restored] = ["copy", "restored"].map(|name| here.directory.path().join(name));
        let done = backup(&here.path(), &copy).await.expect("copied");
        let mut found = done.damaged.clone();
        found.sort();
        assert_eq!((found, done.blobs, done.copied), (damaged.to_vec(), 2, 2));
        assert_eq!(below(&copy.join("blobs")).len(), 2);
        assert!(below(&copy.join("uploads")).is_empty());
        let (_, healed) = put(&here.depot, "v1").await;
        assert_eq!(healed.digest, image.digest);
        let done = backup(&here.path(), &copy).await.expect("copied");
        assert_eq!((done.damaged, done.copied, wrong(&copy).await), (vec![], 3, vec![]));
        damage(&[below(&copy.join("blobs"))[0].clone()]);
        let done = restore(&copy, &restored).await.expect("restored");
        assert_eq!((done.damaged.len(), done.blobs, done.copied), (1, 4, 4));
    });
}

#[test]
fn a_directory_is_not_copied_into_itself() {
    run(async {
        let here = Here::of(settings());
        put(&here.depot, "v1").await;
        let at = |name: &str| here.directory.path().join(name);
        backup(&here.path(), &at("copy")).await.expect("copied");
        std::os::unix::fs::symlink(here.path(), at("link")).expect("linked");
        for to in ["depot", "depot/x", "depot/x/y", "link/x", "."] {
            let error = backup(&here.path(), &at(to)).await.expect_err("refused");
            assert_eq!(error.kind(), &ErrorKind::Conflict, "{to}: {error}");
            let says = "lie one in the other; give a directory elsewhere";
            assert!(error.to_string().ends_with(says), "{to}: {error}");
        }
        restore(&at("copy"), &at("copy/x")).await.expect_err("refused");
        assert!(!at("depot/x").exists() && !at("copy/x").exists());
        // What is called alike is another.
        backup(&here.path(), &at("depot-2")).await.expect("copied");
    });
}

#[test]
fn a_copy_whose_database_is_damaged_is_told_of_as_that() {
    run(async {
        let here = Here::of(settings());
        put(&here.depot, "v1").await;
        let copy = here.directory.path().join("copy");
        backup(&here.path(), &copy).await.expect("copied");
        let database = copy.join("metadata.sqlite");
        let mut bytes = fs::read(&database).expect("a database");
        bytes[4096..].fill(0xa5);
        fs::write(&database, &bytes).expect("written");
        let error = backup(&here.path(), &copy).await.expect_err("refused");
        assert_eq!(error.kind(), &ErrorKind::Conflict, "{error}");
        assert_eq!(
            error.to_string(),
            format!(
                "the database of {} is damaged, so that nobody can tell whose copy it is; nothing was changed: give another directory, or move that one away",
                copy.display()
            )
        );
        assert!(fs::read(&database).expect("a database") == bytes);
        let error = restore(&copy, &here.directory.path().join("restored")).await;
        assert_eq!(
            error.expect_err("it is damaged").to_string(),
            format!(
                "the database of the copy {} is damaged, and nothing can be brought back by it; restore another copy",
                copy.display()
            )
        );
    });
}

/// As on a disk that is put into a cupboard. One that an older version made says that it has a log, of which there is nothing.
#[test]
fn a_copy_that_may_only_be_read_is_checked_and_restored() {
    run(async {
        let here = Here::of(settings());
        put(&here.depot, "v1").await;
        let at = |name: &str| here.directory.path().join(name);
        backup(&here.path(), &at("copy")).await.expect("copied");
        let database = at("copy").join("metadata.sqlite");
        let has_log = || fs::read(&database).expect("a database")[18..20] == [2, 2];
        assert!(!has_log());
        for older in [false, true] {
            if older {
                let database = rusqlite::Connection::open(&database).expect("opened");
                let mode = database.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()));
                mode.expect("set");
            }
            assert_eq!(has_log(), older);
            let Some(read_only) = support::ReadOnly::mount(&at("copy"), &at(&format!("read-only {older}?#%"))) else {
                let line = "SKIPPED a_copy_that_may_only_be_read_is_checked_and_restored: it needs root, and mount\n";
                std::io::Write::write_all(&mut std::io::stderr(), line.as_bytes()).expect("said");
                return;
            };
            let depot = Depot::beside(&read_only.0, settings()).await.expect("beside");
            let mut found = Vec::new();
            let checked = depot.check(false, |finding| found.push(finding)).await;
            assert_eq!((checked.expect("checked").blobs, found), (3, vec![]));
            drop(depot);
            let restored = at(&format!("restored {older}"));
            restore(&read_only.0, &restored).await.expect("restored");
            assert_eq!(
                (wrong(&restored).await, tags(&restored).await),
                (vec![], vec!["v1".to_owned()])
            );
        }
        // Brought up to date it is as a new one.
        put(&here.depot, "v2").await;
        backup(&here.path(), &at("copy")).await.expect("copied");
        assert!(!has_log());
    });
}

#[test]
fn the_last_good_bytes_of_what_the_depot_lost_stay_in_the_copy_and_heal_it() {
    run(async {
        let here = Here::of(settings());
        let (_, image) = put(&here.depot, "v1").await;
        let lost = Digest::of(&image.blobs[0]);
        let copy = here.directory.path().join("copy");
        backup(&here.path(), &copy).await.expect("copied");
        damage(&here.blobs(&lost));
        here.depot.check(true, |_| ()).await.expect("set aside");
        for _ in 0..2 {
            let done = backup(&here.path(), &copy).await.expect("copied");
            assert_eq!((done.removed, done.spared), (0, vec![lost]));
            assert_eq!(tags(&copy).await, Vec::<String>::new());
            let depot = Depot::open(&copy, settings()).await.expect("a depot");
            depot.check(true, |_| ()).await.expect("shown again");
            drop(depot);
            assert_eq!((wrong(&copy).await, tags(&copy).await), (vec![], vec!["v1".to_owned()]));
        }
        put(&here.depot, "v1").await;
        let done = backup(&here.path(), &copy).await.expect("copied");
        assert_eq!(
            (done.copied, done.removed, done.spared),
            (3, 3, vec![]),
            "all came anew"
        );
    });
}
