//! How do two indexes differ? In what they say of themselves and of their members, and platform by platform as two images do.

use std::sync::Arc;

use serde_json::{Value, json};
use teu_image::{
    Image,
    diff::{self, Field, Member, Side},
};
use teu_spec::{Descriptor, Document, Index, Platform};
use teu_store::{Error, ErrorKind, SourceExt};

use super::{Comparing, Top, json, text};
use crate::{
    failure::Failure,
    output::{self, Paint, plain},
    settings::Settings,
};

/// What came of it.
pub(super) struct Compared {
    pub(super) is_same: bool,
    told: Told,
}

enum Told {
    Text(Vec<u8>),
    Json(Value),
}

impl Compared {
    pub(super) fn print(&self, settings: &Settings) -> Result<(), Failure> {
        match &self.told {
            Told::Text(text) => output::bytes(text),
            Told::Json(value) if settings.json => output::json(value),
            Told::Json(_) => Ok(()),
        }
    }
}

/// Compares them. Of all platforms together only the words are held, and one image after the other is looked into.
pub(super) async fn compare(comparing: &Comparing<'_>, names: [&str; 2], tops: [&Top; 2]) -> Result<Compared, Failure> {
    let (before, after) = (index(tops[0])?, index(tops[1])?);
    let mut of_index = match comparing.arguments.parts().config {
        true => diff::index(before, after),
        false => Vec::new(),
    };
    let mut members = diff::members(before, after);
    if !comparing.arguments.parts().config {
        members.iter_mut().for_each(|member| member.fields.clear());
    }
    let paint = Paint::new(comparing.settings);
    let (mut is_same, mut listed, mut images, mut platforms) =
        (of_index.is_empty(), Vec::new(), Vec::new(), Vec::new());
    listed.append(&mut of_index.iter().map(|field| text::fields(field, paint)).collect());
    for member in &members {
        let compared = of_member(comparing, names, tops, member, paint).await?;
        is_same &= compared.is_same;
        listed.extend(lines(member, compared.differs_by_digest, paint));
        images.extend(compared.text);
        platforms.push(json!({
            "platform": member.name,
            "change": change(member, compared.is_same),
            "before": member.before.map(|found| found.digest),
            "after": member.after.map(|found| found.digest),
            "listed": member.fields.iter().map(json::field).collect::<Vec<_>>(),
            "image": compared.json,
        }));
    }
    let told = match comparing.settings.json {
        true => {
            let side = |place: usize| json!({"reference": names[place], "digest": tops[place].1.digest});
            let fields: Vec<Value> = of_index.drain(..).map(|field| json::field(&field)).collect();
            Told::Json(json!({
                "same": is_same,
                "before": side(0),
                "after": side(1),
                "index": fields,
                "platforms": platforms,
            }))
        }
        false => Told::Text(as_text(names, tops, &listed, images, paint)),
    };
    Ok(Compared { is_same, told })
}

fn as_text(names: [&str; 2], tops: [&Top; 2], listed: &[String], images: Vec<Vec<u8>>, paint: Paint) -> Vec<u8> {
    let mut text = String::new();
    if !listed.is_empty() {
        for ((sign, name), (_, top, _)) in ["---", "+++"].into_iter().zip(names).zip(tops) {
            let line = format!("{sign} {} {} index", plain(name), top.digest);
            text.push_str(&format!("{}\n", paint.strong(&line)));
        }
        text.push_str(&format!("\n{}\n{}", paint.strong("index"), listed.concat()));
    }
    let mut text = text.into_bytes();
    for image in images {
        if !text.is_empty() {
            text.push(b'\n');
        }
        text.extend(image);
    }
    text
}

/// What is in a member of both.
struct OfMember {
    is_same: bool,
    /// It is other content, of which no more can be told.
    differs_by_digest: bool,
    text: Option<Vec<u8>>,
    json: Value,
}

async fn of_member(
    comparing: &Comparing<'_>,
    names: [&str; 2],
    tops: [&Top; 2],
    member: &Member<'_>,
    paint: Paint,
) -> Result<OfMember, Failure> {
    let mut compared = OfMember {
        is_same: member.fields.is_empty() && member.before.is_some() && member.after.is_some(),
        differs_by_digest: false,
        text: None,
        json: Value::Null,
    };
    let (Some(before), Some(after)) = (member.before, member.after) else {
        return Ok(compared);
    };
    if before.digest == after.digest {
        return Ok(compared);
    }
    let sides = (side(tops[0], before).await?, side(tops[1], after).await?);
    let (Some(before), Some(after)) = sides else {
        // What is no image is compared as it stands, where documents are.
        compared.differs_by_digest = comparing.arguments.parts().config;
        compared.is_same &= !compared.differs_by_digest;
        return Ok(compared);
    };
    let found = comparing.images(names, [&before, &after]).await;
    let found = found.map_err(|failure| failure.within(&format!("comparing {}", member.name)))?;
    compared.is_same &= found.is_same();
    match comparing.settings.json {
        true => compared.json = json::value(&found)?,
        false if !found.is_same() => {
            let mut text = Vec::new();
            text::report(&found, paint, &mut text)?;
            compared.text = Some(text);
        }
        false => {}
    }
    Ok(compared)
}

fn index((_, top, document): &Top) -> Result<&Index, Failure> {
    match document {
        Document::Index(index) => Ok(index),
        Document::Manifest(_) => {
            let message = format!("{} is no index", top.digest);
            Err(Error::new(ErrorKind::Invalid, message).into())
        }
    }
}

/// The image that a member is; none where it is no image.
async fn side((source, ..): &Top, member: &Descriptor) -> Result<Option<Side>, Failure> {
    let document = source.document(member).await?;
    let is_image = match &document {
        Document::Manifest(manifest) => manifest.config.media_type.is_image_config(),
        Document::Index(_) => false,
    };
    if !is_image || member.is_attestation() {
        return Ok(None);
    }
    let platform = member.platform.clone().unwrap_or_else(|| Platform::new("", ""));
    let image = Image::read(&**source, member, document, &platform).await?;
    let source = Arc::clone(source);
    Ok(Some(Side { source, image }))
}

fn change(member: &Member<'_>, is_same: bool) -> &'static str {
    match (member.before, member.after) {
        (None, _) => "added",
        (_, None) => "removed",
        _ if is_same => "same",
        _ => "changed",
    }
}

/// What the two indexes list otherwise.
fn lines(member: &Member<'_>, differs_by_digest: bool, paint: Paint) -> Vec<String> {
    let name = plain(&member.name);
    match (member.before, member.after) {
        (None, Some(new)) => vec![format!("  {}\n", paint.added(&format!("+ {name}: {}", new.digest)))],
        (Some(old), None) => vec![format!("  {}\n", paint.removed(&format!("- {name}: {}", old.digest)))],
        (Some(old), Some(new)) => {
            let digests = differs_by_digest.then(|| {
                let line = format!("~ {name}: {} -> {}", old.digest, new.digest);
                format!("  {}\n", paint.changed(&line))
            });
            let fields = member.fields.iter().map(|field| {
                let of_member = Field {
                    path: format!("{}: {}", member.name, field.path),
                    ..field.clone()
                };
                text::fields(&of_member, paint)
            });
            digests.into_iter().chain(fields).collect()
        }
        (None, None) => Vec::new(),
    }
}
