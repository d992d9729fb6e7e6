//! Where is the beginning of a blob kept that comes from afar and goes where no part can stay: into an archive, or another registry?
//! [`Partials`], in a directory that processes share.
//!
//! A copy into a layout needs none of this: its own temporary file is the part.

use std::{
    fs::{self, DirBuilder, File},
    io::{self, Read},
    os::unix::fs::{DirBuilderExt, FileExt, MetadataExt},
    path::{Path, PathBuf},
    time::{Duration, Instant, SystemTime},
};

use bytes::Bytes;
use rustix::fs::{FlockOperation, flock};
use teu_spec::Descriptor;
use teu_store::{
    BoxFuture, KeepRest, Partial, Result,
    blocking::{self, Sink},
};

use crate::files::{self, Keeper, Temporary};

/// How much of a blob is seen, in bytes, before it is decided whether it is kept. It is held in memory until then.
const BEGINNING: u64 = 2 << 20;
/// How much of a blob that is kept is seen, in bytes, before that is decided once more: a beginning comes slower than the rest where other
/// blobs begin beside it.
const SECOND_LOOK: u64 = 64 << 20;
/// Parts are their owner's alone.
const MODE: u32 = 0o600;

/// A directory of parts.
///
/// It may be shared between processes: a part is used by one of them at a time, and the others do without. It is used only where it is the
/// user's own and nobody else can write to it, and nothing in it is followed elsewhere.
#[derive(Clone, Debug)]
pub struct Partials {
    /// The directory; it is made where it is absent, for its owner alone.
    pub directory: PathBuf,
    /// The most bytes that all parts may have together; the oldest make room.
    pub bound: u64,
    /// A blob is kept only where losing it would cost at least so long, by the speed at which its beginning came, and then its first 64 MiB:
    /// writing every byte once more is no help on a fast network.
    pub worth: Duration,
}

impl Partials {
    /// Parts in `directory`: 8 GiB at most, of blobs that take longer than ten seconds.
    #[must_use]
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
            bound: 8 << 30,
            worth: Duration::from_secs(10),
        }
    }

    fn open(&self, blob: &Descriptor) -> Result<Option<Partial>> {
        if blob.size <= BEGINNING || blob.size > self.bound || !is_private(&self.directory) {
            return Ok(None);
        }
        let keeping = |state| Keeping {
            partials: self.clone(),
            blob: blob.clone(),
            speed: None,
            state,
        };
        if !files::has_part(&self.directory, &blob.digest) {
            return Ok(Some(Partial {
                done: 0,
                reader: Box::pin(futures_util::stream::empty()),
                rest: Box::new(keeping(State::Waiting {
                    held: Vec::new(),
                    size: 0,
                })),
            }));
        }
        let Some((mut part, done)) = Temporary::part(&self.directory, &blob.digest, blob.size, MODE)? else {
            return Ok(None);
        };
        let file = part.file().try_clone()?;
        Ok(Some(Partial {
            done,
            reader: blocking::reader(move || Ok(Beginning { file, at: 0, end: done })),
            rest: Box::new(keeping(write(part, done, true))),
        }))
    }

    /// A new part, with room for it.
    fn begin(&self, blob: &Descriptor) -> Option<(Temporary, u64)> {
        make_room(&self.directory, self.bound - blob.size);
        // What cannot be kept is not kept.
        Temporary::part(&self.directory, &blob.digest, blob.size, MODE)
            .ok()
            .flatten()
    }
}

impl teu_store::Partials for Partials {
    fn open<'a>(&'a self, blob: &'a Descriptor) -> BoxFuture<'a, Result<Option<Partial>>> {
        let (partials, blob) = (self.clone(), blob.clone());
        Box::pin(blocking::run(move || partials.open(&blob)))
    }
}

/// What takes the rest of a blob.
struct Keeping {
    partials: Partials,
    blob: Descriptor,
    /// None until something comes: the time in which the source was found and asked is lost with any blob.
    speed: Option<Speed>,
    state: State,
}

/// How fast a blob comes.
struct Speed {
    since: Instant,
    /// What came since then.
    bytes: u64,
}

