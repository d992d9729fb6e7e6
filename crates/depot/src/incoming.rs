//! How does a blob come in? Hashed as it comes, put at its place when it is what it should be, and shown when it lies there for good.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt;
use teu_spec::{Algorithm, Digest, Hasher};
use teu_store::{BoxFuture, Committed, Error, ErrorKind, Expected, Ingest, Result, Session};

use crate::{
    content::Writing,
    depot::Inner,
    metadata::{self, NewBlob},
    place::{Place, Ulid},
    sessions::Held,
};

/// A blob on its way into a repository.
pub(crate) struct Incoming {
    pub(crate) depot: Arc<Inner>,
    pub(crate) repository: String,
    pub(crate) expected: Expected,
    /// None where it failed.
    pub(crate) writing: Option<Box<dyn Writing>>,
    /// None where the caller verifies.
    pub(crate) hasher: Option<Hasher>,
    pub(crate) size: u64,
    /// The session that it is, if it is one.
    pub(crate) held: Option<Held>,
}

impl Incoming {
    /// A blob that is gone where it is dropped.
    pub(crate) async fn begin(depot: &Arc<Inner>, repository: &str, expected: Expected) -> Result<Self> {
        let name = format!("i-{}", Ulid::new(depot.now())?);
        let writing = depot.content.begin(&name, false).await?;
        let algorithm = expected.digest.map_or(expected.algorithm, |digest| digest.algorithm());
        Ok(Self {
            depot: Arc::clone(depot),
            repository: repository.to_owned(),
            writing: Some(writing),
            hasher: (!expected.verified).then(|| algorithm.hasher()),
            expected,
            size: 0,
            held: None,
        })
    }

    async fn take(&mut self, bytes: Bytes) -> Result<()> {
        // Taken out, so that what is dropped half-way is not gone on with.
        let mut writing = self.writing.take().ok_or_else(failed_before)?;
        let length = bytes.len() as u64;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&bytes);
        }
        writing.write(bytes).await?;
        self.size += length;
        self.writing = Some(writing);
        Ok(())
    }

    async fn put(mut self, digest: Option<Digest>) -> Result<Committed> {
        let mut writing = self.writing.take().ok_or_else(failed_before)?;
        let digest = match self.checked(&mut *writing, digest).await {
            Ok(digest) => digest,
            Err(error) => {
                writing.forget().await?;
                self.end().await?;
                return Err(error);
            }
        };
        let place = Place {
            digest,
            ulid: Ulid::new(self.depot.now())?,
        };
        if let Err(error) = writing.place(&place).await {
            // What failed to be made last is gone; that it cannot be forgotten either tells nothing new.
            let _ = self.end().await;
            return Err(error);
        }
        let blob = NewBlob {
            repository: self.repository,
            place,
            size: self.size,
            lease: self.depot.lease(),
            due: self.depot.now(),
            session: self.held.as_ref().map(|held| held.id.clone()),
        };
        if let Err(error) = self.depot.metadata.put_blob(blob).await {
            // Where there is no room, certainly nothing names it. After any other failure something may, when the log is read again; what
            // nobody knows then is found by who looks for it.
            if *error.kind() == ErrorKind::Quota {
                self.depot.content.remove(&place).await?;
            }
            return Err(error);
        }
        Ok(Committed {
            digest,
            size: self.size,
        })
    }

    /// The digest of what was written, if it is what it should be.
    async fn checked(&mut self, writing: &mut dyn Writing, digest: Option<Digest>) -> Result<Digest> {
        let wanted = digest.or(self.expected.digest).map(|digest| digest.algorithm());
        let other = match (&self.hasher, wanted) {
            (Some(hasher), Some(wanted)) if hasher.algorithm() != wanted => Some(wanted),
            _ => None,
        };
        if let Some(algorithm) = other {
            // Nobody said before under which algorithm it will be known.
            self.hasher = Some(hashed(writing, algorithm).await?);
        }
        let hasher = &mut self.hasher;
        self.expected.check(digest, self.size, |algorithm| match hasher.take() {
            Some(hasher) => hasher.finish(),
            // The caller verified it, and so said what it is.
            None => algorithm.digest(&[]),
        })
    }

    /// It is no session any more.
    async fn end(&mut self) -> Result<()> {
        match &self.held {
            Some(held) => self.depot.metadata.end_session(&held.id).await,
            None => Ok(()),
        }
    }

    async fn keep(&mut self) -> Result<()> {
        let Some(id) = self.held.as_ref().map(|held| held.id.clone()) else {
            return Ok(());
        };
        let mut writing = self.writing.take().ok_or_else(failed_before)?;
        if let Err(error) = writing.sync().await {
            // Nobody knows what of it is on the disk.
            let _ = writing.forget().await;
            let _ = self.end().await;
            return Err(error);
        }
        let hasher = self.hasher.as_ref().ok_or_else(failed_before)?;
        let session = metadata::Session {
            id,
            repository: self.repository.clone(),
            algorithm: hasher.algorithm(),
            offset: self.size,
            midstate: hasher.save(),
            touched: self.depot.now(),
        };
        if !self.depot.metadata.record_session(session).await? {
            writing.forget().await?;
            return Err(Error::new(ErrorKind::NotFound, "the upload was forgotten meanwhile"));
        }
        self.writing = Some(writing);
        Ok(())
    }
}

/// Reads what was written once more.
async fn hashed(writing: &mut dyn Writing, algorithm: Algorithm) -> Result<Hasher> {
    let mut hasher = algorithm.hasher();
    let mut reader = writing.read().await?;
    while let Some(bytes) = reader.next().await {
        hasher.update(&bytes?);
    }
    Ok(hasher)
}

fn failed_before() -> Error {
    Error::new(ErrorKind::Cancelled, "writing it had failed before")
}

impl Ingest for Incoming {
    fn write(&mut self, bytes: Bytes) -> BoxFuture<'_, Result<()>> {
        Box::pin(self.take(bytes))
    }

    fn commit(self: Box<Self>, digest: Option<Digest>) -> BoxFuture<'static, Result<Committed>> {
        Box::pin(self.put(digest))
    }

    fn abort(mut self: Box<Self>) -> BoxFuture<'static, Result<()>> {
        Box::pin(async move {
            self.end().await?;
            match self.writing.take() {
                Some(writing) => writing.forget().await,
                None => Ok(()),
            }
        })
    }
}

impl Session for Incoming {
    fn record(&mut self) -> BoxFuture<'_, Result<()>> {
        Box::pin(self.keep())
    }
}
