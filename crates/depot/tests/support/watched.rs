//! Metadata and content that tell of each step, before it is taken and after.

#![allow(dead_code, reason = "each test uses a part of it")]

use std::{fs::File, ops::Range, sync::Arc};

use bytes::Bytes;
use teu_depot::{
    Blob, Content, Held, Immutable, Looked, Manifest, Metadata, Millis, Needed, NewBlob, NewManifest, OpenFiles, Place,
    Placing, Reviewed, Session, Unreferenced, Writing,
};
use teu_spec::{Descriptor, Digest};
use teu_store::{BoxFuture, Expect, Keyset, Page, Reader, Result};
use tokio::runtime::Handle;

/// Hears of a step: its name, and whether it is taken. What it fails with the step fails with.
pub(crate) type Watch = Arc<dyn Fn(&'static str, bool) -> Result<()> + Send + Sync>;

/// One of them, watched.
pub(crate) struct Watched<T> {
    pub(crate) inner: T,
    pub(crate) watch: Watch,
}

/// Takes a step.
macro_rules! step {
    ($self:ident, $name:literal, $step:expr) => {
        Box::pin(async move {
            ($self.watch)($name, false)?;
            let outcome: Result<_> = $step.await;
            let outcome = outcome?;
            ($self.watch)($name, true)?;
            Ok(outcome)
        })
    };
}

/// The steps of content that are watched.
pub(crate) const CONTENT: [&str; 6] = ["begin", "write", "sync", "place", "forget", "remove"];
/// The steps of metadata that are watched.
pub(crate) const METADATA: [&str; 8] = [
    "put_blob",
    "put_manifest",
    "remove_manifest",
    "begin_session",
    "record_session",
    "end_session",
    "review",
    "bury",
];

impl<T: Content> Content for Watched<T> {
    fn begin<'a>(&'a self, name: &'a str, stays: bool) -> BoxFuture<'a, Result<Box<dyn Writing>>> {
        let watch = Arc::clone(&self.watch);
        step!(self, "begin", async {
            let inner = self.inner.begin(name, stays).await?;
            Ok(Box::new(Watched { inner, watch }) as Box<dyn Writing>)
        })
    }

    fn reopen<'a>(&'a self, name: &'a str, offset: u64) -> BoxFuture<'a, Result<Option<Box<dyn Writing>>>> {
        self.inner.reopen(name, offset)
    }

    fn forget<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<()>> {
        step!(self, "forget", self.inner.forget(name))
    }

    fn begun(&self) -> BoxFuture<'_, Result<Vec<String>>> {
        self.inner.begun()
    }

    fn read<'a>(&'a self, place: &'a Place, size: u64, range: Range<u64>) -> BoxFuture<'a, Result<Option<Reader>>> {
        self.inner.read(place, size, range)
    }

    fn remove<'a>(&'a self, place: &'a Place) -> BoxFuture<'a, Result<()>> {
        step!(self, "remove", self.inner.remove(place))
    }

    fn size<'a>(&'a self, place: &'a Place) -> BoxFuture<'a, Result<Option<u64>>> {
        self.inner.size(place)
    }

    fn quarantine<'a>(&'a self, place: &'a Place) -> BoxFuture<'a, Result<()>> {
        self.inner.quarantine(place)
    }

    fn part(&self, part: u16) -> BoxFuture<'_, Result<Vec<Place>>> {
        self.inner.part(part)
    }

    fn files(&self) -> Option<&dyn OpenFiles> {
        self.inner.files().map(|_| self as &dyn OpenFiles)
    }
}

impl<T: Content> Watched<T> {
    fn inner_files(&self) -> &dyn OpenFiles {
        self.inner.files().expect("they are handed out where it has the power")
    }
}

/// Within a runtime, on a thread that may block.
impl<T: Content> OpenFiles for Watched<T> {
    fn open(&self, place: &Place, size: u64) -> Result<Option<File>> {
        self.inner_files().open(place, size)
    }

    fn copy(&self, name: &str, file: &mut File, digest: &Digest, size: u64, verify: bool) -> Result<()> {
        (self.watch)("copy", false)?;
        self.inner_files().copy(name, file, digest, size, verify)?;
        (self.watch)("copy", true)
    }

    fn place(&self, name: &str, place: &Place) -> Result<()> {
        if let Err(error) = (self.watch)("place", false) {
            // As the real one does where it fails.
            Handle::current().block_on(self.inner.forget(name))?;
            return Err(error);
        }
        self.inner_files().place(name, place)?;
        (self.watch)("place", true)
    }
}

