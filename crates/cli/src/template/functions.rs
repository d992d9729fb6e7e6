//! Which functions does a template have? Go's own, and those of containers/common's report package: json join lower pad split title
//! truncate upper.

use std::{cmp::Ordering, collections::BTreeMap, rc::Rc};

use super::value::{Value, compact};

const ALL: &[&str] = &[
    "and", "call", "eq", "ge", "gt", "html", "index", "join", "js", "json", "le", "len", "lower", "lt", "ne", "not",
    "or", "pad", "print", "printf", "println", "slice", "split", "title", "truncate", "upper", "urlquery",
];

/// The most spaces that `pad` adds on one side.
const MAX_PAD: usize = 65_535;

/// Whether there is a function of this name.
pub(super) fn is_one(name: &str) -> bool {
    ALL.contains(&name)
}

/// What an action prints: a value that is not there has words of its own.
pub(super) fn printed(value: &Value) -> String {
    match value {
        Value::Absent => "<no value>".to_owned(),
        value => value.to_string(),
    }
}

/// Calls one, but for `and` and `or`, which do not look at all of their arguments.
pub(super) fn call(name: &str, arguments: &[Value]) -> Result<Value, String> {
    match (name, arguments) {
        ("not", [value]) => Ok(Value::Bool(!value.is_true())),
        ("len", [value]) => length(value).map(|length| Value::Int(length as i64)),
        ("index", [value, keys @ ..]) => keys.iter().try_fold(value.clone(), |value, key| index(&value, key)),
        ("slice", [value, bounds @ ..]) => slice(value, bounds),
        ("print", values) => Ok(Value::text(print(values))),
        ("println", values) => Ok(Value::text(println(values))),
        ("printf", [format, values @ ..]) => printf(text("printf", format)?, values),
        ("html", values) => Ok(Value::text(gotmpl::html_escape(&printed_all(values)))),
        ("js", values) => Ok(Value::text(gotmpl::js_escape(&printed_all(values)))),
        ("urlquery", values) => Ok(Value::text(gotmpl::url_encode(&printed_all(values)))),
        ("call", _) => Err("there is no function to call".to_owned()),
        ("eq", [first, others @ ..]) if !others.is_empty() => {
            for other in others {
                if equal(first, other)? {
                    return Ok(Value::Bool(true));
                }
            }
            Ok(Value::Bool(false))
        }
        ("ne", [first, second]) => equal(first, second).map(|equal| Value::Bool(!equal)),
        ("lt" | "le" | "gt" | "ge", [first, second]) => {
            let order = compare(first, second)?;
            Ok(Value::Bool(match name {
                "lt" => order == Ordering::Less,
                "le" => order != Ordering::Greater,
                "gt" => order == Ordering::Greater,
                _ => order != Ordering::Less,
            }))
        }
        ("json", [value]) => Ok(Value::text(compact(&value.json()))),
        ("join", [Value::List(list), separator]) => {
            let parts: Vec<&str> = list
                .items
                .iter()
                .map(|item| text(name, item))
                .collect::<Result<_, _>>()?;
            Ok(Value::text(parts.join(text(name, separator)?)))
        }
        ("lower", [value]) => Ok(Value::text(text(name, value)?.chars().map(lower).collect::<String>())),
        ("upper", [value]) => Ok(Value::text(text(name, value)?.chars().map(upper).collect::<String>())),
        ("title", [value]) => Ok(Value::text(title(text(name, value)?))),
        ("split", [value, separator]) => Ok(split(text(name, value)?, text(name, separator)?)),
        ("pad", [value, before, after]) => pad(text(name, value)?, before, after),
        ("truncate", [value, Value::Int(length)]) => truncate(text(name, value)?, *length),
        ("join", [other, _]) => Err(format!("wrong type for value; expected []string; got {}", other.kind())),
        _ if is_one(name) => Err(format!("wrong arguments for {name}")),
        _ => Err(format!("function {name:?} not defined")),
    }
}

fn text<'a>(name: &str, value: &'a Value) -> Result<&'a str, String> {
    let wrong = || format!("{name}: wrong type for value; expected string; got {}", value.kind());
    value.as_text().ok_or_else(wrong)
}

