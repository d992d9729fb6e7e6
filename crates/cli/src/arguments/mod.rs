//! What can be asked for? The command line, from which help, manual pages and completions are made too.

mod access;
mod analyze;
mod at_once;
mod bundle;
mod bytes;
mod carry;
mod cat;
mod compression;
mod diff;
mod edit;
mod explore;
mod export;
mod extract;
mod files;
mod help;
mod image;
mod index;
mod limits;
mod login;
mod make;
mod raw;
mod rebase;
mod repack;
mod runtime;
mod serve;
mod serving;
mod share;
mod squash;
mod sync;
#[cfg(test)]
pub(crate) mod tests;
mod time;
mod unused;
mod verbs;
mod verify;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub(crate) use access::{Access, NAME, Policy, PolicyVerb};
pub(crate) use analyze::{Analyze, Thresholds};
pub(crate) use at_once::at_once;
pub(crate) use bundle::*;
pub(crate) use bytes::Bytes;
pub(crate) use carry::{Carried, Export as ServeExport, Import as ServeImport};
pub(crate) use cat::Cat;
pub(crate) use compression::CompressionOptions;
pub(crate) use diff::Diff;
pub(crate) use edit::*;
pub(crate) use explore::Explore;
pub(crate) use export::Export;
pub(crate) use extract::Extract;
pub(crate) use files::Files;
pub(crate) use help::command;
pub(crate) use image::{BaseOptions, Common, DestinationOptions, ImageOptions, One, OneOptions, SourceOptions};
pub(crate) use index::*;
pub(crate) use limits::LimitOptions;
pub(crate) use login::{At, Login, Logout};
pub(crate) use make::*;
pub(crate) use raw::*;
pub(crate) use rebase::*;
pub(crate) use repack::Repack;
pub(crate) use runtime::{Raw, RuntimeConfig};
pub(crate) use serve::{Collect, Depot as ServeDepot, Fsck, Immutable as ServeImmutable, Serve, Tend, Tls as ServeTls};
pub(crate) use serving::{
    Given, Limits as ServeLimits, Log, LogFormat, LogRequests, Reached as ServeReached, switches,
};
pub(crate) use squash::Squash;
pub(crate) use sync::{Sync, SyncDestination, SyncSource};
pub(crate) use time::{Seconds, Time};
pub(crate) use unused::shown;
pub(crate) use verbs::*;
pub(crate) use verify::Verify;

/// Copy, inspect, check and change container images, wherever they are.
#[derive(Debug, Parser)]
#[command(
    name = "teu",
    version,
    max_term_width = 110,
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "\
An image is named by where it is:
  docker://registry.example/app:1      in a registry; docker:// may be left out
  oci:DIRECTORY[:NAME|:@N|@DIGEST]     in an OCI image layout
  oci-archive:FILE[:NAME]              in a layout packed into a tar file
  docker-archive:FILE[:NAME:TAG]       in what `docker save` writes
  dir:DIRECTORY                        in a plain directory, as skopeo keeps it

Begin with:
  teu copy docker://docker.io/library/alpine:3.19 oci:alpine:3.19
  teu inspect oci:alpine:3.19
  teu manifest get oci:alpine:3.19

