//! In what do two images differ?

mod fields;

pub use fields::{Field, fields};
