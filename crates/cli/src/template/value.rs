//! What does a template see? Values with Go's types, as far as what skopeo prints has them.

use std::{collections::BTreeMap, fmt, rc::Rc};

use serde_json::Value as Json;
use teu_spec::{ConfigFields, History, ImageConfig, Timestamp, go_json};

use crate::failure::Failure;

/// A value.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    /// Nothing at all: what a map has under a key that it lacks.
    Absent,
    /// A pointer to nothing, such as a time that is not stated.
    Nil,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(Rc<str>),
    /// A text with the methods of a digest.
    Digest(Rc<str>),
    Time(Timestamp),
    List(Rc<List>),
    Map(Rc<Map>),
    Struct(Rc<Struct>),
}

/// A slice.
#[derive(Clone, Debug, Default)]
pub(crate) struct List {
    pub(crate) items: Vec<Value>,
    /// Whether it is Go's nil, which JSON tells from an empty one.
    pub(crate) nil: bool,
}

/// A map.
#[derive(Clone, Debug)]
pub(crate) struct Map {
    pub(crate) entries: BTreeMap<String, Value>,
    pub(crate) nil: bool,
    /// What `index` gives for a key that it lacks.
    pub(crate) zero: Value,
}

/// A struct.
#[derive(Clone, Debug)]
pub(crate) struct Struct {
    /// Its type, for errors.
    pub(crate) kind: &'static str,
    pub(crate) fields: Vec<(&'static str, Value)>,
    /// What JSON makes of it.
    pub(crate) json: Json,
}

impl Value {
    pub(crate) fn text(text: impl AsRef<str>) -> Self {
        Self::Text(text.as_ref().into())
    }

    pub(crate) fn digest(text: impl fmt::Display) -> Self {
        Self::Digest(text.to_string().into())
    }

    pub(crate) fn list(items: Vec<Self>) -> Self {
        Self::List(Rc::new(List { items, nil: false }))
    }

    /// A slice of strings, which may be nil.
    pub(crate) fn texts<S: AsRef<str>>(texts: Option<&[S]>) -> Self {
        Self::List(Rc::new(List {
            items: texts.unwrap_or_default().iter().map(Self::text).collect(),
            nil: texts.is_none(),
        }))
    }

    /// A map of strings, which may be nil.
    pub(crate) fn map(entries: Option<&BTreeMap<String, String>>) -> Self {
        let texts = entries
            .into_iter()
            .flatten()
            .map(|(key, value)| (key.clone(), Self::text(value)));
        Self::Map(Rc::new(Map {
            entries: texts.collect(),
            nil: entries.is_none(),
            zero: Self::text(""),
        }))
    }

    /// Keys alone: Go's `map[string]struct{}`.
    fn set<'a>(keys: impl Iterator<Item = &'a String>) -> Self {
        let empty = Self::structure("struct {}", Vec::new(), Json::Object(serde_json::Map::new()));
        let entries: BTreeMap<String, Self> = keys.map(|key| (key.clone(), empty.clone())).collect();
        Self::Map(Rc::new(Map {
            nil: entries.is_empty(),
            entries,
            zero: empty,
        }))
    }

    pub(crate) fn time(time: Option<Timestamp>) -> Self {
        time.map_or(Self::Nil, Self::Time)
    }

