//! What is told of the members of two indexes, and what is read to know it.

use teu_spec::{Digest, Format, Index, annotation};
use teu_store::Target as _;

use super::*;

/// Keeps an image; what names its manifest.
async fn put(source: &Rigged, image: &Image) -> Descriptor {
    source.inner.insert_blob(image.config.raw().to_vec());
    let document = Document::Manifest(image.manifest.clone());
    let digest = &image.descriptor.digest;
    let put = source.inner.put_manifest(&document, digest, &[], Default::default());
    put.await.expect("put");
    image.descriptor.clone()
}

/// As it is named where it attests of an image.
fn attesting(mut descriptor: Descriptor) -> Descriptor {
    let about = (
        annotation::DOCKER_REFERENCE_DIGEST.to_owned(),
        descriptor.digest.to_string(),
    );
    descriptor.annotations.extend([about]);
    descriptor
}

fn index_of(members: &[Descriptor]) -> Index {
    match Index::build(Format::Oci, members).expect("an index") {
        Document::Index(index) => index,
        Document::Manifest(_) => panic!("a manifest"),
    }
}

#[tokio::test]
async fn images_are_read_to_be_compared_and_nothing_else_is() {
    let rigged = Arc::new(Rigged::default());
    rigged.inner.insert_blob("{}");
    let images = ["one", "other"].map(|author| image(Vec::new(), &json!({"author": author}), &json!({})));
    let [one, other] = [put(&rigged, &images[0]).await, put(&rigged, &images[1]).await];
    let empty = json!({"config": Descriptor::of(MediaType::OciEmpty, b"{}"), "artifactType": "text/plain"});
    let artifact = put(&rigged, &image(Vec::new(), &json!({}), &empty)).await;
    let of_images = images
        .each_ref()
        .map(|image| [image.descriptor.digest, image.manifest.config.digest]);
    let nothing: Vec<Digest> = Vec::new();
    let source: Arc<dyn Source> = Arc::clone(&rigged) as Arc<dyn Source>;
    let attests = [&one, &other].map(|image| attesting(image.clone()));
    let [first, second] = of_images;
    for (before, after, expected, read) in [
        (Some(&one), Some(&one), "same", nothing.clone()),
        (Some(&one), Some(&other), "images", [first, second].concat()),
        (Some(&attests[0]), Some(&attests[1]), "other", nothing.clone()),
        (Some(&artifact), Some(&other), "other", vec![artifact.digest]),
        (
            Some(&one),
            Some(&artifact),
            "other",
            [&first[..], &[artifact.digest]].concat(),
        ),
        (Some(&one), None, "one", nothing.clone()),
        (None, Some(&one), "one", nothing.clone()),
    ] {
        let [before, after] = [before, after].map(|member| index_of(member.map_or(&[], std::slice::from_ref)));
        let found = members(&before, &after);
        let [member] = &found[..] else { panic!("{found:?}") };
        let both = member.both([&source, &source]).await.expect("read");
        let told = match &both {
            None => "one",
            Some(Both::Same) => "same",
            Some(Both::Images(sides)) => {
                let authors = sides.each_ref().map(|side| side.image.config.raw().to_vec());
                assert_eq!(authors, images.each_ref().map(|image| image.config.raw().to_vec()));
                "images"
            }
            Some(Both::Other) => "other",
        };
        let fetched = std::mem::take(&mut *rigged.fetched.lock().expect("a list"));
        assert_eq!((told, fetched), (expected, read));
        assert_eq!(member.is_listed_alike(), told != "one");
    }
}

#[test]
fn what_is_said_of_a_member_is_no_likeness() {
    let member = Descriptor::of(MediaType::OciManifest, b"{}");
    let mut annotated = member.clone();
    annotated.annotations.extend([("note".to_owned(), "x".to_owned())]);
    let (before, after) = (index_of(&[member]), index_of(&[annotated]));
    assert!(!members(&before, &after)[0].is_listed_alike());
    assert!(members(&before, &before)[0].is_listed_alike());
}
