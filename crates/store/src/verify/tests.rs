//! Is a good image good, and is what is wrong found?

use bytes::Bytes;
use teu_spec::{Format, Manifest, MediaType, Platform};

use super::*;
use crate::{
    Memory, Takes, Target,
    suite::{Image, image::index},
};

async fn put(store: &Memory, document: &Document) -> Descriptor {
    let digest = Digest::of(document.raw());
    store
        .put_manifest(document, &digest, &[], Default::default())
        .await
        .expect("put")
}

async fn checked(store: &Memory, root: &Descriptor) -> Report {
    let options = Options::default();
    verify(Arc::new(store.clone()), root, &options).await.expect("a report")
}

fn messages(report: &Report) -> Vec<String> {
    report.findings.iter().map(Finding::to_string).collect()
}

#[tokio::test]
async fn a_good_image_is_good_and_all_of_it_was_checked() {
    let store = Memory::new();
    let [one, two] = ["one", "two"].map(|seed| Image::small(Takes::EVERYTHING, seed));
    let mut bytes = 0;
    for image in [&one, &two] {
        image.put(&store, &[]).await.expect("put");
        let children = image.document.children();
        bytes += image.document.raw().len() as u64 + children[0].size + children[2].size;
    }
    let mut manifests: Vec<Descriptor> = index(&[&one, &one]).children();
    manifests[1] = two.document.descriptor();
    let root = put(
        &store,
        &teu_spec::Index::build(Format::Oci, &manifests).expect("an index"),
    )
    .await;
    let report = checked(&store, &root).await;
    assert_eq!(messages(&report), Vec::<String>::new());
    assert!(report.is_good());
    let shared = one.document.children()[1].size;
    let mut images = [&one, &two].map(|image| {
        let layers: Vec<Digest> = image.document.children()[1..]
            .iter()
            .map(|layer| layer.digest)
            .collect();
        let chain = Digest::of(format!("{} {}", layers[0], layers[1]).as_bytes());
        let ids = |digest, chain_id| LayerIds {
            digest,
            diff_id: digest,
            chain_id,
        };
        super::Image {
            manifest: image.digest,
            platform: Platform::new("linux", "amd64"),
            layers: vec![ids(layers[0], layers[0]), ids(layers[1], chain)],
        }
    });
    images.sort_by_key(|image| image.manifest);
    let expected = Report {
        images: images.into(),
        indexes: 1,
        manifests: 2,
        configs: 2,
        layers: 3,
        bytes: bytes + shared + root.size,
        ..Report::default()
    };
    assert_eq!(report, expected);
}

#[tokio::test]
async fn what_is_wrong_with_blobs_is_found_all_at_once() {
    let store = Memory::new();
    let layers = ["one", "two", "three", "four"].map(|text| Bytes::from(text.repeat(10)));
    let image = Image::of(Takes::EVERYTHING, "sample", &layers);
    let root = image.put(&store, &[]).await.expect("put");
    let digests: Vec<Digest> = image.document.children().iter().map(|child| child.digest).collect();
    store.insert_unchecked(digests[1], "another content, of another size");
    store.insert_unchecked(digests[2], "TWO".repeat(10));
    crate::Delete::delete(&store, Role::Blob, &digests[3])
        .await
        .expect("deleted");
    let report = checked(&store, &root).await;
    assert!(!report.is_good());
    assert_eq!((report.manifests, report.configs, report.layers), (1, 1, 1));
    let mut found: Vec<Digest> = report.findings.iter().map(|finding| finding.digest).collect();
    let mut expected = digests[1..4].to_vec();
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
}

