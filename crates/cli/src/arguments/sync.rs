//! What does `teu sync` take?

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{Common, DestinationOptions, SourceOptions};

/// Copy many images: repositories, layouts, lists
#[derive(Debug, Args)]
#[command(after_help = "\
SOURCE is a repository (docker://REPOSITORY: all its tags, or the one that it names), a directory of dir: images (dir:DIR), a
layout (oci:DIR) or a list (yaml:FILE); DESTINATION is what the images' names are put behind in a registry (docker://PREFIX),
a directory to be filled (dir:DIR) or a layout (oci:DIR). --src and --dest say so in skopeo's way, with bare names. An image
keeps the last part of its name and its tag, with --scoped all of its name; two that would then have the same name are refused.
What is up to date costs a question to each registry. Repeat it to go on with what broke off; but a directory of dir: images is never written
over, so what is there goes first.

A list names images by registry:
  registry.example:
    images:
      app: [\"1.0\", \"1.1\"]          # these tags or digests
      tools: []                    # all tags
    images-by-tag-regex: {nginx: '^1\\.2[0-9]-alpine$'}
    images-by-semver: {alpine: '>= 3.12.0, < 4'}
    credentials: {username: ci, password: secret}
    tls-verify: true
    cert-dir: /etc/certificates/registry.example

Examples:
  teu sync docker://registry.example/app docker://mirror.example/images
  teu sync --all --scoped yaml:images.yaml oci:mirror
  teu sync --src docker --dest dir registry.example/app /media/usb
  teu sync --dry-run dir:/media/usb docker://registry.local:5000")]
pub(crate) struct Sync {
    /// Where the images are
    pub(crate) source: String,
    /// Where they go
    pub(crate) destination: String,
    /// What SOURCE is, where it does not say so itself
    #[arg(
        short = 's',
        long,
        value_enum,
        value_name = "docker|dir|yaml|oci",
        hide_possible_values = true
    )]
    pub(crate) src: Option<SyncSource>,
    /// What DESTINATION is, where it does not say so itself
    #[arg(
        short = 'd',
        long,
        value_enum,
        value_name = "docker|dir|oci",
        hide_possible_values = true
    )]
    pub(crate) dest: Option<SyncDestination>,
    /// Keep the whole name of an image, with its registry, behind DESTINATION
    #[arg(long)]
    pub(crate) scoped: bool,
    /// Put this behind each name and its tag
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true,
        allow_hyphen_values = true
    )]
    pub(crate) append_suffix: String,
    /// Copy all images of an index, and the index
    #[arg(short = 'a', long)]
    pub(crate) all: bool,
    /// Write manifests in OCI's form or Docker's
    #[arg(short = 'f', long, value_name = "oci|v2s2", value_parser = super::verbs::forms(), hide_possible_values = true)]
    pub(crate) format: Option<String>,
    /// Fail where a manifest would have to change
    #[arg(long)]
    pub(crate) preserve_digests: bool,
    /// Go on with the other images where one cannot be copied, and fail at the end
    #[arg(long)]
    pub(crate) keep_going: bool,
    /// Say what would be copied where, and write nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Write a line for each image that was copied, its digest and its name there, to this file
    #[arg(long, value_name = "FILE", conflicts_with = "dry_run")]
    pub(crate) digestfile: Option<PathBuf>,
    /// Copy so many images side by side
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) images: u16,
    /// Leave signatures behind: there are none to copy yet
    #[arg(long, hide = true)]
    pub(crate) remove_signatures: bool,
    #[command(flatten)]
    pub(crate) from: SourceOptions,
    #[command(flatten)]
    pub(crate) to: DestinationOptions,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// What many images are read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SyncSource {
    Docker,
    Dir,
    Yaml,
    Oci,
}

/// What many images are written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SyncDestination {
    Docker,
    Dir,
    Oci,
}
