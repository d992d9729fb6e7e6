//! What is not what it says, breaks off or fails: the copy ends in an error that says on which side, and nothing is named.

use std::{collections::HashMap, sync::atomic::Ordering};

use bytes::Bytes;
use teu_spec::{Format, Index, MediaType};

use super::{
    rigged::{Lie, Rigged},
    *,
};
use crate::{Error, ErrorKind, Role, Side, graph::Limits};

/// Copies `all`, and gives the error.
async fn fails(source: Rigged, target: Arc<Rigged>, options: &Options) -> Error {
    let pick = Pick::Name("all".to_owned());
    let names = ["copy".to_owned()];
    let outcome = copy(Arc::new(source), &pick, target.clone(), &names, options, &silent()).await;
    let unnamed = resolved(&target.inner, "copy").await.expect_err("nothing is named");
    assert_eq!(unnamed.kind(), &ErrorKind::NotFound);
    assert_eq!(target.ingests.now.load(Ordering::SeqCst), 0, "no ingest is left");
    outcome.expect_err("an error")
}

#[tokio::test]
async fn a_blob_that_lies_is_not_kept() {
    let (source, images, _) = two_images().await;
    let large = Bytes::from(vec![7; 300_000]);
    let with_large = Image::of(Takes::EVERYTHING, "large", std::slice::from_ref(&large));
    with_large.put(&source, &["all"]).await.expect("put");
    for (lie, kind) in [
        (Lie::Flipped, ErrorKind::Mismatch),
        (Lie::Short, ErrorKind::Mismatch),
        (Lie::Long, ErrorKind::Mismatch),
        (Lie::WrongSize, ErrorKind::Mismatch),
        (Lie::Dies, ErrorKind::Io),
    ] {
        // A small one is copied where the walk runs, a large one in a task of its own; a config is no better than a layer.
        for digest in [with_large.document.children()[0].digest, Digest::of(&large)] {
            let target = Arc::new(Rigged::default());
            let error = fails(Rigged::lying(&source, digest, lie), target.clone(), &all()).await;
            assert_eq!(
                (error.kind(), error.side()),
                (&kind, Some(Side::Source)),
                "{lie:?}: {error}"
            );
            assert!(error.to_string().contains(&format!("copying blob {digest}")), "{error}");
            let found = target
                .inner
                .stat(Role::Blob, &digest, crate::Intent::Read)
                .await
                .expect("a stat");
            assert_eq!(found, None, "{lie:?}");
        }
    }
    drop(images);
}

#[tokio::test]
async fn a_manifest_that_lies_is_not_believed() {
    let (source, images, top) = two_images().await;
    for digest in [top.digest, images[1].digest] {
        for lie in [Lie::Flipped, Lie::Short, Lie::Long, Lie::WrongSize] {
            let error = fails(Rigged::lying(&source, digest, lie), Arc::default(), &all()).await;
            assert_eq!(
                (error.kind(), error.side()),
                (&ErrorKind::Mismatch, Some(Side::Source)),
                "{lie:?}: {error}"
            );
        }
    }
}

#[tokio::test]
async fn a_media_type_that_lies_is_refused() {
    let store = Memory::new();
    let image = Image::small(Takes::EVERYTHING, "one");
    image.put(&store, &[]).await.expect("put");
    // The index says that its manifest is an index too; others would read it as one.
    let mut child = image.document.descriptor();
    child.media_type = MediaType::OciIndex;
    let document = Index::build(Format::Oci, &[child]).expect("an index");
    let digest = Digest::of(document.raw());
    let names = ["all".to_owned()];
    store
        .put_manifest(&document, &digest, &names, Default::default())
        .await
        .expect("put");
    let error = fails(Rigged::of(&store), Arc::default(), &all()).await;
    assert_eq!(
        (error.kind(), error.side()),
        (&ErrorKind::Invalid, Some(Side::Source)),
        "{error}"
    );
}

#[tokio::test]
async fn a_target_that_fails_leaves_nothing_named() {
    let (source, images, top) = two_images().await;
    let layer = images[0].document.children()[1].digest;
    for digest in [layer, images[1].digest, top.digest] {
        let target = Arc::new(Rigged {
            fails: Some(digest),
            ..Rigged::default()
        });
        let error = fails(Rigged::of(&source), target, &all()).await;
        assert_eq!(
            (error.kind(), error.side()),
            (&ErrorKind::Quota, Some(Side::Destination)),
            "{error}"
        );
    }
}

#[tokio::test]
async fn sizes_that_contradict_each_other_are_refused() {
    let store = Memory::sparse();
    let image = Image::small(Takes::EVERYTHING, "one");
    image.put(&store, &[]).await.expect("put");
    let right = image.document.descriptor();
    let mut wrong = right.clone();
    wrong.size += 1;
    let document = Index::build(Format::Oci, &[right, wrong]).expect("an index");
    let names = ["all".to_owned()];
    let digest = Digest::of(document.raw());
    store
        .put_manifest(&document, &digest, &names, Default::default())
        .await
        .expect("put");
    let error = fails(Rigged::of(&store), Arc::default(), &all()).await;
    assert_eq!(error.kind(), &ErrorKind::Mismatch, "{error}");
}

