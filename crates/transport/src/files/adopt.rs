//! How does an open file become a blob? Copied by the cheapest means that the file system has, and the copy is checked.

use std::{
    array,
    fs::File,
    io::{self, IoSlice, IoSliceMut, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use bytes::Bytes;
use teu_spec::{Algorithm, Descriptor, Digest};
use teu_store::{
    Error, ErrorKind, Result,
    blocking::{BATCH, Buffers, Hashing, PastCache, lies_in_memory, pieces::SMALL},
};

use super::{Temporary, ingest::copy};

/// How many chunks are read or written past the kernel's cache at once: 1 MiB, which costs a disk, and who waits for it, next to nothing.
const AT_ONCE: usize = 4;

/// The copy of an open file, which nobody sees yet.
pub(crate) struct Copying {
    temporary: Temporary,
    shares: bool,
}

impl Copying {
    /// A file in `directory` that shares the content of another where the file system can do that (a reflink), and has none yet where it cannot.
    ///
    /// # Errors
    /// `Mismatch` where the size is not the descriptor's: nothing is made then.
    pub(crate) fn begin(directory: &Path, file: &File, descriptor: &Descriptor) -> Result<Self> {
        check_size(descriptor, file.metadata()?.len())?;
        let mut temporary = Temporary::new(directory)?;
        let shares = reflink(file, temporary.file());
        let begun = match shares {
            true => Ok(()),
            false => emptied(temporary.file()),
        };
        begun.map_err(|error| temporary.failed(error))?;
        Ok(Self { temporary, shares })
    }

    /// Whether all of the content is there.
    pub(crate) fn shares(&self) -> bool {
        self.shares
    }

    /// Copies what is not there yet, by `copy_file_range` where it is trusted, else piece by piece, and puts the copy at its place. Unless it is trusted,
    /// the digest of the copy is checked.
    ///
    /// What is large goes past the kernel's cache where it lies on a disk. Of a file that grew meanwhile no more is read than shows it.
    pub(crate) fn finish(
        mut self,
        mut file: File,
        descriptor: &Descriptor,
        trust: bool,
        place: impl FnOnce(&Digest) -> Result<PathBuf>,
    ) -> Result<()> {
        let algorithm = descriptor.digest.algorithm();
        let past = PastCache::default();
        let is_past = descriptor.size > SMALL && !lies_in_memory(self.temporary.file());
        let copy = self.temporary.file();
        if self.shares {
            // It is as large as the other file was at that moment.
            check_size(descriptor, copy.metadata()?.len())?;
        }
        let copied = match (self.shares, trust) {
            (true, true) => Ok((descriptor.size, None)),
            (true, false) => hashed(copy, algorithm, is_past.then_some(&past)),
            (false, _) => rewound(&mut file).and_then(|()| {
                let mut limited = file.take(descriptor.size.saturating_add(1));
                match trust {
                    // The standard library asks the kernel to copy.
                    true => io::copy(&mut limited, copy).map(|size| (size, None)),
                    false => written(&mut limited, copy, algorithm, is_past.then_some(&past)),
                }
            }),
        };
        let (size, found) = copied.map_err(|error| self.temporary.failed(error))?;
        let digest = &descriptor.digest;
        if size > descriptor.size {
            let message = format!("content of {digest} has more than {} bytes", descriptor.size);
            return Err(Error::new(ErrorKind::Mismatch, message));
        }
        check_size(descriptor, size)?;
        if let Some(found) = found
            && found != *digest
        {
            let message = format!("content of {digest} has the digest {found}");
            return Err(Error::new(ErrorKind::Mismatch, message));
        }
        self.temporary.put(&place(digest)?)
    }
}

fn check_size(descriptor: &Descriptor, size: u64) -> Result<()> {
    if size == descriptor.size {
        return Ok(());
    }
    let message = format!(
        "content of {} has {size} bytes instead of {}",
        descriptor.digest, descriptor.size
    );
    Err(Error::new(ErrorKind::Mismatch, message))
}

/// Takes away what a reflink that failed on its way, as on a disk that is full, has shared already.
fn emptied(file: &File) -> io::Result<()> {
    match file.metadata()?.len() {
        0 => Ok(()),
        _ => file.set_len(0),
    }
}

fn rewound(file: &mut File) -> io::Result<()> {
    file.seek(SeekFrom::Start(0)).map(drop)
}

/// The size and the digest of a whole file that is on a disk, and not in the kernel's cache.
fn hashed(file: &mut File, algorithm: Algorithm, past: Option<&PastCache>) -> io::Result<(u64, Option<Digest>)> {
    let mut hashing = Hashing::new(algorithm);
    rewound(file)?;
    let mut size = 0;
    if let Some(past) = past {
        let buffers = Buffers::default();
        loop {
            let mut taken: [_; AT_ONCE] = array::from_fn(|_| buffers.take());
            let mut parts = taken.each_mut().map(|buffer| IoSliceMut::new(buffer));
            let read = past.read(file, &mut parts)?;
            size += read as u64;
            let mut left = read;
            for buffer in taken {
                let here = left.min(buffer.len());
                left -= here;
                if here > 0 {
                    hashing.update(buffers.lend(buffer, here));
                }
            }
            if read < AT_ONCE * BATCH {
                break;
            }
        }
    } else {
        size = copy(file, |piece| {
            hashing.update(piece);
            Ok(())
        })?;
    }
    Ok((size, Some(hashing.finish())))
}

/// The size and the digest of what was copied.
fn written(
    from: &mut impl Read,
    to: &mut File,
    algorithm: Algorithm,
    past: Option<&PastCache>,
) -> io::Result<(u64, Option<Digest>)> {
    let mut hashing = Hashing::new(algorithm);
    let mut waiting: Vec<Bytes> = Vec::with_capacity(AT_ONCE);
    let size = copy(from, |piece| {
        hashing.update(piece.clone());
        let Some(past) = past else { return to.write_all(&piece) };
        waiting.push(piece);
        if waiting.len() < AT_ONCE {
            return Ok(());
        }
        let mut parts: Vec<IoSlice<'_>> = waiting.iter().map(|piece| IoSlice::new(piece)).collect();
        // What is short ends a file, unless that has grown meanwhile.
        match waiting.iter().all(|piece| piece.len() == BATCH) {
            true => past.write(to, &mut parts)?,
            false => waiting.iter().try_for_each(|piece| to.write_all(piece))?,
        }
        waiting.clear();
        Ok(())
    })?;
    waiting.iter().try_for_each(|piece| to.write_all(piece))?;
    Ok((size, Some(hashing.finish())))
}

#[cfg(target_os = "linux")]
fn reflink(from: &File, to: &File) -> bool {
    rustix::fs::ioctl_ficlone(to, from).is_ok()
}

#[cfg(not(target_os = "linux"))]
fn reflink(_: &File, _: &File) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use std::fs;

    use teu_spec::MediaType;

    use super::*;

    const CONTENT: &[u8] = b"ten bytes!";

    /// A directory to copy to, and a file beside it.
    fn room() -> (tempfile::TempDir, PathBuf, File) {
        let room = tempfile::tempdir().expect("a directory");
        let to = room.path().join("to");
        fs::create_dir(&to).expect("a directory");
        fs::write(room.path().join("from"), CONTENT).expect("written");
        let from = File::options().read(true).write(true).open(room.path().join("from"));
        (room, to, from.expect("a file"))
    }

    fn left(directory: &Path) -> usize {
        fs::read_dir(directory).expect("a directory").count()
    }

    #[test]
    fn what_has_another_size_is_not_copied() {
        let (_room, to, from) = room();
        let descriptor = Descriptor::of(MediaType::OciConfig, CONTENT);
        from.set_len(1 << 40).expect("sparse");
        let error = Copying::begin(&to, &from, &descriptor).err().expect("too large");
        assert_eq!(error.kind(), &ErrorKind::Mismatch);
        let told = format!("content of {} has 1099511627776 bytes instead of 10", descriptor.digest);
        assert_eq!(error.to_string(), told);
        assert_eq!(left(&to), 0);
    }

    #[test]
    fn of_what_grows_while_it_is_copied_no_more_is_read_than_shows_it() {
        for trust in [false, true] {
            let (_room, to, from) = room();
            let descriptor = Descriptor::of(MediaType::OciConfig, CONTENT);
            let copying = Copying {
                temporary: Temporary::new(&to).expect("a file"),
                shares: false,
            };
            from.set_len(64 << 20).expect("sparse");
            // They go on in the file together.
            let mut same = from.try_clone().expect("a file");
            let place = |_: &Digest| Ok(to.join("copy"));
            let error = copying.finish(from, &descriptor, trust, place).expect_err("too large");
            assert_eq!(error.kind(), &ErrorKind::Mismatch);
            let told = format!("content of {} has more than 10 bytes", descriptor.digest);
            assert_eq!(error.to_string(), told);
            assert_eq!(same.stream_position().expect("a position"), 11);
            assert_eq!(left(&to), 0);
        }
    }

    #[test]
    fn a_share_of_what_had_grown_is_not_hashed() {
        for trust in [false, true] {
            let (_room, to, from) = room();
            let descriptor = Descriptor::of(MediaType::OciConfig, CONTENT);
            let mut temporary = Temporary::new(&to).expect("a file");
            temporary.file().set_len(64 << 20).expect("sparse");
            let copying = Copying {
                temporary,
                shares: true,
            };
            let place = |_: &Digest| Ok(to.join("copy"));
            let error = copying.finish(from, &descriptor, trust, place).expect_err("too large");
            assert_eq!(error.kind(), &ErrorKind::Mismatch);
            let told = format!("content of {} has 67108864 bytes instead of 10", descriptor.digest);
            assert_eq!(error.to_string(), told);
            assert_eq!(left(&to), 0);
        }
    }

    #[test]
    fn what_a_reflink_left_that_failed_is_taken_away() {
        let (_room, _, from) = room();
        emptied(&from).expect("emptied");
        assert_eq!(from.metadata().expect("a file").len(), 0);
        emptied(&from).expect("nothing to do");
    }
}
