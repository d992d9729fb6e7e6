//! `teu serve`'s directory: where it is, how it is opened, and what is done with it beside serving.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use serde_json::json;
use teu_depot::{
    Asking, BackedUp, Candidate, Collected, Depot, Millis, Pattern, Settings as Keeping, Sparse, Terms, Untagged,
};
use teu_registry::{Metrics, Swept};
use teu_spec::Timestamp;
use teu_store::{Error, ErrorKind, blocking};

use super::access;
use crate::{
    arguments::{self, Collect, Serve, ServeDepot, Tend},
    failure::Failure,
    output, say,
    settings::Settings,
};

/// How many candidates are asked for at once.
const PAGE: usize = 1000;
/// How often a server is looked at that was asked to collect, how long it may take to begin, and to end.
const POLL: Duration = Duration::from_millis(100);
const BEGINS: Duration = Duration::from_secs(60);
const ENDS: Duration = Duration::from_secs(600);

/// The directory that was given, or that it is where none was.
pub(super) fn directory(given: Option<&PathBuf>, settings: &Settings) -> Result<PathBuf, Failure> {
    given.cloned().or_else(|| settings.registry()).ok_or_else(|| {
        let message = "there is no home to keep a registry in; say where: --data DIRECTORY";
        Failure::Usage(message.to_owned())
    })
}

/// Opens the depot that is served.
pub(super) async fn open(arguments: &Serve, settings: &Settings) -> Result<(Depot, PathBuf), Failure> {
    let kept = &arguments.depot;
    let directory = directory(kept.data.directory.as_ref(), settings)?;
    let keeping = Keeping {
        sparse: match (kept.sparse, kept.sparse_indexes) {
            (true, _) => Sparse::All,
            (false, true) => Sparse::Indexes,
            (false, false) => Sparse::Nothing,
        },
        untagged: kept.gc_untagged.map(|stays| stays.0),
        immutable: immutable(&kept.immutable),
        lease: kept.gc_lease.0,
        sessions: arguments.limits.max_uploads_kept,
        session_idle: arguments.limits.idle_upload_kept.0,
        ..Keeping::default()
    };
    // To serve nothing for what was mistyped, or not mounted, helps nobody.
    if kept.read_only
        && let Err(error) = Depot::beside(&directory, keeping.clone()).await
        && *error.kind() == ErrorKind::NotFound
    {
        let message = format!(
            "{error}; --read-only serves what is there, so say by --data where that is, or start without --read-only for a new one"
        );
        return Err(Error::new(ErrorKind::NotFound, message).into());
    }
    let depot = Depot::open(&directory, keeping).await?;
    depot.forget_asked().await;
    if let Err(error) = depot.say_terms(kept.read_only).await {
        settings.warn(&format!(
            "{error}; what teu serve gc says with --dry-run, and does with --lease, may not be so"
        ));
    }
    Ok((depot, directory.canonicalize().unwrap_or(directory)))
}

/// Which tags never move.
pub(super) fn immutable(said: &arguments::ServeImmutable) -> Vec<Pattern> {
    said.patterns.iter().map(Pattern::new).collect()
}

/// Collects garbage as long as it is polled, counts what goes, and says where that fails. Where nobody may push nothing goes by itself, but whoever asks has it go.
pub(super) async fn keep(depot: &Depot, kept: &ServeDepot, settings: &Settings, metrics: Option<&Metrics>) {
    let count = |outcome: &teu_store::Result<Collected>| match (metrics, outcome) {
        (Some(metrics), Ok(collected)) => metrics.swept(Swept {
            blobs: collected.blobs,
            bytes: collected.bytes,
            manifests: collected.untagged,
        }),
        (Some(metrics), Err(_)) => metrics.failed_to_sweep(),
        (None, _) => {}
    };
    let told = |outcome: teu_store::Result<Collected>| {
        count(&outcome);
        if let Err(error) = outcome {
            settings.warn(&format!("collecting garbage: {error}; it is tried again"));
        }
    };
    // Of who asks and is to be told, which is no collection.
    let trouble = |error: &Error| settings.warn(&format!("collecting garbage, as was asked: {error}"));
    let answered = |outcome: &teu_store::Result<Collected>| {
        count(outcome);
        match outcome {
            Ok(collected) => say::detail(
                false,
                &format!("collected garbage, as was asked: {}", freed_words(collected)),
            ),
            Err(error) => trouble(error),
        }
    };
    // Before the first collection: of a damaged database it would take away what is needed. What can be read of it is served.
    let is_sound = match depot.look_over().await {
        Ok(found) if found.is_empty() => true,
        Ok(found) => {
            settings.warn(&damage_words(&found, "what can be read of it is served, and "));
            if let Some(metrics) = metrics {
                metrics.found_damaged();
            }
            false
        }
        Err(error) => {
            // It is tried again before anything is collected.
            settings.warn(&format!("the database cannot be looked over: {error}"));
            true
        }
    };
    let collecting = async {
        let every = kept.gc_interval.0;
        match (kept.read_only, is_sound) {
            (true, _) => std::future::pending().await,
            (false, true) => depot.tend(every, told).await,
            (false, false) => {
                let failed = |error| settings.warn(&format!("keeping room for deleting: {error}; it is tried again"));
                depot.keep_room(every, failed).await;
            }
        }
    };
    tokio::join!(collecting, depot.answer(kept.read_only, answered, trouble));
}

