//! What does `manifest.json` say? The images of an archive of Docker's, as they are listed and named.

use serde::{Deserialize, Serialize};
use teu_spec::{MAX_CHILDREN, RegistryReference, Tag, json};
use teu_store::{Error, ErrorKind, Result};

/// The file that lists the images.
pub(super) const MANIFEST: &str = "manifest.json";

/// An image: files of the archive, and its names.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Item {
    /// The file of the config.
    pub(super) config: String,
    repo_tags: Option<Vec<String>>,
    layers: Option<Vec<String>>,
}

impl Item {
    pub(super) fn new(config: String, tags: Vec<String>, layers: Vec<String>) -> Self {
        Self {
            config,
            repo_tags: Some(tags),
            layers: Some(layers),
        }
    }

    /// The names, as they are written.
    pub(super) fn tags(&self) -> &[String] {
        self.repo_tags.as_deref().unwrap_or_default()
    }

    /// The files of the layers, lowest first.
    pub(super) fn layers(&self) -> &[String] {
        self.layers.as_deref().unwrap_or_default()
    }
}

const ITEM: json::Shape = json::Shape::Object(&[
    ("Config", json::Shape::Any),
    ("RepoTags", json::Shape::Any),
    ("Layers", json::Shape::Any),
]);
const ITEMS: json::Shape = json::Shape::Object(&[("items", json::Shape::Array(&ITEM))]);

/// Reads `manifest.json` strictly.
pub(super) fn parse(raw: &[u8]) -> Result<Vec<Item>> {
    let invalid = |message: String| Error::new(ErrorKind::Invalid, format!("{MANIFEST}: {message}"));
    // What is strict is so with objects; that it is an array alone is seen when it is read.
    let object = [br#"{"items":"#, raw, b"}"].concat();
    json::check(&object, ITEMS).map_err(|error| Error::from(error).within(MANIFEST))?;
    let items: Vec<Item> = serde_json::from_slice(raw).map_err(|error| invalid(error.to_string()))?;
    if items.len() > MAX_CHILDREN {
        return Err(invalid(format!(
            "{} images are more than the limit of {MAX_CHILDREN}",
            items.len()
        )));
    }
    if let Some(item) = items.iter().find(|item| item.layers().len() > MAX_CHILDREN) {
        let count = item.layers().len();
        return Err(invalid(format!(
            "{count} layers are more than the limit of {MAX_CHILDREN}"
        )));
    }
    Ok(items)
}

/// A name with registry and tag, which are Docker's where they were left out; none for what is no such name.
pub(super) fn full_name(name: &str) -> Option<String> {
    named(name).map(|name| name.full())
}

/// The same, read.
pub(super) fn named(name: &str) -> Option<RegistryReference> {
    let mut name: RegistryReference = name.parse().ok()?;
    if name.digest.is_some() {
        return None;
    }
    name.tag.get_or_insert_with(Tag::latest);
    Some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_readers_differ_in_is_refused() {
        let tags = |raw: &str| {
            parse(raw.as_bytes()).map(|items| items.iter().map(|item| item.tags().to_vec()).collect::<Vec<_>>())
        };
        assert_eq!(tags("[]").expect("none"), Vec::<Vec<String>>::new());
        let one = r#"[{"Config":"c","RepoTags":null,"Layers":["l"],"Parent":""}]"#;
        assert_eq!(tags(one).expect("one"), [Vec::<String>::new()]);
        for wrong in [
            "",
            "{}",
            r#"[],"items":[]"#,
            r#"[],"other":[]"#,
            "[]]",
            r#"[{"RepoTags":[]}]"#,
            r#"[{"Config":"c","config":"d"}]"#,
            r#"[{"Config":"c","Config":"d"}]"#,
            r#"[{"Config":1}]"#,
        ] {
            let error = tags(wrong).expect_err(wrong);
            assert_eq!(error.kind(), &ErrorKind::Invalid, "{wrong}: {error}");
            assert!(error.to_string().contains(MANIFEST), "{error}");
        }
    }

    #[test]
    fn names_are_completed() {
        for (name, full) in [
            ("alpine", Some("docker.io/library/alpine:latest")),
            ("alpine:3.19", Some("docker.io/library/alpine:3.19")),
            ("docker.io/library/alpine:3.19", Some("docker.io/library/alpine:3.19")),
            ("host:5000/a/b:c", Some("host:5000/a/b:c")),
            ("Not A Name", None),
        ] {
            assert_eq!(full_name(name).as_deref(), full, "{name}");
        }
    }
}
