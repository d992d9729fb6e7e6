//! What is a depot? A directory, or whatever keeps content and metadata, that many repositories live in.

use std::{
    collections::HashSet,
    fs::{self, DirBuilder, File},
    os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering},
    },
};

use rustix::fs::{FlockOperation, flock};
use teu_spec::{Digest, Repository as RepositoryName};
use teu_store::{BoxFuture, Error, ErrorKind, Intent, Keyset, Page, Repositories, Result, Sessions, Store, blocking};
use tokio::sync::OnceCell;

use crate::{
    content::{
        Content, Files,
        directory::{Directory, failed},
    },
    home::Home,
    metadata::{Immutable, Metadata, Sqlite},
    place::Millis,
    repository::Repository,
    reserve::Reserve,
    sessions,
    settings::{Settings, Sparse},
    untagged::Reached,
};

/// The file of metadata in a depot's directory: what has it is a depot.
pub(crate) const METADATA: &str = "metadata.sqlite";
/// The file that the process has locked that writes to a depot.
const LOCK: &str = "lock";
/// What a file system made of a disk has at its root, which may be all that a volume is.
const FILE_SYSTEMS: &str = "lost+found";

/// Many repositories, kept for good. Clones are the same place.
#[derive(Clone)]
pub struct Depot(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) metadata: Arc<dyn Metadata>,
    pub(crate) content: Arc<dyn Content>,
    pub(crate) settings: Settings,
    /// The sessions that somebody holds.
    held: Mutex<HashSet<String>>,
    /// Its directory, where it is in one that this process has.
    pub(crate) home: Option<Home>,
    /// What tells it from other depots.
    pub(crate) registry: String,
    /// What of the metadata is damaged, once it was looked over: what it says that nothing references may be referenced.
    pub(crate) damages: OnceCell<Vec<String>>,
    /// Where the next collection looks for manifests that no tag leads to.
    pub(crate) reached: Reached,
    /// The part of the content that is looked through next for what nobody knows.
    pub(crate) next_part: AtomicU16,
    /// It was found out that every manifest has all that it names, and none is taken since that has not.
    pub(crate) is_whole: AtomicBool,
    /// Room for what makes room.
    pub(crate) reserve: Reserve,
    /// Dropped last.
    _lock: Option<Lock>,
}

/// The lock of a depot's directory.
pub(crate) struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing it does the same, but for a process that is being started at this moment and has it open too.
        let _ = flock(&self.0, FlockOperation::Unlock);
    }
}

impl Depot {
    /// The depot of a directory, which is made where it is not there, for its owner alone. One process has it at a time.
    ///
    /// What an earlier process left of uploads that were not recorded is removed.
    ///
    /// # Errors
    /// `Conflict` where another process has it, or where other things are in the directory; `Denied` where others may write to it that are in no
    /// group of ours; `Unsupported` where a newer version wrote it; `Invalid` where a link lies in the place of something of it.
    pub async fn open(directory: &Path, settings: Settings) -> Result<Self> {
        let path = directory.to_owned();
        let (metadata, content, held) = blocking::run(move || {
            let path = prepared(&path, &[])?;
            let root = Directory::open(&path)?;
            let lock = locked(&root)?;
            // A link to a database elsewhere would be followed by what SQLite does with its name.
            root.file(METADATA, true)?;
            let reserve = Reserve::of(&path)?;
            let metadata = reserve.room(|| Sqlite::open(&path.join(METADATA)))?;
            root.sync()?;
            let content = Files::within(root)?;
            // Behind the database, without which a directory that has other things in it is no depot.
            reserve.refill()?;
            Ok((metadata, content, (Home::of(&path)?, lock, reserve)))
        })
        .await?;
        let registry = format!("depot:{}", held.0.path.display());
        let depot = Self::new(Arc::new(metadata), Arc::new(content), settings, registry, Some(held));
        depot.recover().await?;
        Ok(depot)
    }

    /// The depot of a directory, to look at it beside the process that has it. What would change something fails.
    ///
    /// # Errors
    /// `NotFound` where there is none; `Unsupported` where another version wrote it.
    pub async fn beside(directory: &Path, settings: Settings) -> Result<Self> {
        let path = directory.to_owned();
        let (metadata, content, registry) = blocking::run(move || {
            let path = path.canonicalize().map_err(|error| failed(error, "opening", &path))?;
            let root = Directory::open(&path)?;
            let metadata = Sqlite::beside(&path.join(METADATA))?;
            Ok((metadata, Files::within(root)?, format!("depot:{}", path.display())))
        })
        .await?;
        Ok(Self::new(
            Arc::new(metadata),
            Arc::new(content),
            settings,
            registry,
            None,
        ))
    }

