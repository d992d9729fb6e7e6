//! What does each verb take?

use std::path::PathBuf;

use clap::{
    Args, ValueEnum,
    builder::{PossibleValue, PossibleValuesParser},
};

use super::{Common, CompressionOptions, DestinationOptions, One, SourceOptions, Time};

/// Copy an image from one place to another
#[derive(Debug, Args)]
#[command(after_help = "\
A copy keeps its digest unless a flag asks for a change. Images in Docker's form stay in it too; where
skopeo or podman are to read them from a layout, --format oci converts them.

Examples:
  teu copy docker://docker.io/library/alpine:3.19 oci:alpine:3.19
  teu copy --all oci:alpine:3.19 docker://registry.example/alpine:3.19
  teu copy --platform linux/amd64 --platform linux/arm64 docker://debian oci:debian
  teu copy --dest-compress-format zstd --dest-force-compress-format oci:app:1 oci:smaller:1
  teu copy --dest-tls-verify=false oci:app:1 docker://localhost:5000/app:1
  teu copy --dry-run --all docker://debian oci:debian")]
pub(crate) struct Copy {
    /// Where the image is
    pub(crate) source: String,
    /// Where it goes
    pub(crate) destination: String,
    /// Copy all images of an index, and the index
    #[arg(short = 'a', long)]
    pub(crate) all: bool,
    /// Of an index copy this system's image, all images, or the index alone: skopeo's way to say it
    #[arg(
        long,
        value_enum,
        value_name = "system|all|index-only",
        hide_possible_values = true,
        conflicts_with = "all"
    )]
    pub(crate) multi_arch: Option<MultiArch>,
    /// Copy the images for these platforms with an index of them; may be given several times
    #[arg(long, value_name = "OS/ARCH[/VARIANT]", conflicts_with_all = ["all", "multi_arch"])]
    pub(crate) platform: Vec<String>,
    /// With --platform, keep the index as it is, naming also what is not copied
    #[arg(long, requires = "platform")]
    pub(crate) sparse: bool,
    /// Copy what is about the image too: signatures, inventories, attestations
    #[arg(long)]
    pub(crate) referrers: bool,
    /// Write manifests in OCI's form or Docker's
    #[arg(short = 'f', long, value_name = "oci|v2s2", value_parser = forms(), hide_possible_values = true)]
    pub(crate) format: Option<String>,
    /// Fail where a manifest would have to change
    #[arg(long)]
    pub(crate) preserve_digests: bool,
    /// Take content from a local source without checking it
    #[arg(long)]
    pub(crate) trust_source: bool,
    /// Copy layers that their makers do not want distributed
    #[arg(long)]
    pub(crate) include_foreign_layers: bool,
    /// Say what would be copied, and write nothing
    #[arg(long, conflicts_with = "digestfile")]
    pub(crate) dry_run: bool,
    /// Write the digest of what was copied to this file
    #[arg(long, value_name = "FILE")]
    pub(crate) digestfile: Option<PathBuf>,
    /// Say nothing but errors
    #[arg(short = 'q', long)]
    pub(crate) quiet: bool,
    /// Give the image these names too
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub(crate) additional_tag: Vec<String>,
    /// Copy so many blobs side by side
    #[arg(long, visible_alias = "image-parallel-copies", value_name = "N", default_value_t = 6, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) jobs: u16,
    /// Leave signatures behind: there are none to copy yet
    #[arg(long, hide = true)]
    pub(crate) remove_signatures: bool,
    #[command(flatten)]
    pub(crate) compression: CompressionOptions,
    #[command(flatten)]
    pub(crate) from: SourceOptions,
    #[command(flatten)]
    pub(crate) to: DestinationOptions,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// What of an index is copied, in skopeo's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum MultiArch {
    System,
    All,
    IndexOnly,
}

/// Say what an image is: digest, tags, layers, …
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  teu inspect docker://docker.io/library/alpine:3.19
  teu inspect --config oci:alpine:3.19
  teu inspect --raw docker://docker.io/library/alpine:3.19
  teu inspect --format '{{.Digest}}' oci:alpine:3.19")]
pub(crate) struct Inspect {
    /// Which image
    pub(crate) image: String,
    /// Print the configuration
    #[arg(long)]
    pub(crate) config: bool,
    /// Print the exact bytes: of the manifest, or with --config of the configuration
    #[arg(long)]
    pub(crate) raw: bool,
    /// Print by this Go template, such as '{{.Digest}}'
    #[arg(short = 'f', long, value_name = "TEMPLATE")]
    pub(crate) format: Option<String>,
    /// Do not list the tags of the repository
    #[arg(short = 'n', long)]
    pub(crate) no_tags: bool,
    /// State the digest by this algorithm: sha256, sha384 or sha512; else by that of the configuration's digest
    #[arg(long, value_name = "ALGORITHM")]
    pub(crate) manifest_digest: Option<String>,
    #[command(flatten)]
    pub(crate) one: One,
}

/// List the tags of a repository or a Docker archive
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  teu list-tags docker://docker.io/library/alpine
  teu list-tags docker-archive:images.tar")]
pub(crate) struct ListTags {
    /// Which repository or archive
    pub(crate) repository: String,
    #[command(flatten)]
    pub(crate) one: One,
}

