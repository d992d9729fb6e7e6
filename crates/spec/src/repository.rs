//! What is an image of a registry called? [`Repository`], [`Tag`] and [`RegistryReference`], by distribution-spec's grammar and
//! Docker's short forms.
//!
//! Nothing here exists unvalidated: a name that a server lists or a request asks for is checked by the same functions as one that a
//! person types (threats 76, 95). What is no name is refused with a reason, never mended.

use std::{borrow::Borrow, fmt, net::Ipv6Addr, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{Digest, Error};

/// Docker's own registry, which a name without a registry means.
const DEFAULT_REGISTRY: &str = "docker.io";
/// The older spelling of [`DEFAULT_REGISTRY`].
const LEGACY_REGISTRY: &str = "index.docker.io";
/// Where Docker's registry keeps the names that have no slash.
const OFFICIAL: &str = "library/";

/// The longest registry and path together, with the slash: what clients accept by distribution-spec, "Pulling manifests".
pub const MAX_REPOSITORY: usize = 255;
/// The longest tag, by distribution-spec's grammar.
pub const MAX_TAG: usize = 128;

/// A repository of a registry: `127.0.0.1:5000` and `library/alpine`. Both parts are valid and complete: Docker's defaults were applied.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Repository {
    registry: String,
    path: String,
}

impl Repository {
    /// The repository `path` of `registry`, with no defaults applied, but that `index.docker.io` is `docker.io`.
    ///
    /// # Errors
    /// [`Error::Reference`] where either is not valid.
    pub fn new(registry: &str, path: &str) -> Result<Self, Error> {
        let whole = || format!("{registry}/{path}");
        check_registry(registry).map_err(|reason| invalid(&whole(), reason))?;
        path_reason(path).map_err(|reason| invalid(&whole(), reason))?;
        Self::bounded(registry, path).map_err(|reason| invalid(&whole(), reason))
    }

    /// Reads a repository's name: `registry/path`, or Docker's short forms, such as `alpine` for `docker.io/library/alpine`.
    ///
    /// # Errors
    /// [`Error::Reference`], also where there is a tag or a digest.
    pub fn parse(name: &str) -> Result<Self, Error> {
        let reference: RegistryReference = name.parse()?;
        if reference.tag.is_some() || reference.digest.is_some() {
            return Err(invalid(name, "a repository has neither a tag nor a digest".to_owned()));
        }
        Ok(reference.repository)
    }

    /// Checks a path alone, as a server does that has no name for itself: distribution-spec's `<name>`.
    ///
    /// # Errors
    /// [`Error::Reference`], saying which part is wrong.
    pub fn check_path(path: &str) -> Result<(), Error> {
        path_reason(path).map_err(|reason| invalid(path, reason))
    }

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

    fn bounded(registry: &str, path: &str) -> Result<Self, String> {
        let registry = if registry == LEGACY_REGISTRY {
            DEFAULT_REGISTRY
        } else {
            registry
        };
        let length = registry.len() + 1 + path.len();
        if length > MAX_REPOSITORY {
            return Err(format!(
                "the repository's name has {length} bytes, more than the limit of {MAX_REPOSITORY}"
            ));
        }
        Ok(Self {
            registry: registry.to_owned(),
            path: path.to_owned(),
        })
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.registry, self.path)
    }
}

/// A tag: 1 to 128 characters of `A-Z a-z 0-9 _ . -`, the first no `.` and no `-` (distribution-spec, "Pulling manifests").
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag(Box<str>);

impl Tag {
    /// The tag that is meant where none was given.
    #[must_use]
    pub fn latest() -> Self {
        Self("latest".into())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn reason(tag: &str) -> Result<(), String> {
        if tag.is_empty() {
            return Err("the tag is empty".to_owned());
        }
        if tag.len() > MAX_TAG {
            return Err(format!(
                "the tag has {} bytes, more than the limit of {MAX_TAG}",
                tag.len()
            ));
        }
        if tag.starts_with(['.', '-']) {
            return Err("a tag cannot begin with '.' or '-'".to_owned());
        }
        match tag.chars().find(|c| !(c.is_ascii_alphanumeric() || "_.-".contains(*c))) {
            Some(wrong) => Err(format!(
                "{wrong:?} cannot stand in a tag; A-Z, a-z, 0-9, _, . and - can"
            )),
            None => Ok(()),
        }
    }
}

impl FromStr for Tag {
    type Err = Error;

