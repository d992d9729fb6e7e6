//! Does a depot keep what it was given, through restarts and mistakes, and give away nothing else?

mod support;

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::Path,
    sync::Arc,
};

use bytes::Bytes;
use futures_util::future::join_all;
use support::{Here, LEASE, below, clock, settings};
use teu_depot::{Collected, Depot, PARTS, Pattern, Settings, Sparse};
use teu_spec::{Algorithm, Digest, Format, Index, Pick};
use teu_store::{
    ErrorKind, Expect, Expected, Intent, Reopened, Repositories, Result, Role, Session, Sessions, Store, Takes,
    suite::Image, suite::run,
};

async fn repository(depot: &Depot, name: &str) -> Arc<dyn Store> {
    depot.open(name, Intent::Write).await.expect("a repository")
}

async fn put(depot: &Depot, name: &str, content: &[u8]) -> Digest {
    let store = repository(depot, name).await;
    let mut ingest = store.ingest(Expected::default()).await.expect("an ingest");
    ingest.write(Bytes::copy_from_slice(content)).await.expect("written");
    ingest.commit(None).await.expect("committed").digest
}

async fn has(depot: &Depot, name: &str, digest: &Digest) -> bool {
    let store = repository(depot, name).await;
    store
        .stat(Role::Blob, digest, Intent::Read)
        .await
        .expect("a stat")
        .is_some()
}

fn kind<T>(outcome: Result<T>) -> ErrorKind {
    outcome.err().expect("an error").kind().clone()
}

async fn begin(depot: &Depot, id: &str) -> Box<dyn Session> {
    let sessions: &dyn Sessions = depot;
    sessions.begin("app", id, Algorithm::Sha256).await.expect("begun")
}

/// What was recorded is there, whatever came after it is cut off, and no byte is hashed twice.
#[test]
fn an_upload_goes_on_after_a_restart() {
    run(async {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("depot");
        let open = async || Depot::open(&path, settings()).await.expect("a depot");
        let depot = open().await;
        let mut session = begin(&depot, "one").await;
        session
            .write(Bytes::from_static(b"what was recorded, "))
            .await
            .expect("written");
        session.record().await.expect("recorded");
        session
            .write(Bytes::from_static(b"what was not"))
            .await
            .expect("written");
        let unrecorded = begin(&depot, "two").await;
        drop((session, unrecorded, depot));
        let file = path.join("uploads/s-one");
        assert_eq!(fs::read(&file).expect("its file"), b"what was recorded, what was not");
        // Whoever reads the beginning again gets another digest.
        let mut other = fs::read(&file).expect("its file");
        other[..4].copy_from_slice(b"WHAT");
        fs::write(&file, other).expect("written");
        let depot = open().await;
        assert!(
            depot.reopen("other", "one").await.expect("asked").is_none(),
            "it is of another repository"
        );
        assert!(depot.reopen("app", "three").await.expect("asked").is_none());
        let Reopened { done, .. } = depot.reopen("app", "two").await.expect("asked").expect("there");
        assert_eq!(done, 0);
        let Reopened { mut session, done } = depot.reopen("app", "one").await.expect("asked").expect("there");
        assert_eq!(done, 19);
        assert_eq!(
            kind(depot.reopen("app", "one").await),
            ErrorKind::Conflict,
            "it is held"
        );
        session
            .write(Bytes::from_static(b"and gone on with"))
            .await
            .expect("written");
        let whole = b"what was recorded, and gone on with";
        let committed = session.commit(Some(Digest::of(whole))).await.expect("committed");
        assert_eq!((committed.digest, committed.size), (Digest::of(whole), 35));
        assert!(has(&depot, "app", &committed.digest).await);
        assert!(depot.reopen("app", "one").await.expect("asked").is_none(), "it ended");
    });
}