impl Speed {
    /// How long `size` bytes would take.
    fn of(&self, size: u64) -> Duration {
        match self.bytes {
            0 => Duration::MAX,
            bytes => Duration::try_from_secs_f64(self.since.elapsed().as_secs_f64() * size as f64 / bytes as f64)
                .unwrap_or(Duration::MAX),
        }
    }
}

enum State {
    /// It is not known yet whether the blob is worth it.
    Waiting { held: Vec<Bytes>, size: u64 },
    Writing {
        sink: Sink<()>,
        keeper: Keeper,
        /// Whether it stays, however fast the rest comes.
        stays: bool,
    },
    /// It is not worth it, or cannot be.
    Off,
}

/// Writes what comes behind the `done` bytes of a part, on a thread of its own.
fn write(mut part: Temporary, done: u64, stays: bool) -> State {
    let keeper = part.keeper();
    let sink = Sink::spawn(move |chunks| {
        let mut at = done;
        for chunk in chunks {
            let chunk = chunk?;
            if let Err(error) = part.file().write_all_at(&chunk, at) {
                // A disk that is full is not to stay full.
                part.keeper().forget();
                return Err(part.failed(error));
            }
            at += chunk.len() as u64;
        }
        Ok(())
    });
    State::Writing { sink, keeper, stays }
}

impl Keeping {
    async fn take(&mut self, bytes: Bytes) {
        match &mut self.speed {
            Some(speed) => speed.bytes += bytes.len() as u64,
            none => {
                *none = Some(Speed {
                    since: Instant::now(),
                    bytes: 0,
                });
            }
        }
        match &mut self.state {
            State::Off => {}
            State::Writing { sink, stays, .. } => {
                if sink.send(bytes).await.is_err() {
                    self.state = State::Off;
                } else if !*stays && self.speed.as_ref().is_some_and(|speed| speed.bytes >= SECOND_LOOK) {
                    *stays = true;
                    if !self.is_worth_it() {
                        self.stop().await;
                    }
                }
            }
            State::Waiting { held, size } => {
                *size += bytes.len() as u64;
                held.push(bytes);
                if *size >= BEGINNING {
                    let held = std::mem::take(held);
                    self.begin(held).await;
                }
            }
        }
    }

    /// Decides by the beginning of the blob whether it is kept.
    async fn begin(&mut self, held: Vec<Bytes>) {
        self.state = State::Off;
        if !self.is_worth_it() {
            return;
        }
        let (partials, blob) = (self.partials.clone(), self.blob.clone());
        // Another process may have begun it meanwhile, and left something.
        let begun = blocking::run(move || Ok(partials.begin(&blob).filter(|(_, done)| *done == 0))).await;
        let Ok(Some((part, _))) = begun else { return };
        let mut state = write(part, 0, false);
        if let State::Writing { sink, .. } = &mut state {
            for bytes in held {
                if sink.send(bytes).await.is_err() {
                    return;
                }
            }
        }
        self.state = state;
    }

    fn is_worth_it(&self) -> bool {
        self.speed
            .as_ref()
            .is_none_or(|speed| speed.of(self.blob.size) >= self.partials.worth)
    }

    /// Takes away what was kept, and keeps no more.
    async fn stop(&mut self) {
        if let State::Writing { sink, keeper, .. } = std::mem::replace(&mut self.state, State::Off) {
            keeper.forget();
            sink.abort().await;
        }
    }
}

impl KeepRest for Keeping {
    fn keep(&mut self, bytes: Bytes) -> BoxFuture<'_, ()> {
        Box::pin(self.take(bytes))
    }

    fn forget(mut self: Box<Self>) -> BoxFuture<'static, ()> {
        Box::pin(async move { self.stop().await })
    }
}

/// The first bytes of a file that is being written, whatever place the writer is at.
struct Beginning {
    file: File,
    at: u64,
    end: u64,
}

