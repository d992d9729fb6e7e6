//! Where does large content stand that goes to a disk past the kernel's cache? In pieces of memory that lie as disks want it: bytes are received or gathered
//! in one, hashed and written where they lie, and the memory comes back when nobody holds them any more.
//!
//! There are few of them for the whole process, and fewer while many bring content that stands in other memory first ([`Beside`]). What finds none goes on as it
//! came.
//!
//! They are parts of one array. Each by itself would be memory of the heap of whichever thread asked for it first, where it stays when it is freed. The array
//! stays between what is large and comes soon after, as the system takes long to give memory anew, and goes when nobody wants it ([`tidy`]).

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::{Buf, Bytes, BytesMut};

/// How many bytes a piece has: enough for what is written at once to cost a disk, and a thread that is woken for it, next to nothing.
pub const PIECE: usize = 1 << 20;
/// Of what pieces begin at a multiple, in memory and in files: the largest block that disks have.
pub const ALIGNMENT: usize = 4096;
/// How long one may take to be filled. Who takes longer is to go on without, or as many as there are pieces could keep all of them by sending next to nothing.
pub const HELD: Duration = Duration::from_secs(5);
/// How much of content whose length nobody knows goes on as it came: what is small takes no piece, and stays in the kernel's cache.
pub const SMALL: u64 = 2 << 20;

/// The pieces of this process.
static ALL: Pool = Pool::of(40);

/// How much memory content has that is [beside](Beside): two or three buffers that it was read into.
const BESIDE: usize = 128 << 10;
/// How many pieces there are, however much is beside them.
const LEAST: usize = 8;

/// What is less costs a disk, and a thread that is woken for it, more than a copy: the end of content may be as little.
const WORTH: usize = 256 << 10;

/// How many of these bytes, from the first, lie as disks want them that are to be written behind `offset` others, and are enough of them: else none.
#[must_use]
pub fn aligned(bytes: &[u8], offset: u64) -> usize {
    let lies = bytes.as_ptr().align_offset(ALIGNMENT) == 0 && offset.is_multiple_of(ALIGNMENT as u64);
    let whole = bytes.len() - bytes.len() % ALIGNMENT;
    if lies && whole >= WORTH { whole } else { 0 }
}

/// Gives the memory of all pieces back to the system where nobody has one, nor had any since this was called last. To be called now and then by what goes on for
/// long.
pub fn tidy() {
    ALL.tidy();
}

/// A part of content, in memory of its own.
#[derive(Debug)]
pub struct Piece {
    memory: BytesMut,
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
        &mut self.memory[self.filled..]
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
        &self.memory[..self.filled]
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
    }
}

