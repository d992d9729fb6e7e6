//! What does `teu serve` take?

use std::{path::PathBuf, time::Duration};

use clap::{Args, Subcommand};

use super::{
    Time,
    access::{Access, Policy},
    serving::{Configuration, Given, Limits, Listen, Log, Reached},
};

/// Be a registry: of what is pushed, or of layouts
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Every setting is a variable too, --tls-key is TEU_SERVE_TLS_KEY, and a key of the file in TOML that --config names:
key in the table tls. A flag counts before a variable, and that before the file. --print-config shows all of them and
what they are here, as such a file.

Without layouts everything that is pushed is kept in one directory, --data, which is made where it is not there:
teu/registry in $XDG_DATA_HOME, or in ~/.local/share. What was acknowledged survives a power cut, and an upload goes
on after a restart. What no manifest needs is removed a day after it was pushed or asked for, while all goes on; `teu
serve gc` says what that would be. One server has the directory at a time.

Each layout is one repository, called as its directory is unless a name and = stand before it; its names are the
tags. Every client of registries can pull from it, and push to it too with --writable. Unless something says who may do
what, nobody is asked who they are: whoever reaches the address may do it, so it is this machine's own unless --listen
says otherwise. Port 0 takes a free one.

With --htpasswd, tokens or --tls-clients whoever is known may do everything, and who is not nothing; --access-policy
says it user by user. These files too are read again when they change. Tokens spare clients to send their password
each time: --tokens issues them here, --token-keys and --token-url believe another's.

With a certificate and its key TLS is spoken, HTTP/2 first. Both files are read again when they change, or by HUP;
connections that are there go on. Where they do not fit each other all stays as it was, with a warning. --tls-clients
names the authorities of certificates that clients may show, and must with --tls-clients-required.

The address is printed when it can be asked, and then on standard error a line for each request. INT or TERM stop it:
what is under way may end within 10 seconds, or is broken off by a second signal; what was written to layouts of
uploads that are not done is removed. teu gc may run meanwhile: what was pushed and has no name yet is too new for it.
/livez says whether it lives, /readyz whether it reaches what it keeps.

Examples:
  teu serve
  teu serve --data /srv/registry --deletes --immutable 'team/*:v*'
  teu serve --print-config --data /srv/registry > serve.toml
  teu serve --config serve.toml
  teu serve gc --dry-run
  teu serve oci:images
  teu serve --writable --listen 127.0.0.1:0 team/app=oci:images base=oci:base
  teu serve --listen 0.0.0.0:443 --tls-certificate server.pem --tls-key server.key --htpasswd users --tokens
  teu copy --src-tls-verify=false docker://127.0.0.1:5000/images:app oci:copy:app"
)]
pub(crate) struct Serve {
    /// The layouts, and how their repositories are called
    #[arg(
        value_name = "[NAME=]oci:DIRECTORY",
        value_delimiter = '\n',
        env = "TEU_SERVE_LAYOUTS"
    )]
    pub(crate) layouts: Vec<String>,
    #[command(subcommand)]
    pub(crate) tend: Option<Tend>,
    #[command(flatten)]
    pub(crate) configuration: Configuration,
    /// Show all settings as a file that --config takes, with what they are here, and serve nothing
    #[arg(long)]
    pub(crate) print_config: bool,
    /// At which address; :PORT is this port of all of this machine's
    #[arg(
        long,
        value_name = "ADDRESS:PORT",
        default_value = "127.0.0.1:5000",
        env = "TEU_SERVE_LISTEN"
    )]
    pub(crate) listen: Listen,
    #[command(flatten)]
    pub(crate) depot: Depot,
    /// Let clients push to layouts
    #[arg(long, env = "TEU_SERVE_WRITABLE")]
    pub(crate) writable: bool,
    /// Let clients delete what was pushed
    #[arg(long, env = "TEU_SERVE_DELETES")]
    pub(crate) deletes: bool,
    #[command(flatten)]
    pub(crate) reached: Reached,
    #[command(flatten)]
    pub(crate) tls: Tls,
    #[command(flatten)]
    pub(crate) access: Access,
    #[command(flatten)]
    pub(crate) log: Log,
    #[command(flatten)]
    pub(crate) limits: Limits,
    /// What all settings are, where they are to be shown.
    #[arg(skip)]
    pub(crate) effective: Vec<Given>,
}

