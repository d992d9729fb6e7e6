//! What must a place for images be able to do? [`Source`] and [`Target`], and the powers that only some places have.
//!
//! A store is bound to one repository, so its names are tags (of a registry) or whatever a layout or an archive calls its images, and
//! nothing else. All traits are object-safe; conveniences live in [`SourceExt`].

use std::{fmt, fs::File, future::Future, ops::Range, pin::Pin, time::Duration};

use bytes::Bytes;
use futures_util::stream::BoxStream;
use teu_spec::{Algorithm, Descriptor, Digest, Document, MediaType, Pick};

use crate::{Error, ErrorKind, How, Keyset, Result, SourceExt};

/// A boxed future that may move between threads.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A stream of content. An error ends it; a stream that ends without one was whole as far as its store knows. What waits of it is counted by its length, so
/// a chunk of a large buffer that holds little is made [compact](crate::blocking::Compact) by who gives it.
pub type Reader = BoxStream<'static, Result<Bytes>>;

/// Whether content is asked for as a manifest or as a blob. It comes from the position in the parent, or from the endpoint that was asked,
/// not from a media type, which an enemy chooses (see [`child_roles`](crate::child_roles)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// A manifest or an index.
    Manifest,
    /// A config or a layer, or any other content.
    Blob,
}

/// Why a store is asked whether it has something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Intent {
    /// To read it.
    Read,
    /// To name it in a manifest soon: the store keeps gc away from it for a while.
    Write,
}

/// How content is fetched.
#[derive(Clone, Debug, Default)]
pub struct FetchOptions {
    /// Only these bytes, counted from 0, the end excluded.
    pub range: Option<Range<u64>>,
    /// Where else the content can be had (a descriptor's `urls`).
    pub urls: Vec<String>,
    /// Whoever takes it may stop for long, as a registry's clients may: no thread is held meanwhile, and little memory. Else it is read ahead of who takes it, who
    /// is taken to go on.
    pub at_pace: bool,
}

/// Content that is on its way, raw: nothing was checked.
pub struct Fetched {
    /// The size of the whole content in bytes, where the store knows it.
    pub size: Option<u64>,
    /// What the reader will give: the range asked for, or all. A store that cannot give ranges gives all, from 0.
    pub start: u64,
    /// The bytes.
    pub reader: Reader,
}

/// A place that content is read from.
pub trait Source: Send + Sync {
    /// Finds the manifest of a name. What comes back has media type, digest and size; where the place states them (a layout's index),
    /// platform and annotations too. For [`Pick::Only`] a manifest without a name whose subject is here too does not count.
    ///
    /// # Errors
    /// `NotFound`; `Invalid` where [`Pick::Only`] finds several images, with a message that lists them.
    fn resolve<'a>(&'a self, pick: &'a Pick) -> BoxFuture<'a, Result<Descriptor>>;

    /// Finds the manifest of a name and reads it: as [`resolve`](Self::resolve) and [`SourceExt::document`] one after
    /// the other, checked as they check it. A place that is asked over a network takes one question for both.
    ///
    /// # Errors
    /// As of both.
    fn resolve_document<'a>(&'a self, pick: &'a Pick) -> BoxFuture<'a, Result<(Descriptor, Document)>> {
        Box::pin(async move {
            let descriptor = self.resolve(pick).await?;
            let document = self.document(&descriptor).await?;
            Ok((descriptor, document))
        })
    }

    /// Says whether content is here, and its size; the media type is known for manifests only, and `application/octet-stream` else.
    ///
    /// # Errors
    /// `Mismatch` where it should be here and its bytes are lost, so that it is to be put again; who asks only to read it may hear that by reading.
    fn stat<'a>(&'a self, role: Role, digest: &'a Digest, intent: Intent) -> BoxFuture<'a, Result<Option<Descriptor>>>;

