//! Which symbol do the next bits stand for? A table that is looked up with the first of them says it, or leads to a second one for codes that are
//! longer (RFC 1951, 3.2.2).

use super::Broken;

/// The longest code.
const LONGEST: usize = 15;
/// All that a code can have symbols.
const SYMBOLS: usize = 288;

/// What stands in a table: how many bits a code and its extra bits have (bits 0–7), how many the code alone has (8–11), flags, and from bit 16 on a
/// literal, the base of a length or distance, or where a second table begins.
#[derive(Clone, Copy, Default)]
pub(super) struct Entry(u32);

impl Entry {
    const LITERAL: u32 = 1 << 31;
    /// Neither a literal nor a base.
    const EXCEPTION: u32 = 1 << 15;
    const TABLE: u32 = 1 << 14;
    const END: u32 = 1 << 13;

    /// A code that no symbol has.
    const NONE: Entry = Entry(Entry::EXCEPTION);

    /// Bits to go on by.
    #[inline(always)]
    pub(super) fn bits(self) -> u32 {
        self.0 & 0x3f
    }

    #[inline(always)]
    pub(super) fn is_literal(self) -> bool {
        self.0 & Entry::LITERAL != 0
    }

    /// A literal, or the symbol of a code of lengths.
    #[inline(always)]
    pub(super) fn literal(self) -> u8 {
        (self.0 >> 16) as u8
    }

    #[inline(always)]
    pub(super) fn is_exception(self) -> bool {
        self.0 & Entry::EXCEPTION != 0
    }

    #[inline(always)]
    pub(super) fn is_table(self) -> bool {
        self.0 & Entry::TABLE != 0
    }

    #[inline(always)]
    pub(super) fn is_end(self) -> bool {
        self.0 & Entry::END != 0
    }

    /// Where in the second table the answer stands, by the bits behind those of the first.
    #[inline(always)]
    pub(super) fn place(self, bits: u64) -> usize {
        (self.0 >> 16) as usize + (bits & ((1 << (self.0 >> 8 & 0xf)) - 1)) as usize
    }

    /// The length or distance: the base, and the extra bits that stand behind the code.
    #[inline(always)]
    pub(super) fn value(self, bits: u64) -> usize {
        let extra = (bits & ((1 << self.bits()) - 1)) >> (self.0 >> 8 & 0xf);
        (self.0 >> 16) as usize + extra as usize
    }

    /// The entry of a symbol whose code has so many bits.
    fn with_code(self, bits: u32) -> Entry {
        Entry(self.0 + (bits << 8) + bits)
    }
}

/// Literals, the end of a block, and lengths, by symbol (RFC 1951, 3.2.5).
pub(super) static LITERALS: [Entry; SYMBOLS] = {
    let mut entries = [Entry::NONE; SYMBOLS];
    let mut symbol = 0;
    while symbol < 256 {
        entries[symbol] = Entry(Entry::LITERAL | (symbol as u32) << 16);
        symbol += 1;
    }
    entries[256] = Entry(Entry::EXCEPTION | Entry::END);
    let mut base = 3;
    while symbol < 284 {
        symbol += 1;
        let extra = if symbol < 265 { 0 } else { (symbol as u32 - 261) / 4 };
        entries[symbol] = Entry(base << 16 | extra);
        base += 1 << extra;
    }
    entries[285] = Entry(258 << 16);
    entries
};

/// Distances, by symbol.
pub(super) static DISTANCES: [Entry; 32] = {
    let mut entries = [Entry::NONE; 32];
    let mut symbol = 0;
    let mut base = 1;
    while symbol < 30 {
        let extra = if symbol < 2 { 0 } else { (symbol as u32 - 2) / 2 };
        entries[symbol] = Entry(base << 16 | extra);
        base += 1 << extra;
        symbol += 1;
    }
    entries
};

/// The code that the lengths of the other codes are written in (3.2.7).
pub(super) static LENGTHS: [Entry; 19] = {
    let mut entries = [Entry(0); 19];
    let mut symbol = 0;
    while symbol < 19 {
        entries[symbol] = Entry((symbol as u32) << 16);
        symbol += 1;
    }
    entries
};

