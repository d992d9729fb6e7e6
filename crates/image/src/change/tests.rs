//! What a change promises, between stores in memory.

mod layers;
mod places;

use bytes::Bytes;
use teu_spec::{Format, History, Index, LayerCompression, Manifest, MediaType};
use teu_store::{Memory, Role, silent};

use super::*;

/// A config as some tool wrote it: its own order, white space, an unknown field, numbers in their own form.
const CONFIG: &str = "{\n  \"os\": \"linux\",\n  \"x-unknown\": {\"b\": 1.50, \"a\": \"\\u00e9\"},\n  \"architecture\": \"ARCH\",\n  \
                      \"config\": {\n    \"Cmd\": [\"sh\"]\n  },\n  \"rootfs\": {\n    \"type\": \"layers\",\n    \"diff_ids\": [\n      \
                      \"D0\",\n      \"D1\"\n    ]\n  },\n  \"history\": [\n    {\"created_by\": \"one\", \"x\": 1},\n    \
                      {\"created_by\": \"nothing\", \"empty_layer\": true},\n    {\"created_by\": \"two\"}\n  ]\n}\n";

/// An image of two layers for a machine, in parts.
pub(super) struct Made {
    pub(super) config: String,
    pub(super) document: Document,
    pub(super) descriptor: Descriptor,
}

/// Puts such an image, whose config has `change` done to it.
pub(super) async fn image_of(
    store: &Memory,
    format: Format,
    architecture: &str,
    change: impl FnOnce(String) -> String,
) -> Made {
    let layers = [format!("{architecture} zero"), "the same one".to_owned()];
    let (config_type, layer_type) = match format {
        Format::Oci => (MediaType::OciConfig, MediaType::OciLayer),
        Format::Docker => (MediaType::DockerConfig, MediaType::DockerLayer),
    };
    let described = layers.clone().map(|layer| {
        store.insert_blob(layer.clone());
        Descriptor::of(layer_type.clone(), layer.as_bytes())
    });
    let config = change(
        CONFIG
            .replace("ARCH", architecture)
            .replace("D0", &described[0].digest.to_string())
            .replace("D1", &described[1].digest.to_string()),
    );
    store.insert_blob(config.clone());
    let document = Manifest::build(format, &Descriptor::of(config_type, config.as_bytes()), &described);
    let document = document.expect("a manifest");
    let descriptor = put(store, &document, &[]).await;
    Made {
        config,
        document,
        descriptor,
    }
}

pub(super) async fn image(store: &Memory, architecture: &str) -> Made {
    image_of(store, Format::Oci, architecture, |config| config).await
}

pub(super) async fn put(store: &Memory, document: &Document, names: &[&str]) -> Descriptor {
    let digest = Digest::of(document.raw());
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let put = store.put_manifest(document, &digest, &names, Expect::Any).await;
    put.expect("put")
}

/// Puts an index of images under a name.
pub(super) async fn index(store: &Memory, name: &str, images: &[(&Made, &str)]) -> (Document, Descriptor) {
    let described: Vec<Descriptor> = images.iter().map(|(image, machine)| listed(image, machine)).collect();
    let format = images[0].0.document.format();
    let document = Index::build(format, &described).expect("an index");
    let descriptor = put(store, &document, &[name]).await;
    (document, descriptor)
}

pub(super) fn listed(image: &Made, machine: &str) -> Descriptor {
    let mut descriptor = image.descriptor.clone();
    descriptor.platform = Some(Platform::new("linux", machine));
    descriptor
}

pub(super) fn named(name: &str) -> Pick {
    Pick::Name(name.to_owned())
}

pub(super) async fn resolved(store: &Memory, name: &str) -> Descriptor {
    store.resolve(&named(name)).await.expect("resolved")
}

pub(super) async fn document(store: &Memory, descriptor: &Descriptor) -> Document {
    store.document(descriptor).await.expect("a document")
}