    /// Begins to read content, raw. [`SourceExt::open`] is what all code uses but whoever assembles ranges, and a server
    /// that sends what its store verified when it was committed.
    fn fetch<'a>(&'a self, role: Role, digest: &'a Digest, options: FetchOptions) -> BoxFuture<'a, Result<Fetched>>;

    /// The power to list.
    fn browse(&self) -> Option<&dyn Browse>;

    /// The power to hand out open files.
    fn local(&self) -> Option<&dyn Local>;

    /// Whether a manifest that is here means that all it names is here too, so that its children need not be asked for one by one.
    fn is_closed(&self) -> bool;

    /// The registry and the repository that content comes from, so that a [`Mount`] of the same registry can take it over; none where
    /// this is no registry. After a [`resolve`](Self::resolve), by itself or with the document, it is where that was found, be it a mirror.
    fn origin(&self) -> Option<Origin>;
}

/// A repository of a registry.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    /// The registry: scheme, host and port, always in one spelling, such as `https://registry.example:443`.
    pub registry: String,
    /// The repository's path.
    pub repository: String,
}

/// What is known of content that is about to be written.
#[derive(Clone, Debug, Default)]
pub struct Expected {
    /// The digest, where it is known before the bytes are.
    pub digest: Option<Digest>,
    /// The size in bytes, likewise.
    pub size: Option<u64>,
    /// The algorithm of the digest to make, where `digest` is not given.
    pub algorithm: Algorithm,
    /// The caller reads the content through [`Verified`](crate::Verified) and commits only after its end, so the target need not hash it again.
    pub verified: bool,
}

impl Expected {
    /// Content that the caller verifies while it reads it.
    #[must_use]
    pub fn verified(descriptor: &Descriptor) -> Self {
        Self {
            digest: Some(descriptor.digest),
            size: Some(descriptor.size),
            algorithm: descriptor.digest.algorithm(),
            verified: true,
        }
    }

    /// What an [`Ingest::commit`] decides by: the digest of what was written, if it is what both the caller and this say.
    ///
    /// `size` was counted; `hashed` gives the digest that was made under an algorithm, and is asked for only where no one else verified.
    ///
    /// # Errors
    /// `Mismatch`, with what differs.
    pub fn check(
        &self,
        committed: Option<Digest>,
        size: u64,
        hashed: impl FnOnce(Algorithm) -> Digest,
    ) -> Result<Digest> {
        let mismatch = |message: String| Err(Error::new(ErrorKind::Mismatch, message));
        if let (Some(first), Some(last)) = (self.digest, committed)
            && first != last
        {
            return mismatch(format!("content was announced as {first} and committed as {last}"));
        }
        let wanted = committed.or(self.digest);
        if let Some(expected) = self.size
            && expected != size
        {
            let content = wanted.map_or_else(|| "content".to_owned(), |digest| format!("content of {digest}"));
            return mismatch(format!("{content} has {size} bytes instead of {expected}"));
        }
        match wanted {
            Some(wanted) if self.verified => Ok(wanted),
            Some(wanted) => {
                let found = hashed(wanted.algorithm());
                if found != wanted {
                    return mismatch(format!("content of {wanted} has the digest {found}"));
                }
                Ok(wanted)
            }
            None => Ok(hashed(self.algorithm)),
        }
    }
}

/// What the caller believes of a name that it is about to set or to remove.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Expect {
    /// Nothing: the name is set, or removed, whatever it was; without a name the image comes beside those that are there.
    #[default]
    Any,
    /// That the name is free.
    Absent,
    /// That the name is there, wherever it points. Without a name it says nothing.
    Present,
    /// That the name points here. Without a name: that an image without a name is here, which it replaces.
    Digest(Digest),
}

impl Expect {
    /// Whether it is true of a name that points at what was found.
    #[must_use]
    pub fn holds(self, found: Option<Digest>) -> bool {
        match self {
            Self::Any => true,
            Self::Absent => found.is_none(),
            Self::Present => found.is_some(),
            Self::Digest(digest) => found == Some(digest),
        }
    }

