//! `dir:`: one image as flat files, in the manner of skopeo.
//!
//! `manifest.json` is the image's manifest, or an index, whose manifests are called `<hex>.manifest.json`; a blob is called by the hex digits
//! of its digest alone; the file `version` marks the directory as one of this form. The image has no name. Signatures (`signature-1`) are
//! neither read nor written.
//!
//! Who writes replaces the image that is there: its blobs that the new one needs as well are kept, the others go when the new manifest is
//! in its place and lasts, and so do the signatures of another manifest. What is not of this form is never removed, and a directory that
//! is neither empty nor marked is not written to.

mod write;

use std::{
    fs::File,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, stream};
use teu_spec::{Descriptor, Digest, Document, Pick, json};
use teu_store::{
    BoxFuture, Browse, Error, ErrorKind, FetchOptions, Fetched, Intent, Local, Origin, Result, Role, Source, blocking,
    octet_stream,
};

use crate::files;
use write::Writing;

const MANIFEST: &str = "manifest.json";
const INSTANCE: &str = ".manifest.json";
const VERSION: &str = "version";
/// What the file `version` holds: containers/image compares it byte for byte.
const MARK: &[u8] = b"Directory Transport Version: 1.1\n";

/// An image in a directory of its own, to read and to write.
#[derive(Clone)]
pub struct Directory(Arc<Inner>);

struct Inner {
    root: PathBuf,
    writing: Mutex<Writing>,
}

impl Directory {
    /// The image that is in a directory. It reads from the disk.
    ///
    /// # Errors
    /// `NotFound` where there is none.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self> {
        let directory = Self::at(root.into());
        let root = &directory.0.root;
        if files::open(&root.join(MANIFEST))?.is_none() {
            let what = if root.is_dir() {
                format!("{} is no image directory: it has no {MANIFEST}", root.display())
            } else {
                format!("there is no directory {}", root.display())
            };
            return Err(Error::new(ErrorKind::NotFound, what));
        }
        Ok(directory)
    }

    /// A directory to write an image to. It is made, with all above it, where it is absent, and marked where it is empty, when something is
    /// first written.
    ///
    /// # Errors
    /// `Conflict` where there is something else in it, as skopeo has it; and what keeps it from writing.
    pub fn create(root: impl Into<PathBuf>) -> Result<Self> {
        let directory = Self::at(root.into());
        directory.0.is_marked()?;
        Ok(directory)
    }

    fn at(root: PathBuf) -> Self {
        Self(Arc::new(Inner {
            root,
            writing: Mutex::default(),
        }))
    }

    /// The directory.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.0.root
    }
}

impl Inner {
    fn blob(&self, digest: &Digest) -> PathBuf {
        self.root.join(digest.hex())
    }

    /// Where a manifest is that is not, or not yet, the directory's own.
    fn instance(&self, digest: &Digest) -> PathBuf {
        self.root.join(format!("{}{INSTANCE}", digest.hex()))
    }

    /// The manifest of this digest, raw; none where it is not here.
    fn manifest(&self, digest: &Digest) -> Result<Option<Bytes>> {
        if let Some(raw) = files::read_small(&self.instance(digest), json::MAX_DOCUMENT)? {
            return Ok(Some(raw));
        }
        let top = files::read_small(&self.root.join(MANIFEST), json::MAX_DOCUMENT)?;
        Ok(top.filter(|raw| digest.algorithm().digest(raw) == *digest))
    }

