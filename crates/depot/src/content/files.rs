//! How is content kept in files? What comes is written to `uploads/<name>`, and renamed to `blobs/<2 hex>/<digest>-<ulid>` when it is whole.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom, Write},
    ops::Range,
    os::unix::fs::FileExt,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use teu_spec::Digest;
use teu_store::{BoxFuture, Error, ErrorKind, Reader, Result, blocking};

use super::{
    Content, OpenFiles, PARTS, Writing, checked,
    directory::{Directory, failed},
};
use crate::place::Place;

/// A write that takes longer than this is not one into the kernel's cache: what follows is written by a thread for that.
const SLOW: Duration = Duration::from_millis(20);
/// How much is collected for each visit to that thread.
const BATCH: usize = blocking::BATCH;
/// What is no larger is read where it is asked for: a thread takes longer to wake.
const SMALL: u64 = 64 << 10;

/// Content in files of a directory.
#[derive(Clone)]
pub struct Files(Arc<Inner>);

struct Inner {
    root: Directory,
    blobs: Directory,
    uploads: Directory,
}

impl Files {
    /// Content in a directory, in which `blobs` and `uploads` are made where they are not there.
    ///
    /// # Errors
    /// `Invalid` where one of them is a link or no directory.
    pub fn open(directory: &Path) -> Result<Self> {
        Self::within(Directory::open(directory)?)
    }

    /// Content in `root`.
    pub(crate) fn within(root: Directory) -> Result<Self> {
        Ok(Self(Arc::new(Inner {
            blobs: root.make("blobs")?,
            uploads: root.make("uploads")?,
            root,
        })))
    }

    /// Copies an open file to its place, for good, by the cheapest means that the system has.
    pub(crate) fn adopt(&self, file: &mut File, place: &Place) -> Result<()> {
        let name = format!("b-{}", place.ulid);
        // What an earlier copy left that was broken off.
        self.0.uploads.remove(&name)?;
        let mut copy = self.0.uploads.create(&name)?;
        io::copy(file, &mut copy)
            .and_then(|_| copy.sync_data())
            .map_err(|error| {
                // A disk that is full is not to stay full; where that fails too the next one does it.
                let _ = self.0.uploads.remove(&name);
                failed(error, "copying to", &self.0.uploads.path(&name))
            })?;
        let directory = self.0.blobs.make(&shard(&place.digest))?;
        self.0.uploads.rename(&name, &directory, &place.to_string())?;
        directory.sync()
    }

    fn open_place(&self, place: &Place, size: u64) -> Result<Option<File>> {
        let Some(directory) = self.0.blobs.directory(&shard(&place.digest))? else {
            return Ok(None);
        };
        let name = place.to_string();
        let Some(file) = directory.file(&name, false)? else {
            return Ok(None);
        };
        let found = file
            .metadata()
            .map_err(|error| failed(error, "opening", &directory.path(&name)))?;
        if found.len() != size {
            let message = format!(
                "{} has {} bytes, and {size} were put there; a push of {} heals it",
                directory.path(&name).display(),
                found.len(),
                place.digest
            );
            return Err(Error::new(ErrorKind::Mismatch, message));
        }
        Ok(Some(file))
    }
}

/// The directory that a digest's content is in.
fn shard(digest: &Digest) -> String {
    format!("{:02x}", digest.bytes().first().copied().unwrap_or_default())
}

impl Content for Files {
    fn begin<'a>(&'a self, name: &'a str, stays: bool) -> BoxFuture<'a, Result<Box<dyn Writing>>> {
        let writing = checked(name).and_then(|name| self.0.uploads.create(name));
        let writing = writing.map(|file| self.writing(name, file, 0, stays));
        Box::pin(std::future::ready(writing))
    }

    fn reopen<'a>(&'a self, name: &'a str, offset: u64) -> BoxFuture<'a, Result<Option<Box<dyn Writing>>>> {
        let reopen = || -> Result<Option<Box<dyn Writing>>> {
            let Some(mut file) = self.0.uploads.file(checked(name)?, true)? else {
                return Ok(None);
            };
            let within = |error| failed(error, "opening", &self.0.uploads.path(name));
            if file.metadata().map_err(within)?.len() < offset {
                return Ok(None);
            }
            file.set_len(offset).map_err(within)?;
            file.seek(SeekFrom::Start(offset)).map_err(within)?;
            Ok(Some(self.writing(name, file, offset, true)))
        };
        Box::pin(std::future::ready(reopen()))
    }

