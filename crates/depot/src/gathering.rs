//! How does what comes in chunks get into pieces, which go to a disk without being copied into the kernel's cache? It is gathered in them, where it does not
//! come in one already, and goes on when one is whole. What is small, what finds no piece, and what fills one slowly goes on as it came.

use std::time::Instant;

use bytes::Bytes;
use teu_store::blocking::pieces::{ALIGNMENT, HELD, Piece, SMALL, aligned};

/// Content that is gathered.
pub(crate) struct Gathering {
    came: u64,
    piece: Option<Piece>,
    /// When the last one was taken.
    since: Instant,
    /// It was not filled in its time, so that no more are taken.
    is_slow: bool,
}

impl Gathering {
    /// Behind so many bytes.
    pub(crate) fn after(came: u64) -> Self {
        Self {
            came,
            piece: None,
            since: Instant::now(),
            is_slow: false,
        }
    }

    /// How many bytes came.
    pub(crate) fn came(&self) -> u64 {
        self.came
    }

    /// Takes of the bytes that come next; what goes on now, where there is enough. To be called until there are none left, and with none where none came for a while:
    /// a piece is not held for who sends no more.
    pub(crate) fn take(&mut self, bytes: &mut Bytes) -> Option<Bytes> {
        if self.piece.is_none() && bytes.is_empty() {
            return None;
        }
        if self.piece.is_none() {
            let aligned = aligned(bytes, self.came);
            if aligned > 0 {
                // It came in a piece.
                self.came += aligned as u64;
                return Some(bytes.split_to(aligned));
            }
            let before = self.before();
            if before == 0 && !self.is_slow {
                self.piece = Piece::take();
                self.since = Instant::now();
            }
            if self.piece.is_none() {
                let count = match before {
                    0 => bytes.len(),
                    before => usize::try_from(before).unwrap_or(usize::MAX).min(bytes.len()),
                };
                self.came += count as u64;
                return Some(bytes.split_to(count));
            }
        }
        let piece = self.piece.as_mut()?;
        let waits = bytes.len();
        piece.fill(bytes);
        self.came += (waits - bytes.len()) as u64;
        if piece.is_full() {
            return self.rest();
        }
        self.is_slow = self.since.elapsed() >= HELD;
        if !self.is_slow {
            return None;
        }
        // Who hashes it may hold it until the next comes.
        self.piece.take().map(|piece| Bytes::copy_from_slice(piece.as_ref()))
    }

    /// What waits.
    pub(crate) fn rest(&mut self) -> Option<Bytes> {
        self.piece.take().map(Bytes::from)
    }

    /// As if a piece had not been filled in its time.
    #[cfg(test)]
    pub(crate) fn is_late(&mut self) {
        self.since = Instant::now().checked_sub(HELD).expect("a time");
    }

    /// How many bytes go on as they come before a piece can begin.
    fn before(&self) -> u64 {
        match self.came.checked_sub(SMALL) {
            None => SMALL - self.came,
            Some(_) => self.came.next_multiple_of(ALIGNMENT as u64) - self.came,
        }
    }
}

#[cfg(test)]
mod tests {
    use teu_store::blocking::pieces::PIECE;

    use super::*;

    fn content(length: usize) -> Bytes {
        (0..length).map(|n| (n % 251) as u8).collect()
    }

    /// The lengths of what goes on of content that comes in chunks of `chunk` bytes behind `came` others, and whether each lies as a disk wants it.
    fn gathered(came: u64, length: usize, chunk: usize) -> Vec<(usize, bool)> {
        let whole = content(length);
        let mut gathering = Gathering::after(came);
        let (mut found, mut lengths) = (Vec::new(), Vec::new());
        let mut goes_on = |bytes: Bytes| {
            let lies = aligned(&bytes, came + found.len() as u64) == bytes.len();
            lengths.push((bytes.len(), lies));
            found.extend_from_slice(&bytes);
        };
        for part in whole.chunks(chunk) {
            let mut part = Bytes::copy_from_slice(part);
            while !part.is_empty() {
                gathering.take(&mut part).into_iter().for_each(&mut goes_on);
            }
        }
        gathering.rest().into_iter().for_each(&mut goes_on);
        assert!(found == whole, "{came} {length} {chunk}");
        assert_eq!(gathering.came(), came + length as u64);
        lengths
    }

