//! `oci-archive:`: an OCI layout in a tar file.
//!
//! It is read in place: what is in the archive is found once, and blobs are read from where they lie. Names with `./` before them, any order
//! of the members, links and sparse files are read as other tools make them. An archive in gzip or zstd, and one that comes from a pipe, is
//! inflated once into a file without a name in the directory for temporary files; a plain one never.
//!
//! It is written as a stream: blobs as they come, `index.json` and `oci-layout` last. What is at its place already, it replaces when it is
//! whole, as skopeo does; an archive cannot be added to.

mod write;

use std::{
    fs::File,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use futures_util::FutureExt;
use teu_spec::{Descriptor, Digest, Pick, json, layout};
use teu_store::{
    BoxFuture, Browse, Error, ErrorKind, FetchOptions, Fetched, Intent, Keyset, Local, Named, Origin, Page, Result,
    Role, Source, blocking, octet_stream,
};

use crate::{
    layout::{
        index,
        resolve::{self, Content},
    },
    tar_file::{Archive, blob},
};

pub use write::OciArchiveWriter;

/// A layout in a tar file, to read.
#[derive(Clone)]
pub struct OciArchive(Arc<Inner>);

struct Inner {
    archive: Archive,
    manifests: Vec<Descriptor>,
}

impl OciArchive {
    /// Reads what is in an archive. `temporary` is where one that is compressed or comes from a pipe is put, without a name.
    ///
    /// It reads from the disk.
    ///
    /// # Errors
    /// `NotFound` where there is no file, or no layout in it; `Unsupported` for another version of layouts; `Invalid` and `TooLarge` for an
    /// archive that is malformed or beyond the limits.
    pub fn open(path: impl Into<PathBuf>, temporary: Option<PathBuf>) -> Result<Self> {
        let path = path.into();
        let archive = Archive::open(&path, temporary.as_deref())?;
        if let Some(raw) = archive.read_small(layout::MARKER_FILE, layout::MAX_MARKER)? {
            layout::OciLayout::parse(&raw).map_err(|error| archive.within(error.into()))?;
        }
        let Some(raw) = archive.read_small(layout::INDEX_FILE, json::MAX_DOCUMENT)? else {
            let advice = match archive.file("manifest.json") {
                Ok(Some(_)) => "; it is an archive of Docker's: read it as docker-archive:",
                _ => "",
            };
            let message = format!(
                "there is no image layout in {}: it has no {}{advice}",
                path.display(),
                layout::INDEX_FILE
            );
            return Err(Error::new(ErrorKind::NotFound, message));
        };
        let what = format!("{} of {}", layout::INDEX_FILE, path.display());
        let manifests = index::parse(raw, &what)?.manifests;
        Ok(Self(Arc::new(Inner { archive, manifests })))
    }
}

/// What of the archive that is at `path` is lost where another takes its place, which has an image of each of `names`: the other names in it, and
/// None for an image without one. Empty where no archive is that can be read where it lies.
#[must_use]
pub fn lost(path: &Path, names: &[String]) -> Vec<Option<String>> {
    // What is no file, such as a pipe, is not replaced; to open it could wait for ever.
    let Some(archive) = path.is_file().then(|| OciArchive::open(path, None).ok()).flatten() else {
        return Vec::new();
    };
    let there = archive
        .0
        .manifests
        .iter()
        .map(|manifest| resolve::name(manifest).map(str::to_owned));
    there
        .filter(|name| match name {
            Some(name) => !names.contains(name),
            None => !names.is_empty(),
        })
        .collect()
}

impl Content for Inner {
    fn place(&self) -> String {
        self.archive.path().display().to_string()
    }

    fn small(&self, digest: &Digest) -> Result<Option<Bytes>> {
        self.archive.read_small(&blob(digest), json::MAX_DOCUMENT)
    }

    fn has(&self, digest: &Digest) -> Result<bool> {
        Ok(self.archive.file(&blob(digest))?.is_some())
    }
}

impl Inner {
    fn stat(&self, role: Role, digest: &Digest) -> Result<Option<Descriptor>> {
        if role == Role::Manifest {
            return self.manifest(digest);
        }
        let found = self.archive.file(&blob(digest))?;
        Ok(found.map(|member| Descriptor::new(octet_stream(), *digest, member.header.size)))
    }

    fn fetch(&self, role: Role, digest: &Digest, options: &FetchOptions) -> Result<Fetched> {
        let Some(member) = self.archive.file(&blob(digest))? else {
            let what = match role {
                Role::Manifest => "manifest",
                Role::Blob => "blob",
            };
            let message = format!("there is no {what} {digest} in {}", self.place());
            return Err(Error::new(ErrorKind::NotFound, message));
        };
        self.archive.fetch(member, options.range.as_ref())
    }
}

impl Source for OciArchive {
    fn resolve<'a>(&'a self, pick: &'a Pick) -> BoxFuture<'a, Result<Descriptor>> {
        let (inner, pick) = (Arc::clone(&self.0), pick.clone());
        blocking::run(move || inner.resolve(&inner.manifests, &pick)).boxed()
    }

    fn stat<'a>(&'a self, role: Role, digest: &'a Digest, _: Intent) -> BoxFuture<'a, Result<Option<Descriptor>>> {
        let (inner, digest) = (Arc::clone(&self.0), *digest);
        blocking::run(move || inner.stat(role, &digest)).boxed()
    }

    fn fetch<'a>(&'a self, role: Role, digest: &'a Digest, options: FetchOptions) -> BoxFuture<'a, Result<Fetched>> {
        let (inner, digest) = (Arc::clone(&self.0), *digest);
        blocking::run(move || inner.fetch(role, &digest, &options)).boxed()
    }

    fn browse(&self) -> Option<&dyn Browse> {
        Some(self)
    }

    fn local(&self) -> Option<&dyn Local> {
        Some(self)
    }

    fn is_closed(&self) -> bool {
        false
    }

    fn origin(&self) -> Option<Origin> {
        None
    }
}

impl Browse for OciArchive {
    fn names<'a>(&'a self, _: Option<&'a str>) -> BoxFuture<'a, Result<Page<Named>>> {
        let items = resolve::names(self.0.manifests.clone());
        async { Ok(Page { items, next: None }) }.boxed()
    }

    fn in_order<'a>(&'a self, _: Keyset<'a>) -> Option<BoxFuture<'a, Result<Page<String>>>> {
        None
    }

    fn manifests<'a>(&'a self, _: Keyset<'a>) -> Option<BoxFuture<'a, Result<Page<Digest>>>> {
        None
    }

    fn referrers<'a>(
        &'a self,
        subject: &'a Digest,
        artifact_type: Option<&'a str>,
    ) -> BoxFuture<'a, Result<Vec<Descriptor>>> {
        let (inner, subject, artifact_type) = (Arc::clone(&self.0), *subject, artifact_type.map(str::to_owned));
        let find = move || inner.referrers(inner.manifests.clone(), &subject, artifact_type.as_deref());
        blocking::run(find).boxed()
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

/// It is local, so that a person may say that it is trusted, but its blobs lie within another file.
impl Local for OciArchive {
    fn open_file(&self, _: &Digest) -> Result<Option<File>> {
        Ok(None)
    }
}
