//! What does a file of credentials say, and how is a login kept in it or forgotten? containers-auth.json(5), and Docker's `config.json`.
//!
//! A file that is there and cannot be understood is an error that names it, and never the same as one that is absent. Secrets stand in no
//! error. A change keeps every field that it does not touch, known to us or not, and replaces the file whole.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use teu_spec::{Repository, json, json::edit::Editor};
use teu_store::{Error, ErrorKind, Result, blocking};

use super::{
    credential_helper::{DOCKER, DOCKER_SERVER, Helper, HelperName, HelperSettings, servers},
    settings::Credential,
};

/// The largest file of credentials that is read, in bytes.
const MAX_AUTH_FILE: u64 = 1 << 20;

/// What a new file is before the first login: laid out as its other writers lay it out.
const NEW: &[u8] = b"{\n\t\"auths\": {}\n}\n";

/// A file of credentials, which may be absent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthFile {
    /// Where it is.
    pub path: PathBuf,
    /// How it is read and written.
    pub format: AuthFormat,
}

/// Whose manner a file of credentials has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthFormat {
    /// `auth.json` of Podman, Buildah and skopeo: keys are registries, or parts of `registry/path`.
    Containers,
    /// Docker's `config.json`: read as the other; written by the registry alone, Docker's own as `https://index.docker.io/v1/`.
    Docker,
    /// Docker's `.dockercfg`, before 2014: what stands under `auths` elsewhere is the whole file. It is read, not written.
    DockerLegacy,
}

/// What keeps a login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keeper {
    /// The file itself.
    File(PathBuf),
    /// A helper that the file names.
    Helper(HelperName),
}

/// What a file says of a key.
pub(super) enum Entry {
    /// Nothing.
    Absent,
    /// Who we are.
    Credential(Credential),
    /// That a helper is to be asked.
    Helper(HelperName),
}

/// A file as it was read.
pub(super) struct Content<'a> {
    file: &'a AuthFile,
    raw: Bytes,
    fields: Fields,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Fields {
    auths: Option<BTreeMap<String, Option<Auth>>>,
    cred_helpers: Option<BTreeMap<String, String>>,
    creds_store: Option<String>,
}

/// One of `auths`.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Auth {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    identitytoken: Option<String>,
    registrytoken: Option<String>,
}

