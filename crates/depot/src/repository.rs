//! What is one repository of a depot? A store whose names are tags, and that shows what was put or mounted there.

use std::{
    fs::File,
    sync::{Arc, atomic::Ordering},
};

use futures_util::{FutureExt, StreamExt, stream};
use teu_spec::{Descriptor, Digest, Document, Pick};
use teu_store::{
    Adopt, BoxFuture, Browse, Delete, Error, ErrorKind, Expect, Expected, FetchOptions, Fetched, How, Ingest, Intent,
    Keyset, Local, Mount, Named, Origin, Page, Result, Resume, Role, Source, Sweep, Takes, Target, child_roles,
    octet_stream, referrer,
};

use crate::{
    depot::Inner,
    incoming::{self, Incoming},
    metadata::{Blob, Child, Manifest, Name, NewManifest},
    settings::Sparse,
};

/// How many names a page has.
const PAGE: usize = 1000;
/// How often content is looked for that was put anew while it was asked for.
const ATTEMPTS: u32 = 3;

/// A repository.
pub(crate) struct Repository {
    depot: Arc<Inner>,
    name: String,
}

impl Repository {
    pub(crate) fn new(depot: Arc<Inner>, name: &str) -> Self {
        Self {
            depot,
            name: name.to_owned(),
        }
    }

    fn not_found(&self, what: &str) -> Error {
        Error::new(ErrorKind::NotFound, format!("there is no {what} in {}", self.name))
    }

    /// A blob, which stays for a while where it is about to be named. Then its bytes are looked at too: who hears that it is here does not send it.
    async fn blob(&self, digest: &Digest, intent: Intent) -> Result<Option<Blob>> {
        if intent == Intent::Read {
            // Who reads it finds out about its bytes.
            return self.depot.metadata.blob(&self.name, digest).await;
        }
        let found = self.whole(digest).await?;
        let Some(blob) = found else { return Ok(None) };
        // Only what has less than half of its lease left is written of: most answers cost no write.
        let half = self.depot.now().after(self.depot.settings.lease / 2);
        if blob.lease >= half {
            return Ok(found);
        }
        let (metadata, reserve) = (&self.depot.metadata, &self.depot.reserve);
        // Who deletes asks first what is there; nothing grows by it.
        let extend = || metadata.extend(&self.name, digest, self.depot.lease());
        let is_there = reserve.room_for(extend).await?;
        Ok(found.filter(|_| is_there))
    }

    /// A manifest that is about to be named stays for a while: those that no tag leads to go where settings say so, and where somebody asks for it.
    async fn touch(&self, digest: &Digest, intent: Intent) -> Result<()> {
        if intent != Intent::Write {
            return Ok(());
        }
        let depot = &self.depot;
        let stays = depot.settings.untagged.unwrap_or(depot.settings.lease);
        let now = depot.now();
        // As with blobs.
        let before = now.before(stays / 2);
        let touch = || depot.metadata.touch(&self.name, digest, before, now);
        depot.reserve.room_for(touch).await
    }

    /// A blob that has as many bytes at its place as were put there; nothing else of them is looked at.
    ///
    /// # Errors
    /// `Mismatch` where they are [lost](Self::at_its_place).
    async fn whole(&self, digest: &Digest) -> Result<Option<Blob>> {
        let look = |blob: Blob| async move {
            match self.depot.content.size(&blob.place).await? {
                Some(size) if size != blob.size => {
                    let Blob { place, size: put, .. } = blob;
                    let message = format!("{place} has {size} bytes, and {put} were put there");
                    Err(Error::new(ErrorKind::Mismatch, message))
                }
                found => Ok(found),
            }
        };
        let found = self.at_its_place(digest, look).await?;
        Ok(found.map(|(blob, _)| blob))
    }

    /// A blob that is shown here, and what `look` finds at its place, where it finds something.
    ///
    /// # Errors
    /// `Mismatch` where its bytes are lost: there are none, fewer or more, or no file has them.
    async fn at_its_place<T, F>(&self, digest: &Digest, look: impl Fn(Blob) -> F) -> Result<Option<(Blob, T)>>
    where
        F: Future<Output = Result<Option<T>>>,
    {
        let lost = || {
            let message = format!(
                "the bytes of {digest} are lost, which {} should have; a push of it heals that",
                self.name
            );
            Error::new(ErrorKind::Mismatch, message)
        };
        for _ in 0..ATTEMPTS {
            let Some(blob) = self.depot.metadata.blob(&self.name, digest).await? else {
                return Ok(None);
            };
            match look(blob).await {
                Ok(Some(found)) => return Ok(Some((blob, found))),
                // It was put anew, and the old bytes are gone: the row leads elsewhere now.
                Ok(None) => {}
                // What the disk fails to give is not lost for sure, and who asks again may get it.
                Err(error) if matches!(error.kind(), ErrorKind::Mismatch | ErrorKind::Invalid) => {
                    return Err(lost().with_cause(error));
                }
                Err(error) => return Err(error),
            }
        }
        Err(lost())
    }

