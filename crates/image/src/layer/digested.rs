//! What is the DiffID of a layer that is being written? Its content goes into the encoder and, beside it, to a thread that hashes it. A layer that who reads
//! it would take for a bomb is none.

use std::{
    io::{self, Write},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use teu_archive::codec::{Encoder, Limits};
use teu_spec::Digest;
use teu_store::{
    Error, ErrorKind, Result,
    blocking::{Buffer, Buffers, Hashing},
    codec,
};

use super::Options;

/// How much goes to the encoder, and to the thread that hashes, at once: what the encoder takes in one go, too.
const CHUNK: usize = 1 << 20;

/// Encodes what is written to it and hashes it.
pub(super) struct Digested<W: Write> {
    encoder: Encoder<Counted<W>>,
    encoded: Arc<AtomicU64>,
    buffers: Buffers,
    /// What is not handed on yet, and how much of it there is.
    chunk: Option<(Buffer, usize)>,
    hashing: Hashing,
    size: u64,
    /// So much of the content came out of so much of the layer, where readers are asked to stop.
    bomb: Option<(u64, u64)>,
}

/// What was written, before it was encoded.
pub(super) struct Content {
    pub(super) diff_id: Digest,
    pub(super) size: u64,
}

impl<W: Write> Digested<W> {
    pub(super) fn new(sink: W, options: &Options) -> Result<Self> {
        let encoded = Arc::new(AtomicU64::new(0));
        let sink = Counted {
            sink,
            count: Arc::clone(&encoded),
        };
        let encoder = Encoder::with_threads(sink, codec(options.compression), options.level, options.threads)?;
        Ok(Self {
            encoder,
            encoded,
            buffers: Buffers::of(CHUNK),
            chunk: None,
            hashing: Hashing::new(options.algorithm),
            size: 0,
            bomb: None,
        })
    }

    /// Writes the end of the stream, and says what was in it.
    ///
    /// # Errors
    /// What the sink says; `TooLarge` for a layer that is refused wherever it is read.
    pub(super) fn finish(mut self) -> Result<Content> {
        self.hand_on()?;
        self.encoder.finish()?;
        let bomb = self
            .bomb
            .or_else(|| bomb(self.size, self.encoded.load(Ordering::Relaxed)));
        if let Some((content, encoded)) = bomb {
            return Err(refused(content, encoded));
        }
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
        self.encoder.write_all(&bytes)?;
        if self.bomb.is_none() {
            let out = self.size.saturating_sub(self.encoder.within());
            self.bomb = bomb(out, self.encoded.load(Ordering::Relaxed));
        }
        Ok(())
    }
}

/// Whether who reads a layer stops where so much of its content came out of so much of it, by the limits that hold where nobody sets others.
fn bomb(content: u64, encoded: u64) -> Option<(u64, u64)> {
    let Limits { ratio, ratio_from, .. } = Limits::default();
    (content > ratio_from && content / ratio > encoded).then_some((content, encoded))
}

fn refused(content: u64, encoded: u64) -> Error {
    let ratio = Limits::default().ratio;
    let message = format!(
        "the layer would be refused as a bomb by who reads it, as {content} bytes come out of {encoded} (the limit ratio is {ratio}): files in it are mostly \
         holes or zeros; leave them out, or put them into an archive with GNU tar and --sparse, which keeps holes as such, and append that"
    );
    Error::new(ErrorKind::TooLarge, message)
}

/// Counts what goes to its sink.
struct Counted<W> {
    sink: W,
    count: Arc<AtomicU64>,
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.sink.write(bytes)?;
        self.count.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes so many MiB of zeros, then others that no encoder makes less of.
    fn written(zeros: u64, others: u64) -> Result<Content> {
        let options = Options {
            compression: teu_spec::LayerCompression::Zstd,
            ..Options::default()
        };
        let mut digested = Digested::new(io::sink(), &options)?;
        let mut piece = vec![0; CHUNK];
        for _ in 0..zeros {
            digested.write_all(&piece)?;
        }
        let mut state = 1_u64;
        for _ in 0..others {
            for word in piece.chunks_exact_mut(8) {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                word.copy_from_slice(&(state ^ (state >> 29)).to_le_bytes());
            }
            digested.write_all(&piece)?;
        }
        digested.finish()
    }

    #[test]
    fn what_readers_take_for_a_bomb_is_none() {
        for (content, encoded, is_bomb) in [
            (1 << 30, 1, false),
            (1_074_003_968, 1_061_209, true),
            ((1 << 30) + 512, 2_097_153, false),
            ((1 << 30) + 512, 2_097_152, true),
        ] {
            assert_eq!(bomb(content, encoded).is_some(), is_bomb, "{content} {encoded}");
        }
        let error = written(1100, 0).err().expect("refused");
        assert_eq!(*error.kind(), ErrorKind::TooLarge);
        // They stop where the zeros are, whatever comes behind.
        let error = written(1100, 4).err().expect("refused");
        assert!(error.to_string().contains("--sparse"), "{error}");
        assert_eq!(written(900, 4).expect("written").size, 904 << 20);
    }
}