    fn resolve(&self, pick: &Pick) -> Result<Descriptor> {
        let here = self.root.display();
        let (path, wanted) = match pick {
            Pick::Only | Pick::At(0) => (self.root.join(MANIFEST), None),
            Pick::Digest(digest) => (self.instance(digest), Some(*digest)),
            Pick::Name(_) | Pick::At(_) => {
                let message = format!("{here} holds one image, which has no name");
                return Err(Error::new(ErrorKind::NotFound, message));
            }
        };
        let raw = match wanted {
            None => files::read_small(&path, json::MAX_DOCUMENT)?,
            Some(digest) => self.manifest(&digest)?,
        };
        let Some(raw) = raw else {
            let what = wanted.map_or_else(|| MANIFEST.to_owned(), |digest| format!("manifest {digest}"));
            return Err(Error::new(ErrorKind::NotFound, format!("there is no {what} in {here}")));
        };
        let digest = wanted.unwrap_or_else(|| Digest::of(&raw));
        let document = Document::parse(raw, None);
        let document = document.map_err(|error| Error::from(error).within(format!("reading {}", path.display())))?;
        Ok(describe(&document, digest))
    }

    fn stat(&self, role: Role, digest: &Digest) -> Result<Option<Descriptor>> {
        match role {
            Role::Manifest => {
                let Some(raw) = self.manifest(digest)? else {
                    return Ok(None);
                };
                let document = Document::parse(raw, None);
                let document =
                    document.map_err(|error| Error::from(error).within(format!("reading manifest {digest}")))?;
                Ok(Some(describe(&document, *digest)))
            }
            Role::Blob => {
                let Some(file) = files::open(&self.blob(digest))? else {
                    return Ok(None);
                };
                Ok(Some(Descriptor::new(octet_stream(), *digest, file.metadata()?.len())))
            }
        }
    }

    fn fetch(&self, role: Role, digest: &Digest, options: &FetchOptions) -> Result<Fetched> {
        let absent = |what: &str| {
            let message = format!("there is no {what} {digest} in {}", self.root.display());
            Error::new(ErrorKind::NotFound, message)
        };
        match role {
            Role::Manifest => {
                let raw = self.manifest(digest)?.ok_or_else(|| absent("manifest"))?;
                let range = files::range(raw.len() as u64, options.range.as_ref())?;
                let bytes = raw.slice(range.start as usize..range.end as usize);
                Ok(Fetched {
                    size: Some(raw.len() as u64),
                    start: range.start,
                    reader: stream::iter([Ok(bytes)]).boxed(),
                })
            }
            Role::Blob => {
                let file = files::open(&self.blob(digest))?.ok_or_else(|| absent("blob"))?;
                files::fetch(file, &self.blob(digest), options)
            }
        }
    }
}

fn describe(document: &Document, digest: Digest) -> Descriptor {
    Descriptor::new(document.media_type().clone(), digest, document.raw().len() as u64)
}

impl Source for Directory {
    fn resolve<'a>(&'a self, pick: &'a Pick) -> BoxFuture<'a, Result<Descriptor>> {
        let (inner, pick) = (Arc::clone(&self.0), pick.clone());
        blocking::run(move || inner.resolve(&pick)).boxed()
    }

    fn stat<'a>(&'a self, role: Role, digest: &'a Digest, intent: Intent) -> BoxFuture<'a, Result<Option<Descriptor>>> {
        let (inner, digest) = (Arc::clone(&self.0), *digest);
        let stat = move || {
            // What a writer finds here it will not write again, so another must not take it away.
            if intent == Intent::Write {
                inner.lock()?;
            }
            inner.stat(role, &digest)
        };
        blocking::run(stat).boxed()
    }

    fn fetch<'a>(&'a self, role: Role, digest: &'a Digest, options: FetchOptions) -> BoxFuture<'a, Result<Fetched>> {
        let (inner, digest) = (Arc::clone(&self.0), *digest);
        blocking::run(move || inner.fetch(role, &digest, &options)).boxed()
    }

    /// None: there are no names, and what is about the image is not told from it.
    fn browse(&self) -> Option<&dyn Browse> {
        None
    }

    fn local(&self) -> Option<&dyn Local> {
        Some(self)
    }

    /// Never: a copy into it may have been cut off, and an index may be sparse on purpose.
    fn is_closed(&self) -> bool {
        false
    }

    fn origin(&self) -> Option<Origin> {
        None
    }
}

impl Local for Directory {
    fn open_file(&self, digest: &Digest) -> Result<Option<File>> {
        files::open(&self.0.blob(digest))
    }
}
