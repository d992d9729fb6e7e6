//! What must be known of what is kept? [`Metadata`]: which repository shows what, which manifest names what, and what may go.
//!
//! Each method that changes something is one transaction: done wholly or not at all, and lasting when its future is done, unless it says
//! otherwise. Transactions take their locks in one order, which the schema tells. None of them waits for content: bytes are there before a row
//! names them, and go after the last row is gone.

mod digests;
mod group;
mod recent;
mod sqlite;
#[cfg(test)]
mod suite;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use bytes::Bytes;
use teu_spec::{Algorithm, Descriptor, Digest, MediaType};
use teu_store::{BoxFuture, Expect, Keyset, Page, Result, Role};

pub use sqlite::Sqlite;
pub use sqlite::is_damage;
pub(crate) use sqlite::{Access, STEPS, beside, bring_up_to_date, connect, failed, make, name_of};

use crate::place::{Millis, Place, Ulid};

/// A blob that is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blob {
    /// Where its bytes lie, and under which digest.
    pub place: Place,
    /// How many they are.
    pub size: u64,
    /// Until when the repository that was asked shows it, referenced or not.
    pub lease: Millis,
}

/// A blob whose bytes lie at their place.
#[derive(Clone, Debug)]
pub struct NewBlob {
    /// The repository that shows it.
    pub repository: String,
    /// Where its bytes lie.
    pub place: Place,
    /// How many they are.
    pub size: u64,
    /// Until when it stays, referenced or not.
    pub lease: Millis,
    /// When what it takes the place of may go.
    pub due: Millis,
    /// The session that ends with it.
    pub session: Option<String>,
}

/// A manifest that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// Its media type, as it was pushed.
    pub media_type: MediaType,
    /// Its bytes.
    pub content: Bytes,
}

/// A name that is to point at a manifest.
#[derive(Clone, Debug)]
pub struct Name {
    /// The name.
    pub name: String,
    /// It never points at another manifest once it points at one.
    pub is_immutable: bool,
}

/// What a manifest names, which stays as long as it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Child {
    /// Its digest.
    pub digest: Digest,
    /// What it may be kept as: it counts as each that the repository shows it as, and where that is none as the first.
    pub roles: &'static [Role],
    /// It must be there, as one of them.
    pub is_required: bool,
}

/// A manifest that is to be kept.
#[derive(Clone, Debug)]
pub struct NewManifest {
    /// The repository that shows it.
    pub repository: String,
    /// Its digest.
    pub digest: Digest,
    /// Its bytes and its media type.
    pub manifest: Manifest,
    /// What it names.
    pub children: Vec<Child>,
    /// What it is about, and how it stands in the list of that one's referrers.
    pub subject: Option<(Digest, Descriptor)>,
    /// The names that are to point at it.
    pub names: Vec<Name>,
    /// What they are believed to be.
    pub expect: Expect,
    /// When it is pushed.
    pub now: Millis,
}

/// An upload that is under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// What its client knows it by.
    pub id: String,
    /// The repository that it is meant for.
    pub repository: String,
    /// How its digest is made.
    pub algorithm: Algorithm,
    /// How many bytes are there for good.
    pub offset: u64,
    /// What the hash made of them.
    pub midstate: Vec<u8>,
    /// When that was so.
    pub touched: Millis,
}

/// Which names never move: told a tag, it says so.
pub type Immutable = Arc<dyn Fn(&str) -> bool + Send + Sync>;

/// What a [review](Metadata::review) came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reviewed {
    /// How many links were looked at.
    pub looked: u64,
    /// What repositories show no more.
    pub unlinked: u64,
    /// How many blobs no repository shows any more.
    pub blobs: u64,
    /// How many bytes those have.
    pub bytes: u64,
}

/// A blob that nothing in its repository references.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreferenced {
    /// The repository that shows it.
    pub repository: String,
    /// What it is.
    pub digest: Digest,
    /// How many bytes it has.
    pub size: u64,
    /// Until when it stays all the same.
    pub lease: Millis,
    /// How many other repositories show it.
    pub elsewhere: u64,
}

/// What came of looking at some manifests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Looked {
    /// The repositories and digests of those that no tag leads to.
    pub untagged: Vec<(String, Digest)>,
    /// Behind which to go on; none where there are no more.
    pub next: Option<i64>,
}

/// A manifest, and what it names and its repository does not show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// What tells it from all others; they are listed in this order.
    pub id: i64,
    /// The repository that shows it.
    pub repository: String,
    /// Its digest.
    pub digest: Digest,
    /// Its bytes.
    pub content: Bytes,
    /// What it names and the repository does not show.
    pub missing: Vec<Digest>,
}

/// An image that needs something: by a tag that leads to it, or by its digest where none does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Needing {
    /// The repository that has it.
    pub repository: String,
    /// The manifest that the tag points at, or that nothing names.
    pub digest: Digest,
    /// The tag.
    pub tag: Option<String>,
}

/// Which images need something: the first of them by repository and tag, and how many there are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needed {
    /// The first of them.
    pub first: Vec<Needing>,
    /// How many there are besides.
    pub more: u64,
}