`teu help VERB` shows each verb by example. Called by the name skopeo, it answers as skopeo does."
)]
pub(crate) struct Teu {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// What every verb understands.
#[derive(Debug, Args)]
#[command(next_help_heading = "Everywhere")]
pub(crate) struct Global {
    /// Say more about what is done, on standard error
    #[arg(long, global = true)]
    pub(crate) debug: bool,
    /// Show progress on standard error: tty (bars), plain, json or none; auto is tty on a terminal, else plain
    #[arg(
        long, global = true, value_enum, default_value_t = Progress::Auto,
        value_name = "HOW", hide_possible_values = true, hide_default_value = true
    )]
    pub(crate) progress: Progress,
    /// Print the result as text or as json
    #[arg(
        short = 'o', long = "output", global = true, value_enum, default_value_t = Output::Text,
        value_name = "FORM", hide_possible_values = true, hide_default_value = true
    )]
    pub(crate) output: Output,
    /// Use this policy file instead of containers' policy.json
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) policy: Option<PathBuf>,
    /// Take images whatever policy.json says
    #[arg(long, global = true)]
    pub(crate) insecure_policy: bool,
    /// Look for signatures as this directory says: not used yet, for signatures are not checked yet
    #[arg(long = "registries.d", global = true, value_name = "DIR", hide = true)]
    pub(crate) registries_d: Option<PathBuf>,
    /// Use this file instead of containers' registries.conf
    #[arg(long = "registries-conf", global = true, value_name = "FILE")]
    pub(crate) registries_conf: Option<PathBuf>,
    /// Trust this host too with the password of a registry that sends us there for a token; may be given several times
    #[arg(long = "token-realm", global = true, value_name = "HOST[:PORT]")]
    pub(crate) token_realms: Vec<String>,
    /// As behind the verb, for images of which nothing is said there
    #[arg(
        id = "every-tls-verify", long = "tls-verify", hide = true,
        value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true"
    )]
    pub(crate) tls_verify: Option<bool>,
    /// Choose images for this architecture instead of this machine's
    #[arg(long, global = true, value_name = "ARCH")]
    pub(crate) override_arch: Option<String>,
    /// Choose images for this operating system instead of this machine's
    #[arg(long, global = true, value_name = "OS")]
    pub(crate) override_os: Option<String>,
    /// Choose images for this variant of the architecture
    #[arg(long, global = true, value_name = "VARIANT")]
    pub(crate) override_variant: Option<String>,
    /// Stop when it takes longer than this, such as 90s, 5m or 1h30m
    #[arg(long, global = true, value_name = "TIME")]
    pub(crate) command_timeout: Option<Time>,
    /// Keep large temporary files here
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) tmpdir: Option<PathBuf>,
    /// Begin the User-Agent that registries see with this
    #[arg(long, global = true, value_name = "TEXT")]
    pub(crate) user_agent_prefix: Option<String>,
}

// Documentation of values would make of every help a page twice as long, so they are explained where they are used.

/// How progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Progress {
    // `tty` on a terminal, `plain` elsewhere
    Auto,
    // A line for each blob that is under way, drawn anew
    Tty,
    // A line for each blob that is done
    Plain,
    // One event a line, as JSON
    Json,
    // Nothing
    None,
}

/// How a result is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    // For people
    Text,
    // For programs
    Json,
}

/// The verbs, once for what is done and once for [`at_once()`], which wants their names without what each takes. Those that have verbs of their own are
/// wrapped in `$nested`.
macro_rules! all_verbs {
    ($(#[$attribute:meta])* $name:ident, $nested:ident) => {
        #[derive(Debug, Subcommand)]
        $(#[$attribute])*
        pub(crate) enum $name {
            Copy(Box<Copy>),
            Sync(Box<Sync>),
            Inspect(Inspect),
            ListTags(ListTags),
            ManifestDigest(ManifestDigest),
            Delete(Delete),
            Login(Login),
            Logout(Logout),
            Ls(Ls),
            Catalog(Catalog),
            Tag(Tag),
            Untag(Untag),
            Digest(Digest),
            #[command(subcommand)]
            Manifest($nested<Manifest>),
            Config(Config),
            History(History),
            Stat(Stat),
            Tree(Tree),
            Referrers(Referrers),
            Analyze(Box<Analyze>),
            Diff(Box<Diff>),
            Explore(Box<Explore>),
            Files(Box<Files>),
            Cat(Box<Cat>),
            Extract(Box<Extract>),
            Verify(Verify),
            Unpack(Box<Unpack>),
            Export(Box<Export>),
            Repack(Box<Repack>),
            New(Box<New>),
            Append(Box<Append>),
            Insert(Box<Insert>),
            Edit(Box<Edit>),
            Squash(Box<Squash>),
            Rebase(Box<Rebase>),
            #[command(subcommand)]
            Index($nested<Box<Index>>),
            #[command(subcommand)]
            Blob($nested<Blob>),
            #[command(subcommand)]
            Raw($nested<Raw>),
            Serve(Box<Serve>),
            Init(Init),
            Gc(Gc),
            Completion(Completion),
            Man(Man),
        }
    };
}
use all_verbs;

/// Verbs of a verb, as they are.
type Nested<T> = T;

all_verbs!(
    /// What to do.
    Verb,
    Nested
);
