//! What is `teu serve` told beside what it serves and who may do what? Where its settings are read, how it is reached, what it logs, and its limits.
//!
//! What has a variable here is a setting: files may say it too, and [`crate::verbs::config`] makes of these definitions the table of all.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr, SocketAddr, ToSocketAddrs as _},
    path::PathBuf,
    str::FromStr,
};

use clap::{ArgAction, Args, Command, ValueEnum, builder::BoolishValueParser};

use super::{Bytes, Time};

/// Where settings are read.
#[derive(Debug, Args)]
pub(crate) struct Configuration {
    /// Read settings from this file, in TOML
    #[arg(long, value_name = "FILE", env = "TEU_SERVE_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// Read settings from a configuration of registry:2, in YAML, and from its variables, REGISTRY_HTTP_ADDR and the like
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with = "config",
        env = "TEU_SERVE_DISTRIBUTION_CONFIG"
    )]
    pub(crate) distribution_config: Option<PathBuf>,
}

/// A setting, and what it is: for one that was said, by whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Given {
    /// The flag's name, without dashes.
    pub(crate) name: String,
    /// As a flag has them; none where nothing is said and there is no default.
    pub(crate) values: Vec<String>,
    /// Whether it was said, and is not only the default.
    pub(crate) is_said: bool,
}

/// How it is reached.
#[derive(Debug, Args)]
pub(crate) struct Reached {
    /// Tell Prometheus how much is asked, and how fast it is answered, at /metrics of this address
    #[arg(long, value_name = "ADDRESS:PORT", env = "TEU_SERVE_METRICS")]
    pub(crate) metrics: Option<Listen>,
    /// Tell Prometheus at this path instead
    #[arg(
        long,
        value_name = "PATH",
        default_value = "/metrics",
        env = "TEU_SERVE_METRICS_PATH"
    )]
    pub(crate) metrics_path: String,
    /// What stands before /v2/ in all paths, such as /registry/
    #[arg(long, value_name = "PATH", default_value = "/", env = "TEU_SERVE_PREFIX")]
    pub(crate) prefix: String,
    /// How clients are told where things are: relative, by paths; absolute, as Host, Forwarded and X-Forwarded-* say; or below this URL
    #[arg(long, value_name = "HOW|URL", default_value = "relative", env = "TEU_SERVE_LOCATION")]
    pub(crate) location: String,
    /// Put this header into every answer below /v2/, such as 'Access-Control-Allow-Origin: *'; may be given several times
    #[arg(long, value_name = "NAME: VALUE", value_delimiter = '\n', env = "TEU_SERVE_HEADER")]
    pub(crate) header: Vec<String>,
    /// Speak HTTP/2 with clients that can
    #[arg(
        long, env = "TEU_SERVE_HTTP2", action = ArgAction::Set, value_name = "BOOL", default_value = "true",
        num_args = 0..=1, require_equals = true, default_missing_value = "true", hide_possible_values = true,
        value_parser = BoolishValueParser::new()
    )]
    pub(crate) http2: bool,
}

/// What is written on standard error.
#[derive(Debug, Args)]
#[command(next_help_heading = "The log")]
pub(crate) struct Log {
    /// How lines are written, text or json; else as --progress says
    #[arg(
        long = "log-format",
        value_name = "FORM",
        hide_possible_values = true,
        env = "TEU_SERVE_LOG_FORMAT"
    )]
    pub(crate) format: Option<LogFormat>,
    /// Which requests have a line: all, failures (those that the server is to blame for) or none; else as --progress says
    #[arg(
        long = "log-requests",
        value_name = "WHICH",
        hide_possible_values = true,
        env = "TEU_SERVE_LOG_REQUESTS"
    )]
    pub(crate) requests: Option<LogRequests>,
}

/// How lines of the log are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    // For people
    Text,
    // For programs
    Json,
}

/// Which requests have a line in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogRequests {
    // Every one
    All,
    // Those that failed on our side
    Failures,
    // No request
    None,
}