fn length(value: &Value) -> Result<usize, String> {
    match value {
        Value::Text(text) | Value::Digest(text) => Ok(text.len()),
        Value::List(list) => Ok(list.items.len()),
        Value::Map(map) => Ok(map.entries.len()),
        Value::Absent | Value::Nil => Err("len of nil pointer".to_owned()),
        other => Err(format!("len of type {}", other.kind())),
    }
}

fn index(value: &Value, key: &Value) -> Result<Value, String> {
    let place = |length: usize| match key {
        Value::Int(place) => usize::try_from(*place)
            .ok()
            .filter(|place| *place < length)
            .ok_or_else(|| format!("index out of range: {place}")),
        other => Err(format!("cannot index slice/array with type {}", other.kind())),
    };
    match value {
        Value::List(list) => Ok(list.items[place(list.items.len())?].clone()),
        Value::Text(text) | Value::Digest(text) => Ok(Value::Int(i64::from(text.as_bytes()[place(text.len())?]))),
        Value::Map(map) => {
            let key = key
                .as_text()
                .ok_or_else(|| format!("value has type {}; should be string", key.kind()))?;
            Ok(map.entries.get(key).unwrap_or(&map.zero).clone())
        }
        Value::Absent | Value::Nil => Err("index of untyped nil".to_owned()),
        other => Err(format!("can't index item of type {}", other.kind())),
    }
}

fn slice(value: &Value, bounds: &[Value]) -> Result<Value, String> {
    let length = length(value)?;
    if bounds.len() > 2 {
        return Err("cannot slice with more than two bounds".to_owned());
    }
    let bound = |place: usize, usual: usize| match bounds.get(place) {
        None => Ok(usual),
        Some(Value::Int(bound)) => usize::try_from(*bound)
            .ok()
            .filter(|bound| *bound <= length)
            .ok_or_else(|| format!("index out of range: {bound}")),
        Some(other) => Err(format!("cannot slice with type {}", other.kind())),
    };
    let (from, to) = (bound(0, 0)?, bound(1, length)?);
    if from > to {
        return Err(format!("invalid slice index: {from} > {to}"));
    }
    match value {
        Value::List(list) => Ok(Value::list(list.items[from..to].to_vec())),
        Value::Text(text) | Value::Digest(text) => Ok(Value::text(lossy(&text.as_bytes()[from..to]))),
        other => Err(format!("can't slice item of type {}", other.kind())),
    }
}

/// Go cuts between bytes; half a character is printed as one that is none.
fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// As `fmt.Sprint` does: a space between two that are no strings.
fn print(values: &[Value]) -> String {
    let mut out = String::new();
    let is_text = |value: &Value| value.as_text().is_some();
    for (place, value) in values.iter().enumerate() {
        if place > 0 && !is_text(value) && !is_text(&values[place - 1]) {
            out.push(' ');
        }
        out.push_str(&value.to_string());
    }
    out
}

fn println(values: &[Value]) -> String {
    let texts: Vec<String> = values.iter().map(ToString::to_string).collect();
    texts.join(" ") + "\n"
}

fn printed_all(values: &[Value]) -> String {
    match values {
        [Value::Absent] => "<no value>".to_owned(),
        values => print(values),
    }
}

/// gotmpl's, as its verbs, flags and widths are Go's.
fn printf(format: &str, values: &[Value]) -> Result<Value, String> {
    let names: Vec<String> = (0..values.len()).map(|place| format!("v{place}")).collect();
    let arguments: String = names.iter().map(|name| format!(" .{name}")).collect();
    let data: BTreeMap<std::sync::Arc<str>, gotmpl::Value> = names
        .iter()
        .map(|name| name.as_str().into())
        .zip(values.iter().map(foreign))
        .chain([("format".into(), gotmpl::Value::String(format.into()))])
        .collect();
    let printed = gotmpl::execute(
        &format!("{{{{printf .format{arguments}}}}}"),
        &gotmpl::Value::Map(data.into()),
    );
    printed.map(Value::text).map_err(|error| error.to_string())
}

