//! What does `teu rebase` take?

use clap::Args;

use super::{BaseOptions, To};

/// Put an image on another base, without building it
#[derive(Debug, Args)]
#[command(after_help = "\
The layers of the old base, which must be the image's lowest, give way to those of the new one. The
image's own layers stay as they are, and so does how it runs: what the new base says of that is not
taken. Of an index each image gets the base for its platform. Which base it is, is written into the
annotations org.opencontainers.image.base.digest and, where it is in a registry, .name; an image in Docker's form has none.

Without --old-base it is what those annotations say, and without --new-base what is under that name
now: an image is brought up to date with its base so. The registry that they name is asked then.

No layer is read: whether those of the image can be unpacked above the new base, teu verify tells.

Examples:
  teu rebase --old-base docker://debian:12.1 --new-base docker://debian:12.2 oci:images:app
  teu rebase --new-base oci:bases:hardened --to oci:images:app-hardened oci:images:app
  teu rebase --dry-run docker://registry.example/app:1")]
pub(crate) struct Rebase {
    /// Which image
    pub(crate) image: String,
    /// What it stands on
    #[arg(long, alias = "old_base", value_name = "IMAGE")]
    pub(crate) old_base: Option<String>,
    /// What it is to stand on
    #[arg(long, alias = "new_base", value_name = "IMAGE")]
    pub(crate) new_base: Option<String>,
    #[command(flatten)]
    pub(crate) bases: BaseOptions,
    #[command(flatten)]
    pub(crate) to: To,
}
