//! What holds for one image of a command line: how its registry is reached, and as whom. A copy has two of them.

use std::path::PathBuf;

use clap::{Args, builder::BoolishValueParser};

use super::Time;

/// What is said of one image, whatever the flags were called.
#[derive(Clone, Debug, Default)]
pub(crate) struct ImageOptions {
    pub(crate) authfile: Option<PathBuf>,
    pub(crate) creds: Option<String>,
    pub(crate) username: Option<String>,
    pub(crate) password: Option<String>,
    pub(crate) registry_token: Option<String>,
    pub(crate) no_creds: bool,
    pub(crate) cert_dir: Option<PathBuf>,
    pub(crate) tls_verify: Option<bool>,
    pub(crate) shared_blob_dir: Option<PathBuf>,
    pub(crate) retry_times: Option<u32>,
    pub(crate) retry_delay: Option<Time>,
}

macro_rules! image_options {
    ($(#[$doc:meta])* $name:ident, $prefix:literal, $heading:literal, $alias:literal $(, $authfile:literal)?) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Args)]
        #[command(next_help_heading = $heading)]
        pub(crate) struct $name {
            $(
                /// Take credentials for this side from this file alone
                #[arg(id = $authfile, long = $authfile, value_name = "FILE")]
                own_authfile: Option<PathBuf>,
            )?
            /// Log in as this USER, or with USER:PASSWORD
            #[arg(id = concat!($prefix, "creds"), long = concat!($prefix, "creds"), alias = $alias, value_name = "USER[:PASSWORD]")]
            creds: Option<String>,
            /// Log in as this user
            #[arg(id = concat!($prefix, "username"), long = concat!($prefix, "username"), value_name = "USER")]
            username: Option<String>,
            /// Log in with this password
            #[arg(id = concat!($prefix, "password"), long = concat!($prefix, "password"), value_name = "PASSWORD")]
            password: Option<String>,
            /// Show the registry this bearer token
            #[arg(id = concat!($prefix, "registry-token"), long = concat!($prefix, "registry-token"), value_name = "TOKEN")]
            registry_token: Option<String>,
            /// Do not log in
            #[arg(id = concat!($prefix, "no-creds"), long = concat!($prefix, "no-creds"))]
            no_creds: bool,
            /// Take certificates (*.crt, *.cert, *.key) from this directory
            #[arg(id = concat!($prefix, "cert-dir"), long = concat!($prefix, "cert-dir"), value_name = "DIR")]
            cert_dir: Option<PathBuf>,
            /// With =false, take any certificate, and plain HTTP where there is no HTTPS (at localhost plain HTTP first)
            #[arg(
                id = concat!($prefix, "tls-verify"), long = concat!($prefix, "tls-verify"),
                value_name = "BOOL", hide_possible_values = true, num_args = 0..=1, require_equals = true, default_missing_value = "true",
                value_parser = BoolishValueParser::new()
            )]
            tls_verify: Option<bool>,
            /// Keep the blobs of an oci: layout in this directory
            #[arg(id = concat!($prefix, "shared-blob-dir"), long = concat!($prefix, "shared-blob-dir"), value_name = "DIR")]
            shared_blob_dir: Option<PathBuf>,
            #[arg(id = concat!($prefix, "daemon-host"), long = concat!($prefix, "daemon-host"), hide = true)]
            daemon_host: Option<String>,
        }

        impl $name {
            /// The same, whatever the flags were called.
            pub(crate) fn options(&self, common: &Common) -> ImageOptions {
                ImageOptions {
                    authfile: None$(.or_else(|| {
                        let _ = $authfile;
                        self.own_authfile.clone()
                    }))?.or_else(|| common.authfile.clone()),
                    creds: self.creds.clone(),
                    username: self.username.clone(),
                    password: self.password.clone(),
                    registry_token: self.registry_token.clone(),
                    no_creds: self.no_creds,
                    cert_dir: self.cert_dir.clone(),
                    tls_verify: self.tls_verify,
                    shared_blob_dir: self.shared_blob_dir.clone(),
                    retry_times: common.retry_times,
                    retry_delay: common.retry_delay,
                }
            }
        }
    };
}

image_options!(
    /// How the image's place is reached.
    OneOptions, "", "Where the image is", "credentials"
);
image_options!(
    /// How the source of a copy is reached.
    SourceOptions, "src-", "Source", "screds", "src-authfile"
);
image_options!(
    /// How the bases of an image are reached.
    BaseOptions, "base-", "Where the bases are", "base-credentials", "base-authfile"
);
image_options!(
    /// How the destination of a copy is reached.
    DestinationOptions, "dest-", "Destination", "dcreds", "dest-authfile"
);

/// What holds for every image of a command line.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Registries")]
pub(crate) struct Common {
    /// Take credentials from this file alone
    #[arg(long, value_name = "FILE", env = "REGISTRY_AUTH_FILE", hide_env_values = true)]
    pub(crate) authfile: Option<PathBuf>,
    /// Try a failed request again so often
    #[arg(long, value_name = "N")]
    pub(crate) retry_times: Option<u32>,
    /// Wait so long before the first repetition
    #[arg(long, value_name = "TIME")]
    pub(crate) retry_delay: Option<Time>,
}

/// All of it, for a verb with one image.
#[derive(Clone, Debug, Args)]
pub(crate) struct One {
    #[command(flatten)]
    one: OneOptions,
    #[command(flatten)]
    common: Common,
}

impl One {
    pub(crate) fn options(&self) -> ImageOptions {
        self.one.options(&self.common)
    }
}
