//! How does an index become another? By its bytes alone: nothing is read or written here.

use std::collections::{BTreeMap, HashSet};

use teu_spec::{Annotations, Descriptor, Digest, Document, Format, Platform, annotation};

use super::{Selector, member::Entry};
use crate::{Error, ErrorKind, Result, copy::selected};

/// How many of what an index lists an error lists too.
const SHOWN: usize = 20;

impl Selector {
    fn means(&self, descriptor: &Descriptor) -> bool {
        match self {
            Self::Digest(digest) => descriptor.digest == *digest,
            Self::Platform(wanted) => descriptor.platform.as_ref().is_some_and(|found| {
                let (wanted, found) = (wanted.normalized(), found.normalized());
                let version = wanted.os_version.is_empty() || wanted.os_version == found.os_version;
                (wanted.os, wanted.architecture, wanted.variant) == (found.os, found.architecture, found.variant)
                    && version
            }),
        }
    }
}

/// The form that all entries have; OCI's where they differ, as that takes both, and where there are none.
pub(super) fn common_form(entries: &[Entry]) -> Format {
    let docker = |entry: &Entry| entry.descriptor.media_type == teu_spec::MediaType::DockerManifest;
    if !entries.is_empty() && entries.iter().all(docker) {
        Format::Docker
    } else {
        Format::Oci
    }
}

/// The index with `entries`: in the place of those with the same digest or platform, or behind all others.
pub(super) fn add(index: &Document, entries: &[Entry]) -> Result<Document> {
    check_distinct(entries)?;
    let old = index.children();
    let mut kept: Vec<Option<Descriptor>> = old.iter().cloned().map(Some).collect();
    let mut replaced = HashSet::new();
    // What is put in, before which of the old ones; at the end where it is behind all.
    let mut added: Vec<(usize, Descriptor)> = Vec::new();
    for entry in entries {
        let new = &entry.descriptor;
        let there = kept.iter_mut().flatten().find(|old| old.digest == new.digest);
        if let Some(there) = there {
            let (platform, annotations) = &entry.stated;
            there.annotations.extend(annotations.clone());
            if platform.is_some() || there.platform.is_none() {
                there.platform.clone_from(&new.platform);
            }
            continue;
        }
        // One image may be listed for several machines, but not twice for one.
        let again = |(_, other): &(usize, Descriptor)| other.digest == new.digest && other.platform == new.platform;
        if added.iter().any(again) {
            continue;
        }
        let is_entry = |old: &Descriptor| entries.iter().any(|entry| entry.descriptor.digest == old.digest);
        let makes_room = |place: &usize| !entry.beside && same_platform(&old[*place], new) && !is_entry(&old[*place]);
        let places: Vec<usize> = (0..old.len()).filter(makes_room).collect();
        added.push((places.first().copied().unwrap_or(old.len()), new.clone()));
        replaced.extend(places);
    }
    drop_all(&mut kept, &replaced);
    insert(&index.rewrite(&kept)?, &kept, added)
}

/// The index without what `selectors` mean.
pub(super) fn remove(index: &Document, selectors: &[Selector]) -> Result<Document> {
    let mut kept: Vec<Option<Descriptor>> = index.children().into_iter().map(Some).collect();
    let mut removed = HashSet::new();
    for selector in selectors {
        removed.extend(meant(index, selector)?);
    }
    drop_all(&mut kept, &removed);
    Ok(index.rewrite(&kept)?)
}

/// The index of the images for `platforms` alone.
pub(super) fn filter(index: &Document, digest: &Digest, platforms: &[Platform]) -> Result<Document> {
    let Document::Index(list) = index else {
        return Ok(index.clone());
    };
    let wanted = selected(digest, list, platforms)?;
    let children = list.manifests.iter().enumerate();
    let kept: Vec<_> = children
        .map(|(place, child)| wanted.contains(&place).then(|| child.clone()))
        .collect();
    Ok(index.rewrite(&kept)?)
}

