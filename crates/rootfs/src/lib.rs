//! How does an untrusted tree become files, and files a tree? This is the one door through which names that an archive gave turn into
//! files: through directory handles, one resolution for each name, never through joined strings. Nothing here knows what an image is.

mod error;
mod node;
pub mod walk;

pub use error::{Error, ErrorKind, Result};
pub use node::{Device, Metadata, Node, Time};
