//! What is the digest of content that goes by? It is computed beside the work on the content, on a thread of its own where that pays.

use std::{
    sync::mpsc::{SyncSender, sync_channel},
    thread::{self, JoinHandle},
};

use bytes::Bytes;
use teu_spec::{Algorithm, Digest, Hasher};

use super::BATCH;

/// How many chunks may wait for the thread.
const WAITING: usize = 4;

/// Hashes chunks in their order. The first of [`BATCH`] bytes or more starts a thread, which has all from then on; content that is smaller, and all
/// where the system gives no thread, is hashed where it comes. Dropped before [`finish`](Self::finish), it ends its thread.
#[derive(Debug)]
pub struct Hashing(Way);

#[derive(Debug)]
enum Way {
    Here(Hasher),
    There(SyncSender<Bytes>, JoinHandle<Hasher>),
}

impl Hashing {
    /// Of nothing yet.
    #[must_use]
    pub fn new(algorithm: Algorithm) -> Self {
        Self(Way::Here(algorithm.hasher()))
    }

    /// Takes the next chunk in, waiting while the thread is far behind. The bytes are held until they are hashed.
    pub fn update(&mut self, bytes: Bytes) {
        if let Way::Here(hasher) = &mut self.0 {
            if bytes.len() < BATCH {
                hasher.update(&bytes);
                return;
            }
            match beside(hasher.clone()) {
                Some((sender, thread)) => self.0 = Way::There(sender, thread),
                None => hasher.update(&bytes),
            }
        }
        if let Way::There(sender, _) = &self.0 {
            // The thread takes all until it is told that there is no more: this fails only where it panicked, which joining it tells.
            let _ = sender.send(bytes);
        }
    }

    /// The digest of all that came.
    #[must_use]
    pub fn finish(self) -> Digest {
        match self.0 {
            Way::Here(hasher) => hasher.finish(),
            Way::There(sender, thread) => {
                drop(sender);
                let hasher = thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
                hasher.finish()
            }
        }
    }
}

/// A thread that goes on from this state.
fn beside(mut hasher: Hasher) -> Option<(SyncSender<Bytes>, JoinHandle<Hasher>)> {
    let (sender, receiver) = sync_channel::<Bytes>(WAITING);
    let work = move || {
        for bytes in receiver {
            hasher.update(&bytes);
        }
        hasher
    };
    let thread = thread::Builder::new().name("digest".to_owned()).spawn(work).ok()?;
    Some((sender, thread))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_and_large_chunks_are_hashed_in_their_order() {
        for sizes in [
            &[][..],
            &[0],
            &[1, 2, 3],
            &[BATCH - 1, 7],
            &[BATCH],
            &[5, BATCH, 5],
            &[BATCH + 1, 0, 3, 9 * BATCH, 1],
        ] {
            let content: Vec<u8> = (0..sizes.iter().sum()).map(|n| (n % 253) as u8).collect();
            for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
                let mut hashing = Hashing::new(algorithm);
                let mut rest = Bytes::from(content.clone());
                for size in sizes {
                    hashing.update(rest.split_to(*size));
                }
                let mut expected = algorithm.hasher();
                expected.update(&content);
                assert_eq!(hashing.finish(), expected.finish(), "{sizes:?}");
            }
        }
    }
}
