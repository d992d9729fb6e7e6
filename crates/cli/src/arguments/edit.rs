//! What does `teu edit` take? How an image runs, what is said of it, its layers and what is in them.

use std::str::FromStr;

use clap::{Args, ValueEnum};
use teu_image::edit::{self, Port, Signal, User, Volume};
use teu_spec::ArtifactType;

use super::{LimitOptions, Seconds, Time, To};

/// Change what an image says, and its layers
#[derive(Debug, Args)]
#[command(after_help = "\
What is not named stays as it is, byte for byte, and what is so already changes nothing. Of an index all
images change; with --to, what comes of it goes elsewhere and the image stays.

A command is a list of words. Give each word by a flag of its own, or all of them as one JSON array:
  --entrypoint /app --entrypoint --verbose    and    --entrypoint '[\"/app\",\"--verbose\"]'
are the same; --entrypoint '/app --verbose' is one word with a space in it. To run a line by a shell,
say so: '[\"/bin/sh\",\"-c\",\"exec /app\"]'. Nothing, '' or '[]', takes away what there is, and so it does
for every flag with one value but --os and --arch, which every image has to say. --entrypoint leaves the
arguments (--cmd) as they are.

Where a layer stays above one that --remove-layer takes, those that stay are looked into: where one needs what
goes, as a hard link to a file of it does, nothing changes. What is in layers was perhaps seen before; else
they are read. --remove-file means what is where the path really lies, links on the way followed up to the first
wildcard, by whatever name layers call it; a link that is named is the link itself. Where what comes of it
could not be unpacked, or has files that were not seen before, nothing changes.

A --healthcheck is a new one, with no times but those that come with it. Without one, a time is changed in
the check that the image has; 0 leaves it to Docker.

An annotation is the image's own; index: before its key means the index, manifest-descriptor: what
the index says of each image, and layer: what the image says of its layers.

Examples:
  teu edit --entrypoint /app --cmd '' --env LOG=debug oci:images:app
  teu edit --remove-env TOKEN --label org.example.tested=yes docker://registry.example/app:1
  teu edit --annotation index:org.opencontainers.image.version=1.2 --dry-run oci:images:app
  teu edit --remove-file 'var/cache/**' --clamp-times 2026-01-01T00:00:00Z oci:images:app
  teu edit --format oci --compress zstd --to docker://registry.example/app:2 oci:images:app
  teu edit --platform linux/arm --set-platform linux/arm/v7 oci:images:app

umoci's names are understood too: --config.entrypoint, --config.env, --clear config.labels, ….")]
pub(crate) struct Edit {
    /// Which image
    pub(crate) image: String,
    #[command(flatten)]
    pub(crate) runs: Runs,
    #[command(flatten)]
    pub(crate) said: Said,
    #[command(flatten)]
    pub(crate) layers: EditLayers,
    #[command(flatten)]
    pub(crate) to: To,
}

