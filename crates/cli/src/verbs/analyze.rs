//! `teu analyze`: what do an image's layers hold in vain, and what makes it large?

use std::sync::Arc;

use serde_json::{Value, json};
use teu_image::{
    Image,
    analyze::{self, Analysis, Sum},
};

use crate::{
    arguments::{Analyze, Thresholds},
    failure::Failure,
    inside::Inside,
    limits,
    listed::{self, path},
    output::{self, plain},
    progress::Shown,
    settings::Settings,
};

/// The exit code for an image that is past a threshold.
const PAST_A_THRESHOLD: u8 = 20;

pub(super) async fn run(arguments: &Analyze, settings: Arc<Settings>) -> Result<(), Failure> {
    let shown = Shown::start(&settings, false);
    let platform = arguments.platform.as_deref();
    let mut inside = Inside::open(&arguments.image, platform, &arguments.one.options(), &settings, &shown).await?;
    limits::set(&arguments.limits, inside.limits())?;
    let (source, image) = (inside.source, inside.image);
    let options = analyze::Options {
        most: arguments.most,
        contents: inside.contents,
        tree: inside.tree,
    };
    let analysis = analyze::analyze(&source, &image, inside.cache.as_ref(), &options).await?;
    shown.finish();
    let passed = passed(&arguments.thresholds, &analysis);
    let told = match settings.json {
        true => output::json(&as_json(&image, &analysis, &passed)),
        false => output::bytes(as_text(&analysis, &passed).as_bytes()),
    };
    match (passed.is_empty(), told) {
        (true, told) => told,
        // Who reads no further still learns it from the exit code.
        (false, Ok(()) | Err(Failure::BrokenPipe)) => Err(Failure::Found { code: PAST_A_THRESHOLD }),
        (false, Err(failure)) => Err(failure),
    }
}

/// The thresholds that the image is past, as a person is told of them.
fn passed(thresholds: &Thresholds, analysis: &Analysis) -> Vec<(&'static str, String)> {
    let found = &analysis.efficiency;
    let mut passed = Vec::new();
    if let Some(lowest) = thresholds.lowest_efficiency
        && found.score < lowest
    {
        passed.push((
            "lowestEfficiency",
            format!("efficiency {} is below {lowest}", digits(found.score, lowest)),
        ));
    }
    if let Some(highest) = thresholds.highest_wasted_bytes
        && found.wasted_bytes > highest.0
    {
        passed.push((
            "highestWastedBytes",
            format!("{} bytes are wasted, more than {}", found.wasted_bytes, highest.0),
        ));
    }
    if let Some(highest) = thresholds.highest_hidden_bytes
        && analysis.hidden.bytes > highest.0
    {
        passed.push((
            "highestHiddenBytes",
            format!("{} bytes are hidden, more than {}", analysis.hidden.bytes, highest.0),
        ));
    }
    if let Some(highest) = thresholds.highest_user_wasted_percent
        && found.user_wasted > highest
    {
        passed.push((
            "highestUserWastedPercent",
            format!(
                "the share {} is wasted above the lowest layer, more than {highest}",
                digits(found.user_wasted, highest)
            ),
        ));
    }
    passed
}

/// A share with four digits, or with as many as it takes to see on which side of a threshold it is.
fn digits(share: f64, threshold: f64) -> String {
    let short = format!("{share:.4}");
    match short.parse::<f64>().map(|short| short.total_cmp(&threshold)) {
        Ok(side) if side == share.total_cmp(&threshold) => short,
        _ => share.to_string(),
    }
}

