//! Where did earlier imports set the tags of what a registry keeps? A file for each repository, beside what it keeps, remembers, so that a tag that the
//! source moved since can be told from one that was moved here.

use std::{collections::HashMap, path::Path, sync::Arc};

use teu_depot::Notes;
use teu_spec::Digest;
use teu_store::{Error, Result, blocking, copy::Moves};

/// The directory of these files, in the registry's.
const DIRECTORY: &str = "imported";
/// The largest that is read, in bytes: a million tags. What is behind that is not known.
const MOST: u64 = 256 << 20;

/// What is remembered, and what is done with it.
pub(super) struct Imported {
    notes: Arc<Notes>,
    /// Whether tags are moved that were moved here, too.
    pub(super) overwrite: bool,
    /// Whether what is imported is remembered: not in a rehearsal.
    pub(super) writes: bool,
}

impl Imported {
    /// What is remembered in the directory of a registry.
    pub(super) fn new(registry: &Path, overwrite: bool, writes: bool) -> Self {
        Self {
            notes: Arc::new(Notes::of(registry, DIRECTORY)),
            overwrite,
            writes,
        }
    }

    /// The tags that imports set in a repository, and what to. None where there was none.
    ///
    /// # Errors
    /// Those of the disk.
    pub(super) async fn read(&self, repository: &str) -> Result<HashMap<String, Digest>> {
        let (notes, file) = (Arc::clone(&self.notes), file(repository));
        let read = blocking::run(move || notes.read(&file, MOST)).await;
        let bytes = read.map_err(within)?.unwrap_or_default();
        // A line that is not understood is the end of what is read of a larger file: of its tag nothing is known.
        Ok(String::from_utf8_lossy(&bytes).lines().filter_map(line).collect())
    }

    /// Which tags may be moved that are known to be set so.
    pub(super) fn moves(&self, known: &HashMap<String, Digest>) -> Moves {
        match self.overwrite {
            true => Moves::All,
            false => Moves::From(known.clone()),
        }
    }

    /// Remembers what the tags of a repository were set to, in the stead of what was remembered.
    ///
    /// # Errors
    /// Those of the disk; what was remembered stays so.
    pub(super) async fn write(&self, repository: &str, known: &HashMap<String, Digest>) -> Result<()> {
        let (notes, file) = (Arc::clone(&self.notes), file(repository));
        let text: String = known.iter().map(|(tag, digest)| format!("{tag} {digest}\n")).collect();
        let written = blocking::run(move || notes.write(&file, text.as_bytes())).await;
        written.map_err(within)
    }
}

/// No repository has a + in its name, and none is too long for a file's.
fn file(repository: &str) -> String {
    repository.replace('/', "+")
}

fn line(line: &str) -> Option<(String, Digest)> {
    let (tag, digest) = line.split_once(' ')?;
    Some((tag.to_owned(), digest.parse().ok()?))
}

fn within(error: Error) -> Error {
    error.within("remembering what imports set tags to")
}
