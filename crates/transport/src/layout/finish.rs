//! When is a writer done? When all that it put lasts, and is listed. Of those who finish one is at it at a time.
//!
//! Several tasks write to one layout, and each finishes: none is told that it is done by what another has only begun.

use std::{
    collections::HashSet,
    mem,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError},
};

use teu_spec::{Descriptor, Digest};
use teu_store::{Result, blocking};

use super::{Inner, Writing, index::Change};
use crate::files;

/// What is made to last at a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    /// The names in it.
    Names,
    /// All that was written to its file system.
    FileSystem,
}

type Syncs = dyn Fn(&Path, Reach) -> Result<()> + Send + Sync;

/// One at a time makes what was put last, and changes the index.
pub(super) struct Finishing {
    alone: Mutex<()>,
    /// It is the system's call, but for tests.
    sync: Box<Syncs>,
}

/// Who has this is the one, and has a thread: were it had while one is asked for, those who wait for it on theirs could have them all.
pub(super) struct Alone<'a>(#[expect(dead_code, reason = "it is held")] MutexGuard<'a, ()>);

impl Default for Finishing {
    fn default() -> Self {
        Self {
            alone: Mutex::default(),
            sync: Box::new(|directory, reach| match reach {
                Reach::Names => files::sync_directory(directory),
                Reach::FileSystem => files::sync_file_system(directory),
            }),
        }
    }
}

