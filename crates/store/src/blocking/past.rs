//! How are bytes read and written past the kernel's cache? Between where they lie and the disk (O_DIRECT), where the file system can: copying them to or
//! from the cache, and finding memory for it, takes longer than anything else but their hash.

use std::{
    fs::File,
    io::{self, IoSlice, IoSliceMut, Read, Write},
    sync::atomic::{AtomicBool, Ordering},
};

use super::system;

/// Switches a file to go past the cache, or back.
type Switch = fn(&File, bool) -> io::Result<()>;

/// Whether a file system was found not to do that.
pub struct PastCache {
    switch: Switch,
    cannot: AtomicBool,
}

impl Default for PastCache {
    /// It is not known yet, and tried.
    fn default() -> Self {
        Self::by(system::switch)
    }
}

impl PastCache {
    const fn by(switch: Switch) -> Self {
        Self {
            switch,
            cannot: AtomicBool::new(false),
        }
    }

    /// Whether it is worth trying.
    #[must_use]
    pub fn may_be(&self) -> bool {
        !self.cannot.load(Ordering::Relaxed)
    }

    /// Writes bytes to the end of a file, all of whose parts lie and are as long as [disks want it](super::pieces::ALIGNMENT), as is what was written
    /// before; into the cache where it cannot be done past it.
    ///
    /// # Errors
    /// Those of the system. Some of the bytes may be written.
    pub fn write(&self, mut file: &File, mut parts: &mut [IoSlice<'_>]) -> io::Result<()> {
        let done = self.past(file, || file.write_vectored(parts))?;
        // What is left of a write that was cut short, as on a disk that is full, is aligned no more: the next one says why.
        IoSlice::advance_slices(&mut parts, done);
        parts.iter().try_for_each(|part| file.write_all(part))
    }

    /// Reads on in a file, from a position and into parts that are as [disks want them](super::pieces::ALIGNMENT); how much, which is less than there is
    /// room for only at the end of the file. It comes through the cache where it cannot be done past it.
    ///
    /// # Errors
    /// Those of the system.
    pub fn read(&self, mut file: &File, parts: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        let mut done = self.past(file, || file.read_vectored(parts))?;
        // What is behind the last whole block is read either way, and that nothing is behind it is found out here.
        let mut room = 0;
        for part in parts {
            let filled = part.len().min(done - room);
            room += part.len();
            done += super::fill(&mut file, &mut part[filled..])?;
            if done < room {
                break;
            }
        }
        Ok(done)
    }

    /// Does it once past the cache, if that can be; how many bytes.
    fn past(&self, file: &File, once: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
        if !self.may_be() {
            return Ok(0);
        }
        if (self.switch)(file, true).is_err() {
            return Ok(self.cannot());
        }
        let done = self.attempt(once);
        // Whoever reads or writes less has not aligned anything.
        (self.switch)(file, false)?;
        done
    }

    fn attempt(&self, mut once: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
        loop {
            match once() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // It wants more than was done for it.
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => return Ok(self.cannot()),
                outcome => return outcome,
            }
        }
    }

    /// It need not be tried again; nothing was done.
    fn cannot(&self) -> usize {
        self.cannot.store(true, Ordering::Relaxed);
        0
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Error, ErrorKind, Seek};

    use super::*;

    const CAN: Switch = |_, _| Ok(());
    const CANNOT: Switch = |_, _| Err(ErrorKind::Unsupported.into());

    /// Whichever way it goes, all is there in its order, and nothing twice.
    #[test]
    fn what_cannot_go_past_the_cache_goes_through_it() {
        let content: Vec<u8> = (0..300_000).map(|n| (n % 251) as u8).collect();
        for (switch, can) in [(CAN, true), (CANNOT, false)] {
            let past = PastCache::by(switch);
            let mut file = tempfile::tempfile().expect("a file");
            for parts in content.chunks(99_991) {
                let mut parts: Vec<IoSlice<'_>> = parts.chunks(33_333).map(IoSlice::new).collect();
                past.write(&file, &mut parts).expect("written");
            }
            assert_eq!(past.may_be(), can);
            file.rewind().expect("at its beginning");
            let mut found = Vec::new();
            loop {
                let mut buffer = vec![[1; 30_000]; 3];
                let mut parts: Vec<IoSliceMut<'_>> = buffer.iter_mut().map(|part| IoSliceMut::new(part)).collect();
                let read = past.read(&file, &mut parts).expect("read");
                found.extend_from_slice(&buffer.as_flattened()[..read]);
                if read < 90_000 {
                    break;
                }
            }
            assert!(found == content);
        }
    }

    /// A device is no file system that could do it; one of them is full.
    #[test]
    fn where_it_cannot_be_done_errors_are_those_of_the_other_way() {
        for (path, expected) in [("/dev/null", None), ("/dev/full", Some(ErrorKind::StorageFull))] {
            let past = PastCache::by(CANNOT);
            let file = File::options().write(true).open(path).expect("a device");
            let outcome = past.write(&file, &mut [IoSlice::new(&[0; 8192])]);
            assert_eq!(outcome.err().map(|error| error.kind()), expected, "{path}");
            assert!(!past.may_be(), "{path}");
        }
    }

    /// Only where the first attempt at what is aligned was refused it is not tried again.
    #[test]
    fn a_disk_that_is_full_is_written_to_past_the_cache_when_it_is_full_no_more() {
        let error = |kind: ErrorKind| Err(Error::from(kind));
        for (answer, expected, may_be) in [
            (Ok(8192), Ok(8192), true),
            (Ok(1000), Ok(1000), true),
            (error(ErrorKind::InvalidInput), Ok(0), false),
            (error(ErrorKind::StorageFull), Err(ErrorKind::StorageFull), true),
        ] {
            let past = PastCache::by(CAN);
            let mut answer = Some(answer);
            let outcome = past.attempt(|| answer.take().expect("one attempt"));
            assert_eq!(outcome.map_err(|error| error.kind()), expected);
            assert_eq!(past.may_be(), may_be, "{expected:?}");
        }
    }
}
