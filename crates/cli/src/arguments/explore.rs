//! What does `teu explore` take?

use clap::Args;

use super::{LimitOptions, One};

/// Walk through layers and files, in a terminal
#[derive(Debug, Args)]
#[command(after_help = "\
On the left are the layers with the commands that made them, on the right the files: those that a container
sees with all layers up to the chosen one in place, or what that layer did alone (m). What the layer added has
a +, what it changed a ~, what it removed a -; a directory in which something became other has a dot.

Tab goes from one side to the other, the arrows or h j k l move and fold, [ and ] choose the layer from
anywhere. / searches, f filters by a part of a name, of a path where there is a slash, or by a pattern such as
*.so; Enter shows what is in a file, up to 1 MiB of it. ? shows all keys, q ends it.

Without a terminal: teu analyze, teu files and teu cat tell the same.

Examples:
  teu explore oci:images:app
  teu explore --platform linux/arm64 docker://docker.io/library/alpine:3.19")]
pub(crate) struct Explore {
    /// Which image
    pub(crate) image: String,
    /// Of an index, the image for this platform
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    pub(crate) platform: Option<String>,
    #[command(flatten)]
    pub(crate) limits: LimitOptions,
    #[command(flatten)]
    pub(crate) one: One,
}
