//! Which registry, and which repository of it? [`Client`], [`Registry`] and [`Repository`], and how they come from one another.

use std::{
    fmt,
    sync::{Arc, atomic::AtomicBool},
};

use teu_store::Result;
use url::Url;

use super::settings::{Access, Settings};

/// What is common to all registries.
#[derive(Clone)]
pub struct Client {
    settings: Arc<Settings>,
}

impl Client {
    /// A client. Nothing is read or connected to before it is needed.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            settings: Arc::new(settings),
        }
    }

    /// The registry `name`: `host` or `host:port`, as in [`teu_spec::Repository::registry`]. `docker.io` is where Docker keeps it,
    /// `registry-1.docker.io`.
    ///
    /// # Errors
    /// `Invalid` where it is no name of a host.
    pub fn registry(&self, name: &str, access: Access) -> Result<Registry> {
        Registry::new(self.settings.clone(), name, access)
    }
}

/// One registry, spoken to as one user.
#[derive(Clone)]
pub struct Registry {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub(super) settings: Arc<Settings>,
    pub(super) name: String,
    pub(super) host: String,
    pub(super) access: Access,
}

impl Registry {
    fn new(settings: Arc<Settings>, name: &str, access: Access) -> Result<Self> {
        // Any path would do: it is the host that is checked.
        let checked = teu_spec::Repository::new(name, "check")?;
        let name = checked.registry().to_owned();
        let host = match name.as_str() {
            "docker.io" => "registry-1.docker.io".to_owned(),
            _ => name.clone(),
        };
        Ok(Self {
            inner: Arc::new(Inner {
                settings,
                name,
                host,
                access,
            }),
        })
    }

    /// Its name, as it was given.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// One of its repositories, by path: `library/alpine`.
    ///
    /// # Errors
    /// `Invalid` where the path is none that distribution-spec allows.
    pub fn repository(&self, path: &str) -> Result<Repository> {
        teu_spec::Repository::check_path(path)?;
        Ok(Repository {
            registry: self.clone(),
            path: path.into(),
            writes: Arc::new(AtomicBool::new(false)),
        })
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Registry").field(&self.inner.name).finish()
    }
}

/// One repository: a store of manifests, blobs and tags.
#[derive(Clone)]
pub struct Repository {
    pub(super) registry: Registry,
    pub(super) path: Arc<str>,
    /// Whether anything was written yet: then tokens are asked for that let one write, so that one token does for all that follows.
    pub(super) writes: Arc<AtomicBool>,
}

impl Repository {
    /// The registry that it is of.
    #[must_use]
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Its path: `library/alpine`.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.registry.inner.name, self.path)
    }
}

impl fmt::Debug for Repository {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Repository({self})")
    }
}
