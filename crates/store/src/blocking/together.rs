//! What is the digest of content that comes over a network? It is hashed by whoever just has bytes at hand, and two contents at a time where two have
//! some: no thread is woken for it, which would take as long as it saves, and carry the bytes to another core's cache.
//!
//! What comes of a stream waits while it is too little, or while no other has as much; who brings the next chunk of any stream, and finds another
//! with enough, hashes both ([`Hasher::update_both`]). No stream waits for another: with [`MOST`] bytes it goes on alone, or where [`ALL`] wait of all,
//! and so does the only one.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use teu_spec::{Algorithm, Digest, Hasher};

use super::streams::{Job, Stream, Streams, pair};

/// With how many bytes a stream is worth another's while.
const ENOUGH: usize = 64 << 10;
/// With how many it waits no longer.
const MOST: usize = 2 << 20;
/// With how many nobody waits any longer, if all of them together have so many.
const ALL: usize = 8 << 20;
/// What a chunk counts at least: it holds the buffer that it was read into, of which hyper has none with less. Larger ones it has only for who fills
/// half of one at least every second time, so that what is held is not more than some four times what is counted.
const CHUNK: usize = 8 << 10;

/// Hashes chunks in their order, where they come.
#[derive(Debug)]
pub struct Together {
    algorithm: Algorithm,
    way: Way,
}

#[derive(Debug)]
enum Way {
    /// So many bytes were taken in here.
    Here(Box<Hasher>, usize),
    There(Handle),
}

impl From<Hasher> for Together {
    /// Goes on from there.
    fn from(hasher: Hasher) -> Self {
        Self {
            algorithm: hasher.algorithm(),
            way: Way::Here(Box::new(hasher), 0),
        }
    }
}

impl Together {
    /// Of nothing yet.
    #[must_use]
    pub fn new(algorithm: Algorithm) -> Self {
        algorithm.hasher().into()
    }

    /// By which algorithm.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Takes the next chunk in. The bytes may be held until the next one comes: at most 2 MiB of them, 4 where another hashed some meanwhile, and a chunk.
    pub fn update(&mut self, bytes: &Bytes) {
        match &mut self.way {
            Way::Here(hasher, done) => {
                hasher.update(bytes);
                *done = done.saturating_add(bytes.len());
                // What is small is done before another could be met.
                if *done >= ENOUGH && hasher.gains_by_two() {
                    self.way = Way::There(Handle::begin((**hasher).clone()));
                }
            }
            Way::There(handle) => handle.update(bytes),
        }
    }

    /// The state after all that came.
    #[must_use]
    pub fn state(&mut self) -> Hasher {
        match &self.way {
            Way::Here(hasher, _) => (**hasher).clone(),
            Way::There(handle) => handle.state(),
        }
    }

    /// The digest of all that came.
    #[must_use]
    pub fn finish(mut self) -> Digest {
        self.state().finish()
    }
}

/// All streams that may meet.
struct Table(Streams<Length>);

/// How many bytes of a stream wait, by [`counted`].
struct Length(usize);

static TABLE: Mutex<Table> = Mutex::new(Table(Streams::new()));

fn table() -> MutexGuard<'static, Table> {
    TABLE.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Debug, PartialEq, Eq)]
enum Choice {
    Wait,
    Alone,
    With(u64),
}

/// One's own stream in the table.
#[derive(Debug)]
struct Handle {
    number: u64,
    back: Arc<Condvar>,
}

impl Handle {
    fn begin(hasher: Hasher) -> Self {
        let (number, back) = table().0.begin(hasher, Length(0));
        Self { number, back }
    }