/// How a container of the image runs.
#[derive(Debug, Args)]
#[command(next_help_heading = "How it runs")]
pub(crate) struct Runs {
    /// What is started: a word, or all words as a JSON array; may be given several times
    #[arg(
        long,
        alias = "config.entrypoint",
        value_name = "WORD|JSON",
        allow_hyphen_values = true
    )]
    pub(crate) entrypoint: Vec<String>,
    /// Its arguments, or what is started where there is no entry point; likewise
    #[arg(long, alias = "config.cmd", value_name = "WORD|JSON", allow_hyphen_values = true)]
    pub(crate) cmd: Vec<String>,
    /// Set this variable; may be given several times
    #[arg(short = 'e', long, alias = "config.env", value_name = "NAME=VALUE", value_parser = variable)]
    pub(crate) env: Vec<(String, String)>,
    /// Remove this variable; may be given several times
    #[arg(long, value_name = "NAME")]
    pub(crate) remove_env: Vec<String>,
    /// Run as this user
    #[arg(short = 'u', long, alias = "config.user", value_name = "USER[:GROUP]", value_parser = or_nothing::<User>)]
    pub(crate) user: Option<edit::To<User>>,
    /// Start in this directory
    #[arg(
        short = 'w',
        long,
        visible_alias = "working-dir",
        alias = "config.workingdir",
        value_name = "DIR"
    )]
    pub(crate) workdir: Option<String>,
    /// Say that it listens at this port; may be given several times
    #[arg(
        long,
        visible_alias = "exposed-ports",
        alias = "config.exposedports",
        value_name = "PORT[/tcp|udp]",
        value_delimiter = ','
    )]
    pub(crate) port: Vec<Port>,
    /// Do not say so of this port; may be given several times
    #[arg(long, value_name = "PORT[/tcp|udp]")]
    pub(crate) remove_port: Vec<String>,
    /// Say that a container keeps data in this directory; may be given several times
    #[arg(long, alias = "config.volume", value_name = "DIR")]
    pub(crate) volume: Vec<Volume>,
    /// Do not say so of this directory; may be given several times
    #[arg(long, value_name = "DIR")]
    pub(crate) remove_volume: Vec<String>,
    /// Stop it by this signal
    #[arg(long, alias = "config.stopsignal", value_name = "SIGNAL", value_parser = or_nothing::<Signal>)]
    pub(crate) stop_signal: Option<edit::To<Signal>>,
    /// Kill it so many seconds later (Docker's)
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) stop_timeout: Option<i64>,
    /// See whether it works by this line for a shell, or these words as a JSON array (Docker's)
    #[arg(
        long,
        visible_alias = "health-cmd",
        value_name = "LINE|JSON",
        allow_hyphen_values = true
    )]
    pub(crate) healthcheck: Option<String>,
    /// Do so this often
    #[arg(long, value_name = "TIME", conflicts_with = "no_healthcheck")]
    pub(crate) health_interval: Option<Time>,
    /// Let it take so long
    #[arg(long, value_name = "TIME", conflicts_with = "no_healthcheck")]
    pub(crate) health_timeout: Option<Time>,
    /// Let it fail so many times
    #[arg(long, value_name = "N", conflicts_with = "no_healthcheck")]
    pub(crate) health_retries: Option<u32>,
    /// Let it fail so long after the start
    #[arg(long, value_name = "TIME", conflicts_with = "no_healthcheck")]
    pub(crate) health_start_period: Option<Time>,
    /// Do so this often then
    #[arg(long, value_name = "TIME", conflicts_with = "no_healthcheck")]
    pub(crate) health_start_interval: Option<Time>,
    /// Have nothing see whether it works, whatever the image was built on says
    #[arg(long, conflicts_with = "healthcheck")]
    pub(crate) no_healthcheck: bool,
    /// The shell for lines: a word, or all words as a JSON array; may be given several times (Docker's)
    #[arg(long, value_name = "WORD|JSON", allow_hyphen_values = true)]
    pub(crate) shell: Vec<String>,
    /// An instruction for images that are built on this one; may be given several times (Docker's)
    #[arg(long, value_name = "INSTRUCTION|JSON")]
    pub(crate) on_build: Vec<String>,
}

