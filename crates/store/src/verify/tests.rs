//! Is a good image good, and is what is wrong found?

use teu_spec::Format;

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
    let expected = Report {
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
