//! What does an index of a layout lead to? The same for a layout and for the archive of one: [`Content`] is all that is asked of either.

use std::collections::HashSet;

use bytes::Bytes;
use teu_spec::{Descriptor, Digest, Document, Pick, annotation};
use teu_store::{Error, ErrorKind, Named, Result, referrer};

/// How many manifests a layout may list, in its index and in those below, where all are looked at.
const MOST: usize = 100_000;

/// Where the manifests lie that an index names.
pub(crate) trait Content {
    /// What it is called in an error.
    fn place(&self) -> String;

    /// Content that is here, raw and unchecked, if it is as small as a manifest must be; none where it is not here.
    fn small(&self, digest: &Digest) -> Result<Option<Bytes>>;

    /// Whether content is here.
    fn has(&self, digest: &Digest) -> Result<bool>;

    /// A manifest that is here, raw, as small as a manifest must be; none where there is no such content.
    fn document(&self, digest: &Digest, expected: Option<&Descriptor>) -> Result<Option<Document>> {
        let Some(raw) = self.small(digest)? else {
            return Ok(None);
        };
        let document = Document::parse(raw, expected.map(|descriptor| &descriptor.media_type));
        document
            .map(Some)
            .map_err(|error| Error::from(error).within(format!("manifest {digest}")))
    }

    /// What `digest` is, if it is a manifest. Its bytes are not hashed: whoever reads them does that.
    fn manifest(&self, digest: &Digest) -> Result<Option<Descriptor>> {
        let raw = match self.small(digest) {
            Ok(Some(raw)) => raw,
            Ok(None) => return Ok(None),
            // What is larger than a manifest may be is a blob.
            Err(error) if *error.kind() == ErrorKind::TooLarge => return Ok(None),
            Err(error) => return Err(error),
        };
        // And so is what is no manifest.
        Ok(Document::parse(raw, None)
            .ok()
            .map(|document| describe(&document, *digest)))
    }

    /// The manifest that is picked, of those that the index lists.
    fn resolve(&self, manifests: &[Descriptor], pick: &Pick) -> Result<Descriptor> {
        let here = self.place();
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
                        let names = list(manifests, |_| true);
                        let there = if names.is_empty() {
                            "there is none at all".to_owned()
                        } else {
                            format!("there are {names}")
                        };
                        Err(not_found(format!("there is no image {wanted:?} in {here}; {there}")))
                    }
                    _ => Err(several(
                        &format!("images of the name {wanted:?} in {here}"),
                        manifests,
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
            Pick::Only => self.only(manifests),
        }
    }

    /// The one image of an index.
    fn only(&self, manifests: &[Descriptor]) -> Result<Descriptor> {
        if let [one] = manifests {
            return Ok(one.clone());
        }
        // What is about another manifest that is here comes along with it, and is not the one that is meant.
        let mut meant = Vec::with_capacity(manifests.len());
        for entry in manifests {
            let document = match name(entry) {
                Some(_) => None,
                None => match self.document(&entry.digest, Some(entry)) {
                    // What is no manifest is about nothing; that it is none is told when it is the one that is asked for.
                    Err(error) if !matches!(error.kind(), ErrorKind::Io) => None,
                    document => document?,
                },
            };
            let subject = document.as_ref().and_then(Document::subject);
            let comes_along = match subject {
                Some(subject) => self.has(&subject.digest)?,
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
                format!("there is no image in {}", self.place()),
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
            (Some(_), Some(_)) => Err(several(&format!("images in {}", self.place()), manifests, |entry| {
                let place = manifests.iter().position(|other| std::ptr::eq(other, entry));
                place.is_some_and(|place| meant[place])
            })),
        }
    }

    /// All manifests that the index names, and those that the indexes below it name: at most [`MOST`].
    fn all_manifests(&self, manifests: Vec<Descriptor>) -> Result<Vec<Descriptor>> {
        let mut found = manifests;
        let mut seen: HashSet<Digest> = found.iter().map(|descriptor| descriptor.digest).collect();
        let mut next = 0;
        while let Some(descriptor) = found.get(next) {
            next += 1;
            // What cannot be read is no index, and what is missing is missing: a sparse index is no error.
            let Ok(Some(Document::Index(index))) = self.document(&descriptor.digest, Some(descriptor)) else {
                continue;
            };
            found.extend(index.manifests.into_iter().filter(|child| seen.insert(child.digest)));
            if found.len() > MOST {
                let message = format!("{} lists more manifests than the limit of {MOST}", self.place());
                return Err(Error::new(ErrorKind::TooLarge, message));
            }
        }
        Ok(found)
    }

    /// What is about a manifest, of those that the index names and those below.
    fn referrers(
        &self,
        manifests: Vec<Descriptor>,
        subject: &Digest,
        artifact_type: Option<&str>,
    ) -> Result<Vec<Descriptor>> {
        let mut found = Vec::new();
        for descriptor in self.all_manifests(manifests)? {
            let Ok(Some(document)) = self.document(&descriptor.digest, Some(&descriptor)) else {
                continue;
            };
            if document.subject().is_none_or(|about| about.digest != *subject) {
                continue;
            }
            let referrer = referrer(&document, descriptor.digest);
            if artifact_type.is_none_or(|wanted| referrer.artifact_type.as_deref() == Some(wanted)) {
                found.push(referrer);
            }
        }
        Ok(found)
    }
}

/// The descriptor of a manifest, as far as it says itself.
pub(crate) fn describe(document: &Document, digest: Digest) -> Descriptor {
    Descriptor::new(document.media_type().clone(), digest, document.raw().len() as u64)
}

/// What is called what by an index.
pub(crate) fn names(manifests: Vec<Descriptor>) -> Vec<Named> {
    let named = manifests.into_iter().map(|descriptor| Named {
        name: name(&descriptor).map(str::to_owned),
        descriptor: Some(descriptor),
    });
    named.collect()
}

/// What a manifest is called in the index of a layout, if anything.
pub(crate) fn name(descriptor: &Descriptor) -> Option<&str> {
    descriptor.annotations.get(annotation::REF_NAME).map(String::as_str)
}

pub(super) fn is_called(descriptor: &Descriptor, wanted: &str) -> bool {
    name(descriptor) == Some(wanted)
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
