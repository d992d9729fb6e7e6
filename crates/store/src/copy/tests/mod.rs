//! What a copy promises, between stores in memory.

mod forms;
mod hostile;
mod recompress;
mod repository;
mod rigged;
mod ways;

use std::sync::{Arc, Mutex};

use teu_spec::{Descriptor, Digest, Format, Index, Pick, Platform};

use super::{Copied, Foreign, Options, Which, copy};
use crate::{
    Event, Events, How, Intent, Memory, Result, Role, Source, SourceExt, Takes, Target, silent,
    suite::{Image, image::index, powers::about},
};

/// Events, kept.
fn recorded() -> (Events, Arc<Mutex<Vec<Event>>>) {
    let all = Arc::new(Mutex::new(Vec::new()));
    let record = Arc::clone(&all);
    (Arc::new(move |event| record.lock().expect("events").push(event)), all)
}

/// A store with one index, `all`, of two images.
async fn two_images() -> (Memory, Vec<Image>, Descriptor) {
    let store = Memory::new();
    let images = vec![
        Image::small(Takes::EVERYTHING, "one"),
        Image::small(Takes::EVERYTHING, "two"),
    ];
    for image in &images {
        image.put(&store, &[]).await.expect("put");
    }
    let document = index(&[&images[0], &images[1]]);
    let digest = Digest::of(document.raw());
    let top = store
        .put_manifest(&document, &digest, &["all".to_owned()], Default::default())
        .await
        .expect("put");
    (store, images, top)
}

fn all() -> Options {
    Options {
        which: Which::All,
        ..Options::default()
    }
}

async fn copied(source: &Memory, name: &str, target: &Memory, options: &Options) -> Result<Copied> {
    let (source, target) = (Arc::new(source.clone()), Arc::new(target.clone()));
    let pick = Pick::Name(name.to_owned());
    copy(source, &pick, target, &["copy".to_owned()], options, &silent()).await
}

async fn resolved(store: &Memory, name: &str) -> Result<Descriptor> {
    store.resolve(&Pick::Name(name.to_owned())).await
}

#[tokio::test]
async fn an_index_arrives_whole_and_its_shared_layer_once() {
    let (source, images, top) = two_images().await;
    let target = Memory::new();
    let copied = copied(&source, "all", &target, &all()).await.expect("copied");
    assert_eq!((&copied.source, &copied.descriptor), (&top, &top));
    // Two configs, two layers of their own, one that they share.
    assert_eq!((copied.blobs, copied.manifests), (5, 3));
    assert_eq!(target.len(), 8);
    assert_eq!(resolved(&target, "copy").await.expect("resolved"), top);
    for image in &images {
        for child in image.document.children() {
            target.small_blob(&child).await.expect("a blob");
        }
    }
}

#[tokio::test]
async fn blobs_that_an_index_names_come_along_as_blobs() {
    let (source, target) = (Memory::new(), Memory::new());
    let cache = Image::cache(Takes::EVERYTHING, "cache");
    cache.put(&source, &["cache"]).await.expect("put");
    let done = copied(&source, "cache", &target, &all()).await.expect("copied");
    assert_eq!((done.descriptor.digest, target.len()), (cache.digest, 3));
    for child in cache.document.children() {
        let found = target.stat(Role::Blob, &child.digest, Intent::Read).await;
        assert_eq!(found.expect("asked").map(|found| found.size), Some(child.size));
    }
    // What is said to be none may be a manifest all the same: it comes along as that.
    let image = Image::small(Takes::EVERYTHING, "image");
    image.put(&source, &[]).await.expect("put");
    let mut said = image.document.descriptor();
    said.media_type = "application/json".parse().expect("a type");
    let index = Index::build(Format::Oci, &[said]).expect("an index");
    let digest = Digest::of(index.raw());
    let names = ["said".to_owned()];
    let put = source.put_manifest(&index, &digest, &names, Default::default());
    put.await.expect("put");
    copied(&source, "said", &target, &all()).await.expect("copied");
    let found = target.stat(Role::Manifest, &image.digest, Intent::Read).await;
    assert!(found.expect("asked").is_some());
}

