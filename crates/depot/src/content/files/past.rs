//! How are bytes written past the kernel's cache? From where they lie to the disk (O_DIRECT), where the file system can: copying them into the cache,
//! and finding memory for it, takes longer than anything else but their hash.

use std::{
    fs::File,
    io::{self, Write},
    sync::atomic::{AtomicBool, Ordering},
};

use rustix::{
    fs::{OFlags, fcntl_getfl, fcntl_setfl},
    io::Errno,
};

/// Whether a file system was found not to do that.
#[derive(Default)]
pub(super) struct PastCache(AtomicBool);

impl PastCache {
    /// Whether it is worth trying.
    pub(super) fn may_be(&self) -> bool {
        !self.0.load(Ordering::Relaxed)
    }

    /// Writes bytes that are [aligned](crate::pieces::is_aligned) to the end of a file; into the cache where it cannot be done past it.
    pub(super) fn write(&self, mut file: &File, mut bytes: &[u8]) -> io::Result<()> {
        let flags = fcntl_getfl(file)?;
        if fcntl_setfl(file, flags | OFlags::DIRECT).is_ok() {
            let written = loop {
                match file.write(bytes) {
                    Ok(0) => break Err(io::ErrorKind::WriteZero.into()),
                    Ok(count) => bytes = &bytes[count..],
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => break Err(error),
                }
                if bytes.is_empty() {
                    break Ok(());
                }
            };
            // Whoever writes less, or reads it, has not aligned anything.
            fcntl_setfl(file, flags)?;
            match written {
                // It wants more than was done for it, or what was left of a write that was cut short.
                Err(error) if Errno::from_io_error(&error) == Some(Errno::INVAL) => {}
                written => return written,
            }
        }
        self.0.store(true, Ordering::Relaxed);
        file.write_all(bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Seek};

    use super::*;

    /// Where it cannot be done as it was tried, all is written the other way, and nothing twice.
    #[test]
    fn what_cannot_go_past_the_cache_goes_into_it() {
        let mut file = tempfile::tempfile().expect("a file");
        let past = PastCache::default();
        let content: Vec<u8> = (0..300_000).map(|n| (n % 251) as u8).collect();
        for part in content.chunks(99_991) {
            past.write(&file, part).expect("written");
        }
        assert!(!fcntl_getfl(&file).expect("flags").contains(OFlags::DIRECT));
        file.rewind().expect("at its beginning");
        let mut found = Vec::new();
        file.read_to_end(&mut found).expect("read");
        assert!(found == content);
    }
}