/// An upload that ends ill, is aborted, or is committed under another algorithm than it was begun with.
#[test]
fn an_upload_ends_once() {
    run(async {
        let here = Here::of(settings());
        let depot = &here.depot;
        let content = Bytes::from_static(b"content");
        let mut session = begin(depot, "wrong").await;
        session.write(content.clone()).await.expect("written");
        session.record().await.expect("recorded");
        assert_eq!(
            kind(session.commit(Some(Digest::of(b"other"))).await),
            ErrorKind::Mismatch
        );
        let mut session = begin(depot, "aborted").await;
        session.write(content.clone()).await.expect("written");
        session.record().await.expect("recorded");
        session.abort().await.expect("aborted");
        assert_eq!(here.uploads(), Vec::<String>::new());
        for id in ["wrong", "aborted"] {
            assert!(depot.reopen("app", id).await.expect("asked").is_none(), "{id}");
        }
        let mut session = begin(depot, "other").await;
        for part in [content.slice(..3), content.slice(3..)] {
            session.write(part).await.expect("written");
        }
        let digest = Algorithm::Sha512.digest(&content);
        assert_eq!(session.commit(Some(digest)).await.expect("committed").digest, digest);
        assert_eq!(here.blobs(&digest).len(), 1);
        for (id, kind_of) in [
            ("", ErrorKind::Invalid),
            ("../x", ErrorKind::Invalid),
            ("a/b", ErrorKind::Invalid),
        ] {
            assert_eq!(
                kind(Sessions::begin(depot, "app", id, Algorithm::Sha256).await),
                kind_of
            );
        }
        assert_eq!(
            kind(Sessions::begin(depot, "../app", "id", Algorithm::Sha256).await),
            ErrorKind::Invalid
        );
    });
}

#[test]
fn uploads_are_limited_and_expire() {
    run(async {
        let (clock, wait) = clock();
        let here = Here::of(Settings {
            sessions: 2,
            clock,
            ..settings()
        });
        let depot = &here.depot;
        let mut first = begin(depot, "first").await;
        let second = begin(depot, "second").await;
        let third = Sessions::begin(depot, "app", "third", Algorithm::Sha256).await;
        assert_eq!(kind(third), ErrorKind::Throttled);
        drop(second);
        wait(LEASE.as_secs() + 1);
        let collected = depot.collect(0).await.expect("collected");
        assert_eq!(collected.sessions, 1, "what is held stays");
        assert_eq!(here.uploads(), ["s-first"]);
        first.record().await.expect("recorded");
        drop(first);
        assert_eq!(
            depot.collect(0).await.expect("collected").sessions,
            0,
            "it was touched just now"
        );
        begin(depot, "third").await;
    });
}

/// Who begins many uploads and sends nothing keeps nobody from pushing for long (threat 94).
#[test]
fn uploads_of_which_nothing_came_make_room() {
    run(async {
        let (clock, wait) = clock();
        let here = Here::of(Settings {
            sessions: 4,
            clock,
            ..settings()
        });
        let depot = &here.depot;
        let again = async |id| Sessions::begin(depot, "app", id, Algorithm::Sha256).await.map(drop);
        let mut some = begin(depot, "some").await;
        some.write(Bytes::from_static(b"s")).await.expect("written");
        some.record().await.expect("recorded");
        drop(some);
        let held = begin(depot, "held").await;
        drop((begin(depot, "one").await, begin(depot, "other").await));
        wait(60);
        assert_eq!(kind(again("new").await), ErrorKind::Throttled, "they are young");
        wait(1);
        again("new").await.expect("there is room");
        assert_eq!(here.uploads(), ["s-held", "s-new", "s-some"]);
        again("newer").await.expect("there is room");
        assert_eq!(kind(again("newest").await), ErrorKind::Throttled);
        drop(held);
    });
}

/// Content is kept once, shown only where it was put, and goes when nothing shows it any more.
#[test]
fn equal_content_is_kept_once() {
    run(async {
        let here = Here::of(settings());
        let depot = &here.depot;
        let digest = put(depot, "one", b"content").await;
        assert_eq!(put(depot, "two", b"content").await, digest);
        depot.collect(0).await.expect("collected");
        let files = here.blobs(&digest);
        assert_eq!(files.len(), 1);
        assert!(!has(depot, "three", &digest).await);
        // A push heals what was damaged meanwhile.
        fs::write(&files[0], b"damaged").expect("written");
        put(depot, "three", b"content").await;
        depot.collect(0).await.expect("collected");
        let files = here.blobs(&digest);
        assert_eq!(files.len(), 1);
        assert_eq!(fs::read(&files[0]).expect("its file"), b"content");
        for name in ["one", "two", "three"] {
            let store = repository(depot, name).await;
            let file = store.local().expect("files").open_file(&digest).expect("opened");
            assert_eq!(file.expect("a file").metadata().expect("metadata").len(), 7);
            let delete = store.delete().expect("the power to delete");
            delete.delete(Role::Blob, &digest).await.expect("deleted");
        }
        depot.collect(0).await.expect("collected");
        assert_eq!(here.blobs(&digest).len(), 0);
    });
}

