//! What all images of an index have in common is said of the index too.

use teu_spec::Index;

use super::*;

/// An index of two images, of which each has these annotations.
async fn two(store: &Memory, annotations: [&[(&str, &str)]; 2]) -> Document {
    let mut listed = Vec::new();
    for (architecture, annotations) in ["amd64", "arm64"].into_iter().zip(annotations) {
        let one = image(store, "", &[layer(|_| {})]).await;
        let set = annotations
            .iter()
            .map(|(key, value)| ((*key).to_owned(), Some((*value).to_owned())));
        let manifest = document(store, &one).await.annotate(&set.collect()).expect("annotated");
        put(store, &manifest).await;
        let mut descriptor = Descriptor::of(MediaType::OciManifest, manifest.raw());
        descriptor.platform = Some(teu_spec::Platform::new("linux", architecture));
        listed.push(descriptor);
    }
    let index = Index::build(Format::Oci, &listed).expect("an index");
    put(store, &index).await;
    index
}

async fn annotations(store: &Memory, edit: &Edit) -> Vec<(String, String)> {
    let done = edited(store, edit).await.expect("edited");
    let index = document(store, &done.descriptor).await;
    index.annotations().clone().into_iter().collect()
}

fn owned(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = pairs
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    owned.collect()
}

#[tokio::test]
async fn an_index_gets_what_all_images_say_with_the_same_words() {
    let store = Memory::new();
    let of_images: [&[(&str, &str)]; 2] = [
        &[("a", "1"), ("b", "2"), ("c", "3")],
        &[("a", "1"), ("b", "other"), ("d", "4")],
    ];
    let before = two(&store, of_images).await;
    let promote = Edit {
        promote_annotations: true,
        ..Edit::default()
    };
    assert_eq!(annotations(&store, &promote).await, owned(&[("a", "1")]));
    // Images stay as they were.
    let found = store.resolve(&Pick::Name("app".to_owned())).await.expect("resolved");
    let after = store.document(&found).await.expect("a document");
    assert_eq!(after.children(), before.children());
}

#[tokio::test]
async fn what_the_same_edit_says_counts_before_and_behind() {
    let store = Memory::new();
    two(&store, [&[("a", "1"), ("x", "1")], &[("a", "1"), ("x", "2")]]).await;
    let set = |key: &str, value: &str| Pairs {
        changes: vec![(key.to_owned(), Some(value.to_owned()))],
        ..Pairs::default()
    };
    let promote = Edit {
        promote_annotations: true,
        // All images say so once this is done.
        annotations: set("x", "3"),
        // And this is what the index says whatever they do.
        index_annotations: set("a", "own"),
        ..Edit::default()
    };
    assert_eq!(annotations(&store, &promote).await, owned(&[("a", "own"), ("x", "3")]));
}
