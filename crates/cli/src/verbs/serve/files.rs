//! How many files may be open, and which have changed? What a server asks of the system's files.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::{MissedTickBehavior, interval},
};

use crate::{say, settings::Settings};

/// How often files are looked at.
const LOOK: Duration = Duration::from_secs(2);

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
    seen: Vec<Option<Stamp>>,
    changed: Box<dyn FnMut() -> Outcome + Send>,
}

/// What came of reading files again; else why all is as it was.
pub(super) type Outcome = Result<(), String>;

/// What tells a file from the one that stood there before.
#[derive(PartialEq, Eq)]
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

    /// From now on, does this when one of the files is another than now, and says what came of it.
    pub(super) fn add(&mut self, paths: Vec<PathBuf>, changed: impl FnMut() -> Outcome + Send + 'static) {
        self.all.push(One {
            seen: paths.iter().map(|path| stamp(path)).collect(),
            paths,
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
                // What changes while it is read is read again.
                let now: Vec<_> = one.paths.iter().map(|path| stamp(path)).collect();
                if told || now != one.seen {
                    let names = one.names(&now, told);
                    one.seen = now;
                    match (one.changed)() {
                        // What is at a URL alone is another's to tell.
                        Ok(()) if names.is_empty() => {}
                        Ok(()) => inform(settings, format!("read again: {names}")),
                        Err(why) => warn(settings, why),
                    }
                }
            }
        }
    }
}

impl One {
    /// The names of those that are others than before, or of all.
    fn names(&self, now: &[Option<Stamp>], all: bool) -> String {
        let states = self.seen.iter().zip(now);
        let read = self
            .paths
            .iter()
            .zip(states)
            .filter(|(_, (seen, now))| all || seen != now);
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

fn stamp(path: &Path) -> Option<Stamp> {
    let found = fs::metadata(path).ok()?;
    Some(Stamp {
        device: found.dev(),
        inode: found.ino(),
        size: found.size(),
        changed: (found.ctime(), found.ctime_nsec()),
    })
}
