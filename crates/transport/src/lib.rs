//! Where do images live? In registries, directories and archives: each is a place that can be read or written by the traits of `teu-store`.
//!
//! # The places
//!
//! | reference | place | |
//! |---|---|---|
//! | `docker://` | [`remote`] | a registry over HTTP: credentials, certificates, mirrors, retries, resumed downloads |
//! | `oci:` | [`layout`] | an image layout: many images by name, safe with several writers and beside gc |
//! | `oci-archive:` | [`oci_archive`] | a layout in a tar file, read in place, written once as a stream |
//! | `docker-archive:` | [`docker_archive`] | what `docker save` writes and `docker load` reads; its manifests are made up |
//! | `dir:` | [`directory`] | one image as flat files, in skopeo's form |
//!
//! [`locate`] makes of a reference the place that it means. A place depends on no other, but that an archive of a layout uses a layout's own
//! reading of its index. What a place cannot do it says: an archive is a [`Target`](teu_store::Target) that nobody can ask, and Docker's takes
//! only what Docker's form can say; a copy then converts, or refuses.
//!
//! # What lies on a disk may be an enemy's
//!
//! Where content is looked for in a directory, only a regular file answers: a link, a FIFO, a device or a directory in the place of a blob
//! is refused by name, and nothing waits for it. In an archive, names lead to members and never to files outside; two members of one name
//! are refused, since readers differ in which they take; what is compressed is inflated within limits. Nothing of an archive is ever
//! unpacked. All content is still only what it is said to be: whoever reads checks its digest, by
//! [`SourceExt::open`](teu_store::SourceExt::open).
//!
//! # What is written is whole
//!
//! A blob appears under its name when all of it is there, an archive and an index when all that they name is. A process that is killed leaves
//! content that nothing names, or files that the next writer removes. Memory does not grow with an image: what must wait, as the second of
//! two blobs that come side by side into one archive, waits in a file without a name in the directory that the caller gives for such.
//!
//! # What the program decides
//!
//! Nothing here reads the environment, prints, or looks for files that it was not told of. Which files tell of registries and credentials,
//! which policy holds ([`policy`]), where temporary files may be: all of it is passed in.
//!
//! The example `places` takes an image from a layout through both kinds of archive into a directory.

#[cfg(feature = "layout")]
pub mod directory;
#[cfg(feature = "archives")]
pub mod docker_archive;
#[cfg(feature = "layout")]
mod files;
#[cfg(feature = "layout")]
pub mod layout;
#[cfg(any(feature = "layout", feature = "remote"))]
mod limited;
#[cfg(all(feature = "archives", feature = "remote"))]
pub mod locate;
#[cfg(any(feature = "layout", feature = "remote"))]
mod lock;
#[cfg(feature = "archives")]
pub mod oci_archive;
#[cfg(feature = "layout")]
pub mod partials;
pub mod policy;
#[cfg(feature = "remote")]
pub mod remote;
#[cfg(feature = "archives")]
mod tar_file;