#[tokio::test]
async fn one_machines_image_is_copied_without_its_index() {
    let (source, images, top) = two_images().await;
    let target = Memory::new();
    let options = Options {
        which: Which::One(Platform::new("linux", "arm64")),
        ..Options::default()
    };
    let copied = copied(&source, "all", &target, &options).await.expect("copied");
    assert_eq!(copied.source, top);
    assert_eq!(copied.descriptor.digest, images[1].digest);
    assert_eq!(
        resolved(&target, "copy").await.expect("resolved").digest,
        images[1].digest
    );
    assert_eq!(target.len(), 4);
}

#[tokio::test]
async fn what_is_there_already_is_not_copied_again() {
    let (source, _, top) = two_images().await;
    let target = Memory::new();
    copied(&source, "all", &target, &all()).await.expect("copied");
    let (events, happened) = recorded();
    let pick = Pick::Name("all".to_owned());
    let again = copy(
        Arc::new(source),
        &pick,
        Arc::new(target),
        &["copy".to_owned()],
        &all(),
        &events,
    )
    .await
    .expect("copied");
    assert_eq!((again.blobs, again.bytes, again.manifests), (0, 0, 0));
    assert_eq!(
        *happened.lock().expect("events"),
        [Event::ManifestDone {
            descriptor: top,
            names: vec!["copy".to_owned()],
            existed: true
        }]
    );
}

#[tokio::test]
async fn a_store_that_is_not_closed_is_asked_for_every_blob() {
    let (source, images, _) = two_images().await;
    let target = Memory::sparse();
    copied(&source, "all", &target, &all()).await.expect("copied");
    let lost = images[0].document.children()[2].digest;
    let role = crate::Role::Blob;
    crate::Delete::delete(&target, role, &lost).await.expect("deleted");
    let again = copied(&source, "all", &target, &all()).await.expect("copied");
    assert_eq!((again.blobs, again.manifests), (1, 0));
    assert_eq!(target.len(), 8);
}

#[tokio::test]
async fn every_blob_is_told_of() {
    let (source, _, _) = two_images().await;
    let (events, happened) = recorded();
    let pick = Pick::Name("all".to_owned());
    let target = Arc::new(Memory::new());
    copy(Arc::new(source), &pick, target, &["copy".to_owned()], &all(), &events)
        .await
        .expect("copied");
    let happened = happened.lock().expect("events");
    let copied = |event: &&Event| matches!(event, Event::BlobDone { how: How::Copied, .. });
    let started = |event: &&Event| matches!(event, Event::BlobStarted { .. });
    assert_eq!(happened.iter().filter(started).count(), 5);
    assert_eq!(happened.iter().filter(copied).count(), 5);
    let last = happened.last().expect("an event");
    assert!(
        matches!(last, Event::ManifestDone { names, existed: false, .. } if names == &["copy"]),
        "{last:?}"
    );
}

#[tokio::test]
async fn what_is_about_an_image_comes_along() {
    let (source, images, top) = two_images().await;
    // A signature of an image within the index, one of the index, and one of a signature.
    let signature = about(&images[1], "example/signature");
    let countersignature = about(&signature, "example/signature");
    for artifact in [&signature, &countersignature] {
        artifact.put(&source, &[]).await.expect("put");
    }
    let options = Options {
        referrers: true,
        ..all()
    };
    let without = Memory::new();
    let plain = copied(&source, "all", &without, &all()).await.expect("copied");
    assert_eq!(plain.referrers, []);
    // Where the image is there already, what is about it is not, and comes all the same.
    for target in [Memory::new(), without] {
        let copied = copied(&source, "all", &target, &options).await.expect("copied");
        assert_eq!(copied.descriptor, top);
        let digests: Vec<Digest> = copied.referrers.iter().map(|referrer| referrer.digest).collect();
        assert_eq!(digests, [signature.digest, countersignature.digest]);
        let browse = target.browse().expect("a list");
        let found = browse.referrers(&images[1].digest, None).await.expect("referrers");
        assert_eq!(
            found.iter().map(|found| found.digest).collect::<Vec<_>>(),
            [signature.digest]
        );
        // A name is the image's alone.
        assert_eq!(resolved(&target, "copy").await.expect("resolved").digest, top.digest);
    }
}
