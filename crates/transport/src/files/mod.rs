//! How are files opened, made and replaced so that nothing surprises? For the places that are directories.
//!
//! What lies in a directory may have been put there by anyone, so a name is opened only where it is a regular file itself: no link leads
//! elsewhere, no FIFO blocks, no device answers. What is written appears under its name only when it is whole.

mod adopt;
mod ingest;
mod part;

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    ops::Range,
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _};
use rustix::fs::OFlags;
use teu_store::{
    Error, ErrorKind, FetchOptions, Fetched, Result,
    blocking::{self, SMALL_FILE},
};

pub(crate) use crate::limited::read_limited;

pub(crate) use adopt::Copying;
pub(crate) use ingest::FileIngest;
#[cfg(feature = "archives")]
pub(crate) use ingest::digest_of;
#[cfg(feature = "archives")]
pub(crate) use part::unnamed;
pub(crate) use part::{Keeper, TEMPORARY, Temporary, has_part, is_older, is_temporary, remove_litter};

/// Opens a regular file to read; none where there is nothing of this name.
///
/// # Errors
/// `Invalid` for a link, a directory, a FIFO or a device.
pub(crate) fn open(path: &Path) -> Result<Option<File>> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits() as i32)
        .open(path);
    let file = match opened {
        Ok(file) => file,
        // A directory in the place of a file's parent, or a file in the place of a directory: nothing of this name either.
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) if is_link(path) => {
            return Err(
                Error::new(ErrorKind::Invalid, format!("{} is a symbolic link", path.display())).with_cause(error),
            );
        }
        Err(error) => return Err(failed(error, "opening", path)),
    };
    let metadata = file.metadata().map_err(|error| failed(error, "opening", path))?;
    if !metadata.is_file() {
        return Err(Error::new(
            ErrorKind::Invalid,
            format!("{} is no regular file", path.display()),
        ));
    }
    Ok(Some(file))
}

/// Whether this is a symbolic link, wherever it leads.
pub(crate) fn is_link(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_symlink())
}

/// Reads a small file whole; none where there is nothing of this name.
///
/// # Errors
/// `TooLarge` beyond `limit` bytes.
pub(crate) fn read_small(path: &Path, limit: u64) -> Result<Option<Bytes>> {
    let Some(mut file) = open(path)? else { return Ok(None) };
    read_limited(&mut file, limit, path).map(Some)
}

/// A file's content on its way, or a range of it. What is small is read here and now: to hand it to a thread would take longer.
pub(crate) fn fetch(mut file: File, path: &Path, options: &FetchOptions) -> Result<Fetched> {
    let size = file.metadata().map_err(|error| failed(error, "reading", path))?.len();
    let range = range(size, options.range.as_ref())?;
    let (start, length) = (range.start, range.end - range.start);
    let name = path.display().to_string();
    let reader = match options.at_pace || length <= SMALL_FILE {
        true => blocking::file(file, name, range)?,
        false => {
            let sought = file.seek(SeekFrom::Start(start));
            sought.map_err(|error| failed(error, "reading", path))?;
            let reader = blocking::reader(move || Ok(file.take(length)));
            reader
                .map_err(move |error| error.within(format!("reading {name}")))
                .boxed()
        }
    };
    Ok(Fetched {
        size: Some(size),
        start,
        reader,
    })
}

/// The bytes that a fetch gives of content of this size: what is wanted of it, as far as it goes, or all.
pub(crate) fn range(size: u64, wanted: Option<&Range<u64>>) -> Result<Range<u64>> {
    match wanted {
        None => Ok(0..size),
        Some(range) if range.start >= size || range.end <= range.start => {
            let message = format!("bytes {}-{} of {size} cannot be had", range.start, range.end);
            Err(Error::new(ErrorKind::Range, message))
        }
        Some(range) => Ok(range.start..range.end.min(size)),
    }
}

/// An error of the system, with what was being done to which file.
pub(crate) fn failed(error: io::Error, doing: &str, path: &Path) -> Error {
    Error::from(error).within(format!("{doing} {}", path.display()))
}

/// Puts `content` at `path`, whole or not at all, whenever the power is cut. That it is there survives one when the directory [is synced](sync_directory), or
/// its file system.
pub(crate) fn replace(path: &Path, content: &[u8]) -> Result<()> {
    lasting(written(beside(path), content)?)?.put(path)
}

/// As [`replace`], but what is there stays, also where someone else puts it there at the same moment.
pub(crate) fn put_new(path: &Path, content: &[u8]) -> Result<()> {
    lasting(written(beside(path), content)?)?.put_new(path)
}

fn beside(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("."))
}

/// A new file of this content, which does not last yet.
pub(crate) fn written(directory: &Path, content: &[u8]) -> Result<Temporary> {
    let mut temporary = Temporary::new(directory)?;
    let written = temporary.file().write_all(content);
    written.map_err(|error| temporary.failed(error))?;
    Ok(temporary)
}

/// Makes the content of a file last.
pub(crate) fn lasting(mut temporary: Temporary) -> Result<Temporary> {
    let synced = temporary.file().sync_all();
    synced.map_err(|error| temporary.failed(error))?;
    Ok(temporary)
}

/// Makes the names in a directory last.
pub(crate) fn sync_directory(directory: &Path) -> Result<()> {
    let synced = File::open(directory).and_then(|directory| directory.sync_all());
    synced.map_err(|error| failed(error, "syncing", directory))
}

/// Makes all that was written to the file system of `directory` last: one call for many blobs and their directories.
pub(crate) fn sync_file_system(directory: &Path) -> Result<()> {
    let file = File::open(directory).map_err(|error| failed(error, "syncing", directory))?;
    rustix::fs::syncfs(&file).map_err(|error| failed(error.into(), "syncing", directory))
}

/// Makes a directory with all that lead to it.
pub(crate) fn make_directory(directory: &Path) -> Result<()> {
    fs::create_dir_all(directory).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => Error::new(
            ErrorKind::Conflict,
            format!(
                "{} cannot be a directory: there is a file of that name, or in its path",
                directory.display()
            ),
        ),
        _ => failed(error, "making", directory),
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::{runtime::Builder, time::timeout};

    use super::*;

    /// There is one thread, and more who take no more of what they asked for.
    #[test]
    fn who_may_stop_holds_no_thread() {
        const SIZE: usize = 3 << 20;
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("blob");
        fs::write(&path, vec![1; SIZE]).expect("written");
        let options = FetchOptions {
            at_pace: true,
            ..FetchOptions::default()
        };
        let runtime = Builder::new_current_thread()
            .enable_time()
            .max_blocking_threads(1)
            .build();
        let all = async {
            let mut begun = Vec::new();
            for _ in 0..3 {
                let file = open(&path).expect("opened").expect("a file");
                let fetched = fetch(file, &path, &options).expect("a reader");
                assert_eq!((fetched.size, fetched.start), (Some(SIZE as u64), 0));
                let mut reader = fetched.reader;
                let first = reader.try_next().await.expect("a chunk").expect("one");
                begun.push((reader, first.len()));
            }
            for (reader, first) in begun {
                let rest: Vec<Bytes> = reader.try_collect().await.expect("its end");
                assert_eq!(first + rest.concat().len(), SIZE);
            }
        };
        let ended = async { timeout(Duration::from_secs(60), all).await };
        let ended = runtime.expect("a runtime").block_on(ended);
        ended.expect("none keeps another waiting");
    }
}
