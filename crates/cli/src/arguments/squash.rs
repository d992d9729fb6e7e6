//! What does `teu squash` take?

use clap::Args;

use super::{LayerOptions, LimitOptions, To};

/// Make one layer of several
#[derive(Debug, Args)]
#[command(after_help = "\
The new layer has each file that is left once, and hides of the layers below it what the old ones hid: unpacked,
the image is the same as before. Without --last or --from all layers become one, and nothing is hidden. What made the old
layers stays in the history as what made none. Of an index all images change, each for itself. What is in the layers below
is looked up, and kept, as teu files does it; of their files nothing is read, but of one that got another name above.

The same layers make the same bytes on every machine. SOURCE_DATE_EPOCH is what the history says and changes no file's
time; teu edit --clamp-times does.

Examples:
  teu squash oci:images:app
  teu squash --last 3 --to oci:images:app-small oci:images:app
  teu squash --from sha256:… --compress zstd docker://registry.example/app:1
  teu squash --dry-run oci:images:app")]
pub(crate) struct Squash {
    /// Which image
    pub(crate) image: String,
    /// Only so many of the highest layers
    #[arg(long, value_name = "N", conflicts_with = "from", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) last: Option<u32>,
    /// Only this layer and those above it: its place, 0 being the lowest, its digest or its DiffID
    #[arg(long, value_name = "N|DIGEST")]
    pub(crate) from: Option<String>,
    #[command(flatten)]
    pub(crate) layer: LayerOptions,
    #[command(flatten)]
    pub(crate) limits: LimitOptions,
    #[command(flatten)]
    pub(crate) to: To,
}
