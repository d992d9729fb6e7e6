//! How do many transactions share one fsync? One thread writes: it takes all that waits, does each within a savepoint, commits once, and only
//! then tells each how it went.

use std::{
    sync::{
        Arc,
        mpsc::{Receiver, Sender, channel},
    },
    thread::{self, JoinHandle},
};

use rusqlite::Connection;
use teu_store::{Error, ErrorKind, Result};
use tokio::sync::oneshot;

use super::{recent::Recent, sqlite::failed};

/// How many transactions one commit takes at most: what waits for it is bounded.
const MOST: usize = 256;

/// The one that writes.
pub(super) struct Writer {
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

type Outcome<T, E> = std::result::Result<T, E>;
type Work = Box<dyn FnOnce(Outcome<&Connection, &Failure>) -> Done + Send>;
type Tell = Box<dyn FnOnce(&Outcome<(), Failure>) + Send>;

/// What a transaction is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum About {
    /// What repositories show. It survives a power cut when it is told of.
    Content,
    /// An upload, of which repositories show nothing. It survives a power cut too.
    Session,
    /// One that has just begun, and need not.
    Beginning,
}

struct Job {
    about: About,
    /// Does it, or is told why it is not done.
    work: Work,
}

/// What has been done, and is not committed yet.
struct Done {
    /// Why it failed.
    failure: Option<Failure>,
    /// Tells who waits, once it is known whether the commit failed.
    tell: Tell,
}

/// An error that many are told of.
#[derive(Clone)]
struct Failure {
    kind: ErrorKind,
    message: String,
}

impl Failure {
    fn of(error: &Error) -> Self {
        Self {
            kind: error.kind().clone(),
            message: error.to_string(),
        }
    }

    fn error(&self) -> Error {
        Error::new(self.kind.clone(), self.message.clone())
    }
}

impl Writer {
    /// Starts the thread; it ends when this is dropped and all is told.
    pub(super) fn start(connection: Connection, recent: Arc<Recent>) -> Result<Self> {
        let (jobs, waiting) = channel();
        let thread = thread::Builder::new()
            .name("metadata".to_owned())
            .spawn(move || run(&connection, &waiting, &recent));
        Ok(Self {
            jobs: Some(jobs),
            thread: Some(thread.map_err(Error::from)?),
        })
    }

    /// Does `work` in a transaction, which is undone where it fails. It is done also where nobody waits for it any more.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        about: About,
        work: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (sender, outcome) = oneshot::channel();
        let work = move |connection: Outcome<&Connection, &Failure>| {
            let done = match connection {
                Ok(connection) => apart(connection, work),
                Err(failure) => Err(failure.error()),
            };
            let failure = done.as_ref().err().map(Failure::of);
            let tell = move |committed: &Outcome<(), Failure>| {
                let outcome = match (done, committed) {
                    (Ok(_), Err(failure)) => Err(failure.error()),
                    (done, _) => done,
                };
                // Who asked may have gone.
                let _ = sender.send(outcome);
            };
            Done {
                failure,
                tell: Box::new(tell),
            }
        };
        let job = Job {
            about,
            work: Box::new(work),
        };
        let ended = || Error::new(ErrorKind::Io, "what writes metadata has ended");
        let jobs = self.jobs.as_ref().ok_or_else(ended)?;
        jobs.send(job).map_err(|_| ended())?;
        outcome.await.map_err(|_| ended())?
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take() {
            // Where it panicked, who waited was told that it has ended.
            let _ = thread.join();
        }
    }
}

/// Does `work` so that it leaves nothing where it fails.
fn apart<T>(connection: &Connection, work: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
    connection.execute_batch("SAVEPOINT job").map_err(failed)?;
    let done = work(connection);
    // Where the disk is full all is rolled back already.
    if !connection.is_autocommit() {
        let end = match done {
            Ok(_) => "RELEASE job",
            Err(_) => "ROLLBACK TO job; RELEASE job",
        };
        connection.execute_batch(end).map_err(failed)?;
    }
    done
}

fn run(connection: &Connection, waiting: &Receiver<Job>, recent: &Recent) {
    let (mut is_sound, mut is_full) = (true, false);
    let mut lasts = None;
    while let Ok(first) = waiting.recv() {
        let mut jobs = vec![first];
        jobs.extend(waiting.try_iter().take(MOST - 1));
        let lasting = jobs.iter().any(|job| job.about != About::Beginning);
        let shows = jobs.iter().any(|job| job.about == About::Content);
        if std::mem::take(&mut is_full) {
            // Begun anew the log takes no more room than it has. Where there is none even for that, who makes room gives up some, and is here again.
            let _ = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
        }
        // What was written before a failed sync may be lost though the next one succeeds, and what stands behind it in the log with it. Into
        // the database itself it is written anew.
        let begun = match is_sound {
            true => Ok(()),
            false => checkpoint(connection),
        };
        let begun = begun.and_then(|()| {
            is_sound = true;
            if lasts != Some(lasting) {
                let level = if lasting { "FULL" } else { "NORMAL" };
                connection.pragma_update(None, "synchronous", level)?;
                lasts = Some(lasting);
            }
            connection.execute_batch("BEGIN IMMEDIATE")
        });
        let mut outcome = begun.map_err(|error| Failure::of(&failed(error)));
        let mut done = Vec::with_capacity(jobs.len());
        for job in jobs {
            done.push((job.work)(outcome.as_ref().map(|()| connection)));
            // A disk that is full may roll back all at once.
            if outcome.is_ok() && connection.is_autocommit() {
                let cause = done.last().and_then(|done| done.failure.clone());
                outcome = Err(cause.unwrap_or_else(|| Failure {
                    kind: ErrorKind::Io,
                    message: "the transaction was rolled back".to_owned(),
                }));
            }
        }
        if outcome.is_ok() {
            let commit = || connection.execute_batch("COMMIT");
            let committed = if shows { recent.during(commit) } else { commit() };
            outcome = committed.map_err(|error| Failure::of(&failed(error)));
        }
        if let Err(failure) = &outcome {
            // Where there is no room nothing was lost, and what makes room must go on.
            is_full = failure.kind == ErrorKind::Quota;
            is_sound &= is_full;
            if !connection.is_autocommit() {
                // Where this fails too, the next one does not begin.
                let _ = connection.execute_batch("ROLLBACK");
            }
        }
        for done in done {
            (done.tell)(&outcome);
        }
    }
}

/// Writes the log into the database, and begins it anew.
fn checkpoint(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| {
        let is_busy: bool = row.get(0)?;
        match is_busy {
            false => Ok(()),
            true => Err(rusqlite::Error::SqliteFailure(
                rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY),
                Some("the log cannot be written back while it is read".to_owned()),
            )),
        }
    })
}
