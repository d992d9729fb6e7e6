//! Does `index.json` still say what it said when it was read last? A copy of many images asks it for each of them.
//!
//! What was read is kept with its file, open, so that no other file can get its number meanwhile. A file that was changed a moment before it was
//! read may be changed again without a trace in its times, and is read anew.

use std::{
    fs::{File, Metadata},
    os::unix::fs::MetadataExt,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use teu_spec::{Index, json};
use teu_store::Result;

use super::index::parse;
use crate::files;

/// How long after a change a file's times are trusted to show the next one, in nanoseconds. A kernel's clock for them stands still for up to 10 ms.
const SETTLED: i128 = 100_000_000;
/// The same where times are whole seconds, as file systems have them that know no smaller ones; FAT's are of two seconds.
const COARSELY_SETTLED: i128 = 3_000_000_000;

/// What was read last.
#[derive(Default)]
pub(super) struct Kept(Mutex<Option<Last>>);

struct Last {
    _file: File,
    stamp: Stamp,
    index: Arc<Index>,
}

/// By what two states of a file differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: i128,
    changed: i128,
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        let time = |seconds: i64, nanoseconds: i64| i128::from(seconds) * 1_000_000_000 + i128::from(nanoseconds);
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: time(metadata.mtime(), metadata.mtime_nsec()),
            changed: time(metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// Whether whatever changes the file from now on changes this too.
    fn is_settled(&self) -> bool {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = i128::try_from(now.as_nanos()).unwrap_or_default();
        let changed = self.changed.max(self.modified);
        let settled = match changed % 1_000_000_000 {
            0 => COARSELY_SETTLED,
            _ => SETTLED,
        };
        changed + settled < now
    }
}

impl Kept {
    /// Forgets it, for who changes the file and is not to go by a clock.
    pub(super) fn forget(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// The index in this file; none where there is no such file.
    pub(super) fn read(&self, path: &Path) -> Result<Option<Arc<Index>>> {
        let Some(mut file) = files::open(path)? else {
            return Ok(None);
        };
        let failed = |error| files::failed(error, "reading", path);
        let stamp = Stamp::of(&file.metadata().map_err(failed)?);
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = &*kept
            && kept.stamp == stamp
        {
            return Ok(Some(Arc::clone(&kept.index)));
        }
        *kept = None;
        let is_settled = stamp.is_settled();
        let raw = files::read_limited(&mut file, json::MAX_DOCUMENT, path)?;
        let index = Arc::new(parse(raw, &path.display().to_string())?);
        // What was changed while it was read has another stamp now.
        if is_settled && Stamp::of(&file.metadata().map_err(failed)?) == stamp {
            *kept = Some(Last {
                _file: file,
                stamp,
                index: Arc::clone(&index),
            });
        }
        Ok(Some(index))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn index(name: &str) -> String {
        format!(r#"{{"schemaVersion":2,"manifests":[],"annotations":{{"name":"{name}"}}}}"#)
    }

    /// Reads until what is read is what was kept: nothing has changed for long enough.
    fn settled(kept: &Kept, path: &Path) -> Arc<Index> {
        let read = || kept.read(path).expect("an index").expect("a file");
        loop {
            let (one, other) = (read(), read());
            if Arc::ptr_eq(&one, &other) {
                return one;
            }
        }
    }

    #[test]
    fn what_was_changed_is_read_anew_and_nothing_else() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("index.json");
        let kept = Kept::default();
        assert!(kept.read(&path).expect("nothing").is_none());
        let says = |name: &str| {
            let read = kept.read(&path).expect("an index").expect("a file");
            assert_eq!(read.annotations["name"], name);
        };
        fs::write(&path, index("a")).expect("written");
        says("a");
        // In the same moment, in place, and of the same size.
        for name in ["b", "c", "d", "e"] {
            fs::write(&path, index(name)).expect("written");
            says(name);
        }
        settled(&kept, &path);
        fs::write(&path, index("f")).expect("written");
        says("f");
        settled(&kept, &path);
        let other = directory.path().join("other");
        fs::write(&other, index("g")).expect("written");
        fs::rename(&other, &path).expect("renamed");
        says("g");
        settled(&kept, &path);
        fs::write(&path, "no index").expect("written");
        kept.read(&path).expect_err("no index");
        fs::remove_file(&path).expect("removed");
        assert!(kept.read(&path).expect("nothing").is_none());
    }
}
