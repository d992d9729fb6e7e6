//! `teu serve import` and `teu serve export`: what is carried from which place to which, and what is said of it.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde_json::{Value, json};
use teu_depot::{Depot, Distribution, Pattern, Settings as Keeping};
use teu_spec::{Pick, Reference, Repository, Tag, layout};
use teu_store::{
    Error, ErrorKind, Event, Events, Intent, Keyset, Memory, Repositories, Side, Source, Target,
    copy::{self, CopiedRepository, Foreign, Options, Which, Whole, copy_repository},
};
use teu_transport::layout::Layout;

use super::tend::{count, directory};
use crate::{
    arguments::{Carried, ServeExport, ServeImport},
    failure::Failure,
    output,
    places::reference,
    progress::Shown,
    settings::Settings,
};

/// Something did not come along.
const LEFT_OUT: u8 = 10;
/// How many repositories are asked for at once.
const PAGE: usize = 1000;
/// What a registry's directory is called by.
const REGISTRY: &str = "registry:";

/// One repository to be carried.
struct Load {
    repository: String,
    source: Arc<dyn Source>,
    /// One image alone, and the tag that it gets.
    only: Option<(Pick, String)>,
}

pub(super) async fn import(arguments: &ServeImport, settings: &Settings) -> Result<(), Failure> {
    let to = directory(arguments.data.directory.as_ref(), settings)?;
    let mut trip = Trip::new(&arguments.carried, arguments.sparse, settings);
    let mut loads = Vec::new();
    for source in &arguments.sources {
        match source.strip_prefix(REGISTRY) {
            Some(path) => loads.extend(trip.of_registry(Path::new(path)).await?),
            None => loads.extend(of_layouts(source)?),
        }
    }
    loads.retain(|load| trip.is_wanted(&load.repository));
    let depot = into(&to, arguments).await?;
    for load in loads {
        let target: Arc<dyn Target> = match &depot {
            Some(depot) => depot.open(&load.repository, Intent::Write).await?,
            None => Arc::new(Memory::new()),
        };
        trip.carry(load, target).await?;
    }
    trip.tell()
}