#[tokio::test]
async fn a_config_must_agree_with_its_manifest() {
    let store = Memory::new();
    let image = Image::small(Takes::EVERYTHING, "sample");
    image.put(&store, &[]).await.expect("put");
    let children = image.document.children();
    // One layer fewer than the config has DiffIDs, and an index that says it is for another machine.
    let fewer = image
        .document
        .rewrite(&[Some(children[0].clone()), Some(children[1].clone()), None])
        .expect("a manifest");
    let fewer = put(&store, &fewer).await;
    let mut said = fewer.clone();
    said.platform = Some(Platform::new("linux", "s390x"));
    let root = put(&store, &teu_spec::Index::build(Format::Oci, &[said]).expect("an index")).await;
    let report = checked(&store, &root).await;
    let digest = fewer.digest;
    assert_eq!(
        messages(&report),
        [
            format!(
                "manifest {digest}: its config: not a valid image config: it has 2 diff_ids, but the manifest has 1 layers"
            ),
            format!("manifest {digest}: the index says it is for linux/s390x, its config for linux/amd64"),
        ]
    );
    assert_eq!(report.worst(), Some(Kind::Agreement));
    assert_eq!(report.images, []);
}

/// BuildKit puts it beside each image: the form is an image's, and its layers are statements.
#[tokio::test]
async fn what_is_attested_of_an_image_is_no_finding() {
    let store = Memory::new();
    let image = Image::small(Takes::EVERYTHING, "sample");
    image.put(&store, &[]).await.expect("put");
    let statement = Bytes::from_static(b"{}");
    store.insert_blob(statement.clone());
    let config = Bytes::from(format!(
        r#"{{"architecture":"unknown","os":"unknown","config":{{}},"rootfs":{{"type":"layers","diff_ids":["{}"]}}}}"#,
        Digest::of(&statement)
    ));
    store.insert_blob(config.clone());
    let layer = Descriptor::of(MediaType::from("application/vnd.in-toto+json"), &statement);
    let manifest = Manifest::build(Format::Oci, &Descriptor::of(MediaType::OciConfig, &config), &[layer]);
    let mut attested = put(&store, &manifest.expect("a manifest")).await;
    attested.platform = Some(Platform::new("unknown", "unknown"));
    let index = |members: &[Descriptor]| teu_spec::Index::build(Format::Oci, members).expect("an index");
    let plain = put(&store, &index(std::slice::from_ref(&attested))).await;
    let found = messages(&checked(&store, &plain).await);
    let digest = attested.digest;
    assert_eq!(
        found,
        [format!(
            "manifest {digest}: layer 0 is said to be application/vnd.in-toto+json, which is no layer"
        )]
    );
    attested.annotations = [
        (
            "vnd.docker.reference.type".to_owned(),
            "attestation-manifest".to_owned(),
        ),
        ("vnd.docker.reference.digest".to_owned(), image.digest.to_string()),
    ]
    .into();
    let root = put(&store, &index(&[attested])).await;
    let report = checked(&store, &root).await;
    assert_eq!(messages(&report), [""; 0]);
    assert!(report.is_good());
}

#[tokio::test]
async fn what_is_odd_between_documents_is_said_and_leaves_the_image_good() {
    let store = Memory::new();
    let image = Image::small(Takes::EVERYTHING, "sample");
    image.put(&store, &[]).await.expect("put");
    let children = image.document.children();
    let layer = &children[1];
    let config = Bytes::from(format!(
        r#"{{"architecture":"arm","variant":"v6","os":"linux","rootfs":{{"type":"layers","diff_ids":["{0}","{0}"]}},
            "history":[{{"created_by":"one"}},{{"created_by":"two","empty_layer":true}}]}}"#,
        layer.digest
    ));
    store.insert_blob(config.clone());
    let twice = Manifest::build(
        Format::Oci,
        &Descriptor::of(MediaType::OciConfig, &config),
        &[layer.clone(), layer.clone()],
    )
    .expect("a manifest");
    let mut said = put(&store, &twice).await;
    let mut platform = Platform::new("linux", "arm");
    platform.variant = "v7".to_owned();
    said.platform = Some(platform);
    let root = put(
        &store,
        &teu_spec::Index::build(Format::Oci, &[said.clone()]).expect("an index"),
    )
    .await;
    let report = checked(&store, &root).await;
    let digest = said.digest;
    assert_eq!(
        messages(&report),
        [
            format!("manifest {digest}: layer 1 is the same as layer 0"),
            format!("manifest {digest}: its config has a history of 1 layers, but the manifest has 2"),
            format!("manifest {digest}: the index says it is for linux/arm/v7, its config for linux/arm/v6"),
        ]
    );
    assert!(report.is_good());
    let chain = Digest::of(format!("{0} {0}", layer.digest).as_bytes());
    assert_eq!(report.images[0].layers[1].chain_id, chain);
}

