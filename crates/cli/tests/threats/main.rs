//! Threats 1 to 55 of docs/attacks.md, through the program itself: every verb that reads an image gets the hostile one, in 20 seconds and 256 MiB,
//! and all around it is looked at: contents, modes, owners, groups, times, new files.
//!
//! The number of a test is that of the threat. Where an attack stays inside, all verbs see the same tree, and what is packed again is unpacked as
//! the same; where it is refused, nothing is at the destination, and nobody shows a tree.

#[path = "../../../archive/tests/support/mod.rs"]
mod raw;
#[path = "../support/mod.rs"]
mod support;

mod archives;
mod arena;
mod documents;
mod entries;
mod layouts;
mod links;
mod names;
mod nodes;
mod table;
mod whiteouts;
