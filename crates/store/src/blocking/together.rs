//! What is the digest of content that comes over a network? It is hashed by whoever just has bytes at hand, and two contents at a time where two have
//! some: no thread is woken for it, which would take as long as it saves, and carry the bytes to another core's cache.
//!
//! What comes of a stream waits while it is too little, or while no other has as much; who brings the next chunk of any stream, and finds another
//! with enough, hashes both ([`Hasher::update_both`]). No stream waits for another: with [`MOST`] bytes it goes on alone, or where [`ALL`] wait of all,
//! and so does the only one.

use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use teu_spec::{Algorithm, Digest, Hasher};

use super::hashing::{Job, pair};

/// With how many bytes a stream is worth another's while.
const ENOUGH: usize = 64 << 10;
/// With how many it waits no longer.
const MOST: usize = 2 << 20;
/// With how many nobody waits any longer, if all of them together have so many.
const ALL: usize = 8 << 20;
/// What a chunk counts at least: it holds the buffer that it was read into.
const CHUNK: usize = 4 << 10;

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
#[derive(Default)]
struct Table {
    streams: Vec<Stream>,
    next: u64,
}

struct Stream {
    number: u64,
    /// None while somebody hashes it.
    hasher: Option<Hasher>,
    waiting: VecDeque<Bytes>,
    /// How many bytes wait, by [`counted`].
    length: usize,
    /// Its hasher is back.
    back: Arc<Condvar>,
}

