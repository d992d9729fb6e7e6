//! What is made of indexes, between stores in memory.

use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::FutureExt;
use teu_spec::{Manifest, MediaType, annotation};

use super::*;
use crate::{
    Memory, Role, Takes,
    copy::Which,
    silent,
    suite::{Image, image::index as index_of},
};

fn all() -> Options {
    Options {
        which: Which::All,
        ..Options::default()
    }
}

fn named(name: &str) -> Pick {
    Pick::Name(name.to_owned())
}

/// An image whose config says that it is for this machine.
fn image_for(takes: Takes, seed: &str, os: &str, architecture: &str) -> Image {
    let mut image = Image::small(takes, seed);
    let config = String::from_utf8(image.blobs[0].to_vec()).expect("text");
    let config = config
        .replace(
            r#""architecture":"amd64""#,
            &format!(r#""architecture":"{architecture}""#),
        )
        .replace(r#""os":"linux""#, &format!(r#""os":"{os}""#));
    image.blobs[0] = config.into();
    let children = image.document.children();
    let config = Descriptor::of(children[0].media_type.clone(), &image.blobs[0]);
    image.document = Manifest::build(image.document.format(), &config, &children[1..]).expect("a manifest");
    image.digest = Digest::of(image.document.raw());
    image
}

/// A store with an image `name` for a machine.
async fn place(name: &str, architecture: &str) -> (Arc<Memory>, Image) {
    let store = Arc::new(Memory::new());
    let image = image_for(Takes::EVERYTHING, name, "linux", architecture);
    image.put(&*store, &[name]).await.expect("put");
    (store, image)
}

fn member(store: &Arc<Memory>, name: &str) -> Member {
    Member::new(Arc::clone(store) as Arc<dyn Source>, named(name))
}

/// A store whose index `app` lists an image for amd64 and one for arm64, made of two other stores.
async fn app() -> (Arc<Memory>, [Image; 2]) {
    let ((one_store, one), (two_store, two)) = (place("one", "amd64").await, place("two", "arm64").await);
    let target = Arc::new(Memory::new());
    let members = [member(&one_store, "one"), member(&two_store, "two")];
    let names = ["app".to_owned()];
    let made = create(&members, &New::default(), target.clone(), &names, &all(), &silent()).await;
    let made = made.expect("created");
    assert_eq!((made.before, made.copied.len()), (None, 2));
    (target, [one, two])
}

async fn listed(store: &Memory, name: &str) -> Vec<Descriptor> {
    let found = store.resolve(&named(name)).await.expect("resolved");
    store.document(&found).await.expect("an index").children()
}

/// Platform and digest of all that an index lists.
async fn shown(store: &Memory, name: &str) -> Vec<(String, Digest)> {
    let show = |child: &Descriptor| {
        let platform = child.platform.as_ref().map(Platform::to_string);
        (platform.unwrap_or_default(), child.digest)
    };
    listed(store, name).await.iter().map(show).collect()
}

async fn changed(store: &Arc<Memory>, change: &Change) -> Result<Changed> {
    super::change(store.clone(), &named("app"), change, &[], &all(), &silent()).await
}

#[tokio::test]
async fn an_index_is_made_of_images_of_other_places() {
    let (store, [one, two]) = app().await;
    let wanted = [
        ("linux/amd64".to_owned(), one.digest),
        ("linux/arm64".to_owned(), two.digest),
    ];
    assert_eq!(shown(&store, "app").await, wanted);
    for image in [&one, &two] {
        for child in image.document.children() {
            store.small_blob(&child).await.expect("it came along");
        }
    }
    let found = store.resolve(&named("app")).await.expect("resolved");
    assert_eq!(found.media_type, MediaType::OciIndex);
}

#[tokio::test]
async fn an_index_says_what_it_is_told_to() {
    let (source, image) = place("one", "amd64").await;
    let mut member = member(&source, "one");
    member.platform = Some(Platform::new("linux", "riscv64"));
    member.annotations = Annotations::from([("about".to_owned(), "the image".to_owned())]);
    let new = New {
        annotations: Annotations::from([("of".to_owned(), "the index".to_owned())]),
        artifact_type: Some("example/set".parse().expect("a type")),
    };
    let target = Arc::new(Memory::new());
    let names = ["a".to_owned(), "b".to_owned()];
    let made = create(&[member], &new, target.clone(), &names, &all(), &silent()).await;
    let made = made.expect("created");
    let document = target.document(&made.descriptor).await.expect("an index");
    let mut expected = image.document.descriptor();
    expected.platform = Some(Platform::new("linux", "riscv64"));
    expected.annotations = Annotations::from([("about".to_owned(), "the image".to_owned())]);
    assert_eq!(document.children(), [expected]);
    assert_eq!(document.annotations()["of"], "the index");
    assert_eq!(document.artifact_type(), Some("example/set"));
    for name in names {
        assert_eq!(target.resolve(&Pick::Name(name)).await.expect("named"), made.descriptor);
    }
}

#[tokio::test]
async fn an_index_as_a_member_gives_what_it_lists_or_itself() {
    let (source, [one, two]) = app().await;
    let made = async |options: &Options, nested: bool| {
        let target = Arc::new(Memory::new());
        let mut member = member(&source, "app");
        member.nested = nested;
        create(
            &[member],
            &New::default(),
            target.clone(),
            &["new".to_owned()],
            options,
            &silent(),
        )
        .await
        .expect("created");
        (shown(&target, "new").await, target)
    };
    let pair = |platform: &str, image: &Image| (platform.to_owned(), image.digest);
    let both = [pair("linux/amd64", &one), pair("linux/arm64", &two)];
    let arm64 = Platform::new("linux", "arm64");
    let which = |which: Which| Options {
        which,
        ..Options::default()
    };
    assert_eq!(made(&all(), false).await.0, both);
    assert_eq!(made(&which(Which::One(arm64.clone())), false).await.0, both[1..]);
    let several = Which::Several {
        platforms: vec![arm64.clone()],
        sparse: false,
    };
    let (found, target) = made(&which(several), false).await;
    assert_eq!(found, both[1..]);
    assert_eq!(target.len(), 5, "the other image stays where it is");
    let top = source.resolve(&named("app")).await.expect("resolved");
    for which in [all(), which(Which::One(arm64))] {
        let (found, target) = made(&which, true).await;
        assert_eq!(found, [(String::new(), top.digest)]);
        for image in [&one, &two] {
            target.document(&image.document.descriptor()).await.expect("below it");
        }
    }
}

#[tokio::test]
async fn what_is_for_one_machine_is_not_listed_twice() {
    let (one_store, one) = place("one", "amd64").await;
    let (two_store, two) = place("two", "amd64").await;
    let target = Arc::new(Memory::new());
    let mut members = [member(&one_store, "one"), member(&two_store, "two")];
    let names = ["app".to_owned()];
    let error = create(&members, &New::default(), target.clone(), &names, &all(), &silent())
        .await
        .expect_err("an oversight");
    assert_eq!(error.kind(), &ErrorKind::Invalid);
    assert!(error.to_string().contains("both for linux/amd64"), "{error}");
    assert_eq!(
        target.resolve(&named("app")).await.expect_err("not named").kind(),
        &ErrorKind::NotFound
    );
    members[1].beside = true;
    create(&members, &New::default(), target.clone(), &names, &all(), &silent())
        .await
        .expect("beside each other");
    let digests: Vec<Digest> = listed(&target, "app").await.iter().map(|child| child.digest).collect();
    assert_eq!(digests, [one.digest, two.digest]);
    // The same image given twice is one.
    let twice = [member(&one_store, "one"), member(&one_store, "one")];
    create(&twice, &New::default(), target.clone(), &names, &all(), &silent())
        .await
        .expect("created");
    assert_eq!(listed(&target, "app").await.len(), 1);
}

#[tokio::test]
async fn an_image_is_added_or_takes_the_place_of_its_platforms() {
    let (store, [one, two]) = app().await;
    let (third_store, third) = place("three", "s390x").await;
    let added = changed(&store, &Change::Add(vec![member(&third_store, "three")]))
        .await
        .expect("added");
    assert_eq!(added.names, ["app"]);
    let digests = async || {
        shown(&store, "app")
            .await
            .into_iter()
            .map(|(_, digest)| digest)
            .collect::<Vec<_>>()
    };
    assert_eq!(digests().await, [one.digest, two.digest, third.digest]);
    // Another one for amd64 stands where the old one stood; arm64 spelt otherwise is arm64.
    let (new_store, new_amd64) = place("new", "amd64").await;
    let (other_store, new_arm64) = place("other", "aarch64").await;
    let members = vec![member(&new_store, "new"), member(&other_store, "other")];
    let replaced = changed(&store, &Change::Add(members)).await.expect("replaced");
    assert_eq!(replaced.before.expect("before").digest, added.descriptor.digest);
    assert_eq!(digests().await, [new_amd64.digest, new_arm64.digest, third.digest]);
    // What is there already stays as it is, and nothing is written.
    let again = changed(&store, &Change::Add(vec![member(&third_store, "three")]))
        .await
        .expect("there");
    assert_eq!(again.descriptor.digest, replaced.descriptor.digest);
    // Unless something else is said of it.
    let mut stated = member(&third_store, "three");
    stated.platform = Some(Platform::new("linux", "s390"));
    changed(&store, &Change::Add(vec![stated])).await.expect("stated");
    assert_eq!(shown(&store, "app").await[2], ("linux/s390".to_owned(), third.digest));
}

/// `app` with something attested of its image for amd64.
async fn attested() -> (Arc<Memory>, [Image; 2], Digest) {
    let (store, images) = app().await;
    let attestation = Image::small(Takes::EVERYTHING, "attestation");
    attestation.put(&*store, &[]).await.expect("put");
    let mut descriptor = attestation.document.descriptor();
    descriptor.platform = Some(Platform::new("unknown", "unknown"));
    descriptor.annotations = Annotations::from([
        (
            annotation::DOCKER_REFERENCE_TYPE.to_owned(),
            "attestation-manifest".to_owned(),
        ),
        (
            annotation::DOCKER_REFERENCE_DIGEST.to_owned(),
            images[0].digest.to_string(),
        ),
    ]);
    let index = index_of(&[&images[0], &images[1]])
        .insert(2, &[descriptor])
        .expect("an index");
    let digest = Digest::of(index.raw());
    store
        .put_manifest(&index, &digest, &["app".to_owned()], Expect::Any)
        .await
        .expect("put");
    (store, images, attestation.digest)
}

#[tokio::test]
async fn images_go_with_what_is_attested_of_them() {
    let digests = async |store: &Memory| {
        shown(store, "app")
            .await
            .into_iter()
            .map(|(_, digest)| digest)
            .collect::<Vec<_>>()
    };
    let (store, [one, two], attestation) = attested().await;
    changed(&store, &Change::Remove(vec![Selector::Digest(two.digest)]))
        .await
        .expect("removed");
    assert_eq!(digests(&store).await, [one.digest, attestation]);
    changed(
        &store,
        &Change::Remove(vec!["linux/amd64".parse().expect("a platform")]),
    )
    .await
    .expect("removed");
    assert_eq!(digests(&store).await, []);

    let (store, [one, two], attestation) = attested().await;
    let filter = |machine: &str| Change::Filter(vec![Platform::new("linux", machine)]);
    changed(&store, &filter("amd64")).await.expect("filtered");
    assert_eq!(digests(&store).await, [one.digest, attestation]);
    let error = changed(&store, &filter("arm64")).await.expect_err("it is gone");
    assert_eq!(error.kind(), &ErrorKind::NotFound);

    // An image that is replaced was attested something; the new one was not. As a member, the index brings what is attested.
    let (store, _, attestation) = attested().await;
    let (new_store, new) = place("new", "amd64").await;
    let copy = Arc::new(Memory::new());
    create(
        &[member(&store, "app")],
        &New::default(),
        copy.clone(),
        &["app".to_owned()],
        &all(),
        &silent(),
    )
    .await
    .expect("created");
    assert_eq!(digests(&copy).await, [one.digest, two.digest, attestation]);
    changed(&copy, &Change::Add(vec![member(&new_store, "new")]))
        .await
        .expect("replaced");
    assert_eq!(digests(&copy).await, [new.digest, two.digest]);
}

#[tokio::test]
async fn what_is_not_there_cannot_be_changed() {
    let (store, [one, two]) = app().await;
    let before = store.resolve(&named("app")).await.expect("resolved");
    let absent = |selector: &str| Change::Remove(vec![selector.parse().expect("a selector")]);
    for change in [
        absent("linux/ppc64le"),
        absent("linux/amd64/v3"),
        absent("windows/amd64"),
        absent(&format!("sha256:{}", "0".repeat(64))),
    ] {
        let error = changed(&store, &change).await.expect_err("absent");
        assert_eq!(error.kind(), &ErrorKind::NotFound);
        let (one, two) = (one.digest.to_string(), two.digest.to_string());
        assert!(
            error.to_string().contains(&one) && error.to_string().contains(&two),
            "{error}"
        );
    }
    let error = super::change(
        store.clone(),
        &Pick::Digest(one.digest),
        &absent("linux/amd64"),
        &["app".to_owned()],
        &all(),
        &silent(),
    )
    .await
    .expect_err("an image");
    assert_eq!(error.kind(), &ErrorKind::Invalid);
    assert_eq!(store.resolve(&named("app")).await.expect("resolved"), before);
    for wrong in ["sha256:abc", "md5:00", "linux/amd64/v1/x", ""] {
        assert_eq!(
            wrong.parse::<Selector>().expect_err("wrong").kind(),
            &ErrorKind::Invalid,
            "{wrong}"
        );
    }
}

#[tokio::test]
async fn index_and_images_are_annotated() {
    let (store, [one, two]) = app().await;
    let set = |key: &str, value: Option<&str>| BTreeMap::from([(key.to_owned(), value.map(str::to_owned))]);
    let annotate = |of: Option<&str>, annotations, platform| Change::Annotate {
        of: of.map(|of| of.parse().expect("a selector")),
        annotations,
        platform,
    };
    changed(&store, &annotate(None, set("a", Some("1")), None))
        .await
        .expect("the index");
    let amd64 = Platform {
        variant: "v2".to_owned(),
        ..Platform::new("linux", "amd64")
    };
    let of = one.digest.to_string();
    changed(&store, &annotate(Some(&of), set("b", Some("2")), Some(amd64.clone())))
        .await
        .expect("an image by digest");
    changed(&store, &annotate(Some("arm64"), set("c", Some("3")), None))
        .await
        .expect("an image by platform");
    let found = store.resolve(&named("app")).await.expect("resolved");
    let document = store.document(&found).await.expect("an index");
    assert_eq!(
        *document.annotations(),
        Annotations::from([("a".to_owned(), "1".to_owned())])
    );
    let children = document.children();
    assert_eq!((children[0].digest, &children[0].platform), (one.digest, &Some(amd64)));
    assert_eq!(
        children[0].annotations,
        Annotations::from([("b".to_owned(), "2".to_owned())])
    );
    assert_eq!(
        (children[1].digest, &children[1].annotations["c"]),
        (two.digest, &"3".to_owned())
    );
    changed(&store, &annotate(Some(&of), set("b", None), None))
        .await
        .expect("removed");
    assert_eq!(listed(&store, "app").await[0].annotations, Annotations::new());
    let error = changed(&store, &annotate(None, BTreeMap::new(), Some(Platform::host())))
        .await
        .expect_err("an index is for no machine");
    assert_eq!(error.kind(), &ErrorKind::Invalid);
}

#[tokio::test]
async fn what_is_not_changed_keeps_its_bytes() {
    let (store, [one, two]) = app().await;
    let index = |list: &str| {
        format!(
            "{{\"schemaVersion\": 2,\n\t\"x-own\": [1.50],\n\t\"mediaType\": \"{}\",\n\t\"manifests\": [{list}]}}",
            MediaType::OciIndex
        )
    };
    let entry = |image: &Image, architecture: &str| {
        format!(
            "{{\"digest\": \"{}\", \"x-kept\": null, \"size\": {}, \"mediaType\": \"{}\", \"platform\": {{\"os\":\"linux\",\"architecture\":\"{architecture}\"}}}}",
            image.digest,
            image.document.raw().len(),
            MediaType::OciManifest,
        )
    };
    let (one, two) = (entry(&one, "amd64"), entry(&two, "arm64"));
    let document = Document::parse(index(&format!("{one}, {two}")).into(), None).expect("an index");
    store
        .put_manifest(&document, &Digest::of(document.raw()), &["app".to_owned()], Expect::Any)
        .await
        .expect("put");
    changed(&store, &Change::Remove(vec!["amd64".parse().expect("a platform")]))
        .await
        .expect("removed");
    let found = store.resolve(&named("app")).await.expect("resolved");
    let after = store.document(&found).await.expect("an index");
    assert_eq!(*after.raw(), index(&two));
}

#[tokio::test]
async fn a_list_of_dockers_form_takes_what_it_can_hold() {
    let docker = Takes {
        oci: false,
        ..Takes::EVERYTHING
    };
    let source = Arc::new(Memory::new());
    let image = image_for(docker, "docker", "linux", "amd64");
    image.put(&*source, &["docker"]).await.expect("put");
    let store = Arc::new(Memory::new());
    let made = create(
        &[member(&source, "docker")],
        &New::default(),
        store.clone(),
        &["app".to_owned()],
        &all(),
        &silent(),
    )
    .await
    .expect("created");
    assert_eq!(made.descriptor.media_type, MediaType::DockerManifestList);
    // An image in OCI's form is converted on its way in.
    let (other, oci) = place("oci", "arm64").await;
    changed(&store, &Change::Add(vec![member(&other, "oci")]))
        .await
        .expect("added");
    let children = listed(&store, "app").await;
    assert_eq!(children[1].media_type, MediaType::DockerManifest);
    assert_ne!(children[1].digest, oci.digest);
    // What has no place in it is refused, and the list is what it was.
    let mut annotated = member(&other, "oci");
    annotated.platform = Some(Platform::new("linux", "s390x"));
    annotated.annotations = Annotations::from([("a".to_owned(), "1".to_owned())]);
    let index_annotation = Change::Annotate {
        of: None,
        annotations: BTreeMap::from([("a".to_owned(), Some("1".to_owned()))]),
        platform: None,
    };
    for change in [Change::Add(vec![annotated]), index_annotation] {
        let error = changed(&store, &change).await.expect_err("no place");
        assert_eq!(error.kind(), &ErrorKind::Unsupported);
        assert!(error.to_string().contains("convert it to oci first"), "{error}");
    }
    assert_eq!(listed(&store, "app").await, children);
    // Mixed, or where it is asked for, the index is OCI's.
    let mixed = [member(&source, "docker"), member(&other, "oci")];
    let made = create(
        &mixed,
        &New::default(),
        store.clone(),
        &["mixed".to_owned()],
        &all(),
        &silent(),
    )
    .await
    .expect("created");
    assert_eq!(made.descriptor.media_type, MediaType::OciIndex);
    let digests: Vec<Digest> = listed(&store, "mixed").await.iter().map(|child| child.digest).collect();
    assert_eq!(digests, [image.digest, oci.digest], "images keep their bytes");
}

#[tokio::test]
async fn a_list_of_mixed_forms_can_be_changed() {
    let (store, [one, two]) = app().await;
    let mut children = index_of(&[&one, &two]).children();
    children[1].annotations = Annotations::from([("a".to_owned(), "1".to_owned())]);
    let mixed = Index::build(Format::Docker, &children).expect("a list");
    let digest = Digest::of(mixed.raw());
    let names = ["app".to_owned()];
    store
        .put_manifest(&mixed, &digest, &names, Expect::Any)
        .await
        .expect("put");
    let remove = Change::Remove(vec![Selector::Digest(one.digest)]);
    let done = changed(&store, &remove).await.expect("removed");
    assert_eq!(done.descriptor.media_type, MediaType::DockerManifestList);
    assert_eq!(listed(&store, "app").await, children[1..]);
}

/// Events during which, just before the index `app` is written, another writer makes it list `other` alone; so many times.
fn interfering(store: &Arc<Memory>, other: &Image, times: usize) -> Events {
    let (store, other, left) = (store.clone(), other.clone(), AtomicUsize::new(times));
    Arc::new(move |event| {
        let Event::ManifestStarted { descriptor } = event else {
            return;
        };
        let again = |left: usize| left.checked_sub(1);
        if !descriptor.media_type.is_index() || left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, again).is_err() {
            return;
        }
        // Each is another index, as each moves the name.
        let count = BTreeMap::from([("count".to_owned(), Some(left.load(Ordering::SeqCst).to_string()))]);
        let index = index_of(&[&other]).annotate(&count).expect("an index");
        let digest = Digest::of(index.raw());
        let names = ["app".to_owned()];
        let put = store.put_manifest(&index, &digest, &names, Expect::Any);
        put.now_or_never().expect("at once").expect("put");
    })
}

#[tokio::test]
async fn a_change_begins_anew_where_another_came_first() {
    let (store, [one, _]) = app().await;
    let (source, added) = place("three", "s390x").await;
    let change = Change::Add(vec![member(&source, "three")]);
    let events = interfering(&store, &one, 2);
    let done = super::change(store.clone(), &named("app"), &change, &[], &all(), &events)
        .await
        .expect("changed");
    let digests: Vec<Digest> = listed(&store, "app").await.iter().map(|child| child.digest).collect();
    assert_eq!(digests, [one.digest, added.digest]);
    assert_eq!(done.copied.len(), 1, "what was copied is not copied again");
    // It does not go on for ever, and a person's own expectation is not given up.
    let expecting = Options {
        expect: Expect::Digest(done.descriptor.digest),
        ..all()
    };
    for (times, options) in [(ATTEMPTS, all()), (1, expecting)] {
        let change = Change::Remove(vec!["amd64".parse().expect("a platform")]);
        let events = interfering(&store, &one, times);
        let error = super::change(store.clone(), &named("app"), &change, &[], &options, &events)
            .await
            .expect_err("another came first");
        assert_eq!(error.kind(), &ErrorKind::Conflict);
    }
}

#[tokio::test]
async fn a_name_is_moved_only_from_where_it_was_expected() {
    let (store, [one, _]) = app().await;
    let before = store.resolve(&named("app")).await.expect("resolved");
    let remove = Change::Remove(vec!["amd64".parse().expect("a platform")]);
    let options = Options {
        expect: Expect::Digest(one.digest),
        ..all()
    };
    let error = super::change(store.clone(), &named("app"), &remove, &[], &options, &silent())
        .await
        .expect_err("it points elsewhere");
    assert_eq!(
        (error.kind(), error.side()),
        (&ErrorKind::Conflict, Some(Side::Destination))
    );
    assert_eq!(store.resolve(&named("app")).await.expect("resolved"), before);
    // Under another name the old one stays.
    let names = ["smaller".to_owned()];
    let done = super::change(store.clone(), &named("app"), &remove, &names, &all(), &silent())
        .await
        .expect("changed");
    assert_eq!(store.resolve(&named("app")).await.expect("resolved"), before);
    assert_eq!(
        store.resolve(&named("smaller")).await.expect("resolved"),
        done.descriptor
    );
    let error = super::change(
        store.clone(),
        &Pick::Digest(before.digest),
        &remove,
        &[],
        &all(),
        &silent(),
    )
    .await
    .expect_err("no name");
    assert!(error.to_string().contains("by no name"), "{error}");
}

#[tokio::test]
async fn an_index_has_what_it_lists() {
    let (store, [one, two]) = app().await;
    // A member that is broken is not listed, and the index stays.
    let (source, image) = place("three", "s390x").await;
    let blob = image.document.children()[2].digest;
    source.insert_unchecked(blob, "something else");
    let before = listed(&store, "app").await;
    let error = changed(&store, &Change::Add(vec![member(&source, "three")]))
        .await
        .expect_err("broken");
    assert_eq!((error.kind(), error.side()), (&ErrorKind::Mismatch, Some(Side::Source)));
    assert_eq!(listed(&store, "app").await, before);
    let target = Arc::new(Memory::new().taking(Takes {
        indexes: false,
        ..Takes::EVERYTHING
    }));
    let error = create(
        &[member(&store, "app")],
        &New::default(),
        target.clone(),
        &["x".to_owned()],
        &all(),
        &silent(),
    )
    .await
    .expect_err("no indexes there");
    assert_eq!(error.kind(), &ErrorKind::Unsupported);
    assert!(target.is_empty());
    // What is there already is listed without being copied.
    let options = Options {
        which: Which::IndexOnly,
        ..Options::default()
    };
    let made = create(
        &[member(&store, "app")],
        &New::default(),
        store.clone(),
        &["again".to_owned()],
        &options,
        &silent(),
    )
    .await
    .expect("created");
    assert_eq!(made.copied, []);
    let digests: Vec<Digest> = listed(&store, "again").await.iter().map(|child| child.digest).collect();
    assert_eq!(digests, [one.digest, two.digest]);
    let stat = store
        .stat(Role::Manifest, &made.descriptor.digest, crate::Intent::Read)
        .await;
    assert!(stat.expect("asked").is_some());
}
