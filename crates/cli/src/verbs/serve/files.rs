//! How many files may be open, and which have changed? What a server asks of the system's files.
//!
//! What cannot be read is tried again also where it does not change: it may have been half written, or the system had no more to give at that moment.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::{MissedTickBehavior, interval},
};

use crate::{say, settings::Settings};

/// How often files are looked at.
const LOOK: Duration = Duration::from_secs(2);
/// How soon what could not be read is tried again; from then on after twice as long each time, up to the most.
const AGAIN: Duration = Duration::from_secs(4);
const MOST: Duration = Duration::from_secs(60);

/// Lets this process have as many files open as it may, and says how many that are: the lower limit is for programs that put files in sets
/// of bits, which nothing here does.
pub(super) fn raise_limit() -> usize {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Where that is refused, what was allowed before has to do.
    let _ = setrlimit(Resource::Nofile, limit);
    let now = getrlimit(Resource::Nofile).current;
    now.and_then(|now| usize::try_from(now).ok()).unwrap_or(usize::MAX)
}

/// Files, and what is done when they have changed.
pub(super) struct Followed {
    settings: Arc<Settings>,
    all: Vec<One>,
    /// None where it cannot be waited for: then files are followed without.
    hangup: Option<Signal>,
}

struct One {
    paths: Vec<PathBuf>,
    /// As they were when they were looked at last, and when they could be read last.
    seen: Vec<Option<Stamp>>,
    read: Vec<Option<Stamp>>,
    failed: Option<Failed>,
    /// Is told whether somebody asked for it by HUP.
    changed: Box<dyn FnMut(bool) -> Outcome + Send>,
}

/// That they could not be read.
struct Failed {
    why: String,
    /// After how long it is tried again, and so when.
    wait: Duration,
    again: Instant,
}

/// What came of reading files again; else why all is as it was.
pub(super) type Outcome = Result<(), String>;

/// What tells a file from the one that stood there before.
#[derive(Clone, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    changed: (i64, i64),
}

impl Followed {
    /// None yet. From now on HUP ends nothing.
    pub(super) fn begin(settings: &Arc<Settings>) -> Self {
        Self {
            settings: Arc::clone(settings),
            all: Vec::new(),
            hangup: signal(SignalKind::hangup()).ok(),
        }
    }

    /// From now on, does this when one of the files is another than now, and says what came of it. It is told whether it was HUP that asked for it.
    pub(super) fn add(&mut self, paths: Vec<PathBuf>, changed: impl FnMut(bool) -> Outcome + Send + 'static) {
        let seen = stamps(&paths);
        self.all.push(One {
            read: seen.clone(),
            seen,
            paths,
            failed: None,
            changed: Box::new(changed),
        });
    }

    /// Looks at them now and then, for ever. HUP has all of them read at once, changed or not.
    pub(super) async fn follow(&mut self) {
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let Self { settings, all, hangup } = self;
        loop {
            let told = tokio::select! {
                _ = look.tick() => false,
                Some(()) = async { hangup.as_mut()?.recv().await } => true,
            };
            for one in &mut *all {
                match one.look(told, Instant::now()) {
                    None => {}
                    Some(Ok(done)) => inform(settings, done),
                    Some(Err(why)) => warn(settings, format!("{why}; it is tried again")),
                }
            }
        }
    }
}

impl One {
    /// Reads them where they have changed or it is time to try again, or that is `told`; what there is to say of it, where it is anything else than at the last
    /// try.
    fn look(&mut self, told: bool, now: Instant) -> Option<Result<String, String>> {
        // What changes while it is read is read again.
        let seen = stamps(&self.paths);
        let is_new = told || seen != self.seen;
        let is_due = self.failed.as_ref().is_some_and(|failed| now >= failed.again);
        if !is_new && !is_due {
            return None;
        }
        self.seen = seen;
        let before = self.failed.take();
        match (self.changed)(told) {
            Ok(()) => {
                let names = self.names(told);
                self.read.clone_from(&self.seen);
                // What is at a URL alone is another's to tell.
                (!names.is_empty()).then(|| Ok(format!("read again: {names}")))
            }
            Err(why) => {
                let before = before.filter(|_| !is_new);
                let is_said = before.as_ref().is_some_and(|before| before.why == why);
                let wait = before.map_or(AGAIN, |before| MOST.min(2 * before.wait));
                self.failed = Some(Failed {
                    why: why.clone(),
                    wait,
                    again: now + wait,
                });
                (!is_said).then_some(Err(why))
            }
        }
    }

