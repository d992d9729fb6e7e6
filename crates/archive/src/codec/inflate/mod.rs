//! How is deflated content read (RFC 1951)? As a stream, in fixed memory, with what came out last for what refers back to it.
//!
//! It is here because nothing else inflates a stream of any size as fast without `unsafe`: a word of input at a time, lengths and distances with
//! their extra bits in one look-up, matches copied in words past their end. Near the end of the input or of the room another way is taken, which
//! looks at each bit. docs/performance.md has what others gave.

mod table;
#[cfg(test)]
mod tests;

use std::ops::ControlFlow;

use table::{DISTANCES, Entry, LENGTHS, LITERALS, build};

/// How many bytes of input [`Inflate::read`] wants to see while there are as many: a block's header is read in one go, of at most
/// 3 + 14 + 19 · 3 + 316 · 14 bits.
pub(super) const AHEAD: usize = 1024;

/// What a match can refer back to.
pub(super) const WINDOW: usize = 32 << 10;
const LONGEST_MATCH: usize = 258;
/// What is copied of a match at once, perhaps past its end.
const STRIDE: usize = 32;
/// Bits of a match with its distance, at most: 15 + 5 + 15 + 13.
const MATCH_BITS: u32 = 48;

/// Bits that the first look-up takes.
const LITERAL_BITS: u32 = 11;
const DISTANCE_BITS: u32 = 8;
/// Room for all entries, a power of two: zlib's `enough` says 2342 for 288 symbols, and 402 for 32.
const LITERAL_TABLE: usize = 4096;
const DISTANCE_TABLE: usize = 512;

/// Why content cannot be inflated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Broken {
    /// The input ends before the content does.
    Truncated,
    Content(&'static str),
}

type Result<T> = std::result::Result<T, Broken>;

/// Some 60 KiB: to be boxed.
pub(super) struct Inflate {
    state: State,
    /// The block is the last one.
    last: bool,
    /// What is left of a byte that was used in part.
    bits: u64,
    count: u32,
    literals: [Entry; LITERAL_TABLE],
    distances: [Entry; DISTANCE_TABLE],
    window: Window,
}

#[derive(Clone, Copy)]
enum State {
    /// Before a block.
    Block,
    /// In a block that is stored as it is, with so many bytes to come.
    Stored(usize),
    /// In a block of codes.
    Codes,
    /// In a match for which there was no room.
    Match {
        length: usize,
        distance: usize,
    },
    Ended,
}

impl Default for Inflate {
    fn default() -> Self {
        Inflate {
            state: State::Block,
            last: false,
            bits: 0,
            count: 0,
            literals: [Entry::default(); LITERAL_TABLE],
            distances: [Entry::default(); DISTANCE_TABLE],
            window: Window {
                bytes: [0; WINDOW],
                next: 0,
                filled: 0,
            },
        }
    }
}

impl Inflate {
    /// Begins anew, with nothing to refer back to.
    pub(super) fn reset(&mut self) {
        (self.state, self.last, self.bits, self.count) = (State::Block, false, 0, 0);
        (self.window.next, self.window.filled) = (0, 0);
    }

    /// Whether the content has come to its end.
    pub(super) fn is_ended(&self) -> bool {
        matches!(self.state, State::Ended)
    }

    /// Whether a block comes next, so that another one can [go on](Inflate::resumed) from here.
    pub(super) fn is_between_blocks(&self) -> bool {
        matches!(self.state, State::Block) && !self.last
    }

    /// What one that goes on from here has to know, [between two blocks](Inflate::is_between_blocks): the bits that are left of the last byte of
    /// input, how many they are, at most 7, and the last bytes of output.
    pub(super) fn standing(&self) -> (u8, u8, Vec<u8>) {
        (self.bits as u8, self.count as u8, self.window.in_order())
    }

