//! How is a file read at the pace of who takes it? A chunk at a time, at once where it is in the kernel's memory, and else on a thread that is free again once it is read: a
//! registry's clients may stop to take what they asked for, and hold no thread that others need, and little memory.

use std::{fs::File, io, ops::Range, os::unix::fs::FileExt, sync::Arc};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use tokio::task::yield_now;

use super::{BATCH, Buffers, run, system};
use crate::{Error, Reader, Result};

/// What is no larger is read where it is asked for: a thread takes longer to wake.
pub const SMALL_FILE: u64 = 64 << 10;

/// After how much, of what is in memory and taken at once, others that are served by the same thread have their turn: some milliseconds.
const TURN: u64 = 4 << 20;

/// A file that is being read.
struct Reading {
    file: File,
    name: String,
    end: u64,
    now: ReadNow,
    buffers: Buffers,
}

/// Reads what need not be waited for into a buffer from a position on; how much.
type ReadNow = fn(&File, &mut [u8], u64) -> usize;

/// Reads a range of a file that has it, in chunks of [`BATCH`] of which the first is smaller, each when it is asked for: nothing holds a thread where no more is
/// taken. Up to [`SMALL_FILE`] bytes are read here and now, and so is of larger ones what the kernel has in memory: a thread is woken for what must come from a
/// disk. Errors call the file by `name`.
///
/// # Errors
/// Those of the system, here or in the stream: `UnexpectedEof` where the file became shorter.
pub fn file(file: File, name: String, range: Range<u64>) -> Result<Reader> {
    let now = match system::lies_in_memory(&file) {
        true => all,
        false => system::read_now,
    };
    reading(file, name, range, now)
}

/// What is in memory for certain; what is wrong with it, who waits for the rest is told.
fn all(file: &File, buffer: &mut [u8], position: u64) -> usize {
    file.read_at(buffer, position).unwrap_or(0)
}

fn reading(file: File, name: String, range: Range<u64>, now: ReadNow) -> Result<Reader> {
    let length = range.end - range.start;
    if length <= SMALL_FILE {
        // At most 64 KiB, which fits into memory.
        let mut content = vec![0; length as usize];
        let read = file.read_exact_at(&mut content, range.start);
        read.map_err(|error| failed(error, &name))?;
        let content = (!content.is_empty()).then(|| Ok(Bytes::from(content)));
        return Ok(stream::iter(content).boxed());
    }
    let reading = Arc::new(Reading {
        file,
        name,
        end: range.end,
        now,
        buffers: Buffers::default(),
    });
    // The first is small: who takes no second one has no more than that.
    let first = range.start + SMALL_FILE;
    let chunks = stream::try_unfold(range.start, move |at| {
        let reading = Arc::clone(&reading);
        async move {
            if at == reading.end {
                return Ok(None);
            }
            let next = if at < first {
                first
            } else {
                reading.end.min(at + BATCH as u64)
            };
            let chunk = reading.chunk(at..next).await?;
            Ok::<_, Error>(Some((chunk, next)))
        }
    });
    Ok(chunks.boxed())
}

impl Reading {
    /// A part that is no larger than a buffer.
    async fn chunk(self: &Arc<Self>, part: Range<u64>) -> Result<Bytes> {
        if part.start / TURN < part.end / TURN {
            yield_now().await;
        }
        let length = (part.end - part.start) as usize;
        let mut buffer = self.buffers.take();
        let now = (self.now)(&self.file, &mut buffer[..length], part.start);
        if now < length {
            let reading = Arc::clone(self);
            buffer = run(move || {
                let read = reading
                    .file
                    .read_exact_at(&mut buffer[now..length], part.start + now as u64);
                read.map(|()| buffer).map_err(|error| failed(error, &reading.name))
            })
            .await?;
        }
        Ok(self.buffers.lend(buffer, length))
    }
}

