//! What does a failure with files on a disk mean here?

use std::io;

use teu_rootfs::ErrorKind as Files;
use teu_store::{Error, ErrorKind};

/// An error of `teu-rootfs` as one of a store's.
pub(crate) fn of_files(error: teu_rootfs::Error) -> Error {
    let kind = match error.kind() {
        Files::Refused | Files::Invalid => ErrorKind::Invalid,
        Files::Limit => ErrorKind::TooLarge,
        Files::NotFound => ErrorKind::NotFound,
        Files::Changed => ErrorKind::Conflict,
        Files::Unsupported => ErrorKind::Unsupported,
        Files::Full => ErrorKind::Quota,
        _ => ErrorKind::Io,
    };
    Error::new(kind, error.to_string())
}

/// An error that came through a reader: of files, of an archive, of a store or of the system.
pub(crate) fn of_reading(error: io::Error) -> Error {
    match error.downcast::<teu_rootfs::Error>() {
        Ok(error) => of_files(error),
        Err(error) => match error.downcast::<teu_archive::Error>() {
            Ok(error) => error.into(),
            Err(error) => error.into(),
        },
    }
}
