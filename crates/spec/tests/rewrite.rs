//! Documents changed in place: what is not changed keeps its bytes.

#![allow(missing_docs, reason = "a test is not an interface")]

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::Value;
use teu_spec::{Descriptor, Digest, Document, Error, Format, Index, MAX_CHILDREN, MediaType, Platform};

/// An index as an editor's hands left it: fields that nobody knows, an order of its own, escapes, odd numbers and white space.
const INDEX: &str = r#"{
  "x-first": 1.50,
  "manifests": [
    {
      "size": 10, "digest": "sha256:5feceb66ffc86f38d952786c6d696c79c2dbc239dd4e91b46729d73a27fb57e9",
      "mediaType": "application\/vnd.oci.image.manifest.v1+json",
      "x-child": {"b": [], "a": {}},
      "annotations": {"k": "\u00e9", "z": "1"}
    },
    { "mediaType": "application/vnd.oci.image.manifest.v1+json", "size": 2, "digest": "sha256:6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b", "platform": {"os": "linux", "x-p": 0, "architecture": "arm"} }
  ],
  "schemaVersion": 2,
  "x-last": [1e5, -0, "\ud83d\ude00"]
}
"#;

fn parse(raw: &str) -> Document {
    Document::parse(Bytes::copy_from_slice(raw.as_bytes()), None).unwrap_or_else(|error| panic!("{raw}: {error}"))
}

fn text(document: &Document) -> &str {
    std::str::from_utf8(document.raw()).unwrap()
}

fn annotate(document: &Document, changes: &[(&str, Option<&str>)]) -> Result<Document, Error> {
    let changes: BTreeMap<String, Option<String>> = changes
        .iter()
        .map(|(key, value)| ((*key).to_owned(), value.map(str::to_owned)))
        .collect();
    document.annotate(&changes)
}

fn children(document: &Document) -> Vec<Option<Descriptor>> {
    document.children().into_iter().map(Some).collect()
}

#[test]
fn what_changes_nothing_keeps_every_byte() {
    for raw in [
        INDEX,
        r#"{"schemaVersion":2,"manifests":null}"#,
        r#"{"schemaVersion":2,"config":{"mediaType":"a/b","digest":"sha256:5feceb66ffc86f38d952786c6d696c79c2dbc239dd4e91b46729d73a27fb57e9","size":1,"data":"bGll","artifactType":""}, "artifactType":"","annotations":{},"subject":null}"#,
    ] {
        let document = parse(raw);
        assert_eq!(document.rewrite(&children(&document)).unwrap(), document);
        assert_eq!(annotate(&document, &[]).unwrap(), document);
        assert_eq!(annotate(&document, &[("absent", None)]).unwrap(), document);
        assert_eq!(document.with_subject(document.subject()).unwrap(), document);
        assert_eq!(document.with_artifact_type(document.artifact_type()).unwrap(), document);
        assert_eq!(
            document.insert(0, &[]).map(|document| document.children()),
            Ok(document.children())
        );
        let (converted, losses) = document.convert(Format::Oci, &children(&document)).unwrap();
        assert_eq!((converted, losses), (document, vec![]));
    }
}

