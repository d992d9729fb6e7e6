//! Gzip, member by member: header, deflated body, checksum and size (RFC 1952).
//!
//! The checksum is taken of each stretch as it comes out, while it is in the processor's cache.

use std::io::Read;

use crc32fast::Hasher;

use super::Limits;
use super::inflate::{AHEAD, Broken, Inflate};
use super::place::{Inside, Place, Places};
use super::source::Source;
use crate::{Error, Result};

/// Flags of a header (RFC 1952, 2.3.1).
const HAS_CRC: u8 = 1 << 1;
const HAS_EXTRA: u8 = 1 << 2;
const HAS_NAME: u8 = 1 << 3;
const HAS_COMMENT: u8 = 1 << 4;
const RESERVED: u8 = 0b1110_0000;

pub(super) struct Gunzip {
    inflate: Inflate,
    crc: Hasher,
    /// Of the member's output, modulo 2^32 as its trailer has it.
    size: u32,
    state: State,
}

enum State {
    /// Before a member, of which there must be at least one.
    Start {
        first: bool,
    },
    Body,
    Trailer,
    Ended,
}

impl Default for Gunzip {
    fn default() -> Self {
        Gunzip {
            inflate: Inflate::default(),
            crc: Hasher::new(),
            size: 0,
            state: State::Start { first: true },
        }
    }
}

impl Gunzip {
    /// Begins at a place.
    pub(super) fn at(place: &Place) -> Self {
        let Some(inside) = &place.inside else {
            return Gunzip {
                state: State::Start {
                    first: place.input == 0,
                },
                ..Gunzip::default()
            };
        };
        Gunzip {
            inflate: Inflate::resumed(inside.bits, inside.count, &inside.window),
            crc: Hasher::new_with_initial(inside.crc),
            size: inside.size,
            state: State::Body,
        }
    }

    /// Decodes some bytes into a buffer that is not empty; 0 is the checked end of the stream. Places that come meanwhile come before these bytes.
    pub(super) fn read<R: Read>(
        &mut self,
        source: &mut Source<R>,
        limits: &Limits,
        places: &mut Places,
        into: &mut [u8],
    ) -> Result<usize> {
        loop {
            if places.is_due(source.offset()) {
                match self.state {
                    State::Start { first: false } if !source.peek(1)?.is_empty() => places.add(source.offset(), None),
                    State::Body if self.inflate.is_between_blocks() => places.add(source.offset(), Some(self.inside())),
                    _ => {}
                }
            }
            match self.state {
                State::Ended => return Ok(0),
                State::Start { first: false } if source.peek(1)?.is_empty() => self.state = State::Ended,
                State::Start { first } => {
                    header(source, limits, first)?;
                    self.inflate.reset();
                    self.crc.reset();
                    self.size = 0;
                    self.state = State::Body;
                }
                State::Body => {
                    let count = self.body(source, places.left(source.offset()), into)?;
                    if count != 0 {
                        return Ok(count);
                    }
                }
                State::Trailer => {
                    self.trailer(source)?;
                    self.state = State::Start { first: false };
                }
            }
        }
    }

    fn inside(&self) -> Inside {
        let (bits, count, window) = self.inflate.standing();
        Inside {
            bits,
            count,
            crc: self.crc.clone().finalize(),
            size: self.size,
            window,
        }
    }

    fn body<R: Read>(&mut self, source: &mut Source<R>, pause: usize, into: &mut [u8]) -> Result<usize> {
        let read = self.inflate.read(source.peek(AHEAD)?, into, pause);
        let (read, written) = read.map_err(|broken| match broken {
            Broken::Truncated => Error::truncated("gzip", "the stream ends in the middle of its content"),
            Broken::Content(what) => Error::malformed("gzip", format!("the deflated content is broken: {what}")),
        })?;
        source.consume(read);
        if self.inflate.is_ended() {
            self.state = State::Trailer;
        } else if read == 0 && written == 0 {
            return Err(Error::malformed("gzip", "the deflated content is stuck"));
        }
        let output = &into[..written];
        self.crc.update(output);
        self.size = self.size.wrapping_add(written as u32);
        Ok(written)
    }

