//! Where are the entries of a table while it is used? In memory, or, where they are many, in a file of which the parts that were read last are in
//! memory. Whoever reads one entry after the other reads each once, wherever it is.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, Write},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use teu_store::{Error, ErrorKind, Result};

use super::{
    Entry,
    form::{self, At, BLOCK, Form, Raw, malformed},
};

/// How much of a file is read at once.
const PAGE: u32 = 64 << 10;
/// How much of what was read of a file stays in memory, at most: more gains nothing.
const PAGES: usize = 4 << 20;

/// The entries of a table.
#[derive(Debug)]
pub(super) struct Stored {
    place: Place,
    length: u64,
    /// Where each block begins.
    begins: Vec<u32>,
    /// Where it was read last.
    standing: Mutex<Standing>,
}

#[derive(Debug)]
enum Place {
    Memory(Bytes),
    /// From this byte of it on.
    File(Arc<File>, u64, Mutex<Pages>),
}

#[derive(Debug)]
struct Pages {
    kept: HashMap<u32, (Bytes, u64)>,
    bytes: usize,
    /// How many there may be, though one is always kept.
    most: usize,
    clock: u64,
}

impl Stored {
    pub(super) fn in_memory(entries: Bytes, begins: Vec<u32>) -> Self {
        Self::new(entries.len() as u64, Place::Memory(entries), begins)
    }

    /// So many bytes from this one of a file on, which nobody changes; of what is read of it so much stays in memory.
    pub(super) fn in_file(file: Arc<File>, from: u64, length: u64, begins: Vec<u32>, memory_bytes: usize) -> Self {
        let pages = Pages {
            kept: HashMap::new(),
            bytes: 0,
            most: memory_bytes.min(PAGES),
            clock: 0,
        };
        Self::new(length, Place::File(file, from, Mutex::new(pages)), begins)
    }

    fn new(length: u64, place: Place, begins: Vec<u32>) -> Self {
        Self {
            place,
            length,
            begins,
            standing: Mutex::default(),
        }
    }

    /// The file that it lies in, if it does.
    pub(super) fn file(&self) -> Option<&Arc<File>> {
        match &self.place {
            Place::Memory(_) => None,
            Place::File(file, ..) => Some(file),
        }
    }

    /// The same, copied into another file from this byte of it on.
    pub(super) fn moved(&self, into: &Arc<File>, at: u64, memory_bytes: usize) -> Result<Self> {
        self.copy(Behind { file: into, at })?;
        let begins = self.begins.clone();
        Ok(Self::in_file(Arc::clone(into), at, self.length, begins, memory_bytes))
    }

    pub(super) fn length(&self) -> u64 {
        self.length
    }

    pub(super) fn blocks(&self) -> usize {
        self.begins.len()
    }

    /// Where a block begins and ends.
    pub(super) fn bounds(&self, block: usize) -> (u64, u64) {
        let begin = |block: usize| self.begins.get(block).map_or(self.length, |begin| u64::from(*begin));
        (begin(block), begin(block + 1))
    }

    /// All bytes, piece by piece.
    pub(super) fn copy(&self, mut sink: impl Write) -> Result<()> {
        match &self.place {
            Place::Memory(entries) => sink.write_all(entries)?,
            Place::File(file, from, _) => {
                let mut buffer = vec![0; 4 * PAGE as usize];
                let mut at = 0;
                while at < self.length {
                    let count = usize::try_from(self.length - at)
                        .unwrap_or(usize::MAX)
                        .min(buffer.len());
                    file.read_exact_at(&mut buffer[..count], from + at).map_err(of_file)?;
                    sink.write_all(&buffer[..count])?;
                    at += count as u64;
                }
            }
        }
        Ok(())
    }

    fn block(&self, block: usize) -> Result<Bytes> {
        let (begin, end) = self.bounds(block);
        let slice = |bytes: &Bytes, from: u64| {
            let at = |place: u64| usize::try_from(place - from).unwrap_or(usize::MAX);
            bytes.slice(at(begin)..at(end))
        };
        let (file, offset, pages) = match &self.place {
            Place::Memory(entries) => return Ok(slice(entries, 0)),
            Place::File(file, offset, pages) => (file, offset, pages),
        };
        // A page is the blocks that begin in it.
        let number = u32::try_from(begin).map_err(|_| malformed())? / PAGE;
        let first = self.begins.partition_point(|begin| begin / PAGE < number);
        let from = self.bounds(first).0;
        let mut pages = pages.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(page) = pages.get(number) {
            return Ok(slice(&page, from));
        }
        let behind = self.begins.partition_point(|begin| begin / PAGE <= number);
        let length = usize::try_from(self.bounds(behind).0 - from).map_err(|_| malformed())?;
        let mut page = vec![0; length];
        file.read_exact_at(&mut page, offset + from).map_err(of_file)?;
        let page = Bytes::from(page);
        pages.keep(number, page.clone());
        Ok(slice(&page, from))
    }

