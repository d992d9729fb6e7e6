//! What is the digest of content that goes by? It is computed beside the work on the content, on threads that all streams of the process share.
//!
//! They are shared because two contents at once are hashed in much less time than one after the other ([`Hasher::update_both`]). So a chunk waits a
//! little for one of another stream, but never while anybody waits for it, nor where it is the only stream. Where the machine or the algorithm
//! gains nothing by it, there are as many threads as processors and nothing waits.

use std::{
    cmp::Reverse,
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError},
    thread,
};

use bytes::{Buf, Bytes};
use teu_spec::{Algorithm, Digest, Hasher};

use super::BATCH;

/// How many chunks of a stream may wait.
const WAITING: usize = 4;
/// With how many it no longer waits for another stream: one before it is held up.
const RIPE: usize = 3;

/// Hashes chunks in their order. The first of [`BATCH`] bytes or more goes to a thread, and all from then on; content that is smaller, and all
/// where the system gives no thread, is hashed where it comes.
#[derive(Debug)]
pub struct Hashing(Way);

#[derive(Debug)]
enum Way {
    Here(Box<Hasher>),
    There(Handle),
}

impl From<Hasher> for Hashing {
    /// Goes on from there.
    fn from(hasher: Hasher) -> Self {
        Self(Way::Here(Box::new(hasher)))
    }
}

impl Hashing {
    /// Of nothing yet.
    #[must_use]
    pub fn new(algorithm: Algorithm) -> Self {
        algorithm.hasher().into()
    }

    /// Takes the next chunk in, waiting while the threads are far behind. The bytes are held until they are hashed.
    pub fn update(&mut self, bytes: Bytes) {
        if let Way::Here(hasher) = &mut self.0 {
            let handle = match bytes.len() < BATCH {
                true => None,
                false => Handle::begin(hasher),
            };
            let Some(handle) = handle else {
                hasher.update(&bytes);
                return;
            };
            self.0 = Way::There(handle);
        }
        if let Way::There(handle) = &self.0 {
            handle.update(bytes);
        }
    }

    /// The digest of all that came.
    #[must_use]
    pub fn finish(self) -> Digest {
        match self.0 {
            Way::Here(hasher) => hasher.finish(),
            Way::There(handle) => handle.finish().finish(),
        }
    }
}

/// All streams that are hashed by threads, and how many of these there are.
#[derive(Default)]
struct Table {
    streams: Vec<Stream>,
    next: u64,
    threads: usize,
    idle: usize,
    /// How often something was taken.
    clock: u64,
}

struct Stream {
    number: u64,
    /// None while a thread has it.
    hasher: Option<Hasher>,
    waiting: VecDeque<Bytes>,
    /// It is hashed with another one like it, in less time.
    pairs: bool,
    /// When something of it was taken last.
    taken: u64,
    /// Somebody waits for what waits here to be taken, or to be hashed.
    urgent: bool,
    moved: Arc<Condvar>,
}

static TABLE: Mutex<Table> = Mutex::new(Table {
    streams: Vec::new(),
    next: 0,
    threads: 0,
    idle: 0,
    clock: 0,
});
/// There is work, or none will come any more.
static WORK: Condvar = Condvar::new();

fn table() -> MutexGuard<'static, Table> {
    TABLE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn processors() -> usize {
    static COUNT: OnceLock<usize> = OnceLock::new();
    *COUNT.get_or_init(|| thread::available_parallelism().map_or(1, usize::from))
}

/// One's own stream in the table.
#[derive(Debug)]
struct Handle {
    number: u64,
    moved: Arc<Condvar>,
}

impl Handle {
    /// A stream that goes on from there; none where no thread hashes, nor could be started. Threads end only where no stream is, so whoever is in
    /// the table is served.
    fn begin(hasher: &Hasher) -> Option<Self> {
        let mut table = table();
        if table.threads == 0 && !table.start() {
            return None;
        }
        let (number, moved) = (table.next, Arc::new(Condvar::new()));
        table.next += 1;
        table.streams.push(Stream {
            number,
            pairs: hasher.gains_by_two(),
            hasher: Some(hasher.clone()),
            waiting: VecDeque::with_capacity(WAITING),
            taken: 0,
            urgent: false,
            moved: Arc::clone(&moved),
        });
        Some(Self { number, moved })
    }

