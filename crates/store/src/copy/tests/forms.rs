//! What becomes of an image that changes its form: what can be said in both is the same afterwards, and what cannot is an error or told.

use bytes::Bytes;
use teu_spec::{Annotations, Document, Format, Index, Manifest, MediaType};

use super::*;
use crate::{
    ErrorKind, Expect,
    suite::image::{layer, put},
};

fn form(format: Format) -> Options {
    Options {
        format: Some(format),
        ..all()
    }
}

/// Copies `all` to another store, and says what was warned of.
async fn goes(source: &Memory, options: &Options) -> (Result<Copied>, Memory, Vec<String>) {
    let (events, happened) = recorded();
    let (source, pick) = (Arc::new(source.clone()), Pick::Name("all".to_owned()));
    let target = Memory::new();
    let names = ["all".to_owned()];
    let copied = copy(source, &pick, Arc::new(target.clone()), &names, options, &events).await;
    let happened = happened.lock().expect("events");
    let warnings = happened.iter().filter_map(|event| match event {
        Event::Warning { message } => Some(message.clone()),
        _ => None,
    });
    (copied, target, warnings.collect())
}

/// A store whose `all` is what `change` makes of the manifest of a small image.
async fn of(change: impl FnOnce(&Document, &Memory) -> Document) -> Memory {
    let store = Memory::sparse();
    let image = Image::small(Takes::EVERYTHING, "one");
    image.put(&store, &[]).await.expect("put");
    let document = change(&image.document, &store);
    put(&store, &document, &["all"], Expect::Any).await.expect("put");
    store
}

fn note() -> Annotations {
    Annotations::from([("org.example.note".to_owned(), "x".to_owned())])
}

fn annotated(document: &Document) -> Document {
    let note = note().into_iter().map(|(key, value)| (key, Some(value)));
    document.annotate(&note.collect()).expect("annotated")
}

#[tokio::test]
async fn what_dockers_form_cannot_keep_is_told() {
    let subject = Descriptor::of(MediaType::OciManifest, b"elsewhere");
    let manifest = of(|image, _| {
        let mut children = image.children();
        children[1].annotations = note();
        children[2].data = Some(Bytes::from_static(b"x"));
        let image = Manifest::build(Format::Oci, &children[0], &children[1..]).expect("a manifest");
        let image = image.with_subject(Some(&subject)).expect("about something");
        annotated(&image.with_artifact_type(Some("example/kind")).expect("a kind"))
    })
    .await;
    let (copied, target, warnings) = goes(&manifest, &form(Format::Docker)).await;
    let copied = copied.expect("copied");
    let lost = [
        "the annotations of child 1 (org.example.note)",
        "the embedded data of child 2",
        "the annotations (org.example.note)",
        "the artifact type (example/kind)",
        &format!("the subject ({})", subject.digest),
    ];
    assert_eq!(warnings.len(), lost.len(), "{warnings:?}");
    for (warning, lost) in warnings.iter().zip(lost) {
        assert!(
            warning.ends_with(&format!(" loses what Docker's form has no place for: {lost}")),
            "{warning}"
        );
    }
    let document = target.document(&copied.descriptor).await.expect("a manifest");
    assert_eq!(document.annotations(), &Annotations::new());
    // In its own form it says all that it said, and nothing is told.
    let (copied, _, warnings) = goes(&manifest, &form(Format::Oci)).await;
    let copied = copied.expect("copied");
    assert_eq!(copied.descriptor, copied.source);
    assert_eq!(warnings, Vec::<String>::new());

    let index = of(|image, _| {
        let mut child = image.descriptor();
        child.platform = Some(Platform::new("linux", "amd64"));
        child.annotations = note();
        annotated(&Index::build(Format::Oci, &[child]).expect("an index"))
    })
    .await;
    let (copied, _, warnings) = goes(&index, &form(Format::Docker)).await;
    copied.expect("copied");
    assert_eq!(warnings.len(), 2, "{warnings:?}");
}

