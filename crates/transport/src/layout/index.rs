//! What is called what in a layout? Its `index.json`: read strictly, changed in place, and replaced whole.

use std::{collections::HashSet, fs, path::PathBuf, sync::Arc};

use teu_spec::{Annotations, Descriptor, Digest, Document, Format, Index, MediaType, Pick, annotation, json, layout};
use teu_store::{Error, ErrorKind, Expect, Result};

use super::{
    Inner,
    finish::Alone,
    kept::Listed,
    resolve::{Content as _, is_called, name},
};
use crate::{
    files,
    lock::{self, Locked, Share},
};

/// How many bytes a small index has at most: some 50 images.
const SMALL: u64 = 16 << 10;

/// A change of the index: what each of its manifests becomes, none for what goes, and what is added behind them.
#[derive(Default)]
pub(crate) struct Change {
    /// As many as there are manifests.
    pub(crate) kept: Vec<Option<Descriptor>>,
    /// New ones.
    pub(crate) added: Vec<Descriptor>,
}

impl Change {
    /// What makes `names` point at a manifest, all or none, where `expect` holds.
    pub(crate) fn set_names(index: &Index, manifest: &Descriptor, names: &[String], expect: Expect) -> Result<Self> {
        for wanted in names {
            check_expected(index, wanted, expect)?;
        }
        let mut missing: Vec<&String> = Vec::new();
        for wanted in names {
            if !missing.contains(&wanted) {
                missing.push(wanted);
            }
        }
        let kept = index.manifests.iter().map(|entry| {
            let entry_name = name(entry);
            let place = missing.iter().position(|wanted| Some(wanted.as_str()) == entry_name);
            if let Some(place) = place {
                // The place of the old one is the new one's; what was said of another image does not hold of this one.
                let wanted = missing.remove(place);
                return Some(if entry.digest == manifest.digest {
                    corrected(entry, manifest)
                } else {
                    named(manifest, wanted)
                });
            }
            if entry_name.is_some_and(|entry_name| names.iter().any(|wanted| wanted == entry_name)) {
                return None;
            }
            if entry_name.is_none() && entry.digest == manifest.digest && !missing.is_empty() {
                // What had no name has one now, and is otherwise what it was.
                let mut entry = corrected(entry, manifest);
                entry
                    .annotations
                    .insert(annotation::REF_NAME.to_owned(), missing.remove(0).clone());
                return Some(entry);
            }
            Some(entry.clone())
        });
        Ok(Self {
            kept: kept.collect(),
            added: missing.iter().map(|wanted| named(manifest, wanted)).collect(),
        })
    }

    /// What lists a manifest without a name in the place of another, which is there without one.
    pub(crate) fn replace_nameless(index: &Index, manifest: &Descriptor, replaced: &Digest) -> Result<Self> {
        let is_replaced = |entry: &Descriptor| name(entry).is_none() && entry.digest == *replaced;
        let Some(place) = index.manifests.iter().position(is_replaced) else {
            let message = format!("{replaced} is not listed without a name any more");
            return Err(Error::new(ErrorKind::Conflict, message));
        };
        let is_there = |entry: &Descriptor| name(entry).is_none() && entry.digest == manifest.digest;
        let is_twin = manifest.digest != *replaced && index.manifests.iter().any(is_there);
        let kept = index.manifests.iter().enumerate().map(|(at, entry)| {
            let is_new = at == place && manifest.digest != *replaced;
            match (is_new, is_twin) {
                (true, true) => None,
                (true, false) => Some(manifest.clone()),
                (false, _) => Some(entry.clone()),
            }
        });
        Ok(Self {
            kept: kept.collect(),
            added: Vec::new(),
        })
    }

    /// What lists manifests without a name, where they are not listed yet.
    pub(crate) fn list_unnamed(index: &Index, manifests: &[Descriptor]) -> Self {
        let mut listed: HashSet<Digest> = index.manifests.iter().map(|entry| entry.digest).collect();
        let absent = manifests.iter().filter(|entry| listed.insert(entry.digest));
        Self {
            added: absent.cloned().collect(),
            kept: index.manifests.iter().cloned().map(Some).collect(),
        }
    }

