//! `teu edit`: what the flags say, as the [`Edit`] that the library does.

use std::{os::unix::ffi::OsStrExt as _, sync::Arc};

use teu_image::{
    edit::{ConfigEdit, Edit, Healthcheck, HealthcheckFields, Keys, Pairs, To, WhichLayer},
    glob::Pattern,
    layer,
};
use teu_spec::{Descriptor, Digest, History, Pick, Platform, Timestamp};
use teu_store::{
    copy::{self, Recompress},
    silent,
};

use super::{
    changed,
    copy::manifest_format,
    make::{epoch, moment},
};
use crate::{
    arguments::{self, Clear, EditLayers, Runs, Said, Where},
    failure::Failure,
    inside,
    limits::{self, Limits},
    places::{Places, reference},
    settings::Settings,
};

pub(super) async fn run(arguments: &arguments::Edit, settings: Arc<Settings>) -> Result<(), Failure> {
    let (said, layers) = (&arguments.said, &arguments.layers);
    let mut edit = Edit {
        config: config(&arguments.runs, said)?,
        clear_history: said.clear.contains(&Clear::History),
        build_args: said.remove_build_arg.clone(),
        history: history(said)?.into_iter().collect(),
        labels_to_annotations: said.label_to_annotation.clone(),
        annotations: annotations(said, Where::Manifest, Clear::Annotations),
        promote_annotations: said.promote_annotations,
        index_annotations: annotations(said, Where::Index, Clear::IndexAnnotations),
        descriptor_annotations: annotations(said, Where::Descriptor, Clear::DescriptorAnnotations),
        layer_annotations: annotations(said, Where::Layer, Clear::LayerAnnotations),
        inline: said.inline,
        artifact_type: said.artifact_type.clone().unwrap_or_default(),
        remove_layers: layers
            .remove_layer
            .iter()
            .map(|text| text.parse())
            .collect::<Result<_, _>>()?,
        remove_files: layers
            .remove_file
            .iter()
            .map(|text| Pattern::new(text.as_bytes()))
            .collect::<Result<_, _>>()?,
        times: times(layers)?,
        distribute: layers.distribute,
        ..Edit::default()
    };
    let made_by = layers.remove_layer_by.iter().cloned().map(WhichLayer::MadeBy);
    edit.remove_layers.extend(made_by);
    edit.subject = match said.subject.as_deref() {
        None => To::Same,
        Some("") => To::Remove,
        Some(subject) => To::Set(found(subject, arguments, &settings).await?),
    };
    edit.contents = inside::contents_options(&settings, silent());
    edit.cache = inside::cache(&settings);
    limits::set(&layers.limits, Limits::inside(&mut edit.contents, &mut edit.tree))?;
    let copy = copy::Options {
        format: manifest_format(layers.format.as_deref())?,
        recompress: recompress(layers)?,
        ..copy::Options::default()
    };
    if edit.is_empty() && copy.format.is_none() && copy.recompress.is_none() {
        let message = "nothing is to be different; say what, as in --env NAME=VALUE, or see teu help edit";
        return Err(Failure::Usage(message.to_owned()));
    }
    changed::run_with(&arguments.image, &arguments.to, &edit, copy, &settings).await
}

fn config(runs: &Runs, said: &Said) -> Result<ConfigEdit, Failure> {
    let clears = |what| said.clear.contains(&what);
    let platform = said
        .set_platform
        .as_ref()
        .map(|text| text.parse::<Platform>())
        .transpose()?;
    let of_platform = |own: &Option<String>, part: fn(&Platform) -> &String| match &platform {
        Some(platform) => text(Some(part(platform))),
        None => text(own.as_ref()),
    };
    Ok(ConfigEdit {
        entrypoint: command("--entrypoint", &runs.entrypoint, clears(Clear::Entrypoint))?,
        cmd: command("--cmd", &runs.cmd, clears(Clear::Cmd))?,
        env: pairs(clears(Clear::Env), runs.remove_env.iter(), runs.env.iter()),
        labels: pairs(clears(Clear::Labels), said.remove_label.iter(), said.label.iter()),
        user: runs.user.clone().unwrap_or_default(),
        working_dir: text(runs.workdir.as_ref()),
        ports: keys(clears(Clear::Ports), &runs.port, &runs.remove_port),
        volumes: keys(clears(Clear::Volumes), &runs.volume, &runs.remove_volume),
        stop_signal: runs.stop_signal.clone().unwrap_or_default(),
        stop_timeout: runs.stop_timeout.map_or(To::Same, To::Set),
        healthcheck: healthcheck(runs)?,
        healthcheck_fields: healthcheck_fields(runs)?,
        shell: command("--shell", &runs.shell, false)?,
        on_build: command("--on-build", &runs.on_build, false)?,
        author: text(said.author.as_ref()),
        created: match said.created.as_deref() {
            None => To::Same,
            Some("") => To::Remove,
            Some(created) => To::Set(moment(created)?),
        },
        os: of_platform(&said.os, |platform| &platform.os),
        architecture: of_platform(&said.arch, |platform| &platform.architecture),
        variant: of_platform(&said.variant, |platform| &platform.variant),
        os_version: text(said.os_version.as_ref()),
        os_features: command("--os-feature", &said.os_feature, false)?,
    })
}

