//! What holds of every place where images live? Every file of tests is a module of this program, and says which features it needs.

#[cfg(all(feature = "archives", feature = "remote"))]
mod archive;
mod copies;
mod copy_cut;
mod directory;
#[path = "docker_archive/main.rs"]
mod docker_archive;
mod layout_begin;
mod layout_suite;
mod layout_threats;
mod layout_writers;
mod mirrors;
#[path = "oci_archive/main.rs"]
mod oci_archive;
mod partials;
mod registries;
mod remote;
mod remote_peers;
mod remote_threats;
#[path = "requests/main.rs"]
mod requests;
mod resume;
mod schema1;
mod scheme;
#[cfg(feature = "remote")]
mod support;
mod uploads;
mod wire;
