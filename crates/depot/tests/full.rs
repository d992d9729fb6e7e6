//! Does a depot on a disk that is full make room again by itself, and by who deletes? On a small file system, which takes root.

#[path = "../../rootfs/tests/support/small.rs"]
mod small;
mod support;

use std::{
    fs::{self, File},
    io::Write,
    sync::Arc,
    time::Duration,
};

use small::Small;
use support::{LEASE, clock, settings};
use teu_depot::{Clock, Depot, Settings};
use teu_spec::{Algorithm, Digest};
use teu_store::{ErrorKind, Expected, Intent, Repositories, Role, Sessions, Store, Takes, suite::Image, suite::run};

/// A file system of 8 MiB, gone with this; none without root.
fn small(name: &str) -> Option<(tempfile::TempDir, Small)> {
    let home = tempfile::tempdir().expect("a directory");
    let small = Small::mount(home.path().join("small"), "8m");
    if small.is_none() {
        let line = format!("SKIPPED {name}: a small file system needs root, and mount\n");
        std::io::stderr().write_all(line.as_bytes()).expect("said");
    }
    small.map(|small| (home, small))
}

/// Takes all that is free.
fn fill(small: &Small) {
    let mut file = File::create(small.0.join("filler")).expect("made");
    while file.write_all(&[b'x'; 4096]).is_ok() {}
}

async fn open(small: &Small, clock: Clock) -> (Depot, Arc<dyn Store>) {
    let settings = Settings { clock, ..settings() };
    let depot = Depot::open(&small.0.join("depot"), settings).await.expect("a depot");
    let store = depot.open("app", Intent::Write).await.expect("a repository");
    (depot, store)
}

fn reserve(small: &Small) -> u64 {
    let file = fs::metadata(small.0.join("depot/reserve"));
    file.expect("it is there").len()
}

async fn delete(store: &Arc<dyn Store>, digest: &Digest) {
    let delete = store.delete().expect("deletes");
    delete.delete(Role::Manifest, digest).await.expect("deleted");
}

/// That nothing which would fill the disk again is taken, each way that it may come.
async fn takes_nothing(depot: &Depot, store: &Arc<dyn Store>, image: &Image) {
    let refused = [
        store.ingest(Expected::default()).await.err(),
        depot.begin("app", "one", Algorithm::Sha256).await.err(),
        image.put(store.as_target(), &["again"]).await.err(),
        store.mount().expect("mounts").mount("app", &image.digest).await.err(),
    ];
    for error in refused {
        let error = error.expect("refused");
        assert_eq!(error.kind(), &ErrorKind::Quota, "{error}");
        assert!(error.to_string().contains("keeps for deleting"), "{error}");
    }
}

const WHOLE: u64 = 512 << 10;

#[test]
fn who_deletes_makes_room_on_a_full_disk() {
    let Some((_home, small)) = small("who_deletes_makes_room_on_a_full_disk") else {
        return;
    };
    run(async {
        let (clock, pass) = clock();
        let (depot, store) = open(&small, clock.clone()).await;
        assert_eq!(reserve(&small), WHOLE);
        let mut images = Vec::new();
        for n in 0..40 {
            let image = Image::small(Takes::EVERYTHING, &format!("{n}"));
            image.put(store.as_target(), &[]).await.expect("put");
            images.push(image);
        }
        let mut upload = store.ingest(Expected::default()).await.expect("begun");
        fill(&small);
        let (last, others) = images.split_last().expect("some");
        let error = last.put(store.as_target(), &["more"]).await.expect_err("it is full");
        assert_eq!((error.kind(), reserve(&small)), (&ErrorKind::Quota, WHOLE), "{error}");
        for image in others {
            delete(&store, &image.digest).await;
        }
        assert!(reserve(&small) < WHOLE);
        takes_nothing(&depot, &store, last).await;
        let error = upload.write("more".into()).await.expect_err("refused");
        assert_eq!(error.kind(), &ErrorKind::Quota, "{error}");
        drop(upload);
        pass(LEASE.as_secs() + 1);
        let collected = depot.collect(0).await.expect("collected");
        assert!(collected.blobs >= 39, "{collected:?}");
        assert_eq!(reserve(&small), WHOLE);
        last.put(store.as_target(), &["more"]).await.expect("there is room");
    });
}

/// What is left beside the database where it is closed goes, and opening it takes room for that.
#[test]
fn a_depot_is_opened_on_a_full_disk() {
    let Some((_home, small)) = small("a_depot_is_opened_on_a_full_disk") else {
        return;
    };
    run(async {
        let (clock, _) = clock();
        let (depot, store) = open(&small, clock.clone()).await;
        let image = Image::small(Takes::EVERYTHING, "image");
        image.put(store.as_target(), &["v1"]).await.expect("put");
        drop((store, depot));
        assert!(!small.0.join("depot/metadata.sqlite-wal").exists());
        fill(&small);
        let (depot, store) = open(&small, clock).await;
        depot.say_terms(false).await.expect("said");
        takes_nothing(&depot, &store, &image).await;
        delete(&store, &image.digest).await;
        let collected = depot.collect_now(None, Some(Duration::ZERO)).await;
        assert_eq!(collected.expect("collected").0.blobs, 3);
        takes_nothing(&depot, &store, &image).await;
        fs::remove_file(small.0.join("filler")).expect("removed");
        depot.collect(0).await.expect("collected");
        assert_eq!(reserve(&small), WHOLE);
        image.put(store.as_target(), &["v1"]).await.expect("there is room");
    });
}

/// What cannot be taken away keeps nobody from pushing once there is room.
#[test]
fn room_is_kept_anew_where_a_collection_fails() {
    let Some((_home, small)) = small("room_is_kept_anew_where_a_collection_fails") else {
        return;
    };
    run(async {
        let (clock, pass) = clock();
        let (depot, store) = open(&small, clock.clone()).await;
        let image = Image::small(Takes::EVERYTHING, "image");
        image.put(store.as_target(), &[]).await.expect("put");
        delete(&store, &image.digest).await;
        drop((store, depot));
        // A part of it was given up when the disk was full before.
        let file = fs::OpenOptions::new().write(true).open(small.0.join("depot/reserve"));
        file.and_then(|file| file.set_len(WHOLE / 4 * 3)).expect("given up");
        fill(&small);
        let (depot, store) = open(&small, clock).await;
        takes_nothing(&depot, &store, &image).await;
        // What is no file is not removed as one.
        for file in support::below(&small.0.join("depot/blobs")) {
            fs::remove_file(&file).expect("removed");
            fs::create_dir(file).expect("made");
        }
        fs::remove_file(small.0.join("filler")).expect("removed");
        pass(2 * LEASE.as_secs() + 2);
        let collected = depot.collect(0).await;
        collected.expect_err("it cannot be removed");
        assert_eq!(reserve(&small), WHOLE);
        image.put(store.as_target(), &["v1"]).await.expect("there is room");
    });
}
