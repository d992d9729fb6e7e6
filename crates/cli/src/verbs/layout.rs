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

pub(super) fn init(arguments: &Init) -> Result<(), Failure> {
    Layout::create(directory(&arguments.layout)?, None)?;
    Ok(())
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
    let verb = if arguments.dry_run {
        "would be removed"
    } else {
        "removed"
    };
    output::line(&format!(
        "{} {verb} ({}), {} needed, {} too young to judge",
        report.removed.len(),
        output::size(report.freed()),
        report.reached.items,
        report.young.items
    ))
}
