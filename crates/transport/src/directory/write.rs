//! How does an image come into a directory in the place of another? Blobs and manifests beside it, then `manifest.json`, and only then does
//! the old image go.

use std::{
    collections::HashSet,
    fs::{self, File},
    io::Write,
    path::PathBuf,
    sync::{Arc, MutexGuard, PoisonError},
};

use futures_util::FutureExt;
use teu_spec::{Algorithm, Descriptor, Digest, Document, json};
use teu_store::{
    Adopt, BoxFuture, Delete, Error, ErrorKind, Expect, Expected, How, Ingest, Mount, Result, Resume, Source, Sweep,
    Takes, Target, blocking,
};

use super::{Directory, INSTANCE, Inner, MANIFEST, MARK, VERSION, describe};
use crate::{
    files::{self, FileIngest, TEMPORARY, Temporary},
    lock::{self, Locked, Share},
};

/// What a writer has to remember until it has finished.
#[derive(Default)]
pub(super) struct Writing {
    /// Keeps other writers out.
    lock: Option<Arc<Locked>>,
    /// What was there before and is of this form: files by their names.
    before: HashSet<String>,
    /// The manifests that were put, in their order, each with the digest that it is about.
    put: Vec<(Digest, Option<Digest>)>,
    /// What they name.
    children: HashSet<Digest>,
    /// The files of what was put, by their names.
    written: HashSet<String>,
}

