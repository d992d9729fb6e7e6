//! What is the digest of content that comes over a network? It is hashed by whoever just has bytes at hand, and two contents at a time where two have
//! some: no thread is woken for it, which would take as long as it saves, and carry the bytes to another core's cache.
//!
//! What comes of a stream waits while it is too little, or while no other has as much; who brings the next chunk of any stream, and finds another
//! with enough, hashes both ([`Hasher::update_both`]). No stream waits for another: with [`MOST`] bytes it goes on alone, or where [`ALL`] are held of all,
//! and so does the only one. What is held of all is about [`ALL`], and beyond that of each stream less than
//! [`ENOUGH`], with which it waits whatever all hold, and a chunk.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use teu_spec::{Algorithm, Digest, Hasher};

use super::streams::{Job, Stream, Streams, pair};

/// With how many bytes a stream is worth another's while.
const ENOUGH: usize = 64 << 10;
/// With how many it waits no longer.
const MOST: usize = 2 << 20;
/// With how many nobody waits any longer, if all of them together have so many, those that are being hashed among them: where the machine is busy that takes long.
const ALL: usize = 6 << 20;
/// What a chunk counts at least: where nobody made it [compact](super::Compact) it holds the buffer that it was read into, of which hyper has none with less.
/// Larger ones it has only for who fills half of one at least every second time, so that what is held is not more than some four times what is counted.
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

/// How many bytes of a stream are held, by [`counted`].
#[derive(Default)]
struct Length {
    waiting: usize,
    /// Those that were taken to be hashed.
    at_work: usize,
}

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
        let (number, back) = table().0.begin(hasher, Length::default());
        Self { number, back }
    }

    fn update(&self, bytes: &Bytes) {
        let mut table = table();
        let is_alone = table.0.all.len() == 1;
        let stream = table.0.get(self.number);
        stream.waiting.push_back(bytes.clone());
        stream.more.waiting += counted(bytes);
        if stream.more.waiting < ENOUGH && !is_alone {
            return;
        }
        loop {
            if table.0.get(self.number).hasher.is_some() {
                break;
            }
            // Who has it is at work on it now, and not for long.
            if table.may_wait(self.number) {
                return;
            }
            table = self.back.wait(table).unwrap_or_else(PoisonError::into_inner);
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
                Some(hasher) if stream.more.waiting == 0 => return hasher.clone(),
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
        let is_ready = |stream: &&Stream<Length>| {
            stream.number != number && stream.hasher.is_some() && stream.more.waiting >= ENOUGH
        };
        let found = self
            .0
            .all
            .iter()
            .filter(is_ready)
            .max_by_key(|stream| stream.more.waiting);
        found.map(|stream| stream.number)
    }

    /// What is done with a stream that is free.
    fn choice(&self, number: u64) -> Choice {
        if let Some(other) = self.partner(number) {
            return Choice::With(other);
        }
        let has_most = |stream: &Stream<Length>| stream.number == number && stream.more.waiting >= MOST;
        match self.0.all.len() == 1 || self.held() >= ALL || self.0.all.iter().any(has_most) {
            true => Choice::Alone,
            false => Choice::Wait,
        }
    }

    /// Whether what came of a stream that another hashes may wait for that: where all hold much, a chunk of each.
    fn may_wait(&mut self, number: u64) -> bool {
        let is_full = self.held() >= ALL;
        let stream = self.0.get(number);
        stream.more.waiting < MOST && (!is_full || stream.waiting.len() == 1)
    }

    /// How many bytes are held of all streams.
    fn held(&self) -> usize {
        let lengths = self.0.all.iter().map(|stream| &stream.more);
        lengths.map(|length| length.waiting + length.at_work).sum()
    }

    fn take(&mut self, number: u64) -> Job {
        let length = &mut self.0.get(number).more;
        length.at_work = std::mem::take(&mut length.waiting);
        self.0.take(number, usize::MAX)
    }

    fn give_back(&mut self, job: Job) {
        let left: usize = job.chunks.iter().map(counted).sum();
        if let Some(stream) = self.0.give_back(job) {
            stream.more.waiting += left;
            stream.more.at_work = 0;
        }
    }
}

fn counted(chunk: &Bytes) -> usize {
    chunk.len().max(CHUNK)
}

/// Hashes what waits of a stream: with another as much of both as the shorter has; all where there is no other, or where it had [`MOST`].
fn hash(mut table: MutexGuard<'static, Table>, number: u64, other: Option<u64>) {
    let is_full = table.0.get(number).more.waiting >= MOST;
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
            let (number, _) = table.0.begin(Algorithm::Sha256.hasher(), Length::default());
            let stream = table.0.get(number);
            match length {
                Some(length) => stream.more.waiting = *length,
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

    #[test]
    fn what_others_hash_is_waited_for_where_all_hold_much() {
        for (chunks, waiting, at_work, expected) in [
            (1, ENOUGH, 0, true),
            (9, MOST - 1, 0, true),
            (9, MOST, 0, false),
            (1, ENOUGH, ALL, true),
            (2, ENOUGH, ALL, false),
            (2, ENOUGH, ALL - ENOUGH - 1, true),
            (2, ENOUGH, ALL - ENOUGH, false),
        ] {
            let mut table = self::waiting(&[None, Some(0)]);
            table.0.get(1).more.at_work = at_work;
            let stream = table.0.get(0);
            stream.more.waiting = waiting;
            stream.waiting = (0..chunks).map(|_| Bytes::from_static(b"x")).collect();
            assert_eq!(table.may_wait(0), expected, "{chunks} {waiting} {at_work}");
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
                stream.more.waiting = length;
            }
            hash(table, one.number, Some(other.number));
            assert_eq!(super::table().0.get(one.number).more.waiting, left, "{length}");
            assert_eq!(one.state().finish(), Digest::of(&bytes), "{length}");
            assert_eq!(other.state().finish(), Digest::of(&bytes[..ENOUGH]), "{length}");
        }
    }

    #[test]
    fn what_is_given_back_waits_again() {
        let mut table = waiting(&[Some(0)]);
        table.0.get(0).waiting = [&b"ab"[..], b"cd", b"ef"].map(Bytes::from_static).into();
        table.0.get(0).more.waiting = 3 * CHUNK;
        let mut job = table.take(0);
        assert_eq!((table.0.get(0).more.waiting, table.held()), (0, 3 * CHUNK));
        table.0.get(0).more.waiting = CHUNK;
        job.chunks.pop_front();
        assert_eq!(table.held(), 4 * CHUNK);
        table.give_back(job);
        assert_eq!((table.0.get(0).more.waiting, table.held()), (3 * CHUNK, 3 * CHUNK));
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
