//! Which place does a reference mean? A string becomes a store.
//!
//! A program reads the environment, says by [`Files`] where the files are that tell of registries, and by [`Options`] what a person said of
//! each end. The rest happens here: short names, mirrors, blocked and insecure registries, certificates and credentials.
//!
//! ```no_run
//! use teu_spec::Reference;
//! use teu_transport::{
//!     locate::{Locator, Options},
//!     remote::{Client, Files, Given, Settings, credentials::AuthPaths, registries::RegistriesPaths},
//! };
//!
//! # fn example() -> teu_store::Result<()> {
//! let files = Files {
//!     registries: RegistriesPaths {
//!         system: Some("/etc/containers/registries.conf".into()),
//!         ..RegistriesPaths::default()
//!     },
//!     auth: AuthPaths {
//!         home: Some("/home/user".into()),
//!         ..AuthPaths::default()
//!     },
//!     certificates: vec!["/etc/containers/certs.d".into(), "/etc/docker/certs.d".into()],
//!     ..Files::default()
//! };
//! let locator = Locator::with_files(Client::new(Settings::default()), files);
//! let options = Options {
//!     registry: Given {
//!         tls_verify: Some(false),
//!         ..Given::default()
//!     },
//!     ..Options::default()
//! };
//! let (source, pick) = locator.source(&Reference::parse("docker://registry.example/app:1")?, options)?;
//! # Ok(())
//! # }
//! ```

use std::{path::PathBuf, sync::Arc};

use teu_spec::{Pick, Reference, RegistryReference};
use teu_store::{Error, ErrorKind, Events, Result, Source, Store, Target, copy::Imagined};

use crate::{
    directory::Directory,
    docker_archive::{DockerArchive, DockerArchiveWriter},
    layout::Layout,
    oci_archive::{OciArchive, OciArchiveWriter},
    remote::{Client, Files, Given, Reach, Repository},
};

/// What holds for one end of a copy.
#[derive(Clone, Default)]
pub struct Options {
    /// What a person said of its registry.
    pub registry: Given,
    /// Where a layout's blobs are, if not within it.
    pub shared_blobs: Option<PathBuf>,
    /// Names beside the reference's own, for the places that can give several: whole names for Docker's archive, as podman and docker
    /// have them.
    pub additional_names: Vec<String>,
    /// Where files without names may be, such as a compressed archive while it is read. Without it such an archive is refused.
    pub temporary: Option<PathBuf>,
}

/// Finds places. Clones share their connections.
#[derive(Clone)]
pub struct Locator {
    reach: Reach,
    events: Events,
}

