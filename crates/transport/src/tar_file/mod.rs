//! How is a tar file read in place, and written as a stream? For the archives that hold images.
//!
//! Neither knows what is in the archive: `read` finds members by name and gives their bytes from where they lie; `write` appends blobs as
//! they come.

mod ingest;
mod out;
mod read;
mod write;

use std::{fs::File, io, path::Path};

use teu_spec::{Digest, layout};
use teu_store::{Error, ErrorKind, Result};

use crate::files;

pub(crate) use read::{Archive, Told};
pub(crate) use write::{Last, Stream};

/// The name of the member that is a blob, as in a layout.
pub(crate) fn blob(digest: &Digest) -> String {
    format!("{}/{}/{}", layout::BLOBS_DIRECTORY, digest.algorithm(), digest.hex())
}

/// An error of a tar stream or a codec, told as a store tells it.
fn refused(error: teu_archive::Error) -> Error {
    use teu_archive::ErrorKind as Archive;
    let kind = match error.kind() {
        Archive::Malformed | Archive::Truncated => ErrorKind::Invalid,
        Archive::Limit { .. } => ErrorKind::TooLarge,
        Archive::Unsupported => ErrorKind::Unsupported,
        // An error of the system, or one of ours that came through a reader or a writer.
        _ => return Error::from(io::Error::from(error)),
    };
    Error::new(kind, error.to_string())
}

/// The same of an error that came through [`std::io`].
fn refused_io(error: io::Error) -> Error {
    match error.downcast::<Error>() {
        Ok(ours) => ours,
        Err(error) => refused(error.into()),
    }
}

/// A file without a name in the directory for temporary files: it is gone when it is closed, whatever happens.
fn unnamed(temporary: Option<&Path>, why: &str) -> Result<File> {
    let Some(directory) = temporary else {
        return Err(Error::new(
            ErrorKind::Unsupported,
            format!("{why}, and there is no directory for temporary files"),
        ));
    };
    files::unnamed(directory)
}