    /// Refuses what is not so; `name` is said to point at what was found.
    ///
    /// # Errors
    /// `Conflict` where it does not [hold](Self::holds).
    pub fn check(self, name: impl fmt::Display, found: Option<Digest>) -> Result<()> {
        if self.holds(found) {
            return Ok(());
        }
        let found = found.map_or_else(|| "nothing".to_owned(), |digest| digest.to_string());
        let message = format!("{name} points at {found}, which is not what was expected");
        Err(Error::new(ErrorKind::Conflict, message))
    }
}

/// The forms that a place can keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Takes {
    /// Indexes as well as single images.
    pub indexes: bool,
    /// OCI's manifests.
    pub oci: bool,
    /// Docker's manifests.
    pub docker: bool,
    /// Layers are kept uncompressed only, as in Docker's archives.
    pub uncompressed_only: bool,
}

impl Takes {
    /// All that there is.
    pub const EVERYTHING: Self = Self {
        indexes: true,
        oci: true,
        docker: true,
        uncompressed_only: false,
    };
}

/// A place that content is written to.
pub trait Target: Send + Sync {
    /// Begins to write a blob.
    fn ingest(&self, expected: Expected) -> BoxFuture<'_, Result<Box<dyn Ingest>>>;

    /// Puts a manifest whose children are there already, under its digest and under all `names`, which are set together or not at all
    /// where the place can do that. `digest` is the manifest's, under the algorithm that the caller chose.
    ///
    /// Without names it is a child of what is put later, or an image without a name. A place that lists its images (a layout's index)
    /// tells which by [`finish`](Self::finish): what no manifest that was put names is listed, without a name. With [`Expect::Digest`] it takes the place
    /// of the image without a name that has this digest; a registry, which lists none, puts it as it is.
    ///
    /// # Errors
    /// `Conflict` when `expect` does not hold; `MissingChildren` where the place checks; `Unsupported` for a form it does not take.
    fn put_manifest<'a>(
        &'a self,
        document: &'a Document,
        digest: &'a Digest,
        names: &'a [String],
        expect: Expect,
    ) -> BoxFuture<'a, Result<Descriptor>>;

    /// Makes all that was put durable and visible: an archive is written to its end, a layout is synced. Called once, last.
    fn finish(&self) -> BoxFuture<'_, Result<()>>;

    /// The forms that it keeps.
    fn takes(&self) -> Takes;

    /// The same place, to ask what is there already; none where it can only be written, as an archive.
    fn readable(&self) -> Option<&dyn Source>;

    /// The power to take over a blob from another repository without its bytes.
    fn mount(&self) -> Option<&dyn Mount>;

    /// The power to take over an open file.
    fn adopt(&self) -> Option<&dyn Adopt>;

    /// The power to go on with a blob where an earlier writer was cut off.
    fn resume(&self) -> Option<&dyn Resume>;

    /// The power to delete.
    fn delete(&self) -> Option<&dyn Delete>;

    /// The power to collect garbage.
    fn sweep(&self) -> Option<&dyn Sweep>;
}

/// A place that is read and written.
pub trait Store: Source + Target {
    /// The same place, to read.
    fn as_source(&self) -> &dyn Source;
    /// The same place, to write.
    fn as_target(&self) -> &dyn Target;
}

impl<T: Source + Target> Store for T {
    fn as_source(&self) -> &dyn Source {
        self
    }

    fn as_target(&self) -> &dyn Target {
        self
    }
}

/// A blob that is being written. Dropped before its commit, it cleans up as well as it can.
pub trait Ingest: Send {
    /// Takes the next bytes. Where there are none in them none came for a while, and what memory is held for more of them may go.
    fn write(&mut self, bytes: Bytes) -> BoxFuture<'_, Result<()>>;

