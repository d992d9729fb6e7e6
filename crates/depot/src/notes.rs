//! How does somebody keep small files of their own in a registry's directory? As all that is kept there: for its owner alone, no link followed, and each whole or as it was.

use std::{
    io::{Read, Write},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use teu_store::{ErrorKind, Result};

use crate::content::directory::{Directory, failed};

/// What is being written, before it has its name. One is written at a time; what a kill left of it the next replaces.
const NEW: &str = "+new";

/// Files in a directory of a registry's directory. They are no part of what it keeps: a backup does not have them. One process at a time writes.
pub struct Notes {
    registry: PathBuf,
    name: &'static str,
    writing: Mutex<()>,
}

impl Notes {
    /// Those in the directory `name` of a registry's. Nothing is made before something is written.
    #[must_use]
    pub fn of(registry: &Path, name: &'static str) -> Self {
        Self {
            registry: registry.to_owned(),
            name,
            writing: Mutex::default(),
        }
    }

    /// What a file has, up to `most` bytes; none where there is no such file, nor such a directory.
    ///
    /// # Errors
    /// Those of the disk; `Invalid` where a link lies in its place.
    pub fn read(&self, file: &str, most: u64) -> Result<Option<Vec<u8>>> {
        let registry = match Directory::open(&self.registry) {
            Err(error) if *error.kind() == ErrorKind::NotFound => return Ok(None),
            outcome => outcome?,
        };
        let Some(directory) = registry.directory(self.name)? else {
            return Ok(None);
        };
        let Some(found) = directory.file(file, false)? else {
            return Ok(None);
        };
        let mut bytes = Vec::new();
        let read = found.take(most).read_to_end(&mut bytes);
        read.map_err(|error| failed(error, "reading", &directory.path(file)))?;
        Ok(Some(bytes))
    }

    /// Puts a file, in the stead of the one before, for good. No name begins with a `+`.
    ///
    /// # Errors
    /// Those of the disk, and `Invalid` where a link lies in the directory's place; the file is as it was then.
    pub fn write(&self, file: &str, bytes: &[u8]) -> Result<()> {
        // It guards a name alone, which the next makes anew.
        let _one = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let directory = Directory::open(&self.registry)?.make(self.name)?;
        directory.remove(NEW)?;
        let mut new = directory.create(NEW)?;
        let written = new.write_all(bytes).and_then(|()| new.sync_data());
        let written = written.map_err(|error| failed(error, "writing", &directory.path(NEW)));
        written.inspect_err(|_| {
            // A disk that is full is not to stay full; where that fails too the next one does it.
            let _ = directory.remove(NEW);
        })?;
        directory.rename(NEW, &directory, file)?;
        directory.sync()
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        os::unix::fs::{PermissionsExt, symlink},
    };

    use super::*;

    #[test]
    fn a_note_is_its_owners_and_whole_and_no_link_is_followed() {
        let directory = tempfile::tempdir().expect("a directory");
        let at = |name: &str| directory.path().join(name);
        let notes = Notes::of(directory.path(), "notes");
        assert_eq!(notes.read("one", 9).expect("read"), None);
        notes.write("one", b"first").expect("written");
        notes.write("one", b"second").expect("written");
        assert_eq!(notes.read("one", 3).expect("read"), Some(b"sec".to_vec()));
        let mode = |name: &str| fs::metadata(at(name)).expect("it is there").permissions().mode() & 0o777;
        assert_eq!((mode("notes"), mode("notes/one")), (0o700, 0o600));
        let names: Vec<_> = fs::read_dir(at("notes")).expect("listed").flatten().collect();
        assert_eq!(names.len(), 1);
        // What a kill left is in nobody's way; where another file is, or nothing, a link leads nowhere.
        fs::write(at("notes/+new"), "half").expect("written");
        fs::write(at("other"), "other").expect("written");
        symlink(at("other"), at("notes/two")).expect("made");
        assert_eq!(notes.read("two", 9).expect_err("a link").kind(), &ErrorKind::Invalid);
        notes.write("two", b"second").expect("written");
        assert_eq!(notes.read("two", 9).expect("read"), Some(b"second".to_vec()));
        assert_eq!(fs::read(at("other")).expect("read"), b"other");
        symlink(at("notes"), at("linked")).expect("made");
        let error = Notes::of(directory.path(), "linked").write("one", b"third");
        assert_eq!(error.expect_err("a link").kind(), &ErrorKind::Invalid);
        assert_eq!(Notes::of(&at("none"), "notes").read("one", 9).expect("read"), None);
    }
}
