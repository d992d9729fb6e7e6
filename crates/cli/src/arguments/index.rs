//! What does `teu index` take?

use clap::{Args, Subcommand};
use teu_spec::ArtifactType;

use super::{Common, DestinationOptions, One, SourceOptions};

/// Make an index, or change what it lists
#[derive(Debug, Subcommand)]
pub(crate) enum Index {
    Create(IndexCreate),
    Add(IndexAdd),
    Rm(IndexRm),
    Filter(IndexFilter),
    Annotate(IndexAnnotate),
}

/// Make an index of images of any place, which are copied to where it is
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  teu index create oci:images:app oci:images:app-amd64 oci:images:app-arm64
  teu index create docker://registry.example/app:1 oci:amd64 docker-archive:arm64.tar
  teu index create --annotation org.opencontainers.image.version=1 oci-archive:app.tar:app oci:images:app")]
pub(crate) struct IndexCreate {
    /// Where the index goes, and its name there
    pub(crate) destination: String,
    /// The images; of an index all that it lists, or what --platform chooses
    #[arg(required = true)]
    pub(crate) sources: Vec<String>,
    /// An annotation of the index; may be given several times
    #[arg(long, value_name = "KEY=VALUE", value_parser = annotation)]
    pub(crate) annotation: Vec<(String, String)>,
    /// The artifact type of the index, a media type
    #[arg(long, value_name = "TYPE")]
    pub(crate) artifact_type: Option<ArtifactType>,
    #[command(flatten)]
    pub(crate) members: Members,
}

/// Add images to an index, in the place of those for the same platform
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  teu index add docker://registry.example/app:1 oci:images:app-riscv64
  teu index add --set-platform linux/arm/v6 oci:images:app docker-archive:app-armv6.tar")]
pub(crate) struct IndexAdd {
    /// Which index
    pub(crate) index: String,
    /// The images; of an index all that it lists, or what --platform chooses
    #[arg(required = true)]
    pub(crate) sources: Vec<String>,
    /// An annotation of what is added; may be given several times
    #[arg(long, value_name = "KEY=VALUE", value_parser = annotation)]
    pub(crate) annotation: Vec<(String, String)>,
    #[command(flatten)]
    pub(crate) names: Names,
    #[command(flatten)]
    pub(crate) members: Members,
}

/// How images come into an index.
#[derive(Debug, Args)]
pub(crate) struct Members {
    /// Of a source that is an index, list the image for this platform; may be given several times
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    pub(crate) platform: Vec<String>,
    /// List the image as made for this platform, whatever it says itself
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    pub(crate) set_platform: Option<String>,
    /// List a source that is an index itself, instead of what it lists
    #[arg(long)]
    pub(crate) nested: bool,
    /// Let it stand beside others for the same platform
    #[arg(long)]
    pub(crate) beside: bool,
    /// Write manifests in OCI's form or Docker's
    #[arg(short = 'f', long, value_name = "oci|v2s2", value_parser = super::verbs::forms(), hide_possible_values = true)]
    pub(crate) format: Option<String>,
    /// Say nothing but errors
    #[arg(short = 'q', long)]
    pub(crate) quiet: bool,
    /// Copy so many blobs side by side
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) jobs: u16,
    #[command(flatten)]
    pub(crate) from: SourceOptions,
    #[command(flatten)]
    pub(crate) to: DestinationOptions,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// What a changed index is called.
#[derive(Debug, Args)]
pub(crate) struct Names {
    /// Call the changed index this, and leave the one that it was as it is; may be given several times
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Vec<String>,
}

/// Remove images from an index; their content stays where it is
#[derive(Debug, Args)]
#[command(after_help = "\
What is attested of an image goes with it.

Examples:
  teu index rm docker://registry.example/app:1 linux/386 linux/s390x
  teu index rm oci:images:app sha256:…")]
pub(crate) struct IndexRm {
    /// Which index
    pub(crate) index: String,
    /// Which images, by platform or by digest
    #[arg(required = true, value_name = "PLATFORM|DIGEST")]
    pub(crate) images: Vec<String>,
    #[command(flatten)]
    pub(crate) names: Names,
    #[command(flatten)]
    pub(crate) one: One,
}

/// Keep the images for some platforms in an index, and no others
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  teu index filter --platform linux/amd64 --platform linux/arm64 oci:images:app")]
pub(crate) struct IndexFilter {
    /// Which index
    pub(crate) index: String,
    /// Keep the image for this platform; may be given several times
    #[arg(long, required = true, value_name = "OS/ARCH[/VARIANT]")]
    pub(crate) platform: Vec<String>,
    #[command(flatten)]
    pub(crate) names: Names,
    #[command(flatten)]
    pub(crate) one: One,
}

/// Change the annotations of an index, or what it says of an image
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  teu index annotate --annotation org.opencontainers.image.version=1.2 oci:images:app
  teu index annotate --remove-annotation org.opencontainers.image.version oci:images:app
  teu index annotate --of linux/arm64 --annotation org.example.tested=yes oci:images:app
  teu index annotate --of sha256:… --set-platform linux/arm/v7 docker://registry.example/app:1")]
pub(crate) struct IndexAnnotate {
    /// Which index
    pub(crate) index: String,
    /// Of this image in the index, instead of the index itself
    #[arg(long, value_name = "PLATFORM|DIGEST")]
    pub(crate) of: Option<String>,
    /// Set this annotation; may be given several times
    #[arg(long, value_name = "KEY=VALUE", value_parser = annotation, required_unless_present_any = ["remove_annotation", "set_platform"])]
    pub(crate) annotation: Vec<(String, String)>,
    /// Remove this annotation; may be given several times
    #[arg(long, value_name = "KEY")]
    pub(crate) remove_annotation: Vec<String>,
    /// List the image as made for this platform
    #[arg(long, value_name = "OS/ARCH[/VARIANT]", requires = "of")]
    pub(crate) set_platform: Option<String>,
    #[command(flatten)]
    pub(crate) names: Names,
    #[command(flatten)]
    pub(crate) one: One,
}

fn annotation(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("an annotation is written KEY=VALUE".to_owned()),
    }
}
