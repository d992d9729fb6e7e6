//! Zstd, frame by frame (RFC 8878). The header of each is read here, before the decoder sees it: what it asks for is an
//! attack's first word.

use std::io::Read;

use zstd::zstd_safe::{DCtx, DParameter, InBuffer, OutBuffer, ResetDirective, get_error_name};

use super::Limits;
use super::place::{Place, Places};
use super::source::Source;
use crate::{Error, Result};

/// The longest beginning of a frame, up to its first block: magic, descriptor, window, dictionary, content size.
const HEADER: usize = 4 + 1 + 1 + 4 + 8;
/// What the library can hold on every machine; the limit in bytes is enforced here.
const WINDOW_LOG_MAX: u32 = 31;

#[derive(Default)]
pub(super) struct Unzstd {
    /// Made when the first frame was found acceptable.
    context: Option<DCtx<'static>>,
    state: State,
}

enum State {
    /// Before a frame, of which there must be at least one.
    Start {
        first: bool,
    },
    Frame {
        /// Bytes of content, if the header says how many.
        announced: Option<u64>,
        written: u64,
    },
    Skippable {
        left: u64,
    },
    Ended,
}

impl Default for State {
    fn default() -> Self {
        State::Start { first: true }
    }
}

/// What the beginning of a frame says.
enum Beginning {
    Frame { window: u64, content: Option<u64> },
    Skippable { length: u32 },
}

impl Unzstd {
    /// Begins at a place.
    pub(super) fn at(place: &Place) -> Self {
        Unzstd {
            state: State::Start {
                first: place.input == 0,
            },
            ..Unzstd::default()
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
            let begins = matches!(self.state, State::Start { first: false });
            if begins && places.is_due(source.offset()) && !source.peek(1)?.is_empty() {
                places.add(source.offset(), None);
            }
            match self.state {
                State::Ended => return Ok(0),
                State::Start { first: false } if source.peek(1)?.is_empty() => self.state = State::Ended,
                State::Start { first } => {
                    self.state = match beginning(source.peek(HEADER)?, first)? {
                        Beginning::Skippable { length } => {
                            source.consume(8);
                            State::Skippable { left: length.into() }
                        }
                        Beginning::Frame { window, content } => {
                            if window > limits.window_bytes {
                                let what = format!("a frame needs a window of {window} bytes of memory");
                                return Err(Error::limit("zstd", "window_bytes", limits.window_bytes, what));
                            }
                            self.start()?;
                            State::Frame {
                                announced: content,
                                written: 0,
                            }
                        }
                    };
                }
                State::Skippable { left: 0 } => self.state = State::Start { first: false },
                State::Skippable { left } => {
                    let bytes = source.peek(1)?.len();
                    if bytes == 0 {
                        return Err(Error::truncated("zstd", "the stream ends inside a skippable frame"));
                    }
                    let count = usize::try_from(left).unwrap_or(usize::MAX).min(bytes);
                    source.consume(count);
                    self.state = State::Skippable {
                        left: left - count as u64,
                    };
                }
                State::Frame { announced, written } => {
                    let (count, ended) = self.frame(source, into)?;
                    let written = written + count as u64;
                    self.state = match (ended, announced) {
                        (false, _) => State::Frame { announced, written },
                        // The library looks too, but not after a last block that is empty.
                        (true, Some(announced)) if announced != written => {
                            let what = format!("a frame announces {announced} bytes of content and has {written}");
                            return Err(Error::malformed("zstd", what));
                        }
                        (true, _) => State::Start { first: false },
                    };
                    if count != 0 {
                        return Ok(count);
                    }
                }
            }
        }
    }

    fn start(&mut self) -> Result<()> {
        let context = match &mut self.context {
            Some(context) => context,
            none => none.insert(DCtx::try_create().ok_or_else(|| Error::unsupported("zstd", "out of memory"))?),
        };
        context.reset(ResetDirective::SessionOnly).map_err(broken)?;
        context
            .set_parameter(DParameter::WindowLogMax(WINDOW_LOG_MAX))
            .map_err(broken)?;
        Ok(())
    }

    /// Decodes some bytes; their number, and whether they are the frame's last ones.
    fn frame<R: Read>(&mut self, source: &mut Source<R>, into: &mut [u8]) -> Result<(usize, bool)> {
        let context = self.context.as_mut().expect("a frame is begun with a context");
        let bytes = source.peek(1)?;
        let empty = bytes.is_empty();
        let mut input = InBuffer::around(bytes);
        let mut output = OutBuffer::around(into);
        let left = context.decompress_stream(&mut output, &mut input).map_err(broken)?;
        let (read, written) = (input.pos(), output.pos());
        source.consume(read);
        if left != 0 && written == 0 && empty {
            return Err(Error::truncated("zstd", "the stream ends in the middle of a frame"));
        }
        Ok((written, left == 0))
    }
}

/// Reads the beginning of a frame (RFC 8878, 3.1.1 and 3.1.2).
fn beginning(bytes: &[u8], first: bool) -> Result<Beginning> {
    let truncated = || Error::truncated("zstd", "the stream ends inside the header of a frame");
    match bytes {
        [0x28, 0xb5, 0x2f, 0xfd, ..] => {}
        [0x50..=0x5f, 0x2a, 0x4d, 0x18, rest @ ..] => {
            let length = rest.first_chunk().ok_or_else(truncated)?;
            return Ok(Beginning::Skippable {
                length: u32::from_le_bytes(*length),
            });
        }
        [] | [0x28] | [0x28, 0xb5] | [0x28, 0xb5, 0x2f] => return Err(truncated()),
        [0x50..=0x5f] | [0x50..=0x5f, 0x2a] | [0x50..=0x5f, 0x2a, 0x4d] => return Err(truncated()),
        _ if first => return Err(Error::malformed("zstd", "the stream does not begin as zstd does")),
        _ => {
            let what = "bytes follow the end of the compressed content and are no frame";
            return Err(Error::malformed("zstd", what));
        }
    }
    let mut rest = &bytes[4..];
    let mut take = |count: usize| -> Result<u64> {
        let (field, after) = rest.split_at_checked(count).ok_or_else(truncated)?;
        rest = after;
        Ok(field.iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte)))
    };
    let descriptor = take(1)?;
    let single_segment = descriptor & 0x20 != 0;
    if descriptor & 0x08 != 0 {
        return Err(Error::malformed("zstd", "the header of a frame has a reserved bit set"));
    }
    let window = if single_segment {
        None
    } else {
        let window = take(1)?;
        let base = 1u64 << (10 + (window >> 3));
        Some(base + base / 8 * (window & 7))
    };
    let dictionary = take([0, 1, 2, 4][descriptor as usize & 3])?;
    if dictionary != 0 {
        let what = format!("a frame needs the dictionary {dictionary}, which nobody can have given here");
        return Err(Error::unsupported("zstd", what));
    }
    // Two bytes count from 256.
    let content = match descriptor >> 6 {
        0 if !single_segment => None,
        0 => Some(take(1)?),
        1 => Some(take(2)? + 256),
        2 => Some(take(4)?),
        _ => Some(take(8)?),
    };
    // Without a window of its own a frame refers back to all of its content.
    let window = window.or(content).unwrap_or_default();
    Ok(Beginning::Frame { window, content })
}

fn broken(code: usize) -> Error {
    Error::malformed(
        "zstd",
        format!("a frame is broken: {}", get_error_name(code).to_lowercase()),
    )
}