    /// Removes what an earlier process left of uploads that were not recorded. [`open`](Self::open) does it; nothing else may be at work.
    ///
    /// # Errors
    /// Those of the disk.
    pub async fn recover(&self) -> Result<()> {
        sessions::recover(&self.0).await
    }

    /// Whether every manifest has all that it names. It may not: manifests were taken [without](Settings::sparse), a part of an index was deleted, or something is
    /// lost. From then on its repositories [say](teu_store::Source::is_closed) that a manifest here means that all below it is, so that a
    /// copy asks no further. It looks at all manifests.
    ///
    /// # Errors
    /// Those of the disk.
    pub async fn is_whole(&self) -> Result<bool> {
        let is_whole = self.0.settings.sparse == Sparse::Nothing && self.0.metadata.is_whole().await?;
        self.0.is_whole.store(is_whole, Ordering::Relaxed);
        Ok(is_whole)
    }

    /// A depot of these two. Nobody else may write to them.
    #[must_use]
    pub fn of(metadata: Arc<dyn Metadata>, content: Arc<dyn Content>, settings: Settings) -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let registry = format!("depot:#{}", COUNT.fetch_add(1, Ordering::Relaxed));
        Self::new(metadata, content, settings, registry, None)
    }

    fn new(
        metadata: Arc<dyn Metadata>,
        content: Arc<dyn Content>,
        settings: Settings,
        registry: String,
        held: Option<(Home, Lock, Reserve)>,
    ) -> Self {
        let (home, lock, reserve) = match held {
            Some((home, lock, reserve)) => (Some(home), Some(lock), reserve),
            None => (None, None, Reserve::none()),
        };
        Self(Arc::new(Inner {
            metadata,
            content,
            settings,
            held: Mutex::default(),
            home,
            registry,
            damages: OnceCell::new(),
            reached: Reached::default(),
            next_part: AtomicU16::new(0),
            is_whole: AtomicBool::new(false),
            reserve,
            _lock: lock,
        }))
    }
}

impl Inner {
    pub(crate) fn now(&self) -> Millis {
        self.settings.clock.now()
    }

    /// Its directory, where it is in one that this process has.
    pub(crate) fn root(&self) -> Option<PathBuf> {
        self.home.as_ref().map(|home| home.path.clone())
    }

    /// Refuses to change anything where what is kept is not where it was opened.
    ///
    /// # Errors
    /// `Io`.
    pub(crate) fn may_change(&self) -> Result<()> {
        self.home.as_ref().map_or(Ok(()), Home::check)
    }

    /// The same of what wants room too.
    ///
    /// # Errors
    /// `Io`; `Quota` where the disk is full.
    pub(crate) fn may_grow(&self) -> Result<()> {
        self.may_change()?;
        self.reserve.check()
    }

    /// Until when stays what is put or found now.
    pub(crate) fn lease(&self) -> Millis {
        self.now().after(self.settings.lease)
    }

    /// Which tags of a repository never move.
    pub(crate) fn immutable(&self, repository: &str) -> Immutable {
        let (patterns, repository) = (self.settings.immutable.clone(), repository.to_owned());
        Arc::new(move |tag| {
            let name = format!("{repository}:{tag}");
            patterns.iter().any(|pattern| pattern.matches(&name))
        })
    }

    /// The sessions that somebody holds.
    pub(crate) fn held(&self) -> MutexGuard<'_, HashSet<String>> {
        // No one leaves it half changed, so what a panic elsewhere left is whole.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The directory, made where it is not there, by its real path. Before it is a depot nothing is in it but its lock, and what `ours` names.
pub(crate) fn prepared(path: &Path, ours: &[&str]) -> Result<PathBuf> {
    let is_new = fs::symlink_metadata(path).is_err();
    if is_new {
        let mut make = DirBuilder::new();
        let made = make.recursive(true).mode(0o700).create(path);
        made.map_err(|error| failed(error, "making", path))?;
        if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            Directory::open(parent)?.sync()?;
        }
    }
    let path = path.canonicalize().map_err(|error| failed(error, "opening", path))?;
    let root = Directory::open(&path)?;
    let names = root.names()?;
    if !names.iter().any(|name| name == METADATA)
        && names
            .iter()
            .any(|name| ![LOCK, FILE_SYSTEMS].contains(&name.as_str()) && !ours.contains(&name.as_str()))
    {
        let has = |wanted: &str| names.iter().any(|name| name == wanted);
        let instead = match ours.is_empty() {
            true if has("blobs") && !has("oci-layout") => {
                "what is in it is of one whose metadata.sqlite is gone; restore a backup to another directory"
                    .to_owned()
            }
            true if path.join(ITS_OWN).is_dir() => format!(
                "it is a registry:2's rootdirectory; give a directory of its own, into which teu serve import registry:{} brings it",
                path.display()
            ),
            _ => "give a directory of its own".to_owned(),
        };
        let message = format!("{} is not empty, and no depot; {instead}", path.display());
        return Err(Error::new(ErrorKind::Conflict, message));
    }
    let metadata = root
        .handle()
        .metadata()
        .map_err(|error| failed(error, "opening", &path))?;
    let take_away = match metadata.permissions().mode() {
        mode if mode & 0o002 != 0 => "go-w",
        // A group of ours is trusted as we are: where a volume is mounted for one, as by Kubernetes' fsGroup, that is how we may write at all.
        mode if mode & 0o020 != 0 && !is_ours(metadata.gid())? => "g-w",
        _ => return Ok(path),
    };
    let message = format!(
        "others may write to {}, and so to what is in it; take that away: chmod {take_away}",
        path.display()
    );
    Err(Error::new(ErrorKind::Denied, message))
}

