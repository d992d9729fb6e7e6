//! What do `teu new`, `append` and `insert` take? Images made of files.

use std::{ffi::OsString, path::PathBuf};

use clap::Args;

use super::{Common, DestinationOptions, LimitOptions, One, OneOptions, Seconds};

/// Make an image without layers, built on no other
#[derive(Debug, Args)]
#[command(after_help = "\
A layout that is not there is made, too. Nothing in the image says when and where it was made,
unless SOURCE_DATE_EPOCH or a flag does: made again, it has the same digest, on any machine if --platform
says what it is for, which is else this machine.

Examples:
  teu new oci:images:app
  teu new --platform linux/arm64 --author 'The team' oci:images:app-arm64

Then give it files, and say how it runs:
  teu append oci:images:app ./rootfs")]
pub(crate) struct New {
    /// Where the image goes, and its name there
    pub(crate) image: String,
    /// The machine that it is for; else this one
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    pub(crate) platform: Option<String>,
    /// Who makes it
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub(crate) author: String,
    /// When it was made, as 2026-01-31T12:00:00Z
    #[arg(long, value_name = "TIME")]
    pub(crate) created: Option<String>,
    /// Give the name to this image although another one has it
    #[arg(long)]
    pub(crate) force: bool,
    /// Say nothing but errors
    #[arg(short = 'q', long)]
    pub(crate) quiet: bool,
    #[command(flatten)]
    pub(crate) epoch: Epoch,
    #[command(flatten)]
    pub(crate) one: One,
}

/// Put archives or directories on top, as new layers
#[derive(Debug, Args)]
#[command(after_help = "\
A directory stands for what is in it, at the root of the image. Its files come in the order of their
names, with mode, time in whole seconds, hard links, devices, capabilities and user attributes; what belongs to you
belongs to root in the image, and all else to the number that owns it. With --owner, and with
SOURCE_DATE_EPOCH where times differ, the same files make the same image on every machine.

An archive is read strictly: one that ends within the padding of its last file, as one that was cut
off may, is refused. It keeps its bytes if it is compressed; else it is compressed as most layers of
the image are. It may hide files of lower layers (.wh.NAME), as with umoci raw add-layer. Where it has
a hard link to what is not in it, or a file without its directory before it, layers of the image are
looked into, as far as it takes, unless --as-is leaves that to teu verify: what nobody could unpack
above them is refused.

Examples:
  teu append oci:images:app rootfs.tar
  teu append oci:images:app ./rootfs config.tar.gz
  teu append --owner 0:0 --compress zstd --to docker://registry.example/app:2 oci:images:app ./build
  tar -C build -c . | teu append oci:images:app -")]
pub(crate) struct Append {
    /// Which image
    pub(crate) image: String,
    /// Tar archives, plain or in gzip or zstd, and directories, the lowest first; - is an archive on standard input
    #[arg(required = true, value_name = "TAR|DIRECTORY")]
    pub(crate) content: Vec<PathBuf>,
    /// Compress archives anew that are compressed already
    #[arg(long)]
    pub(crate) recompress: bool,
    /// Take archives as they are, whatever the image has below
    #[arg(long)]
    pub(crate) as_is: bool,
    #[command(flatten)]
    pub(crate) tree: TreeOptions,
    #[command(flatten)]
    pub(crate) layer: LayerOptions,
    /// Say nothing of the new layer in the history
    #[arg(long)]
    pub(crate) no_history: bool,
    #[command(flatten)]
    pub(crate) limits: LimitOptions,
    #[command(flatten)]
    pub(crate) to: To,
}

/// Put a file or directory at a path, as a new layer
#[derive(Debug, Args)]
#[command(after_help = "\
A directory is put into what the image has there: files of the same name are replaced and others
stay, unless --opaque has it replaced as a whole. It and the directories above keep their owner and
mode, which the new layer says again, so that no engine makes them up; what is not there above is made
for root, and what is below is as in the source. Links of the image are followed on the way, and a
directory goes where one leads: what is put at /bin/tool stands in /usr/bin where /bin leads there. For
that layers of the image are looked into, as far as it takes, unless --as-is takes the path as it is;
what the image has as a file cannot be on the way. A link is put there as a link. What a new layer hides
or replaces is still in the layers below it.

Examples:
  teu insert oci:images:app ./server /usr/bin/server
  teu insert oci:images:app server.conf /etc/
  teu insert --opaque oci:images:app ./html /srv/html
  teu insert --whiteout /etc/motd --whiteout /usr/share/doc oci:images:app")]
