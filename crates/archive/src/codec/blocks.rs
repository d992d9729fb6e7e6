//! Deflating in blocks that do not wait for each other, on as many threads as there are, in order.
//!
//! Each block is deflated from nothing but itself and the 32 KiB before it, and ends at a byte (a sync flush, as `zlib.h` has
//! it), so that the blocks, one after the other, are one deflated stream, the same however many threads made it.

use std::io;
use std::num::NonZeroUsize;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use flate2::{Compress, Compression as Level, FlushCompress, Status};

/// What deflate can refer back to.
const WINDOW: usize = 32 << 10;
/// Blocks that wait for one thread, so that it need not wait for the next one.
const QUEUE: usize = 2;

pub(super) struct Blocks {
    level: u32,
    workers: Workers,
    /// Jobs that are done, whose memory is used again.
    spare: Vec<Job>,
    /// The end of what came before the next block.
    window: Vec<u8>,
}

enum Workers {
    Inline,
    Threads {
        lanes: Vec<Lane>,
        sent: usize,
        taken: usize,
    },
}

/// A thread that takes every n-th block.
struct Lane {
    jobs: SyncSender<Job>,
    done: Receiver<io::Result<Job>>,
}

#[derive(Default)]
struct Job {
    /// What stands before the block, then the block.
    input: Vec<u8>,
    before: usize,
    last: bool,
    output: Vec<u8>,
}

impl Blocks {
    /// With one thread, the caller's own does the work.
    pub(super) fn new(level: u32, threads: NonZeroUsize) -> io::Result<Self> {
        let workers = if threads.get() == 1 {
            Workers::Inline
        } else {
            let lanes = (0..threads.get()).map(|_| lane(level)).collect::<io::Result<_>>()?;
            Workers::Threads {
                lanes,
                sent: 0,
                taken: 0,
            }
        };
        Ok(Blocks {
            level,
            workers,
            spare: Vec::new(),
            window: Vec::new(),
        })
    }

    /// How many blocks can be in here at most.
    pub(super) fn most(&self) -> usize {
        match &self.workers {
            Workers::Inline => 0,
            Workers::Threads { lanes, .. } => QUEUE * lanes.len(),
        }
    }

    /// Deflates a block, and gives `sink` what is ready in its turn: perhaps an earlier one, after the last one all.
    pub(super) fn push(
        &mut self,
        block: &[u8],
        last: bool,
        mut sink: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut job = self.job(block, last);
        match &mut self.workers {
            Workers::Inline => {
                deflate(self.level, &mut job)?;
                sink(&job.output)?;
                self.spare.push(job);
            }
            Workers::Threads { lanes, sent, taken } => {
                let mut take = |taken: &mut usize| -> io::Result<()> {
                    let job = lanes[*taken % lanes.len()].done.recv().map_err(|_| gone())??;
                    *taken += 1;
                    sink(&job.output)?;
                    self.spare.push(job);
                    Ok(())
                };
                if *sent - *taken == QUEUE * lanes.len() {
                    take(taken)?;
                }
                lanes[*sent % lanes.len()].jobs.send(job).map_err(|_| gone())?;
                *sent += 1;
                while last && sent != taken {
                    take(taken)?;
                }
            }
        }
        Ok(())
    }

    fn job(&mut self, block: &[u8], last: bool) -> Job {
        let mut job = self.spare.pop().unwrap_or_default();
        job.input.clear();
        job.input.extend_from_slice(&self.window);
        job.input.extend_from_slice(block);
        job.before = self.window.len();
        job.last = last;
        let tail = job.input.len().saturating_sub(WINDOW);
        self.window.clear();
        self.window.extend_from_slice(&job.input[tail..]);
        job
    }
}

/// Starts a thread. It ends when its lane is dropped.
fn lane(level: u32) -> io::Result<Lane> {
    let (jobs, inbox) = sync_channel::<Job>(QUEUE);
    let (outbox, done) = sync_channel(QUEUE);
    thread::Builder::new().name("deflate".into()).spawn(move || {
        while let Ok(mut job) = inbox.recv() {
            let result = deflate(level, &mut job).map(|()| job);
            if outbox.send(result).is_err() {
                return;
            }
        }
    })?;
    Ok(Lane { jobs, done })
}

fn deflate(level: u32, job: &mut Job) -> io::Result<()> {
    let (before, block) = job.input.split_at(job.before);
    // A new one each time: one that was reset remembers enough of the block before to give other bytes.
    let mut compress = Compress::new(Level::new(level), false);
    if !before.is_empty() {
        compress.set_dictionary(before)?;
    }
    job.output.clear();
    // Enough for nearly every block; what is not compressible takes another round.
    job.output.reserve(block.len() + block.len() / 1024 + 64);
    let flush = if job.last {
        FlushCompress::Finish
    } else {
        FlushCompress::Sync
    };
    loop {
        let used = compress.total_in() as usize;
        let status = compress.compress_vec(&block[used..], &mut job.output, flush)?;
        let room = job.output.len() < job.output.capacity();
        match status {
            Status::StreamEnd => return Ok(()),
            // A flush is complete when it leaves room behind it (`zlib.h`, deflate).
            Status::Ok | Status::BufError if room && !job.last => return Ok(()),
            Status::Ok | Status::BufError => job.output.reserve(64 << 10),
        }
    }
}

fn gone() -> io::Error {
    io::Error::other("a thread that deflates has died")
}
