//! What is the digest of content that goes by? It is computed beside the work on the content, on threads that all streams of the process share.
//!
//! They are shared because two contents at once are hashed in much less time than one after the other ([`Hasher::update_both`]). So a chunk waits a
//! little for one of another stream, but never while anybody waits for it, nor where it is the only stream. Where the machine or the algorithm
//! gains nothing by it, there are as many threads as processors and nothing waits.

use std::{
    cmp::Reverse,
    sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError},
    thread,
};

use bytes::Bytes;
use teu_spec::{Algorithm, Digest, Hasher};

use super::{
    BATCH,
    states::States,
    streams::{Job, Streams, pair},
};

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
    Here(Box<Hasher>, Option<States>),
    There(Handle),
}

impl From<Hasher> for Hashing {
    /// Goes on from there.
    fn from(hasher: Hasher) -> Self {
        Self(Way::Here(Box::new(hasher), None))
    }
}

impl Hashing {
    /// Of nothing yet.
    #[must_use]
    pub fn new(algorithm: Algorithm) -> Self {
        algorithm.hasher().into()
    }

    /// Of nothing yet; states are remembered on the way, at most so many, which is two or more.
    #[must_use]
    pub fn with_states(algorithm: Algorithm, most: usize) -> Self {
        Self(Way::Here(Box::new(algorithm.hasher()), Some(States::new(most))))
    }

