//! Where is an image of this name to be had? containers-registries.conf(5), version 2: mirrors, other places for names, registries that are
//! blocked or speak without TLS, and what short names mean.
//!
//! ```
//! use teu_transport::remote::registries::Registries;
//!
//! let mut registries = Registries::default();
//! registries.add(
//!     "registries.conf",
//!     r#"
//!     [[registry]]
//!     prefix = "docker.io"
//!     location = "docker.io"
//!     [[registry.mirror]]
//!     location = "mirror.example:5000/hub"
//!     "#,
//! )?;
//! let endpoints = registries.sources(&"alpine:3.19".parse()?)?;
//! let names: Vec<String> = endpoints.iter().map(|endpoint| endpoint.reference.full()).collect();
//! assert_eq!(names, ["mirror.example:5000/hub/library/alpine:3.19", "docker.io/library/alpine:3.19"]);
//! # Ok::<(), teu_store::Error>(())
//! ```

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use teu_spec::{RegistryReference, Repository};
use teu_store::{Error, ErrorKind, Result};

use super::{
    credential_helper::HelperName,
    registries_file::{self as file, Rules},
};
use crate::limited::read_limited;

/// The largest file of registries that is read, in bytes; Fedora's list of short names has 20,000.
pub const MAX_FILE: u64 = 4 << 20;

/// Where registries are configured. The environment is the caller's to read.
#[derive(Clone, Debug, Default)]
pub struct RegistriesPaths {
    /// skopeo's `--registries-conf`, else `CONTAINERS_REGISTRIES_CONF`: in place of the two below, and it must be there.
    pub given: Option<PathBuf>,
    /// `containers/registries.conf` under `XDG_CONFIG_HOME` or `~/.config`: in place of the system's, where it is there.
    pub user: Option<PathBuf>,
    /// `/etc/containers/registries.conf`.
    pub system: Option<PathBuf>,
    /// Directories of which every `*.conf` is added, by name: `/etc/containers/registries.conf.d`, then the user's own.
    pub directories: Vec<PathBuf>,
    /// What short names were once chosen to mean: `short-name-aliases.conf` under `~/.cache/containers`. It comes last.
    pub aliases: Option<PathBuf>,
}

/// What is known of registries.
#[derive(Clone, Debug, Default)]
pub struct Registries {
    rules: BTreeMap<String, Rules>,
    search: Vec<String>,
    mode: ShortNames,
    /// By file, the later going before.
    aliases: Vec<Aliases>,
    helpers: Option<Vec<Option<HelperName>>>,
    ignored: Vec<String>,
}

/// What a file says that short names mean; none where one is to mean nothing any more.
#[derive(Clone, Debug)]
struct Aliases {
    name: String,
    /// The file's text, while nobody has asked: distributions have long lists of short names, and most images are called by whole ones.
    text: String,
    read: OnceLock<BTreeMap<String, Option<Repository>>>,
}

impl Aliases {
    fn known(&self) -> Result<&BTreeMap<String, Option<Repository>>> {
        if let Some(known) = self.read.get() {
            return Ok(known);
        }
        let read = file::parse(&self.text).map_err(|error| error.within(format!("in {}", self.name)))?;
        Ok(self.read.get_or_init(|| read.aliases))
    }
}

/// One place to try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The image as it is called there.
    pub reference: RegistryReference,
    /// Whether TLS may be unverified or absent: as `--tls-verify=false`.
    pub insecure: bool,
    /// Whether this is a mirror. Credentials that were given for the image by hand are not a mirror's.
    pub mirror: bool,
}

/// How a short name is decided where no alias does: `short-name-mode`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ShortNames {
    /// Several registries are a choice: a person's, else an error.
    Enforcing,
    /// Several registries are a choice: a person's, else they are tried in order.
    #[default]
    Permissive,
    /// Registries are tried in order.
    Disabled,
}

/// What a short name may mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidates {
    /// The images, the first first; one where an alias decides.
    pub references: Vec<RegistryReference>,
    /// What to do where there are several.
    pub mode: ShortNames,
}

impl Registries {
    /// Reads all that is configured. A file of nothing but aliases is read when a short name is asked for.
    ///
    /// # Errors
    /// As [`Self::add`], naming the file; `NotFound` where the one that was given is not there.
    pub fn read(paths: &RegistriesPaths) -> Result<Self> {
        let mut registries = Self::default();
        match &paths.given {
            Some(given) => {
                if !registries.add_file(given)? {
                    let message = format!("there is no {}", given.display());
                    return Err(Error::new(ErrorKind::NotFound, message));
                }
            }
            None => {
                for path in [&paths.user, &paths.system].into_iter().flatten() {
                    if registries.add_file(path)? {
                        break;
                    }
                }
            }
        }
        for directory in &paths.directories {
            for path in drop_ins(directory)? {
                registries.add_file(&path)?;
            }
        }
        if let Some(aliases) = &paths.aliases {
            registries.add_file(aliases)?;
        }
        Ok(registries)
    }

