//! How does a blob come in? Hashed as it comes, put at its place when it is what it should be, and shown when it lies there for good.

use std::{fs::File, sync::Arc};

use bytes::Bytes;
use teu_spec::{Descriptor, Digest};
use teu_store::{BoxFuture, Committed, Error, ErrorKind, Expected, How, Ingest, Keyset, Result, Session, blocking};

use crate::{
    depot::Inner,
    metadata::{self, NewBlob},
    place::{Place, Ulid},
    sessions::Held,
    written::{Written, failed_before},
};

/// A blob on its way into a repository.
pub(crate) struct Incoming {
    pub(crate) depot: Arc<Inner>,
    pub(crate) repository: String,
    pub(crate) written: Written,
    /// The session that it is, if it is one.
    pub(crate) held: Option<Held>,
}

impl Incoming {
    /// A blob that is gone where it is dropped.
    pub(crate) async fn begin(depot: &Arc<Inner>, repository: &str, expected: Expected) -> Result<Self> {
        depot.may_grow()?;
        let name = format!("i-{}", Ulid::new(depot.now())?);
        let writing = depot.content.begin(&name, false).await?;
        Ok(Self {
            depot: Arc::clone(depot),
            repository: repository.to_owned(),
            written: Written::new(writing, expected),
            held: None,
        })
    }

    async fn put(mut self, digest: Option<Digest>) -> Result<Committed> {
        // Where that fails, a session stays as it was recorded.
        self.depot.may_grow()?;
        self.written.pass_on_rest().await?;
        let (writing, digest) = match self.written.checked(digest).await {
            Ok(checked) => checked,
            Err(error) => {
                self.end().await?;
                return Err(error);
            }
        };
        let depot = Arc::clone(&self.depot);
        // How long it lies there without a row counts from when it lasts, however long the disk took for that.
        let placing = move || {
            let ulid = Ulid::new(depot.now())?;
            Ok(Place { digest, ulid })
        };
        let place = match writing.place(Box::new(placing)).await {
            Ok(place) => place,
            Err(error) => {
                // What failed to be made last is gone; that it cannot be forgotten either tells nothing new.
                let _ = self.end().await;
                return Err(error);
            }
        };
        let session = self.held.as_ref().map(|held| held.id.clone());
        show(&self.depot, &self.repository, place, self.written.size(), session).await
    }

    /// It is no session any more.
    async fn end(&mut self) -> Result<()> {
        match &self.held {
            Some(held) => {
                let end = || self.depot.metadata.end_session(&held.id);
                self.depot.reserve.room_for(end).await
            }
            None => Ok(()),
        }
    }

    async fn keep(&mut self) -> Result<()> {
        let Some(id) = self.held.as_ref().map(|held| held.id.clone()) else {
            return Ok(());
        };
        self.depot.may_change()?;
        self.written.pass_on_rest().await?;
        let mut writing = self.written.writing.take().ok_or_else(failed_before)?;
        if let Err(error) = writing.sync().await {
            // What there was no room for is what came since it was recorded last: it goes on from there. Of a disk that breaks nobody knows what is on it.
            if *error.kind() != ErrorKind::Quota {
                let _ = writing.forget().await;
                let _ = self.end().await;
            }
            return Err(error);
        }
        let hasher = self.written.hasher.as_mut().ok_or_else(failed_before)?.state();
        let session = metadata::Session {
            id,
            repository: self.repository.clone(),
            algorithm: hasher.algorithm(),
            offset: self.written.size(),
            midstate: hasher.save(),
            touched: self.depot.now(),
        };
        if !self.depot.metadata.record_session(session).await? {
            writing.forget().await?;
            return Err(Error::new(ErrorKind::NotFound, "the upload was forgotten meanwhile"));
        }
        self.written.writing = Some(writing);
        Ok(())
    }
}

/// Has a repository show what lies at its place for good, and ends the session that it came by.
async fn show(
    depot: &Arc<Inner>,
    repository: &str,
    place: Place,
    size: u64,
    session: Option<String>,
) -> Result<Committed> {
    let blob = NewBlob {
        repository: repository.to_owned(),
        place,
        size,
        lease: depot.lease(),
        due: depot.now(),
        session,
    };
    depot.may_change()?;
    if let Err(error) = depot.metadata.put_blob(blob).await {
        // Where there is no room, certainly nothing names it. After any other failure something may, when the log is read again; what
        // nobody knows then is found by who looks for it.
        if *error.kind() == ErrorKind::Quota {
            depot.content.remove(&place).await?;
        }
        return Err(error);
    }
    Ok(Committed {
        digest: place.digest,
        size,
    })
}

/// Takes over an open file. What another repository shows is shown without a copy: those bytes were checked when they came.
pub(crate) async fn adopt(
    depot: &Arc<Inner>,
    repository: &str,
    mut file: File,
    descriptor: &Descriptor,
    trust: bool,
) -> Result<How> {
    depot.may_grow()?;
    let Descriptor { digest, size, .. } = *descriptor;
    if is_shown(depot, repository, &digest, size).await? {
        return Ok(How::Mounted);
    }
    let inner = Arc::clone(depot);
    let adopt = move || {
        let Some(files) = inner.content.files() else {
            let message = "content is not kept in files here";
            return Err(Error::new(ErrorKind::Unsupported, message));
        };
        let name = format!("b-{}", Ulid::new(inner.now())?);
        files.copy(&name, &mut file, &digest, size, !trust)?;
        // How long it lies there without a row counts from now, however long the copy took.
        let place = Place {
            digest,
            ulid: Ulid::new(inner.now())?,
        };
        files.place(&name, &place)?;
        Ok(place)
    };
    let place = blocking::run(adopt).await?;
    show(depot, repository, place, size, None).await?;
    Ok(How::Linked)
}

/// Has a repository show what another one shows, if its bytes are there.
async fn is_shown(depot: &Arc<Inner>, repository: &str, digest: &Digest, size: u64) -> Result<bool> {
    let first = Keyset { after: None, limit: 1 };
    let holders = depot.metadata.holders(digest, first).await?;
    let Some(holder) = holders.items.first() else {
        return Ok(false);
    };
    let Some(blob) = depot.metadata.blob(holder, digest).await? else {
        return Ok(false);
    };
    if depot.content.size(&blob.place).await? != Some(size) {
        return Ok(false);
    }
    depot.metadata.mount(holder, repository, digest, depot.lease()).await
}

impl Ingest for Incoming {
    fn write(&mut self, bytes: Bytes) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            self.depot.reserve.check()?;
            self.written.take(bytes).await
        })
    }

    fn commit(self: Box<Self>, digest: Option<Digest>) -> BoxFuture<'static, Result<Committed>> {
        Box::pin(self.put(digest))
    }

    fn abort(mut self: Box<Self>) -> BoxFuture<'static, Result<()>> {
        Box::pin(async move {
            self.end().await?;
            self.written.forget().await
        })
    }
}

impl Session for Incoming {
    fn record(&mut self) -> BoxFuture<'_, Result<()>> {
        Box::pin(self.keep())
    }
}
