//! `teu init`, `teu gc`: layouts themselves.

use std::sync::Arc;

use serde_json::json;
use teu_spec::Reference;
use teu_store::{Error, ErrorKind, Target, gc};
use teu_transport::layout::Layout;

use crate::{
    arguments::{Gc, Init},
    failure::Failure,
    output,
    places::reference,
    settings::Settings,
};

fn directory(input: &str) -> Result<std::path::PathBuf, Failure> {
    match reference(input)? {
        Reference::Layout { path, .. } => Ok(path),
        other => Err(Failure::Usage(format!("{other} is no layout; write oci:DIRECTORY"))),
    }
}

pub(super) fn init(arguments: &Init, settings: &Settings) -> Result<(), Failure> {
    let path = directory(&arguments.layout)?;
    Layout::create(path.clone(), None)?;
    output::done(settings, || json!({"path": path}))
}

pub(super) async fn gc(arguments: &Gc, settings: &Arc<Settings>) -> Result<(), Failure> {
    let layout = Layout::open(directory(&arguments.layout)?, None)?;
    let sweep = layout
        .sweep()
        .ok_or_else(|| Error::new(ErrorKind::Unsupported, "its blobs are shared"))?;
    let options = gc::Options {
        grace: arguments.grace.0,
        dry_run: arguments.dry_run,
        ..gc::Options::default()
    };
    let report = gc::gc(&layout, sweep, &options).await?;
    if settings.json {
        let removed = report
            .removed
            .iter()
            .map(|kept| json!({"digest": kept.digest, "size": kept.size}));
        return output::json(&json!({
            "removed": removed.collect::<Vec<_>>(),
            "freed": report.freed(),
            "kept": report.reached.items,
            "young": report.young.items,
            "absent": report.absent,
            "dryRun": arguments.dry_run,
        }));
    }
    let rows = report
        .removed
        .iter()
        .map(|kept| vec![kept.digest.to_string(), output::size(kept.size)]);
    output::table(&rows.collect::<Vec<_>>())?;
    output::line(&summary(&report, arguments))
}

fn summary(report: &gc::Report, arguments: &Gc) -> String {
    let size = output::size(report.freed());
    let mut text = match (report.removed.len(), arguments.dry_run) {
        (0, _) => "nothing to free".to_owned(),
        (1, true) => format!("would free {size}: 1 blob"),
        (count, true) => format!("would free {size}: {count} blobs"),
        (1, false) => format!("freed {size}: 1 blob"),
        (count, false) => format!("freed {size}: {count} blobs"),
    };
    text.push_str(&format!(
        "; {} needed, {}",
        report.reached.items,
        output::size(report.reached.bytes)
    ));
    if report.young.items > 0 {
        text.push_str(&format!(
            "; {} left, {}, as another tool may be about to name what is so new (--grace 0 takes it too)",
            report.young.items,
            output::size(report.young.bytes)
        ));
    }
    text
}
