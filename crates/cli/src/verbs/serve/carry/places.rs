//! Which places does an argument of `teu serve import` or `teu serve export` mean?

use std::{path::PathBuf, sync::Arc};

use teu_depot::Distribution;
use teu_spec::{Pick, Reference, Repository, Tag, layout};
use teu_store::{ErrorKind, Intent, Memory, Repositories, Target};
use teu_transport::layout::Layout;

use super::{Load, trip::Common};
use crate::{failure::Failure, places::reference, verbs::serve::directory_name};

/// What a registry's directory is called by.
pub(super) const REGISTRY: &str = "registry:";

/// Where an export goes.
pub(super) enum Destination {
    Registry(PathBuf),
    Layout {
        /// The one repository whose layout the directory itself is.
        repository: Option<String>,
        path: PathBuf,
    },
}

impl Destination {
    pub(super) fn read(text: &str) -> Result<Self, Failure> {
        if let Some(path) = text.strip_prefix(REGISTRY) {
            return Ok(Self::Registry(path.into()));
        }
        let (repository, place) = named(text);
        if let Some(repository) = repository {
            Repository::check_path(repository)?;
        }
        match reference(place)? {
            Reference::Layout { path, pick: Pick::Only } => Ok(Self::Layout {
                repository: repository.map(str::to_owned),
                path,
            }),
            other => {
                let message =
                    format!("{other} is no place for repositories; write oci:DIRECTORY or registry:DIRECTORY");
                Err(Failure::Usage(message))
            }
        }
    }

    /// What repositories have in common there.
    pub(super) fn common(&self) -> Common<'static> {
        match self {
            Self::Registry(_) => Common::All,
            Self::Layout { .. } => Common::Nothing,
        }
    }

    /// A place for each repository.
    pub(super) async fn places(&self, names: &[String], is_rehearsed: bool) -> Result<Vec<Arc<dyn Target>>, Failure> {
        let mut places: Vec<Arc<dyn Target>> = Vec::with_capacity(names.len());
        match self {
            // Where nothing is to be written nothing is made, and what is there is looked at.
            Self::Registry(path) if is_rehearsed => match Distribution::open(path).await {
                Ok(all) => {
                    for name in names {
                        places.push(all.open(name, Intent::Write).await?);
                    }
                }
                Err(error) if *error.kind() == ErrorKind::NotFound => {
                    places.extend(names.iter().map(|_| Arc::new(Memory::sparse()) as Arc<dyn Target>));
                }
                Err(error) => return Err(error.into()),
            },
            Self::Registry(path) => {
                let all = Distribution::create(path).await?;
                for name in names {
                    places.push(all.open(name, Intent::Write).await?);
                }
            }
            Self::Layout {
                repository: Some(_),
                path,
            } => places.push(Arc::new(Layout::prepare(path, None)?)),
            Self::Layout { repository: None, path } => {
                check_nested(names)?;
                for name in names {
                    places.push(Arc::new(Layout::prepare(path.join(name), None)?));
                }
            }
        }
        Ok(places)
    }
}

/// Refuses a repository whose layout would lie among what another one's consists of.
fn check_nested(names: &[String]) -> Result<(), Failure> {
    const OWN: [&str; 3] = [layout::BLOBS_DIRECTORY, layout::INDEX_FILE, layout::MARKER_FILE];
    for name in names {
        for (at, _) in name.match_indices('/') {
            let (above, below) = (&name[..at], &name[at + 1..]);
            let first = below.split('/').next().unwrap_or_default();
            if OWN.contains(&first) && names.iter().any(|other| other == above) {
                let message = format!(
                    "the layout of {name} would lie within that of {above}; export one of them by itself: {name}=oci:DIRECTORY"
                );
                return Err(Failure::Usage(message));
            }
        }
    }
    Ok(())
}

/// What stands before the = of a place, and the place.
fn named(text: &str) -> (Option<&str>, &str) {
    match text.split_once('=') {
        // What has an = may be a directory's name as well.
        Some((name, place)) if !name.starts_with("oci:") => (Some(name), place),
        _ => (None, text),
    }
}

/// The layouts that an argument means, and their repositories.
pub(super) fn of_layouts(text: &str) -> Result<Vec<Load>, Failure> {
    let (name, place) = named(text);
    let (path, pick) = match reference(place)? {
        Reference::Layout { path, pick } => (path, pick),
        other => {
            let message = format!("{other} cannot be imported; write oci:DIRECTORY or registry:DIRECTORY");
            return Err(Failure::Usage(message));
        }
    };
    let (repository, tag) = match name.and_then(|name| name.split_once(':')) {
        Some((repository, tag)) => (Some(repository), Some(tag.parse::<Tag>()?)),
        None => (name, None),
    };
    if let Some(repository) = repository {
        Repository::check_path(repository)?;
    }
    let only = match (pick, tag) {
        (Pick::Only, None) => None,
        (Pick::Name(name), None) => match name.parse::<Tag>() {
            Ok(tag) => Some((Pick::Name(name), tag.to_string())),
            Err(_) => {
                let message = format!("{name:?} is no tag; say which one it gets: REPOSITORY:TAG={place}");
                return Err(Failure::Usage(message));
            }
        },
        (_, None) => {
            let message = format!("say which tag that image gets: REPOSITORY:TAG={place}");
            return Err(Failure::Usage(message));
        }
        (pick, Some(tag)) => Some((pick, tag.to_string())),
    };
    let mut found = match only.is_none() && !Layout::is_at(&path) {
        true => Layout::below(&path, repository.unwrap_or_default())?,
        false => Vec::new(),
    };
    if found.is_empty() {
        let repository = match repository {
            Some(repository) => repository.to_owned(),
            None => directory_name(&path, place)?,
        };
        found.push((repository, path));
    }
    let load = |(repository, path): (String, PathBuf)| -> Result<Load, Failure> {
        Ok(Load {
            repository,
            source: Arc::new(Layout::open(path, None)?),
            only: only.clone(),
        })
    };
    found.into_iter().map(load).collect()
}