/// How TLS is spoken.
#[derive(Debug, Args)]
#[command(next_help_heading = "TLS")]
pub(crate) struct Tls {
    /// Speak TLS, and show this certificate: in PEM, with those behind it that lead to its authority
    #[arg(long = "tls-certificate", value_name = "FILE", env = "TEU_SERVE_TLS_CERTIFICATE")]
    pub(crate) certificate: Option<PathBuf>,
    /// The certificate's key, in PEM
    #[arg(long = "tls-key", value_name = "FILE", env = "TEU_SERVE_TLS_KEY")]
    pub(crate) key: Option<PathBuf>,
    /// Take certificates of clients that these authorities vouch for, in PEM; may be given several times
    #[arg(
        long = "tls-clients",
        value_name = "FILE",
        value_delimiter = '\n',
        env = "TEU_SERVE_TLS_CLIENTS"
    )]
    pub(crate) clients: Vec<PathBuf>,
    /// Let nobody in who shows none
    #[arg(long = "tls-clients-required", env = "TEU_SERVE_TLS_CLIENTS_REQUIRED")]
    pub(crate) clients_required: bool,
    /// Let a client's certificate open the connection alone, and not say by its common name who asks
    #[arg(long = "tls-clients-unnamed", env = "TEU_SERVE_TLS_CLIENTS_UNNAMED")]
    pub(crate) clients_unnamed: bool,
}

/// How what is pushed is kept.
#[derive(Debug, Args)]
pub(crate) struct Depot {
    #[command(flatten)]
    pub(crate) data: Data,
    /// Let nobody push
    #[arg(long, env = "TEU_SERVE_READ_ONLY")]
    pub(crate) read_only: bool,
    /// Take manifests that name what was not pushed: indexes and images
    #[arg(long, env = "TEU_SERVE_SPARSE")]
    pub(crate) sparse: bool,
    /// Take indexes of which only some images are here; images are to have all that they name
    #[arg(long, env = "TEU_SERVE_SPARSE_INDEXES")]
    pub(crate) sparse_indexes: bool,
    #[command(flatten)]
    pub(crate) immutable: Immutable,
    /// How often what nothing needs any more is looked for
    #[arg(long, value_name = "TIME", default_value = "1m", env = "TEU_SERVE_GC_INTERVAL")]
    pub(crate) gc_interval: Time,
    /// How long what no manifest names stays after it was pushed, mounted or said to be there; a second at least
    #[arg(
        long,
        value_name = "TIME",
        default_value = "24h",
        value_parser = lease,
        env = "TEU_SERVE_GC_LEASE"
    )]
    pub(crate) gc_lease: Time,
    /// Remove manifests too that no tag leads to, this long after they were pushed, said to be there, or lost a tag; else they stay
    #[arg(long, value_name = "TIME", env = "TEU_SERVE_GC_UNTAGGED")]
    pub(crate) gc_untagged: Option<Time>,
}

/// Which tags never move.
#[derive(Debug, Args)]
pub(crate) struct Immutable {
    /// Never move or delete these tags once they are set; * stands for any characters, and a comma is between several
    #[arg(
        long = "immutable",
        value_name = "REPOSITORY:TAG",
        value_delimiter = ',',
        value_parser = tags,
        env = "TEU_SERVE_IMMUTABLE"
    )]
    pub(crate) patterns: Vec<String>,
}

/// A pattern of tags with that of their repositories. A variable may be empty, or end with a comma.
fn tags(text: &str) -> Result<String, String> {
    let text = text.trim();
    match text.is_empty() || text.contains(':') {
        true => Ok(text.to_owned()),
        false => Err(format!(
            "it is REPOSITORY:TAG; *:{text} are such tags of all repositories, and {text}:* all tags of such repositories"
        )),
    }
}

/// How long a lease is.
fn lease(text: &str) -> Result<Time, String> {
    match text.parse::<Time>()? {
        Time(lease) if lease < Duration::from_secs(1) => Err(
            "it is at least 1s: what was pushed is to be there still when the manifest comes that names it, and a large push takes hours"
                .to_owned(),
        ),
        lease => Ok(lease),
    }
}

/// Where what is pushed is kept.
#[derive(Debug, Args)]
pub(crate) struct Data {
    /// Keep what is pushed in this directory
    #[arg(long = "data", value_name = "DIRECTORY", env = "TEU_SERVE_DATA")]
    pub(crate) directory: Option<PathBuf>,
}

/// What is done with the directory of a registry, not by it.
#[derive(Debug, Subcommand)]
pub(crate) enum Tend {
    Gc(Collect),
    Fsck(Fsck),
    Backup(Backup),
    Restore(Restore),
    Import(super::carry::Import),
    Export(super::carry::Export),
    Policy(Policy),
}

