//! How do two indexes differ? In what they say of themselves and of their members, and platform by platform as two images do. Each is printed as soon as
//! it was compared: of all together nothing is held.

use std::{io::Write, sync::Arc};

use serde_json::{Value, json};
use teu_image::diff::{self, Both, Field, Member};
use teu_spec::{Digest, Index};
use teu_store::Source;

use super::{Comparing, Found, json, text};
use crate::{
    failure::Failure,
    output::{self, JsonList, Paint, plain},
    progress::Shown,
};

/// One of two indexes.
pub(super) struct Top<'a> {
    /// Its reference, as it was given.
    pub(super) name: &'a str,
    pub(super) source: &'a Arc<dyn Source>,
    pub(super) digest: Digest,
    pub(super) index: &'a Index,
}

/// Compares them and prints in what they differ; whether they are the same.
pub(super) async fn compare(comparing: &Comparing<'_>, tops: &[Top<'_>; 2], shown: &Shown) -> Result<bool, Failure> {
    let [before, after] = tops.each_ref().map(|top| top.index);
    let (mut of_index, mut members) = (diff::index(before, after), diff::members(before, after));
    if !comparing.arguments.parts().config {
        of_index.clear();
        members.iter_mut().for_each(|member| member.fields.clear());
    }
    let mut is_same = of_index.is_empty() && members.iter().all(Member::is_listed_alike);
    let mut printer = Printer {
        tops,
        shown,
        paint: Paint::new(comparing.settings),
        to: To::Text { is_first: true },
    };
    printer.begin(&of_index, &members, comparing.settings.json)?;
    for member in &members {
        // Who reads no further still learns from the exit code that they differ.
        if matches!(printer.to, To::Nobody) && !is_same {
            break;
        }
        let compared = of_member(comparing, member, &mut printer).await;
        is_same &= compared.map_err(|failure| failure.within(&format!("comparing {}", member.name)))?;
    }
    printer.end(is_same)?;
    Ok(is_same)
}

/// Compares what is in a member and prints it; whether it is the same.
async fn of_member(comparing: &Comparing<'_>, member: &Member<'_>, printer: &mut Printer<'_>) -> Result<bool, Failure> {
    let [one, other] = printer.tops;
    let both = member.both([one.source, other.source]).await?;
    let found = match &both {
        Some(Both::Images(sides)) => {
            let [before, after] = &**sides;
            Some(comparing.images([one.name, other.name], [before, after]).await?)
        }
        _ => None,
    };
    // What is no image is compared as it stands, where documents are.
    let is_other = matches!(both, Some(Both::Other)) && comparing.arguments.parts().config;
    let is_same = member.is_listed_alike() && !is_other && found.as_ref().is_none_or(Found::is_same);
    printer.member(member, is_same, is_other, found.as_ref())?;
    Ok(is_same)
}

/// Prints what was found, as long as somebody reads it.
struct Printer<'a> {
    tops: &'a [Top<'a>; 2],
    shown: &'a Shown,
    paint: Paint,
    to: To,
}

enum To {
    Text { is_first: bool },
    Json(JsonList),
    Nobody,
}

impl Printer<'_> {
    /// Prints what the indexes say.
    fn begin(&mut self, of_index: &[Field], members: &[Member<'_>], is_json: bool) -> Result<(), Failure> {
        let (tops, paint) = (self.tops, self.paint);
        self.print(|to| {
            if is_json {
                let [before, after] = tops
                    .each_ref()
                    .map(|top| json!({"reference": top.name, "digest": top.digest}));
                let of_index: Vec<Value> = of_index.iter().map(json::field).collect();
                let told = json!({"before": before, "after": after, "index": of_index, "platforms": []});
                let mut list = JsonList::begin(&told, "platforms")?;
                list.flush()?;
                *to = To::Json(list);
                return Ok(());
            }
            let of_index = of_index.iter().map(|field| text::fields(field, paint));
            let listed: String = of_index
                .chain(members.iter().map(|member| listed(member, paint)))
                .collect();
            if listed.is_empty() {
                return Ok(());
            }
            *to = To::Text { is_first: false };
            let heads = tops.each_ref().map(|top| format!("{} {} index", top.name, top.digest));
            let text = format!("{}\n{}\n{listed}", text::heads(heads, paint), paint.strong("index"));
            output::bytes(text.as_bytes())
        })
    }

    /// Prints what came of a member.
    fn member(
        &mut self,
        member: &Member<'_>,
        is_same: bool,
        is_other: bool,
        found: Option<&Found<'_>>,
    ) -> Result<(), Failure> {
        let (tops, paint) = (self.tops, self.paint);
        self.print(|to| match to {
            To::Text { is_first } => {
                let found = found.filter(|found| !found.is_same());
                if found.is_none() && !is_other {
                    return Ok(());
                }
                let mut out = output::stream();
                if !std::mem::take(is_first) {
                    out.write_all(b"\n")?;
                }
                match found {
                    Some(found) => text::report(found, paint, &mut out)?,
                    None => out.write_all(other(tops, member, paint).as_bytes())?,
                }
                Ok(out.flush()?)
            }
            To::Json(list) => {
                let told = json!({
                    "platform": member.name,
                    "change": change(member, is_same),
                    "before": member.before.map(|found| found.digest),
                    "after": member.after.map(|found| found.digest),
                    "listed": member.fields.iter().map(json::field).collect::<Vec<_>>(),
                    "image": null,
                });
                match found {
                    Some(found) => json::member(told, found, list)?,
                    None => list.value(&told)?,
                }
                list.flush()
            }
            To::Nobody => Ok(()),
        })
    }

    fn end(&mut self, is_same: bool) -> Result<(), Failure> {
        self.print(|to| match std::mem::replace(to, To::Nobody) {
            To::Json(list) => list.end_with(&json!({"same": is_same})),
            To::Text { .. } | To::Nobody => Ok(()),
        })
    }

    /// Prints, where somebody reads it.
    fn print(&mut self, print: impl FnOnce(&mut To) -> Result<(), Failure>) -> Result<(), Failure> {
        match self.shown.beside(|| print(&mut self.to)) {
            Err(Failure::BrokenPipe) => {
                self.to = To::Nobody;
                Ok(())
            }
            printed => printed,
        }
    }
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
fn listed(member: &Member<'_>, paint: Paint) -> String {
    let name = plain(&member.name);
    match (member.before, member.after) {
        (None, Some(new)) => format!("  {}\n", paint.added(&format!("+ {name}: {}", new.digest))),
        (Some(old), None) => format!("  {}\n", paint.removed(&format!("- {name}: {}", old.digest))),
        _ => {
            let fields = member.fields.iter().map(|field| {
                let of_member = Field {
                    path: format!("{}: {}", member.name, field.path),
                    ..field.clone()
                };
                text::fields(&of_member, paint)
            });
            fields.collect()
        }
    }
}

/// Two members of which there is no more to be told than that they are not the same.
fn other(tops: &[Top<'_>; 2], member: &Member<'_>, paint: Paint) -> String {
    let digests = [member.before, member.after].map(|found| found.map(|found| found.digest.to_string()));
    let [before, after] = digests.map(Option::unwrap_or_default);
    let heads = [
        format!("{} {before} {}", tops[0].name, member.name),
        format!("{} {after} {}", tops[1].name, member.name),
    ];
    format!(
        "{}\nno image, and compared by its digest alone\n",
        text::heads(heads, paint)
    )
}