    pub(crate) fn structure(kind: &'static str, fields: Vec<(&'static str, Self)>, json: Json) -> Self {
        Self::Struct(Rc::new(Struct { kind, fields, json }))
    }

    /// A configuration, as OCI's specification has it in Go.
    pub(crate) fn config(config: &ImageConfig) -> Result<Self, Failure> {
        let json: Json =
            serde_json::from_str(&config.to_go_json("")?).map_err(|error| Failure::Usage(error.to_string()))?;
        let part = |name: &str| {
            json.get(name)
                .cloned()
                .unwrap_or_else(|| Json::Object(serde_json::Map::new()))
        };
        let fields: &ConfigFields = &config.fields;
        let list = |items: &[String]| Self::texts((!items.is_empty()).then_some(items));
        let platform = vec![
            ("Architecture", Self::text(&fields.architecture)),
            ("OS", Self::text(&fields.os)),
            ("OSVersion", Self::text(&fields.os_version)),
            ("OSFeatures", list(&fields.os_features)),
            ("Variant", Self::text(&fields.variant)),
        ];
        let names = ["architecture", "os", "os.version", "os.features", "variant"];
        let of_platform = names
            .iter()
            .filter_map(|name| Some(((*name).to_owned(), json.get(*name)?.clone())));
        let of_platform = Json::Object(of_platform.collect());
        let container = &fields.config;
        let container = vec![
            ("User", Self::text(&container.user)),
            ("ExposedPorts", Self::set(container.exposed_ports.iter())),
            ("Env", Self::texts(container.env.as_deref())),
            ("Entrypoint", Self::texts(container.entrypoint.as_deref())),
            ("Cmd", Self::texts(container.cmd.as_deref())),
            ("Volumes", Self::set(container.volumes.iter())),
            ("WorkingDir", Self::text(&container.working_dir)),
            ("Labels", Self::map(container.labels.as_ref())),
            ("StopSignal", Self::text(&container.stop_signal)),
            ("ArgsEscaped", Self::Bool(container.args_escaped)),
        ];
        let layers = vec![
            ("Type", Self::text(&fields.rootfs.kind)),
            (
                "DiffIDs",
                Self::List(Rc::new(List {
                    items: config.diff_ids().iter().map(Self::digest).collect(),
                    nil: fields.rootfs.diff_ids.is_none(),
                })),
            ),
        ];
        let steps = part("history");
        let history = fields
            .history
            .iter()
            .enumerate()
            .map(|(place, step)| history(step, steps.get(place).cloned().unwrap_or(Json::Null)));
        let fields = vec![
            ("Created", Self::time(config.created()?)),
            ("Author", Self::text(&fields.author)),
            ("Platform", Self::structure("v1.Platform", platform, of_platform)),
            ("Config", Self::structure("v1.ImageConfig", container, part("config"))),
            ("RootFS", Self::structure("v1.RootFS", layers, part("rootfs"))),
            (
                "History",
                Self::List(Rc::new(List {
                    items: history.collect::<Result<_, _>>()?,
                    nil: fields.history.is_empty(),
                })),
            ),
        ];
        Ok(Self::structure("v1.Image", fields, json))
    }

    /// Go's name for its type.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Absent | Self::Nil => "nil",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Float(_) => "float64",
            Self::Text(_) => "string",
            Self::Digest(_) => "digest.Digest",
            Self::Time(_) => "time.Time",
            Self::List(_) => "slice",
            Self::Map(_) => "map",
            Self::Struct(structure) => structure.kind,
        }
    }

    /// Whether `if` takes it for true.
    pub(crate) fn is_true(&self) -> bool {
        match self {
            Self::Absent | Self::Nil => false,
            Self::Bool(value) => *value,
            Self::Int(value) => *value != 0,
            Self::Float(value) => *value != 0.0,
            Self::Text(text) | Self::Digest(text) => !text.is_empty(),
            Self::List(list) => !list.items.is_empty(),
            Self::Map(map) => !map.entries.is_empty(),
            Self::Time(_) | Self::Struct(_) => true,
        }
    }

    /// The text, of what is one.
    pub(crate) fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) | Self::Digest(text) => Some(text),
            _ => None,
        }
    }

    /// A field of a struct, also of the struct that it embeds.
    pub(crate) fn field(&self, name: &str) -> Option<&Self> {
        let Self::Struct(structure) = self else { return None };
        let find = |fields: &'_ [(&'static str, Self)]| fields.iter().position(|(field, _)| *field == name);
        if let Some(place) = find(&structure.fields) {
            return Some(&structure.fields[place].1);
        }
        match structure.fields.iter().find(|(field, _)| *field == "Platform") {
            Some((_, embedded)) => embedded.field(name),
            None => None,
        }
    }

    /// What JSON makes of it, without the escapes that are for HTML.
    pub(crate) fn json(&self) -> Json {
        match self {
            Self::Absent | Self::Nil => Json::Null,
            Self::Bool(value) => (*value).into(),
            Self::Int(value) => (*value).into(),
            Self::Float(value) => (*value).into(),
            Self::Text(text) | Self::Digest(text) => text.as_ref().into(),
            Self::Time(time) => time.to_string().into(),
            Self::List(list) if list.nil => Json::Null,
            Self::List(list) => list.items.iter().map(Self::json).collect(),
            Self::Map(map) if map.nil => Json::Null,
            Self::Map(map) => Json::Object(
                map.entries
                    .iter()
                    .map(|(key, value)| (key.clone(), value.json()))
                    .collect(),
            ),
            Self::Struct(structure) => structure.json.clone(),
        }
    }
}