fn damage_words(found: &[String], meanwhile: &str) -> String {
    let what = found.first().map_or("", String::as_str);
    format!(
        "the database is damaged: {what}; {meanwhile}nothing is collected; teu serve fsck says more, and a backup is the only way back"
    )
}

pub(super) async fn run(tend: &Tend, settings: &Settings) -> Result<(), Failure> {
    match tend {
        Tend::Gc(arguments) => collect(arguments, settings).await,
        Tend::Fsck(arguments) => super::fsck::run(arguments, settings).await,
        Tend::Backup(arguments) => {
            let from = directory(arguments.data.directory.as_ref(), settings)?;
            let done = teu_depot::backup(&from, &arguments.copy).await?;
            tell(&done, &from, &arguments.copy, settings)
        }
        Tend::Restore(arguments) => {
            let to = directory(arguments.data.directory.as_ref(), settings)?;
            let done = teu_depot::restore(&arguments.copy, &to).await?;
            tell(&done, &arguments.copy, &to, settings)
        }
        Tend::Import(arguments) => super::carry::import(arguments, settings).await,
        Tend::Export(arguments) => super::carry::export(arguments, settings).await,
        Tend::Policy(arguments) => access::policy(arguments, settings),
    }
}

fn tell(done: &BackedUp, from: &Path, to: &Path, settings: &Settings) -> Result<(), Failure> {
    if settings.json {
        output::json(&json!({
            "copy": to,
            "blobs": done.blobs,
            "copied": done.copied,
            "bytes": done.bytes,
            "removed": done.removed,
            "damaged": done.damaged,
            "spared": done.spared,
        }))?;
    } else {
        for digest in &done.damaged {
            output::line(&format!(
                "blob {digest}: not copied, its bytes in {} are not there, cannot be read, or are others",
                from.display()
            ))?;
        }
        output::line(&format!(
            "{} in {}: {} copied, {}; {} removed that nothing needs there",
            count(done.blobs, "blob"),
            to.display(),
            done.copied,
            output::size(done.bytes),
            done.removed,
        ))?;
    }
    if !done.spared.is_empty() {
        settings.warn(&format!(
            "{} stay in {} that {} lost: without the server, teu serve fsck --data {} --repair --from {} takes them back",
            count(done.spared.len() as u64, "blob"),
            to.display(),
            from.display(),
            from.display(),
            to.display(),
        ));
    }
    match done.damaged.is_empty() {
        true => Ok(()),
        false => Err(Failure::Found {
            code: super::fsck::WRONG,
        }),
    }
}

/// Opens a depot that is there, alone; `else_` says what to do where another process has it.
pub(super) async fn alone(directory: &Path, keeping: Keeping, else_: &str) -> Result<Depot, Error> {
    // What is not there is not made to be tended. Where the disk is full, who has it alone has room that is kept for that.
    match Depot::beside(directory, Keeping::default()).await {
        Err(error) if *error.kind() != ErrorKind::Quota => return Err(error),
        _ => {}
    }
    let depot = Depot::open(directory, keeping).await;
    let depot = depot.map_err(|error| match error.kind() {
        ErrorKind::Conflict => Error::new(ErrorKind::Conflict, format!("{error}; {else_}")),
        _ => error,
    })?;
    Ok(depot)
}