fn as_text(analysis: &Analysis, passed: &[(&str, String)]) -> String {
    let row = |cells: [&str; 6]| cells.map(str::to_owned).to_vec();
    let mut rows = vec![row(["LAYER", "DIGEST", "SIZE", "FILES", "HIDDEN", "CREATED BY"])];
    rows.extend(analysis.layers.iter().map(|share| {
        vec![
            share.layer.position.to_string(),
            share.layer.descriptor.digest.short(),
            output::size(share.layer.descriptor.size),
            output::size(share.files.bytes),
            output::size(share.hidden.bytes),
            plain(share.history.as_ref().map_or("", |history| history.created_by.trim())),
        ]
    }));
    let mut text = output::cut_text(&rows);
    let found = &analysis.efficiency;
    let sum = |sum: &Sum| format!("{} in {} files", output::size(sum.bytes), sum.files);
    text.push_str(&format!(
        "\nseen        {}\nhidden      {}, which later layers write again or remove\n\
         efficiency  {:.4}, as dive measures it\nwasted      {}, {:.1} % of what the layers above the lowest bring\n",
        sum(&analysis.seen),
        sum(&analysis.hidden),
        found.score,
        output::size(found.wasted_bytes),
        found.user_wasted * 100.0,
    ));
    if !analysis.hidden_files.is_empty() {
        let mut rows = vec![["HIDDEN", "LAYERS", "", "PATH"].map(str::to_owned).to_vec()];
        rows.extend(analysis.hidden_files.iter().map(|file| {
            let layers: Vec<String> = file.layers.iter().map(usize::to_string).collect();
            vec![
                output::size(file.bytes),
                layers.join(","),
                if file.removed { "removed" } else { "replaced" }.to_owned(),
                path(&file.path),
            ]
        }));
        text.push_str(&format!("\n{}", output::table_text(&rows)));
    }
    if !analysis.largest.is_empty() {
        let mut rows = vec![["LARGEST", "LAYER", "PATH"].map(str::to_owned).to_vec()];
        rows.extend(
            analysis
                .largest
                .iter()
                .map(|file| vec![output::size(file.bytes), file.layer.to_string(), path(&file.path)]),
        );
        text.push_str(&format!("\n{}", output::table_text(&rows)));
    }
    for (_, why) in passed {
        text.push_str(&format!("\nFAILED {why}"));
    }
    if !passed.is_empty() {
        text.push('\n');
    }
    text
}

fn as_json(image: &Image, analysis: &Analysis, passed: &[(&str, String)]) -> Value {
    let found = &analysis.efficiency;
    let sum = |sum: &Sum| json!({"files": sum.files, "bytes": sum.bytes});
    let named = |mut told: Value, path: &[u8]| {
        listed::name(&mut told, "path", path, "/");
        told
    };
    let layers = analysis.layers.iter().map(|share| {
        json!({
            "position": share.layer.position,
            "digest": share.layer.descriptor.digest,
            "diffId": share.layer.diff_id,
            "size": share.layer.descriptor.size,
            "createdBy": share.history.as_ref().map(|history| &history.created_by),
            "entries": share.entries,
            "whiteouts": share.whiteouts,
            "files": sum(&share.files),
            "hidden": sum(&share.hidden),
        })
    });
    let hidden = analysis.hidden_files.iter().map(|file| {
        let told = json!({"path": "", "bytes": file.bytes, "layers": file.layers, "removed": file.removed});
        named(told, &file.path)
    });
    let largest = analysis.largest.iter().map(|file| {
        named(
            json!({"path": "", "bytes": file.bytes, "layer": file.layer}),
            &file.path,
        )
    });
    json!({
        "digest": image.descriptor.digest,
        "layers": layers.collect::<Vec<_>>(),
        "seen": sum(&analysis.seen),
        "hidden": sum(&analysis.hidden),
        "efficiency": found.score,
        "wastedBytes": found.wasted_bytes,
        "userBytes": found.user_bytes,
        "userWastedPercent": found.user_wasted,
        "hiddenFiles": hidden.collect::<Vec<_>>(),
        "largest": largest.collect::<Vec<_>>(),
        "failed": passed.iter().map(|(threshold, _)| threshold).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_seen_on_which_side_of_a_threshold_a_share_is() {
        for (share, threshold, shown) in [
            (0.5, 1.0, "0.5000"),
            (0.999_99, 1.0, "0.99999"),
            (0.100_01, 0.1, "0.10001"),
            (1.0 / 3.0, 0.34, "0.3333"),
        ] {
            assert_eq!(digits(share, threshold), shown);
        }
    }
}
