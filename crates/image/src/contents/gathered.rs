//! Where do the tables of very many layers lie? Of a process's file handles there are few, mostly 1,024: so the first of an image's tables that are not in
//! memory have a file each, and all others lie one behind the other in one file without a name.

use std::{
    fs::File,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use teu_store::{Result, blocking};

use super::{Cache, Contents, Options};

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

    /// Takes in the next table: the same, wherever it lies then.
    ///
    /// # Errors
    /// What the file says that it lay in, or that in which it is to lie.
    pub(crate) async fn add(&self, contents: Contents) -> Result<Contents> {
        if contents.entries.file().is_none() {
            return Ok(contents);
        }
        let gathered = self.clone();
        blocking::run(move || gathered.placed(contents)).await
    }

    fn placed(&self, contents: Contents) -> Result<Contents> {
        let Inner {
            directory: Some(directory),
            memory_bytes,
            state,
        } = &*self.0
        else {
            return Ok(contents);
        };
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.own < MOST_FILES {
            state.own += 1;
            return Ok(contents);
        }
        let file = match &state.file {
            Some(file) => Arc::clone(file),
            None => Arc::clone(state.file.insert(tempfile::tempfile_in(directory)?.into())),
        };
        let moved = contents.entries.moved(&file, state.end, *memory_bytes)?;
        state.end += moved.length();
        Ok(Contents {
            entries: moved.into(),
            ..contents
        })
    }
}