    fn update(&self, bytes: Bytes) {
        let mut table = table();
        while table.stream(self.number).waiting.len() >= WAITING {
            table = self.wait(table);
        }
        table.stream(self.number).waiting.push_back(bytes);
        table.call();
    }

    fn finish(self) -> Hasher {
        let mut table = table();
        loop {
            let stream = table.stream(self.number);
            if stream.waiting.is_empty()
                && let Some(hasher) = stream.hasher.take()
            {
                return hasher;
            }
            table = self.wait(table);
        }
    }

    fn wait(&self, mut table: MutexGuard<'static, Table>) -> MutexGuard<'static, Table> {
        table.stream(self.number).urgent = true;
        table.call();
        let mut table = self.moved.wait(table).unwrap_or_else(PoisonError::into_inner);
        table.stream(self.number).urgent = false;
        table
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let mut table = table();
        table.streams.retain(|stream| stream.number != self.number);
        // A thread ends where there is no stream; and a stream that is alone now waits for no other.
        match table.streams.is_empty() {
            true => WORK.notify_all(),
            false => table.call(),
        }
    }
}

impl Table {
    /// A stream that is there: its handle says so.
    fn stream(&mut self, number: u64) -> &mut Stream {
        let place = self.streams.iter().position(|stream| stream.number == number);
        &mut self.streams[place.expect("a stream is in the table until its handle is dropped")]
    }

    /// Has a thread do what is to be done.
    fn call(&mut self) {
        if self.choice().is_none() {
            return;
        }
        if self.idle > 0 {
            WORK.notify_one();
        } else if self.threads < self.most_threads() {
            // Without another, those that are there come to it.
            self.start();
        }
    }

    /// One for two processors where it has the work of two.
    fn most_threads(&self) -> usize {
        match self.streams.iter().all(|stream| stream.pairs) {
            true => processors().div_ceil(2),
            false => processors(),
        }
    }

    fn start(&mut self) -> bool {
        let started = thread::Builder::new().name("digest".to_owned()).spawn(work).is_ok();
        self.threads += usize::from(started);
        started
    }

    /// What is hashed next: two streams, or one that does not wait for another. Those that somebody waits for come first, the longest waiting before
    /// the others; then those with the most that waits.
    fn choice(&self) -> Option<(usize, Option<usize>)> {
        let rank = |place: usize| {
            let stream = &self.streams[place];
            let since = stream.urgent.then_some(Reverse(stream.taken));
            (since, stream.waiting.len())
        };
        let ready = |place: &usize| {
            let stream = &self.streams[*place];
            stream.hasher.is_some() && !stream.waiting.is_empty()
        };
        let places = 0..self.streams.len();
        let first = places.clone().filter(ready).max_by_key(|place| rank(*place))?;
        if !self.streams[first].pairs {
            return Some((first, None));
        }
        let second = places
            .filter(ready)
            .filter(|place| *place != first && self.streams[*place].pairs);
        if let Some(second) = second.max_by_key(|place| rank(*place)) {
            return Some((first, Some(second)));
        }
        let stream = &self.streams[first];
        let alone = self.streams.iter().filter(|stream| stream.pairs).count() == 1;
        (stream.urgent || alone || stream.waiting.len() >= RIPE).then_some((first, None))
    }

    fn take(&mut self, place: usize, most: usize) -> Job {
        self.clock += 1;
        let stream = &mut self.streams[place];
        stream.taken = self.clock;
        let count = most.min(stream.waiting.len());
        let job = Job {
            number: stream.number,
            hasher: stream.hasher.take(),
            chunks: stream.waiting.drain(..count).collect(),
        };
        stream.moved.notify_one();
        job
    }

