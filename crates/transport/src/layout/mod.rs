//! An OCI image layout: a directory of blobs and an index of what they are called (image-spec 1.1, image-layout.md). `oci:`.
//!
//! Read with the habits of others: an image without a name, a layout without its marker file, an index within the index, names as
//! containerd writes them, blobs in a directory shared between layouts. Written so that others and we ourselves may write at the same time:
//!
//! - a blob appears under its name when it is whole;
//! - `index.json` is edited in place, what it holds that we do not know kept, under an exclusive lock (`flock`) of the file `oci-layout`,
//!   and is replaced only when all that was written before lasts;
//! - a writer holds a shared lock of the directory until it has finished, and a garbage collection an exclusive one.
//!
//! What is neither a blob nor one of the two files is left alone.

mod below;
mod finish;
pub(crate) mod index;
mod kept;
pub(crate) mod resolve;
mod sweep;
mod write;

use std::{
    collections::HashSet,
    fs::File,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;
use futures_util::FutureExt;
use teu_spec::{Algorithm, Descriptor, Digest, Pick, json, layout};
use teu_store::{
    BoxFuture, Browse, Error, ErrorKind, Events, FetchOptions, Fetched, Intent, Keyset, Local, Named, Origin, Page,
    Result, Role, Source, blocking, octet_stream, silent,
};

use crate::{files, lock::Locked};
use finish::Finishing;
use kept::Kept;
use resolve::Content;

/// An image layout, to read and to write.
#[derive(Clone)]
pub struct Layout(Arc<Inner>);

struct Inner {
    root: PathBuf,
    /// Where blobs are: `blobs` within the root, or a directory that layouts share.
    blobs: PathBuf,
    shared: bool,
    /// Whether there is a layout: one that is only prepared is made when something is first written.
    made: AtomicBool,
    /// Who is told of what is waited for.
    events: Mutex<Events>,
    /// Who begins to write, while the others of this process wait for it.
    beginning: tokio::sync::Mutex<()>,
    writing: Mutex<Writing>,
    finishing: Finishing,
    kept: Kept,
}

/// What a writer has to remember until it has finished.
#[derive(Default)]
struct Writing {
    /// Keeps gc out.
    lock: Option<Arc<Locked>>,
    /// Manifests that were put without a name, in their order.
    unnamed: Vec<Descriptor>,
    /// What the manifests that were put name.
    children: HashSet<Digest>,
    /// What was listed without a name when we finished earlier: what names it may come later, as to a registry, which finishes after each.
    listed: HashSet<Digest>,
    /// Whether a file was put since all was made to last.
    unsynced: bool,
}

impl Layout {
    /// A layout that is there. `shared_blobs` is the directory of the blobs where it is not the layout's own `blobs`: skopeo's
    /// `--shared-blob-dir`.
    ///
    /// It reads from the disk.
    ///
    /// # Errors
    /// `NotFound` where there is no layout; `Unsupported` for another version of layouts.
    pub fn open(root: impl Into<PathBuf>, shared_blobs: Option<PathBuf>) -> Result<Self> {
        let layout = Self::at(root.into(), shared_blobs, true);
        layout.0.check_directories()?;
        let root = &layout.0.root;
        // Some tools write no marker. What has an index is a layout nevertheless, as it is to skopeo.
        if !layout.0.check_marker()? && files::open(&root.join(layout::INDEX_FILE))?.is_none() {
            let what = if root.is_dir() {
                format!(
                    "{} is no image layout: it has no {}",
                    root.display(),
                    layout::INDEX_FILE
                )
            } else if root.is_file() {
                format!(
                    "{0} is a file, and a layout is a directory; try oci-archive:{0} or docker-archive:{0}",
                    root.display()
                )
            } else {
                format!("there is no directory {}", root.display())
            };
            return Err(Error::new(ErrorKind::NotFound, what));
        }
        Ok(layout)
    }

    /// A layout that is there, or a new one without images. The directory and all above it are made where they are absent.
    ///
    /// It writes to the disk; the marker `oci-layout` and `index.json` are there, and last, when it returns.
    ///
    /// # Errors
    /// As of [`open`](Self::open), and what keeps it from writing.
    pub fn create(root: impl Into<PathBuf>, shared_blobs: Option<PathBuf>) -> Result<Self> {
        let layout = Self::at(root.into(), shared_blobs, false);
        layout.0.check_place()?;
        if layout.0.make()? {
            files::sync_directory(&layout.0.root)?;
            layout.0.writing().unsynced = false;
        }
        Ok(layout)
    }

    /// The same, but a new layout is made only when something is first written to it: until then there is nothing, and what reads finds
    /// nothing.
    ///
    /// # Errors
    /// As of [`open`](Self::open), and where there is a file in its place.
    pub fn prepare(root: impl Into<PathBuf>, shared_blobs: Option<PathBuf>) -> Result<Self> {
        let layout = Self::at(root.into(), shared_blobs, false);
        let is_made = layout.0.check_place()? && files::open(&layout.0.root.join(layout::INDEX_FILE))?.is_some();
        layout.0.made.store(is_made, Ordering::Release);
        Ok(layout)
    }

    /// The same, which tells where it must wait for another process.
    #[must_use]
    pub fn telling(self, events: Events) -> Self {
        *self.0.told() = events;
        self
    }

    fn at(root: PathBuf, shared_blobs: Option<PathBuf>, made: bool) -> Self {
        let shared = shared_blobs.is_some();
        let blobs = shared_blobs.unwrap_or_else(|| root.join(layout::BLOBS_DIRECTORY));
        Self(Arc::new(Inner {
            root,
            blobs,
            shared,
            made: AtomicBool::new(made),
            events: Mutex::new(silent()),
            beginning: tokio::sync::Mutex::default(),
            writing: Mutex::default(),
            finishing: Finishing::default(),
            kept: Kept::default(),
        }))
    }

    /// The directory.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.0.root
    }
}

