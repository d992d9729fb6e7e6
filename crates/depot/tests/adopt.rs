//! Is a file taken over as what it is, and nothing else?

mod support;

use std::{fs::File, io::Write, sync::Arc};

use support::{Here, settings};
use teu_spec::{Descriptor, Digest, MediaType};
use teu_store::{Committed, ErrorKind, Intent, Repositories, Result, Role, SourceExt, Store};

const CONTENT: &[u8] = b"what is taken over";

async fn repository(here: &Here, name: &str) -> Arc<dyn Store> {
    here.depot.open(name, Intent::Write).await.expect("a repository")
}

fn file(content: &[u8]) -> File {
    let mut file = tempfile::tempfile().expect("a file");
    file.write_all(content).expect("written");
    file
}

async fn adopt(store: &Arc<dyn Store>, content: &[u8], wanted: &Descriptor) -> Result<Committed> {
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
    let done = adopt(&store, CONTENT, &wanted).await.expect("taken over");
    assert_eq!((done.digest, done.size), (Digest::of(CONTENT), CONTENT.len() as u64));
    let read = store.small_blob(&wanted).await.expect("a blob");
    assert_eq!(&read[..], CONTENT);
    assert_eq!(here.uploads(), Vec::<String>::new());
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
    adopt(&one, CONTENT, &wanted).await.expect("taken over");
    let first = here.blobs(&wanted.digest);
    // Its own bytes are not even looked at: what is there was checked.
    adopt(&two, b"", &wanted).await.expect("shown");
    assert_eq!(here.blobs(&wanted.digest), first);
    assert_eq!(&two.small_blob(&wanted).await.expect("a blob")[..], CONTENT);
    std::fs::write(&first[0], "torn").expect("damaged");
    adopt(&three, CONTENT, &wanted).await.expect("taken over");
    for store in [one, two, three] {
        assert_eq!(&store.small_blob(&wanted).await.expect("a blob")[..], CONTENT);
    }
}
