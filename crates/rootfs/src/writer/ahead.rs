//! How is a file made before its turn comes? [`Ahead`] makes it whole, with its owner, mode, attributes and times, in a directory of its own where no
//! name of the tree leads; [`Writer::give_name`] moves it to its place once all entries before it are made. So what takes long is done by one
//! thread while another makes the tree, whose order decides what becomes of a name.
//!
//! The directory is the caller's: on the file system of the tree, closed to others, outside of the root, and removed by him with what got no name.

use rustix::fs::{self, AtFlags};

use crate::{
    Error, ErrorKind, FileWriter, Metadata, Options, Owners, Report, Result, Root, Writer, check, made::identity,
    rename::rename_new,
};

/// Makes files that have no name in the tree yet.
#[derive(Debug)]
pub struct Ahead {
    writer: Writer,
    made: u64,
}

/// A regular file that was made and has no name in the tree yet.
#[derive(Debug)]
pub struct Unnamed {
    number: u64,
    bytes: u64,
    report: Report,
}

impl Unnamed {
    /// Bytes of content that were written.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// What is kept of it in memory beside itself, about: the names of what was passed over, nearly always nothing.
    #[must_use]
    pub fn held(&self) -> usize {
        self.report.held()
    }
}

impl Ahead {
    /// Files are made in `directory`, as `options` say that the tree's are; of the budget the size of one file counts, the rest where they get their
    /// names.
    ///
    /// # Errors
    /// `directory` cannot be looked at. `Unsupported` where files keep the owner that they are made with ([`Owners::Recorded`],
    /// [`Owners::Forgotten`]): their group may come of the directory that they are made in.
    pub fn new(directory: &Root, mut options: Options) -> Result<Self> {
        if matches!(options.owners, Owners::Recorded | Owners::Forgotten) {
            let message = "files that are given to nobody are made in their own directories";
            return Err(Error::new(ErrorKind::Unsupported, message));
        }
        options.budget.entries = u64::MAX;
        options.budget.bytes = u64::MAX;
        Ok(Self {
            writer: Writer::new(directory, options)?,
            made: 0,
        })
    }

    /// Refuses what [`Writer::file`] refuses before it counts an entry.
    ///
    /// # Errors
    /// What that says.
    pub fn check(&self, path: &[u8], metadata: &Metadata, size: u64) -> Result<()> {
        check::said(path, metadata)?;
        self.writer.options.owners.of(path, metadata)?;
        check::file_size(path, size, &self.writer.options.budget)
    }

    /// Begins a regular file of `size` bytes. `path` is the one that it will have: errors and the report name it.
    ///
    /// # Errors
    /// As [`Writer::file`], but for what its path leads to.
    pub fn file<'a>(&'a mut self, path: &'a [u8], metadata: &'a Metadata, size: u64) -> Result<UnnamedWriter<'a>> {
        let number = self.made;
        self.made += 1;
        self.writer.spent.bytes = 0;
        // What was made here is nobody's to remember.
        self.writer.next_layer();
        let file = self.writer.file_at(&name(number), path, metadata, size)?;
        Ok(UnnamedWriter { file, number })
    }
}

/// A regular file that is being made, and gets its name later.
#[derive(Debug)]
pub struct UnnamedWriter<'a> {
    file: FileWriter<'a>,
    number: u64,
}

impl UnnamedWriter<'_> {
    /// As [`FileWriter::write_at`].
    ///
    /// # Errors
    /// As that says.
    pub fn write_at(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.file.write_at(offset, bytes)
    }

    /// As [`FileWriter::finish`].
    ///
    /// # Errors
    /// As that says.
    pub fn finish(self) -> Result<Unnamed> {
        let writer = self.file.settle()?;
        Ok(Unnamed {
            number: self.number,
            bytes: writer.spent.bytes,
            report: std::mem::take(&mut writer.report),
        })
    }
}

impl Writer {
    /// Gives a file its name that was made [`Ahead`] in the directory `ahead`: what the next entry of the tree is. It is counted now, and what is at
    /// `path` is replaced, as if it were made now.
    ///
    /// # Errors
    /// As [`file`](Self::file).
    pub fn give_name(&mut self, ahead: &Root, path: &[u8], unnamed: Unnamed) -> Result<()> {
        let place = self.entry(path)?;
        let number = name(unnamed.number);
        self.make(path, "make the file", &place, || {
            rename_new(ahead, &number, &place.parent, place.leaf)
        })?;
        self.made.add(identity(&place.seen), place.leaf);
        self.spent.content(&self.options.budget, path, unnamed.bytes)?;
        if !self.report.withheld.is_empty() {
            let failed = |errno| Error::system(path, "look at it", errno);
            let seen = fs::statat(&place.parent, place.leaf, AtFlags::SYMLINK_NOFOLLOW).map_err(failed)?;
            self.report.withheld.forget(identity(&seen));
        }
        self.report.take_in(unnamed.report);
        Ok(())
    }

    /// The same for one that could not be made, and of which `bytes` of content were to be written until then: whatever would have been refused before
    /// that, had it been made now, is refused.
    ///
    /// # Errors
    /// As [`file`](Self::file).
    pub fn give_up(&mut self, path: &[u8], bytes: u64) -> Result<()> {
        self.entry(path)?;
        self.spent.content(&self.options.budget, path, bytes)
    }
}

fn name(number: u64) -> Vec<u8> {
    number.to_string().into_bytes()
}
