//! How does a verb change images? In place, or on their way to where `--to` says; then it tells what came of it. With `--dry-run` it tells what
//! would come of it.

use std::{path::Path, sync::Arc};

use serde_json::json;
use teu_image::change::{self, Change, Changed, Options};
use teu_spec::Platform;
use teu_store::{Error, ErrorKind, Event, Events, How, Side, Source, Store, copy};
use teu_transport::layout::Layout;

use super::{copy::is_standard_output, previewed};
use crate::{
    arguments::To,
    failure::Failure,
    output,
    places::{Places, reference},
    progress::Shown,
    recompressed::Remembered,
    settings::Settings,
};

/// Changes the image, and prints the digest of what came of it.
pub(super) async fn run(image: &str, to: &To, change: &dyn Change, settings: &Arc<Settings>) -> Result<(), Failure> {
    run_with(image, to, change, copy::Options::default(), settings).await
}

/// The same, where what comes of it is put as `copy` says: in another form, or compressed anew.
pub(super) async fn run_with(
    image: &str,
    to: &To,
    change: &dyn Change,
    copy: copy::Options,
    settings: &Arc<Settings>,
) -> Result<(), Failure> {
    let platforms: Vec<Platform> = to
        .platform
        .iter()
        .map(|platform| platform.parse())
        .collect::<Result<_, _>>()?;
    let mut options = Options {
        platforms,
        copy: copy::Options {
            partials: settings.partials(),
            ..copy
        },
        scratch: None,
    };
    let remembered = Remembered::read(&options.copy, settings);
    let from = to.one.options(&to.common);
    let image = reference(image)?;
    let shown = Shown::start(settings, to.quiet);
    let places = Places::new(Arc::clone(settings), &from, shown.events());
    if to.dry_run {
        let (source, pick): (Arc<dyn Source>, _) = match &to.to {
            None => {
                let (store, pick) = places.store(&image, &from)?;
                (store, pick)
            }
            Some(_) => places.source(&image, &from)?,
        };
        settings.check_policy(&image)?;
        let scratch = match change::reads_new(change, &options) {
            true => Some(Scratch::new(&settings.temporary)?),
            false => None,
        };
        options.scratch = scratch.as_ref().map(Scratch::store);
        let preview = change::preview(source, &pick, change, &options, &rehearsed(shown.events())).await?;
        shown.finish();
        return previewed::report(&preview, settings);
    }
    let changed = match &to.to {
        None => {
            let (store, pick) = places.store(&image, &from)?;
            settings.check_policy(&image)?;
            let changed = change::in_place(Arc::clone(&store), &pick, change, &options, &shown.events()).await?;
            store.finish().await?;
            if let Some(remembered) = remembered {
                remembered.write();
            }
            changed
        }
        Some(target) => {
            let reached = to.target.options(&to.common);
            let place = reference(target)?;
            let opened = places.source(&image, &from);
            let (source, pick) = opened.map_err(|failure| failure.on(Side::Source))?;
            settings.check_policy(&image)?;
            let opened = places.target(&place, &reached, Vec::new());
            let (target, names) = opened.map_err(|failure| failure.on(Side::Destination))?;
            let scratch = match target.readable() {
                Some(_) => None,
                None => Some(Scratch::new(&settings.temporary)?),
            };
            options.scratch = scratch.as_ref().map(Scratch::store);
            let (events, pick) = (shown.events(), &pick);
            let changed = change::into(source, pick, Arc::clone(&target), &names, change, &options, &events).await?;
            target.finish().await.map_err(|error| error.on(Side::Destination))?;
            if let Some(remembered) = remembered {
                remembered.write();
            }
            if is_standard_output(&place) {
                shown.finish();
                return Ok(());
            }
            changed
        }
    };
    shown.finish();
    report(&changed, to.quiet, settings)
}

/// Events of what is only seen how it would be: nothing is written.
pub(super) fn rehearsed(events: Events) -> Events {
    Arc::new(move |event| match event {
        Event::ManifestStarted { .. } | Event::ManifestDone { .. } => {}
        Event::BlobDone { digest, .. } => events(Event::BlobDone { digest, how: How::Read }),
        event => events(event),
    })
}

fn report(changed: &Changed, quiet: bool, settings: &Settings) -> Result<(), Failure> {
    if settings.json {
        return output::json(&json!({
            "digest": changed.descriptor.digest,
            "before": changed.before.digest,
            "names": changed.names,
        }));
    }
    match quiet {
        true => Ok(()),
        false => output::line(&changed.descriptor.digest.to_string()),
    }
}

/// A layout for what cannot go to its place at once, which is thrown away.
pub(super) struct Scratch {
    layout: Arc<Layout>,
    _directory: tempfile::TempDir,
}

impl Scratch {
    pub(super) fn new(temporary: &Path) -> Result<Self, Failure> {
        let directory = tempfile::Builder::new().prefix("teu-").tempdir_in(temporary);
        let within = |error: std::io::Error| {
            // That there is no such directory says nothing of an image.
            let message = format!(
                "making a temporary directory in {} (--tmpdir chooses another)",
                temporary.display()
            );
            Error::new(ErrorKind::Io, message).with_cause(error)
        };
        let directory = directory.map_err(within)?;
        let layout = Layout::create(directory.path().join("layout"), None)?;
        Ok(Self {
            layout: Arc::new(layout),
            _directory: directory,
        })
    }

    pub(super) fn store(&self) -> Arc<dyn Store> {
        Arc::clone(&self.layout) as Arc<dyn Store>
    }
}