    /// Adds a file, or says that there is none.
    fn add_file(&mut self, path: &Path) -> Result<bool> {
        let Some(text) = content(path)? else { return Ok(false) };
        let name = path.display().to_string();
        match file::has_only_aliases(&text) {
            true => self.aliases.push(Aliases {
                name,
                text,
                read: OnceLock::new(),
            }),
            false => self.add(&name, &text)?,
        }
        Ok(true)
    }

    /// Adds the text of a file, which `name` is called in errors. What was there before stays, but for what the text says anew: a registry
    /// of the same prefix is replaced whole, as are the registries for short names and the helpers.
    ///
    /// # Errors
    /// `Invalid` for what is malformed or contradicts itself, `Unsupported` for version 1. Nothing was added.
    pub fn add(&mut self, name: &str, text: &str) -> Result<()> {
        let parsed = file::parse(text).map_err(|error| error.within(format!("in {name}")))?;
        self.rules.extend(parsed.rules);
        if let Some(search) = parsed.search {
            self.search = search;
        }
        if let Some(mode) = parsed.mode {
            self.mode = mode;
        }
        if !parsed.aliases.is_empty() {
            self.aliases.push(Aliases {
                name: name.to_owned(),
                text: String::new(),
                read: parsed.aliases.into(),
            });
        }
        if !parsed.helpers.is_empty() {
            self.helpers = Some(parsed.helpers);
        }
        let ignored = parsed.ignored.into_iter().map(|key| format!("{name}: {key}"));
        self.ignored.extend(ignored);
        Ok(())
    }

    /// Keys that mean nothing here, each with its file: a misspelt one says nothing, and a person should know.
    #[must_use]
    pub fn ignored(&self) -> &[String] {
        &self.ignored
    }

    /// The registries that short names are looked for in: `unqualified-search-registries`.
    #[must_use]
    pub fn search(&self) -> &[String] {
        &self.search
    }

    /// What is asked for credentials, in order: a helper, or, where it is none, the files. `None` where nothing says, and the files are.
    #[must_use]
    pub fn credential_helpers(&self) -> Option<&[Option<HelperName>]> {
        self.helpers.as_deref()
    }

    /// Where to try to read an image, in order: mirrors, then its own place.
    ///
    /// # Errors
    /// `Denied` where the registry is blocked; `Invalid` where the configured place makes no valid name.
    pub fn sources(&self, image: &RegistryReference) -> Result<Vec<Endpoint>> {
        let full = image.full();
        let Some((prefix, rules)) = self.rules_for(&full) else {
            return Ok(vec![Endpoint::plain(image)]);
        };
        rules.check(prefix, &full)?;
        let rest = &full[matched_in_any_case(&full, prefix).unwrap_or(full.len())..];
        let endpoint = |location: Option<&str>, insecure: bool, mirror: bool| {
            let reference = match location {
                Some(location) => relocated(location, rest, &full)?,
                None => image.clone(),
            };
            Ok(Endpoint {
                reference,
                insecure,
                mirror,
            })
        };
        let mirrors = rules
            .mirrors
            .iter()
            .filter(|mirror| mirror.serves(image.digest.is_some()));
        let mut endpoints: Vec<Endpoint> = mirrors
            .map(|mirror| endpoint(Some(&mirror.location), mirror.insecure, true))
            .collect::<Result<_>>()?;
        endpoints.push(endpoint(rules.location.as_deref(), rules.insecure, false)?);
        Ok(endpoints)
    }

    /// Where to write an image: its own place, always under its own name, for a mirror or another location is for reading.
    ///
    /// # Errors
    /// `Denied` where the registry is blocked.
    pub fn destination(&self, image: &RegistryReference) -> Result<Endpoint> {
        let full = image.full();
        let mut endpoint = Endpoint::plain(image);
        if let Some((prefix, rules)) = self.rules_for(&full) {
            rules.check(prefix, &full)?;
            endpoint.insecure = rules.insecure;
        }
        Ok(endpoint)
    }

