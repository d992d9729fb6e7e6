//! Work on a thread of its own that ends when nobody waits for it any more.

use std::sync::Arc;

use tokio::{sync::RwLock, task::JoinHandle};

use crate::{Result, blocking::join_error};

/// Tasks that belong together, so that their end can be waited for.
#[derive(Clone, Default)]
pub(crate) struct Tasks {
    /// Each task shares it while it lives.
    running: Arc<RwLock<()>>,
}

impl Tasks {
    /// Does `work` as a task and waits for its outcome. It is aborted where this is dropped; a panic of it goes on here.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        let running = Arc::clone(&self.running).read_owned().await;
        let mut task = Aborted(tokio::spawn(async move {
            let outcome = work.await;
            drop(running);
            outcome
        }));
        (&mut task.0).await.map_err(join_error)?
    }

    /// Waits until what was aborted has cleaned up.
    pub(crate) async fn settled(&self) {
        drop(self.running.write().await);
    }
}

/// Aborts a task where it is dropped.
struct Aborted<T>(JoinHandle<Result<T>>);

impl<T> Drop for Aborted<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