fn history(step: &History, json: Json) -> Result<Value, Failure> {
    let created = step.created.as_deref().map(str::parse::<Timestamp>).transpose()?;
    let fields = vec![
        ("Created", Value::time(created)),
        ("CreatedBy", Value::text(&step.created_by)),
        ("Author", Value::text(&step.author)),
        ("Comment", Value::text(&step.comment)),
        ("EmptyLayer", Value::Bool(step.empty_layer)),
    ];
    Ok(Value::structure("v1.History", fields, json))
}

/// As Go's `%v` prints it. Where Go prints the address of a time within a struct, the time itself stands here.
impl fmt::Display for Value {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent | Self::Nil => formatter.write_str("<nil>"),
            Self::Bool(value) => write!(formatter, "{value}"),
            Self::Int(value) => write!(formatter, "{value}"),
            Self::Float(value) => formatter.write_str(&float(*value)),
            Self::Text(text) | Self::Digest(text) => formatter.write_str(text),
            Self::Time(time) => formatter.write_str(&time.go_string()),
            Self::List(list) => {
                formatter.write_str("[")?;
                spaced(formatter, list.items.iter())?;
                formatter.write_str("]")
            }
            Self::Map(map) => {
                formatter.write_str("map[")?;
                spaced(formatter, map.entries.iter().map(|(key, value)| Pair(key, value)))?;
                formatter.write_str("]")
            }
            Self::Struct(structure) => {
                formatter.write_str("{")?;
                spaced(formatter, structure.fields.iter().map(|(_, value)| value))?;
                formatter.write_str("}")
            }
        }
    }
}

/// As Go's `%v`: with an exponent where that is less than -4, or 6 and more.
fn float(value: f64) -> String {
    let scientific = format!("{value:e}");
    let Some((mantissa, exponent)) = scientific.split_once('e') else {
        return scientific;
    };
    match exponent.parse::<i32>() {
        Ok(exponent) if !(-4..6).contains(&exponent) => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{mantissa}e{sign}{:02}", exponent.abs())
        }
        _ => value.to_string(),
    }
}

struct Pair<'a>(&'a str, &'a Value);

impl fmt::Display for Pair<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.0, self.1)
    }
}

fn spaced(formatter: &mut fmt::Formatter<'_>, items: impl Iterator<Item = impl fmt::Display>) -> fmt::Result {
    for (place, item) in items.enumerate() {
        if place > 0 {
            formatter.write_str(" ")?;
        }
        write!(formatter, "{item}")?;
    }
    Ok(())
}

/// JSON on one line, as Go's encoder writes it when it was told that no HTML is to come.
pub(crate) fn compact(json: &Json) -> String {
    let mut text = String::new();
    let escaped = go_json::compact(json).unwrap_or_default();
    let mut rest = escaped.as_str();
    // Only what is escaped for HTML is turned back: a backslash before takes the next with it.
    while let Some(place) = rest.find('\\') {
        text.push_str(&rest[..place]);
        rest = &rest[place..];
        let known = [("\\u003c", '<'), ("\\u003e", '>'), ("\\u0026", '&')];
        match known.iter().find(|(escape, _)| rest.starts_with(escape)) {
            Some((escape, c)) => {
                text.push(*c);
                rest = &rest[escape.len()..];
            }
            None => {
                let end = rest.char_indices().nth(2).map_or(rest.len(), |(end, _)| end);
                text.push_str(&rest[..end]);
                rest = &rest[end..];
            }
        }
    }
    text + rest
}
