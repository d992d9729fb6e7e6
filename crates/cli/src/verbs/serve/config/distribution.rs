//! What does registry:2's configuration mean here? Its file in YAML (distribution's "Configuring a registry") and its variables, `REGISTRY_HTTP_ADDR`,
//! as settings of ours. What has no meaning here is named in a warning, with what to do instead; what would be dangerous to pass over is refused.

mod sections;

use std::path::Path;

use super::{
    Said,
    meaningless::{MEANINGLESS, REFUSED},
};
use crate::yaml::{self, Node, Value};

/// Variables of others that begin as registry:2's do, and of what starts it.
pub(super) const OTHERS: [&str; 2] = ["REGISTRY_AUTH_FILE", "REGISTRY_CONFIGURATION_PATH"];

/// What a configuration comes to.
#[derive(Debug, Default)]
pub(super) struct Translated {
    pub(super) said: Vec<Said>,
    pub(super) warnings: Vec<String>,
}

/// Reads a configuration. Where `has_data`, the directory is named elsewhere.
///
/// # Errors
/// Where it is no YAML of version 0.1, a value is not what it must be, and where passing over a key would let in whom it keeps out, or lose what is pushed.
pub(super) fn read(
    text: &str,
    path: &Path,
    variables: &[(String, String)],
    has_data: bool,
) -> Result<Translated, String> {
    let file = path.display().to_string();
    let mut root = yaml::read(text).map_err(|why| format!("{file}: {why}"))?;
    let mut variables: Vec<&(String, String)> = variables.iter().collect();
    // REGISTRY_STORAGE counts before REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY.
    variables.sort();
    let mut by_variables = Vec::new();
    for (name, value) in variables
        .into_iter()
        .filter(|(name, _)| !OTHERS.contains(&name.as_str()))
    {
        let Some(rest) = name.strip_prefix("REGISTRY_").filter(|rest| !rest.is_empty()) else {
            continue;
        };
        let keys: Vec<String> = rest.split('_').map(str::to_lowercase).collect();
        by_variables.push((keys.join("."), name.clone()));
        let mut node = yaml::read(value).map_err(|why| format!("{name}: {why}"))?;
        unplaced(&mut node);
        root.put(&keys, node);
    }
    let mut translation = Translation {
        file: &file,
        by_variables,
        root,
        translated: Translated::default(),
    };
    translation.translate(has_data)?;
    Ok(translation.translated)
}

/// What came by a variable stands on no line.
fn unplaced(node: &mut Node) {
    node.line = 0;
    match &mut node.value {
        Value::List(items) => items.iter_mut().for_each(unplaced),
        Value::Map(pairs) => pairs.iter_mut().for_each(|(_, node)| unplaced(node)),
        Value::Null | Value::Text(_) => {}
    }
}

/// Whether a path is another one or stands below it. Variables have keys in small letters.
fn is_within(path: &str, above: &str) -> bool {
    let (path, above) = (path.to_lowercase(), above.to_lowercase());
    path.strip_prefix(&above)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

struct Translation<'a> {
    file: &'a str,
    /// What was put by variables: its path, and the variable.
    by_variables: Vec<(String, String)>,
    root: Node,
    translated: Translated,
}