/// Compute the digest of a manifest in a file
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  teu inspect --raw oci:alpine:3.19 > manifest.json && teu manifest-digest manifest.json")]
pub(crate) struct ManifestDigest {
    /// The file
    pub(crate) file: PathBuf,
}

/// Delete an image by its digest, with all its tags
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  teu delete docker://registry.example/app:1
  teu delete oci:images:app

To remove a tag and keep the image: teu untag")]
pub(crate) struct Delete {
    /// Which image
    pub(crate) image: String,
    #[command(flatten)]
    pub(crate) one: One,
}

/// List the images of a place, and digests it lists
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  teu ls oci:images
  teu ls docker://registry.example/app")]
pub(crate) struct Ls {
    /// Which place
    pub(crate) place: String,
    #[command(flatten)]
    pub(crate) one: One,
}

/// List the repositories of a registry
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  teu catalog registry.example:5000")]
pub(crate) struct Catalog {
    /// Which registry: HOST or HOST:PORT
    pub(crate) registry: String,
    #[command(flatten)]
    pub(crate) one: One,
}

/// Give an image more names, where it is
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  teu tag docker://registry.example/app:1.2.3 1.2 1 latest
  teu tag oci:images:app stable")]
pub(crate) struct Tag {
    /// Which image
    pub(crate) image: String,
    /// Its new names
    #[arg(required = true)]
    pub(crate) names: Vec<String>,
    #[command(flatten)]
    pub(crate) one: One,
}

/// Take a name away; the image stays
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  teu untag docker://registry.example/app:old
  teu untag oci:images:old")]
pub(crate) struct Untag {
    /// Which name of which place
    pub(crate) image: String,
    #[command(flatten)]
    pub(crate) one: One,
}

/// Print the digest that a name points at
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  teu digest docker://docker.io/library/alpine:3.19
  teu digest --platform linux/arm64 docker://docker.io/library/alpine:3.19")]
pub(crate) struct Digest {
    /// Which image
    pub(crate) image: String,
    /// Of an index, the image for this platform
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    pub(crate) platform: Option<String>,
    #[command(flatten)]
    pub(crate) one: One,
}

/// Print the configuration of an image as it is
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  teu config oci:alpine:3.19")]
pub(crate) struct Config {
    /// Which image
    pub(crate) image: String,
    /// Of an index, the image for this platform
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    pub(crate) platform: Option<String>,
    #[command(flatten)]
    pub(crate) one: One,
}

/// Show how an image was made, layer by layer
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  teu history oci:alpine:3.19")]
pub(crate) struct History {
    /// Which image
    pub(crate) image: String,
    /// Of an index, the image for this platform
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    pub(crate) platform: Option<String>,
    #[command(flatten)]
    pub(crate) one: One,
}

/// Show each layer with DiffID and history
#[derive(Debug, Args)]
#[command(after_help = "\
As JSON (-o json) it is what umoci stat gives, with all that is known of each layer.

Examples:
  teu stat oci:alpine:3.19
  teu stat -o json oci:alpine:3.19 | jq -r '.history[].diff_id // empty'")]
pub(crate) struct Stat {
    /// Which image
    pub(crate) image: String,
    /// Of an index, the image for this platform
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    pub(crate) platform: Option<String>,
    #[command(flatten)]
    pub(crate) one: One,
}

/// What `--format` takes. Schema 1 is refused later, with what to do.
pub(super) fn forms() -> PossibleValuesParser {
    let forms = ["oci", "v2s2", "v2s1"].map(|form| PossibleValue::new(form).hide(form == "v2s1"));
    PossibleValuesParser::new(forms)
}

/// Draw what an image is made of
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  teu tree oci:alpine:3.19
  teu tree --referrers docker://registry.example/app:1")]
pub(crate) struct Tree {
    /// Which image
    pub(crate) image: String,
    /// Show what is about each manifest too
    #[arg(long)]
    pub(crate) referrers: bool,
    #[command(flatten)]
    pub(crate) one: One,
}

/// List what is about an image, such as signatures
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  teu referrers docker://registry.example/app:1
  teu referrers --artifact-type application/spdx+json oci:images:app")]
pub(crate) struct Referrers {
    /// Which image
    pub(crate) image: String,
    /// Only of this artifact type
    #[arg(long, value_name = "TYPE")]
    pub(crate) artifact_type: Option<String>,
    #[command(flatten)]
    pub(crate) one: One,
}

/// Make an OCI image layout without images
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  teu init oci:images")]
pub(crate) struct Init {
    /// Which layout
    pub(crate) layout: String,
}

/// Remove from a layout what no image in it needs
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  teu gc --dry-run oci:images
  teu gc oci:images")]
pub(crate) struct Gc {
    /// Which layout
    pub(crate) layout: String,
    /// Say what would go, and remove nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Leave what is younger than this: another tool may be about to name it
    #[arg(long, value_name = "TIME", default_value = "1h")]
    pub(crate) grace: Time,
}

/// Print a shell's completions
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  teu completion bash > /etc/bash_completion.d/teu")]
pub(crate) struct Completion {
    /// Which shell
    pub(crate) shell: clap_complete::Shell,
}

/// Write the manual pages into a directory
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  teu man /usr/local/share/man/man1")]
pub(crate) struct Man {
    /// Which directory
    pub(crate) directory: PathBuf,
}