/// Whether this process is in a group.
fn is_ours(group: u32) -> Result<bool> {
    let group = rustix::process::Gid::from_raw(group);
    if rustix::process::getegid() == group {
        return Ok(true);
    }
    let groups = rustix::process::getgroups();
    let groups = groups.map_err(|error| Error::from(std::io::Error::from(error)).within("asking for our groups"))?;
    Ok(groups.contains(&group))
}

/// What a registry:2 has in its `rootdirectory`.
const ITS_OWN: &str = "docker/registry/v2";

/// How often a lock is tried again that somebody has, and after how long.
const LOOKS: u32 = 3;
const LOOK: std::time::Duration = std::time::Duration::from_millis(5);

pub(crate) fn locked(root: &Directory) -> Result<Lock> {
    let file = match root.file(LOCK, true)? {
        Some(file) => file,
        None => match root.create(LOCK) {
            Ok(file) => file,
            // Another process has made it at this moment.
            Err(error) if *error.kind() == ErrorKind::Conflict => root.file(LOCK, true)?.ok_or_else(|| in_use(root))?,
            Err(error) => return Err(error),
        },
    };
    let mut looks = 0..LOOKS;
    loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(Lock(file)),
            // Somebody may only be looking who has it.
            Err(rustix::io::Errno::WOULDBLOCK) if looks.next().is_some() => std::thread::sleep(LOOK),
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(in_use(root)),
            Err(error) => return Err(failed(error.into(), "locking", &root.path(LOCK))),
        }
    }
}

/// Whether a process has the depot of a directory at this moment.
pub(crate) fn is_held(root: &Directory) -> Result<bool> {
    let Some(file) = root.file(LOCK, false)? else {
        return Ok(false);
    };
    // Shared, so that two who look take neither for one that has it.
    match flock(&file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => {
            drop(Lock(file));
            Ok(false)
        }
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(true),
        Err(error) => Err(failed(error.into(), "looking who has", &root.path(LOCK))),
    }
}

fn in_use(root: &Directory) -> Error {
    let message = format!(
        "another process has the depot {}; stop it first, or give another directory",
        root.path("").display()
    );
    Error::new(ErrorKind::Conflict, message)
}

impl Repositories for Depot {
    fn open<'a>(&'a self, repository: &'a str, intent: Intent) -> BoxFuture<'a, Result<Arc<dyn Store>>> {
        Box::pin(async move {
            match intent {
                Intent::Write => RepositoryName::check_path(repository)?,
                Intent::Read => {
                    if !self.0.metadata.has_repository(repository).await? {
                        let message = format!("there is no repository {repository}");
                        return Err(Error::new(ErrorKind::NotFound, message));
                    }
                }
            }
            let store = Repository::new(Arc::clone(&self.0), repository);
            Ok(Arc::new(store) as Arc<dyn Store>)
        })
    }

    fn repositories<'a>(&'a self, part: Keyset<'a>) -> BoxFuture<'a, Result<Page<String>>> {
        self.0.metadata.repositories(part)
    }

    fn holders<'a>(&'a self, blob: &'a Digest, part: Keyset<'a>) -> BoxFuture<'a, Result<Page<String>>> {
        self.0.metadata.holders(blob, part)
    }

    fn sessions(&self) -> Option<&dyn Sessions> {
        Some(self)
    }

    fn reach(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            self.0.may_change()?;
            let first = Keyset { after: None, limit: 1 };
            self.repositories(first).await.map(drop)
        })
    }
}