impl Inner {
    /// Whether there is a marker, of a version that we know.
    fn check_marker(&self) -> Result<bool> {
        let path = self.root.join(layout::MARKER_FILE);
        let Some(raw) = files::read_small(&path, layout::MAX_MARKER)? else {
            return Ok(false);
        };
        layout::OciLayout::parse(&raw)
            .map_err(|error| Error::from(error).within(format!("reading {}", path.display())))?;
        Ok(true)
    }

    /// Refuses a place where no layout can be; whether there is a marker.
    fn check_place(&self) -> Result<bool> {
        self.check_directories()?;
        let has_marker = self.check_marker()?;
        if !has_marker && self.root.is_file() {
            // It says what is in the way.
            files::make_directory(&self.root)?;
        }
        Ok(has_marker)
    }

    fn told(&self) -> MutexGuard<'_, Events> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn events(&self) -> Events {
        Arc::clone(&self.told())
    }

    fn writing(&self) -> MutexGuard<'_, Writing> {
        // No one leaves it half changed, so what a panic elsewhere left is whole.
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Refuses links where the directories of blobs are: what is written, or removed as garbage, would be so elsewhere.
    fn check_directories(&self) -> Result<()> {
        let own = (!self.shared).then(|| self.blobs.clone());
        let below = Algorithm::ALL
            .iter()
            .map(|algorithm| self.blobs.join(algorithm.as_str()));
        for directory in own.into_iter().chain(below) {
            if files::is_link(&directory) {
                let message = format!(
                    "{} is a symbolic link, and what is in a layout lies in it; copy it with cp -rL, or say by --shared-blob-dir where its blobs are",
                    directory.display()
                );
                return Err(Error::new(ErrorKind::Invalid, message));
            }
        }
        Ok(())
    }

    fn blob(&self, digest: &Digest) -> PathBuf {
        self.blobs.join(digest.algorithm().as_str()).join(digest.hex())
    }

    fn open_blob(&self, digest: &Digest) -> Result<Option<File>> {
        files::open(&self.blob(digest))
    }

    fn stat(&self, role: Role, digest: &Digest) -> Result<Option<Descriptor>> {
        if role == Role::Manifest {
            return self.manifest(digest);
        }
        let Some(file) = self.open_blob(digest)? else {
            return Ok(None);
        };
        let size = file.metadata()?.len();
        Ok(Some(Descriptor::new(octet_stream(), *digest, size)))
    }

    fn fetch(&self, role: Role, digest: &Digest, options: &FetchOptions) -> Result<Fetched> {
        let Some(file) = self.open_blob(digest)? else {
            let what = match role {
                Role::Manifest => "manifest",
                Role::Blob => "blob",
            };
            let message = format!("there is no {what} {digest} in {}", self.root.display());
            return Err(Error::new(ErrorKind::NotFound, message));
        };
        files::fetch(file, &self.blob(digest), options)
    }
}

