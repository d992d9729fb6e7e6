//! How is a layer unpacked before its turn comes? Its archive is read by a thread of its own, which makes the content of its files where no name of the
//! image leads ([`rootfs::Ahead`]), and lines up what each entry asks for. When it is the layer's turn, the entries are applied in order, as those of any
//! other; a file that was made gets its name. As soon as all that was lined up is applied, the rest of the archive is applied as it comes.
//!
//! So nothing of it is seen before its turn, and whatever is wrong with it is said in the words and in the order in which it would have been said:
//! a failure waits in the line, too.

use std::{io::Read, mem::size_of, ops::ControlFlow, sync::Arc, thread};

use teu_archive::tar;
use teu_rootfs::{self as rootfs, Owners, Root, Unnamed};
use teu_store::{Error, Result};
use tokio::task::AbortHandle;

use super::{
    Options,
    apply::{self, Asked},
    line::{Filling, Line},
};
use crate::{
    failure::of_files,
    layers::{Layer, Layers, Opened},
};

/// How the largest of the layers that wait for their turn is unpacked ahead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AheadLimits {
    /// How many bytes a layer has at least, compressed, to be worth a thread.
    pub least: u64,
    /// What waits in memory at most, about.
    pub memory: usize,
    /// How many bytes lie in files without names at most: so much more than the tree may be on the disk meanwhile.
    pub lying: u64,
}

impl Default for AheadLimits {
    fn default() -> Self {
        Self {
            least: 1 << 20,
            memory: 8 << 20,
            lying: 512 << 20,
        }
    }
}

/// How many times as large as its blob a layer is taken to be on the disk; most are two to four times as large.
const INFLATED: u64 = 5;

/// Whether files of these owners can be made ahead.
pub(super) fn is_possible(owners: &Owners) -> bool {
    !matches!(owners, Owners::Recorded | Owners::Forgotten)
}

/// The archive of a layer, as far as it was not read.
type Reader = tar::Reader<Opened>;

/// A layer that is read ahead.
pub(super) struct Early<'a> {
    pub(super) layer: Layer,
    line: Arc<Line>,
    reading: AbortHandle,
    directory: &'a Root,
}

impl<'a> Early<'a> {
    /// Begins to read the largest layer that has not begun and is not the next, where one is large enough and the disk has room; files are made in
    /// `directory`, as `writing` says. The tree may have `left` more bytes of content.
    pub(super) fn begin<'scope>(
        scope: &'scope thread::Scope<'scope, '_>,
        layers: &mut Layers,
        directory: &'a Root,
        writing: &rootfs::Options,
        left: u64,
        options: &'scope Options,
    ) -> Result<Option<Self>> {
        if !layers.any_after_the_next(options.ahead.least) || !has_room(directory, layers, options)? {
            return Ok(None);
        }
        let ahead = rootfs::Ahead::new(directory, writing.clone()).map_err(of_files)?;
        let Some((layer, opened)) = layers.begin_largest(options.ahead.least) else {
            return Ok(None);
        };
        let line = Arc::new(Line::new(&options.ahead, left));
        let reading = opened.abort_handle();
        let filled = Arc::clone(&line);
        let thread = thread::Builder::new().name("ahead".to_owned());
        let spawned = thread.spawn_scoped(scope, move || {
            let filling = Filling(filled);
            let reader = tar::Reader::buffered(opened, options.tar.clone());
            let end = read(reader, ahead, &filling.0, options);
            filling.0.end(end.unwrap_or_else(End::Failed));
        });
        spawned.map_err(|error| Error::from(error).within("starting a thread"))?;
        Ok(Some(Self {
            layer,
            line,
            reading,
            directory,
        }))
    }

    /// A layer below it was applied: how many bytes of content the tree may have yet.
    pub(super) fn leave(&self, left: u64) {
        self.line.leave(left);
    }

    /// It is its turn: applies it, as [`apply`](apply::apply) does.
    pub(super) fn apply(self, writer: &mut rootfs::Writer, options: &Options) -> Result<()> {
        loop {
            match self.line.next() {
                ControlFlow::Continue(item) => item.apply(writer, self.directory, options)?,
                ControlFlow::Break(End::Whole) => return Ok(()),
                ControlFlow::Break(End::Failed(error)) => return Err(error),
                ControlFlow::Break(End::Rest(rest)) => {
                    let (mut reader, begun) = *rest;
                    if let Some(asked) = begun {
                        asked.make(writer, &mut reader.last_entry(), options)?;
                    }
                    return apply::rest(writer, reader, options);
                }
            }
        }
    }
}