    /// Takes the next chunk in, waiting while the threads are far behind. The bytes are held until they are hashed.
    pub fn update(&mut self, bytes: Bytes) {
        if let Way::Here(hasher, states) = &mut self.0 {
            let handle = match bytes.len() < BATCH {
                true => None,
                false => Handle::begin(hasher, states),
            };
            let Some(handle) = handle else {
                hasher.update(&bytes);
                if let Some(states) = states {
                    states.passed(hasher);
                }
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
        self.finish_with_states().0
    }

    /// The digest of all that came, and the states, where they are [remembered](Self::with_states).
    #[must_use]
    pub fn finish_with_states(self) -> (Digest, Option<States>) {
        let (hasher, states) = match self.0 {
            Way::Here(hasher, states) => (*hasher, states),
            Way::There(handle) => handle.finish(),
        };
        (hasher.finish(), states)
    }
}

/// All streams that are hashed by threads, and how many of these there are.
struct Table {
    streams: Streams<Turn>,
    threads: usize,
    idle: usize,
    /// How often something was taken.
    clock: u64,
}

/// When it is a stream's turn.
struct Turn {
    /// It is hashed with another one like it, in less time.
    pairs: bool,
    /// When something of it was taken last.
    taken: u64,
    /// Somebody waits for what waits here to be taken, or to be hashed.
    urgent: bool,
}

static TABLE: Mutex<Table> = Mutex::new(Table {
    streams: Streams::new(),
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
    fn begin(hasher: &Hasher, states: &mut Option<States>) -> Option<Self> {
        let mut table = table();
        if table.threads == 0 && !table.start() {
            return None;
        }
        let turn = Turn {
            pairs: hasher.gains_by_two(),
            taken: 0,
            urgent: false,
        };
        let (number, moved) = table.streams.begin(hasher.clone(), turn);
        table.streams.get(number).states = states.take();
        Some(Self { number, moved })
    }

    fn update(&self, bytes: Bytes) {
        let mut table = table();
        while table.streams.get(self.number).waiting.len() >= WAITING {
            table = self.wait(table);
        }
        table.streams.get(self.number).waiting.push_back(bytes);
        table.call();
    }

    fn finish(self) -> (Hasher, Option<States>) {
        let mut table = table();
        loop {
            let stream = table.streams.get(self.number);
            if stream.waiting.is_empty()
                && let Some(hasher) = stream.hasher.take()
            {
                return (hasher, stream.states.take());
            }
            table = self.wait(table);
        }
    }

    fn wait(&self, mut table: MutexGuard<'static, Table>) -> MutexGuard<'static, Table> {
        table.streams.get(self.number).more.urgent = true;
        table.call();
        let mut table = self.moved.wait(table).unwrap_or_else(PoisonError::into_inner);
        table.streams.get(self.number).more.urgent = false;
        table
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let mut table = table();
        table.streams.end(self.number);
        // A thread ends where there is no stream; and a stream that is alone now waits for no other.
        match table.streams.all.is_empty() {
            true => WORK.notify_all(),
            false => table.call(),
        }
    }
}

impl Table {
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
        match self.streams.all.iter().all(|stream| stream.more.pairs) {
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
            let stream = &self.streams.all[place];
            let since = stream.more.urgent.then_some(Reverse(stream.more.taken));
            (since, stream.waiting.len())
        };
        let ready = |place: &usize| {
            let stream = &self.streams.all[*place];
            stream.hasher.is_some() && !stream.waiting.is_empty()
        };
        let pairs = |place: usize| self.streams.all[place].more.pairs;
        let places = 0..self.streams.all.len();
        let first = places.clone().filter(ready).max_by_key(|place| rank(*place))?;
        if !pairs(first) {
            return Some((first, None));
        }
        let second = places
            .clone()
            .filter(ready)
            .filter(|place| *place != first && pairs(*place));
        if let Some(second) = second.max_by_key(|place| rank(*place)) {
            return Some((first, Some(second)));
        }
        let stream = &self.streams.all[first];
        let alone = places.filter(|place| pairs(*place)).count() == 1;
        (stream.more.urgent || alone || stream.waiting.len() >= RIPE).then_some((first, None))
    }

    fn take(&mut self, place: usize, most: usize) -> Job {
        self.clock += 1;
        let stream = &mut self.streams.all[place];
        stream.more.taken = self.clock;
        stream.moved.notify_one();
        let number = stream.number;
        self.streams.take(number, most)
    }
}

/// What a thread does, until there is no stream left.
fn work() {
    let mut table = table();
    while !table.streams.all.is_empty() {
        let Some((first, second)) = table.choice() else {
            table.idle += 1;
            table = WORK.wait(table).unwrap_or_else(PoisonError::into_inner);
            table.idle -= 1;
            continue;
        };
        // As many of each, so that none is left without another.
        let most = second.map_or(WAITING, |second| table.streams.all[second].waiting.len());
        let most = most.min(table.streams.all[first].waiting.len());
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
        for job in [Some(job), other].into_iter().flatten() {
            table.streams.give_back(job);
        }
    }
    table.threads -= 1;
}

#[cfg(test)]
mod tests {
    use super::{
        super::streams::tests::{Hashes, check, content, none_is_held_up, none_mix},
        *,
    };

    impl Hashes for Hashing {
        fn new(algorithm: Algorithm) -> Self {
            Self::new(algorithm)
        }

        fn take(&mut self, bytes: Bytes) {
            self.update(bytes);
        }

        fn end(self) -> Digest {
            self.finish()
        }
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
                check::<Hashing>(sizes, algorithm, 0);
            }
        }
    }

    #[test]
    fn states_are_those_behind_every_so_many_chunks() {
        // Some chunks are hashed here, and most by threads, where other streams have chunks of other lengths.
        let sizes = [&[5, 0][..], &[BATCH; 40], &[BATCH + 3, 0, 9]].concat();
        let content = content(sizes.iter().sum(), 0);
        thread::scope(|scope| {
            for seed in 0..3 {
                scope.spawn(move || check::<Hashing>(&[BATCH + 999; 20], Algorithm::Sha256, seed));
            }
            for (algorithm, most, every) in [
                (Algorithm::Sha256, 100, 1),
                (Algorithm::Sha256, 45, 1),
                (Algorithm::Sha256, 44, 2),
                (Algorithm::Sha256, 11, 4),
                (Algorithm::Sha512, 2, 16),
            ] {
                let mut hashing = Hashing::with_states(algorithm, most);
                let (mut rest, mut ends) = (Bytes::from(content.clone()), vec![0]);
                for size in &sizes {
                    hashing.update(rest.split_to(*size));
                    ends.push(content.len() - rest.len());
                }
                let (digest, states) = hashing.finish_with_states();
                let states = states.expect("they were remembered");
                assert_eq!(digest, algorithm.digest(&content));
                assert_eq!(states.every, every, "{most}");
                let expected = ends.iter().skip(every as usize).step_by(every as usize);
                let expected: Vec<_> = expected.map(|end| algorithm.digest(&content[..*end])).collect();
                let saved = states.saved.iter().map(|saved| Hasher::restore(algorithm, saved));
                let found: Vec<_> = saved.map(|hasher| hasher.expect("a state").finish()).collect();
                assert_eq!(found, expected, "{most}");
            }
        });
        assert!(Hashing::new(Algorithm::Sha256).finish_with_states().1.is_none());
    }

    #[test]
    fn streams_that_meet_do_not_mix() {
        none_mix::<Hashing>(|number, round| vec![BATCH + number, round, BATCH * (number % 3), 1, BATCH + 7]);
    }

    #[test]
    fn a_stream_that_stands_still_holds_up_none() {
        none_is_held_up::<Hashing>(BATCH);
    }
}