    /// The same, and these go where they have no name.
    pub(crate) fn without_unnamed(mut self, digests: &HashSet<Digest>) -> Self {
        for kept in &mut self.kept {
            if kept
                .as_ref()
                .is_some_and(|entry| name(entry).is_none() && digests.contains(&entry.digest))
            {
                *kept = None;
            }
        }
        self
    }

    /// The index of the layout at `place`, changed.
    pub(crate) fn apply(&self, old: &Document, place: &str) -> Result<Document> {
        let document = old.rewrite(&self.kept)?;
        let end = document.children().len();
        let document = if self.added.is_empty() {
            document
        } else {
            document.insert(end, &self.added)?
        };
        if document.raw().len() as u64 > json::MAX_DOCUMENT {
            return Err(Error::new(
                ErrorKind::TooLarge,
                format!("the index of {place} would have more than {} bytes", json::MAX_DOCUMENT),
            ));
        }
        Ok(document)
    }
}

/// Reads the index of a layout; `path` names it in errors.
pub(crate) fn parse(raw: bytes::Bytes, path: &str) -> Result<Index> {
    match Document::parse(raw, Some(&MediaType::OciIndex)) {
        Ok(Document::Index(index)) => Ok(index),
        Ok(Document::Manifest(_)) => Err(Error::new(ErrorKind::Invalid, format!("{path} is no index"))),
        Err(error) => Err(Error::from(error).within(format!("reading {path}"))),
    }
}

impl Inner {
    /// The index as it stands.
    pub(super) fn index(&self) -> Result<Arc<Listed>> {
        let read = self.kept.read(&self.root.join(layout::INDEX_FILE))?;
        read.ok_or_else(|| {
            Error::new(
                ErrorKind::NotFound,
                format!(
                    "{} is no image layout: it has no {}",
                    self.root.display(),
                    layout::INDEX_FILE
                ),
            )
        })
    }

    /// The manifest that is picked.
    pub(super) fn picked(&self, pick: &Pick) -> Result<Descriptor> {
        let index = self.index()?;
        if let Pick::Name(name) = pick
            && let Some(found) = index.called(name)
        {
            return Ok(found.clone());
        }
        self.resolve(&index.manifests, pick)
    }

    /// Whether what is picked is found in less time than a thread is woken in: in an index that is small or known, or in something small that it leads to.
    pub(super) fn is_found_at_once(&self, pick: &Pick) -> bool {
        let is_small = |path: PathBuf| fs::metadata(path).is_ok_and(|metadata| metadata.len() <= SMALL);
        let index = self.root.join(layout::INDEX_FILE);
        (self.kept.has(&index) || is_small(index))
            && match pick {
                Pick::Name(_) | Pick::At(_) => true,
                Pick::Digest(digest) => is_small(self.blob(digest)),
                // Which of several is meant, they have to say themselves. What cannot be read is told at once.
                Pick::Only => self.index().map_or(true, |index| index.manifests.len() < 2),
            }
    }

    /// Writes an index without images, unless there is one. It lasts when the directory is synced, or its file system.
    pub(super) fn begin_index(&self) -> Result<()> {
        let _lock = self.lock_index()?;
        let path = self.root.join(layout::INDEX_FILE);
        if files::open(&path)?.is_some() {
            return Ok(());
        }
        files::replace(&path, Index::build(Format::Oci, &[])?.raw())
    }

    /// Changes the index, which nobody else changes meanwhile; what was written before lasts before the new one is seen. The caller holds the
    /// [lock](Self::lock), so that nobody takes what is half-written for a dead writer's.
    pub(super) fn change_index(&self, change: impl FnOnce(&Index) -> Result<Change>) -> Result<()> {
        self.change_index_alone(&self.finishing.wait(), change)
    }

    /// The same, for who finishes.
    pub(super) fn change_index_alone(
        &self,
        alone: &Alone<'_>,
        change: impl FnOnce(&Index) -> Result<Change>,
    ) -> Result<()> {
        let _lock = self.lock_index()?;
        self.kept.forget();
        let index = self.index()?;
        let change = change(&index)?;
        let old = Document::Index(index.into_index());
        let document = change.apply(&old, &self.root.display().to_string())?;
        if document.raw() == old.raw() {
            return Ok(());
        }
        // It is written before all is synced, so that nothing is left to do where it is on the same file system, and the two syncs that follow take no time.
        let new = files::written(&self.root, document.raw())?;
        self.sync(alone)?;
        files::lasting(new)?.put(&self.root.join(layout::INDEX_FILE))?;
        self.sync_names(alone)
    }