    /// Makes the blob visible. The digest is checked unless [`Expected::verified`] was set; the size always.
    ///
    /// # Errors
    /// `Mismatch`: nothing is left behind.
    fn commit(self: Box<Self>, digest: Option<Digest>) -> BoxFuture<'static, Result<Committed>>;

    /// Drops what was written.
    fn abort(self: Box<Self>) -> BoxFuture<'static, Result<()>>;
}

/// A blob that is being written, and that another writer may go on with: dropped or [parked](Self::park) it stays as far as it is, aborted
/// it is gone.
pub trait Park: Ingest {
    /// Leaves what was written to whoever comes next. As with dropping this, but it is there when the future is done.
    fn park(self: Box<Self>) -> BoxFuture<'static, ()>;
}

/// A blob that is written on, from where an earlier writer was cut off.
pub struct Resumed {
    /// Takes the bytes from [`Self::done`] on. It checks the digest of the whole when it is committed, as nobody else sees the whole; where
    /// that fails, nothing is left behind.
    pub ingest: Box<dyn Park>,
    /// How many bytes are here already; nobody checked them. It is at most the blob's size.
    pub done: u64,
}

/// A blob that was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Committed {
    /// Its digest.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
}

/// A name and what it points at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// The name, where it has one: a layout's images may have none.
    pub name: Option<String>,
    /// What it points at, where the place says so for free; a registry lists names alone.
    pub descriptor: Option<Descriptor>,
}

/// A part of a list. The next part is asked for by `next`, as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// The items, in the place's own order.
    pub items: Vec<T>,
    /// Where the next page begins; none where this was the last.
    pub next: Option<String>,
}

/// The power to list names and referrers.
pub trait Browse: Send + Sync {
    /// A page of names: the first, or the one that begins at `from`.
    fn names<'a>(&'a self, from: Option<&'a str>) -> BoxFuture<'a, Result<Page<Named>>>;

    /// A part of the names in byte order; none where the place has no such order at hand, so that all of them must be read for it.
    fn in_order<'a>(&'a self, part: Keyset<'a>) -> Option<BoxFuture<'a, Result<Page<String>>>>;

    /// A part of all manifests that are here, named or not, in the order of their digests' texts; none where the place keeps no such list:
    /// then [`names`](Self::names) gives all that it can tell of.
    fn manifests<'a>(&'a self, part: Keyset<'a>) -> Option<BoxFuture<'a, Result<Page<Digest>>>>;

    /// The manifests whose subject this is, of one artifact type or of all. A subject that was never seen has none, which is no error.
    fn referrers<'a>(
        &'a self,
        subject: &'a Digest,
        artifact_type: Option<&'a str>,
    ) -> BoxFuture<'a, Result<Vec<Descriptor>>>;

    /// A part of the same, in the order of their digests' texts; it may be shorter than was asked for and not the last. None where the
    /// place has no such order at hand, so that all of them must be read for it.
    fn referrers_in_order<'a>(
        &'a self,
        subject: &'a Digest,
        artifact_type: Option<&'a str>,
        part: Keyset<'a>,
    ) -> Option<BoxFuture<'a, Result<Page<Descriptor>>>>;
}

/// The power to hand out open files, for reflink, `copy_file_range` and sendfile.
pub trait Local: Send + Sync {
    /// The blob as an open regular file; none where it is not here, or lies within something else.
    fn open_file(&self, digest: &Digest) -> Result<Option<File>>;
}

/// The power to take over an open file as a blob.
pub trait Adopt: Send + Sync {
    /// Copies the file's content by the cheapest means there is and, unless `trust`, checks the digest of *the copy*, so that the file
    /// may change meanwhile. Says whether it did that, [`How::Linked`], or only shows what was there for another, [`How::Mounted`]. Nothing is left
    /// behind on failure.
    fn adopt<'a>(&'a self, file: File, descriptor: &'a Descriptor, trust: bool) -> BoxFuture<'a, Result<How>>;

