//! Which contents are being hashed, and what waits of each? A table of streams, from which jobs are taken and given back: [`Hashing`](super::Hashing) and
//! [`Together`](super::Together) have one each, and say who does what when.

use std::{
    collections::VecDeque,
    sync::{Arc, Condvar},
};

use bytes::{Buf, Bytes};
use teu_spec::Hasher;

use super::states::States;

/// All streams; each has what `M` says beside.
pub(super) struct Streams<M> {
    pub(super) all: Vec<Stream<M>>,
    next: u64,
}

pub(super) struct Stream<M> {
    pub(super) number: u64,
    /// None while somebody hashes it.
    pub(super) hasher: Option<Hasher>,
    /// What is remembered of it on the way, if anything is; it goes where the hasher goes.
    pub(super) states: Option<States>,
    pub(super) waiting: VecDeque<Bytes>,
    /// Something was taken of it, or its hasher is back.
    pub(super) moved: Arc<Condvar>,
    pub(super) more: M,
}

impl<M> Streams<M> {
    pub(super) const fn new() -> Self {
        Self {
            all: Vec::new(),
            next: 0,
        }
    }

    /// Another one: its number, and what tells that it [moved](Stream::moved).
    pub(super) fn begin(&mut self, hasher: Hasher, more: M) -> (u64, Arc<Condvar>) {
        let (number, moved) = (self.next, Arc::default());
        self.all.push(Stream {
            number,
            hasher: Some(hasher),
            states: None,
            waiting: VecDeque::new(),
            moved: Arc::clone(&moved),
            more,
        });
        self.next += 1;
        (number, moved)
    }

    /// One that is there: its handle says so.
    pub(super) fn get(&mut self, number: u64) -> &mut Stream<M> {
        let found = self.find(number);
        found.expect("a stream is in the table until its handle is dropped")
    }

    fn find(&mut self, number: u64) -> Option<&mut Stream<M>> {
        self.all.iter_mut().find(|stream| stream.number == number)
    }

    /// Its handle is dropped.
    pub(super) fn end(&mut self, number: u64) {
        self.all.retain(|stream| stream.number != number);
    }

    /// Takes the hasher of a stream that has it, and at most so many of the chunks that wait.
    pub(super) fn take(&mut self, number: u64, most: usize) -> Job {
        let stream = self.get(number);
        let count = most.min(stream.waiting.len());
        Job {
            number,
            hasher: stream.hasher.take(),
            states: stream.states.take(),
            chunks: stream.waiting.drain(..count).collect(),
        }
    }

    /// Gives back what was taken: what is left of it comes before what came meanwhile. None where its handle was dropped.
    pub(super) fn give_back(&mut self, job: Job) -> Option<&mut Stream<M>> {
        let stream = self.find(job.number)?;
        (stream.hasher, stream.states) = (job.hasher, job.states);
        for chunk in job.chunks.into_iter().rev() {
            stream.waiting.push_front(chunk);
        }
        stream.moved.notify_one();
        Some(stream)
    }
}

/// Chunks on their way into a hasher.
pub(super) struct Job {
    pub(super) number: u64,
    pub(super) hasher: Option<Hasher>,
    pub(super) states: Option<States>,
    pub(super) chunks: VecDeque<Bytes>,
}

impl Job {
    /// How many bytes of the first chunk are left.
    fn length(&mut self) -> usize {
        while self.chunks.front().is_some_and(Bytes::is_empty) {
            self.chunks.pop_front();
            self.passed();
        }
        self.chunks.front().map_or(0, Bytes::len)
    }

    /// Hashes all that is left.
    pub(super) fn rest(&mut self) {
        while self.hasher.is_some()
            && let Some(chunk) = self.chunks.pop_front()
        {
            if let Some(hasher) = &mut self.hasher {
                hasher.update(&chunk);
            }
            self.passed();
        }
    }

    /// A chunk was hashed to its end.
    fn passed(&mut self) {
        if let (Some(hasher), Some(states)) = (&self.hasher, &mut self.states) {
            states.passed(hasher);
        }
    }
}

