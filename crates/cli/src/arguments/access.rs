//! What is `teu serve` told of who may do what?

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::Time;

/// What a server is called where nobody said otherwise.
pub(crate) const NAME: &str = "teu";
/// How long tokens are good, and those by which a client gets others, where nobody said otherwise.
const LIFETIME: &str = "5m";
const REFRESH: &str = "720h";

/// Who may do what. Without any of these everybody may do everything that the server does.
#[derive(Debug, Args)]
#[command(next_help_heading = "Who may do what")]
pub(crate) struct Access {
    /// Users and their passwords: an htpasswd file of bcrypt's hashes, as htpasswd -B makes it
    #[arg(long, value_name = "FILE", env = "TEU_SERVE_HTPASSWD")]
    pub(crate) htpasswd: Option<PathBuf>,
    /// What those who are asked for a password are told that it is for
    #[arg(long, value_name = "TEXT", default_value = NAME, env = "TEU_SERVE_REALM")]
    pub(crate) realm: String,
    /// Who may do what, in TOML (teu serve policy check says how it is written); without it whoever is known may do everything
    #[arg(long, value_name = "FILE", env = "TEU_SERVE_ACCESS_POLICY")]
    pub(crate) access_policy: Option<PathBuf>,
    /// Have clients get tokens here, by Docker's token protocol, and not send their password each time
    #[arg(long, env = "TEU_SERVE_TOKENS")]
    pub(crate) tokens: bool,
    /// Sign tokens with this key, for Ed25519 or P-256, in PEM; else with one that is made for each run
    #[arg(long, value_name = "FILE", env = "TEU_SERVE_TOKEN_KEY")]
    pub(crate) token_key: Option<PathBuf>,
    /// How long a token is good that is issued here, at most 24h
    #[arg(long, value_name = "TIME", default_value = LIFETIME, env = "TEU_SERVE_TOKEN_LIFETIME")]
    pub(crate) token_lifetime: Time,
    /// How long a client that logged in gets tokens without its password, with --token-key; 0 is never
    #[arg(long, value_name = "TIME", default_value = REFRESH, env = "TEU_SERVE_TOKEN_REFRESH")]
    pub(crate) token_refresh: Time,
    /// Believe tokens that another issues and signs with one of these keys: a JSON Web Key Set, or certificates in PEM
    #[arg(long, value_name = "FILE|URL", env = "TEU_SERVE_TOKEN_KEYS")]
    pub(crate) token_keys: Option<String>,
    /// How often keys are looked at again that are at a URL
    #[arg(
        long,
        value_name = "TIME",
        default_value = "15m",
        env = "TEU_SERVE_TOKEN_KEYS_INTERVAL"
    )]
    pub(crate) token_keys_interval: Time,
    /// Where clients get tokens; needed where another issues them, else it is /token of this server
    #[arg(long, value_name = "URL", env = "TEU_SERVE_TOKEN_URL")]
    pub(crate) token_url: Option<String>,
    /// What this registry is called in tokens
    #[arg(long, value_name = "NAME", default_value = NAME, env = "TEU_SERVE_TOKEN_SERVICE")]
    pub(crate) token_service: String,
    /// What the issuer of tokens is called in them
    #[arg(long, value_name = "NAME", default_value = NAME, env = "TEU_SERVE_TOKEN_ISSUER")]
    pub(crate) token_issuer: String,
}

impl Access {
    /// Whether somebody wants refresh tokens for longer or shorter than by default.
    pub(crate) fn sets_refresh(&self) -> bool {
        !self.token_refresh.0.is_zero() && is_other(&self.token_refresh, REFRESH)
    }

    /// A setting of tokens that somebody set to what is not its default.
    pub(crate) fn of_tokens(&self) -> Option<&'static str> {
        let all = [
            ("--token-url", self.token_url.is_some()),
            ("--token-service", self.token_service != NAME),
            ("--token-issuer", self.token_issuer != NAME),
            ("--token-lifetime", is_other(&self.token_lifetime, LIFETIME)),
            ("--token-refresh", self.sets_refresh()),
        ];
        all.into_iter().find_map(|(flag, is_set)| is_set.then_some(flag))
    }
}

fn is_other(time: &Time, default: &str) -> bool {
    default.parse().ok().is_none_or(|default: Time| time.0 != default.0)
}

/// Ask what a policy allows
#[derive(Debug, Args)]
pub(crate) struct Policy {
    #[command(subcommand)]
    pub(crate) verb: PolicyVerb,
}

/// What is done with a policy.
#[derive(Debug, Subcommand)]
pub(crate) enum PolicyVerb {
    Check(Check),
}

/// Say whether a policy allows something, and by which rule
#[derive(Debug, Args)]
#[command(after_help = "\
A policy is a list of rules, each of which allows; what none of them allows is denied. Users are those of the htpasswd
file, of tokens and of certificates (their common name); anonymous is everybody, logged in or not, * whoever logged in,
and @GROUP all of a group. In a pattern * stands for what is between slashes or a part of it, ** for any number of
parts. Pushing adds what is not there: to move a tag that is there takes overwrite too.

  [groups]
  ci = [\"builder\", \"nightly\"]

  [[rule]]
  who = [\"anonymous\"]
  repositories = [\"public/**\"]
  allow = [\"pull\", \"list\"]

  [[rule]]
  who = [\"alice\", \"@ci\"]
  repositories = [\"team/*\", \"base\"]
  allow = [\"pull\", \"push\", \"overwrite\", \"delete\", \"list\"]

The exit code is 0 where it is allowed, 1 where it is denied and 2 where the policy cannot be read.

Examples:
  teu serve policy check access.toml pull public/app
  teu serve policy check access.toml --user alice overwrite team/app")]
pub(crate) struct Check {
    /// The policy
    #[arg(value_name = "FILE")]
    pub(crate) policy: PathBuf,
    /// What is to be done
    #[arg(value_name = "pull|push|overwrite|delete|list")]
    pub(crate) action: String,
    /// In which repository
    #[arg(value_name = "REPOSITORY")]
    pub(crate) repository: String,
    /// Who wants to; nobody in particular where that is not said
    #[arg(long, value_name = "NAME")]
    pub(crate) user: Option<String>,
}