/// What cannot be removed keeps nothing else from going, however much of it there is, and goes when it can.
#[test]
fn what_cannot_be_removed_is_told_of_when_all_else_is_gone() {
    const STUCK: usize = 201;
    run(async {
        let (clock, wait) = clock();
        let here = Here::of(Settings { clock, ..settings() });
        let depot = &here.depot;
        let mut blocked = Vec::new();
        for n in 0..STUCK + 9 {
            let digest = put(depot, "app", format!("blob {n}").as_bytes()).await;
            let file = here.blobs(&digest).remove(0);
            if n < STUCK {
                fs::remove_file(&file).expect("removed");
                fs::create_dir(&file).expect("a directory in its place");
                blocked.push(file);
            }
        }
        wait(LEASE.as_secs() + 1);
        let error = depot.collect(PARTS).await.expect_err("directories are no files");
        let said = error.to_string();
        let first = blocked.iter().filter(|file| said.contains(&file.display().to_string()));
        assert_eq!(first.count(), 5, "{said}");
        assert!(
            said.starts_with("all else was collected, but not 201 that cannot be removed: "),
            "{said}"
        );
        assert!(said.ends_with("; and 196 more"), "{said}");
        let mut left = below(&here.path().join("blobs"));
        left.retain(|path| path.is_file());
        assert_eq!(left, Vec::<std::path::PathBuf>::new());
        for file in blocked {
            fs::remove_dir(file).expect("removed");
        }
        assert_eq!(depot.collect(0).await.expect("collected").removed, STUCK as u64);
        assert_eq!(depot.collect(PARTS).await.expect("collected"), Collected::default());
    });
}

/// What is said to be there stays long enough to be named.
#[test]
fn an_answer_extends_the_lease() {
    run(async {
        let (clock, wait) = clock();
        let here = Here::of(Settings { clock, ..settings() });
        let depot = &here.depot;
        let digest = put(depot, "app", b"content").await;
        let store = repository(depot, "app").await;
        let asked = async |intent| store.stat(Role::Blob, &digest, intent).await.expect("a stat").is_some();
        let half = LEASE.as_secs() / 2;
        for _ in 0..5 {
            wait(half + 1);
            assert_eq!(depot.collect(0).await.expect("collected"), Collected::default());
            assert!(asked(Intent::Write).await);
        }
        wait(half + 1);
        assert!(asked(Intent::Read).await, "who only reads extends nothing");
        let [candidate] = &depot.candidates(None, 10, None).await.expect("asked")[..] else {
            panic!("one")
        };
        assert_eq!(
            (candidate.digest, candidate.goes, candidate.elsewhere),
            (digest, false, 0)
        );
        wait(half + 1);
        assert!(depot.candidates(None, 10, None).await.expect("asked")[0].goes);
        let gone = Collected {
            unlinked: 1,
            blobs: 1,
            bytes: 7,
            removed: 1,
            ..Collected::default()
        };
        assert_eq!(depot.collect(0).await.expect("collected"), gone);
        assert!(!asked(Intent::Write).await);
        assert_eq!(here.blobs(&digest).len(), 0);
    });
}

/// A manifest keeps what it names, until it is deleted.
#[test]
fn what_is_named_stays() {
    run(async {
        let (clock, wait) = clock();
        let here = Here::of(Settings { clock, ..settings() });
        let depot = &here.depot;
        let store = repository(depot, "app").await;
        let image = Image::small(Takes::EVERYTHING, "image");
        image.put(store.as_target(), &["v1"]).await.expect("put");
        wait(10 * LEASE.as_secs());
        assert_eq!(depot.collect(PARTS).await.expect("collected"), Collected::default());
        let layer = image.document.children()[1].digest;
        let delete = store.delete().expect("the power to delete");
        assert_eq!(kind(delete.delete(Role::Blob, &layer).await), ErrorKind::Conflict);
        delete.delete(Role::Manifest, &image.digest).await.expect("deleted");
        let collected = depot.collect(0).await.expect("collected");
        assert_eq!((collected.unlinked, collected.removed), (3, 3));
        assert_eq!(below(&here.path().join("blobs")), Vec::<std::path::PathBuf>::new());
    });
}

