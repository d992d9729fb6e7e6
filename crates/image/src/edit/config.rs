//! Which fields of an image's config are to be different?

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use teu_spec::{
    Annotations,
    json::edit::{Editor, Step},
};
use teu_store::{Error, ErrorKind, Result};

use super::{Port, Signal, User, Volume, retimed};
use crate::{change::Image, layer::Times};

/// What becomes of one thing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum To<T> {
    /// It stays.
    #[default]
    Same,
    /// It is this.
    Set(T),
    /// It is absent.
    Remove,
}

/// What becomes of keys with values: labels, variables, annotations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pairs {
    /// Whether all that were there go, before any is set.
    pub clear: bool,
    /// Those that are set, or removed where there is no value, in this order.
    pub changes: Vec<(String, Option<String>)>,
}

impl Pairs {
    /// Whether nothing is to change.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.clear && self.changes.is_empty()
    }

    pub(super) fn apply(&self, pairs: &mut Annotations) {
        for (key, value) in self.changes(pairs) {
            match value {
                Some(value) => pairs.insert(key, value),
                None => pairs.remove(&key),
            };
        }
    }

    /// What is to be set and removed where this is what there is.
    pub(super) fn changes(&self, old: &Annotations) -> BTreeMap<String, Option<String>> {
        let cleared = old.keys().filter(|_| self.clear).map(|key| (key.clone(), None));
        let mut changes: BTreeMap<_, _> = cleared.chain(self.changes.iter().cloned()).collect();
        // What is so already, and what is not there anyway.
        changes.retain(|key, value| old.get(key) != value.as_ref());
        changes
    }
}

/// What becomes of keys alone: ports, volumes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys<T> {
    /// Whether all that were there go, before any is added.
    pub clear: bool,
    /// Those that are added.
    pub add: Vec<T>,
    /// Those that are removed.
    pub remove: Vec<String>,
}

impl<T> Default for Keys<T> {
    fn default() -> Self {
        Self {
            clear: false,
            add: Vec::new(),
            remove: Vec::new(),
        }
    }
}

impl<T> Keys<T> {
    fn is_empty(&self) -> bool {
        !self.clear && self.add.is_empty() && self.remove.is_empty()
    }
}

/// How to see whether a container works; Docker's. Times are in nanoseconds, and absent where they are Docker's own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Healthcheck {
    /// `NONE`, or `CMD` or `CMD-SHELL` and the command.
    pub test: Vec<String>,
    /// The time between two checks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<i64>,
    /// How long one may take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<i64>,
    /// How long a container may fail after its start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_period: Option<i64>,
    /// The time between two checks in that period.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_interval: Option<i64>,
    /// How many failures in a row mean that it does not work.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retries: Option<i64>,
}

impl Healthcheck {
    fn is(&self, old: &teu_spec::Healthcheck) -> bool {
        let number = |value: Option<i64>| value.unwrap_or_default();
        old.test.as_ref() == Some(&self.test)
            && old.interval == number(self.interval)
            && old.timeout == number(self.timeout)
            && old.start_period == number(self.start_period)
            && old.start_interval == number(self.start_interval)
            && old.retries == number(self.retries)
    }
}

/// What becomes of single fields of the health check that is there. Times are in nanoseconds; what is removed is Docker's own to choose.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HealthcheckFields {
    /// The time between two checks.
    pub interval: To<i64>,
    /// How long one may take.
    pub timeout: To<i64>,
    /// How long a container may fail after its start.
    pub start_period: To<i64>,
    /// The time between two checks in that period.
    pub start_interval: To<i64>,
    /// How many failures in a row mean that it does not work.
    pub retries: To<i64>,
}

impl HealthcheckFields {
    /// Whether nothing is to change.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn apply(&self, editor: &mut Editor, old: &teu_spec::Healthcheck) -> Spliced {
        let fields = [
            ("Interval", &self.interval, old.interval),
            ("Timeout", &self.timeout, old.timeout),
            ("StartPeriod", &self.start_period, old.start_period),
            ("StartInterval", &self.start_interval, old.start_interval),
            ("Retries", &self.retries, old.retries),
        ];
        for (key, new, old) in fields {
            let path = ["config".into(), "Healthcheck".into(), key.into()];
            match new {
                To::Set(new) if *new != old => editor.set(&path, new)?,
                To::Remove => editor.remove(&path).map(drop)?,
                _ => {}
            }
        }
        Ok(())
    }
}

