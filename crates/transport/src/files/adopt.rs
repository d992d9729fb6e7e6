//! How does an open file become a blob? Copied by the cheapest means that the file system has, and the copy is checked.

use std::{
    array,
    fs::File,
    io::{self, IoSlice, IoSliceMut, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use bytes::Bytes;
use teu_spec::{Algorithm, Descriptor, Digest};
use teu_store::{
    Error, ErrorKind, Result,
    blocking::{BATCH, Buffers, Hashing, PastCache},
};

use super::{Temporary, ingest::copy};

/// How many chunks are read or written past the kernel's cache at once: 1 MiB, which costs a disk, and who waits for it, next to nothing.
const AT_ONCE: usize = 4;

/// What is no larger stays in the kernel's cache.
const SMALL: u64 = 2 << 20;

/// The copy of an open file, which nobody sees yet.
pub(crate) struct Copying {
    temporary: Temporary,
    shares: bool,
}

impl Copying {
    /// A file in `directory` that shares the content of another where the file system can do that (a reflink), and has none yet where it cannot.
    pub(crate) fn begin(directory: &Path, file: &File) -> Result<Self> {
        let mut temporary = Temporary::new(directory)?;
        let shares = reflink(file, temporary.file());
        Ok(Self { temporary, shares })
    }

    /// Whether all of the content is there.
    pub(crate) fn shares(&self) -> bool {
        self.shares
    }

    /// Copies what is not there yet, by `copy_file_range` where it is trusted, else piece by piece, and puts the copy at its place. Unless it is trusted,
    /// the digest of the copy is checked.
    ///
    /// What is large goes past the kernel's cache where it lies on a disk.
    pub(crate) fn finish(
        mut self,
        mut file: File,
        descriptor: &Descriptor,
        trust: bool,
        place: impl FnOnce(&Digest) -> Result<PathBuf>,
    ) -> Result<()> {
        let algorithm = descriptor.digest.algorithm();
        let past = PastCache::new(switch);
        let is_past = descriptor.size > SMALL && !lies_in_memory(self.temporary.file());
        let copy = self.temporary.file();
        let copied = match (self.shares, trust) {
            (true, true) => copy.metadata().map(|metadata| (metadata.len(), None)),
            (true, false) => hashed(copy, algorithm, is_past.then_some(&past)),
            // The standard library asks the kernel to copy.
            (false, true) => rewound(&mut file)
                .and_then(|()| io::copy(&mut file, copy))
                .map(|size| (size, None)),
            (false, false) => written(&mut file, copy, algorithm, is_past.then_some(&past)),
        };
        let (size, found) = copied.map_err(|error| self.temporary.failed(error))?;
        let Descriptor {
            digest, size: expected, ..
        } = descriptor;
        let mismatch = |message: String| Err(Error::new(ErrorKind::Mismatch, message));
        if size != *expected {
            return mismatch(format!("content of {digest} has {size} bytes instead of {expected}"));
        }
        if let Some(found) = found
            && found != *digest
        {
            return mismatch(format!("content of {digest} has the digest {found}"));
        }
        self.temporary.put(&place(digest)?)
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
    from: &mut File,
    to: &mut File,
    algorithm: Algorithm,
    past: Option<&PastCache>,
) -> io::Result<(u64, Option<Digest>)> {
    let mut hashing = Hashing::new(algorithm);
    rewound(from)?;
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

/// How a file goes past the kernel's cache, or through it again.
#[cfg(target_os = "linux")]
fn switch(file: &File, past: bool) -> io::Result<()> {
    use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

    let mut flags = fcntl_getfl(file)?;
    flags.set(OFlags::DIRECT, past);
    Ok(fcntl_setfl(file, flags)?)
}

#[cfg(not(target_os = "linux"))]
fn switch(_: &File, _: bool) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Whether a file system has no disk, but only memory: nothing is gained there by going past the cache, which it is itself.
#[cfg(target_os = "linux")]
fn lies_in_memory(file: &File) -> bool {
    /// `TMPFS_MAGIC` of linux/magic.h.
    const TMPFS: rustix::fs::FsWord = 0x0102_1994;
    rustix::fs::fstatfs(file).is_ok_and(|found| found.f_type == TMPFS)
}

#[cfg(not(target_os = "linux"))]
fn lies_in_memory(_: &File) -> bool {
    false
}