    fn forget<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<()>> {
        let files = self.clone();
        let name = checked(name).map(str::to_owned);
        Box::pin(async move {
            let name = name?;
            blocking::run(move || files.0.uploads.remove(&name)).await
        })
    }

    fn begun(&self) -> BoxFuture<'_, Result<Vec<String>>> {
        let files = self.clone();
        Box::pin(blocking::run(move || files.0.uploads.names()))
    }

    fn read<'a>(&'a self, place: &'a Place, size: u64, range: Range<u64>) -> BoxFuture<'a, Result<Option<Reader>>> {
        let read = || -> Result<Option<Reader>> {
            let Some(mut file) = self.open_place(place, size)? else {
                return Ok(None);
            };
            let length = range.end - range.start;
            if length <= SMALL {
                // At most 64 KiB, which fits into memory.
                let mut content = vec![0; length as usize];
                file.read_exact_at(&mut content, range.start)?;
                let content = (!content.is_empty()).then(|| Ok(Bytes::from(content)));
                return Ok(Some(stream::iter(content).boxed()));
            }
            file.seek(SeekFrom::Start(range.start))?;
            Ok(Some(blocking::reader(move || Ok(file.take(length)))))
        };
        Box::pin(std::future::ready(read()))
    }

    fn remove<'a>(&'a self, place: &'a Place) -> BoxFuture<'a, Result<()>> {
        let (files, place) = (self.clone(), *place);
        Box::pin(blocking::run(move || {
            match files.0.blobs.directory(&shard(&place.digest))? {
                Some(directory) => directory.remove(&place.to_string()),
                None => Ok(()),
            }
        }))
    }

    fn size<'a>(&'a self, place: &'a Place) -> BoxFuture<'a, Result<Option<u64>>> {
        let size = || -> Result<Option<u64>> {
            let Some(directory) = self.0.blobs.directory(&shard(&place.digest))? else {
                return Ok(None);
            };
            let file = directory.file(&place.to_string(), false)?;
            Ok(file.map(|file| file.metadata()).transpose()?.map(|found| found.len()))
        };
        Box::pin(std::future::ready(size()))
    }

    fn quarantine<'a>(&'a self, place: &'a Place) -> BoxFuture<'a, Result<()>> {
        let (files, place) = (self.clone(), *place);
        Box::pin(blocking::run(move || {
            let Some(directory) = files.0.blobs.directory(&shard(&place.digest))? else {
                return Ok(());
            };
            let name = place.to_string();
            match directory.rename(&name, &files.0.root.make("quarantine")?, &name) {
                Err(error) if *error.kind() == ErrorKind::NotFound => Ok(()),
                outcome => outcome,
            }
        }))
    }

    fn part(&self, part: u16) -> BoxFuture<'_, Result<Vec<Place>>> {
        let files = self.clone();
        Box::pin(blocking::run(move || {
            if part >= PARTS {
                return Ok(Vec::new());
            }
            let Some(directory) = files.0.blobs.directory(&format!("{part:02x}"))? else {
                return Ok(Vec::new());
            };
            let names = directory.names()?;
            Ok(names.iter().filter_map(|name| name.parse().ok()).collect())
        }))
    }

    fn files(&self) -> Option<&dyn OpenFiles> {
        Some(self)
    }
}

impl OpenFiles for Files {
    fn open(&self, place: &Place, size: u64) -> Result<Option<File>> {
        self.open_place(place, size)
    }
}

impl Files {
    fn writing(&self, name: &str, file: File, written: u64, stays: bool) -> Box<dyn Writing> {
        Box::new(Upload {
            files: self.clone(),
            name: name.to_owned(),
            file: Some(file),
            written,
            // What a reopened file has was synced when its length was recorded.
            synced: written,
            is_named: written > 0,
            is_slow: false,
            waiting: Vec::new(),
            stays,
        })
    }
}

