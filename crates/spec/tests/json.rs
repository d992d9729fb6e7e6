//! Strict reading (threat 53) and its limits, and editing that touches nothing else.

#![allow(missing_docs, reason = "a test is not an interface")]

use std::time::{Duration, Instant};

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};
use teu_spec::{
    Error, go_json,
    json::{
        MAX_DEPTH, MAX_DOCUMENT, MAX_KEYS, Shape, check,
        edit::{Editor, Step},
    },
};

const LAYERS: Shape = Shape::Object(&[
    ("layers", Shape::Array(&Shape::Object(&[("size", Shape::Any)]))),
    ("annotations", Shape::Any),
    ("sky", Shape::Any),
]);

fn reason(raw: impl AsRef<[u8]>) -> String {
    match check(raw.as_ref(), LAYERS) {
        Ok(()) => panic!("passed"),
        Err(Error::Json(reason)) => reason,
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn threat_53_what_readers_would_see_differently_is_refused() {
    let deep = |levels: usize| format!("{{\"a\":{}{}}}", "[".repeat(levels), "]".repeat(levels));
    let keys = |count: usize| {
        let keys: Vec<String> = (0..count).map(|key| format!("\"{key}\":0")).collect();
        format!("{{{}}}", keys.join(","))
    };
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (
            b"{\"a\":1,\"a\":1}".into(),
            "the key \"a\" stands twice at line 1 column 10",
        ),
        (b"{\"a\":1,\"\\u0061\":1}".into(), "the key \"a\" stands twice"),
        (
            b"{\"x\":[{\"y\":{\"a\":1,\"a\":2}}]}".into(),
            "the key \"a\" stands twice",
        ),
        (
            b"{\"annotations\":{\"a\":1,\"a\":2}}".into(),
            "the key \"a\" stands twice",
        ),
        (
            b"{\"Layers\":[]}".into(),
            "the key \"Layers\" differs from \"layers\" in case alone",
        ),
        (
            b"{\"layers\":[{\"SIZE\":1}]}".into(),
            "the key \"SIZE\" differs from \"size\" in case alone",
        ),
        ("{\"layer\u{17f}\":[]}".into(), "differs from \"layers\" in case alone"),
        ("{\"s\u{212a}y\":[]}".into(), "differs from \"sky\" in case alone"),
        (b"{\"layers\":[[1]]}".into(), "an array stands where an object must"),
        (deep(MAX_DEPTH).into(), "nested deeper than the limit of 64 levels"),
        (deep(1_000_000).into(), "nested deeper than the limit of 64 levels"),
        (
            keys(MAX_KEYS + 1).into(),
            "more than the limit of 65536 keys in one object",
        ),
        (
            b"{\"x\":\"\xff\"}".into(),
            "invalid utf-8 sequence of 1 bytes from index 6",
        ),
        (b"{\"x\":\"\\ud800\"}".into(), "unexpected end of hex escape"),
        (b"{\"x\":\"\n\"}".into(), "control character"),
        (b"{\"x\":1e999}".into(), "number out of range"),
        (b"{\"x\":01}".into(), "invalid number"),
        (b"{\"x\":NaN}".into(), "expected value"),
        (b"{\"x\":1,}".into(), "trailing comma"),
        (b"{} {}".into(), "trailing characters"),
        (b"{}\0".into(), "trailing characters"),
        (b"{\"x\":1".into(), "EOF"),
        (b"[]".into(), "it is not an object"),
        (b"".into(), "it is not an object"),
        (b"\xef\xbb\xbf{}".into(), "it is not an object"),
        (
            vec![b' '; usize::try_from(MAX_DOCUMENT).unwrap() + 1],
            "4194305 bytes are more than the limit of 4194304",
        ),
    ];
    for (raw, expected) in cases {
        let reason = reason(&raw);
        let shown = String::from_utf8_lossy(&raw[..raw.len().min(60)]).into_owned();
        assert!(reason.contains(expected), "{shown}: {reason}");
    }
    for raw in [
        deep(MAX_DEPTH - 1),
        keys(MAX_KEYS),
        // In a free map, and under an unknown key, case makes another key.
        r#"{"annotations":{"a":1,"A":2,"Layers":3}}"#.to_owned(),
        r#"{"x":{"Layers":1,"layers":2}}"#.to_owned(),
        " \n{ \"layers\" : [ { \"size\" : 1.5e3 } ] , \"x\":null}\r\n\t".to_owned(),
    ] {
        assert_eq!(check(raw.as_bytes(), LAYERS), Ok(()), "{}", &raw[..raw.len().min(60)]);
    }
}

#[test]
fn threat_53_the_largest_document_takes_no_more_than_its_share_of_time() {
    let filled = |unit: &dyn Fn(usize) -> String| {
        let mut raw = "{\"a\":[0".to_owned();
        let mut count = 0;
        while raw.len() < usize::try_from(MAX_DOCUMENT).unwrap() - 1000 {
            raw.push(',');
            raw.push_str(&unit(count));
            count += 1;
        }
        raw + "]}"
    };
    let object = |_: usize| "{}".to_owned();
    let zero = |_: usize| "0".to_owned();
    let nested = |_: usize| "[".repeat(50) + &"]".repeat(50);
    let keys = |count: usize| {
        let keys: Vec<String> = (0..50).map(|key| format!("\"{count}-{key}\":\"\\u0061\"")).collect();
        format!("{{{}}}", keys.join(","))
    };
    let units: [&dyn Fn(usize) -> String; 4] = [&object, &zero, &nested, &keys];
    for unit in units {
        let raw = filled(unit);
        let start = Instant::now();
        assert_eq!(check(raw.as_bytes(), LAYERS), Ok(()));
        // A hundred times what it takes; anything quadratic would take minutes.
        assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    }
}

fn edit(raw: &str, change: impl FnOnce(&mut Editor)) -> String {
    let mut editor = Editor::new(Bytes::from(raw.to_owned())).unwrap();
    change(&mut editor);
    String::from_utf8(editor.finish().to_vec()).unwrap()
}

fn set(raw: &str, path: &[Step<'_>], value: &Value) -> String {
    edit(raw, |editor| editor.set(path, value).unwrap())
}

fn remove(raw: &str, path: &[Step<'_>]) -> String {
    edit(raw, |editor| assert!(editor.remove(path).unwrap()))
}

#[test]
fn a_value_is_replaced_where_it_stands() {
    let raw = " { \"b\" :1.50,\n\"a\":[ 1e3 ,\t{\"x\":\"\\u0041\"} ], \"c\":null }\n";
    assert_eq!(
        set(raw, &["b".into()], &json!(2)),
        " { \"b\" :2,\n\"a\":[ 1e3 ,\t{\"x\":\"\\u0041\"} ], \"c\":null }\n"
    );
    assert_eq!(
        set(raw, &["a".into(), 0.into()], &json!("x")),
        " { \"b\" :1.50,\n\"a\":[ \"x\" ,\t{\"x\":\"\\u0041\"} ], \"c\":null }\n"
    );
    assert_eq!(
        set(raw, &["a".into(), 1.into(), "x".into()], &json!([])),
        " { \"b\" :1.50,\n\"a\":[ 1e3 ,\t{\"x\":[]} ], \"c\":null }\n"
    );
    assert_eq!(edit(raw, |_| {}), raw);
    // A key is found by what it means, however it is written.
    assert_eq!(set("{\"\\u0061\":1}", &["a".into()], &json!(2)), "{\"\\u0061\":2}");
}

#[test]
fn what_is_new_looks_like_what_is_beside_it() {
    let value = json!({"k": [1, {}], "e": []});
    let cases = [
        // Compact.
        (r#"{"a":1}"#, r#"{"a":1,"n":{"k":[1,{}],"e":[]}}"#),
        ("{}", r#"{"n":{"k":[1,{}],"e":[]}}"#),
        // As Python writes it.
        (r#"{"a": 1}"#, r#"{"a": 1, "n": {"k": [1, {}], "e": []}}"#),
        (
            r#"{"a": 1, "b": 2}"#,
            r#"{"a": 1, "b": 2, "n": {"k": [1, {}], "e": []}}"#,
        ),
        // With space inside.
        (r#"{ "a":1, "b":2 }"#, r#"{ "a":1, "b":2, "n":{"k":[1, {}], "e":[]} }"#),
        // On lines.
        (
            "{\n  \"a\": 1\n}\n",
            "{\n  \"a\": 1,\n  \"n\": {\n    \"k\": [\n      1,\n      {}\n    ],\n    \"e\": []\n  }\n}\n",
        ),
        (
            "{\n\t\"a\":1,\n\t\"b\":2\n}",
            "{\n\t\"a\":1,\n\t\"b\":2,\n\t\"n\":{\n\t\t\"k\":[\n\t\t\t1,\n\t\t\t{}\n\t\t],\n\t\t\"e\":[]\n\t}\n}",
        ),
        (
            "{\r\n \"a\": 1\r\n}",
            "{\r\n \"a\": 1,\r\n \"n\": {\r\n  \"k\": [\r\n   1,\r\n   {}\r\n  ],\r\n  \"e\": []\r\n }\r\n}",
        ),
    ];
    for (raw, expected) in cases {
        assert_eq!(set(raw, &["n".into()], &value), expected, "{raw}");
    }
}

#[test]
fn objects_on_the_way_are_made() {
    let path: [Step<'_>; 3] = ["a".into(), "b".into(), "c".into()];
    assert_eq!(set("{\"x\":1}", &path, &json!(1)), r#"{"x":1,"a":{"b":{"c":1}}}"#);
    assert_eq!(set("{\"a\":null}", &path, &json!(1)), r#"{"a":{"b":{"c":1}}}"#);
    assert_eq!(
        set("{\n  \"a\": {}\n}", &path, &json!(1)),
        "{\n  \"a\": {\n    \"b\": {\n      \"c\": 1\n    }\n  }\n}"
    );
    assert_eq!(
        set("{\n  \"a\": {\"b\": {\"d\": 2}}\n}", &path, &json!(1)),
        "{\n  \"a\": {\"b\": {\"d\": 2, \"c\": 1}}\n}"
    );
}

#[test]
fn a_new_key_finds_its_place() {
    let put = |raw: &str| edit(raw, |editor| editor.set_after(&["n".into()], &["a", "b"], &0).unwrap());
    assert_eq!(put(r#"{"a":1,"b":2,"c":3}"#), r#"{"a":1,"b":2,"n":0,"c":3}"#);
    assert_eq!(put(r#"{"b":2,"a":1,"c":3}"#), r#"{"b":2,"a":1,"n":0,"c":3}"#);
    assert_eq!(put(r#"{"c": 3, "d": 4}"#), r#"{"n": 0, "c": 3, "d": 4}"#);
    assert_eq!(put(r#"{ "c": 3 }"#), r#"{ "n": 0, "c": 3 }"#);
    assert_eq!(put("{\n  \"c\": 3\n}"), "{\n  \"n\": 0,\n  \"c\": 3\n}");
    assert_eq!(put(r#"{"c":3,"n":1}"#), r#"{"c":3,"n":0}"#);
}

#[test]
fn elements_are_inserted_and_appended() {
    let raw = "{\"l\":[\n  1,\n  2\n]}";
    let insert = |place: usize| edit(raw, |editor| editor.insert(&["l".into(), place.into()], &[0]).unwrap());
    assert_eq!(insert(0), "{\"l\":[\n  0,\n  1,\n  2\n]}");
    assert_eq!(insert(1), "{\"l\":[\n  1,\n  0,\n  2\n]}");
    assert_eq!(insert(2), "{\"l\":[\n  1,\n  2,\n  0\n]}");
    assert_eq!(set(raw, &["l".into(), 2.into()], &json!(0)), insert(2));
    assert_eq!(set("{\"l\":[]}", &["l".into(), 0.into()], &json!(0)), "{\"l\":[0]}");
}

#[test]
fn white_space_belongs_to_places() {
    let raw = "{\n  \"a\": 1,\n  \"b\": 2,\n  \"c\": 3\n}";
    assert_eq!(remove(raw, &["a".into()]), "{\n  \"b\": 2,\n  \"c\": 3\n}");
    assert_eq!(remove(raw, &["b".into()]), "{\n  \"a\": 1,\n  \"c\": 3\n}");
    assert_eq!(remove(raw, &["c".into()]), "{\n  \"a\": 1,\n  \"b\": 2\n}");
    assert_eq!(remove("{\"a\": 1, \"b\": 2}", &["a".into()]), "{\"b\": 2}");
    assert_eq!(remove("{\"a\": [ 1 ]}", &["a".into(), 0.into()]), "{\"a\": []}");
    assert_eq!(remove("{\n  \"a\": 1\n}", &["a".into()]), "{}");
    assert_eq!(
        edit("{\"l\":[ 1, 2, 3, 4 ]}", |editor| editor
            .retain(&["l".into()], |place| place % 2 == 1)
            .unwrap()),
        "{\"l\":[ 2, 4 ]}"
    );
    assert_eq!(
        edit(raw, |editor| assert!(
            !editor.remove(&["x".into(), "y".into()]).unwrap()
        )),
        raw
    );
}

#[test]
fn a_path_that_leads_nowhere_is_an_error() {
    let mut editor = Editor::new(Bytes::from_static(b"{\"a\":1,\"l\":[0]}")).unwrap();
    let cases: [&[Step<'_>]; 6] = [
        &[],
        &["a".into(), "b".into()],
        &[0.into()],
        &["l".into(), 2.into()],
        &["l".into(), "x".into()],
        &["l".into(), 1.into(), "x".into()],
    ];
    for path in cases {
        assert!(editor.set(path, &0).is_err(), "{path:?}");
    }
    assert!(editor.remove(&["a".into(), "b".into()]).is_err());
    assert!(editor.insert(&["l".into(), 2.into()], &[0]).is_err());
    assert!(editor.insert(&["a".into()], &[0]).is_err());
    let error = editor.set(&["l".into(), 2.into()], &0).unwrap_err().to_string();
    assert_eq!(error, "not a valid JSON document: there is no place [\"l\", 2] in it");
    assert_eq!(editor.finish(), "{\"a\":1,\"l\":[0]}");
    assert!(Editor::new(Bytes::from_static(b"{\"a\":1,\"a\":2}")).is_err());
}

#[test]
fn go_escapes_what_go_escapes() {
    let value = json!({"a": "<b>&\u{2028}\u{2029}é\u{7f}\u{8}\u{c}\n\u{1}\"\\/", "e": [], "o": {}});
    assert_eq!(
        go_json::compact(&value).unwrap(),
        "{\"a\":\"\\u003cb\\u003e\\u0026\\u2028\\u2029é\u{7f}\\b\\f\\n\\u0001\\\"\\\\/\",\"e\":[],\"o\":{}}"
    );
    assert_eq!(
        go_json::indented(&json!({"<": [1, {"b": null}], "e": [], "o": {}}), "    ").unwrap(),
        "{\n    \"\\u003c\": [\n        1,\n        {\n            \"b\": null\n        }\n    ],\n    \"e\": [],\n    \"o\": {}\n}"
    );
}

/// JSON text with white space, escapes and numbers of all forms.
fn text(depth: u32) -> BoxedStrategy<String> {
    let space = "[ \\n\\t]{0,2}";
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        "-?(0|[1-9][0-9]{0,3})(\\.[0-9]{1,3})?([eE][+-]?[0-9])?",
        "\"([a-z \\[\\]{},:é]|\\\\[nt\"\\\\]|\\\\u00[46][1-9a-f]){0,6}\"",
    ];
    let padded = move |inner: BoxedStrategy<String>| (space, inner, space).prop_map(|(a, b, c)| a + &b + &c);
    leaf.prop_recursive(depth, 24, 4, move |inner| {
        let inner = padded(inner).boxed();
        let array = prop::collection::vec(inner.clone(), 0..4).prop_map(|parts| format!("[{}]", parts.join(",")));
        let object = (prop::collection::vec(inner, 0..4), space).prop_map(|(parts, space)| {
            let parts = parts
                .iter()
                .enumerate()
                .map(|(key, value)| format!("{space}\"k{key}\"{space}:{value}"));
            format!("{{{}}}", parts.collect::<Vec<_>>().join(","))
        });
        prop_oneof![array, object]
    })
    .boxed()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_edit_changes_no_other_byte(before in text(3), old in text(2), after in text(3), new in "[a-z]{1,4}") {
        let raw = format!("{{\"x\":{before} , \"here\" : {old}\n,\"y\": {after}}}");
        let edited = set(&raw, &["here".into()], &json!(new));
        prop_assert_eq!(&edited, &format!("{{\"x\":{before} , \"here\" : \"{new}\"\n,\"y\": {after}}}"));
        // To go inside and come out again changes nothing.
        let opened = edit(&raw, |editor| {
            for key in ["x", "here", "y"] {
                let _ = editor.retain(&[key.into()], |_| true);
                let _ = editor.remove(&[key.into(), "absent".into()]);
            }
        });
        prop_assert_eq!(&opened, &raw);
        let removed = remove(&raw, &["here".into()]);
        prop_assert_eq!(&removed, &format!("{{\"x\":{before} ,\"y\": {after}}}"));
    }

    #[test]
    fn an_edited_document_means_what_was_asked_for(raw in text(4), key in "k[0-9]", inner in "k[0-9]") {
        let raw = format!("{{\"r\":{raw}}}");
        let mut meant: Value = serde_json::from_str(&raw).unwrap();
        let path: [Step<'_>; 3] = ["r".into(), key.as_str().into(), inner.as_str().into()];
        let mut editor = Editor::new(raw.into()).unwrap();
        if editor.set(&path, &json!({"n": [1]})).is_ok() {
            let mut place = &mut meant;
            for key in ["r", &key] {
                if place[key].is_null() {
                    place[key] = json!({});
                }
                place = &mut place[key];
            }
            place[&inner] = json!({"n": [1]});
            let edited = editor.finish();
            prop_assert_eq!(check(&edited, Shape::Any), Ok(()));
            prop_assert_eq!(serde_json::from_slice::<Value>(&edited).unwrap(), meant);
        }
    }
}
