//! Where may an enemy's tree be made, so that whatever gets out of it is seen? In a directory of its own, with canaries around the root, on a thread
//! that the kernel lets change nothing beyond them.

use std::{
    ffi::OsString,
    fs,
    os::unix::{
        ffi::OsStrExt,
        fs::{MetadataExt, PermissionsExt, symlink},
    },
    path::{Path, PathBuf},
};

use teu_rootfs::{Owners, Range, Ranges, Root, confined};

/// What stands in seeds for the arena's own path, and has its length.
const PLACEHOLDER: &str = "/dev/shm/teu-fuzz-0000000";
const PREFIX: &str = "teu-fuzz-";
/// The root that is attacked.
const ROOT: &str = "root";
/// A sibling whose name begins as the root's does.
const CANARIES: [&str; 4] = [
    "canary",
    "root-evil/canary",
    "outside/canary",
    "outside/directory/canary",
];

/// Owners who are others outside, users and groups each their own.
pub(crate) fn mapped() -> Owners {
    let map = |outside| {
        let range = Range {
            inside: 0,
            outside,
            count: 65_536,
        };
        Ranges::new(vec![range]).expect("a map")
    };
    Owners::Mapped {
        users: map(100_000),
        groups: map(200_000),
    }
}

/// A directory in memory with a root to attack, and what must not change around it.
pub(crate) struct Arena {
    path: PathBuf,
    base: Root,
    before: Vec<Canary>,
}

/// All that shows that something was touched: of reading nothing is kept.
#[derive(Debug, PartialEq, Eq)]
struct Canary {
    path: PathBuf,
    numbers: [u64; 6],
    times: [i64; 4],
    content: Vec<u8>,
    names: Vec<OsString>,
}

/// A panic of a thread is not the end: it comes out of [`Arena::attack`] on the thread that may still write down the input that made it.
fn quiet() {
    std::panic::set_hook(Box::new(|panic| eprintln!("{panic}")));
}

impl Arena {
    /// # Panics
    /// Nothing can be made in memory.
    pub(crate) fn new() -> Self {
        quiet();
        let parent = Path::new("/dev/shm");
        remove_old(parent);
        let path = parent.join(format!("{PREFIX}{:07}", std::process::id()));
        assert_eq!(path.as_os_str().len(), PLACEHOLDER.len());
        for directory in ["root-evil", "outside/directory"] {
            fs::create_dir_all(path.join(directory)).expect("a directory");
        }
        for canary in CANARIES {
            fs::write(path.join(canary), "sings").expect("written");
            fs::set_permissions(path.join(canary), fs::Permissions::from_mode(0o640)).expect("a mode");
        }
        symlink("canary", path.join("outside/link")).expect("a link");
        let base = Root::open(&path).expect("it is there");
        let before = seen(&path);
        Self { path, base, before }
    }

    /// Has the paths of a seed lead to the canaries of this arena.
    pub(crate) fn aim(&self, bytes: &mut [u8]) {
        let (from, to) = (PLACEHOLDER.as_bytes(), self.path.as_os_str().as_bytes());
        let mut at = 0;
        while let Some(found) = bytes[at..].windows(from.len()).position(|window| window == from) {
            at += found;
            bytes[at..at + to.len()].copy_from_slice(to);
        }
    }

    /// What the last byte chooses, and the others, [aimed](Self::aim) here.
    pub(crate) fn chosen(&self, bytes: &[u8]) -> Option<(u8, Vec<u8>)> {
        let (choice, bytes) = bytes.split_last()?;
        let mut bytes = bytes.to_vec();
        self.aim(&mut bytes);
        Some((*choice, bytes))
    }

    /// Runs `work` in an empty root, and removes what it made.
    ///
    /// # Panics
    /// Something outside of the root is not as it was, or what was made cannot be removed.
    pub(crate) fn attack<T: Send>(&self, work: impl FnOnce(&Root) -> T + Send) -> T {
        let root = self.base.create_in(ROOT).expect("an empty root");
        let outcome = confined(&[&self.base], |_| work(&root)).expect("a thread");
        assert_eq!(seen(&self.path), self.before, "something changed outside of the root");
        self.base.remove(ROOT.as_bytes()).expect("what was made can be removed");
        assert!(!self.path.join(ROOT).exists());
        outcome
    }

    /// The path of the root while it is attacked.
    pub(crate) fn root(&self) -> PathBuf {
        self.path.join(ROOT)
    }
}

impl Default for Arena {
    fn default() -> Self {
        Self::new()
    }
}

/// Removes the arenas of processes that are gone.
fn remove_old(parent: &Path) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(process) = name.to_str().and_then(|name| name.strip_prefix(PREFIX)) else {
            continue;
        };
        let process = process.trim_start_matches('0');
        if !Path::new("/proc").join(process).exists()
            && let Ok(parent) = Root::open(parent)
        {
            // Another process may be at it too.
            let _ = parent.remove(name.as_bytes());
        }
    }
}

fn seen(base: &Path) -> Vec<Canary> {
    let mut all = Vec::new();
    let mut wait = vec![base.to_owned()];
    while let Some(path) = wait.pop() {
        let stat = path.symlink_metadata().expect("it is there");
        let mut names = Vec::new();
        if stat.is_dir() {
            let entries = fs::read_dir(&path).expect("a directory");
            names.extend(entries.map(|entry| entry.expect("an entry").file_name()));
            names.retain(|name| path != base || name != ROOT);
            names.sort();
            wait.extend(names.iter().map(|name| path.join(name)));
        }
        let content = match stat.is_file() {
            true => fs::read(&path).expect("read"),
            false => Vec::new(),
        };
        // The root comes and goes in the base.
        let (links, times) = match path == base {
            true => (0, [0; 4]),
            false => (
                stat.nlink(),
                [stat.mtime(), stat.mtime_nsec(), stat.ctime(), stat.ctime_nsec()],
            ),
        };
        all.push(Canary {
            numbers: [
                stat.ino(),
                stat.mode().into(),
                stat.uid().into(),
                stat.gid().into(),
                links,
                stat.rdev(),
            ],
            times,
            content,
            names,
            path,
        });
    }
    all
}
