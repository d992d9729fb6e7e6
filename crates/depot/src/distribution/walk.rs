//! Which repositories are there? Each directory that has `_manifests` or `_layers` in it, however deep; what else lies there is told.

use teu_spec::Repository as RepositoryName;
use teu_store::{Error, ErrorKind, Result};

use super::{
    Found,
    read::{LAYERS, MANIFESTS},
};
use crate::content::directory::Directory;

/// How many directories are looked into.
const MOST: usize = 1_000_000;

pub(super) fn found(repositories: &Directory) -> Result<Found> {
    let mut found = Found::default();
    let mut waiting: Vec<String> = vec![String::new()];
    let mut count = 0;
    while let Some(path) = waiting.pop() {
        count += 1;
        if count > MOST {
            let message = format!("there are more than {MOST} directories of repositories");
            return Err(Error::new(ErrorKind::TooLarge, message));
        }
        let steps: Vec<&str> = path.split('/').filter(|step| !step.is_empty()).collect();
        let directory = match repositories.descend(&steps) {
            Ok(Some(directory)) => directory,
            // It went meanwhile.
            Ok(None) => continue,
            Err(error) if *error.kind() == ErrorKind::Invalid => {
                found.odd.push(path);
                continue;
            }
            Err(error) => return Err(error),
        };
        let mut is_repository = false;
        for name in directory.all_names()? {
            is_repository |= name == MANIFESTS || name == LAYERS;
            let text = name.to_string_lossy();
            // What a registry keeps of a repository begins so, and no name does.
            if text.starts_with('_') && !path.is_empty() {
                continue;
            }
            let below = match path.is_empty() {
                true => text.into_owned(),
                false => format!("{path}/{text}"),
            };
            match RepositoryName::check_path(&below) {
                Ok(()) => waiting.push(below),
                Err(_) => found.odd.push(below),
            }
        }
        if is_repository {
            found.repositories.push(path);
        }
    }
    found.repositories.sort();
    found.odd.sort();
    Ok(found)
}
