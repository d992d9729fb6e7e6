//! What is a file that is not whole yet called, and what becomes of it? A [`Temporary`] is removed where it is not finished; one that is a
//! part of known content stays for whoever goes on with it.
//!
//! A part is named by its digest, so that a writer finds what a killed one left, and is locked (`flock`) by who writes it. Its bytes are
//! nobody's word: they are hashed with what follows.

use std::{
    ffi::OsStr,
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rustix::fs::{FlockOperation, OFlags, flock};
use teu_spec::Digest;
use teu_store::{Error, ErrorKind, Result};

use super::failed;

/// How the names of our temporary files begin.
pub(crate) const TEMPORARY: &str = ".teu-";
/// How the names of those begin that are parts: what follows is the digest, with `-` for `:`.
const PART: &str = ".teu-part-";
/// How often a part is opened whose name was taken away meanwhile.
const ATTEMPTS: u32 = 4;

/// A file that is being written, under a name that nobody asks for. It is removed where it is dropped before it [is put](Self::put), unless
/// it is a part that [is kept](Self::keeper).
pub(crate) struct Temporary {
    file: File,
    path: PathBuf,
    put: bool,
    kept: Arc<AtomicBool>,
}

impl Temporary {
    /// A new, empty file in `directory`.
    pub(crate) fn new(directory: &Path) -> Result<Self> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        loop {
            // Two processes may be at work, and one that was killed may have left its files: the name says who and when, and is then tried.
            let time = SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default()
                .as_nanos();
            let count = COUNT.fetch_add(1, Ordering::Relaxed);
            let path = directory.join(format!("{TEMPORARY}{:x}-{time:x}-{count:x}", std::process::id()));
            match OpenOptions::new().read(true).write(true).create_new(true).open(&path) {
                Ok(file) => {
                    return Ok(Self {
                        file,
                        path,
                        put: false,
                        kept: Arc::default(),
                    });
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(failed(error, "making a file in", directory)),
            }
        }
    }

    /// The part of content of this digest, new or as an earlier writer left it, and how many bytes it has: at most `size`. It is kept where
    /// it is dropped. None where another writer has it, or where what has its name is not a file of ours alone.
    ///
    /// A new one gets `mode`, as far as the process lets it.
    pub(crate) fn part(directory: &Path, digest: &Digest, size: u64, mode: u32) -> Result<Option<(Self, u64)>> {
        let path = part_path(directory, digest);
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        for _ in 0..ATTEMPTS {
            let opened = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .mode(mode)
                .custom_flags(flags.bits() as i32)
                .open(&path);
            let file = match opened {
                Ok(file) => file,
                // A link, a directory, another user's file: the content is written without its part.
                Err(_) if fs::symlink_metadata(&path).is_ok() => return Ok(None),
                Err(error) => return Err(failed(error, "making", &path)),
            };
            let failed = |error: io::Error| failed(error, "opening", &path);
            let metadata = file.metadata().map_err(failed)?;
            let is_ours =
                metadata.is_file() && metadata.nlink() <= 1 && metadata.uid() == rustix::process::geteuid().as_raw();
            // Where a file system knows no locks nobody could tell two writers apart.
            if !is_ours || flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
                return Ok(None);
            }
            // Between opening and locking it may have become the content itself, which is not to be touched any more.
            let named = fs::symlink_metadata(&path);
            if !named.is_ok_and(|named| named.ino() == metadata.ino() && named.dev() == metadata.dev()) {
                continue;
            }
            let mut done = file.metadata().map_err(failed)?.len();
            if done > size {
                file.set_len(0).map_err(failed)?;
                done = 0;
            }
            let part = Self {
                file,
                path,
                put: false,
                kept: Arc::new(AtomicBool::new(true)),
            };
            return Ok(Some((part, done)));
        }
        Ok(None)
    }

    /// The file itself.
    pub(crate) fn file(&mut self) -> &mut File {
        &mut self.file
    }

    /// Decides, from any thread and as long as the file lives, whether it is kept.
    pub(crate) fn keeper(&self) -> Keeper {
        Keeper(Arc::clone(&self.kept))
    }

    /// Gives the file its name, unless something has it.
    pub(crate) fn put_new(self, path: &Path) -> Result<()> {
        match fs::hard_link(&self.path, path) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            // A file system without links; most of those know no locks either.
            Err(_) => self.put(path),
        }
    }

    /// Gives the file its name, in place of what has it now.
    pub(crate) fn put(mut self, path: &Path) -> Result<()> {
        fs::rename(&self.path, path).map_err(|error| failed(error, "writing", path))?;
        self.put = true;
        Ok(())
    }

    /// An error in writing it, told of the file that it was to become.
    pub(crate) fn failed(&self, error: io::Error) -> teu_store::Error {
        failed(error, "writing", &self.path)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.put && !self.kept.load(Ordering::SeqCst) {
            // Nothing more can be done; what stays is found by the next writer, or gc.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// See [`Temporary::keeper`].
pub(crate) struct Keeper(Arc<AtomicBool>);

impl Keeper {
    /// The file is to be removed where it is not put.
    pub(crate) fn forget(&self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

/// A file without a name, on the file system of `directory`: it is gone when it is closed.
#[cfg(feature = "archives")]
pub(crate) fn unnamed(directory: &Path) -> Result<File> {
    let temporary = Temporary::new(directory).map_err(|error| match error.kind() {
        // That there is no such directory says nothing of an image.
        ErrorKind::NotFound => {
            let message = format!("{} is no directory for temporary files", directory.display());
            Error::new(ErrorKind::Io, message).with_cause(error)
        }
        _ => error,
    })?;
    // What is dropped takes its name away, and leaves the open file.
    let file = temporary.file.try_clone();
    file.map_err(|error| temporary.failed(error))
}

/// Whether there is a part of content of this digest, or something in its place.
pub(crate) fn has_part(directory: &Path, digest: &Digest) -> bool {
    fs::symlink_metadata(part_path(directory, digest)).is_ok()
}

/// Whether a file is called as ours are that are not whole.
pub(crate) fn is_temporary(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(TEMPORARY.as_bytes())
}

fn part_path(directory: &Path, digest: &Digest) -> PathBuf {
    directory.join(format!("{PART}{}-{}", digest.algorithm(), digest.hex()))
}

/// Removes those files that are not whole in `directory` of which `is_useless` says so, told the digest of what is a part.
pub(crate) fn remove_litter(directory: &Path, is_useless: impl Fn(&Path, Option<&Digest>) -> bool) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some(name) = name.to_str().filter(|name| name.starts_with(TEMPORARY)) else {
            continue;
        };
        let part: Option<Digest> = name
            .strip_prefix(PART)
            .and_then(|digest| digest.replacen('-', ":", 1).parse().ok());
        let path = entry.path();
        if is_useless(&path, part.as_ref()) {
            let _ = fs::remove_file(path);
        }
    }
}

/// Whether a file was written to within this time. What cannot be asked is taken for old.
pub(crate) fn is_older(path: &Path, age: Duration) -> bool {
    let written = fs::symlink_metadata(path).and_then(|metadata| metadata.modified());
    written.map_or(true, |written| {
        // What was written in the future was written just now, by another clock.
        SystemTime::now().duration_since(written).unwrap_or_default() > age
    })
}