    /// What a name without a registry means: what an alias says, else one image of each of `unqualified-search-registries`, else Docker's.
    /// A name that has a registry means itself.
    ///
    /// skopeo takes every short name for Docker's: whoever speaks as skopeo does not ask here.
    ///
    /// # Errors
    /// `Invalid` where a name comes out too long, and as [`Self::add`] for a file of aliases.
    pub fn short_name(&self, image: &RegistryReference) -> Result<Candidates> {
        let one = |reference| Candidates {
            references: vec![reference],
            mode: self.mode,
        };
        let Some(short) = &image.short else {
            return Ok(one(image.clone()));
        };
        let named = |repository| RegistryReference::new(repository, image.tag.clone(), image.digest);
        if let Some(repository) = self.alias(short)? {
            return Ok(one(named(repository)));
        }
        if self.search.is_empty() {
            return Ok(one(named(image.repository.clone())));
        }
        let references = self
            .search
            .iter()
            .map(|registry| Ok(named(Repository::parse(&format!("{registry}/{short}"))?)));
        Ok(Candidates {
            references: references.collect::<Result<_>>()?,
            mode: self.mode,
        })
    }

    fn alias(&self, short: &str) -> Result<Option<Repository>> {
        for aliases in self.aliases.iter().rev() {
            if let Some(meaning) = aliases.known()?.get(short) {
                return Ok(meaning.clone());
            }
        }
        Ok(None)
    }

    /// The rules of the longest prefix that an image's name has.
    fn rules_for(&self, full: &str) -> Option<(&str, &Rules)> {
        let matching = self
            .rules
            .iter()
            .filter(|(prefix, _)| matched_in_any_case(full, prefix).is_some());
        matching
            .max_by_key(|(prefix, _)| prefix.len())
            .map(|(prefix, rules)| (prefix.as_str(), rules))
    }
}

impl Endpoint {
    fn plain(image: &RegistryReference) -> Self {
        Self {
            reference: image.clone(),
            insecure: false,
            mirror: false,
        }
    }
}

impl Rules {
    fn check(&self, prefix: &str, full: &str) -> Result<()> {
        if self.blocked {
            let message = format!("{full} is blocked: registries.conf says so of {prefix}");
            return Err(Error::new(ErrorKind::Denied, message));
        }
        Ok(())
    }
}

/// As [`matched`], and hosts have no case: one that is blocked is so however it is spelt.
fn matched_in_any_case(full: &str, prefix: &str) -> Option<usize> {
    matched(full, prefix).or_else(|| {
        let (host, path) = full.split_at(full.find('/').unwrap_or(full.len()));
        matched(&format!("{}{path}", host.to_ascii_lowercase()), prefix)
    })
}

/// How many bytes of `full` the prefix stands for, where it is one: `host/a` of `host/a/b:tag`, and `*.example.com` of every name below.
/// As containers/image has it, a host without a port stands for every port.
fn matched(full: &str, prefix: &str) -> Option<usize> {
    let ends_a_part = |end: &usize| matches!(full.as_bytes().get(*end), None | Some(b'/' | b':' | b'@'));
    match prefix.strip_prefix('*') {
        // Only a host can be below a domain.
        Some(domain) => full
            .match_indices(domain)
            .take_while(|(start, _)| !full[..*start].contains('/'))
            .map(|(start, _)| start + domain.len())
            .find(ends_a_part),
        None => full.starts_with(prefix).then_some(prefix.len()).filter(ends_a_part),
    }
}

fn relocated(location: &str, rest: &str, full: &str) -> Result<RegistryReference> {
    let moved = format!("{location}{rest}");
    let invalid = |why: &str| {
        let message = format!("registries.conf has {full} at {moved:?}: {why}");
        Error::new(ErrorKind::Invalid, message)
    };
    let reference: RegistryReference = moved
        .parse()
        .map_err(|error: teu_spec::Error| invalid(&error.to_string()))?;
    if reference.short.is_some() {
        return Err(invalid(
            "a location must begin with a registry, such as localhost, host:port or host.example",
        ));
    }
    Ok(reference)
}

/// The `*.conf` of a directory by name; none where it is absent.
fn drop_ins(directory: &Path) -> Result<Vec<PathBuf>> {
    let failed = |error: io::Error| Error::from(error).within(format!("reading {}", directory.display()));
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| Ok(entry.map_err(failed)?.path()))
        .collect::<Result<_>>()?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "conf") && !path.is_dir());
    paths.sort();
    Ok(paths)
}

fn content(path: &Path) -> Result<Option<String>> {
    let mut opened = match fs::File::open(path) {
        Ok(opened) => opened,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) => return Err(Error::from(error).within(format!("reading {}", path.display()))),
    };
    let raw = read_limited(&mut opened, MAX_FILE, path)?;
    match String::from_utf8(raw.into()) {
        Ok(text) => Ok(Some(text)),
        Err(_) => Err(Error::new(
            ErrorKind::Invalid,
            format!("{} is not UTF-8", path.display()),
        )),
    }
}
