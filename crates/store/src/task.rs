//! Work on a thread of its own that ends when nobody waits for it any more.

use tokio::task::JoinHandle;

use crate::{Result, blocking::join_error};

/// An asynchronous task that is aborted when this is dropped, so that to drop a future ends all that it began.
pub(crate) struct Task<T>(JoinHandle<Result<T>>);

impl<T: Send + 'static> Task<T> {
    /// Starts it.
    pub(crate) fn spawn(work: impl Future<Output = Result<T>> + Send + 'static) -> Self {
        Self(tokio::spawn(work))
    }

    /// Waits for its outcome; a panic goes on here.
    pub(crate) async fn join(mut self) -> Result<T> {
        (&mut self.0).await.map_err(join_error)?
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