/// Remove what no manifest needs any more
#[derive(Debug, Args)]
#[command(after_help = "\
A server does this by itself, every minute, while it serves: what nothing references goes when the day is over that it
has from when it was pushed, mounted, or said to be there; and, with --gc-untagged, what no tag leads to. Beside a server
this asks that server to do it now; so it wants no stop, and what is being pushed stays: with --untagged goes what no tag
leads to for --gc-untagged, or for a lease where it has none. Where no server has the directory nobody is pushing, and
--lease 0 has go at once what nothing references. --dry-run looks on, and says of each blob that nothing references what
becomes of it.

Examples:
  teu serve gc --dry-run
  teu serve gc --data /srv/registry --untagged
  teu serve gc --data /srv/registry --untagged --lease 0")]
pub(crate) struct Collect {
    #[command(flatten)]
    pub(crate) data: Tended,
    /// Remove manifests too that no tag leads to, by an index or as what they are about
    #[arg(long)]
    pub(crate) untagged: bool,
    /// Leave what nothing references so long, and not as long as the server's lease; only for a directory that no server has
    #[arg(long, value_name = "TIME")]
    pub(crate) lease: Option<Time>,
    /// The --gc-lease that the server had, from which --lease is reckoned: say it where that was not the last server's
    #[arg(long, value_name = "TIME", value_parser = lease, env = "TEU_SERVE_GC_LEASE")]
    pub(crate) gc_lease: Option<Time>,
    /// Say what would go and what stays until when, and remove nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// Check that all is there that is kept, and is what it should be
#[derive(Debug, Args)]
#[command(after_help = "\
Every byte is read, and of what is wrong the images are named that need it. Without --repair it looks on, beside a
server too. With it, which wants the directory alone, what is not what its digest says is set aside in
DIRECTORY/quarantine and shown no more, nor are the images that it belongs to, until the next push of them brings it;
and files that a manifest misses are shown again. Where the database itself is damaged nothing is mended, for what it
says cannot be believed: a backup is the only way back.

With --from, what is lost or was set aside before is taken back from a copy that teu serve backup made, from another
registry's directory or from a layout, where that has it: each byte is held to its digest, and the images are shown again.

The exit code is 10 where something is wrong that was not mended: also where what is hidden was not pushed again since,
and with --from where something was not taken back.

Examples:
  teu serve fsck
  teu serve fsck --data /srv/registry --repair
  teu serve fsck --data /srv/registry --repair --from /backup/registry")]
pub(crate) struct Fsck {
    #[command(flatten)]
    pub(crate) data: Tended,
    /// Mend what can be mended
    #[arg(long)]
    pub(crate) repair: bool,
    /// Take what is lost back from this directory: a copy that teu serve backup made, another registry's, or a layout
    #[arg(long, value_name = "DIRECTORY", requires = "repair")]
    pub(crate) from: Option<PathBuf>,
}

/// Copy all that is kept to another directory, while a server goes on
#[derive(Debug, Args)]
#[command(after_help = "\
All that was acknowledged when this began is in the copy; uploads that are under way are not. A copy that is there is
brought up to date: only what is new is copied, and until that is done it stays as it was. What is no copy of this
registry, or has what came later or elsewhere, is refused and left as it is. Several copies may take turns; what is restored
of one goes on with all. The copy is itself a directory that `teu serve --data` and `teu serve fsck` take; once something is
pushed to it, it is a registry of its own.

What is copied is read and held to its digest. The exit code is 10 where a blob is damaged, cannot be read or is not there:
it is named, and all else is copied. What was copied before is not read again; fsck of the copy does that. A blob that the
registry lost, as fsck --repair set it aside, stays in the copy where that has it: `teu serve fsck --repair --from COPY`
takes it back.

Examples:
  teu serve backup /backup/registry
  teu serve backup --data /srv/registry /backup/registry")]
pub(crate) struct Backup {
    #[command(flatten)]
    pub(crate) data: Tended,
    /// The directory of the copy
    #[arg(value_name = "COPY")]
    pub(crate) copy: PathBuf,
}

/// Bring back what a copy has, into a directory that is not there
#[derive(Debug, Args)]
#[command(after_help = "\
The exit code is 10 where a blob of the copy is damaged, cannot be read or is not there: it is named, and all else is
brought back.

Examples:
  teu serve restore /backup/registry
  teu serve restore --data /srv/registry /backup/registry")]
pub(crate) struct Restore {
    #[command(flatten)]
    pub(crate) data: Tended,
    /// The copy that `teu serve backup` made
    #[arg(value_name = "COPY")]
    pub(crate) copy: PathBuf,
}

/// Which directory is tended.
#[derive(Debug, Args)]
pub(crate) struct Tended {
    /// The directory in which what was pushed is kept
    #[arg(long = "data", value_name = "DIRECTORY", env = "TEU_SERVE_DATA")]
    pub(crate) directory: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) configuration: Configuration,
}