impl AuthFile {
    /// The file at `path`.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>, format: AuthFormat) -> Self {
        Self {
            path: path.into(),
            format,
        }
    }

    /// Keeps a credential for `key`: a registry or, but for Docker's manner, the beginning of `registry/path`. Where the file names a helper
    /// for the registry, that keeps it; else the file does, made for its owner alone where it is absent, and replaced whole.
    ///
    /// # Errors
    /// `Invalid` for what is no key and for a malformed file, `Unsupported` for a credential or a file that keeps none. The file is as it was.
    pub async fn login(&self, key: &str, credential: &Credential, helpers: &HelperSettings) -> Result<Keeper> {
        let key = self.key(key)?;
        if let Some(name) = self.helper_of(&key).await? {
            let helper = Helper {
                name: &name,
                settings: helpers,
            };
            let registry = registry_of(&key);
            if registry != key {
                let message = format!("the credential helper {name} keeps {registry} as a whole, and not {key} alone");
                return Err(Error::new(ErrorKind::Unsupported, message));
            }
            helper.store(servers(registry)[0], credential).await?;
            return Ok(Keeper::Helper(name));
        }
        let auth = NewAuth::of(credential)?;
        let written = self.written(&key).to_owned();
        self.change(move |editor, content| {
            // What the registry is called otherwise would be found in place of this.
            for spelling in content.iter().flat_map(|content| content.spellings(&key)) {
                if spelling != written {
                    editor.remove(&["auths".into(), spelling.as_str().into()])?;
                }
            }
            editor.set(&["auths".into(), written.as_str().into()], &auth)
        })
        .await?;
        Ok(Keeper::File(self.path.clone()))
    }

    /// Forgets the credential for `key`, in the file and with the helper that it names for the registry. Says whether anything was there
    /// to forget; a helper is taken to have had something.
    ///
    /// # Errors
    /// As [`Self::login`].
    pub async fn logout(&self, key: &str, helpers: &HelperSettings) -> Result<bool> {
        let key = self.key(key)?;
        let mut forgotten = false;
        if let Some(name) = self.helper_of(&key).await? {
            let helper = Helper {
                name: &name,
                settings: helpers,
            };
            for server in servers(registry_of(&key)) {
                if helper.get(server).await?.is_some() {
                    helper.erase(server).await?;
                    forgotten = true;
                }
            }
        }
        let (file, sought) = (self.clone(), key.clone());
        let is_there = move || Ok(read(&file)?.is_some_and(|content| !content.spellings(&sought).is_empty()));
        if blocking::run(is_there).await? {
            self.change(move |editor, content| {
                for spelling in content.iter().flat_map(|content| content.spellings(&key)) {
                    editor.remove(&["auths".into(), spelling.as_str().into()])?;
                }
                Ok(())
            })
            .await?;
            forgotten = true;
        }
        Ok(forgotten)
    }

    /// Forgets all credentials of the file, and those that the helpers it names keep.
    ///
    /// # Errors
    /// As [`Self::login`].
    pub async fn logout_all(&self, helpers: &HelperSettings) -> Result<()> {
        let file = self.clone();
        let names = blocking::run(move || read(&file)?.map_or(Ok(None), |content| content.helpers().map(Some))).await?;
        // Nothing is made in order to be empty.
        let Some(names) = names else { return Ok(()) };
        for (name, registry) in &names {
            let helper = Helper {
                name,
                settings: helpers,
            };
            for server in servers(registry) {
                helper.erase(server).await?;
            }
        }
        self.change(|editor, _| editor.set(&["auths".into()], &serde_json::Map::new()))
            .await
    }

    /// Reads `key` as a person writes it.
    fn key(&self, key: &str) -> Result<String> {
        let advice =
            "a registry, host or host:port, or the beginning of registry/path, without https:// and without a tag";
        let invalid = |why: String| Error::new(ErrorKind::Invalid, format!("{key:?} cannot be logged in to: {why}"));
        if self.format == AuthFormat::DockerLegacy {
            let message = format!(
                "{} is of Docker's first manner, which is not written any more",
                self.path.display()
            );
            return Err(Error::new(ErrorKind::Unsupported, message));
        }
        let (registry, path) = match key.split_once('/') {
            Some((registry, path)) => (registry, path),
            // Any path would do: it is the registry that is checked.
            None => (key, "check"),
        };
        let name = Repository::new(registry, path).map_err(|_| invalid(format!("it must be {advice}")))?;
        if !key.contains('/') {
            return Ok(name.registry().to_owned());
        }
        if self.format == AuthFormat::Docker {
            return Err(invalid(
                "Docker's files keep credentials for registries as a whole".to_owned(),
            ));
        }
        Ok(name.to_string())
    }

    /// The key as the file has it.
    fn written<'a>(&self, key: &'a str) -> &'a str {
        if self.format == AuthFormat::Docker && key == DOCKER {
            DOCKER_SERVER
        } else {
            key
        }
    }

    async fn helper_of(&self, key: &str) -> Result<Option<HelperName>> {
        let (file, registry) = (self.clone(), registry_of(key).to_owned());
        blocking::run(move || {
            let Some(content) = read(&file)? else { return Ok(None) };
            match content.helper_for(&registry)? {
                Some(name) => Ok(Some(name)),
                None => content.store(),
            }
        })
        .await
    }

    /// Changes the file while no other process of ours does, and replaces it whole.
    async fn change(
        &self,
        change: impl FnOnce(&mut Editor, Option<&Content<'_>>) -> std::result::Result<(), teu_spec::Error> + Send + 'static,
    ) -> Result<()> {
        let file = self.clone();
        blocking::run(move || {
            // A link, to where a person keeps such files, stays one.
            let path = fs::canonicalize(&file.path).unwrap_or_else(|_| file.path.clone());
            let failed = |error: io::Error| Error::from(error).within(format!("writing {}", path.display()));
            let directory = match path.parent() {
                Some(parent) if !parent.as_os_str().is_empty() => parent,
                _ => Path::new("."),
            };
            let mut builder = fs::DirBuilder::new();
            builder.recursive(true).mode(0o700).create(directory).map_err(failed)?;
            let _guard = Guard::of(&path).map_err(failed)?;
            let content = read(&file)?;
            let mut editor = Editor::new(
                content
                    .as_ref()
                    .map_or(Bytes::from_static(NEW), |content| content.raw.clone()),
            )?;
            change(&mut editor, content.as_ref())?;
            // A temporary file is its owner's alone from the start.
            let mut temporary = tempfile::NamedTempFile::new_in(directory).map_err(failed)?;
            temporary.write_all(&editor.finish()).map_err(failed)?;
            temporary.as_file().sync_all().map_err(failed)?;
            temporary.persist(&path).map_err(|error| failed(error.error))?;
            File::open(directory)
                .and_then(|directory| directory.sync_all())
                .map_err(failed)
        })
        .await
    }
}

