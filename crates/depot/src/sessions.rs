//! Which uploads are under way? Those that metadata has a row of; their bytes are there as far as the row says, for good.

use std::{sync::Arc, time::Duration};

use futures_util::future::try_join_all;
use teu_spec::{Algorithm, Hasher, Repository};
use teu_store::{BoxFuture, EMPTY, Error, ErrorKind, Reopened, Result, Session, Sessions};

use crate::{Depot, depot::Inner, incoming::Incoming, metadata, written::Written};

/// How the names begin under which content has the bytes of sessions.
const PREFIX: &str = "s-";
/// The most characters of an id.
const LONGEST: usize = 64;
/// How many idle sessions are looked at together.
const BATCH: usize = 100;

/// A session that nobody else holds while this lives.
pub(crate) struct Held {
    pub(crate) id: String,
    depot: Arc<Inner>,
}

impl Held {
    fn take(depot: &Arc<Inner>, id: &str) -> Result<Self> {
        if !depot.held().insert(id.to_owned()) {
            return Err(Error::new(
                ErrorKind::Conflict,
                "somebody else is writing to this upload",
            ));
        }
        Ok(Self {
            id: id.to_owned(),
            depot: Arc::clone(depot),
        })
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.depot.held().remove(&self.id);
    }
}

fn name(id: &str) -> String {
    format!("{PREFIX}{id}")
}

impl Sessions for Depot {
    fn begin<'a>(
        &'a self,
        repository: &'a str,
        id: &'a str,
        algorithm: Algorithm,
    ) -> BoxFuture<'a, Result<Box<dyn Session>>> {
        Box::pin(async move {
            Repository::check_path(repository)?;
            if id.is_empty() || id.len() > LONGEST {
                let message = format!("the id of an upload has 1 to {LONGEST} characters");
                return Err(Error::new(ErrorKind::Invalid, message));
            }
            self.0.may_grow()?;
            let held = Held::take(&self.0, id)?;
            let hasher = algorithm.hasher();
            let session = metadata::Session {
                id: id.to_owned(),
                repository: repository.to_owned(),
                algorithm,
                offset: 0,
                midstate: hasher.save(),
                touched: self.0.now(),
            };
            let most = self.0.settings.sessions;
            let begun = self.0.metadata.begin_session(session.clone(), most).await;
            match begun {
                Err(error) if *error.kind() == ErrorKind::Throttled && forget(&self.0, EMPTY, true).await? > 0 => {
                    self.0.metadata.begin_session(session, most).await?;
                }
                begun => begun?,
            }
            let writing = match self.0.content.begin(&name(id), true).await {
                Ok(writing) => writing,
                Err(error) => {
                    self.0.metadata.end_session(id).await?;
                    return Err(error);
                }
            };
            Ok(Box::new(Incoming {
                depot: Arc::clone(&self.0),
                repository: repository.to_owned(),
                written: Written::reopened(writing, hasher, 0),
                held: Some(held),
            }) as Box<dyn Session>)
        })
    }

    fn reopen<'a>(&'a self, repository: &'a str, id: &'a str) -> BoxFuture<'a, Result<Option<Reopened>>> {
        Box::pin(async move {
            let held = Held::take(&self.0, id)?;
            let session = self.0.metadata.session(id).await?;
            let Some(session) = session.filter(|session| session.repository == repository) else {
                return Ok(None);
            };
            let name = name(id);
            let writing = match self.0.content.reopen(&name, session.offset).await? {
                // That it was begun need not have lasted.
                None if session.offset == 0 => Some(self.0.content.begin(&name, true).await?),
                found => found,
            };
            let hasher = Hasher::restore(session.algorithm, &session.midstate);
            let (Some(writing), Some(hasher)) = (writing, hasher) else {
                // What a row tells of and is not there, or was hashed by a version that says it otherwise, is begun anew.
                self.0.metadata.end_session(id).await?;
                self.0.content.forget(&name).await?;
                return Ok(None);
            };
            let incoming = Incoming {
                depot: Arc::clone(&self.0),
                repository: session.repository,
                written: Written::reopened(writing, hasher, session.offset),
                held: Some(held),
            };
            Ok(Some(Reopened {
                session: Box::new(incoming),
                done: session.offset,
            }))
        })
    }
}

/// Removes what was begun by a process that is gone and is no session. Nothing else is at work yet.
pub(crate) async fn recover(depot: &Arc<Inner>) -> Result<()> {
    for name in depot.content.begun().await? {
        let is_session = match name.strip_prefix(PREFIX) {
            Some(id) => depot.metadata.session(id).await?.is_some(),
            None => false,
        };
        if !is_session {
            depot.content.forget(&name).await?;
        }
    }
    Ok(())
}

/// Forgets some of the sessions that were idle for too long and that nobody holds; how many.
pub(crate) async fn expire(depot: &Arc<Inner>) -> Result<u64> {
    forget(depot, depot.settings.session_idle, false).await
}

/// Forgets some of the sessions that were idle for so long and that nobody holds, or of those of them that are empty; how many.
async fn forget(depot: &Arc<Inner>, idle: Duration, empty: bool) -> Result<u64> {
    let before = depot.now().before(idle);
    let forget = async |id: String| -> Result<u64> {
        let Ok(_held) = Held::take(depot, &id) else {
            return Ok(0);
        };
        // Somebody may have gone on with it since it was listed.
        let found = depot.metadata.session(&id).await?;
        if found.is_none_or(|found| found.touched >= before || (empty && found.offset > 0)) {
            return Ok(0);
        }
        // The row first: what is begun and has no row is removed by who comes next.
        depot.reserve.room_for(|| depot.metadata.end_session(&id)).await?;
        depot.content.forget(&name(&id)).await?;
        Ok(1)
    };
    let idle = depot.metadata.idle_sessions(before, empty, BATCH).await?;
    Ok(try_join_all(idle.into_iter().map(forget)).await?.into_iter().sum())
}
