//! How are repositories carried, and what is said of it?

use std::{
    collections::{HashMap, HashSet},
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures_util::{FutureExt, StreamExt, stream};
use serde_json::{Value, json};
use teu_depot::{Depot, Distribution, Pattern};
use teu_spec::{Digest, Tag};
use teu_store::{
    BoxFuture, Error, ErrorKind, Event, Events, Intent, Keyset, Repositories, Side, Target,
    copy::{CopiedRepository, Foreign, Moves, Noted, Options, Turns, Which, Whole, copy_one, copy_repository},
    graph::Permits,
};

use super::{Load, imported::Imported};
use crate::{
    arguments::Carried, failure::Failure, output, progress::Shown, settings::Settings, verbs::serve::tend::count,
};

/// Something did not come along.
const LEFT_OUT: u8 = 10;
/// How many of the tags of a repository that were left alone are named.
const NAMED: usize = 10;

/// What goes into one repository, in its order, each with its place among all.
type Lane = Vec<(usize, Load, Arc<dyn Target>)>;
/// A repository, and what was done.
type Told = (String, CopiedRepository);
/// What failed first, in the order of what was to be carried.
type Failed = Mutex<Option<(usize, Failure)>>;

/// Which repositories have content in common, at the place that is carried to.
pub(super) enum Common<'a> {
    /// None.
    Nothing,
    /// All of them.
    All,
    /// All, and what others have that are there already.
    With(&'a Depot),
}

/// What is carried, and what came of it.
pub(super) struct Trip<'a> {
    settings: &'a Settings,
    shown: Shown,
    events: Events,
    patterns: Vec<Pattern>,
    how: Whole,
    /// What earlier ones set; none where all tags are moved.
    imported: Option<Imported>,
    told: Vec<Told>,
    odd: Vec<String>,
}

