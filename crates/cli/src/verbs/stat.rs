//! `teu stat`, `history`: how was an image made, and of which layers?

use std::sync::Arc;

use serde::Serialize;
use teu_image::history::{self, Step};
use teu_spec::{Descriptor, Digest, Document};
use teu_store::silent;

use super::{inspect, look::platform};
use crate::{
    arguments::{History, One, Stat},
    failure::Failure,
    output::{self, plain},
    places::{Places, reference},
    settings::Settings,
};

/// As umoci has it.
#[derive(Serialize)]
struct Whole<'a> {
    digest: Digest,
    history: Vec<Told<'a>>,
}

#[derive(Serialize)]
struct Told<'a> {
    layer: Option<&'a Descriptor>,
    diff_id: Option<&'a Digest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    created: Option<&'a str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    created_by: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    author: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    comment: &'a str,
    empty_layer: bool,
}

impl<'a> Told<'a> {
    fn of(step: &Step<'a>) -> Self {
        let text = |of: fn(&teu_spec::History) -> &str| step.history.map_or("", of);
        Self {
            layer: step.layer,
            diff_id: step.diff_id,
            created: step.history.and_then(|history| history.created.as_deref()),
            created_by: text(|history| &history.created_by),
            author: text(|history| &history.author),
            comment: text(|history| &history.comment),
            empty_layer: step.history.is_some_and(|history| history.empty_layer),
        }
    }
}

pub(super) async fn stat(arguments: &Stat, settings: Arc<Settings>) -> Result<(), Failure> {
    let image = &arguments.image;
    let show = |digest: Digest, steps: &[Step<'_>]| {
        let history: Vec<Told<'_>> = steps.iter().map(Told::of).collect();
        if settings.json {
            return output::json(&Whole { digest, history });
        }
        let titles = ["LAYER", "SIZE", "DIFFID", "CREATED", "AUTHOR", "CREATED BY", "COMMENT"];
        let mut rows = vec![titles.map(str::to_owned).to_vec()];
        rows.extend(history.iter().map(|told| {
            vec![
                told.layer.map_or_else(none, |layer| layer.digest.short()),
                told.layer.map_or_else(none, |layer| output::size(layer.size)),
                told.diff_id.map_or_else(none, Digest::short),
                told.created.map_or_else(none, |created| plain(&to_the_second(created))),
                if told.author.is_empty() {
                    none()
                } else {
                    plain(told.author)
                },
                if told.created_by.is_empty() {
                    none()
                } else {
                    plain(told.created_by)
                },
                plain(told.comment),
            ]
        }));
        output::cut_table(&rows)
    };
    steps(image, &arguments.one, arguments.platform.as_deref(), &settings, show).await
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Short<'a> {
    created: Option<&'a str>,
    created_by: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    comment: &'a str,
    empty_layer: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    layer: Option<Digest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
}

pub(super) async fn history(arguments: &History, settings: Arc<Settings>) -> Result<(), Failure> {
    let show = |_, steps: &[Step<'_>]| {
        let steps: Vec<Short<'_>> = steps
            .iter()
            .map(Told::of)
            .map(|told| Short {
                created: told.created,
                created_by: told.created_by,
                comment: told.comment,
                empty_layer: told.empty_layer,
                layer: told.layer.map(|layer| layer.digest),
                size: told.layer.map(|layer| layer.size),
            })
            .collect();
        if settings.json {
            return output::json(&steps);
        }
        let mut rows = vec![["LAYER", "SIZE", "CREATED", "CREATED BY"].map(str::to_owned).to_vec()];
        rows.extend(steps.iter().map(|step| {
            vec![
                step.layer.map_or_else(none, |layer| layer.short()),
                step.size.map_or_else(none, output::size),
                plain(&step.created.map_or_else(none, to_the_second)),
                plain(step.created_by),
            ]
        }));
        output::cut_table(&rows)
    };
    steps(
        &arguments.image,
        &arguments.one,
        arguments.platform.as_deref(),
        &settings,
        show,
    )
    .await
}

/// Has the steps of an image be shown.
async fn steps(
    image: &str,
    one: &One,
    wanted: Option<&str>,
    settings: &Arc<Settings>,
    show: impl FnOnce(Digest, &[Step<'_>]) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let wanted = platform(wanted)?.unwrap_or_else(|| settings.platform());
    let place = reference(image)?;
    let options = one.options();
    let (source, pick) = Places::new(Arc::clone(settings), &options, silent()).source(&place, &options)?;
    let found = inspect::find(&*source, &pick, Some(&wanted)).await?;
    let config = inspect::config(&*source, &found).await?;
    let Document::Manifest(manifest) = &found.document else {
        return Ok(());
    };
    show(found.manifest.digest, &history::steps(manifest, &config))
}

fn none() -> String {
    "-".to_owned()
}

/// A time for people: without what is below a second, `2026-11-23 17:52:32`, where it is written as most are.
fn to_the_second(time: &str) -> String {
    match time.split_once('.').or_else(|| time.split_once('Z')) {
        Some((seconds, rest)) if rest.bytes().all(|byte| byte.is_ascii_digit() || byte == b'Z') => {
            seconds.replacen('T', " ", 1)
        }
        _ => time.to_owned(),
    }
}
