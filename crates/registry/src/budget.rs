//! How much is held in memory at once? What must be understood as a whole, which manifests and forms are, and lists that are on their way out have one budget of bytes
//! for all clients. Who finds none left waits, and is told to come again where that takes too long.
//!
//! Memory is asked for as bytes come, whatever length was announced. So it could be used up by many who each have a part: one of them may always go on to
//! its end, out of what is kept for that. And who sends little, as nearly all do, is not kept waiting by those who send much.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use tokio::{
    sync::{AcquireError, OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use crate::{
    problem::{Code, Problem},
    settings::Limits,
};

/// How long who finds no room waits, at most.
const WAIT: Duration = Duration::from_secs(10);
/// What is no larger is little.
const LITTLE: usize = 64 << 10;

/// The budget.
pub(crate) struct Budget {
    /// For what is little, and the beginning of what is not.
    little: Arc<Semaphore>,
    /// For the rest.
    much: Arc<Semaphore>,
    /// For the rest of one more, however large it is.
    last: Arc<Semaphore>,
    /// For lists.
    lists: Arc<Semaphore>,
    /// How much of that one of them has.
    most: usize,
    /// How many bytes all have together.
    whole: usize,
    wait: Duration,
}

/// Bytes of the budget, which are free again when this is dropped.
#[derive(Default)]
pub(crate) struct Room(Vec<OwnedSemaphorePermit>);

/// What is being gathered.
pub(crate) struct Gathering<'a> {
    budget: &'a Budget,
    bytes: Vec<u8>,
    /// How much of it there is room for.
    size: usize,
    room: Room,
    /// It has room for all that it may become.
    is_last: bool,
    most: usize,
}

impl Budget {
    pub(crate) fn new(limits: &Limits) -> Self {
        let size = |bytes: u64| {
            usize::try_from(bytes)
                .unwrap_or(usize::MAX)
                .min(Semaphore::MAX_PERMITS / 4)
        };
        // Of four equal parts none is lost.
        let (whole, last) = (size(limits.gathered) / 4 * 4, size(limits.manifest));
        let of = |bytes: usize| Arc::new(Semaphore::new(bytes));
        let quarter = whole / 4;
        Self {
            little: of(quarter),
            much: of((whole / 2).saturating_sub(last)),
            last: of(last),
            lists: of(quarter),
            most: quarter / 2,
            whole,
            wait: limits.body_idle.min(WAIT),
        }
    }

    /// How many bytes there is no room for any more.
    pub(crate) fn used(&self) -> usize {
        let pools = [&self.little, &self.much, &self.last, &self.lists];
        let free: usize = pools.iter().map(|pool| pool.available_permits()).sum();
        self.whole.saturating_sub(free)
    }

    /// Begins to gather content of no more than `most` bytes.
    pub(crate) fn gather(&self, most: usize) -> Gathering<'_> {
        Gathering {
            budget: self,
            bytes: Vec::new(),
            size: 0,
            room: Room::default(),
            is_last: false,
            most,
        }
    }

    /// Room for a list that may have so many bytes.
    ///
    /// # Errors
    /// 503 where there is none for too long.
    pub(crate) async fn list(&self, bytes: usize) -> Result<Room, Problem> {
        let mut room = Room::default();
        self.grow(&mut room, bytes).await?;
        Ok(room)
    }

    /// Has a list that became larger have room for so many bytes. No list has more than half of what there is for all, so that it need not wait for every other
    /// to be gone.
    ///
    /// # Errors
    /// 503 where there is none for too long.
    pub(crate) async fn grow(&self, room: &mut Room, bytes: usize) -> Result<(), Problem> {
        let more = bytes.min(self.most).saturating_sub(room.bytes());
        if more > 0 {
            room.0.push(self.within(acquire(&self.lists, more)).await?);
        }
        Ok(())
    }

    /// A list that was made, for which there is room as long as anybody has its bytes.
    ///
    /// # Errors
    /// 503 where it is larger than was expected, and there is no room for too long.
    pub(crate) async fn hold(&self, mut room: Room, text: String) -> Result<Bytes, Problem> {
        struct Held {
            text: String,
            _room: Room,
        }

        impl AsRef<[u8]> for Held {
            fn as_ref(&self) -> &[u8] {
                self.text.as_bytes()
            }
        }

        self.grow(&mut room, text.len()).await?;
        room.shrink(text.len());
        Ok(Bytes::from_owner(Held { text, _room: room }))
    }

    async fn within<T>(&self, taking: impl Future<Output = Result<T, AcquireError>>) -> Result<T, Problem> {
        match timeout(self.wait, taking).await {
            // Nobody closes them.
            Ok(Ok(taken)) => Ok(taken),
            Ok(Err(_)) | Err(_) => Err(full(self.whole)),
        }
    }
}

impl Room {
    /// Gives back what is not needed for so many bytes.
    fn shrink(&mut self, bytes: usize) {
        let mut left = bytes;
        for permit in &mut self.0 {
            let kept = left.min(permit.num_permits());
            // What is split off is dropped.
            drop(permit.split(permit.num_permits() - kept));
            left -= kept;
        }
    }

    fn bytes(&self) -> usize {
        self.0.iter().map(OwnedSemaphorePermit::num_permits).sum()
    }
}

