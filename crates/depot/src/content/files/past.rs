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

    /// Writes bytes that are [aligned](teu_store::blocking::pieces::aligned) to the end of a file; into the cache where it cannot be done past it.
    pub(super) fn write(&self, mut file: &File, bytes: &[u8]) -> io::Result<()> {
        let flags = fcntl_getfl(file)?;
        let done = match fcntl_setfl(file, flags | OFlags::DIRECT) {
            Ok(()) => {
                let done = self.attempt(&mut file, bytes);
                // Whoever writes less, or reads it, has not aligned anything.
                fcntl_setfl(file, flags)?;
                done?
            }
            Err(_) => self.cannot(),
        };
        // What is left of a write that was cut short, as on a disk that is full, is aligned no more: the next one says why.
        file.write_all(&bytes[done..])
    }

    /// Writes once; how many bytes.
    fn attempt(&self, file: &mut impl Write, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match file.write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // It wants more than was done for it.
                Err(error) if Errno::from_io_error(&error) == Some(Errno::INVAL) => return Ok(self.cannot()),
                outcome => return outcome,
            }
        }
    }

    /// It need not be tried again; nothing is written.
    fn cannot(&self) -> usize {
        self.0.store(true, Ordering::Relaxed);
        0
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

    /// A device is no file system that could do it; one of them is full.
    #[test]
    fn where_it_cannot_be_done_errors_are_those_of_the_other_way() {
        for (path, expected) in [("/dev/null", None), ("/dev/full", Some(io::ErrorKind::StorageFull))] {
            let past = PastCache::default();
            let file = File::options().write(true).open(path).expect("a device");
            let outcome = past.write(&file, &[0; 8192]);
            assert_eq!(outcome.err().map(|error| error.kind()), expected, "{path}");
            assert!(!past.may_be(), "{path}");
        }
    }

    /// Answers a write, and takes no second one.
    struct Once(Option<io::Result<usize>>);

    impl Write for Once {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            self.0.take().expect("one write")
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Only where the first write of what is aligned was refused it is not tried again.
    #[test]
    fn a_disk_that_is_full_is_written_to_past_the_cache_when_it_is_full_no_more() {
        let error = |errno: Errno| Err(io::Error::from(errno));
        for (answer, expected, may_be) in [
            (Ok(8192), Ok(8192), true),
            (Ok(1000), Ok(1000), true),
            (error(Errno::INVAL), Ok(0), false),
            (error(Errno::NOSPC), Err(io::ErrorKind::StorageFull), true),
        ] {
            let past = PastCache::default();
            let outcome = past.attempt(&mut Once(Some(answer)), &[0; 8192]);
            assert_eq!(outcome.map_err(|error| error.kind()), expected);
            assert_eq!(past.may_be(), may_be, "{expected:?}");
        }
    }
}
