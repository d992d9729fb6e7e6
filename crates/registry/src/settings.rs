//! What may clients do, and how much of it?

use std::time::Duration;

use teu_spec::json;

/// What a registry allows.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Whether anything may be pushed. Else all that writes is answered by 405.
    pub writable: bool,
    /// Whether anything may be deleted; nothing is unless [`Self::writable`] is set too.
    pub deletes: bool,
    /// What of that which a manifest names must be there when it is pushed.
    pub children: Children,
    /// How much.
    pub limits: Limits,
}

/// What of that which a manifest names must be in the repository when it is pushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Children {
    /// All of it, but for layers that are kept elsewhere: no name leads to what is missing.
    Required,
    /// What the store asks for: some take sparse indexes, and images whose layers come later.
    AsTheStoreSays,
}

/// How much a client may ask for. Each has its name in the error that it leads to.
#[derive(Clone, Debug)]
pub struct Limits {
    /// The largest manifest, in bytes: 413. No more than what [`teu_spec`] reads.
    pub manifest: u64,
    /// The most tags that one push sets: 400.
    pub tags: usize,
    /// The most items on a page of a list, and as many as there are where a client asks for no number.
    pub page: usize,
    /// The most tags of a repository that are listed, whatever the number of pages.
    pub listed: usize,
    /// The most uploads that are open at once: 429.
    pub uploads: usize,
    /// How long an upload may lie idle until it is forgotten.
    pub upload_idle: Duration,
    /// How long nothing may come of a request's content: 408.
    pub body_idle: Duration,
    /// The most connections at once; more wait to be accepted.
    pub connections: usize,
    /// How long a connection may be without a byte in either direction.
    pub connection_idle: Duration,
    /// How long a client may take to send a request's head: the connection is closed.
    pub head_time: Duration,
    /// The most bytes of a request's head: 431.
    pub head: usize,
    /// The most header fields: 431.
    pub headers: usize,
    /// The most requests at once on a connection of HTTP/2.
    pub streams: u32,
    /// How long what is under way may take to end when the server stops.
    pub grace: Duration,
}

impl Limits {
    /// The same, held to what a process bears that may have so many files open: a connection is one, what it reads or writes another, and an
    /// upload a third while nobody writes to it.
    #[must_use]
    pub fn within_files(mut self, files: usize) -> Self {
        /// What a process has open beside: its streams, listeners, directories, databases.
        const OTHERS: usize = 64;
        let share = files.saturating_sub(OTHERS).max(3) / 3;
        self.connections = self.connections.min(share);
        self.uploads = self.uploads.min(share);
        self
    }
}

impl Default for Settings {
    /// Read only.
    fn default() -> Self {
        Self {
            writable: false,
            deletes: false,
            children: Children::Required,
            limits: Limits::default(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            manifest: json::MAX_DOCUMENT,
            tags: 100,
            page: 10_000,
            listed: 1_000_000,
            uploads: 1000,
            upload_idle: Duration::from_secs(3600),
            body_idle: Duration::from_secs(60),
            connections: 1000,
            connection_idle: Duration::from_secs(300),
            head_time: Duration::from_secs(30),
            head: 64 << 10,
            headers: 100,
            streams: 100,
            grace: Duration::from_secs(10),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_files_bear_few_connections() {
        for (files, expected) in [(0, 1), (64, 1), (1024, 320), (3063, 999), (3064, 1000), (20_000, 1000)] {
            let limits = Limits::default().within_files(files);
            assert_eq!((limits.connections, limits.uploads), (expected, expected), "{files}");
        }
    }
}