impl Gathering<'_> {
    /// Takes what came.
    ///
    /// # Errors
    /// 503 where there is no room for too long.
    pub(crate) async fn take(&mut self, bytes: &[u8]) -> Result<(), Problem> {
        let needed = self.bytes.len() + bytes.len();
        if needed > self.size {
            // What comes in one part, as most does, has no more than it needs.
            let size = needed.max((2 * self.size).min(self.most));
            self.make_room(size).await?;
            self.bytes.reserve_exact(size - self.bytes.len());
            self.size = size;
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    /// Room for so many bytes; for all that it may become where only one more may go on.
    async fn make_room(&mut self, size: usize) -> Result<(), Problem> {
        let budget = self.budget;
        let little = size.min(LITTLE).saturating_sub(self.size);
        if little > 0 {
            self.room.0.push(budget.within(acquire(&budget.little, little)).await?);
        }
        let much = size.saturating_sub(self.size.max(LITTLE));
        if much == 0 || self.is_last {
            return Ok(());
        }
        let rest = self.most.saturating_sub(self.size.max(LITTLE));
        let taking = async {
            tokio::select! {
                biased;
                permit = acquire(&budget.much, much) => permit.map(|permit| (permit, false)),
                permit = acquire(&budget.last, rest) => permit.map(|permit| (permit, true)),
            }
        };
        let (permit, is_last) = budget.within(taking).await?;
        self.room.0.push(permit);
        self.is_last = is_last;
        Ok(())
    }

    /// How much there is.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// All of it, for which there is room as long as that is kept.
    pub(crate) fn done(self) -> (Bytes, Room) {
        (self.bytes.into(), self.room)
    }
}

async fn acquire(pool: &Arc<Semaphore>, bytes: usize) -> Result<OwnedSemaphorePermit, AcquireError> {
    let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
    Arc::clone(pool).acquire_many_owned(bytes).await
}

fn full(whole: usize) -> Problem {
    let message = format!(
        "{whole} bytes of manifests, forms and lists are under way, and no more than that may be; try again later"
    );
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, Code::TooManyRequests, message)
        .with(header::RETRY_AFTER, HeaderValue::from_static("10"))
}

#[cfg(test)]
mod tests {
    use futures_util::future::join_all;
    use tokio::task::yield_now;

    use super::*;

    const MIB: usize = 1 << 20;

    /// 16 MiB: 4 for what is little, 4 for what is much, 4 for the last, and 4 for lists.
    fn budget() -> Budget {
        Budget::new(&Limits {
            gathered: 16 << 20,
            ..Limits::default()
        })
    }

    #[tokio::test(start_paused = true)]
    async fn who_sends_little_does_not_wait_for_who_sends_much() {
        let budget = budget();
        let mut many: Vec<Gathering<'_>> = (0..6).map(|_| budget.gather(4 * MIB)).collect();
        for gathering in &mut many[..5] {
            gathering.take(&vec![0; MIB]).await.expect("room");
        }
        // Four, and one that has all it may need.
        assert_eq!(budget.used(), 4 * MIB + 4 * MIB);
        let full = many[5].take(&vec![0; MIB]).await.expect_err("no room");
        assert_eq!(full.status, StatusCode::SERVICE_UNAVAILABLE);
        let mut little = budget.gather(4 * MIB);
        little.take(&[1; LITTLE]).await.expect("room");
        many[4].take(&vec![0; 3 * MIB]).await.expect("room");
        let (bytes, room) = little.done();
        assert_eq!(bytes, [1; LITTLE][..]);
        drop(many);
        assert_eq!(budget.used(), LITTLE);
        drop(room);
        assert_eq!(budget.used(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn of_those_that_each_have_a_part_all_come_to_their_end() {
        let budget = budget();
        let gathered = (0..20_u8).map(|place| {
            let budget = &budget;
            async move {
                let mut gathering = budget.gather(4 * MIB);
                for _ in 0..256 {
                    gathering.take(&[place; 16 << 10]).await.expect("room");
                    assert!(budget.used() <= 16 * MIB);
                    yield_now().await;
                }
                let (bytes, _room) = gathering.done();
                assert!(bytes.len() == 4 * MIB && bytes.iter().all(|byte| *byte == place));
            }
        });
        join_all(gathered).await;
        assert_eq!(budget.used(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_list_has_room_as_long_as_somebody_sends_it() {
        let budget = budget();
        let room = budget.list(MIB).await.expect("room");
        assert_eq!(budget.used(), MIB);
        let sent = budget.hold(room, "list".to_owned()).await.expect("room");
        assert_eq!((&sent[..], budget.used()), (&b"list"[..], 4));
        let rest = sent.slice(2..);
        drop(sent);
        assert_eq!(budget.used(), 4);
        drop(rest);
        assert_eq!(budget.used(), 0);
        // One that became larger than was expected.
        let room = budget.list(10).await.expect("room");
        let sent = budget.hold(room, "x".repeat(100)).await.expect("room");
        assert_eq!(budget.used(), 100);
        // The largest has half; a third one waits for another to end.
        let first = budget.list(usize::MAX).await.expect("room");
        assert_eq!(budget.used(), 100 + 2 * MIB);
        budget.list(2 * MIB).await.err().expect("no room");
        drop(sent);
        let second = budget.list(2 * MIB).await.expect("room");
        assert_eq!(budget.used(), 4 * MIB);
        drop((first, second));
    }
}