    /// The names of those that are others than were read before; of all, where none is or that is wanted.
    fn names(&self, all: bool) -> String {
        let all = all || self.read == self.seen;
        let states = self.read.iter().zip(&self.seen);
        let read = self
            .paths
            .iter()
            .zip(states)
            .filter(|(_, (read, seen))| all || read != seen);
        let names: Vec<String> = read.map(|(path, _)| path.display().to_string()).collect();
        names.join(", ")
    }
}

/// Says what was done, which stops nothing either.
fn inform(settings: &Arc<Settings>, message: String) {
    let as_skopeo = settings.as_skopeo;
    tokio::task::spawn_blocking(move || say::detail(as_skopeo, &message));
}

/// Says something that stops nothing, not even where nobody takes what is said on standard error.
pub(super) fn warn(settings: &Arc<Settings>, message: String) {
    let settings = Arc::clone(settings);
    tokio::task::spawn_blocking(move || settings.warn(&message));
}

fn stamps(paths: &[PathBuf]) -> Vec<Option<Stamp>> {
    paths.iter().map(|path| stamp(path)).collect()
}

fn stamp(path: &Path) -> Option<Stamp> {
    let found = fs::metadata(path).ok()?;
    Some(Stamp {
        device: found.dev(),
        inode: found.ino(),
        size: found.size(),
        changed: (found.ctime(), found.ctime_nsec()),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// A server that has no file open any more than it may, and a disk that fails for a moment, leave what they are asked for as it was.
    #[test]
    fn what_cannot_be_read_is_tried_again_and_said_once() {
        let room = tempfile::tempdir().expect("a directory");
        let path = |name: &str| room.path().join(name);
        for name in ["users", "policy"] {
            fs::write(path(name), "old").expect("written");
        }
        let outcome = Arc::new(Mutex::new((0, Ok(()))));
        let given = Arc::clone(&outcome);
        let mut followed = One {
            paths: vec![path("users"), path("policy")],
            seen: stamps(&[path("users"), path("policy")]),
            read: stamps(&[path("users"), path("policy")]),
            failed: None,
            changed: Box::new(move |_| {
                let mut given = given.lock().expect("an outcome");
                given.0 += 1;
                given.1.clone()
            }),
        };
        let begun = Instant::now();
        let fails = |why: &str| outcome.lock().expect("an outcome").1 = Err(why.to_owned());
        let tries = || outcome.lock().expect("an outcome").0;
        let again = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|name| path(name).display().to_string()).collect();
            Some(Ok(format!("read again: {}", names.join(", "))))
        };
        let mut look = |told, seconds| followed.look(told, begun + Duration::from_secs(seconds));
        assert_eq!((look(false, 0), tries()), (None, 0));
        fs::write(path("users"), "newer").expect("written");
        fails("half");
        assert_eq!(look(false, 0), Some(Err("half".to_owned())));
        // After 4 seconds, 8, 16, 32 and then 60 each.
        let due = [4, 12, 28, 60, 120, 180, 240];
        for second in 1..=240 {
            let before = tries();
            assert_eq!(look(false, second), None, "{second}");
            assert_eq!(tries() - before, u32::from(due.contains(&second)), "{second}");
        }
        fails("none");
        assert_eq!(look(false, 300), Some(Err("none".to_owned())));
        // Who tells it to, or writes something else that is wrong, hears that again, and it is tried soon.
        assert_eq!(look(true, 301), Some(Err("none".to_owned())));
        fs::write(path("users"), "the newest").expect("written");
        assert_eq!(look(false, 302), Some(Err("none".to_owned())));
        assert_eq!((look(false, 305), tries()), (None, 11));
        outcome.lock().expect("an outcome").1 = Ok(());
        assert_eq!((look(false, 305), tries()), (None, 11));
        assert_eq!(look(false, 306), again(&["users"]));
        assert_eq!((look(false, 999), tries()), (None, 12));
        assert_eq!(look(true, 999), again(&["users", "policy"]));
        // What never changed is read all of it.
        fails("full");
        assert_eq!(look(true, 1000), Some(Err("full".to_owned())));
        outcome.lock().expect("an outcome").1 = Ok(());
        assert_eq!(look(false, 1004), again(&["users", "policy"]));
    }
}
