//! Who changes a file of credentials now? One process of ours at a time; the others wait, and say so.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use teu_store::Events;

use crate::lock::{self, Locked, Share};

/// Keeps other processes of ours from changing a file while it lives. It is the file itself that is locked: its directory may be one that
/// others use for other things.
pub(super) struct Guard {
    file: File,
    /// None where the file system knows no locks.
    _lock: Option<Locked>,
    path: PathBuf,
    /// Whether it was made to be locked.
    made: bool,
}

impl Guard {
    /// Of the file at `path`, made empty where it is absent. Where a file system knows no locks the last of two writers wins.
    pub(super) fn of(path: &Path, events: &Events) -> io::Result<Self> {
        loop {
            let mut made = false;
            let opened = File::open(path).or_else(|error| match error.kind() {
                io::ErrorKind::NotFound => {
                    made = true;
                    let mut options = fs::OpenOptions::new();
                    options.write(true).create_new(true).mode(0o600).open(path)
                }
                _ => Err(error),
            });
            let file = match opened {
                Ok(file) => file,
                // Another made it between the two.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.exists() => continue,
                Err(error) => return Err(error),
            };
            let lock = match lock::wait(file.try_clone()?, path, Share::All, events) {
                Ok(lock) => Some(lock),
                Err(error) if error.kind() == io::ErrorKind::Unsupported => None,
                Err(error) => return Err(error),
            };
            let guard = Self {
                file,
                _lock: lock,
                path: path.to_owned(),
                made,
            };
            // Who had the lock before has put another file in its place.
            if guard.is_of_what_is_there()? {
                return Ok(guard);
            }
        }
    }

    fn is_of_what_is_there(&self) -> io::Result<bool> {
        let locked = self.file.metadata()?;
        let there = fs::metadata(&self.path);
        Ok(there.is_ok_and(|there| there.ino() == locked.ino() && there.dev() == locked.dev()))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // It does not stay where nothing came of it.
        let is_empty = self.file.metadata().is_ok_and(|metadata| metadata.len() == 0);
        if self.made && is_empty && self.is_of_what_is_there().unwrap_or(false) {
            let _ = fs::remove_file(&self.path);
        }
    }
}
