//! How is a list written small? As what the records that are kept on a disk are made of: a number is seven bits a byte, the lowest first; bytes have
//! their number before them; a time may lie before 1970, so the sign of its seconds goes to the lowest bit.

use teu_rootfs::Time;
use teu_store::{Error, Result};

pub(crate) fn number(into: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        into.push(value as u8 | 0x80);
        value >>= 7;
    }
    into.push(value as u8);
}

pub(crate) fn bytes(into: &mut Vec<u8>, bytes: &[u8]) {
    number(into, bytes.len() as u64);
    into.extend_from_slice(bytes);
}

pub(crate) fn time(into: &mut Vec<u8>, time: Time) {
    number(into, ((time.seconds << 1) ^ (time.seconds >> 63)) as u64);
    number(into, u64::from(time.nanoseconds));
}

/// Reads what was written so, out of bytes that nobody vouches for.
pub(crate) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
    malformed: fn() -> Error,
}

impl<'a> Cursor<'a> {
    /// Begins at a place; `malformed` is the error of what was not written so.
    pub(crate) fn new(bytes: &'a [u8], at: usize, malformed: fn() -> Error) -> Self {
        Self { bytes, at, malformed }
    }

    /// Where it stands.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let taken = self.bytes.get(self.at..).and_then(|rest| rest.get(..count));
        let taken = taken.ok_or_else(self.malformed)?;
        self.at += count;
        Ok(taken)
    }

    pub(crate) fn byte(&mut self) -> Result<u8> {
        Ok(self.take(1)?[0])
    }

    pub(crate) fn number(&mut self) -> Result<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            value |= bits << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err((self.malformed)())
    }

    pub(crate) fn small(&mut self) -> Result<u32> {
        u32::try_from(self.number()?).map_err(|_| (self.malformed)())
    }

    pub(crate) fn bytes(&mut self) -> Result<&'a [u8]> {
        let length = usize::try_from(self.number()?).map_err(|_| (self.malformed)())?;
        self.take(length)
    }

    pub(crate) fn time(&mut self) -> Result<Time> {
        let seconds = self.number()?;
        Ok(Time {
            seconds: (seconds >> 1) as i64 ^ -((seconds & 1) as i64),
            nanoseconds: self.small()?,
        })
    }
}
