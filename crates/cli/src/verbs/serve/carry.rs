//! `teu serve import` and `teu serve export`: what is carried from which place to which.

mod imported;
mod places;
mod trip;

use std::{path::Path, sync::Arc};

use teu_depot::{Depot, Pattern, Settings as Keeping, Sparse};
use teu_spec::Pick;
use teu_store::{Error, ErrorKind, Intent, Keyset, Memory, Repositories, Source, Target};

use self::{
    imported::Imported,
    places::{Destination, REGISTRY, of_layouts},
    trip::{Common, Trip},
};
use super::tend::{directory, immutable};
use crate::{
    arguments::{Carried, ServeExport, ServeImport},
    failure::Failure,
    settings::Settings,
};

/// How many repositories are asked for at once.
const PAGE: usize = 1000;

/// One repository to be carried.
struct Load {
    repository: String,
    source: Arc<dyn Source>,
    /// One image alone, and the tag that it gets.
    only: Option<(Pick, String)>,
}

pub(super) async fn import(arguments: &ServeImport, settings: &Settings) -> Result<(), Failure> {
    let to = directory(arguments.data.directory.as_ref(), settings)?;
    let imported = Imported::new(&to, arguments.overwrite, !arguments.carried.dry_run);
    let mut trip = Trip::new(&arguments.carried, arguments.sparse, Some(imported), settings);
    let mut loads = Vec::new();
    for source in &arguments.sources {
        match source.strip_prefix(REGISTRY) {
            Some(path) => loads.extend(trip.of_registry(Path::new(path)).await?),
            None => loads.extend(of_layouts(source)?),
        }
    }
    let found: Vec<&str> = loads.iter().map(|load| &*load.repository).collect();
    check_all_found(&arguments.carried, &found, &arguments.sources.join(", "))?;
    loads.retain(|load| trip.is_wanted(&load.repository));
    let depot = into(&to, arguments).await?;
    let mut targets: Vec<Arc<dyn Target>> = Vec::with_capacity(loads.len());
    for load in &loads {
        targets.push(match &depot {
            Some(depot) => depot.open(&load.repository, Intent::Write).await?,
            None => Arc::new(Memory::new()),
        });
    }
    let common = depot.as_ref().map_or(Common::All, Common::With);
    trip.carry(loads, targets, common).await
}

/// Refuses a pattern that is that of no repository: it is mistyped.
fn check_all_found(carried: &Carried, repositories: &[&str], place: &str) -> Result<(), Failure> {
    for text in &carried.repositories {
        let pattern = Pattern::new(text);
        if !repositories.iter().any(|repository| pattern.matches(repository)) {
            let message = format!("there is no such repository in {place}: {text}");
            return Err(Error::new(ErrorKind::NotFound, message).into());
        }
    }
    Ok(())
}

/// The depot that is written to; none where it is only rehearsed and there is none.
async fn into(to: &Path, arguments: &ServeImport) -> Result<Option<Depot>, Failure> {
    let keeping = Keeping {
        sparse: match arguments.sparse {
            true => Sparse::All,
            false => Sparse::Nothing,
        },
        immutable: immutable(&arguments.immutable),
        ..Keeping::default()
    };
    if arguments.carried.dry_run {
        return match Depot::beside(to, keeping).await {
            Ok(depot) => {
                depot.is_whole().await?;
                Ok(Some(depot))
            }
            Err(error) if *error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        };
    }
    let depot = Depot::open(to, keeping).await.map_err(|error| match error.kind() {
        ErrorKind::Conflict => Error::new(
            ErrorKind::Conflict,
            format!("{error}; to a server that runs, push by teu copy"),
        ),
        _ => error,
    })?;
    // Where it is, what came before costs a question for each image.
    depot.is_whole().await?;
    Ok(Some(depot))
}

pub(super) async fn export(arguments: &ServeExport, settings: &Settings) -> Result<(), Failure> {
    let from = directory(arguments.data.directory.as_ref(), settings)?;
    let trip = Trip::new(&arguments.carried, true, None, settings);
    let to = Destination::read(&arguments.destination)?;
    let depot = Depot::beside(&from, Keeping::default()).await?;
    let mut names = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let part = Keyset {
            after: after.as_deref(),
            limit: PAGE,
        };
        let page = depot.repositories(part).await?;
        names.extend(page.items);
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    let found: Vec<&str> = names.iter().map(|name| &**name).collect();
    check_all_found(&arguments.carried, &found, &from.display().to_string())?;
    names.retain(|name| trip.is_wanted(name));
    if let Destination::Layout {
        repository: Some(only), ..
    } = &to
    {
        names.retain(|name| name == only);
    }
    if names.is_empty() {
        let message = format!("there is no such repository in {}", from.display());
        return Err(Error::new(ErrorKind::NotFound, message).into());
    }
    let places = to.places(&names, arguments.carried.dry_run).await?;
    let mut loads = Vec::with_capacity(names.len());
    for repository in names {
        loads.push(Load {
            source: depot.open(&repository, Intent::Read).await?,
            repository,
            only: None,
        });
    }
    trip.carry(loads, places, to.common()).await
}