/// Fills a table whose first part is looked up with `first` bits, from how long each symbol's code is.
///
/// As zlib has it, a code must be complete, but for one of a single symbol, of one bit, and one of no symbol at all.
pub(super) fn build(table: &mut [Entry], first: u32, lengths: &[u8], symbols: &[Entry]) -> Result<(), Broken> {
    let mut counts = [0u16; LONGEST + 1];
    for length in lengths {
        counts[usize::from(*length)] += 1;
    }
    counts[0] = 0;
    let mut places = [0u16; LONGEST + 2];
    let mut space = 0u32;
    for length in 1..=LONGEST {
        places[length + 1] = places[length] + counts[length];
        space = (space << 1) + u32::from(counts[length]);
        if space > 1 << length {
            return Err(Broken::Content("a code has more symbols than there is room for"));
        }
    }
    let used = usize::from(places[LONGEST + 1]);
    let mut sorted = [0u16; SYMBOLS];
    for (symbol, length) in lengths.iter().enumerate().filter(|(_, length)| **length != 0) {
        let place = &mut places[usize::from(*length)];
        sorted[usize::from(*place)] = symbol as u16;
        *place += 1;
    }
    let mut sorted = sorted[..used].iter().map(|symbol| symbols[usize::from(*symbol)]);
    if space < 1 << LONGEST {
        let one = match (used, counts[1]) {
            (0, _) => Entry::NONE,
            (1, 1) => sorted.next().unwrap_or(Entry::NONE).with_code(1),
            _ => return Err(Broken::Content("a code is incomplete")),
        };
        for pair in table[..1 << first].chunks_exact_mut(2) {
            pair.copy_from_slice(&[one, Entry::NONE]);
        }
        return Ok(());
    }

    // Codes in their order, bits reversed. What is filled so far is repeated where codes get longer.
    let (mut code, mut length, mut filled) = (0, 0, 1);
    let mut left = 0;
    let mut second = Second::default();
    for symbol in sorted {
        while left == 0 {
            if length < first && length > 0 {
                table.copy_within(..filled, filled);
                filled <<= 1;
            }
            length += 1;
            if length == 1 {
                filled = 2;
            }
            left = counts[length as usize];
        }
        if length <= first {
            table[code] = symbol.with_code(length);
        } else {
            second.put(table, first, (code, length), &counts, left, symbol);
        }
        left -= 1;
        code = next(code, (1 << length) - 1);
    }
    while length < first {
        table.copy_within(..filled, filled);
        filled <<= 1;
        length += 1;
    }
    Ok(())
}

/// The second table that is being filled.
#[derive(Default)]
struct Second {
    /// The bits that lead to it.
    prefix: Option<usize>,
    start: usize,
    end: usize,
}

impl Second {
    /// Puts a symbol whose code is longer than the first table's bits; `left` symbols have codes of this length from here on.
    fn put(
        &mut self,
        table: &mut [Entry],
        first: u32,
        (code, length): (usize, u32),
        counts: &[u16],
        left: u16,
        symbol: Entry,
    ) {
        let prefix = code & ((1 << first) - 1);
        if self.prefix != Some(prefix) {
            // As many bits as it takes until the codes that begin so are all in it.
            let mut bits = length - first;
            let mut space = u32::from(left);
            while space < 1 << bits {
                bits += 1;
                space = (space << 1) + u32::from(counts[(first + bits) as usize]);
            }
            self.prefix = Some(prefix);
            self.start = self.end.max(1 << first);
            self.end = self.start + (1 << bits);
            table[prefix] = Entry((self.start as u32) << 16 | Entry::EXCEPTION | Entry::TABLE | bits << 8 | first);
        }
        let entry = symbol.with_code(length - first);
        for place in (self.start + (code >> first)..self.end).step_by(1 << (length - first)) {
            table[place] = entry;
        }
    }
}

/// The code after this one, bits reversed; `all` is the last one of its length.
fn next(code: usize, all: usize) -> usize {
    match code ^ all {
        0 => 0,
        zeros => {
            let bit = 1 << (usize::BITS - 1 - zeros.leading_zeros());
            code & (bit - 1) | bit
        }
    }
}