async fn collect(arguments: &Collect, settings: &Settings) -> Result<(), Failure> {
    let directory = directory(arguments.data.directory.as_ref(), settings)?;
    let lease = arguments.lease.map(|lease| lease.0);
    let terms = Terms::read(&directory)?;
    let had = arguments.gc_lease.map(|lease| lease.0);
    let had = had.or(terms.map(|terms| terms.least_lease(Keeping::default().clock.now())));
    let keeping = Keeping {
        lease: had.unwrap_or(Keeping::default().lease),
        ..Keeping::default()
    };
    if arguments.dry_run {
        let depot = Depot::beside(&directory, keeping).await?;
        // Beside a server that goes which goes for who asks it.
        let asks = lease.is_none() || arguments.data.configuration.distribution_config.is_some();
        let asked = terms.filter(|terms| terms.is_held && asks);
        let (stays, lease) = match asked {
            Some(terms) => (terms.stays(), terms.as_if()),
            None => (lease.unwrap_or_default(), lease),
        };
        let untagged = match arguments.untagged {
            true => depot.untagged(stays).await?,
            false => Vec::new(),
        };
        return explain(&depot, &untagged, lease, settings).await;
    }
    let depot = match alone(&directory, keeping, "--lease is for when it has ended").await {
        // Where registry:2's own collection runs at night, it says so without knowing whether a server runs.
        Err(error)
            if *error.kind() == ErrorKind::Conflict
                && (lease.is_none() || arguments.data.configuration.distribution_config.is_some()) =>
        {
            return ask(&directory, arguments.untagged, settings).await;
        }
        outcome => outcome?,
    };
    // As a server does before its first.
    let found = depot.look_over().await?;
    if !found.is_empty() {
        return Err(Error::new(ErrorKind::Io, damage_words(&found, "")).into());
    }
    let untagged = arguments.untagged.then(|| lease.unwrap_or_default());
    let (collected, removed) = depot.collect_now(untagged, lease).await?;
    tell_collected(&collected, Some(&removed), settings)
}

/// Has the server that has the directory collect, and says what came of it.
async fn ask(directory: &Path, untagged: bool, settings: &Settings) -> Result<(), Failure> {
    let path = directory.to_owned();
    let asking = blocking::run(move || Asking::begin(&path, untagged)).await?;
    let begun = Instant::now();
    while asking.waits()? {
        if begun.elapsed() > BEGINS {
            asking.withdraw()?;
            let message = format!(
                "another process has {} and does not collect; it is no server, or one that is ending: try again later",
                directory.display()
            );
            return Err(Error::new(ErrorKind::Conflict, message).into());
        }
        tokio::time::sleep(POLL).await;
    }
    let collected = answer(&asking, directory, ENDS).await?;
    tell_collected(&collected, None, settings)
}

/// What came of what a server took up, which may take so long.
async fn answer(asking: &Asking, directory: &Path, ends: Duration) -> Result<Collected, Error> {
    let begun = Instant::now();
    loop {
        let is_held = Terms::read(directory)?.is_none_or(|terms| terms.is_held);
        if let Some(collected) = asking.answer()? {
            return Ok(collected);
        }
        let why = match is_held {
            false => "has ended before it was done; what it has not done the next collection does".to_owned(),
            true if begun.elapsed() >= ends => format!(
                "has said nothing for {} seconds: it collects still, or cannot say what came of it; its log does",
                ends.as_secs()
            ),
            true => {
                tokio::time::sleep(POLL).await;
                continue;
            }
        };
        let message = format!("the server that has {} took it up and {why}", directory.display());
        return Err(Error::new(ErrorKind::Io, message));
    }
}

/// Says what a collection came to; and where it is known, which manifests went.
fn tell_collected(collected: &Collected, untagged: Option<&[Untagged]>, settings: &Settings) -> Result<(), Failure> {
    if settings.json {
        let mut told = json!(collected);
        told["dryRun"] = false.into();
        told["byServer"] = untagged.is_none().into();
        if let Some(untagged) = untagged {
            told["untagged"] = untagged.iter().map(shown).collect();
        }
        return output::json(&told);
    }
    for manifest in untagged.unwrap_or_default() {
        output::line(&format!(
            "{} {}: removed, no tag leads to it",
            manifest.digest, manifest.repository
        ))?;
    }
    output::line(&freed_words(collected))
}

fn freed_words(collected: &Collected) -> String {
    let manifests = match collected.untagged {
        0 => String::new(),
        some => format!("removed {} that no tag leads to; ", count(some, "manifest")),
    };
    format!(
        "{manifests}freed {}: {} that no repository shows any more; forgot {} that nobody went on with, and {} that nobody knew",
        output::size(collected.bytes),
        count(collected.blobs, "blob"),
        count(collected.sessions, "upload"),
        count(collected.strays, "file"),
    )
}

