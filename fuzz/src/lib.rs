//! What do targets share that make files? A place to make them in with canaries around it, and archives that get past their checksums.

mod archives;
mod arena;

pub use archives::layers;
pub use arena::{Arena, quiet};
