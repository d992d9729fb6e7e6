//! Which uploads are under way? Sessions: each has a name that nobody guesses, belongs to a repository, and is forgotten when it was idle for
//! too long. Where the place keeps sessions, what is forgotten here is found there again, after a restart too.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::StatusCode;
use teu_spec::{Algorithm, Digest};
use teu_store::{
    Committed, EMPTY, ErrorKind, Expected, Ingest, Reopened, Repositories, Session, Store, blocking::pieces::HELD,
};
use tokio::{
    sync::{Mutex as Turn, MutexGuard as HasTurn, watch},
    time::{Instant, timeout},
};

use crate::{
    body::Incoming,
    problem::{Code, Problem},
    settings::Limits,
};

/// How long nothing comes of the content of a request until another may go on with its upload, and how long that one waits for it to end. By then memory is given
/// back that was held for it.
const SILENT: Duration = HELD;

/// The uploads that are open.
pub(crate) struct Uploads {
    open: Mutex<HashMap<String, Arc<Upload>>>,
    most: usize,
    idle: Duration,
    /// Whose turn it is to look for one that is not open.
    reopening: Turn<()>,
    /// Tells those that write that there will be no more.
    closing: watch::Sender<bool>,
}

/// An upload.
pub(crate) struct Upload {
    pub(crate) id: String,
    pub(crate) repository: String,
    pub(crate) store: Arc<dyn Store>,
    came: AtomicU64,
    written: AtomicU64,
    touched: Mutex<Instant>,
    /// Whose turn it is to write: one request at a time. None where writing failed, or it was committed.
    writer: Turn<Option<Writer>>,
    /// Tells who writes that another wants to.
    wanted: watch::Sender<()>,
    closing: watch::Receiver<bool>,
}

/// What takes the bytes of an upload.
pub(crate) enum Writer {
    /// It is gone with the process.
    Passing(Box<dyn Ingest>),
    /// It outlives it.
    Kept(Box<dyn Session>),
}

