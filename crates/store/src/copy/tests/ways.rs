//! By which way a blob goes, in which order, and what of an image.

use std::{collections::HashMap, sync::atomic::Ordering};

use bytes::Bytes;
use teu_spec::{Document, Format, Index, Manifest, MediaType};

use super::{
    super::turns::Turns,
    rigged::{Asked, Lie, Rigged},
    *,
};
use crate::{ErrorKind, Origin, Role, Side};

/// Copies `all` between two rigged stores.
async fn goes(source: Rigged, target: Rigged, options: &Options) -> (Arc<Rigged>, Arc<Rigged>, Copied, Vec<Event>) {
    let (source, target) = (Arc::new(source), Arc::new(target));
    let (events, happened) = recorded();
    let pick = Pick::Name("all".to_owned());
    let names = ["copy".to_owned(), "too".to_owned()];
    let copied = copy(source.clone(), &pick, target.clone(), &names, options, &events)
        .await
        .expect("copied");
    let happened = happened.lock().expect("events").clone();
    (source, target, copied, happened)
}

fn ways(events: &[Event]) -> Vec<How> {
    let how = |event: &Event| match event {
        Event::BlobDone { how, .. } => Some(*how),
        _ => None,
    };
    events.iter().filter_map(how).collect()
}

#[tokio::test]
async fn children_come_first_and_names_last() {
    let (source, images, top) = two_images().await;
    let (_, target, _, _) = goes(Rigged::of(&source), Rigged::default(), &all()).await;
    let asked = target.asked();
    let place = |wanted: &dyn Fn(&Asked) -> bool| asked.iter().position(wanted).expect("asked");
    let put = |digest: Digest| place(&|asked| matches!(asked, Asked::Put(put, _) if *put == digest));
    for image in &images {
        for child in image.document.children() {
            let ingested = place(&|asked| *asked == Asked::Ingest(Some(child.digest)));
            assert!(ingested < put(image.digest), "a manifest comes after its blobs");
        }
    }
    let named: Vec<&Asked> = asked
        .iter()
        .filter(|asked| matches!(asked, Asked::Put(_, names) if !names.is_empty()))
        .collect();
    let last = Asked::Put(top.digest, vec!["copy".to_owned(), "too".to_owned()]);
    assert_eq!(named, [&last], "all names at once");
    assert_eq!(asked.last(), Some(&last), "and last");
}

#[tokio::test]
async fn each_content_is_read_once() {
    let (source, images, _) = two_images().await;
    let (source, target, _, _) = goes(Rigged::of(&source), Rigged::default(), &all()).await;
    let mut digests: Vec<Digest> = images
        .iter()
        .flat_map(|image| image.document.children())
        .map(|child| child.digest)
        .collect();
    digests.sort();
    digests.dedup();
    assert_eq!(digests.len(), 5);
    for digest in digests {
        assert_eq!(source.count(|asked| *asked == Asked::Fetch(Role::Blob, digest)), 1);
        assert_eq!(target.count(|asked| *asked == Asked::Ingest(Some(digest))), 1);
        assert_eq!(target.count(|asked| *asked == Asked::Stat(Role::Blob, digest)), 1);
    }
    // The index is read once, though who chose its images read it before.
    assert_eq!(
        source.count(|asked| matches!(asked, Asked::Fetch(Role::Manifest, _))),
        3
    );
}

#[tokio::test]
async fn only_so_many_blobs_are_under_way() {
    let store = Memory::new();
    let layers: Vec<Bytes> = (0..30_u8).map(|n| vec![n; 100_000].into()).collect();
    Image::of(Takes::EVERYTHING, "layers", &layers)
        .put(&store, &["all"])
        .await
        .expect("put");
    let options = Options { jobs: 3, ..all() };
    let (_, target, _, _) = goes(Rigged::of(&store), Rigged::default(), &options).await;
    assert_eq!(target.ingests.most.load(Ordering::SeqCst), 3);
}

