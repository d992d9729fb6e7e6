//! The 512-byte header block: where its fields lie, its checksum, its three dialects.
//!
//! POSIX.1-2017, pax, "ustar Interchange Format"; GNU tar manual, "Basic Tar Format".

use std::ops::Range;

use super::BLOCK;
use super::number::{field, put_octal};
use crate::{Error, Result};

pub(super) const NAME: Range<usize> = 0..100;
pub(super) const MODE: Range<usize> = 100..108;
pub(super) const UID: Range<usize> = 108..116;
pub(super) const GID: Range<usize> = 116..124;
pub(super) const SIZE: Range<usize> = 124..136;
pub(super) const MTIME: Range<usize> = 136..148;
const CHECKSUM: Range<usize> = 148..156;
pub(super) const TYPE: usize = 156;
pub(super) const LINK: Range<usize> = 157..257;
pub(super) const MAGIC: Range<usize> = 257..265;
pub(super) const UNAME: Range<usize> = 265..297;
pub(super) const GNAME: Range<usize> = 297..329;
pub(super) const MAJOR: Range<usize> = 329..337;
pub(super) const MINOR: Range<usize> = 337..345;
/// POSIX only.
pub(super) const PREFIX: Range<usize> = 345..500;
/// GNU only, as the following.
pub(super) const ATIME: Range<usize> = 345..357;
pub(super) const CTIME: Range<usize> = 357..369;
pub(super) const REAL_SIZE: Range<usize> = 483..495;

pub(super) const POSIX_MAGIC: &[u8; 8] = b"ustar\x0000";
const GNU_MAGIC: &[u8; 8] = b"ustar  \0";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// Before POSIX: no names of owners, no devices, no prefix.
    V7,
    Posix,
    Gnu,
}

pub(super) struct Block(pub(super) [u8; BLOCK]);

impl Block {
    pub(super) fn dialect(&self) -> Dialect {
        let magic = &self.0[MAGIC];
        if magic == GNU_MAGIC {
            Dialect::Gnu
        } else if magic.starts_with(b"ustar\0") {
            // The version is not compared: all known readers go by the first six bytes.
            Dialect::Posix
        } else {
            Dialect::V7
        }
    }

    pub(super) fn is_zero(&self) -> bool {
        self.0 == [0; BLOCK]
    }

    pub(super) fn number(&self, range: Range<usize>, name: &'static str) -> Result<i64> {
        field(&self.0[range], name)
    }

    /// A number that cannot be negative.
    pub(super) fn size(&self, range: Range<usize>, name: &'static str) -> Result<u64> {
        let value = self.number(range, name)?;
        value
            .try_into()
            .map_err(|_| Error::malformed("tar", format!("the field {name} is negative")))
    }

    /// A text up to its NUL. Bytes hidden behind the NUL are refused: readers would disagree about the name.
    pub(super) fn text(&self, range: Range<usize>, name: &'static str) -> Result<&[u8]> {
        let bytes = &self.0[range];
        let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
        if bytes[end..].iter().any(|&byte| byte != 0) {
            return Err(Error::malformed("tar", format!("the field {name} contains a NUL")));
        }
        Ok(&bytes[..end])
    }

    /// Compares the checksum with both sums in use: of unsigned bytes (POSIX), and of signed ones (some old writers).
    pub(super) fn verify(&self) -> Result<()> {
        let said = self.number(CHECKSUM, "checksum")?;
        let unsigned = self.sum();
        if said == unsigned {
            return Ok(());
        }
        let high = self
            .0
            .iter()
            .enumerate()
            .filter(|(at, byte)| !CHECKSUM.contains(at) && **byte > 127)
            .count();
        if said == unsigned - 256 * high as i64 {
            return Ok(());
        }
        let what = format!("the checksum of the header is wrong (it says {said}, the bytes add up to {unsigned})");
        Err(Error::malformed("tar", what))
    }

    /// Writes the checksum, as the last act on a block.
    pub(super) fn seal(&mut self) {
        let sum = self.sum().unsigned_abs();
        let fits = put_octal(&mut self.0[148..155], sum);
        debug_assert!(fits, "512 bytes add up to less than 2^18");
        self.0[155] = b' ';
    }

    /// The sum of all bytes, with the checksum's own field taken as spaces.
    fn sum(&self) -> i64 {
        let all: u32 = self.0.iter().map(|&byte| u32::from(byte)).sum();
        let own: u32 = self.0[CHECKSUM].iter().map(|&byte| u32::from(byte)).sum();
        i64::from(all - own + 8 * u32::from(b' '))
    }
}
