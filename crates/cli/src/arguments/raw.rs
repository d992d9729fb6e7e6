//! What do `teu manifest` and `teu blob` take? Content as it is.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{Common, DestinationOptions, One, SourceOptions};

/// Read, write or remove a manifest as it is
#[derive(Debug, Subcommand)]
pub(crate) enum Manifest {
    Get(ManifestGet),
    Put(ManifestPut),
    Rm(ManifestRm),
}

/// Print the exact bytes of a manifest or an index
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  teu manifest get oci:alpine:3.19
  teu manifest get --platform linux/arm64 docker://docker.io/library/alpine:3.19")]
pub(crate) struct ManifestGet {
    /// Which image
    pub(crate) image: String,
    /// Of an index, the image for this platform
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    pub(crate) platform: Option<String>,
    #[command(flatten)]
    pub(crate) one: One,
}

/// Put a manifest or an index from a file, and print its digest
#[derive(Debug, Args)]
#[command(after_help = "\
What it names must be there already: put blobs first (teu blob put), then what names them.

Examples:
  teu manifest put oci:images:app manifest.json
  teu manifest get oci:images:app | teu manifest put docker://registry.example/app:1 -")]
pub(crate) struct ManifestPut {
    /// Under which name
    pub(crate) image: String,
    /// The file; - is standard input
    pub(crate) file: PathBuf,
    /// Put it although what it names is not there
    #[arg(long)]
    pub(crate) allow_missing: bool,
    #[command(flatten)]
    pub(crate) one: One,
}

/// Remove a manifest by its digest
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  teu manifest rm docker://registry.example/app@sha256:…")]
pub(crate) struct ManifestRm {
    /// Which manifest
    pub(crate) image: String,
    #[command(flatten)]
    pub(crate) one: One,
}

/// Read, write or remove a blob as it is
#[derive(Debug, Subcommand)]
pub(crate) enum Blob {
    Get(BlobGet),
    Put(BlobPut),
    Head(BlobHead),
    Mount(Box<BlobMount>),
    Rm(BlobRm),
}

/// Write a blob to standard output, or to a file, checked
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  teu blob get oci:images sha256:… > layer.tar.gz")]
pub(crate) struct BlobGet {
    /// Which place
    pub(crate) place: String,
    /// Which blob
    pub(crate) digest: String,
    /// Write it to this file
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) one: One,
}

/// Put a blob from a file, and print its digest and size
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  teu blob put oci:images config.json")]
pub(crate) struct BlobPut {
    /// Which place
    pub(crate) place: String,
    /// The file; - is standard input
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) one: One,
}

/// Say whether a blob is there, and its size
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  teu blob head docker://registry.example/app sha256:…")]
pub(crate) struct BlobHead {
    /// Which place
    pub(crate) place: String,
    /// Which blob
    pub(crate) digest: String,
    #[command(flatten)]
    pub(crate) one: One,
}

/// Have a registry take a blob over from another of its repositories, without its bytes
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  teu blob mount docker://registry.example/base docker://registry.example/app sha256:…")]
pub(crate) struct BlobMount {
    /// The repository that has it
    pub(crate) source: String,
    /// The repository that gets it
    pub(crate) destination: String,
    /// Which blob
    pub(crate) digest: String,
    #[command(flatten)]
    pub(crate) from: SourceOptions,
    #[command(flatten)]
    pub(crate) to: DestinationOptions,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Remove a blob, whatever needs it
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  teu blob rm oci:images sha256:…")]
pub(crate) struct BlobRm {
    /// Which place
    pub(crate) place: String,
    /// Which blob
    pub(crate) digest: String,
    #[command(flatten)]
    pub(crate) one: One,
}
