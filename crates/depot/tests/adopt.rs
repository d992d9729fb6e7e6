//! Is a file taken over as what it is, and nothing else?

mod support;

use std::{
    fs::{self, DirEntry, File},
    io::Write,
    path::PathBuf,
    sync::{Arc, OnceLock},
};

use support::{Here, settings};
use teu_depot::{Clock, Millis, Place, Settings};
use teu_spec::{Descriptor, MediaType};
use teu_store::{ErrorKind, How, Intent, Repositories, Result, Role, SourceExt, Store};

const CONTENT: &[u8] = b"what is taken over";

async fn repository(here: &Here, name: &str) -> Arc<dyn Store> {
    here.depot.open(name, Intent::Write).await.expect("a repository")
}

fn file(content: &[u8]) -> File {
    let mut file = tempfile::tempfile().expect("a file");
    file.write_all(content).expect("written");
    file
}

async fn adopt(store: &Arc<dyn Store>, content: &[u8], wanted: &Descriptor) -> Result<How> {
    let adopt = store.adopt().expect("the power to adopt");
    adopt.adopt(file(content), wanted, false).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_taken_over_where_it_is_what_it_should_be() {
    let here = Here::of(settings());
    let store = repository(&here, "one").await;
    let wanted = Descriptor::of(MediaType::OciLayer, CONTENT);
    for wrong in [&b"what is taken 0ver"[..], b"what is taken over, and more", b""] {
        let error = adopt(&store, wrong, &wanted).await.expect_err("it is something else");
        assert_eq!(error.kind(), &ErrorKind::Mismatch, "{error}");
        assert_eq!(here.uploads(), Vec::<String>::new());
        assert!(here.blobs(&wanted.digest).is_empty());
    }
    let stat = store.stat(Role::Blob, &wanted.digest, Intent::Read).await;
    assert_eq!(stat.expect("a stat"), None);
    assert_eq!(adopt(&store, CONTENT, &wanted).await.expect("taken over"), How::Linked);
    let read = store.small_blob(&wanted).await.expect("a blob");
    assert_eq!(&read[..], CONTENT);
    assert_eq!(here.uploads(), Vec::<String>::new());
}

/// What lies at a place and has no row goes after an hour, and a copy may take longer than that.
#[tokio::test(flavor = "multi_thread")]
async fn a_place_is_as_old_as_what_lies_there() {
    let uploads: Arc<OnceLock<PathBuf>> = Arc::default();
    let seen = Arc::clone(&uploads);
    let is_whole = move |file: DirEntry| file.metadata().is_ok_and(|found| found.len() == CONTENT.len() as u64);
    let clock = Clock::of(move || {
        let files = seen.get().map(|path| fs::read_dir(path).expect("a directory"));
        let is_copied = files.is_some_and(|mut files| files.any(|file| is_whole(file.expect("a file"))));
        Millis(if is_copied { 2_000_000 } else { 1_000_000 })
    });
    let here = Here::of(Settings { clock, ..settings() });
    uploads.set(here.path().join("uploads")).expect("set once");
    let wanted = Descriptor::of(MediaType::OciLayer, CONTENT);
    adopt(&repository(&here, "one").await, CONTENT, &wanted)
        .await
        .expect("taken over");
    let [file] = &here.blobs(&wanted.digest)[..] else {
        panic!("no file");
    };
    let name = file.file_name().and_then(|name| name.to_str()).expect("a name");
    let place: Place = name.parse().expect("a place");
    assert_eq!(place.ulid.made(), Millis(2_000_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_repository_shows_is_not_copied_again_unless_it_is_damaged() {
    let here = Here::of(settings());
    let (one, two, three) = (
        repository(&here, "one").await,
        repository(&here, "two").await,
        repository(&here, "three").await,
    );
    let wanted = Descriptor::of(MediaType::OciLayer, CONTENT);
    assert_eq!(adopt(&one, CONTENT, &wanted).await.expect("taken over"), How::Linked);
    let first = here.blobs(&wanted.digest);
    // Its own bytes are not even looked at: what is there was checked.
    assert_eq!(adopt(&two, b"", &wanted).await.expect("shown"), How::Mounted);
    assert_eq!(here.blobs(&wanted.digest), first);
    assert_eq!(&two.small_blob(&wanted).await.expect("a blob")[..], CONTENT);
    std::fs::write(&first[0], "torn").expect("damaged");
    assert_eq!(adopt(&three, CONTENT, &wanted).await.expect("taken over"), How::Linked);
    for store in [one, two, three] {
        assert_eq!(&store.small_blob(&wanted).await.expect("a blob")[..], CONTENT);
    }
}
