//! What does `teu analyze` take?

use clap::Args;

use super::{Bytes, LimitOptions, One, share};

/// Tell what layers hold in vain
#[derive(Debug, Args)]
#[command(after_help = "\
Of each layer it shows the size of the blob, the bytes of the files in it, and those of them that later
layers write again or remove: nobody sees these, and they are carried all the same.

Efficiency and waste are dive's figures. The efficiency is the sum of each path's smallest size, divided
by that of its sizes in all layers; wasted are all bytes of the paths that stand in several layers, the
first copy included. The exit code is 20 where a threshold is passed; a share is a number such as 0.1, and
no percentage.

Examples:
  teu analyze oci:images:app
  teu analyze --most 50 docker://registry.example/app:1
  teu analyze --lowest-efficiency 0.95 --highest-wasted-bytes 20MB oci:images:app
  teu analyze -o json oci:images:app")]
pub(crate) struct Analyze {
    /// Which image
    pub(crate) image: String,
    /// Of an index, the image for this platform
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    pub(crate) platform: Option<String>,
    /// Name so many of the largest files, and of those that are hidden
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub(crate) most: usize,
    #[command(flatten)]
    pub(crate) thresholds: Thresholds,
    #[command(flatten)]
    pub(crate) limits: LimitOptions,
    #[command(flatten)]
    pub(crate) one: One,
}

/// What an image must keep to, under the names that dive has for it, where it has one.
#[derive(Debug, Args)]
#[command(next_help_heading = "Thresholds")]
pub(crate) struct Thresholds {
    /// Fail where the efficiency is below this, from 0 to 1
    #[arg(long, alias = "lowestEfficiency", value_name = "SHARE", value_parser = share::efficiency)]
    pub(crate) lowest_efficiency: Option<f64>,
    /// Fail where more than this is wasted, such as 20MB or 5MiB
    #[arg(long, alias = "highestWastedBytes", value_name = "BYTES")]
    pub(crate) highest_wasted_bytes: Option<Bytes>,
    /// Fail where more than this share, from 0 to 1, of what the layers above the lowest bring is wasted
    #[arg(long, alias = "highestUserWastedPercent", value_name = "SHARE", value_parser = share::wasted)]
    pub(crate) highest_user_wasted_percent: Option<f64>,
    /// Fail where more than this is hidden, which later layers write again or remove, such as 1.5MB
    #[arg(long, value_name = "BYTES")]
    pub(crate) highest_hidden_bytes: Option<Bytes>,
}