/// How much a client may ask for.
#[derive(Debug, Args)]
#[command(next_help_heading = "Limits")]
pub(crate) struct Limits {
    /// The largest manifest, no more than 4MiB
    #[arg(long, value_name = "SIZE", default_value = "4MiB", env = "TEU_SERVE_MAX_MANIFEST")]
    pub(crate) max_manifest: Bytes,
    /// The most tags that one push sets
    #[arg(long, value_name = "COUNT", default_value = "100", env = "TEU_SERVE_MAX_TAGS")]
    pub(crate) max_tags: usize,
    /// The most items of a list that one answer has
    #[arg(long, value_name = "COUNT", default_value = "10000", env = "TEU_SERVE_MAX_PAGE")]
    pub(crate) max_page: usize,
    /// The most tags of a layout that are listed
    #[arg(long, value_name = "COUNT", default_value = "1000000", env = "TEU_SERVE_MAX_LISTED")]
    pub(crate) max_listed: usize,
    /// The most uploads that are written at once
    #[arg(long, value_name = "COUNT", default_value = "1000", env = "TEU_SERVE_MAX_UPLOADS")]
    pub(crate) max_uploads: usize,
    /// The most uploads that are kept, of which parts came
    #[arg(
        long,
        value_name = "COUNT",
        default_value = "10000",
        env = "TEU_SERVE_MAX_UPLOADS_KEPT"
    )]
    pub(crate) max_uploads_kept: u64,
    /// The most connections; more wait
    #[arg(
        long,
        value_name = "COUNT",
        default_value = "1000",
        env = "TEU_SERVE_MAX_CONNECTIONS"
    )]
    pub(crate) max_connections: usize,
    /// The most requests at once on a connection of HTTP/2
    #[arg(long, value_name = "COUNT", default_value = "100", env = "TEU_SERVE_MAX_STREAMS")]
    pub(crate) max_streams: u32,
    /// The largest head of a request
    #[arg(long, value_name = "SIZE", default_value = "64KiB", env = "TEU_SERVE_MAX_HEAD")]
    pub(crate) max_head: Bytes,
    /// The most header fields of a request
    #[arg(long, value_name = "COUNT", default_value = "100", env = "TEU_SERVE_MAX_HEADERS")]
    pub(crate) max_headers: usize,
    /// How long nothing may come of a request's content
    #[arg(long, value_name = "TIME", default_value = "1m", env = "TEU_SERVE_IDLE_BODY")]
    pub(crate) idle_body: Time,
    /// How long a connection may be silent, and how long it waits for the next request
    #[arg(long, value_name = "TIME", default_value = "5m", env = "TEU_SERVE_IDLE_CONNECTION")]
    pub(crate) idle_connection: Time,
    /// How long the file of an upload stays open that nobody goes on with; of a layout's, how long the upload is kept
    #[arg(long, value_name = "TIME", default_value = "1h", env = "TEU_SERVE_IDLE_UPLOAD")]
    pub(crate) idle_upload: Time,
    /// How long an upload is kept that nobody goes on with
    #[arg(long, value_name = "TIME", default_value = "24h", env = "TEU_SERVE_IDLE_UPLOAD_KEPT")]
    pub(crate) idle_upload_kept: Time,
    /// How long a client may take to send a request's head, or to agree on TLS
    #[arg(long, value_name = "TIME", default_value = "30s", env = "TEU_SERVE_TIME_HEAD")]
    pub(crate) time_head: Time,
    /// How long what is under way may take to end when the server stops, or a client's certificate is withdrawn
    #[arg(long, value_name = "TIME", default_value = "10s", env = "TEU_SERVE_TIME_STOP")]
    pub(crate) time_stop: Time,
}

/// Where connections are waited for: `127.0.0.1:5000`, `[::1]:5000`, `localhost:5000`, or `:5000` for all addresses of this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Listen(pub(crate) SocketAddr);

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("{text:?} is no address and port; write one such as 127.0.0.1:5000, [::1]:5000 or :5000");
        if let Ok(address) = text.parse() {
            return Ok(Self(address));
        }
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let port: u16 = port.parse().map_err(|_| wrong())?;
        match host {
            // It takes those of IPv4 too.
            "" => Ok(Self(SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port))),
            host if host
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b".-".contains(&byte)) =>
            {
                let found = (host, port).to_socket_addrs();
                let mut found = found.map_err(|error| format!("{host} is no host of this machine: {error}"))?;
                found.next().map(Self).ok_or_else(wrong)
            }
            _ => Err(wrong()),
        }
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// The command line in which a setting that is or is not may also be told not to be: where a file says that it is, `--NAME=false` says otherwise.
/// Variables stand in no help: they follow from the names of flags.
pub(crate) fn switches(command: Command) -> Command {
    command.mut_subcommand("serve", |serve| {
        let serve = serve.mut_args(|argument| {
            if argument.get_env().is_none() {
                return argument;
            }
            let argument = argument.hide_env(true);
            match argument.get_action() {
                ArgAction::SetTrue => argument
                    .action(ArgAction::Set)
                    .value_name("BOOL")
                    .num_args(0..=1)
                    .require_equals(true)
                    .default_value("false")
                    .default_missing_value("true")
                    .hide_default_value(true)
                    .hide_possible_values(true)
                    .value_parser(BoolishValueParser::new()),
                _ => argument,
            }
        });
        serve.mut_subcommands(|below| {
            below.mut_args(|argument| match argument.get_env() {
                Some(_) => argument.hide_env(true),
                None => argument,
            })
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_operators_write_them() {
        for (text, expected) in [
            ("127.0.0.1:5000", Some("127.0.0.1:5000")),
            ("[::1]:0", Some("[::1]:0")),
            (":5000", Some("[::]:5000")),
            ("", None),
            ("5000", None),
            ("127.0.0.1", None),
            ("::1:5000", None),
            ("127.0.0.1:", None),
            ("127.0.0.1:65536", None),
            ("a b:1", None),
            ("unix:/run/x", None),
        ] {
            let read: Result<Listen, String> = text.parse();
            match (read, expected) {
                (Ok(listen), Some(expected)) => assert_eq!(listen.to_string(), expected, "{text}"),
                (Err(error), None) => assert!(error.contains(text), "{error}"),
                (read, expected) => panic!("{text}: {read:?}, and not {expected:?}"),
            }
        }
        let local: Listen = "localhost:5000".parse().expect("it is always there");
        assert!(local.0.ip().is_loopback() && local.0.port() == 5000);
    }
}
