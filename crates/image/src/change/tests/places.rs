//! Where an edited image goes, and what happens where that fails.

use std::sync::atomic::{AtomicUsize, Ordering};

use teu_store::{
    Adopt, Browse, Delete, Expected, FetchOptions, Fetched, Ingest, Intent, Local, Mount, Origin, Resume, Sweep, Takes,
};

use super::*;

/// The image `app` of one store, changed, as `new` in another.
async fn moved(source: &Memory, target: &Memory, change: &dyn Change, options: &Options) -> Result<Changed> {
    let (source, target) = (Arc::new(source.clone()), Arc::new(target.clone()));
    into(
        source,
        &named("app"),
        target,
        &["new".to_owned()],
        change,
        options,
        &silent(),
    )
    .await
}

#[tokio::test]
async fn what_is_not_changed_comes_along_and_the_source_stays() {
    let (source, target) = (Memory::new(), Memory::new());
    let (amd, arm) = (image(&source, "amd64").await, image(&source, "arm64").await);
    let (_, top) = index(&source, "app", &[(&amd, "amd64"), (&arm, "arm64")]).await;
    let before = source.len();
    let done = moved(&source, &target, &command("bash"), &for_machine("amd64")).await;
    let done = done.expect("changed");
    assert_eq!((done.before.digest, source.len()), (top.digest, before));
    assert_eq!(resolved(&target, "new").await, done.descriptor);
    let children = document(&target, &done.descriptor).await.children();
    assert_eq!(children[1].digest, arm.descriptor.digest);
    assert!(config(&target, &children[0]).await.contains("bash"));
    for child in document(&target, &children[1]).await.children() {
        target.small_blob(&child).await.expect("it came along");
    }
}

#[tokio::test]
async fn a_form_that_is_asked_for_is_that_of_the_chosen_images() {
    let (source, target) = (Memory::new(), Memory::new());
    let (amd, arm) = (
        image_of(&source, Format::Docker, "amd64", |config| config).await,
        image_of(&source, Format::Docker, "arm64", |config| config).await,
    );
    index(&source, "app", &[(&amd, "amd64"), (&arm, "arm64")]).await;
    let mut options = for_machine("amd64");
    options.copy.format = Some(Format::Oci);
    let done = moved(&source, &target, &Each(|_: &mut Image| Ok(())), &options).await;
    let children = document(&target, &done.expect("changed").descriptor).await.children();
    let types: Vec<_> = children.iter().map(|child| child.media_type.clone()).collect();
    assert_eq!(types, [MediaType::OciManifest, MediaType::DockerManifest]);
    assert_eq!(children[1].digest, arm.descriptor.digest);
}

#[tokio::test]
async fn a_place_for_single_images_gets_the_one_that_is_chosen() {
    let source = Memory::new();
    let (amd, arm) = (image(&source, "amd64").await, image(&source, "arm64").await);
    index(&source, "app", &[(&amd, "amd64"), (&arm, "arm64")]).await;
    let target = Memory::new().taking(Takes {
        indexes: false,
        ..Takes::EVERYTHING
    });
    let change = command("bash");
    let error = moved(&source, &target, &change, &Options::default())
        .await
        .expect_err("an index");
    assert_eq!(*error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().ends_with("is an index; choose a platform"), "{error}");
    assert!(target.is_empty());
    let done = moved(&source, &target, &change, &for_machine("arm64"))
        .await
        .expect("changed");
    assert!(config(&target, &done.descriptor).await.contains("bash"));
}

#[tokio::test]
async fn a_sparse_index_is_changed_where_it_is() {
    let store = Memory::sparse();
    let elsewhere = Memory::new();
    let (amd, arm) = (image(&store, "amd64").await, image(&elsewhere, "arm64").await);
    index(&store, "app", &[(&amd, "amd64"), (&arm, "arm64")]).await;
    let done = changed_with(&store, &named("app"), &command("bash"), &for_machine("amd64")).await;
    let children = document(&store, &done.expect("changed").descriptor).await.children();
    assert!(config(&store, &children[0]).await.contains("bash"));
    assert_eq!(children[1].digest, arm.descriptor.digest);
}

#[tokio::test]
async fn an_image_that_was_found_by_its_digest_has_no_name_to_move() {
    let store = Memory::new();
    let made = image(&store, "amd64").await;
    let pick = Pick::Digest(made.descriptor.digest);
    let before = store.len();
    let error = changed_with(&store, &pick, &command("bash"), &Options::default()).await;
    let error = error.expect_err("no name");
    let message = "was found by no name, so there is none to move; say what the changed one is called (--to), or name it first (teu tag)";
    assert!(error.to_string().ends_with(message), "{error}");
    assert_eq!(store.len(), before);
}