    /// # Errors
    /// `MissingChildren` of those of these blobs whose bytes are lost, with why as its cause. What is not shown here is told by who keeps the manifest.
    async fn are_not_lost(&self, blobs: &[Digest]) -> Result<()> {
        let (mut lost, mut first) = (Vec::new(), None);
        for digest in blobs {
            match self.whole(digest).await {
                Ok(_) => {}
                Err(error) if *error.kind() == ErrorKind::Mismatch => {
                    lost.push(*digest);
                    first.get_or_insert(error);
                }
                Err(error) => return Err(error),
            }
        }
        match first {
            None => Ok(()),
            Some(error) => {
                let message = "the manifest names what is to be pushed again";
                Err(Error::new(ErrorKind::MissingChildren(lost), message).with_cause(error))
            }
        }
    }

    async fn fetch_blob(&self, digest: &Digest, options: FetchOptions) -> Result<Fetched> {
        let wanted = &options.range;
        let look = |blob: Blob| async move {
            let range = range(blob.size, wanted.clone())?;
            let start = range.start;
            let reader = self.depot.content.read(&blob.place, blob.size, range).await?;
            Ok(reader.map(|reader| (start, reader)))
        };
        let found = self.at_its_place(digest, look).await?;
        let (blob, (start, reader)) = found.ok_or_else(|| self.not_found(&format!("blob {digest}")))?;
        Ok(Fetched {
            size: Some(blob.size),
            start,
            reader,
        })
    }

    async fn fetch_manifest(&self, digest: &Digest, options: FetchOptions) -> Result<Fetched> {
        let found = self.depot.metadata.manifest(&self.name, digest).await?;
        let content = found
            .ok_or_else(|| self.not_found(&format!("manifest {digest}")))?
            .content;
        let range = range(content.len() as u64, options.range)?;
        // Both fit into usize, as the content does.
        let part = content.slice(range.start as usize..range.end as usize);
        Ok(Fetched {
            size: Some(content.len() as u64),
            start: range.start,
            reader: stream::iter((!part.is_empty()).then_some(Ok(part))).boxed(),
        })
    }
}

/// The bytes that are given of so many.
pub(crate) fn range(size: u64, wanted: Option<std::ops::Range<u64>>) -> Result<std::ops::Range<u64>> {
    match wanted {
        None => Ok(0..size),
        Some(range) if range.start >= size || range.end <= range.start => {
            let message = format!("bytes {}-{} of {size} cannot be had", range.start, range.end);
            Err(Error::new(ErrorKind::Range, message))
        }
        Some(range) => Ok(range.start..range.end.min(size)),
    }
}

impl Source for Repository {
    fn resolve<'a>(&'a self, pick: &'a Pick) -> BoxFuture<'a, Result<Descriptor>> {
        Box::pin(async move {
            let metadata = &self.depot.metadata;
            match pick {
                Pick::Name(name) => {
                    let found = metadata.tag(&self.name, name).await?;
                    found.ok_or_else(|| self.not_found(&format!("tag {name}")))
                }
                Pick::Digest(digest) => {
                    let found = metadata.describe(&self.name, digest).await?;
                    found.ok_or_else(|| self.not_found(&format!("manifest {digest}")))
                }
                Pick::Only | Pick::At(_) => Err(Error::new(
                    ErrorKind::Invalid,
                    format!("an image of {} is asked for by its tag or its digest", self.name),
                )),
            }
        })
    }

    fn stat<'a>(&'a self, role: Role, digest: &'a Digest, intent: Intent) -> BoxFuture<'a, Result<Option<Descriptor>>> {
        Box::pin(async move {
            match role {
                Role::Manifest => {
                    self.touch(digest, intent).await?;
                    self.depot.metadata.describe(&self.name, digest).await
                }
                Role::Blob => {
                    let found = self.blob(digest, intent).await?;
                    Ok(found.map(|blob| Descriptor::new(octet_stream(), *digest, blob.size)))
                }
            }
        })
    }

