//! Where are the digests of what was copied written down?

use std::{fs::File, io::Write as _, path::Path};

use teu_store::Error;

use super::report::Done;
use crate::failure::Failure;

/// A file that gets a line for each image when it is copied.
pub(super) struct DigestFile<'a> {
    path: &'a Path,
    file: File,
}

impl<'a> DigestFile<'a> {
    pub(super) fn create(path: &'a Path) -> Result<Self, Failure> {
        let file = File::create(path);
        let file = file.map_err(|error| Error::from(error).within(format!("writing {}", path.display())))?;
        Ok(Self { path, file })
    }

    pub(super) fn add(&mut self, done: &Done) -> Result<(), Failure> {
        let written = self.file.write_all(format!("{}\n", done.line()).as_bytes());
        Ok(written.map_err(|error| Error::from(error).within(format!("writing {}", self.path.display())))?)
    }
}
