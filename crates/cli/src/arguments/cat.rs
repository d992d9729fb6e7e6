//! What does `teu cat` take?

use clap::Args;

use super::{LimitOptions, One};

/// Print what is in files of an image
#[derive(Debug, Args)]
#[command(after_help = "\
Links are followed as they would be in a container, those on the way too. Of the layers only those are read
that it takes to say where a file is, the highest first, and the one that has it. Nothing is printed before
all files were read and their layers are what their digests say. Of a large layer that was seen before only
some MiB are read, and held to what it had when its digest was checked.

Examples:
  teu cat oci:images:app /etc/os-release
  teu cat docker://docker.io/library/alpine:3.19 etc/passwd etc/group
  teu cat --platform linux/arm64 oci:images:app usr/bin/app > app")]
pub(crate) struct Cat {
    /// Which image
    pub(crate) image: String,
    /// Which files, one after the other
    #[arg(value_name = "PATH", required = true)]
    pub(crate) paths: Vec<std::ffi::OsString>,
    /// Of an index, the image for this platform
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    pub(crate) platform: Option<String>,
    #[command(flatten)]
    pub(crate) limits: LimitOptions,
    #[command(flatten)]
    pub(crate) one: One,
}
