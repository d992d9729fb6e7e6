//! How is content found, read and put?

pub mod blocking;
pub mod copy;
mod error;
mod event;
pub mod gc;
pub mod graph;
mod memory;
mod referrer;
#[cfg(any(test, feature = "suite"))]
pub mod suite;
mod task;
mod traits;
pub mod tree;
mod verified;
pub mod verify;

pub use error::{Error, ErrorKind, Result, Side};
pub use event::{Event, Events, How, silent};
pub use memory::Memory;
pub use referrer::referrer;
pub use traits::*;
pub use verified::{SourceExt, Verified};