/// What becomes of a config.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigEdit {
    /// `Entrypoint`; the arguments, `Cmd`, stay as they are.
    pub entrypoint: To<Vec<String>>,
    /// `Cmd`.
    pub cmd: To<Vec<String>>,
    /// `Env`.
    pub env: Pairs,
    /// `Labels`.
    pub labels: Pairs,
    /// `User`.
    pub user: To<User>,
    /// `WorkingDir`.
    pub working_dir: To<String>,
    /// `ExposedPorts`.
    pub ports: Keys<Port>,
    /// `Volumes`.
    pub volumes: Keys<Volume>,
    /// `StopSignal`.
    pub stop_signal: To<Signal>,
    /// `StopTimeout`, in seconds; Docker's.
    pub stop_timeout: To<i64>,
    /// `Healthcheck`; Docker's.
    pub healthcheck: To<Healthcheck>,
    /// Fields of the `Healthcheck` that is there. They are not looked at where [`healthcheck`](Self::healthcheck) says what becomes of the whole.
    pub healthcheck_fields: HealthcheckFields,
    /// `Shell`; Docker's.
    pub shell: To<Vec<String>>,
    /// `OnBuild`; Docker's.
    pub on_build: To<Vec<String>>,
    /// `author`.
    pub author: To<String>,
    /// `created`, by RFC 3339.
    pub created: To<String>,
    /// `os`, which can be another and not absent: image-spec wants it (config.md).
    pub os: To<String>,
    /// `architecture`, likewise.
    pub architecture: To<String>,
    /// `variant`.
    pub variant: To<String>,
    /// `os.version`.
    pub os_version: To<String>,
    /// `os.features`.
    pub os_features: To<Vec<String>>,
}

impl ConfigEdit {
    /// Whether nothing is to change.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    pub(super) fn apply(&self, image: &mut Image) -> Result<()> {
        let old = image.config()?.fields.clone();
        for (key, new) in [("os", &self.os), ("architecture", &self.architecture)] {
            if *new == To::Remove {
                let message = format!("an image has to say its {key}, which can be another one and not nothing");
                return Err(Error::new(ErrorKind::Invalid, message));
            }
        }
        let own: [(&str, &To<String>, &str); 6] = [
            ("author", &self.author, &old.author),
            ("architecture", &self.architecture, &old.architecture),
            ("os", &self.os, &old.os),
            ("os.version", &self.os_version, &old.os_version),
            ("variant", &self.variant, &old.variant),
            ("created", &self.created, old.created.as_deref().unwrap_or_default()),
        ];
        for (key, new, old) in own {
            match new {
                To::Set(new) if new != old => image.set_config(key, Some(new))?,
                To::Remove => image.set_config(key, None::<&str>)?,
                _ => {}
            }
        }
        match &self.os_features {
            To::Set(new) if *new != old.os_features => image.set_config("os.features", Some(new))?,
            To::Remove => image.set_config("os.features", None::<&str>)?,
            _ => {}
        }
        let config = &old.config;
        image.edit_config(|editor| {
            text(editor, "User", &self.user, &config.user)?;
            text(editor, "WorkingDir", &self.working_dir, &config.working_dir)?;
            text(editor, "StopSignal", &self.stop_signal, &config.stop_signal)?;
            value(editor, "Entrypoint", &self.entrypoint, |new| {
                Some(new) == config.entrypoint.as_ref()
            })?;
            value(editor, "Cmd", &self.cmd, |new| Some(new) == config.cmd.as_ref())?;
            value(editor, "Shell", &self.shell, |new| Some(new) == config.shell.as_ref())?;
            value(editor, "OnBuild", &self.on_build, |new| {
                Some(new) == config.on_build.as_ref()
            })?;
            value(editor, "StopTimeout", &self.stop_timeout, |new| {
                Some(*new) == config.stop_timeout
            })?;
            value(editor, "Healthcheck", &self.healthcheck, |new| {
                config.healthcheck.as_ref().is_some_and(|old| new.is(old))
            })?;
            if let (To::Same, Some(old)) = (&self.healthcheck, &config.healthcheck) {
                self.healthcheck_fields.apply(editor, old)?;
            }
            env(editor, &self.env, config.env.as_deref().unwrap_or_default())?;
            labels(editor, &self.labels, config.labels.as_ref())?;
            keys(editor, "ExposedPorts", &self.ports, &config.exposed_ports)?;
            keys(editor, "Volumes", &self.volumes, &config.volumes)
        })
    }
}

type Spliced = std::result::Result<(), teu_spec::Error>;

fn in_config(key: &str) -> [Step<'_>; 2] {
    ["config".into(), key.into()]
}

fn value<T: Serialize>(editor: &mut Editor, key: &str, new: &To<T>, is_so: impl Fn(&T) -> bool) -> Spliced {
    match new {
        To::Set(new) if !is_so(new) => editor.set(&in_config(key), new),
        To::Remove => editor.remove(&in_config(key)).map(drop),
        _ => Ok(()),
    }
}