static TABLE: Mutex<Table> = Mutex::new(Table {
    streams: Vec::new(),
    next: 0,
});

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
        let mut table = table();
        let (number, back) = (table.next, Arc::new(Condvar::new()));
        table.next += 1;
        table.streams.push(Stream {
            number,
            hasher: Some(hasher),
            waiting: VecDeque::new(),
            length: 0,
            back: Arc::clone(&back),
        });
        Self { number, back }
    }

    fn update(&self, bytes: &Bytes) {
        let mut table = table();
        let is_alone = table.streams.len() == 1;
        let stream = table.stream(self.number);
        stream.waiting.push_back(bytes.clone());
        stream.length += counted(bytes);
        if stream.length < ENOUGH && !is_alone {
            return;
        }
        loop {
            let stream = table.stream(self.number);
            match (stream.hasher.is_some(), stream.length) {
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
            let stream = table.stream(self.number);
            match &stream.hasher {
                None => table = self.back.wait(table).unwrap_or_else(PoisonError::into_inner),
                Some(hasher) if stream.length == 0 => return hasher.clone(),
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
        table().streams.retain(|stream| stream.number != self.number);
    }
}

impl Table {
    /// A stream that is there: its handle says so.
    fn stream(&mut self, number: u64) -> &mut Stream {
        let place = self.streams.iter().position(|stream| stream.number == number);
        &mut self.streams[place.expect("a stream is in the table until its handle is dropped")]
    }

    /// Another that is free and has enough; the one with the most.
    fn partner(&self, number: u64) -> Option<u64> {
        let is_ready = |stream: &&Stream| stream.number != number && stream.hasher.is_some() && stream.length >= ENOUGH;
        let found = self.streams.iter().filter(is_ready).max_by_key(|stream| stream.length);
        found.map(|stream| stream.number)
    }

    /// What is done with a stream that is free.
    fn choice(&self, number: u64) -> Choice {
        if let Some(other) = self.partner(number) {
            return Choice::With(other);
        }
        let length: usize = self.streams.iter().map(|stream| stream.length).sum();
        let has_most = |stream: &Stream| stream.number == number && stream.length >= MOST;
        match self.streams.len() == 1 || length >= ALL || self.streams.iter().any(has_most) {
            true => Choice::Alone,
            false => Choice::Wait,
        }
    }

    fn take(&mut self, number: u64) -> Job {
        let stream = self.stream(number);
        stream.length = 0;
        Job {
            number,
            hasher: stream.hasher.take(),
            chunks: std::mem::take(&mut stream.waiting),
        }
    }

    fn give_back(&mut self, job: Job) {
        // Its handle may have been dropped meanwhile.
        if let Some(stream) = self.streams.iter_mut().find(|stream| stream.number == job.number) {
            stream.hasher = job.hasher;
            // What was left comes before what came meanwhile.
            for chunk in job.chunks.into_iter().rev() {
                stream.length += counted(&chunk);
                stream.waiting.push_front(chunk);
            }
            stream.back.notify_one();
        }
    }
}

fn counted(chunk: &Bytes) -> usize {
    chunk.len().max(CHUNK)
}

/// Hashes what waits of a stream: with another as much of both as the shorter has; all where there is no other, or where it had [`MOST`].
fn hash(mut table: MutexGuard<'static, Table>, number: u64, other: Option<u64>) {
    let is_full = table.stream(number).length >= MOST;
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
    use std::thread;

    use super::*;

    fn content(length: usize, seed: usize) -> Vec<u8> {
        (0..length).map(|n| (n % 253 + seed) as u8).collect()
    }

    fn check(sizes: &[usize], algorithm: Algorithm, seed: usize) {
        let content = content(sizes.iter().sum(), seed);
        let mut hashing = Together::new(algorithm);
        let (mut rest, mut done) = (Bytes::from(content.clone()), 0);
        for size in sizes {
            hashing.update(&rest.split_to(*size));
            done += size;
            if size % 5 == 0 {
                assert_eq!(
                    hashing.state().finish(),
                    algorithm.digest(&content[..done]),
                    "{sizes:?}"
                );
            }
        }
        assert_eq!(hashing.finish(), algorithm.digest(&content), "{sizes:?}");
    }

    #[test]
    fn streams_that_meet_do_not_mix() {
        thread::scope(|scope| {
            for number in 0..12 {
                scope.spawn(move || {
                    let algorithm = Algorithm::ALL[number % 4 % 3];
                    for round in 0..8 {
                        let sizes = [
                            ENOUGH + number,
                            round,
                            MOST * (number % 3),
                            1,
                            0,
                            ENOUGH - 7,
                            40_001,
                            MOST + ENOUGH,
                        ];
                        check(&sizes, algorithm, number);
                    }
                });
            }
        });
    }

    /// One of which nothing comes holds up no other, and has no more than its share waiting; nor does one that is dropped with all that waits.
    #[test]
    fn a_stream_that_stands_still_holds_up_none() {
        let mut still = Together::new(Algorithm::Sha256);
        let chunk = Bytes::from(content(ENOUGH, 0));
        still.update(&chunk);
        still.update(&chunk);
        for seed in 0..3 {
            check(&[ENOUGH; 9], Algorithm::Sha256, seed);
            let mut dropped = Together::new(Algorithm::Sha256);
            dropped.update(&chunk);
            dropped.update(&chunk);
        }
        assert_eq!(still.finish(), Digest::of(&[&chunk[..], &chunk[..]].concat()));
    }

    /// Streams with so many bytes waiting; those with none are at work.
    fn waiting(lengths: &[Option<usize>]) -> Table {
        let stream = |(number, length): (usize, &Option<usize>)| Stream {
            number: number as u64,
            hasher: length.map(|_| Algorithm::Sha256.hasher()),
            waiting: VecDeque::new(),
            length: length.unwrap_or_default(),
            back: Arc::default(),
        };
        Table {
            streams: lengths.iter().enumerate().map(stream).collect(),
            next: 0,
        }
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
        for (length, left) in [(ENOUGH + 5000, 5000), (MOST, 0), (MOST + ENOUGH, 0)] {
            let begin = || Handle::begin(Algorithm::Sha256.hasher());
            let (one, other) = (begin(), begin());
            let bytes = content(length, 0);
            let mut table = table();
            for (handle, length) in [(&one, length), (&other, ENOUGH)] {
                let stream = table.stream(handle.number);
                stream.waiting.push_back(bytes[..length].to_vec().into());
                stream.length = length;
            }
            hash(table, one.number, Some(other.number));
            assert_eq!(super::table().stream(one.number).length, left, "{length}");
            assert_eq!(one.state().finish(), Digest::of(&bytes), "{length}");
            assert_eq!(other.state().finish(), Digest::of(&bytes[..ENOUGH]), "{length}");
        }
    }

    #[test]
    fn what_is_left_of_a_stream_comes_before_what_came_meanwhile() {
        let mut table = waiting(&[Some(0)]);
        table.stream(0).waiting = [&b"ab"[..], b"cd", b"ef"].map(Bytes::from_static).into();
        let mut job = table.take(0);
        assert_eq!((table.stream(0).hasher.is_none(), table.stream(0).length), (true, 0));
        table.stream(0).waiting.push_back(Bytes::from_static(b"gh"));
        table.stream(0).length = CHUNK;
        // Another had three bytes.
        job.chunks.pop_front();
        job.chunks[0] = Bytes::from_static(b"d");
        table.give_back(job);
        let stream = table.stream(0);
        assert_eq!(stream.waiting, [&b"d"[..], b"ef", b"gh"]);
        assert_eq!((stream.hasher.is_some(), stream.length), (true, 3 * CHUNK));
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
            assert!(table().stream(handle.number).waiting.len() < 2 * MOST / CHUNK);
        }
    }
}
