//! What is in an image, and how does one change it? Layers and the files in them, edits, new layers and bundles. It works on any place that
//! `teu-store`'s traits describe, and knows no concrete one; files are made and read by `teu-rootfs` alone.
//!
//! # To read
//!
//! [`Image`] is an image's documents, and its [`Layer`]s by position. [`layers`] reads these as the tar archives that they are: fetched, checked,
//! inflated and hashed side by side, and ended by an error where size, digest or DiffID are not what they should be. What an entry means is said
//! once, in [`entry`] and [`whiteout`], for all who unpack or judge. [`verify`](verify::verify) judges; [`analyze`](analyze::analyze) tells what is there in vain; [`unpack`](unpack::unpack) makes a
//! directory that a runtime can start ([`runtime`], [`bundle`]), or none. [`contents`] is what a layer holds without what is in its files, read once
//! and remembered, and [`tree`] the merged tree of such tables, which [`export`] writes as one archive; [`read`] gives what is in one file,
//! [`extract`] makes files of some of it, [`diff`] tells in what two images differ, and [`growth`] how a tree grew, layer by layer.
//!
//! # To change
//!
//! All that changes an image is a [`Change`](change::Change), and goes the one way of [`change`]: for every machine of an index or for those that
//! are chosen, in place or on its way elsewhere; what is not touched keeps its bytes, and the name moves last. [`append`] puts layers on top,
//! of archives or of files, [`repack`] what has changed in a bundle, [`edit`] changes fields, layers and what is in them, [`rebase`]
//! has it stand on another base, [`squash`] makes one layer of several, and [`new`] begins an image that is built on no other. A
//! [`layer`] is written in one pass, the same bytes on every machine. [`change::preview`] tells what would come of it.
//!
//! The example `changed` makes an image of files, changes and unpacks it.

pub mod analyze;
pub mod append;
pub mod bundle;
pub mod change;
mod compact;
pub mod contents;
pub mod diff;
pub mod edit;
pub mod entry;
pub mod export;
pub mod extract;
mod failure;
pub mod glob;
pub mod growth;
pub mod history;
mod image;
pub mod layer;
pub mod layers;
pub mod new;
pub mod read;
pub mod rebase;
pub mod repack;
#[cfg(test)]
mod rigged;
mod room;
pub mod runtime;
pub mod squash;
pub mod tree;
pub mod unpack;
pub mod verify;
pub mod whiteout;

pub use image::{Image, Layer, layers as layers_of};
