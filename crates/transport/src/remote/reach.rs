//! How is the registry of an image reached, and as whom? By what files say, `registries.conf`, `auth.json` and `certs.d`, and what a person
//! said by flags, which goes before.
//!
//! What was given by hand is the registry's that the image is named of. A mirror, or another place that `registries.conf` has for a name,
//! sees it only where it is the same registry: a file that leads elsewhere must not lead a password there.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use teu_spec::RegistryReference;
use teu_store::{Error, ErrorKind, Result, Source};

use super::{
    certificates,
    client::{Client, Registry, Repository},
    credential_helper::HelperSettings,
    credentials::{AuthPaths, Credentials, Place},
    mirrors::{Mirrored, Site},
    registries::{Endpoint, Registries, RegistriesPaths, ShortNames},
    settings::{Access, Credential, PlainHttp},
};

/// Where files say something of registries. The environment is the caller's to read; what is left out says nothing.
#[derive(Clone, Debug, Default)]
pub struct Files {
    /// `registries.conf` and what belongs to it.
    pub registries: RegistriesPaths,
    /// `auth.json` and what belongs to it.
    pub auth: AuthPaths,
    /// How credential helpers are run.
    pub helpers: HelperSettings,
    /// The directories called `certs.d`, the first first.
    pub certificates: Vec<PathBuf>,
}

/// What a person said of a registry, by flags.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Given {
    /// Whether TLS must be, and be verified (skopeo's `--tls-verify`); where it is not said, `registries.conf` decides, and else it must.
    pub tls_verify: Option<bool>,
    /// Who we are (`--creds`, `--registry-token`); else files and helpers are asked.
    pub credential: Option<Credential>,
    /// That we are nobody (`--no-creds`).
    pub anonymous: bool,
    /// The file to ask for credentials, alone (`--authfile`).
    pub auth_file: Option<PathBuf>,
    /// The directory of certificates, in the place of `certs.d` (`--cert-dir`).
    pub certificates: Option<PathBuf>,
    /// See [`Access::realms`].
    pub realms: Vec<String>,
    /// See [`Access::chunk`].
    pub chunk: Option<u64>,
    /// Whether a name without a registry means what `registries.conf` says, and not always Docker's: for a reference without a transport,
    /// where teu is not called as skopeo.
    pub short_names: bool,
}

/// Reaches registries. Clones share their connections, and so do places of one registry that are reached in the same way.
#[derive(Clone)]
pub struct Reach(Arc<Inner>);

struct Inner {
    client: Client,
    files: Files,
    registries: Mutex<Option<Arc<Registries>>>,
    reached: Mutex<Vec<(Way, Registry)>>,
}

/// One way to one registry.
#[derive(Clone, PartialEq, Eq)]
struct Way {
    registry: String,
    insecure: bool,
    is_mirror: bool,
    given: Given,
}

impl Reach {
    /// By `client`, with what `files` say. They are read when the first registry is asked for.
    #[must_use]
    pub fn new(client: Client, files: Files) -> Self {
        Self(Arc::new(Inner {
            client,
            files,
            registries: Mutex::default(),
            reached: Mutex::default(),
        }))
    }

    /// What is known of registries: `registries.conf`, read once.
    ///
    /// # Errors
    /// As of [`Registries::read`].
    pub fn registries(&self) -> Result<Arc<Registries>> {
        let mut known = self.0.registries.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(registries) = &*known {
            return Ok(Arc::clone(registries));
        }
        let registries = Arc::new(Registries::read(&self.0.files.registries)?);
        Ok(Arc::clone(known.insert(registries)))
    }

    /// Where to read an image: its mirrors and its own place, tried in this order, as one source.
    ///
    /// # Errors
    /// `Denied` where the registry is blocked; `Invalid` for a name that may mean several images where one must be meant; what is wrong
    /// with a file.
    pub fn source(&self, image: &RegistryReference, given: &Given) -> Result<Arc<dyn Source>> {
        let registries = self.registries()?;
        let mut sites = Vec::new();
        for meaning in self.meanings(&registries, image, given, false)? {
            for endpoint in registries.sources(&meaning)? {
                let repository = self.repository_at(&endpoint, &meaning, given)?;
                sites.push(Site {
                    name: endpoint.reference.full(),
                    repository,
                });
            }
        }
        Ok(match sites.as_slice() {
            [only] => Arc::new(only.repository.clone()),
            _ => Arc::new(Mirrored::new(sites, self.0.client.events())),
        })
    }