fn foreign(value: &Value) -> gotmpl::Value {
    match value {
        Value::Absent | Value::Nil => gotmpl::Value::Nil,
        Value::Bool(value) => gotmpl::Value::Bool(*value),
        Value::Int(value) => gotmpl::Value::Int(*value),
        Value::Float(value) => gotmpl::Value::Float(*value),
        Value::List(list) => gotmpl::Value::List(list.items.iter().map(foreign).collect()),
        Value::Map(map) => {
            let entries = map
                .entries
                .iter()
                .map(|(key, value)| (key.as_str().into(), foreign(value)));
            gotmpl::Value::Map(entries.collect::<BTreeMap<_, _>>().into())
        }
        other => gotmpl::Value::String(other.to_string().into()),
    }
}

fn equal(first: &Value, second: &Value) -> Result<bool, String> {
    match (first, second) {
        (Value::Nil | Value::Absent, Value::Nil | Value::Absent) => Ok(true),
        (Value::Nil | Value::Absent, _) | (_, Value::Nil | Value::Absent) => Ok(false),
        (Value::Bool(first), Value::Bool(second)) => Ok(first == second),
        (Value::Time(first), Value::Time(second)) => Ok(first == second),
        (Value::List(_) | Value::Map(_) | Value::Struct(_), _)
        | (_, Value::List(_) | Value::Map(_) | Value::Struct(_)) => Err("non-comparable type".to_owned()),
        _ => compare(first, second).map(|order| order == Ordering::Equal),
    }
}

fn compare(first: &Value, second: &Value) -> Result<Ordering, String> {
    match (first, second) {
        (Value::Int(first), Value::Int(second)) => Ok(first.cmp(second)),
        (Value::Float(first), Value::Float(second)) => {
            first.partial_cmp(second).ok_or_else(|| "not a number".to_owned())
        }
        _ => match (first.as_text(), second.as_text()) {
            (Some(first), Some(second)) => Ok(first.cmp(second)),
            _ => Err("incompatible types for comparison".to_owned()),
        },
    }
}

/// Go changes one letter into one letter.
fn upper(c: char) -> char {
    let mut large = c.to_uppercase();
    large.next().filter(|_| large.next().is_none()).unwrap_or(c)
}

fn lower(c: char) -> char {
    c.to_lowercase().next().unwrap_or(c)
}

/// As Go's `strings.Title`: the first letter of each word, where a word ends at what is no letter, digit or `_`.
fn title(text: &str) -> String {
    let mut before = ' ';
    let mut out = String::new();
    for c in text.chars() {
        let separates = match before {
            c if c.is_ascii() => !(c.is_ascii_alphanumeric() || c == '_'),
            c => !c.is_alphanumeric() && c.is_whitespace(),
        };
        match separates {
            true => out.push(upper(c)),
            false => out.push(c),
        }
        before = c;
    }
    out
}

fn split(text: &str, separator: &str) -> Value {
    let parts: Vec<Value> = match separator {
        "" => text.chars().map(|c| Value::text(c.to_string())).collect(),
        separator => text.split(separator).map(Value::text).collect(),
    };
    Value::List(Rc::new(super::value::List {
        items: parts,
        nil: false,
    }))
}

fn pad(text: &str, before: &Value, after: &Value) -> Result<Value, String> {
    let count = |value: &Value| match value {
        Value::Int(count) => usize::try_from(*count)
            .ok()
            .filter(|count| *count <= MAX_PAD)
            .ok_or_else(|| format!("error calling pad: {count} is not between 0 and {MAX_PAD}")),
        other => Err(format!("pad: wrong type for value; expected int; got {}", other.kind())),
    };
    let (before, after) = (count(before)?, count(after)?);
    Ok(Value::text(match text {
        "" => String::new(),
        text => format!("{}{text}{}", " ".repeat(before), " ".repeat(after)),
    }))
}

fn truncate(text: &str, length: i64) -> Result<Value, String> {
    let length = usize::try_from(length).map_err(|_| format!("error calling truncate: {length} is no length"))?;
    let end = length.min(text.len());
    Ok(Value::text(lossy(&text.as_bytes()[..end])))
}
