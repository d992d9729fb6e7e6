//! On how many threads does a verb run? On the one that is there, until there is work for more.
//!
//! To begin and to end threads costs more than a copy does that finds all in its place, and to hand a request and its answer from thread to thread more than
//! both cost. So a verb that may be done at once, or asks and waits, begins on the first thread, and once it has to bring something ([`Threads::wanted`]), or
//! has taken longer than it may ([`Begins`]), goes on as it stands on several others. What it had begun on the first, such as a connection, stays there: that
//! thread waits for the end, a signal or the time limit, and serves it meanwhile.

use std::{
    io,
    pin::{Pin, pin},
    sync::Arc,
    thread::available_parallelism,
    time::Duration,
};

use tokio::{
    runtime::{Builder, Runtime},
    sync::watch,
    task::yield_now,
    time::sleep,
};

/// How much stack the work has, in bytes: as much as a program's first thread usually has.
const STACK: usize = 8 << 20;

/// How long work may stay on the first thread that is usually done by then.
const AT_ONCE: Duration = Duration::from_millis(200);

/// How long what is still being written may take to break off: its temporary files go when their threads end.
const BREAKING_OFF: Duration = Duration::from_millis(500);

/// Where work begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Begins {
    /// On several threads, at once.
    Several,
    /// On the first, and goes on elsewhere if it is not done at once.
    First,
    /// On the first, where it stays until it wants more: it waits for others most of the time.
    FirstForLong,
}

impl Begins {
    /// How long it may stay on the first thread.
    fn patience(self) -> Duration {
        match self {
            Self::Several => Duration::ZERO,
            Self::First => AT_ONCE,
            Self::FirstForLong => Duration::MAX,
        }
    }
}

/// Where work asks for more threads than one.
#[derive(Clone, Debug)]
pub(crate) struct Threads(Arc<watch::Sender<Stage>>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    One,
    Wanted,
    Several,
}

impl Default for Threads {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(Stage::One)))
    }
}

impl Threads {
    /// Returns once there are several.
    pub(crate) async fn wanted(&self) {
        self.0.send_if_modified(|stage| {
            let is_first = *stage == Stage::One;
            if is_first {
                *stage = Stage::Wanted;
            }
            is_first
        });
        self.reached(Stage::Several).await;
    }

    async fn reached(&self, wanted: Stage) {
        // It is not closed while it is held here.
        let _ = self.0.subscribe().wait_for(|stage| *stage == wanted).await;
    }
}

/// What a verb does, wherever it is done.
pub(crate) type Work<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Where a process does its work.
pub(crate) struct Runtimes {
    first: Runtime,
    several: Option<Runtime>,
    threads: Threads,
}

impl Runtimes {
    /// The first thread alone; work asks for more by `threads`.
    ///
    /// # Errors
    /// Those of the system.
    pub(crate) fn new(threads: Threads) -> io::Result<Self> {
        Ok(Self {
            first: Builder::new_current_thread()
                .thread_stack_size(STACK)
                .enable_all()
                .build()?,
            several: None,
            threads,
        })
    }