/// BuildKit keeps its cache in an index that names blobs. Where it is taken they stay as long as it does, however much may be missing.
#[test]
fn blobs_that_an_index_names_stay() {
    run(async {
        for sparse in [Sparse::Nothing, Sparse::Indexes, Sparse::All] {
            let (clock, wait) = clock();
            let here = Here::of(Settings {
                clock,
                sparse,
                ..settings()
            });
            let (depot, store) = (&here.depot, repository(&here.depot, "app").await);
            let cache = Image::cache(Takes::EVERYTHING, "cache");
            // Taken before its blobs, it keeps them too.
            let before = store
                .put_manifest(&cache.document, &cache.digest, &[], Expect::Any)
                .await;
            assert_eq!(before.is_ok(), sparse != Sparse::Nothing, "{sparse:?}");
            cache.put(store.as_target(), &["cache"]).await.expect("put");
            wait(10 * LEASE.as_secs());
            assert_eq!(depot.collect(PARTS).await.expect("collected"), Collected::default());
            let children = cache.document.children();
            for child in &children {
                assert!(has(depot, "app", &child.digest).await, "{sparse:?}");
            }
            let mut findings = Vec::new();
            let checked = depot.check(false, |finding| findings.push(finding)).await;
            assert_eq!((checked.expect("checked").blobs, findings), (2, vec![]));
            let delete = store.delete().expect("the power to delete");
            let refused = delete.delete(Role::Blob, &children[0].digest).await;
            assert_eq!(kind(refused), ErrorKind::Conflict);
            delete.delete(Role::Manifest, &cache.digest).await.expect("deleted");
            let collected = depot.collect(0).await.expect("collected");
            assert_eq!((collected.unlinked, collected.removed), (2, 2), "{sparse:?}");
        }
    });
}

/// What was cut off between its place and its row is found, but not before it could have one.
#[test]
fn what_nobody_knows_is_removed() {
    run(async {
        let (clock, wait) = clock();
        let here = Here::of(Settings { clock, ..settings() });
        let depot = &here.depot;
        let digest = put(depot, "app", b"content").await;
        let file = here.blobs(&digest).remove(0);
        let name = file.file_name().expect("a name").to_string_lossy().into_owned();
        let stray = format!("{}z", &name[..name.len() - 1]);
        let stray = file.with_file_name(if stray == name {
            format!("{}y", &name[..name.len() - 1])
        } else {
            stray
        });
        fs::write(&stray, b"content").expect("written");
        assert_eq!(depot.collect(PARTS).await.expect("collected").strays, 0, "it is young");
        wait(3601);
        let store = repository(depot, "app").await;
        store.stat(Role::Blob, &digest, Intent::Write).await.expect("a stat");
        let mut strays = 0;
        for _ in 0..4 {
            strays += depot.collect(PARTS / 4).await.expect("collected").strays;
        }
        assert_eq!((strays, stray.exists()), (1, false));
    });
}

