//! A manifest or an index that nobody vouches for: what is read of it can be edited and converted, and what is unknown stays.

use std::collections::BTreeMap;

use serde_json::Value;
use teu_spec::{Descriptor, Digest, Document, Format, MediaType, Platform};

pub(crate) fn run(bytes: &[u8]) {
    let Ok(document) = Document::parse(bytes.to_vec().into(), None) else {
        return;
    };
    assert_eq!(document.descriptor().digest, Digest::of(bytes));
    let old: Vec<Option<Descriptor>> = document.children().into_iter().map(Some).collect();
    assert_eq!(document.rewrite(&old).as_ref(), Ok(&document));
    let unknown = unknown_of(document.raw());

    let mut new = old.clone();
    for child in new.iter_mut().flatten() {
        child.size ^= 1;
        child.annotations.insert("fuzz".to_owned(), "1".to_owned());
    }
    let changed = document.rewrite(&new).unwrap();
    assert_eq!(changed.children().len(), old.len());
    for (child, wanted) in changed.children().iter().zip(new.iter().flatten()) {
        // Embedded data goes where it is not the new content.
        assert!(*child == *wanted || child.data.is_none());
    }
    assert_eq!(unknown_of(changed.raw()), unknown);

    let all_but_config = old.iter().enumerate().map(|(place, child)| {
        let config = place == 0 && matches!(document, Document::Manifest(_));
        child.clone().filter(|_| config || place % 2 == 0)
    });
    let kept: Vec<_> = all_but_config.collect();
    let fewer = document.rewrite(&kept).unwrap();
    assert!(fewer.children().iter().eq(kept.iter().flatten()));
    let longer = fewer.insert(0, &[Descriptor::of(MediaType::OciEmpty, b"{}")]).unwrap();
    assert_eq!(longer.children().len(), fewer.children().len() + 1);

    let set = BTreeMap::from([("fuzz".to_owned(), Some("<\u{2028}\"".to_owned()))]);
    if let Ok(annotated) = document.annotate(&set) {
        assert_eq!(
            annotated.annotations().get("fuzz").map(String::as_str),
            Some("<\u{2028}\"")
        );
        assert_eq!(annotated.children(), document.children());
        assert_eq!(unknown_of(annotated.raw()), unknown);
        let without = BTreeMap::from([("fuzz".to_owned(), None)]);
        assert!(!annotated.annotate(&without).unwrap().annotations().contains_key("fuzz"));
    }
    for format in [Format::Oci, Format::Docker] {
        if let Ok((converted, _)) = document.convert(format, &old) {
            assert_eq!(converted.format(), format);
            assert_eq!(unknown_of(converted.raw()), unknown);
            let children: Vec<_> = converted.children().into_iter().map(Some).collect();
            let back = converted.convert(document.format(), &children);
            assert!(back.is_err() || back.unwrap().0.children().len() == old.len());
        }
    }
    if let Document::Index(index) = &document {
        let chosen = Platform::new("linux", "arm").choose(&index.manifests);
        assert!(chosen.is_none_or(|place| place < index.manifests.len()));
    }
}

/// The values of the keys at the root that no specification defines.
fn unknown_of(raw: &[u8]) -> Vec<(String, Value)> {
    let known = [
        "schemaVersion",
        "mediaType",
        "artifactType",
        "config",
        "layers",
        "manifests",
        "subject",
        "annotations",
    ];
    let Ok(Value::Object(map)) = serde_json::from_slice(raw) else {
        panic!("a document that is no object");
    };
    map.into_iter()
        .filter(|(key, _)| !known.contains(&key.as_str()))
        .collect()
}
