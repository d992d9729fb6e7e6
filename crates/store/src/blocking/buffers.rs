//! Where do the bytes of a stream stand while several look at them? In buffers that come back when nobody does any more, so that no memory is
//! asked for, and set to zero by the kernel, for each chunk anew. They lie as disks want what is read or written [past the kernel's cache](super::PastCache).

use std::{
    ops::{Deref, DerefMut},
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;

use super::{BATCH, pieces::ALIGNMENT};

/// The buffers of one stream.
#[derive(Clone, Debug)]
pub struct Buffers {
    size: usize,
    free: Arc<Mutex<Vec<Buffer>>>,
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
    pub fn take(&self) -> Buffer {
        let kept = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
        kept.unwrap_or_else(|| Buffer::of(self.size))
    }

    /// The first `filled` bytes of a buffer, which comes back when nobody holds them any more.
    #[must_use]
    pub fn lend(&self, buffer: Buffer, filled: usize) -> Bytes {
        Bytes::from_owner(Lent {
            buffer,
            home: self.clone(),
        })
        .slice(..filled)
    }
}

/// Memory that is filled and lent.
#[derive(Debug, Default)]
pub struct Buffer {
    memory: Box<[u8]>,
    begin: usize,
    size: usize,
}

impl Buffer {
    fn of(size: usize) -> Self {
        let memory = vec![0; size + ALIGNMENT].into_boxed_slice();
        // Where the system could not tell, it is only read and written by another way.
        let begin = memory.as_ptr().align_offset(ALIGNMENT).min(ALIGNMENT);
        Self { memory, begin, size }
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.memory[self.begin..self.begin + self.size]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.memory[self.begin..self.begin + self.size]
    }
}

/// A buffer that is out with a chunk.
struct Lent {
    buffer: Buffer,
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