impl Content for Inner {
    fn place(&self) -> String {
        self.root.display().to_string()
    }

    fn small(&self, digest: &Digest) -> Result<Option<Bytes>> {
        files::read_small(&self.blob(digest), json::MAX_DOCUMENT)
    }

    fn has(&self, digest: &Digest) -> Result<bool> {
        Ok(self.open_blob(digest)?.is_some())
    }
}

impl Source for Layout {
    fn resolve<'a>(&'a self, pick: &'a Pick) -> BoxFuture<'a, Result<Descriptor>> {
        let (inner, pick) = (Arc::clone(&self.0), pick.clone());
        let is_little = inner.is_found_at_once(&pick);
        blocking::run_unless(is_little, move || inner.picked(&pick)).boxed()
    }

    fn stat<'a>(&'a self, role: Role, digest: &'a Digest, intent: Intent) -> BoxFuture<'a, Result<Option<Descriptor>>> {
        let (inner, digest) = (Arc::clone(&self.0), *digest);
        async move {
            // What a writer finds here it will name without writing it again, so gc is kept away from now on.
            if intent == Intent::Write && inner.locked_at_once().is_none() {
                // Of several that ask side by side one makes the layout, and syncs what it makes.
                let _one = self.0.beginning.lock().await;
                if inner.locked_at_once().is_none() {
                    let inner = Arc::clone(&inner);
                    blocking::run(move || inner.lock()).await?;
                }
            }
            // To know a manifest for one it must be read.
            blocking::run_unless(role == Role::Blob, move || inner.stat(role, &digest)).await
        }
        .boxed()
    }

    fn fetch<'a>(&'a self, role: Role, digest: &'a Digest, options: FetchOptions) -> BoxFuture<'a, Result<Fetched>> {
        // To open a file waits for nobody.
        async move { self.0.fetch(role, digest, &options) }.boxed()
    }

    fn browse(&self) -> Option<&dyn Browse> {
        Some(self)
    }

    fn local(&self) -> Option<&dyn Local> {
        Some(self)
    }

    /// Never: another tool may have been cut off, and an index may be sparse on purpose.
    fn is_closed(&self) -> bool {
        false
    }

    fn origin(&self) -> Option<Origin> {
        None
    }
}

impl Browse for Layout {
    fn names<'a>(&'a self, _: Option<&'a str>) -> BoxFuture<'a, Result<Page<Named>>> {
        // An index is small, by the limit of what is read: one page holds it.
        let inner = Arc::clone(&self.0);
        let names = move || {
            Ok(Page {
                items: resolve::names(inner.index()?.manifests.clone()),
                next: None,
            })
        };
        blocking::run(names).boxed()
    }

    fn in_order<'a>(&'a self, _: Keyset<'a>) -> Option<BoxFuture<'a, Result<Page<String>>>> {
        None
    }

    fn manifests<'a>(&'a self, _: Keyset<'a>) -> Option<BoxFuture<'a, Result<Page<Digest>>>> {
        None
    }

    fn referrers<'a>(
        &'a self,
        subject: &'a Digest,
        artifact_type: Option<&'a str>,
    ) -> BoxFuture<'a, Result<Vec<Descriptor>>> {
        let (inner, subject, artifact_type) = (Arc::clone(&self.0), *subject, artifact_type.map(str::to_owned));
        blocking::run(move || inner.referrers(inner.index()?.manifests.clone(), &subject, artifact_type.as_deref()))
            .boxed()
    }

    fn referrers_in_order<'a>(
        &'a self,
        _: &'a Digest,
        _: Option<&'a str>,
        _: Keyset<'a>,
    ) -> Option<BoxFuture<'a, Result<Page<Descriptor>>>> {
        None
    }
}

impl Local for Layout {
    fn open_file(&self, digest: &Digest) -> Result<Option<File>> {
        self.0.open_blob(digest)
    }
}
