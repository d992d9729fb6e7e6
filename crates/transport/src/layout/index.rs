//! What is called what in a layout? Its `index.json`: read strictly, changed in place, and replaced whole.

use std::fs::File;

use rustix::fs::{FlockOperation, flock};
use teu_spec::{Annotations, Descriptor, Digest, Document, Format, Index, MediaType, Pick, annotation, json, layout};
use teu_store::{Error, ErrorKind, Expect, Result};

use super::Inner;
use crate::files;

/// What a manifest is called in the index of a layout, if anything.
pub(super) fn name(descriptor: &Descriptor) -> Option<&str> {
    descriptor.annotations.get(annotation::REF_NAME).map(String::as_str)
}

fn is_called(descriptor: &Descriptor, wanted: &str) -> bool {
    name(descriptor) == Some(wanted)
}

/// A change of the index: what each of its manifests becomes, none for what goes, and what is added behind them.
#[derive(Default)]
pub(super) struct Change {
    /// As many as there are manifests.
    pub kept: Vec<Option<Descriptor>>,
    /// New ones.
    pub added: Vec<Descriptor>,
}

impl Inner {
    /// The index as it stands.
    pub(super) fn index(&self) -> Result<Index> {
        let path = self.root.join(layout::INDEX_FILE);
        let Some(raw) = files::read_small(&path, json::MAX_DOCUMENT)? else {
            return Err(Error::new(
                ErrorKind::NotFound,
                format!(
                    "{} is no image layout: it has no {}",
                    self.root.display(),
                    layout::INDEX_FILE
                ),
            ));
        };
        match Document::parse(raw, Some(&MediaType::OciIndex)) {
            Ok(Document::Index(index)) => Ok(index),
            Ok(Document::Manifest(_)) => Err(Error::new(
                ErrorKind::Invalid,
                format!("{} is no index", path.display()),
            )),
            Err(error) => Err(Error::from(error).within(format!("reading {}", path.display()))),
        }
    }

    /// Writes an index without images, unless there is one.
    pub(super) fn begin_index(&self) -> Result<()> {
        let _lock = self.lock_index()?;
        let path = self.root.join(layout::INDEX_FILE);
        if files::open(&path)?.is_some() {
            return Ok(());
        }
        files::replace(&path, Index::build(Format::Oci, &[])?.raw())
    }

    /// Changes the index, which nobody else changes meanwhile; what was written before lasts before the new one is seen.
    pub(super) fn change_index(&self, change: impl FnOnce(&Index) -> Result<Change>) -> Result<()> {
        let _lock = self.lock_index()?;
        let index = self.index()?;
        let Change { kept, added } = change(&index)?;
        let old = Document::Index(index);
        let document = old.rewrite(&kept)?;
        let place = document.children().len();
        let document = if added.is_empty() {
            document
        } else {
            document.insert(place, &added)?
        };
        if document.raw() == old.raw() {
            return Ok(());
        }
        if document.raw().len() as u64 > json::MAX_DOCUMENT {
            return Err(Error::new(
                ErrorKind::TooLarge,
                format!(
                    "the index of {} would have more than {} bytes",
                    self.root.display(),
                    json::MAX_DOCUMENT
                ),
            ));
        }
        files::sync_file_system(&self.blobs)?;
        files::replace(&self.root.join(layout::INDEX_FILE), document.raw())
    }

    /// The lock is the marker's, as that is never replaced. It is held until the file is closed.
    fn lock_index(&self) -> Result<File> {
        let path = self.root.join(layout::MARKER_FILE);
        let Some(file) = files::open(&path)? else {
            return Err(Error::new(ErrorKind::NotFound, format!("{} is gone", path.display())));
        };
        flock(&file, FlockOperation::LockExclusive).map_err(|error| files::failed(error.into(), "locking", &path))?;
        Ok(file)
    }

