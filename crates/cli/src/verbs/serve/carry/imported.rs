//! Where did earlier imports set the tags of what a registry keeps? A file for each repository, beside what it keeps, remembers, so that a tag that the
//! source moved since can be told from one that was moved here.

use std::{
    collections::HashMap,
    fs,
    io::{ErrorKind::NotFound, Read},
    path::{Path, PathBuf},
};

use teu_spec::Digest;
use teu_store::{Error, Result, blocking, copy::Moves};

/// The directory of these files, in the registry's.
const DIRECTORY: &str = "imported";
/// The largest that is read, in bytes: a million tags. What is behind that is not known.
const MOST: u64 = 256 << 20;

/// What is remembered, and what is done with it.
pub(super) struct Imported {
    directory: PathBuf,
    /// Whether tags are moved that were moved here, too.
    pub(super) overwrite: bool,
    /// Whether what is imported is remembered: not in a rehearsal.
    pub(super) writes: bool,
}

impl Imported {
    /// What is remembered in the directory of a registry.
    pub(super) fn new(registry: &Path, overwrite: bool, writes: bool) -> Self {
        Self {
            directory: registry.join(DIRECTORY),
            overwrite,
            writes,
        }
    }

    /// The tags that imports set in a repository, and what to. None where there was none.
    ///
    /// # Errors
    /// Those of the disk.
    pub(super) async fn read(&self, repository: &str) -> Result<HashMap<String, Digest>> {
        let path = self.file(repository);
        blocking::run(move || {
            let mut bytes = Vec::new();
            let read = fs::File::open(&path).and_then(|file| file.take(MOST).read_to_end(&mut bytes));
            match read {
                Err(error) if error.kind() == NotFound => {}
                outcome => drop(outcome.map_err(|error| failed(&error, "reading", &path))?),
            }
            // A line that is not understood is of a file that was not written to its end: of its tag nothing is known.
            Ok(String::from_utf8_lossy(&bytes).lines().filter_map(line).collect())
        })
        .await
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
    /// Those of the disk; what was remembered may be lost then.
    pub(super) async fn write(&self, repository: &str, known: &HashMap<String, Digest>) -> Result<()> {
        let (directory, path) = (self.directory.clone(), self.file(repository));
        let text: String = known.iter().map(|(tag, digest)| format!("{tag} {digest}\n")).collect();
        blocking::run(move || {
            let written = fs::create_dir_all(&directory).and_then(|()| fs::write(&path, text));
            written.map_err(|error| failed(&error, "writing", &path))
        })
        .await
    }

    /// No repository has a + in its name, and none is too long for a file's.
    fn file(&self, repository: &str) -> PathBuf {
        self.directory.join(repository.replace('/', "+"))
    }
}

fn line(line: &str) -> Option<(String, Digest)> {
    let (tag, digest) = line.split_once(' ')?;
    Some((tag.to_owned(), digest.parse().ok()?))
}

fn failed(error: &std::io::Error, doing: &str, path: &Path) -> Error {
    Error::new(
        teu_store::ErrorKind::Io,
        format!(
            "{doing} {}, which remembers what imports set tags to: {error}",
            path.display()
        ),
    )
}