    fn give_back(&mut self, job: Job) {
        // Its handle may have been dropped meanwhile.
        if let Some(stream) = self.streams.iter_mut().find(|stream| stream.number == job.number) {
            stream.hasher = job.hasher;
            stream.moved.notify_one();
        }
    }
}

/// What a thread does, until there is no stream left.
fn work() {
    let mut table = table();
    while !table.streams.is_empty() {
        let Some((first, second)) = table.choice() else {
            table.idle += 1;
            table = WORK.wait(table).unwrap_or_else(PoisonError::into_inner);
            table.idle -= 1;
            continue;
        };
        // As many of each, so that none is left without another.
        let most = second.map_or(WAITING, |second| table.streams[second].waiting.len());
        let most = most.min(table.streams[first].waiting.len());
        let mut job = table.take(first, most);
        let mut other = second.map(|second| table.take(second, most));
        drop(table);
        match &mut other {
            Some(other) => {
                pair(&mut job, other);
                job.rest();
                other.rest();
            }
            None => job.rest(),
        }
        table = self::table();
        table.give_back(job);
        if let Some(other) = other {
            table.give_back(other);
        }
    }
    table.threads -= 1;
}

/// Chunks on their way into a hasher.
pub(super) struct Job {
    pub(super) number: u64,
    pub(super) hasher: Option<Hasher>,
    pub(super) chunks: VecDeque<Bytes>,
}

impl Job {
    /// How many bytes of the first chunk are left.
    fn length(&mut self) -> usize {
        while self.chunks.front().is_some_and(Bytes::is_empty) {
            self.chunks.pop_front();
        }
        self.chunks.front().map_or(0, Bytes::len)
    }

    /// Hashes all that is left.
    pub(super) fn rest(&mut self) {
        if let Some(hasher) = &mut self.hasher {
            self.chunks.drain(..).for_each(|chunk| hasher.update(&chunk));
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
mod tests {
    use super::*;

    fn content(length: usize) -> Vec<u8> {
        (0..length).map(|n| (n % 253) as u8).collect()
    }

    fn check(sizes: &[usize], algorithm: Algorithm) {
        let content = content(sizes.iter().sum());
        let mut hashing = Hashing::new(algorithm);
        let mut rest = Bytes::from(content.clone());
        for size in sizes {
            hashing.update(rest.split_to(*size));
        }
        assert_eq!(hashing.finish(), algorithm.digest(&content), "{sizes:?}");
    }

    #[test]
    fn small_and_large_chunks_are_hashed_in_their_order() {
        for sizes in [
            &[][..],
            &[0],
            &[1, 2, 3],
            &[BATCH - 1, 7],
            &[BATCH],
            &[5, BATCH, 5],
            &[BATCH + 1, 0, 3, 9 * BATCH, 1],
        ] {
            for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
                check(sizes, algorithm);
            }
        }
    }

    #[test]
    fn streams_that_meet_do_not_mix() {
        thread::scope(|scope| {
            for number in 0..12 {
                scope.spawn(move || {
                    let algorithm = Algorithm::ALL[number % 4 % 3];
                    for round in 0..6 {
                        check(&[BATCH + number, round, BATCH * (number % 3), 1, BATCH + 7], algorithm);
                    }
                });
            }
        });
    }

    /// One of which nothing comes holds up no other, nor does one that is dropped with all that waits.
    #[test]
    fn a_stream_that_stands_still_holds_up_none() {
        let mut still = Hashing::new(Algorithm::Sha256);
        still.update(content(BATCH).into());
        for _ in 0..3 {
            check(&[BATCH, BATCH, BATCH, BATCH, BATCH, BATCH, 3], Algorithm::Sha256);
            let mut dropped = Hashing::new(Algorithm::Sha256);
            dropped.update(content(BATCH).into());
        }
        assert_eq!(still.finish(), Digest::of(&content(BATCH)));
    }
}