/// Whether a file is of this form, so that a new image may take its place: a blob, a manifest or a signature.
fn is_ours(name: &str) -> bool {
    let is_hex = |hex: &str| {
        let length = Algorithm::ALL
            .iter()
            .any(|algorithm| 2 * algorithm.digest_len() == hex.len());
        length && hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    is_hex(name.strip_suffix(INSTANCE).unwrap_or(name)) || is_signature(name)
}

/// `signature-1`, and `<hex>-signature-1` for a manifest of an index.
fn is_signature(name: &str) -> bool {
    let number = name
        .rsplit_once("signature-")
        .filter(|(before, _)| before.is_empty() || before.ends_with('-'));
    number.is_some_and(|(_, number)| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

impl Inner {
    fn writing(&self) -> MutexGuard<'_, Writing> {
        // No one leaves it half changed, so what a panic elsewhere left is whole.
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes sure that this is a directory of this form.
    fn mark(&self) -> Result<()> {
        files::make_directory(&self.root)?;
        match self.is_marked()? {
            true => Ok(()),
            false => {
                files::replace(&self.root.join(VERSION), MARK)?;
                files::sync_directory(&self.root)
            }
        }
    }

    /// Whether this is a directory of this form; else there is nothing, or nothing in it, so that it can become one.
    pub(super) fn is_marked(&self) -> Result<bool> {
        if !self.root.exists() {
            return Ok(false);
        }
        if !self.root.is_dir() {
            // It says what is in the way.
            files::make_directory(&self.root)?;
        }
        match files::read_small(&self.root.join(VERSION), 4096)? {
            Some(mark) if mark == MARK => return Ok(true),
            Some(_) => {}
            None if self.names()?.iter().all(|name| name.starts_with(TEMPORARY)) => return Ok(false),
            None => {}
        }
        Err(Error::new(
            ErrorKind::Conflict,
            format!(
                "{} is not empty and no image directory, which its file {VERSION:?} would say; \
                 name an empty directory, or one that does not exist",
                self.root.display()
            ),
        ))
    }

    /// The names in the directory. What is no text is nothing of ours, and is shown so that it counts as something.
    fn names(&self) -> Result<Vec<String>> {
        let failed = |error| files::failed(error, "listing", &self.root);
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.root).map_err(failed)? {
            names.push(entry.map_err(failed)?.file_name().to_string_lossy().into_owned());
        }
        Ok(names)
    }

    /// Says that we are writing, until we have finished.
    pub(super) fn lock(&self) -> Result<Arc<Locked>> {
        let mut writing = self.writing();
        if let Some(lock) = &writing.lock {
            return Ok(Arc::clone(lock));
        }
        self.mark()?;
        let file = File::open(&self.root).map_err(|error| files::failed(error, "locking", &self.root))?;
        let lock = lock::try_lock(file, &self.root, Share::All)?.ok_or_else(|| {
            Error::new(
                ErrorKind::Conflict,
                format!(
                    "another image is being written to {}; try again when it is done",
                    self.root.display()
                ),
            )
        })?;
        files::remove_litter(&self.root, |_, _| true);
        writing.before = self.names()?.into_iter().filter(|name| is_ours(name)).collect();
        let lock = Arc::new(lock);
        writing.lock = Some(Arc::clone(&lock));
        Ok(lock)
    }

    /// Whether this is the image that is there.
    fn is_top(&self, digest: &Digest) -> Result<bool> {
        let top = files::read_small(&self.root.join(MANIFEST), json::MAX_DOCUMENT)?;
        Ok(top.is_some_and(|top| digest.algorithm().digest(&top) == *digest))
    }

    fn place(&self, digest: &Digest) -> PathBuf {
        self.writing().written.insert(digest.hex());
        self.blob(digest)
    }

    fn put_manifest(
        &self,
        document: &Document,
        digest: &Digest,
        names: &[String],
        expect: Expect,
    ) -> Result<Descriptor> {
        let _lock = self.lock()?;
        if let Some(name) = names.first() {
            let message = format!("an image in a directory has no name, so it cannot be called {name:?}");
            return Err(Error::new(ErrorKind::Unsupported, message));
        }
        if digest.algorithm().digest(document.raw()) != *digest {
            return Err(Error::new(ErrorKind::Mismatch, format!("the manifest is not {digest}")));
        }
        if let Expect::Digest(replaced) = expect
            && !self.is_top(&replaced)?
        {
            let message = format!("the image in {} is not {replaced} any more", self.root.display());
            return Err(Error::new(ErrorKind::Conflict, message));
        }
        let mut temporary = Temporary::new(&self.root)?;
        let written = temporary.file().write_all(document.raw());
        written.map_err(|error| temporary.failed(error))?;
        temporary.put(&self.instance(digest))?;
        let mut writing = self.writing();
        let subject = document.subject().map(|subject| subject.digest);
        writing.put.push((*digest, subject));
        writing
            .children
            .extend(document.children().iter().map(|child| child.digest));
        writing.written.insert(format!("{}{INSTANCE}", digest.hex()));
        Ok(describe(document, *digest))
    }

    fn finish(&self) -> Result<()> {
        let Writing {
            lock,
            before,
            put,
            children,
            written,
        } = std::mem::take(&mut *self.writing());
        let _lock = lock;
        if put.is_empty() {
            // Blobs at most.
            return if written.is_empty() {
                Ok(())
            } else {
                files::sync_file_system(&self.root)
            };
        }
        let top = self.top(&put, &children)?;
        let manifest = self.root.join(MANIFEST);
        let same = self.is_top(&top)?;
        files::sync_file_system(&self.root)?;
        let instance = self.instance(&top);
        fs::rename(&instance, &manifest).map_err(|error| files::failed(error, "writing", &manifest))?;
        files::sync_directory(&self.root)?;
        let needed = self.needed(&top)?;
        for name in before {
            if needed.contains(&name) || written.contains(&name) || (same && is_signature(&name)) {
                continue;
            }
            let path = self.root.join(&name);
            if fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.is_file()) {
                fs::remove_file(&path).map_err(|error| files::failed(error, "removing", &path))?;
            }
        }
        Ok(())
    }

    /// The one image of what was put: what is below another is none, and neither is what is about another.
    fn top(&self, put: &[(Digest, Option<Digest>)], children: &HashSet<Digest>) -> Result<Digest> {
        let here: HashSet<Digest> = put.iter().map(|(digest, _)| *digest).collect();
        let images: HashSet<Digest> = put
            .iter()
            .filter(|(digest, subject)| {
                !children.contains(digest) && subject.is_none_or(|subject| !here.contains(&subject))
            })
            .map(|(digest, _)| *digest)
            .collect();
        let mut images = images.into_iter();
        match (images.next(), images.next()) {
            (Some(top), None) => Ok(top),
            _ => Err(Error::new(
                ErrorKind::Unsupported,
                format!(
                    "{} can hold one image, and another number of them was put; an oci: layout holds many",
                    self.root.display()
                ),
            )),
        }
    }

    /// The files that the image needs, by their names.
    fn needed(&self, top: &Digest) -> Result<HashSet<String>> {
        let mut needed = HashSet::new();
        let mut open = vec![*top];
        while let Some(digest) = open.pop() {
            // A child that is not here is no error: an index may be sparse.
            let Some(raw) = self.manifest(&digest)? else { continue };
            let document = Document::parse(raw, None)
                .map_err(|error| Error::from(error).within(format!("reading manifest {digest}")))?;
            for child in document.children() {
                match &document {
                    Document::Manifest(_) => {
                        needed.insert(child.digest.hex());
                    }
                    Document::Index(_) => {
                        if needed.insert(format!("{}{INSTANCE}", child.digest.hex())) {
                            open.push(child.digest);
                        }
                    }
                }
            }
        }
        Ok(needed)
    }
}

impl Target for Directory {
    fn ingest(&self, expected: Expected) -> BoxFuture<'_, Result<Box<dyn Ingest>>> {
        let inner = Arc::clone(&self.0);
        async move {
            let directory = inner.root.clone();
            let (inner, lock) = blocking::run(move || inner.lock().map(|lock| (inner, lock))).await?;
            let place = move |digest: &Digest| Ok(inner.place(digest));
            Ok(Box::new(FileIngest::new(directory, expected, place, lock)) as Box<dyn Ingest>)
        }
        .boxed()
    }

    /// A directory holds one image without a name: which of the manifests it is shows when it is finished.
    fn put_manifest<'a>(
        &'a self,
        document: &'a Document,
        digest: &'a Digest,
        names: &'a [String],
        expect: Expect,
    ) -> BoxFuture<'a, Result<Descriptor>> {
        let inner = Arc::clone(&self.0);
        let (document, digest, names) = (document.clone(), *digest, names.to_vec());
        blocking::run(move || inner.put_manifest(&document, &digest, &names, expect)).boxed()
    }

    fn finish(&self) -> BoxFuture<'_, Result<()>> {
        let inner = Arc::clone(&self.0);
        blocking::run(move || inner.finish()).boxed()
    }

    fn takes(&self) -> Takes {
        Takes::EVERYTHING
    }

    fn readable(&self) -> Option<&dyn Source> {
        Some(self)
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

impl Adopt for Directory {
    fn adopt<'a>(&'a self, file: File, descriptor: &'a Descriptor, trust: bool) -> BoxFuture<'a, Result<How>> {
        let (inner, descriptor) = (Arc::clone(&self.0), descriptor.clone());
        let adopt = move || {
            let _lock = inner.lock()?;
            let copying = files::Copying::begin(&inner.root, &file, &descriptor)?;
            copying.finish(file, &descriptor, trust, |digest| Ok(inner.place(digest)))?;
            Ok(How::Linked)
        };
        blocking::run(adopt).boxed()
    }
}
