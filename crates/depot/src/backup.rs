//! How is a depot copied as it is at one moment, while its process goes on? First what the database says then, then the files that it names, at last
//! the database's name.
//!
//! The copy is a depot itself: it is opened, served and checked as any other, and copied back to restore what was lost.

use std::{collections::HashSet, fs, io, path::Path};

use teu_spec::Digest;
use teu_store::{Error, ErrorKind, Result, blocking};

use crate::{
    Content, Files, Metadata, PARTS, Place, Sqlite,
    content::{
        copied,
        directory::{Directory, failed},
        is_damage,
    },
    depot::{METADATA, locked, prepared},
    metadata::{self, Access, beside, bring_up_to_date, connect, name_of},
    whose::{self, Whose},
};

/// The database of a copy that is not whole yet.
const NEW: &str = "metadata.new";
/// What SQLite has beside a database that is written to, and leaves where this is killed.
const BESIDE: [&str; 3] = ["-wal", "-shm", "-journal"];
/// How often the database is taken anew where files that it names are not there, or not as they should be: they may have gone meanwhile.
const ATTEMPTS: u32 = 5;
/// How many rows are asked for at once.
const BATCH: usize = 500;

/// What a copy did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BackedUp {
    /// How many blobs there are in it.
    pub blobs: u64,
    /// How many of them were copied now; the others were there.
    pub copied: u64,
    /// How many bytes those have.
    pub bytes: u64,
    /// How many files went that the database names no more.
    pub removed: u64,
    /// Blobs that could not be copied: their bytes are not there, cannot be read, or are others than their digest says. All else was.
    pub damaged: Vec<Digest>,
    /// Blobs of the copy that no row leads to, and that stay, as manifests miss them: the depot lost them.
    pub spared: Vec<Digest>,
}

/// Copies the depot of a directory to another one, beside the process that has it: all that was acknowledged when this began is in the copy.
/// Uploads that are under way are not.
///
/// `to` is made where it is not there. Where it is an older copy, only what is new is copied, and until this is done it stays as it was; what
/// breaks off is gone on with by the next one.
///
/// # Errors
/// `NotFound` where there is no depot; `Conflict` where other things are in `to`, a registry or the copy of another one too, or a process has it.
pub async fn backup(from: &Path, to: &Path) -> Result<BackedUp> {
    let path = from.to_owned();
    // Asks whether it is there, and of which version: one that has no identity yet would get another one in each copy.
    blocking::run(move || Sqlite::beside(&path.canonicalize().unwrap_or(path).join(METADATA)).map(drop)).await?;
    copy_depot(from, to, Whose::Copy).await
}

/// Copies one, of which the copy says `whose` it is.
async fn copy_depot(from: &Path, to: &Path, whose: Whose) -> Result<BackedUp> {
    let (from, to) = (from.to_owned(), to.to_owned());
    let (from, to, _lock) = blocking::run(move || {
        let from = from.canonicalize().map_err(|error| failed(error, "opening", &from))?;
        are_apart(&from, &to)?;
        let left = BESIDE.map(|end| format!("{NEW}{end}"));
        let mut ours = vec![NEW, "blobs", "uploads"];
        ours.extend(left.iter().map(String::as_str));
        let to = prepared(&to, &ours)?;
        let root = Directory::open(&to)?;
        let lock = locked(&root)?;
        match root.has(METADATA)? {
            true => whose::check(&from, &to)?,
            false => is_begun(&root)?,
        }
        Ok((from, to, lock))
    })
    .await?;
    let (source, target) = (Files::open(&from)?, Files::open(&to)?);
    let mut done = BackedUp::default();
    let mut before = HashSet::new();
    for _ in 0..ATTEMPTS {
        let database = snapshot(&from, &to, whose).await?;
        let wrong = copy_all(&database, &source, &target, &mut done).await?;
        // What a later database names too has not gone meanwhile.
        if wrong.iter().all(|place| before.contains(place)) {
            drop(database);
            name(&to).await?;
            done.blobs -= wrong.len() as u64;
            done.damaged = wrong.into_iter().map(|place| place.digest).collect();
            prune(&to, &target, &mut done).await?;
            return Ok(done);
        }
        before.extend(wrong);
    }
    let message = format!(
        "files of {} went {ATTEMPTS} times while they were copied; check it with fsck, or try again later",
        from.display()
    );
    Err(Error::new(ErrorKind::Conflict, message))
}