/// Says how many bytes it saw, and of an image how many layers it has.
struct Counts(usize);

impl Inspect for Counts {
    fn layer(&self, layer: &Descriptor, content: &mut dyn BufRead) -> Vec<Found> {
        let mut seen = vec![0; self.0];
        let kind = match content.read_exact(&mut seen) {
            Ok(()) => Kind::Entry,
            Err(_) => Kind::Layer,
        };
        vec![Found {
            severity: Severity::Wrong,
            kind,
            message: format!("of {} bytes", layer.size),
        }]
    }

    fn image<'a>(&'a self, _: &'a dyn Source, layers: &'a [Descriptor]) -> BoxFuture<'a, Result<Vec<Found>>> {
        let found = Found {
            severity: Severity::Odd,
            kind: Kind::Entry,
            message: format!("{} layers", layers.len()),
        };
        future::ready(Ok(vec![found])).boxed()
    }
}

#[tokio::test]
async fn whoever_knows_more_of_layers_sees_each_as_it_goes_by() {
    let store = Memory::new();
    let image = Image::of(
        Takes::EVERYTHING,
        "sample",
        &["0123456789", "01234"].map(|text| Bytes::from_static(text.as_bytes())),
    );
    let root = image.put(&store, &[]).await.expect("put");
    let source: Arc<dyn Source> = Arc::new(store.clone());
    let options = Options::default();
    let report = verify_with(Arc::clone(&source), &root, &options, Some(Arc::new(Counts(5))))
        .await
        .expect("a report");
    let layers: Vec<Digest> = image.document.children()[1..]
        .iter()
        .map(|layer| layer.digest)
        .collect();
    let mut expected = [
        format!("layer {}: of 10 bytes", layers[0]),
        format!("layer {}: of 5 bytes", layers[1]),
    ];
    expected.sort();
    let mut found = messages(&report);
    assert_eq!(found.pop(), Some(format!("manifest {}: 2 layers", image.digest)));
    found.sort();
    assert_eq!(found, expected);
    assert_eq!(report.worst(), Some(Kind::Entry));
    // What it read no further has its DiffID nevertheless.
    assert_eq!(
        report.images[0]
            .layers
            .iter()
            .map(|ids| ids.diff_id)
            .collect::<Vec<_>>(),
        layers
    );

    // That the content breaks off is said once, and what it makes of that is not.
    let broken = Bytes::from_static(b"\x1f\x8bno gzip");
    store.insert_blob(broken.clone());
    let layer = Descriptor::of(MediaType::OciLayerGzip, &broken);
    let broken = Manifest::build(Format::Oci, &image.document.children()[0], &[layer]).expect("a manifest");
    let root = put(&store, &broken).await;
    let report = verify_with(source, &root, &options, Some(Arc::new(Counts(5))))
        .await
        .expect("a report");
    let kinds: Vec<Kind> = report.findings.iter().map(|finding| finding.kind).collect();
    assert_eq!(
        kinds,
        [Kind::Agreement, Kind::Layer, Kind::Entry],
        "{:?}",
        messages(&report)
    );
}