impl<'a> Trip<'a> {
    pub(super) fn new(carried: &Carried, sparse: bool, imported: Option<Imported>, settings: &'a Settings) -> Self {
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
                    // All repositories share them, and what another one brings is only shown then.
                    permits: Some(Permits::new(usize::from(carried.jobs))),
                    turns: Some(Turns::default()),
                    ..Options::default()
                },
                sparse,
                // Each has documents in memory.
                under_way: Some(Permits::new(usize::from(carried.jobs))),
                is_name: |name| name.parse::<Tag>().is_ok(),
                moves: Moves::All,
                noted: Noted::default(),
            },
            imported,
            told: Vec::new(),
            odd: Vec::new(),
        }
    }

    pub(super) fn is_wanted(&self, repository: &str) -> bool {
        self.patterns.is_empty() || self.patterns.iter().any(|pattern| pattern.matches(repository))
    }

    fn warn(&self, message: String) {
        (self.events)(Event::Warning { message });
    }

    pub(super) async fn of_registry(&mut self, path: &Path) -> Result<Vec<Load>, Failure> {
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

    /// Carries all of these, each to its target: several repositories side by side, what goes into one of them in its order. And tells of it.
    ///
    /// After one that fails none is begun; those under way come to their end, and are told of before it is said what failed first.
    pub(super) async fn carry(
        mut self,
        loads: Vec<Load>,
        targets: Vec<Arc<dyn Target>>,
        common: Common<'_>,
    ) -> Result<(), Failure> {
        let mut lanes: Vec<Lane> = Vec::new();
        let mut places: HashMap<String, usize> = HashMap::new();
        for (at, (load, target)) in loads.into_iter().zip(targets).enumerate() {
            let lane = *places.entry(load.repository.clone()).or_insert(lanes.len());
            if lane == lanes.len() {
                lanes.push(Vec::new());
            }
            lanes[lane].push((at, load, target));
        }
        let failed = Failed::default();
        // Boxed, or the compiler does not see that they may move between threads.
        let lanes = lanes.into_iter().map(|lane| self.carry_lane(lane, &failed).boxed());
        let lanes: Vec<BoxFuture<'_, _>> = lanes.collect();
        let lanes = stream::iter(lanes).buffer_unordered(self.how.options.jobs);
        let mut told: Vec<(usize, Told)> = lanes.concat().await;
        told.sort_by_key(|(at, _)| *at);
        self.told = told.into_iter().map(|(_, done)| done).collect();
        let settled = self.settle(common).await;
        let failed = failed.into_inner().unwrap_or_else(PoisonError::into_inner);
        // What is told is what was done, and said is what failed first.
        match failed.map(|(_, failure)| failure).or(settled.err()) {
            None => self.tell(),
            Some(failure) if self.told.is_empty() => Err(failure),
            Some(failure) => {
                // That something was left out as well is told; this says more.
                let _ = self.tell();
                Err(failure)
            }
        }
    }

    async fn carry_lane(&self, lane: Lane, failed: &Failed) -> Vec<(usize, Told)> {
        let mut told = Vec::with_capacity(lane.len());
        if lock(failed).is_some() {
            return told;
        }
        let first = lane.first().map(|(at, load, _)| (*at, load.repository.clone()));
        let Some((at, repository)) = first else { return told };
        let mut known = match &self.imported {
            None => HashMap::new(),
            Some(imported) => match imported.read(&repository).await {
                Ok(known) => known,
                Err(error) => {
                    note(failed, at, error.into());
                    return told;
                }
            },
        };
        for group in groups(lane) {
            let noted = Noted::default();
            let how = Whole {
                noted: Arc::clone(&noted),
                moves: self
                    .imported
                    .as_ref()
                    .map_or(Moves::All, |imported| imported.moves(&known)),
                ..self.how.clone()
            };
            let images = group.into_iter();
            let images = images.map(|(one, load, target)| {
                // The first was begun with its lane, whatever failed while it was read what was imported before.
                let is_begun = one == at;
                self.carry_one(one, load, target, &how, failed, is_begun).boxed()
            });
            // Collected first, or the compiler does not see that they may move between threads.
            let images: Vec<BoxFuture<'_, _>> = images.collect();
            let images = stream::iter(images).buffered(self.how.options.jobs);
            let done: Vec<Option<(usize, Told)>> = images.collect().await;
            told.extend(done.into_iter().flatten());
            if let Some(imported) = self.imported.as_ref().filter(|imported| imported.writes) {
                // Also what one set that failed: the next import goes on from there.
                known.extend(noted.lock().unwrap_or_else(PoisonError::into_inner).drain());
                if let Err(error) = imported.write(&repository, &known).await {
                    self.warn(format!(
                        "{error}; the next import leaves tags alone that the source moves until then"
                    ));
                }
            }
        }
        told
    }

    /// None where it failed, or another one had.
    async fn carry_one(
        &self,
        at: usize,
        load: Load,
        target: Arc<dyn Target>,
        how: &Whole,
        failed: &Failed,
        is_begun: bool,
    ) -> Option<(usize, Told)> {
        if !is_begun && lock(failed).is_some() {
            return None;
        }
        match self.try_one(load, target, how).await {
            Ok((repository, done)) => {
                self.warn_of(&repository, &done);
                Some((at, (repository, done)))
            }
            Err(failure) => {
                note(failed, at, failure);
                None
            }
        }
    }

    async fn try_one(&self, load: Load, target: Arc<dyn Target>, how: &Whole) -> Result<Told, Failure> {
        let Load {
            repository,
            source,
            only,
        } = load;
        let within = |error: Error| error.within(format!("repository {repository}"));
        let done = match only {
            None => copy_repository(source, Arc::clone(&target), how, &self.events).await,
            Some((pick, tag)) => copy_one(source, &pick, Arc::clone(&target), &[tag], how, &self.events).await,
        };
        let done = done.map_err(within)?;
        if !self.how.options.rehearse {
            target
                .finish()
                .await
                .map_err(|error| within(error.on(Side::Destination)))?;
        }
        Ok((repository, done))
    }

    fn warn_of(&self, repository: &str, done: &CopiedRepository) {
        for left in &done.left_out {
            let what = match (&left.names[..], &left.digest) {
                ([], Some(digest)) => digest.to_string(),
                ([], None) => "something".to_owned(),
                (names, _) => names.join(", "),
            };
            self.warn(format!("{repository}: {what} is left out: {}", left.error));
        }
        let mut names: Vec<&str> = done.left_alone.iter().map(|left| &*left.name).collect();
        if names.is_empty() {
            return;
        }
        let all = count(names.len() as u64, "tag");
        names.sort_unstable();
        let more = match names.len().saturating_sub(NAMED) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        names.truncate(NAMED);
        self.warn(format!(
            "{repository}: {all} left alone, set here by others than an import: {}{more}; --overwrite moves them",
            names.join(", ")
        ));
    }

    /// Says of what several bring that the first of them brings it, whichever of them it was: it goes there once.
    async fn settle(&mut self, common: Common<'_>) -> Result<(), Failure> {
        attribute(&mut self.told, !matches!(common, Common::Nothing));
        let Common::With(depot) = common else { return Ok(()) };
        if !self.how.options.rehearse {
            return Ok(());
        }
        for (_, done) in &mut self.told {
            for (digest, came) in done.blobs.iter_mut().filter(|(_, came)| came.is_new) {
                let any = Keyset { after: None, limit: 1 };
                came.is_new = depot.holders(digest, any).await?.items.is_empty();
            }
        }
        Ok(())
    }

    fn tell(self) -> Result<(), Failure> {
        let is_rehearsed = self.how.options.rehearse;
        self.shown.finish();
        let all = |of: fn(&CopiedRepository) -> u64| -> u64 { self.told.iter().map(|(_, done)| of(done)).sum() };
        let left_out = all(|done| done.left_out.len() as u64) + self.odd.len() as u64;
        let left_alone = all(|done| done.left_alone.len() as u64);
        let (blobs, bytes) = (all(|done| done.brought().0 as u64), all(|done| done.brought().1));
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
                let (blobs, bytes) = done.brought();
                vec![
                    repository.clone(),
                    count(done.names.len() as u64, "tag"),
                    format!("{} new", count(done.manifests.len() as u64, "manifest")),
                    format!("{} new", count(blobs as u64, "blob")),
                    output::size(bytes),
                ]
            });
            output::table(&rows.collect::<Vec<_>>())?;
            output::line(&format!(
                "{}: {} {}, {}; {left_out} left out{}",
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
                match left_alone {
                    0 => String::new(),
                    _ => format!(", {} left alone", count(left_alone, "tag")),
                },
            ))?;
        }
        match left_out + left_alone {
            0 => Ok(()),
            _ => Err(Failure::Found { code: LEFT_OUT }),
        }
    }
}

