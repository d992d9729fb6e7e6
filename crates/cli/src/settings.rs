//! What do the environment and the global flags say? All of it is read here, once; no other module asks the environment.

use std::{
    env,
    ffi::OsString,
    fs,
    io::{self, IsTerminal},
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use futures_util::FutureExt as _;
use teu_image::unpack::Stop;
use teu_spec::{Platform, Reference};
use teu_store::{Error, ErrorKind, Partials, Result, copy::Ready};
use teu_transport::{
    policy::Policy,
    remote::{self, credential_helper::HelperSettings, credentials::AuthPaths, registries::RegistriesPaths},
};

use crate::{
    arguments::{Global, Output, Progress},
    say,
    threads::Threads,
};

/// What holds for the whole run.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) as_skopeo: bool,
    pub(crate) json: bool,
    pub(crate) progress: Progress,
    pub(crate) debug: bool,
    /// Whether results are coloured where they go to a terminal (no-color.org).
    pub(crate) colours: bool,
    policy: Option<PathBuf>,
    read_policy: OnceLock<Option<(PathBuf, Policy)>>,
    insecure_policy: bool,
    override_arch: Option<String>,
    override_os: Option<String>,
    override_variant: Option<String>,
    user_agent_prefix: Option<String>,
    pub(crate) token_realms: Vec<String>,
    registries_conf: Option<PathBuf>,
    /// What was said of TLS before the verb, for images of which nothing is said behind it.
    pub(crate) tls_verify: Option<bool>,
    pub(crate) temporary: PathBuf,
    /// Tells what makes files that nobody wants them any more.
    pub(crate) stop: Stop,
    /// Gives work more threads than one.
    pub(crate) threads: Threads,
    home: Option<PathBuf>,
    config_home: Option<PathBuf>,
    cache: Option<PathBuf>,
    data: Option<PathBuf>,
}