    fn trailer<R: Read>(&mut self, source: &mut Source<R>) -> Result<()> {
        let Some(trailer) = source.peek(8)?.first_chunk::<8>() else {
            return Err(Error::truncated(
                "gzip",
                "the stream ends before the checksum of its content",
            ));
        };
        let [c0, c1, c2, c3, s0, s1, s2, s3] = *trailer;
        let (crc, size) = (
            u32::from_le_bytes([c0, c1, c2, c3]),
            u32::from_le_bytes([s0, s1, s2, s3]),
        );
        let computed = self.crc.clone().finalize();
        if crc != computed {
            let what = format!("the content does not have its checksum (CRC-32 {computed:08x}, not {crc:08x})");
            return Err(Error::malformed("gzip", what));
        }
        if size != self.size {
            let what = format!(
                "the content does not have its size ({} bytes modulo 2^32, not {size})",
                self.size
            );
            return Err(Error::malformed("gzip", what));
        }
        source.consume(8);
        Ok(())
    }
}

/// Reads the header of a member. Its texts are passed over; they say nothing that an image needs.
fn header<R: Read>(source: &mut Source<R>, limits: &Limits, first: bool) -> Result<()> {
    let malformed = |what: &'static str| Err(Error::malformed("gzip", what));
    let mut header = Header {
        source,
        crc: Hasher::new(),
        left: limits.header_bytes,
        limit: limits.header_bytes,
    };
    match header.source.peek(2)? {
        [0x1f, 0x8b, ..] => {}
        [] | [0x1f] => return Err(truncated()),
        _ if first => return malformed("the stream does not begin as gzip does"),
        _ => {
            return malformed(
                "bytes follow the end of the compressed content; some engines ignore and some refuse them",
            );
        }
    }
    let fixed: [u8; 10] = header.take()?;
    let flags = fixed[3];
    if fixed[2] != 8 {
        return malformed("the compression method is not deflate");
    }
    if flags & RESERVED != 0 {
        return malformed("the header has flags that are not defined");
    }
    if flags & HAS_EXTRA != 0 {
        let length = u16::from_le_bytes(header.take()?);
        header.skip(length.into())?;
    }
    for text in [HAS_NAME, HAS_COMMENT] {
        if flags & text != 0 {
            header.skip_text()?;
        }
    }
    if flags & HAS_CRC != 0 {
        let computed = header.crc.clone().finalize() as u16;
        if u16::from_le_bytes(header.take()?) != computed {
            return malformed("the checksum of the header is wrong");
        }
    }
    Ok(())
}

struct Header<'a, R> {
    source: &'a mut Source<R>,
    crc: Hasher,
    left: u64,
    limit: u64,
}

impl<R: Read> Header<'_, R> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N]> {
        let bytes = *self.source.peek(N)?.first_chunk::<N>().ok_or_else(truncated)?;
        self.pass(N)?;
        Ok(bytes)
    }

    fn skip(&mut self, count: usize) -> Result<()> {
        // At most 64 KiB, which the buffer holds.
        if self.source.peek(count)?.len() < count {
            return Err(truncated());
        }
        self.pass(count)
    }

    /// Passes over a text and the NUL behind it.
    fn skip_text(&mut self) -> Result<()> {
        loop {
            let bytes = self.source.peek(1)?;
            if bytes.is_empty() {
                return Err(truncated());
            }
            match bytes.iter().position(|&byte| byte == 0) {
                Some(end) => return self.pass(end + 1),
                None => {
                    let count = bytes.len();
                    self.pass(count)?;
                }
            }
        }
    }

    fn pass(&mut self, count: usize) -> Result<()> {
        self.left = self
            .left
            .checked_sub(count as u64)
            .ok_or_else(|| Error::limit("gzip", "header_bytes", self.limit, "the header of a member is too long"))?;
        self.crc.update(&self.source.peek(count)?[..count]);
        self.source.consume(count);
        Ok(())
    }
}

fn truncated() -> Error {
    Error::truncated("gzip", "the stream ends inside a header")
}