impl Writing for Watched<Box<dyn Writing>> {
    fn write(&mut self, bytes: Bytes) -> BoxFuture<'_, Result<()>> {
        step!(self, "write", self.inner.write(bytes))
    }

    fn sync(&mut self) -> BoxFuture<'_, Result<()>> {
        step!(self, "sync", self.inner.sync())
    }

    fn read(&mut self) -> BoxFuture<'_, Result<Reader>> {
        self.inner.read()
    }

    fn place(self: Box<Self>, place: Placing) -> BoxFuture<'static, Result<Place>> {
        Box::pin(async move {
            if let Err(error) = (self.watch)("place", false) {
                // As the real one does where it fails.
                self.inner.forget().await?;
                return Err(error);
            }
            let place = self.inner.place(place).await?;
            (self.watch)("place", true)?;
            Ok(place)
        })
    }

    fn forget(self: Box<Self>) -> BoxFuture<'static, Result<()>> {
        self.inner.forget()
    }
}

impl<T: Metadata> Metadata for Watched<T> {
    fn has_repository<'a>(&'a self, repository: &'a str) -> BoxFuture<'a, Result<bool>> {
        self.inner.has_repository(repository)
    }

    fn repositories<'a>(&'a self, part: Keyset<'a>) -> BoxFuture<'a, Result<Page<String>>> {
        self.inner.repositories(part)
    }

