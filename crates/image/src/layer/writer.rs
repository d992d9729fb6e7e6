//! How are entries put into a layer? In the order in which they come, with their times as [`Times`] says.

use std::{
    borrow::Cow,
    io::{self, Read, Write},
};

use teu_archive::{
    Escaped,
    tar::{self, Header},
};
use teu_rootfs::{Metadata, Node};
use teu_store::{
    Error, ErrorKind, Result,
    blocking::{BATCH, Outlet},
};

use super::{Limits, Options, Time, Times, digested::Content, digested::Digested, header::header};
use crate::{entry, failure::of_reading, whiteout};

/// Takes the entries of a layer, one after the other.
///
/// Their order is the caller's: parents before what is in them, whiteouts before their siblings (image-spec, layer.md, "Whiteouts"), what
/// a hard link names before the link.
pub struct Writer<'a> {
    tar: tar::Writer<Digested<&'a mut Outlet>>,
    times: Times,
    limits: Limits,
    entries: u64,
    buffer: Vec<u8>,
}

impl<'a> Writer<'a> {
    pub(super) fn new(sink: Digested<&'a mut Outlet>, options: &Options) -> Self {
        Self {
            tar: tar::Writer::new(sink),
            times: options.times,
            limits: options.limits.clone(),
            entries: 0,
            buffer: Vec::new(),
        }
    }

    /// Appends an entry without content, or with none of its own: all but files that are not empty.
    ///
    /// # Errors
    /// `Unsupported` for what tar cannot say, such as a socket; `Invalid` for what whoever reads the layer under [`Options::limits`] would refuse;
    /// `Cancelled` where the layer is not wanted any more.
    pub fn append(&mut self, header: &Header) -> Result<()> {
        self.append_from(header, io::empty())
    }

    /// Appends an entry with content, which must be of the size that the header says.
    ///
    /// # Errors
    /// As [`Writer::append`]; `Invalid` where there is more or less content; what reading it says.
    pub fn append_from(&mut self, header: &Header, mut content: impl Read) -> Result<()> {
        let header = self.timed(header);
        entry::check(&header, &self.limits.budget).map_err(refused)?;
        self.buffer.resize(BATCH, 0);
        let begin = self.tar.offset();
        let mut entry = self.tar.entry(&header)?;
        // Beside the entry's own block and that of the extension header.
        let metadata = (entry.offset() - begin).saturating_sub(2 * tar::BLOCK as u64);
        if metadata > self.limits.tar.metadata_bytes {
            let limit = self.limits.tar.metadata_bytes;
            return Err(refused(format!(
                "\"{}\": its extended attributes take {metadata} bytes (the limit metadata_bytes is {limit})",
                Escaped(&header.path)
            )));
        }
        loop {
            // What is announced, and one byte more, which says that there is more.
            let most = usize::try_from(entry.missing().saturating_add(1)).unwrap_or(usize::MAX);
            let most = most.min(self.buffer.len());
            match content.read(&mut self.buffer[..most]) {
                Ok(0) => break,
                Ok(count) => entry.write_all(&self.buffer[..count]).map_err(archive_error)?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(of_reading(error)),
            }
        }
        entry.finish()?;
        self.entries += 1;
        Ok(())
    }

    /// Appends a file that stands in a tree, whose content, if it is a regular one that is not empty, is `content`.
    ///
    /// # Errors
    /// As [`Writer::append_from`]; `Unsupported` for a socket.
    pub fn append_node(&mut self, path: &[u8], node: &Node, metadata: &Metadata, content: impl Read) -> Result<()> {
        let Some(header) = header(path, node, metadata) else {
            let message = format!("{} is a socket, which a layer cannot hold", Escaped(path));
            return Err(Error::new(ErrorKind::Unsupported, message));
        };
        self.append_from(&header, content)
    }

    /// Hides what lower layers have at this path.
    ///
    /// # Errors
    /// `Invalid` for a path whose last part is nothing that could be hidden; else as [`Writer::append`].
    pub fn whiteout(&mut self, path: &[u8], mtime: Time) -> Result<()> {
        let (directory, name) = split(path);
        let mut entry = directory.to_vec();
        entry.extend_from_slice(whiteout::PREFIX);
        entry.extend_from_slice(name);
        if !matches!(whiteout::meaning(&entry), whiteout::Meaning::Hide { .. }) {
            let message = format!("{} cannot be hidden by a whiteout", Escaped(path));
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        self.mark(entry, mtime)
    }

    /// Hides all that lower layers have in this directory; empty for the root.
    ///
    /// # Errors
    /// As [`Writer::append`].
    pub fn opaque(&mut self, directory: &[u8], mtime: Time) -> Result<()> {
        let mut entry = directory.to_vec();
        if !entry.is_empty() && entry.last() != Some(&b'/') {
            entry.push(b'/');
        }
        entry.extend_from_slice(whiteout::OPAQUE);
        self.mark(entry, mtime)
    }

    /// How many entries there are so far.
    #[must_use]
    pub fn entries(&self) -> u64 {
        self.entries
    }

    pub(super) fn finish(self) -> Result<(Content, u64)> {
        let content = self.tar.finish()?.finish()?;
        Ok((content, self.entries))
    }

    /// A whiteout is an empty file; its mode, owner and time mean nothing, and say nothing of this machine.
    fn mark(&mut self, path: Vec<u8>, mtime: Time) -> Result<()> {
        let mut header = Header::file(path, 0);
        header.mtime = mtime;
        self.append(&header)
    }

    fn timed<'h>(&self, header: &'h Header) -> Cow<'h, Header> {
        if self.times == Times::Keep {
            return Cow::Borrowed(header);
        }
        let mut header = header.clone();
        header.mtime = self.times.apply(header.mtime);
        header.atime = header.atime.map(|time| self.times.apply(time));
        header.ctime = header.ctime.map(|time| self.times.apply(time));
        Cow::Owned(header)
    }
}

/// That no layer is made which is refused where it is read.
fn refused(why: String) -> Error {
    let message = format!("{why}; whoever unpacks the layer would refuse it: rename that file, or leave it out");
    Error::new(ErrorKind::Invalid, message)
}

fn archive_error(error: io::Error) -> Error {
    teu_archive::Error::from(error).into()
}

/// The directory, with the slash at its end, and the name in it.
fn split(path: &[u8]) -> (&[u8], &[u8]) {
    let end = path.iter().rposition(|byte| *byte != b'/').map_or(0, |last| last + 1);
    let path = &path[..end];
    let name = path.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
    path.split_at(name)
}