/// The text of the config of the manifest.
pub(super) async fn config(store: &Memory, descriptor: &Descriptor) -> String {
    let document = document(store, descriptor).await;
    let raw = store.small_blob(&document.children()[0]).await.expect("a config");
    String::from_utf8(raw.to_vec()).expect("text")
}

/// A change of images by a closure.
pub(super) struct Each<F>(pub(super) F);

impl<F: Fn(&mut Image) -> Result<()> + Send + Sync> Change for Each<F> {
    fn image<'a>(&'a self, image: &'a mut Image, _: &'a Stage) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move { (self.0)(image) })
    }
}

/// Gives images another command.
pub(super) fn command(text: &'static str) -> Each<impl Fn(&mut Image) -> Result<()>> {
    Each(move |image: &mut Image| image.edit_config(|editor| editor.set(&["config".into(), "Cmd".into()], &[text])))
}

pub(super) async fn changed(store: &Memory, name: &str, change: &dyn Change) -> Result<Changed> {
    in_place(
        Arc::new(store.clone()),
        &named(name),
        change,
        &Options::default(),
        &silent(),
    )
    .await
}

pub(super) async fn changed_with(
    store: &Memory,
    pick: &Pick,
    change: &dyn Change,
    options: &Options,
) -> Result<Changed> {
    in_place(Arc::new(store.clone()), pick, change, options, &silent()).await
}

fn for_machine(machine: &str) -> Options {
    Options {
        platforms: vec![Platform::new("linux", machine)],
        ..Options::default()
    }
}

#[tokio::test]
async fn an_edit_changes_its_field_and_no_other_byte() {
    let store = Memory::new();
    let made = image(&store, "amd64").await;
    put(&store, &made.document, &["app"]).await;
    let done = changed(&store, "app", &command("bash")).await.expect("changed");
    assert_eq!(done.before.digest, made.descriptor.digest);
    assert_eq!(done.names, ["app"]);
    assert_eq!(resolved(&store, "app").await, done.descriptor);
    let expected = made
        .config
        .replace("\"Cmd\": [\"sh\"]", "\"Cmd\": [\n      \"bash\"\n    ]");
    assert_eq!(config(&store, &done.descriptor).await, expected);
    let old = String::from_utf8(made.document.raw().to_vec()).expect("text");
    let new = document(&store, &done.descriptor).await;
    let config = Descriptor::of(MediaType::OciConfig, expected.as_bytes());
    let expected = old
        .replace(
            &Digest::of(made.config.as_bytes()).to_string(),
            &config.digest.to_string(),
        )
        .replace(
            &format!("\"size\":{}", made.config.len()),
            &format!("\"size\":{}", config.size),
        );
    assert_eq!(new.raw(), expected.as_bytes());
}

#[tokio::test]
async fn what_changes_nothing_writes_nothing() {
    let store = Memory::new();
    let (amd, arm) = (image(&store, "amd64").await, image(&store, "arm64").await);
    let (_, top) = index(&store, "app", &[(&amd, "amd64"), (&arm, "arm64")]).await;
    let before = store.len();
    let done = changed(&store, "app", &command("sh")).await;
    // A value that is the same is written anew in the manner of the document, so this is another document.
    assert_ne!(done.expect("changed").descriptor.digest, top.digest);
    let store_after = store.len();
    assert!(store_after > before);
    let done = changed(&store, "app", &command("sh")).await.expect("changed");
    assert_eq!((store.len(), done.descriptor.digest), (store_after, done.before.digest));
    let done = changed(&store, "app", &Each(|_: &mut Image| Ok(())))
        .await
        .expect("changed");
    assert_eq!((store.len(), done.descriptor.digest), (store_after, done.before.digest));
}