/// Brings back what a copy has, into a directory in which no depot is yet. What breaks off is gone on with by doing it again.
///
/// # Errors
/// Those of [`backup`]; `Conflict` where `to` is a depot already, which stays as it is. A copy of an older version is brought up to date on its way.
pub async fn restore(copy: &Path, to: &Path) -> Result<BackedUp> {
    let (kept, copied) = (to.to_owned(), copy.join(METADATA));
    blocking::run(move || {
        if is_there(&kept.join(METADATA))? {
            let message = format!("{} keeps a registry already; move it away first", kept.display());
            return Err(Error::new(ErrorKind::Conflict, message));
        }
        if !is_there(&copied)? {
            let message = format!("there is no copy: {} is not there", copied.display());
            return Err(Error::new(ErrorKind::NotFound, message));
        }
        Ok(())
    })
    .await?;
    let copied = copy_depot(copy, to, Whose::Own).await;
    copied.map_err(|error| match metadata::is_damage(&error) {
        true => {
            let message = format!(
                "the database of the copy {} is damaged, and nothing can be brought back by it; restore another copy",
                copy.display()
            );
            Error::new(ErrorKind::Io, message)
        }
        false => error,
    })
}

/// Refuses to copy a directory into itself, or over what it lies in.
fn are_apart(from: &Path, to: &Path) -> Result<()> {
    // What is not there yet is made below what is.
    let is_there = |path: &&Path| path.as_os_str().is_empty() || path.exists();
    let there = to.ancestors().find(is_there).unwrap_or(to);
    let below = to.strip_prefix(there).unwrap_or(to);
    let real = match there.as_os_str().is_empty() {
        true => Path::new("."),
        false => there,
    };
    let real = real.canonicalize().map_err(|error| failed(error, "opening", there))?;
    let to = real.join(below);
    if !to.starts_with(from) && !from.starts_with(&to) {
        return Ok(());
    }
    let message = format!(
        "{} and {} lie one in the other; give a directory elsewhere",
        from.display(),
        to.display()
    );
    Err(Error::new(ErrorKind::Conflict, message))
}

fn is_there(path: &Path) -> Result<bool> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(failed(error, "looking for", path)),
        Ok(_) => Ok(true),
    }
}

/// Whether a directory without a database is empty, or a copy that was begun.
///
/// # Errors
/// `Conflict` where it has content of which nothing says what it is: it may be all that is left of a depot.
fn is_begun(root: &Directory) -> Result<()> {
    let Some(blobs) = root.directory("blobs")? else {
        return Ok(());
    };
    if root.has(NEW)? || blobs.all_names()?.is_empty() {
        return Ok(());
    }
    let message = format!(
        "{} has content, and no {METADATA} that says what it is; move it away, or give another directory",
        root.path("").display()
    );
    Err(Error::new(ErrorKind::Conflict, message))
}

