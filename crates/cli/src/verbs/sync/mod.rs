//! `teu sync`: many images, each copied as `teu copy` would.

mod constraint;
mod list_file;
mod listed;
mod places;
mod printer;

use std::{
    collections::HashMap,
    fs::File,
    io::Write as _,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use futures_util::{StreamExt as _, stream};
use serde::Serialize;
use teu_spec::{Format, Reference};
use teu_store::{
    Error, ErrorKind, Side, Target,
    copy::{self, Copied, Recompress, Recompressed, Turns},
    graph::Permits,
};

use self::{
    listed::{Found, From},
    places::To,
    printer::Printer,
};
use super::copy::{UNREAD, is_oci_meant, is_unread_by_others, manifest_format, unasked, wanted_digest};
use crate::{
    arguments::{ImageOptions, Sync},
    failure::Failure,
    output,
    places::Places,
    progress::Shown,
    recompressed::Remembered,
    say,
    settings::Settings,
};

/// What came of it, for programs.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    dry_run: bool,
    images: Vec<Done>,
    failed: Vec<Failed>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Done {
    source: String,
    destination: String,
    #[serde(flatten)]
    copied: Option<Counts>,
}

#[derive(Serialize)]
struct Counts {
    digest: String,
    manifests: usize,
    blobs: usize,
    bytes: u64,
}

#[derive(Serialize)]
struct Failed {
    source: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    destination: Option<String>,
    error: String,
}

impl Failed {
    fn new(source: String, destination: Option<String>, failure: &Failure) -> Self {
        Self {
            source,
            destination,
            error: failure.to_string(),
        }
    }
}

/// One image on its way.
struct Job {
    found: Found,
    to: Reference,
    /// The name that it gets in a layout.
    name: String,
}

/// What all copies share.
struct Shared<'a> {
    places: Places,
    to: ImageOptions,
    /// The layout, where all go there: it is opened once, and finished once.
    layout: Option<Arc<dyn Target>>,
    options: copy::Options,
    /// Of each repository, or of the layout: images of one place often share most of their blobs.
    turns: Mutex<HashMap<String, Turns>>,
    /// What became of layers that were compressed anew.
    known: Recompressed,
    settings: &'a Arc<Settings>,
    shown: Shown,
    count: usize,
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
    if arguments.dry_run {
        for (place, job) in jobs.iter().enumerate() {
            places::check_room(&job.to)?;
            let done = Done::new(job, None);
            done.tell(&settings, "Would have copied", place, count);
            if !settings.json && !settings.as_skopeo {
                output::line(&format!("{} {}", done.source, done.destination))?;
            }
            report.images.push(done);
        }
        report.tell(&settings, listed.sources)?;
        return report.outcome(&settings);
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
        printer.finish();
    }
    // Between what is drawn there is no place for lines.
    if is_printed && is_drawn {
        report.images.iter().try_for_each(|done| output::line(&done.line()))?;
    }
    // skopeo counts only what came to its end.
    let told = match ended.is_err() && settings.as_skopeo {
        true => Ok(()),
        false => report.tell(&settings, listed.sources),
    };
    ended?;
    finished.map_err(|error| error.on(Side::Destination))?;
    told?;
    report.outcome(&settings)
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
        ..defaults
    })
}