/// Keeps other processes of ours from changing a file while it lives. It is the file itself that is locked: its directory may be one that
/// others use for other things.
struct Guard {
    file: File,
    path: PathBuf,
    /// Whether it was made to be locked.
    made: bool,
}

impl Guard {
    /// Of the file at `path`, made empty where it is absent. Where a file system knows no locks the last of two writers wins.
    fn of(path: &Path) -> io::Result<Self> {
        loop {
            let mut made = false;
            let opened = File::open(path).or_else(|error| match error.kind() {
                io::ErrorKind::NotFound => {
                    made = true;
                    let mut options = fs::OpenOptions::new();
                    options.write(true).create_new(true).mode(0o600).open(path)
                }
                _ => Err(error),
            });
            let file = match opened {
                Ok(file) => file,
                // Another made it between the two.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.exists() => continue,
                Err(error) => return Err(error),
            };
            match file.lock() {
                Err(error) if error.kind() != io::ErrorKind::Unsupported => return Err(error),
                _ => {}
            }
            let guard = Self {
                file,
                path: path.to_owned(),
                made,
            };
            // Who had the lock before has put another file in its place.
            if guard.is_of_what_is_there()? {
                return Ok(guard);
            }
        }
    }

    fn is_of_what_is_there(&self) -> io::Result<bool> {
        let locked = self.file.metadata()?;
        let there = fs::metadata(&self.path);
        Ok(there.is_ok_and(|there| there.ino() == locked.ino() && there.dev() == locked.dev()))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // It does not stay where nothing came of it.
        let is_empty = self.file.metadata().is_ok_and(|metadata| metadata.len() == 0);
        if self.made && is_empty && self.is_of_what_is_there().unwrap_or(false) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Reads a file; none where it is absent, or empty, as some tools leave it.
pub(super) fn read(file: &AuthFile) -> Result<Option<Content<'_>>> {
    let failed = |error: Error| error.within(format!("reading credentials from {}", file.path.display()));
    let raw = match File::open(&file.path) {
        Ok(opened) => {
            let mut raw = Vec::new();
            let read = opened.take(MAX_AUTH_FILE + 1).read_to_end(&mut raw);
            read.map_err(|error| failed(error.into()))?;
            raw
        }
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) => return Err(failed(error.into())),
    };
    if raw.len() as u64 > MAX_AUTH_FILE {
        let message = format!("it has more bytes than the limit of {MAX_AUTH_FILE}");
        return Err(failed(Error::new(ErrorKind::TooLarge, message)));
    }
    if raw.trim_ascii().is_empty() {
        return Ok(None);
    }
    let fields = parse(&raw, file.format).map_err(failed)?;
    Ok(Some(Content {
        file,
        raw: raw.into(),
        fields,
    }))
}

