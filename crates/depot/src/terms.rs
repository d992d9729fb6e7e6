//! After how long does what nothing needs go where somebody asks for it? As a process says that has the depot and [answers](Depot::answer), in a file in its
//! directory: for who looks on, and for who has the depot alone when that has ended.

use std::{io::Read, path::Path, time::Duration};

use serde::{Deserialize, Serialize};
use teu_store::{Error, ErrorKind, Result, blocking};

use crate::{
    Depot, Millis,
    content::directory::{Directory, failed},
    depot::is_held,
};

/// Where they lie.
const TERMS: &str = "gc.terms";
/// The longest that are read, in bytes.
const MAX: u64 = 1 << 12;

/// What a process said that had a depot last of those that answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// How long what nothing references stays; see [`Settings::lease`](crate::Settings::lease).
    pub lease: Duration,
    /// How long manifests stay that no tag leads to, for who asks to have them removed.
    pub untagged: Duration,
    /// Nobody may push, so that neither holds for who asks.
    pub nobody_pushes: bool,
    /// A shorter lease that others before it gave, until when the last of those is over.
    shorter: Option<(Duration, Millis)>,
    /// Some process has the depot at this moment.
    #[serde(skip)]
    pub is_held: bool,
}

impl Terms {
    /// Those of a directory; none where nobody said any, or another version in other words.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn read(directory: &Path) -> Result<Option<Self>> {
        let root = match Directory::open(directory) {
            Err(error) if *error.kind() == ErrorKind::NotFound => return Ok(None),
            root => root?,
        };
        let Some(file) = root.file(TERMS, false)? else {
            return Ok(None);
        };
        let mut text = Vec::new();
        let read = file.take(MAX).read_to_end(&mut text);
        read.map_err(|error| failed(error, "reading", &root.path(TERMS)))?;
        let Ok(terms) = serde_json::from_slice::<Self>(&text) else {
            return Ok(None);
        };
        let is_held = is_held(&root)?;
        Ok(Some(Self { is_held, ..terms }))
    }

    /// How long what nothing references stays at least at this time, as some of it may have a lease of a process before this one.
    #[must_use]
    pub fn least_lease(&self, now: Millis) -> Duration {
        match self.shorter {
            Some((shorter, until)) if until > now => shorter,
            _ => self.lease,
        }
    }

    /// These, behind those of a process that has ended by now.
    fn behind(self, before: &Self, now: Millis) -> Self {
        let earlier = before.shorter.filter(|(_, until)| *until > now);
        let last = (before.lease, now.after(before.lease));
        let shorter = [earlier, Some(last)].into_iter().flatten();
        let shorter = shorter.filter(|(lease, _)| *lease < self.lease);
        let shorter = shorter.reduce(|one, other| (one.0.min(other.0), one.1.max(other.1)));
        Self { shorter, ..self }
    }

    /// How long manifests stay that no tag leads to, for who asks.
    #[must_use]
    pub fn stays(&self) -> Duration {
        match self.nobody_pushes {
            true => Duration::ZERO,
            false => self.untagged,
        }
    }

    /// For how long leases are taken to have been for who asks; none where they are as they were given.
    #[must_use]
    pub fn as_if(&self) -> Option<Duration> {
        self.nobody_pushes.then_some(Duration::ZERO)
    }
}

impl Depot {
    /// Says on which terms this process [answers](Self::answer). A depot that is in no directory says nothing.
    ///
    /// # Errors
    /// Those of the disk.
    pub async fn say_terms(&self, nobody_pushes: bool) -> Result<()> {
        let Some(root) = self.0.root() else {
            return Ok(());
        };
        let (terms, now) = (self.terms(nobody_pushes), self.0.now());
        let terms = match blocking::run(move || Terms::read(&root)).await? {
            Some(before) => terms.behind(&before, now),
            None => terms,
        };
        let text = serde_json::to_string(&terms);
        let text = text.map_err(|error| Error::new(ErrorKind::Invalid, error.to_string()))?;
        self.put(TERMS, text).await
    }

    /// Those of this process.
    pub(crate) fn terms(&self, nobody_pushes: bool) -> Terms {
        let settings = &self.0.settings;
        Terms {
            lease: settings.lease,
            untagged: settings.untagged.unwrap_or(settings.lease),
            nobody_pushes,
            shorter: None,
            is_held: true,
        }
    }
}
