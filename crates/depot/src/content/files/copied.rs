//! How are files taken over and handed out? Copied by the system, and the copy checked.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
};

use teu_spec::{Algorithm, Digest};
use teu_store::{Error, ErrorKind, Result};

use super::Files;
use crate::{
    content::{OpenFiles, checked},
    place::Place,
};

/// How much is hashed at once of what was copied.
const PIECE: usize = 256 << 10;

impl OpenFiles for Files {
    fn open(&self, place: &Place, size: u64) -> Result<Option<File>> {
        Ok(self.open_place(place, size)?.map(|(file, _)| file))
    }

    fn copy(&self, name: &str, file: &mut File, digest: &Digest, size: u64, verify: bool) -> Result<()> {
        check_size(digest, size, file.metadata()?.len())?;
        let uploads = &self.0.uploads;
        uploads.remove(checked(name)?)?;
        let mut copy = uploads.create(name)?;
        fill(&mut copy, file, digest, size, verify).map_err(|error| {
            // A disk that is full is not to stay full; where that fails too the next one does it.
            let _ = uploads.remove(name);
            error.within(format!("copying to {}", uploads.path(name).display()))
        })
    }

    fn place(&self, name: &str, place: &Place) -> Result<()> {
        self.settle(checked(name)?, place).inspect_err(|_| {
            // As above.
            let _ = self.0.uploads.remove(name);
        })
    }
}

/// Copies a whole file, checks the copy, and makes it last.
fn fill(copy: &mut File, file: &mut File, digest: &Digest, size: u64, verify: bool) -> Result<()> {
    file.seek(SeekFrom::Start(0))?;
    // The standard library asks the kernel to copy, which shares what it can.
    check_size(digest, size, io::copy(&mut file.take(size), copy)?)?;
    if verify {
        let found = digest_of(copy, digest.algorithm())?;
        if found != *digest {
            let message = format!("content of {digest} has the digest {found}");
            return Err(Error::new(ErrorKind::Mismatch, message));
        }
    }
    Ok(copy.sync_data()?)
}

fn check_size(digest: &Digest, size: u64, found: u64) -> Result<()> {
    if found == size {
        return Ok(());
    }
    let message = format!("content of {digest} has {found} bytes instead of {size}");
    Err(Error::new(ErrorKind::Mismatch, message))
}

fn digest_of(file: &mut File, algorithm: Algorithm) -> io::Result<Digest> {
    let mut hasher = algorithm.hasher();
    let mut piece = vec![0; PIECE];
    file.seek(SeekFrom::Start(0))?;
    loop {
        match file.read(&mut piece) {
            Ok(0) => return Ok(hasher.finish()),
            Ok(read) => hasher.update(&piece[..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
