//! What does `teu raw` take? Parts of what other verbs do at once.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use teu_image::unpack::Range;

use super::{Append, One, Unpack, bundle::map};

/// Do a part of what other verbs do at once
#[derive(Debug, Subcommand)]
pub(crate) enum Raw {
    #[command(visible_alias = "config")]
    RuntimeConfig(Box<RuntimeConfig>),
    /// Unpack the files of an image, as teu unpack --rootfs-only does
    #[command(after_help = "\
It takes what teu unpack takes, and teu help unpack says more.

Example:
  teu raw unpack oci:alpine:3.19 alpine")]
    Unpack(Box<Unpack>),
    /// Put a layer on top, as teu append does
    #[command(after_help = "\
It takes what teu append takes, and teu help append says more.

Example:
  teu raw add-layer oci:images:app layer.tar.gz")]
    AddLayer(Box<Append>),
}

/// Write the config.json that a runtime needs, and nothing else
#[derive(Debug, Args)]
#[command(after_help = "\
It is what teu unpack writes, for files that are in the directory rootfs beside it. Who runs the process is looked up in
the image's own /etc/passwd and /etc/group: of its layers only those are read that it takes to find them. With
--rootfs they are those of a directory instead, such as one that was changed since; links in it lead nowhere else.

Examples:
  teu raw runtime-config oci:images:app config.json
  teu raw runtime-config --rootless --rootfs bundle/rootfs oci:images:app > bundle/config.json")]
pub(crate) struct RuntimeConfig {
    /// Which image
    pub(crate) image: String,
    /// Write it to this file; without, or as -, to standard output
    pub(crate) file: Option<PathBuf>,
    /// Look up users and groups in the files of this directory
    #[arg(long, value_name = "DIR")]
    pub(crate) rootfs: Option<PathBuf>,
    /// For a user who is not root
    #[arg(long)]
    pub(crate) rootless: bool,
    /// Give what users own in the container, from CONTAINER on, to those from HOST on; may be given several times
    #[arg(long, value_name = "CONTAINER:HOST[:SIZE]", value_parser = map)]
    pub(crate) uid_map: Vec<Range>,
    /// The same for groups
    #[arg(long, value_name = "CONTAINER:HOST[:SIZE]", value_parser = map)]
    pub(crate) gid_map: Vec<Range>,
    /// Ask for a terminal
    #[arg(long)]
    pub(crate) terminal: bool,
    /// Of an index, the image for this platform
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    pub(crate) platform: Option<String>,
    #[command(flatten)]
    pub(crate) one: One,
}