    /// Makes `names` point at a manifest, all or none.
    pub(super) fn set_names(&self, manifest: &Descriptor, names: &[String], expect: Expect) -> Result<()> {
        self.change_index(|index| {
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
                        entry.clone()
                    } else {
                        named(manifest, wanted)
                    });
                }
                if entry_name.is_some_and(|entry_name| names.iter().any(|wanted| wanted == entry_name)) {
                    return None;
                }
                if entry_name.is_none() && entry.digest == manifest.digest && !missing.is_empty() {
                    // What had no name has one now, and is otherwise what it was.
                    let mut entry = entry.clone();
                    entry
                        .annotations
                        .insert(annotation::REF_NAME.to_owned(), missing.remove(0).clone());
                    return Some(entry);
                }
                Some(entry.clone())
            });
            Ok(Change {
                kept: kept.collect(),
                added: missing.iter().map(|wanted| named(manifest, wanted)).collect(),
            })
        })
    }

    /// Lists manifests without a name, where they are not listed yet.
    pub(super) fn list_unnamed(&self, manifests: &[Descriptor]) -> Result<()> {
        self.change_index(|index| {
            let absent =
                |descriptor: &&Descriptor| index.manifests.iter().all(|entry| entry.digest != descriptor.digest);
            Ok(Change {
                kept: index.manifests.iter().cloned().map(Some).collect(),
                added: manifests.iter().filter(absent).cloned().collect(),
            })
        })
    }

    pub(super) fn resolve(&self, pick: &Pick) -> Result<Descriptor> {
        let manifests = self.index()?.manifests;
        let here = self.root.display();
        let not_found = |what: String| Error::new(ErrorKind::NotFound, what);
        match pick {
            Pick::Name(wanted) => {
                let mut found: Vec<_> = manifests.iter().filter(|entry| is_called(entry, wanted)).collect();
                if found.is_empty() {
                    // containerd's whole name stands beside the tag alone.
                    let whole =
                        |entry: &&Descriptor| entry.annotations.get(annotation::CONTAINERD_NAME) == Some(wanted);
                    found = manifests.iter().filter(whole).collect();
                }
                match found[..] {
                    [one] => Ok(one.clone()),
                    [] => {
                        let names = list(&manifests, |_| true);
                        let there = if names.is_empty() {
                            "there is none at all".to_owned()
                        } else {
                            format!("there are {names}")
                        };
                        Err(not_found(format!("there is no image {wanted:?} in {here}; {there}")))
                    }
                    _ => Err(several(
                        &format!("images of the name {wanted:?} in {here}"),
                        &manifests,
                        |entry| found.iter().any(|other| std::ptr::eq(*other, entry)),
                    )),
                }
            }
            Pick::At(place) => manifests.get(*place).cloned().ok_or_else(|| {
                not_found(format!(
                    "there is no image @{place} in {here}, which has {}; they are counted from 0",
                    manifests.len()
                ))
            }),
            Pick::Digest(digest) => {
                if let Some(entry) = manifests.iter().find(|entry| entry.digest == *digest) {
                    return Ok(entry.clone());
                }
                let found = self.manifest(digest)?;
                found.ok_or_else(|| not_found(format!("there is no manifest {digest} in {here}")))
            }
            Pick::Only => self.only(&manifests),
        }
    }

    fn only(&self, manifests: &[Descriptor]) -> Result<Descriptor> {
        if let [one] = manifests {
            return Ok(one.clone());
        }
        // What is about another manifest that is here comes along with it, and is not the one that is meant.
        let mut meant = Vec::with_capacity(manifests.len());
        for entry in manifests {
            let document = if name(entry).is_none() {
                self.document(&entry.digest, Some(entry))?
            } else {
                None
            };
            let subject = document.as_ref().and_then(Document::subject);
            let comes_along = match subject {
                Some(subject) => self.open_blob(&subject.digest)?.is_some(),
                None => false,
            };
            meant.push(!comes_along);
        }
        let mut images = manifests
            .iter()
            .zip(&meant)
            .filter(|(_, meant)| **meant)
            .map(|(entry, _)| entry);
        match (images.next(), images.next()) {
            (Some(only), None) => Ok(only.clone()),
            (None, _) => Err(Error::new(
                ErrorKind::NotFound,
                format!("there is no image in {}", self.root.display()),
            )),
            // One image of several names is still one image.
            (Some(first), Some(_))
                if manifests
                    .iter()
                    .zip(&meant)
                    .all(|(entry, meant)| !meant || entry.digest == first.digest) =>
            {
                Ok(first.clone())
            }
            (Some(_), Some(_)) => Err(several(
                &format!("images in {}", self.root.display()),
                manifests,
                |entry| {
                    let place = manifests.iter().position(|other| std::ptr::eq(other, entry));
                    place.is_some_and(|place| meant[place])
                },
            )),
        }
    }
}

fn named(manifest: &Descriptor, name: &str) -> Descriptor {
    let mut descriptor = manifest.clone();
    descriptor.annotations = Annotations::from([(annotation::REF_NAME.to_owned(), name.to_owned())]);
    descriptor
}

fn check_expected(index: &Index, wanted: &str, expect: Expect) -> Result<()> {
    let mut found = index.manifests.iter().filter(|entry| is_called(entry, wanted));
    let holds = match expect {
        Expect::Any => true,
        Expect::Absent => found.next().is_none(),
        Expect::Digest(digest) => {
            let all: Vec<Digest> = found.map(|entry| entry.digest).collect();
            !all.is_empty() && all.iter().all(|found| *found == digest)
        }
    };
    if holds {
        return Ok(());
    }
    let now = index.manifests.iter().find(|entry| is_called(entry, wanted));
    let now = now.map_or_else(|| "nothing".to_owned(), |entry| entry.digest.to_string());
    Err(Error::new(
        ErrorKind::Conflict,
        format!("the name {wanted:?} points at {now}, which is not what was expected"),
    ))
}

/// The images that can be asked for, by name or by place.
fn list(manifests: &[Descriptor], shown: impl Fn(&Descriptor) -> bool) -> String {
    const SHOWN: usize = 20;
    let all: Vec<String> = manifests
        .iter()
        .enumerate()
        .filter(|(_, entry)| shown(entry))
        .map(|(place, entry)| match name(entry) {
            Some(name) => format!("{name} (@{place})"),
            None => format!("@{place}"),
        })
        .collect();
    match all.len().checked_sub(SHOWN) {
        Some(more @ 1..) => format!("{} and {more} more", all[..SHOWN].join(", ")),
        _ => all.join(", "),
    }
}

fn several(what: &str, manifests: &[Descriptor], shown: impl Fn(&Descriptor) -> bool) -> Error {
    Error::new(
        ErrorKind::Invalid,
        format!("there are several {what}; name one of them: {}", list(manifests, shown)),
    )
}