/// The database as it is now, without what is of this process alone.
async fn snapshot(from: &Path, to: &Path, whose: Whose) -> Result<Sqlite> {
    let (from, new) = (from.join(METADATA), to.join(NEW));
    blocking::run(move || {
        for left in [""].iter().chain(&BESIDE).map(|end| beside(&new, end)) {
            match fs::remove_file(&left) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error, "removing", &left)),
                _ => {}
            }
        }
        let text = name_of(&new)?;
        let within = |error: Error| error.within(format!("copying {}", from.display()));
        let within_database = |error| within(metadata::failed(error));
        let connection = connect(&from, Access::beside(&from)?).map_err(within)?;
        metadata::make(&new)?;
        connection.execute("VACUUM INTO ?1", [text]).map_err(within_database)?;
        drop(connection);
        let mut copied = connect(&new, Access::Shared)?;
        let version = copied.query_row("PRAGMA user_version", [], |row| row.get::<_, i64>(0));
        if version.map_err(within_database)? == 0 {
            return Err(within(Error::new(
                ErrorKind::Invalid,
                "there is nothing in its database",
            )));
        }
        bring_up_to_date(&mut copied).map_err(within)?;
        let changed = copied.execute_batch("DELETE FROM sessions; DELETE FROM tombstones");
        changed.and_then(|()| whose.say(&copied)).map_err(within_database)?;
        // Where it may only be read, as on a disk that is kept elsewhere, nothing can be made beside it, which a log would take.
        let mode = copied.pragma_update_and_check(None, "journal_mode", "DELETE", |_| Ok(()));
        mode.map_err(within_database)?;
        drop(copied);
        Sqlite::still(&new)
    })
    .await
}

/// Copies what the database names and is not there, and says of what that failed as its bytes are not there, cannot be read, or are others.
async fn copy_all(database: &Sqlite, source: &Files, target: &Files, done: &mut BackedUp) -> Result<Vec<Place>> {
    let (mut after, mut wrong) = (None, Vec::new());
    done.blobs = 0;
    loop {
        let blobs = database.blobs(after, BATCH).await?;
        let Some((last, _)) = blobs.last() else {
            return Ok(wrong);
        };
        after = Some(last.digest);
        for (place, size) in blobs {
            done.blobs += 1;
            if target.size(&place).await? == Some(size) {
                continue;
            }
            if !copy(source, target, place, size).await? {
                wrong.push(place);
                continue;
            }
            done.copied += 1;
            done.bytes += size;
        }
    }
}

/// Copies one blob; false where its bytes are not there, cannot be read, or are others.
async fn copy(source: &Files, target: &Files, place: Place, size: u64) -> Result<bool> {
    use crate::OpenFiles;
    let (source, target) = (source.clone(), target.clone());
    blocking::run(move || {
        let mut file = match source.open(&place, size) {
            Ok(Some(file)) => file,
            Ok(None) => return Ok(false),
            Err(error) if is_damage(&error) => return Ok(false),
            Err(error) => return Err(error),
        };
        // Called by its place, so that what was broken off is found by who comes again.
        let name = format!("b-{}", place.ulid);
        let is_copied = copied(&target, &name, &mut file, &place.digest, size)?;
        if is_copied {
            target.place(&name, &place)?;
        }
        Ok(is_copied)
    })
    .await
}

/// Gives the new database its name: from now on the copy is this one.
async fn name(to: &Path) -> Result<()> {
    let to = to.to_owned();
    blocking::run(move || {
        let directory = Directory::open(&to)?;
        // It has no log: all is in the file itself.
        let file = directory.file(NEW, true)?;
        let file = file.ok_or_else(|| Error::new(ErrorKind::Io, format!("{} is gone", to.join(NEW).display())))?;
        file.sync_all()?;
        for left in ["metadata.sqlite-wal", "metadata.sqlite-shm"] {
            directory.remove(left)?;
        }
        directory.rename(NEW, &directory, METADATA)?;
        directory.sync()
    })
    .await
}

/// Removes the files that the database names no more, but for what the depot lost: these may be the last good bytes of it.
async fn prune(to: &Path, target: &Files, done: &mut BackedUp) -> Result<()> {
    let metadata = Sqlite::still(&to.join(METADATA))?;
    for part in 0..PARTS {
        for place in metadata.unknown(target.part(part).await?).await? {
            if done.damaged.contains(&place.digest) || metadata.misses(place.digest).await? {
                done.spared.push(place.digest);
                continue;
            }
            target.remove(&place).await?;
            done.removed += 1;
        }
    }
    Ok(())
}
