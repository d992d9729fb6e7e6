//! How does registry:2 keep what it was given? In files alone: a [`Distribution`] reads such a directory, and writes one, so that what is in one
//! registry can go on in the other.
//!
//! Below `docker/registry/v2` of its `rootdirectory`, content lies once for all repositories in `blobs/<algorithm>/<2 hex>/<hex>/data`. What
//! a repository shows is said by files called `link`, each of which has a digest in it: `repositories/<name>/_layers/<algorithm>/<hex>/link` for
//! blobs, `_manifests/revisions/<algorithm>/<hex>/link` for manifests, `_manifests/tags/<tag>/current/link` for tags.
//!
//! Nothing that lies there is trusted. No symbolic link is gone through below the directory that was given, only regular files answer, links
//! are digests or errors, names are those of repositories and tags or passed over, and content is checked by whoever reads it.

mod read;
mod walk;
mod write;

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use teu_spec::{Algorithm, Digest, Repository as RepositoryName};
use teu_store::{BoxFuture, Error, ErrorKind, Intent, Keyset, Page, Repositories, Result, Sessions, Store, blocking};

use crate::content::{
    Content, Files,
    directory::{Directory, failed},
    files::Naming,
};
use read::Repository;

/// What leads from registry:2's `rootdirectory` to what it keeps.
const WAY: [&str; 3] = ["docker", "registry", "v2"];
const REPOSITORIES: &str = "repositories";
const BLOBS: &str = "blobs";

/// The directory of a registry:2, to read and, where it was opened so, to write. Clones are the same place.
#[derive(Clone)]
pub struct Distribution(Arc<Inner>);

struct Inner {
    /// What it is called in errors.
    path: PathBuf,
    blobs: Directory,
    repositories: Directory,
    /// Where blobs are written; none where nothing may be.
    files: Option<Files>,
    /// Held while names are looked at and set.
    naming: Mutex<()>,
}

/// What there is below a registry's directory of repositories.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The repositories, in byte order.
    pub repositories: Vec<String>,
    /// Paths that are none, and what is below them: names that a repository cannot have, symbolic links, files.
    pub odd: Vec<String>,
}

impl Distribution {
    /// The directory of a registry, as its `rootdirectory` has it, to read. Nothing is written.
    ///
    /// # Errors
    /// `NotFound` where there is none; `Invalid` where a symbolic link lies in the place of something of it.
    pub async fn open(root: &Path) -> Result<Self> {
        let path = root.to_owned();
        blocking::run(move || {
            let missing = |what: &str| {
                let message = format!(
                    "{} has no {what}: give the rootdirectory of a registry, as its configuration has it",
                    path.display()
                );
                Error::new(ErrorKind::NotFound, message)
            };
            let home = Directory::open(&path)?.descend(&WAY)?;
            let home = home.ok_or_else(|| missing("docker/registry/v2"))?;
            // A registry to which nothing was pushed has made neither.
            let part = |name: &str| -> Result<Directory> {
                let found = home.directory(name)?;
                found.ok_or_else(|| missing(&format!("docker/registry/v2/{name}")))
            };
            Ok(Self(Arc::new(Inner {
                blobs: part(BLOBS)?,
                repositories: part(REPOSITORIES)?,
                files: None,
                naming: Mutex::default(),
                path,
            })))
        })
        .await
    }

    /// The same to write to, made where it is not there. What is made others may read as far as the process's umask lets them, since
    /// the registry runs as whom it will. No other writer may be at work, nor the registry.
    ///
    /// # Errors
    /// As of [`open`](Self::open); `Conflict` where other things are in the directory.
    pub async fn create(root: &Path) -> Result<Self> {
        let path = root.to_owned();
        let this = blocking::run(move || {
            std::fs::create_dir_all(&path).map_err(|error| failed(error, "making", &path))?;
            let root = Directory::open(&path)?.shared();
            let names = root.all_names()?;
            if !names.is_empty() && !names.iter().any(|name| name == WAY[0]) {
                let message = format!("{} is not empty, and no registry's directory", path.display());
                return Err(Error::new(ErrorKind::Conflict, message));
            }
            let home = root.make_all(&WAY)?;
            let (blobs, repositories) = (home.make(BLOBS)?, home.make(REPOSITORIES)?);
            Ok(Self(Arc::new(Inner {
                blobs,
                repositories,
                files: Some(Files::named(home, Naming::Distribution)?),
                naming: Mutex::default(),
                path,
            })))
        })
        .await?;
        // What one that was killed left, blobs and manifests, as nobody else is at work.
        if let Some(files) = &this.0.files {
            let left = files.begun().await?;
            for name in left
                .into_iter()
                .filter(|name| ["b-", "i-", "m-"].iter().any(|kind| name.starts_with(kind)))
            {
                files.forget(&name).await?;
            }
        }
        Ok(this)
    }

    /// The repositories, and what lies among them and is none.
    ///
    /// # Errors
    /// `TooLarge` where there are more directories than anybody has.
    pub async fn found(&self) -> Result<Found> {
        let inner = Arc::clone(&self.0);
        blocking::run(move || walk::found(&inner.repositories)).await
    }

    fn repository(&self, name: &str) -> Repository {
        Repository {
            inner: Arc::clone(&self.0),
            name: name.to_owned(),
        }
    }
}

impl Inner {
    /// Content of a digest, as an open regular file.
    fn content(&self, digest: &Digest) -> Result<Option<std::fs::File>> {
        let hex = digest.hex();
        // Every digest has more than one byte.
        let shard = hex.get(..2).unwrap_or_default();
        match self.blobs.descend(&[digest.algorithm().as_str(), shard, &hex])? {
            Some(directory) => directory.file("data", false),
            None => Ok(None),
        }
    }
}

/// The directory of a digest below one of links.
fn of_digest<'a>(above: &[&'a str], algorithm: Algorithm, hex: &'a str) -> Vec<&'a str> {
    above.iter().copied().chain([algorithm.as_str(), hex]).collect()
}

impl Repositories for Distribution {
    fn open<'a>(&'a self, repository: &'a str, intent: Intent) -> BoxFuture<'a, Result<Arc<dyn Store>>> {
        Box::pin(async move {
            RepositoryName::check_path(repository)?;
            let store = self.repository(repository);
            let is_there = match intent {
                Intent::Write => true,
                Intent::Read => store.is_there()?,
            };
            if !is_there {
                let message = format!("there is no repository {repository} in {}", self.0.path.display());
                return Err(Error::new(ErrorKind::NotFound, message));
            }
            Ok(Arc::new(store) as Arc<dyn Store>)
        })
    }

    fn repositories<'a>(&'a self, part: Keyset<'a>) -> BoxFuture<'a, Result<Page<String>>> {
        Box::pin(async move {
            let found = self.found().await?;
            Ok(part.of(found.repositories.iter().map(String::as_str)))
        })
    }

    fn holders<'a>(&'a self, blob: &'a Digest, part: Keyset<'a>) -> BoxFuture<'a, Result<Page<String>>> {
        let (this, blob) = (self.clone(), *blob);
        Box::pin(async move {
            let holders = blocking::run(move || {
                let mut holders = Vec::new();
                for name in walk::found(&this.0.repositories)?.repositories {
                    if this.repository(&name).blob(&blob)?.is_some() {
                        holders.push(name);
                    }
                }
                Ok(holders)
            });
            Ok(part.of(holders.await?.iter().map(String::as_str)))
        })
    }

    fn sessions(&self) -> Option<&dyn Sessions> {
        None
    }
}

#[cfg(test)]
mod tests;