#[test]
fn tags_that_never_move_do_not() {
    run(async {
        let here = Here::of(Settings {
            immutable: vec![Pattern::new("app:v*")],
            ..settings()
        });
        let [old, new] = ["old", "new"].map(|seed| Image::small(Takes::EVERYTHING, seed));
        let store = repository(&here.depot, "app").await;
        old.put(store.as_target(), &["v1", "latest"]).await.expect("put");
        old.put(store.as_target(), &["v1"]).await.expect("the same again");
        assert_eq!(
            kind(new.put(store.as_target(), &["latest", "v1"]).await),
            ErrorKind::Conflict
        );
        let delete = store.delete().expect("the power to delete");
        assert_eq!(kind(delete.untag("v1", Expect::Any).await), ErrorKind::Conflict);
        assert_eq!(
            kind(delete.delete(Role::Manifest, &old.digest).await),
            ErrorKind::Conflict
        );
        // Nor does anything go that one leads to, by an index within an index.
        let within = Image::small(Takes::EVERYTHING, "within");
        within.put(store.as_target(), &["mine"]).await.expect("put");
        let (mut named, mut indexes) = (within.document.descriptor(), Vec::new());
        for tags in [&[][..], &["v7".to_owned(), "a".to_owned()]] {
            let index = Index::build(Format::Oci, &[named]).expect("an index");
            let digest = Digest::of(index.raw());
            let put = store.put_manifest(&index, &digest, tags, Expect::Any).await;
            named = put.expect("put");
            indexes.push(digest);
        }
        for digest in [within.digest, indexes[0], indexes[1]] {
            let refused = delete.delete(Role::Manifest, &digest).await.expect_err("it is needed");
            assert_eq!(
                (refused.kind(), refused.to_string()),
                (
                    &ErrorKind::Conflict,
                    format!("the tag v7 of app leads to {digest}, and never moves")
                )
            );
        }
        new.put(store.as_target(), &["latest", "v2"]).await.expect("put");
        delete.untag("latest", Expect::Any).await.expect("removed");
        let found = store.resolve(&Pick::Name("v1".to_owned())).await.expect("resolved");
        assert_eq!(found.digest, old.digest);
        let other = repository(&here.depot, "other").await;
        within.put(other.as_target(), &["v7"]).await.expect("put");
        let delete = other.delete().expect("the power to delete");
        delete
            .delete(Role::Manifest, &within.digest)
            .await
            .expect("no such tag here");
        old.put(other.as_target(), &["v1"]).await.expect("put");
        new.put(other.as_target(), &["v1"]).await.expect("moved");
    });
}

/// Pushes and collections side by side, the lease as short as it can be to be one: no image that was acknowledged lacks anything.
#[test]
fn a_collection_loses_no_push() {
    run(async {
        let here = Here::of(Settings {
            // The clock stands, so a lease of nothing is over as soon as it is given: only what is named stays.
            lease: std::time::Duration::ZERO,
            ..settings()
        });
        let depot = &here.depot;
        let pushes = (0..8).map(|pusher| async move {
            let store = repository(depot, &format!("app{}", pusher % 3)).await;
            let mut pushed = Vec::new();
            for n in 0..12 {
                let image = Image::small(Takes::EVERYTHING, &format!("{pusher}-{n}"));
                // What went before it was named is said to be missing, and is put again.
                let mut attempts = 0;
                loop {
                    match image.put(store.as_target(), &[&format!("t{pusher}-{n}")]).await {
                        Ok(_) => break,
                        Err(error) => {
                            assert!(matches!(error.kind(), ErrorKind::MissingChildren(_)), "{error}");
                            attempts += 1;
                            assert!(attempts < 1000, "it never comes through");
                        }
                    }
                }
                pushed.push(image);
                if n % 4 == 3 {
                    let delete = store.delete().expect("the power to delete");
                    let image = pushed.remove(0);
                    delete.delete(Role::Manifest, &image.digest).await.expect("deleted");
                }
                tokio::task::yield_now().await;
            }
            (store, pushed)
        });
        let done = std::sync::atomic::AtomicBool::new(false);
        let collections = async {
            let mut removed = 0;
            while !done.load(std::sync::atomic::Ordering::SeqCst) {
                removed += depot.collect(0).await.expect("collected").removed;
                tokio::task::yield_now().await;
            }
            removed
        };
        let pushes = async {
            let all = join_all(pushes).await;
            done.store(true, std::sync::atomic::Ordering::SeqCst);
            all
        };
        let (all, removed) = futures_util::future::join(pushes, collections).await;
        assert!(removed > 0, "there was something to collect");
        for (store, pushed) in all {
            for image in pushed {
                for (child, blob) in image.document.children().iter().zip(&image.blobs) {
                    let mut reader = teu_store::SourceExt::open(store.as_source(), Role::Blob, child)
                        .await
                        .expect("a blob");
                    let _ = &mut reader;
                    assert_eq!(&reader.read_all(child.size).await.expect("its bytes"), blob);
                }
            }
        }
    });
}

#[test]
fn one_process_has_a_depot() {
    run(async {
        let here = Here::of(settings());
        let second = Depot::open(&here.path(), settings()).await.err().expect("it is in use");
        assert_eq!(second.kind(), &ErrorKind::Conflict);
        assert!(second.to_string().contains("another process has the depot"), "{second}");
        let path = here.path();
        let Here { depot, directory } = here;
        drop(depot);
        Depot::open(&path, settings()).await.expect("nobody has it");
        drop(directory);
    });
}

