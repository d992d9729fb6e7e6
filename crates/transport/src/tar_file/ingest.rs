//! How does a blob come into an archive? Straight, or through a file without a name.

use std::{
    fs::File,
    io::{Read, Seek, Write},
    path::Path,
    sync::Arc,
};

use bytes::{Bytes, BytesMut};
use futures_util::FutureExt;
use teu_archive::tar::Header;
use teu_spec::{Algorithm, Digest, Hasher};
use teu_store::{
    BoxFuture, Committed, Error, ErrorKind, Expected, Ingest, Result,
    blocking::{self, Chunks, Sink},
};
use tokio::sync::OwnedMutexGuard;

use super::{blob, out::Out, read::copy, refused_io, unnamed, write::Shared};
use crate::files;

/// What a writer's thread made of a blob.
pub(super) struct Written<T> {
    pub(super) to: T,
    pub(super) size: u64,
    pub(super) hasher: Option<(Algorithm, Hasher)>,
}

/// A member at the end of the archive. It is taken back where it is dropped before it is kept.
pub(super) struct Member {
    pub(super) out: OwnedMutexGuard<Out>,
    start: u64,
    pub(super) kept: bool,
}

impl Drop for Member {
    fn drop(&mut self) {
        if !self.kept {
            self.out.take_back(self.start);
        }
    }
}

/// A blob in a file without a name.
pub(super) struct Spooled {
    file: File,
    size: u64,
    /// Known when it is committed.
    digest: Option<Digest>,
}

impl Spooled {
    pub(super) fn append(mut self, out: &mut Out) -> Result<()> {
        let Some(digest) = self.digest else { return Ok(()) };
        let size = self.size;
        let appended = self.file.rewind().map_err(Error::from);
        let appended = appended.and_then(|()| out.blob(&digest, size, |entry| copy(self.file.take(size), entry)));
        if appended.is_err() {
            // It counts as here.
            out.over = Some("an earlier blob could not be written");
        }
        appended
    }
}

/// Writes a blob as a member, as it comes.
pub(super) fn write_member(
    out: OwnedMutexGuard<Out>,
    digest: &Digest,
    size: u64,
    chunks: impl Iterator<Item = Result<Bytes>>,
    hashed: Option<Algorithm>,
) -> Result<Written<Member>> {
    let mut member = Member {
        start: 0,
        out,
        kept: false,
    };
    let name = blob(digest);
    let begun = member.out.directories_of(&name);
    member.start = member.out.offset;
    begun?;
    let mut hasher = hashed.map(|algorithm| (algorithm, algorithm.hasher()));
    let mut count = 0;
    member.out.unfinished_member(&Header::file(name, size), |entry| {
        for chunk in chunks {
            let chunk = chunk?;
            count += chunk.len() as u64;
            if count > size {
                let message = format!("content of {digest} goes on past its {size} bytes");
                return Err(Error::new(ErrorKind::Mismatch, message));
            }
            if let Some((_, hasher)) = &mut hasher {
                hasher.update(&chunk);
            }
            entry.write_all(&chunk).map_err(refused_io)?;
        }
        Ok(count)
    })?;
    Ok(Written {
        to: member,
        size: count,
        hasher,
    })
}

pub(super) fn spool(temporary: Option<&Path>, chunks: Chunks, hashed: Option<Algorithm>) -> Result<Written<Spooled>> {
    let why = "a blob must wait until another is written";
    let mut file = unnamed(temporary, why)?;
    let failed = |error| match temporary {
        Some(directory) => files::failed(error, "writing a temporary file in", directory),
        None => Error::from(error),
    };
    let mut hasher = hashed.map(|algorithm| (algorithm, algorithm.hasher()));
    let mut size = 0;
    for chunk in chunks {
        let chunk = chunk?;
        size += chunk.len() as u64;
        if let Some((_, hasher)) = &mut hasher {
            hasher.update(&chunk);
        }
        file.write_all(&chunk).map_err(failed)?;
    }
    Ok(Written {
        to: Spooled {
            file,
            size,
            digest: None,
        },
        size,
        hasher,
    })
}

/// A blob on its way into an archive.
pub(super) struct StreamIngest {
    pub(super) shared: Arc<Shared>,
    pub(super) way: Way,
    pub(super) expected: Expected,
    /// What came, where it may be wanted again.
    pub(super) remembered: Option<BytesMut>,
}