impl Finishing {
    /// Waits, on a thread that may, until no other is at it.
    pub(super) fn wait(&self) -> Alone<'_> {
        Alone(self.alone.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The same where no other is at it.
    fn at_once(&self) -> Option<Alone<'_>> {
        match self.alone.try_lock() {
            Ok(alone) => Some(Alone(alone)),
            Err(TryLockError::Poisoned(poisoned)) => Some(Alone(poisoned.into_inner())),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}

impl Writing {
    fn has_nothing_to_finish(&self) -> bool {
        self.unnamed.is_empty() && self.children.is_empty() && !self.unsynced
    }
}

impl Inner {
    /// Lists what was put without a name, makes all last, and lets gc in.
    pub(super) async fn finish(self: Arc<Self>) -> Result<()> {
        if self.finishing.at_once().is_some_and(|alone| self.is_finished(&alone)) {
            return Ok(());
        }
        let finish = move || {
            let alone = self.finishing.wait();
            // The one before may have done all of it.
            match self.is_finished(&alone) {
                true => Ok(()),
                false => self.finish_alone(&alone),
            }
        };
        blocking::run(finish).await
    }

    /// Whether nothing is left to do; gc is let in then.
    fn is_finished(&self, _: &Alone<'_>) -> bool {
        let mut writing = self.writing();
        let is_finished = writing.has_nothing_to_finish();
        if is_finished {
            writing.lock = None;
        }
        is_finished
    }

    fn finish_alone(&self, alone: &Alone<'_>) -> Result<()> {
        // A gc on this handle may have let go of it.
        let _lock = self.lock()?;
        let (unnamed, children) = {
            let mut writing = self.writing();
            (mem::take(&mut writing.unnamed), mem::take(&mut writing.children))
        };
        if let Err(error) = self.list(&unnamed, &children, alone) {
            // They are as much the next one's, who waits already.
            let mut writing = self.writing();
            writing.unnamed.splice(..0, unnamed);
            writing.children.extend(children);
            return Err(error);
        }
        // Blobs may have come back that were missing below a name which stands as it did.
        if self.writing().unsynced {
            self.sync(alone)?;
        }
        let mut writing = self.writing();
        // What was put meanwhile is kept from gc until it is listed.
        if writing.unnamed.is_empty() {
            writing.lock = None;
        }
        Ok(())
    }

    /// Lists manifests without a name, but for those that others name.
    fn list(&self, unnamed: &[Descriptor], children: &HashSet<Digest>, alone: &Alone<'_>) -> Result<()> {
        let is_top = |descriptor: &&Descriptor| !children.contains(&descriptor.digest);
        let unnamed: Vec<Descriptor> = unnamed.iter().filter(is_top).cloned().collect();
        let named_now: HashSet<Digest> = self.writing().listed.intersection(children).copied().collect();
        if unnamed.is_empty() && named_now.is_empty() {
            return Ok(());
        }
        let mut added = Vec::new();
        self.change_index_alone(alone, |index| {
            let change = Change::list_unnamed(index, &unnamed).without_unnamed(&named_now);
            added = change.added.iter().map(|entry| entry.digest).collect();
            Ok(change)
        })?;
        let listed = &mut self.writing().listed;
        listed.retain(|digest| !named_now.contains(digest));
        listed.extend(added);
        Ok(())
    }

    /// Makes all that was put last.
    pub(super) fn sync(&self, alone: &Alone<'_>) -> Result<()> {
        // What is put from now on sets it again, and a later one syncs it.
        self.writing().unsynced = false;
        self.make_last(&self.blobs, Reach::FileSystem)?;
        match self.shared {
            // What was made there may lie on another file system.
            true => self.sync_names(alone),
            false => Ok(()),
        }
    }

    /// Makes the layout's own files last, whose content was synced.
    pub(super) fn sync_names(&self, _: &Alone<'_>) -> Result<()> {
        self.make_last(&self.root, Reach::Names)
    }

    fn make_last(&self, directory: &Path, reach: Reach) -> Result<()> {
        let synced = (self.finishing.sync)(directory, reach);
        if synced.is_err() {
            self.writing().unsynced = true;
        }
        synced
    }
}

#[cfg(test)]
mod tests {
    use std::{
        collections::VecDeque,
        fs::File,
        path::PathBuf,
        sync::{self, mpsc},
        time::Duration,
    };

    use futures_util::FutureExt as _;
    use teu_spec::{Algorithm, Format, Manifest, MediaType, layout};
    use teu_store::{Error, ErrorKind, Expect, Expected, Target};
    use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

    use super::*;
    use crate::{
        layout::Layout,
        lock::{self, Share},
    };

    type Synced = Arc<sync::Mutex<Vec<(PathBuf, Reach)>>>;

    /// A new layout, and what of it was synced how.
    fn layout_that(
        room: &Path,
        shared: Option<PathBuf>,
        sync: impl Fn(Reach) -> Result<()> + Send + Sync + 'static,
    ) -> (Layout, Synced) {
        let mut layout = Layout::prepare(room.join("layout"), shared).expect("a layout");
        let synced = Arc::new(sync::Mutex::new(Vec::new()));
        let seen = Arc::clone(&synced);
        let inner = Arc::get_mut(&mut layout.0).expect("ours alone");
        inner.finishing.sync = Box::new(move |directory, reach| {
            seen.lock().expect("whole").push((directory.to_owned(), reach));
            sync(reach)
        });
        (layout, synced)
    }

    /// What answers for a sync of the file system, when the test says what; and who says that one began.
    struct Held {
        began: UnboundedReceiver<()>,
        answer: mpsc::Sender<Result<()>>,
    }

    fn held(room: &Path) -> (Layout, Held) {
        let (begins, began) = unbounded_channel();
        let (answer, answers) = mpsc::channel();
        let answers = sync::Mutex::new(answers);
        let (layout, _) = layout_that(room, None, move |reach| match reach {
            Reach::Names => Ok(()),
            Reach::FileSystem => {
                begins.send(()).expect("a test");
                answers.lock().expect("whole").recv().expect("a test")
            }
        });
        (layout, Held { began, answer })
    }

    fn broken() -> Error {
        Error::new(ErrorKind::Io, "the disk is broken")
    }

    async fn put_blob(layout: &Layout, content: &'static str) {
        let digest = Algorithm::Sha256.digest(content.as_bytes());
        let expected = Expected::verified(&Descriptor::of(MediaType::OciConfig, content.as_bytes()));
        let mut ingest = layout.ingest(expected).await.expect("begun");
        ingest.write(content.into()).await.expect("written");
        ingest.commit(Some(digest)).await.expect("put");
    }

    async fn put_manifest(layout: &Layout, content: &'static str) -> Digest {
        let config = Descriptor::of(MediaType::OciConfig, content.as_bytes());
        let manifest = Manifest::build(Format::Oci, &config, &[]).expect("a manifest");
        let digest = manifest.descriptor().digest;
        let put = layout.put_manifest(&manifest, &digest, &[], Expect::Any).await;
        put.expect("put").digest
    }

    fn listed(layout: &Layout) -> Vec<Digest> {
        let index = layout.0.index().expect("an index");
        index.manifests.iter().map(|entry| entry.digest).collect()
    }

    #[tokio::test]
    async fn who_finishes_waits_for_what_another_has_begun_to_sync() {
        let room = tempfile::tempdir().expect("a directory");
        let (layout, mut held) = held(room.path());
        put_blob(&layout, "first").await;
        put_blob(&layout, "second").await;
        let first = tokio::spawn(Arc::clone(&layout.0).finish());
        held.began.recv().await.expect("begun");
        let mut second = layout.finish();
        assert!((&mut second).now_or_never().is_none());
        // One sync was for both.
        held.answer.send(Ok(())).expect("waited for");
        first.await.expect("ended").expect("finished");
        second.await.expect("finished");
        layout.finish().now_or_never().expect("at once").expect("finished");
        // What comes while one is under way is not for that one.
        put_blob(&layout, "third").await;
        let third = tokio::spawn(Arc::clone(&layout.0).finish());
        held.began.recv().await.expect("begun");
        put_blob(&layout, "fourth").await;
        held.answer.send(Ok(())).expect("waited for");
        third.await.expect("ended").expect("finished");
        let fourth = tokio::spawn(Arc::clone(&layout.0).finish());
        held.began.recv().await.expect("begun");
        held.answer.send(Ok(())).expect("waited for");
        fourth.await.expect("ended").expect("finished");
        assert!(layout.0.writing().lock.is_none());
    }

    /// Whoever is at it needs no thread that those have who wait for it.
    #[test]
    fn who_waits_takes_no_thread_from_who_is_waited_for() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(1)
            .build()
            .expect("a runtime");
        let room = tempfile::tempdir().expect("a directory");
        let (layout, _) = layout_that(room.path(), None, |_| Ok(()));
        let ended = runtime.block_on(async {
            put_blob(&layout, "blob").await;
            let config = Descriptor::of(MediaType::OciConfig, b"blob");
            let manifest = Manifest::build(Format::Oci, &config, &[]).expect("a manifest");
            let digest = manifest.descriptor().digest;
            let names = ["app".to_owned()];
            let (let_go, held) = mpsc::channel();
            let busy = tokio::task::spawn_blocking(move || held.recv());
            // It is the next that has the only thread, and the other is behind it.
            let mut put = layout.put_manifest(&manifest, &digest, &names, Expect::Any);
            assert!((&mut put).now_or_never().is_none());
            let mut finish = layout.finish();
            assert!((&mut finish).now_or_never().is_none());
            let_go.send(()).expect("waited for");
            busy.await.expect("ended").expect("told");
            let both = futures_util::future::join(put, finish);
            tokio::time::timeout(Duration::from_secs(20), both).await
        });
        // Who has no thread yet is not waited for.
        runtime.shutdown_background();
        let (put, finished) = ended.expect("an end");
        put.expect("put");
        finished.expect("finished");
        assert_eq!(listed(&layout).len(), 1);
    }

    #[tokio::test]
    async fn what_failed_to_be_synced_is_synced_again() {
        for (failing, expected) in [
            // An error of either kind, and then all is done again.
            (vec![Reach::FileSystem; 2], 3),
            (vec![Reach::Names; 2], 3),
        ] {
            let room = tempfile::tempdir().expect("a directory");
            let failing = sync::Mutex::new(VecDeque::from(failing));
            let shared = Some(room.path().join("shared"));
            let (layout, synced) = layout_that(room.path(), shared, move |reach| {
                let mut failing = failing.lock().expect("whole");
                match failing.front() == Some(&reach) {
                    true => failing.pop_front().map_or(Ok(()), |_| Err(broken())),
                    false => Ok(()),
                }
            });
            put_blob(&layout, "blob").await;
            for _ in 0..2 {
                let error = layout.finish().await.expect_err("broken");
                assert_eq!(error.kind(), &ErrorKind::Io, "{error}");
            }
            layout.finish().await.expect("finished");
            layout.finish().await.expect("finished");
            let synced = synced.lock().expect("whole");
            let of_blobs = synced.iter().filter(|(_, reach)| *reach == Reach::FileSystem);
            assert_eq!(of_blobs.count(), expected);
        }
    }

    #[tokio::test]
    async fn what_one_fails_to_list_another_lists() {
        let room = tempfile::tempdir().expect("a directory");
        let (layout, mut held) = held(room.path());
        let one = put_manifest(&layout, "one").await;
        let two = put_manifest(&layout, "two").await;
        let first = tokio::spawn(Arc::clone(&layout.0).finish());
        held.began.recv().await.expect("begun");
        let second = tokio::spawn(Arc::clone(&layout.0).finish());
        let three = put_manifest(&layout, "three").await;
        held.answer.send(Err(broken())).expect("waited for");
        first.await.expect("ended").expect_err("broken");
        assert_eq!(listed(&layout), []);
        held.began.recv().await.expect("begun");
        held.answer.send(Ok(())).expect("waited for");
        second.await.expect("ended").expect("finished");
        assert_eq!(listed(&layout), [one, two, three]);
        layout.finish().now_or_never().expect("at once").expect("finished");
    }

    #[tokio::test]
    async fn what_is_not_listed_yet_is_kept_from_gc() {
        let room = tempfile::tempdir().expect("a directory");
        let (layout, mut held) = held(room.path());
        let one = put_manifest(&layout, "one").await;
        // As a gc on the same handle does.
        layout.0.writing().lock = None;
        let alone = || {
            let root = File::open(layout.root()).expect("a directory");
            lock::try_lock(root, layout.root(), Share::All)
                .expect("a lock")
                .is_some()
        };
        assert!(alone());
        let first = tokio::spawn(Arc::clone(&layout.0).finish());
        held.began.recv().await.expect("begun");
        assert!(!alone());
        let two = put_manifest(&layout, "two").await;
        // It syncs once more what it finds put, but lists no more than it came with.
        for _ in 0..2 {
            held.answer.send(Ok(())).expect("waited for");
        }
        first.await.expect("ended").expect("finished");
        assert_eq!(listed(&layout), [one]);
        assert!(!alone());
        held.answer.send(Ok(())).expect("waited for");
        layout.finish().await.expect("finished");
        assert_eq!(listed(&layout), [one, two]);
        assert!(alone());
    }

    #[tokio::test]
    async fn the_layouts_own_files_last_where_its_blobs_are_elsewhere() {
        for is_shared in [false, true] {
            let room = tempfile::tempdir().expect("a directory");
            let shared = room.path().join("shared");
            let (layout, synced) = layout_that(room.path(), is_shared.then(|| shared.clone()), |_| Ok(()));
            put_blob(&layout, "blob").await;
            layout.finish().await.expect("finished");
            let root = layout.root().to_owned();
            let expected = match is_shared {
                true => vec![(shared, Reach::FileSystem), (root, Reach::Names)],
                false => vec![(root.join(layout::BLOBS_DIRECTORY), Reach::FileSystem)],
            };
            assert_eq!(*synced.lock().expect("whole"), expected);
        }
    }
}
