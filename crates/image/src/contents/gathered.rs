//! Where do the tables of very many layers lie? Of a process's file handles there are few, mostly 1,024: so the first of an image's tables that are not in
//! memory have a file each, and all others lie one behind the other in one file without a name.

use std::{
    fs::File,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use teu_store::{Result, blocking};

use super::{Cache, Contents, Options, stored::Stored};

/// How many tables of an image have a file each.
const MOST_FILES: usize = 64;

/// The files of an image's tables.
#[derive(Clone, Debug)]
pub(crate) struct Gathered(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// Where files are made.
    directory: Option<PathBuf>,
    memory_bytes: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// How many have a file of their own.
    own: usize,
    /// How many bytes are in memory, of those that were held to that.
    memory: u64,
    /// That of the others, and where it ends.
    file: Option<Arc<File>>,
    end: u64,
}

impl Gathered {
    /// None yet, of an image whose tables are read so.
    pub(crate) fn new(cache: Option<&Cache>, options: &Options) -> Self {
        let directory = options.temporary.clone();
        Self(Arc::new(Inner {
            directory: directory.or_else(|| cache.map(|cache| cache.directory.clone())),
            memory_bytes: options.memory_bytes,
            state: Mutex::default(),
        }))
    }

    /// Takes in the next table: the same, wherever it lies then. Where no file can be made for it, or there is no room in that, it stays where it is.
    ///
    /// # Errors
    /// Where the work was broken off.
    pub(crate) async fn add(&self, contents: Contents) -> Result<Contents> {
        if contents.entries.file().is_none() {
            return Ok(contents);
        }
        let gathered = self.clone();
        blocking::run(move || Ok(gathered.placed(contents))).await
    }

    /// The same, in blocking code and where nobody knows how many tables there will be: those in memory have `memory_bytes` together, and one that has no
    /// room there goes into the file too.
    pub(crate) fn held(&self, contents: Contents) -> Contents {
        if contents.entries.file().is_none() {
            let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
            let memory = state.memory + contents.entries.length();
            if memory <= self.0.memory_bytes as u64 {
                state.memory = memory;
                return contents;
            }
        }
        self.placed(contents)
    }

    fn placed(&self, contents: Contents) -> Contents {
        let Inner {
            directory: Some(directory),
            memory_bytes,
            state,
        } = &*self.0
        else {
            return contents;
        };
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        if contents.entries.file().is_some() && state.own < MOST_FILES {
            state.own += 1;
            return contents;
        }
        match state.moved(&contents.entries, directory, *memory_bytes) {
            Ok(moved) => Contents {
                entries: moved.into(),
                ..contents
            },
            // Whoever reads it where it is is told what is wrong there.
            Err(_) => contents,
        }
    }
}

impl State {
    /// The same entries behind those of the others.
    fn moved(&mut self, entries: &Stored, directory: &Path, memory_bytes: usize) -> Result<Stored> {
        let file = match &self.file {
            Some(file) => Arc::clone(file),
            None => Arc::clone(self.file.insert(tempfile::tempfile_in(directory)?.into())),
        };
        let moved = entries.moved(&file, self.end, memory_bytes)?;
        self.end += moved.length();
        Ok(moved)
    }
}