/// The index with something else said of it, or of one image in it.
pub(super) fn annotate(
    index: &Document,
    of: Option<&Selector>,
    annotations: &BTreeMap<String, Option<String>>,
    platform: Option<&Platform>,
) -> Result<Document> {
    let Some(of) = of else {
        if platform.is_some() {
            let message = "an index is for no machine of its own; say which of its images has this platform";
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        return Ok(index.annotate(annotations)?);
    };
    let places = meant(index, of)?;
    let mut children = index.children();
    let mut digests: Vec<Digest> = places.iter().map(|place| children[*place].digest).collect();
    digests.sort();
    digests.dedup();
    if digests.len() > 1 {
        let digests: Vec<String> = digests.iter().map(Digest::to_string).collect();
        let message = format!("{of} is several images; name one by its digest: {}", digests.join(", "));
        return Err(Error::new(ErrorKind::Invalid, message));
    }
    for place in places {
        let child = &mut children[place];
        change_annotations(&mut child.annotations, annotations);
        if platform.is_some() {
            child.platform = platform.cloned();
        }
    }
    Ok(index.rewrite(&children.into_iter().map(Some).collect::<Vec<_>>())?)
}

/// Refuses what may not be listed together.
pub(super) fn check(document: &Document) -> Result<()> {
    match document {
        Document::Index(index) => Ok(index.check_form()?),
        Document::Manifest(_) => Ok(()),
    }
}

/// Two images for one machine are an oversight, or say that they stand beside each other.
pub(super) fn check_distinct(entries: &[Entry]) -> Result<()> {
    for (place, entry) in entries.iter().enumerate() {
        let same = |other: &&Entry| {
            !(entry.beside || other.beside)
                && other.descriptor.digest != entry.descriptor.digest
                && same_platform(&other.descriptor, &entry.descriptor)
        };
        if let Some(other) = entries[..place].iter().find(same) {
            return Err(Error::new(
                ErrorKind::Invalid,
                format!(
                    "{} and {} are both for {}; choose one, say what one is really for (--set-platform), or have them stand \
                     beside each other (--beside)",
                    other.descriptor.digest,
                    entry.descriptor.digest,
                    shown_platform(&entry.descriptor)
                ),
            ));
        }
    }
    Ok(())
}

/// Whether both are images for one machine. What states no machine, or buildkit's `unknown`, is for none.
fn same_platform(one: &Descriptor, other: &Descriptor) -> bool {
    let (Some(one_platform), Some(other_platform)) = (&one.platform, &other.platform) else {
        return false;
    };
    let one_platform = one_platform.normalized();
    let known = !one_platform.os.is_empty() && one_platform.os != "unknown";
    known && !one.is_attestation() && !other.is_attestation() && one_platform == other_platform.normalized()
}

/// Takes away what stands at the places `gone`, and what is attested of what is listed nowhere else.
fn drop_all(kept: &mut [Option<Descriptor>], gone: &HashSet<usize>) {
    let mut digests = HashSet::new();
    for (place, child) in kept.iter_mut().enumerate() {
        if gone.contains(&place)
            && let Some(child) = child.take()
        {
            digests.insert(child.digest.to_string());
        }
    }
    for child in kept.iter().flatten() {
        digests.remove(&child.digest.to_string());
    }
    for child in kept {
        let about = child
            .as_ref()
            .and_then(|child| child.annotations.get(annotation::DOCKER_REFERENCE_DIGEST));
        if about.is_some_and(|about| digests.contains(about)) {
            *child = None;
        }
    }
}

/// Puts each of `added` before the old place that it is given with.
fn insert(document: &Document, kept: &[Option<Descriptor>], mut added: Vec<(usize, Descriptor)>) -> Result<Document> {
    // What goes to one place stays in the order that it was given in.
    added.sort_by_key(|(place, _)| *place);
    let mut document = document.clone();
    for (count, (place, descriptor)) in added.into_iter().enumerate() {
        let before = kept[..place].iter().filter(|child| child.is_some()).count();
        document = document.insert(before + count, &[descriptor])?;
    }
    Ok(document)
}

/// The places of what `selector` means.
fn meant(index: &Document, selector: &Selector) -> Result<Vec<usize>> {
    let children = index.children();
    let found: Vec<usize> = (0..children.len())
        .filter(|place| selector.means(&children[*place]))
        .collect();
    if !found.is_empty() {
        return Ok(found);
    }
    let mut offered: Vec<String> = children
        .iter()
        .take(SHOWN)
        .map(|child| format!("{} ({})", shown_platform(child), child.digest))
        .collect();
    if children.len() > SHOWN {
        offered.push(format!("{} more", children.len() - SHOWN));
    }
    let there = if offered.is_empty() {
        "it is empty".to_owned()
    } else {
        format!("it lists {}", offered.join(", "))
    };
    Err(Error::new(
        ErrorKind::NotFound,
        format!("the index lists no {selector}; {there}"),
    ))
}

fn shown_platform(descriptor: &Descriptor) -> String {
    let platform = descriptor.platform.as_ref();
    platform.map_or_else(|| "no platform".to_owned(), Platform::to_string)
}

fn change_annotations(annotations: &mut Annotations, changes: &BTreeMap<String, Option<String>>) {
    for (key, value) in changes {
        match value {
            Some(value) => annotations.insert(key.clone(), value.clone()),
            None => annotations.remove(key),
        };
    }
}
