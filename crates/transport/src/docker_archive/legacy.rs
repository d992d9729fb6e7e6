//! What did Docker before 1.10 look for? For each layer a directory with `VERSION`, `json` and `layer.tar`, here a link to the blob, and
//! `repositories`, which names the uppermost. Newer ones read `manifest.json` alone; some tools still look for these.

use std::collections::{BTreeMap, HashSet};

use bytes::Bytes;
use serde_json::{Map, Value};
use teu_spec::{Digest, ImageConfig};

use super::listing::named;
use crate::tar_file::{Last, blob};

/// The fields of a config that the uppermost layer's `json` has.
const FIELDS: [&str; 5] = ["architecture", "config", "created", "docker_version", "os"];

/// What was written, and what the names lead to.
#[derive(Default)]
pub(super) struct Legacy {
    written: HashSet<String>,
    repositories: BTreeMap<String, BTreeMap<String, String>>,
}

impl Legacy {
    /// The files of an image.
    pub(super) fn image(&mut self, config: &ImageConfig, tags: &[String], last: &mut Vec<Last>) {
        let layers = config.diff_ids();
        let mut parent: Option<String> = None;
        for (place, layer) in layers.iter().enumerate() {
            let is_top = place + 1 == layers.len();
            let mut fields = Map::new();
            if is_top {
                fields = top(config);
            }
            // An ID of its own for each stack of layers and, at the top, each config: it need only be always the same.
            let id = Digest::of(
                format!(
                    "{layer} {} {}",
                    parent.as_deref().unwrap_or(""),
                    Value::Object(fields.clone())
                )
                .as_bytes(),
            );
            fields.insert("id".to_owned(), Value::String(id.hex()));
            if let Some(parent) = parent {
                fields.insert("parent".to_owned(), Value::String(parent));
            }
            let id = id.hex();
            if self.written.insert(id.clone()) {
                let json = Value::Object(fields).to_string();
                last.push(Last::Link(format!("{id}/layer.tar"), format!("../{}", blob(layer))));
                last.push(Last::File(format!("{id}/VERSION"), Bytes::from_static(b"1.0")));
                last.push(Last::File(format!("{id}/json"), json.into()));
            }
            parent = Some(id);
        }
        let Some(top) = parent else { return };
        for name in tags.iter().filter_map(|tag| named(tag)) {
            if let Some(tag) = &name.tag {
                let repository = self.repositories.entry(name.repository.to_string()).or_default();
                repository.insert(tag.to_string(), top.clone());
            }
        }
    }

    /// The file `repositories`.
    pub(super) fn repositories(&self) -> Last {
        let content = serde_json::json!(self.repositories).to_string();
        Last::File("repositories".to_owned(), content.into())
    }
}

fn top(config: &ImageConfig) -> Map<String, Value> {
    let whole: Map<String, Value> = serde_json::from_slice(config.raw()).unwrap_or_default();
    let wanted = FIELDS
        .iter()
        .filter_map(|field| Some(((*field).to_owned(), whole.get(*field)?.clone())));
    wanted.collect()
}
