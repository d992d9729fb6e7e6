//! Who are we to a registry, as files and helpers know it? [`Credentials`], in skopeo's order; how a login is kept and forgotten is the
//! question of [`AuthFile`].
//!
//! ```no_run
//! use teu_transport::remote::credentials::{AuthPaths, Credentials};
//!
//! # async fn example() -> teu_store::Result<()> {
//! let paths = AuthPaths {
//!     home: Some("/home/user".into()),
//!     ..AuthPaths::default()
//! };
//! let credentials = Credentials::of(&paths);
//! let who = credentials.find("quay.io", Some("team/app")).await?;
//! # Ok(())
//! # }
//! ```

use std::path::PathBuf;

use teu_spec::Repository;
use teu_store::{BoxFuture, Result, blocking};

use super::{
    auth_file::{Entry, read},
    credential_helper::{Helper, HelperName, HelperSettings, servers},
    settings::{Credential, CredentialSource},
};

pub use super::auth_file::{AuthFile, AuthFormat, Keeper};

/// The directories that files of credentials are in. The environment is the caller's to read.
#[derive(Clone, Debug, Default)]
pub struct AuthPaths {
    /// `--authfile`, else `REGISTRY_AUTH_FILE`: where it is given, it is the only one.
    pub given: Option<PathBuf>,
    /// `XDG_RUNTIME_DIR`.
    pub runtime: Option<PathBuf>,
    /// The number of the user, for `/run/containers/UID` where there is no `XDG_RUNTIME_DIR`.
    pub user: Option<u32>,
    /// `XDG_CONFIG_HOME`; without it `.config` in the home.
    pub config: Option<PathBuf>,
    /// `DOCKER_CONFIG`; without it `.docker` in the home.
    pub docker: Option<PathBuf>,
    /// The home.
    pub home: Option<PathBuf>,
}

impl AuthPaths {
    /// The files in the order that they are asked; the first is where a login is kept.
    #[must_use]
    pub fn files(&self) -> Vec<AuthFile> {
        if let Some(path) = &self.given {
            return vec![AuthFile::new(path, AuthFormat::Containers)];
        }
        let under_home = |name: &str| self.home.as_ref().map(|home| home.join(name));
        let config = self.config.clone().or_else(|| under_home(".config"));
        let docker = self.docker.clone().or_else(|| under_home(".docker"));
        let runtime = match (&self.runtime, self.user) {
            (Some(runtime), _) => Some(runtime.join("containers/auth.json")),
            (None, user) => user.map(|user| PathBuf::from(format!("/run/containers/{user}/auth.json"))),
        };
        [
            (runtime, AuthFormat::Containers),
            (
                config.map(|config| config.join("containers/auth.json")),
                AuthFormat::Containers,
            ),
            (docker.map(|docker| docker.join("config.json")), AuthFormat::Docker),
            (under_home(".dockercfg"), AuthFormat::DockerLegacy),
        ]
        .into_iter()
        .filter_map(|(path, format)| Some(AuthFile::new(path?, format)))
        .collect()
    }
}

/// What is asked for a credential.
#[derive(Clone, Debug)]
pub enum Place {
    /// A file, and the helpers that it names. One that is absent knows nothing.
    File(AuthFile),
    /// A helper, for every registry: `credential-helpers` of registries.conf.
    Helper(HelperName),
}

/// Files and helpers that know who we are, in the order that they are asked.
#[derive(Clone, Debug, Default)]
pub struct Credentials {
    /// What is asked, the first first.
    pub places: Vec<Place>,
    /// How helpers are run.
    pub helpers: HelperSettings,
}

impl Credentials {
    /// The files of `paths`, with helpers from no directory until [`Self::helpers`] says from where.
    #[must_use]
    pub fn of(paths: &AuthPaths) -> Self {
        Self {
            places: paths.files().into_iter().map(Place::File).collect(),
            helpers: HelperSettings::default(),
        }
    }

    /// The credential for a repository of a registry, or for the registry as a whole; none where nothing knows one.
    ///
    /// The first place that has one decides. In a file, a helper that `credHelpers` names for the registry decides alone; else the longest
    /// part of `registry/path` that `auths` has; else the helper of `credsStore` is asked, by the registry.
    ///
    /// # Errors
    /// `Invalid` for a malformed file, naming it, and what kept a helper from answering: nobody is asked in its place, as another answer
    /// would be another's credential.
    pub async fn find(&self, registry: &str, repository: Option<&str>) -> Result<Option<Credential>> {
        for place in &self.places {
            let found = match place {
                Place::File(file) => self.find_in(file, registry, repository).await?,
                Place::Helper(name) => self.ask(name, registry).await?,
            };
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    async fn find_in(&self, file: &AuthFile, registry: &str, repository: Option<&str>) -> Result<Option<Credential>> {
        let key = match repository {
            Some(path) => Repository::new(registry, path)?.to_string(),
            None => registry.to_owned(),
        };
        let file = file.clone();
        let entry =
            blocking::run(move || read(&file)?.map_or(Ok(Entry::Absent), |content| content.entry(&key))).await?;
        match entry {
            Entry::Absent => Ok(None),
            Entry::Credential(credential) => Ok(Some(credential)),
            Entry::Helper(name) => self.ask(&name, registry).await,
        }
    }

    async fn ask(&self, name: &HelperName, registry: &str) -> Result<Option<Credential>> {
        let helper = Helper {
            name,
            settings: &self.helpers,
        };
        for server in servers(registry) {
            if let Some(credential) = helper.get(server).await? {
                return Ok(Some(credential));
            }
        }
        Ok(None)
    }
}

impl CredentialSource for Credentials {
    fn lookup<'a>(
        &'a self,
        registry: &'a str,
        repository: Option<&'a str>,
    ) -> BoxFuture<'a, Result<Option<Credential>>> {
        Box::pin(self.find(registry, repository))
    }
}
