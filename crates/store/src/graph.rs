//! What does an image consist of, all the way down? [`fold`], the one walk that copy, gc, verify and tree share.
//!
//! It visits children before parents, many side by side, and each content once however often it is named. What a parent says of a child
//! (platform, annotations) stays the parent's. Roles come from the position: what an index names is a manifest, what a manifest names is a
//! blob. Only where an index itself says that something is no manifest, and the source has it as a blob alone, it is one. What goes by the order of layers, in which one may stand twice, is no fold.

use std::{
    collections::{HashMap, hash_map::Entry},
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use futures_util::{FutureExt, StreamExt, future, stream};
use teu_spec::{Descriptor, Digest, Document, MediaType};
use tokio::sync::{OnceCell, Semaphore, SemaphorePermit};

use crate::{BoxFuture, Error, ErrorKind, Intent, Result, Role, Source, SourceExt, child_roles};

/// How far a walk goes before it takes what it walks for an attack (threat 55). Each limit is named in its error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How many indexes may stand in one another.
    pub depth: usize,
    /// How many different manifests and blobs there may be. They may be named ten times as often.
    pub nodes: usize,
    /// How many bytes all manifests together may have.
    pub manifest_bytes: u64,
}

impl Limits {
    /// For what is trusted to be large: a whole store of images.
    pub const ONLY_DEPTH: Self = Self {
        depth: 8,
        nodes: usize::MAX,
        manifest_bytes: u64::MAX,
    };
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            depth: 8,
            nodes: 10_000,
            manifest_bytes: 256 << 20,
        }
    }
}

/// How many times as often as there are nodes they may be named.
const EDGES_PER_NODE: usize = 10;

/// Where content stands in its parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Position {
    /// At the root, or in an index.
    Manifest,
    /// As a manifest's config.
    Config,
    /// As one of a manifest's layers.
    Layer,
    /// In an index, as a blob.
    Other,
}

impl Position {
    /// Where the child at `place` among a document's [`children`](Document::children) stands; of an index as long as the source was not asked.
    #[must_use]
    pub fn of_child(document: &Document, place: usize) -> Self {
        match document {
            Document::Index(_) => Self::Manifest,
            Document::Manifest(_) if place == 0 => Self::Config,
            Document::Manifest(_) => Self::Layer,
        }
    }

    /// What content in this position is asked for as.
    #[must_use]
    pub fn role(self) -> Role {
        match self {
            Self::Manifest => Role::Manifest,
            Self::Config | Self::Layer | Self::Other => Role::Blob,
        }
    }
}

/// Content that a walk has come to.
#[derive(Clone, Copy, Debug)]
pub struct Node<'a> {
    /// What its parent, the first that was come by, says of it.
    pub descriptor: &'a Descriptor,
    /// Where it stands there.
    pub position: Position,
    /// How many documents it stands in; the root in none.
    pub depth: usize,
    /// Whether it is a blob of an image, which has an image's config, and not of an artifact, whose blobs can be anything.
    pub in_image: bool,
}

/// What stands for content when it was visited: the part of a descriptor that is not its parent's to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// What it is.
    pub media_type: MediaType,
    /// Its digest.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
}

impl From<&Descriptor> for Content {
    fn from(descriptor: &Descriptor) -> Self {
        Self {
            media_type: descriptor.media_type.clone(),
            digest: descriptor.digest,
            size: descriptor.size,
        }
    }
}

/// What is done with a manifest before it is read.
#[derive(Clone, Debug)]
pub enum Arrival {
    /// It is read, and its children are visited.
    Read,
    /// It is left unread, with all below it, and stands for this; none drops it.
    Done(Option<Content>),
}

/// What is done with a child before it is visited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It is visited.
    Walk,
    /// It stays in its parent and is not visited: an index is sparse then.
    Keep,
    /// It is dropped from its parent.
    Drop,
}

/// What a walk does. Each content is visited once; what comes of it is what all its parents get, and none drops it from them.
pub trait Visit: Send + Sync {
    /// A manifest was come to and is not read yet.
    fn arrive<'a>(&'a self, node: Node<'a>) -> BoxFuture<'a, Result<Arrival>> {
        let _ = node;
        future::ready(Ok(Arrival::Read)).boxed()
    }