/// One value, of which nothing is as good as none.
fn text(value: Option<&String>) -> To<String> {
    match value.map(String::as_str) {
        None => To::Same,
        Some("") => To::Remove,
        Some(text) => To::Set(text.to_owned()),
    }
}

/// A list of words: one flag for each, or all as one JSON array.
fn command(flag: &str, given: &[String], clears: bool) -> Result<To<Vec<String>>, Failure> {
    let words = match given {
        [] if clears => return Ok(To::Remove),
        [] => return Ok(To::Same),
        [one] if one.is_empty() => Vec::new(),
        [one] => array(flag, one)?.unwrap_or_else(|| given.to_vec()),
        several => several.to_vec(),
    };
    Ok(match words.is_empty() {
        true => To::Remove,
        false => To::Set(words),
    })
}

/// A JSON array of words; none where it is not meant as one.
fn array(flag: &str, text: &str) -> Result<Option<Vec<String>>, Failure> {
    if !text.trim_start().starts_with('[') {
        return Ok(None);
    }
    serde_json::from_str(text).map(Some).map_err(|error| {
        let message = format!("{flag} {text:?} begins as a JSON array of words and is none: {error}");
        Failure::Usage(message)
    })
}

fn healthcheck(runs: &Runs) -> Result<To<Healthcheck>, Failure> {
    let test = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    if runs.no_healthcheck {
        return Ok(To::Set(Healthcheck {
            test: test(&["NONE"]),
            ..Healthcheck::default()
        }));
    }
    let Some(given) = &runs.healthcheck else {
        return Ok(To::Same);
    };
    let words = match array("--healthcheck", given)? {
        None if given.is_empty() => return Ok(To::Remove),
        None => test(&["CMD-SHELL", given]),
        Some(words) => match words.first().map(String::as_str) {
            None => return Ok(To::Remove),
            Some("NONE" | "CMD" | "CMD-SHELL") => words,
            Some(_) => [test(&["CMD"]), words].concat(),
        },
    };
    // Nothing is what Docker takes to choose itself.
    let given = |time| Ok::<_, Failure>(nanoseconds(time)?.filter(|time| *time != 0));
    Ok(To::Set(Healthcheck {
        test: words,
        interval: given(runs.health_interval)?,
        timeout: given(runs.health_timeout)?,
        start_period: given(runs.health_start_period)?,
        start_interval: given(runs.health_start_interval)?,
        retries: runs.health_retries.filter(|retries| *retries != 0).map(i64::from),
    }))
}

/// What becomes of the health check that is there.
fn healthcheck_fields(runs: &Runs) -> Result<HealthcheckFields, Failure> {
    if runs.healthcheck.is_some() {
        return Ok(HealthcheckFields::default());
    }
    let number = |number: Option<i64>| match number {
        None => To::Same,
        Some(0) => To::Remove,
        Some(number) => To::Set(number),
    };
    Ok(HealthcheckFields {
        interval: number(nanoseconds(runs.health_interval)?),
        timeout: number(nanoseconds(runs.health_timeout)?),
        start_period: number(nanoseconds(runs.health_start_period)?),
        start_interval: number(nanoseconds(runs.health_start_interval)?),
        retries: number(runs.health_retries.map(i64::from)),
    })
}