/// Copies into one target that take turns bring what they share once, and the one that waited goes on where the first one failed.
#[tokio::test]
async fn copies_that_take_turns_bring_each_blob_once() {
    let store = Memory::new();
    let layers: Vec<Bytes> = (0..3_u8).map(|n| vec![n; 100_000].into()).collect();
    Image::of(Takes::EVERYTHING, "layers", &layers)
        .put(&store, &["one", "other"])
        .await
        .expect("put");
    for (turns, brought) in [(Some(Turns::default()), 4), (None, 8)] {
        let target = Arc::new(Rigged::default());
        let options = Options { turns, ..all() };
        let copy = |name: &str| {
            let (source, target, options) = (Arc::new(Rigged::of(&store)), Arc::clone(&target), options.clone());
            let (pick, names) = (Pick::Name(name.to_owned()), [name.to_owned()]);
            async move {
                copy(source, &pick, target, &names, &options, &recorded().0)
                    .await
                    .expect("copied")
            }
        };
        let (one, other) = tokio::join!(copy("one"), copy("other"));
        assert_eq!(target.count(|asked| matches!(asked, Asked::Ingest(_))), brought);
        assert_eq!(one.blobs + other.blobs, brought);
    }
    let failing = Options {
        turns: Some(Turns::default()),
        ..all()
    };
    let target: Arc<Memory> = Arc::default();
    let copy = |source: Rigged| {
        let (target, options) = (Arc::clone(&target), failing.clone());
        let pick = Pick::Name("one".to_owned());
        async move {
            copy(
                Arc::new(source),
                &pick,
                target,
                &["x".to_owned()],
                &options,
                &recorded().0,
            )
            .await
        }
    };
    let lying = Rigged::lying(&store, Digest::of(&layers[0]), Lie::Flipped);
    let (failed, copied) = tokio::join!(copy(lying), copy(Rigged::of(&store)));
    assert_eq!(failed.expect_err("a lie").kind(), &ErrorKind::Mismatch);
    copied.expect("copied all the same");
}

fn origin(registry: &str, repository: &str) -> Option<Origin> {
    Some(Origin {
        registry: registry.to_owned(),
        repository: repository.to_owned(),
    })
}

#[tokio::test]
async fn one_registry_mounts_from_itself() {
    let (store, _, _) = two_images().await;
    let source = || Rigged {
        origin: origin("https://one.example:443", "from"),
        ..Rigged::of(&store)
    };
    let target = |registry, repository, mounts| Rigged {
        origin: origin(registry, repository),
        mounts: Some(mounts),
        ..Rigged::default()
    };
    let is_mount = |asked: &Asked| matches!(asked, Asked::Mount(from, _) if from == "from");
    let is_fetch = |asked: &Asked| matches!(asked, Asked::Fetch(Role::Blob, _));

    let (read, written, copied, events) = goes(source(), target("https://one.example:443", "to", true), &all()).await;
    assert_eq!((read.count(is_fetch), written.count(is_mount), copied.blobs), (0, 5, 0));
    assert_eq!(ways(&events), [How::Mounted; 5]);
    assert_eq!(written.count(|asked| matches!(asked, Asked::Stat(Role::Blob, _))), 0);

    let (read, written, _, events) = goes(source(), target("https://one.example:443", "to", false), &all()).await;
    assert_eq!((read.count(is_fetch), written.count(is_mount)), (5, 5));
    assert_eq!(ways(&events), [How::Copied; 5]);

    for (registry, repository) in [("https://two.example:443", "to"), ("https://one.example:443", "from")] {
        let (read, written, _, _) = goes(source(), target(registry, repository, true), &all()).await;
        let mounts = written.count(|asked| matches!(asked, Asked::Mount(..)));
        assert_eq!((read.count(is_fetch), mounts), (5, 0), "{registry} {repository}");
    }
}