pub(super) enum Way {
    Straight(Sink<Written<Member>>),
    Spooled(Sink<Written<Spooled>>),
}

/// Keeps what may be a small JSON object.
pub(super) fn remember(remembered: &mut Option<BytesMut>, chunk: &Bytes) {
    let Some(kept) = remembered else { return };
    let begins = kept.first().or(chunk.first()).copied();
    let may_be = begins.is_none_or(|first| first == b'{' || first.is_ascii_whitespace());
    if may_be && (kept.len() + chunk.len()) as u64 <= teu_spec::json::MAX_DOCUMENT {
        kept.extend_from_slice(chunk);
    } else {
        *remembered = None;
    }
}

impl Ingest for StreamIngest {
    fn write(&mut self, bytes: Bytes) -> BoxFuture<'_, Result<()>> {
        remember(&mut self.remembered, &bytes);
        match &mut self.way {
            Way::Straight(sink) => sink.send(bytes).boxed(),
            Way::Spooled(sink) => sink.send(bytes).boxed(),
        }
    }

    fn commit(self: Box<Self>, digest: Option<Digest>) -> BoxFuture<'static, Result<Committed>> {
        let Self {
            shared,
            way,
            expected,
            remembered,
            ..
        } = *self;
        async move {
            let sink = match way {
                Way::Straight(sink) => {
                    let written = sink.finish().await?;
                    return blocking::run(move || shared.keep(written, &expected, digest, remembered)).await;
                }
                Way::Spooled(sink) => sink,
            };
            let mut written = sink.finish().await?;
            let again = Arc::clone(&shared);
            let (spooled, committed) = blocking::run(move || {
                let digest = written.check(&expected, digest)?;
                let size = written.size;
                let new = again.commit(digest, size, remembered);
                written.to.digest = Some(digest);
                Ok((new.then_some(written.to), Committed { digest, size }))
            })
            .await?;
            let Some(spooled) = spooled else { return Ok(committed) };
            let mut out = match Arc::clone(&shared.out).try_lock_owned() {
                Ok(out) => out,
                Err(_) => match shared.wait(spooled) {
                    // Whoever writes now appends it then, so that none needs to wait for another that waits itself.
                    None => return Ok(committed),
                    Some(spooled) => {
                        let mut out = Arc::clone(&shared.out).lock_owned().await;
                        return blocking::run(move || spooled.append(&mut out).map(|()| committed)).await;
                    }
                },
            };
            blocking::run(move || {
                spooled.append(&mut out)?;
                shared.write_pending(&mut out)?;
                Ok(committed)
            })
            .await
        }
        .boxed()
    }

    fn abort(self: Box<Self>) -> BoxFuture<'static, Result<()>> {
        async move {
            match self.way {
                Way::Straight(sink) => sink.abort().await,
                Way::Spooled(sink) => sink.abort().await,
            }
            Ok(())
        }
        .boxed()
    }
}

impl Written<Spooled> {
    fn check(&mut self, expected: &Expected, digest: Option<Digest>) -> Result<Digest> {
        let Self { to, size, hasher } = self;
        let mut reread = Ok(());
        let digest = expected.check(digest, *size, |algorithm| match hasher.take() {
            Some((hashed, hasher)) if hashed == algorithm => hasher.finish(),
            // The digest that it is committed under is of another algorithm than was announced.
            _ => files::digest_of(&mut to.file, algorithm).unwrap_or_else(|error| {
                reread = Err(error);
                algorithm.digest(&[])
            }),
        });
        reread?;
        digest
    }
}

/// What is in a file, from its beginning, in chunks that are worth a call.
pub(super) struct FileChunks(pub(super) File);

impl Iterator for FileChunks {
    type Item = Result<Bytes>;

    fn next(&mut self) -> Option<Result<Bytes>> {
        let mut chunk = Vec::with_capacity(blocking::BATCH);
        match (&self.0).take(blocking::BATCH as u64).read_to_end(&mut chunk) {
            Ok(0) => None,
            Ok(_) => Some(Ok(chunk.into())),
            Err(error) => Some(Err(error.into())),
        }
    }
}
