//! In which fields do two documents differ? Objects are compared by key, lists by what was put in and taken out, and a list of variables by
//! their names.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use similar::{Algorithm, DiffOp, capture_diff_slices};

/// A field that is not the same on both sides.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    /// Where it stands: `config.Env.PATH`, `history[2].created_by`, counted on the side that has it, the second where both have it.
    pub path: String,
    /// What it is on the first side.
    pub before: Option<Value>,
    /// What it is on the second side.
    pub after: Option<Value>,
}

/// The most elements of a list that are matched with one another; longer lists are compared place by place.
const MATCHED: usize = 2_000;

/// The fields in which two values differ, in the order of the first, with what only the second has behind.
#[must_use]
pub fn fields(before: &Value, after: &Value) -> Vec<Field> {
    let mut found = Vec::new();
    compare(String::new(), Some(before), Some(after), &mut found);
    found
}

fn compare(path: String, before: Option<&Value>, after: Option<&Value>, found: &mut Vec<Field>) {
    // To Go's writers, and so to everybody, null is as good as absent.
    let stated = |value: Option<&Value>| value.filter(|value| !value.is_null()).cloned();
    match (before, after) {
        (Some(Value::Object(before)), Some(Value::Object(after))) => objects(&path, before, after, found),
        (Some(Value::Array(before)), Some(Value::Array(after))) if before != after => {
            match (variables(&path, before), variables(&path, after)) {
                (Some(before), Some(after)) => objects(&path, &before, &after, found),
                _ => lists(&path, before, after, found),
            }
        }
        (before, after) if stated(before) != stated(after) => found.push(Field {
            path,
            before: stated(before),
            after: stated(after),
        }),
        _ => {}
    }
}

fn objects(path: &str, before: &Map<String, Value>, after: &Map<String, Value>, found: &mut Vec<Field>) {
    let added = after.keys().filter(|key| !before.contains_key(*key));
    for key in before.keys().chain(added) {
        let path = match path {
            "" => key.clone(),
            path => format!("{path}.{key}"),
        };
        compare(path, before.get(key), after.get(key), found);
    }
}

/// A list of `NAME=value` as what it means, where it stands where such a list does and each name stands once.
fn variables(path: &str, list: &[Value]) -> Option<Map<String, Value>> {
    if path.rsplit('.').next() != Some("Env") {
        return None;
    }
    let mut variables = Map::new();
    for element in list {
        let (name, value) = element.as_str()?.split_once('=')?;
        if variables.insert(name.to_owned(), value.into()).is_some() {
            return None;
        }
    }
    Some(variables)
}

fn lists(path: &str, before: &[Value], after: &[Value], found: &mut Vec<Field>) {
    if before.len().max(after.len()) > MATCHED {
        for place in 0..before.len().max(after.len()) {
            compare(format!("{path}[{place}]"), before.get(place), after.get(place), found);
        }
        return;
    }
    // Numbers for what can only be compared: one for each different element.
    let mut numbers: BTreeMap<String, usize> = BTreeMap::new();
    let mut numbered = |list: &[Value]| -> Vec<usize> {
        let mut number = |element: &Value| {
            let next = numbers.len();
            *numbers.entry(element.to_string()).or_insert(next)
        };
        list.iter().map(&mut number).collect()
    };
    let (left, right) = (numbered(before), numbered(after));
    for operation in capture_diff_slices(Algorithm::Myers, &left, &right) {
        if let DiffOp::Equal { .. } = operation {
            continue;
        }
        let (from, to) = (operation.old_range(), operation.new_range());
        for step in 0..from.len().max(to.len()) {
            let old = from.clone().nth(step);
            let new = to.clone().nth(step);
            if let Some(place) = new.or(old) {
                let (old, new) = (old.and_then(|old| before.get(old)), new.and_then(|new| after.get(new)));
                compare(format!("{path}[{place}]"), old, new, found);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shown(before: Value, after: Value) -> Vec<String> {
        let text = |value: Option<Value>| value.map_or_else(|| "-".to_owned(), |value| value.to_string());
        fields(&before, &after)
            .into_iter()
            .map(|field| format!("{}: {} > {}", field.path, text(field.before), text(field.after)))
            .collect()
    }

    #[test]
    fn fields_differ_where_they_mean_something_else() {
        assert_eq!(shown(json!({"a": 1, "b": null}), json!({"c": null, "a": 1})), [""; 0]);
        assert_eq!(
            shown(
                json!({"os": "linux", "config": {"User": "1", "Labels": {"a.b": "1"}}, "x": [1]}),
                json!({"config": {"Labels": {"a.b": "2", "c": ""}, "User": "1"}, "os": "linux", "x": {"y": 1}}),
            ),
            [
                "config.Labels.a.b: \"1\" > \"2\"",
                "config.Labels.c: - > \"\"",
                "x: [1] > {\"y\":1}",
            ]
        );
    }

    #[test]
    fn variables_go_by_their_names() {
        assert_eq!(
            shown(
                json!({"Env": ["PATH=/bin", "A=1", "B=x=y"]}),
                json!({"Env": ["B=x=y", "PATH=/usr/bin", "C="]})
            ),
            [
                "Env.PATH: \"/bin\" > \"/usr/bin\"",
                "Env.A: \"1\" > -",
                "Env.C: - > \"\"",
            ]
        );
        // What no map can say is compared as a list.
        assert_eq!(
            shown(json!({"Env": ["A=1", "A=1"]}), json!({"Env": ["A=1"]})),
            ["Env[1]: \"A=1\" > -"]
        );
    }

    #[test]
    fn lists_go_by_what_was_put_in_and_taken_out() {
        assert_eq!(
            shown(json!([{"a": 1}, "x", "y"]), json!(["new", {"a": 1}, "y", "z"])),
            ["[0]: - > \"new\"", "[1]: \"x\" > -", "[3]: - > \"z\""]
        );
        assert_eq!(
            shown(json!([{"a": 1, "b": 2}]), json!([{"a": 1, "b": 3}])),
            ["[0].b: 2 > 3"]
        );
        let long: Vec<usize> = (0..MATCHED + 1).collect();
        let mut other = long.clone();
        other[7] = 0;
        assert_eq!(shown(json!(long), json!(other)), ["[7]: 7 > 0"]);
    }
}
