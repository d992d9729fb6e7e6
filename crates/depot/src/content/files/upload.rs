//! How is a file written that is on its way to its place?

use std::{
    fs::File,
    io::{IoSlice, Read, Seek, SeekFrom, Write},
    time::{Duration, Instant},
};

use bytes::Bytes;
use teu_store::{
    BoxFuture, Error, ErrorKind, Reader, Result,
    blocking::{self, pieces::aligned},
};

use super::{super::directory::failed, Files};
use crate::{
    content::{Content, Placing, Writing},
    place::Place,
};

/// A write that takes longer than this is not one into the kernel's cache: what follows is written by a thread for that.
const SLOW: Duration = Duration::from_millis(20);
/// How much is collected for each visit to that thread.
const BATCH: usize = blocking::BATCH;
/// What is as large goes there by itself: to wake a thread for it costs less than to hold as much of each upload.
const ENOUGH: usize = 64 << 10;

/// A piece that is written past the cache in no more than this is best written by who brings it: a thread that is woken for each takes a tenth of what all of a
/// push takes.
const QUICK: Duration = Duration::from_millis(2);
/// How many of its content a thread has to write as quickly, after one that took longer, before that is tried again.
const HANDED_OVER: u8 = 8;

impl Files {
    /// Of these bytes, of which so many last; none where even their number does not.
    pub(super) fn writing(
        &self,
        name: &str,
        file: File,
        written: u64,
        synced: Option<u64>,
        stays: bool,
    ) -> Box<dyn Writing> {
        Box::new(self.upload(name, file, written, synced, stays))
    }

    fn upload(&self, name: &str, file: File, written: u64, synced: Option<u64>, stays: bool) -> Upload {
        Upload {
            files: self.clone(),
            name: name.to_owned(),
            file: Some(file),
            landing: None,
            written,
            synced,
            is_named: written > 0,
            is_slow: false,
            handed_over: 1,
            waiting: Vec::new(),
            stays,
        }
    }
}

/// A file that is being written.
struct Upload {
    files: Files,
    name: String,
    /// None where it failed, or where a thread had it when its future was dropped.
    file: Option<File>,
    /// A thread has it, and gives it back when it has written a piece, with how long that took.
    landing: Option<BoxFuture<'static, Result<(File, Duration)>>>,
    written: u64,
    /// How many bytes last.
    synced: Option<u64>,
    /// Its name lasts.
    is_named: bool,
    is_slow: bool,
    /// So many pieces have to be written quickly by a thread until one is written by who brings it: a disk that is slow keeps no task waiting.
    handed_over: u8,
    /// What waits for its visit to a thread; only where the disk is slow.
    waiting: Vec<u8>,
    /// It is not removed where it is dropped.
    stays: bool,
}

impl Drop for Upload {
    fn drop(&mut self) {
        if !self.stays {
            // What cannot be removed is found when the depot is opened the next time.
            let _ = self.files.0.uploads.remove(&self.name);
        }
    }
}

impl Upload {
    /// Does something with the file on a thread, what waits being written first.
    async fn visit<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&Files, &File) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.land().await?;
        let (file, done) = self.thread(work)?.await?;
        self.file = Some(file);
        Ok(done)
    }

    /// Has a thread begin that.
    fn thread<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&Files, &File) -> Result<T> + Send + 'static,
    ) -> Result<BoxFuture<'static, Result<(File, T)>>> {
        let mut file = self.file.take().ok_or_else(|| self.lost())?;
        let waiting = std::mem::take(&mut self.waiting);
        let (files, path) = (self.files.clone(), self.files.0.uploads.path(&self.name));
        let at_work = files.at_work(&self.name);
        Ok(Box::pin(blocking::begin(move || {
            let _at_work = at_work;
            file.write_all(&waiting)
                .map_err(|error| failed(error, "writing", &path))?;
            let done = work(&files, &file).map_err(|error| error.within(format!("writing {}", path.display())))?;
            Ok((file, done))
        })))
    }

    /// Waits for the piece that is being written.
    async fn land(&mut self) -> Result<()> {
        if let Some(landing) = self.landing.take() {
            let (file, took) = landing.await?;
            self.file = Some(file);
            self.judge(took);
        }
        Ok(())
    }

    fn lost(&self) -> Error {
        let path = self.files.0.uploads.path(&self.name);
        Error::new(
            ErrorKind::Cancelled,
            format!("writing {} had failed before", path.display()),
        )
    }

    fn write_here(&mut self, bytes: &[u8]) -> Result<()> {
        let begin = Instant::now();
        let mut file = self.file.take().ok_or_else(|| self.lost())?;
        let path = || self.files.0.uploads.path(&self.name);
        file.write_all(bytes)
            .map_err(|error| failed(error, "writing", &path()))?;
        self.is_slow = begin.elapsed() >= SLOW;
        self.file = Some(file);
        Ok(())
    }

    async fn take(&mut self, bytes: Bytes) -> Result<()> {
        self.land().await?;
        let is_piece = !bytes.is_empty() && aligned(&bytes, self.written) == bytes.len();
        self.written += bytes.len() as u64;
        if is_piece && self.files.0.past.may_be() {
            return self.write_past(bytes);
        }
        if !self.is_slow {
            return self.write_here(&bytes);
        }
        if bytes.len() >= ENOUGH {
            let write = move |_: &Files, mut file: &File| Ok(file.write_all(&bytes)?);
            return self.visit(write).await;
        }
        self.waiting.extend_from_slice(&bytes);
        match self.waiting.len() >= BATCH {
            true => self.visit(|_, _| Ok(())).await,
            false => Ok(()),
        }
    }

    /// Writes a piece past the cache: here where that is quick and no other is written, so that one task at most waits for the disk itself; else on a thread, while
    /// the next one comes.
    fn write_past(&mut self, bytes: Bytes) -> Result<()> {
        let write = move |files: &Files, file: &File| {
            let begin = Instant::now();
            files.0.past.write(file, &mut [IoSlice::new(&bytes)])?;
            Ok(begin.elapsed())
        };
        let alone = match self.handed_over {
            // What waits comes before the piece, and is written on a thread.
            0 if self.waiting.is_empty() => self.files.at_work_alone(&self.name),
            _ => None,
        };
        let Some(_at_work) = alone else {
            self.landing = Some(self.thread(write)?);
            return Ok(());
        };
        let file = self.file.take().ok_or_else(|| self.lost())?;
        let path = self.files.0.uploads.path(&self.name);
        let took = write(&self.files, &file).map_err(|error| error.within(format!("writing {}", path.display())))?;
        self.file = Some(file);
        self.judge(took);
        Ok(())
    }

    /// Who writes the next pieces, by how long one took.
    fn judge(&mut self, took: Duration) {
        self.handed_over = match took > QUICK {
            true => HANDED_OVER,
            false => self.handed_over.saturating_sub(1),
        };
    }

    async fn put(&mut self, place: Placing) -> Result<Place> {
        let must_sync = self.synced != Some(self.written);
        let name = self.name.clone();
        let put = move |files: &Files, file: &File| {
            if must_sync {
                file.sync_data()?;
            }
            let place = place()?;
            files.settle(&name, &place)?;
            Ok(place)
        };
        self.visit(put).await
    }
}

