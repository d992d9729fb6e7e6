//! Where can the reading of a compressed stream begin, other than at its beginning? At a [`Place`], which a decoder that came by remembers.

use super::Compression;
use super::inflate::WINDOW;
use crate::{Error, Result};

/// A place in a compressed stream that a decoder can [begin at](super::Decoder::at). Whoever keeps places may have `W` in place of the window, such as
/// where that lies.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place<W = Vec<u8>> {
    /// Bytes of the stream before it.
    pub input: u64,
    /// Bytes that come out before it.
    pub output: u64,
    /// What has to be known there. None where a member of gzip or a frame of zstd begins; a stream that is not compressed can be begun anywhere.
    pub inside: Option<Inside<W>>,
}

/// What has to be known between two blocks of a member of gzip.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inside<W = Vec<u8>> {
    /// What is left of the last byte before the place, in the lowest bits.
    pub bits: u8,
    /// How many bits that are, at most 7.
    pub count: u8,
    /// The CRC-32 of what came out of the member so far.
    pub crc: u32,
    /// How many bytes that were, modulo 2^32.
    pub size: u32,
    /// The last of them, which blocks refer back to: at most [`Inside::WINDOW`].
    pub window: W,
}

impl Inside {
    /// How far blocks refer back, in bytes: 32 KiB.
    pub const WINDOW: usize = WINDOW;
}

impl<W> Place<W> {
    /// The same place with what `window` makes of the window, where it has one.
    pub fn with_window<V>(self, window: impl FnOnce(W) -> V) -> Place<V> {
        Place {
            input: self.input,
            output: self.output,
            inside: self.inside.map(|inside| Inside {
                bits: inside.bits,
                count: inside.count,
                crc: inside.crc,
                size: inside.size,
                window: window(inside.window),
            }),
        }
    }
}

impl Place {
    /// # Errors
    /// [`Malformed`](crate::ErrorKind::Malformed) for a place that no stream of this compression has.
    pub(super) fn check(&self, compression: Compression) -> Result<()> {
        let is_one = match &self.inside {
            None => true,
            Some(inside) => {
                compression == Compression::Gzip && inside.count <= 7 && inside.window.len() <= Inside::WINDOW
            }
        };
        match is_one {
            true => Ok(()),
            false => Err(Error::malformed(
                compression.format(),
                "no stream can be begun at such a place",
            )),
        }
    }
}

/// The places that a decoder remembers.
#[derive(Debug)]
pub(super) struct Places {
    every: u64,
    /// The least input of the next one.
    due: u64,
    /// What came out before the read that is under way.
    pub(super) output: u64,
    pub(super) found: Vec<Place>,
}

impl Places {
    /// At least so many bytes of input are before each, and between two.
    pub(super) fn every(every: u64) -> Self {
        Places {
            every,
            due: every,
            output: 0,
            found: Vec::new(),
        }
    }

    pub(super) fn none() -> Self {
        Places::every(u64::MAX)
    }

    pub(super) fn is_due(&self, input: u64) -> bool {
        input >= self.due
    }

    /// How many bytes of input are left until one is due.
    pub(super) fn left(&self, input: u64) -> usize {
        usize::try_from(self.due.saturating_sub(input)).unwrap_or(usize::MAX)
    }

    pub(super) fn add(&mut self, input: u64, inside: Option<Inside>) {
        self.due = input.saturating_add(self.every.max(1));
        self.found.push(Place {
            input,
            output: self.output,
            inside,
        });
    }
}