fn path(name: &str) -> Option<PathBuf> {
    env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

/// All variables whose names begin so, as far as they are text.
pub(crate) fn variables(prefix: &str) -> Vec<(String, String)> {
    let all = env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    all.filter(|(name, _)| name.starts_with(prefix)).collect()
}

/// Where registry:2's configuration is, where its command line does not say it.
pub(crate) fn registry_configuration() -> Option<OsString> {
    env::var_os("REGISTRY_CONFIGURATION_PATH")
}

/// A variable of the proxies, in lower case or in upper.
fn either(name: &str) -> Option<String> {
    let value = env::var(name.to_lowercase()).or_else(|_| env::var(name));
    value.ok().filter(|value| !value.is_empty())
}

impl Settings {
    pub(crate) fn read(global: &Global, as_skopeo: bool) -> Self {
        let home = path("HOME");
        let under_home = |name: &str| home.as_ref().map(|home| home.join(name));
        let progress = match global.progress {
            Progress::Auto if as_skopeo => Progress::None,
            Progress::Auto if io::stderr().is_terminal() && env::var_os("TERM").is_none_or(|term| term != "dumb") => {
                Progress::Tty
            }
            Progress::Auto => Progress::Plain,
            other => other,
        };
        Self {
            as_skopeo,
            json: global.output == Output::Json,
            progress,
            debug: global.debug,
            colours: path("NO_COLOR").is_none() && env::var_os("TERM").is_none_or(|term| term != "dumb"),
            policy: global.policy.clone(),
            read_policy: OnceLock::new(),
            insecure_policy: global.insecure_policy,
            override_arch: global.override_arch.clone(),
            override_os: global.override_os.clone(),
            override_variant: global.override_variant.clone(),
            user_agent_prefix: global.user_agent_prefix.clone(),
            token_realms: global.token_realms.clone(),
            registries_conf: global
                .registries_conf
                .clone()
                .or_else(|| path("CONTAINERS_REGISTRIES_CONF")),
            tls_verify: global.tls_verify,
            temporary: global
                .tmpdir
                .clone()
                .or_else(|| path("TMPDIR"))
                .unwrap_or_else(|| "/var/tmp".into()),
            config_home: path("XDG_CONFIG_HOME").or_else(|| under_home(".config")),
            cache: path("XDG_CACHE_HOME").or_else(|| under_home(".cache")),
            data: path("XDG_DATA_HOME").or_else(|| under_home(".local/share")),
            home,
            stop: Stop::default(),
            threads: Threads::default(),
        }
    }

    /// The machine that images are for, unless a verb was told another.
    pub(crate) fn platform(&self) -> Platform {
        let mut platform = Platform::host();
        if let Some(os) = &self.override_os {
            platform.os.clone_from(os);
        }
        if let Some(architecture) = &self.override_arch {
            platform.architecture.clone_from(architecture);
            platform.variant.clear();
        }
        if let Some(variant) = &self.override_variant {
            platform.variant.clone_from(variant);
        }
        platform.normalized()
    }

    /// Refuses an image that the policy does not allow. Where there is no policy every image is taken.
    pub(crate) fn check_policy(&self, reference: &Reference) -> Result<()> {
        if self.insecure_policy {
            return Ok(());
        }
        let Some((path, policy)) = self.known_policy()? else {
            return Ok(());
        };
        policy.check(reference).map_err(|error| of_policy(error, path))
    }

    /// The policy and its file, which is read once.
    fn known_policy(&self) -> Result<Option<&(PathBuf, Policy)>> {
        if let Some(known) = self.read_policy.get() {
            return Ok(known.as_ref());
        }
        let found = match &self.policy {
            Some(path) => Some((path.clone(), fs::read(path).map_err(|error| unreadable(error, path))?)),
            None => self.usual_policy()?,
        };
        let read = found.map(|(path, raw)| match Policy::parse(&raw) {
            Ok(policy) => Ok((path, policy)),
            Err(error) => Err(of_policy(error, &path)),
        });
        let read = read.transpose()?;
        Ok(self.read_policy.get_or_init(|| read).as_ref())
    }

    fn usual_policy(&self) -> Result<Option<(PathBuf, Vec<u8>)>> {
        let own = self
            .home
            .as_ref()
            .map(|home| home.join(".config/containers/policy.json"));
        for path in own.into_iter().chain([PathBuf::from("/etc/containers/policy.json")]) {
            match fs::read(&path) {
                Ok(raw) => return Ok(Some((path, raw))),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(unreadable(error, &path)),
            }
        }
        Ok(None)
    }

    /// What the registry client is told, without what holds for one registry.
    pub(crate) fn remote(&self) -> remote::Settings {
        let mut settings = remote::Settings::default();
        if let Some(prefix) = &self.user_agent_prefix {
            settings.user_agent = format!("{prefix} {}", settings.user_agent);
        }
        let (file, directory) = (path("SSL_CERT_FILE"), path("SSL_CERT_DIR"));
        if file.is_some() || directory.is_some() {
            settings.roots = remote::Roots::Paths {
                files: file.into_iter().collect(),
                directories: directory.into_iter().collect(),
            };
        }
        settings.proxies = remote::Proxies {
            http: either("HTTP_PROXY"),
            https: either("HTTPS_PROXY"),
            none_for: either("NO_PROXY").unwrap_or_default(),
        };
        settings
    }

    /// Where it is remembered what layers became when they were compressed anew.
    pub(crate) fn recompressed(&self) -> Option<PathBuf> {
        self.cache.as_ref().map(|cache| cache.join("teu/recompressed"))
    }

    /// Where files say something of registries, in skopeo's places.
    pub(crate) fn files(&self) -> remote::Files {
        let containers = |name: &str| self.config_home.as_ref().map(|home| home.join("containers").join(name));
        let system = |name: &str| PathBuf::from("/etc/containers").join(name);
        let own_certificates = self.home.as_ref().map(|home| home.join(".config/containers/certs.d"));
        remote::Files {
            registries: RegistriesPaths {
                given: self.registries_conf.clone(),
                user: containers("registries.conf"),
                system: Some(system("registries.conf")),
                directories: [system("registries.conf.d")]
                    .into_iter()
                    .chain(containers("registries.conf.d"))
                    .collect(),
                aliases: self
                    .cache
                    .as_ref()
                    .map(|cache| cache.join("containers/short-name-aliases.conf")),
            },
            auth: AuthPaths {
                // --authfile and REGISTRY_AUTH_FILE come with the verb.
                given: None,
                runtime: path("XDG_RUNTIME_DIR"),
                user: Some(rustix::process::getuid().as_raw()),
                config: self.config_home.clone(),
                docker: path("DOCKER_CONFIG"),
                home: self.home.clone(),
            },
            helpers: HelperSettings {
                directories: env::var_os("PATH").map_or_else(Vec::new, |path| env::split_paths(&path).collect()),
                ..HelperSettings::default()
            },
            certificates: own_certificates
                .into_iter()
                .chain([system("certs.d"), "/etc/docker/certs.d".into()])
                .collect(),
        }
    }

    /// Where the beginnings of blobs are kept that their destination cannot keep.
    pub(crate) fn partials(&self) -> Option<Arc<dyn Partials>> {
        let directory = self.cache.as_ref()?.join("teu/partials");
        Some(Arc::new(teu_transport::partials::Partials::new(directory)))
    }

    /// How a copy gets ready to bring something.
    pub(crate) fn ready(&self) -> Ready {
        let threads = self.threads.clone();
        Ready::new(move || {
            let threads = threads.clone();
            async move { threads.wanted().await }.boxed()
        })
    }

    /// Where `serve` keeps what is pushed, if it is told nothing.
    pub(crate) fn registry(&self) -> Option<PathBuf> {
        self.data.as_ref().map(|data| data.join("teu/registry"))
    }

    /// Where the tables of contents of layers are kept.
    pub(crate) fn contents(&self) -> Option<PathBuf> {
        self.cache.as_ref().map(|cache| cache.join("teu/contents"))
    }

    /// Says something that stops nothing.
    pub(crate) fn warn(&self, message: &str) {
        say::warn(self.as_skopeo, message);
    }
}

fn of_policy(error: Error, path: &Path) -> Error {
    error.within(format!("policy {}", path.display()))
}

fn unreadable(error: io::Error, path: &Path) -> Error {
    // A policy that was asked for and is not there is no image that is not there.
    Error::new(
        ErrorKind::Invalid,
        format!("{} cannot be read: {error}", path.display()),
    )
}
