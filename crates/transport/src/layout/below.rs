//! Which layouts lie below a directory?

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use teu_spec::{Repository, layout};
use teu_store::{Error, Result};

use super::Layout;

impl Layout {
    /// Whether a directory is a layout, as far as it has an index.
    #[must_use]
    pub fn is_at(path: &Path) -> bool {
        path.join(layout::INDEX_FILE).is_file()
    }

    /// The layouts below a directory, in the order of their paths, and what these would be called as repositories: by the way there, behind
    /// `name` and a slash where that is not empty. No link is gone through, and into no directory whose way is no repository's name. Where there
    /// is no directory there are none.
    ///
    /// # Errors
    /// Where a directory cannot be listed.
    pub fn below(path: &Path, name: &str) -> Result<Vec<(String, PathBuf)>> {
        let mut found = Vec::new();
        look(path, name, &mut found)?;
        Ok(found)
    }
}

fn look(path: &Path, name: &str, found: &mut Vec<(String, PathBuf)>) -> Result<()> {
    let within = |error: io::Error| Error::from(error).within(format!("looking for layouts in {}", path.display()));
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => return Ok(()),
        Err(error) => return Err(within(error)),
    };
    let mut below = Vec::new();
    for entry in entries {
        let entry = entry.map_err(within)?;
        if entry.file_type().map_err(within)?.is_dir() {
            below.push(entry.path());
        }
    }
    below.sort();
    for path in below {
        let last = path.file_name().unwrap_or_default().to_string_lossy();
        let name = match name {
            "" => last.into_owned(),
            above => format!("{above}/{last}"),
        };
        if Repository::check_path(&name).is_err() {
            continue;
        }
        if Layout::is_at(&path) {
            found.push((name.clone(), path.clone()));
        }
        look(&path, &name, found)?;
    }
    Ok(())
}
