//! What do `teu serve import` and `teu serve export` take?

use clap::Args;

use super::serve::{Immutable, Tended};

/// Bring images into what a registry keeps: from layouts, or from a registry:2's directory
#[derive(Debug, Args)]
#[command(after_help = "\
A layout goes into one repository, called as its directory is unless a name and = stand before it; its names become
tags. One name alone is written behind the directory, and the tag it gets behind the repository. Of a directory that
is no layout, each layout below it is taken, into the repository that its path says.

registry:DIRECTORY is the rootdirectory of a registry:2 or registry:3, all of it or the repositories of a pattern. It is
only read; stop that registry first, or at least let nobody push or delete. Signatures and all that has no tag come along.
Manifests of schema 1 do not, nor does what is missing there or damaged: that is told, and the exit code is 10.

Every byte is checked against its digest. What is there already is not copied again, so a second import takes only what
is new, and one that was stopped goes on. It moves the tags that the source moved since, and leaves alone those that were
moved here: that have another image than the last import set them to, or had one before any. They are told, and the exit
code is 10; --overwrite moves them too, and --dry-run says before which they are. The directory is made where it is not there, and must not be a running
server's: to one of these, push by teu copy.

Examples:
  teu serve import oci:images
  teu serve import --data /srv/registry team/app=oci:images base:12=oci:debian:bookworm
  teu serve import --data /srv/registry --dry-run registry:/var/lib/registry
  teu serve import --repository 'team/*' registry:/var/lib/registry")]
pub(crate) struct Import {
    #[command(flatten)]
    pub(crate) data: Tended,
    #[command(flatten)]
    pub(crate) carried: Carried,
    /// Take indexes of which some images are not there, too
    #[arg(long)]
    pub(crate) sparse: bool,
    /// Move tags too that were moved here, or set by others than an import
    #[arg(long)]
    pub(crate) overwrite: bool,
    #[command(flatten)]
    pub(crate) immutable: Immutable,
    /// Where from
    #[arg(
        value_name = "[REPOSITORY[:TAG]=]oci:DIRECTORY[:NAME] | registry:DIRECTORY",
        required = true
    )]
    pub(crate) sources: Vec<String>,
}

/// Write what a registry keeps as layouts, or as a registry:2's directory
#[derive(Debug, Args)]
#[command(after_help = "\
oci:DIRECTORY gets a layout for each repository, below it as the repository is called, or one repository's own where its
name and = stand before it. Tags become names. registry:DIRECTORY is the rootdirectory for a registry:2 or registry:3,
which must not run on it meanwhile; its files belong to you, so give them to the user that it runs as.

It looks on beside a server. What was exported already is not copied again; what went since stays in what was exported
before. The exit code is 10 where something could not be read.

Examples:
  teu serve export oci:images
  teu serve export --data /srv/registry team/app=oci:app
  teu serve export --repository 'team/*' registry:/var/lib/registry")]
pub(crate) struct Export {
    #[command(flatten)]
    pub(crate) data: Tended,
    #[command(flatten)]
    pub(crate) carried: Carried,
    /// Where to
    #[arg(value_name = "[REPOSITORY=]oci:DIRECTORY | registry:DIRECTORY")]
    pub(crate) destination: String,
}

/// What is carried, and how.
#[derive(Debug, Args)]
pub(crate) struct Carried {
    /// Only these repositories; * stands for any characters
    #[arg(long = "repository", value_name = "PATTERN")]
    pub(crate) repositories: Vec<String>,
    /// Say what would be copied, and write nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// How many blobs and manifests are copied side by side
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) jobs: u16,
}
