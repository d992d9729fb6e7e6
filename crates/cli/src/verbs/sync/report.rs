//! What is said of what came of it, image by image and at the end?

use serde::Serialize;
use teu_store::copy::Copied;

use super::copies::Job;
use crate::{failure::Failure, output, say, settings::Settings};

/// What came of it, for programs.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) dry_run: bool,
    pub(super) images: Vec<Done>,
    pub(super) failed: Vec<Failed>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Done {
    pub(super) source: String,
    pub(super) destination: String,
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
pub(super) struct Failed {
    source: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    destination: Option<String>,
    error: String,
}

impl Failed {
    pub(super) fn new(source: String, destination: Option<String>, failure: &Failure) -> Self {
        Self {
            source,
            destination,
            error: failure.to_string(),
        }
    }
}

impl Done {
    pub(super) fn new(job: &Job, copied: Option<Copied>) -> Self {
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

    /// In skopeo's log.
    pub(super) fn tell(&self, what: &str, place: usize, count: usize) {
        let message = format!("{what} image ref {}/{count}", place + 1);
        say::inform(&message, &[("from", &self.source), ("to", &self.destination)]);
    }

    /// The digest and the place, for people and scripts.
    pub(super) fn line(&self) -> String {
        let digest = self.copied.as_ref().map_or("", |copied| &copied.digest);
        format!("{digest} {}", self.destination)
    }
}

impl Report {
    pub(super) fn failed(
        &mut self,
        settings: &Settings,
        source: String,
        destination: Option<String>,
        failure: &Failure,
    ) {
        say::complain(settings.as_skopeo, &failure.to_string());
        self.failed.push(Failed::new(source, destination, failure));
    }

    pub(super) fn tell(&self, settings: &Settings, sources: usize) -> Result<(), Failure> {
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

    pub(super) fn outcome(&self, settings: &Settings) -> Result<(), Failure> {
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
