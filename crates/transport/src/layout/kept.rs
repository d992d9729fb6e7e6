//! Does `index.json` still say what it said when it was read last? A copy of many images asks it for each of them.
//!
//! What was read is kept with its file, open, so that no other file can get its number meanwhile. A file that was changed a moment before it was
//! read may be changed again without a trace in its times, and is read anew.

use std::{
    collections::{HashMap, hash_map::Entry},
    fs::{self, File, Metadata},
    ops::Deref,
    os::unix::fs::MetadataExt,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use teu_spec::{Descriptor, Index, json};
use teu_store::Result;

use super::{index::parse, resolve::name};
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
    index: Arc<Listed>,
}

/// An index, in which names are found without looking at all of them.
#[derive(Debug)]
pub(super) struct Listed {
    index: Index,
    /// Where names stand that stand once; none where they stand more often.
    places: OnceLock<HashMap<String, Option<usize>>>,
}

impl Listed {
    fn new(index: Index) -> Self {
        Self {
            index,
            places: OnceLock::new(),
        }
    }

    /// The manifest of this name, where there is one alone.
    pub(super) fn called(&self, wanted: &str) -> Option<&Descriptor> {
        let place = self.places.get_or_init(|| self.read_places()).get(wanted)?;
        self.index.manifests.get((*place)?)
    }

    fn read_places(&self) -> HashMap<String, Option<usize>> {
        let mut places = HashMap::with_capacity(self.index.manifests.len());
        for (place, entry) in self.index.manifests.iter().enumerate() {
            let Some(name) = name(entry) else { continue };
            match places.entry(name.to_owned()) {
                Entry::Vacant(vacant) => {
                    vacant.insert(Some(place));
                }
                Entry::Occupied(mut known) => {
                    known.insert(None);
                }
            }
        }
        places
    }

    pub(super) fn into_index(self: Arc<Self>) -> Index {
        Arc::try_unwrap(self).map_or_else(|shared| shared.index.clone(), |own| own.index)
    }
}

impl Deref for Listed {
    type Target = Index;

    fn deref(&self) -> &Index {
        &self.index
    }
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
        *self.last() = None;
    }

    /// Whether what is in this file is known, and need not be read. While it is read it is not.
    pub(super) fn has(&self, path: &Path) -> bool {
        let is_same = |last: &Last| fs::symlink_metadata(path).is_ok_and(|now| Stamp::of(&now) == last.stamp);
        self.0.try_lock().is_ok_and(|kept| kept.as_ref().is_some_and(is_same))
    }

    fn last(&self) -> MutexGuard<'_, Option<Last>> {
        // It is whole whatever a panic elsewhere left.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The index in this file; none where there is no such file.
    pub(super) fn read(&self, path: &Path) -> Result<Option<Arc<Listed>>> {
        let Some(mut file) = files::open(path)? else {
            return Ok(None);
        };
        let failed = |error| files::failed(error, "reading", path);
        let stamp = Stamp::of(&file.metadata().map_err(failed)?);
        let mut kept = self.last();
        if let Some(kept) = &*kept
            && kept.stamp == stamp
        {
            return Ok(Some(Arc::clone(&kept.index)));
        }
        *kept = None;
        let is_settled = stamp.is_settled();
        let raw = files::read_limited(&mut file, json::MAX_DOCUMENT, path)?;
        let index = Arc::new(Listed::new(parse(raw, &path.display().to_string())?));
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
    use teu_spec::{Format, MediaType, annotation};

    use super::*;

    fn index(name: &str) -> String {
        format!(r#"{{"schemaVersion":2,"manifests":[],"annotations":{{"name":"{name}"}}}}"#)
    }

    #[test]
    fn a_name_is_found_where_it_stands_alone() {
        let entry = |name: Option<&str>, content: &str| {
            let mut entry = Descriptor::of(MediaType::OciManifest, content.as_bytes());
            let name = name.map(|name| (annotation::REF_NAME.to_owned(), name.to_owned()));
            entry.annotations.extend(name);
            entry
        };
        let manifests = [
            entry(Some("a"), "1"),
            entry(None, "2"),
            entry(Some("b"), "3"),
            entry(Some("a"), "1"),
            entry(Some("a"), "4"),
            entry(Some("c"), "1"),
        ];
        let built = Index::build(Format::Oci, &manifests).expect("an index");
        let listed = Listed::new(parse(built.raw().clone(), "index.json").expect("an index"));
        let found = ["a", "b", "c", "d"].map(|name| listed.called(name));
        assert_eq!(found, [None, Some(&manifests[2]), Some(&manifests[5]), None]);
    }

    /// Reads until what is read is what was kept: nothing has changed for long enough.
    fn settled(kept: &Kept, path: &Path) -> Arc<Listed> {
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
        assert!(kept.has(&path));
        fs::write(&path, index("f")).expect("written");
        assert!(!kept.has(&path));
        says("f");
        settled(&kept, &path);
        let other = directory.path().join("other");
        fs::write(&other, index("g")).expect("written");
        fs::rename(&other, &path).expect("renamed");
        says("g");
        settled(&kept, &path);
        fs::write(&path, "no index").expect("written");
        kept.read(&path).expect_err("no index");
        assert!(!kept.has(&path));
        fs::remove_file(&path).expect("removed");
        assert!(kept.read(&path).expect("nothing").is_none());
    }
}
