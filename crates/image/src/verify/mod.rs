//! Is an image what it says it is, and would it be unpacked? [`verify`]: what [`teu_store::verify`] checks of content and documents, and in the
//! same pass over each layer what its archive holds, entry by entry, by the rules that unpacking has; then whether an image's layers fit upon one
//! another, by their tables of contents. What only the kernel and the disk of who unpacks can say is not seen here.
//!
//! What is refused is a finding, by the limits that unpacking has too; what is legal and worth knowing is a [`Note`]. What a table of contents or a
//! merged tree may take are limits of the verifier alone: past one of them the image is not wrong but [unknown](Severity::Unknown), all else is checked,
//! and the [finding](Kind::Limit) names the limit.

mod entries;
mod notes;
#[cfg(test)]
mod tests;
mod together;

use std::{
    collections::HashMap,
    io::BufRead,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use futures_util::FutureExt;
use teu_archive::tar;
use teu_rootfs::Budget;
use teu_spec::{Descriptor, Digest};
use teu_store::{BoxFuture, Result, Source, verify as checked};

pub use notes::{Note, NoteKind};
pub use teu_store::verify::{Finding, Found, Image, Inspect, Kind, LayerIds, Severity};

use entries::{Seen, judge};
use together::Below;

use crate::{
    contents::{self, Gathered},
    tree,
};

/// How many bytes tables of contents have in memory, together: what they are is read once, and in their order.
const MEMORY: usize = 16 << 20;
/// How many one of them has while its layer is read, where there is another place.
const MEMORY_EACH: usize = 2 << 20;

/// How an image is verified.
#[derive(Clone, Debug)]
pub struct Options {
    /// How content and documents are.
    pub checked: checked::Options,
    /// How much the archive in a layer may ask for.
    pub tar: tar::Limits,
    /// What entries may ask for, each and all of an image together.
    pub budget: Budget,
    /// How many bytes the table of contents of a layer may have. Default as in [`contents::Options::contents_bytes`].
    pub contents_bytes: usize,
    /// How much the merged tree of an image may take.
    pub tree: tree::Limits,
    /// The directory of files, which have no names, for large tables of contents. Without it they are in memory.
    pub temporary: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            checked: checked::Options::default(),
            tar: tar::Limits::default(),
            budget: Budget::default(),
            contents_bytes: contents::Options::default().contents_bytes,
            tree: tree::Limits::default(),
            temporary: None,
        }
    }
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

/// Reads all of an image and checks it; it copies nothing, and makes no file that is there when it is done.
///
/// # Errors
/// What kept it from being checked: the source could not be read, there was no room for a table of contents, or a limit of the
/// [graph](teu_store::graph::Limits) was reached.
pub async fn verify(source: Arc<dyn Source>, root: &Descriptor, options: &Options) -> Result<Report> {
    let options_each = contents::Options {
        tar: options.tar.clone(),
        budget: options.budget.clone(),
        contents_bytes: options.contents_bytes,
        memory_bytes: MEMORY_EACH,
        temporary: options.temporary.clone(),
        ..contents::Options::default()
    };
    let of_all = contents::Options {
        memory_bytes: MEMORY,
        ..options_each.clone()
    };
    let inspector = Arc::new(Inspector {
        gathered: Gathered::new(None, &of_all),
        options: options_each,
        tree: options.tree.clone(),
        seen: Mutex::default(),
        turn: tokio::sync::Mutex::default(),
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
    options: contents::Options,
    tree: tree::Limits,
    seen: Mutex<HashMap<Digest, Seen>>,
    gathered: Gathered,
    /// Of an index one image after the other is merged: a tree takes memory.
    turn: tokio::sync::Mutex<()>,
}

impl Inspector {
    /// The layers of an image up to the first that is not here, was refused for itself, or is past a limit.
    fn below(&self, layers: &[Descriptor]) -> Result<Vec<Below>> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let mut below = Vec::new();
        for layer in layers {
            let Some(seen) = seen.get_mut(&layer.digest) else { break };
            if let Some(failure) = seen.failure.take() {
                return Err(failure.within(format!("the contents of layer {}", layer.digest)));
            }
            let Some(table) = seen.table.clone() else { break };
            let bytes = seen.bytes;
            below.push(Below { table, bytes });
        }
        Ok(below)
    }
}

impl Inspect for Inspector {
    fn layer(&self, layer: &Descriptor, content: &mut dyn BufRead) -> Vec<Found> {
        let (mut seen, found) = judge(layer.digest, content, &self.options);
        seen.table = seen.table.map(|table| self.gathered.held(table));
        let mut all = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(layer.digest, seen);
        found
    }

    fn image<'a>(&'a self, _: &'a dyn Source, layers: &'a [Descriptor]) -> BoxFuture<'a, Result<Vec<Found>>> {
        async move {
            let _turn = self.turn.lock().await;
            let below = self.below(layers)?;
            together::judge(below, &self.options.budget, &self.tree).await
        }
        .boxed()
    }
}
