//! Where are tables of contents kept? [`Cache`]: a directory that the processes of one user share, a file for each layer, named by its digest; and beside
//! it another one with the [places](super::places) in a layer that is large.
//!
//! It is used only where it is the user's own and nobody else can write to it; a file appears in it whole, and one that is damaged, of another
//! version or of another layer is as if it were not there. It can be removed at any time: that costs reading layers again.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    hash::{BuildHasher, RandomState},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::SystemTime,
};

use rustix::fs::OFlags;
use teu_spec::Digest;
use teu_store::{Result, blocking};

use super::{Contents, Options, kept};
use crate::Layer;

/// What the name of a file begins with that is not whole yet.
const TEMPORARY: &str = ".new-";

/// A directory of tables.
#[derive(Clone, Debug)]
pub struct Cache {
    /// The directory; it is made where it is absent, for its owner alone.
    pub directory: PathBuf,
    /// The most bytes that all files in it may have together; those that were used longest ago make room.
    pub bound: u64,
    /// The least bytes of a blob between two [places](super::places) that are kept; with windows of 32 KiB they are some hundredth of it. In a blob of
    /// less than twice as many there are none.
    pub places_every: u64,
}

impl Cache {
    /// Tables and places in `directory`, 1 GiB of them at most, and a place every 3 MiB.
    #[must_use]
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
            bound: 1 << 30,
            places_every: 3 << 20,
        }
    }

    /// The table of a layer, where it is here and has what these options ask for. To who allows less than is usual none is here: the layer may ask for more.
    pub async fn load(&self, layer: &Layer, options: &Options) -> Option<Contents> {
        if options.is_stricter() {
            return None;
        }
        let (cache, layer, options) = (self.clone(), layer.clone(), options.clone());
        let loaded = blocking::run(move || Ok(cache.find(&layer, &options))).await;
        loaded.ok().flatten()
    }

    /// Keeps a table. That it cannot be kept takes nothing from who made it.
    pub async fn keep(&self, contents: &Contents) {
        let (cache, contents) = (self.clone(), contents.clone());
        let kept = blocking::run(move || cache.put(&contents));
        // It is read again the next time.
        let _ = kept.await;
    }

    fn find(&self, layer: &Layer, options: &Options) -> Option<Contents> {
        let file = self.opened(&self.path(&layer.descriptor.digest))?;
        let contents = kept::read(file.try_clone().ok()?, options).ok()?;
        let is_wanted = contents.layer == layer.descriptor.digest
            && contents.diff_id == layer.diff_id
            && (contents.digests || !options.digests);
        if is_wanted {
            used(&file);
        }
        is_wanted.then_some(contents)
    }

    fn put(&self, contents: &Contents) -> Result<()> {
        let Some(room) = self.bound.checked_sub(contents.form_bytes()) else {
            return Ok(());
        };
        let Some(mut unnamed) = self.begin() else {
            return Ok(());
        };
        make_room(&self.directory, room);
        contents.write_to(&mut unnamed.file)?;
        unnamed.named(&self.path(&contents.layer))
    }

    /// A file of the directory, where that is the user's own.
    pub(super) fn opened(&self, path: &Path) -> Option<File> {
        if !is_private(&self.directory) {
            return None;
        }
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let opened = OpenOptions::new()
            .read(true)
            .custom_flags(flags.bits() as i32)
            .open(path);
        opened
            .ok()
            .filter(|file| file.metadata().is_ok_and(|file| file.is_file()))
    }

    /// A new file in the directory, where that is the user's own and can be written to.
    pub(super) fn begin(&self) -> Option<Unnamed> {
        if !is_private(&self.directory) {
            return None;
        }
        let unique = RandomState::new().hash_one(std::process::id());
        let path = self.directory.join(format!("{TEMPORARY}{unique:016x}"));
        let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        let file = made.ok()?;
        Some(Unnamed { file, path: Some(path) })
    }

    pub(super) fn path(&self, layer: &Digest) -> PathBuf {
        self.directory.join(format!("{}-{}", layer.algorithm(), layer.hex()))
    }
}

/// A file that is not whole yet. Dropped before it is named, it is gone.
pub(super) struct Unnamed {
    pub(super) file: File,
    /// None once it has its name.
    path: Option<PathBuf>,
}

impl Unnamed {
    /// Gives it its name, as it is whole.
    pub(super) fn named(mut self, path: &Path) -> Result<()> {
        if let Some(temporary) = &self.path {
            fs::rename(temporary, path)?;
        }
        self.path = None;
        Ok(())
    }
}

impl Drop for Unnamed {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            // What stays is among what was used longest ago, some day.
            let _ = fs::remove_file(path);
        }
    }
}

/// Says that a file was used, for who makes room; that it cannot be said stops nothing.
pub(super) fn used(file: &File) {
    let _ = file.set_modified(SystemTime::now());
}

/// Makes the directory where it is absent, and says whether it is one that only we can write to.
fn is_private(directory: &Path) -> bool {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(directory);
    let metadata = made.and_then(|()| fs::symlink_metadata(directory));
    metadata.is_ok_and(|metadata| {
        metadata.is_dir() && metadata.uid() == rustix::process::geteuid().as_raw() && metadata.mode() & 0o022 == 0
    })
}

/// Removes those that were used longest ago until all have no more than `bound` bytes together.
pub(super) fn make_room(directory: &Path, bound: u64) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    let mut tables: Vec<(SystemTime, u64, PathBuf)> = entries
        .flatten()
        .filter_map(|entry| {
            let metadata = entry.metadata().ok().filter(fs::Metadata::is_file)?;
            Some((metadata.modified().ok()?, metadata.len(), entry.path()))
        })
        .collect();
    tables.sort();
    let mut sum: u64 = tables.iter().map(|(_, size, _)| size).sum();
    for (_, size, path) in tables {
        if sum <= bound {
            return;
        }
        // Who has it open reads on; a file that another process is writing is among the newest.
        if fs::remove_file(&path).is_ok() {
            sum -= size;
        }
    }
}
