//! What is a path called, and what is there, for who looks at it?
//!
//! Names and metadata stand in tables of contents, which may lie in files of our own. Where such a file cannot be read any more nothing is to be said
//! of what is in it; to look at all else goes on.

use teu_image::growth::{Growth, State, Version};

/// The last name of a path.
pub(super) fn name(growth: &Growth, number: u32) -> Vec<u8> {
    growth.name(number).unwrap_or_else(|_| b"?".to_vec())
}

/// The whole path.
pub(super) fn path(growth: &Growth, number: u32) -> Vec<u8> {
    growth.path(number).unwrap_or_else(|_| b"?".to_vec())
}

/// What is there.
pub(super) fn state(growth: &Growth, version: Option<&Version>) -> Option<State> {
    growth.state(version?).ok().flatten()
}