impl Writing for Upload {
    fn write(&mut self, bytes: Bytes) -> BoxFuture<'_, Result<()>> {
        Box::pin(self.take(bytes))
    }

    fn sync(&mut self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            let (is_synced, is_named) = (self.synced == Some(self.written), self.is_named);
            if is_synced && is_named {
                return Ok(());
            }
            let sync = move |files: &Files, file: &File| {
                file.sync_data()?;
                if !is_named {
                    files.0.uploads.sync()?;
                }
                Ok(())
            };
            self.visit(sync).await?;
            (self.synced, self.is_named) = (Some(self.written), true);
            Ok(())
        })
    }

    fn read(&mut self) -> BoxFuture<'_, Result<Reader>> {
        Box::pin(async move {
            let length = self.written;
            let mut file = self.visit(|_, file| Ok(file.try_clone()?)).await?;
            // Its position is that of the file that is written, which nobody writes to before all is read.
            let reader = move || {
                file.seek(SeekFrom::Start(0))?;
                Ok(file.take(length))
            };
            Ok(blocking::reader(reader))
        })
    }

    fn place(mut self: Box<Self>, place: Placing) -> BoxFuture<'static, Result<Place>> {
        Box::pin(async move {
            let outcome = self.put(place).await;
            // It is removed below, or has another name.
            self.stays = true;
            if outcome.is_err() {
                // What cannot be removed either is found by who looks for what nobody knows.
                let _ = self.files.forget(&self.name).await;
            }
            outcome
        })
    }

    fn forget(self: Box<Self>) -> BoxFuture<'static, Result<()>> {
        Box::pin(async move { self.files.forget(&self.name).await })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use teu_store::suite::run;

    use super::*;

    /// On a slow disk a thread writes each of them.
    #[test]
    fn who_brings_pieces_writes_them_only_where_that_was_quick() {
        let directory = tempfile::tempdir().expect("a directory");
        let files = Files::open(directory.path()).expect("files");
        let file = File::create_new(directory.path().join("uploads/one")).expect("made");
        let mut upload = files.upload("one", file, 0, Some(0), true);
        let mut after = |took| {
            upload.judge(took);
            upload.handed_over
        };
        assert_eq!([QUICK, QUICK, QUICK * 2].map(&mut after), [0, 0, HANDED_OVER]);
        assert_eq!([QUICK; 8].map(&mut after), [7, 6, 5, 4, 3, 2, 1, 0]);
        assert_eq!([QUICK * 2, QUICK, QUICK * 2].map(&mut after), [8, 7, 8]);
    }

    /// What waits for a thread comes before a piece that needs none.
    #[test]
    fn a_piece_does_not_overtake_what_waits() {
        run(async {
            const PIECE: usize = 1 << 20;
            let directory = tempfile::tempdir().expect("a directory");
            let files = Files::open(directory.path()).expect("files");
            let path = directory.path().join("uploads/one");
            let file = File::create_new(&path).expect("made");
            let mut upload = files.upload("one", file, 0, Some(0), true);
            (upload.is_slow, upload.handed_over) = (true, 0);
            upload.take(Bytes::from(vec![1; 4096])).await.expect("taken");
            assert_eq!(upload.waiting.len(), 4096);
            let memory = vec![2; PIECE + 4096];
            let begin = memory.as_ptr().align_offset(4096);
            let piece = Bytes::from(memory).slice(begin..begin + PIECE);
            upload.take(piece).await.expect("taken");
            upload.take(Bytes::from_static(b"end")).await.expect("taken");
            upload.visit(|_, _| Ok(())).await.expect("written");
            let expected = [vec![1; 4096], vec![2; PIECE], b"end".to_vec()].concat();
            assert!(fs::read(&path).expect("read") == expected);
        });
    }
}
