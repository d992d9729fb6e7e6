//! What is in an image, and how does one change it? Layers, the tree that they make, and the files in it; edits, new layers and bundles.
//! It works on any place that `teu-store`'s traits describe, and knows no concrete one.

pub mod append;
pub mod bundle;
pub mod change;
pub mod diff;
pub mod edit;
pub mod entry;
mod failure;
pub mod glob;
mod image;
pub mod layer;
pub mod layers;
pub mod new;
#[cfg(test)]
mod rigged;
pub mod runtime;
pub mod unpack;
pub mod verify;
pub mod whiteout;

pub use image::{Image, Layer, layers as layers_of};
