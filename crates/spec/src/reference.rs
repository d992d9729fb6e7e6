//! What does a person call an image? [`Reference`], in skopeo's transports.

use std::path::PathBuf;

use crate::Digest;

/// A repository of a registry: `127.0.0.1:5000` and `library/alpine`. Both parts are valid and complete: Docker's defaults were applied.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Repository {
    pub(crate) registry: String,
    pub(crate) path: String,
}

impl Repository {
    /// The registry's host, with its port where one was given; `docker.io` for Docker's own.
    #[must_use]
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The path under the registry: `library/alpine`.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }
}

/// An image of a registry: `docker://registry/path:tag@digest`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RegistryReference {
    /// Where.
    pub repository: Repository,
    /// The tag, if one was given. The default `latest` is the reader's to apply where there is neither tag nor digest.
    pub tag: Option<String>,
    /// The digest, which decides where there is also a tag.
    pub digest: Option<Digest>,
}

/// Which image of a layout, an archive or an archive of Docker's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Pick {
    /// The only one, or an error that lists them.
    #[default]
    Only,
    /// The one of this name (`org.opencontainers.image.ref.name`, or a `name:tag` in Docker's archive).
    Name(String),
    /// The one at this place, counted from 0: `@N`.
    At(usize),
    /// The one of this digest: `@sha256:…`.
    Digest(Digest),
}

/// A string that says where an image is, read: transport and place.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reference {
    /// `docker://…`, and what has no transport.
    Registry(RegistryReference),
    /// `oci:path[:name|:@N]`.
    Layout {
        /// The directory.
        path: PathBuf,
        /// Which image.
        pick: Pick,
    },
    /// `oci-archive:path[:name|:@N]`.
    OciArchive {
        /// The tar file.
        path: PathBuf,
        /// Which image.
        pick: Pick,
    },
    /// `docker-archive:path[:name:tag|:@N]`.
    DockerArchive {
        /// The tar file.
        path: PathBuf,
        /// Which image.
        pick: Pick,
    },
    /// `dir:path`.
    Directory {
        /// The directory.
        path: PathBuf,
    },
    /// `docker-daemon:name:tag` or `docker-daemon:sha256:…`.
    DockerDaemon {
        /// What the daemon is asked for.
        image: String,
    },
}
