//! What can the system do with an open file? Read what it has in memory without waiting for a disk, and go past the memory that it keeps of files.
//!
//! Files come here open: by which names they are found is nothing to this crate.

use std::{fs::File, io};

/// Reads into a buffer from a position as far as nothing has to be waited for; how much, which may be nothing where the disk must be asked, where the file ends, and
/// where it cannot be known, as in a sandbox that does not know the question: why not is what who waits for it is told.
#[cfg(target_os = "linux")]
pub(super) fn read_now(file: &File, buffer: &mut [u8], position: u64) -> usize {
    use rustix::io::{Errno, ReadWriteFlags, preadv2};

    let mut filled = 0;
    while filled < buffer.len() {
        let parts = &mut [io::IoSliceMut::new(&mut buffer[filled..])];
        match preadv2(file, parts, position + filled as u64, ReadWriteFlags::NOWAIT) {
            Err(Errno::INTR) => {}
            Ok(0) | Err(_) => break,
            Ok(read) => filled += read,
        }
    }
    filled
}

#[cfg(not(target_os = "linux"))]
pub(super) fn read_now(_: &File, _: &mut [u8], _: u64) -> usize {
    0
}

/// Whether a file system has no disk, but only memory: nothing is waited for there unless it was swapped out, and nothing gained by going past the cache, which it is itself.
#[cfg(target_os = "linux")]
#[must_use]
pub fn lies_in_memory(file: &File) -> bool {
    /// `TMPFS_MAGIC` of linux/magic.h.
    const TMPFS: rustix::fs::FsWord = 0x0102_1994;
    rustix::fs::fstatfs(file).is_ok_and(|found| found.f_type == TMPFS)
}

/// Whether a file system has no disk, but only memory: here it is not known.
#[cfg(not(target_os = "linux"))]
#[must_use]
pub fn lies_in_memory(_: &File) -> bool {
    false
}

/// Switches a file to go past the kernel's cache, or through it again.
///
/// # Errors
/// Those of the system; `InvalidInput` where the file system cannot do it.
#[cfg(target_os = "linux")]
pub(super) fn switch(file: &File, past: bool) -> io::Result<()> {
    use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

    let mut flags = fcntl_getfl(file)?;
    flags.set(OFlags::DIRECT, past);
    Ok(fcntl_setfl(file, flags)?)
}

#[cfg(not(target_os = "linux"))]
pub(super) fn switch(_: &File, _: bool) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::io::Write;

    use rustix::io::{Errno, ReadWriteFlags, preadv2};

    use super::*;

    /// What was just written is in memory. Not each file system can tell; then it is nothing.
    #[test]
    fn what_is_in_memory_is_read_now_up_to_its_end() {
        let content: Vec<u8> = (0..300_000).map(|n| (n % 251) as u8).collect();
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(&content).expect("written");
        let mut byte = [0];
        let asked = preadv2(&file, &mut [io::IoSliceMut::new(&mut byte)], 0, ReadWriteFlags::NOWAIT);
        let expected = match asked {
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::PERM) => 0,
            _ => 299_000,
        };
        let mut buffer = vec![0; 400_000];
        let read = read_now(&file, &mut buffer, 1_000);
        assert_eq!(read, expected);
        assert!(buffer[..read] == content[1_000..1_000 + read]);
        assert_eq!(read_now(&file, &mut buffer, 300_000), 0);
    }
}
