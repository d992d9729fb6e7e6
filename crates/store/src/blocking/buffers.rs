//! Where do the bytes of a stream stand while several look at them? In buffers that come back when nobody does any more, so that no memory is
//! asked for, and set to zero by the kernel, for each chunk anew.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use super::BATCH;

/// The buffers of one stream.
#[derive(Clone, Debug)]
pub struct Buffers {
    size: usize,
    free: Arc<Mutex<Vec<Box<[u8]>>>>,
}

impl Default for Buffers {
    /// Of [`BATCH`] bytes each.
    fn default() -> Self {
        Self::of(BATCH)
    }
}

impl Buffers {
    /// Of `size` bytes each.
    #[must_use]
    pub fn of(size: usize) -> Self {
        Self {
            size,
            free: Arc::default(),
        }
    }

    /// A buffer, with anything in it.
    #[must_use]
    pub fn take(&self) -> Box<[u8]> {
        let kept = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
        kept.unwrap_or_else(|| vec![0; self.size].into())
    }

    /// The first `filled` bytes of a buffer, which comes back when nobody holds them any more.
    #[must_use]
    pub fn lend(&self, buffer: Box<[u8]>, filled: usize) -> Bytes {
        Bytes::from_owner(Lent {
            buffer,
            home: self.clone(),
        })
        .slice(..filled)
    }
}

/// A buffer that is out with a chunk.
struct Lent {
    buffer: Box<[u8]>,
    home: Buffers,
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.buffer
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let buffer = std::mem::take(&mut self.buffer);
        self.home
            .free
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(buffer);
    }
}
