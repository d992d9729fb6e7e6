//! What does `teu files` take?

use clap::Args;

use super::{LimitOptions, One};

/// List the files of an image, or of a layer
#[derive(Debug, Args)]
#[command(after_help = "\
The files are those that a container sees: layers merged, and what whiteouts hide left out. With --layer they
are the entries of that layer alone in the order of its archive, and its whiteouts are shown by their names.
A path or pattern means what it leads to and all that is in it: * and ? stand within a name, ** crosses
slashes. One that means nothing is an error. Links are not followed: .. is the directory above as the path
is written.

Layers are read once and their tables of contents kept, in teu/contents of the user's cache directory: whoever
asks again waits for no layer. Who asks for paths alone, without * and the like, has only those layers read, the
highest first, that may have something there.

Examples:
  teu files oci:images:app
  teu files -l oci:images:app etc '/usr/lib/**/*.so*'
  teu files --layer 0 docker://docker.io/library/alpine:3.19
  teu files -o json oci:images:app /etc/passwd")]
pub(crate) struct Files {
    /// Which image
    pub(crate) image: String,
    /// Only these, and what is in them
    #[arg(value_name = "GLOB")]
    pub(crate) globs: Vec<std::ffi::OsString>,
    /// Show mode, owner, size, time, layer and where links lead
    #[arg(short = 'l', long)]
    pub(crate) long: bool,
    /// What this layer says alone: its place, 0 being the lowest, its digest or DiffID, or eight digits or more that one begins with
    #[arg(long, value_name = "N|DIGEST")]
    pub(crate) layer: Option<String>,
    /// Of an index, the image for this platform
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    pub(crate) platform: Option<String>,
    #[command(flatten)]
    pub(crate) limits: LimitOptions,
    #[command(flatten)]
    pub(crate) one: One,
}