pub(super) fn count(count: u64, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        _ => format!("{count} {what}s"),
    }
}

/// Says what becomes of each blob that nothing references.
async fn explain(
    depot: &Depot,
    untagged: &[Untagged],
    lease: Option<Duration>,
    settings: &Settings,
) -> Result<(), Failure> {
    let mut all: Vec<Candidate> = Vec::new();
    loop {
        let page = depot.candidates(all.last(), PAGE, lease).await?;
        let is_last = page.len() < PAGE;
        all.extend(page);
        if is_last {
            break;
        }
    }
    let (freed, blobs) = freed(&all);
    if settings.json {
        let candidates = all.iter().map(|candidate| {
            json!({
                "repository": candidate.repository,
                "digest": candidate.digest,
                "size": candidate.size,
                "goes": candidate.goes,
                "staysUntil": time(candidate.lease),
                "elsewhere": candidate.elsewhere,
            })
        });
        return output::json(&json!({
            "candidates": candidates.collect::<Vec<_>>(),
            "untagged": untagged.iter().map(shown).collect::<Vec<_>>(),
            "blobs": blobs,
            "bytes": freed,
            "dryRun": true,
        }));
    }
    let rows = all.iter().map(|candidate| {
        let until = time(candidate.lease);
        let becomes = match (candidate.goes, candidate.elsewhere) {
            (false, _) => format!("stays until {until}"),
            (true, 0) if lease.is_some() => "goes: nothing references it".to_owned(),
            (true, 0) => format!("goes: nothing references it, and its time was over {until}"),
            (true, others) => format!("goes from here, and stays in {}", count_of(others)),
        };
        vec![
            candidate.digest.to_string(),
            output::size(candidate.size),
            candidate.repository.clone(),
            becomes,
        ]
    });
    output::table(&rows.collect::<Vec<_>>())?;
    for manifest in untagged {
        output::line(&format!(
            "{} {}: goes, no tag leads to it",
            manifest.digest, manifest.repository
        ))?;
    }
    output::line(&format!("would free {}: {}", output::size(freed), count(blobs, "blob")))
}

fn shown(manifest: &Untagged) -> serde_json::Value {
    json!({"repository": manifest.repository, "digest": manifest.digest})
}

fn count_of(others: u64) -> String {
    match others {
        1 => "1 other repository".to_owned(),
        _ => format!("{others} other repositories"),
    }
}

/// How many bytes of how many blobs go wholly: from every repository that shows them.
fn freed(all: &[Candidate]) -> (u64, u64) {
    let mut going = std::collections::BTreeMap::new();
    for candidate in all.iter().filter(|candidate| candidate.goes) {
        let (shown, _) = going.entry(candidate.digest).or_insert((0, candidate));
        *shown += 1;
    }
    let whole = going.values().filter(|(shown, candidate)| *shown > candidate.elsewhere);
    whole.fold((0, 0), |(bytes, blobs), (_, candidate)| {
        (bytes + candidate.size, blobs + 1)
    })
}

/// A time as a person and a program read it; none where it is none that a calendar has.
fn time(time: Millis) -> String {
    let stamp = Timestamp::from_unix(time.0.div_euclid(1000), 0);
    stamp.map_or_else(|| "-".to_owned(), |stamp| stamp.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What nobody answers is no success, whether who took it up has ended or goes on.
    #[test]
    fn a_server_that_says_nothing_is_said_to() {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
        runtime.expect("a runtime").block_on(async {
            let directory = tempfile::tempdir().expect("a directory");
            let path = directory.path().join("kept");
            let depot = Depot::open(&path, Keeping::default()).await.expect("a depot");
            depot.say_terms(false).await.expect("said");
            let asking = Asking::begin(&path, false).expect("asked");
            // As the server does that takes it up.
            std::fs::remove_file(path.join("gc.asked")).expect("taken up");
            let said = async |ends| answer(&asking, &path, ends).await.expect_err("none").to_string();
            let began = format!("the server that has {} took it up and has ", path.display());
            assert_eq!(
                said(Duration::ZERO).await,
                format!(
                    "{began}said nothing for 0 seconds: it collects still, or cannot say what came of it; its log does"
                )
            );
            drop(depot);
            assert_eq!(
                said(ENDS).await,
                format!("{began}ended before it was done; what it has not done the next collection does")
            );
            std::fs::write(path.join("gc.answer"), json!(Collected::default()).to_string()).expect("answered");
            assert_eq!(answer(&asking, &path, ENDS).await.expect("one"), Collected::default());
        });
    }
}
