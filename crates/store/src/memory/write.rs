//! How does content come into a store in memory, and leave it by name or digest?

use std::{sync::Arc, time::Instant};

use bytes::{Bytes, BytesMut};
use futures_util::{FutureExt, future};
use teu_spec::{Descriptor, Digest, Document};
use tokio::sync::OwnedRwLockReadGuard;

use super::{Entry, Memory, described, no_content};
use crate::{
    Adopt, BoxFuture, Committed, Delete, Error, ErrorKind, Expect, Expected, Ingest, Mount, Result, Resume, Role,
    Source, Sweep, Takes, Target, child_roles,
};

impl Memory {
    fn put(&self, document: &Document, digest: &Digest, names: &[String], expect: Expect) -> Result<Descriptor> {
        let takes = self.takes;
        let is_index = matches!(document, Document::Index(_));
        let form_taken = match document.format() {
            teu_spec::Format::Oci => takes.oci,
            teu_spec::Format::Docker => takes.docker,
        };
        if (is_index && !takes.indexes) || !form_taken {
            return Err(Error::new(
                ErrorKind::Unsupported,
                format!("this store takes no {}", document.media_type()),
            ));
        }
        if digest.algorithm().digest(document.raw()) != *digest {
            return Err(Error::new(ErrorKind::Mismatch, format!("the manifest is not {digest}")));
        }
        let mut state = self.state();
        if self.closed {
            let missing: Vec<Digest> = document
                .children()
                .iter()
                .filter(|child| {
                    let mut roles = child_roles(document, child).iter();
                    let is_here = roles.any(|role| match role {
                        Role::Manifest => state.manifests.contains_key(&child.digest),
                        Role::Blob => state.blobs.contains_key(&child.digest),
                    });
                    !is_here && (is_index || !child.media_type.is_foreign())
                })
                .map(|child| child.digest)
                .collect();
            if !missing.is_empty() {
                let message = format!("manifest {digest} names content that is not here");
                return Err(Error::new(ErrorKind::MissingChildren(missing), message));
            }
        }
        for name in names {
            expect.check(format_args!("the name {name:?}"), state.names.get(name).copied())?;
        }
        if let (true, Expect::Digest(replaced)) = (names.is_empty(), expect)
            && replaced != *digest
        {
            if !state.is_nameless(&replaced) {
                let message = format!("{replaced} is no image without a name here any more");
                return Err(Error::new(ErrorKind::Conflict, message));
            }
            state.manifests.remove(&replaced);
        }
        let entry = Entry {
            document: document.clone(),
            since: Instant::now(),
        };
        state.manifests.insert(*digest, entry);
        for name in names {
            state.names.insert(name.clone(), *digest);
        }
        Ok(described(document, *digest))
    }
}

impl Target for Memory {
    fn ingest(&self, expected: Expected) -> BoxFuture<'_, Result<Box<dyn Ingest>>> {
        async move {
            let ingest = MemoryIngest {
                store: self.clone(),
                expected,
                content: BytesMut::new(),
                _writing: Arc::clone(&self.writers).read_owned().await,
            };
            Ok(Box::new(ingest) as Box<dyn Ingest>)
        }
        .boxed()
    }

    fn put_manifest<'a>(
        &'a self,
        document: &'a Document,
        digest: &'a Digest,
        names: &'a [String],
        expect: Expect,
    ) -> BoxFuture<'a, Result<Descriptor>> {
        async move {
            let _writing = self.writers.read().await;
            self.put(document, digest, names, expect)
        }
        .boxed()
    }

    fn finish(&self) -> BoxFuture<'_, Result<()>> {
        future::ready(Ok(())).boxed()
    }

    fn takes(&self) -> Takes {
        self.takes
    }

    fn readable(&self) -> Option<&dyn Source> {
        Some(self)
    }

    fn mount(&self) -> Option<&dyn Mount> {
        self.home.is_some().then_some(self)
    }

    fn adopt(&self) -> Option<&dyn Adopt> {
        None
    }

    fn resume(&self) -> Option<&dyn Resume> {
        None
    }

    fn delete(&self) -> Option<&dyn Delete> {
        Some(self)
    }

    fn sweep(&self) -> Option<&dyn Sweep> {
        Some(self)
    }
}

struct MemoryIngest {
    store: Memory,
    expected: Expected,
    content: BytesMut,
    _writing: OwnedRwLockReadGuard<()>,
}

impl Ingest for MemoryIngest {
    fn write(&mut self, bytes: Bytes) -> BoxFuture<'_, Result<()>> {
        self.content.extend_from_slice(&bytes);
        future::ready(Ok(())).boxed()
    }

    fn commit(self: Box<Self>, digest: Option<Digest>) -> BoxFuture<'static, Result<Committed>> {
        let Self {
            store,
            expected,
            content,
            _writing,
        } = *self;
        let content = content.freeze();
        let size = content.len() as u64;
        let outcome = expected.check(digest, size, |algorithm| algorithm.digest(&content));
        if let Ok(digest) = outcome {
            store.insert_unchecked(digest, content);
        }
        future::ready(outcome.map(|digest| Committed { digest, size })).boxed()
    }

    fn abort(self: Box<Self>) -> BoxFuture<'static, Result<()>> {
        future::ready(Ok(())).boxed()
    }
}

impl Delete for Memory {
    fn delete<'a>(&'a self, role: Role, digest: &'a Digest) -> BoxFuture<'a, Result<()>> {
        let mut state = self.state();
        let found = match role {
            Role::Blob => state.blobs.remove(digest).is_some(),
            Role::Manifest => {
                state.names.retain(|_, named| named != digest);
                state.manifests.remove(digest).is_some()
            }
        };
        future::ready(if found { Ok(()) } else { Err(no_content(role, digest)) }).boxed()
    }

    fn untag<'a>(&'a self, name: &'a str, expect: Expect) -> BoxFuture<'a, Result<()>> {
        let mut state = self.state();
        let outcome = match state.names.get(name).copied() {
            None => Err(Error::new(ErrorKind::NotFound, format!("there is no name {name:?}"))),
            found => expect.check(format_args!("the name {name:?}"), found),
        };
        if outcome.is_ok() {
            state.names.remove(name);
        }
        future::ready(outcome).boxed()
    }
}
