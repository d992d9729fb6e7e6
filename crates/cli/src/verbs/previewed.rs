//! How is it shown what would come of a change? As `diff -u` shows the documents, or as a list of the fields that differ.

use serde::Serialize;
use serde_json::Value;
use teu_image::{
    change::{Preview, Rewritten, Written},
    diff::fields,
};
use teu_spec::{Digest, MediaType, Platform};

use crate::{failure::Failure, output, settings::Settings};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    dry_run: bool,
    digest: Digest,
    before: Digest,
    documents: Vec<Changed>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Changed {
    #[serde(skip_serializing_if = "Option::is_none")]
    platform: Option<Platform>,
    media_type: MediaType,
    digest: Digest,
    before: Digest,
    changes: Vec<Change>,
}

#[derive(Serialize)]
struct Change {
    path: String,
    before: Option<Value>,
    after: Option<Value>,
}

/// Prints it.
pub(super) fn report(preview: &Preview, settings: &Settings) -> Result<(), Failure> {
    if settings.json {
        return output::json(&Report {
            dry_run: true,
            digest: preview.after.digest,
            before: preview.before.digest,
            documents: preview.documents.iter().map(changed).collect(),
        });
    }
    let mut text = String::new();
    for document in &preview.documents {
        text.push_str(&format!("{}\n", title(document)));
        for line in document.unified().lines() {
            text.push_str(&output::plain(line));
            text.push('\n');
        }
        text.push('\n');
    }
    text.push_str(&match preview.documents.is_empty() {
        true => "nothing would change\n".to_owned(),
        false => format!("{} would become {}\n", preview.before.digest, preview.after.digest),
    });
    output::bytes(text.as_bytes())
}

fn changed(document: &Rewritten) -> Changed {
    let value = |written: &Written| serde_json::from_slice(&written.raw).unwrap_or(Value::Null);
    let changes = fields(&value(&document.before), &value(&document.after));
    let changes = changes.into_iter().map(|field| Change {
        path: field.path,
        before: field.before,
        after: field.after,
    });
    Changed {
        platform: document.platform.clone(),
        media_type: document.after.media_type.clone(),
        digest: document.after.digest,
        before: document.before.digest,
        changes: changes.collect(),
    }
}

fn title(document: &Rewritten) -> String {
    let media_type = &document.after.media_type;
    let what = if media_type.is_index() {
        "index"
    } else if media_type.is_document() {
        "manifest"
    } else {
        "config"
    };
    match &document.platform {
        Some(platform) => format!("{what} for {}", output::plain(&platform.to_string())),
        None => what.to_owned(),
    }
}