/// Whether all that is to come has room on the disk, as far as one can say, beside what lies there without a name. In its turn a file may only be made
/// where the one was that it replaces.
fn has_room(directory: &Root, layers: &Layers, options: &Options) -> Result<bool> {
    let to_come = layers.bytes_to_come().saturating_mul(INFLATED);
    let free = directory.free_bytes().map_err(of_files)?;
    Ok(free >= to_come.saturating_add(options.ahead.lying))
}

impl Drop for Early<'_> {
    fn drop(&mut self) {
        self.line.abandon();
        self.reading.abort();
    }
}

/// What waits for the layer's turn.
pub(super) enum Item {
    /// No regular file.
    Other(Asked),
    /// One that lies without a name.
    Lying(Vec<u8>, Box<Unnamed>),
    /// One of which no more than so many bytes could be made, and why.
    Failed(Vec<u8>, u64, Error),
}

impl Item {
    /// What it takes of memory, about.
    pub(super) fn held(&self) -> usize {
        let more = match self {
            Self::Other(asked) => asked.held(),
            Self::Lying(path, unnamed) => path.capacity() + size_of::<Unnamed>() + unnamed.held(),
            Self::Failed(path, ..) => path.capacity(),
        };
        size_of::<Self>() + more
    }

    /// What it has on the disk.
    pub(super) fn lying(&self) -> u64 {
        match self {
            Self::Lying(_, unnamed) => unnamed.bytes(),
            _ => 0,
        }
    }

    fn apply(self, writer: &mut rootfs::Writer, directory: &Root, options: &Options) -> Result<()> {
        options.stop.check()?;
        match self {
            Self::Other(asked) => asked.make_without_content(writer),
            Self::Lying(path, unnamed) => writer.give_name(directory, &path, *unnamed).map_err(of_files),
            Self::Failed(path, bytes, error) => {
                writer.give_up(&path, bytes).map_err(of_files)?;
                Err(error)
            }
        }
    }
}

/// How the line ends.
pub(super) enum End {
    /// All of the layer was lined up, and its digests held.
    Whole,
    /// The next entry cannot be had.
    Failed(Error),
    /// What comes next is applied as it comes, first of all the content of an entry of which nothing was read.
    Rest(Box<(Reader, Option<Asked>)>),
}

/// Reads a layer until its end, or until all that was lined up is applied.
fn read(mut reader: Reader, mut ahead: rootfs::Ahead, line: &Line, options: &Options) -> Result<End> {
    loop {
        if line.is_wanted() {
            return Ok(End::Rest(Box::new((reader, None))));
        }
        let Some(mut entry) = reader.next_entry()? else { break };
        options.stop.check()?;
        let asked = Asked::of(&mut entry)?;
        let Some(size) = asked.file_size() else {
            line.push(Item::Other(asked));
            continue;
        };
        if !line.waits_for_room(size) {
            return Ok(End::Rest(Box::new((reader, Some(asked)))));
        }
        let item = lying(asked, size, &mut entry, &mut ahead, options)?;
        let failed = matches!(item, Item::Failed(..));
        line.push(item);
        if failed {
            // It says why.
            return Ok(End::Whole);
        }
    }
    reader.finish()?;
    Ok(End::Whole)
}

fn lying<R: Read>(
    asked: Asked,
    size: u64,
    entry: &mut tar::Entry<'_, R>,
    ahead: &mut rootfs::Ahead,
    options: &Options,
) -> Result<Item> {
    let (path, metadata) = (&asked.path, &asked.metadata);
    ahead.check(path, metadata, size).map_err(of_files)?;
    let mut bytes = 0;
    let mut make = || {
        let mut file = ahead.file(path, metadata, size).map_err(of_files)?;
        while let Some(chunk) = entry.next_chunk().map_err(|error| asked.cut(error))? {
            bytes += chunk.data.len() as u64;
            file.write_at(chunk.offset, chunk.data).map_err(of_files)?;
            options.stop.check()?;
        }
        file.finish().map_err(of_files)
    };
    Ok(match make() {
        Ok(unnamed) => Item::Lying(asked.path, Box::new(unnamed)),
        Err(error) => Item::Failed(asked.path, bytes, error),
    })
}
