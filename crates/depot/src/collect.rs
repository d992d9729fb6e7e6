//! How does garbage go, while everybody works? By a queue of what may have lost its last reference, leases, and tombstones.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use teu_spec::Digest;
use teu_store::{Error, ErrorKind, Result, blocking};

use crate::{Depot, Millis, PARTS, Place, Untagged, sessions};

/// How many links one transaction looks at, and how many tombstones it takes: others write between two.
const BATCH: usize = 200;
/// How many files that cannot be removed are told of, of one collection.
const TOLD: usize = 5;
/// How old bytes must be that nobody knows: what is being put is known moments after it lies at its place.
const STRAY: Duration = Duration::from_secs(3600);

/// What a collection came to. As JSON it is an object of these, of which some have names of their own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Collected {
    /// How often a repository shows a blob no more.
    pub unlinked: u64,
    /// How many blobs no repository shows any more, and their bytes.
    pub blobs: u64,
    /// How many bytes those have.
    pub bytes: u64,
    /// How many places were emptied, of these blobs and of those before.
    pub removed: u64,
    /// How many uploads were forgotten that had been idle for too long.
    #[serde(rename = "uploads")]
    pub sessions: u64,
    /// How many places were emptied that nobody knew.
    pub strays: u64,
    /// How many manifests were removed that no tag led to, as [settings](crate::Settings::untagged) say or somebody asked.
    #[serde(rename = "manifests")]
    pub untagged: u64,
}

/// A blob that nothing in its repository references, and what becomes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The repository that shows it.
    pub repository: String,
    /// What it is.
    pub digest: Digest,
    /// How many bytes it has.
    pub size: u64,
    /// When its lease ends.
    pub lease: Millis,
    /// The lease is over, so that the next collection takes it away here.
    pub goes: bool,
    /// How many other repositories show it: only where none does its bytes go too.
    pub elsewhere: u64,
}

impl Depot {
    /// Takes away what nothing references any more and whose lease is over, forgets uploads that nobody goes on with, and looks through `parts`
    /// of the [`PARTS`] of the content for bytes that nobody knows, beginning where the last collection ended.
    ///
    /// Nobody waits for it, and none of what was acknowledged is lost by it: what is taken away is looked at again in the transaction that
    /// does it. What it has not done when it fails or is dropped, the next one does.
    ///
    /// # Errors
    /// Those of the disk; `Io` where the database was found to be damaged. Where files cannot be removed all else is done before it is told of which.
    pub async fn collect(&self, parts: u16) -> Result<Collected> {
        let collecting = async {
            let untagged = match self.0.settings.untagged {
                Some(stays) => self.remove_some_untagged(stays).await?,
                None => 0,
            };
            let collected = self.take_away(parts, None).await?;
            Ok(Collected { untagged, ..collected })
        };
        self.refilling(collecting).await
    }

    /// The same, as if leases had been so long as they were given; those of nothing are over, however they were. That is for where nobody can be about
    /// to name what is there: what a client was told that is there may go.
    ///
    /// # Errors
    /// Those of the disk.
    pub async fn collect_alone(&self, parts: u16, lease: Duration) -> Result<Collected> {
        self.refilling(self.take_away(parts, Some(lease))).await
    }

    /// Has go at once what somebody asks for: where `untagged` says after how long, first the [manifests that no tag leads to](Self::remove_untagged), which are told one by
    /// one; then what nothing references, [as if](Self::collect_alone) leases had been as long as `lease` where it says so. All of the content is looked through.
    ///
    /// # Errors
    /// Those of the disk; what went before stays gone.
    pub async fn collect_now(
        &self,
        untagged: Option<Duration>,
        lease: Option<Duration>,
    ) -> Result<(Collected, Vec<Untagged>)> {
        let collecting = async {
            let removed = match untagged {
                Some(stays) => self.remove_untagged(stays).await?,
                None => Vec::new(),
            };
            let collected = self.take_away(PARTS, lease).await?;
            let untagged = removed.len() as u64;
            Ok((Collected { untagged, ..collected }, removed))
        };
        self.refilling(collecting).await
    }

    /// Refuses to take anything away where the metadata [is damaged](Self::look_over), or nobody can tell.
    pub(crate) async fn may_collect(&self) -> Result<()> {
        match self.look_over().await?.is_empty() {
            true => Ok(()),
            false => {
                let message = "the database is damaged, so that nothing is taken away; restore it from a backup";
                Err(Error::new(ErrorKind::Io, message))
            }
        }
    }

    async fn take_away(&self, parts: u16, lease: Option<Duration>) -> Result<Collected> {
        self.may_collect().await?;
        let depot = &self.0;
        let mut collected = Collected::default();
        loop {
            let (now, over) = (depot.now(), self.over(lease));
            let review = || depot.metadata.review(over, now, BATCH);
            let reviewed = depot.reserve.room_for(review).await?;
            collected.unlinked += reviewed.unlinked;
            collected.blobs += reviewed.blobs;
            collected.bytes += reviewed.bytes;
            if reviewed.looked == 0 {
                break;
            }
        }
        let mut stuck = Stuck::default();
        loop {
            let places = depot.metadata.tombstones(depot.now(), stuck.count, BATCH).await?;
            if places.is_empty() {
                break;
            }
            let gone = self.remove_all(places, &mut stuck).await;
            if gone.is_empty() {
                continue;
            }
            collected.removed += gone.len() as u64;
            let bury = || depot.metadata.bury(gone.clone());
            depot.reserve.room_for(bury).await?;
        }
        loop {
            match sessions::expire(depot).await? {
                0 => break,
                count => collected.sessions += count,
            }
        }
        for _ in 0..parts.min(PARTS) {
            let part = depot.next_part.fetch_add(1, Ordering::Relaxed) % PARTS;
            collected.strays += self.remove_strays(part, &mut stuck).await?;
        }
        stuck.outcome()?;
        Ok(collected)
    }

