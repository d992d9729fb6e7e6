//! How does a file get its content? In slices, each at its place, straight from the caller's memory; what no slice covers is a hole.

use std::os::fd::{AsFd, OwnedFd};

use rustix::{
    fs::{self, Timespec},
    io::{self, Errno},
};

use crate::{Error, ErrorKind, Metadata, Result, Writer, name::Shown, owners::Owner};

/// A regular file that is being made. Its metadata is complete only after [`finish`](Self::finish); dropped before, what was written stays.
#[derive(Debug)]
pub struct FileWriter<'a> {
    writer: &'a mut Writer,
    file: OwnedFd,
    path: &'a [u8],
    metadata: &'a Metadata,
    size: u64,
    /// Where what was written ends.
    end: u64,
    rest: (Owner, u32, Timespec),
}

impl<'a> FileWriter<'a> {
    pub(crate) fn new(
        writer: &'a mut Writer,
        file: OwnedFd,
        path: &'a [u8],
        metadata: &'a Metadata,
        size: u64,
        rest: (Owner, u32, Timespec),
    ) -> Self {
        Self {
            writer,
            file,
            path,
            metadata,
            size,
            end: 0,
            rest,
        }
    }

    /// Writes bytes at this place.
    ///
    /// # Errors
    /// They go beyond the size that was announced, the tree has too many bytes, or the file system fails.
    pub fn write_at(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        let length = bytes.len() as u64;
        let end = offset.checked_add(length).filter(|end| *end <= self.size);
        let Some(end) = end else {
            return Err(Error::refused(self.path, "its content goes beyond its size"));
        };
        self.writer
            .spent
            .content(&self.writer.options.budget, self.path, length)?;
        let (mut offset, mut rest) = (offset, bytes);
        while !rest.is_empty() {
            match io::pwrite(&self.file, rest, offset) {
                Ok(0) => {
                    let message = format!("{}: the file system takes no more bytes", Shown(self.path));
                    return Err(Error::new(ErrorKind::Io, message));
                }
                Ok(written) => {
                    offset += written as u64;
                    rest = &rest[written..];
                }
                Err(Errno::INTR) => {}
                Err(errno) => return Err(Error::system(self.path, "write the file", errno)),
            }
        }
        self.end = self.end.max(end);
        Ok(())
    }

    /// Gives the file its size, owner, mode, attributes and time.
    ///
    /// # Errors
    /// The file system fails.
    pub fn finish(self) -> Result<()> {
        self.settle().map(drop)
    }

    /// The same; the writer comes back.
    pub(crate) fn settle(self) -> Result<&'a mut Writer> {
        if self.end < self.size {
            fs::ftruncate(&self.file, self.size)
                .map_err(|errno| Error::system(self.path, "give the file its size", errno))?;
        }
        self.writer
            .settle_file(self.path, self.file.as_fd(), self.metadata, self.rest)?;
        Ok(self.writer)
    }
}
