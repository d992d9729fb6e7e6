//! Which uploads are under way? Sessions: each has a name that nobody guesses, belongs to a repository, and is forgotten when it was idle for
//! too long.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use http::StatusCode;
use teu_store::{Ingest, Store};
use tokio::sync::Mutex as Turn;

use crate::{
    body::Incoming,
    problem::{Code, Problem},
    settings::Limits,
};

/// The uploads that are open.
pub(crate) struct Uploads {
    open: Mutex<HashMap<String, Arc<Upload>>>,
    most: usize,
    idle: Duration,
}

/// An upload.
pub(crate) struct Upload {
    pub(crate) id: String,
    pub(crate) repository: String,
    pub(crate) store: Arc<dyn Store>,
    written: AtomicU64,
    touched: Mutex<Instant>,
    /// Whose turn it is to write: one request at a time. None where writing failed, or it was committed.
    pub(crate) ingest: Turn<Option<Box<dyn Ingest>>>,
}

impl Uploads {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            open: Mutex::default(),
            most: limits.uploads,
            idle: limits.upload_idle,
        }
    }

    /// Opens one, which `ingest` takes the bytes of.
    ///
    /// # Errors
    /// 429 where there are too many.
    pub(crate) fn open(
        &self,
        repository: &str,
        store: Arc<dyn Store>,
        ingest: Box<dyn Ingest>,
    ) -> Result<Arc<Upload>, Problem> {
        self.expire();
        let upload = Arc::new(Upload {
            id: identity()?,
            repository: repository.to_owned(),
            store,
            written: AtomicU64::new(0),
            touched: Mutex::new(Instant::now()),
            ingest: Turn::new(Some(ingest)),
        });
        let mut open = self.all();
        if open.len() >= self.most {
            let message = format!("{} uploads are open, and no more than that may be", self.most);
            return Err(Problem::throttled(message));
        }
        open.insert(upload.id.clone(), Arc::clone(&upload));
        Ok(upload)
    }

    /// The one of this name, in this repository.
    pub(crate) fn find(&self, repository: &str, id: &str) -> Result<Arc<Upload>, Problem> {
        let found = self.all().get(id).cloned();
        let found = found.filter(|upload| upload.repository == repository);
        found.ok_or_else(|| Problem::not_found(Code::BlobUploadUnknown, "there is no such upload here; begin it anew"))
    }

    /// Takes one off.
    pub(crate) fn forget(&self, upload: &Upload) {
        self.all().remove(&upload.id);
    }

    /// Forgets those that were idle for too long; what was written of them goes with them.
    pub(crate) fn expire(&self) {
        let gone: Vec<Arc<Upload>> = {
            let mut open = self.all();
            let expired = |upload: &Upload| upload.touched().elapsed() > self.idle && upload.ingest.try_lock().is_ok();
            let ids: Vec<String> = open
                .values()
                .filter(|upload| expired(upload))
                .map(|upload| upload.id.clone())
                .collect();
            ids.iter().filter_map(|id| open.remove(id)).collect()
        };
        // Files are removed when no one waits for the list.
        drop(gone);
    }

    pub(crate) fn close(&self) {
        let all = std::mem::take(&mut *self.all());
        drop(all);
    }

    fn all(&self) -> MutexGuard<'_, HashMap<String, Arc<Upload>>> {
        // No one leaves it half changed, so what a panic elsewhere left is whole.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Upload {
    /// Where it goes on.
    pub(crate) fn location(&self) -> String {
        format!("/v2/{}/blobs/uploads/{}", self.repository, self.id)
    }

    /// How many bytes are there.
    pub(crate) fn written(&self) -> u64 {
        self.written.load(Ordering::Acquire)
    }

    fn touched(&self) -> MutexGuard<'_, Instant> {
        self.touched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes what comes, to its end or as far as `length` where that was announced.
    ///
    /// Where the client breaks off, what came before stays.
    pub(crate) async fn take(
        &self,
        ingest: &mut Option<Box<dyn Ingest>>,
        content: &mut Incoming,
        length: Option<u64>,
    ) -> Result<(), Problem> {
        let mut taken: u64 = 0;
        let wrong_length = |taken: u64| {
            let message = format!("the chunk has {taken} bytes or more, and not as many as its Content-Range says");
            Problem::bad(Code::SizeInvalid, message)
        };
        while let Some(bytes) = content.next().await? {
            let count = bytes.len() as u64;
            if length.is_some_and(|length| taken + count > length) {
                return Err(wrong_length(taken + count));
            }
            let writer = ingest.as_mut().ok_or_else(broken)?;
            if let Err(error) = writer.write(bytes).await {
                // What failed half-way is of no use, and a disk that is full is not to stay full.
                *ingest = None;
                return Err(Problem::writing(error, Code::BlobUploadInvalid));
            }
            taken += count;
            self.written.fetch_add(count, Ordering::AcqRel);
            *self.touched() = Instant::now();
        }
        match length {
            Some(length) if taken != length => Err(wrong_length(taken)),
            _ => Ok(()),
        }
    }
}

/// An upload whose writer failed before.
pub(crate) fn broken() -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        Code::BlobUploadUnknown,
        "writing this upload failed before; begin it anew",
    )
}

/// A name of 128 random bits: who knows it goes on with an upload.
fn identity() -> Result<String, Problem> {
    let mut bytes = [0_u8; 16];
    getrandom::fill(&mut bytes).map_err(|error| {
        let message = format!("the system has no random numbers: {error}");
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, Code::Unknown, message)
    })?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
