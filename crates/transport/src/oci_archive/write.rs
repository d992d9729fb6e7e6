//! How does an image come into an archive of a layout? As a stream, what lists it last.

use std::{
    collections::HashSet,
    fs::File,
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
};

use futures_util::{FutureExt, TryFutureExt};
use teu_spec::{Descriptor, Digest, Document, Format, Index, layout};
use teu_store::{
    Adopt, BoxFuture, Delete, Error, ErrorKind, Expect, Expected, How, Ingest, Mount, Result, Resume, Source, Sweep,
    Takes, Target,
};

use crate::{
    layout::{index::Change, resolve::describe},
    tar_file::{Last, Stream},
};

/// A layout in a tar file, to write: it is there when it is finished, in place of what was there before.
pub struct OciArchiveWriter {
    stream: Stream,
    listed: Mutex<Listed>,
}

/// What the index will say.
struct Listed {
    index: Document,
    /// Manifests that were put without a name, in their order.
    unnamed: Vec<Descriptor>,
    /// What the manifests that were put name.
    children: HashSet<Digest>,
}

impl OciArchiveWriter {
    /// The forms that such an archive keeps.
    pub const TAKES: Takes = Takes::EVERYTHING;

    /// Begins an archive. `temporary` is where a blob waits whose size is not known, or that comes side by side with another; without it,
    /// beside the archive.
    ///
    /// It writes to the disk. What is not a file at `path` (a pipe, `/dev/stdout`) is written to straight.
    ///
    /// # Errors
    /// What keeps it from writing.
    pub fn create(path: impl Into<PathBuf>, temporary: Option<PathBuf>) -> Result<Self> {
        let index = Index::build(Format::Oci, &[])?;
        Ok(Self {
            stream: Stream::create(&path.into(), temporary, false)?,
            listed: Mutex::new(Listed {
                index,
                unnamed: Vec::new(),
                children: HashSet::new(),
            }),
        })
    }

    fn listed(&self) -> MutexGuard<'_, Listed> {
        // No one leaves it half changed, so what a panic elsewhere left is whole.
        self.listed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, listed: &mut Listed, change: impl FnOnce(&Index) -> Result<Change>) -> Result<()> {
        let Document::Index(index) = &listed.index else {
            return Ok(());
        };
        let change = change(index)?;
        listed.index = change.apply(&listed.index, &self.stream.path().display().to_string())?;
        Ok(())
    }

    async fn put(&self, document: &Document, digest: &Digest, names: &[String], expect: Expect) -> Result<Descriptor> {
        for name in names {
            layout::check_name(name)?;
        }
        if digest.algorithm().digest(document.raw()) != *digest {
            return Err(Error::new(ErrorKind::Mismatch, format!("the manifest is not {digest}")));
        }
        self.stream.append(*digest, document.raw().clone()).await?;
        let descriptor = describe(document, *digest);
        let mut listed = self.listed();
        listed
            .children
            .extend(document.children().iter().map(|child| child.digest));
        if names.is_empty() {
            listed.unnamed.push(descriptor.clone());
        } else {
            self.change(&mut listed, |index| {
                Change::set_names(index, &descriptor, names, expect)
            })?;
            // It may have been put without a name before, and is listed now.
            listed.unnamed.retain(|unnamed| unnamed.digest != *digest);
        }
        Ok(descriptor)
    }

    async fn end(&self) -> Result<()> {
        let index = {
            let mut listed = self.listed();
            let unnamed = std::mem::take(&mut listed.unnamed);
            let children = &listed.children;
            let new: Vec<Descriptor> = unnamed
                .into_iter()
                .filter(|entry| !children.contains(&entry.digest))
                .collect();
            self.change(&mut listed, |index| Ok(Change::list_unnamed(index, &new)))?;
            listed.index.raw().clone()
        };
        self.stream
            .finish(vec![
                Last::File(layout::INDEX_FILE.to_owned(), index),
                Last::File(layout::MARKER_FILE.to_owned(), layout::MARKER.into()),
            ])
            .await
    }
}

impl Target for OciArchiveWriter {
    fn ingest(&self, expected: Expected) -> BoxFuture<'_, Result<Box<dyn Ingest>>> {
        let stream = self.stream.clone();
        async move { Ok(stream.ingest(expected)) }.boxed()
    }

    fn put_manifest<'a>(
        &'a self,
        document: &'a Document,
        digest: &'a Digest,
        names: &'a [String],
        expect: Expect,
    ) -> BoxFuture<'a, Result<Descriptor>> {
        self.put(document, digest, names, expect).boxed()
    }

    fn finish(&self) -> BoxFuture<'_, Result<()>> {
        self.end().boxed()
    }

    fn takes(&self) -> Takes {
        Self::TAKES
    }

    fn readable(&self) -> Option<&dyn Source> {
        None
    }

    fn mount(&self) -> Option<&dyn Mount> {
        None
    }

    fn adopt(&self) -> Option<&dyn Adopt> {
        Some(self)
    }

    fn resume(&self) -> Option<&dyn Resume> {
        None
    }

    fn delete(&self) -> Option<&dyn Delete> {
        None
    }

    fn sweep(&self) -> Option<&dyn Sweep> {
        None
    }
}

impl Adopt for OciArchiveWriter {
    /// A file can wait for its turn where it lies.
    fn adopt<'a>(&'a self, file: File, descriptor: &'a Descriptor, trust: bool) -> BoxFuture<'a, Result<How>> {
        self.stream
            .adopt(file, descriptor, trust)
            .map_ok(|_| How::Linked)
            .boxed()
    }
}
