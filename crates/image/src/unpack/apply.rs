//! How does a layer's archive become files? Entry by entry: what each asks for is [`entry::action`]'s word, what becomes of it the door's
//! ([`teu_rootfs::Writer`]).

use std::io::{BufRead, Read};

use teu_archive::{
    Escaped,
    tar::{self, Entry, Header, Reader},
};
use teu_rootfs::{self as rootfs, Metadata, Node};
use teu_store::{Error, ErrorKind, Result};

use super::Options;
use crate::{
    entry::{self, Action},
    failure::of_files,
};

/// What an entry asks for, without its content.
pub(super) struct Asked {
    pub(super) action: Action,
    pub(super) path: Vec<u8>,
    pub(super) metadata: Metadata,
    link: Vec<u8>,
}

impl Asked {
    /// Takes it out of an entry.
    pub(super) fn of<R: Read>(entry: &mut Entry<'_, R>) -> Result<Self> {
        let action = entry::action(entry.header()).map_err(|why| refused(entry.header(), why))?;
        let mut header = entry.take_header();
        let metadata = entry::metadata(&mut header);
        Ok(Self {
            action,
            metadata,
            path: header.path,
            link: header.link,
        })
    }

    /// The size of the regular file that it asks for.
    pub(super) fn file_size(&self) -> Option<u64> {
        match &self.action {
            Action::Make(Node::File(size)) => Some(*size),
            _ => None,
        }
    }

    /// What it takes of memory, but for itself, about.
    pub(super) fn held(&self) -> usize {
        let in_action = match &self.action {
            Action::Make(Node::Symlink(text)) | Action::Remove(text) | Action::Clear(text) => text.capacity(),
            _ => 0,
        };
        let xattrs = self.metadata.xattrs.iter();
        let xattrs: usize = xattrs
            .map(|(name, value)| name.capacity() + value.capacity() + 64)
            .sum();
        self.path.capacity() + self.link.capacity() + in_action + xattrs
    }

    /// Does what it asks for; a regular file gets the content that `entry` has.
    pub(super) fn make<R: Read>(
        &self,
        writer: &mut rootfs::Writer,
        entry: &mut Entry<'_, R>,
        options: &Options,
    ) -> Result<()> {
        let Some(size) = self.file_size() else {
            return self.make_without_content(writer);
        };
        let mut file = writer.file(&self.path, &self.metadata, size).map_err(of_files)?;
        while let Some(chunk) = entry.next_chunk().map_err(|error| self.cut(error))? {
            file.write_at(chunk.offset, chunk.data).map_err(of_files)?;
            options.stop.check()?;
        }
        file.finish().map_err(of_files)
    }

    /// Does what it asks for that is no regular file.
    pub(super) fn make_without_content(&self, writer: &mut rootfs::Writer) -> Result<()> {
        let (path, metadata) = (&self.path[..], &self.metadata);
        let done = match &self.action {
            Action::Make(Node::Directory) => writer.directory(path, metadata),
            Action::Make(Node::Symlink(target)) => writer.symlink(path, metadata, target),
            Action::Make(node) => writer.node(path, metadata, node),
            Action::HardLink => writer.hard_link(path, &self.link),
            Action::Remove(path) => writer.remove(path),
            Action::Clear(directory) => writer.clear(directory),
            Action::PassOver => Ok(()),
        };
        done.map_err(of_files)
    }

    /// An error in its content.
    pub(super) fn cut(&self, error: teu_archive::Error) -> Error {
        Error::from(error).within(Escaped(&self.path).to_string())
    }
}

/// Applies the archive of one layer to what `writer` made of those below it, and reads it to its end, where an [`Opened`](crate::layers::Opened) checks
/// its digests. [`Writer::next_layer`](rootfs::Writer::next_layer) is the caller's to call. Of `options` the limits of the archive count, and who wants
/// it to stop.
///
/// # Errors
/// `Invalid` for what no honest image asks for, and `TooLarge` for what reaches a limit, with the entry; what reading the layer says. What was
/// made until then is there, and is to be thrown away.
pub fn apply(writer: &mut rootfs::Writer, layer: impl BufRead, options: &Options) -> Result<()> {
    rest(writer, tar::Reader::buffered(layer, options.tar.clone()), options)
}

/// The same with what is left of an archive.
pub(super) fn rest(writer: &mut rootfs::Writer, mut reader: Reader<impl Read>, options: &Options) -> Result<()> {
    while let Some(mut entry) = reader.next_entry()? {
        options.stop.check()?;
        Asked::of(&mut entry)?.make(writer, &mut entry, options)?;
    }
    reader.finish()?;
    Ok(())
}

fn refused(header: &Header, why: &str) -> Error {
    Error::new(ErrorKind::Invalid, format!("{}: refused: {why}", Escaped(&header.path)))
}