#[tokio::test]
async fn all_images_of_an_index_change_or_those_that_are_chosen() {
    let store = Memory::new();
    let (amd, arm) = (image(&store, "amd64").await, image(&store, "arm64").await);
    let (old, _) = index(&store, "app", &[(&amd, "amd64"), (&arm, "arm64")]).await;
    put(&store, &old, &["other"]).await;
    let done = changed(&store, "app", &command("bash")).await.expect("changed");
    for child in document(&store, &done.descriptor).await.children() {
        assert!(config(&store, &child).await.contains("bash"));
    }
    let one = changed_with(&store, &named("other"), &command("bash"), &for_machine("arm64")).await;
    let one = document(&store, &one.expect("changed").descriptor).await.children();
    assert_eq!(one[0], old.children()[0]);
    assert!(config(&store, &one[1]).await.contains("bash"));
    assert_eq!(one[1].platform, old.children()[1].platform);
    let none = changed_with(&store, &named("other"), &command("bash"), &for_machine("s390x")).await;
    assert_eq!(*none.expect_err("no such image").kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn a_single_image_for_another_machine_is_not_changed() {
    let store = Memory::new();
    let made = image(&store, "amd64").await;
    put(&store, &made.document, &["app"]).await;
    let error = changed_with(&store, &named("app"), &command("bash"), &for_machine("arm64")).await;
    let error = error.expect_err("another machine");
    assert_eq!(
        error.to_string(),
        format!(
            "source: image {} is for linux/amd64, and not for linux/arm64",
            made.descriptor.digest
        )
    );
    assert_eq!(resolved(&store, "app").await.digest, made.descriptor.digest);
}

#[tokio::test]
async fn nested_indexes_are_written_anew_and_what_stands_twice_changes_once() {
    let store = Memory::new();
    let (amd, arm) = (image(&store, "amd64").await, image(&store, "arm64").await);
    let (_, inner) = index(&store, "inner", &[(&arm, "arm64")]).await;
    let children = [listed(&amd, "amd64"), inner.clone(), listed(&amd, "amd64")];
    let outer = Index::build(Format::Oci, &children).expect("an index");
    put(&store, &outer, &["app"]).await;
    let done = changed(&store, "app", &command("bash")).await.expect("changed");
    let new = document(&store, &done.descriptor).await.children();
    assert_eq!(new[0], new[2]);
    assert_ne!(new[1].digest, inner.digest);
    let innermost = document(&store, &new[1]).await.children();
    assert!(config(&store, &innermost[0]).await.contains("bash"));
    // The inner one's own name is another's, and stays.
    assert_eq!(resolved(&store, "inner").await.digest, inner.digest);
}

#[tokio::test]
async fn a_machine_that_changes_is_told_by_the_index_too() {
    let store = Memory::new();
    let made = image(&store, "amd64").await;
    let (_, _) = index(&store, "app", &[(&made, "amd64")]).await;
    let arm = Each(|image: &mut Image| {
        image.set_config("architecture", Some("arm"))?;
        image.set_config("variant", Some("v6"))
    });
    let done = changed(&store, "app", &arm).await.expect("changed");
    let child = document(&store, &done.descriptor).await.children().remove(0);
    assert_eq!(
        child.platform.map(|platform| platform.to_string()).as_deref(),
        Some("linux/arm/v6")
    );
    // What is new stands where the specification has it.
    let text = config(&store, &document(&store, &done.descriptor).await.children()[0]).await;
    assert!(
        text.contains("\"architecture\": \"arm\",\n  \"variant\": \"v6\",\n  \"config\""),
        "{text}"
    );
}

#[tokio::test]
async fn attestations_follow_their_images_and_are_no_images() {
    let store = Memory::new();
    let (amd, about) = (image(&store, "amd64").await, image(&store, "unknown").await);
    let mut attestation = listed(&about, "unknown");
    let digest = amd.descriptor.digest.to_string();
    attestation.annotations.extend([
        (
            "vnd.docker.reference.type".to_owned(),
            "attestation-manifest".to_owned(),
        ),
        ("vnd.docker.reference.digest".to_owned(), digest),
    ]);
    let top = Index::build(Format::Oci, &[listed(&amd, "amd64"), attestation]).expect("an index");
    put(&store, &top, &["app"]).await;
    let done = changed(&store, "app", &command("bash")).await.expect("changed");
    let new = document(&store, &done.descriptor).await.children();
    assert_eq!(new[1].digest, about.descriptor.digest);
    assert_eq!(
        new[1].annotations["vnd.docker.reference.digest"],
        new[0].digest.to_string()
    );
}

#[tokio::test]
async fn docker_s_form_stays_docker_s() {
    let store = Memory::new();
    let made = image_of(&store, Format::Docker, "amd64", |config| config).await;
    index(&store, "app", &[(&made, "amd64")]).await;
    let layer = NewLayer {
        descriptor: Descriptor::of(MediaType::DockerLayerGzip, b"new"),
        diff_id: Digest::of(b"new"),
    };
    store.insert_blob(&b"new"[..]);
    let append = Each(move |image: &mut Image| {
        assert_eq!(image.layer_type(LayerCompression::Gzip)?, MediaType::DockerLayerGzip);
        assert!(image.layer_type(LayerCompression::Zstd).is_err());
        image.append_layer(&layer, Some(&History::default()))
    });
    let done = changed(&store, "app", &append).await.expect("changed");
    let top = document(&store, &done.descriptor).await;
    assert_eq!(*top.media_type(), MediaType::DockerManifestList);
    let manifest = document(&store, &top.children()[0]).await;
    assert_eq!(*manifest.media_type(), MediaType::DockerManifest);
    let types: Vec<_> = manifest.children().into_iter().map(|child| child.media_type).collect();
    assert_eq!(
        types,
        [
            MediaType::DockerConfig,
            MediaType::DockerLayer,
            MediaType::DockerLayer,
            MediaType::DockerLayerGzip
        ]
    );
}

#[tokio::test]
async fn an_artifact_has_no_config_to_change() {
    let store = Memory::new();
    store.insert_blob(&b"{}"[..]);
    let artifact = Manifest::build(Format::Oci, &Descriptor::of(MediaType::OciEmpty, b"{}"), &[]).expect("a manifest");
    let found = put(&store, &artifact, &["about"]).await;
    let error = changed(&store, "about", &command("sh")).await.expect_err("no image");
    assert_eq!(*error.kind(), ErrorKind::Unsupported);
    assert!(
        error.to_string().contains("is an artifact, whose config is of type"),
        "{error}"
    );
    let annotate = Each(|image: &mut Image| {
        image.edit_manifest(|document| document.annotate(&[("a".to_owned(), Some("b".to_owned()))].into()))
    });
    let done = changed(&store, "about", &annotate).await.expect("changed");
    assert_eq!(document(&store, &done.descriptor).await.annotations()["a"], "b");
    assert_ne!(done.descriptor.digest, found.digest);
}

#[tokio::test]
async fn what_a_config_embeds_in_its_manifest_is_embedded_anew() {
    let store = Memory::new();
    let made = image(&store, "amd64").await;
    let mut children: Vec<_> = made.document.children().into_iter().map(Some).collect();
    children[0] = children[0].take().map(|config| Descriptor {
        data: Some(Bytes::from(made.config.clone())),
        ..config
    });
    put(&store, &made.document.rewrite(&children).expect("a manifest"), &["app"]).await;
    let done = changed(&store, "app", &command("bash")).await.expect("changed");
    let config = document(&store, &done.descriptor).await.children().remove(0);
    let data = config.verified_data().expect("embedded, and right");
    assert!(data.windows(4).any(|text| text == b"bash"));
    assert!(
        store
            .stat(Role::Blob, &config.digest, teu_store::Intent::Read)
            .await
            .expect("asked")
            .is_some()
    );
}
