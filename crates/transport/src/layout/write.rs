//! How does an image come into a layout? Blobs and manifests as files, then their names.

use std::{
    fs::File,
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use futures_util::FutureExt;
use rustix::fs::{FlockOperation, flock};
use teu_spec::{Descriptor, Digest, Document, layout};
use teu_store::{
    Adopt, BoxFuture, Delete, Error, ErrorKind, Expect, Expected, How, Ingest, Mount, Result, Resume, Resumed, Source,
    Sweep, Takes, Target, blocking,
};

use super::{Inner, Layout, index::Change, resolve::describe};
use crate::{
    files::{self, Copying, FileIngest, Temporary},
    lock::{self, Locked, Share},
};

/// What any new file is made with; the process's umask takes off what it takes off everywhere.
const MODE: u32 = 0o666;
/// How long a part waits, and what somebody may still write to where that cannot be asked.
const LONGEST_PART: Duration = Duration::from_secs(7 * 24 * 3600);
/// A blob that is smaller, in bytes, is begun anew where it was cut off.
const SMALLEST_PART: u64 = 1 << 20;
/// How many entries of a directory are looked at where others wait meanwhile.
const MOST_LOOKED_AT: usize = 64;

impl Inner {
    /// Says that we are writing, until we have finished; waits while a garbage collection is at work.
    pub(super) fn lock(&self) -> Result<Arc<Locked>> {
        if let Some(lock) = &self.writing().lock {
            return Ok(Arc::clone(lock));
        }
        self.make()?;
        files::make_directory(&self.blobs)?;
        let mut lock = self.share()?;
        // What was there when it was looked for may have been removed since.
        if !self.has_marker() {
            self.made.store(false, Ordering::Release);
            self.make()?;
            lock = self.share()?;
        }
        let lock = Arc::new(lock);
        // Two tasks may have come here at once; one lock is enough.
        Ok(Arc::clone(self.writing().lock.get_or_insert(lock)))
    }

    /// The same where nobody need be waited for, and nothing made or cleared away; else none.
    pub(super) fn locked_at_once(&self) -> Option<Arc<Locked>> {
        if let Some(lock) = &self.writing().lock {
            return Some(Arc::clone(lock));
        }
        if !self.made.load(Ordering::Acquire) {
            return None;
        }
        // What fails is told by `lock`, which does it again.
        let file = File::open(&self.root).ok()?;
        let lock = lock::try_lock(file, &self.root, Share::One).ok()??;
        if !self.has_marker()
            || !self.blobs.is_dir()
            || [&self.root, &self.blobs].into_iter().any(|at| may_have_litter(at))
        {
            return None;
        }
        let lock = Arc::new(lock);
        Some(Arc::clone(self.writing().lock.get_or_insert(lock)))
    }

    fn has_marker(&self) -> bool {
        self.root.join(layout::MARKER_FILE).exists()
    }

    /// Makes what a layout consists of, where that is not there yet; whether it had to. It lasts when the directory is synced, as is done before the first
    /// name in it.
    pub(super) fn make(&self) -> Result<bool> {
        if self.made.load(Ordering::Acquire) {
            return Ok(false);
        }
        files::make_directory(&self.root)?;
        // As every writer, so that what is half-written here is known for a living one's.
        let _lock = self.share()?;
        if !self.check_marker()? {
            // It is what is locked, so the first one there stays.
            files::put_new(&self.root.join(layout::MARKER_FILE), layout::MARKER)?;
        }
        files::make_directory(&self.blobs)?;
        self.begin_index()?;
        self.made.store(true, Ordering::Release);
        self.writing().unsynced = true;
        Ok(true)
    }

    /// A share of the lock, as long as the file is open.
    pub(super) fn share(&self) -> Result<Locked> {
        lock::wait_for_lock(self.opened()?, &self.root, Share::One, &self.events())
    }

    /// What is locked, and may be locked by us alone already: then what lies about was cleared away.
    fn opened(&self) -> Result<File> {
        let failed = |error: std::io::Error| files::failed(error, "locking", &self.root);
        let file = File::open(&self.root).map_err(failed)?;
        // Who can have it alone finds no other writer at work: what lies there half-written is a dead one's. A part waits to be gone on with.
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() {
            self.remove_litter(|path, digest| self.blob(digest).exists() || files::is_older(path, LONGEST_PART));
        }
        Ok(file)
    }

    /// Removes what killed writers left, and those parts of blobs that are of no use. The caller has the lock alone.
    pub(super) fn remove_litter(&self, is_useless: impl Fn(&Path, &Digest) -> bool) {
        files::remove_litter(&self.root, |_, _| true);
        match self.shared {
            false => files::remove_litter(&self.blobs, |path, part| {
                part.is_none_or(|digest| is_useless(path, digest))
            }),
            // Writers to other layouts may be at work, but none that has written nothing for so long.
            true => files::remove_litter(&self.blobs, |path, _| files::is_older(path, LONGEST_PART)),
        }
    }

    /// Where a blob goes, its directory made.
    pub(super) fn place(&self, digest: &Digest) -> Result<PathBuf> {
        let path = self.blob(digest);
        if let Some(directory) = path.parent()
            && !directory.is_dir()
        {
            files::make_directory(directory)?;
        }
        Ok(path)
    }

    fn put_manifest(
        &self,
        document: &Document,
        digest: &Digest,
        names: &[String],
        expect: Expect,
    ) -> Result<Descriptor> {
        let lock = self.lock()?;
        for name in names {
            layout::check_name(name)?;
        }
        if digest.algorithm().digest(document.raw()) != *digest {
            return Err(Error::new(ErrorKind::Mismatch, format!("the manifest is not {digest}")));
        }
        let path = self.place(digest)?;
        // A name is not moved before the expectation was held to it, but content that nobody names does no harm.
        let mut temporary = Temporary::new(&self.blobs)?;
        let written = std::io::Write::write_all(temporary.file(), document.raw());
        written.map_err(|error| temporary.failed(error))?;
        temporary.put(&path)?;
        self.writing().unsynced = true;
        let descriptor = describe(document, *digest);
        let replaced = match expect {
            Expect::Digest(replaced) if names.is_empty() => Some(replaced),
            _ => None,
        };
        if !names.is_empty() {
            self.change_index(|index| Change::set_names(index, &descriptor, names, expect))?;
        } else if let Some(replaced) = replaced {
            self.change_index(|index| Change::replace_nameless(index, &descriptor, &replaced))?;
        }
        let mut writing = self.writing();
        writing
            .children
            .extend(document.children().iter().map(|child| child.digest));
        if names.is_empty() && replaced.is_none() {
            writing.unnamed.push(descriptor.clone());
            // Another's finish may have let go of it, and until ours nothing else keeps this from gc.
            writing.lock.get_or_insert(lock);
        } else {
            // It may have been put without a name before, and is listed now.
            writing.unnamed.retain(|unnamed| unnamed.digest != *digest);
        }
        Ok(descriptor)
    }
}

/// Whether there is anything half-written in a directory, or more than is looked through at once.
fn may_have_litter(directory: &Path) -> bool {
    let entries = std::fs::read_dir(directory).into_iter().flatten();
    let mut looked_at = 0;
    entries.flatten().any(|entry| {
        looked_at += 1;
        looked_at > MOST_LOOKED_AT || files::is_temporary(&entry.file_name())
    })
}

/// One who puts a blob: keeps gc out, and leaves word when the file is in its place.
struct Putting {
    inner: Arc<Inner>,
    _lock: Arc<Locked>,
}

impl Putting {
    fn begin(inner: &Arc<Inner>) -> Result<Self> {
        Ok(Self::locked(inner, inner.lock()?))
    }

    fn locked(inner: &Arc<Inner>, lock: Arc<Locked>) -> Self {
        Self {
            inner: Arc::clone(inner),
            _lock: lock,
        }
    }
}

impl Drop for Putting {
    fn drop(&mut self) {
        self.inner.writing().unsynced = true;
    }
}

impl Target for Layout {
    fn ingest(&self, expected: Expected) -> BoxFuture<'_, Result<Box<dyn Ingest>>> {
        let inner = Arc::clone(&self.0);
        let begin = move || {
            let putting = Putting::begin(&inner)?;
            let directory = inner.blobs.clone();
            let place = move |digest: &Digest| inner.place(digest);
            Ok((directory, place, putting))
        };
        async move {
            let (directory, place, putting) = blocking::run(begin).await?;
            Ok(Box::new(FileIngest::new(directory, expected, place, putting)) as Box<dyn Ingest>)
        }
        .boxed()
    }

    fn put_manifest<'a>(
        &'a self,
        document: &'a Document,
        digest: &'a Digest,
        names: &'a [String],
        expect: Expect,
    ) -> BoxFuture<'a, Result<Descriptor>> {
        let inner = Arc::clone(&self.0);
        let (document, digest, names) = (document.clone(), *digest, names.to_vec());
        blocking::run(move || inner.put_manifest(&document, &digest, &names, expect)).boxed()
    }

    fn finish(&self) -> BoxFuture<'_, Result<()>> {
        Arc::clone(&self.0).finish().boxed()
    }

    fn takes(&self) -> Takes {
        Takes::EVERYTHING
    }

    fn readable(&self) -> Option<&dyn Source> {
        Some(self)
    }

    fn mount(&self) -> Option<&dyn Mount> {
        None
    }

    fn adopt(&self) -> Option<&dyn Adopt> {
        Some(self)
    }

    fn resume(&self) -> Option<&dyn Resume> {
        Some(self)
    }

    fn delete(&self) -> Option<&dyn Delete> {
        Some(self)
    }

    /// None where the blobs are shared: which of them the other layouts need is not known here.
    fn sweep(&self) -> Option<&dyn Sweep> {
        (!self.0.shared).then_some(self)
    }
}

