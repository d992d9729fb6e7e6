//! How does something leave a layout? By name, by digest, and by garbage collection.

use std::{
    fs::{self, File},
    io,
    sync::Arc,
    time::SystemTime,
};

use futures_util::FutureExt;
use teu_spec::{Algorithm, Descriptor, Digest, Index};
use teu_store::{BoxFuture, Delete, Error, ErrorKind, Expect, Kept, Result, Role, Sweep, SweepSession, blocking};

use super::{
    Inner, Layout,
    index::{Change, check_expected},
    resolve::{Content, is_called},
};
use crate::{
    files,
    lock::{self, Locked, Share},
};

impl Inner {
    fn remove(&self, digest: &Digest) -> Result<()> {
        let path = self.blob(digest);
        match fs::remove_file(&path) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let message = format!("there is no {digest} in {}", self.root.display());
                Err(Error::new(ErrorKind::NotFound, message))
            }
            Err(error) => Err(files::failed(error, "removing", &path)),
        }
    }

    /// Takes entries off the index where `may` has nothing against it, and says whether there were any.
    fn unlist(&self, goes: impl Fn(&Descriptor) -> bool, may: impl FnOnce(&Index) -> Result<()>) -> Result<bool> {
        let mut found = false;
        self.change_index(|index| {
            if index.manifests.iter().any(&goes) {
                may(index)?;
            }
            let keep = |entry: &Descriptor| {
                let goes = goes(entry);
                found |= goes;
                (!goes).then(|| entry.clone())
            };
            Ok(Change {
                kept: index.manifests.iter().map(keep).collect(),
                added: Vec::new(),
            })
        })?;
        Ok(found)
    }

    fn content(&self) -> Result<Vec<Kept>> {
        let mut content = Vec::new();
        let now = SystemTime::now();
        for algorithm in [Algorithm::Sha256, Algorithm::Sha384, Algorithm::Sha512] {
            let directory = self.blobs.join(algorithm.as_str());
            let failed = |error| files::failed(error, "listing", &directory);
            let entries = match fs::read_dir(&directory) {
                Ok(entries) => entries,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(failed(error)),
            };
            for entry in entries {
                let entry = entry.map_err(failed)?;
                // What is not called by a digest is no blob, and not ours to judge.
                let hex = entry.file_name();
                let digest = hex.to_str().and_then(|hex| format!("{algorithm}:{hex}").parse().ok());
                let Some(digest) = digest else { continue };
                let metadata = entry.metadata().map_err(failed)?;
                if !metadata.is_file() {
                    continue;
                }
                content.push(Kept {
                    digest,
                    size: metadata.len(),
                    age: metadata
                        .modified()
                        .ok()
                        .and_then(|modified| now.duration_since(modified).ok()),
                });
            }
        }
        content.sort_by_key(|kept| kept.digest);
        Ok(content)
    }

    /// Keeps writers out, as long as this lives.
    fn lock_alone(&self) -> Result<Locked> {
        // What this handle itself has begun and not finished keeps its own share of the lock.
        self.writing().lock = None;
        let file = File::open(&self.root).map_err(|error| files::failed(error, "locking", &self.root))?;
        lock::try_lock(file, &self.root, Share::All)?.ok_or_else(|| {
            Error::new(
                ErrorKind::Conflict,
                format!(
                    "something is being written to {}; try again when it is done",
                    self.root.display()
                ),
            )
        })
    }
}

impl Delete for Layout {
    /// Deletes a manifest with all its names, or a blob, whatever needs it. But where it had names, and an index that stays needs it, it
    /// only loses the names.
    fn delete<'a>(&'a self, role: Role, digest: &'a Digest) -> BoxFuture<'a, Result<()>> {
        let (inner, digest) = (Arc::clone(&self.0), *digest);
        let delete = move || {
            let _lock = inner.lock()?;
            if role == Role::Manifest && inner.unlist(|entry| entry.digest == digest, |_| Ok(()))? {
                let left = inner.all_manifests(inner.index()?.manifests.clone())?;
                if left.iter().any(|entry| entry.digest == digest) {
                    return Ok(());
                }
            }
            inner.remove(&digest)
        };
        blocking::run(delete).boxed()
    }

    fn untag<'a>(&'a self, wanted: &'a str, expect: Expect) -> BoxFuture<'a, Result<()>> {
        let (inner, wanted) = (Arc::clone(&self.0), wanted.to_owned());
        let untag = move || {
            let _lock = inner.lock()?;
            let may = |index: &Index| check_expected(index, &wanted, expect);
            if inner.unlist(|entry| is_called(entry, &wanted), may)? {
                return Ok(());
            }
            let message = format!("there is no image {wanted:?} in {}", inner.root.display());
            Err(Error::new(ErrorKind::NotFound, message))
        };
        blocking::run(untag).boxed()
    }
}

impl Sweep for Layout {
    fn begin(&self) -> BoxFuture<'_, Result<Box<dyn SweepSession + '_>>> {
        let inner = Arc::clone(&self.0);
        async move {
            let session = blocking::run(move || {
                let lock = inner.lock_alone()?;
                inner.remove_litter(|_, _| true);
                Ok(Session { inner, _lock: lock })
            });
            Ok(Box::new(session.await?) as Box<dyn SweepSession>)
        }
        .boxed()
    }
}

struct Session {
    inner: Arc<Inner>,
    _lock: Locked,
}

impl SweepSession for Session {
    fn roots(&self) -> BoxFuture<'_, Result<Vec<Descriptor>>> {
        let inner = Arc::clone(&self.inner);
        blocking::run(move || Ok(inner.index()?.manifests.clone())).boxed()
    }

    fn content(&self) -> BoxFuture<'_, Result<Vec<Kept>>> {
        let inner = Arc::clone(&self.inner);
        blocking::run(move || inner.content()).boxed()
    }

    fn remove<'a>(&'a self, digest: &'a Digest) -> BoxFuture<'a, Result<()>> {
        let (inner, digest) = (Arc::clone(&self.inner), *digest);
        blocking::run(move || inner.remove(&digest)).boxed()
    }
}
