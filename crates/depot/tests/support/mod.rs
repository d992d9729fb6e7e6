//! What the tests of the depot stand on: one in a directory of its own, with a clock that stands until it is set.

#![allow(dead_code, reason = "each test uses a part of it")]

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use teu_depot::{Clock, Depot, Millis, Settings};
use teu_spec::Digest;

/// When the tests begin: some day in 2026.
pub(crate) const NOW: i64 = 1_790_000_000_000;
/// How long a lease is.
pub(crate) const LEASE: Duration = Duration::from_secs(1000);

/// Settings whose clock stands.
pub(crate) fn settings() -> Settings {
    Settings {
        lease: LEASE,
        session_idle: LEASE,
        clock: Clock::of(|| Millis(NOW)),
        ..Settings::default()
    }
}

/// A clock, and what sets it on by seconds.
pub(crate) fn clock() -> (Clock, impl Fn(u64)) {
    let time = Arc::new(AtomicI64::new(NOW));
    let told = Arc::clone(&time);
    let clock = Clock::of(move || Millis(told.load(Ordering::SeqCst)));
    (clock, move |seconds| {
        time.fetch_add(seconds as i64 * 1000, Ordering::SeqCst);
    })
}

/// A depot that is gone with this.
pub(crate) struct Here {
    pub(crate) depot: Depot,
    pub(crate) directory: tempfile::TempDir,
}

impl Here {
    /// One of these settings. Within a runtime, whose thread it keeps until it is there.
    pub(crate) fn of(settings: Settings) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("depot");
        let open = async { Depot::open(&path, settings).await.expect("a depot") };
        let depot = tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(open));
        Self { depot, directory }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.directory.path().join("depot")
    }

    /// The files that have the content of a digest.
    pub(crate) fn blobs(&self, digest: &Digest) -> Vec<PathBuf> {
        let begins = format!("{}-{}-", digest.algorithm(), digest.hex());
        let mut files = below(&self.path().join("blobs"));
        files.retain(|file| {
            file.file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with(&begins))
        });
        files
    }

    /// The names of what is being uploaded.
    pub(crate) fn uploads(&self) -> Vec<String> {
        let files = below(&self.path().join("uploads"));
        files
            .iter()
            .filter_map(|file| Some(file.file_name()?.to_string_lossy().into_owned()))
            .collect()
    }
}

/// All files below a directory, in their order.
pub(crate) fn below(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        match entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            true => found.extend(below(&entry.path())),
            false => found.push(entry.path()),
        }
    }
    found.sort();
    found
}

/// A directory as it may only be read, elsewhere, as long as this lives.
pub(crate) struct ReadOnly(pub(crate) PathBuf);

impl ReadOnly {
    /// None without root.
    pub(crate) fn mount(directory: &Path, place: &Path) -> Option<Self> {
        let mount = |options: &[&str]| {
            let mut mount = std::process::Command::new("mount");
            let done = mount.args(options).args([directory, place]).output();
            done.is_ok_and(|done| done.status.success())
        };
        fs::create_dir(place).expect("made");
        if !mount(&["--bind"]) {
            return None;
        }
        let mounted = Self(place.to_owned());
        mount(&["-o", "remount,bind,ro"]).then_some(mounted)
    }
}

impl Drop for ReadOnly {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg(&self.0).status();
    }
}