/// Hashes as much of both as the shorter has.
pub(super) fn pair(one: &mut Job, other: &mut Job) {
    loop {
        let length = one.length().min(other.length());
        let (Some(chunk), Some(other_chunk)) = (one.chunks.front_mut(), other.chunks.front_mut()) else {
            break;
        };
        if let (Some(hasher), Some(other_hasher)) = (&mut one.hasher, &mut other.hasher) {
            Hasher::update_both((hasher, &chunk[..length]), (other_hasher, &other_chunk[..length]));
        }
        chunk.advance(length);
        other_chunk.advance(length);
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::thread;

    use teu_spec::{Algorithm, Digest};

    use super::*;

    /// What hashes a stream that may meet others.
    pub(in super::super) trait Hashes {
        fn new(algorithm: Algorithm) -> Self;
        fn take(&mut self, bytes: Bytes);
        fn end(self) -> Digest;
    }

    pub(in super::super) fn content(length: usize, seed: usize) -> Vec<u8> {
        (0..length).map(|n| (n % 253 + seed) as u8).collect()
    }

    /// Content that comes in such chunks has its digest.
    pub(in super::super) fn check<H: Hashes>(sizes: &[usize], algorithm: Algorithm, seed: usize) {
        let content = content(sizes.iter().sum(), seed);
        let mut hashes = H::new(algorithm);
        let mut rest = Bytes::from(content.clone());
        for size in sizes {
            hashes.take(rest.split_to(*size));
        }
        assert_eq!(hashes.end(), algorithm.digest(&content), "{sizes:?}");
    }

    /// Streams that meet do not mix, whatever comes of each.
    pub(in super::super) fn none_mix<H: Hashes>(sizes: impl Fn(usize, usize) -> Vec<usize> + Sync) {
        thread::scope(|scope| {
            for number in 0..12 {
                let sizes = &sizes;
                scope.spawn(move || {
                    let algorithm = Algorithm::ALL[number % 4 % 3];
                    for round in 0..7 {
                        check::<H>(&sizes(number, round), algorithm, number);
                    }
                });
            }
        });
    }

    /// One of which nothing comes holds up no other; nor does one that is dropped with all that waits.
    pub(in super::super) fn none_is_held_up<H: Hashes>(chunk: usize) {
        let begun = || {
            let mut begun = H::new(Algorithm::Sha256);
            begun.take(content(chunk, 0).into());
            begun.take(content(chunk, 0).into());
            begun
        };
        let still = begun();
        for seed in 0..3 {
            check::<H>(&[&[chunk; 9][..], &[3]].concat(), Algorithm::Sha256, seed);
            drop(begun());
        }
        assert_eq!(
            still.end(),
            Digest::of(&[content(chunk, 0), content(chunk, 0)].concat())
        );
    }

    #[test]
    fn what_is_left_of_a_stream_comes_before_what_came_meanwhile() {
        let mut streams = Streams::new();
        let (number, _) = streams.begin(Algorithm::Sha256.hasher(), ());
        let waiting = |chunks: &[&'static [u8]]| chunks.iter().copied().map(Bytes::from_static).collect();
        streams.get(number).waiting = waiting(&[b"ab", b"cd", b"ef", b"gh"]);
        let mut job = streams.take(number, 3);
        assert!(streams.get(number).hasher.is_none());
        streams.get(number).waiting.push_back(Bytes::from_static(b"ij"));
        // Another had three bytes.
        job.chunks.pop_front();
        job.chunks[0] = Bytes::from_static(b"d");
        let stream = streams.give_back(job).expect("it is there");
        assert!(stream.hasher.is_some());
        assert_eq!(stream.waiting, waiting(&[b"d", b"ef", b"gh", b"ij"]));
        let job = streams.take(number, usize::MAX);
        assert_eq!(job.chunks.len(), 4);
        streams.end(number);
        assert!(streams.give_back(job).is_none());
    }
}
