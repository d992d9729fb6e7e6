//! How is metadata kept in SQLite? One connection writes, and any number read beside it, as they are when they begin.

mod check;
mod collect;
mod put;
mod read;
mod untagged;

use std::{
    fs::OpenOptions,
    io,
    os::unix::{ffi::OsStrExt, fs::OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rusqlite::{Connection, ErrorCode, OpenFlags, ffi::SQLITE_IOERR_SHMSIZE};
use rustix::{
    fs::{StatVfsMountFlags, statvfs},
    io::Errno,
};
use teu_spec::{Descriptor, Digest};
use teu_store::{BoxFuture, Error, ErrorKind, Expect, Keyset, Page, Result, blocking};

use super::{
    Blob, Held, Immutable, Looked, Manifest, Metadata, Needed, NewBlob, NewManifest, Reviewed, Session, Unreferenced,
    group::{About, Writer},
    recent::Recent,
};
use crate::{
    content::directory::Directory,
    depot::is_held,
    place::{Millis, Place},
};

/// The steps that lead to the schema that this version knows, each from the one before.
pub(crate) const STEPS: &[&str] = &[
    include_str!("../schema.sql"),
    include_str!("../identity.sql"),
    include_str!("../origins.sql"),
    include_str!("../lost.sql"),
];
/// How many connections that read are kept for the next who reads.
const KEPT: usize = 8;
/// How long is waited for another process that looks on: a backup, a person with a shell.
const PATIENCE: Duration = Duration::from_secs(10);
/// How many statements a connection keeps prepared: all that there are.
const STATEMENTS: usize = 80;

/// Metadata in a file of SQLite.
pub struct Sqlite {
    readers: Arc<Readers>,
    recent: Arc<Recent>,
    pub(super) writer: Writer,
}

struct Readers {
    path: PathBuf,
    access: Access,
    idle: Mutex<Vec<Connection>>,
}

impl Sqlite {
    /// Opens the file, and makes it where it is not there, for its owner alone. What an older version wrote is brought up to date. `path` must lead through no
    /// symbolic link.
    ///
    /// # Errors
    /// `Unsupported` where a newer version wrote it.
    pub fn open(path: &Path) -> Result<Self> {
        make(path)?;
        let mut connection = connect(path, Access::Shared)?;
        let within = |error: rusqlite::Error| failed(error).within(format!("opening {}", path.display()));
        connection.pragma_update(None, "journal_mode", "WAL").map_err(within)?;
        connection.pragma_update(None, "synchronous", "FULL").map_err(within)?;
        connection.pragma_update(None, "foreign_keys", true).map_err(within)?;
        connection
            .pragma_update(None, "journal_size_limit", 64 << 20)
            .map_err(within)?;
        bring_up_to_date(&mut connection).map_err(|error| error.within(format!("opening {}", path.display())))?;
        Self::of(path, connection, Access::Shared, Recent::new())
    }

    /// Opens the file to look at it beside the process that has it. Nothing can be changed.
    ///
    /// # Errors
    /// `NotFound` where there is none; `Unsupported` where another version wrote it.
    pub fn beside(path: &Path) -> Result<Self> {
        if std::fs::symlink_metadata(path).is_err() {
            let message = format!("there is no depot: {} is not there", path.display());
            return Err(Error::new(ErrorKind::NotFound, message));
        }
        let access = Access::beside(path)?;
        let connection = connect(path, access)?;
        connection.pragma_update(None, "query_only", true).map_err(failed)?;
        let version: i64 = connection
            .query_row("PRAGMA user_version", [], |row| row.get(0))
            .map_err(failed)?;
        let known = i64::try_from(STEPS.len()).unwrap_or(i64::MAX);
        if version != known {
            let else_ = match version < known {
                true => format!(
                    "start this teu's server on it once, which brings it up to date: teu serve --data {}; an older teu does not read it then",
                    path.parent().unwrap_or(path).display()
                ),
                false => "a newer teu reads it".to_owned(),
            };
            let message = format!(
                "{} is of version {version}, and this teu looks on at version {known} alone; {else_}",
                path.display()
            );
            return Err(Error::new(ErrorKind::Unsupported, message));
        }
        Self::of(path, connection, access, Recent::none())
    }

    /// Opens the file to look at it, where nobody changes it meanwhile. Nothing is made beside it.
    ///
    /// # Errors
    /// Those of the disk.
    pub(crate) fn still(path: &Path) -> Result<Self> {
        let connection = connect(path, Access::Still)?;
        Self::of(path, connection, Access::Still, Recent::none())
    }

    fn of(path: &Path, connection: Connection, access: Access, recent: Recent) -> Result<Self> {
        let recent = Arc::new(recent);
        Ok(Self {
            readers: Arc::new(Readers {
                path: path.to_owned(),
                access,
                idle: Mutex::default(),
            }),
            writer: Writer::start(connection, Arc::clone(&recent))?,
            recent,
        })
    }

    /// Reads at once: a look-up takes less than a thread to wake.
    fn look<T>(&self, read: impl FnOnce(&Connection) -> Result<T>) -> BoxFuture<'_, Result<T>>
    where
        T: Send + 'static,
    {
        Box::pin(std::future::ready(self.readers.read(read)))
    }

    /// Reads what may be much, on a thread for that.
    fn list<T>(&self, read: impl FnOnce(&Connection) -> Result<T> + Send + 'static) -> BoxFuture<'static, Result<T>>
    where
        T: Send + 'static,
    {
        let readers = Arc::clone(&self.readers);
        Box::pin(blocking::run(move || readers.read(read)))
    }

    /// Changes something, for good.
    fn change<T>(&self, change: impl FnOnce(&Connection) -> Result<T> + Send + 'static) -> BoxFuture<'_, Result<T>>
    where
        T: Send + 'static,
    {
        Box::pin(self.writer.write(About::Content, change))
    }
}

impl Readers {
    fn read<T>(&self, read: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        let idle = self.idle().pop();
        let connection = match idle {
            Some(connection) => connection,
            None => self.connect()?,
        };
        let outcome = read(&connection);
        let mut idle = self.idle();
        if idle.len() < KEPT {
            idle.push(connection);
        }
        outcome
    }

    fn connect(&self) -> Result<Connection> {
        let connection = connect(&self.path, self.access)?;
        connection.pragma_update(None, "query_only", true).map_err(failed)?;
        Ok(connection)
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Connection>> {
        // No one leaves it half changed, so what a panic elsewhere left is whole.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes the file of a database, empty, where it is not there: for its owner alone, as is then what SQLite has beside it. All that is in a depot can be
/// read in it, whoever may pull what.
///
/// # Errors
/// Those of the disk.
pub(crate) fn make(path: &Path) -> Result<()> {
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    match made {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(Error::from(error).within(format!("making {}", path.display())))
        }
        _ => Ok(()),
    }
}

/// How a file of SQLite is opened.
#[derive(Clone, Copy)]
pub(crate) enum Access {
    /// Others may have it open too.
    Shared,
    /// Nobody writes to it.
    Still,
}

impl Access {
    /// To look at what another process may have: on a file system that nobody writes to that is none, and nothing can be made beside it.
    ///
    /// # Errors
    /// Those of the disk.
    pub(crate) fn beside(path: &Path) -> Result<Self> {
        let within =
            |error: Errno| Error::from(std::io::Error::from(error)).within(format!("opening {}", path.display()));
        let is_read_only = statvfs(path)
            .map_err(within)?
            .f_flag
            .contains(StatVfsMountFlags::RDONLY);
        Ok(match is_read_only && !may_change(path)? {
            true => Self::Still,
            false => Self::Shared,
        })
    }
}

/// Whether a database changes though nobody can write to it here: the same directory may be mounted elsewhere, where a server has it.
fn may_change(path: &Path) -> Result<bool> {
    // What stands in a log is not lost sight of: SQLite says that it cannot read it, where it cannot.
    let has_log = std::fs::symlink_metadata(beside(path, "-wal")).is_ok_and(|log| log.len() > 0);
    if has_log || std::fs::symlink_metadata(beside(path, "-shm")).is_ok() {
        return Ok(true);
    }
    path.parent()
        .map_or(Ok(false), |directory| is_held(&Directory::open(directory)?))
}

/// The file of this name's end that SQLite has beside a database.
pub(crate) fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}

/// A connection to a file.
///
/// # Errors
/// Those of the disk.
pub(crate) fn connect(path: &Path, access: Access) -> Result<Connection> {
    let (name, flags) = match access {
        Access::Shared => (path.as_os_str().to_owned(), OpenFlags::SQLITE_OPEN_READ_WRITE),
        Access::Still => (
            as_uri(path).into(),
            OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI,
        ),
    };
    // Each is used by one thread at a time.
    let flags = flags | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let opened = Connection::open_with_flags(name, flags).and_then(|connection| {
        connection.busy_timeout(PATIENCE)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        Ok(connection)
    });
    opened.map_err(|error| failed(error).within(format!("opening {}", path.display())))
}

/// What says of a file that it does not change.
fn as_uri(path: &Path) -> String {
    let bytes = path.as_os_str().as_bytes().iter();
    let escaped: String = bytes.map(|byte| format!("%{byte:02x}")).collect();
    format!("file:{escaped}?immutable=1")
}

/// The name of a database's file, as SQLite takes it in a statement.
///
/// # Errors
/// `Invalid` where it is no text.
pub(crate) fn name_of(path: &Path) -> Result<&str> {
    path.to_str().ok_or_else(|| {
        let message = format!("{} is no text, which the name of a database is", path.display());
        Error::new(ErrorKind::Invalid, message)
    })
}

/// Takes the steps that are not taken yet, each wholly or not at all.
pub(crate) fn bring_up_to_date(connection: &mut Connection) -> Result<()> {
    let taken: i64 = connection
        .query_row("PRAGMA user_version", [], |row| row.get(0))
        .map_err(failed)?;
    let known = usize::try_from(taken).ok().filter(|taken| *taken <= STEPS.len());
    let Some(known) = known else {
        let message = format!(
            "it is of version {taken}, and this teu knows no later one than {}; a newer teu reads it",
            STEPS.len()
        );
        return Err(Error::new(ErrorKind::Unsupported, message));
    };
    for (step, statements) in STEPS.iter().enumerate().skip(known) {
        let transaction = connection.transaction().map_err(failed)?;
        transaction.execute_batch(statements).map_err(failed)?;
        transaction
            .pragma_update(None, "user_version", step as i64 + 1)
            .map_err(failed)?;
        transaction.commit().map_err(failed)?;
    }
    Ok(())
}

/// What SQLite says, as our errors say it.
pub(crate) fn failed(error: rusqlite::Error) -> Error {
    let (kind, hint) = match error.sqlite_error_code() {
        // What it keeps beside its log, in memory that lies in a file, needs room too.
        _ if error
            .sqlite_error()
            .is_some_and(|error| error.extended_code == SQLITE_IOERR_SHMSIZE) =>
        {
            (ErrorKind::Quota, "the disk is full")
        }
        Some(ErrorCode::DiskFull) => (ErrorKind::Quota, "the disk is full"),
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => (ErrorKind::Denied, "it may not be written"),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            (ErrorKind::Io, "the database is damaged; restore it from a backup")
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            (ErrorKind::Io, "another process is at the database")
        }
        _ => (ErrorKind::Io, "the database failed"),
    };
    Error::new(kind, hint).with_cause(error)
}

/// Whether an error says that the database is damaged, or that a row has what no row can have.
#[must_use]
pub fn is_damage(error: &Error) -> bool {
    let cause = error.cause().and_then(|cause| cause.downcast_ref::<rusqlite::Error>());
    cause.is_some_and(|error| {
        let is_row = matches!(
            error,
            rusqlite::Error::FromSqlConversionFailure(..) | rusqlite::Error::InvalidColumnType(..)
        );
        let code = error.sqlite_error_code();
        is_row || matches!(code, Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
    })
}

impl Metadata for Sqlite {
    fn has_repository<'a>(&'a self, repository: &'a str) -> BoxFuture<'a, Result<bool>> {
        let is_there = |connection: &Connection| Ok(read::has_repository(connection, repository)?.then_some(()));
        let read = || self.readers.read(is_there);
        let found = self
            .recent
            .answer(repository, |known| &mut known.itself, &(), read, |()| 0);
        Box::pin(std::future::ready(found.map(|found| found.is_some())))
    }

    fn repositories<'a>(&'a self, part: Keyset<'a>) -> BoxFuture<'a, Result<Page<String>>> {
        let (after, limit) = owned(part);
        self.list(move |connection| read::repositories(connection, &after, limit))
    }

    fn holders<'a>(&'a self, digest: &'a Digest, part: Keyset<'a>) -> BoxFuture<'a, Result<Page<String>>> {
        let ((after, limit), digest) = (owned(part), *digest);
        self.list(move |connection| read::holders(connection, &digest, &after, limit))
    }

    fn blob<'a>(&'a self, repository: &'a str, digest: &'a Digest) -> BoxFuture<'a, Result<Option<Blob>>> {
        let read = || {
            self.readers
                .read(|connection| read::blob(connection, repository, digest))
        };
        let found = self
            .recent
            .answer(repository, |known| &mut known.blobs, digest, read, |_| 0);
        Box::pin(std::future::ready(found))
    }

    fn manifest<'a>(&'a self, repository: &'a str, digest: &'a Digest) -> BoxFuture<'a, Result<Option<Manifest>>> {
        let read = || {
            self.readers
                .read(|connection| read::manifest(connection, repository, digest))
        };
        let found = self.recent.answer(
            repository,
            |known| &mut known.manifests,
            digest,
            read,
            |found| found.content.len(),
        );
        Box::pin(std::future::ready(found))
    }

    fn describe<'a>(&'a self, repository: &'a str, digest: &'a Digest) -> BoxFuture<'a, Result<Option<Descriptor>>> {
        let read = || {
            self.readers
                .read(|connection| read::describe(connection, repository, digest))
        };
        let found = self
            .recent
            .answer(repository, |known| &mut known.described, digest, read, |_| 0);
        Box::pin(std::future::ready(found))
    }

    fn tag<'a>(&'a self, repository: &'a str, name: &'a str) -> BoxFuture<'a, Result<Option<Descriptor>>> {
        let read = || self.readers.read(|connection| read::tag(connection, repository, name));
        let found = self
            .recent
            .answer(repository, |known| &mut known.tags, name, read, |_| 0);
        Box::pin(std::future::ready(found))
    }

    fn tags<'a>(&'a self, repository: &'a str, part: Keyset<'a>) -> BoxFuture<'a, Result<Page<(String, Descriptor)>>> {
        let ((after, limit), repository) = (owned(part), repository.to_owned());
        self.list(move |connection| read::tags(connection, &repository, &after, limit))
    }

    fn tag_names<'a>(&'a self, repository: &'a str, part: Keyset<'a>) -> BoxFuture<'a, Result<Page<String>>> {
        let ((after, limit), repository) = (owned(part), repository.to_owned());
        self.list(move |connection| read::tag_names(connection, &repository, &after, limit))
    }

    fn digests<'a>(&'a self, repository: &'a str, part: Keyset<'a>) -> BoxFuture<'a, Result<Page<Digest>>> {
        let ((after, limit), repository) = (owned(part), repository.to_owned());
        self.list(move |connection| read::digests(connection, &repository, &after, limit))
    }

    fn referrers<'a>(
        &'a self,
        repository: &'a str,
        subject: &'a Digest,
        artifact_type: Option<&'a str>,
        part: Keyset<'a>,
    ) -> BoxFuture<'a, Result<Page<Descriptor>>> {
        let ((after, limit), repository, subject) = (owned(part), repository.to_owned(), *subject);
        let artifact_type = artifact_type.map(str::to_owned);
        self.list(move |connection| {
            read::referrers(
                connection,
                &repository,
                &subject,
                artifact_type.as_deref(),
                &after,
                limit,
            )
        })
    }

    fn put_blob(&self, blob: NewBlob) -> BoxFuture<'_, Result<()>> {
        self.change(move |connection| put::blob(connection, &blob))
    }

    fn extend<'a>(&'a self, repository: &'a str, digest: &'a Digest, lease: Millis) -> BoxFuture<'a, Result<bool>> {
        let (repository, digest) = (repository.to_owned(), *digest);
        self.change(move |connection| put::extend(connection, &repository, &digest, lease))
    }

    fn mount<'a>(
        &'a self,
        from: &'a str,
        repository: &'a str,
        digest: &'a Digest,
        lease: Millis,
    ) -> BoxFuture<'a, Result<bool>> {
        let (from, repository, digest) = (from.to_owned(), repository.to_owned(), *digest);
        self.change(move |connection| put::mount(connection, &from, &repository, &digest, lease))
    }

    fn remove_blob<'a>(&'a self, repository: &'a str, digest: &'a Digest, due: Millis) -> BoxFuture<'a, Result<bool>> {
        let (repository, digest) = (repository.to_owned(), *digest);
        self.change(move |connection| collect::remove_blob(connection, &repository, &digest, due))
    }

    fn put_manifest(&self, manifest: NewManifest) -> BoxFuture<'_, Result<()>> {
        self.change(move |connection| put::manifest(connection, &manifest))
    }

    fn remove_manifest<'a>(
        &'a self,
        repository: &'a str,
        digest: &'a Digest,
        immutable: Immutable,
        now: Millis,
    ) -> BoxFuture<'a, Result<bool>> {
        let (repository, digest) = (repository.to_owned(), *digest);
        self.change(move |connection| collect::remove_manifest(connection, &repository, &digest, &immutable, now))
    }

    fn remove_tag<'a>(
        &'a self,
        repository: &'a str,
        name: &'a str,
        expect: Expect,
        now: Millis,
    ) -> BoxFuture<'a, Result<bool>> {
        let (repository, name) = (repository.to_owned(), name.to_owned());
        self.change(move |connection| collect::remove_tag(connection, &repository, &name, expect, now))
    }

    fn touch<'a>(
        &'a self,
        repository: &'a str,
        digest: &'a Digest,
        before: Millis,
        now: Millis,
    ) -> BoxFuture<'a, Result<()>> {
        let is_due = |connection: &Connection| untagged::is_older(connection, repository, digest, before);
        match self.readers.read(is_due) {
            Ok(true) => {
                let (repository, digest) = (repository.to_owned(), *digest);
                self.change(move |connection| untagged::touch(connection, &repository, &digest, now))
            }
            outcome => Box::pin(std::future::ready(outcome.map(drop))),
        }
    }

    fn remove_untagged<'a>(
        &'a self,
        repository: &'a str,
        digest: &'a Digest,
        before: Millis,
        now: Millis,
    ) -> BoxFuture<'a, Result<bool>> {
        let (repository, digest) = (repository.to_owned(), *digest);
        self.change(move |connection| untagged::remove(connection, &repository, &digest, before, now))
    }

    fn begin_session(&self, session: Session, most: u64) -> BoxFuture<'_, Result<()>> {
        let begin = move |connection: &Connection| put::begin_session(connection, &session, most);
        Box::pin(self.writer.write(About::Beginning, begin))
    }

    fn session<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Option<Session>>> {
        self.look(|connection| read::session(connection, id))
    }

    fn record_session(&self, session: Session) -> BoxFuture<'_, Result<bool>> {
        let record = move |connection: &Connection| put::record_session(connection, &session);
        Box::pin(self.writer.write(About::Session, record))
    }

    fn end_session<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<()>> {
        let id = id.to_owned();
        let end = move |connection: &Connection| put::end_session(connection, &id);
        Box::pin(self.writer.write(About::Session, end))
    }

    fn idle_sessions(&self, before: Millis, empty: bool, limit: usize) -> BoxFuture<'_, Result<Vec<String>>> {
        self.list(move |connection| read::idle_sessions(connection, before, empty, limit))
    }

    fn review(&self, now: Millis, due: Millis, limit: usize) -> BoxFuture<'_, Result<Reviewed>> {
        self.change(move |connection| collect::review(connection, now, due, limit))
    }

    fn tombstones(&self, now: Millis, passed: usize, limit: usize) -> BoxFuture<'_, Result<Vec<Place>>> {
        self.list(move |connection| collect::tombstones(connection, now, passed, limit))
    }

    fn bury(&self, places: Vec<Place>) -> BoxFuture<'_, Result<()>> {
        self.change(move |connection| collect::bury(connection, &places))
    }

    fn unknown(&self, places: Vec<Place>) -> BoxFuture<'_, Result<Vec<Place>>> {
        self.list(move |connection| collect::unknown(connection, places))
    }

    fn unreferenced<'a>(
        &'a self,
        after: Option<(&'a str, &'a Digest)>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Unreferenced>>> {
        let after = after.map(|(repository, digest)| (repository.to_owned(), *digest));
        self.list(move |connection| collect::unreferenced(connection, after, limit))
    }

    fn untagged(&self, after: Option<i64>, before: Millis, limit: usize) -> BoxFuture<'_, Result<Looked>> {
        self.list(move |connection| untagged::list(connection, after, before, limit))
    }

    fn is_whole(&self) -> BoxFuture<'_, Result<bool>> {
        self.look(check::is_whole)
    }

    fn leads_to(&self, place: Place) -> BoxFuture<'_, Result<bool>> {
        self.look(|connection| check::leads_to(connection, &place))
    }

    fn misses(&self, digest: Digest) -> BoxFuture<'_, Result<bool>> {
        self.look(|connection| Ok(!check::wanting(connection, &digest)?.is_empty()))
    }

    fn missing(&self, after: Option<Digest>, limit: usize) -> BoxFuture<'_, Result<Vec<Digest>>> {
        self.list(move |connection| check::missing(connection, after, limit))
    }

    fn needed<'a>(
        &'a self,
        digest: &'a Digest,
        within: Option<&'a str>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Needed>> {
        let (digest, within) = (*digest, within.map(str::to_owned));
        self.list(move |connection| check::needed(connection, &digest, within.as_deref(), limit))
    }

    fn blobs(&self, after: Option<Digest>, limit: usize) -> BoxFuture<'_, Result<Vec<(Place, u64)>>> {
        self.list(move |connection| check::blobs(connection, after, limit))
    }

    fn manifests(&self, after: i64, limit: usize) -> BoxFuture<'_, Result<Vec<Held>>> {
        self.list(move |connection| check::manifests(connection, after, limit))
    }

    fn lose(&self, place: Place) -> BoxFuture<'_, Result<Vec<String>>> {
        self.change(move |connection| check::lose(connection, &place))
    }

    fn restore(&self, place: Place, size: u64, lease: Millis) -> BoxFuture<'_, Result<Vec<String>>> {
        self.change(move |connection| check::restore(connection, &place, size, lease))
    }

    fn examine(&self) -> BoxFuture<'_, Result<Vec<String>>> {
        self.list(check::examine)
    }

    fn look_over(&self) -> BoxFuture<'_, Result<Vec<String>>> {
        self.list(check::look_over)
    }
}

/// A part of a list, for a thread of its own. No name is empty, so all stand behind the empty one.
fn owned(part: Keyset<'_>) -> (String, usize) {
    (part.after.unwrap_or_default().to_owned(), part.limit)
}
