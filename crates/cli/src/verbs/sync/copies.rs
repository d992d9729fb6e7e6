//! How are many images copied side by side, and what do their copies share?

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use futures_util::{StreamExt as _, stream};
use teu_spec::{Format, Reference};
use teu_store::{
    Side, Target,
    copy::{self, Copied, Recompress, Recompressed, Turns},
};

use super::{
    digest_file::DigestFile,
    listed::Found,
    places::make_room,
    printer::Printer,
    report::{Done, Failed, Report},
};
use crate::{
    arguments::{ImageOptions, Sync},
    failure::Failure,
    places::Places,
    progress::Shown,
    say,
    settings::Settings,
    verbs::copy::{UNREAD, is_oci_meant, is_unread_by_others, unasked, wanted_digest},
};

/// One image on its way.
pub(super) struct Job {
    pub(super) found: Found,
    pub(super) to: Reference,
    /// The name that it gets in a layout.
    pub(super) name: String,
}

/// What all copies share.
pub(super) struct Shared<'a> {
    pub(super) places: Places,
    pub(super) to: ImageOptions,
    /// The layout, where all go there: it is opened once, and finished once.
    pub(super) layout: Option<Arc<dyn Target>>,
    pub(super) options: copy::Options,
    /// Of each repository, or of the layout: images of one place often share most of their blobs.
    pub(super) turns: Mutex<HashMap<String, Turns>>,
    /// What became of layers that were compressed anew.
    pub(super) known: Recompressed,
    pub(super) settings: &'a Arc<Settings>,
    pub(super) shown: Shown,
    pub(super) count: usize,
}

impl Shared<'_> {
    /// Copies them, several side by side, and says of each what came of it. Ends with the first failure unless it is to go on.
    pub(super) async fn copy_all(
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
                    let noted = digests.as_mut().map_or(Ok(()), |digests| digests.add(&done));
                    if let Some(printer) = printer {
                        printer.line(&done.line());
                    }
                    places.push(place);
                    report.images.push(done);
                    if noted.is_err() {
                        ended = noted;
                        break;
                    }
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
        if self.settings.as_skopeo {
            Done::new(job, None).tell("Copying", place, self.count);
        }
        let source = self.places.source(&job.found.reference, &job.found.options);
        let (source, pick) = source.map_err(|failure| failure.on(Side::Source))?;
        self.settings.check_policy(&job.found.reference)?;
        let (target, names) = match &self.layout {
            Some(layout) => (Arc::clone(layout), vec![job.name.clone()]),
            None => {
                make_room(&job.to)?;
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