    /// Reads a manifest, checked.
    fn read<'a>(&'a self, source: &'a dyn Source, node: Node<'a>) -> BoxFuture<'a, Result<Document>> {
        source.document(node.descriptor)
    }

    /// A manifest could not be read: what stands for it, or the error, which ends the walk.
    fn unreadable<'a>(&'a self, node: Node<'a>, error: Error) -> BoxFuture<'a, Result<Option<Content>>> {
        let _ = node;
        future::ready(Err(error)).boxed()
    }

    /// A manifest was read: one step for each of its [`children`](Document::children).
    fn enter<'a>(&'a self, node: Node<'a>, document: &'a Document) -> BoxFuture<'a, Result<Vec<Step>>> {
        let _ = node;
        future::ready(Ok(vec![Step::Walk; document.children().len()])).boxed()
    }

    /// A blob was come to: what stands for it.
    fn blob<'a>(&'a self, node: Node<'a>) -> BoxFuture<'a, Result<Option<Content>>>;

    /// All children of a manifest were visited. Here a walk may wait for others that share its [`Permits`]: it has none of them.
    fn before_leaving<'a>(&'a self, node: Node<'a>) -> BoxFuture<'a, ()> {
        let _ = node;
        future::ready(()).boxed()
    }

    /// All children of a manifest were visited, and `children` stand for them, where it is none the child is dropped: what stands for it.
    fn leave<'a>(
        &'a self,
        node: Node<'a>,
        document: &'a Document,
        children: Vec<Option<Descriptor>>,
    ) -> BoxFuture<'a, Result<Option<Content>>>;
}

/// Walks all that is below `root`, children first, and gives what stands for it in the end.
///
/// # Errors
/// The first of the visitor or of the source, upon which what else was under way is dropped; `TooLarge` where a limit is reached;
/// `Mismatch` where two parents say different sizes of one content.
pub async fn fold(
    source: &dyn Source,
    root: &Descriptor,
    visitor: &dyn Visit,
    limits: Limits,
    jobs: usize,
) -> Result<Option<Descriptor>> {
    Fold::new(source, visitor, limits, jobs).visit(root).await
}

/// What several walks share, so that all of them together do no more at a time.
#[derive(Clone, Debug)]
pub struct Permits(Arc<Semaphore>);

impl Permits {
    /// For walks that do at most `jobs` things at a time together.
    #[must_use]
    pub fn new(jobs: usize) -> Self {
        Self(Arc::new(Semaphore::new(jobs.clamp(1, Semaphore::MAX_PERMITS))))
    }

    /// One of them, as long as it is held.
    pub(crate) async fn take(&self) -> Option<SemaphorePermit<'_>> {
        // It is never closed, so there is always one in the end.
        self.0.acquire().await.ok()
    }
}

/// A walk over several roots, which visits what they share once.
pub struct Fold<'a> {
    source: &'a dyn Source,
    visitor: &'a dyn Visit,
    limits: Limits,
    jobs: usize,
    permits: Permits,
    flights: Mutex<HashMap<Key, Arc<Flight>>>,
    edges: AtomicUsize,
    manifest_bytes: AtomicU64,
}

/// One content in one role. What it is said to be is part of it: a layer may come to another end than the same bytes as a config, or in
/// an artifact.
type Key = (Place, Digest, MediaType);

/// A position, and whether it is in an image.
type Place = (Position, bool);

/// One content's visit, which all that come to it wait for.
struct Flight {
    size: u64,
    outcome: OnceCell<Option<Content>>,
}

/// The manifests that a visit came by.
struct Path<'a> {
    digest: Digest,
    parent: Option<&'a Path<'a>>,
}

