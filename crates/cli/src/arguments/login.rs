//! What do `teu login` and `teu logout` take?

use std::path::PathBuf;

use clap::{Args, builder::BoolishValueParser};

use super::ImageOptions;

/// Log in to a registry, and keep the login for it
#[derive(Debug, Args)]
#[command(after_help = "\
The login is kept where Podman, Buildah and skopeo find it too; where a credential helper is configured, there.

Examples:
  teu login registry.example
  teu login -u user --password-stdin registry.example < password
  teu login --get-login registry.example")]
pub(crate) struct Login {
    /// Which registry, HOST or HOST:PORT; or the beginning of REGISTRY/PATH, for what is below it alone
    pub(crate) registry: Option<String>,
    /// The user
    #[arg(short = 'u', long, value_name = "USER")]
    pub(crate) username: Option<String>,
    /// The password; other users of this machine can see it in the list of processes
    #[arg(short = 'p', long, value_name = "PASSWORD")]
    pub(crate) password: Option<String>,
    /// Read the password from standard input
    #[arg(long)]
    pub(crate) password_stdin: bool,
    /// Print the user who is logged in, and do nothing
    #[arg(long)]
    pub(crate) get_login: bool,
    /// Print where the login is kept
    #[arg(short = 'v', long)]
    pub(crate) verbose: bool,
    #[command(flatten)]
    pub(crate) at: At,
    /// Take certificates (*.crt, *.cert, *.key) from this directory
    #[arg(long, value_name = "DIR")]
    pub(crate) cert_dir: Option<PathBuf>,
    /// With =false, take any certificate, and plain HTTP where there is no HTTPS (at localhost plain HTTP first)
    #[arg(
        long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true",
        value_parser = BoolishValueParser::new()
    )]
    pub(crate) tls_verify: Option<bool>,
}

/// Forget the login to a registry
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  teu logout registry.example
  teu logout --all")]
pub(crate) struct Logout {
    /// Which registry, or beginning of REGISTRY/PATH
    pub(crate) registry: Option<String>,
    /// Forget all logins
    #[arg(short = 'a', long)]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) at: At,
    // skopeo takes it, and makes no request either.
    #[arg(
        long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true",
        value_parser = BoolishValueParser::new()
    )]
    pub(crate) tls_verify: Option<bool>,
}

/// Where logins are kept.
#[derive(Debug, Args)]
pub(crate) struct At {
    /// Keep logins in this file
    #[arg(long, value_name = "FILE", env = "REGISTRY_AUTH_FILE", hide_env_values = true)]
    pub(crate) authfile: Option<PathBuf>,
    /// Keep logins in this file, as Docker's config.json has them
    #[arg(long, value_name = "FILE")]
    pub(crate) compat_auth_file: Option<PathBuf>,
}

impl Login {
    /// How the registry is reached.
    pub(crate) fn options(&self) -> ImageOptions {
        ImageOptions {
            cert_dir: self.cert_dir.clone(),
            tls_verify: self.tls_verify,
            ..self.at.options()
        }
    }
}

impl At {
    pub(crate) fn options(&self) -> ImageOptions {
        ImageOptions {
            authfile: self.authfile.clone(),
            ..ImageOptions::default()
        }
    }
}