impl Read for Beginning {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = usize::try_from(self.end - self.at).map_or(buffer.len(), |left| left.min(buffer.len()));
        let read = self.file.read_at(&mut buffer[..wanted], self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

/// Makes the directory where it is absent, and says whether it is one that only we can write to.
fn is_private(directory: &Path) -> bool {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(directory);
    let metadata = made.and_then(|()| fs::symlink_metadata(directory));
    metadata.is_ok_and(|metadata| {
        metadata.is_dir() && metadata.uid() == rustix::process::geteuid().as_raw() && metadata.mode() & 0o022 == 0
    })
}

/// Removes the oldest parts until all have no more than `bound` bytes together; what a process is at stays.
fn make_room(directory: &Path, bound: u64) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    let mut parts: Vec<(SystemTime, u64, PathBuf)> = entries
        .flatten()
        .filter(|entry| files::is_temporary(&entry.file_name()))
        .filter_map(|entry| {
            let metadata = entry.metadata().ok().filter(fs::Metadata::is_file)?;
            Some((metadata.modified().ok()?, metadata.len(), entry.path()))
        })
        .collect();
    parts.sort();
    let mut sum: u64 = parts.iter().map(|(_, size, _)| size).sum();
    for (_, size, path) in parts {
        if sum <= bound {
            return;
        }
        // Whoever has the lock is writing it.
        let file = files::open(&path).ok().flatten();
        if file.is_some_and(|file| flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok())
            && fs::remove_file(&path).is_ok()
        {
            sum -= size;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use teu_spec::{Digest, MediaType};

    const MIB: usize = 1 << 20;

    fn scene() -> (tempfile::TempDir, Partials, Descriptor) {
        let directory = tempfile::tempdir().expect("a directory");
        let partials = Partials::new(directory.path().join("parts"));
        let blob = Descriptor::new(MediaType::OciLayerGzip, Digest::of(b"large"), 256 * MIB as u64);
        (directory, partials, blob)
    }

    fn waiting(partials: &Partials, blob: &Descriptor) -> Keeping {
        assert!(is_private(&partials.directory));
        Keeping {
            partials: partials.clone(),
            blob: blob.clone(),
            speed: None,
            state: State::Waiting {
                held: Vec::new(),
                size: 0,
            },
        }
    }

    /// As if what came had taken so long.
    fn took(keeping: &mut Keeping, time: Duration) {
        let speed = keeping.speed.as_mut().expect("something came");
        speed.since = Instant::now().checked_sub(time).expect("a machine that is up so long");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_only_began_slowly_is_not_kept_to_its_end() {
        let (_directory, partials, blob) = scene();
        let mut keeping = waiting(&partials, &blob);
        let chunk = Bytes::from(vec![0; MIB]);
        keeping.keep(chunk.clone()).await;
        // 1 MiB a second, so that 256 of them take minutes.
        took(&mut keeping, Duration::from_secs(1));
        keeping.keep(chunk.clone()).await;
        assert!(matches!(keeping.state, State::Writing { stays: false, .. }));
        assert!(files::has_part(&partials.directory, &blob.digest));
        for _ in 2..64 {
            keeping.keep(chunk.clone()).await;
        }
        // However slow this machine is.
        took(&mut keeping, Duration::from_millis(1));
        keeping.keep(chunk).await;
        assert!(
            matches!(keeping.state, State::Off),
            "64 MiB came in far less than 2.5 s"
        );
        assert!(!files::has_part(&partials.directory, &blob.digest));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_comes_slowly_stays() {
        let (_directory, partials, blob) = scene();
        let mut keeping = waiting(&partials, &blob);
        let chunk = Bytes::from(vec![0; MIB]);
        for _ in 0..=64 {
            keeping.keep(chunk.clone()).await;
            took(&mut keeping, Duration::from_secs(30));
        }
        assert!(matches!(keeping.state, State::Writing { stays: true, .. }));
        assert!(files::has_part(&partials.directory, &blob.digest));
    }

    #[test]
    fn how_long_all_takes_follows_from_what_came() {
        let since = Instant::now()
            .checked_sub(Duration::from_secs(2))
            .expect("a machine that is up so long");
        let speed = Speed { since, bytes: 4 };
        let (least, most) = (Duration::from_secs(20), Duration::from_secs(200));
        assert!(speed.of(40) >= least && speed.of(40) < most, "{:?}", speed.of(40));
        assert_eq!(Speed { since, bytes: 0 }.of(1), Duration::MAX);
    }
}
