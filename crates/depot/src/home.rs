//! Is what a depot keeps still where it was opened? Its directory may be moved or removed under the process that has it, or a disk in its place. What is open
//! can be read and written to as before then, but nobody finds it again after that process.

use std::{
    fs,
    io::ErrorKind::NotFound,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use teu_store::{Error, ErrorKind, Result};

use crate::{content::directory::failed, depot::METADATA};

/// The directory of a depot that is open.
pub(crate) struct Home {
    /// It, by its real path.
    pub(crate) path: PathBuf,
    metadata: PathBuf,
    opened: Identity,
}

/// The device and the number of a file.
type Identity = (u64, u64);

impl Home {
    /// A directory whose database is open.
    ///
    /// # Errors
    /// Those of the disk; `Io` where it is gone already.
    pub(crate) fn of(path: &Path) -> Result<Self> {
        let metadata = path.join(METADATA);
        let opened = identity(&metadata)?.ok_or_else(|| misses(&metadata, "gone"))?;
        Ok(Self {
            path: path.to_owned(),
            metadata,
            opened,
        })
    }

    /// Looks whether the database still is where it was opened, which it is not where the directory is gone. To be asked before something is
    /// acknowledged.
    ///
    /// # Errors
    /// `Io` where it is gone, or another one; those of the disk.
    pub(crate) fn check(&self) -> Result<()> {
        match identity(&self.metadata)? {
            Some(found) if found == self.opened => Ok(()),
            Some(_) => Err(misses(&self.metadata, "another file")),
            None => Err(misses(&self.metadata, "gone")),
        }
    }
}

fn identity(file: &Path) -> Result<Option<Identity>> {
    match fs::symlink_metadata(file) {
        Ok(found) => Ok(Some((found.dev(), found.ino()))),
        Err(error) if error.kind() == NotFound => Ok(None),
        Err(error) => Err(failed(error, "looking for", file)),
    }
}

fn misses(metadata: &Path, what: &str) -> Error {
    let message = format!(
        "{} is {what} since it was opened; nothing is taken before it is back: put its directory back, or end the server and restore a backup",
        metadata.display()
    );
    Error::new(ErrorKind::Io, message)
}
