//! `teu verify`: is an image what it says it is?

use std::sync::Arc;

use serde_json::{Value, json};
use teu_archive::Escaped;
use teu_image::verify::{self, Finding, Kind, Report, Severity};
use teu_spec::{Descriptor, Platform};
use teu_store::{copy::find_image, graph::Position, silent, verify as checked};

use crate::{
    arguments::Verify,
    failure::Failure,
    limits::{self, Limits},
    output,
    places::{Places, reference},
    settings::Settings,
};

pub(super) async fn run(arguments: &Verify, settings: Arc<Settings>) -> Result<(), Failure> {
    let platform: Option<Platform> = arguments.platform.as_deref().map(str::parse).transpose()?;
    let how = how(arguments, &settings)?;
    let place = reference(&arguments.image)?;
    let options = arguments.one.options();
    let (source, pick) = Places::new(Arc::clone(&settings), &options, silent()).source(&place, &options)?;
    let root = match &platform {
        Some(platform) => find_image(&*source, &pick, platform).await?.1,
        None => source.resolve(&pick).await?,
    };
    let report = verify::verify(source, &root, &how).await?;
    let told = match settings.json {
        true => output::json(&as_json(&root, &report)),
        false => output::bytes(as_text(&root, &report).as_bytes()),
    };
    match (report.checked.worst(), told) {
        (None, told) => told,
        // Who reads no further still learns from the exit code that it is not good.
        (Some(kind), Ok(()) | Err(Failure::BrokenPipe)) => Err(Failure::Found { code: code(kind) }),
        (Some(_), Err(failure)) => Err(failure),
    }
}

fn how(arguments: &Verify, settings: &Settings) -> Result<verify::Options, Failure> {
    let mut how = verify::Options {
        checked: checked::Options {
            allow_sparse: arguments.allow_sparse,
            jobs: usize::from(arguments.jobs),
            ..checked::Options::default()
        },
        temporary: Some(settings.temporary.clone()),
        ..verify::Options::default()
    };
    limits::set(
        &arguments.limits,
        Limits {
            budget: Some(&mut how.budget),
            tar: Some(&mut how.tar),
            codec: Some(&mut how.checked.layers),
            contents_bytes: Some(&mut how.contents_bytes),
            tree: Some(&mut how.tree),
            ..Limits::default()
        },
    )?;
    Ok(how)
}

/// The exit code that says what kind of thing is wrong, or was not checked: of several, the first here.
fn code(kind: Kind) -> u8 {
    match kind {
        Kind::Content => 10,
        Kind::Document => 11,
        Kind::Agreement => 12,
        Kind::Layer => 13,
        Kind::Entry => 14,
        Kind::Limit => 15,
    }
}

fn kind(finding: &Finding) -> &'static str {
    match finding.kind {
        Kind::Content => "content",
        Kind::Document => "document",
        Kind::Agreement => "agreement",
        Kind::Layer => "layer",
        Kind::Entry => "entry",
        Kind::Limit => "limit",
    }
}

fn severity(finding: &Finding) -> &'static str {
    match finding.severity {
        Severity::Wrong => "wrong",
        Severity::Unknown => "unknown",
        Severity::Odd => "odd",
    }
}

fn position(finding: &Finding) -> &'static str {
    match finding.position {
        Position::Manifest => "manifest",
        Position::Config => "config",
        Position::Layer => "layer",
        Position::Other => "blob",
    }
}

fn as_json(root: &Descriptor, report: &Report) -> Value {
    let notes = report.notes.iter().map(|note| {
        json!({
            "layer": note.layer,
            "kind": note.kind.word(),
            "count": note.count,
            "examples": note.examples.iter().map(|path| Escaped(path).to_string()).collect::<Vec<_>>(),
        })
    });
    let (entries, notes) = (report.entries, notes.collect::<Vec<_>>());
    let report = &report.checked;
    let findings = report.findings.iter().map(|finding| {
        json!({
            "severity": severity(finding),
            "kind": kind(finding),
            "position": position(finding),
            "digest": finding.digest,
            "message": finding.message,
        })
    });
    let images = report.images.iter().map(|image| {
        let layers = image.layers.iter().map(|layer| {
            json!({
                "digest": layer.digest,
                "diffId": layer.diff_id,
                "chainId": layer.chain_id,
            })
        });
        json!({
            "digest": image.manifest,
            "platform": image.platform,
            "layers": layers.collect::<Vec<_>>(),
        })
    });
    json!({
        "digest": root.digest,
        "good": report.is_good(),
        "checked": {
            "indexes": report.indexes,
            "manifests": report.manifests,
            "configs": report.configs,
            "layers": report.layers,
            "entries": entries,
            "bytes": report.bytes,
        },
        "images": images.collect::<Vec<_>>(),
        "findings": findings.collect::<Vec<_>>(),
        "notes": notes,
        "absent": report.absent,
        "elsewhere": report.elsewhere,
    })
}

fn as_text(root: &Descriptor, report: &Report) -> String {
    let mut text = String::new();
    for note in &report.notes {
        let examples: Vec<String> = note
            .examples
            .iter()
            .map(|path| format!("\"{}\"", Escaped(path)))
            .collect();
        let such = match examples.is_empty() {
            true => String::new(),
            false => format!(": {}", examples.join(", ")),
        };
        let more = if note.count > note.examples.len() as u64 && !examples.is_empty() {
            ", …"
        } else {
            ""
        };
        text.push_str(&format!(
            "note: layer {}: {} {}{such}{more}\n",
            note.layer.short(),
            note.count,
            note.kind.text()
        ));
    }
    let entries = report.entries;
    let report = &report.checked;
    for finding in &report.findings {
        let message = output::plain(&finding.to_string());
        text.push_str(&format!("{}: {message}\n", severity(finding)));
    }
    for digest in &report.absent {
        text.push_str(&format!("not here: manifest {digest}, which a sparse index names\n"));
    }
    for digest in &report.elsewhere {
        text.push_str(&format!("not here: layer {digest}, which is kept where its urls say\n"));
    }
    let counted = [
        (report.indexes, "index", "indexes"),
        (report.manifests, "manifest", "manifests"),
        (report.configs, "config", "configs"),
        (report.layers, "layer", "layers"),
        (usize::try_from(entries).unwrap_or(usize::MAX), "entry", "entries"),
    ]
    .iter()
    .filter(|(count, ..)| *count > 0)
    .map(|(count, one, many)| format!("{count} {}", if *count == 1 { one } else { many }))
    .collect::<Vec<_>>();
    let verdict = match report.worst() {
        None => "good",
        Some(Kind::Limit) => "UNKNOWN",
        Some(_) => "WRONG",
    };
    text.push_str(&format!("{verdict}: {}\n", root.digest));
    if !counted.is_empty() {
        text.push_str(&format!(
            "checked: {}, {}: digests, sizes, media types, DiffIDs, what the specification demands, and what unpacking refuses\n",
            counted.join(", "),
            output::size(report.bytes)
        ));
    }
    text
}
