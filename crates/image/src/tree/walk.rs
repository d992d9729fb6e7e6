//! In which order are the files of a tree walked through?

use teu_store::Result;

use super::File;

/// The files of a tree, in order; an error ends it.
#[derive(Debug)]
pub struct Walk<'t> {
    first: Option<File<'t>>,
    levels: Vec<Level<'t>>,
    path: Vec<u8>,
}

#[derive(Debug)]
struct Level<'t> {
    directory: File<'t>,
    /// The length of the directory's path.
    path: usize,
    /// What is in it, once that is asked for, and how far it was given.
    children: Option<Vec<u32>>,
    given: usize,
}

impl<'t> Walk<'t> {
    pub(super) fn new(path: Vec<u8>, file: File<'t>) -> Self {
        Self {
            first: Some(file),
            levels: Vec::new(),
            path,
        }
    }

    fn enter(&mut self, file: File<'t>) {
        if file.is_directory() {
            self.levels.push(Level {
                directory: file,
                path: self.path.len(),
                children: None,
                given: 0,
            });
        }
    }

    /// Passes over what is in the directory that was given last.
    pub fn pass_over(&mut self) {
        if self.levels.last().is_some_and(|level| level.path == self.path.len()) {
            self.levels.pop();
        }
    }

    /// Goes to the next file, whose path is `self.path` then.
    fn step(&mut self) -> Result<Option<File<'t>>> {
        if let Some(first) = self.first.take() {
            self.enter(first);
            return Ok(Some(first));
        }
        while let Some(level) = self.levels.last_mut() {
            self.path.truncate(level.path);
            let children = match &mut level.children {
                Some(children) => children,
                unread => unread.insert(level.directory.children()?),
            };
            let Some(child) = children.get(level.given).copied() else {
                self.levels.pop();
                continue;
            };
            level.given += 1;
            let tree = level.directory.tree();
            if !self.path.is_empty() {
                self.path.push(b'/');
            }
            tree.paths.name_at(tree.paths.name(child), &mut self.path)?;
            let file = File::new(tree, child);
            self.enter(file);
            return Ok(Some(file));
        }
        Ok(None)
    }
}

impl<'t> Walk<'t> {
    /// As [`next`](Iterator::next), without a copy of the path.
    ///
    /// # Errors
    /// That of the file in which a table of contents lies.
    pub fn next_file(&mut self) -> Result<Option<(&[u8], File<'t>)>> {
        match self.step() {
            Ok(file) => Ok(file.map(|file| (&self.path[..], file))),
            Err(error) => {
                self.levels.clear();
                Err(error)
            }
        }
    }
}

impl<'t> Iterator for Walk<'t> {
    type Item = Result<(Vec<u8>, File<'t>)>;

    fn next(&mut self) -> Option<Self::Item> {
        let found = self.next_file();
        found
            .map(|found| found.map(|(path, file)| (path.to_vec(), file)))
            .transpose()
    }
}
