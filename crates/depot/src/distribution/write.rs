//! How does something come into a registry's directory? Content under its digest, then the links that lead to it, the tags' last.

use std::{
    fs::File,
    io::Write,
    sync::{Arc, PoisonError},
};

use bytes::Bytes;
use teu_spec::{Descriptor, Digest, Document, Tag};
use teu_store::{
    Adopt, BoxFuture, Committed, Delete, Error, ErrorKind, Expect, Expected, How, Ingest, Mount, Result, Resume,
    Source, Sweep, Takes, Target, blocking,
};

use super::{
    Inner, of_digest,
    read::{CURRENT, LAYERS, LINK, REVISIONS, Repository, TAGS},
};
use crate::{
    content::{Content, Files, OpenFiles, directory::failed},
    place::{Place, Ulid},
    settings::Clock,
    written::Written,
};

impl Inner {
    fn files(&self) -> Result<&Files> {
        self.files.as_ref().ok_or_else(|| {
            let message = format!("{} was opened to read", self.path.display());
            Error::new(ErrorKind::Denied, message)
        })
    }

    /// Content whose bytes are at hand, under its digest.
    fn put(&self, digest: Digest, content: &[u8]) -> Result<()> {
        let files = self.files()?;
        let place = place(digest)?;
        files.put(&place, content)
    }
}

/// A place in the words of content in files; here one place is used again and again.
fn place(digest: Digest) -> Result<Place> {
    Ok(Place {
        digest,
        ulid: Ulid::new(Clock::default().now())?,
    })
}

impl Repository {
    /// Writes a link, in place of the one that is there.
    fn set_link(&self, steps: &[&str], digest: &Digest) -> Result<()> {
        let names: Vec<&str> = self.name.split('/').chain(steps.iter().copied()).collect();
        let directory = self.inner.repositories.make_all(&names)?;
        let new = format!("{LINK}.{}", Ulid::new(Clock::default().now())?);
        let mut file = directory.create(&new)?;
        let written = file.write_all(digest.to_string().as_bytes());
        written.map_err(|error| {
            // A disk that is full is not to stay full.
            let _ = directory.remove(&new);
            failed(error, "writing", &directory.path(&new))
        })?;
        directory.rename(&new, &directory, LINK)?;
        directory.sync()
    }

    fn link_blob(&self, digest: &Digest) -> Result<()> {
        self.set_link(&of_digest(&[LAYERS], digest.algorithm(), &digest.hex()), digest)
    }

    fn put_manifest(
        &self,
        document: &Document,
        digest: &Digest,
        names: &[String],
        expect: Expect,
    ) -> Result<Descriptor> {
        let raw = document.raw();
        if digest.algorithm().digest(raw) != *digest {
            return Err(Error::new(ErrorKind::Mismatch, format!("the manifest is not {digest}")));
        }
        let tags = names.iter().map(|name| name.parse());
        let tags: Vec<Tag> = tags.collect::<std::result::Result<_, _>>()?;
        self.inner.put(*digest, raw)?;
        self.set_link(&of_digest(&REVISIONS, digest.algorithm(), &digest.hex()), digest)?;
        // Nobody leaves a name half set, so what a panic elsewhere left is whole.
        let _naming = self.inner.naming.lock().unwrap_or_else(PoisonError::into_inner);
        for tag in &tags {
            self.check_expected(tag, expect)?;
        }
        for tag in &tags {
            let [manifests, all] = TAGS;
            let (algorithm, hex) = (digest.algorithm(), digest.hex());
            // What a tag pointed at before stays listed in its index, as the registry has it.
            self.set_link(
                &[manifests, all, tag.as_str(), "index", algorithm.as_str(), &hex],
                digest,
            )?;
            self.set_link(&[manifests, all, tag.as_str(), CURRENT], digest)?;
        }
        Ok(Descriptor::new(
            document.media_type().clone(),
            *digest,
            raw.len() as u64,
        ))
    }

    fn check_expected(&self, tag: &Tag, expect: Expect) -> Result<()> {
        expect.check(format_args!("the tag {tag} of {}", self.name), self.tag(tag.as_str())?)
    }

    /// Takes over a file, or what is there of its digest and its size.
    fn adopt(&self, file: &mut File, descriptor: &Descriptor, trust: bool) -> Result<How> {
        let Descriptor { digest, size, .. } = *descriptor;
        let files = self.inner.files()?;
        let there = self.inner.content(&digest)?.map(|file| file.metadata()).transpose()?;
        let how = match there.is_some_and(|there| there.len() == size) {
            true => How::Mounted,
            false => {
                let place = place(digest)?;
                let name = format!("b-{}", place.ulid);
                files.copy(&name, file, &digest, size, !trust)?;
                files.place(&name, &place)?;
                How::Linked
            }
        };
        self.link_blob(&digest)?;
        Ok(how)
    }
}

impl Target for Repository {
    fn ingest(&self, expected: Expected) -> BoxFuture<'_, Result<Box<dyn Ingest>>> {
        Box::pin(async move {
            let name = format!("i-{}", Ulid::new(Clock::default().now())?);
            let writing = self.inner.files()?.begin(&name, false).await?;
            Ok(Box::new(Coming {
                repository: self.clone(),
                written: Written::new(writing, expected),
            }) as Box<dyn Ingest>)
        })
    }

    fn put_manifest<'a>(
        &'a self,
        document: &'a Document,
        digest: &'a Digest,
        names: &'a [String],
        expect: Expect,
    ) -> BoxFuture<'a, Result<Descriptor>> {
        let (this, document, digest, names) = (self.clone(), document.clone(), *digest, names.to_vec());
        Box::pin(blocking::run(move || {
            this.put_manifest(&document, &digest, &names, expect)
        }))
    }

    /// Links are many and small: they last together, and no registry runs on the directory before.
    fn finish(&self) -> BoxFuture<'_, Result<()>> {
        let inner = Arc::clone(&self.inner);
        Box::pin(blocking::run(move || inner.repositories.sync_all()))
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

impl Adopt for Repository {
    fn adopt<'a>(&'a self, mut file: File, descriptor: &'a Descriptor, trust: bool) -> BoxFuture<'a, Result<How>> {
        let (this, descriptor) = (self.clone(), descriptor.clone());
        Box::pin(blocking::run(move || this.adopt(&mut file, &descriptor, trust)))
    }
}

/// A blob on its way.
struct Coming {
    repository: Repository,
    written: Written,
}

impl Coming {
    async fn put(mut self, digest: Option<Digest>) -> Result<Committed> {
        self.written.pass_on_rest().await?;
        let (writing, digest) = self.written.checked(digest).await?;
        writing.place(Box::new(move || place(digest))).await?;
        let (repository, size) = (self.repository, self.written.size());
        blocking::run(move || repository.link_blob(&digest)).await?;
        Ok(Committed { digest, size })
    }
}

impl Ingest for Coming {
    fn write(&mut self, bytes: Bytes) -> BoxFuture<'_, Result<()>> {
        Box::pin(self.written.take(bytes))
    }

    fn commit(self: Box<Self>, digest: Option<Digest>) -> BoxFuture<'static, Result<Committed>> {
        Box::pin(self.put(digest))
    }

    fn abort(mut self: Box<Self>) -> BoxFuture<'static, Result<()>> {
        Box::pin(async move { self.written.forget().await })
    }
}
