//! `teu sync`: many images, each copied as `teu copy` would.

mod constraint;
mod copies;
mod digest_file;
mod list_file;
mod listed;
mod places;
mod printer;
mod report;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use teu_spec::Reference;
use teu_store::{
    Error, ErrorKind, Side,
    copy::{self, Recompressed},
    graph::Permits,
};

use self::{
    copies::{Job, Shared},
    digest_file::DigestFile,
    listed::{Found, From},
    places::To,
    printer::Printer,
    report::{Done, Report},
};
use super::copy::manifest_format;
use crate::{
    arguments::Sync, failure::Failure, output, places::Places, progress::Shown, recompressed::Remembered, say,
    settings::Settings, threads::Begins,
};

/// Where it begins. Most of what is synced again is up to date, and then it asks and waits; a directory for an image is made before that.
pub(super) fn begins(arguments: &Sync) -> Begins {
    match places::read(arguments) {
        Ok((_, To::Registry(_) | To::Layout(_))) => Begins::FirstForLong,
        _ => Begins::Several,
    }
}

pub(super) async fn run(arguments: &Sync, settings: Arc<Settings>) -> Result<(), Failure> {
    let (from, to) = places::read(arguments)?;
    let shown = Shown::start(&settings, settings.as_skopeo);
    let source_options = arguments.from.options(&arguments.common);
    let places = Places::new(Arc::clone(&settings), &source_options, shown.events());
    // skopeo leaves out what it cannot list, whatever it was told.
    let keep_going = arguments.keep_going || settings.as_skopeo;
    let listed = listed::list(&from, &places, source_options, keep_going, settings.as_skopeo).await?;
    for message in listed.warnings {
        say::warn(settings.as_skopeo, &message);
    }
    if listed.images.is_empty() && listed.failures.is_empty() && !matches!(from, From::List(_)) {
        let message = format!("no images to copy are found in {}", arguments.source);
        return Err(Failure::from(Error::new(ErrorKind::NotFound, message)).on(Side::Source));
    }
    let jobs = jobs(listed.images, &to, arguments)?;
    let count = jobs.len();
    let mut report = Report {
        dry_run: arguments.dry_run,
        ..Report::default()
    };
    for (source, failure) in listed.failures {
        match settings.as_skopeo {
            // It leaves them out, and that is no failure to it.
            true => say::pass_over(&format!("{source} is left out: {failure}")),
            false => report.failed(&settings, source, None, &failure),
        }
    }
    // Who reads no further still learns from the exit code what came of it.
    let mut printed = Ok(());
    if arguments.dry_run {
        for (place, job) in jobs.iter().enumerate() {
            places::check_room(&job.to)?;
            let done = Done::new(job, None);
            if settings.as_skopeo {
                done.tell("Would have copied", place, count);
            }
            if printed.is_ok() && !settings.json && !settings.as_skopeo {
                printed = output::line(&format!("{} {}", done.source, done.destination));
            }
            report.images.push(done);
        }
        let told = report.tell(&settings, listed.sources);
        report.outcome(&settings)?;
        return printed.and(told);
    }
    let destination_options = arguments.to.options(&arguments.common);
    let layout = match &to {
        To::Layout(path) => {
            let place = Reference::Layout {
                path: path.clone(),
                pick: teu_spec::Pick::Only,
            };
            let opened = places.target(&place, &destination_options, Vec::new());
            Some(opened.map_err(|failure| failure.on(Side::Destination))?.0)
        }
        _ => None,
    };
    let shared = Shared {
        places,
        to: destination_options,
        layout,
        options: options(arguments, &settings)?,
        turns: Mutex::default(),
        known: Recompressed::default(),
        settings: &settings,
        shown,
        count,
    };
    // Only skopeo's copies compress unasked.
    let remembered = settings
        .as_skopeo
        .then(|| Remembered::read_into(shared.known.clone(), &settings))
        .flatten();
    let mut digests = arguments.digestfile.as_deref().map(DigestFile::create).transpose()?;
    let is_printed = !settings.json && !settings.as_skopeo;
    let is_drawn = shared.shown.is_drawn();
    let printer = (is_printed && !is_drawn).then(Printer::start).transpose()?;
    let ended = shared
        .copy_all(jobs, arguments, &mut digests, printer.as_ref(), &mut report)
        .await;
    let finished = match &shared.layout {
        Some(layout) if report.failed.is_empty() && ended.is_ok() => layout.finish().await,
        // Each name lasts since it was set. To finish would also list what was put of an image that failed.
        _ => Ok(()),
    };
    if let Some(remembered) = remembered {
        remembered.write();
    }
    drop(shared);
    if let Some(printer) = printer {
        printed = printer.finish();
    }
    // Between what is drawn there is no place for lines.
    if is_printed && is_drawn {
        printed = report.images.iter().try_for_each(|done| output::line(&done.line()));
    }
    // skopeo counts only what came to its end.
    let told = match ended.is_err() && settings.as_skopeo {
        true => Ok(()),
        false => report.tell(&settings, listed.sources),
    };
    ended?;
    finished.map_err(|error| error.on(Side::Destination))?;
    report.outcome(&settings)?;
    printed.and(told)
}

/// Where each image goes. No two may go to one place.
fn jobs(images: Vec<Found>, to: &To, arguments: &Sync) -> Result<Vec<Job>, Failure> {
    let mut known: HashMap<Reference, Reference> = HashMap::new();
    let mut jobs = Vec::with_capacity(images.len());
    for found in images {
        let (to, name) = to.of(&found.name, arguments.scoped, &arguments.append_suffix)?;
        if to == found.reference {
            let message = format!("{to} would be copied onto itself");
            return Err(Failure::Usage(message));
        }
        match known.insert(to.clone(), found.reference.clone()) {
            // A list may name an image in two ways.
            Some(other) if other == found.reference => continue,
            Some(other) => {
                let advice = match arguments.scoped {
                    true => "sync them one after the other",
                    false => "keep their whole names with --scoped",
                };
                let message = format!("{other} and {} would both become {to}; {advice}", found.reference);
                return Err(Failure::Usage(message));
            }
            None => jobs.push(Job { found, to, name }),
        }
    }
    Ok(jobs)
}

fn options(arguments: &Sync, settings: &Settings) -> Result<copy::Options, Failure> {
    let defaults = copy::Options::default();
    Ok(copy::Options {
        which: match arguments.all {
            true => copy::Which::All,
            false => copy::Which::One(settings.platform()),
        },
        format: manifest_format(arguments.format.as_deref())?,
        preserve_digests: arguments.preserve_digests,
        partials: settings.partials(),
        // As many blobs at a time as of one image, however many images go side by side.
        permits: Some(Permits::new(defaults.jobs)),
        ready: Some(settings.ready()),
        ..defaults
    })
}
