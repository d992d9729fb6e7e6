//! How is a stream compressed so that the same content always gives the same bytes? In blocks of one size, whatever the sizes
//! of the writes and the number of threads.

use std::io::{self, Write};
use std::num::NonZeroUsize;

use crc32fast::Hasher;
use zstd::zstd_safe::{CCtx, CParameter, InBuffer, OutBuffer, get_error_name, zstd_sys::ZSTD_EndDirective};

use super::Compression;
use super::blocks::Blocks;
use crate::{Error, Result};

/// Content that is compressed in one go. It decides the bytes that come out.
const BLOCK: usize = 1 << 20;
/// No name, no time, no flags, and "unknown" for the system and for how hard it was tried (RFC 1952, 2.3).
const GZIP_HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];

/// Compresses what is written to it, and writes that to a sink.
///
/// Gzip comes as one member, which every reader takes, flushed to a byte after each MiB of content; zstd as one frame with a
/// checksum. The bytes depend on content, compression and level, and on the version of the compressors, but on no clock, no
/// sizes of writes and no number of threads.
///
/// It must be [finished](Encoder::finish): dropped before, it leaves a truncated stream, which no reader takes for a whole one.
/// After an error every further write fails.
pub struct Encoder<W> {
    sink: W,
    format: Format,
    /// Content that waits for its block to be full.
    block: Vec<u8>,
    failed: bool,
}

enum Format {
    Plain,
    Gzip {
        blocks: Box<Blocks>,
        crc: Hasher,
        size: u32,
        begun: bool,
    },
    Zstd {
        context: CCtx<'static>,
        output: Vec<u8>,
        within: u64,
    },
}

impl<W: Write> Encoder<W> {
    /// Compresses on one thread: gzip on the caller's own, zstd beside it.
    ///
    /// `level` is 0 to 9 for gzip (`None`: 4) and -7 to 22 for zstd (`None`: 3; above 19 its readers need up to 128 MiB).
    ///
    /// # Errors
    /// [`Unsupported`](crate::ErrorKind::Unsupported) for a level that the compression does not have.
    pub fn new(sink: W, compression: Compression, level: Option<i32>) -> Result<Self> {
        Encoder::with_threads(sink, compression, level, NonZeroUsize::MIN)
    }

    /// Compresses on so many threads, which hold up to 8 MiB each (zstd above level 9 more), to the same bytes as
    /// [`Encoder::new`].
    ///
    /// # Errors
    /// As [`Encoder::new`]; [`Io`](crate::ErrorKind::Io) if a thread cannot be started.
    pub fn with_threads(sink: W, compression: Compression, level: Option<i32>, threads: NonZeroUsize) -> Result<Self> {
        let format = match compression {
            Compression::None if level.is_some() => {
                return Err(Error::unsupported("stream", "what is not compressed has no level"));
            }
            Compression::None => Format::Plain,
            Compression::Gzip => {
                let level = level.unwrap_or(4);
                let level = u32::try_from(level).ok().filter(|level| *level <= 9);
                let level = level.ok_or_else(|| Error::unsupported("gzip", "the level is not one of 0 to 9"))?;
                let blocks = Box::new(Blocks::new(level, threads)?);
                Format::Gzip {
                    blocks,
                    crc: Hasher::new(),
                    size: 0,
                    begun: false,
                }
            }
            Compression::Zstd => {
                let level = level.unwrap_or(3);
                let workers = threads.get().min(MOST_WORKERS);
                Format::Zstd {
                    context: zstd_context(level, workers)?,
                    output: Vec::with_capacity(CCtx::out_size()),
                    within: zstd_within(level, workers),
                }
            }
        };
        Ok(Encoder {
            sink,
            format,
            block: Vec::new(),
            failed: false,
        })
    }

    /// Compresses what is left, writes the end of the stream, and gives back the sink, flushed.
    ///
    /// # Errors
    /// [`Io`](crate::ErrorKind::Io) if the sink fails, or failed before.
    pub fn finish(mut self) -> Result<W> {
        self.check()?;
        self.compress(None)?;
        self.sink.flush()?;
        Ok(self.sink)
    }

    /// How many bytes of content can be in here at most of which nothing came out yet, however long the threads take.
    pub fn within(&self) -> u64 {
        let ahead = match &self.format {
            Format::Plain => return 0,
            Format::Gzip { blocks, .. } => (blocks.most() * BLOCK) as u64,
            Format::Zstd { within, .. } => *within,
        };
        ahead + BLOCK as u64
    }

    /// The sink. To write to it would spoil the stream.
    pub fn get_ref(&self) -> &W {
        &self.sink
    }