    fn update(&self, bytes: &Bytes) {
        let mut table = table();
        let is_alone = table.0.all.len() == 1;
        let stream = table.0.get(self.number);
        stream.waiting.push_back(bytes.clone());
        stream.more.0 += counted(bytes);
        if stream.more.0 < ENOUGH && !is_alone {
            return;
        }
        loop {
            let stream = table.0.get(self.number);
            match (stream.hasher.is_some(), stream.more.0) {
                (true, _) => break,
                (false, ..MOST) => return,
                // Who has it is at work on it now, and not for long.
                (false, _) => table = self.back.wait(table).unwrap_or_else(PoisonError::into_inner),
            }
        }
        match table.choice(self.number) {
            Choice::Wait => {}
            Choice::Alone => hash(table, self.number, None),
            Choice::With(other) => hash(table, self.number, Some(other)),
        }
    }

    /// Takes in what waits, and gives the state.
    fn state(&self) -> Hasher {
        let mut table = table();
        loop {
            let stream = table.0.get(self.number);
            match &stream.hasher {
                None => table = self.back.wait(table).unwrap_or_else(PoisonError::into_inner),
                Some(hasher) if stream.more.0 == 0 => return hasher.clone(),
                Some(_) => {
                    let partner = table.partner(self.number);
                    hash(table, self.number, partner);
                    table = self::table();
                }
            }
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        table().0.end(self.number);
    }
}

impl Table {
    /// Another that is free and has enough; the one with the most.
    fn partner(&self, number: u64) -> Option<u64> {
        let is_ready =
            |stream: &&Stream<Length>| stream.number != number && stream.hasher.is_some() && stream.more.0 >= ENOUGH;
        let found = self.0.all.iter().filter(is_ready).max_by_key(|stream| stream.more.0);
        found.map(|stream| stream.number)
    }

    /// What is done with a stream that is free.
    fn choice(&self, number: u64) -> Choice {
        if let Some(other) = self.partner(number) {
            return Choice::With(other);
        }
        let length: usize = self.0.all.iter().map(|stream| stream.more.0).sum();
        let has_most = |stream: &Stream<Length>| stream.number == number && stream.more.0 >= MOST;
        match self.0.all.len() == 1 || length >= ALL || self.0.all.iter().any(has_most) {
            true => Choice::Alone,
            false => Choice::Wait,
        }
    }

    fn take(&mut self, number: u64) -> Job {
        self.0.get(number).more.0 = 0;
        self.0.take(number, usize::MAX)
    }

