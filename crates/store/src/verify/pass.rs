//! What does a layer hold, as it goes by once? It is inflated, its DiffID is computed beside that on a thread of its own, and whoever knows
//! more of layers looks at the content in between.

use std::io::{self, BufRead, Read};

use bytes::{Buf, Bytes};
use teu_archive::codec::{Decoder, Limits};
use teu_spec::{Algorithm, Descriptor, Digest};

use super::{Found, Inspect, Kind};
use crate::blocking::{Buffers, Hashing};

/// How a DiffID is computed. One of another algorithm is reported as not checked.
pub(super) const DIFF_ID: Algorithm = Algorithm::Sha256;

/// What came of a pass over a layer.
pub(super) struct Pass {
    /// The digest of its content without compression, or why that cannot be had.
    pub(super) diff_id: std::result::Result<Digest, String>,
    /// What the inspector found.
    pub(super) found: Vec<Found>,
}

/// Reads a layer, to its end where it can be uncompressed.
pub(super) fn pass(content: &mut dyn Read, layer: &Descriptor, limits: Limits, inspect: Option<&dyn Inspect>) -> Pass {
    let decoder = match Decoder::detect(content, limits) {
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

impl<R: Read> Tee<R> {
    fn new(source: R) -> Self {
        Self {
            source,
            hashing: Hashing::new(DIFF_ID),
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
        self.hashing.update(self.ahead.clone());
        !self.ahead.is_empty()
    }

    /// Reads what nobody read, and gives the digest of all.
    fn finish(mut self) -> std::result::Result<Digest, String> {
        while self.refill() {}
        match self.ended.flatten() {
            None => Ok(self.hashing.finish()),
            Some(error) => Err(error),
        }
    }
}

impl<R: Read> Read for Tee<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if into.is_empty() {
            return Ok(0);
        }
        let count = self.fill_buf()?.read(into)?;
        self.consume(count);
        Ok(count)
    }
}

impl<R: Read> BufRead for Tee<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.ahead.is_empty()
            && !self.refill()
            && let Some(Some(error)) = &self.ended
        {
            return Err(io::Error::other(error.clone()));
        }
        Ok(&self.ahead)
    }

    fn consume(&mut self, count: usize) {
        self.ahead.advance(count);
    }
}

/// How many bytes tell a compression.
pub(super) const MAGIC: usize = 4;

/// Takes in what comes next of content, as far as its beginning goes.
pub(super) fn begin(beginning: &mut Vec<u8>, bytes: &[u8]) {
    let missing = MAGIC - beginning.len();
    beginning.extend_from_slice(&bytes[..bytes.len().min(missing)]);
}

/// Content, and how it began.
pub(super) struct Begun<'c> {
    content: &'c mut dyn Read,
    pub(super) beginning: Vec<u8>,
}

impl<'c> Begun<'c> {
    pub(super) fn new(content: &'c mut dyn Read) -> Self {
        Self {
            content,
            beginning: Vec::new(),
        }
    }
}

impl Read for Begun<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.content.read(into)?;
        begin(&mut self.beginning, &into[..count]);
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