    fn check(&self) -> io::Result<()> {
        match self.failed {
            false => Ok(()),
            true => Err(io::Error::other(
                "an earlier error ended the compression of this stream",
            )),
        }
    }

    /// Compresses a full block, or with `None` what has gathered, as the last one.
    fn compress(&mut self, full: Option<&[u8]>) -> io::Result<()> {
        self.failed = true;
        let last = full.is_none();
        let block = full.unwrap_or(&self.block);
        let sink = &mut self.sink;
        match &mut self.format {
            Format::Plain => {}
            Format::Gzip {
                blocks,
                crc,
                size,
                begun,
            } => {
                if !std::mem::replace(begun, true) {
                    sink.write_all(&GZIP_HEADER)?;
                }
                crc.update(block);
                *size = size.wrapping_add(block.len() as u32);
                blocks.push(block, last, |bytes| sink.write_all(bytes))?;
                if last {
                    sink.write_all(&crc.clone().finalize().to_le_bytes())?;
                    sink.write_all(&size.to_le_bytes())?;
                }
            }
            Format::Zstd { context, output, .. } => {
                let mut input = InBuffer::around(block);
                let end = match last {
                    true => ZSTD_EndDirective::ZSTD_e_end,
                    false => ZSTD_EndDirective::ZSTD_e_continue,
                };
                loop {
                    output.clear();
                    let left = context.compress_stream2(&mut OutBuffer::around(output), &mut input, end);
                    let left = left.map_err(|code| io::Error::other(get_error_name(code)))?;
                    sink.write_all(output)?;
                    if (last && left == 0) || (!last && input.pos() == block.len()) {
                        break;
                    }
                }
            }
        }
        self.failed = false;
        Ok(())
    }
}

impl<W: Write> Write for Encoder<W> {
    fn write(&mut self, content: &[u8]) -> io::Result<usize> {
        self.check()?;
        if let Format::Plain = self.format {
            return self.sink.write(content);
        }
        if self.block.is_empty() && content.len() >= BLOCK {
            self.compress(Some(&content[..BLOCK]))?;
            return Ok(BLOCK);
        }
        let count = content.len().min(BLOCK - self.block.len());
        self.block.extend_from_slice(&content[..count]);
        if self.block.len() == BLOCK {
            let mut block = std::mem::take(&mut self.block);
            self.compress(Some(&block))?;
            block.clear();
            self.block = block;
        }
        Ok(count)
    }

    /// Flushes the sink only: to flush the compressor would let the sizes of writes show in the bytes.
    fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }
}

impl<W> std::fmt::Debug for Encoder<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let compression = match self.format {
            Format::Plain => Compression::None,
            Format::Gzip { .. } => Compression::Gzip,
            Format::Zstd { .. } => Compression::Zstd,
        };
        f.debug_struct("Encoder")
            .field("compression", &compression)
            .finish_non_exhaustive()
    }
}

/// The library has no more.
const MOST_WORKERS: usize = 256;

fn zstd_context(level: i32, workers: usize) -> Result<CCtx<'static>> {
    let refused = |code| Error::unsupported("zstd", get_error_name(code));
    if !(-7..=22).contains(&level) {
        return Err(Error::unsupported("zstd", "the level is not one of -7 to 22"));
    }
    let mut context = CCtx::try_create().ok_or_else(|| Error::unsupported("zstd", "out of memory"))?;
    context
        .set_parameter(CParameter::CompressionLevel(level))
        .map_err(refused)?;
    context.set_parameter(CParameter::ChecksumFlag(true)).map_err(refused)?;
    // One worker at least, always: without any, the library splits the content in another way, and the bytes differ.
    context
        .set_parameter(CParameter::NbWorkers(workers as u32))
        .map_err(refused)?;
    let job = zstd_job(level).unwrap_or(0);
    context.set_parameter(CParameter::JobSize(job)).map_err(refused)?;
    Ok(context)
}

/// How many bytes a job has: the window of these levels, or about. The library's own choice, four windows, takes several times the memory; it is left to the
/// library above, where windows are so large that smaller jobs would mostly go over what was gone over before.
fn zstd_job(level: i32) -> Option<u32> {
    match level {
        ..=9 => Some(2 << 20),
        10..=15 => Some(4 << 20),
        _ => None,
    }
}

/// What the jobs have between them that are done, at work or waiting (`ZSTDMT_createJobsTable` has places for up to twice as many as the workers and two
/// more), and the one that fills.
fn zstd_within(level: i32, workers: usize) -> u64 {
    let four_windows = match level {
        ..=19 => 32 << 20,
        20 => 128 << 20,
        21 => 256 << 20,
        _ => 512 << 20,
    };
    let job = zstd_job(level).map_or(four_windows, u64::from);
    (2 * (workers as u64 + 2) + 1) * job
}
