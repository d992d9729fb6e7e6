//! Does a program that reads an enemy's input end in time, and in little memory? It is killed where it does not.

use std::{sync::mpsc, thread, time::Duration};

use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};

use super::{Ran, Run};

/// Whatever takes longer hangs.
pub(crate) const TIME: Duration = Duration::from_secs(20);
/// How much memory of its own a process may ask for, the stacks of its threads among it: 256 MiB.
pub(crate) const MEMORY: u64 = 256 << 20;

impl Run {
    /// Runs it within [`TIME`] and [`MEMORY`]. Who wants more memory gets none, and dies of that.
    #[track_caller]
    pub(crate) fn guarded(self, name: &str) -> Ran {
        let said = format!("{name}: {:?}", self.0);
        let (ended, hangs) = mpsc::channel::<()>();
        let (started, child) = mpsc::channel();
        let watch = thread::spawn(move || {
            let Ok(id) = child.recv() else { return false };
            let hangs = hangs.recv_timeout(TIME) == Err(mpsc::RecvTimeoutError::Timeout);
            if hangs {
                // Where it ended this very moment there is nothing to kill.
                let _ = kill_process(id, Signal::KILL);
            }
            hangs
        });
        let ran = self.ran_watched(&[], move |id| {
            let id = Pid::from_raw(i32::try_from(id).expect("a process")).expect("a process");
            let limit = Rlimit {
                current: Some(MEMORY),
                maximum: Some(MEMORY),
            };
            prlimit(Some(id), Resource::Data, limit).expect("a limit");
            started.send(id).expect("it is watched");
        });
        drop(ended);
        assert!(!watch.join().expect("it watches"), "{said} hangs");
        assert!(
            !ran.stderr.contains("memory allocation of"),
            "{said} wants more than {MEMORY} bytes of memory: {}",
            ran.stderr
        );
        assert!(
            ran.code < 128,
            "{said} ended by signal {}: {}",
            ran.code - 128,
            ran.stderr
        );
        ran
    }
}
