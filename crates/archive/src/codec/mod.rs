//! Compression: gzip and zstd as streams, decoded under limits and encoded deterministically.
//!
//! - [`Compression`] tells by the first bytes what a stream is.
//! - [`Decoder`] reads a compressed stream, under [`Limits`], to an end that was checked; or from a [`Place`] on that it came by before.
//! - [`Encoder`] writes one; the same content and level give the same bytes, whatever the number of threads.

mod blocks;
mod decoder;
mod encoder;
mod gunzip;
mod inflate;
mod place;
mod source;
mod unzstd;

pub use decoder::Decoder;
pub use encoder::Encoder;
pub use place::{Inside, Place};

/// How a stream is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Compression {
    /// Not at all, or in no way that is known here.
    None,
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstd,
}

impl Compression {
    /// Bytes of the beginning of a stream that [`Compression::of`] looks at.
    pub const MAGIC_BYTES: usize = 4;

    /// Tells by the first bytes of a stream, as all engines do, because media types are wrong now and then.
    pub fn of(beginning: &[u8]) -> Self {
        match beginning {
            [0x1f, 0x8b, ..] => Compression::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Compression::Zstd,
            // A skippable frame, with which some writers begin.
            [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Compression::Zstd,
            _ => Compression::None,
        }
    }

    fn format(self) -> &'static str {
        match self {
            Compression::None => "stream",
            Compression::Gzip => "gzip",
            Compression::Zstd => "zstd",
        }
    }
}

impl std::fmt::Display for Compression {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Compression::None => "none",
            Compression::Gzip => "gzip",
            Compression::Zstd => "zstd",
        })
    }
}

/// How much a compressed stream may ask of its reader. Each error that comes of a limit names its field here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of output in all. Default 1 TiB.
    pub output_bytes: u64,
    /// Bytes of output for each byte of input, once there are more than [`Limits::ratio_from`] of output. Default 512:
    /// gzip reaches 1032 and zstd tens of thousands, but only on content that is one byte over and over.
    pub ratio: u64,
    /// Bytes of output below which the ratio does not count. Default 1 GiB.
    pub ratio_from: u64,
    /// Bytes of output that a zstd frame may refer back to, all of which the decoder holds. Default 2^27, 128 MiB, which is
    /// what `zstd` itself allows unless told otherwise; its levels up to 19 need 2^23.
    pub window_bytes: u64,
    /// Bytes of one gzip header: its extra field, name and comment. Default 1 MiB.
    pub header_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            output_bytes: 1 << 40,
            ratio: 512,
            ratio_from: 1 << 30,
            window_bytes: 1 << 27,
            header_bytes: 1 << 20,
        }
    }
}