    /// Whether this is worth it: the copy is cheaper than streaming.
    fn is_preferred(&self) -> bool {
        true
    }
}

/// The power to take over a blob from another repository of the same registry.
pub trait Mount: Send + Sync {
    /// This repository and its registry. Another [`Source::origin`] of the same registry can be mounted from.
    fn origin(&self) -> Origin;

    /// Tries to mount from the repository `from`; false where the registry declines, which is no error.
    fn mount<'a>(&'a self, from: &'a str, digest: &'a Digest) -> BoxFuture<'a, Result<bool>>;
}

/// The power to go on with a blob where an earlier writer was cut off, in this process or in one that was killed.
pub trait Resume: Send + Sync {
    /// Begins to write a blob of this digest and size, or goes on with it; none where it is not worth keeping a part of, or where another
    /// writer is at it: then it is written as any other.
    fn resume<'a>(&'a self, blob: &'a Descriptor) -> BoxFuture<'a, Result<Option<Resumed>>>;
}

/// Keeps the beginnings of blobs on their way into a place that has not the power to [`Resume`], so that a copy that is cut off is not all
/// lost. What cannot be kept is no error: the copy goes on without.
pub trait Partials: fmt::Debug + Send + Sync {
    /// What an earlier copy left of a blob, and room for the rest; none where it is not worth it, or where another process is at it.
    fn open<'a>(&'a self, blob: &'a Descriptor) -> BoxFuture<'a, Result<Option<Partial>>>;
}

/// The beginning of a blob.
pub struct Partial {
    /// How many bytes are there; nobody checked them. It is at most the blob's size.
    pub done: u64,
    /// Those bytes.
    pub reader: Reader,
    /// Takes the bytes from [`Self::done`] on.
    pub rest: Box<dyn KeepRest>,
}

/// Keeps what follows the beginning of a blob. Dropped, it leaves all that it has to the next copy.
pub trait KeepRest: Send {
    /// Keeps the next bytes, as well as it can.
    fn keep(&mut self, bytes: Bytes) -> BoxFuture<'_, ()>;

    /// Removes all that was kept: it is wrong, or not needed any more.
    fn forget(self: Box<Self>) -> BoxFuture<'static, ()>;
}

/// The power to delete.
pub trait Delete: Send + Sync {
    /// Deletes content by digest.
    fn delete<'a>(&'a self, role: Role, digest: &'a Digest) -> BoxFuture<'a, Result<()>>;

    /// Deletes a name, and nothing else, where it is what is expected.
    ///
    /// # Errors
    /// `NotFound` where the name is not there, whatever was expected; `Conflict` where it is and `expect` does not hold, or it may not go.
    fn untag<'a>(&'a self, name: &'a str, expect: Expect) -> BoxFuture<'a, Result<()>>;
}

/// The power to collect garbage.
pub trait Sweep: Send + Sync {
    /// Keeps writers out until the session is dropped.
    ///
    /// # Errors
    /// `Conflict` where a writer is at work.
    fn begin(&self) -> BoxFuture<'_, Result<Box<dyn SweepSession + '_>>>;
}

/// A garbage collection: no writer of ours is at work while it lives.
pub trait SweepSession: Send + Sync {
    /// What is named: all that is reached from here stays.
    fn roots(&self) -> BoxFuture<'_, Result<Vec<Descriptor>>>;

    /// All content that is kept, reached or not.
    fn content(&self) -> BoxFuture<'_, Result<Vec<Kept>>>;

    /// Removes content.
    fn remove<'a>(&'a self, digest: &'a Digest) -> BoxFuture<'a, Result<()>>;
}

/// Content that a store keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Its digest.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// How long it has been there unchanged, where that is known: what is young may belong to a writer of another tool.
    pub age: Option<Duration>,
}

/// The media type of content that nobody says anything of.
#[must_use]
pub fn octet_stream() -> MediaType {
    MediaType::from("application/octet-stream")
}
