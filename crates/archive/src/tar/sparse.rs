//! The maps of sparse files: where the data of a file lies that is mostly holes.
//!
//! Four dialects say the same thing: GNU's old headers, and GNU's PAX records 0.0, 0.1 and 1.0 (GNU tar manual, "Storing
//! Sparse Files"). All are held to one rule: stretches in order, apart, within the file, and in sum exactly the stored bytes.

use super::number::{decimal, field};
use super::{BLOCK, Limits};
use crate::{Error, Result};

/// A stretch of a file that holds data; what lies between stretches reads as zeros.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// Where it begins in the file.
    pub offset: u64,
    /// Its length in bytes, not 0.
    pub length: u64,
}

/// A map as it grows, checked at every step so that a bomb is refused before it is held.
#[derive(Debug, Default)]
pub(super) struct Map {
    segments: Vec<Segment>,
    end: u64,
    stored: u64,
    count: u64,
}

impl Map {
    pub(super) fn push(&mut self, offset: u64, length: u64, limits: &Limits) -> Result<()> {
        self.count += 1;
        if self.count > limits.sparse_segments {
            let what = "the sparse map has too many segments";
            return Err(Error::limit("tar", "sparse_segments", limits.sparse_segments, what));
        }
        let end = offset.checked_add(length).filter(|end| i64::try_from(*end).is_ok());
        let end = end.ok_or_else(|| malformed("a segment ends beyond 2^63 - 1"))?;
        if offset < self.end {
            return Err(malformed("segments overlap or are out of order"));
        }
        self.end = end;
        // The writer of GNU marks the end of a file with an empty segment.
        if length != 0 {
            self.stored += length;
            self.segments.push(Segment { offset, length });
        }
        Ok(())
    }

    /// Checks the map against the file's real size and the bytes that are stored for it.
    pub(super) fn finish(self, size: u64, stored: u64) -> Result<Vec<Segment>> {
        if self.end > size {
            return Err(malformed("a segment lies beyond the file's real size"));
        }
        if self.stored != stored {
            let what = format!("segments hold {} bytes, but {stored} are stored", self.stored);
            return Err(malformed(&what));
        }
        Ok(self.segments)
    }
}

/// The records of GNU.sparse 0.0, 0.1 and 1.0, as they arrive in a PAX header.
#[derive(Debug, Default)]
pub(super) struct Records {
    pub(super) name: Option<Vec<u8>>,
    major: Option<u64>,
    minor: Option<u64>,
    size: Option<u64>,
    blocks: Option<u64>,
    map: Map,
    /// An offset of 0.0 that waits for its length.
    offset: Option<u64>,
    mapped: bool,
}

/// What the records ask of the reader.
pub(super) enum Plan {
    /// The map came in the records.
    Mapped(Map, u64),
    /// The map stands before the data (1.0); the real size is known.
    Inline(u64),
}

impl Records {
    /// Takes one record, `key` being what follows `GNU.sparse.`.
    pub(super) fn set(&mut self, key: &[u8], value: &[u8], limits: &Limits) -> Result<()> {
        let number = || decimal(value, &format!("GNU.sparse.{}", String::from_utf8_lossy(key)));
        match key {
            b"major" => self.major = Some(number()?),
            b"minor" => self.minor = Some(number()?),
            b"name" => self.name = Some(value.to_vec()),
            b"size" | b"realsize" => {
                let size = number()?;
                if self.size.is_some_and(|other| other != size) {
                    return Err(malformed("two real sizes disagree"));
                }
                self.size = Some(size);
            }
            b"numblocks" => self.blocks = Some(number()?),
            b"offset" => {
                if self.offset.replace(number()?).is_some() {
                    return Err(malformed("an offset has no length"));
                }
            }
            b"numbytes" => {
                let offset = self.offset.take().ok_or_else(|| malformed("a length has no offset"))?;
                self.map.push(offset, number()?, limits)?;
                self.mapped = true;
            }
            b"map" => {
                if std::mem::replace(&mut self.mapped, true) {
                    return Err(malformed("there are two maps"));
                }
                let mut numbers = value.split(|&byte| byte == b',').filter(|_| !value.is_empty());
                while let Some(offset) = numbers.next() {
                    let length = numbers.next().ok_or_else(|| malformed("an offset has no length"))?;
                    self.map.push(
                        decimal(offset, "GNU.sparse.map")?,
                        decimal(length, "GNU.sparse.map")?,
                        limits,
                    )?;
                }
            }
            _ => return Err(Error::unsupported("tar", "an unknown GNU.sparse record")),
        }
        Ok(())
    }