/// Keeps what is known of content, and of who shows it.
///
/// Lists are in byte order, in keyset pages.
pub trait Metadata: Send + Sync {
    /// Whether there is something in a repository.
    fn has_repository<'a>(&'a self, repository: &'a str) -> BoxFuture<'a, Result<bool>>;

    /// The repositories in which there is something.
    fn repositories<'a>(&'a self, part: Keyset<'a>) -> BoxFuture<'a, Result<Page<String>>>;

    /// The repositories that show a blob.
    fn holders<'a>(&'a self, digest: &'a Digest, part: Keyset<'a>) -> BoxFuture<'a, Result<Page<String>>>;

    /// A blob that a repository shows.
    fn blob<'a>(&'a self, repository: &'a str, digest: &'a Digest) -> BoxFuture<'a, Result<Option<Blob>>>;

    /// A manifest of a repository.
    fn manifest<'a>(&'a self, repository: &'a str, digest: &'a Digest) -> BoxFuture<'a, Result<Option<Manifest>>>;

    /// The same, described.
    fn describe<'a>(&'a self, repository: &'a str, digest: &'a Digest) -> BoxFuture<'a, Result<Option<Descriptor>>>;

    /// The manifest that a tag points at, described.
    fn tag<'a>(&'a self, repository: &'a str, name: &'a str) -> BoxFuture<'a, Result<Option<Descriptor>>>;

    /// The tags of a repository, and what they point at.
    fn tags<'a>(&'a self, repository: &'a str, part: Keyset<'a>) -> BoxFuture<'a, Result<Page<(String, Descriptor)>>>;

    /// The same without what they point at.
    fn tag_names<'a>(&'a self, repository: &'a str, part: Keyset<'a>) -> BoxFuture<'a, Result<Page<String>>>;

    /// All manifests of a repository.
    fn digests<'a>(&'a self, repository: &'a str, part: Keyset<'a>) -> BoxFuture<'a, Result<Page<Digest>>>;

    /// The manifests that are about another, of one artifact type or of all, by digest. A part may be shorter than was asked for and not the
    /// last: they come with their annotations, and may be large.
    fn referrers<'a>(
        &'a self,
        repository: &'a str,
        subject: &'a Digest,
        artifact_type: Option<&'a str>,
        part: Keyset<'a>,
    ) -> BoxFuture<'a, Result<Page<Descriptor>>>;

    /// Has a repository show a blob. Bytes that lay elsewhere under the same digest are not used any more, and get a tombstone: the new ones
    /// were checked just now.
    fn put_blob(&self, blob: NewBlob) -> BoxFuture<'_, Result<()>>;

    /// Extends the lease of a blob that a repository shows; false where it shows it no more.
    fn extend<'a>(&'a self, repository: &'a str, digest: &'a Digest, lease: Millis) -> BoxFuture<'a, Result<bool>>;

    /// Has a repository show what another one shows; false where that one does not.
    fn mount<'a>(
        &'a self,
        from: &'a str,
        repository: &'a str,
        digest: &'a Digest,
        lease: Millis,
    ) -> BoxFuture<'a, Result<bool>>;

    /// Has a repository show a blob no more; false where it did not. Bytes that nobody shows any more get a tombstone that is `due`.
    ///
    /// # Errors
    /// `Conflict` where a manifest of the repository names it.
    fn remove_blob<'a>(&'a self, repository: &'a str, digest: &'a Digest, due: Millis) -> BoxFuture<'a, Result<bool>>;

    /// Keeps a manifest, and sets its names.
    ///
    /// # Errors
    /// `MissingChildren`; `Conflict` where the names are not what is expected, or never move.
    fn put_manifest(&self, manifest: NewManifest) -> BoxFuture<'_, Result<()>>;

    /// Removes a manifest with its tags; false where it was not there. What it named is reviewed.
    ///
    /// # Errors
    /// `Conflict` where a tag of it never moves.
    fn remove_manifest<'a>(
        &'a self,
        repository: &'a str,
        digest: &'a Digest,
        immutable: Immutable,
        now: Millis,
    ) -> BoxFuture<'a, Result<bool>>;

    /// Removes a tag; false where it was not there, whatever was expected. What it pointed at counts as touched now.
    ///
    /// # Errors
    /// `Conflict` where it is there and `expect` does not hold.
    fn remove_tag<'a>(
        &'a self,
        repository: &'a str,
        name: &'a str,
        expect: Expect,
        now: Millis,
    ) -> BoxFuture<'a, Result<bool>>;

    /// Has a manifest count as touched now, where it was last before `before`. One that is not there is no error.
    fn touch<'a>(
        &'a self,
        repository: &'a str,
        digest: &'a Digest,
        before: Millis,
        now: Millis,
    ) -> BoxFuture<'a, Result<()>>;

    /// Removes a manifest where no tag leads to it; false where it stays. No tag leads to it where none points at it, nor at an index that it is
    /// part of, nor at what it is about; what was touched after `before` counts as what has a tag. What it named is reviewed.
    fn remove_untagged<'a>(
        &'a self,
        repository: &'a str,
        digest: &'a Digest,
        before: Millis,
        now: Millis,
    ) -> BoxFuture<'a, Result<bool>>;

    /// Keeps a new session, though it lasts only with the next transaction: there is nothing in it to lose.
    ///
    /// # Errors
    /// `Throttled` where there are `most` already; `Conflict` where there is one of this id.
    fn begin_session(&self, session: Session, most: u64) -> BoxFuture<'_, Result<()>>;

    /// A session.
    fn session<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Option<Session>>>;

    /// Keeps how far a session has come; false where there is none of its id.
    fn record_session(&self, session: Session) -> BoxFuture<'_, Result<bool>>;

    /// Forgets a session.
    fn end_session<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<()>>;

    /// Sessions that were last touched before this time, the longest idle first; those alone of which no byte is there, where only `empty` ones are asked for.
    fn idle_sessions(&self, before: Millis, empty: bool, limit: usize) -> BoxFuture<'_, Result<Vec<String>>>;

    /// Looks at up to `limit` links that are due: those that nothing references and whose lease is over go, and what no link leads to any
    /// more gets a tombstone that is `due`. It is done when it has looked at none.
    fn review(&self, now: Millis, due: Millis, limit: usize) -> BoxFuture<'_, Result<Reviewed>>;

    /// Up to `limit` places whose tombstones are due, those first that were due first, behind so many that are passed over.
    fn tombstones(&self, now: Millis, passed: usize, limit: usize) -> BoxFuture<'_, Result<Vec<Place>>>;

    /// Forgets tombstones: the bytes are gone.
    fn bury(&self, places: Vec<Place>) -> BoxFuture<'_, Result<()>>;

    /// Which of these places no row leads to, and no tombstone.
    fn unknown(&self, places: Vec<Place>) -> BoxFuture<'_, Result<Vec<Place>>>;

    /// Blobs that nothing references, by repository and digest, behind `after`.
    fn unreferenced<'a>(
        &'a self,
        after: Option<(&'a str, &'a Digest)>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Unreferenced>>>;

    /// Whether a row leads to these bytes.
    fn leads_to(&self, place: Place) -> BoxFuture<'_, Result<bool>>;

    /// Whether manifests name a blob that their repositories do not show.
    fn misses(&self, digest: Digest) -> BoxFuture<'_, Result<bool>>;

    /// Blobs behind `after` that repositories lost and their manifests name, by digest.
    fn missing(&self, after: Option<Digest>, limit: usize) -> BoxFuture<'_, Result<Vec<Digest>>>;

    /// Which images need a blob, hidden ones too; the first `limit` are named. Given a repository, which need that manifest of it.
    fn needed<'a>(&'a self, digest: &'a Digest, within: Option<&'a str>, limit: usize)
    -> BoxFuture<'a, Result<Needed>>;

    /// All blobs by digest, behind `after`: where they lie, and how many bytes they have.
    fn blobs(&self, after: Option<Digest>, limit: usize) -> BoxFuture<'_, Result<Vec<(Place, u64)>>>;

    /// All manifests that are shown, behind the one of this [`Held::id`].
    fn manifests(&self, after: i64, limit: usize) -> BoxFuture<'_, Result<Vec<Held>>>;

    /// Looks at up to `limit` manifests behind `after`, the last that came first, so that those above come before those below: those that are shown and
    /// that no tag leads to, as [`remove_untagged`](Self::remove_untagged) has it. What is not
    /// shown, as something below it is lost, leads on as it did.
    fn untagged(&self, after: Option<i64>, before: Millis, limit: usize) -> BoxFuture<'_, Result<Looked>>;

    /// Whether every manifest has all that it names beside it. One that is hidden has not: it may be shown again at any moment.
    fn is_whole(&self) -> BoxFuture<'_, Result<bool>>;

    /// Forgets a blob whose bytes are lost, if it still lies there, and says which repositories showed it: none does any more, nor what
    /// is above it, so that who pushes is asked for it. With what is pushed again all is shown as it was, tags too.
    fn lose(&self, place: Place) -> BoxFuture<'_, Result<Vec<String>>>;

    /// Has those repositories show a blob that lost it, and what is above it, and says which; where none did, those whose manifests name it. None where none does,
    /// and then nothing is changed.
    fn restore(&self, place: Place, size: u64, lease: Millis) -> BoxFuture<'_, Result<Vec<String>>>;

    /// Whether what keeps it finds itself sound; what it finds otherwise.
    fn examine(&self) -> BoxFuture<'_, Result<Vec<String>>>;

    /// The same, at a glance: what takes seconds where there are millions of rows.
    fn look_over(&self) -> BoxFuture<'_, Result<Vec<String>>>;
}

/// What a [`Place`] is made of in a row.
fn place(digest: Digest, ulid: [u8; 16]) -> Place {
    Place {
        digest,
        ulid: Ulid::from_bytes(ulid),
    }
}