    fn from_str(tag: &str) -> Result<Self, Error> {
        Self::reason(tag).map_err(|reason| invalid(tag, reason))?;
        Ok(Self(tag.into()))
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, formatter)
    }
}

impl AsRef<str> for Tag {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Tag {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl Serialize for Tag {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Tag {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::json::parsed(deserializer, "a tag", str::parse)
    }
}

/// An image of a registry: `registry/path:tag@digest`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RegistryReference {
    /// Where.
    pub repository: Repository,
    /// The tag, if one was given. The default `latest` is the reader's to apply where there is neither tag nor digest
    /// ([`Self::tag_or_latest`]).
    pub tag: Option<Tag>,
    /// The digest, which decides where there is also a tag.
    pub digest: Option<Digest>,
    /// The repository as it was written, where it named no registry, such as `alpine`; then [`Self::repository`] has Docker's
    /// defaults, and registries.conf may say otherwise: its aliases are keyed by this.
    pub short: Option<String>,
}

impl RegistryReference {
    /// The reference of a whole repository.
    #[must_use]
    pub fn new(repository: Repository, tag: Option<Tag>, digest: Option<Digest>) -> Self {
        Self {
            repository,
            tag,
            digest,
            short: None,
        }
    }

    /// The tag to ask for: the one given, or `latest` where there is neither tag nor digest.
    #[must_use]
    pub fn tag_or_latest(&self) -> Option<Tag> {
        match (&self.tag, &self.digest) {
            (None, None) => Some(Tag::latest()),
            (tag, _) => tag.clone(),
        }
    }

    /// The name with its registry, whatever was left out when it was written: `docker.io/library/alpine:3.19`.
    #[must_use]
    pub fn full(&self) -> String {
        self.named(&self.repository)
    }

    fn named(&self, repository: impl fmt::Display) -> String {
        let mut name = repository.to_string();
        if let Some(tag) = &self.tag {
            name.push(':');
            name.push_str(tag.as_str());
        }
        if let Some(digest) = &self.digest {
            name.push('@');
            name.push_str(&digest.to_string());
        }
        name
    }
}

impl FromStr for RegistryReference {
    type Err = Error;

    fn from_str(input: &str) -> Result<Self, Error> {
        parse(input).map_err(|reason| invalid(input, reason))
    }
}

/// As it was written: a short name stays short. [`RegistryReference::full`] has the registry always.
impl fmt::Display for RegistryReference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match &self.short {
            Some(short) => self.named(short),
            None => self.full(),
        };
        formatter.write_str(&name)
    }
}

fn parse(input: &str) -> Result<RegistryReference, String> {
    if input.is_empty() {
        return Err("it is empty".to_owned());
    }
    if input.contains(':')
        && let Some((scheme, rest)) = input.split_once("://")
    {
        return Err(format!(
            "{scheme}:// is no part of an image's name; write docker://{rest}"
        ));
    }
    let (named, digest) = match input.split_once('@') {
        Some((named, digest)) => {
            let digest: Digest = digest.parse().map_err(|error: crate::DigestError| error.to_string())?;
            (named, Some(digest))
        }
        None => (input, None),
    };
    // A colon before the last slash belongs to a port.
    let path_start = named.rfind('/').map_or(0, |slash| slash + 1);
    let (name, tag) = match named[path_start..].rfind(':') {
        Some(colon) => {
            let tag = &named[path_start + colon + 1..];
            Tag::reason(tag)?;
            (&named[..path_start + colon], Some(Tag(tag.into())))
        }
        None => (named, None),
    };
    // By the whole string, so that `a:b/c` is the host `a:b` and no tag; as Docker splits it.
    let (registry, path) = match name.split_once('/') {
        Some((registry, path)) if is_registry(registry) => (Some(registry), path),
        _ => (None, name),
    };
    if registry.is_none() && path.len() == 64 && path.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err("64 hex digits are an image's ID, not a repository; write name@sha256:<digits>".to_owned());
    }
    path_reason(path)?;
    let registry_name = registry.unwrap_or(DEFAULT_REGISTRY);
    check_registry(registry_name)?;
    let is_docker = registry_name == DEFAULT_REGISTRY || registry_name == LEGACY_REGISTRY;
    let repository = if is_docker && !path.contains('/') {
        Repository::bounded(registry_name, &format!("{OFFICIAL}{path}"))?
    } else {
        Repository::bounded(registry_name, path)?
    };
    Ok(RegistryReference {
        repository,
        tag,
        digest,
        short: registry.is_none().then(|| path.to_owned()),
    })
}

