//! What does a copy wait for before it brings anything?

use std::{fmt, sync::Arc};

use super::ends::Ends;
use crate::BoxFuture;

/// How a program gets ready for what takes longer than a question or two, such as by starting threads. A copy that finds all in its place never waits for
/// it, and one that does not waits before the first byte is brought or written, maybe often.
#[derive(Clone)]
pub struct Ready(Arc<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>);

impl Ready {
    /// By `get_ready`, which may be called from several parts of a copy at once.
    pub fn new(get_ready: impl Fn() -> BoxFuture<'static, ()> + Send + Sync + 'static) -> Self {
        Self(Arc::new(get_ready))
    }
}

impl fmt::Debug for Ready {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Ready")
    }
}

impl Ends {
    /// Returns once something may be brought.
    pub(super) async fn ready(&self) {
        if let Some(Ready(get_ready)) = self.ready.as_ref().filter(|_| !self.rehearse) {
            get_ready().await;
        }
    }
}