/// What is said of the image.
#[derive(Debug, Args)]
#[command(next_help_heading = "What is said of it")]
pub(crate) struct Said {
    /// Set this label; may be given several times
    #[arg(short = 'l', long, alias = "config.label", value_name = "KEY=VALUE", value_parser = pair)]
    pub(crate) label: Vec<(String, String)>,
    /// Remove this label; may be given several times
    #[arg(long, value_name = "KEY")]
    pub(crate) remove_label: Vec<String>,
    /// Set this annotation; may be given several times
    #[arg(
        short = 'a', long, alias = "manifest.annotation",
        value_name = "[WHERE:]KEY=VALUE", value_parser = annotation
    )]
    pub(crate) annotation: Vec<(Where, (String, String))>,
    /// Have the index say, too, what all its images say of themselves in annotations
    #[arg(long, visible_alias = "annotation-promote", conflicts_with = "platform")]
    pub(crate) promote_annotations: bool,
    /// Remove this annotation; may be given several times
    #[arg(long, value_name = "[WHERE:]KEY", value_parser = key)]
    pub(crate) remove_annotation: Vec<(Where, String)>,
    /// Make annotations of labels: of this one, or of all that begin so where it ends in *; may be given several times
    #[arg(long, value_name = "KEY")]
    pub(crate) label_to_annotation: Vec<String>,
    /// Say that it was made by this person
    #[arg(long, value_name = "TEXT")]
    pub(crate) author: Option<String>,
    /// Say that it was made then, as 2026-01-31T12:00:00Z
    #[arg(long, value_name = "TIME")]
    pub(crate) created: Option<String>,
    /// Say that it is for this platform
    #[arg(long, value_name = "OS/ARCH[/VARIANT]", conflicts_with_all = ["os", "arch", "variant"])]
    pub(crate) set_platform: Option<String>,
    /// Say that it is for this operating system
    #[arg(long, value_name = "OS")]
    pub(crate) os: Option<String>,
    /// Say that it is for this architecture
    #[arg(long, visible_alias = "architecture", value_name = "ARCH")]
    pub(crate) arch: Option<String>,
    /// Say that it is for this variant of it
    #[arg(long, value_name = "VARIANT")]
    pub(crate) variant: Option<String>,
    /// Say that it is for this version of the operating system
    #[arg(long, value_name = "VERSION")]
    pub(crate) os_version: Option<String>,
    /// Say that it needs this of the operating system: a word, or a JSON array; may be given several times
    #[arg(long, value_name = "FEATURE|JSON")]
    pub(crate) os_feature: Vec<String>,
    /// Say that what was named is an artifact of this type, a media type
    #[arg(long, value_name = "TYPE", value_parser = or_nothing::<ArtifactType>)]
    pub(crate) artifact_type: Option<edit::To<ArtifactType>>,
    /// Say that what was named is about this manifest: a digest in the same place, or an image; '' takes it away
    #[arg(long, value_name = "DIGEST|IMAGE")]
    pub(crate) subject: Option<String>,
    /// Have what is not larger than this stand in the manifest itself, and nothing else; 0 for nothing
    #[arg(long, visible_alias = "data-max", value_name = "BYTES")]
    pub(crate) inline: Option<u64>,
    /// Have the history not tell this build argument, nor its values; may be given several times
    #[arg(long, value_name = "NAME")]
    pub(crate) remove_build_arg: Vec<String>,
    /// Add nothing to the history, which is so where no flag has anything added
    #[arg(long, hide = true, conflicts_with_all = ["history_created_by", "history_author", "history_created", "history_comment"])]
    pub(crate) no_history: bool,
    /// Add to the history that this was done
    #[arg(long, alias = "history.created_by", value_name = "TEXT")]
    pub(crate) history_created_by: Option<String>,
    /// Who did it
    #[arg(long, alias = "history.author", value_name = "TEXT")]
    pub(crate) history_author: Option<String>,
    /// When, as 2026-01-31T12:00:00Z; else SOURCE_DATE_EPOCH, or the start of 1970
    #[arg(long, alias = "history.created", value_name = "TIME")]
    pub(crate) history_created: Option<String>,
    /// What the history says of when, in seconds since 1970
    #[arg(
        long,
        env = "SOURCE_DATE_EPOCH",
        value_name = "SECONDS",
        hide = true,
        allow_negative_numbers = true
    )]
    pub(crate) source_date_epoch: Option<Seconds>,
    /// What there is to say of it
    #[arg(long, alias = "history.comment", value_name = "TEXT")]
    pub(crate) history_comment: Option<String>,
    /// Remove all of these before any is set: env, labels, ports, volumes, entrypoint, cmd, history, annotations, index-annotations,
    /// descriptor-annotations, layer-annotations; may be given several times
    #[arg(
        long,
        value_enum,
        value_name = "WHAT",
        value_delimiter = ',',
        hide_possible_values = true
    )]
    pub(crate) clear: Vec<Clear>,
}

/// What of an image goes as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Clear {
    #[value(alias = "config.env")]
    Env,
    #[value(alias = "config.labels")]
    Labels,
    #[value(alias = "config.exposedports")]
    Ports,
    #[value(alias = "config.volume")]
    Volumes,
    #[value(alias = "config.entrypoint")]
    Entrypoint,
    #[value(alias = "config.cmd")]
    Cmd,
    History,
    #[value(alias = "manifest.annotations")]
    Annotations,
    IndexAnnotations,
    DescriptorAnnotations,
    LayerAnnotations,
}