fn lock(failed: &Failed) -> MutexGuard<'_, Option<(usize, Failure)>> {
    failed.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Notes what failed, unless what stands before it has.
fn note(failed: &Failed, at: usize, failure: Failure) {
    let mut failed = lock(failed);
    if failed.as_ref().is_none_or(|(first, _)| at < *first) {
        *failed = Some((at, failure));
    }
}

/// The images of a lane that may go side by side: single ones whose tags differ.
fn groups(lane: Lane) -> Vec<Lane> {
    let mut groups: Vec<Lane> = Vec::new();
    let mut tags = HashSet::new();
    for (at, load, target) in lane {
        let tag = load.only.as_ref().map(|(_, tag)| tag.clone());
        let goes_along = tag.is_some_and(|tag| !tags.is_empty() && tags.insert(tag));
        if !goes_along {
            groups.push(Lane::new());
            tags = load.only.iter().map(|(_, tag)| tag.clone()).collect();
        }
        if let Some(group) = groups.last_mut() {
            group.push((at, load, target));
        }
    }
    groups
}

/// What each brings that none before it does; of blobs where all share them, of manifests within its repository.
fn attribute(told: &mut [Told], share: bool) {
    let place = |repository: &str| if share { String::new() } else { repository.to_owned() };
    let mut new: HashSet<(String, Digest)> = HashSet::new();
    for (repository, done) in told.iter() {
        let came = done.blobs.iter().filter(|(_, came)| came.is_new);
        new.extend(came.map(|(digest, _)| (place(repository), *digest)));
    }
    let mut put = HashSet::new();
    for (repository, done) in told {
        for (digest, came) in &mut done.blobs {
            came.is_new = new.remove(&(place(repository), *digest));
        }
        done.manifests
            .retain(|digest| put.insert((repository.clone(), *digest)));
    }
}

fn in_json((repository, done): &(String, CopiedRepository)) -> Value {
    let (blobs, bytes) = done.brought();
    let left_out = done.left_out.iter().map(|left| {
        json!({
            "names": left.names,
            "digest": left.digest,
            "reason": left.error.to_string(),
        })
    });
    let left_alone = done.left_alone.iter().map(|left| {
        json!({
            "name": left.name,
            "target": left.target,
            "source": left.source,
        })
    });
    json!({
        "repository": repository,
        "names": done.names.len(),
        "unnamed": done.unnamed,
        "manifests": done.manifests.len(),
        "blobs": blobs,
        "bytes": bytes,
        "leftOut": left_out.collect::<Vec<_>>(),
        "leftAlone": left_alone.collect::<Vec<_>>(),
    })
}
