//! Zstd, frame by frame (RFC 8878). The header of each is read here, before the decoder sees it: what it asks for is an
//! attack's first word.

use std::io::Read;

use zstd::zstd_safe::{DCtx, DParameter, InBuffer, OutBuffer, ResetDirective, get_error_name};

use super::Limits;
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

#[derive(Default)]
enum State {
    /// Before a frame, of which there must be at least one.
    #[default]
    First,
    Next,
    Frame,
    Skippable {
        left: u64,
        then: Next,
    },
    Ended,
}

#[derive(Clone, Copy)]
enum Next {
    First,
    Other,
}

/// What the beginning of a frame says.
enum Beginning {
    Frame { window: u64 },
    Skippable { length: u32 },
}

impl Unzstd {
    /// Decodes some bytes into a buffer that is not empty; 0 is the checked end of the stream.
    pub(super) fn read<R: Read>(&mut self, source: &mut Source<R>, limits: &Limits, into: &mut [u8]) -> Result<usize> {
        loop {
            match self.state {
                State::Ended => return Ok(0),
                State::Next if source.peek(1)?.is_empty() => self.state = State::Ended,
                State::First | State::Next => {
                    let first = matches!(self.state, State::First);
                    self.state = match beginning(source.peek(HEADER)?, first)? {
                        Beginning::Skippable { length } => {
                            source.consume(8);
                            let then = if first { Next::First } else { Next::Other };
                            State::Skippable {
                                left: length.into(),
                                then,
                            }
                        }
                        Beginning::Frame { window } => {
                            if window > limits.window_bytes {
                                let what = format!("a frame needs a window of {window} bytes of memory");
                                return Err(Error::limit("zstd", "window_bytes", limits.window_bytes, what));
                            }
                            self.start()?;
                            State::Frame
                        }
                    };
                }
                State::Skippable { left: 0, then } => {
                    self.state = match then {
                        Next::First => State::First,
                        Next::Other => State::Next,
                    }
                }
                State::Skippable { left, then } => {
                    let bytes = source.peek(1)?.len();
                    if bytes == 0 {
                        return Err(Error::truncated("zstd", "the stream ends inside a skippable frame"));
                    }
                    let count = usize::try_from(left).unwrap_or(usize::MAX).min(bytes);
                    source.consume(count);
                    self.state = State::Skippable {
                        left: left - count as u64,
                        then,
                    };
                }
                State::Frame => {
                    let count = self.frame(source, into)?;
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

    fn frame<R: Read>(&mut self, source: &mut Source<R>, into: &mut [u8]) -> Result<usize> {
        let context = self.context.as_mut().expect("a frame is begun with a context");
        let bytes = source.peek(1)?;
        let ended = bytes.is_empty();
        let mut input = InBuffer::around(bytes);
        let mut output = OutBuffer::around(into);
        let result = context.decompress_stream(&mut output, &mut input);
        let (read, written) = (input.pos(), output.pos());
        source.consume(read);
        match result {
            Ok(0) => self.state = State::Next,
            Ok(_) if written == 0 && ended => {
                return Err(Error::truncated("zstd", "the stream ends in the middle of a frame"));
            }
            Ok(_) => {}
            Err(code) => return Err(broken(code)),
        }
        Ok(written)
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
            let what = "bytes follow the end of the compressed content that are not compressed themselves";
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
    let window = match (window, descriptor >> 6) {
        (Some(window), _) => window,
        // The whole content is the window. Two bytes count from 256.
        (None, 0) => take(1)?,
        (None, 1) => take(2)? + 256,
        (None, 2) => take(4)?,
        (None, _) => take(8)?,
    };
    Ok(Beginning::Frame { window })
}

fn broken(code: usize) -> Error {
    Error::malformed(
        "zstd",
        format!("a frame is broken: {}", get_error_name(code).to_lowercase()),
    )
}