pub(crate) struct Insert {
    /// Which image
    pub(crate) image: String,
    /// The file or directory
    #[arg(requires = "destination", required_unless_present = "whiteout")]
    pub(crate) source: Option<PathBuf>,
    /// Its path in the image; a file is put into a directory whose path ends in a slash, and else takes no directory's place
    pub(crate) destination: Option<OsString>,
    /// Take paths in the image as they are, whatever is there
    #[arg(long)]
    pub(crate) as_is: bool,
    /// Let nothing be seen of what the image has in that directory
    #[arg(long, requires = "destination")]
    pub(crate) opaque: bool,
    /// Hide what the image has at this path, where something has to be; may be given several times
    #[arg(long, value_name = "PATH")]
    pub(crate) whiteout: Vec<OsString>,
    #[command(flatten)]
    pub(crate) tree: TreeOptions,
    #[command(flatten)]
    pub(crate) layer: LayerOptions,
    /// Say nothing of the new layer in the history
    #[arg(long)]
    pub(crate) no_history: bool,
    #[command(flatten)]
    pub(crate) limits: LimitOptions,
    #[command(flatten)]
    pub(crate) to: To,
}

/// How files on the disk are taken.
#[derive(Debug, Args)]
#[command(next_help_heading = "Files of a directory")]
pub(crate) struct TreeOptions {
    /// Have these own all files; with keep, whoever owns them on the disk
    #[arg(long, value_name = "UID[:GID]|keep")]
    pub(crate) owner: Option<Owner>,
    /// Leave out what is mounted in the directory
    #[arg(long)]
    pub(crate) one_file_system: bool,
}

/// Who owns files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// Who does on the disk.
    Keep,
    /// These.
    Set(u32, u32),
}

impl std::str::FromStr for Owner {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "keep" {
            return Ok(Self::Keep);
        }
        let (user, group) = text.split_once(':').unwrap_or((text, text));
        let number = |text: &str| text.parse().ok().filter(|number| *number != u32::MAX);
        match (number(user), number(group)) {
            (Some(user), Some(group)) => Ok(Self::Set(user, group)),
            _ => Err("an owner is written by numbers, such as 0:0 or 1000:100, or keep".to_owned()),
        }
    }
}

/// How a new layer is written, and what is said of it.
#[derive(Debug, Args)]
#[command(next_help_heading = "The new layer")]
pub(crate) struct LayerOptions {
    /// Compress it so, and not as most layers of the image
    #[arg(long, value_name = "gzip|zstd|none", value_parser = ["gzip", "zstd", "none"], hide_possible_values = true)]
    pub(crate) compress: Option<String>,
    /// Compress at this level: 0 to 9 for gzip, -7 to 22 for zstd
    #[arg(long, value_name = "LEVEL", allow_negative_numbers = true)]
    pub(crate) compress_level: Option<i32>,
    /// Compress on so many threads; else on as many as this machine runs at once. The bytes are the same
    #[arg(long, value_name = "N")]
    pub(crate) threads: Option<std::num::NonZeroUsize>,
    #[command(flatten)]
    pub(crate) epoch: Epoch,
    /// Say in the history who made the layer
    #[arg(long, alias = "history.author", value_name = "TEXT")]
    pub(crate) history_author: Option<String>,
    /// Say something in the history
    #[arg(long, alias = "history.comment", value_name = "TEXT")]
    pub(crate) history_comment: Option<String>,
    /// Say in the history when the layer was made, as 2026-01-31T12:00:00Z; else SOURCE_DATE_EPOCH, or the start of 1970
    #[arg(long, alias = "history.created", value_name = "TIME")]
    pub(crate) history_created: Option<String>,
    /// Say in the history what made the layer
    #[arg(long, alias = "history.created_by", value_name = "TEXT")]
    pub(crate) history_created_by: Option<String>,
}

/// What makes an image the same whenever it is made.
#[derive(Debug, Args)]
pub(crate) struct Epoch {
    /// Have no file be later than this, in seconds since 1970, and say that it was made then; files of archives keep their times
    #[arg(
        long,
        env = "SOURCE_DATE_EPOCH",
        value_name = "SECONDS",
        hide_env_values = true,
        allow_negative_numbers = true
    )]
    pub(crate) source_date_epoch: Option<Seconds>,
}

impl Epoch {
    /// The moment, in seconds since 1970, if one is said.
    pub(crate) fn seconds(&self) -> Option<i64> {
        self.source_date_epoch.and_then(|seconds| seconds.0)
    }
}

/// Which images of an index change, and where what comes of it goes.
#[derive(Debug, Args)]
#[command(next_help_heading = "Which image, and where it goes")]
pub(crate) struct To {
    /// Put what comes of it there, and leave the image as it is
    #[arg(long, value_name = "IMAGE")]
    pub(crate) to: Option<String>,
    /// Of an index, change the image for this platform, and not all; may be given several times
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    pub(crate) platform: Vec<String>,
    /// Show how manifests and configs would differ, and write nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Say nothing but errors
    #[arg(short = 'q', long, conflicts_with = "dry_run")]
    pub(crate) quiet: bool,
    #[command(flatten)]
    pub(crate) one: OneOptions,
    #[command(flatten)]
    pub(crate) target: DestinationOptions,
    #[command(flatten)]
    pub(crate) common: Common,
}
