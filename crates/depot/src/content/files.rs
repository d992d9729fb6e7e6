//! How is content kept in files? What comes is written to `uploads/<name>`, and renamed to `blobs/<2 hex>/<digest>-<ulid>` when it is whole.

mod busy;
mod copied;
mod upload;

use std::{
    fs::File,
    io::{Seek, SeekFrom, Write},
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

use teu_spec::Digest;
use teu_store::{
    BoxFuture, Error, ErrorKind, Reader, Result,
    blocking::{self, PastCache},
};

use self::busy::{AtWork, Busy};
use super::{
    Content, OpenFiles, PARTS, Writing, checked,
    directory::{Directory, failed, unreadable},
};
use crate::place::Place;

/// Content in files of a directory.
#[derive(Clone)]
pub struct Files(Arc<Inner>);

struct Inner {
    root: Directory,
    blobs: Directory,
    uploads: Directory,
    naming: Naming,
    /// Uploads that threads write to.
    busy: Arc<Busy>,
    past: PastCache,
}

/// Where content lies among the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Naming {
    /// `<2 hex>/<digest>-<ulid>`: each writing of it at a place of its own.
    Depot,
    /// `<algorithm>/<2 hex>/<hex>/data`, as registry:2 has it.
    Distribution,
}

impl Naming {
    /// The directories that lead there, and the name of the file.
    pub(crate) fn path(self, place: &Place) -> (Vec<String>, String) {
        let name = match self {
            Self::Depot => place.to_string(),
            Self::Distribution => "data".to_owned(),
        };
        (self.directories(&place.digest), name)
    }

    /// The directories that lead to content of a digest.
    pub(crate) fn directories(self, digest: &Digest) -> Vec<String> {
        match self {
            Self::Depot => vec![shard(digest)],
            Self::Distribution => vec![digest.algorithm().to_string(), shard(digest), digest.hex()],
        }
    }
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
        Self::named(root, Naming::Depot)
    }

    /// Content in `root`, in directories and files that are called in this way.
    pub(crate) fn named(root: Directory, naming: Naming) -> Result<Self> {
        Ok(Self(Arc::new(Inner {
            blobs: root.make("blobs")?,
            uploads: root.make("uploads")?,
            root,
            naming,
            busy: Arc::default(),
            past: PastCache::default(),
        })))
    }

    /// Puts content whose bytes are at hand at its place, for good.
    pub(crate) fn put(&self, place: &Place, content: &[u8]) -> Result<()> {
        let name = format!("m-{}", place.ulid);
        let mut file = self.0.uploads.create(&name)?;
        let written = file.write_all(content).and_then(|()| file.sync_data());
        let written = written.map_err(|error| failed(error, "writing", &self.0.uploads.path(&name)));
        written.and_then(|()| self.settle(&name, place)).inspect_err(|_| {
            // A disk that is full is not to stay full; where that fails too the next one does it.
            let _ = self.0.uploads.remove(&name);
        })
    }

    /// Moves a file that lasts from `uploads` to its place, for good. Where that fails nothing is at the place.
    fn settle(&self, name: &str, place: &Place) -> Result<()> {
        let (directory, last) = self.make_home(place)?;
        self.0.uploads.rename(name, &directory, &last)?;
        directory.sync().inspect_err(|_| {
            // Who finds it would take it for what lasts. What cannot be removed either is found by who looks for what nobody knows.
            let _ = directory.remove(&last);
        })
    }

    /// A thread is about to write to an upload.
    pub(super) fn at_work(&self, name: &str) -> AtWork {
        self.0.busy.begin(name)
    }

    /// The same, where no other is written to.
    pub(super) fn at_work_alone(&self, name: &str) -> Option<AtWork> {
        self.0.busy.begin_alone(name)
    }

    /// The directory that content lies in, which is there, and what it is called in it.
    fn home(&self, place: &Place) -> Result<Option<(Directory, String)>> {
        let (directories, name) = self.0.naming.path(place);
        Ok(self.0.blobs.descend(&directories)?.map(|directory| (directory, name)))
    }

    /// The same, made where it is not there.
    fn make_home(&self, place: &Place) -> Result<(Directory, String)> {
        let (directories, name) = self.0.naming.path(place);
        Ok((self.0.blobs.make_all(&directories)?, name))
    }

    fn open_place(&self, place: &Place, size: u64) -> Result<Option<(File, PathBuf)>> {
        let Some((directory, name)) = self.home(place)? else {
            return Ok(None);
        };
        let Some(file) = directory.file(&name, false)? else {
            return Ok(None);
        };
        let path = directory.path(&name);
        let found = file.metadata().map_err(|error| failed(error, "opening", &path))?;
        if found.len() != size {
            let message = format!(
                "{} has {} bytes, and {size} were put there",
                path.display(),
                found.len()
            );
            return Err(Error::new(ErrorKind::Mismatch, message));
        }
        Ok(Some((file, path)))
    }
}