impl<'a> Fold<'a> {
    /// A walk that does at most `jobs` things at a time: reads of manifests, visits of blobs.
    #[must_use]
    pub fn new(source: &'a dyn Source, visitor: &'a dyn Visit, limits: Limits, jobs: usize) -> Self {
        Self {
            source,
            visitor,
            limits,
            jobs: jobs.clamp(1, Semaphore::MAX_PERMITS),
            permits: Permits::new(jobs),
            flights: Mutex::default(),
            edges: AtomicUsize::new(0),
            manifest_bytes: AtomicU64::new(0),
        }
    }

    /// The same, which does at a time only what others with these permits leave it.
    #[must_use]
    pub fn with(self, permits: Permits) -> Self {
        Self { permits, ..self }
    }

    /// Walks what is below one more root, as [`fold`].
    ///
    /// # Errors
    /// As [`fold`].
    pub async fn visit(&self, root: &Descriptor) -> Result<Option<Descriptor>> {
        self.come_to(root, (Position::Manifest, false), 0, None).await
    }

    fn come_to<'b>(
        &'b self,
        descriptor: &'b Descriptor,
        (position, in_image): Place,
        depth: usize,
        path: Option<&'b Path<'b>>,
    ) -> BoxFuture<'b, Result<Option<Descriptor>>> {
        async move {
            let flight = self.flight(descriptor, (position, in_image))?;
            // Whoever comes first does the work. A waiter holds nothing that the work needs: no permit, and no document but its ancestors'.
            let outcome = flight.outcome.get_or_try_init(|| async {
                let node = Node {
                    descriptor,
                    position,
                    depth,
                    in_image,
                };
                match position {
                    Position::Manifest => self.manifest(node, path).await,
                    Position::Config | Position::Layer | Position::Other => {
                        let _permit = self.permit().await;
                        self.visitor.blob(node).await
                    }
                }
            });
            let outcome = outcome.await?;
            Ok(outcome.as_ref().map(|content| content.in_place_of(descriptor)))
        }
        .boxed()
    }

    async fn manifest(&self, node: Node<'_>, path: Option<&Path<'_>>) -> Result<Option<Content>> {
        let here = Path {
            digest: node.descriptor.digest,
            parent: path,
        };
        here.check_acyclic()?;
        if node.depth > self.limits.depth {
            return Err(too_large(
                "depth",
                self.limits.depth,
                "indexes in one another",
                &here.digest,
            ));
        }
        let read = {
            let _permit = self.permit().await;
            match self.visitor.arrive(node).await? {
                Arrival::Done(found) => return Ok(found),
                Arrival::Read => {
                    let before = self.manifest_bytes.fetch_add(node.descriptor.size, Ordering::Relaxed);
                    if before.saturating_add(node.descriptor.size) > self.limits.manifest_bytes {
                        let what = "bytes of manifests";
                        return Err(too_large(
                            "manifest_bytes",
                            self.limits.manifest_bytes,
                            what,
                            &here.digest,
                        ));
                    }
                    self.visitor.read(self.source, node).await
                }
            }
        };
        let document = match read {
            Ok(document) => document,
            Err(error) => return self.visitor.unreadable(node, error).await,
        };
        let steps = self.visitor.enter(node, &document).await?;
        debug_assert_eq!(steps.len(), document.children().len(), "one step for each child");
        let children = self.children(node, &document, &steps, &here).await?;
        self.visitor.before_leaving(node).await;
        let _permit = self.permit().await;
        self.visitor.leave(node, &document, children).await
    }

    async fn children(
        &self,
        node: Node<'_>,
        document: &Document,
        steps: &[Step],
        here: &Path<'_>,
    ) -> Result<Vec<Option<Descriptor>>> {
        let children = document.children();
        let in_image = matches!(document, Document::Manifest(manifest) if manifest.config.media_type.is_image_config());
        let mut outcomes = Vec::with_capacity(children.len());
        let mut visits = Vec::new();
        for (place, (child, step)) in children.iter().zip(steps).enumerate() {
            outcomes.push((*step != Step::Drop).then(|| child.clone()));
            if *step == Step::Walk {
                let visit = async move {
                    let position = self.position(document, place, child).await?;
                    self.come_to(child, (position, in_image), node.depth + 1, Some(here))
                        .await
                };
                visits.push(visit.map(move |outcome| (place, outcome)));
            }
        }
        // Documents stay in memory while what is below them is visited, so few are open at once: some at the root, one at each depth below.
        let side_by_side = match document {
            Document::Index(_) if node.depth == 0 => self.jobs,
            Document::Index(_) => 1,
            Document::Manifest(_) => children.len().max(1),
        };
        let mut visits = stream::iter(visits).buffer_unordered(side_by_side);
        while let Some((place, outcome)) = visits.next().await {
            outcomes[place] = outcome?;
        }
        Ok(outcomes)
    }

    /// Where a child stands: the source says whether what an index names and calls no manifest is one.
    async fn position(&self, document: &Document, place: usize, child: &Descriptor) -> Result<Position> {
        let position = Position::of_child(document, place);
        if position != Position::Manifest || !child_roles(document, child).contains(&Role::Blob) {
            return Ok(position);
        }
        let _permit = self.permit().await;
        let mut asked = [(Role::Manifest, Position::Manifest), (Role::Blob, Position::Other)];
        // Where both are kept in one, what is a manifest is found as a blob too. Registries keep them apart, and registry:2 fails (500) where it is asked
        // for a manifest of a blob's digest.
        if self.source.origin().is_some() {
            asked.reverse();
        }
        for (role, position) in asked {
            if self.source.stat(role, &child.digest, Intent::Read).await?.is_some() {
                return Ok(position);
            }
        }
        Ok(position)
    }

    fn flight(&self, descriptor: &Descriptor, place: Place) -> Result<Arc<Flight>> {
        let limit = self.limits.nodes;
        let edges = limit.saturating_mul(EDGES_PER_NODE);
        if self.edges.fetch_add(1, Ordering::Relaxed) >= edges {
            return Err(too_large("nodes", edges, "names of content", &descriptor.digest));
        }
        let mut flights = self.flights.lock().unwrap_or_else(PoisonError::into_inner);
        let count = flights.len();
        match flights.entry((place, descriptor.digest, descriptor.media_type.clone())) {
            Entry::Vacant(_) if count >= limit => {
                Err(too_large("nodes", limit, "manifests and blobs", &descriptor.digest))
            }
            Entry::Vacant(free) => Ok(Arc::clone(free.insert(Arc::new(Flight {
                size: descriptor.size,
                outcome: OnceCell::new(),
            })))),
            Entry::Occupied(taken) if taken.get().size != descriptor.size => {
                let (digest, one, other) = (descriptor.digest, taken.get().size, descriptor.size);
                Err(Error::new(
                    ErrorKind::Mismatch,
                    format!("{digest} is said to have {one} bytes in one place and {other} in another"),
                ))
            }
            Entry::Occupied(taken) => Ok(Arc::clone(taken.get())),
        }
    }

    async fn permit(&self) -> Option<SemaphorePermit<'_>> {
        self.permits.take().await
    }
}

impl Content {
    /// `said`, as its parent said it, with this content: as it was where that is the same.
    fn in_place_of(&self, said: &Descriptor) -> Descriptor {
        let mut descriptor = said.clone();
        if self.digest != said.digest {
            // Where else the old content could be had, and a copy of it, say nothing of the new.
            descriptor.urls = Vec::new();
            descriptor.data = None;
        }
        descriptor.media_type = self.media_type.clone();
        descriptor.digest = self.digest;
        descriptor.size = self.size;
        descriptor
    }
}

impl Path<'_> {
    /// A manifest that is below itself needs a broken hash function; waiting for itself it would never end.
    fn check_acyclic(&self) -> Result<()> {
        let mut ancestor = self.parent;
        while let Some(path) = ancestor {
            if path.digest == self.digest {
                let message = format!("manifest {} is among the manifests below it", self.digest);
                return Err(Error::new(ErrorKind::Invalid, message));
            }
            ancestor = path.parent;
        }
        Ok(())
    }
}

fn too_large(limit: &str, value: impl fmt::Display, what: &str, digest: &Digest) -> Error {
    Error::new(
        ErrorKind::TooLarge,
        format!("there are more than {value} {what} (the limit `{limit}`), the next being {digest}"),
    )
}
