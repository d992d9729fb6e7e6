//! Where do images live?

#[cfg(feature = "layout")]
pub mod directory;
#[cfg(feature = "archives")]
pub mod docker_archive;
#[cfg(feature = "layout")]
mod files;
#[cfg(feature = "layout")]
pub mod layout;
#[cfg(all(feature = "archives", feature = "remote"))]
pub mod locate;
#[cfg(feature = "archives")]
pub mod oci_archive;
#[cfg(feature = "layout")]
pub mod partials;
pub mod policy;
#[cfg(feature = "remote")]
pub mod remote;
#[cfg(feature = "archives")]
mod tar_file;
