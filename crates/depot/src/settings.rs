//! How does a depot decide what nobody asked it? Leases, limits, and which tags never move.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use crate::place::Millis;

/// How a depot keeps things.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Which manifests are taken whose children are not there.
    pub sparse: Sparse,
    /// How long a blob that nothing references stays after it was put, mounted or found.
    pub lease: Duration,
    /// How long a manifest that no tag leads to stays after it was put, found by somebody who may be about to name it, or lost a tag; none keeps it
    /// until it is deleted.
    pub untagged: Option<Duration>,
    /// The most uploads that may be open. For one more, some are forgotten that nobody holds and of which no byte came for a minute.
    pub sessions: u64,
    /// How long an upload may lie idle.
    pub session_idle: Duration,
    /// Tags that never move once they are set, and are not deleted: patterns of `REPOSITORY:TAG` in which `*` stands for any characters.
    pub immutable: Vec<Pattern>,
    /// What time it is.
    pub clock: Clock,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            sparse: Sparse::default(),
            lease: Duration::from_secs(24 * 3600),
            untagged: None,
            sessions: 10_000,
            session_idle: Duration::from_secs(24 * 3600),
            immutable: Vec::new(),
            clock: Clock::default(),
        }
    }
}

/// Which manifests may name what is not there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sparse {
    /// None.
    #[default]
    Nothing,
    /// Indexes: of which only some images are here.
    Indexes,
    /// All: images too whose layers come later.
    All,
}

/// Tells the time: the system's, or a test's.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Millis + Send + Sync>);

impl Clock {
    /// A clock that asks `now`.
    #[must_use]
    pub fn of(now: impl Fn() -> Millis + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// What time it is.
    #[must_use]
    pub fn now(&self) -> Millis {
        (self.0)()
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::of(|| {
            let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            Millis::default().after(since)
        })
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Clock({})", self.now().0)
    }
}

/// A text in which `*` stands for any characters, also for none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(String);

impl Pattern {
    /// Reads one: every text is one.
    #[must_use]
    pub fn new(pattern: impl Into<String>) -> Self {
        Self(pattern.into())
    }

    /// Whether it is the pattern of `text`.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        let mut parts = self.0.split('*');
        // There is always a first.
        let first = parts.next().unwrap_or_default();
        let Some(mut rest) = text.strip_prefix(first) else {
            return false;
        };
        let mut parts = parts.peekable();
        if parts.peek().is_none() {
            return rest.is_empty();
        }
        while let Some(part) = parts.next() {
            if parts.peek().is_none() {
                return rest.ends_with(part);
            }
            match rest.find(part) {
                Some(at) => rest = &rest[at + part.len()..],
                None => return false,
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_anything() {
        for (pattern, text, matches) in [
            ("app:v1", "app:v1", true),
            ("app:v1", "app:v12", false),
            ("*", "", true),
            ("*", "anything", true),
            ("", "", true),
            ("", "a", false),
            ("*:v*", "team/app:v1", true),
            ("*:v*", "team/app:1", false),
            ("team/*:v*.*", "team/app:v1.2", true),
            ("team/*:v*.*", "team/app:v1", false),
            ("a*a", "a", false),
            ("a*a", "aa", true),
            ("*ab*ab", "ab", false),
            ("*ab*ab", "abab", true),
            ("*ab*b", "ab", false),
        ] {
            assert_eq!(Pattern::new(pattern).matches(text), matches, "{pattern} {text}");
        }
    }
}