/// The manifests that a store lists without a name.
async fn nameless(store: &Memory) -> Vec<Digest> {
    let page = store.browse().expect("it lists").names(None).await.expect("listed");
    let nameless = page.items.into_iter().filter(|named| named.name.is_none());
    nameless
        .map(|named| named.descriptor.expect("a manifest").digest)
        .collect()
}

#[tokio::test]
async fn an_image_without_a_name_is_replaced_where_it_is() {
    for pick in [Pick::Only, Pick::At(0)] {
        let store = Memory::new();
        let made = image(&store, "amd64").await;
        let done = changed_with(&store, &pick, &command("bash"), &Options::default()).await;
        let done = done.expect("changed");
        assert_eq!(
            (done.before.digest, done.names.len()),
            (made.descriptor.digest, 0),
            "{pick:?}"
        );
        assert_eq!(nameless(&store).await, [done.descriptor.digest], "{pick:?}");
        assert!(config(&store, &done.descriptor).await.contains("bash"));
    }
}

#[tokio::test]
async fn what_comes_without_a_name_takes_the_place_of_what_it_was_made_of_and_of_nothing_else() {
    let store = Memory::new();
    let made = image(&store, "amd64").await.descriptor.digest;
    // Such as a signature, or another image.
    let other = image(&store, "arm64").await.descriptor.digest;
    let into_it = async |from: &Memory, pick: Pick, word: &'static str| {
        let (source, target) = (Arc::new(from.clone()), Arc::new(store.clone()));
        let (change, options) = (command(word), Options::default());
        let done = into(source, &pick, target, &[], &change, &options, &silent()).await;
        done.expect("changed").descriptor.digest
    };
    let sorted = |mut all: Vec<Digest>| {
        all.sort();
        all
    };
    let first = into_it(&store, Pick::Digest(made), "one").await;
    assert_eq!(sorted(nameless(&store).await), sorted(vec![first, other]));
    let elsewhere = Memory::new();
    image(&elsewhere, "s390x").await;
    let second = into_it(&elsewhere, Pick::Only, "two").await;
    assert_eq!(sorted(nameless(&store).await), sorted(vec![first, other, second]));
}

/// A store that does as it is told until it has done so much; and one whose name another moves in between.
struct Rigged {
    store: Memory,
    /// What it still does.
    left: AtomicUsize,
    /// What another puts under the name `app` before a manifest is put, once.
    other: std::sync::Mutex<Option<Document>>,
}

impl Rigged {
    fn new(store: &Memory, left: usize) -> Self {
        Self {
            store: store.clone(),
            left: AtomicUsize::new(left),
            other: std::sync::Mutex::default(),
        }
    }

    fn step(&self) -> Result<()> {
        let left = self.left.load(Ordering::Relaxed);
        self.left.store(left.saturating_sub(1), Ordering::Relaxed);
        match left {
            0 => Err(Error::new(ErrorKind::Io, "the disk is gone")),
            _ => Ok(()),
        }
    }
}

impl Source for Rigged {
    fn resolve<'a>(&'a self, pick: &'a Pick) -> BoxFuture<'a, Result<Descriptor>> {
        self.store.resolve(pick)
    }
    fn stat<'a>(&'a self, role: Role, digest: &'a Digest, intent: Intent) -> BoxFuture<'a, Result<Option<Descriptor>>> {
        self.store.stat(role, digest, intent)
    }
    fn fetch<'a>(&'a self, role: Role, digest: &'a Digest, options: FetchOptions) -> BoxFuture<'a, Result<Fetched>> {
        self.store.fetch(role, digest, options)
    }
    fn browse(&self) -> Option<&dyn Browse> {
        None
    }
    fn local(&self) -> Option<&dyn Local> {
        None
    }
    fn is_closed(&self) -> bool {
        true
    }
    fn origin(&self) -> Option<Origin> {
        None
    }
}

impl Target for Rigged {
    fn ingest(&self, expected: Expected) -> BoxFuture<'_, Result<Box<dyn Ingest>>> {
        Box::pin(async move {
            self.step()?;
            self.store.ingest(expected).await
        })
    }
    fn put_manifest<'a>(
        &'a self,
        document: &'a Document,
        digest: &'a Digest,
        names: &'a [String],
        expect: Expect,
    ) -> BoxFuture<'a, Result<Descriptor>> {
        Box::pin(async move {
            self.step()?;
            let other = self.other.lock().expect("no one panics").take();
            if let Some(other) = other {
                put(&self.store, &other, &["app"]).await;
            }
            self.store.put_manifest(document, digest, names, expect).await
        })
    }
    fn finish(&self) -> BoxFuture<'_, Result<()>> {
        self.store.finish()
    }
    fn takes(&self) -> Takes {
        Takes::EVERYTHING
    }
    fn readable(&self) -> Option<&dyn Source> {
        Some(self)
    }
    fn mount(&self) -> Option<&dyn Mount> {
        None
    }
    fn adopt(&self) -> Option<&dyn Adopt> {
        None
    }
    fn resume(&self) -> Option<&dyn Resume> {
        None
    }
    fn delete(&self) -> Option<&dyn Delete> {
        None
    }
    fn sweep(&self) -> Option<&dyn Sweep> {
        None
    }
}