    /// Lets go of what was read of a file: nobody reads here for a while.
    pub(super) fn rest(&self) {
        if let Place::File(_, _, pages) = &self.place {
            *self.standing.lock().unwrap_or_else(PoisonError::into_inner) = Standing::default();
            let mut pages = pages.lock().unwrap_or_else(PoisonError::into_inner);
            (pages.kept, pages.bytes) = (HashMap::new(), 0);
        }
    }

    /// Shows `look` the entry with this number.
    pub(super) fn with<R>(&self, number: u32, look: impl FnOnce(&Raw<'_>) -> Result<R>) -> Result<R> {
        let mut standing: MutexGuard<'_, Standing> = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        look(&standing.at(self, number)?)
    }
}

/// Writes from a place of a file on.
struct Behind<'f> {
    file: &'f File,
    at: u64,
}

impl Write for Behind<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write_all_at(bytes, self.at)?;
        self.at += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Pages {
    fn get(&mut self, number: u32) -> Option<Bytes> {
        self.clock += 1;
        let (page, used) = self.kept.get_mut(&number)?;
        *used = self.clock;
        Some(page.clone())
    }

    fn keep(&mut self, number: u32, page: Bytes) {
        self.bytes += page.len();
        self.kept.insert(number, (page, self.clock));
        while self.bytes > self.most && self.kept.len() > 1 {
            let oldest = self.kept.iter().min_by_key(|(_, (_, used))| *used);
            let oldest = oldest.map(|(number, _)| *number);
            let Some((page, _)) = oldest.and_then(|oldest| self.kept.remove(&oldest)) else {
                return;
            };
            self.bytes -= page.len();
        }
    }
}

/// Where the reading of entries stands.
#[derive(Debug, Default)]
pub(super) struct Standing {
    /// The block that is open, if one is.
    open: Option<(usize, Bytes)>,
    /// The place in it of the next entry.
    index: u32,
    next: At,
    /// Where the entry before begins.
    last: At,
    path: Vec<u8>,
}

impl Standing {
    /// The next entry in the order of the archive; none at the end.
    pub(super) fn next(&mut self, stored: &Stored) -> Result<Option<Raw<'_>>> {
        let block = match &self.open {
            Some((block, bytes)) if self.next.byte < bytes.len() => *block,
            open => {
                let block = open.as_ref().map_or(0, |(block, _)| block + 1);
                if block >= stored.blocks() {
                    return Ok(None);
                }
                self.open(stored, block)?;
                block
            }
        };
        self.read(block).map(Some)
    }

    /// The entry with this number.
    fn at(&mut self, stored: &Stored, number: u32) -> Result<Raw<'_>> {
        let (block, index) = ((number / BLOCK) as usize, number % BLOCK);
        if block >= stored.blocks() {
            return Err(malformed());
        }
        match &self.open {
            Some((open, _)) if *open == block && self.index <= index => {}
            // The path of the entry that was read last does for reading it again.
            Some((open, _)) if *open == block && self.index == index + 1 => {
                self.next = self.last.clone();
                self.index = index;
            }
            _ => self.open(stored, block)?,
        }
        while self.index < index {
            self.read(block)?;
        }
        self.read(block)
    }

    fn open(&mut self, stored: &Stored, block: usize) -> Result<()> {
        self.open = Some((block, stored.block(block)?));
        (self.index, self.next) = (0, At::default());
        Ok(())
    }

    fn read(&mut self, block: usize) -> Result<Raw<'_>> {
        let Some((_, bytes)) = &self.open else {
            return Err(malformed());
        };
        if self.index == BLOCK {
            return Err(malformed());
        }
        let first = u32::try_from(block).ok().and_then(|block| block.checked_mul(BLOCK));
        let number = first.ok_or_else(malformed)? + self.index;
        self.last = self.next.clone();
        self.index += 1;
        form::read(bytes, &mut self.next, &mut self.path, number)
    }
}

/// The entries of a table that is being made.
pub(super) struct List {
    bytes: Vec<u8>,
    begins: Vec<u32>,
    form: Form,
    count: u64,
    /// How many bytes of it may be in memory, and the directory of the file in which the others are.
    room: Option<(usize, PathBuf)>,
    /// Where those are that were written already, and how many.
    file: Option<File>,
    written: u64,
}

impl List {
    pub(super) fn new(room: Option<(usize, &Path)>) -> Self {
        Self {
            bytes: Vec::new(),
            begins: Vec::new(),
            form: Form::default(),
            count: 0,
            room: room.map(|(bytes, directory)| (bytes, directory.to_owned())),
            file: None,
            written: 0,
        }
    }

    pub(super) fn push(&mut self, entry: &Entry) -> Result<()> {
        if self.form.begins_block() {
            let begin = u32::try_from(self.size()).map_err(|_| {
                let message = "a table of contents of more than 4 GiB is none that can be held";
                Error::new(ErrorKind::TooLarge, message)
            })?;
            self.begins.push(begin);
        }
        self.form.push(&mut self.bytes, entry)?;
        self.count += 1;
        match &self.room {
            Some((room, _)) if self.bytes.len() > *room => self.write(),
            _ => Ok(()),
        }
    }

