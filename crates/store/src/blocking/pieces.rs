//! Where does large content stand that goes to a disk past the kernel's cache? In pieces of memory that lie as disks want it: bytes are received or gathered
//! in one, hashed and written where they lie, and the memory comes back when nobody holds them any more.
//!
//! There are few of them for the whole process. What finds none goes on as it came.

use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::{Buf, Bytes};

/// How many bytes a piece has: enough for what is written at once to cost a disk, and a thread that is woken for it, next to nothing.
pub const PIECE: usize = 1 << 20;
/// Of what pieces begin at a multiple, in memory and in files: the largest block that disks have.
pub const ALIGNMENT: usize = 4096;
/// How much of any content goes on as it came: what is small takes no piece, and stays in the kernel's cache.
pub const SMALL: u64 = 2 << 20;

/// The pieces of this process.
static ALL: Pool = Pool::of(40);

/// Whether these bytes lie as disks want them that are to be written behind `offset` others: a whole piece and no less.
#[must_use]
pub fn is_aligned(bytes: &[u8], offset: u64) -> bool {
    bytes.as_ptr().align_offset(ALIGNMENT) == 0
        && bytes.len().is_multiple_of(ALIGNMENT)
        && offset.is_multiple_of(ALIGNMENT as u64)
        && bytes.len() >= PIECE
}

/// A part of content, in memory of its own.
#[derive(Debug)]
pub struct Piece {
    memory: Vec<u8>,
    begin: usize,
    filled: usize,
    /// To which the memory goes back.
    pool: &'static Pool,
}

impl Piece {
    /// An empty one, if there is one.
    #[must_use]
    pub fn take() -> Option<Self> {
        ALL.take()
    }

    /// Whether no more go in.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.filled == PIECE
    }

    /// Where the next bytes go, with anything in it. Those that were put there are [added](Self::add).
    pub fn room(&mut self) -> &mut [u8] {
        &mut self.memory[self.begin + self.filled..self.begin + PIECE]
    }

    /// So many bytes were put into the room; no more than it has are.
    pub fn add(&mut self, count: usize) {
        self.filled = PIECE.min(self.filled + count);
    }

    /// Takes as many of the bytes as it has room for.
    pub fn fill(&mut self, bytes: &mut Bytes) {
        let count = bytes.len().min(PIECE - self.filled);
        bytes.copy_to_slice(&mut self.room()[..count]);
        self.add(count);
    }
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.memory[self.begin..self.begin + self.filled]
    }
}

impl From<Piece> for Bytes {
    fn from(piece: Piece) -> Self {
        Self::from_owner(piece)
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
#[derive(Debug)]
struct Pool {
    most: usize,
    pieces: Mutex<Pieces>,
}

/// The memory of all of them.
#[derive(Debug)]
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

    #[test]
    fn there_are_so_many_pieces_and_no_more() {
        static POOL: Pool = Pool::of(2);
        let (one, other) = (POOL.take().expect("one"), POOL.take().expect("another"));
        assert!(POOL.take().is_none());
        // What goes on holds its piece until nobody holds that.
        let bytes = Bytes::from(one);
        assert!(POOL.take().is_none());
        drop(bytes);
        assert_eq!(POOL.pieces().free.len(), 1);
        let again = POOL.take().expect("the one that came back");
        assert!(POOL.take().is_none());
        drop((again, other));
        // Nothing large comes any more.
        let pieces = POOL.pieces();
        assert_eq!((pieces.out, pieces.free.len()), (0, 0));
    }

    #[test]
    fn what_was_put_into_the_room_is_in_the_piece() {
        let mut piece = Piece::take().expect("one");
        piece.room()[..3].copy_from_slice(b"abc");
        piece.add(3);
        let mut bytes = Bytes::from(vec![b'd'; PIECE]);
        piece.fill(&mut bytes);
        assert_eq!((bytes.len(), piece.is_full(), piece.room().len()), (3, true, 0));
        let bytes = Bytes::from(piece);
        assert!(is_aligned(&bytes, 0) && is_aligned(&bytes, ALIGNMENT as u64) && !is_aligned(&bytes, 1));
        assert!(!is_aligned(&bytes[..ALIGNMENT], 0));
        assert_eq!(bytes[..5], b"abcdd"[..]);
    }
}
