//! In what do two images differ? In what their documents say, in their layers, and in the files that a container sees.
//!
//! [`manifest`] and [`config`] compare documents field by field, [`index`] and [`members`](members()) two indexes, of which [`Member::both`] has the images of
//! a platform, [`layers`](layers()) the two lists of layers. [`Trees`] are the merged trees of both images,
//! made of [tables of contents](crate::contents) alone, and [`Trees::changes`] is what differs in them, path by path; [`texts`](texts()) shows how the content of
//! files does. What both images have is read once, and nothing of a layer that a [`Cache`](crate::contents::Cache) knows.
//!
//! Two builds of the same sources differ in all of their times and mostly in nothing else. So times are compared only where it is asked for: those of
//! files, and `created` of a config and its history.
//!
//! ```no_run
//! # use teu_image::diff::{self, Side, Trees};
//! # async fn example(before: Side, after: Side) -> teu_store::Result<()> {
//! for field in diff::config(&before.image, &after.image, false) {
//!     println!("{}: {:?}, now {:?}", field.path, field.before, field.after);
//! }
//! let trees = Trees::read([&before, &after], None, &diff::Options::default()).await?;
//! for change in trees.changes(&[], false) {
//!     let change = change?;
//!     println!("{:?}: {:?}", change.path, change.differs);
//! }
//! # Ok(())
//! # }
//! ```

mod documents;
mod fields;
mod files;
mod layers;
mod members;
#[cfg(test)]
mod tests;
mod texts;
mod trees;
mod unified;

pub use documents::{config, manifest};
pub use fields::{Field, fields};
pub use files::{Aspect, Change, Changes};
pub use layers::{Pair, has_same_layers, layers};
pub use members::{Both, Member, index, members};
pub use texts::{Pending, Show, Text, TextLimits, Texts, texts};
pub use trees::{Options, Side, Trees};
pub use unified::unified;
