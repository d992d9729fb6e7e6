//! What does `teu extract` take?

use std::{ffi::OsString, path::PathBuf};

use clap::Args;

use super::{LimitOptions, One};

/// Take files out of an image, without the others
#[derive(Debug, Args)]
#[command(after_help = "\
Where DESTINATION is a directory, ends in a slash, or several PATHs or a pattern are given, files go into it
by their last names, and it is made where nothing is; else it is the new name of the one file or directory.
Of PATH/. it is what is in the directory. Directories come with all that is in them; one that is there keeps
mode, owner and time, and takes what is new. No file is replaced without --force, and none that is there is
written through: a link in the way is no way out of DESTINATION.

In a PATH * ? [a-z] mean what a shell takes them for, and ** any directories too; quote them. Links on the way to
a PATH are followed as they would be in a container, and so is one that a PATH leads to, unless --keep-links;
links that a pattern means, or that are in a directory, are taken as links.

Files are your own, and lose set-id bits; --keep-owners, as root, leaves them with whom the image says. Modes,
times, hard links and user.* attributes are kept; devices are not made. Only layers that can have the files are
read, and nothing is at DESTINATION before they were and are what their digests say. What a killed extract
leaves there, a directory .teu-staged.….unfinished, the next one removes.

Examples:
  teu extract oci:images:app /etc/os-release .
  teu extract docker://docker.io/library/alpine:3.19 bin/busybox ./bb
  teu extract oci:images:app 'usr/lib/**/*.so*' usr/share/doc out/
  teu extract --parents --layer 0 oci:images:app '**' lowest-layer")]
pub(crate) struct Extract {
    /// Which image
    pub(crate) image: String,
    /// Which files and directories
    #[arg(value_name = "PATH", required = true)]
    pub(crate) paths: Vec<OsString>,
    /// Where they go
    #[arg(required = true)]
    pub(crate) destination: PathBuf,
    /// Keep the paths that they have in the image, below DESTINATION
    #[arg(long)]
    pub(crate) parents: bool,
    /// Replace files that are there
    #[arg(short = 'f', long)]
    pub(crate) force: bool,
    /// Take a link that a PATH leads to, and not what it leads to
    #[arg(short = 'P', long)]
    pub(crate) keep_links: bool,
    /// Give files to whom the image says, which only root can, and keep their set-id bits
    #[arg(short = 'a', long)]
    pub(crate) keep_owners: bool,
    /// Only what this layer has: its place, 0 being the lowest, its digest or DiffID, or eight digits or more that one begins with
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