#[test]
fn a_directory_is_a_depot_or_becomes_one() {
    run(async {
        let root = tempfile::tempdir().expect("a directory");
        let at = |name: &str| root.path().join(name);
        let open = async |path: &Path| Depot::open(path, settings()).await.map(drop);
        open(&at("new/below")).await.expect("it is made");
        let mode = fs::metadata(at("new/below")).expect("made").permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        fs::create_dir(at("empty")).expect("made");
        let depot = Depot::open(&at("empty"), settings()).await.expect("it becomes one");
        put(&depot, "app", b"content").await;
        // Whoever may look into a directory that was there, and whatever they may pull: all manifests are in the database.
        let names = ["metadata.sqlite", "metadata.sqlite-wal", "metadata.sqlite-shm"];
        for file in names.map(|name| at("empty").join(name)) {
            let mode = fs::metadata(&file).expect("made").permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{}", file.display());
        }
        drop(depot);
        open(&at("empty")).await.expect("it is one");
        fs::create_dir(at("other")).expect("made");
        fs::write(at("other/file"), "something").expect("written");
        assert_eq!(kind(open(&at("other")).await), ErrorKind::Conflict);
        fs::write(at("file"), "something").expect("written");
        assert_eq!(kind(open(&at("file")).await), ErrorKind::Invalid);
        fs::create_dir(at("shared")).expect("made");
        fs::set_permissions(at("shared"), fs::Permissions::from_mode(0o777)).expect("set");
        let error = open(&at("shared")).await.expect_err("others may write");
        assert_eq!(error.kind(), &ErrorKind::Denied);
        assert!(error.to_string().contains("chmod go-w"), "{error}");
    });
}

/// A volume of a disk of its own has what its file system has there, and one that is mounted for a group of ours is that group's to write to, at the
/// second start as at the first.
#[test]
fn a_volume_may_be_a_depot() {
    run(async {
        let root = tempfile::tempdir().expect("a directory");
        let at = |name: &str| root.path().join(name);
        let open = async |path: &Path| Depot::open(path, settings()).await.map(drop);
        fs::create_dir_all(at("volume/lost+found")).expect("made");
        open(&at("volume")).await.expect("it becomes one");
        fs::create_dir_all(at("more/lost+found")).expect("made");
        fs::write(at("more/file"), "something").expect("written");
        assert_eq!(kind(open(&at("more")).await), ErrorKind::Conflict);
        let ours = fs::metadata(at("volume")).expect("made").gid();
        let allow = |mode| fs::set_permissions(at("volume"), fs::Permissions::from_mode(mode)).expect("set");
        for mode in [0o2775, 0o2770, 0o700] {
            allow(mode);
            open(&at("volume")).await.expect("a group of ours");
        }
        for mode in [0o2777, 0o702] {
            allow(mode);
            let error = open(&at("volume")).await.expect_err("everybody may write");
            assert_eq!(error.kind(), &ErrorKind::Denied);
            assert!(error.to_string().contains("chmod go-w"), "{error}");
        }
        allow(0o2775);
        // Only root gives away what is ours.
        if std::os::unix::fs::chown(at("volume"), None, Some(ours + 54_321)).is_ok() {
            let error = open(&at("volume")).await.expect_err("another group may write");
            assert_eq!(error.kind(), &ErrorKind::Denied);
            assert!(error.to_string().contains("chmod g-w"), "{error}");
            allow(0o2755);
            open(&at("volume")).await.expect("nobody else may write");
        }
    });
}

/// Indexes may be taken of which only some images are here, and images still have to have all that they name.
#[test]
fn what_may_be_missing_is_said() {
    run(async {
        for (sparse, takes_indexes, takes_images) in [
            (Sparse::Nothing, false, false),
            (Sparse::Indexes, true, false),
            (Sparse::All, true, true),
        ] {
            let here = Here::of(Settings { sparse, ..settings() });
            let store = repository(&here.depot, "app").await;
            let image = Image::small(Takes::EVERYTHING, "image");
            let index = Index::build(Format::Oci, &[image.document.descriptor()]).expect("an index");
            for (document, takes) in [(&index, takes_indexes), (&image.document, takes_images)] {
                let digest = Digest::of(document.raw());
                let put = store.put_manifest(document, &digest, &[], Expect::Any).await;
                match (put, takes) {
                    (Ok(_), true) => {}
                    (Err(error), false) if matches!(error.kind(), ErrorKind::MissingChildren(_)) => {}
                    (outcome, _) => panic!("{sparse:?}: {outcome:?}"),
                }
            }
        }
    });
}