    fn fetch<'a>(&'a self, role: Role, digest: &'a Digest, options: FetchOptions) -> BoxFuture<'a, Result<Fetched>> {
        Box::pin(async move {
            match role {
                Role::Manifest => self.fetch_manifest(digest, options).await,
                Role::Blob => self.fetch_blob(digest, options).await,
            }
        })
    }

    fn browse(&self) -> Option<&dyn Browse> {
        Some(self)
    }

    fn local(&self) -> Option<&dyn Local> {
        self.depot.content.files().map(|_| self as &dyn Local)
    }

    fn is_closed(&self) -> bool {
        self.depot.is_whole.load(Ordering::Relaxed)
    }

    fn origin(&self) -> Option<Origin> {
        Some(Mount::origin(self))
    }
}

impl Target for Repository {
    fn ingest(&self, expected: Expected) -> BoxFuture<'_, Result<Box<dyn Ingest>>> {
        Box::pin(async move {
            let incoming = Incoming::begin(&self.depot, &self.name, expected).await?;
            Ok(Box::new(incoming) as Box<dyn Ingest>)
        })
    }

    fn put_manifest<'a>(
        &'a self,
        document: &'a Document,
        digest: &'a Digest,
        names: &'a [String],
        expect: Expect,
    ) -> BoxFuture<'a, Result<Descriptor>> {
        Box::pin(async move {
            if digest.algorithm().digest(document.raw()) != *digest {
                return Err(Error::new(ErrorKind::Mismatch, format!("the manifest is not {digest}")));
            }
            let is_sparse = match self.depot.settings.sparse {
                Sparse::Nothing => false,
                Sparse::Indexes => matches!(document, Document::Index(_)),
                Sparse::All => true,
            };
            let children = document.children().into_iter().map(|child| Child {
                digest: child.digest,
                roles: child_roles(document, &child),
                // What is kept elsewhere need not be here.
                is_required: !(is_sparse || child.media_type.is_foreign() && !child.urls.is_empty()),
            });
            let children: Vec<Child> = children.collect();
            let blobs = children
                .iter()
                .filter(|child| child.is_required && child.roles.contains(&Role::Blob));
            let blobs: Vec<Digest> = blobs.map(|child| child.digest).collect();
            self.are_not_lost(&blobs).await?;
            let immutable = self.depot.immutable(&self.name);
            let name = |name: &String| Name {
                name: name.clone(),
                is_immutable: immutable(name),
            };
            let new = NewManifest {
                repository: self.name.clone(),
                digest: *digest,
                manifest: Manifest {
                    media_type: document.media_type().clone(),
                    content: document.raw().clone(),
                },
                children,
                subject: document
                    .subject()
                    .map(|subject| (subject.digest, referrer(document, *digest))),
                names: names.iter().map(name).collect(),
                expect,
                now: self.depot.now(),
            };
            self.depot.may_grow()?;
            self.depot.metadata.put_manifest(new).await?;
            let size = document.raw().len() as u64;
            Ok(Descriptor::new(document.media_type().clone(), *digest, size))
        })
    }

    /// What was put lasts already.
    fn finish(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn takes(&self) -> Takes {
        Takes::EVERYTHING
    }

    fn readable(&self) -> Option<&dyn Source> {
        Some(self)
    }

    fn mount(&self) -> Option<&dyn Mount> {
        Some(self)
    }

    fn adopt(&self) -> Option<&dyn Adopt> {
        self.depot.content.files().map(|_| self as &dyn Adopt)
    }

    /// Who sends what was cut off knows it by the id of its session.
    fn resume(&self) -> Option<&dyn Resume> {
        None
    }

    fn delete(&self) -> Option<&dyn Delete> {
        Some(self)
    }

    /// Garbage is collected for all repositories together, and keeps no writer out.
    fn sweep(&self) -> Option<&dyn Sweep> {
        None
    }
}

impl Browse for Repository {
    /// In byte order; a page begins behind its `from`.
    fn names<'a>(&'a self, from: Option<&'a str>) -> BoxFuture<'a, Result<Page<Named>>> {
        Box::pin(async move {
            let part = Keyset {
                after: from,
                limit: PAGE,
            };
            let page = self.depot.metadata.tags(&self.name, part).await?;
            let named = |(name, descriptor)| Named {
                name: Some(name),
                descriptor: Some(descriptor),
            };
            Ok(Page {
                items: page.items.into_iter().map(named).collect(),
                next: page.next,
            })
        })
    }