impl Locator {
    /// A locator whose registries are reached by `client`, whatever files say of them.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self::with_files(client, Files::default())
    }

    /// The same with what `files` say of registries, which are read when the first of them is asked for.
    #[must_use]
    pub fn with_files(client: Client, files: Files) -> Self {
        Self {
            events: client.events(),
            reach: Reach::new(client, files),
        }
    }

    /// How registries are reached: for what is no place, such as a login.
    #[must_use]
    pub fn reach(&self) -> &Reach {
        &self.reach
    }

    /// Where to read, and what. A registry's mirrors are tried before it.
    ///
    /// # Errors
    /// `NotFound` where there is no such file or directory; `Unsupported` for a transport that is not built in; as of [`Reach::source`].
    pub fn source(&self, reference: &Reference, options: Options) -> Result<(Arc<dyn Source>, Pick)> {
        Ok(match reference {
            Reference::Registry(image) => (self.reach.source(image, &options.registry)?, pick(image)),
            Reference::Layout { path, pick } => (Arc::new(Layout::open(path, options.shared_blobs)?), pick.clone()),
            Reference::Directory { path } => (Arc::new(Directory::open(path)?), Pick::Only),
            Reference::OciArchive { path, pick } => {
                (Arc::new(OciArchive::open(path, options.temporary)?), pick.clone())
            }
            Reference::DockerArchive { path, pick } => {
                (Arc::new(DockerArchive::open(path, options.temporary)?), pick.clone())
            }
            other => return Err(unsupported(other, "read")),
        })
    }

    /// Where to write, and under which names.
    ///
    /// # Errors
    /// `Invalid` where the reference is none that something can be written to, such as `@N`; what keeps it from writing.
    pub fn target(&self, reference: &Reference, options: Options) -> Result<(Arc<dyn Target>, Vec<String>)> {
        Ok(match reference {
            Reference::Registry(image) => {
                let names = image.tag_or_latest().map(|tag| tag.as_str().to_owned());
                (Arc::new(self.repository(image, &options)?), names.into_iter().collect())
            }
            Reference::Layout { path, pick } => {
                let names = names(reference, pick)?;
                (
                    Arc::new(Layout::prepare(path, options.shared_blobs)?.telling(self.events.clone())),
                    names,
                )
            }
            Reference::Directory { path } => (Arc::new(Directory::create(path)?), Vec::new()),
            Reference::OciArchive { path, pick } => {
                let names = names(reference, pick)?;
                (Arc::new(OciArchiveWriter::create(path, options.temporary)?), names)
            }
            Reference::DockerArchive { path, pick } => {
                let mut names = names(reference, pick)?;
                names.extend(options.additional_names);
                (Arc::new(DockerArchiveWriter::create(path, options.temporary)?), names)
            }
            other => return Err(unsupported(other, "written")),
        })
    }

    /// As [`target`](Self::target), for a copy that is [rehearsed](teu_store::copy::Options::rehearse): an archive, which cannot be begun
    /// without writing, is an imagined one.
    ///
    /// # Errors
    /// As of [`target`](Self::target).
    pub fn rehearsed(&self, reference: &Reference, options: Options) -> Result<(Arc<dyn Target>, Vec<String>)> {
        let (pick, takes) = match reference {
            Reference::OciArchive { pick, .. } => (pick, OciArchiveWriter::TAKES),
            Reference::DockerArchive { pick, .. } => (pick, DockerArchiveWriter::TAKES),
            // These are made when something is first written.
            _ => return self.target(reference, options),
        };
        let mut names = names(reference, pick)?;
        if let Reference::DockerArchive { .. } = reference {
            names.extend(options.additional_names);
        }
        Ok((Arc::new(Imagined(takes)), names))
    }

    /// A place that is there already, to read and to change.
    ///
    /// # Errors
    /// As of [`source`](Self::source); `Unsupported` for what cannot be changed, such as an archive.
    pub fn store(&self, reference: &Reference, options: Options) -> Result<(Arc<dyn Store>, Pick)> {
        Ok(match reference {
            Reference::Registry(image) => (Arc::new(self.repository(image, &options)?), pick(image)),
            Reference::Layout { path, pick } => {
                let layout = Layout::open(path, options.shared_blobs)?.telling(self.events.clone());
                (Arc::new(layout), pick.clone())
            }
            Reference::Directory { path } => (Arc::new(Directory::open(path)?), Pick::Only),
            other => {
                let how = "changed in place; copy the image to a layout (oci:), and change that";
                return Err(unsupported(other, how));
            }
        })
    }

    /// A repository of a registry.
    ///
    /// # Errors
    /// As of [`Reach::repository`].
    pub fn repository(&self, image: &RegistryReference, options: &Options) -> Result<Repository> {
        self.reach.repository(image, &options.registry)
    }
}

fn pick(image: &RegistryReference) -> Pick {
    match (&image.digest, image.tag_or_latest()) {
        (Some(digest), _) => Pick::Digest(*digest),
        (None, Some(tag)) => Pick::Name(tag.as_str().to_owned()),
        (None, None) => Pick::Only,
    }
}

/// The names that a reference to a layout gives to what is written there.
fn names(reference: &Reference, pick: &Pick) -> Result<Vec<String>> {
    match pick {
        Pick::Only => Ok(Vec::new()),
        Pick::Name(name) => Ok(vec![name.clone()]),
        Pick::At(_) | Pick::Digest(_) => Err(Error::new(
            ErrorKind::Invalid,
            format!("{reference} names what is there already; write a name, or none, behind the path"),
        )),
    }
}

fn unsupported(reference: &Reference, how: &str) -> Error {
    if let Reference::DockerDaemon { .. } = reference {
        let message = "docker-daemon: is not supported yet; `docker save NAME -o FILE` writes and `docker load -i FILE` reads what \
                       docker-archive:FILE means";
        return Error::new(ErrorKind::Unsupported, message);
    }
    Error::new(
        ErrorKind::Unsupported,
        format!("{}: cannot be {how}", reference.transport()),
    )
}