    /// Goes on where another one stood, at most 32 KiB of whose output count.
    pub(super) fn resumed(bits: u8, count: u8, window: &[u8]) -> Self {
        let mut inflate = Inflate::default();
        inflate.count = u32::from(count).min(7);
        inflate.bits = u64::from(bits) & ((1 << inflate.count) - 1);
        inflate.window.remember(window);
        inflate
    }

    /// Inflates into `out`, all of which it may change; how many bytes of input it used and how many it wrote, not both none but at the end.
    /// Fewer than [`AHEAD`] bytes of input are the last ones. It stops before a block that begins behind `pause` bytes of input, unless nothing
    /// was written yet.
    pub(super) fn read(&mut self, bytes: &[u8], out: &mut [u8], pause: usize) -> Result<(usize, usize)> {
        let mut input = Input {
            bytes,
            at: 0,
            bits: self.bits,
            count: self.count,
            all: bytes.len() < AHEAD,
        };
        let mut to = 0;
        while self.step(&mut input, out, &mut to, pause)?.is_continue() {}
        input.unread();
        (self.bits, self.count) = (input.bits, input.count);
        self.window.remember(&out[..to]);
        Ok((input.at, to))
    }

    /// Goes on as far as the state goes; breaks where input or room is missing.
    fn step(&mut self, input: &mut Input<'_>, out: &mut [u8], to: &mut usize, pause: usize) -> Result<ControlFlow<()>> {
        match self.state {
            State::Ended => return Ok(ControlFlow::Break(())),
            State::Block if self.last => self.state = State::Ended,
            State::Block => {
                input.unread();
                // What is not asked for yet may not be there: who begins within a stream has no more of it than he needs.
                let is_enough = *to > 0 && (*to == out.len() || input.at >= pause);
                if is_enough || (!input.all && input.bytes.len() - input.at < AHEAD) {
                    return Ok(ControlFlow::Break(()));
                }
                self.block(input)?;
            }
            State::Stored(0) => self.state = State::Block,
            State::Stored(left) => {
                let rest = &input.bytes[input.at..];
                let count = left.min(rest.len()).min(out.len() - *to);
                match (count, rest) {
                    (0, []) if input.all => return Err(Broken::Truncated),
                    (0, _) => return Ok(ControlFlow::Break(())),
                    _ => {}
                }
                out[*to..*to + count].copy_from_slice(&rest[..count]);
                *to += count;
                input.at += count;
                self.state = State::Stored(left - count);
            }
            State::Codes => {
                self.codes(input, out, to)?;
                if matches!(self.state, State::Codes) {
                    return self.code(input, out, to);
                }
            }
            State::Match { length, distance } => {
                let count = length.min(out.len() - *to);
                if count == 0 {
                    return Ok(ControlFlow::Break(()));
                }
                self.window.repeat(out, *to, count, distance)?;
                *to += count;
                self.state = match length - count {
                    0 => State::Codes,
                    length => State::Match { length, distance },
                };
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Reads the header of a block (3.2.3).
    fn block(&mut self, input: &mut Input<'_>) -> Result<()> {
        self.last = input.take(1)? == 1;
        self.state = match input.take(2)? {
            0 => {
                let partial = input.count % 8;
                input.take(partial)?;
                let length = input.take(16)?;
                if input.take(16)? != length ^ 0xffff {
                    return Err(Broken::Content("a stored block does not say its length"));
                }
                input.unread();
                State::Stored(length as usize)
            }
            1 => {
                let mut lengths = [8; 288];
                lengths[144..256].fill(9);
                lengths[256..280].fill(7);
                build(&mut self.literals, LITERAL_BITS, &lengths, &LITERALS)?;
                build(&mut self.distances, DISTANCE_BITS, &[5; 32], &DISTANCES)?;
                State::Codes
            }
            2 => {
                self.block_of_its_own_codes(input)?;
                State::Codes
            }
            _ => return Err(Broken::Content("a block is of no kind that there is")),
        };
        Ok(())
    }

    /// Reads the codes of a block (3.2.7).
    fn block_of_its_own_codes(&mut self, input: &mut Input<'_>) -> Result<()> {
        const ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
        const BITS: u32 = 7;
        let literals = input.take(5)? as usize + 257;
        let distances = input.take(5)? as usize + 1;
        let codes = input.take(4)? as usize + 4;
        if literals > 286 || distances > 30 {
            return Err(Broken::Content("a block has more lengths or distances than there are"));
        }
        let mut lengths = [0; LENGTHS.len()];
        for place in &ORDER[..codes] {
            lengths[*place] = input.take(3)? as u8;
        }
        let mut table = [Entry::default(); 1 << BITS];
        build(&mut table, BITS, &lengths, &LENGTHS)?;

        let wrong = Broken::Content("the lengths of a block's codes are wrong");
        let mut lengths = [0; 286 + 30];
        let all = literals + distances;
        let mut have = 0;
        while have < all {
            input.fill();
            let entry = table[input.bits as usize & ((1 << BITS) - 1)];
            if entry.bits() > input.count {
                return Err(Broken::Truncated);
            }
            if entry.is_exception() {
                return Err(wrong);
            }
            input.consume(entry.bits());
            let (length, times) = match entry.literal() {
                16 if have == 0 => return Err(wrong),
                16 => (lengths[have - 1], 3 + input.take(2)?),
                17 => (0, 3 + input.take(3)?),
                18 => (0, 11 + input.take(7)?),
                length => (length, 1),
            };
            let end = have + times as usize;
            if end > all {
                return Err(wrong);
            }
            lengths[have..end].fill(length);
            have = end;
        }
        if lengths[256] == 0 {
            return Err(Broken::Content("a block has no code for its end"));
        }
        build(&mut self.literals, LITERAL_BITS, &lengths[..literals], &LITERALS)?;
        build(&mut self.distances, DISTANCE_BITS, &lengths[literals..all], &DISTANCES)
    }

    /// One symbol, wherever input and room end.
    fn code(&mut self, input: &mut Input<'_>, out: &mut [u8], to: &mut usize) -> Result<ControlFlow<()>> {
        input.fill();
        let certain = input.count >= MATCH_BITS;
        if *to == out.len() || (!certain && !input.all) {
            return Ok(ControlFlow::Break(()));
        }
        // What is made of bits that are not there is no symbol.
        let check = |used: u32, entry: Entry, what| match used > input.count {
            true => Err(Broken::Truncated),
            false if entry.is_exception() && !entry.is_end() && !certain => Err(Broken::Truncated),
            false if entry.is_exception() && !entry.is_end() => Err(Broken::Content(what)),
            false => Ok(()),
        };
        let (mut used, mut bits) = (0, input.bits);
        let mut entry = self.literals[bits as usize % (1 << LITERAL_BITS)];
        if entry.is_table() {
            used = LITERAL_BITS;
            bits >>= LITERAL_BITS;
            entry = self.literals[entry.place(bits) % LITERAL_TABLE];
        }
        used += entry.bits();
        check(used, entry, "a block has a code that means nothing")?;
        if entry.is_literal() {
            out[*to] = entry.literal();
            *to += 1;
        } else if entry.is_end() {
            self.state = State::Block;
        } else {
            let length = entry.value(bits);
            bits = input.bits >> used;
            let mut entry = self.distances[bits as usize % (1 << DISTANCE_BITS)];
            if entry.is_table() {
                used += DISTANCE_BITS;
                bits >>= DISTANCE_BITS;
                entry = self.distances[entry.place(bits) % DISTANCE_TABLE];
            }
            used += entry.bits();
            check(used, entry, "a block has a distance that means nothing")?;
            let distance = entry.value(bits);
            self.state = State::Match { length, distance };
        }
        input.consume(used);
        Ok(ControlFlow::Continue(()))
    }

    /// Symbols, as long as neither input nor room can end in one of them.
    #[inline(never)]
    fn codes(&mut self, input: &mut Input<'_>, out: &mut [u8], to: &mut usize) -> Result<()> {
        const LITERALS: u64 = (1 << LITERAL_BITS) - 1;
        const DISTANCES: u64 = (1 << DISTANCE_BITS) - 1;
        // Three words are read in a round at most, and two literals come before a match.
        let enough = input.bytes.len().saturating_sub(3 * 8);
        let room = out.len().saturating_sub(2 + LONGEST_MATCH + STRIDE);
        if input.at >= enough || *to >= room {
            return Ok(());
        }
        // In registers, which the compiler does not make of what is behind a reference.
        let bytes = input.bytes;
        let (mut at, mut bits, mut count, mut here) = (input.at, input.bits, input.count, *to);
        // Has at least 56 bits at hand then. Bits above `count` are those of bytes that are read again.
        macro_rules! refill {
            () => {
                let word = bytes[at..].first_chunk().expect("a word is there");
                bits |= u64::from_le_bytes(*word) << (count & 63);
                at += ((63 - count) >> 3) as usize;
                count |= 56;
            };
        }
        macro_rules! consume {
            ($entry:expr) => {
                bits >>= $entry.bits();
                count -= $entry.bits();
            };
        }
        macro_rules! literal {
            ($entry:expr) => {
                out[here] = $entry.literal();
                here += 1;
            };
        }
        let mut outcome = Ok(());
        refill!();
        let mut entry = self.literals[(bits & LITERALS) as usize];
        while at < enough && here < room {
            if entry.is_literal() {
                literal!(entry);
                consume!(entry);
                entry = self.literals[(bits & LITERALS) as usize];
                if entry.is_literal() {
                    literal!(entry);
                    consume!(entry);
                    entry = self.literals[(bits & LITERALS) as usize];
                    if entry.is_literal() {
                        literal!(entry);
                        consume!(entry);
                        refill!();
                        entry = self.literals[(bits & LITERALS) as usize];
                        continue;
                    }
                }
                refill!();
            }
            let mut behind = bits;
            consume!(entry);
            if entry.is_exception() {
                if entry.is_table() {
                    // The bits of the first look-up are consumed.
                    entry = self.literals[entry.place(bits) % LITERAL_TABLE];
                    behind = bits;
                    consume!(entry);
                    if entry.is_literal() {
                        literal!(entry);
                        refill!();
                        entry = self.literals[(bits & LITERALS) as usize];
                        continue;
                    }
                }
                if entry.is_exception() {
                    match entry.is_end() {
                        true => self.state = State::Block,
                        false => outcome = Err(Broken::Content("a block has a code that means nothing")),
                    }
                    break;
                }
            }
            let length = entry.value(behind);
            let mut far = self.distances[(bits & DISTANCES) as usize];
            if far.is_table() {
                consume!(far);
                far = self.distances[far.place(bits) % DISTANCE_TABLE];
            }
            if far.is_exception() {
                outcome = Err(Broken::Content("a block has a distance that means nothing"));
                break;
            }
            let distance = far.value(bits);
            consume!(far);
            refill!();
            // Asked for before the copy, which does not wait for it.
            entry = self.literals[(bits & LITERALS) as usize];
            if distance <= here {
                repeat(out, here, length, distance);
            } else if let Err(error) = self.window.repeat(out, here, length, distance) {
                outcome = Err(error);
                break;
            }
            here += length;
        }
        (input.at, input.count, *to) = (at, count, here);
        input.bits = bits & ((1 << count) - 1);
        outcome
    }
}

/// Copies what is in `out` before, in strides that may go past the end of the match; there is room for that.
#[inline(always)]
fn repeat(out: &mut [u8], to: usize, length: usize, distance: usize) {
    #[inline(always)]
    fn copy<const N: usize>(out: &mut [u8], from: usize, to: usize) {
        // Arrays, so that it is a load and a store and never a call.
        let word = *out[from..].first_chunk::<N>().expect("there is room for a stride");
        *out[to..].first_chunk_mut().expect("there is room for a stride") = word;
    }
    let end = to + length;
    let mut here = to;
    // What overlaps is copied in pieces that do not.
    if distance >= 16 {
        while {
            copy::<16>(out, here - distance, here);
            copy::<16>(out, here + 16 - distance, here + 16);
            here += STRIDE;
            here < end
        } {}
    } else if distance >= 8 {
        while {
            copy::<8>(out, here - distance, here);
            copy::<8>(out, here + 8 - distance, here + 8);
            here += 16;
            here < end
        } {}
    } else if distance == 1 {
        let stretch = [out[here - 1]; STRIDE];
        while here < end {
            *out[here..].first_chunk_mut().expect("there is room for a stride") = stretch;
            here += STRIDE;
        }
    } else {
        while here < end {
            copy::<8>(out, here - distance, here);
            here += distance;
        }
    }
}

/// Input, by bits: those of each byte from the lowest on.
struct Input<'a> {
    bytes: &'a [u8],
    at: usize,
    bits: u64,
    count: u32,
    /// Nothing follows these bytes.
    all: bool,
}

impl Input<'_> {
    /// Has at least 56 bits at hand then, or all that there are.
    fn fill(&mut self) {
        while self.count <= 56 && self.at < self.bytes.len() {
            self.bits |= u64::from(self.bytes[self.at]) << self.count;
            self.at += 1;
            self.count += 8;
        }
    }

    /// At most 16 bits.
    fn take(&mut self, count: u32) -> Result<u32> {
        if self.count < count {
            self.fill();
        }
        if self.count < count {
            return Err(Broken::Truncated);
        }
        let value = self.bits & ((1 << count) - 1);
        self.consume(count);
        Ok(value as u32)
    }

    fn consume(&mut self, count: u32) {
        self.bits >>= count;
        self.count -= count;
    }

    /// Gives whole bytes back.
    fn unread(&mut self) {
        self.at -= (self.count / 8) as usize;
        self.count %= 8;
        self.bits &= (1 << self.count) - 1;
    }
}

/// What came out last, over and over.
struct Window {
    bytes: [u8; WINDOW],
    /// Where the next byte goes.
    next: usize,
    /// How many bytes are in it.
    filled: usize,
}

impl Window {
    fn remember(&mut self, out: &[u8]) {
        let out = &out[out.len().saturating_sub(WINDOW)..];
        let (first, second) = out.split_at(out.len().min(WINDOW - self.next));
        self.bytes[self.next..self.next + first.len()].copy_from_slice(first);
        self.bytes[..second.len()].copy_from_slice(second);
        self.next = (self.next + out.len()) % WINDOW;
        self.filled = (self.filled + out.len()).min(WINDOW);
    }

    /// What is in it, the oldest first.
    fn in_order(&self) -> Vec<u8> {
        match self.filled < WINDOW {
            true => self.bytes[..self.filled].to_vec(),
            false => [&self.bytes[self.next..], &self.bytes[..self.next]].concat(),
        }
    }

    /// Repeats what begins before `out`, or goes on to where no stride has room.
    #[cold]
    fn repeat(&self, out: &mut [u8], to: usize, length: usize, distance: usize) -> Result<()> {
        let mut done = 0;
        if let Some(back @ 1..) = distance.checked_sub(to) {
            if back > self.filled {
                return Err(Broken::Content("a match begins before the content"));
            }
            let from = (self.next + WINDOW - back) % WINDOW;
            done = back.min(length);
            // In one piece, or in two around the end.
            let first = done.min(WINDOW - from);
            out[to..to + first].copy_from_slice(&self.bytes[from..from + first]);
            out[to + first..to + done].copy_from_slice(&self.bytes[..done - first]);
        }
        for place in to + done..to + length {
            out[place] = out[place - distance];
        }
        Ok(())
    }
}