    /// Removes the bytes of places, and says which are gone.
    async fn remove_all(&self, places: Vec<Place>, stuck: &mut Stuck) -> Vec<Place> {
        let mut gone = Vec::with_capacity(places.len());
        for place in places {
            match self.0.content.remove(&place).await {
                Ok(()) => gone.push(place),
                Err(error) => stuck.add(error),
            }
        }
        gone
    }

    /// Collects, and whatever comes of it keeps room for deleting anew: who freed some is not to wait for what else is wrong.
    async fn refilling<T>(&self, collecting: impl Future<Output = Result<T>>) -> Result<T> {
        let outcome = collecting.await;
        let refilled = self.refill().await;
        // Of two errors the first is told; the next collection tries both again.
        let collected = outcome?;
        refilled.map(|()| collected)
    }

    async fn refill(&self) -> Result<()> {
        let depot = Arc::clone(&self.0);
        blocking::run(move || depot.reserve.refill()).await
    }

    /// Keeps room for deleting anew, `every` so often, as long as it is not dropped, where it was given up on a full disk. [`tend`](Self::tend) does it too: this is for
    /// where nothing may be collected. `failed` hears where it cannot.
    pub async fn keep_room(&self, every: Duration, failed: impl Fn(Error)) {
        loop {
            if let Err(error) = self.refill().await {
                failed(error);
            }
            tokio::time::sleep(every).await;
        }
    }

    /// What ends until then is over, for leases that are taken to have been so long.
    fn over(&self, lease: Option<Duration>) -> Millis {
        match lease {
            None => self.0.now(),
            Some(lease) if lease.is_zero() => Millis(i64::MAX),
            Some(lease) => self.0.now().after(self.0.settings.lease.saturating_sub(lease)),
        }
    }

    /// Collects again and again, `every` so often, as long as it is not dropped: what is looked through each time is so little that nobody notices.
    /// `told` hears what came of each.
    pub async fn tend(&self, every: Duration, told: impl Fn(Result<Collected>)) {
        loop {
            told(self.collect(1).await);
            tokio::time::sleep(every).await;
        }
    }

    /// Removes what lies in a part of the content and nobody knows nor misses. It was cut off between its place and its row.
    async fn remove_strays(&self, part: u16, stuck: &mut Stuck) -> Result<u64> {
        let depot = &self.0;
        let before = depot.now().before(STRAY);
        let mut places = depot.content.part(part).await?;
        places.retain(|place| place.ulid.made() < before);
        let mut count = 0;
        for places in places.chunks(BATCH) {
            for place in depot.metadata.unknown(places.to_vec()).await? {
                // These may be the last good bytes of what was lost, as where a disk was away when that was found: a check shows them again.
                // Asked right before each goes, as that may be found meanwhile.
                if depot.metadata.misses(place.digest).await? {
                    continue;
                }
                count += self.remove_all(vec![place], stuck).await.len() as u64;
            }
        }
        Ok(count)
    }

    /// What nothing references, a page of it: what goes with the next collection, [alone](Self::collect_alone) where a lease is given, and what would go
    /// when. Nothing is changed.
    ///
    /// # Errors
    /// Those of the disk.
    pub async fn candidates(
        &self,
        after: Option<&Candidate>,
        limit: usize,
        lease: Option<Duration>,
    ) -> Result<Vec<Candidate>> {
        let after = after.map(|last| (last.repository.as_str(), &last.digest));
        let over = self.over(lease);
        let found = self.0.metadata.unreferenced(after, limit).await?;
        let candidate = |found: crate::Unreferenced| Candidate {
            goes: found.lease <= over,
            repository: found.repository,
            digest: found.digest,
            size: found.size,
            lease: found.lease,
            elsewhere: found.elsewhere,
        };
        Ok(found.into_iter().map(candidate).collect())
    }
}

/// What could not be removed. It keeps nothing else from going, and is tried again by the next collection.
#[derive(Default)]
struct Stuck {
    first: Vec<Error>,
    count: usize,
}

impl Stuck {
    fn add(&mut self, error: Error) {
        self.count += 1;
        if self.first.len() < TOLD {
            self.first.push(error);
        }
    }

    /// # Errors
    /// Of the kind of the first, with the words of the first few.
    fn outcome(self) -> Result<()> {
        let Some(first) = self.first.first() else { return Ok(()) };
        let told: Vec<String> = self.first.iter().map(ToString::to_string).collect();
        let more = match self.count - told.len() {
            0 => String::new(),
            more => format!("; and {more} more"),
        };
        let message = format!(
            "all else was collected, but not {} that cannot be removed: {}{more}",
            self.count,
            told.join("; ")
        );
        Err(Error::new(first.kind().clone(), message))
    }
}