/// Content that somebody sends and that stands in other memory than pieces, before it gets into them: read by a parser, or deciphered. As long as this lives there
/// is so much less room for pieces, and until they are [tidied](tidy) after it too, as a heap keeps what was freed: both together have a limit.
#[derive(Debug)]
pub struct Beside(&'static Pool);

impl Beside {
    /// One more.
    #[must_use]
    pub fn begin() -> Self {
        ALL.beside()
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        self.0.pieces().beside -= 1;
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
    /// Of those that nobody wrote to yet, which are taken last, the system gives no memory.
    free: Vec<BytesMut>,
    out: usize,
    /// How many of the array were out at once, which have memory.
    touched: usize,
    /// How many are [beside](Beside), and how many were at most since it was looked at last.
    beside: usize,
    most_beside: usize,
    /// Somebody took one since it was looked at last.
    were_taken: bool,
}

impl Pool {
    const fn of(most: usize) -> Self {
        let pieces = Pieces {
            free: Vec::new(),
            out: 0,
            touched: 0,
            beside: 0,
            most_beside: 0,
            were_taken: false,
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
        pieces.were_taken = true;
        if pieces.out >= self.room(&pieces) {
            return None;
        }
        if pieces.out == 0 && pieces.free.is_empty() {
            pieces.free = self.parts();
            pieces.touched = 0;
        }
        let memory = pieces.free.pop()?;
        pieces.out += 1;
        pieces.touched = pieces.touched.max(pieces.out);
        Some(Piece {
            memory,
            filled: 0,
            pool: self,
        })
    }

    /// Gives the array back of which more has memory than there is room for now: the next has none yet.
    fn lessen(&self, pieces: &mut Pieces) {
        if pieces.out == 0 && pieces.touched > self.room(pieces) {
            pieces.free = Vec::new();
        }
    }

    /// How many may be out.
    fn room(&self, pieces: &Pieces) -> usize {
        let left = self.most.saturating_sub(pieces.most_beside * BESIDE / PIECE);
        left.max(LEAST).min(self.most)
    }

    fn beside(&'static self) -> Beside {
        let mut pieces = self.pieces();
        pieces.beside += 1;
        pieces.most_beside = pieces.most_beside.max(pieces.beside);
        self.lessen(&mut pieces);
        Beside(self)
    }

    fn tidy(&self) {
        let mut pieces = self.pieces();
        pieces.most_beside = pieces.beside;
        if !std::mem::take(&mut pieces.were_taken) && pieces.out == 0 {
            // Nothing large comes any more.
            pieces.free = Vec::new();
        }
    }

    /// The memory of all, which the system gives as it is written to: it is more than a heap takes in.
    fn parts(&self) -> Vec<BytesMut> {
        let mut all = BytesMut::zeroed(self.most * PIECE + ALIGNMENT);
        // Where the system could not tell, it is only written by another way.
        let begin = all.as_ptr().align_offset(ALIGNMENT).min(ALIGNMENT);
        let _ = all.split_to(begin);
        (0..self.most).map(|_| all.split_to(PIECE)).collect()
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
        let free = || POOL.pieces().free.len();
        drop(other);
        // One is held, for however long.
        POOL.tidy();
        POOL.tidy();
        assert_eq!(free(), 1);
        drop(again);
        // What comes soon finds them.
        assert_eq!(free(), 2);
        drop(POOL.take());
        POOL.tidy();
        assert_eq!(free(), 2);
        // Nothing large comes any more.
        POOL.tidy();
        assert_eq!((free(), POOL.pieces().out), (0, 0));
        assert!(POOL.take().is_some());
    }

    /// However many they are, some pieces are left; and there are as many as before once their memory may be gone.
    #[test]
    fn what_stands_in_other_memory_has_its_room() {
        static POOL: Pool = Pool::of(40);
        let take = || std::iter::from_fn(|| POOL.take()).collect::<Vec<Piece>>().len();
        let mut beside = Vec::new();
        for (count, expected) in [(0, 40), (7, 40), (8, 39), (16, 38), (256, 8), (1000, 8)] {
            beside.resize_with(count, || POOL.beside());
            assert_eq!(take(), expected, "{count}");
        }
        beside.truncate(16);
        assert_eq!(take(), 8);
        POOL.tidy();
        assert_eq!(take(), 38);
        drop(beside);
        POOL.tidy();
        assert_eq!(take(), 40);
    }

    /// What was written to has memory of the system, also when it is free.
    #[test]
    fn an_array_that_has_more_memory_than_there_is_room_for_goes() {
        static POOL: Pool = Pool::of(10);
        let take = |count| -> Vec<Piece> { std::iter::from_fn(|| POOL.take()).take(count).collect() };
        let beside = |count| -> Vec<Beside> { (0..count).map(|_| POOL.beside()).collect() };
        drop(take(8));
        let few = beside(16);
        assert_eq!(POOL.pieces().free.len(), 10, "no more than 8 were ever out");
        drop(few);
        POOL.tidy();
        let held = take(9);
        let mut many = beside(16);
        drop(held);
        assert_eq!(POOL.pieces().free.len(), 10);
        many.push(POOL.beside());
        assert!(POOL.pieces().free.is_empty());
        assert_eq!(take(10).len(), 8);
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
        let block = ALIGNMENT as u64;
        assert_eq!([0, block, 1].map(|offset| aligned(&bytes, offset)), [PIECE, PIECE, 0]);
        assert_eq!(aligned(&bytes[..PIECE - 1], 0), PIECE - ALIGNMENT);
        assert_eq!(aligned(&bytes[..WORTH], 0), WORTH);
        assert_eq!(aligned(&bytes[..WORTH - 1], 0), 0);
        assert_eq!(aligned(&bytes[1..], 0), 0);
        assert_eq!(bytes[..5], b"abcdd"[..]);
    }
}