fn parse(raw: &[u8], format: AuthFormat) -> Result<Fields> {
    json::check(raw, json::Shape::Any)?;
    // What serde says of a value it cannot use repeats it, and it may be a secret: the place is enough.
    let invalid = |error: serde_json::Error| {
        let place = format!("line {} column {}", error.line(), error.column());
        Error::new(
            ErrorKind::Invalid,
            format!("it is JSON, but not of the form of such a file, at {place}"),
        )
    };
    match format {
        AuthFormat::Containers | AuthFormat::Docker => serde_json::from_slice(raw).map_err(invalid),
        AuthFormat::DockerLegacy => Ok(Fields {
            auths: Some(serde_json::from_slice(raw).map_err(invalid)?),
            ..Fields::default()
        }),
    }
}

#[cfg(feature = "fuzz")]
impl<'a> Content<'a> {
    /// A file whose content is this.
    pub(super) fn of(file: &'a AuthFile, raw: &[u8]) -> Result<Self> {
        Ok(Self {
            file,
            raw: Bytes::copy_from_slice(raw),
            fields: parse(raw, file.format)?,
        })
    }
}

impl Content<'_> {
    /// What the file says of `registry/path`, or of a registry.
    pub(super) fn entry(&self, key: &str) -> Result<Entry> {
        let registry = registry_of(key);
        if let Some(name) = self.helper_for(registry)? {
            return Ok(Entry::Helper(name));
        }
        let auths = self.fields.auths.iter().flatten();
        let exact = |key: &str| self.fields.auths.as_ref().and_then(|auths| auths.get_key_value(key));
        let narrow = self.file.format != AuthFormat::DockerLegacy;
        let by_part = parts(key)
            .into_iter()
            .filter(|part| narrow || *part == registry)
            .find_map(exact);
        // Older keys are URLs, and Docker's own registry has several names.
        let found = by_part.or_else(|| {
            auths
                .into_iter()
                .find(|(key, _)| normalized(key) == normalized(registry))
        });
        if let Some((key, Some(auth))) = found
            && let Some(credential) = self.decode(key, auth)?
        {
            return Ok(Entry::Credential(credential));
        }
        Ok(self.store()?.map_or(Entry::Absent, Entry::Helper))
    }

    /// The keys under `auths` that mean `key`, as they are spelt.
    fn spellings(&self, key: &str) -> Vec<String> {
        let keys = self.fields.auths.iter().flatten().map(|(key, _)| key);
        let same = |other: &&String| *other == key || (registry_of(key) == key && normalized(other) == normalized(key));
        keys.filter(same).cloned().collect()
    }

    fn decode(&self, key: &str, auth: &Auth) -> Result<Option<Credential>> {
        let malformed = |why: &str| {
            let message = format!("in {}: the entry {key:?} {why}", self.file.path.display());
            Error::new(ErrorKind::Invalid, message)
        };
        let filled = |field: &Option<String>| field.clone().filter(|text| !text.is_empty());
        if let Some(token) = filled(&auth.identitytoken) {
            return Ok(Some(Credential::IdentityToken(token)));
        }
        if let Some(token) = filled(&auth.registrytoken) {
            return Ok(Some(Credential::Bearer(token)));
        }
        if let Some(encoded) = filled(&auth.auth) {
            let decoded = STANDARD
                .decode(encoded.trim())
                .map_err(|_| malformed("has an \"auth\" that is no base64"))?;
            let decoded = String::from_utf8(decoded).map_err(|_| malformed("has an \"auth\" that is no UTF-8"))?;
            let (username, password) = decoded
                .split_once(':')
                .ok_or_else(|| malformed("has an \"auth\" that is no base64 of user:password"))?;
            return Ok(Some(Credential::Basic {
                username: username.to_owned(),
                // Docker once filled up with NULs.
                password: password.trim_matches('\0').to_owned(),
            }));
        }
        Ok(filled(&auth.username).map(|username| Credential::Basic {
            username,
            password: auth.password.clone().unwrap_or_default(),
        }))
    }

    fn helper_for(&self, registry: &str) -> Result<Option<HelperName>> {
        let mut helpers = self.fields.cred_helpers.iter().flatten();
        let found = helpers.find(|(key, _)| normalized(key) == normalized(registry));
        found
            .filter(|(_, name)| !name.is_empty())
            .map(|(_, name)| self.name(name))
            .transpose()
    }

    fn store(&self) -> Result<Option<HelperName>> {
        let store = self.fields.creds_store.as_deref().filter(|name| !name.is_empty());
        store.map(|name| self.name(name)).transpose()
    }

    /// The helpers with the registries that each keeps for this file. The one for all keeps those that Docker notes under `auths`; what
    /// else it holds is not this file's.
    fn helpers(&self) -> Result<Vec<(HelperName, String)>> {
        let each = self
            .fields
            .cred_helpers
            .iter()
            .flatten()
            .filter(|(_, name)| !name.is_empty());
        let mut helpers: Vec<_> = each
            .map(|(registry, name)| Ok((self.name(name)?, normalized(registry).into_owned())))
            .collect::<Result<_>>()?;
        if let Some(store) = self.store()? {
            let noted = self
                .fields
                .auths
                .iter()
                .flatten()
                .map(|(key, _)| normalized(key).into_owned());
            helpers.extend(noted.map(|registry| (store.clone(), registry)));
        }
        Ok(helpers)
    }

    fn name(&self, name: &str) -> Result<HelperName> {
        name.parse()
            .map_err(|error: Error| error.within(format!("in {}", self.file.path.display())))
    }
}