    /// How many bytes there are.
    pub(super) fn size(&self) -> u64 {
        self.written + self.bytes.len() as u64
    }

    fn write(&mut self) -> Result<()> {
        let file = match (&self.file, &self.room) {
            (Some(file), _) => file,
            (None, Some((_, directory))) => match tempfile::tempfile_in(directory) {
                Ok(file) => self.file.insert(file),
                Err(error) if is_no_place(&error) || is_full(&error) => return self.come_back(),
                Err(error) => return Err(of_file(error)),
            },
            (None, None) => return Ok(()),
        };
        match file.write_all_at(&self.bytes, self.written) {
            Ok(()) => {}
            Err(error) if is_full(&error) => return self.come_back(),
            Err(error) => return Err(of_file(error)),
        }
        self.written += self.bytes.len() as u64;
        self.bytes.clear();
        Ok(())
    }

    /// Has all in memory again, and for good. Then `contents_bytes` is its limit, as where no directory was named.
    fn come_back(&mut self) -> Result<()> {
        self.room = None;
        let Some(file) = self.file.take() else { return Ok(()) };
        // Their places are numbers of 32 bits.
        let mut all = vec![0; self.written as usize];
        file.read_exact_at(&mut all, 0).map_err(of_file)?;
        all.append(&mut self.bytes);
        (self.bytes, self.written) = (all, 0);
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<(Stored, u64)> {
        if self.file.is_some() {
            self.write()?;
        }
        let length = self.written;
        let stored = match self.file {
            Some(file) => {
                let memory_bytes = self.room.map_or(0, |(bytes, _)| bytes);
                Stored::in_file(file.into(), 0, length, self.begins, memory_bytes)
            }
            None => {
                self.bytes.shrink_to_fit();
                Stored::in_memory(self.bytes.into(), self.begins)
            }
        };
        Ok((stored, self.count))
    }
}

/// Whether a file cannot be made because of where it should be.
fn is_no_place(error: &io::Error) -> bool {
    use io::ErrorKind::{NotADirectory, NotFound, PermissionDenied, ReadOnlyFilesystem};
    matches!(
        error.kind(),
        NotADirectory | NotFound | PermissionDenied | ReadOnlyFilesystem
    )
}

/// Whether there is no room for more.
fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

fn of_file(error: io::Error) -> Error {
    Error::from(error).within("a table of contents, in its file")
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;

    use teu_rootfs::Metadata;

    use super::*;
    use crate::contents::What;

    /// What happens to a list on its way.
    type Happens = fn(&mut List);

    /// A list of 200 entries to which something happens before one of them; whether it is in a file, and its bytes.
    fn made(room: Option<(usize, &Path)>, happens: Happens, before: u64) -> Result<(bool, u64, Vec<u8>)> {
        let mut list = List::new(room);
        for offset in 0..200 {
            if before == offset {
                happens(&mut list);
            }
            let entry = Entry {
                path: format!("etc/.wh.{offset}").into_bytes(),
                what: What::Remove(format!("etc/{offset}").into_bytes()),
                metadata: Metadata::default(),
                content: None,
                offset,
            };
            list.push(&entry)?;
        }
        let (stored, count) = list.finish()?;
        let mut bytes = Vec::new();
        stored.copy(&mut bytes)?;
        Ok((stored.file().is_some(), count, bytes))
    }

    /// A disk that is full when some is written already: the same entries, in memory.
    #[test]
    fn a_disk_that_fills_meanwhile_takes_nothing_away() {
        let directory = tempfile::tempdir().expect("a directory");
        let (here, missing) = (directory.path(), directory.path().join("missing"));
        let nothing: Happens = |_| {};
        let full: Happens = |list| list.file = Some(File::options().write(true).open("/dev/full").expect("a disk"));
        let filled: Happens = |list| list.come_back().expect("it can be read");
        let (_, count, bytes) = made(None, nothing, 0).expect("a table");
        assert_eq!(count, 200);
        for (room, happens, before, is_file) in [
            (here, nothing, 0, true),
            (missing.as_path(), nothing, 0, false),
            (here, full, 0, false),
            (here, filled, 1, false),
            (here, filled, 150, false),
            (here, filled, 199, false),
        ] {
            let found = made(Some((0, room)), happens, before).expect("a table");
            assert!(found == (is_file, count, bytes.clone()), "{before}");
        }
    }

    /// Nobody is to take for memory that is needed what is a broken disk.
    #[test]
    fn a_disk_that_breaks_is_an_error() {
        let directory = tempfile::tempdir().expect("a directory");
        let breaks: Happens = |list| {
            // It can be read, and no more be written.
            let file = list.file.take().expect("a file");
            let path = format!("/proc/self/fd/{}", file.as_raw_fd());
            list.file = Some(File::open(path).expect("opened"));
        };
        for before in [1, 199] {
            let error = made(Some((0, directory.path())), breaks, before).expect_err("it cannot be written");
            assert!(
                error.to_string().contains("a table of contents, in its file"),
                "{error}"
            );
        }
    }
}
