//! How much memory does a chunk hold that came over a network? All of the buffer that it was read into, which may be many times as large: who reads asks for
//! much at once, and is given what is there. So what may wait somewhere, where its bytes are counted, is first copied into memory that is no larger.

use bytes::{Bytes, BytesMut};

use super::BATCH;

/// Copies the small chunks of one stream into memory that they fill.
///
/// What is as large as a [`BATCH`] is given as it came, which costs nothing: hyper reads no more than 408 KiB at once, so that it holds at most 1.6 times
/// what it is. Of small ones the same holds where those that came one after another wait together, but for the memory that is just being filled, of the size
/// of a batch for each stream. It is filled anew once nobody holds any of it.
#[derive(Debug, Default)]
pub struct Compact(BytesMut);

impl Compact {
    /// The same bytes.
    pub fn chunk(&mut self, bytes: Bytes) -> Bytes {
        if bytes.len() >= BATCH {
            return bytes;
        }
        if self.0.capacity() < bytes.len() {
            self.0.reserve(BATCH);
        }
        self.0.extend_from_slice(&bytes);
        self.0.split().freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A chunk of a buffer as large as hyper's.
    fn chunk(length: usize) -> Bytes {
        let mut buffer = BytesMut::with_capacity(408 << 10);
        buffer.extend((0..length).map(|n| (n % 251) as u8));
        buffer.freeze()
    }

    #[test]
    fn small_chunks_lie_behind_one_another_and_large_ones_where_they_were() {
        let mut compact = Compact::default();
        let mut waiting: Vec<Bytes> = Vec::new();
        for length in [1, 0, 100_000, 60_000, 90_000, 1, BATCH - 1, 7] {
            let came = chunk(length);
            waiting.push(compact.chunk(came.clone()));
            assert_eq!(waiting.last(), Some(&came));
        }
        let begins = |place: usize| waiting[place].as_ptr() as usize;
        let follows = |place: usize| begins(place) == begins(place - 1) + waiting[place - 1].len();
        // 90,000 more than 160,001 bytes are within a batch; what does not fit begins another one.
        assert_eq!(
            (1..waiting.len()).map(follows).collect::<Vec<_>>(),
            [true, true, true, true, true, false, false]
        );
        let large = chunk(BATCH);
        assert_eq!(compact.chunk(large.clone()).as_ptr(), large.as_ptr());
    }

    #[test]
    fn memory_that_nobody_holds_is_filled_anew() {
        let mut compact = Compact::default();
        let first = compact.chunk(chunk(BATCH - 1)).as_ptr();
        for length in [BATCH - 1, 200_000, 100_000] {
            assert_eq!(compact.chunk(chunk(length)).as_ptr(), first, "{length}");
        }
    }
}
