//! How are repositories carried, and what is said of it?

use std::{
    collections::HashMap,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use futures_util::{FutureExt, StreamExt, stream};
use serde_json::{Value, json};
use teu_depot::{Distribution, Pattern};
use teu_spec::Tag;
use teu_store::{
    BoxFuture, Error, ErrorKind, Event, Events, Intent, Repositories, Side, Target,
    copy::{self, CopiedRepository, Foreign, Options, Turns, Which, Whole, copy_repository},
    graph::Permits,
};

use super::Load;
use crate::{
    arguments::Carried, failure::Failure, output, progress::Shown, settings::Settings, verbs::serve::tend::count,
};

/// Something did not come along.
const LEFT_OUT: u8 = 10;

/// What goes into one repository, in its order, each with its place among all.
type Lane = Vec<(usize, Load, Arc<dyn Target>)>;
/// A repository, and what was done.
type Told = (String, CopiedRepository);

/// What is carried, and what came of it.
pub(super) struct Trip<'a> {
    settings: &'a Settings,
    shown: Shown,
    events: Events,
    patterns: Vec<Pattern>,
    how: Whole,
    told: Vec<Told>,
    odd: Vec<String>,
}

impl<'a> Trip<'a> {
    pub(super) fn new(carried: &Carried, sparse: bool, settings: &'a Settings) -> Self {
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
                is_name: |name| name.parse::<Tag>().is_ok(),
            },
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
    pub(super) async fn carry(mut self, loads: Vec<Load>, targets: Vec<Arc<dyn Target>>) -> Result<(), Failure> {
        let mut lanes: Vec<Lane> = Vec::new();
        let mut places: HashMap<String, usize> = HashMap::new();
        for (at, (load, target)) in loads.into_iter().zip(targets).enumerate() {
            let lane = *places.entry(load.repository.clone()).or_insert(lanes.len());
            if lane == lanes.len() {
                lanes.push(Vec::new());
            }
            lanes[lane].push((at, load, target));
        }
        let failed: Mutex<Option<Failure>> = Mutex::default();
        // Boxed, or the compiler does not see that they may move between threads.
        let lanes = lanes.into_iter().map(|lane| self.carry_lane(lane, &failed).boxed());
        let lanes: Vec<BoxFuture<'_, _>> = lanes.collect();
        let lanes = stream::iter(lanes).buffer_unordered(self.how.options.jobs);
        let mut told: Vec<(usize, Told)> = lanes.concat().await;
        told.sort_by_key(|(at, _)| *at);
        self.told = told.into_iter().map(|(_, done)| done).collect();
        match failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
            None => self.tell(),
            Some(failure) if self.told.is_empty() => Err(failure),
            Some(failure) => {
                // That something was left out as well is told; this says more.
                let _ = self.tell();
                Err(failure)
            }
        }
    }

    async fn carry_lane(&self, lane: Lane, failed: &Mutex<Option<Failure>>) -> Vec<(usize, Told)> {
        let failed = || failed.lock().unwrap_or_else(PoisonError::into_inner);
        let mut told = Vec::with_capacity(lane.len());
        if failed().is_some() {
            return told;
        }
        for (at, load, target) in lane {
            match self.carry_one(load, target).await {
                Ok((repository, done)) => {
                    self.warn_of(&repository, &done);
                    told.push((at, (repository, done)));
                }
                Err(failure) => {
                    failed().get_or_insert(failure);
                    break;
                }
            }
        }
        told
    }

    async fn carry_one(&self, load: Load, target: Arc<dyn Target>) -> Result<Told, Failure> {
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
