//! Which images are there to be copied, and what is each called?

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use teu_spec::{Pick, Reference, RegistryReference, Repository};
use teu_store::{Error, ErrorKind, Side};

use super::list_file::{self, Name, Wanted, Which};
use crate::{
    arguments::ImageOptions,
    failure::Failure,
    places::{Places, read_file},
    verbs::inspect::{all_named, all_names, check_count},
};

/// How deep directories of images may lie.
const MAX_DEPTH: usize = 32;

/// Where many images are.
pub(super) enum From {
    Registry(RegistryReference),
    Directory(PathBuf),
    Layout(PathBuf),
    List(PathBuf),
}

/// One of them.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) reference: Reference,
    /// All of what it is called: `registry.example/team/app:1`, or where it lies below the directory.
    pub(super) name: String,
    pub(super) options: Arc<ImageOptions>,
}

/// All of them.
#[derive(Default)]
pub(super) struct Listed {
    pub(super) images: Vec<Found>,
    /// How many repositories, directories or layouts they were found in.
    pub(super) sources: usize,
    /// Where none could be found, and why.
    pub(super) failures: Vec<(String, Failure)>,
    pub(super) warnings: Vec<String>,
}

/// Finds them. Where `keep_going` a repository that cannot be listed does not end it. A password of the command line is for one registry, unless
/// `anywhere`, as skopeo has it.
pub(super) async fn list(
    from: &From,
    places: &Places,
    options: ImageOptions,
    keep_going: bool,
    anywhere: bool,
) -> Result<Listed, Failure> {
    let options = Arc::new(options);
    let mut listed = Listed::default();
    match from {
        From::Registry(image) if image.tag.is_some() || image.digest.is_some() => {
            listed.sources = 1;
            listed.images.push(in_registry(image.clone(), &options));
        }
        From::Registry(image) => listed.add(places, &image.repository, &Which::All, &options).await?,
        From::Directory(path) => {
            listed.sources = 1;
            below(path, path, 0, &options, &mut listed)?;
        }
        From::Layout(path) => listed.layout(places, path, &options).await?,
        From::List(path) => {
            let content = read_file(path, list_file::LIMIT)?;
            let content = String::from_utf8(content).map_err(|error| error.to_string());
            let read = content.and_then(|content| list_file::read(&content));
            let (wanted, warnings) =
                read.map_err(|why| Failure::Usage(format!("the list {}: {why}", path.display())))?;
            listed.warnings = warnings;
            let is_given = options.creds.is_some() || options.username.is_some() || options.registry_token.is_some();
            let without = wanted.iter().filter(|wanted| wanted.credentials.is_none()).count();
            if is_given && without > 1 && !anywhere {
                let message = format!(
                    "the list {} names {without} registries without credentials of their own, and those of the command line are for one; \
                     write them in the list, or log in to each (teu login)",
                    path.display()
                );
                return Err(Failure::Usage(message));
            }
            for wanted in wanted {
                let options = Arc::new(of_registry(&options, &wanted));
                for (repository, which) in &wanted.repositories {
                    if let Err(failure) = listed.add(places, repository, which, &options).await {
                        match keep_going {
                            true => listed.failures.push((repository.to_string(), failure)),
                            false => return Err(failure),
                        }
                    }
                }
            }
        }
    }
    check_count(listed.images.len())?;
    Ok(listed)
}

/// What a list says of a registry goes before the flags, which are for all.
fn of_registry(options: &ImageOptions, wanted: &Wanted) -> ImageOptions {
    let mut options = options.clone();
    if let Some((username, password)) = &wanted.credentials {
        (options.creds, options.registry_token) = (None, None);
        (options.username, options.password) = (Some(username.clone()), Some(password.clone()));
    }
    options.tls_verify = wanted.tls_verify.or(options.tls_verify);
    options.cert_dir = wanted.certificates.clone().or(options.cert_dir);
    options
}

fn in_registry(image: RegistryReference, options: &Arc<ImageOptions>) -> Found {
    let mut full = image.clone();
    if full.digest.is_none() {
        full.tag = full.tag_or_latest();
    }
    Found {
        name: full.full(),
        reference: Reference::Registry(full),
        options: Arc::clone(options),
    }
}