#[tokio::test]
async fn layers_must_be_those_of_the_config() {
    let store = Memory::new();
    let image = Image::small(Takes::EVERYTHING, "sample");
    image.put(&store, &[]).await.expect("put");
    let children = image.document.children();
    // The same layers, in another order; and one that is no gzip behind its beginning.
    let swapped = image
        .document
        .rewrite(&[&children[0], &children[2], &children[1]].map(|child| Some(child.clone())))
        .expect("a manifest");
    let report = checked(&store, &put(&store, &swapped).await).await;
    let ids = [1, 2].map(|place: usize| children[place].digest);
    let manifest = Digest::of(swapped.raw());
    let mut expected = [
        format!(
            "manifest {manifest}: layer {} has the DiffID {}, but the config says {}",
            ids[1], ids[1], ids[0]
        ),
        format!(
            "manifest {manifest}: layer {} has the DiffID {}, but the config says {}",
            ids[0], ids[0], ids[1]
        ),
    ];
    let mut found = messages(&report);
    expected.sort();
    found.sort();
    assert_eq!(found, expected);
    assert!(!report.is_good());

    let broken = Bytes::from_static(b"\x1f\x8bno gzip");
    store.insert_blob(broken.clone());
    let mut layers = children.clone();
    layers[1] = Descriptor::of(MediaType::OciLayerGzip, &broken);
    let layers: Vec<_> = layers.into_iter().map(Some).collect();
    let broken = image.document.rewrite(&layers).expect("a manifest");
    let report = checked(&store, &put(&store, &broken).await).await;
    let found = messages(&report);
    assert!(
        found.len() == 1 && found[0].contains("cannot be uncompressed: "),
        "{found:?}"
    );
}

#[tokio::test]
async fn a_layer_must_be_compressed_as_it_says() {
    let store = Memory::new();
    let image = Image::small(Takes::EVERYTHING, "sample");
    image.put(&store, &[]).await.expect("put");
    let mut children = image.document.children();
    children[1].media_type = MediaType::OciLayerGzip;
    let children: Vec<_> = children.into_iter().map(Some).collect();
    let lying = image.document.rewrite(&children).expect("a manifest");
    let report = checked(&store, &put(&store, &lying).await).await;
    let digest = image.document.children()[1].digest;
    assert_eq!(
        messages(&report),
        [format!(
            "layer {digest}: it is said to be application/vnd.oci.image.layer.v1.tar+gzip, but its content is not"
        )]
    );
}

#[tokio::test]
async fn an_artifact_with_an_empty_config_needs_a_type() {
    let store = Memory::new();
    store.insert_blob("{}");
    let empty = Descriptor::of(MediaType::OciEmpty, b"{}");
    let artifact = Manifest::build(Format::Oci, &empty, &[]).expect("a manifest");
    let root = put(&store, &artifact).await;
    let report = checked(&store, &root).await;
    assert_eq!(
        messages(&report),
        [format!(
            "manifest {}: its config is empty, so it must have an artifactType, and has none",
            root.digest
        )]
    );
}

#[tokio::test]
async fn a_sparse_index_is_good_only_where_it_may_be_sparse() {
    let store = Memory::sparse();
    let [here, absent] = ["here", "absent"].map(|seed| Image::small(Takes::EVERYTHING, seed));
    here.put(&store, &[]).await.expect("put");
    let mut manifests = index(&[&here]).children();
    manifests.push(absent.document.descriptor());
    let root = put(
        &store,
        &teu_spec::Index::build(Format::Oci, &manifests).expect("an index"),
    )
    .await;
    let report = checked(&store, &root).await;
    assert_eq!(
        report.findings.iter().map(|finding| finding.digest).collect::<Vec<_>>(),
        [absent.digest]
    );
    let options = Options {
        allow_sparse: true,
        ..Options::default()
    };
    let report = verify(Arc::new(store), &root, &options).await.expect("a report");
    assert!(report.is_good());
    assert_eq!(report.absent, [absent.digest]);
}
