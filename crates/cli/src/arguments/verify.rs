//! What does `teu verify` take?

use clap::Args;

use super::{LimitOptions, One};

/// Read all of an image and check it
#[derive(Debug, Args)]
#[command(after_help = "\
Checked are digests, sizes, media types, DiffIDs, that config and manifest agree, what the specification demands,
and every entry of the layers by the rules of unpacking: each for itself, and all of an image's layers one upon the
other, of which the first entry that would be refused is named. What only the kernel or the disk of who unpacks can
refuse is not seen. Layers are read once, and not unpacked; nothing is copied.
What is legal and worth knowing (set-id files, devices, names and links that lead up) is noted.
What was checked is counted, what is wrong is listed, and the exit code says of which kind it is, of several the first
here:
  10  content is not there, or not of the size and digest by which it is named
  11  a document does not say what the specification demands
  12  documents do not agree, with one another or with content: DiffIDs,
      platform, compression, number of layers
  13  a layer cannot be read: its compression or its archive is broken, or past
      a limit
  14  an entry of a layer would be refused when it is unpacked, by itself or
      with what lies below
  15  nothing is wrong as far as it was checked, and a limit of the check alone
      (contents_bytes, tree_bytes, depth) kept an image's layers from being held
      against one another to their end

Examples:
  teu verify oci:alpine:3.19
  teu verify --platform linux/arm64 docker://docker.io/library/alpine:3.19
  teu verify -o json docker-archive:app.tar")]
pub(crate) struct Verify {
    /// Which image; an index is checked with all its images
    pub(crate) image: String,
    /// Of an index, the image for this platform alone
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    pub(crate) platform: Option<String>,
    /// Take it as right that an index names images that are not there
    #[arg(long)]
    pub(crate) allow_sparse: bool,
    /// Read so many blobs side by side
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) jobs: u16,
    #[command(flatten)]
    pub(crate) limits: LimitOptions,
    #[command(flatten)]
    pub(crate) one: One,
}
