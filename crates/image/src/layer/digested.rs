//! What is the DiffID of a layer that is being written? Its content goes into the encoder and, beside it, to a thread that hashes it.

use std::io::{self, Write};

use teu_archive::codec::Encoder;
use teu_spec::Digest;
use teu_store::{
    Result,
    blocking::{Buffer, Buffers, Hashing},
    codec,
};

use super::Options;

/// How much goes to the encoder, and to the thread that hashes, at once: what the encoder takes in one go, too.
const CHUNK: usize = 1 << 20;

/// Encodes what is written to it and hashes it.
pub(super) struct Digested<W: Write> {
    encoder: Encoder<W>,
    buffers: Buffers,
    /// What is not handed on yet, and how much of it there is.
    chunk: Option<(Buffer, usize)>,
    hashing: Hashing,
    size: u64,
}

/// What was written, before it was encoded.
pub(super) struct Content {
    pub(super) diff_id: Digest,
    pub(super) size: u64,
}

impl<W: Write> Digested<W> {
    pub(super) fn new(sink: W, options: &Options) -> Result<Self> {
        let encoder = Encoder::with_threads(sink, codec(options.compression), options.level, options.threads)?;
        Ok(Self {
            encoder,
            buffers: Buffers::of(CHUNK),
            chunk: None,
            hashing: Hashing::new(options.algorithm),
            size: 0,
        })
    }

    /// Writes the end of the stream, and says what was in it.
    pub(super) fn finish(mut self) -> Result<Content> {
        self.hand_on()?;
        self.encoder.finish()?;
        Ok(Content {
            diff_id: self.hashing.finish(),
            size: self.size,
        })
    }

    /// Hands on what is there.
    fn hand_on(&mut self) -> io::Result<()> {
        let Some((chunk, filled)) = self.chunk.take() else {
            return Ok(());
        };
        let bytes = self.buffers.lend(chunk, filled);
        self.hashing.update(bytes.clone());
        self.encoder.write_all(&bytes)
    }
}

impl<W: Write> Write for Digested<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.is_empty() {
            return Ok(0);
        }
        let (chunk, filled) = self.chunk.get_or_insert_with(|| (self.buffers.take(), 0));
        let count = bytes.len().min(CHUNK - *filled);
        chunk[*filled..*filled + count].copy_from_slice(&bytes[..count]);
        *filled += count;
        let full = *filled == CHUNK;
        self.size += count as u64;
        if full {
            self.hand_on()?;
        }
        Ok(count)
    }

    /// Nothing: what is compressed comes out in its own time.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