impl Resume for Layout {
    /// The part of a blob is its temporary file, with the digest in its name: no byte is written twice.
    fn resume<'a>(&'a self, blob: &'a Descriptor) -> BoxFuture<'a, Result<Option<Resumed>>> {
        let (inner, blob) = (Arc::clone(&self.0), blob.clone());
        let begin = move || {
            if blob.size < SMALLEST_PART {
                return Ok(None);
            }
            let putting = Putting::begin(&inner)?;
            let Some((part, done)) = Temporary::part(&inner.blobs, &blob.digest, blob.size, MODE)? else {
                return Ok(None);
            };
            let expected = Expected {
                verified: false,
                ..Expected::verified(&blob)
            };
            let directory = inner.blobs.clone();
            let place = move |digest: &Digest| inner.place(digest);
            let ingest = FileIngest::resumed(directory, part, done, expected, place, putting);
            Ok(Some(Resumed {
                ingest: Box::new(ingest),
                done,
            }))
        };
        blocking::run(begin).boxed()
    }
}

impl Adopt for Layout {
    fn adopt<'a>(&'a self, file: File, descriptor: &'a Descriptor, trust: bool) -> BoxFuture<'a, Result<How>> {
        let (inner, descriptor) = (Arc::clone(&self.0), descriptor.clone());
        async move {
            // To share the content of a file, which nobody reads, takes less time than to wake a thread.
            let begun = match trust.then(|| inner.locked_at_once()).flatten() {
                Some(lock) => {
                    let putting = Putting::locked(&inner, lock);
                    Some((putting, Copying::begin(&inner.blobs, &file, &descriptor)?))
                }
                None => None,
            };
            let is_little = begun.as_ref().is_some_and(|(_, copying)| copying.shares());
            let adopt = move || {
                let (_putting, copying) = match begun {
                    Some(begun) => begun,
                    None => {
                        let putting = Putting::begin(&inner)?;
                        (putting, Copying::begin(&inner.blobs, &file, &descriptor)?)
                    }
                };
                copying.finish(file, &descriptor, trust, |digest| inner.place(digest))?;
                Ok(How::Linked)
            };
            blocking::run_unless(is_little, adopt).await
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn who_has_something_to_clear_away_does_not_do_it_at_once() {
        for at in ["", "blobs/"] {
            let room = tempfile::tempdir().expect("a directory");
            let layout = Layout::create(room.path().join("layout"), None).expect("a layout");
            let litter = layout.root().join(format!("{at}{}dead", files::TEMPORARY));
            fs::write(&litter, "half").expect("written");
            assert!(layout.0.locked_at_once().is_none());
            assert!(litter.exists());
            let _lock = layout.0.lock().expect("locked");
            assert!(!litter.exists());
            assert!(layout.0.locked_at_once().is_some());
        }
    }

    #[test]
    fn a_directory_of_many_files_is_not_looked_through_at_once() {
        let room = tempfile::tempdir().expect("a directory");
        let layout = Layout::create(room.path(), None).expect("a layout");
        for file in 0..MOST_LOOKED_AT {
            fs::write(room.path().join(file.to_string()), "").expect("written");
        }
        assert!(layout.0.locked_at_once().is_none());
        let _lock = layout.0.lock().expect("locked");
    }

    #[test]
    fn a_layout_that_was_removed_after_it_was_prepared_is_made_anew() {
        let room = tempfile::tempdir().expect("a directory");
        let root = room.path().join("layout");
        Layout::create(&root, None).expect("a layout");
        let layout = Layout::prepare(&root, None).expect("a layout");
        fs::remove_dir_all(&root).expect("removed");
        assert!(layout.0.locked_at_once().is_none());
        let _lock = layout.0.lock().expect("locked");
        let mut files: Vec<_> = fs::read_dir(&root)
            .expect("a layout")
            .map(|entry| entry.expect("an entry").file_name())
            .collect();
        files.sort();
        assert_eq!(files, ["blobs", "index.json", "oci-layout"]);
        Layout::open(&root, None).expect("a layout");
    }
}
