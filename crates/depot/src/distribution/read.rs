//! What does a registry's directory say that one repository has? What its links lead to.

use std::{fs::File, io::Read, sync::Arc};

use bytes::Bytes;
use teu_spec::{Algorithm, Descriptor, Digest, Document, Pick, Tag, json};
use teu_store::{
    BoxFuture, Browse, Error, ErrorKind, FetchOptions, Fetched, Intent, Keyset, Local, Named, Origin, Page, Result,
    Role, Source, blocking, octet_stream, referrer,
};

use super::{Inner, of_digest};
use crate::{content::directory::Directory, repository::range};

pub(super) const MANIFESTS: &str = "_manifests";
pub(super) const LAYERS: &str = "_layers";
pub(super) const REVISIONS: [&str; 2] = [MANIFESTS, "revisions"];
pub(super) const TAGS: [&str; 2] = [MANIFESTS, "tags"];
pub(super) const CURRENT: &str = "current";
pub(super) const LINK: &str = "link";
/// The most bytes of a link: no digest has more.
const MAX_LINK: u64 = 256;

/// A repository of a registry's directory.
#[derive(Clone)]
pub(super) struct Repository {
    pub(super) inner: Arc<Inner>,
    pub(super) name: String,
}

impl Repository {
    /// What it keeps is in this directory.
    pub(super) fn home(&self) -> Result<Option<Directory>> {
        let steps: Vec<&str> = self.name.split('/').collect();
        self.inner.repositories.descend(&steps)
    }

    /// Whether there is something in it.
    pub(super) fn is_there(&self) -> Result<bool> {
        let Some(home) = self.home()? else { return Ok(false) };
        Ok(home.directory(MANIFESTS)?.is_some() || home.directory(LAYERS)?.is_some())
    }

    fn directory(&self, steps: &[&str]) -> Result<Option<Directory>> {
        match self.home()? {
            Some(home) => home.descend(steps),
            None => Ok(None),
        }
    }

    /// What the link in a directory of the repository says.
    fn link(&self, steps: &[&str]) -> Result<Option<Digest>> {
        let Some(directory) = self.directory(steps)? else {
            return Ok(None);
        };
        let Some(file) = directory.file(LINK, false)? else {
            return Ok(None);
        };
        let mut text = String::new();
        let read = file.take(MAX_LINK + 1).read_to_string(&mut text);
        // What is longer than a digest is none, and so is what is no text.
        let digest = read.ok().and_then(|_| text.parse().ok());
        digest.map(Some).ok_or_else(|| {
            let message = format!("{} has no digest in it", directory.path(LINK).display());
            Error::new(ErrorKind::Invalid, message)
        })
    }

    /// A blob that the repository shows, as an open file. A link may lead to another digest of the same content.
    pub(super) fn blob(&self, digest: &Digest) -> Result<Option<File>> {
        match self.link(&of_digest(&[LAYERS], digest.algorithm(), &digest.hex()))? {
            Some(target) => self.inner.content(&target),
            None => Ok(None),
        }
    }

    /// What a tag points at.
    pub(super) fn tag(&self, name: &str) -> Result<Option<Digest>> {
        // What is no tag may be a way elsewhere.
        let tag: Tag = name.parse()?;
        let [manifests, tags] = TAGS;
        self.link(&[manifests, tags, tag.as_str(), CURRENT])
    }

    /// The bytes of a manifest of the repository; none where it has none of this digest.
    fn raw(&self, digest: &Digest) -> Result<Option<Bytes>> {
        let Some(target) = self.link(&of_digest(&REVISIONS, digest.algorithm(), &digest.hex()))? else {
            return Ok(None);
        };
        let Some(file) = self.inner.content(&target)? else {
            return Ok(None);
        };
        let mut raw = Vec::new();
        file.take(json::MAX_DOCUMENT + 1).read_to_end(&mut raw)?;
        if raw.len() as u64 > json::MAX_DOCUMENT {
            let message = format!(
                "manifest {digest} has more bytes than the limit of {}",
                json::MAX_DOCUMENT
            );
            return Err(Error::new(ErrorKind::TooLarge, message));
        }
        Ok(Some(raw.into()))
    }

