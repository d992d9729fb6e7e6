//! What does a file of credentials say? Of a registry or a part of one: who we are there, or which helper knows.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    fs::File,
    io::{self, Read},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use teu_spec::json;
use teu_store::{Error, ErrorKind, Result};

use super::{AuthFile, AuthFormat};
use crate::remote::{
    credential_helper::{DOCKER, HelperName},
    settings::Credential,
};

/// The largest file of credentials that is read, in bytes.
const MAX_AUTH_FILE: u64 = 1 << 20;

/// What a file says of a key.
pub(in crate::remote) enum Entry {
    /// Nothing.
    Absent,
    /// Who we are.
    Credential(Credential),
    /// That a helper is to be asked.
    Helper(HelperName),
}

/// A file as it was read.
pub(in crate::remote) struct Content<'a> {
    file: &'a AuthFile,
    pub(super) raw: Bytes,
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

/// Reads a file; none where it is absent, or empty, as some tools leave it.
pub(in crate::remote) fn read(file: &AuthFile) -> Result<Option<Content<'_>>> {
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
    pub(in crate::remote) fn of(file: &'a AuthFile, raw: &[u8]) -> Result<Self> {
        Ok(Self {
            file,
            raw: Bytes::copy_from_slice(raw),
            fields: parse(raw, file.format)?,
        })
    }
}

impl Content<'_> {
    /// What the file says of `registry/path`, or of a registry.
    pub(in crate::remote) fn entry(&self, key: &str) -> Result<Entry> {
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
    pub(super) fn spellings(&self, key: &str) -> Vec<String> {
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

    pub(super) fn helper_for(&self, registry: &str) -> Result<Option<HelperName>> {
        let mut helpers = self.fields.cred_helpers.iter().flatten();
        let found = helpers.find(|(key, _)| normalized(key) == normalized(registry));
        found
            .filter(|(_, name)| !name.is_empty())
            .map(|(_, name)| self.name(name))
            .transpose()
    }

    pub(super) fn store(&self) -> Result<Option<HelperName>> {
        let store = self.fields.creds_store.as_deref().filter(|name| !name.is_empty());
        store.map(|name| self.name(name)).transpose()
    }

    /// The helpers with the registries that each keeps for this file. The one for all keeps those that Docker notes under `auths`; what
    /// else it holds is not this file's.
    pub(super) fn helpers(&self) -> Result<Vec<(HelperName, String)>> {
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

pub(super) fn registry_of(key: &str) -> &str {
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
pub(super) enum NewAuth {
    Password { auth: String },
    Token { identitytoken: String },
}

impl NewAuth {
    pub(super) fn of(credential: &Credential) -> Result<Self> {
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
