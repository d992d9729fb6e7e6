//! `teu index`: how an index is made and changed.

use std::sync::Arc;

use serde_json::json;
use teu_spec::{Annotations, Platform};
use teu_store::{
    Side, copy,
    index::{self, Change, Changed, Member, New, Selector},
    silent,
};

use super::copy::manifest_format;
use crate::{
    arguments::{Index, IndexAdd, IndexAnnotate, IndexCreate, IndexFilter, IndexRm, Members, One},
    failure::Failure,
    output,
    places::{Places, reference},
    progress::Shown,
    settings::Settings,
};

pub(super) async fn run(arguments: Index, settings: Arc<Settings>) -> Result<(), Failure> {
    match arguments {
        Index::Create(arguments) => create(&arguments, settings).await,
        Index::Add(arguments) => add(&arguments, settings).await,
        Index::Rm(arguments) => remove(&arguments, settings).await,
        Index::Filter(arguments) => filter(&arguments, settings).await,
        Index::Annotate(arguments) => annotate(&arguments, settings).await,
    }
}

async fn create(arguments: &IndexCreate, settings: Arc<Settings>) -> Result<(), Failure> {
    let place = reference(&arguments.destination)?;
    let to = arguments.members.to.options(&arguments.members.common);
    let shown = Shown::start(&settings, arguments.members.quiet);
    let members = members(
        &arguments.sources,
        &arguments.members,
        Annotations::new(),
        &settings,
        &shown,
    )?;
    let opened = Places::new(Arc::clone(&settings), &to, shown.events()).target(&place, &to, Vec::new());
    let (target, names) = opened.map_err(|failure| failure.on(Side::Destination))?;
    let new = New {
        annotations: arguments.annotation.iter().cloned().collect(),
        artifact_type: arguments.artifact_type.clone(),
    };
    let options = options(&arguments.members)?;
    let created = index::create(&members, &new, Arc::clone(&target), &names, &options, &shown.events()).await?;
    target.finish().await.map_err(|error| error.on(Side::Destination))?;
    shown.finish();
    report(&created, arguments.members.quiet, &settings)
}

async fn add(arguments: &IndexAdd, settings: Arc<Settings>) -> Result<(), Failure> {
    let place = reference(&arguments.index)?;
    let to = arguments.members.to.options(&arguments.members.common);
    let shown = Shown::start(&settings, arguments.members.quiet);
    let annotations = arguments.annotation.iter().cloned().collect();
    let members = members(&arguments.sources, &arguments.members, annotations, &settings, &shown)?;
    let opened = Places::new(Arc::clone(&settings), &to, shown.events()).store(&place, &to);
    let (store, pick) = opened.map_err(|failure| failure.on(Side::Destination))?;
    let options = options(&arguments.members)?;
    let change = Change::Add(members);
    let names = &arguments.names.name;
    let changed = index::change(Arc::clone(&store), &pick, &change, names, &options, &shown.events()).await?;
    store.finish().await.map_err(|error| error.on(Side::Destination))?;
    shown.finish();
    report(&changed, arguments.members.quiet, &settings)
}

/// The sources, each a member alike.
fn members(
    sources: &[String],
    arguments: &Members,
    annotations: Annotations,
    settings: &Arc<Settings>,
    shown: &Shown,
) -> Result<Vec<Member>, Failure> {
    if arguments.set_platform.is_some() && sources.len() > 1 {
        let message = "--set-platform is for one image; add the others by commands of their own (teu index add)";
        return Err(Failure::Usage(message.to_owned()));
    }
    let platform: Option<Platform> = arguments.set_platform.as_deref().map(str::parse).transpose()?;
    let from = arguments.from.options(&arguments.common);
    let places = Places::new(Arc::clone(settings), &from, shown.events());
    let members = sources.iter().map(|source| {
        let source = reference(source)?;
        let (place, opened) = (&source, places.source(&source, &from));
        let (source, pick) = opened.map_err(|failure| failure.on(Side::Source))?;
        settings.check_policy(place)?;
        Ok(Member {
            nested: arguments.nested,
            beside: arguments.beside,
            platform: platform.clone(),
            annotations: annotations.clone(),
            ..Member::new(source, pick)
        })
    });
    members.collect()
}

fn options(arguments: &Members) -> Result<copy::Options, Failure> {
    let which = match arguments.platform.as_slice() {
        [] => copy::Which::All,
        platforms => copy::Which::Several {
            platforms: self::platforms(platforms)?,
            sparse: false,
        },
    };
    Ok(copy::Options {
        which,
        format: manifest_format(arguments.format.as_deref())?,
        jobs: usize::from(arguments.jobs),
        ..copy::Options::default()
    })
}

fn platforms(texts: &[String]) -> Result<Vec<Platform>, Failure> {
    Ok(texts.iter().map(|text| text.parse()).collect::<Result<_, _>>()?)
}

async fn remove(arguments: &IndexRm, settings: Arc<Settings>) -> Result<(), Failure> {
    let images = arguments.images.iter().map(|image| image.parse());
    let change = Change::Remove(images.collect::<Result<_, _>>()?);
    in_place(
        &arguments.index,
        &change,
        &arguments.names.name,
        &arguments.one,
        settings,
    )
    .await
}

async fn filter(arguments: &IndexFilter, settings: Arc<Settings>) -> Result<(), Failure> {
    let change = Change::Filter(platforms(&arguments.platform)?);
    in_place(
        &arguments.index,
        &change,
        &arguments.names.name,
        &arguments.one,
        settings,
    )
    .await
}

async fn annotate(arguments: &IndexAnnotate, settings: Arc<Settings>) -> Result<(), Failure> {
    let removed = arguments.remove_annotation.iter().map(|key| (key.clone(), None));
    let set = arguments.annotation.iter().cloned();
    let change = Change::Annotate {
        of: arguments.of.as_deref().map(str::parse::<Selector>).transpose()?,
        annotations: removed.chain(set.map(|(key, value)| (key, Some(value)))).collect(),
        platform: arguments.set_platform.as_deref().map(str::parse).transpose()?,
    };
    in_place(
        &arguments.index,
        &change,
        &arguments.names.name,
        &arguments.one,
        settings,
    )
    .await
}

/// Changes an index without adding anything.
async fn in_place(
    index: &str,
    change: &Change,
    names: &[String],
    one: &One,
    settings: Arc<Settings>,
) -> Result<(), Failure> {
    let options = one.options();
    let (store, pick) = Places::new(Arc::clone(&settings), &options, silent()).store(&reference(index)?, &options)?;
    let changed = index::change(
        Arc::clone(&store),
        &pick,
        change,
        names,
        &copy::Options::default(),
        &silent(),
    )
    .await?;
    store.finish().await?;
    report(&changed, false, &settings)
}

fn report(changed: &Changed, quiet: bool, settings: &Settings) -> Result<(), Failure> {
    if settings.json {
        let copied = changed.copied.iter().map(|copied| copied.descriptor.digest);
        return output::json(&json!({
            "digest": changed.descriptor.digest,
            "before": changed.before.as_ref().map(|before| before.digest),
            "names": changed.names,
            "copied": copied.collect::<Vec<_>>(),
        }));
    }
    match quiet {
        true => Ok(()),
        false => output::line(&changed.descriptor.digest.to_string()),
    }
}