/// The depot that is written to; none where it is only rehearsed and there is none.
async fn into(to: &Path, arguments: &ServeImport) -> Result<Option<Depot>, Failure> {
    let keeping = Keeping {
        is_sparse: arguments.sparse,
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
    let mut trip = Trip::new(&arguments.carried, true, settings);
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
        names.extend(page.items.into_iter().filter(|name| trip.is_wanted(name)));
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
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
    for (repository, target) in names.into_iter().zip(places) {
        let source = depot.open(&repository, Intent::Read).await?;
        let load = Load {
            repository,
            source,
            only: None,
        };
        trip.carry(load, target).await?;
    }
    trip.tell()
}

/// Where an export goes.
enum Destination {
    Registry(PathBuf),
    Layout {
        /// The one repository whose layout the directory itself is.
        repository: Option<String>,
        path: PathBuf,
    },
}

impl Destination {
    fn read(text: &str) -> Result<Self, Failure> {
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

    /// A place for each repository.
    async fn places(&self, names: &[String], is_rehearsed: bool) -> Result<Vec<Arc<dyn Target>>, Failure> {
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
fn of_layouts(text: &str) -> Result<Vec<Load>, Failure> {
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
    let mut found = Vec::new();
    if only.is_none() && !is_layout(&path) {
        layouts_below(&path, repository.unwrap_or_default(), &mut found)?;
    }
    if found.is_empty() {
        let repository = match repository {
            Some(repository) => repository.to_owned(),
            None => super::directory_name(&path, place)?,
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

fn is_layout(path: &Path) -> bool {
    path.join(layout::INDEX_FILE).is_file()
}

/// The layouts below a directory that is none, by the paths to them, in their order. No link is gone through.
fn layouts_below(path: &Path, name: &str, found: &mut Vec<(String, PathBuf)>) -> Result<(), Failure> {
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        // That it is not there is told by who opens it.
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => return Ok(()),
        Err(error) => {
            return Err(Error::from(error)
                .within(format!("looking for layouts in {}", path.display()))
                .into());
        }
    };
    let mut below = Vec::new();
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            below.push(entry.path());
        }
    }
    below.sort();
    for path in below {
        let last = path.file_name().unwrap_or_default().to_string_lossy();
        let name = match name {
            "" => last.into_owned(),
            above => format!("{above}/{last}"),
        };
        // What is no repository's name is no repository, and nothing below it is.
        if Repository::check_path(&name).is_err() {
            continue;
        }
        if is_layout(&path) {
            found.push((name.clone(), path.clone()));
        }
        layouts_below(&path, &name, found)?;
    }
    Ok(())
}

/// What is carried, and what came of it.
struct Trip<'a> {
    settings: &'a Settings,
    shown: Shown,
    events: Events,
    patterns: Vec<Pattern>,
    how: Whole,
    told: Vec<(String, CopiedRepository)>,
    odd: Vec<String>,
}

impl<'a> Trip<'a> {
    fn new(carried: &Carried, sparse: bool, settings: &'a Settings) -> Self {
        let shown = Shown::start(settings, false);
        Self {
            settings,
            events: shown.events(),
            shown,
            patterns: carried.repositories.iter().map(Pattern::new).collect(),
            how: Whole {
                options: Options {
                    which: Which::All,
                    foreign: Foreign::WhereThere,
                    rehearse: carried.dry_run,
                    jobs: usize::from(carried.jobs),
                    ..Options::default()
                },
                sparse,
                is_name: |name| name.parse::<Tag>().is_ok(),
            },
            told: Vec::new(),
            odd: Vec::new(),
        }
    }

    fn is_wanted(&self, repository: &str) -> bool {
        self.patterns.is_empty() || self.patterns.iter().any(|pattern| pattern.matches(repository))
    }

    fn warn(&self, message: String) {
        (self.events)(Event::Warning { message });
    }

    async fn of_registry(&mut self, path: &Path) -> Result<Vec<Load>, Failure> {
        let all = Distribution::open(path).await?;
        let found = all.found().await?;
        for odd in found.odd {
            self.warn(format!(
                "{odd} in {} is no repository, and is passed over",
                path.display()
            ));
            self.odd.push(odd);
        }
        let mut loads = Vec::new();
        for repository in found.repositories {
            match all.open(&repository, Intent::Read).await {
                Ok(source) => loads.push(Load {
                    source,
                    repository,
                    only: None,
                }),
                Err(error) if *error.kind() == ErrorKind::Invalid => {
                    self.warn(format!("{repository} is passed over: {error}"));
                    self.odd.push(repository);
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(loads)
    }

    async fn carry(&mut self, load: Load, target: Arc<dyn Target>) -> Result<(), Failure> {
        let Load {
            repository,
            source,
            only,
        } = load;
        let within = |error: Error| error.within(format!("repository {repository}"));
        let done = match only {
            None => copy_repository(source, Arc::clone(&target), &self.how, &self.events)
                .await
                .map_err(within)?,
            Some((pick, tag)) => {
                let names = [tag];
                let copied = copy::copy(
                    source,
                    &pick,
                    Arc::clone(&target),
                    &names,
                    &self.how.options,
                    &self.events,
                );
                let copied = copied.await.map_err(within)?;
                CopiedRepository {
                    names: 1,
                    manifests: copied.manifests,
                    blobs: copied.blobs,
                    bytes: copied.bytes,
                    ..CopiedRepository::default()
                }
            }
        };
        if !self.how.options.rehearse {
            target
                .finish()
                .await
                .map_err(|error| within(error.on(Side::Destination)))?;
        }
        for left in &done.left_out {
            let what = match (&left.names[..], &left.digest) {
                ([], Some(digest)) => digest.to_string(),
                ([], None) => "something".to_owned(),
                (names, _) => names.join(", "),
            };
            self.warn(format!("{repository}: {what} is left out: {}", left.error));
        }
        self.told.push((repository, done));
        Ok(())
    }

    fn tell(self) -> Result<(), Failure> {
        let is_rehearsed = self.how.options.rehearse;
        self.shown.finish();
        let all = |of: fn(&CopiedRepository) -> u64| -> u64 { self.told.iter().map(|(_, done)| of(done)).sum() };
        let left_out = all(|done| done.left_out.len() as u64) + self.odd.len() as u64;
        let (blobs, bytes) = (all(|done| done.blobs as u64), all(|done| done.bytes));
        if self.settings.json {
            let repositories = self.told.iter().map(in_json);
            output::json(&json!({
                "repositories": repositories.collect::<Vec<_>>(),
                "blobs": blobs,
                "bytes": bytes,
                "odd": self.odd,
                "dryRun": is_rehearsed,
            }))?;
        } else {
            let rows = self.told.iter().map(|(repository, done)| {
                vec![
                    repository.clone(),
                    count(done.names as u64, "tag"),
                    format!("{} new", count(done.manifests as u64, "manifest")),
                    format!("{} new", count(done.blobs as u64, "blob")),
                    output::size(done.bytes),
                ]
            });
            output::table(&rows.collect::<Vec<_>>())?;
            output::line(&format!(
                "{}: {} {}, {}; {left_out} left out",
                match self.told.len() {
                    1 => "1 repository".to_owned(),
                    several => format!("{several} repositories"),
                },
                match is_rehearsed {
                    true => "would copy",
                    false => "copied",
                },
                count(blobs, "blob"),
                output::size(bytes),
            ))?;
        }
        match left_out {
            0 => Ok(()),
            _ => Err(Failure::Found { code: LEFT_OUT }),
        }
    }
}

fn in_json((repository, done): &(String, CopiedRepository)) -> Value {
    let left_out = done.left_out.iter().map(|left| {
        json!({
            "names": left.names,
            "digest": left.digest,
            "reason": left.error.to_string(),
        })
    });
    json!({
        "repository": repository,
        "names": done.names,
        "unnamed": done.unnamed,
        "manifests": done.manifests,
        "blobs": done.blobs,
        "bytes": done.bytes,
        "leftOut": left_out.collect::<Vec<_>>(),
    })
}