fn nanoseconds(time: Option<arguments::Time>) -> Result<Option<i64>, Failure> {
    let nanoseconds = time.map(|time| i64::try_from(time.0.as_nanos()));
    let too_long = |_| Failure::Usage("a time of more than 292 years cannot be said".to_owned());
    nanoseconds.transpose().map_err(too_long)
}

/// What is removed comes before what is set.
fn pairs<'a>(
    clear: bool,
    removed: impl Iterator<Item = &'a String>,
    set: impl Iterator<Item = &'a (String, String)>,
) -> Pairs {
    let removed = removed.map(|key| (key.clone(), None));
    let set = set.map(|(key, value)| (key.clone(), Some(value.clone())));
    Pairs {
        clear,
        changes: removed.chain(set).collect(),
    }
}

fn keys<T: Clone>(clear: bool, add: &[T], remove: &[String]) -> Keys<T> {
    Keys {
        clear,
        add: add.to_vec(),
        remove: remove.to_vec(),
    }
}

fn annotations(said: &Said, place: Where, clear: Clear) -> Pairs {
    let removed = said.remove_annotation.iter().filter(|(at, _)| *at == place);
    let set = said.annotation.iter().filter(|(at, _)| *at == place);
    pairs(
        said.clear.contains(&clear),
        removed.map(|(_, key)| key),
        set.map(|(_, pair)| pair),
    )
}

fn history(said: &Said) -> Result<Option<History>, Failure> {
    let (by, author, comment) = (&said.history_created_by, &said.history_author, &said.history_comment);
    if [by, author, comment, &said.history_created]
        .iter()
        .all(|given| given.is_none())
        || said.no_history
    {
        return Ok(None);
    }
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    Ok(Some(History {
        created: match &said.history_created {
            Some(created) => Some(moment(created)?),
            None => epoch(said.source_date_epoch.and_then(|seconds| seconds.0))?,
        },
        created_by: by.clone().unwrap_or_else(|| "teu edit".to_owned()),
        author: text(author),
        comment: text(comment),
        empty_layer: true,
    }))
}

fn times(layers: &EditLayers) -> Result<layer::Times, Failure> {
    Ok(match (&layers.clamp_times, &layers.set_times) {
        (Some(latest), _) => layer::Times::Clamp(time(latest)?),
        (_, Some(time_of_all)) => layer::Times::Set(time(time_of_all)?),
        (None, None) => layer::Times::Keep,
    })
}

/// A moment, or seconds since 1970, as `SOURCE_DATE_EPOCH` has them.
fn time(text: &str) -> Result<layer::Time, Failure> {
    if let Ok(seconds) = text.parse() {
        return Ok(layer::Time {
            seconds,
            nanoseconds: 0,
        });
    }
    match text.parse::<Timestamp>() {
        Ok(moment) => Ok(layer::Time {
            seconds: moment.unix(),
            nanoseconds: moment.nanosecond(),
        }),
        Err(_) => Err(Failure::Usage(format!(
            "{text:?} is no time; write one as 2026-01-31T12:00:00Z, or in seconds since 1970"
        ))),
    }
}

fn recompress(layers: &EditLayers) -> Result<Option<Recompress>, Failure> {
    let Some(compression) = &layers.compress else {
        return Ok(None);
    };
    Ok(Some(Recompress {
        level: layers.compress_level,
        ..Recompress::to(compression.parse()?)
    }))
}

/// What a manifest is to be about: a digest in the image's own place, or whatever an image leads to.
async fn found(subject: &str, arguments: &arguments::Edit, settings: &Arc<Settings>) -> Result<Descriptor, Failure> {
    let options = arguments.to.one.options(&arguments.to.common);
    let places = Places::new(Arc::clone(settings), &options, silent());
    let found = match subject.parse::<Digest>() {
        Ok(digest) => {
            let (source, _) = places.source(&reference(&arguments.image)?, &options)?;
            source.resolve(&Pick::Digest(digest)).await?
        }
        // A repository could have such a name, and nobody means one.
        Err(error) if subject.starts_with("sha256:") || subject.starts_with("sha512:") => {
            return Err(Failure::Usage(format!("--subject: {error}")));
        }
        Err(_) => {
            let (source, pick) = places.source(&reference(subject)?, &options)?;
            source.resolve(&pick).await?
        }
    };
    Ok(Descriptor::new(found.media_type, found.digest, found.size))
}