#[tokio::test]
async fn what_dockers_form_cannot_hold_is_refused() {
    type Case = (&'static str, fn(&Document, &Memory) -> Document);
    let cases: [Case; 6] = [
        ("an artifact and no image; copy it as oci", |image, store| {
            store.insert_blob("{}");
            let empty = Descriptor::of(MediaType::OciEmpty, b"{}");
            Manifest::build(Format::Oci, &empty, &image.children()[1..]).expect("a manifest")
        }),
        ("recompress it with gzip, or copy it as oci", |image, store| {
            let zstd = layer("zstd", b"not really");
            store.insert_blob(zstd.clone());
            let zstd = Descriptor::of(MediaType::OciLayerZstd, &zstd);
            Manifest::build(Format::Oci, &image.children()[0], &[zstd]).expect("a manifest")
        }),
        (
            "application/vnd.in-toto+json; it is an attestation: take it out of the index (teu index rm), or copy it as oci",
            |image, store| {
                store.insert_blob("statement");
                let statement = Descriptor::of(MediaType::from("application/vnd.in-toto+json"), b"statement");
                Manifest::build(Format::Oci, &image.children()[0], &[statement]).expect("a manifest")
            },
        ),
        ("has no platform", |image, _| {
            Index::build(Format::Oci, &[image.descriptor()]).expect("an index")
        }),
        ("an index, which a manifest list cannot hold", |image, store| {
            let mut child = image.descriptor();
            child.platform = Some(Platform::new("linux", "amd64"));
            let inner = Index::build(Format::Oci, &[child]).expect("an index");
            let digest = Digest::of(inner.raw());
            let put = store.put_manifest(&inner, &digest, &[], Expect::Any);
            futures_util::FutureExt::now_or_never(put)
                .expect("at once")
                .expect("put");
            let mut inner = inner.descriptor();
            inner.platform = Some(Platform::new("linux", "amd64"));
            Index::build(Format::Oci, &[inner]).expect("an index")
        }),
        ("was not converted", |image, _| {
            // A manifest that is not there, so that nobody can convert it.
            let mut absent = Descriptor::of(MediaType::OciManifest, b"absent");
            absent.platform = Some(Platform::new("linux", "arm64"));
            let mut child = image.descriptor();
            child.platform = Some(Platform::new("linux", "amd64"));
            Index::build(Format::Oci, &[child, absent]).expect("an index")
        }),
    ];
    for (reason, change) in cases {
        let store = of(change).await;
        let mut options = form(Format::Docker);
        if reason == "was not converted" {
            options.which = Which::Several {
                platforms: vec![Platform::new("linux", "amd64")],
                sparse: true,
            };
        }
        let (copied, target, _) = goes(&store, &options).await;
        let error = copied.expect_err(reason);
        assert_eq!(error.kind(), &ErrorKind::Unsupported, "{error}");
        assert!(error.to_string().contains(reason), "{error}");
        let named = resolved(&target, "all").await.expect_err("not named");
        assert_eq!(named.kind(), &ErrorKind::NotFound);
    }
}

#[tokio::test]
async fn an_index_within_an_index_arrives_with_all_below() {
    let (source, images, top) = two_images().await;
    let single = Image::small(Takes::EVERYTHING, "single");
    single.put(&source, &[]).await.expect("put");
    let mut within = top.clone();
    within.annotations = note();
    let outer = Index::build(Format::Oci, &[single.document.descriptor(), within]).expect("an index");
    let outer = put(&source, &outer, &["outer"], Expect::Any).await.expect("put");
    let target = Memory::new();
    let whole = copied(&source, "outer", &target, &all()).await.expect("copied");
    assert_eq!((whole.descriptor, whole.manifests), (outer, 5));
    for image in images.iter().chain([&single]) {
        for child in image.document.children() {
            target.small_blob(&child).await.expect("a blob");
        }
    }
    // One machine's image is found in the inner one.
    let options = Options {
        which: Which::One(Platform::new("linux", "arm64")),
        ..Options::default()
    };
    let outer = Index::build(Format::Oci, &[top]).expect("an index");
    put(&source, &outer, &["only"], Expect::Any).await.expect("put");
    let one = copied(&source, "only", &Memory::new(), &options).await.expect("copied");
    assert_eq!(one.descriptor.digest, images[1].digest);
}

#[tokio::test]
async fn an_image_is_found_by_its_digest() {
    let (source, images, _) = two_images().await;
    let target = Arc::new(Memory::new());
    let pick = Pick::Digest(images[1].digest);
    let names = ["copy".to_owned()];
    let copied = copy(
        Arc::new(source.clone()),
        &pick,
        target.clone(),
        &names,
        &all(),
        &silent(),
    )
    .await
    .expect("copied");
    assert_eq!(copied.descriptor, images[1].document.descriptor());
    assert_eq!(resolved(&target, "copy").await.expect("named"), copied.descriptor);
    let pick = Pick::Digest(Digest::of(b"absent"));
    let error = copy(Arc::new(source), &pick, target, &names, &all(), &silent())
        .await
        .expect_err("absent");
    assert_eq!(
        (error.kind(), error.side()),
        (&ErrorKind::NotFound, Some(crate::Side::Source))
    );
}

#[tokio::test]
async fn what_is_about_an_image_that_changes_is_left_out_and_told() {
    let source = Memory::new();
    let image = Image::small(Takes::EVERYTHING, "one");
    image.put(&source, &["all"]).await.expect("put");
    let signature = about(&image, "example/signature");
    signature.put(&source, &[]).await.expect("put");
    let options = Options {
        referrers: true,
        ..form(Format::Docker)
    };
    let (copied, target, warnings) = goes(&source, &options).await;
    assert_eq!(copied.expect("copied").referrers, []);
    assert_eq!(target.len(), 4, "the image alone");
    let told = |warning: &String| warning.contains(&image.digest.to_string()) && warning.contains("(1 manifests)");
    assert!(warnings.iter().any(told), "{warnings:?}");
}

#[tokio::test]
async fn a_list_of_mixed_forms_stays_what_it_is() {
    let store = of(|image, _| {
        let mut child = image.descriptor();
        child.platform = Some(Platform::new("linux", "amd64"));
        // Some tools name OCI's manifests in Docker's lists.
        Index::build(Format::Docker, &[child]).expect("a list")
    })
    .await;
    let (copied, _, warnings) = goes(&store, &all()).await;
    let copied = copied.expect("copied");
    assert_eq!(copied.descriptor, copied.source);
    assert_eq!(copied.descriptor.media_type, MediaType::DockerManifestList);
    assert_eq!(warnings, Vec::<String>::new());
}