#[tokio::test]
async fn wherever_it_fails_the_name_is_what_it_was() {
    let (amd, arm) = ("amd64", "arm64");
    let mut failures = 0;
    for steps in 0.. {
        let store = Memory::new();
        let (one, two) = (image(&store, amd).await, image(&store, arm).await);
        let (_, top) = index(&store, "app", &[(&one, amd), (&two, arm)]).await;
        let rigged = Arc::new(Rigged::new(&store, steps));
        let done = in_place(rigged, &named("app"), &command("bash"), &Options::default(), &silent()).await;
        let now = resolved(&store, "app").await;
        match done {
            Err(error) => {
                assert_eq!(*error.kind(), ErrorKind::Io);
                assert_eq!(now.digest, top.digest, "after {steps} steps");
                failures += 1;
            }
            Ok(done) => {
                assert_eq!(now, done.descriptor);
                break;
            }
        }
    }
    // Two configs, two manifests, the index.
    assert_eq!(failures, 5);
}

#[tokio::test]
async fn of_two_changes_at_once_neither_is_lost() {
    let store = Memory::new();
    let made = image(&store, "amd64").await;
    put(&store, &made.document, &["app"]).await;
    let annotated = made
        .document
        .annotate(&[("by".to_owned(), Some("another".to_owned()))].into());
    let rigged = Rigged::new(&store, usize::MAX);
    *rigged.other.lock().expect("no one panics") = annotated.ok();
    let calls = AtomicUsize::new(0);
    let counted = Each(|image: &mut Image| {
        calls.fetch_add(1, Ordering::Relaxed);
        image.set_config("author", Some("me"))
    });
    let pick = named("app");
    let done = in_place(Arc::new(rigged), &pick, &counted, &Options::default(), &silent()).await;
    let done = done.expect("changed");
    let new = document(&store, &done.descriptor).await;
    assert_eq!(new.annotations()["by"], "another");
    assert!(config(&store, &done.descriptor).await.contains("\"author\": \"me\""));
    assert_eq!(
        (resolved(&store, "app").await, calls.load(Ordering::Relaxed)),
        (done.descriptor, 2)
    );
}

#[tokio::test]
async fn a_preview_shows_what_would_be_written_and_writes_nothing() {
    let store = Memory::new();
    let (amd, arm) = (image(&store, "amd64").await, image(&store, "arm64").await);
    let (_, top) = index(&store, "app", &[(&amd, "amd64"), (&arm, "arm64")]).await;
    let before = store.len();
    let mut options = for_machine("arm64");
    options.copy.recompress = Some(copy::Recompress::to(LayerCompression::None));
    let seen = preview(
        Arc::new(store.clone()),
        &named("app"),
        &command("bash"),
        &options,
        &silent(),
    )
    .await;
    let seen = seen.expect("a preview");
    assert_eq!((store.len(), &seen.before), (before, &top));
    assert_eq!(resolved(&store, "app").await.digest, top.digest);
    let done = changed_with(&store, &named("app"), &command("bash"), &options).await;
    let done = done.expect("changed");
    assert_eq!(seen.after.digest, done.descriptor.digest);
    let children = document(&store, &done.descriptor).await.children();
    let after: Vec<Digest> = seen.documents.iter().map(|document| document.after.digest).collect();
    let new_config = document(&store, &children[1]).await.children().remove(0);
    assert_eq!(after, [done.descriptor.digest, children[1].digest, new_config.digest]);
    let (old, new) = (&seen.documents[2].before.digest, new_config.digest);
    assert_eq!(
        seen.documents[2].unified(),
        format!(
            "--- {old} application/vnd.oci.image.config.v1+json\n+++ {new} application/vnd.oci.image.config.v1+json\n{}",
            "@@ -7,7 +7,7 @@\n   \"architecture\": \"arm64\",\n   \"config\": {\n     \"Cmd\": [\n-      \"sh\"\n+      \"bash\"\n     ]\n   },\n   \"rootfs\": {\n"
        )
    );
    let none = preview(
        Arc::new(store.clone()),
        &named("app"),
        &command("bash"),
        &options,
        &silent(),
    )
    .await;
    assert_eq!(none.expect("a preview").documents, []);
}
