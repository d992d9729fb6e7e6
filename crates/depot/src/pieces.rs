//! How does large content go to a disk without being copied into the kernel's cache? In pieces that lie in memory as disks want it: what comes is
//! gathered in them, hashed and written where it lies, and they come back when nobody holds them any more.
//!
//! There are few of them for the whole process ([`Pool`]). What finds none goes on as it came.

use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::{Buf, Bytes};

/// How many bytes a piece has: enough for what is written at once to cost a disk, and a thread that is woken for it, next to nothing.
const PIECE: usize = 1 << 20;
/// Of what pieces begin at a multiple, in memory and in files: the largest block that disks have.
const ALIGNMENT: usize = 4096;
/// How much of any content goes on as it came: what is small takes no piece, and stays in the kernel's cache.
const SMALL: u64 = 2 << 20;
/// The pieces of this process.
static POOL: Pool = Pool::of(40);

/// Whether these bytes lie as disks want them that are to be written behind `offset` others.
pub(crate) fn is_aligned(bytes: &[u8], offset: u64) -> bool {
    bytes.as_ptr().align_offset(ALIGNMENT) == 0
        && bytes.len().is_multiple_of(ALIGNMENT)
        && offset.is_multiple_of(ALIGNMENT as u64)
        && bytes.len() >= PIECE
}

/// Content that is gathered.
pub(crate) struct Gathering {
    came: u64,
    piece: Option<Piece>,
    pool: &'static Pool,
}

impl Gathering {
    /// Behind so many bytes.
    pub(crate) fn after(came: u64) -> Self {
        Self::within(&POOL, came)
    }

    /// In pieces of this pool.
    fn within(pool: &'static Pool, came: u64) -> Self {
        Self {
            came,
            piece: None,
            pool,
        }
    }

    /// How many bytes came.
    pub(crate) fn came(&self) -> u64 {
        self.came
    }

    /// Takes of the bytes that come next; what goes on now, where there is enough. To be called until there are none left.
    pub(crate) fn take(&mut self, bytes: &mut Bytes) -> Option<Bytes> {
        if self.piece.is_none() {
            let before = self.before();
            if before == 0 {
                self.piece = self.pool.take();
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
        self.came += piece.fill(bytes) as u64;
        match piece.filled == PIECE {
            true => self.rest(),
            false => None,
        }
    }

    /// What waits.
    pub(crate) fn rest(&mut self) -> Option<Bytes> {
        self.piece.take().map(Bytes::from_owner)
    }

    /// How many bytes go on as they come before a piece can begin.
    fn before(&self) -> u64 {
        match self.came.checked_sub(SMALL) {
            None => SMALL - self.came,
            Some(_) => self.came.next_multiple_of(ALIGNMENT as u64) - self.came,
        }
    }
}

/// A part of content, in memory of its own.
struct Piece {
    memory: Vec<u8>,
    begin: usize,
    filled: usize,
    /// To which the memory goes back.
    pool: &'static Pool,
}

impl Piece {
    /// Takes as many of the bytes as it has room for; how many.
    fn fill(&mut self, bytes: &mut Bytes) -> usize {
        let count = bytes.len().min(PIECE - self.filled);
        let begin = self.begin + self.filled;
        bytes.copy_to_slice(&mut self.memory[begin..begin + count]);
        self.filled += count;
        count
    }
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.memory[self.begin..self.begin + self.filled]
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        let mut pieces = self.pool.pieces();
        pieces.out -= 1;
        pieces.free.push(std::mem::take(&mut self.memory));
        if pieces.out == 0 {
            // Nothing large comes any more.
            pieces.free.clear();
        }
    }
}

/// So many pieces and no more.
struct Pool {
    most: usize,
    pieces: Mutex<Pieces>,
}

/// The memory of all of them.
struct Pieces {
    free: Vec<Vec<u8>>,
    out: usize,
}

impl Pool {
    const fn of(most: usize) -> Self {
        let pieces = Pieces {
            free: Vec::new(),
            out: 0,
        };
        Self {
            most,
            pieces: Mutex::new(pieces),
        }
    }

    fn pieces(&self) -> MutexGuard<'_, Pieces> {
        // No one leaves it half changed, so what a panic elsewhere left is whole.
        self.pieces.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An empty one, if there is one.
    fn take(&'static self) -> Option<Piece> {
        let mut pieces = self.pieces();
        if pieces.out == self.most {
            return None;
        }
        pieces.out += 1;
        let memory = pieces.free.pop();
        drop(pieces);
        let memory = memory.unwrap_or_else(|| vec![0; PIECE + ALIGNMENT]);
        // Where the system could not tell, it is only written by another way.
        let begin = memory.as_ptr().align_offset(ALIGNMENT).min(ALIGNMENT);
        Some(Piece {
            memory,
            begin,
            filled: 0,
            pool: self,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(length: usize) -> Bytes {
        (0..length).map(|n| (n % 251) as u8).collect()
    }

    /// The lengths of what goes on of content that comes in chunks of `chunk` bytes behind `came` others, and whether each lies as a disk wants it.
    fn gathered(came: u64, length: usize, chunk: usize) -> Vec<(usize, bool)> {
        static POOL: Pool = Pool::of(3);
        let whole = content(length);
        let mut gathering = Gathering::within(&POOL, came);
        let (mut found, mut lengths) = (Vec::new(), Vec::new());
        let mut goes_on = |bytes: Bytes| {
            lengths.push((bytes.len(), is_aligned(&bytes, came + found.len() as u64)));
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
    fn there_are_so_many_pieces_and_no_more() {
        static POOL: Pool = Pool::of(2);
        let begin = || {
            let mut gathering = Gathering::within(&POOL, SMALL);
            let went_on = gathering.take(&mut content(10)).map(|bytes| bytes.len());
            assert_eq!(gathering.came(), SMALL + 10);
            (gathering, went_on)
        };
        let (mut one, other) = (begin(), begin());
        assert_eq!((one.1, other.1, begin().1), (None, None, Some(10)));
        // What goes on holds its piece until nobody holds that.
        let rest = one.0.rest().expect("what waits");
        assert_eq!(begin().1, Some(10));
        drop(rest);
        assert_eq!(POOL.pieces().free.len(), 1);
        assert_eq!(begin().1, None);
        drop((one, other));
        // Nothing large comes any more.
        let pieces = POOL.pieces();
        assert_eq!((pieces.out, pieces.free.len()), (0, 0));
    }
}