    fn holders<'a>(&'a self, digest: &'a Digest, part: Keyset<'a>) -> BoxFuture<'a, Result<Page<String>>> {
        self.inner.holders(digest, part)
    }

    fn blob<'a>(&'a self, repository: &'a str, digest: &'a Digest) -> BoxFuture<'a, Result<Option<Blob>>> {
        self.inner.blob(repository, digest)
    }

    fn manifest<'a>(&'a self, repository: &'a str, digest: &'a Digest) -> BoxFuture<'a, Result<Option<Manifest>>> {
        self.inner.manifest(repository, digest)
    }

    fn describe<'a>(&'a self, repository: &'a str, digest: &'a Digest) -> BoxFuture<'a, Result<Option<Descriptor>>> {
        self.inner.describe(repository, digest)
    }

    fn tag<'a>(&'a self, repository: &'a str, name: &'a str) -> BoxFuture<'a, Result<Option<Descriptor>>> {
        self.inner.tag(repository, name)
    }

    fn tags<'a>(&'a self, repository: &'a str, part: Keyset<'a>) -> BoxFuture<'a, Result<Page<(String, Descriptor)>>> {
        self.inner.tags(repository, part)
    }

    fn tag_names<'a>(&'a self, repository: &'a str, part: Keyset<'a>) -> BoxFuture<'a, Result<Page<String>>> {
        self.inner.tag_names(repository, part)
    }

    fn digests<'a>(&'a self, repository: &'a str, part: Keyset<'a>) -> BoxFuture<'a, Result<Page<Digest>>> {
        self.inner.digests(repository, part)
    }

    fn referrers<'a>(
        &'a self,
        repository: &'a str,
        subject: &'a Digest,
        artifact_type: Option<&'a str>,
        part: Keyset<'a>,
    ) -> BoxFuture<'a, Result<Page<Descriptor>>> {
        self.inner.referrers(repository, subject, artifact_type, part)
    }

    fn put_blob(&self, blob: NewBlob) -> BoxFuture<'_, Result<()>> {
        step!(self, "put_blob", self.inner.put_blob(blob))
    }

    fn extend<'a>(&'a self, repository: &'a str, digest: &'a Digest, lease: Millis) -> BoxFuture<'a, Result<bool>> {
        self.inner.extend(repository, digest, lease)
    }

    fn mount<'a>(
        &'a self,
        from: &'a str,
        repository: &'a str,
        digest: &'a Digest,
        lease: Millis,
    ) -> BoxFuture<'a, Result<bool>> {
        self.inner.mount(from, repository, digest, lease)
    }

    fn remove_blob<'a>(&'a self, repository: &'a str, digest: &'a Digest, due: Millis) -> BoxFuture<'a, Result<bool>> {
        self.inner.remove_blob(repository, digest, due)
    }

    fn put_manifest(&self, manifest: NewManifest) -> BoxFuture<'_, Result<()>> {
        step!(self, "put_manifest", self.inner.put_manifest(manifest))
    }

    fn remove_manifest<'a>(
        &'a self,
        repository: &'a str,
        digest: &'a Digest,
        immutable: Immutable,
        now: Millis,
    ) -> BoxFuture<'a, Result<bool>> {
        step!(
            self,
            "remove_manifest",
            self.inner.remove_manifest(repository, digest, immutable, now)
        )
    }

    fn remove_tag<'a>(
        &'a self,
        repository: &'a str,
        name: &'a str,
        expect: Expect,
        now: Millis,
    ) -> BoxFuture<'a, Result<bool>> {
        self.inner.remove_tag(repository, name, expect, now)
    }

    fn touch<'a>(
        &'a self,
        repository: &'a str,
        digest: &'a Digest,
        before: Millis,
        now: Millis,
    ) -> BoxFuture<'a, Result<()>> {
        self.inner.touch(repository, digest, before, now)
    }

    fn remove_untagged<'a>(
        &'a self,
        repository: &'a str,
        digest: &'a Digest,
        before: Millis,
        now: Millis,
    ) -> BoxFuture<'a, Result<bool>> {
        self.inner.remove_untagged(repository, digest, before, now)
    }

    fn begin_session(&self, session: Session, most: u64) -> BoxFuture<'_, Result<()>> {
        step!(self, "begin_session", self.inner.begin_session(session, most))
    }

    fn session<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Option<Session>>> {
        self.inner.session(id)
    }

    fn record_session(&self, session: Session) -> BoxFuture<'_, Result<bool>> {
        step!(self, "record_session", self.inner.record_session(session))
    }

    fn end_session<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<()>> {
        step!(self, "end_session", self.inner.end_session(id))
    }

    fn idle_sessions(&self, before: Millis, empty: bool, limit: usize) -> BoxFuture<'_, Result<Vec<String>>> {
        self.inner.idle_sessions(before, empty, limit)
    }

    fn review(&self, now: Millis, due: Millis, limit: usize) -> BoxFuture<'_, Result<Reviewed>> {
        step!(self, "review", self.inner.review(now, due, limit))
    }

    fn tombstones(&self, now: Millis, passed: usize, limit: usize) -> BoxFuture<'_, Result<Vec<Place>>> {
        self.inner.tombstones(now, passed, limit)
    }

    fn bury(&self, places: Vec<Place>) -> BoxFuture<'_, Result<()>> {
        step!(self, "bury", self.inner.bury(places))
    }

    fn unknown(&self, places: Vec<Place>) -> BoxFuture<'_, Result<Vec<Place>>> {
        self.inner.unknown(places)
    }

    fn unreferenced<'a>(
        &'a self,
        after: Option<(&'a str, &'a Digest)>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Unreferenced>>> {
        self.inner.unreferenced(after, limit)
    }

    fn leads_to(&self, place: Place) -> BoxFuture<'_, Result<bool>> {
        self.inner.leads_to(place)
    }

    fn untagged(&self, after: Option<i64>, before: Millis, limit: usize) -> BoxFuture<'_, Result<Looked>> {
        self.inner.untagged(after, before, limit)
    }

    fn is_whole(&self) -> BoxFuture<'_, Result<bool>> {
        self.inner.is_whole()
    }

    fn missing(&self, after: Option<Digest>, limit: usize) -> BoxFuture<'_, Result<Vec<Digest>>> {
        self.inner.missing(after, limit)
    }

    fn needed<'a>(
        &'a self,
        digest: &'a Digest,
        within: Option<&'a str>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Needed>> {
        self.inner.needed(digest, within, limit)
    }

    fn misses(&self, digest: Digest) -> BoxFuture<'_, Result<bool>> {
        self.inner.misses(digest)
    }

    fn blobs(&self, after: Option<Digest>, limit: usize) -> BoxFuture<'_, Result<Vec<(Place, u64)>>> {
        self.inner.blobs(after, limit)
    }

    fn manifests(&self, after: i64, limit: usize) -> BoxFuture<'_, Result<Vec<Held>>> {
        self.inner.manifests(after, limit)
    }

    fn lose(&self, place: Place) -> BoxFuture<'_, Result<Vec<String>>> {
        self.inner.lose(place)
    }

    fn restore(&self, place: Place, size: u64, lease: Millis) -> BoxFuture<'_, Result<Vec<String>>> {
        self.inner.restore(place, size, lease)
    }

    fn examine(&self) -> BoxFuture<'_, Result<Vec<String>>> {
        self.inner.examine()
    }

    fn look_over(&self) -> BoxFuture<'_, Result<Vec<String>>> {
        self.inner.look_over()
    }
}