/// A file that is being written.
struct Upload {
    files: Files,
    name: String,
    /// None where it failed, or where a thread had it when its future was dropped.
    file: Option<File>,
    written: u64,
    synced: u64,
    /// Its name lasts.
    is_named: bool,
    is_slow: bool,
    /// What waits for its visit to a thread; only where the disk is slow.
    waiting: Vec<u8>,
    /// It is not removed where it is dropped.
    stays: bool,
}

impl Drop for Upload {
    fn drop(&mut self) {
        if !self.stays {
            // What cannot be removed is found when the depot is opened the next time.
            let _ = self.files.0.uploads.remove(&self.name);
        }
    }
}

impl Upload {
    /// Does something with the file on a thread, what waits being written first.
    async fn visit<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&Files, &File) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let mut file = self.file.take().ok_or_else(|| self.lost())?;
        let waiting = std::mem::take(&mut self.waiting);
        let (files, path) = (self.files.clone(), self.files.0.uploads.path(&self.name));
        let (file, done) = blocking::run(move || {
            file.write_all(&waiting)
                .map_err(|error| failed(error, "writing", &path))?;
            let done = work(&files, &file).map_err(|error| error.within(format!("writing {}", path.display())))?;
            Ok((file, done))
        })
        .await?;
        self.file = Some(file);
        Ok(done)
    }

    fn lost(&self) -> Error {
        let path = self.files.0.uploads.path(&self.name);
        Error::new(
            ErrorKind::Cancelled,
            format!("writing {} had failed before", path.display()),
        )
    }

    fn write_here(&mut self, bytes: &[u8]) -> Result<()> {
        let begin = Instant::now();
        let mut file = self.file.take().ok_or_else(|| self.lost())?;
        let path = || self.files.0.uploads.path(&self.name);
        file.write_all(bytes)
            .map_err(|error| failed(error, "writing", &path()))?;
        self.is_slow = begin.elapsed() >= SLOW;
        self.file = Some(file);
        Ok(())
    }

    async fn take(&mut self, bytes: Bytes) -> Result<()> {
        self.written += bytes.len() as u64;
        if !self.is_slow {
            return self.write_here(&bytes);
        }
        self.waiting.extend_from_slice(&bytes);
        match self.waiting.len() >= BATCH {
            true => self.visit(|_, _| Ok(())).await,
            false => Ok(()),
        }
    }

    async fn put(&mut self, place: &Place) -> Result<()> {
        let must_sync = self.synced < self.written;
        let (name, place) = (self.name.clone(), *place);
        let put = move |files: &Files, file: &File| {
            if must_sync {
                file.sync_data()?;
            }
            let directory = files.0.blobs.make(&shard(&place.digest))?;
            files.0.uploads.rename(&name, &directory, &place.to_string())?;
            directory.sync()
        };
        self.visit(put).await
    }
}

impl Writing for Upload {
    fn write(&mut self, bytes: Bytes) -> BoxFuture<'_, Result<()>> {
        Box::pin(self.take(bytes))
    }

    fn sync(&mut self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            let (is_synced, is_named) = (self.synced == self.written, self.is_named);
            if is_synced && is_named {
                return Ok(());
            }
            let sync = move |files: &Files, file: &File| {
                file.sync_data()?;
                if !is_named {
                    files.0.uploads.sync()?;
                }
                Ok(())
            };
            self.visit(sync).await?;
            (self.synced, self.is_named) = (self.written, true);
            Ok(())
        })
    }

    fn read(&mut self) -> BoxFuture<'_, Result<Reader>> {
        Box::pin(async move {
            let length = self.written;
            let mut file = self.visit(|_, file| Ok(file.try_clone()?)).await?;
            // Its position is that of the file that is written, which nobody writes to before all is read.
            let reader = move || {
                file.seek(SeekFrom::Start(0))?;
                Ok(file.take(length))
            };
            Ok(blocking::reader(reader))
        })
    }

    fn place<'a>(mut self: Box<Self>, place: &'a Place) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let outcome = self.put(place).await;
            // It is removed below, or has another name.
            self.stays = true;
            if outcome.is_err() {
                // What cannot be removed either is found by who looks for what nobody knows.
                let _ = self.files.forget(&self.name).await;
                let _ = self.files.remove(place).await;
            }
            outcome
        })
    }

    fn forget(self: Box<Self>) -> BoxFuture<'static, Result<()>> {
        Box::pin(async move { self.files.forget(&self.name).await })
    }
}
