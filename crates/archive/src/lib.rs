//! Tar streams read strictly and written deterministically, gzip and zstd.

pub mod codec;
pub mod tar;

mod error;

pub use error::{Error, ErrorKind, Escaped, Result};