impl Shared<'_> {
    /// Copies them, several side by side, and says of each what came of it. Ends with the first failure unless it is to go on.
    async fn copy_all(
        &self,
        jobs: Vec<Job>,
        arguments: &Sync,
        digests: &mut Option<DigestFile<'_>>,
        printer: Option<&Printer>,
        report: &mut Report,
    ) -> Result<(), Failure> {
        // Scripts read skopeo's words in their order.
        let side_by_side = match self.settings.as_skopeo {
            true => 1,
            false => usize::from(arguments.images),
        };
        let copies = jobs.into_iter().enumerate().map(|(place, job)| async move {
            let copied = self.copy(place, &job).await;
            (place, job, copied)
        });
        let mut copies = stream::iter(copies).buffer_unordered(side_by_side);
        let mut places = Vec::new();
        let (mut ended, mut is_unread) = (Ok(()), false);
        while let Some((place, job, copied)) = copies.next().await {
            match copied {
                Ok(copied) => {
                    is_unread |= is_unread_by_others(&copied.descriptor.media_type, &job.to);
                    let done = Done::new(&job, Some(copied));
                    if let Some(digests) = digests {
                        digests.add(&done)?;
                    }
                    if let Some(printer) = printer {
                        printer.line(done.line());
                    }
                    places.push(place);
                    report.images.push(done);
                }
                Err(Failure::Store(error)) => {
                    let failure = Failure::Store(error.within(format!("copying {}", job.found.reference)));
                    let (source, to) = (job.found.reference.to_string(), job.to.to_string());
                    if !arguments.keep_going {
                        report.failed.push(Failed::new(source, Some(to), &failure));
                        ended = Err(failure);
                        break;
                    }
                    report.failed(self.settings, source, Some(to), &failure);
                }
                Err(other) => {
                    ended = Err(other);
                    break;
                }
            }
        }
        if is_unread && arguments.format.is_none() {
            say::warn(self.settings.as_skopeo, UNREAD);
        }
        // In the order of their names, whoever came first.
        let mut images: Vec<_> = places.into_iter().zip(std::mem::take(&mut report.images)).collect();
        images.sort_by_key(|(place, _)| *place);
        report.images = images.into_iter().map(|(_, done)| done).collect();
        ended
    }

    /// None where an image goes to a place of its own.
    fn turns(&self, to: &Reference) -> Option<Turns> {
        let place = match to {
            Reference::Registry(image) => image.repository.to_string(),
            Reference::Directory { .. } => return None,
            // The one layout that all go to.
            _ => String::new(),
        };
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        Some(turns.entry(place).or_default().clone())
    }

    async fn copy(&self, place: usize, job: &Job) -> Result<Copied, Failure> {
        Done::new(job, None).tell(self.settings, "Copying", place, self.count);
        let source = self.places.source(&job.found.reference, &job.found.options);
        let (source, pick) = source.map_err(|failure| failure.on(Side::Source))?;
        self.settings.check_policy(&job.found.reference)?;
        let (target, names) = match &self.layout {
            Some(layout) => (Arc::clone(layout), vec![job.name.clone()]),
            None => {
                places::make_room(&job.to)?;
                let target = self.places.target(&job.to, &self.to, Vec::new());
                target.map_err(|failure| failure.on(Side::Destination))?
            }
        };
        let mut options = self.options.clone();
        options.digest = wanted_digest(&job.to);
        if !options.preserve_digests {
            options.recompress = unasked(&job.to, self.settings).map(|recompress| Recompress {
                known: self.known.clone(),
                ..recompress
            });
            let is_oci = options.format.is_none() && is_oci_meant(&job.found.reference, &job.to, self.settings);
            options.format = options.format.or(is_oci.then_some(Format::Oci));
        }
        options.turns = self.turns(&job.to);
        // skopeo says of each image what it does with it.
        let spoken = self.settings.as_skopeo.then(|| Shown::start(self.settings, false));
        let events = spoken.as_ref().map_or_else(|| self.shown.events(), Shown::events);
        let copied = copy::copy(source, &pick, Arc::clone(&target), &names, &options, &events).await?;
        if self.layout.is_none() {
            target.finish().await.map_err(|error| error.on(Side::Destination))?;
        }
        if let Some(spoken) = spoken {
            spoken.finish();
        }
        Ok(copied)
    }
}

impl Done {
    fn new(job: &Job, copied: Option<Copied>) -> Self {
        Self {
            source: job.found.reference.to_string(),
            destination: job.to.to_string(),
            copied: copied.map(|copied| Counts {
                digest: copied.descriptor.digest.to_string(),
                manifests: copied.manifests,
                blobs: copied.blobs,
                bytes: copied.bytes,
            }),
        }
    }

    /// In skopeo's log, where we are called that.
    fn tell(&self, settings: &Settings, what: &str, place: usize, count: usize) {
        if settings.as_skopeo {
            let message = format!("{what} image ref {}/{count}", place + 1);
            say::inform(&message, &[("from", &self.source), ("to", &self.destination)]);
        }
    }

    /// The digest and the place, for people and scripts.
    fn line(&self) -> String {
        let digest = self.copied.as_ref().map_or("", |copied| &copied.digest);
        format!("{digest} {}", self.destination)
    }
}

impl Report {
    fn failed(&mut self, settings: &Settings, source: String, destination: Option<String>, failure: &Failure) {
        say::complain(settings.as_skopeo, &failure.to_string());
        self.failed.push(Failed::new(source, destination, failure));
    }

    fn tell(&self, settings: &Settings, sources: usize) -> Result<(), Failure> {
        if settings.as_skopeo {
            let done = match self.dry_run {
                true => "Would have synced",
                false => "Synced",
            };
            let count = self.images.len();
            say::inform(&format!("{done} {count} images from {sources} sources"), &[]);
        } else if settings.json {
            output::json(self)?;
        }
        Ok(())
    }

    fn outcome(&self, settings: &Settings) -> Result<(), Failure> {
        let failed = self.failed.len();
        if failed == 0 {
            return Ok(());
        }
        say::complain(
            settings.as_skopeo,
            &format!("{failed} images or repositories were not copied, for the reasons above"),
        );
        Err(Failure::Found { code: 1 })
    }
}

/// Where the digests of what was copied are written, line by line as it is done.
struct DigestFile<'a> {
    path: &'a Path,
    file: File,
}

impl<'a> DigestFile<'a> {
    fn create(path: &'a Path) -> Result<Self, Failure> {
        let file = File::create(path);
        let file = file.map_err(|error| Error::from(error).within(format!("writing {}", path.display())))?;
        Ok(Self { path, file })
    }

    fn add(&mut self, done: &Done) -> Result<(), Failure> {
        let written = self.file.write_all(format!("{}\n", done.line()).as_bytes());
        Ok(written.map_err(|error| Error::from(error).within(format!("writing {}", self.path.display())))?)
    }
}