fn text<T: AsRef<str> + Serialize>(editor: &mut Editor, key: &str, new: &To<T>, old: &str) -> Spliced {
    value(editor, key, new, |new| new.as_ref() == old)
}

/// Variables stand in a list, each `NAME=value`. One that is set keeps its place; one that stands twice, stands once then.
fn env(editor: &mut Editor, pairs: &Pairs, old: &[String]) -> Spliced {
    if pairs.is_empty() {
        return Ok(());
    }
    let name = |entry: &str| entry.split('=').next().unwrap_or_default().to_owned();
    let mut new: Vec<Option<String>> = old.iter().map(|entry| (!pairs.clear).then(|| entry.clone())).collect();
    let mut added: Vec<String> = Vec::new();
    for (key, value) in &pairs.changes {
        let is_it = |entry: &String| name(entry) == *key;
        let mut set = value.as_ref().map(|value| format!("{key}={value}"));
        for entry in &mut new {
            if entry.as_ref().is_some_and(is_it) {
                *entry = set.take();
            }
        }
        added.retain(|entry| !is_it(entry));
        added.extend(set);
    }
    if new.iter().all(Option::is_none) && added.is_empty() {
        return editor.remove(&in_config("Env")).map(drop);
    }
    if old.is_empty() {
        // It may be absent or null, which is no list to put something into.
        return editor.set(&in_config("Env"), &added);
    }
    for (place, (old, new)) in old.iter().zip(&new).enumerate() {
        if let Some(new) = new
            && new != old
        {
            editor.set(&["config".into(), "Env".into(), place.into()], new)?;
        }
    }
    editor.retain(&in_config("Env"), |place| new.get(place).is_some_and(Option::is_some))?;
    let kept = new.iter().flatten().count();
    if kept == 0 {
        return editor.set(&in_config("Env"), &added);
    }
    editor.insert(&["config".into(), "Env".into(), kept.into()], &added)
}

fn labels(editor: &mut Editor, pairs: &Pairs, old: Option<&Annotations>) -> Spliced {
    let none = Annotations::new();
    let old = old.unwrap_or(&none);
    let changes = pairs.changes(old);
    let kept = old.keys().any(|key| !changes.get(key).is_some_and(Option::is_none));
    if !changes.is_empty() && !kept && changes.values().all(Option::is_none) {
        return editor.remove(&in_config("Labels")).map(drop);
    }
    // As they were given, and not in the order of their keys.
    let mut done = BTreeSet::new();
    let order = pairs.changes.iter().map(|(key, _)| key).chain(changes.keys());
    for key in order.filter(|key| done.insert(*key)) {
        let path = ["config".into(), "Labels".into(), key.as_str().into()];
        match changes.get(key) {
            Some(Some(value)) => editor.set(&path, value)?,
            Some(None) => drop(editor.remove(&path)?),
            None => {}
        }
    }
    Ok(())
}

fn keys<T: AsRef<str>>(editor: &mut Editor, field: &str, keys: &Keys<T>, old: &BTreeSet<String>) -> Spliced {
    if keys.is_empty() {
        return Ok(());
    }
    let adds = |key: &String| keys.add.iter().any(|added| added.as_ref() == key);
    let goes = |key: &String| (keys.clear || keys.remove.contains(key)) && !adds(key);
    let mut added: Vec<&str> = Vec::new();
    for key in keys.add.iter().map(AsRef::as_ref) {
        if !old.contains(key) && !added.contains(&key) {
            added.push(key);
        }
    }
    if old.iter().all(goes) && added.is_empty() {
        return editor.remove(&in_config(field)).map(drop);
    }
    for key in old.iter().filter(|key| goes(key)) {
        editor.remove(&["config".into(), field.into(), key.as_str().into()])?;
    }
    for key in added {
        let nothing = serde_json::Map::new();
        editor.set(&["config".into(), field.into(), key.into()], &nothing)?;
    }
    Ok(())
}

/// Has config and history state no other times than these allow.
pub(super) fn set_times(image: &mut Image, times: Times) -> Result<()> {
    let fields = image.config()?.fields.clone();
    image.edit_config(|editor| {
        if let Some(new) = retimed(fields.created.as_deref(), times) {
            editor.set(&["created".into()], &new)?;
        }
        for (place, entry) in fields.history.iter().enumerate() {
            if let Some(new) = retimed(entry.created.as_deref(), times) {
                editor.set(&["history".into(), place.into(), "created".into()], &new)?;
            }
        }
        Ok(())
    })
}