    /// A manifest of the repository. Its bytes are not hashed: whoever reads them does that. What type it was pushed as is not kept, but it
    /// says so itself, or its fields do.
    fn document(&self, digest: &Digest) -> Result<Option<Document>> {
        let Some(raw) = self.raw(digest)? else { return Ok(None) };
        let document = Document::parse(raw, None);
        document
            .map(Some)
            .map_err(|error| Error::from(error).within(format!("manifest {digest}")))
    }

    fn describe(&self, digest: &Digest) -> Result<Option<Descriptor>> {
        let document = self.document(digest)?;
        Ok(document
            .map(|document| Descriptor::new(document.media_type().clone(), *digest, document.raw().len() as u64)))
    }

    fn not_found(&self, what: &str) -> Error {
        Error::new(ErrorKind::NotFound, format!("there is no {what} in {}", self.name))
    }

    fn resolve(&self, pick: &Pick) -> Result<Descriptor> {
        match pick {
            Pick::Name(name) => {
                let digest = self.tag(name)?.ok_or_else(|| self.not_found(&format!("tag {name}")))?;
                self.describe(&digest)?.ok_or_else(|| {
                    let message = format!("the tag {name} of {} points at {digest}, which is not there", self.name);
                    Error::new(ErrorKind::NotFound, message)
                })
            }
            Pick::Digest(digest) => {
                let found = self.describe(digest)?;
                found.ok_or_else(|| self.not_found(&format!("manifest {digest}")))
            }
            Pick::Only | Pick::At(_) => Err(Error::new(
                ErrorKind::Invalid,
                format!("an image of {} is asked for by its tag or its digest", self.name),
            )),
        }
    }

    fn stat(&self, role: Role, digest: &Digest) -> Result<Option<Descriptor>> {
        match role {
            Role::Manifest => self.describe(digest),
            Role::Blob => {
                let size = self.blob(digest)?.map(|file| file.metadata()).transpose()?;
                Ok(size.map(|found| Descriptor::new(octet_stream(), *digest, found.len())))
            }
        }
    }

    fn fetch(&self, role: Role, digest: &Digest, options: FetchOptions) -> Result<Fetched> {
        let (file, what) = match role {
            Role::Blob => (self.blob(digest)?, "blob"),
            Role::Manifest => {
                let target = self.link(&of_digest(&REVISIONS, digest.algorithm(), &digest.hex()))?;
                let content = target.map(|target| self.inner.content(&target)).transpose()?;
                (content.flatten(), "manifest")
            }
        };
        let what = format!("{what} {digest}");
        let file = file.ok_or_else(|| self.not_found(&what))?;
        let size = file.metadata()?.len();
        let range = range(size, options.range)?;
        Ok(Fetched {
            size: Some(size),
            start: range.start,
            reader: blocking::file(file, format!("{what} of {}", self.name), range)?,
        })
    }

    /// All tags, and what is called as none can be.
    fn tags(&self) -> Result<Vec<String>> {
        let Some(tags) = self.directory(&TAGS)? else {
            return Ok(Vec::new());
        };
        let names = tags.all_names()?.into_iter();
        let mut names: Vec<String> = names.map(|name| name.to_string_lossy().into_owned()).collect();
        names.sort();
        Ok(names)
    }

    /// The manifests that there are links of. What is deleted leaves a directory without one.
    fn digests(&self) -> Result<Vec<Digest>> {
        let mut digests = Vec::new();
        for algorithm in Algorithm::ALL {
            let [manifests, revisions] = REVISIONS;
            let Some(directory) = self.directory(&[manifests, revisions, algorithm.as_str()])? else {
                continue;
            };
            for hex in directory.names()? {
                let Ok(digest) = format!("{algorithm}:{hex}").parse::<Digest>() else {
                    continue;
                };
                let link = directory.directory(&hex).and_then(|below| match below {
                    Some(below) => below.file(LINK, false).map(|file| file.is_some()),
                    None => Ok(false),
                });
                let has_link = match link {
                    // What is no link but should be one is for whoever follows it to tell of.
                    Err(error) if *error.kind() == ErrorKind::Invalid => true,
                    link => link?,
                };
                if has_link {
                    digests.push(digest);
                }
            }
        }
        Ok(digests)
    }

