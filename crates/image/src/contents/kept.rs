//! How does a table come into a file and out of one? In pieces, so that no table need be in memory for it.

use std::{
    fs::File,
    io::{BufWriter, Write},
    os::unix::fs::FileExt,
};

use bytes::Bytes;
use teu_spec::Algorithm;
use teu_store::Result;

use super::{
    Contents, Options,
    form::malformed,
    frame::{Head, SUM, read_blocks},
    stored::Stored,
};

/// How much is read at once.
const PIECE: usize = 256 << 10;
/// The most bytes that stand before the entries.
const HEAD: usize = 4096;

impl Contents {
    /// How many bytes the table has where it is kept.
    pub(super) fn form_bytes(&self) -> u64 {
        self.entries.length() + (self.head().len() + self.foot().len() + SUM) as u64
    }

    /// Writes the form in which it is kept.
    pub(super) fn write_to(&self, sink: impl Write) -> Result<()> {
        let mut hashed = Hashed {
            sink: BufWriter::with_capacity(PIECE, sink),
            hasher: Algorithm::Sha256.hasher(),
        };
        hashed.write_all(&self.head())?;
        self.entries.copy(&mut hashed)?;
        hashed.write_all(&self.foot())?;
        let sum = hashed.hasher.finish();
        hashed.sink.write_all(sum.bytes())?;
        hashed.sink.flush()?;
        Ok(())
    }
}

struct Hashed<W: Write> {
    sink: W,
    hasher: teu_spec::Hasher,
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.sink.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.sink.flush()
    }
}

/// Reads a table that is kept in a file: into memory, as long as there is room for it.
pub(super) fn read(file: File, options: &Options) -> Result<Contents> {
    let all = file.metadata()?.len();
    // What stands around the entries is short.
    let most = options.contents_bytes as u64 + options.contents_bytes as u64 / 8 + HEAD as u64;
    let end = all
        .checked_sub(SUM as u64)
        .filter(|_| all <= most)
        .ok_or_else(malformed)?;
    if all <= options.memory_bytes as u64 {
        let mut form = vec![0; usize::try_from(all).map_err(|_| malformed())?];
        file.read_exact_at(&mut form, 0)?;
        return Contents::from_bytes(&Bytes::from(form));
    }
    let mut hasher = Algorithm::Sha256.hasher();
    let mut piece = vec![0; PIECE];
    let mut at = 0;
    while at < end {
        let count = usize::try_from(end - at).unwrap_or(usize::MAX).min(PIECE);
        file.read_exact_at(&mut piece[..count], at)?;
        hasher.update(&piece[..count]);
        at += count as u64;
    }
    let mut sum = [0; SUM];
    file.read_exact_at(&mut sum, end)?;
    if hasher.finish().bytes() != sum {
        return Err(malformed());
    }
    let count = usize::try_from(end).unwrap_or(usize::MAX).min(HEAD);
    file.read_exact_at(&mut piece[..count], 0)?;
    let (head, from) = Head::read(&piece[..count])?;
    let foot = (from as u64).checked_add(head.bytes as u64).filter(|foot| *foot <= end);
    let foot = foot.ok_or_else(malformed)?;
    let mut blocks = vec![0; usize::try_from(end - foot).map_err(|_| malformed())?];
    file.read_exact_at(&mut blocks, foot)?;
    let blocks = read_blocks(&blocks, head.bytes)?;
    let entries = Stored::in_file(
        file.into(),
        from as u64,
        head.bytes as u64,
        blocks,
        options.memory_bytes,
    );
    Contents::checked(head, entries)
}