#[tokio::test]
async fn a_file_is_taken_over() {
    let (store, images, _) = two_images().await;
    let layer = images[0].document.children()[1].digest;
    let content = images[0].blobs[1].to_vec();
    let local = |content: Vec<u8>| Rigged {
        files: HashMap::from([(layer, content)]),
        ..Rigged::of(&store)
    };
    let adopting = || Rigged {
        adopts: true,
        ..Rigged::default()
    };
    for trust_source in [false, true] {
        let options = Options { trust_source, ..all() };
        let (read, written, copied, events) = goes(local(content.clone()), adopting(), &options).await;
        assert_eq!(written.count(|asked| *asked == Asked::Adopt(layer, trust_source)), 1);
        assert_eq!(read.count(|asked| *asked == Asked::Fetch(Role::Blob, layer)), 0);
        assert_eq!(copied.blobs, 5);
        assert_eq!(ways(&events).iter().filter(|how| **how == How::Linked).count(), 1);
    }
    let pick = Pick::Name("all".to_owned());
    let source = Arc::new(local(b"another".to_vec()));
    let error = copy(source, &pick, Arc::new(adopting()), &[], &all(), &silent())
        .await
        .expect_err("another content");
    assert_eq!((error.kind(), error.side()), (&ErrorKind::Mismatch, Some(Side::Source)));
}

#[tokio::test]
async fn an_image_that_is_there_costs_one_question() {
    let (store, _, top) = two_images().await;
    let (_, target, _, _) = goes(Rigged::of(&store), Rigged::default(), &all()).await;
    let pick = Pick::Name("all".to_owned());
    let again = |names: Vec<String>| {
        let (source, target) = (Arc::new(Rigged::of(&store)), Arc::new(Rigged::of(&target.inner)));
        let pick = pick.clone();
        async move {
            copy(source.clone(), &pick, target.clone(), &names, &all(), &silent())
                .await
                .expect("copied");
            (source.asked(), target.asked())
        }
    };
    let nothing_new = again(vec!["copy".to_owned()]).await;
    assert_eq!(nothing_new, (vec![Asked::Resolve], vec![Asked::Resolve]));
    // A new name: whether the manifest is there, its bytes, and the name.
    let (read, written) = again(vec!["new".to_owned()]).await;
    assert_eq!(read, [Asked::Resolve, Asked::Fetch(Role::Manifest, top.digest)]);
    let expected = [
        Asked::Resolve,
        Asked::Stat(Role::Manifest, top.digest),
        Asked::Put(top.digest, vec!["new".to_owned()]),
    ];
    assert_eq!(written, expected);
}

#[tokio::test]
async fn some_images_make_a_smaller_index_or_a_sparse_one() {
    let (store, images, top) = two_images().await;
    let several = |platforms: &[&str], sparse| Options {
        which: Which::Several {
            platforms: platforms
                .iter()
                .map(|platform| platform.parse().expect("a platform"))
                .collect(),
            sparse,
        },
        ..Options::default()
    };
    let target = Memory::new();
    let smaller = copied(&store, "all", &target, &several(&["linux/arm64"], false))
        .await
        .expect("copied");
    let document = target.document(&smaller.descriptor).await.expect("an index");
    let digests: Vec<Digest> = document.children().iter().map(|child| child.digest).collect();
    assert_eq!(digests, [images[1].digest]);
    assert_ne!(smaller.descriptor, top);
    assert_eq!(target.len(), 5);

    let target = Memory::sparse();
    let sparse = copied(&store, "all", &target, &several(&["linux/arm64"], true))
        .await
        .expect("copied");
    assert_eq!(sparse.descriptor, top);
    assert_eq!(target.len(), 5);

    let error = copied(
        &store,
        "all",
        &Memory::new(),
        &several(&["linux/arm64", "linux/ppc64le"], false),
    )
    .await;
    let error = error.expect_err("no such image");
    assert_eq!((error.kind(), error.side()), (&ErrorKind::NotFound, Some(Side::Source)));
    assert!(
        error
            .to_string()
            .contains("it has images for: linux/amd64, linux/arm64"),
        "{error}"
    );

    let preserving = Options {
        preserve_digests: true,
        ..several(&["linux/arm64"], false)
    };
    let target = Memory::new();
    let error = copied(&store, "all", &target, &preserving)
        .await
        .expect_err("another digest");
    assert_eq!(error.kind(), &ErrorKind::Unsupported);
    assert!(target.is_empty(), "refused before anything was copied");

    let only = Options {
        which: Which::IndexOnly,
        ..Options::default()
    };
    let target = Memory::sparse();
    assert_eq!(
        copied(&store, "all", &target, &only).await.expect("copied").descriptor,
        top
    );
    assert_eq!(target.len(), 1);
}

