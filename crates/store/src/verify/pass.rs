//! What does a layer hold, as it goes by once? It is inflated, its DiffID is computed beside that on a thread of its own, and whoever knows
//! more of layers looks at the content in between.

use std::{
    io::{self, Read},
    sync::mpsc::{SyncSender, sync_channel},
    thread::{self, JoinHandle},
};

use bytes::{Buf, Bytes};
use teu_archive::codec::{Decoder, Limits};
use teu_spec::{Algorithm, Descriptor, Digest, Hasher};

use super::{Found, Inspect, Kind};
use crate::{
    Result,
    blocking::{Buffers, Chunks},
};

/// How a DiffID is computed. One of another algorithm is reported as not checked.
pub(super) const DIFF_ID: Algorithm = Algorithm::Sha256;

/// How many stretches may wait for the hasher.
const WAITING: usize = 4;

/// What came of a pass over a layer.
pub(super) struct Pass {
    /// The digest of its content without compression, or why that cannot be had.
    pub(super) diff_id: std::result::Result<Digest, String>,
    /// What the inspector found.
    pub(super) found: Vec<Found>,
}

/// Reads a layer to its end. What cannot be uncompressed is read on nevertheless, so that its digest is checked.
pub(super) fn pass(mut content: Chunks, layer: &Descriptor, inspect: Option<&dyn Inspect>) -> Result<Pass> {
    let passed = uncompress(&mut content, layer, inspect);
    for chunk in content {
        chunk?;
    }
    Ok(passed)
}

fn uncompress(content: &mut Chunks, layer: &Descriptor, inspect: Option<&dyn Inspect>) -> Pass {
    let decoder = match Decoder::detect(content, Limits::default()) {
        Ok(decoder) => decoder,
        Err(error) => {
            return Pass {
                diff_id: Err(error.to_string()),
                found: Vec::new(),
            };
        }
    };
    let mut tee = Tee::new(decoder);
    let mut found = inspect.map_or_else(Vec::new, |inspect| inspect.layer(layer, &mut tee));
    let diff_id = tee.finish();
    if diff_id.is_err() {
        // That the archive ends early then is no finding of its own.
        found.retain(|found| found.kind != Kind::Layer);
    }
    Pass { diff_id, found }
}

/// A reader whose content is hashed as it is read.
struct Tee<R> {
    source: R,
    hashing: Hashing,
    buffers: Buffers,
    /// What was read ahead and is not taken yet.
    ahead: Bytes,
    /// Why no more comes, once that is so; without a reason it is the end.
    ended: Option<Option<String>>,
}

/// Where the hasher is.
enum Hashing {
    Here(Hasher),
    /// On a thread of its own.
    There(SyncSender<Bytes>, JoinHandle<Hasher>),
    /// On its way.
    Nowhere,
}

impl<R: Read> Tee<R> {
    fn new(source: R) -> Self {
        Self {
            source,
            hashing: Hashing::Here(DIFF_ID.hasher()),
            buffers: Buffers::default(),
            ahead: Bytes::new(),
            ended: None,
        }
    }

    /// Reads and hashes the next stretch, and says whether there is one.
    fn refill(&mut self) -> bool {
        if self.ended.is_some() {
            return false;
        }
        let mut buffer = self.buffers.take();
        let mut filled = 0;
        while filled < buffer.len() && self.ended.is_none() {
            match self.source.read(&mut buffer[filled..]) {
                Ok(0) => self.ended = Some(None),
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => self.ended = Some(Some(teu_archive::Error::from(error).to_string())),
            }
        }
        self.ahead = self.buffers.lend(buffer, filled);
        self.hash();
        !self.ahead.is_empty()
    }

    fn hash(&mut self) {
        self.hashing = match std::mem::replace(&mut self.hashing, Hashing::Nowhere) {
            // What is no full stretch, or the last one, is not worth a thread.
            Hashing::Here(mut hasher) if self.ended.is_some() => {
                hasher.update(&self.ahead);
                Hashing::Here(hasher)
            }
            Hashing::Here(hasher) => self.started(hasher),
            Hashing::There(sender, thread) => {
                // It takes all until it is told that there is no more: this fails only where it panicked, which joining tells.
                let _ = sender.send(self.ahead.clone());
                Hashing::There(sender, thread)
            }
            Hashing::Nowhere => Hashing::Nowhere,
        };
    }

    /// The hasher, on a thread where one can be had, with what is there taken in.
    fn started(&self, hasher: Hasher) -> Hashing {
        let (sender, receiver) = sync_channel::<Bytes>(WAITING);
        let mut there = hasher.clone();
        let thread = thread::Builder::new().name("diff-id".to_owned()).spawn(move || {
            for bytes in receiver {
                there.update(&bytes);
            }
            there
        });
        match thread {
            Ok(thread) => {
                let _ = sender.send(self.ahead.clone());
                Hashing::There(sender, thread)
            }
            Err(_) => {
                let mut here = hasher;
                here.update(&self.ahead);
                Hashing::Here(here)
            }
        }
    }

    /// Reads what nobody read, and gives the digest of all.
    fn finish(mut self) -> std::result::Result<Digest, String> {
        while self.refill() {}
        let hasher = match self.hashing {
            Hashing::Here(hasher) => hasher,
            Hashing::There(sender, thread) => {
                drop(sender);
                thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            }
            Hashing::Nowhere => return Err("the thread that computes the DiffID is gone".to_owned()),
        };
        match self.ended.flatten() {
            None => Ok(hasher.finish()),
            Some(error) => Err(error),
        }
    }
}

impl<R: Read> Read for Tee<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if into.is_empty() {
            return Ok(0);
        }
        if self.ahead.is_empty() && !self.refill() {
            return match &self.ended {
                Some(Some(error)) => Err(io::Error::other(error.clone())),
                _ => Ok(0),
            };
        }
        let count = into.len().min(self.ahead.len());
        self.ahead.copy_to_slice(&mut into[..count]);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blocking::BATCH;

    /// Gives few bytes at a time, and perhaps an error at its end.
    struct Slow<'a>(&'a [u8], Option<&'static str>);

    impl Read for Slow<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            match (self.0.is_empty(), self.1) {
                (true, Some(error)) => Err(io::Error::other(error)),
                _ => {
                    let most = into.len().min(70_001);
                    self.0.read(&mut into[..most])
                }
            }
        }
    }

    #[test]
    fn what_is_read_and_what_is_not_is_hashed_once() {
        for size in [0, 1, BATCH - 1, BATCH, BATCH + 1, 9 * BATCH + 5] {
            let content: Vec<u8> = (0..size).map(|n| (n % 253) as u8).collect();
            for read in [0, 1, size / 2, size] {
                let mut tee = Tee::new(Slow(&content, None));
                let mut seen = vec![0; read.min(size)];
                tee.read_exact(&mut seen).expect("it is there");
                assert_eq!(seen, content[..seen.len()], "{read} of {size}");
                assert_eq!(tee.finish(), Ok(Digest::of(&content)), "{read} of {size}");
            }
        }
    }

    #[test]
    fn what_breaks_off_has_no_digest() {
        for size in [0, 10, 3 * BATCH + 1] {
            let content = vec![7; size];
            let mut tee = Tee::new(Slow(&content, Some("cut")));
            let error = io::copy(&mut tee, &mut io::sink()).expect_err("it breaks off");
            assert!(error.to_string().contains("cut"), "{error}");
            let end = tee.finish().expect_err("no digest");
            assert!(end.contains("cut"), "{end}");
        }
    }
}