    pub(super) fn plan(self) -> Result<Plan> {
        let size = self.size.ok_or_else(|| malformed("the real size is missing"))?;
        match (self.major, self.minor) {
            (None | Some(0), _) => {
                if self.offset.is_some() {
                    return Err(malformed("an offset has no length"));
                }
                if self.blocks.is_some_and(|blocks| blocks != self.map.count) {
                    return Err(malformed("the number of segments is not the one announced"));
                }
                Ok(Plan::Mapped(self.map, size))
            }
            (Some(1), Some(0)) if self.mapped || self.offset.is_some() => Err(malformed("there are two maps")),
            (Some(1), Some(0)) => Ok(Plan::Inline(size)),
            _ => Err(Error::unsupported("tar", "a sparse format newer than 1.0")),
        }
    }
}

/// Reads the decimal lines of a 1.0 map: their number, then offset and length of each segment, in whole blocks.
/// Returns the map and the number of bytes read.
pub(super) fn inline_map(limits: &Limits, mut next_block: impl FnMut() -> Result<[u8; BLOCK]>) -> Result<(Map, u64)> {
    let (mut block, mut position, mut read) = ([0; BLOCK], BLOCK, 0);
    let mut line = || -> Result<u64> {
        // As long as the longest number that is accepted, so an endless line ends here.
        let (mut digits, mut length) = ([0u8; 20], 0);
        loop {
            if position == BLOCK {
                (block, position, read) = (next_block()?, 0, read + BLOCK as u64);
            }
            let byte = block[position];
            position += 1;
            match byte {
                b'\n' => return decimal(&digits[..length], "a number of the sparse map"),
                _ if length == digits.len() => return Err(malformed("a number is too long")),
                _ => digits[length] = byte,
            }
            length += 1;
        }
    };
    let count = line()?;
    let mut map = Map::default();
    for _ in 0..count {
        let (offset, length) = (line()?, line()?);
        map.push(offset, length, limits)?;
    }
    Ok((map, read))
}

/// Reads the map of GNU's old format: four pairs in the header, then blocks of 21 for as long as each says that more follow.
pub(super) fn old_map(
    header: &[u8; BLOCK],
    limits: &Limits,
    mut next_block: impl FnMut() -> Result<[u8; BLOCK]>,
) -> Result<Map> {
    let mut map = Map::default();
    old_pairs(&header[386..482], &mut map, limits)?;
    let mut more = header[482] != 0;
    while more {
        let block = next_block()?;
        old_pairs(&block[..504], &mut map, limits)?;
        more = block[504] != 0;
    }
    Ok(map)
}

fn old_pairs(pairs: &[u8], map: &mut Map, limits: &Limits) -> Result<()> {
    for pair in pairs.chunks_exact(24).take_while(|pair| pair[0] != 0) {
        let part = |bytes| {
            field(bytes, "sparse")?
                .try_into()
                .map_err(|_| malformed("a number is negative"))
        };
        map.push(part(&pair[..12])?, part(&pair[12..])?, limits)?;
    }
    Ok(())
}

fn malformed(what: &str) -> Error {
    Error::malformed("tar", format!("the sparse map is wrong: {what}"))
}
