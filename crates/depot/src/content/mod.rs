//! What must a place for bytes be able to do? [`Content`]: take them as they come, put them at their place for good, give them, and remove
//! them. What they are, and who shows them, is [`Metadata`](crate::Metadata)'s to know.

pub(crate) mod directory;
pub(crate) mod files;
#[cfg(test)]
mod suite;
#[cfg(test)]
mod tests;

use std::{
    fs::File,
    io::{self, Seek},
    ops::Range,
};

use bytes::Bytes;
use teu_spec::Digest;
use teu_store::{BoxFuture, Error, ErrorKind, Reader, Result};

pub use files::Files;

use crate::place::Place;

/// How many parts [`Content::part`] has.
pub const PARTS: u16 = 256;

/// The most characters that the name of an upload has.
const NAME: usize = 80;

/// Keeps bytes, at [places](Place) that are used once.
pub trait Content: Send + Sync {
    /// Begins to take bytes under a name that nothing else has, of `a` to `z`, digits and `-`. Dropped, they stay as far as they came, or not.
    ///
    /// # Errors
    /// `Conflict` where it is taken.
    fn begin<'a>(&'a self, name: &'a str, stays: bool) -> BoxFuture<'a, Result<Box<dyn Writing>>>;

    /// Goes on with what was begun and stayed, in this process or an earlier one, behind its first `offset` bytes: what came after them is cut off. None
    /// where there are not so many.
    fn reopen<'a>(&'a self, name: &'a str, offset: u64) -> BoxFuture<'a, Result<Option<Box<dyn Writing>>>>;

    /// Removes what was begun; what is not there is no error.
    fn forget<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<()>>;

    /// The names of all that was begun and is neither placed nor forgotten.
    fn begun(&self) -> BoxFuture<'_, Result<Vec<String>>>;

    /// Begins to read what lies at a place, or a range of it; none where nothing does.
    ///
    /// # Errors
    /// `Mismatch` where it has not as many bytes as it should.
    fn read<'a>(&'a self, place: &'a Place, size: u64, range: Range<u64>) -> BoxFuture<'a, Result<Option<Reader>>>;

    /// Removes what lies at a place; what is not there is no error.
    fn remove<'a>(&'a self, place: &'a Place) -> BoxFuture<'a, Result<()>>;

    /// How many bytes lie at a place; none where nothing does.
    fn size<'a>(&'a self, place: &'a Place) -> BoxFuture<'a, Result<Option<u64>>>;

    /// Sets aside what lies at a place, where nothing reads it but a person; what is not there is no error.
    fn quarantine<'a>(&'a self, place: &'a Place) -> BoxFuture<'a, Result<()>>;

    /// What there is in one of [`PARTS`] parts, which together are all: so that looking for what nobody knows takes little at once.
    fn part(&self, part: u16) -> BoxFuture<'_, Result<Vec<Place>>>;

    /// The power to hand out open files.
    fn files(&self) -> Option<&dyn OpenFiles>;
}

/// The power to hand out open files.
pub trait OpenFiles: Send + Sync {
    /// What lies at a place, as an open regular file of this size; none where nothing does.
    fn open(&self, place: &Place, size: u64) -> Result<Option<File>>;

    /// Copies a file, from its beginning, by the cheapest means that the system has, under a name as [`Content::begin`] has it; what an earlier copy
    /// left under that is gone. It must have this size and, where it is to be verified, what is checked is the copy, so that the file may change
    /// meanwhile. Nothing is left where that fails.
    ///
    /// # Errors
    /// `Mismatch` where it is not what it should be.
    fn copy(&self, name: &str, file: &mut File, digest: &Digest, size: u64, verify: bool) -> Result<()>;

    /// Puts what was copied under this name at its place, for good. Nothing is left where that fails.
    fn place(&self, name: &str, place: &Place) -> Result<()>;
}

/// Says the place that something is put at.
pub type Placing = Box<dyn FnOnce() -> Result<Place> + Send>;

/// Bytes on their way.
pub trait Writing: Send {
    /// Takes the next bytes. Where that fails all that can be done is to [forget](Self::forget) it, or to open it anew.
    fn write(&mut self, bytes: Bytes) -> BoxFuture<'_, Result<()>>;

    /// Makes all that was written last. Where that fails nothing is known of what was written since that went well last: it must be forgotten, or, where there
    /// was no room (`Quota`), may be opened anew behind what was there then.
    fn sync(&mut self) -> BoxFuture<'_, Result<()>>;

    /// Reads what was written, from the beginning.
    fn read(&mut self) -> BoxFuture<'_, Result<Reader>>;

    /// Puts it at its place, for good: when this is done it survives a power cut. Where it fails nothing is left.
    ///
    /// The place is asked for when all that was written lasts, however long that took: it is as old as what lies there.
    fn place(self: Box<Self>, place: Placing) -> BoxFuture<'static, Result<Place>>;

    /// Removes it.
    fn forget(self: Box<Self>) -> BoxFuture<'static, Result<()>>;
}

/// Whether an error of who begins to read what lies at a place says that it is not what was put there, or can be had no more.
pub(crate) fn is_damage(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Mismatch | ErrorKind::Invalid) || directory::is_broken(error)
}

/// Copies a file from elsewhere as [`OpenFiles::copy`] does, and verifies it; false where the file is not what it should be, or cannot be read, and then nothing is left.
///
/// # Errors
/// Those of the copy.
pub(crate) fn copied(target: &dyn OpenFiles, name: &str, file: &mut File, digest: &Digest, size: u64) -> Result<bool> {
    match target.copy(name, file, digest, size, true) {
        Ok(()) => Ok(true),
        Err(error) if *error.kind() == ErrorKind::Mismatch => Ok(false),
        // Nobody says which of the two it was that failed; where the source can be read it was the copy.
        Err(error) if *error.kind() == ErrorKind::Io && !can_be_read(file) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether all of a file can be read.
fn can_be_read(file: &mut File) -> bool {
    let read = file.seek(io::SeekFrom::Start(0));
    read.and_then(|_| io::copy(file, &mut io::sink())).is_ok()
}

/// A name that is safe as that of a file, too.
fn checked(name: &str) -> Result<&str> {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    match !name.is_empty() && name.len() <= NAME && name.bytes().all(is_plain) {
        true => Ok(name),
        false => Err(Error::new(ErrorKind::Invalid, "that is no name of an upload")),
    }
}