#[tokio::test]
async fn attestations_stay_with_their_image() {
    let (store, images, _) = two_images().await;
    let attested = |of: &Image| {
        let mut descriptor = about(of, "example/attestation").document.descriptor();
        descriptor.platform = Some(Platform::new("unknown", "unknown"));
        let about = teu_spec::annotation::DOCKER_REFERENCE_DIGEST.to_owned();
        descriptor.annotations.insert(about, of.digest.to_string());
        descriptor
    };
    for image in &images {
        about(image, "example/attestation").put(&store, &[]).await.expect("put");
    }
    let mut manifests = index(&[&images[0], &images[1]]).children();
    manifests.extend(images.iter().map(attested));
    let document = Index::build(Format::Oci, &manifests).expect("an index");
    let names = ["all".to_owned()];
    store
        .put_manifest(&document, &Digest::of(document.raw()), &names, Default::default())
        .await
        .expect("put");
    let options = Options {
        which: Which::Several {
            platforms: vec![Platform::new("linux", "arm64")],
            sparse: false,
        },
        ..Options::default()
    };
    let target = Memory::new();
    let copied = copied(&store, "all", &target, &options).await.expect("copied");
    let kept = target.document(&copied.descriptor).await.expect("an index").children();
    assert_eq!(kept, [manifests[1].clone(), manifests[3].clone()]);
}

/// A store with one image in Docker's or OCI's form.
async fn one_image(takes: Takes, which: &str) -> (Memory, Image) {
    let store = Memory::new();
    let image = Image::small(takes, which);
    image.put(&store, &["all"]).await.expect("put");
    (store, image)
}

const DOCKER: Takes = Takes {
    indexes: false,
    oci: false,
    docker: true,
    uncompressed_only: false,
};

#[tokio::test]
async fn a_target_gets_the_form_that_it_takes() {
    let (store, image) = one_image(Takes::EVERYTHING, "one").await;
    let target = Memory::new().taking(DOCKER);
    let converted = copied(&store, "all", &target, &all()).await.expect("copied");
    assert_eq!(converted.descriptor.media_type, MediaType::DockerManifest);
    let Document::Manifest(manifest) = target.document(&converted.descriptor).await.expect("a manifest") else {
        panic!("an image");
    };
    let types: Vec<MediaType> = std::iter::once(&manifest.config)
        .chain(&manifest.layers)
        .map(|child| child.media_type.clone())
        .collect();
    assert_eq!(
        types,
        [MediaType::DockerConfig, MediaType::DockerLayer, MediaType::DockerLayer]
    );
    // Back again, it is what it was.
    let back = Memory::new();
    let options = Options {
        format: Some(Format::Oci),
        ..all()
    };
    let again = copied_from(&target, "copy", &back, &options).await;
    assert_eq!(again.descriptor.digest, image.digest);

    let preserving = Options {
        preserve_digests: true,
        ..all()
    };
    let target = Memory::new().taking(DOCKER);
    let error = copied(&store, "all", &target, &preserving)
        .await
        .expect_err("another digest");
    assert_eq!(error.kind(), &ErrorKind::Unsupported);
    assert!(target.is_empty(), "refused before anything was copied");

    let (store, _, _) = two_images().await;
    let error = copied(&store, "all", &Memory::new().taking(DOCKER), &all())
        .await
        .expect_err("an index");
    assert_eq!(
        (error.kind(), error.side()),
        (&ErrorKind::Unsupported, Some(Side::Destination))
    );
    let asked = Options {
        format: Some(Format::Oci),
        ..all()
    };
    let error = copied(&store, "all", &Memory::new().taking(DOCKER), &asked)
        .await
        .expect_err("no such form");
    assert_eq!(
        (error.kind(), error.side()),
        (&ErrorKind::Unsupported, Some(Side::Destination))
    );
}

async fn copied_from(source: &Memory, name: &str, target: &Memory, options: &Options) -> Copied {
    copied(source, name, target, options).await.expect("copied")
}

