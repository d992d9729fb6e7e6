//! How is a layer not read twice, once to see what is in it and once for a file's content? What may be the content that is looked for is kept on the
//! way, in a file for the time being: holes as holes, and no more than a limit allows.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, Write},
    os::unix::fs::FileExt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use teu_rootfs::Node;
use teu_spec::Digest;
use teu_store::{Error, ErrorKind, Result, Source};

use super::Found;
use crate::{
    Layer,
    contents::{
        self, Content, Entry, Visitor, What,
        places::{self, Wanted},
    },
};

/// How much is read at once.
const CHUNK: usize = 256 << 10;

/// How many files are kept that may be wanted, so that many small ones take no memory.
const MOST_FILES: usize = 1 << 15;

/// What is in files of an image, kept for a while. Clones are the same.
///
/// What is in it is what a layer said, and nobody's word until that was read to its verified end.
#[derive(Clone, Debug)]
pub struct Kept(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    file: File,
    content_bytes: u64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    used: u64,
    /// By the layer's digest and the entry's offset.
    files: HashMap<(Digest, u64), Arc<Stored>>,
}

/// What is kept of one file.
#[derive(Debug)]
struct Stored {
    /// Its stretches that are no holes: where they begin in it, and how long they are.
    stretches: Vec<(u64, u64)>,
    /// Where the first one is kept, and behind it the others.
    at: u64,
}

impl Kept {
    /// Keeps content in this file, which is nobody else's: `content_bytes` of it at most, holes not counted.
    #[must_use]
    pub fn new(file: File, content_bytes: u64) -> Self {
        Self(Arc::new(Inner {
            file,
            content_bytes,
            state: Mutex::default(),
        }))
    }

    /// Keeps, of layers whose tables are made, the regular files that `wanted` means by their cleaned paths, as long as there is room.
    pub(crate) fn visitor(&self, wanted: impl Fn(&Entry) -> bool + Send + Sync + 'static) -> Visitor {
        let kept = self.clone();
        Arc::new(move |layer: &Layer, entry: &Entry, content: &mut dyn Content| {
            // It is asked about every entry: it remembers links.
            let is_wanted = wanted(entry) && matches!(entry.what, What::Make(Node::File(_)));
            if is_wanted && kept.state().files.len() < MOST_FILES {
                kept.keep(&layer.descriptor.digest, entry.offset, content)?;
            }
            Ok(())
        })
    }

    /// Keeps a file, unless there is no room for it.
    pub(crate) fn keep(&self, layer: &Digest, offset: u64, content: &mut dyn Content) -> Result<bool> {
        let size = content.stored();
        let at = {
            let mut state = self.state();
            if state.files.contains_key(&(*layer, offset)) {
                return Ok(true);
            }
            let used = state.used.saturating_add(size);
            if used > self.0.content_bytes {
                return Ok(false);
            }
            std::mem::replace(&mut state.used, used)
        };
        let written = self.write(at, content);
        let mut state = self.state();
        match written {
            Ok(stretches) => {
                let stored = Arc::new(Stored { stretches, at });
                state.files.insert((*layer, offset), stored);
                Ok(true)
            }
            Err(error) => {
                // Whoever reads it another way needs the room again.
                if state.used == at + size {
                    state.used = at;
                }
                Err(error)
            }
        }
    }

    /// Writes what is in a file from this byte on: its stretches.
    fn write(&self, at: u64, content: &mut dyn Content) -> Result<Vec<(u64, u64)>> {
        let mut stretches: Vec<(u64, u64)> = Vec::new();
        let mut end = at;
        while let Some(chunk) = content.next_chunk()? {
            self.0.file.write_all_at(chunk.data, end).map_err(of_file)?;
            let length = chunk.data.len() as u64;
            end += length;
            match stretches.last_mut() {
                Some((begin, so_far)) if *begin + *so_far == chunk.offset => *so_far += length,
                _ => stretches.push((chunk.offset, length)),
            }
        }
        Ok(stretches)
    }

    /// Keeps these files of a layer without reading all of it, where that can be, and says whether all are kept then.
    pub(crate) async fn keep_some(
        &self,
        source: &Arc<dyn Source>,
        layer: &Layer,
        options: &contents::Options,
        wanted: Vec<Wanted>,
    ) -> bool {
        let (kept, digest) = (self.clone(), layer.descriptor.digest);
        places::visit(source, layer, options, wanted, move |offset, content| {
            match kept.keep(&digest, offset, content)? {
                true => Ok(()),
                // Whoever reads it the other way says so, with its name.
                false => Err(Error::new(ErrorKind::TooLarge, "there is no room for it")),
            }
        })
        .await
    }

    /// Whether a file is kept.
    pub(crate) fn has(&self, layer: &Digest, offset: u64) -> bool {
        self.state().files.contains_key(&(*layer, offset))
    }

    /// That there was no room for a file that must be kept.
    pub(super) fn full(&self, path: &[u8]) -> Error {
        let message = format!(
            "\"{}\": with it there are more bytes than the limit content_bytes of {}; raise it only for an image that you trust",
            teu_archive::Escaped(path),
            self.0.content_bytes
        );
        Error::new(ErrorKind::TooLarge, message)
    }

    /// Gives what is in a file that is kept, in slices with their places; what lies between them is holes.
    ///
    /// # Errors
    /// `NotFound` where it is not kept; what the file system and `sink` say.
    pub(crate) fn give<E: From<Error>>(
        &self,
        layer: &Digest,
        offset: u64,
        mut sink: impl FnMut(u64, &[u8]) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        let stored = self.state().files.get(&(*layer, offset)).cloned();
        let Some(stored) = stored else {
            return Err(Error::new(ErrorKind::NotFound, format!("this file of layer {layer} is not kept")).into());
        };
        let mut buffer = vec![0; CHUNK];
        let mut at = stored.at;
        for (begin, length) in &stored.stretches {
            let mut done = 0;
            while done < *length {
                let count = usize::try_from(length - done).unwrap_or(usize::MAX).min(CHUNK);
                self.0.file.read_exact_at(&mut buffer[..count], at).map_err(of_file)?;
                sink(begin + done, &buffer[..count])?;
                at += count as u64;
                done += count as u64;
            }
        }
        Ok(())
    }

    /// Writes a file of `layers` that is kept to `sink`, holes as zeros.
    ///
    /// # Errors
    /// `NotFound` (an [`Error`]) where it is not kept; what the file system and `sink` say. What was written until then stays.
    pub fn copy(&self, layers: &[Layer], found: &Found, mut sink: impl Write) -> io::Result<()> {
        let layer = super::layer_of(layers, found)?;
        let mut at = 0;
        let zeros = |sink: &mut dyn Write, from: u64, to: u64| -> io::Result<()> {
            io::copy(&mut io::Read::take(io::repeat(0), to.saturating_sub(from)), sink).map(drop)
        };
        self.give(&layer.descriptor.digest, found.place.offset, |offset, bytes| {
            zeros(&mut sink, at, offset)?;
            sink.write_all(bytes)?;
            at = offset + bytes.len() as u64;
            Ok::<_, io::Error>(())
        })?;
        zeros(&mut sink, at, found.size)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn of_file(error: io::Error) -> Error {
    Error::from(error).within("keeping what is in files, in a temporary one")
}