    fn in_order<'a>(&'a self, part: Keyset<'a>) -> Option<BoxFuture<'a, Result<Page<String>>>> {
        Some(self.depot.metadata.tag_names(&self.name, part))
    }

    fn manifests<'a>(&'a self, part: Keyset<'a>) -> Option<BoxFuture<'a, Result<Page<Digest>>>> {
        Some(self.depot.metadata.digests(&self.name, part))
    }

    fn referrers<'a>(
        &'a self,
        subject: &'a Digest,
        artifact_type: Option<&'a str>,
    ) -> BoxFuture<'a, Result<Vec<Descriptor>>> {
        Box::pin(async move {
            let mut all = Vec::new();
            let mut after: Option<String> = None;
            loop {
                let part = Keyset {
                    after: after.as_deref(),
                    limit: PAGE,
                };
                let metadata = &self.depot.metadata;
                let page = metadata.referrers(&self.name, subject, artifact_type, part).await?;
                all.extend(page.items);
                match page.next {
                    Some(next) => after = Some(next),
                    None => return Ok(all),
                }
            }
        })
    }

    fn referrers_in_order<'a>(
        &'a self,
        subject: &'a Digest,
        artifact_type: Option<&'a str>,
        part: Keyset<'a>,
    ) -> Option<BoxFuture<'a, Result<Page<Descriptor>>>> {
        Some(self.depot.metadata.referrers(&self.name, subject, artifact_type, part))
    }
}

impl Mount for Repository {
    fn origin(&self) -> Origin {
        Origin {
            registry: self.depot.registry.clone(),
            repository: self.name.clone(),
        }
    }

    fn mount<'a>(&'a self, from: &'a str, digest: &'a Digest) -> BoxFuture<'a, Result<bool>> {
        Box::pin(async move {
            self.depot.may_grow()?;
            let source = Self::new(Arc::clone(&self.depot), from);
            if source.whole(digest).await?.is_none() {
                return Ok(false);
            }
            let (metadata, lease) = (&self.depot.metadata, self.depot.lease());
            metadata.mount(from, &self.name, digest, lease).await
        })
    }
}

impl Adopt for Repository {
    fn adopt<'a>(&'a self, file: File, descriptor: &'a Descriptor, trust: bool) -> BoxFuture<'a, Result<How>> {
        Box::pin(incoming::adopt(&self.depot, &self.name, file, descriptor, trust))
    }
}

impl Delete for Repository {
    fn delete<'a>(&'a self, role: Role, digest: &'a Digest) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            self.depot.may_change()?;
            let (metadata, reserve, now) = (&self.depot.metadata, &self.depot.reserve, self.depot.now());
            let (was_there, what) = match role {
                Role::Manifest => {
                    // It may be a part of an index that stays.
                    self.depot.is_whole.store(false, Ordering::Relaxed);
                    let immutable = self.depot.immutable(&self.name);
                    let remove = || metadata.remove_manifest(&self.name, digest, Arc::clone(&immutable), now);
                    (reserve.room_for(remove).await?, "manifest")
                }
                Role::Blob => {
                    let remove = || metadata.remove_blob(&self.name, digest, now);
                    (reserve.room_for(remove).await?, "blob")
                }
            };
            match was_there {
                true => Ok(()),
                false => Err(self.not_found(&format!("{what} {digest}"))),
            }
        })
    }

    fn untag<'a>(&'a self, name: &'a str, expect: Expect) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            self.depot.may_change()?;
            if self.depot.immutable(&self.name)(name) {
                let message = format!("the tag {name} of {} never moves", self.name);
                return Err(Error::new(ErrorKind::Conflict, message));
            }
            let remove = || {
                self.depot
                    .metadata
                    .remove_tag(&self.name, name, expect, self.depot.now())
            };
            match self.depot.reserve.room_for(remove).await? {
                true => Ok(()),
                false => Err(self.not_found(&format!("tag {name}"))),
            }
        })
    }
}

impl Local for Repository {
    fn open_file(&self, digest: &Digest) -> Result<Option<File>> {
        let Some(files) = self.depot.content.files() else {
            return Ok(None);
        };
        let look = |blob: Blob| std::future::ready(files.open(&blob.place, blob.size));
        // Metadata that lies beside the files answers at once; what does not has its content streamed.
        match self.at_its_place(digest, look).now_or_never() {
            Some(found) => Ok(found?.map(|(_, file)| file)),
            None => Ok(None),
        }
    }
}
