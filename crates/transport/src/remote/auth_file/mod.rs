//! What does a file of credentials say, and how is a login kept in it or forgotten? containers-auth.json(5), and Docker's `config.json`.
//!
//! A file that is there and cannot be understood is an error that names it, and never the same as one that is absent. Secrets stand in no
//! error. A change keeps every field that it does not touch, known to us or not, and replaces the file whole.

mod content;
mod guard;

use std::{
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use teu_spec::{Repository, json::edit::Editor};
use teu_store::{Error, ErrorKind, Events, Result, blocking};

use super::{
    credential_helper::{DOCKER, DOCKER_SERVER, Helper, HelperName, HelperSettings, servers},
    settings::Credential,
};

use content::{NewAuth, registry_of};
use guard::Guard;

pub(super) use content::{Content, Entry, read};

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
    /// for the registry, that keeps it; else the file does, made for its owner alone where it is absent, and replaced whole. While another
    /// process changes it that is waited for, which `events` tell of.
    ///
    /// # Errors
    /// `Invalid` for what is no key and for a malformed file, `Unsupported` for a credential or a file that keeps none. The file is as it was.
    pub async fn login(
        &self,
        key: &str,
        credential: &Credential,
        helpers: &HelperSettings,
        events: &Events,
    ) -> Result<Keeper> {
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
        self.change(events, move |editor, content| {
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
    pub async fn logout(&self, key: &str, helpers: &HelperSettings, events: &Events) -> Result<bool> {
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
            self.change(events, move |editor, content| {
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
    pub async fn logout_all(&self, helpers: &HelperSettings, events: &Events) -> Result<()> {
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
        self.change(events, |editor, _| {
            editor.set(&["auths".into()], &serde_json::Map::new())
        })
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
        events: &Events,
        change: impl FnOnce(&mut Editor, Option<&Content<'_>>) -> std::result::Result<(), teu_spec::Error> + Send + 'static,
    ) -> Result<()> {
        let (file, events) = (self.clone(), Arc::clone(events));
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
            let _guard = Guard::of(&path, &events).map_err(failed)?;
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
