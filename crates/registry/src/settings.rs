//! What may clients do, and how much of it?

use std::{fmt, time::Duration};

use http::{HeaderMap, HeaderName, header};
use teu_spec::json;

use crate::reached::Reached;

/// The least that [`Limits::head`] may be: what reads heads takes no less.
const HEAD: usize = 8 << 10;

/// What a registry allows.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Whether anything may be pushed. Else all that writes is answered by 405.
    pub writable: bool,
    /// Whether anything may be deleted; nothing is unless [`Self::writable`] is set too.
    pub deletes: bool,
    /// What of that which a manifest names must be there when it is pushed.
    pub children: Children,
    /// Whether HTTP/2 is spoken with clients that can.
    pub http2: bool,
    /// How clients reach it.
    pub reached: Reached,
    /// What every answer below `/v2/` has beside its own headers, such as `Access-Control-Allow-Origin`. What an answer has of that name is its own.
    pub headers: HeaderMap,
    /// How much.
    pub limits: Limits,
}

/// What of that which a manifest names must be in the repository when it is pushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Children {
    /// All of it, but for layers that are kept elsewhere: no name leads to what is missing. So no blob is deleted either that a manifest names.
    Required,
    /// What the store asks for: some take sparse indexes, and images whose layers come later.
    AsTheStoreSays,
}

/// How much a client may ask for. Each has its name in the error that it leads to.
#[derive(Clone, Debug)]
pub struct Limits {
    /// The largest manifest, in bytes: 413. No more than what [`teu_spec`] reads.
    pub manifest: u64,
    /// The most bytes of manifests and forms that are on their way in, and of lists that are on their way out, of all clients together: 503 where there is no
    /// room for too long. At least four of the largest manifest.
    pub gathered: u64,
    /// The most tags that one push sets: 400.
    pub tags: usize,
    /// The most items on a page of a list, and as many as there are where a client asks for no number.
    pub page: usize,
    /// The most tags of a repository that are listed, whatever the number of pages.
    pub listed: usize,
    /// The most uploads that are open at once. For one more, one is closed that nobody writes to and the place keeps; 429 where there is none.
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
    /// How long what is under way may take to end when the server stops, or the client's certificate is not believed any more.
    pub grace: Duration,
}

/// Whether a header says where an answer ends, or is the API's: what sets it for all answers would break them.
#[must_use]
pub fn is_own(name: &HeaderName) -> bool {
    const OWN: [HeaderName; 16] = [
        header::ACCEPT_RANGES,
        header::ALLOW,
        header::CONNECTION,
        header::CONTENT_ENCODING,
        header::CONTENT_LENGTH,
        header::CONTENT_RANGE,
        header::CONTENT_TYPE,
        header::ETAG,
        header::LINK,
        header::LOCATION,
        header::RANGE,
        header::TE,
        header::TRAILER,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
        header::WWW_AUTHENTICATE,
    ];
    const OTHERS: [&str; 3] = ["docker-content-digest", "docker-upload-uuid", "keep-alive"];
    OWN.contains(name) || OTHERS.contains(&name.as_str()) || name.as_str().starts_with("oci-")
}

/// A limit within which no registry can work.
#[derive(Debug)]
pub struct Unfit {
    /// The field of [`Limits`].
    pub limit: &'static str,
    /// What it is, and should not be.
    pub why: String,
}

impl fmt::Display for Unfit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "the limit {} {}", self.limit, self.why)
    }
}

impl std::error::Error for Unfit {}

impl Limits {
    /// Whether a registry can work within them.
    ///
    /// # Errors
    /// The first limit that allows nothing, or more than can be.
    pub fn check(&self) -> Result<(), Unfit> {
        let nothing = [
            ("manifest", self.manifest == 0),
            ("tags", self.tags == 0),
            ("page", self.page == 0),
            ("listed", self.listed == 0),
            ("uploads", self.uploads == 0),
            ("upload_idle", self.upload_idle.is_zero()),
            ("body_idle", self.body_idle.is_zero()),
            ("connections", self.connections == 0),
            ("connection_idle", self.connection_idle.is_zero()),
            ("head_time", self.head_time.is_zero()),
            ("headers", self.headers == 0),
            ("streams", self.streams == 0),
        ];
        let unfit = |limit, why| Err(Unfit { limit, why });
        if let Some((limit, _)) = nothing.into_iter().find(|(_, is_nothing)| *is_nothing) {
            return unfit(limit, "is 0, which lets nobody do anything".to_owned());
        }
        if self.manifest > json::MAX_DOCUMENT {
            let why = format!("is more than the {} bytes that are read", json::MAX_DOCUMENT);
            return unfit("manifest", why);
        }
        let least = self.manifest.saturating_mul(4);
        if self.gathered < least {
            return unfit("gathered", format!("is less than four manifests, {least} bytes"));
        }
        match self.head < HEAD {
            true => unfit("head", format!("is less than {HEAD} bytes")),
            false => Ok(()),
        }
    }

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
            http2: true,
            reached: Reached::default(),
            headers: HeaderMap::new(),
            limits: Limits::default(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            manifest: json::MAX_DOCUMENT,
            gathered: 64 << 20,
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
    fn what_lets_nobody_work_is_no_limit() {
        Limits::default().check().expect("the defaults work");
        type Set = fn(&mut Limits);
        let cases: [(Set, &str); 5] = [
            (|limits| limits.connections = 0, "the limit connections is 0"),
            (|limits| limits.head_time = Duration::ZERO, "the limit head_time is 0"),
            (
                |limits| limits.manifest += 1,
                "the limit manifest is more than the 4194304 bytes",
            ),
            (
                |limits| limits.gathered = (16 << 20) - 1,
                "the limit gathered is less than four manifests, 16777216 bytes",
            ),
            (|limits| limits.head = 8191, "the limit head is less than 8192 bytes"),
        ];
        for (set, says) in cases {
            let mut limits = Limits::default();
            set(&mut limits);
            let error = limits.check().expect_err(says).to_string();
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn few_files_bear_few_connections() {
        for (files, expected) in [(0, 1), (64, 1), (1024, 320), (3063, 999), (3064, 1000), (20_000, 1000)] {
            let limits = Limits::default().within_files(files);
            assert_eq!((limits.connections, limits.uploads), (expected, expected), "{files}");
        }
    }
}
