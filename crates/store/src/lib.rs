//! How is content found, read and put?

pub mod blocking;
mod error;
mod event;
mod traits;
mod verified;

pub use error::{Error, ErrorKind, Result, Side};
pub use event::{Event, Events, How, silent};
pub use traits::*;
pub use verified::{SourceExt, Verified};
