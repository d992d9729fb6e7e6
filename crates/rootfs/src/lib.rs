//! How does an untrusted tree become files, and files a tree? This is the one door through which names that an archive gave turn into files.
//! Nothing here knows what an image is.
//!
//! # Resolve, do not filter
//!
//! Absolute links and `..` are legal, and real trees are full of them: what has to be filtered out of names cannot be said. So a [`Root`] is a
//! handle of a directory, and the kernel resolves every name as if that were the root of the file system (`openat2(2)`, `RESOLVE_IN_ROOT`),
//! anew for each entry: a directory can be a link one entry later, so no parent is remembered as safe. The last name is unlinked, and made
//! where nothing is (`O_EXCL`, `O_NOFOLLOW`). Owner, mode, attributes and times go to the handle of what was made, never to a name, since
//! those calls follow links too. Somebody who changes the tree meanwhile gets nothing outside of it.
//!
//! # A tree is made
//!
//! [`Sibling`] is a directory beside the destination that nobody else can enter; [`Writer`] makes files in it, entry by entry and layer by layer; it
//! gets its name when all is whole; [`Staged`] is one for files that go among those of a directory that is there. [`Ahead`] makes files of entries
//! whose turn has not come, where no name of the tree leads. A layer hides what earlier ones left, and never what is its own, whichever comes first: that is decided by
//! what was really made where, not by names. [`Owners`] says whom files belong to, [`Budget`] how much a tree may ask for; an error that comes of
//! a limit names its field. What was asked for and not done, such as devices, is in the [`Report`]. [`check()`] says of an entry beforehand
//! whether it would be refused. What was made stays an enemy's tree, and is read by [`Root::read`].
//!
//! Behind that stands a second wall: work that is [`confined`] cannot change anything but these directories, by the kernel's word (Landlock).
//!
//! # A tree is read
//!
//! [`walk`] goes through files on a disk by handles, in one order, and says of each what a tree needs: also where somebody exchanges directories
//! meanwhile, nothing outside of the tree is read.
//!
//! The example `door` lets an enemy's tree in.

mod attributed;
mod budget;
mod check;
mod confine;
mod content;
mod directories;
mod error;
mod made;
mod name;
mod node;
mod owners;
mod ranges;
mod remove;
mod rename;
mod report;
mod root;
mod sibling;
mod staged;
pub mod walk;
mod withheld;
mod writer;
mod xattrs;

pub use attributed::Attributed;
pub use budget::Budget;
pub use check::{Makes, check};
pub use confine::{Confinement, confine, confined};
pub use content::FileWriter;
pub use error::{Error, ErrorKind, Result};
pub use node::{Device, Metadata, Node, Time};
pub use owners::{Owners, RECORD, record, recorded};
pub use ranges::{Range, Ranges};
pub use report::{PassedOver, Report};
pub use root::Root;
pub use sibling::Sibling;
pub use staged::Staged;
pub use withheld::Withheld;
pub use writer::{Ahead, Options, Unnamed, UnnamedWriter, Writer};
pub use xattrs::is_of_overlayfs;
