//! Where do images live?

#[cfg(feature = "layout")]
pub mod directory;
#[cfg(feature = "archives")]
pub mod docker_archive;
#[cfg(feature = "layout")]
mod files;
#[cfg(feature = "layout")]
pub mod layout;
#[cfg(feature = "archives")]
pub mod oci_archive;
pub mod policy;
#[cfg(feature = "remote")]
pub mod remote;