    /// The lock is the marker's, as that is never replaced. It is held until this is dropped.
    fn lock_index(&self) -> Result<Locked> {
        let path = self.root.join(layout::MARKER_FILE);
        let Some(file) = files::open(&path)? else {
            return Err(Error::new(ErrorKind::NotFound, format!("{} is gone", path.display())));
        };
        lock::wait_for_lock(file, &path, Share::All, &self.events())
    }
}

fn named(manifest: &Descriptor, name: &str) -> Descriptor {
    let mut descriptor = manifest.clone();
    descriptor.annotations = Annotations::from([(annotation::REF_NAME.to_owned(), name.to_owned())]);
    descriptor
}

/// What is said of a manifest, with the size and the type that it has.
fn corrected(entry: &Descriptor, manifest: &Descriptor) -> Descriptor {
    Descriptor {
        media_type: manifest.media_type.clone(),
        size: manifest.size,
        ..entry.clone()
    }
}

/// Others list several manifests by one name: what is expected has to hold of all of them.
pub(super) fn check_expected(index: &Index, wanted: &str, expect: Expect) -> Result<()> {
    let check = |found| expect.check(format_args!("the name {wanted:?}"), found);
    let called = index.manifests.iter().filter(|entry| is_called(entry, wanted));
    let mut found = called.map(|entry| Some(entry.digest)).peekable();
    match found.peek() {
        None => check(None),
        Some(_) => found.try_for_each(check),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::Layout;

    /// As others may list them.
    #[test]
    fn what_has_a_name_stays_where_its_twin_without_one_is_replaced() {
        let [old, new] = [&b"old"[..], b"new"].map(|content| Descriptor::of(MediaType::OciManifest, content));
        let list = |manifests: &[Descriptor]| match Index::build(Format::Oci, manifests).expect("an index") {
            Document::Index(index) => index,
            Document::Manifest(_) => panic!("a manifest"),
        };
        let [old_named, new_named] = [&old, &new].map(|manifest| named(manifest, "app"));
        for (before, after) in [
            ([old_named.clone(), old.clone()], vec![old_named.clone(), new.clone()]),
            ([old.clone(), new_named.clone()], vec![new.clone(), new_named]),
            ([old.clone(), new.clone()], vec![new.clone()]),
        ] {
            let index = list(&before);
            let change = Change::replace_nameless(&index, &new, &old.digest).expect("it is there");
            let changed = change.apply(&Document::Index(index), "a layout").expect("changed");
            assert_eq!(changed.children(), after);
        }
        let gone = Change::replace_nameless(&list(&[old_named]), &new, &old.digest);
        assert_eq!(gone.err().expect("it is not there").kind(), &ErrorKind::Conflict);
    }

    #[test]
    fn what_leads_to_something_large_is_not_found_at_once() {
        let room = tempfile::tempdir().expect("a directory");
        let layout = Layout::create(room.path(), None).expect("a layout");
        let [small, large] = [&b"{}"[..], &[b' '; SMALL as usize + 1]].map(|content| {
            let descriptor = Descriptor::of(MediaType::OciIndex, content);
            let path = layout.0.place(&descriptor.digest).expect("a place");
            fs::write(path, content).expect("written");
            descriptor
        });
        let holds = |manifests: &[Descriptor]| {
            let index = Index::build(Format::Oci, manifests).expect("an index");
            fs::write(room.path().join(layout::INDEX_FILE), index.raw()).expect("written");
        };
        holds(std::slice::from_ref(&large));
        let is_found = |pick| layout.0.is_found_at_once(&pick);
        // One alone is the one that is meant, whatever it is.
        assert!(is_found(Pick::Only) && is_found(Pick::At(0)) && is_found(Pick::Name("app".to_owned())));
        assert!(is_found(Pick::Digest(small.digest)) && !is_found(Pick::Digest(large.digest)));
        holds(&[small.clone(), large]);
        assert!(!is_found(Pick::Only));
        holds(&vec![small; 500]);
        assert!(!is_found(Pick::At(0)));
    }
}