fn failed(error: io::Error, name: &str) -> Error {
    Error::from(error).within(format!("reading {name}"))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use futures_util::{FutureExt, TryStreamExt};
    #[cfg(target_os = "linux")]
    use rustix::fs::{MemfdFlags, memfd_create};

    use super::*;

    /// What the kernel has in memory of a file: all, nothing, or what is before 200,000.
    const KINDS: [ReadNow; 3] = [
        all,
        |_, _, _| 0,
        |file, buffer, position| {
            let length = buffer.len().min(200_000_u64.saturating_sub(position) as usize);
            all(file, &mut buffer[..length], position)
        },
    ];

    /// A reader of a range of a file with this content.
    fn reader(content: &[u8], range: Range<u64>, now: ReadNow) -> Result<Reader> {
        reading(file_with(content), "the/file".into(), range, now)
    }

    fn file_with(content: &[u8]) -> File {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(content).expect("written");
        file
    }

    #[tokio::test]
    async fn a_range_comes_as_it_is_whatever_its_size() {
        let content: Vec<u8> = (0..1_200_000_u32).map(|n| (n.wrapping_mul(n) >> 9) as u8).collect();
        for (start, end) in [
            (0, 0),
            (5, 6),
            (0, 65_536),
            (1, 65_538),
            (0, 327_680),
            (0, 327_681),
            (7, 1_000_003),
            (0, 1_200_000),
        ] {
            let range = start as u64..end as u64;
            let mut readers = Vec::from(KINDS.map(|now| reader(&content, range.clone(), now)));
            readers.push(file(file_with(&content), "the/file".into(), range));
            for reader in readers {
                let chunks: Vec<Bytes> = reader.expect("a reader").try_collect().await.expect("its end");
                assert!(chunks.concat() == content[start..end], "{start}-{end}");
                assert!(
                    chunks.first().is_none_or(|chunk| chunk.len() <= 64 << 10),
                    "{start}-{end}"
                );
                assert!(chunks.iter().all(|chunk| chunk.len() <= 256 << 10), "{start}-{end}");
            }
        }
    }

    #[tokio::test]
    async fn a_file_that_became_shorter_is_an_error() {
        for now in KINDS {
            let late = reader(&[0; 100_000], 0..200_000, now).expect("a reader");
            let late = late.try_collect::<Vec<_>>().await.expect_err("it ends too soon");
            let at_once = reader(&[0; 100], 0..200, now).err().expect("it ends too soon");
            for error in [late, at_once] {
                let said = error.to_string();
                assert!(said.starts_with("reading the/file: "), "{said}");
            }
        }
    }

    /// There is one thread, and more readers that nobody takes from on.
    #[test]
    fn who_takes_no_more_holds_no_thread() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .max_blocking_threads(1)
            .build();
        runtime.expect("a runtime").block_on(async {
            let mut left = Vec::new();
            for now in KINDS.iter().cycle().take(12) {
                let mut reader = reader(&[1; 1_000_000], 0..1_000_000, *now).expect("a reader");
                for size in [64 << 10, 256 << 10] {
                    let chunk = reader.try_next().await.expect("a chunk").expect("one");
                    assert_eq!(chunk.len(), size);
                }
                left.push(reader);
            }
            for reader in left {
                let rest: Vec<Bytes> = reader.try_collect().await.expect("its end");
                assert_eq!(rest.concat().len(), 1_000_000 - (320 << 10));
            }
        });
    }

    /// However fast it is taken.
    #[tokio::test]
    async fn others_have_their_turn() {
        let mut in_memory = reader(&vec![1; 9 << 20], 0..9 << 20, all).expect("a reader");
        let mut waited = 0;
        let mut chunks = 0;
        loop {
            match in_memory.next().now_or_never() {
                None => waited += 1,
                Some(None) => break,
                Some(Some(chunk)) => chunks += usize::from(chunk.is_ok()),
            }
        }
        assert_eq!((waited, chunks), (2, 37));
    }

    /// The only thread is held by somebody else.
    #[cfg(target_os = "linux")]
    #[test]
    fn what_is_in_memory_wants_no_thread() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .max_blocking_threads(1)
            .build();
        runtime.expect("a runtime").block_on(async {
            let (release, held) = std::sync::mpsc::channel();
            let holding = tokio::task::spawn_blocking(move || held.recv());
            let mut in_memory = File::from(memfd_create("file", MemfdFlags::empty()).expect("a file"));
            in_memory.write_all(&[1; 1_000_000]).expect("written");
            let reader = file(in_memory, "the/file".into(), 0..1_000_000).expect("a reader");
            let chunks: Vec<Bytes> = reader.try_collect().await.expect("its end");
            assert_eq!(chunks.concat().len(), 1_000_000);
            release.send(()).expect("somebody holds it");
            holding.await.expect("a thread").expect("released");
        });
    }
}
