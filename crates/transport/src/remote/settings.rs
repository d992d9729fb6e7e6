//! What must the caller decide? Plain [`Settings`] for all registries, and [`Access`] for one of them.
//!
//! Nothing here is read from the environment or from files: the caller has read `auth.json`, `registries.conf`, `certs.d` and the proxies'
//! variables, and says here what they mean.

use std::{collections::HashMap, net::IpAddr, path::PathBuf, sync::Arc, time::Duration};

use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use teu_store::{BoxFuture, Events, Result, silent};

/// What holds for all registries.
#[derive(Clone)]
pub struct Settings {
    /// Sent as `User-Agent`.
    pub user_agent: String,
    /// Which certificate authorities are trusted, beside those of [`Tls::roots`].
    pub roots: Roots,
    /// Which proxies are used; none by default.
    pub proxies: Proxies,
    /// When and how often a failed request is tried again.
    pub retry: Retry,
    /// How long to wait for what.
    pub timeouts: Timeouts,
    /// How many blobs are downloaded from one registry at a time, and how many are uploaded to it.
    pub transfers_per_registry: usize,
    /// The addresses of hosts that are not looked up, by their names in lower case: what `/etc/hosts` is to the system.
    pub addresses: HashMap<String, Vec<IpAddr>>,
    /// Is told of retries and of warnings of registries.
    pub events: Events,
    /// Whether they are told of each request and its answer too ([`Event::Detail`](teu_store::Event::Detail)): to put that into words takes a twentieth of what
    /// a request takes.
    pub details: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            user_agent: concat!("teu/", env!("CARGO_PKG_VERSION")).to_owned(),
            roots: Roots::default(),
            proxies: Proxies::default(),
            retry: Retry::default(),
            timeouts: Timeouts::default(),
            transfers_per_registry: 16,
            addresses: HashMap::new(),
            events: silent(),
            details: false,
        }
    }
}

/// Which certificate authorities are trusted.
#[derive(Clone, Debug, Default)]
pub enum Roots {
    /// Those of the system, at the places where Linux distributions keep them.
    #[default]
    System,
    /// Those of these files and of all files of these directories, in PEM: what `SSL_CERT_FILE` and `SSL_CERT_DIR` name.
    Paths {
        /// Files of one certificate or more each.
        files: Vec<PathBuf>,
        /// Directories of such files.
        directories: Vec<PathBuf>,
    },
    /// These alone.
    Given(Vec<CertificateDer<'static>>),
}

/// Which proxies are used: what `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY` say. A URL may hold `user:password@`.
#[derive(Clone, Debug, Default)]
pub struct Proxies {
    /// For requests over plain HTTP.
    pub http: Option<String>,
    /// For requests over TLS.
    pub https: Option<String>,
    /// Hosts that are reached without a proxy: a list separated by commas, of names (with all below them, or only those for `.name`),
    /// addresses, each with a port where only that is meant, CIDR blocks, or `*`.
    pub none_for: String,
}

/// When and how often a failed request is tried again: after failures of the connection, 408, 429, 500, 502, 503 and 504, and only where the
/// request can be repeated without harm.
#[derive(Clone, Debug)]
pub struct Retry {
    /// How many times after the first; 0 for never.
    pub times: u32,
    /// The wait before the first repetition; it doubles with each, and a random part of up to half is taken off.
    pub delay: Duration,
    /// The longest wait, also where a registry's `Retry-After` asks for more.
    pub longest: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            times: 3,
            delay: Duration::from_millis(500),
            longest: Duration::from_secs(60),
        }
    }
}

/// How long to wait for what.
#[derive(Clone, Debug)]
pub struct Timeouts {
    /// For a connection, TLS included.
    pub connect: Duration,
    /// For the head of an answer, once the request was sent. Some registries move a blob to their storage before they answer its upload.
    pub answer: Duration,
    /// For the next bytes of a body, in either direction.
    pub idle: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(30),
            answer: Duration::from_secs(300),
            idle: Duration::from_secs(60),
        }
    }
}

/// What holds for one registry.
#[derive(Clone)]
pub struct Access {
    /// Whose certificate is trusted, and what is shown.
    pub tls: Tls,
    /// Whether plain HTTP may be spoken.
    pub plain_http: PlainHttp,
    /// Who we are; nobody by default.
    pub credentials: Option<Arc<dyn CredentialSource>>,
    /// Hosts, `host` or `host:port`, that this registry may send us to for a token, beside its own site.
    pub realms: Vec<String>,
    /// The size of the pieces in which blobs are uploaded to a registry that cannot take them whole; none for whole blobs.
    pub chunk: Option<u64>,
}

impl Default for Access {
    fn default() -> Self {
        Self {
            tls: Tls::default(),
            plain_http: PlainHttp::Never,
            credentials: None,
            realms: Vec::new(),
            chunk: None,
        }
    }
}

/// Whether plain HTTP may be spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PlainHttp {
    /// Only HTTPS.
    #[default]
    Never,
    /// Where HTTPS cannot be had: what skopeo's `--tls-verify=false` and registries.conf's `insecure` mean. A registry at `localhost` or a loopback address
    /// is asked by plain HTTP first, and by HTTPS before a password or token is said.
    Fallback,
    /// Only plain HTTP.
    Always,
}

/// Whose certificate is trusted, and what is shown.
#[derive(Clone, Debug, Default)]
pub struct Tls {
    /// Certificate authorities beside [`Settings::roots`]: the `*.crt` of `certs.d`.
    pub roots: Vec<CertificateDer<'static>>,
    /// The certificate to show where the registry asks: a pair of `*.cert` and `*.key` of `certs.d`. Only the registry's own host sees it.
    pub client: Option<Arc<ClientCertificate>>,
    /// Any certificate will do.
    pub skip_verify: bool,
}

/// A certificate with its chain, and its key.
#[derive(Debug)]
pub struct ClientCertificate {
    /// The certificate, then those that vouch for it.
    pub chain: Vec<CertificateDer<'static>>,
    /// The key.
    pub key: PrivateKeyDer<'static>,
}

/// Who we are to a registry.
#[derive(Clone, PartialEq, Eq)]
pub enum Credential {
    /// A user's name and password, or token in its place.
    Basic {
        /// The name.
        username: String,
        /// The password.
        password: String,
    },
    /// What `docker login` got from a token server in exchange for a password: auth.json's `identitytoken`.
    IdentityToken(String),
    /// A token for the registry itself: skopeo's `--registry-token`.
    Bearer(String),
}

/// Secrets stay out of logs (threat 97).
impl std::fmt::Debug for Credential {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Basic { .. } => "Basic",
            Self::IdentityToken(_) => "IdentityToken",
            Self::Bearer(_) => "Bearer",
        })
    }
}

/// Knows who we are.
pub trait CredentialSource: Send + Sync {
    /// The credential for a repository of a registry, both as in a [`teu_spec::Repository`]; for the registry as a whole, where `repository`
    /// is none. `Ok(None)` for nobody, which many registries let pull.
    ///
    /// It is asked once a repository, when the registry wants to know.
    ///
    /// # Errors
    /// What kept it from knowing, such as a credential helper that failed: the request that needed it fails too.
    fn lookup<'a>(
        &'a self,
        registry: &'a str,
        repository: Option<&'a str>,
    ) -> BoxFuture<'a, Result<Option<Credential>>>;
}

/// The same for every repository.
impl CredentialSource for Credential {
    fn lookup<'a>(&'a self, _: &'a str, _: Option<&'a str>) -> BoxFuture<'a, Result<Option<Credential>>> {
        Box::pin(std::future::ready(Ok(Some(self.clone()))))
    }
}
