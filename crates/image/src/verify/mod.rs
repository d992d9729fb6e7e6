//! Is an image what it says it is, and would it be unpacked? [`verify`]: what [`teu_store::verify`] checks of content and documents, and in the
//! same pass over each layer what its archive holds, entry by entry, by the rules that unpacking has.
//!
//! What is refused is a finding; what is legal and worth knowing is a [`Note`].

mod entries;
mod notes;
#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    io::BufRead,
    sync::{Arc, Mutex, PoisonError},
};

use futures_util::{FutureExt, future};
use teu_archive::tar;
use teu_rootfs::Budget;
use teu_spec::{Descriptor, Digest};
use teu_store::{BoxFuture, Result, Source, verify as checked};

pub use notes::{Note, NoteKind};
pub use teu_store::verify::{Finding, Found, Image, Inspect, Kind, LayerIds, Severity};

use entries::{Seen, judge};

/// How an image is verified.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// How content and documents are.
    pub checked: checked::Options,
    /// How much the archive in a layer may ask for.
    pub tar: tar::Limits,
    /// What an entry may ask for, of which names, paths and sizes count here.
    pub budget: Budget,
}

/// What was checked, what was found, and what is worth knowing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Content and documents, and all findings.
    pub checked: checked::Report,
    /// How many entries the layers have.
    pub entries: u64,
    /// What is legal and worth knowing, by layer.
    pub notes: Vec<Note>,
}

/// Reads all of an image and checks it; it copies nothing and makes no file.
///
/// # Errors
/// What kept it from being checked: the source could not be read, or a limit was reached.
pub async fn verify(source: Arc<dyn Source>, root: &Descriptor, options: &Options) -> Result<Report> {
    let inspector = Arc::new(Inspector {
        tar: options.tar.clone(),
        budget: options.budget.clone(),
        seen: Mutex::default(),
    });
    let inspect: Arc<dyn Inspect> = inspector.clone();
    let checked = checked::verify_with(source, root, &options.checked, Some(inspect)).await?;
    let mut layers = inspector.seen.lock().unwrap_or_else(PoisonError::into_inner);
    let entries = layers.values().map(|seen| seen.entries).sum();
    let mut notes: Vec<Note> = layers
        .values_mut()
        .flat_map(|seen| std::mem::take(&mut seen.notes))
        .collect();
    notes.sort_by_key(|note| (note.layer, note.kind));
    drop(layers);
    Ok(Report {
        checked,
        entries,
        notes,
    })
}

/// Looks at layers as they go by.
struct Inspector {
    tar: tar::Limits,
    budget: Budget,
    seen: Mutex<HashMap<Digest, Seen>>,
}

impl Inspect for Inspector {
    fn layer(&self, layer: &Descriptor, content: &mut dyn BufRead) -> Vec<Found> {
        let (seen, found) = judge(layer.digest, content, &self.tar, &self.budget);
        let mut all = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(layer.digest, seen);
        found
    }

    fn image<'a>(&'a self, _: &'a dyn Source, _: &'a [Descriptor]) -> BoxFuture<'a, Result<Vec<Found>>> {
        future::ready(Ok(Vec::new())).boxed()
    }
}
