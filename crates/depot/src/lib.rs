//! How does a registry keep what it was given? A [`Depot`]: many repositories, whose content is shared below and shown only where it was put or
//! mounted.
//!
//! # Two halves
//!
//! [`Metadata`] knows which repository shows what, which manifest names what, and what may go: in SQLite ([`Sqlite`]). [`Content`] has the bytes:
//! in files ([`Files`]). Both are traits, with a suite of behaviours each that whatever implements them must show.
//!
//! # An acknowledgement
//!
//! is given when what was put survives a power cut. A blob is written under a name that nobody asks for, hashed as it comes; then its bytes
//! are synced, it is renamed to a [`Place`] that is used once, the directory is synced, and one transaction has the repository show it. What is
//! cut off before that leaves a file that nobody knows, which [`Depot::collect`] finds. A manifest lies in the database itself, and is put
//! together with what it names, what it is about, and its names, or not at all.
//!
//! Uploads outlive the process ([`Sessions`](teu_store::Sessions)): how many bytes are on the disk, and what the hash has made of them, is
//! recorded with each chunk, and no byte is read again.
//!
//! # What goes
//!
//! A blob is shown by a repository until nothing there references it *and* its lease is over. Each answer that says that it is there to
//! somebody who may be about to name it extends the lease, and both are looked at again in the transaction that takes it away. When no
//! repository shows it any more, its row goes and a tombstone stays; then the bytes go, and then the tombstone. A push of the same content writes to
//! another place, so what removes bytes never meets a writer. Nothing ever waits for this.
//!
//! Manifests go where they are deleted; and, where [settings](Settings::untagged) say after how long, those that no tag leads to. Who may not write
//! asks the process that does to collect at once ([`Asking`]), which says after how long what goes ([`Terms`]). Where the database is found to be damaged nothing goes.
//!
//! # What it does not do
//!
//! It checks no content when that is read: it did so when it was put. It speaks no HTTP and asks nobody who they are.
//!
//! The example `keep` has an image outlive a restart, and collects what is left of it.

mod asked;
mod backup;
mod check;
mod collect;
mod content;
mod depot;
mod distribution;
mod gathering;
mod home;
mod incoming;
mod metadata;
mod notes;
mod place;
mod repository;
mod reserve;
mod sessions;
mod settings;
mod spare;
mod terms;
mod untagged;
mod whose;
mod written;

pub use asked::Asking;
pub use backup::{BackedUp, backup, restore};
pub use check::{Checked, Finding};
pub use collect::{Candidate, Collected};
pub use content::{Content, Files, OpenFiles, PARTS, Placing, Writing};
pub use depot::Depot;
pub use distribution::{Distribution, Found};
pub use metadata::{
    Blob, Child, Held, Immutable, Looked, Manifest, Metadata, Name, Needed, Needing, NewBlob, NewManifest, Reviewed,
    Session, Sqlite, Unreferenced, is_damage,
};
pub use notes::Notes;
pub use place::{Millis, Place, Ulid};
pub use settings::{Clock, Pattern, Settings, Sparse};
pub use spare::Spare;
pub use terms::Terms;
pub use untagged::Untagged;