impl Listed {
    /// Those of a repository.
    async fn add(
        &mut self,
        places: &Places,
        repository: &Repository,
        which: &Which,
        options: &Arc<ImageOptions>,
    ) -> Result<(), Failure> {
        let image = |tag, digest| RegistryReference::new(repository.clone(), tag, digest);
        if let Which::These(names) = which {
            self.images.extend(names.iter().map(|name| {
                let image = match name {
                    Name::Tag(tag) => image(Some(tag.clone()), None),
                    Name::Digest(digest) => image(None, Some(*digest)),
                };
                in_registry(image, options)
            }));
            self.sources += 1;
            return Ok(());
        }
        let place = Reference::Registry(image(None, None));
        let (source, _) = places
            .source(&place, options)
            .map_err(|failure| failure.on(Side::Source))?;
        let browse = source
            .browse()
            .ok_or_else(|| Error::new(ErrorKind::Unsupported, format!("{place} lists no tags")))?;
        let before = self.images.len();
        for tag in all_names(browse).await.map_err(|failure| failure.on(Side::Source))? {
            if which.takes(&tag) {
                self.images.push(in_registry(image(Some(tag.parse()?), None), options));
            }
        }
        self.sources += 1;
        if self.images.len() == before {
            self.warnings.push(format!("no tag of {repository} is wanted"));
        }
        Ok(())
    }

    /// Those of a layout. A name that is no repository's becomes a tag of the layout's own.
    async fn layout(&mut self, places: &Places, path: &Path, options: &Arc<ImageOptions>) -> Result<(), Failure> {
        let place = Reference::Layout {
            path: path.to_owned(),
            pick: Pick::Only,
        };
        let (source, _) = places
            .source(&place, options)
            .map_err(|failure| failure.on(Side::Source))?;
        let browse = source
            .browse()
            .ok_or_else(|| Error::new(ErrorKind::Unsupported, format!("{place} lists no names")))?;
        self.sources += 1;
        let all = all_named(browse).await?;
        let count = all.len();
        let names: Vec<String> = all.into_iter().filter_map(|named| named.name).collect();
        let unnamed = count - names.len();
        if unnamed > 0 {
            let message = format!("{unnamed} images of {} have no name, and are left out", path.display());
            self.warnings.push(message);
        }
        for name in names {
            let is_whole = name.contains([':', '/', '@']);
            self.images.push(Found {
                reference: Reference::Layout {
                    path: path.to_owned(),
                    pick: Pick::Name(name.clone()),
                },
                name: match is_whole {
                    true => name,
                    false => format!("{}:{name}", last_of(path)?),
                },
                options: Arc::clone(options),
            });
        }
        Ok(())
    }
}

/// The last part of a directory's name.
fn last_of(path: &Path) -> Result<String, Failure> {
    let path = path.canonicalize().map_err(Error::from)?;
    let name = path.file_name().and_then(|name| name.to_str());
    name.map(str::to_owned)
        .ok_or_else(|| Failure::Usage(format!("{} has no name that an image could have", path.display())))
}

/// Every directory at `path` and below in which an image lies, in the order of their names. Links are not followed.
fn below(
    root: &Path,
    path: &Path,
    depth: usize,
    options: &Arc<ImageOptions>,
    listed: &mut Listed,
) -> Result<(), Failure> {
    let within = |error: std::io::Error| {
        Failure::from(Error::from(error).within(format!("looking for images in {}", path.display()))).on(Side::Source)
    };
    if path.join("manifest.json").is_file() {
        let name = match path.strip_prefix(root) {
            Ok(rest) if !rest.as_os_str().is_empty() => rest.to_str().map(str::to_owned),
            _ => Some(last_of(path)?),
        };
        let name = name.ok_or_else(|| Failure::Usage(format!("the name of {} is no text", path.display())))?;
        listed.images.push(Found {
            reference: Reference::Directory { path: path.to_owned() },
            name,
            options: Arc::clone(options),
        });
        return check_count(listed.images.len());
    }
    if path.join("version").is_file() {
        let message = format!("the image in {} was never finished, and is left out", path.display());
        listed.warnings.push(message);
    }
    if depth == MAX_DEPTH {
        let message = format!("{} lies deeper than {MAX_DEPTH} directories", path.display());
        return Err(Error::new(ErrorKind::TooLarge, message).into());
    }
    let entries = std::fs::read_dir(path).map_err(within)?;
    let mut directories = Vec::new();
    for entry in entries {
        let entry = entry.map_err(within)?;
        if entry.file_type().map_err(within)?.is_dir() {
            directories.push(entry.path());
        }
    }
    directories.sort();
    directories
        .iter()
        .try_for_each(|directory| below(root, directory, depth + 1, options, listed))
}