/// What becomes of layers.
#[derive(Debug, Args)]
#[command(next_help_heading = "Its layers")]
pub(crate) struct EditLayers {
    /// Remove a layer, by its number, the lowest being 0, or by its digest; may be given several times
    #[arg(long, value_name = "N|DIGEST")]
    pub(crate) remove_layer: Vec<String>,
    /// Remove the layers whose history has this in what made them, * being anything; may be given several times
    #[arg(long, value_name = "TEXT")]
    pub(crate) remove_layer_by: Vec<String>,
    /// Remove a file out of every layer, or a directory with all in it; *, ** and ? are understood; may be given several times
    #[arg(long, value_name = "PATH")]
    pub(crate) remove_file: Vec<std::ffi::OsString>,
    /// Have no time in layers, config and history be later than this: 2026-01-31T12:00:00Z, or seconds since 1970
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub(crate) clamp_times: Option<String>,
    /// Have all of those times be this
    #[arg(
        long,
        value_name = "TIME",
        conflicts_with = "clamp_times",
        allow_hyphen_values = true
    )]
    pub(crate) set_times: Option<String>,
    /// Have layers that their makers do not want distributed be like all others, and not be fetched from elsewhere
    #[arg(long)]
    pub(crate) distribute: bool,
    /// Compress all layers so
    #[arg(long, value_name = "gzip|zstd|none", value_parser = ["gzip", "zstd", "none"], hide_possible_values = true)]
    pub(crate) compress: Option<String>,
    /// Compress at this level: 0 to 9 for gzip, -7 to 22 for zstd
    #[arg(long, value_name = "LEVEL", allow_negative_numbers = true, requires = "compress")]
    pub(crate) compress_level: Option<i32>,
    #[command(flatten)]
    pub(crate) limits: LimitOptions,
    /// Write manifests in OCI's form or Docker's
    #[arg(short = 'f', long, value_name = "oci|v2s2", value_parser = super::verbs::forms(), hide_possible_values = true)]
    pub(crate) format: Option<String>,
}

/// Whose annotation it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Where {
    /// The manifest's.
    Manifest,
    /// The index's.
    Index,
    /// What the index says of each manifest.
    Descriptor,
    /// What the manifest says of each layer.
    Layer,
}

/// By the words that buildx has for it, and one more.
fn place(text: &str) -> (Where, &str) {
    let places = [
        ("manifest:", Where::Manifest),
        ("index:", Where::Index),
        ("manifest-descriptor:", Where::Descriptor),
        ("layer:", Where::Layer),
    ];
    let found = places
        .iter()
        .find_map(|(word, place)| Some((*place, text.strip_prefix(word)?)));
    found.unwrap_or((Where::Manifest, text))
}

fn annotation(text: &str) -> Result<(Where, (String, String)), String> {
    let (place, rest) = place(text);
    Ok((place, pair(rest)?))
}

fn key(text: &str) -> Result<(Where, String), String> {
    let (place, key) = place(text);
    match key.is_empty() {
        true => Err("a key is missing".to_owned()),
        false => Ok((place, key.to_owned())),
    }
}

fn pair(text: &str) -> Result<(String, String), String> {
    split(text).ok_or_else(|| "write it as KEY=VALUE".to_owned())
}

fn variable(text: &str) -> Result<(String, String), String> {
    split(text).ok_or_else(|| "write it as NAME=VALUE".to_owned())
}

fn split(text: &str) -> Option<(String, String)> {
    let (key, value) = text.split_once('=').filter(|(key, _)| !key.is_empty())?;
    Some((key.to_owned(), value.to_owned()))
}

fn seconds(text: &str) -> Result<i64, String> {
    let wrong = |_| "write it in whole seconds, such as 10".to_owned();
    text.parse().map_err(wrong)
}

/// What stands in a config or a manifest, of which nothing takes away what there is.
fn or_nothing<T: FromStr>(text: &str) -> Result<edit::To<T>, T::Err> {
    match text {
        "" => Ok(edit::To::Remove),
        text => text.parse().map(edit::To::Set),
    }
}
