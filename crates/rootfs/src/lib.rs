//! How does an untrusted tree become files, and files a tree? This is the one door through which names that an archive gave turn into
//! files: through directory handles, one resolution for each name, never through joined strings. Nothing here knows what an image is.

mod budget;
mod check;
mod confine;
mod content;
mod directories;
mod error;
mod made;
mod name;
mod node;
mod owners;
mod remove;
mod report;
mod root;
mod sibling;
pub mod walk;
mod writer;
mod xattrs;

pub use budget::Budget;
pub use check::{Makes, check};
pub use confine::{Confinement, confine, confined};
pub use content::FileWriter;
pub use error::{Error, ErrorKind, Result};
pub use node::{Device, Metadata, Node, Time};
pub use owners::{Owners, RECORD, Range, record, recorded};
pub use report::{PassedOver, Report};
pub use root::Root;
pub use sibling::Sibling;
pub use writer::{Options, Writer};
