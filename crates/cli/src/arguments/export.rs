//! What does `teu export` take?

use std::path::PathBuf;

use clap::Args;

use super::{LimitOptions, One};

/// Write the files of an image as one tar archive
#[derive(Debug, Args)]
#[command(after_help = "\
The archive has the files as unpacking would make them: no whiteouts, hard links as such, owners, times
and extended attributes. The same image gives the same bytes. Each layer is read twice, first to see what
is in it unless that is known. Where a layer fails the exit code is not 0 and the archive has no end; a FILE is left as it was.

Directories stand behind what is in them, so that their times and modes come out right whoever unpacks it.

Examples:
  teu export oci:images:app | tar -t
  teu export docker://alpine:3.19 --file alpine.tar
  teu export --platform linux/arm64 oci:images:app --file app.tar")]
pub(crate) struct Export {
    /// Which image
    pub(crate) image: String,
    /// Write to this file, which is there once it is whole; without, or as -, to standard output
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// Of an index, the image for this platform
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    pub(crate) platform: Option<String>,
    #[command(flatten)]
    pub(crate) limits: LimitOptions,
    #[command(flatten)]
    pub(crate) one: One,
}
