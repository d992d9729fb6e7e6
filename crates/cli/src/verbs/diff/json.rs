//! How do two images differ, as a program reads it?

use serde_json::{Value, json};
use teu_image::{
    Layer,
    diff::{Aspect, Change, Field, Pair, Text, Texts},
    tree::{Described, File},
};

use super::{Files, Found};
use crate::{
    failure::Failure,
    listed,
    output::{self, JsonList},
};

/// Prints it.
pub(super) fn report(found: &Found<'_>) -> Result<(), Failure> {
    let told = told(found);
    let Some(files) = &found.files else {
        return output::json(&told);
    };
    let mut list = JsonList::begin(&told, "files")?;
    each_file(files, |file| list.value(&file))?;
    list.end()
}

/// Prints it as the `image` of a member, the next value of a list.
pub(super) fn member(mut member: Value, found: &Found<'_>, list: &mut JsonList) -> Result<(), Failure> {
    member["image"] = told(found);
    let Some(files) = &found.files else {
        return list.value(&member);
    };
    list.begin_value(&member, &["image", "files"])?;
    each_file(files, |file| list.value(&file))?;
    list.end_value()
}

/// All but the files, which are a list that is empty.
fn told(found: &Found<'_>) -> Value {
    let side = |place: usize| {
        let image = &found.sides[place].image;
        json!({
            "reference": found.names[place],
            "digest": image.descriptor.digest,
            "platform": image.config.platform(),
        })
    };
    let mut told = json!({"same": found.is_same(), "before": side(0), "after": side(1)});
    if let Some(documents) = &found.documents {
        told["manifest"] = documents.manifest.iter().map(field).collect();
        told["config"] = documents.config.iter().map(field).collect();
    }
    if let Some(pairs) = &found.layers {
        told["layers"] = pairs.iter().map(|pair| layer(found, pair)).collect();
    }
    if found.files.is_some() {
        told["files"] = json!([]);
    }
    told
}

fn each_file(files: &Files, mut take: impl FnMut(Value) -> Result<(), Failure>) -> Result<(), Failure> {
    let mut texts = files.texts.as_ref().map(Texts::show);
    for change in files.changes() {
        let change = change?;
        let text = texts.as_mut().map(|texts| texts.text(&change)).transpose()?;
        take(file(&change, text.flatten())?)?;
    }
    Ok(())
}

pub(super) fn field(field: &Field) -> Value {
    json!({"path": field.path, "before": field.before, "after": field.after})
}

fn layer(found: &Found<'_>, pair: &Pair<'_>) -> Value {
    let of = |side: usize, layer: Option<&Layer>| {
        let layer = layer?;
        let history = found.sides[side].image.history();
        Some(json!({
            "position": layer.position,
            "digest": layer.descriptor.digest,
            "diffId": layer.diff_id,
            "mediaType": layer.descriptor.media_type,
            "size": layer.descriptor.size,
            "createdBy": history[layer.position].map(|history| &history.created_by),
        }))
    };
    let change = match (pair.before, pair.after) {
        (None, _) => "added",
        (_, None) => "removed",
        _ if pair.is_same() => "same",
        _ => "same-content",
    };
    json!({"change": change, "before": of(0, pair.before), "after": of(1, pair.after)})
}

fn file(change: &Change<'_>, text: Option<Text>) -> Result<Value, Failure> {
    let [before, after] = [change.before, change.after].map(|file| file.map(File::read).transpose());
    let (before, after) = (before?, after?);
    let layer = |file: Option<File<'_>>| file.and_then(File::layer);
    let word = match (change.before, change.after) {
        (None, _) => "added",
        (_, None) => "removed",
        _ => "changed",
    };
    let differs: Vec<&str> = change.differs.iter().map(aspect).collect();
    let mut told = json!({
        "change": word,
        "differs": differs,
        "before": of(before.as_ref(), layer(change.before)),
        "after": of(after.as_ref(), layer(change.after)),
    });
    listed::name(&mut told, "path", &change.path, "/");
    for aspect in &change.differs {
        match aspect {
            Aspect::Xattrs(names) => told["xattrs"] = names.iter().map(|name| xattr(name, [&before, &after])).collect(),
            Aspect::Links([old, new]) => {
                listed::name(&mut told["before"], "linkOf", old, "/");
                listed::name(&mut told["after"], "linkOf", new, "/");
            }
            _ => {}
        }
    }
    match text {
        Some(Text::Unified(lines)) => told["diff"] = String::from_utf8_lossy(&lines).into(),
        Some(Text::Binary) => told["diffOmitted"] = "binary".into(),
        Some(Text::Past(limit, _)) => told["diffOmitted"] = limit.into(),
        None => {}
    }
    Ok(told)
}

fn of(file: Option<&Described>, layer: Option<usize>) -> Value {
    let Some(file) = file else { return Value::Null };
    let mut told = json!({"type": listed::word(&file.node), "layer": layer});
    listed::metadata(&mut told, &file.metadata);
    listed::node(&mut told, &file.node);
    if let Some(digest) = &file.content {
        told["digest"] = digest.to_string().into();
    }
    told
}

fn aspect(aspect: &Aspect) -> &'static str {
    match aspect {
        Aspect::Kind => "type",
        Aspect::Content => "content",
        Aspect::ContentUnknown => "content-unknown",
        Aspect::Target => "target",
        Aspect::Device => "device",
        Aspect::Mode => "mode",
        Aspect::Owner => "owner",
        Aspect::Xattrs(_) => "xattrs",
        Aspect::Links(_) => "links",
        Aspect::Time => "time",
    }
}

/// An extended attribute, whose value is any bytes.
fn xattr(name: &[u8], files: [&Option<Described>; 2]) -> Value {
    let value = |file: &Option<Described>| {
        let value = file.as_ref().and_then(|file| file.metadata.xattrs.get(name));
        value.map(|value| listed::hex(value))
    };
    let [before, after] = files.map(value);
    let mut told = json!({"beforeHex": before, "afterHex": after});
    listed::name(&mut told, "name", name, "");
    told
}