    #[test]
    fn what_is_large_goes_on_in_pieces_that_lie_as_disks_want_them() {
        let (small, chunk) = (SMALL as usize, 300_000);
        let head = [(chunk, false); 6];
        let before = [&head[..], &[(small - 6 * chunk, false)]].concat();
        assert_eq!(gathered(0, 1000, chunk), [(1000, false)]);
        assert_eq!(gathered(0, small, chunk), before);
        let pieces = [(PIECE, true), (PIECE, true), (7, false)];
        assert_eq!(
            gathered(0, small + 2 * PIECE + 7, chunk),
            [&before[..], &pieces].concat()
        );
        // What is gone on with, or was written to its end meanwhile, begins where a block does.
        assert_eq!(
            gathered(SMALL + 5, ALIGNMENT - 5 + PIECE, chunk),
            [(ALIGNMENT - 5, false), (PIECE, true)]
        );
        assert_eq!(gathered(SMALL + ALIGNMENT as u64, PIECE, 8 * PIECE), [(PIECE, true)]);
    }

    #[test]
    fn what_fills_a_piece_slowly_goes_on_as_it_comes() {
        let mut gathering = Gathering::after(SMALL);
        let mut take = |length: usize, is_late: bool| {
            if is_late {
                gathering.is_late();
            }
            let mut bytes = content(length);
            let goes_on = gathering.take(&mut bytes).map(|bytes| bytes.len());
            assert!(bytes.is_empty());
            goes_on
        };
        assert_eq!(take(1000, false), None);
        assert_eq!(take(1000, true), Some(2000));
        // Up to where a block begins, and from there too.
        let block = ALIGNMENT - 2000;
        assert_eq!(take(block, false), Some(block));
        assert_eq!(take(70_000, false), Some(70_000));
    }

    #[test]
    fn what_nobody_sends_more_of_goes_on_when_that_is_told() {
        let mut gathering = Gathering::after(SMALL);
        let told = |gathering: &mut Gathering| gathering.take(&mut Bytes::new());
        assert_eq!(told(&mut gathering), None);
        assert_eq!(gathering.take(&mut content(1000)), None);
        assert_eq!(told(&mut gathering), None);
        gathering.is_late();
        assert_eq!(told(&mut gathering), Some(content(1000)));
        assert_eq!((told(&mut gathering), gathering.came()), (None, SMALL + 1000));
        assert!(gathering.is_slow);
    }

    #[test]
    fn what_comes_in_a_piece_goes_on_in_it() {
        let whole = |length| {
            let mut piece = Piece::take().expect("one");
            piece.add(length);
            Bytes::from(piece)
        };
        for (came, length, goes_on) in [
            (0, PIECE, Some(PIECE)),
            (SMALL, PIECE, Some(PIECE)),
            // The end of content, and what is behind its last block.
            (SMALL, PIECE - ALIGNMENT, Some(PIECE - ALIGNMENT)),
            (SMALL, PIECE - 1, Some(PIECE - ALIGNMENT)),
            (SMALL, ALIGNMENT, None),
            // What lies elsewhere than a block does goes on up to the next one, and is gathered from there.
            (SMALL + 1, PIECE, Some(ALIGNMENT - 1)),
        ] {
            let mut gathering = Gathering::after(came);
            let whole = whole(length);
            let first = gathering.take(&mut whole.clone());
            let same = first.filter(|first| first.as_ptr() == whole.as_ptr());
            assert_eq!(same.map(|first| first.len()), goes_on, "{came} {length}");
        }
    }
}