/// The directory that a digest's content is in.
fn shard(digest: &Digest) -> String {
    format!("{:02x}", digest.bytes().first().copied().unwrap_or_default())
}

impl Content for Files {
    fn begin<'a>(&'a self, name: &'a str, stays: bool) -> BoxFuture<'a, Result<Box<dyn Writing>>> {
        let writing = checked(name).and_then(|name| self.0.uploads.create(name));
        let writing = writing.map(|file| self.writing(name, file, 0, Some(0), stays));
        Box::pin(std::future::ready(writing))
    }

    fn reopen<'a>(&'a self, name: &'a str, offset: u64) -> BoxFuture<'a, Result<Option<Box<dyn Writing>>>> {
        let reopen = move || -> Result<Option<Box<dyn Writing>>> {
            let Some(mut file) = self.0.uploads.file(checked(name)?, true)? else {
                return Ok(None);
            };
            let within = |error| failed(error, "opening", &self.0.uploads.path(name));
            let length = file.metadata().map_err(within)?.len();
            if length < offset {
                return Ok(None);
            }
            file.set_len(offset).map_err(within)?;
            file.seek(SeekFrom::Start(offset)).map_err(within)?;
            // What was recorded was synced then. What is cut off now may be there again after a power cut, until the rest is synced anew.
            let synced = (length == offset).then_some(offset);
            Ok(Some(self.writing(name, file, offset, synced, true)))
        };
        Box::pin(async move {
            // Whoever had it may have been dropped while a thread wrote for them: that would write over what comes now.
            self.0.busy.wait(name).await?;
            reopen()
        })
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
            let opened = self.open_place(place, size)?;
            // Opened, it begins with its first bytes.
            let read = |(file, path): (File, PathBuf)| {
                let begun = blocking::file(file, path.display().to_string(), range);
                begun.map_err(unreadable)
            };
            opened.map(read).transpose()
        };
        Box::pin(std::future::ready(read()))
    }

    fn remove<'a>(&'a self, place: &'a Place) -> BoxFuture<'a, Result<()>> {
        let (files, place) = (self.clone(), *place);
        Box::pin(blocking::run(move || match files.home(&place)? {
            Some((directory, name)) => directory.remove(&name),
            None => Ok(()),
        }))
    }

    fn size<'a>(&'a self, place: &'a Place) -> BoxFuture<'a, Result<Option<u64>>> {
        let size = || -> Result<Option<u64>> {
            let Some((directory, name)) = self.home(place)? else {
                return Ok(None);
            };
            let file = directory.file(&name, false)?;
            Ok(file.map(|file| file.metadata()).transpose()?.map(|found| found.len()))
        };
        Box::pin(std::future::ready(size()))
    }

    fn quarantine<'a>(&'a self, place: &'a Place) -> BoxFuture<'a, Result<()>> {
        let (files, place) = (self.clone(), *place);
        Box::pin(blocking::run(move || {
            let Some((directory, name)) = files.home(&place)? else {
                return Ok(());
            };
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