#[test]
fn of_a_changed_child_only_what_differs_changes() {
    let document = parse(INDEX);
    let mut new = children(&document);
    let first = new[0].as_mut().unwrap();
    first.size = 11;
    first.digest = Digest::of(b"2");
    first.annotations.insert("z".to_owned(), "2".to_owned());
    let second = new[1].as_mut().unwrap();
    second.platform.as_mut().unwrap().variant = "v7".to_owned();
    second.annotations.insert("new".to_owned(), "<>".to_owned());
    let expected = INDEX
        .replace("\"size\": 10", "\"size\": 11")
        .replace(&Digest::of(b"0").to_string(), &Digest::of(b"2").to_string())
        .replace(r#""z": "1""#, r#""z": "2""#)
        .replace(
            r#""architecture": "arm"}"#,
            r#""architecture": "arm", "variant": "v7"}"#,
        )
        .replace(
            r#"7875b4b", "platform""#,
            r#"7875b4b", "annotations": {"new": "<>"}, "platform""#,
        );
    assert_eq!(text(&document.rewrite(&new).unwrap()), expected);
}

#[test]
fn a_dropped_child_leaves_the_others_as_they_were() {
    let document = parse(INDEX);
    let [first, second] = children(&document).try_into().unwrap();
    let without_first = document.rewrite(&[None, second.clone()]).unwrap();
    assert_eq!(without_first.children(), [second.unwrap()]);
    let child = INDEX.find("    { \"mediaType\"").unwrap();
    let list = INDEX.find("    {\n").unwrap();
    assert_eq!(text(&without_first), format!("{}{}", &INDEX[..list], &INDEX[child..]));
    let without_second = document.rewrite(&[first.clone(), None]).unwrap();
    assert_eq!(without_second.children(), [first.unwrap()]);
    let none = document.rewrite(&[None, None]).unwrap();
    assert_eq!(none.children(), []);
    assert!(text(&none).contains("\"manifests\": [],"), "{}", text(&none));
    assert!(text(&none).contains("\"x-last\": [1e5, -0, \"\\ud83d\\ude00\"]"));
}

#[test]
fn what_cannot_be_rewritten_is_refused() {
    let index = parse(INDEX);
    let error = index.rewrite(&[None]).unwrap_err().to_string();
    assert_eq!(error, "not a valid edit: 1 children were given for 2");
    let error = index.insert(3, &index.children()).unwrap_err().to_string();
    assert_eq!(error, "not a valid edit: there is no place 3 among 2 manifests");
    let blob = Descriptor::of(MediaType::OciConfig, b"{}");
    let manifest = teu_spec::Manifest::build(Format::Oci, &blob, std::slice::from_ref(&blob)).unwrap();
    let error = manifest.rewrite(&[None, Some(blob.clone())]).unwrap_err().to_string();
    assert_eq!(error, "not a valid edit: a manifest's config cannot be dropped");
    let docker = teu_spec::Manifest::build(Format::Docker, &blob, &[]).unwrap();
    let error = annotate(&docker, &[("a", Some("b"))]).unwrap_err().to_string();
    assert_eq!(
        error,
        "Docker's form (application/vnd.docker.distribution.manifest.v2+json) with annotations is not supported: \
         convert it to oci first (teu edit --format oci)"
    );
    assert!(docker.with_subject(Some(&blob)).is_err() && docker.with_artifact_type(Some("a/b")).is_err());
    assert_eq!(annotate(&docker, &[("a", None)]).unwrap(), docker);
}

#[test]
fn embedded_data_goes_with_the_content_that_it_is() {
    let manifest = |data: &str| {
        let config = format!(
            r#"{{"mediaType":"a/b","digest":"{}","size":5,"data":"{data}","x":1}}"#,
            Digest::of(b"hello")
        );
        parse(&format!(r#"{{"schemaVersion":2,"config":{config},"layers":[]}}"#))
    };
    let with = |raw: &str, change: &dyn Fn(&mut Descriptor)| {
        let document = manifest(raw);
        let mut config = document.children().remove(0);
        change(&mut config);
        document.rewrite(&[Some(config)]).unwrap()
    };
    // Another media type of the same content keeps it, even where it lies: these bytes are not ours to judge here.
    for data in ["aGVsbG8=", "bGll"] {
        let changed = with(data, &|config| config.media_type = "c/d".into());
        assert_eq!(text(&changed), text(&manifest(data)).replace("a/b", "c/d"));
    }
    // Other content takes it away, though the descriptor that was given still carries it.
    let changed = with("aGVsbG8=", &|config| config.digest = Digest::of(b"jello"));
    assert_eq!(
        text(&changed),
        text(&manifest("aGVsbG8="))
            .replace(&Digest::of(b"hello").to_string(), &Digest::of(b"jello").to_string())
            .replace(r#","data":"aGVsbG8=""#, "")
    );
    // Unless its own is given.
    let changed = with("aGVsbG8=", &|config| {
        config.digest = Digest::of(b"jello");
        config.data = Some(b"jello"[..].into());
    });
    assert!(
        text(&changed).contains(r#""size":5,"data":"amVsbG8=","x":1"#),
        "{}",
        text(&changed)
    );
    let changed = with("aGVsbG8=", &|config| config.data = None);
    assert!(!text(&changed).contains("data"));
}

#[test]
fn annotations_are_set_and_removed() {
    let raw = r#"{"schemaVersion":2,"manifests":[],"annotations":{"b":"1","a":"2"},"x":1}"#;
    let document = parse(raw);
    type Changes = &'static [(&'static str, Option<&'static str>)];
    let cases: [(Changes, &str); 4] = [
        (&[("a", Some("3"))], r#""annotations":{"b":"1","a":"3"},"x":1}"#),
        (&[("b", None)], r#""annotations":{"a":"2"},"x":1}"#),
        (
            &[("c", Some("\"\n")), ("b", None)],
            r#""annotations":{"a":"2","c":"\"\n"},"x":1}"#,
        ),
        (&[("a", None), ("b", None)], r#""x":1}"#),
    ];
    for (changes, expected) in cases {
        let changed = annotate(&document, changes).unwrap();
        assert_eq!(
            text(&changed),
            format!(r#"{{"schemaVersion":2,"manifests":[],{expected}"#)
        );
    }
    for raw in [
        r#"{"schemaVersion":2,"manifests":[]}"#,
        r#"{"schemaVersion":2,"manifests":[],"annotations":null}"#,
        r#"{"schemaVersion":2,"manifests":[],"annotations":{}}"#,
    ] {
        assert_eq!(
            text(&annotate(&parse(raw), &[("a", Some("1"))]).unwrap()),
            r#"{"schemaVersion":2,"manifests":[],"annotations":{"a":"1"}}"#
        );
    }
}

#[test]
fn subject_and_artifact_type_find_their_places() {
    let blob = Descriptor::of(MediaType::OciEmpty, b"{}");
    let plain = teu_spec::Manifest::build(Format::Oci, &blob, std::slice::from_ref(&blob)).unwrap();
    let typed = plain.with_artifact_type(Some("a/b")).unwrap();
    let about = typed.with_subject(Some(&blob)).unwrap();
    let about = annotate(&about, &[("k", Some("v"))]).unwrap();
    let json = serde_json::to_string(&blob).unwrap();
    assert_eq!(
        text(&about),
        format!(
            r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","artifactType":"a/b","config":{json},"layers":[{json}],"subject":{json},"annotations":{{"k":"v"}}}}"#
        )
    );
    assert_eq!(about.subject(), Some(&blob));
    let back = annotate(&about, &[("k", None)]).unwrap();
    let back = back.with_subject(None).unwrap().with_artifact_type(None).unwrap();
    assert_eq!(back, plain);
}

#[test]
fn children_are_inserted_where_they_are_asked_for() {
    let added = [0, 1, 2].map(|size| Descriptor::new("a/b".into(), Digest::of(b""), size));
    for raw in [
        INDEX,
        r#"{"schemaVersion":2,"manifests":null}"#,
        r#"{"schemaVersion":2,"manifests":[ ],"x":1}"#,
    ] {
        let document = parse(raw);
        let old = document.children();
        for count in 0..=added.len() {
            for place in 0..=old.len() {
                let changed = document.insert(place, &added[..count]).unwrap();
                let mut expected = old.clone();
                expected.splice(place..place, added[..count].iter().cloned());
                assert_eq!(changed.children(), expected, "{raw}");
                // One after the other is the same as all at once.
                let one_by_one = added[..count]
                    .iter()
                    .rev()
                    .try_fold(document.clone(), |document, child| {
                        document.insert(place, std::slice::from_ref(child))
                    });
                if !old.is_empty() {
                    assert_eq!(text(&changed), text(&one_by_one.unwrap()));
                }
            }
        }
    }
    let pretty = "{\n  \"schemaVersion\": 2,\n  \"manifests\": []\n}";
    let digest = Digest::of(b"");
    assert_eq!(
        text(&parse(pretty).insert(0, &added[..1]).unwrap()),
        format!(
            "{{\n  \"schemaVersion\": 2,\n  \"manifests\": [\n    {{\n      \"mediaType\": \"a/b\",\n      \"digest\": \"{digest}\",\n      \"size\": 0\n    }}\n  ]\n}}"
        )
    );
}

/// A bound that only a cost beyond the linear one breaks: each of these takes a fraction of a second where nothing is optimised.
#[test]
fn ten_thousand_children_are_edited_fast() {
    let manifests: Vec<Descriptor> = (0..MAX_CHILDREN as u64)
        .map(|place| Descriptor {
            platform: Some(Platform::new("linux", "amd64")),
            ..Descriptor::new(MediaType::OciManifest, Digest::of(&place.to_le_bytes()), place)
        })
        .collect();
    let index = Index::build(Format::Oci, &manifests).unwrap();
    let start = Instant::now();
    let mut new = children(&index);
    for child in new.iter_mut().flatten() {
        child.size += 1;
        child.annotations.insert("a".to_owned(), "b".to_owned());
    }
    let changed = index.rewrite(&new).unwrap();
    assert!(new.iter().flatten().eq(changed.children().iter()));
    for (place, child) in new.iter_mut().enumerate() {
        child.take_if(|_| place % 2 == 0);
    }
    let half = changed.rewrite(&new).unwrap();
    assert_eq!(half.children().len(), MAX_CHILDREN / 2);
    let whole = half.insert(0, &manifests[..MAX_CHILDREN / 2]).unwrap();
    assert_eq!(whole.children().len(), MAX_CHILDREN);
    let many: BTreeMap<String, Option<String>> =
        (0..10_000).map(|key| (key.to_string(), Some(String::new()))).collect();
    let annotated = half.annotate(&many).unwrap();
    let other: BTreeMap<String, Option<String>> = many
        .into_keys()
        .map(|key| (key, Some("x".to_owned())))
        .chain([("x".to_owned(), Some(String::new()))])
        .collect();
    let annotated = annotated.annotate(&other).unwrap();
    let fewer = other
        .into_keys()
        .map(|key| (key, None))
        .chain([("y".to_owned(), Some(String::new()))])
        .collect();
    assert_eq!(annotated.annotate(&fewer).unwrap().annotations().len(), 1);
    let spent = start.elapsed();
    assert!(spent < Duration::from_secs(30), "{spent:?}");
}

/// Any JSON, for what a document may hold that nobody knows.
fn unknown() -> BoxedStrategy<Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "\\PC{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("x-[a-z]{1,3}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
    .boxed()
}

fn descriptor() -> BoxedStrategy<Value> {
    (
        prop_oneof![
            Just("application/vnd.oci.image.manifest.v1+json"),
            Just("application/vnd.oci.image.layer.v1.tar+gzip"),
            Just("text/x")
        ],
        any::<u64>(),
        prop::collection::btree_map("[a-c]", "\\PC{0,4}", 0..3),
        prop::option::of(Just(
            serde_json::json!({"os": "linux", "architecture": "arm", "x-p": []}),
        )),
        prop::collection::btree_map("x-[a-z]{1,3}", unknown(), 0..3),
        any::<bool>(),
    )
        .prop_map(|(media_type, seed, annotations, platform, unknown, shuffled)| {
            let mut fields = vec![
                ("mediaType".to_owned(), Value::from(media_type)),
                (
                    "digest".to_owned(),
                    Value::from(Digest::of(&seed.to_le_bytes()).to_string()),
                ),
                ("size".to_owned(), Value::from(seed >> 1)),
            ];
            if !annotations.is_empty() {
                fields.push(("annotations".to_owned(), serde_json::to_value(annotations).unwrap()));
            }
            fields.extend(platform.map(|platform| ("platform".to_owned(), platform)));
            fields.extend(unknown);
            if shuffled {
                fields.reverse();
            }
            Value::Object(fields.into_iter().collect())
        })
        .boxed()
}

fn document() -> BoxedStrategy<String> {
    (
        any::<bool>(),
        descriptor(),
        prop::collection::vec(descriptor(), 0..5),
        prop::collection::btree_map("x-[a-z]{1,3}", unknown(), 0..3),
        any::<bool>(),
        0..3,
    )
        .prop_map(|(index, config, list, unknown, shuffled, style)| {
            let mut fields = vec![("schemaVersion".to_owned(), Value::from(2))];
            if index {
                fields.push(("manifests".to_owned(), list.into()));
            } else {
                fields.extend([("config".to_owned(), config), ("layers".to_owned(), list.into())]);
            }
            fields.extend(unknown);
            if shuffled {
                fields.reverse();
            }
            let value = Value::Object(fields.into_iter().collect());
            match style {
                0 => value.to_string(),
                1 => serde_json::to_string_pretty(&value).unwrap(),
                _ => format!("{value:#}\n").replace('\n', "\r\n\t"),
            }
        })
        .boxed()
}

/// All that stands under a key that is unknown, in its order.
fn unknown_fields(value: &Value, out: &mut Vec<Value>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                if key.starts_with("x-") {
                    out.push(value.clone());
                } else {
                    unknown_fields(value, out);
                }
            }
        }
        Value::Array(list) => list.iter().for_each(|value| unknown_fields(value, out)),
        _ => {}
    }
}

fn unknown_of(document: &Document) -> Vec<Value> {
    let mut out = Vec::new();
    unknown_fields(&serde_json::from_slice(document.raw()).unwrap(), &mut out);
    out
}

proptest! {
    #[test]
    fn a_change_and_its_reverse_give_the_same_bytes(raw in document(), size in 0..u64::MAX >> 1) {
        let document = parse(&raw);
        let old = children(&document);
        let mut new = old.clone();
        for child in new.iter_mut().flatten() {
            child.size = size;
            child.media_type = MediaType::OciIndex;
        }
        let changed = document.rewrite(&new).unwrap();
        prop_assert_eq!(unknown_of(&changed), unknown_of(&document));
        prop_assert!(new.iter().flatten().eq(changed.children().iter()));
        prop_assert_eq!(changed.rewrite(&old).unwrap(), document.clone());
        let annotated = annotate(&document, &[("k", Some("v"))]).unwrap();
        prop_assert_eq!(unknown_of(&annotated), unknown_of(&document));
        prop_assert_eq!(annotate(&annotated, &[("k", None)]).unwrap(), document.clone());
        let typed = document.with_artifact_type(Some("a/b")).unwrap();
        prop_assert_eq!(typed.with_artifact_type(None).unwrap(), document);
    }

    #[test]
    fn what_is_kept_of_a_document_is_what_was_there(raw in document(), keep in prop::collection::vec(any::<bool>(), 6)) {
        let document = parse(&raw);
        let is_index = matches!(document, Document::Index(_));
        let new: Vec<Option<Descriptor>> = document
            .children()
            .into_iter()
            .enumerate()
            .map(|(place, child)| (keep[place] || (place == 0 && !is_index)).then_some(child))
            .collect();
        let kept = document.rewrite(&new).unwrap();
        prop_assert!(new.iter().flatten().eq(kept.children().iter()));
        let value: Value = serde_json::from_str(&raw).unwrap();
        let list = if is_index { "manifests" } else { "layers" };
        let mut expected = value.clone();
        let first = usize::from(!is_index);
        let mut place = first;
        expected[list].as_array_mut().unwrap().retain(|_| { place += 1; new[place - 1].is_some() });
        prop_assert_eq!(serde_json::from_slice::<Value>(kept.raw()).unwrap(), expected);
    }
}