    fn referrers(&self, subject: &Digest, artifact_type: Option<&str>) -> Result<Vec<Descriptor>> {
        let mut found = Vec::new();
        for digest in self.digests()? {
            // What cannot be read is about nothing.
            let Ok(Some(document)) = self.document(&digest) else {
                continue;
            };
            if document.subject().is_none_or(|about| about.digest != *subject) {
                continue;
            }
            let referrer = referrer(&document, digest);
            if artifact_type.is_none_or(|wanted| referrer.artifact_type.as_deref() == Some(wanted)) {
                found.push(referrer);
            }
        }
        Ok(found)
    }
}

impl Source for Repository {
    fn resolve<'a>(&'a self, pick: &'a Pick) -> BoxFuture<'a, Result<Descriptor>> {
        let (this, pick) = (self.clone(), pick.clone());
        Box::pin(blocking::run(move || this.resolve(&pick)))
    }

    fn stat<'a>(&'a self, role: Role, digest: &'a Digest, _: Intent) -> BoxFuture<'a, Result<Option<Descriptor>>> {
        let (this, digest) = (self.clone(), *digest);
        Box::pin(blocking::run(move || this.stat(role, &digest)))
    }

    fn fetch<'a>(&'a self, role: Role, digest: &'a Digest, options: FetchOptions) -> BoxFuture<'a, Result<Fetched>> {
        let (this, digest) = (self.clone(), *digest);
        Box::pin(blocking::run(move || this.fetch(role, &digest, options)))
    }

    fn browse(&self) -> Option<&dyn Browse> {
        Some(self)
    }

    fn local(&self) -> Option<&dyn Local> {
        Some(self)
    }

    /// Never: what was deleted or collected may still be named.
    fn is_closed(&self) -> bool {
        false
    }

    fn origin(&self) -> Option<Origin> {
        None
    }
}

impl Browse for Repository {
    fn names<'a>(&'a self, _: Option<&'a str>) -> BoxFuture<'a, Result<Page<Named>>> {
        let this = self.clone();
        Box::pin(blocking::run(move || {
            let named = |name| Named {
                name: Some(name),
                descriptor: None,
            };
            Ok(Page {
                items: this.tags()?.into_iter().map(named).collect(),
                next: None,
            })
        }))
    }

    fn in_order<'a>(&'a self, part: Keyset<'a>) -> Option<BoxFuture<'a, Result<Page<String>>>> {
        let this = self.clone();
        Some(Box::pin(async move {
            let tags = blocking::run(move || this.tags()).await?;
            Ok(part.of(tags.iter().map(String::as_str)))
        }))
    }

    fn manifests<'a>(&'a self, part: Keyset<'a>) -> Option<BoxFuture<'a, Result<Page<Digest>>>> {
        let this = self.clone();
        Some(Box::pin(async move {
            let digests = blocking::run(move || this.digests()).await?;
            Ok(part.of_digests(digests))
        }))
    }

    fn referrers<'a>(
        &'a self,
        subject: &'a Digest,
        artifact_type: Option<&'a str>,
    ) -> BoxFuture<'a, Result<Vec<Descriptor>>> {
        let (this, subject, artifact_type) = (self.clone(), *subject, artifact_type.map(str::to_owned));
        Box::pin(blocking::run(move || {
            this.referrers(&subject, artifact_type.as_deref())
        }))
    }

    fn referrers_in_order<'a>(
        &'a self,
        _: &'a Digest,
        _: Option<&'a str>,
        _: Keyset<'a>,
    ) -> Option<BoxFuture<'a, Result<Page<Descriptor>>>> {
        None
    }
}

impl Local for Repository {
    fn open_file(&self, digest: &Digest) -> Result<Option<File>> {
        self.blob(digest)
    }
}
