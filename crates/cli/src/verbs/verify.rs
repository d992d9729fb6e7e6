//! `teu verify`: is an image what it says it is?

use std::sync::Arc;

use serde_json::{Value, json};
use teu_spec::{Descriptor, Platform};
use teu_store::{
    copy::choose_image,
    graph::Position,
    silent,
    verify::{self, Finding, Report, Severity},
};

use crate::{
    arguments::Verify,
    failure::Failure,
    output,
    places::{Places, reference},
    settings::Settings,
};

pub(super) async fn run(arguments: &Verify, settings: Arc<Settings>) -> Result<(), Failure> {
    let platform: Option<Platform> = arguments.platform.as_deref().map(str::parse).transpose()?;
    let place = reference(&arguments.image)?;
    let options = arguments.one.options();
    let (source, pick) = Places::new(Arc::clone(&settings), &options, silent()).source(&place, &options)?;
    let top = source.resolve(&pick).await?;
    let root = match &platform {
        Some(platform) => choose_image(&*source, &top, platform).await?.0,
        None => top,
    };
    let options = verify::Options {
        allow_sparse: arguments.allow_sparse,
        jobs: usize::from(arguments.jobs),
        ..verify::Options::default()
    };
    let report = verify::verify(source, &root, &options).await?;
    let told = match settings.json {
        true => output::json(&as_json(&root, &report)),
        false => output::bytes(as_text(&root, &report).as_bytes()),
    };
    match (report.is_good(), told) {
        (true, told) => told,
        // Who reads no further still learns from the exit code that it is not good.
        (false, Ok(()) | Err(Failure::BrokenPipe)) => Err(Failure::Found),
        (false, Err(failure)) => Err(failure),
    }
}

fn severity(finding: &Finding) -> &'static str {
    match finding.severity {
        Severity::Wrong => "wrong",
        Severity::Odd => "odd",
    }
}

fn position(finding: &Finding) -> &'static str {
    match finding.position {
        Position::Manifest => "manifest",
        Position::Config => "config",
        Position::Layer => "layer",
    }
}

fn as_json(root: &Descriptor, report: &Report) -> Value {
    let findings = report.findings.iter().map(|finding| {
        json!({
            "severity": severity(finding),
            "position": position(finding),
            "digest": finding.digest,
            "message": finding.message,
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
            "bytes": report.bytes,
        },
        "findings": findings.collect::<Vec<_>>(),
        "absent": report.absent,
        "elsewhere": report.elsewhere,
    })
}

fn as_text(root: &Descriptor, report: &Report) -> String {
    let mut text = String::new();
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
    ]
    .iter()
    .filter(|(count, ..)| *count > 0)
    .map(|(count, one, many)| format!("{count} {}", if *count == 1 { one } else { many }))
    .collect::<Vec<_>>();
    let verdict = if report.is_good() { "good" } else { "WRONG" };
    text.push_str(&format!("{verdict}: {}\n", root.digest));
    if !counted.is_empty() {
        text.push_str(&format!(
            "checked: {}, {}: digests, sizes, media types, DiffIDs, and what the specification demands\n",
            counted.join(", "),
            output::size(report.bytes)
        ));
    }
    text
}