#[tokio::test]
async fn an_index_is_converted_with_its_images() {
    let (store, _, top) = two_images().await;
    let target = Memory::new();
    let options = Options {
        format: Some(Format::Docker),
        ..all()
    };
    let converted = copied(&store, "all", &target, &options).await.expect("copied");
    assert_eq!(converted.descriptor.media_type, MediaType::DockerManifestList);
    let children = target.document(&converted.descriptor).await.expect("a list").children();
    assert!(
        children
            .iter()
            .all(|child| child.media_type == MediaType::DockerManifest && child.platform.is_some())
    );
    let back = Memory::new();
    let options = Options {
        format: Some(Format::Oci),
        ..all()
    };
    assert_eq!(copied_from(&target, "copy", &back, &options).await.descriptor, top);
}

#[tokio::test]
async fn a_non_distributable_layer_is_left_where_it_is() {
    let store = Memory::new();
    let image = Image::small(Takes::EVERYTHING, "one");
    image.put(&store, &[]).await.expect("put");
    let mut children = image.document.children();
    children[1].media_type = MediaType::OciForeignLayer;
    children[1].urls = vec!["https://elsewhere.example/layer".to_owned()];
    let document = Manifest::build(Format::Oci, &children[0], &children[1..]).expect("a manifest");
    let digest = Digest::of(document.raw());
    store
        .put_manifest(&document, &digest, &["all".to_owned()], Default::default())
        .await
        .expect("put");
    let foreign = children[1].digest;
    let (read, written, copied, events) = goes(Rigged::of(&store), Rigged::default(), &all()).await;
    assert_eq!((copied.descriptor.digest, copied.blobs), (digest, 2));
    assert_eq!(read.count(|asked| *asked == Asked::Fetch(Role::Blob, foreign)), 0);
    assert_eq!(written.count(|asked| *asked == Asked::Ingest(Some(foreign))), 0);
    assert_eq!(ways(&events).iter().filter(|how| **how == How::LeftOut).count(), 1);
    let options = Options {
        foreign: Foreign::Copied,
        ..all()
    };
    let (_, written, copied, _) = goes(Rigged::of(&store), Rigged::default(), &options).await;
    assert_eq!((copied.descriptor.digest, copied.blobs), (digest, 3));
    assert_eq!(written.count(|asked| *asked == Asked::Ingest(Some(foreign))), 1);
}

#[tokio::test]
async fn expectations_reach_the_target() {
    let (store, _) = one_image(Takes::EVERYTHING, "one").await;
    let (target, other) = one_image(Takes::EVERYTHING, "two").await;
    let name = "all".to_owned();
    let (store, pick) = (Arc::new(store), Pick::Name(name.clone()));
    let options = Options {
        expect: crate::Expect::Absent,
        ..all()
    };
    let error = copy(store, &pick, Arc::new(target.clone()), &[name], &options, &silent())
        .await
        .expect_err("taken");
    assert_eq!(
        (error.kind(), error.side()),
        (&ErrorKind::Conflict, Some(Side::Destination))
    );
    assert_eq!(resolved(&target, "all").await.expect("resolved").digest, other.digest);
}

#[tokio::test]
async fn a_destination_that_names_a_digest_takes_that_image_alone() {
    let (source, _, top) = two_images().await;
    let wanted = |digest: Digest, which: Which| Options {
        digest: Some(digest),
        which,
        ..Options::default()
    };
    let platform = || Which::Several {
        platforms: vec![Platform::new("linux", "amd64")],
        sparse: false,
    };
    let target = Memory::new();
    copied(&source, "all", &target, &wanted(top.digest, Which::All))
        .await
        .expect("copied");

    let other = Digest::of(b"another");
    for which in [Which::All, platform()] {
        let target = Memory::new();
        let error = copied(&source, "all", &target, &wanted(other, which))
            .await
            .expect_err("refused");
        assert_eq!(
            (error.kind(), error.side()),
            (&ErrorKind::Mismatch, Some(Side::Destination))
        );
        assert!(
            error.to_string().contains(&format!("the destination asks for {other}")),
            "{error}"
        );
        assert_eq!(
            resolved(&target, "copy").await.expect_err("no name").kind(),
            &ErrorKind::NotFound
        );
    }
}