    fn give_back(&mut self, job: Job) {
        let left: usize = job.chunks.iter().map(counted).sum();
        if let Some(stream) = self.0.give_back(job) {
            stream.more.0 += left;
        }
    }
}

fn counted(chunk: &Bytes) -> usize {
    chunk.len().max(CHUNK)
}

/// Hashes what waits of a stream: with another as much of both as the shorter has; all where there is no other, or where it had [`MOST`].
fn hash(mut table: MutexGuard<'static, Table>, number: u64, other: Option<u64>) {
    let is_full = table.0.get(number).more.0 >= MOST;
    let mut job = table.take(number);
    let mut second = other.map(|other| table.take(other));
    drop(table);
    match &mut second {
        Some(second) => pair(&mut job, second),
        None => job.rest(),
    }
    if is_full {
        // The other may have had little.
        job.rest();
    }
    let mut table = self::table();
    table.give_back(job);
    if let Some(second) = second {
        table.give_back(second);
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::streams::tests::{Hashes, content, none_is_held_up, none_mix},
        *,
    };

    impl Hashes for Together {
        fn new(algorithm: Algorithm) -> Self {
            Self::new(algorithm)
        }

        fn take(&mut self, bytes: Bytes) {
            self.update(&bytes);
        }

        fn end(self) -> Digest {
            self.finish()
        }
    }

    #[test]
    fn the_state_is_that_of_all_that_came() {
        let whole = Bytes::from(content(2 * MOST, 0));
        let mut hashing = Together::new(Algorithm::Sha256);
        let mut done = 0;
        for size in [0, 1, ENOUGH - 1, 5, ENOUGH, MOST + 3, 7] {
            hashing.update(&whole.slice(done..done + size));
            done += size;
            assert_eq!(hashing.state().finish(), Digest::of(&whole[..done]), "{done}");
        }
    }

    #[test]
    fn streams_that_meet_do_not_mix() {
        none_mix::<Together>(|number, round| {
            let small = [round, 1, 0, ENOUGH - 7, 40_001];
            [&[ENOUGH + number, MOST * (number % 3)], &small[..], &[MOST + ENOUGH]].concat()
        });
    }

    #[test]
    fn a_stream_that_stands_still_holds_up_none() {
        none_is_held_up::<Together>(ENOUGH);
    }

    /// Streams with so many bytes waiting; those with none are at work.
    fn waiting(lengths: &[Option<usize>]) -> Table {
        let mut table = Table(Streams::new());
        for length in lengths {
            let (number, _) = table.0.begin(Algorithm::Sha256.hasher(), Length(0));
            let stream = table.0.get(number);
            match length {
                Some(length) => stream.more.0 = *length,
                None => stream.hasher = None,
            }
        }
        table
    }

    #[test]
    fn a_stream_waits_only_while_another_may_come() {
        let cases: [(&[Option<usize>], Choice); 7] = [
            (&[Some(ENOUGH)], Choice::Alone),
            (&[Some(ENOUGH), Some(ENOUGH - 1), None], Choice::Wait),
            (&[Some(ENOUGH), Some(ENOUGH), Some(ENOUGH + 1)], Choice::With(2)),
            (&[Some(MOST - 1), Some(0)], Choice::Wait),
            (&[Some(MOST), Some(0)], Choice::Alone),
            (&[Some(MOST), Some(ENOUGH)], Choice::With(1)),
            (&[&[Some(ENOUGH)][..], &[Some(ENOUGH - 1); 128]].concat(), Choice::Alone),
        ];
        for (lengths, expected) in cases {
            assert_eq!(waiting(lengths).choice(0), expected, "{lengths:?}");
        }
    }

    /// What another with little leaves of a stream waits on only while that is not too much.
    #[test]
    fn a_stream_with_most_is_hashed_to_its_end() {
        for (length, left) in [(ENOUGH + 10_000, 10_000), (MOST, 0), (MOST + ENOUGH, 0)] {
            let begin = || Handle::begin(Algorithm::Sha256.hasher());
            let (one, other) = (begin(), begin());
            let bytes = content(length, 0);
            let mut table = table();
            for (handle, length) in [(&one, length), (&other, ENOUGH)] {
                let stream = table.0.get(handle.number);
                stream.waiting.push_back(bytes[..length].to_vec().into());
                stream.more.0 = length;
            }
            hash(table, one.number, Some(other.number));
            assert_eq!(super::table().0.get(one.number).more.0, left, "{length}");
            assert_eq!(one.state().finish(), Digest::of(&bytes), "{length}");
            assert_eq!(other.state().finish(), Digest::of(&bytes[..ENOUGH]), "{length}");
        }
    }

    #[test]
    fn what_is_given_back_waits_again() {
        let mut table = waiting(&[Some(0)]);
        table.0.get(0).waiting = [&b"ab"[..], b"cd", b"ef"].map(Bytes::from_static).into();
        table.0.get(0).more.0 = 3 * CHUNK;
        let mut job = table.take(0);
        assert_eq!(table.0.get(0).more.0, 0);
        table.0.get(0).more.0 = CHUNK;
        job.chunks.pop_front();
        table.give_back(job);
        assert_eq!(table.0.get(0).more.0, 3 * CHUNK);
    }

    #[test]
    fn chunks_that_are_small_hold_no_more_than_their_share() {
        // Another is there, and brings nothing any more.
        let begun = || {
            let mut hashing = Together::new(Algorithm::Sha256);
            hashing.update(&Bytes::from(content(ENOUGH, 0)));
            hashing
        };
        let (_other, mut hashing) = (begun(), begun());
        for _ in 0..2000 {
            hashing.update(&Bytes::from_static(b"x"));
            let Way::There(handle) = &hashing.way else {
                panic!("it had enough")
            };
            // What another left of it, and what came meanwhile.
            assert!(table().0.get(handle.number).waiting.len() < 2 * MOST / CHUNK);
        }
    }
}
