//! What does `teu repack` take?

use std::{ffi::OsString, path::PathBuf};

use clap::Args;

use super::{Common, DestinationOptions, LayerOptions, LimitOptions, SourceOptions};

/// Put what has changed in a bundle on top
#[derive(Debug, Args)]
#[command(after_help = "\
What changed since teu unpack, or umoci unpack, becomes one new layer: what is new or another,
and what is gone. What nobody touched is not read. Times are whole seconds in the layer. Where nothing has changed there is no new layer,
and the name is given to the image as it was.

The image that the bundle came from is looked for where the new one goes, then where it was unpacked
from. Where IMAGE is an index that has it, it is replaced in there, and the others stay. What is in
volumes of the image is left out, and what is mounted in the bundle.

Examples:
  teu repack bundle oci:images:app
  teu repack --refresh-bundle bundle oci:images:next
  teu repack --layer-per /opt/app --mask-path /var/cache bundle docker://registry.example/app:2
  teu repack --base docker://registry.example/app:1 bundle oci-archive:app.tar")]
pub(crate) struct Repack {
    /// The bundle: the directory that unpack made
    pub(crate) bundle: PathBuf,
    /// Where the new image goes, and its name there
    pub(crate) image: String,
    /// Take the image that the bundle came from from there
    #[arg(long, value_name = "IMAGE")]
    pub(crate) base: Option<String>,
    /// Give what has changed at this path and below a layer of its own; may be given several times
    #[arg(long, value_name = "PATH")]
    pub(crate) layer_per: Vec<OsString>,
    /// Leave out what has changed at this path and below; may be given several times
    #[arg(long, value_name = "PATH")]
    pub(crate) mask_path: Vec<OsString>,
    /// Have what is in the image's volumes too
    #[arg(long)]
    pub(crate) no_mask_volumes: bool,
    /// Leave out files that were touched and have the size, the time, the mode and the owner that they had
    #[arg(long)]
    pub(crate) trust_times: bool,
    /// Have the bundle remember how it is now, so that the next repack goes on from there
    #[arg(long)]
    pub(crate) refresh_bundle: bool,
    /// Say nothing of new layers in the history
    #[arg(long)]
    pub(crate) no_history: bool,
    /// Show how manifests and configs would differ, and write nothing
    #[arg(long, conflicts_with_all = ["refresh_bundle", "quiet"])]
    pub(crate) dry_run: bool,
    /// Say nothing but errors
    #[arg(short = 'q', long)]
    pub(crate) quiet: bool,
    #[command(flatten)]
    pub(crate) limits: LimitOptions,
    #[command(flatten)]
    pub(crate) layer: LayerOptions,
    #[command(flatten)]
    pub(crate) source: SourceOptions,
    #[command(flatten)]
    pub(crate) target: DestinationOptions,
    #[command(flatten)]
    pub(crate) common: Common,
}