/// What nobody would find again after this process is not acknowledged, and that it would be so is told to who asks whether it can work.
#[test]
fn nothing_is_taken_where_the_directory_is_gone() {
    run(async {
        for (moved, back) in [("depot", true), ("depot/metadata.sqlite", true), ("depot", false)] {
            let here = Here::of(settings());
            let depot = &here.depot;
            let image = Image::small(Takes::EVERYTHING, "image");
            let (store, other) = (repository(depot, "app").await, repository(depot, "other").await);
            image.put(store.as_target(), &["v1"]).await.expect("put");
            let mut session = begin(depot, "one").await;
            session.write("half".into()).await.expect("written");
            let ingest = store.ingest(Expected::default()).await.expect("an ingest");
            let (place, away) = (here.directory.path().join(moved), here.directory.path().join("away"));
            fs::rename(&place, &away).expect("moved");
            if !back {
                Depot::open(&place, settings()).await.map(drop).expect("another one");
            }
            let blob = image.document.children()[1].digest;
            let (mount, delete) = (other.mount().expect("mounts"), store.delete().expect("deletes"));
            let names = ["v2".to_owned()];
            let put = store.put_manifest(&image.document, &image.digest, &names, Expect::Any);
            let outcomes = [
                depot.reach().await,
                put.await.map(drop),
                ingest.commit(None).await.map(drop),
                store.ingest(Expected::default()).await.map(drop),
                depot.begin("app", "two", Algorithm::Sha256).await.map(drop),
                session.record().await,
                mount.mount("app", &blob).await.map(drop),
                delete.delete(Role::Manifest, &image.digest).await,
                delete.untag("v1", Expect::Any).await,
            ];
            let what = if back { "gone" } else { "another file" };
            let wanted = format!("{} is {what} since", here.path().join("metadata.sqlite").display());
            for (at, outcome) in outcomes.into_iter().enumerate() {
                let error = outcome.expect_err("it is gone");
                assert_eq!(error.kind(), &ErrorKind::Io, "{moved} {at}: {error}");
                assert!(error.to_string().contains(&wanted), "{moved} {at}: {error}");
            }
            let found = store.resolve(&Pick::Name("v1".to_owned())).await;
            assert_eq!(found.expect("it is read").digest, image.digest);
            if back {
                fs::rename(&away, &place).expect("moved back");
                depot.reach().await.expect("reached");
                image.put(store.as_target(), &["v2"]).await.expect("put");
                session.record().await.expect("recorded");
            }
        }
    });
}

/// A link in the place of a file of the depot leads nowhere (threat 105).
#[test]
fn links_are_refused() {
    run(async {
        let elsewhere = tempfile::tempdir().expect("a directory");
        for planted in ["metadata.sqlite", "metadata.sqlite-wal", "lock", "blobs", "uploads"] {
            let root = tempfile::tempdir().expect("a directory");
            let path = root.path().join("depot");
            Depot::open(&path, settings()).await.map(drop).expect("made");
            let target = elsewhere.path().join(planted);
            match fs::metadata(path.join(planted)) {
                Ok(found) if found.is_dir() => {
                    fs::rename(path.join(planted), &target).expect("moved");
                }
                Ok(_) => fs::rename(path.join(planted), &target).expect("moved"),
                Err(_) => fs::write(&target, b"").expect("written"),
            }
            let before = below(elsewhere.path());
            symlink(&target, path.join(planted)).expect("planted");
            let outcome = async {
                let depot = Depot::open(&path, settings()).await?;
                let store = depot.open("app", Intent::Write).await?;
                let mut ingest = store.ingest(Expected::default()).await?;
                ingest.write(Bytes::from_static(b"content")).await?;
                ingest.commit(None).await
            };
            outcome.await.expect_err(planted);
            assert_eq!(below(elsewhere.path()), before, "{planted}: nothing came there");
        }
    });
}
