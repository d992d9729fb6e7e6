//! How is content found, read and put? The layer between what an image is made of (`teu-spec`) and the places where images live.
//!
//! # A place
//!
//! A place for images is a [`Source`], a [`Target`] or both, and then a [`Store`], bound to one repository. A source
//! [resolves](Source::resolve) a name to a descriptor, says [what it has](Source::stat) and gives [raw bytes](Source::fetch); a target
//! [ingests](Target::ingest) blobs and takes [manifests with their names](Target::put_manifest). What only some places can do are powers:
//! [`Browse`], [`Mount`], [`Adopt`], [`Local`], [`Delete`], [`Sweep`]. A place says which it has by accessors that every place must write,
//! so that a wrapper cannot forget one. All of it is object-safe: a registry, a layout and [`Memory`] are the same to what is built on it.
//!
//! Many repositories by name are [`Repositories`]: what a registry serves.
//!
//! # Three rules
//!
//! - **Nothing unverified is used.** [`SourceExt::open`] is how content is read. Its stream, [`Verified`], gives the last chunk only after size
//!   and digest were found right, and ends in an error otherwise. Raw reading is left to who assembles ranges or sends on what was verified.
//! - **Children before parents, names last.** A blob is visible when its [`Ingest`] is committed, and gone when that is dropped. A manifest
//!   is put when what it names is there, and names are set with it, together. What is interrupted leaves content that nothing names, for
//!   [`gc`] to find.
//! - **Roles come from the position.** A manifest and a blob are asked for as such ([`Role`]), because of where they stand or of how they
//!   were asked for, and not because of a media type, which an enemy chooses. What an index names and calls no manifest may be kept as either
//!   ([`child_roles`]): who keeps it says as what.
//!
//! # One walk
//!
//! [`graph::fold`] goes through all that is below a manifest, children first, many side by side, each content once, within
//! [limits](graph::Limits). [`copy`] is that walk with a visitor that puts what it comes to, and converts, recompresses or drops it if
//! that was asked for; [`gc`], [`verify`] and [`tree`] are other visitors. [`index`] makes indexes of images and changes them.
//!
//! # Async and blocking
//!
//! Network code is async; files and codecs are blocking. They meet in [`blocking`], in batches.
//!
//! # A new store
//!
//! starts with the feature `suite`: the macro `store_suite!` makes a test of each behaviour that all stores show, and `repositories_suite!`
//! of those that all places of many repositories show.
//!
//! The example `copy` shows an image from its making to the collection of its remains.

pub mod blocking;
mod children;
mod compression;
pub mod copy;
mod error;
mod event;
mod found_by;
pub mod gc;
pub mod graph;
pub mod index;
mod memory;
mod referrer;
mod repositories;
#[cfg(any(test, feature = "suite"))]
pub mod suite;
mod task;
mod traits;
pub mod tree;
mod verified;
pub mod verify;

pub use children::{child_roles, missing_children};
pub use compression::codec;
pub use error::{Error, ErrorKind, Result, Side};
pub use event::{Event, Events, How, silent};
pub use found_by::{is_still, lists_nameless, names_found_by};
pub use memory::{ManyInMemory, Memory};
pub use referrer::referrer;
pub use repositories::{EMPTY, Given, Keyset, Reopened, Repositories, Session, Sessions};
pub use traits::*;
pub use verified::{SourceExt, Verified};