    /// The repository that an image is in by its own name, to write to, to list and to change: mirrors are for reading.
    ///
    /// # Errors
    /// As of [`Self::source`].
    pub fn repository(&self, image: &RegistryReference, given: &Given) -> Result<Repository> {
        let registries = self.registries()?;
        let [meaning] = &self.meanings(&registries, image, given, true)?[..] else {
            return Err(Error::new(ErrorKind::Invalid, format!("{image} means no image")));
        };
        self.repository_at(&registries.destination(meaning)?, meaning, given)
    }

    /// The images that a name may mean. A password is nobody's guess, and neither is where to write.
    fn meanings(
        &self,
        registries: &Registries,
        image: &RegistryReference,
        given: &Given,
        one: bool,
    ) -> Result<Vec<RegistryReference>> {
        if !given.short_names {
            return Ok(vec![image.clone()]);
        }
        let candidates = registries.short_name(image)?;
        let must_be_one = one || given.credential.is_some() || candidates.mode == ShortNames::Enforcing;
        if must_be_one && candidates.references.len() > 1 {
            let names: Vec<String> = candidates.references.iter().map(RegistryReference::full).collect();
            let message = format!(
                "{image} may mean {}: registries.conf looks for short names in each; write one of them in full",
                names.join(" or ")
            );
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        Ok(candidates.references)
    }

    /// A repository of a registry, reached as is due to `image`, which is to be had there.
    fn repository_at(&self, endpoint: &Endpoint, image: &RegistryReference, given: &Given) -> Result<Repository> {
        let place = &endpoint.reference.repository;
        let mut given = given.clone();
        // Whether it is a short name has been decided, and is nothing by which registries differ.
        given.short_names = false;
        if place.registry() != image.repository.registry() {
            given.credential = None;
            given.certificates = None;
            given.realms = Vec::new();
        }
        let way = Way {
            registry: place.registry().to_owned(),
            insecure: given.tls_verify.map_or(endpoint.insecure, |verify| !verify),
            is_mirror: endpoint.mirror,
            given,
        };
        self.registry(way)?.repository(place.path())
    }

    fn registry(&self, way: Way) -> Result<Registry> {
        let mut reached = self.0.reached.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, registry)) = reached.iter().find(|(known, _)| *known == way) {
            return Ok(registry.clone());
        }
        let access = self.access(&way)?;
        let registry = match way.is_mirror {
            false => self.0.client.registry(&way.registry, access)?,
            true => self.0.client.mirror(&way.registry, access)?,
        };
        reached.push((way, registry.clone()));
        Ok(registry)
    }

    fn access(&self, way: &Way) -> Result<Access> {
        let given = &way.given;
        let mut access = Access {
            tls: match &given.certificates {
                Some(directory) => certificates::read(directory)?,
                None => certificates::look_up(&self.0.files.certificates, &way.registry)?,
            },
            realms: given.realms.clone(),
            chunk: given.chunk,
            ..Access::default()
        };
        if way.insecure {
            access.tls.skip_verify = true;
            access.plain_http = PlainHttp::Fallback;
        }
        access.credentials = match &given.credential {
            _ if given.anonymous => None,
            Some(credential) => Some(Arc::new(credential.clone())),
            None => Some(Arc::new(self.credentials(given)?)),
        };
        Ok(access)
    }

    /// What files and helpers know of us.
    ///
    /// # Errors
    /// As of [`Self::registries`], which may name helpers.
    pub fn credentials(&self, given: &Given) -> Result<Credentials> {
        let paths = AuthPaths {
            given: given.auth_file.clone().or_else(|| self.0.files.auth.given.clone()),
            ..self.0.files.auth.clone()
        };
        let files = || paths.files().into_iter().map(Place::File);
        let registries = self.registries()?;
        // A file that was given is asked alone.
        let helpers = registries.credential_helpers().filter(|_| paths.given.is_none());
        let places = match helpers {
            None => files().collect(),
            Some(helpers) => helpers
                .iter()
                .flat_map(|helper| match helper {
                    Some(name) => vec![Place::Helper(name.clone())],
                    None => files().collect(),
                })
                .collect(),
        };
        Ok(Credentials {
            places,
            helpers: self.0.files.helpers.clone(),
        })
    }
}