impl Uploads {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            open: Mutex::default(),
            most: limits.uploads,
            idle: limits.upload_idle,
            reopening: Turn::default(),
            closing: watch::Sender::new(false),
        }
    }

    /// Opens one for a blob that is to come into `repository`, whose store this is.
    ///
    /// # Errors
    /// 429 where there are too many.
    pub(crate) async fn begin(
        &self,
        repositories: &dyn Repositories,
        repository: &str,
        store: Arc<dyn Store>,
        algorithm: Algorithm,
    ) -> Result<Arc<Upload>, Problem> {
        self.expire();
        self.make_room()?;
        let failed = |error| Problem::writing(error, Code::BlobUploadInvalid);
        let id = identity()?;
        let writer = match repositories.sessions() {
            Some(sessions) => Writer::Kept(sessions.begin(repository, &id, algorithm).await.map_err(failed)?),
            None => {
                let expected = Expected {
                    algorithm,
                    ..Expected::default()
                };
                Writer::Passing(store.ingest(expected).await.map_err(failed)?)
            }
        };
        Ok(self.insert(id, repository, store, writer, 0))
    }

    /// Has room for one more: where there is none, the one that was idle for the longest is closed of those that the place keeps, which is found there
    /// again when somebody goes on with it, and of those of which nothing came for long.
    ///
    /// # Errors
    /// 429 where all are being written to, or something of them is kept nowhere else.
    fn make_room(&self) -> Result<(), Problem> {
        let mut open = self.all();
        if open.len() < self.most {
            return Ok(());
        }
        let may_go = |upload: &Arc<Upload>| is_left(upload) && (upload.is_kept() || upload.is_empty());
        let idle = open.values().filter(|upload| may_go(upload));
        let longest = idle
            .min_by_key(|upload| *upload.touched())
            .map(|upload| upload.id.clone());
        let closed = longest.and_then(|id| open.remove(&id));
        // A file is closed when no one waits for the list.
        drop(open);
        match closed {
            Some(_) => Ok(()),
            None => {
                let message = format!("{} uploads are open, and no more than that may be", self.most);
                Err(Problem::throttled(message))
            }
        }
    }

    fn insert(&self, id: String, repository: &str, store: Arc<dyn Store>, writer: Writer, done: u64) -> Arc<Upload> {
        let upload = Arc::new(Upload {
            id,
            repository: repository.to_owned(),
            store,
            came: AtomicU64::new(done),
            written: AtomicU64::new(done),
            touched: Mutex::new(Instant::now()),
            writer: Turn::new(Some(writer)),
            wanted: watch::Sender::new(()),
            closing: self.closing.subscribe(),
        });
        self.all().insert(upload.id.clone(), Arc::clone(&upload));
        upload
    }

    /// The one of this name, in this repository: open, or kept by the place, whose store of the repository `store` gives.
    pub(crate) async fn find(
        &self,
        repositories: &dyn Repositories,
        repository: &str,
        id: &str,
        store: impl AsyncFnOnce() -> Result<Arc<dyn Store>, Problem>,
    ) -> Result<Arc<Upload>, Problem> {
        let unknown = || Problem::not_found(Code::BlobUploadUnknown, "there is no such upload here; begin it anew");
        let open = || {
            let found = self.all().get(id).cloned();
            found.map(|upload| Some(upload).filter(|upload| upload.repository == repository))
        };
        if let Some(found) = open() {
            return found.ok_or_else(unknown);
        }
        let Some(sessions) = repositories.sessions().filter(|_| is_identity(id)) else {
            return Err(unknown());
        };
        let _turn = self.reopening.lock().await;
        if let Some(found) = open() {
            return found.ok_or_else(unknown);
        }
        self.make_room()?;
        match sessions.reopen(repository, id).await {
            Ok(Some(Reopened { session, done })) => {
                let store = store().await?;
                Ok(self.insert(id.to_owned(), repository, store, Writer::Kept(session), done))
            }
            Ok(None) => Err(unknown()),
            // It is on its way to be forgotten, or is being ended.
            Err(error) if *error.kind() == ErrorKind::Conflict => Err(unknown()),
            Err(error) => Err(Problem::writing(error, Code::BlobUploadInvalid)),
        }
    }

    /// Takes one off. What was opened anew under its name since is another.
    pub(crate) fn forget(&self, upload: &Upload) {
        let mut open = self.all();
        if open
            .get(&upload.id)
            .is_some_and(|found| std::ptr::eq(Arc::as_ptr(found), upload))
        {
            open.remove(&upload.id);
        }
    }

    /// Forgets those that were idle for too long; what was written of them goes with them, unless it is kept. Of those that are kept, those of which nothing came go
    /// sooner: the place may want their room.
    pub(crate) fn expire(&self) {
        let gone: Vec<Arc<Upload>> = {
            let mut open = self.all();
            let expired = |upload: &Arc<Upload>| {
                let is_idle = upload.touched().elapsed() > self.idle || (upload.is_empty() && upload.is_kept());
                is_idle && is_left(upload)
            };
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

    /// Ends what is being written, and forgets all; how many could be gone on with. What is kept is recorded when this is done.
    pub(crate) async fn close(&self) -> usize {
        self.closing.send_replace(true);
        let all = std::mem::take(&mut *self.all());
        let mut count = 0;
        for upload in all.into_values() {
            let writer = upload.writer.lock().await.take();
            count += usize::from(writer.is_some());
        }
        count
    }

    /// How many are open.
    pub(crate) fn count(&self) -> usize {
        self.all().len()
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

    /// How many bytes are there when the last request that wrote to it was done: where they are kept, a restart takes none of them.
    pub(crate) fn written(&self) -> u64 {
        self.written.load(Ordering::Acquire)
    }

    /// Whether nothing came of it for long.
    fn is_empty(&self) -> bool {
        self.came.load(Ordering::Acquire) == 0 && self.touched().elapsed() > EMPTY
    }

    /// The turn to write, where nobody has it; or who has it is silent, as one is whose client is gone and nobody told us, and ends for that. What came of that one is
    /// kept then.
    pub(crate) async fn turn(&self) -> Option<HasTurn<'_, Option<Writer>>> {
        if let Ok(turn) = self.writer.try_lock() {
            return Some(turn);
        }
        if !self.is_silent() {
            return None;
        }
        self.wanted.send_replace(());
        timeout(SILENT, self.writer.lock()).await.ok()
    }

    fn is_silent(&self) -> bool {
        self.touched().elapsed() >= SILENT
    }

    /// Done when another wants the turn, and nothing came for long enough.
    async fn is_wanted(&self, wanted: &mut watch::Receiver<()>) {
        // The other end is here.
        while wanted.changed().await.is_ok() && !self.is_silent() {}
    }

    /// Whether what was written is lost with nothing that is open here.
    fn is_kept(&self) -> bool {
        let writer = self.writer.try_lock();
        matches!(writer.as_deref(), Ok(None | Some(Writer::Kept(_))))
    }

    fn touched(&self) -> MutexGuard<'_, Instant> {
        self.touched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes what was written last, where it is kept; from now on it counts as written.
    pub(crate) async fn keep(&self, writer: &mut Option<Writer>) -> Result<(), Problem> {
        if let Some(Writer::Kept(session)) = writer
            && let Err(error) = session.record().await
        {
            *writer = None;
            return Err(Problem::writing(error, Code::BlobUploadInvalid));
        }
        self.written.store(self.came.load(Ordering::Acquire), Ordering::Release);
        Ok(())
    }

    /// Writes what comes, to its end or as far as `length` where that was announced.
    ///
    /// Where the client breaks off, what came before stays.
    pub(crate) async fn take(
        &self,
        writer: &mut Option<Writer>,
        content: &mut Incoming,
        length: Option<u64>,
    ) -> Result<(), Problem> {
        let mut taken: u64 = 0;
        let wrong_length = |taken: u64| {
            let message = format!("the chunk has {taken} bytes or more, and not as many as its Content-Range says");
            Problem::bad(Code::SizeInvalid, message)
        };
        let (mut closing, mut wanted) = (self.closing.clone(), self.wanted.subscribe());
        *self.touched() = Instant::now();
        loop {
            let next = tokio::select! {
                biased;
                // First, as content may come without a pause. The other end lives as long as the uploads do.
                _ = closing.wait_for(|closing| *closing) => Err(stopping()),
                () = self.is_wanted(&mut wanted) => Err(silent()),
                next = content.next() => Ok(next?),
            };
            let next = match next {
                Ok(next) => next,
                Err(problem) => {
                    if let Some(bytes) = content.rest() {
                        self.put(writer, bytes).await?;
                    }
                    return Err(problem);
                }
            };
            let Some(bytes) = next else { break };
            let count = bytes.len() as u64;
            if length.is_some_and(|length| taken + count > length) {
                return Err(wrong_length(taken + count));
            }
            self.put(writer, bytes).await?;
            taken += count;
        }
        match length {
            Some(length) if taken != length => Err(wrong_length(taken)),
            _ => Ok(()),
        }
    }

    async fn put(&self, writer: &mut Option<Writer>, bytes: Bytes) -> Result<(), Problem> {
        let count = bytes.len() as u64;
        let open = writer.as_mut().ok_or_else(broken)?;
        if let Err(error) = open.write(bytes).await {
            // What failed half-way is of no use. What is kept is found again as it was recorded.
            *writer = None;
            return Err(Problem::writing(error, Code::BlobUploadInvalid));
        }
        if count > 0 {
            self.came.fetch_add(count, Ordering::AcqRel);
            *self.touched() = Instant::now();
        }
        Ok(())
    }
}

impl Writer {
    async fn write(&mut self, bytes: Bytes) -> teu_store::Result<()> {
        match self {
            Self::Passing(ingest) => ingest.write(bytes).await,
            Self::Kept(session) => session.write(bytes).await,
        }
    }

    pub(crate) async fn commit(self, digest: Digest) -> teu_store::Result<Committed> {
        match self {
            Self::Passing(ingest) => ingest.commit(Some(digest)).await,
            Self::Kept(session) => session.commit(Some(digest)).await,
        }
    }

    pub(crate) async fn abort(self) -> teu_store::Result<()> {
        match self {
            Self::Passing(ingest) => ingest.abort().await,
            Self::Kept(session) => session.abort().await,
        }
    }
}

/// Whether no request has it, while the list is locked: none gets it elsewhere.
fn is_left(upload: &Arc<Upload>) -> bool {
    Arc::strong_count(upload) == 1
}

fn stopping() -> Problem {
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        Code::Unknown,
        "the registry is stopping; go on when it is there again",
    )
}

fn silent() -> Problem {
    let message = format!(
        "nothing came for {} seconds, and another request goes on with this upload",
        SILENT.as_secs()
    );
    Problem::new(StatusCode::REQUEST_TIMEOUT, Code::SizeInvalid, message)
}

/// An upload whose writer failed before.
pub(crate) fn broken() -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        Code::BlobUploadUnknown,
        "writing this upload failed before; begin it anew",
    )
}

/// A name of 128 random bits, which nobody guesses: who knows an upload's goes on with it.
pub(crate) fn identity() -> Result<String, Problem> {
    let mut bytes = [0_u8; 16];
    getrandom::fill(&mut bytes).map_err(|error| {
        let message = format!("the system has no random numbers: {error}");
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, Code::Unknown, message)
    })?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Whether it could be a name of ours: what is not asks no disk.
fn is_identity(id: &str) -> bool {
    id.len() == 32
        && id
            .bytes()
            .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

#[cfg(test)]
mod tests;