#[tokio::test]
async fn every_limit_is_named() {
    let (source, images, _) = two_images().await;
    let document_bytes = images[0].document.raw().len() as u64;
    for (limits, name) in [
        (
            Limits {
                depth: 0,
                ..Limits::default()
            },
            "`depth`",
        ),
        (
            Limits {
                nodes: 4,
                ..Limits::default()
            },
            "`nodes`",
        ),
        (
            Limits {
                manifest_bytes: document_bytes,
                ..Limits::default()
            },
            "`manifest_bytes`",
        ),
    ] {
        let options = Options { limits, ..all() };
        let error = fails(Rigged::of(&source), Arc::default(), &options).await;
        assert_eq!(error.kind(), &ErrorKind::TooLarge);
        assert!(error.to_string().contains(name), "{error}");
    }
}

#[tokio::test]
async fn a_graph_that_multiplies_is_walked_once() {
    // Eight indexes, each of which names the one below it a thousand times: 10^24 ways down to one image (threat 55).
    let store = Memory::new();
    let image = Image::small(Takes::EVERYTHING, "one");
    image.put(&store, &[]).await.expect("put");
    let mut below = image.document.descriptor();
    for level in 0..8 {
        let document = Index::build(Format::Oci, &vec![below; 1000]).expect("an index");
        let digest = Digest::of(document.raw());
        let names = [if level == 7 {
            "all".to_owned()
        } else {
            format!("level-{level}")
        }];
        below = store
            .put_manifest(&document, &digest, &names, Default::default())
            .await
            .expect("put");
    }
    let target = Memory::new();
    let done = copied(&store, "all", &target, &all()).await.expect("copied");
    assert_eq!((done.blobs, done.manifests), (3, 9));
    // One more is one too deep.
    let document = Index::build(Format::Oci, &[below]).expect("an index");
    let digest = Digest::of(document.raw());
    store
        .put_manifest(&document, &digest, &["all".to_owned()], Default::default())
        .await
        .expect("put");
    let error = fails(Rigged::of(&store), Arc::default(), &all()).await;
    assert!(error.to_string().contains("`depth`"), "{error}");
}

#[tokio::test]
async fn a_dropped_copy_leaves_nothing_behind_it() {
    let (source, _, _) = two_images().await;
    let large = Bytes::from(vec![7; 300_000]);
    let image = Image::of(Takes::EVERYTHING, "large", std::slice::from_ref(&large));
    image.put(&source, &["all"]).await.expect("put");
    let source = Arc::new(Rigged::lying(&source, Digest::of(&large), Lie::Hangs));
    let target = Arc::new(Rigged::default());
    let hanging = Arc::clone(&source.hanging);
    let pick = Pick::Name("all".to_owned());
    let (names, options, events) = (["copy".to_owned()], all(), silent());
    tokio::select! {
        _ = copy(source, &pick, target.clone(), &names, &options, &events) => panic!("it hangs"),
        () = hanging.notified() => {}
    }
    // What ran on other threads ends as soon as it is come to.
    while target.ingests.now.load(Ordering::SeqCst) > 0 {
        tokio::task::yield_now().await;
    }
    resolved(&target.inner, "copy").await.expect_err("nothing is named");
    let found = target
        .inner
        .stat(Role::Blob, &Digest::of(&large), crate::Intent::Read)
        .await;
    assert_eq!(found.expect("a stat"), None);
}

#[tokio::test]
async fn what_is_trusted_must_lie_here() {
    let (source, images, _) = two_images().await;
    let digest = images[0].document.children()[1].digest;
    let options = Options {
        trust_source: true,
        ..all()
    };
    // A source that is not local is checked, whatever was said.
    let error = fails(Rigged::lying(&source, digest, Lie::Flipped), Arc::default(), &options).await;
    assert_eq!(error.kind(), &ErrorKind::Mismatch);
    // One that is, is not; but a size that is wrong is told by the target.
    let local = |lie| Rigged {
        files: HashMap::from([(Digest::of(b"another"), Vec::new())]),
        ..Rigged::lying(&source, digest, lie)
    };
    let error = fails(local(Lie::Short), Arc::default(), &options).await;
    assert_eq!(error.kind(), &ErrorKind::Mismatch);
    let pick = Pick::Name("all".to_owned());
    let target = Arc::new(Memory::new());
    copy(
        Arc::new(local(Lie::Flipped)),
        &pick,
        target.clone(),
        &["copy".to_owned()],
        &options,
        &silent(),
    )
    .await
    .expect("copied");
    resolved(&target, "copy").await.expect("named");
}