    /// Does `work` unless `cut` comes before its end, which is looked for once there are several threads. As long as it is on the first one, be it a check
    /// of what is up to date that takes minutes, `cut` is not looked for, and nobody hears signals: ^C ends the process at once, as it does one that knows
    /// none, without a word or a status of ours. Nothing is half-written then.
    ///
    /// # Errors
    /// Where there can be no more threads.
    pub(crate) fn run<T: Send + 'static>(
        &mut self,
        mut work: Work<T>,
        cut: impl Future<Output = T>,
        begins: Begins,
    ) -> io::Result<T> {
        let mut cut = pin!(cut);
        if begins != Begins::Several {
            let ended = self.first.block_on(async {
                // A signal does here what it does by itself, also where a disk, a lock or whoever reads our output holds us up: nothing of an image is
                // written yet.
                tokio::select! {
                    biased;
                    outcome = &mut work => return Some(outcome),
                    () = self.threads.reached(Stage::Wanted) => {}
                    () = sleep(begins.patience()) => {}
                }
                // Parts of the work that let others go first are woken when this is, and by nobody once this has ended.
                yield_now().await;
                None
            });
            if let Some(outcome) = ended {
                return Ok(outcome);
            }
        }
        // A few threads keep up with any network, and are started in no time: what is long and blocks has threads of its own.
        let threads = available_parallelism().map_or(1, |cores| cores.get().min(4));
        let several = Builder::new_multi_thread()
            .worker_threads(threads)
            .thread_stack_size(STACK)
            .enable_all()
            .build()?;
        let handle = several.handle().clone();
        self.several = Some(several);
        self.threads.0.send_replace(Stage::Several);
        Ok(self.first.block_on(async {
            tokio::select! {
                // It hears signals before the work begins.
                biased;
                outcome = &mut cut => outcome,
                // A task of its own: where it waits for a disk, or for another's lock, `cut` ends it nevertheless.
                outcome = async { handle.spawn(work).await } => match outcome {
                    Ok(outcome) => outcome,
                    // Nobody cancels it.
                    Err(error) => std::panic::resume_unwind(error.into_panic()),
                },
            }
        }))
    }

    /// Waits on the first thread.
    pub(crate) fn wait<T>(&self, until: impl Future<Output = T>) -> T {
        self.first.block_on(until)
    }

    /// Breaks off what is still being done. Where all was done at once there is nothing that the end of the process does not end.
    pub(crate) fn end(self, was_cut: bool) {
        match self.several {
            None if !was_cut => std::mem::forget(self.first),
            several => {
                if let Some(several) = several {
                    several.shutdown_timeout(BREAKING_OFF);
                }
                self.first.shutdown_timeout(BREAKING_OFF);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::pending,
        sync::atomic::{AtomicBool, Ordering},
        thread,
    };

    use futures_util::{StreamExt as _, stream::FuturesUnordered};

    use super::*;

    fn here() -> thread::ThreadId {
        thread::current().id()
    }

    #[test]
    fn what_is_done_at_once_is_done_on_the_thread_that_is_there() {
        let mut runtimes = Runtimes::new(Threads::default()).expect("a runtime");
        let ran_on = runtimes
            .run(Box::pin(async { here() }), pending(), Begins::First)
            .expect("run");
        assert_eq!(ran_on, here());
        assert!(runtimes.several.is_none());
        runtimes.end(false);
    }

    #[test]
    fn work_that_wants_more_threads_goes_on_there_as_it_stands() {
        let threads = Threads::default();
        let mut runtimes = Runtimes::new(threads.clone()).expect("a runtime");
        let work = async move {
            let begun = here();
            // What was begun on the first thread is served there.
            let task = tokio::spawn(async {
                tokio::time::sleep(Duration::from_millis(1)).await;
                here()
            });
            // Two at a time ask for it, as the blobs of an image do.
            tokio::join!(threads.wanted(), threads.wanted());
            // And once it is so, it is at once.
            threads.wanted().await;
            let there = tokio::spawn(async { here() }).await.expect("a task");
            (begun, task.await.expect("a task"), here(), there)
        };
        let (begun, served, went_on, there) = runtimes.run(Box::pin(work), pending(), Begins::First).expect("run");
        assert_eq!((begun, served), (here(), here()));
        assert!(went_on != here() && there != here());
        runtimes.end(false);
    }

    #[test]
    fn a_part_of_the_work_that_let_others_go_first_goes_on_elsewhere() {
        let threads = Threads::default();
        let mut runtimes = Runtimes::new(threads.clone()).expect("a runtime");
        let work = async move {
            let parts: [Work<()>; 2] = [Box::pin(yield_now()), Box::pin(async move { threads.wanted().await })];
            // Of its parts it looks at those alone that were woken.
            parts.into_iter().collect::<FuturesUnordered<_>>().count().await
        };
        assert_eq!(runtimes.run(Box::pin(work), pending(), Begins::First).expect("run"), 2);
        runtimes.end(false);
    }

    #[test]
    fn work_that_takes_a_while_is_cut_off_though_it_blocks() {
        let threads = Threads::default();
        let mut runtimes = Runtimes::new(threads.clone()).expect("a runtime");
        let blocked = Arc::new(AtomicBool::new(true));
        let waits = Arc::clone(&blocked);
        let (blocks, is_blocked) = tokio::sync::oneshot::channel();
        let work = async move {
            // It asks for no more threads: they come when it has taken a while.
            threads.reached(Stage::Several).await;
            blocks.send(()).expect("heard");
            while waits.load(Ordering::Relaxed) {
                thread::yield_now();
            }
            "done"
        };
        let cut = async {
            is_blocked.await.expect("told");
            "cut"
        };
        assert_eq!(runtimes.run(Box::pin(work), cut, Begins::First).expect("run"), "cut");
        blocked.store(false, Ordering::Relaxed);
        runtimes.end(false);
    }

    #[test]
    fn work_that_is_known_to_be_long_never_begins_on_the_first_thread() {
        let mut runtimes = Runtimes::new(Threads::default()).expect("a runtime");
        let ran_on = runtimes
            .run(Box::pin(async { here() }), pending(), Begins::Several)
            .expect("run");
        assert_ne!(ran_on, here());
        runtimes.end(false);
    }
}
