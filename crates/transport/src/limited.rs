//! How is a file read whole that must not be large?

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use bytes::Bytes;
use teu_store::{Error, ErrorKind, Result};

/// All of an open file, whose name is `path`.
///
/// # Errors
/// `TooLarge` beyond `limit` bytes.
pub(crate) fn read_limited(file: &mut File, limit: u64, path: &Path) -> Result<Bytes> {
    let failed = |error: io::Error| Error::from(error).within(format!("reading {}", path.display()));
    let length = file.metadata().map_or(0, |metadata| metadata.len());
    let mut content = Vec::with_capacity(with_room(length.min(limit)));
    file.take(limit + 1).read_to_end(&mut content).map_err(failed)?;
    if content.len() as u64 > limit {
        return Err(Error::new(
            ErrorKind::TooLarge,
            format!("{} has more bytes than the limit of {limit}", path.display()),
        ));
    }
    Ok(content.into())
}

/// How much memory to read so many bytes into, with room to see that they have ended.
pub(crate) fn with_room(length: u64) -> usize {
    usize::try_from(length).unwrap_or_default().saturating_add(32)
}