/// Whether what stands before the first slash is a registry. An upper-case letter says so too, as it can stand in no path: Docker's rule.
fn is_registry(first: &str) -> bool {
    first == "localhost" || first.contains(['.', ':', '[']) || first.bytes().any(|byte| byte.is_ascii_uppercase())
}

fn check_registry(registry: &str) -> Result<(), String> {
    let (host, port) = match registry.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest
                .split_once(']')
                .ok_or_else(|| format!("there is no ] in the registry {registry:?}"))?;
            if address.parse::<Ipv6Addr>().is_err() {
                return Err(format!("{address:?} is not an IPv6 address"));
            }
            match (port, port.strip_prefix(':')) {
                ("", _) => return Ok(()),
                (_, Some(port)) => return check_port(port),
                _ => return Err(format!("only a port can follow the ] in the registry {registry:?}")),
            }
        }
        None => match registry.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (registry, None),
        },
    };
    for label in host.split('.') {
        let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        if label.is_empty() || label.starts_with('-') || label.ends_with('-') || !label.bytes().all(inner) {
            return Err(format!("{host:?} is not a host's name"));
        }
    }
    port.map_or(Ok(()), check_port)
}

fn check_port(port: &str) -> Result<(), String> {
    let is_port = port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0);
    if is_port {
        Ok(())
    } else {
        Err(format!("{port:?} is not a port from 1 to 65535"))
    }
}

/// distribution-spec: components of `[a-z0-9]+`, joined by `.`, `_`, `__` or any number of `-`, between slashes.
fn path_reason(path: &str) -> Result<(), String> {
    let is_plain = |component: &[u8]| {
        let plain = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        // A separator of one character, which no other one stands beside, separates well.
        let separates =
            |three: &[u8]| plain(&three[1]) || b"._-".contains(&three[1]) && plain(&three[0]) && plain(&three[2]);
        component.first().is_some_and(plain)
            && component.last().is_some_and(plain)
            && component.windows(3).all(separates)
    };
    // Nearly all names, told without looking for what is wrong with them.
    if path.len() <= MAX_REPOSITORY && path.as_bytes().split(|byte| *byte == b'/').all(is_plain) {
        return Ok(());
    }
    if path.is_empty() {
        return Err("the repository's name is empty".to_owned());
    }
    if path.len() > MAX_REPOSITORY {
        return Err(format!(
            "the repository's name has {} bytes, more than the limit of {MAX_REPOSITORY}",
            path.len()
        ));
    }
    if path.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Err(format!(
            "a repository's name has no upper-case letters; try {:?}",
            path.to_ascii_lowercase()
        ));
    }
    let alphanumeric = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    if let Some(wrong) = path.chars().find(|c| !(alphanumeric(*c) || "/._-".contains(*c))) {
        return Err(format!("{wrong:?} cannot stand in a repository's name"));
    }
    for component in path.split('/') {
        let ends_well = component.starts_with(alphanumeric) && component.ends_with(alphanumeric);
        let well_separated = component
            .split(alphanumeric)
            .all(|run| matches!(run, "." | "_" | "__") || run.bytes().all(|byte| byte == b'-'));
        if !ends_well || !well_separated {
            return Err(format!(
                "{component:?} is no part of a repository's name: it must begin and end with a-z or 0-9, with '.', '_', '__' or '-' between"
            ));
        }
    }
    Ok(())
}

fn invalid(input: &str, reason: String) -> Error {
    Error::reference(input, reason)
}
