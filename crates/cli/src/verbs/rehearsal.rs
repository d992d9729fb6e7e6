//! `teu copy --dry-run`: what would be copied? The events of a copy that writes nothing, as a list.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use serde::Serialize;
use teu_spec::{Descriptor, Digest, MediaType};
use teu_store::{Event, Events, How, copy::Copied};

use crate::{failure::Failure, output, settings::Settings};

/// A copy that is only rehearsed.
pub(super) struct Rehearsal {
    told: Arc<Mutex<Told>>,
    others: Events,
}

/// What was told of it.
#[derive(Default)]
struct Told {
    begun: HashMap<Digest, (Descriptor, bool)>,
    blobs: Vec<Blob>,
    manifests: Vec<Manifest>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Blob {
    digest: Digest,
    size: u64,
    media_type: MediaType,
    config: bool,
    action: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    digest: Digest,
    size: u64,
    media_type: MediaType,
    action: &'static str,
    names: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report<'a> {
    dry_run: bool,
    /// None where it is known only when layers are recompressed.
    digest: Option<Digest>,
    names: &'a [String],
    manifests: &'a [Manifest],
    blobs: &'a [Blob],
    /// Of what would be read from the source.
    bytes: u64,
}

/// What is not there and must come from the source.
const COPIED: [&str; 2] = [COPY, RECOMPRESS];
const COPY: &str = "copy";
const RECOMPRESS: &str = "recompress";

impl Rehearsal {
    /// `others` are told of what is no part of the list, such as warnings.
    pub(super) fn new(others: Events) -> Self {
        Self {
            told: Arc::default(),
            others,
        }
    }

    /// Where the copy's events go.
    pub(super) fn events(&self) -> Events {
        let (told, others) = (Arc::clone(&self.told), Arc::clone(&self.others));
        Arc::new(move |event| told.lock().unwrap_or_else(PoisonError::into_inner).take(event, &others))
    }

    /// Says it.
    pub(super) fn report(&self, copied: &Copied, names: &[String], settings: &Settings) -> Result<(), Failure> {
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let is_known = told.blobs.iter().all(|blob| blob.action != RECOMPRESS);
        let coming = || told.blobs.iter().filter(|blob| COPIED.contains(&blob.action));
        let bytes = coming().map(|blob| blob.size).sum();
        if settings.json {
            return output::json(&Report {
                dry_run: true,
                digest: is_known.then_some(copied.descriptor.digest),
                names,
                manifests: &told.manifests,
                blobs: &told.blobs,
                bytes,
            });
        }
        let blobs = told.blobs.iter().map(|blob| {
            let what = if blob.config { "config" } else { "blob" };
            vec![
                what.to_owned(),
                blob.digest.to_string(),
                output::size(blob.size),
                blob.action.to_owned(),
            ]
        });
        let manifests = told.manifests.iter().map(|manifest| {
            let what = if manifest.media_type.is_index() {
                "index"
            } else {
                "manifest"
            };
            let names = manifest.names.iter().map(|name| format!(" as {}", output::plain(name)));
            vec![
                what.to_owned(),
                manifest.digest.to_string(),
                output::size(manifest.size),
                format!("{}{}", manifest.action, names.collect::<String>()),
            ]
        });
        output::table(&blobs.chain(manifests).collect::<Vec<_>>())?;
        let put = told.manifests.iter().filter(|manifest| manifest.action == COPY).count();
        output::line(&summary(coming().count(), bytes, put))
    }
}

impl Told {
    fn take(&mut self, event: Event, others: &Events) {
        match event {
            Event::BlobStarted { descriptor, config } => {
                self.begun.insert(descriptor.digest, (descriptor, config));
            }
            Event::BlobDone { digest, how } => {
                if let Some((descriptor, config)) = self.begun.remove(&digest) {
                    self.blobs.push(Blob {
                        digest,
                        size: descriptor.size,
                        media_type: descriptor.media_type,
                        config,
                        action: action(how),
                    });
                }
            }
            Event::ManifestDone {
                descriptor,
                names,
                existed,
            } => self.manifests.push(Manifest {
                digest: descriptor.digest,
                size: descriptor.size,
                media_type: descriptor.media_type,
                action: if existed { "exists" } else { COPY },
                names,
            }),
            Event::Planned { .. } | Event::ManifestStarted { .. } | Event::BlobProgress { .. } => {}
            other => others(other),
        }
    }
}

fn action(how: How) -> &'static str {
    match how {
        How::Existed => "exists",
        How::Mounted => "mount",
        How::Recompressed => RECOMPRESS,
        How::LeftOut => "leave out",
        _ => COPY,
    }
}

fn summary(blobs: usize, bytes: u64, manifests: usize) -> String {
    let counted = |count: usize, what: &str| match count {
        1 => format!("1 {what}"),
        count => format!("{count} {what}s"),
    };
    match (blobs, manifests) {
        (0, 0) => "nothing to copy".to_owned(),
        _ => format!(
            "would copy {}, {}, and {}",
            counted(blobs, "blob"),
            output::size(bytes),
            counted(manifests, "manifest")
        ),
    }
}
