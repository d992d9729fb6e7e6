//! How is SHA-256 computed (FIPS 180-4), of one content, or of two at once? Its rounds wait for one another, so that a processor that has instructions
//! for them is idle half of the time; the rounds of another content fit into that ([`two`]).

mod two;

use sha2::block_api::compress256;

const BLOCK: usize = 64;
/// What [`Sha256::save`] gives: the form, the state, the length, the last block.
const SAVED: usize = 1 + 32 + 8 + BLOCK;
/// The form of that. Whoever changes it gives it another number, so that no state is read as what it is not.
const FORM: u8 = 1;

/// The first 32 bits of the fractional parts of the square roots of the first eight primes (5.3.3).
const BEGIN: [u32; 8] = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];

#[derive(Clone)]
pub(crate) struct Sha256 {
    state: [u32; 8],
    /// Bytes that were taken in.
    length: u64,
    /// What was taken in of a block that is not whole.
    tail: [u8; BLOCK],
}

impl Sha256 {
    pub(crate) fn new() -> Self {
        Self {
            state: BEGIN,
            length: 0,
            tail: [0; BLOCK],
        }
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        let (blocks, tail) = self.complete(bytes);
        compress256(&mut self.state, blocks);
        self.keep(tail);
    }

    /// Whether [`update_both`](Self::update_both) gains anything on this machine.
    pub(crate) fn gains_by_two() -> bool {
        two::gains()
    }

    /// The same of two contents, in less time than one after the other.
    pub(crate) fn update_both((one, of_one): (&mut Self, &[u8]), (other, of_other): (&mut Self, &[u8])) {
        let (blocks, tail) = one.complete(of_one);
        let (other_blocks, other_tail) = other.complete(of_other);
        let both = blocks.len().min(other_blocks.len());
        let (blocks, rest) = blocks.split_at(both);
        let (other_blocks, other_rest) = other_blocks.split_at(both);
        two::compress([&mut one.state, &mut other.state], [blocks, other_blocks]);
        compress256(&mut one.state, rest);
        compress256(&mut other.state, other_rest);
        one.keep(tail);
        other.keep(other_tail);
    }

    pub(crate) fn finish(mut self) -> [u8; 32] {
        let bits = self.length.wrapping_mul(8);
        let mut end = [0; 2 * BLOCK];
        let filled = self.filled();
        end[..filled].copy_from_slice(&self.tail[..filled]);
        end[filled] = 0x80;
        let blocks = if filled < BLOCK - 8 { 1 } else { 2 };
        end[BLOCK * blocks - 8..BLOCK * blocks].copy_from_slice(&bits.to_be_bytes());
        compress256(&mut self.state, &end.as_chunks().0[..blocks]);
        let mut digest = [0; 32];
        for (bytes, word) in digest.as_chunks_mut().0.iter_mut().zip(self.state) {
            *bytes = word.to_be_bytes();
        }
        digest
    }

    pub(crate) fn save(&self) -> Vec<u8> {
        let mut saved = Vec::with_capacity(SAVED);
        saved.push(FORM);
        saved.extend(self.state.iter().flat_map(|word| word.to_le_bytes()));
        saved.extend(self.length.to_le_bytes());
        // What was behind it before is nobody's business, and does not make equal states different.
        saved.extend(&self.tail[..self.filled()]);
        saved.resize(SAVED, 0);
        saved
    }

    pub(crate) fn restore(saved: &[u8]) -> Option<Self> {
        let [FORM, saved @ ..] = <&[u8; SAVED]>::try_from(saved).ok()? else {
            return None;
        };
        let mut restored = Self::new();
        for (word, bytes) in restored.state.iter_mut().zip(saved.as_chunks().0) {
            *word = u32::from_le_bytes(*bytes);
        }
        restored.length = u64::from_le_bytes(*saved[32..].first_chunk()?);
        restored.tail = *saved[40..].first_chunk()?;
        Some(restored)
    }

    fn filled(&self) -> usize {
        (self.length % BLOCK as u64) as usize
    }

    /// Completes the block that was begun; the blocks that follow it, and what is left of one. What does not complete it is kept.
    fn complete<'a>(&mut self, bytes: &'a [u8]) -> (&'a [[u8; BLOCK]], &'a [u8]) {
        let filled = self.filled();
        self.length = self.length.wrapping_add(bytes.len() as u64);
        if filled == 0 {
            return bytes.as_chunks();
        }
        let (first, rest) = bytes.split_at(bytes.len().min(BLOCK - filled));
        self.tail[filled..filled + first.len()].copy_from_slice(first);
        if filled + first.len() == BLOCK {
            compress256(&mut self.state, &[self.tail]);
        }
        rest.as_chunks()
    }

    /// Keeps what is left of a block, where there is any.
    fn keep(&mut self, tail: &[u8]) {
        self.tail[..tail.len()].copy_from_slice(tail);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sha2::Digest as _;

    use super::*;

    fn expected(content: &[u8]) -> [u8; 32] {
        sha2::Sha256::digest(content).into()
    }

    fn content(length: usize, seed: usize) -> Vec<u8> {
        (0..length).map(|n| (n * n / 7 + n * 31 + seed) as u8).collect()
    }

    #[test]
    fn every_length_up_to_some_blocks_is_as_another_library_has_it() {
        for length in 0..300 {
            let content = content(length, 3);
            let mut hasher = Sha256::new();
            hasher.update(&content);
            assert_eq!(hasher.finish(), expected(&content), "{length}");
        }
    }

    proptest! {
        /// Whatever the pieces are in which two contents come, in pairs or alone, and wherever the states are saved in between.
        #[test]
        fn two_at_once_are_as_one_after_the_other(
            pieces in prop::collection::vec((0_usize..700, 0_usize..700, any::<bool>()), 0..12),
        ) {
            let lengths = pieces.iter().fold((0, 0), |sum, piece| (sum.0 + piece.0, sum.1 + piece.1));
            let contents = (content(lengths.0, 1), content(lengths.1, 2));
            let (mut one, mut other) = (Sha256::new(), Sha256::new());
            let (mut rest, mut other_rest) = (&contents.0[..], &contents.1[..]);
            for (length, other_length, together) in pieces {
                let (piece, more) = rest.split_at(length);
                let (other_piece, other_more) = other_rest.split_at(other_length);
                if together {
                    Sha256::update_both((&mut one, piece), (&mut other, other_piece));
                } else {
                    one.update(piece);
                    other = Sha256::restore(&other.save()).expect("it was saved");
                    other.update(other_piece);
                }
                (rest, other_rest) = (more, other_more);
            }
            prop_assert_eq!(one.finish(), expected(&contents.0));
            prop_assert_eq!(other.finish(), expected(&contents.1));
        }
    }

    #[test]
    fn what_came_in_other_pieces_is_saved_the_same() {
        let content = content(1000, 3);
        for end in [0, 1, 63, 64, 65, 128, 1000] {
            let mut whole = Sha256::new();
            whole.update(&content[..end]);
            let mut pieces = Sha256::new();
            content[..end].chunks(7).for_each(|piece| pieces.update(piece));
            assert_eq!(whole.save(), pieces.save(), "{end}");
        }
    }

    #[test]
    fn what_was_not_saved_is_not_restored() {
        let saved = Sha256::new().save();
        assert!(Sha256::restore(&saved).is_some());
        assert!(Sha256::restore(&saved[1..]).is_none());
        assert!(Sha256::restore(&[&saved[..], &[0]].concat()).is_none());
        assert!(Sha256::restore(&[&[FORM + 1], &saved[1..]].concat()).is_none());
    }
}