/// A key with all that it belongs to, the longest first: `host/a/b`, `host/a`, `host`.
fn parts(key: &str) -> Vec<&str> {
    let mut parts = vec![key];
    let mut rest = key;
    while let Some((parent, _)) = rest.rsplit_once('/') {
        parts.push(parent);
        rest = parent;
    }
    parts
}

fn registry_of(key: &str) -> &str {
    key.split_once('/').map_or(key, |(registry, _)| registry)
}

/// The registry that a key names where it names one as a whole: `https://host/v1/` is `host`, and Docker's own has one name.
/// A key of a part of a registry stays as it is, and equals none.
fn normalized(key: &str) -> Cow<'_, str> {
    let bare = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://"));
    let host = match bare {
        Some(bare) => registry_of(bare),
        None => key.strip_suffix('/').unwrap_or(key),
    };
    match host {
        "index.docker.io" | "registry-1.docker.io" => Cow::Borrowed(DOCKER),
        other => Cow::Borrowed(other),
    }
}

/// One of `auths`, to be written.
#[derive(Serialize)]
#[serde(untagged)]
enum NewAuth {
    Password { auth: String },
    Token { identitytoken: String },
}

impl NewAuth {
    fn of(credential: &Credential) -> Result<Self> {
        match credential {
            Credential::Basic { username, .. } if username.contains(':') || username.is_empty() => Err(Error::new(
                ErrorKind::Invalid,
                "the name of a user must not be empty, nor hold a ':', as user:password is what is kept",
            )),
            Credential::Basic { username, password } => Ok(Self::Password {
                auth: STANDARD.encode(format!("{username}:{password}")),
            }),
            Credential::IdentityToken(token) => Ok(Self::Token {
                identitytoken: token.clone(),
            }),
            Credential::Bearer(_) => Err(Error::new(
                ErrorKind::Unsupported,
                "a token of a registry is for one use, and is not kept",
            )),
        }
    }
}