impl Translation<'_> {
    fn translate(&mut self, has_data: bool) -> Result<(), String> {
        match self.text("version")?.as_deref() {
            Some("0.1") => {}
            Some(other) => return Err(format!("{}: version {other} is not known; 0.1 is", self.at("version"))),
            None => {
                return Err(format!(
                    "{}: there is no version: 0.1, as each of registry:2's has it",
                    self.file
                ));
            }
        }
        self.refuse(has_data)?;
        self.http()?;
        self.storage(has_data)?;
        self.auth()?;
        self.rest()?;
        self.warn();
        Ok(())
    }

    /// Refuses what cannot be passed over.
    fn refuse(&self, has_data: bool) -> Result<(), String> {
        for (path, why) in REFUSED {
            let mut found = Some(&self.root);
            for key in path.split('.') {
                found = found.and_then(|node| node.get(key));
            }
            let is_off = |node: &&Node| match &node.value {
                Value::Text(text) => text.is_empty() || text == "false",
                value => *value == Value::Null,
            };
            if let Some(node) = found.filter(|node| !is_off(node)) {
                return Err(format!("{}: {path} {why}", self.place(node, path)));
            }
        }
        if let Some(storage) = self.root.get("storage") {
            let names = match &storage.value {
                Value::Text(name) => vec![name.as_str()],
                Value::Map(pairs) => pairs.iter().map(|(name, _)| name.as_str()).collect(),
                _ => Vec::new(),
            };
            let others = ["cache", "delete", "filesystem", "maintenance", "redirect", "tag"];
            let driver = names.into_iter().find(|name| !others.contains(name));
            if let Some(driver) = driver.filter(|_| !has_data) {
                return Err(format!(
                    "{}: storage.{driver} is not built: what is pushed is kept in a directory; --data DIRECTORY or \
                     storage.filesystem.rootdirectory says which",
                    self.place(storage.get(driver).unwrap_or(storage), &format!("storage.{driver}"))
                ));
            }
        }
        for key in ["storage", "auth"] {
            if let Some(node) = self.root.get(key)
                && matches!(node.value, Value::List(_))
            {
                return Err(format!(
                    "{}: {key} is a list, and has to be a map",
                    self.place(node, key)
                ));
            }
        }
        let methods = ["none", "htpasswd", "token"];
        if let Some(auth) = self.root.get("auth") {
            let names = match &auth.value {
                Value::Text(name) => vec![name.as_str()],
                Value::Map(pairs) => pairs.iter().map(|(name, _)| name.as_str()).collect(),
                _ => Vec::new(),
            };
            if let Some(method) = names.into_iter().find(|name| !methods.contains(name)) {
                return Err(format!(
                    "{}: auth.{method} is not built; auth.htpasswd and auth.token are",
                    self.place(auth.get(method).unwrap_or(auth), &format!("auth.{method}"))
                ));
            }
        }
        Ok(())
    }

    /// Names all that is left.
    fn warn(&mut self) {
        for (path, node) in self.root.leaves() {
            let advice = MEANINGLESS.iter().find(|(known, _)| {
                path.strip_prefix(known)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            });
            let is_name = matches!(path.as_str(), "storage" | "auth");
            let message = match advice {
                _ if is_name => continue,
                Some((_, advice)) => format!("{}: {path} has no meaning here: {advice}", self.place(node, &path)),
                None => format!(
                    "{}: there is no {path} in what is known of registry:2's configuration",
                    self.place(node, &path)
                ),
            };
            self.translated.warnings.push(message);
        }
    }

    /// Where a node stands: on which line of the file, or which variable put it, or something in it.
    fn place(&self, node: &Node, path: &str) -> String {
        let below = || self.by_variables.iter().find(|(put, _)| is_within(put, path));
        match (node.line, self.at(path)) {
            (0, at) if at == self.file => below().map_or(at, |(_, name)| name).to_owned(),
            (0, at) => at.to_owned(),
            (line, _) => format!("{}: line {line}", self.file),
        }
    }

    /// Where what is at a path comes from: the variable that says it, or the file.
    fn at(&self, path: &str) -> &str {
        let put = self.by_variables.iter().filter(|(put, _)| is_within(path, put));
        put.max_by_key(|(put, _)| put.len()).map_or(self.file, |(_, name)| name)
    }

    /// The text at a path, which is taken away.
    fn text(&mut self, path: &str) -> Result<Option<String>, String> {
        let keys: Vec<&str> = path.split('.').collect();
        let Some(node) = self.root.take(&keys) else {
            return Ok(None);
        };
        match node.value {
            Value::Null => Ok(None),
            Value::Text(text) => Ok(Some(text)),
            _ => Err(format!("{}: {path} is a text", self.place(&node, path))),
        }
    }

    /// Whether something is so, as YAML 1.1 has it.
    fn switch(&mut self, path: &str) -> Result<Option<bool>, String> {
        let Some(text) = self.text(path)? else { return Ok(None) };
        match text.to_lowercase().as_str() {
            "true" | "yes" | "on" | "y" => Ok(Some(true)),
            "false" | "no" | "off" | "n" => Ok(Some(false)),
            _ => Err(format!("{}: {path} is true or false, and not {text:?}", self.at(path))),
        }
    }

    fn list_of(&self, node: Node, path: &str) -> Result<Vec<String>, String> {
        let wrong = |node: &Node| format!("{}: {path} is a list of texts", self.place(node, path));
        match node.value {
            Value::Null => Ok(Vec::new()),
            Value::Text(text) => Ok(vec![text]),
            Value::List(items) => {
                let text = |item: Node| match item.value {
                    Value::Text(text) => Ok(text),
                    _ => Err(wrong(&item)),
                };
                items.into_iter().map(text).collect()
            }
            Value::Map(_) => Err(wrong(&node)),
        }
    }

    /// What is said here is the same there.
    fn pass(&mut self, path: &str, name: &str) -> Result<(), String> {
        if let Some(text) = self.text(path)?.filter(|text| !text.is_empty()) {
            self.say(name, text, path);
        }
        Ok(())
    }

    fn say(&mut self, name: &str, value: impl Into<String>, path: &str) {
        self.say_all(name, vec![value.into()], path);
    }

    fn say_all(&mut self, name: &str, values: Vec<String>, path: &str) {
        self.translated.said.push(Said {
            name: name.to_owned(),
            values,
            place: format!("{}: {path}", self.at(path)),
        });
    }
}

#[cfg(test)]
mod tests;
