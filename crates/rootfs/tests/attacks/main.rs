//! What hostile trees try, and what comes of it. The numbers are those of docs/attacks.md; attacks that are a matter of tar's headers or of
//! whiteouts' names are tested where these are read.

#![expect(clippy::print_stderr, reason = "a test that cannot run here says so")]

mod kept_links;
mod names;
mod nodes;
mod sequences;
#[path = "../support/mod.rs"]
mod support;
