//! A document and some edits of it: what comes out is what serde_json makes of the same edits, and what is not touched keeps its bytes.

use libfuzzer_sys::arbitrary::{self, Arbitrary};
use serde_json::{Value, json};
use teu_spec::json::{
    Shape, check,
    edit::{Editor, Step},
};

#[derive(Arbitrary, Debug)]
pub(crate) struct Input<'a> {
    edits: Vec<Edit<'a>>,
    raw: &'a str,
}

#[derive(Arbitrary, Debug)]
enum Edit<'a> {
    Set(Vec<Place<'a>>, u8),
    Insert(Vec<Place<'a>>, u8, u8),
    Remove(Vec<Place<'a>>),
}

#[derive(Arbitrary, Debug)]
enum Place<'a> {
    Key(&'a str),
    At(u8),
}

pub(crate) fn run(input: Input<'_>) {
    let Ok(mut editor) = Editor::new(input.raw.to_owned().into()) else {
        assert!(check(input.raw.as_bytes(), Shape::Any).is_err());
        return;
    };
    assert_eq!(editor.clone().finish(), input.raw);
    for edit in input.edits.iter().take(8) {
        let before = editor.clone();
        let old: Value = serde_json::from_slice(&before.clone().finish()).unwrap();
        let (done, expected) = match edit {
            Edit::Set(path, value) => {
                let value = json!([value, {"<": null}]);
                let path = steps(path);
                (editor.set(&path, &value).is_ok(), at(old, &path, |slot| *slot = value))
            }
            Edit::Insert(path, place, count) => {
                let values = vec![json!({"a": [1]}); usize::from(*count % 5)];
                let mut path = steps(path);
                path.push(Step::At(usize::from(*place)));
                let done = editor.insert(&path, &values).is_ok();
                (done, None)
            }
            Edit::Remove(path) => {
                let path = steps(path);
                let done = editor.remove(&path);
                if let Ok(false) = done {
                    assert_eq!(editor.clone().finish(), before.finish());
                }
                (done.is_ok(), None)
            }
        };
        let raw = editor.clone().finish();
        check(&raw, Shape::Any).unwrap();
        if let (true, Some(expected)) = (done, expected) {
            assert_eq!(serde_json::from_slice::<Value>(&raw).unwrap(), expected);
        }
        if raw.len() > 1 << 16 {
            return;
        }
    }
}

fn steps<'a>(path: &[Place<'a>]) -> Vec<Step<'a>> {
    let step = |place: &Place<'a>| match place {
        Place::Key(key) => Step::Key(key),
        Place::At(place) => Step::At(usize::from(*place)),
    };
    path.iter().take(8).map(step).collect()
}

/// `value` with a change at a place that is there, or `None` where it is not.
fn at(mut value: Value, path: &[Step<'_>], change: impl FnOnce(&mut Value)) -> Option<Value> {
    let mut slot = &mut value;
    for step in path {
        slot = match (step, slot) {
            (Step::Key(key), Value::Object(map)) => map.get_mut(*key)?,
            (Step::At(place), Value::Array(list)) => list.get_mut(*place)?,
            _ => return None,
        };
    }
    change(slot);
    Some(value)
}
