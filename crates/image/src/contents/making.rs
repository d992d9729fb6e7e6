//! How does a table come about? Entry by entry, as whoever reads the layer comes by them.

use teu_archive::tar::Header;
use teu_spec::Digest;
use teu_store::{Error, ErrorKind, Result};

use super::{Contents, Entry, Options, What, stored::List};
use crate::entry::{self, Action};

/// A table that is being made.
pub(crate) struct Making {
    list: List,
    contents_bytes: usize,
    digests: bool,
}

impl Making {
    pub(crate) fn new(options: &Options) -> Self {
        let room = options.temporary.as_deref();
        Self {
            list: List::new(room.map(|directory| (options.memory_bytes, directory))),
            contents_bytes: options.contents_bytes,
            digests: options.digests,
        }
    }

    /// Takes in the next entry.
    ///
    /// # Errors
    /// `TooLarge` where the limit is reached, or for what no table holds; that of the file in which it lies.
    pub(crate) fn push(&mut self, entry: &Entry) -> Result<()> {
        self.list.push(entry)?;
        if self.list.size() > self.contents_bytes as u64 {
            let message = format!(
                "its table has more bytes than the limit contents_bytes of {}; raise it only for an image that you trust",
                self.contents_bytes
            );
            return Err(Error::new(ErrorKind::TooLarge, message));
        }
        Ok(())
    }

    /// The table of the layer with this digest, whose archive has this one and so many bytes.
    ///
    /// # Errors
    /// That of the file in which it lies.
    pub(crate) fn finish(self, layer: Digest, diff_id: Digest, size: u64) -> Result<Contents> {
        let (entries, count) = self.list.finish()?;
        Ok(Contents {
            layer,
            diff_id,
            digests: self.digests,
            size,
            count,
            entries: entries.into(),
        })
    }
}

impl Entry {
    /// What a header says whose entry asks for this; none where it says nothing of the tree.
    pub(crate) fn of(header: &Header, action: Action, offset: u64) -> Option<Self> {
        let what = match action {
            Action::Make(node) => What::Make(node),
            Action::HardLink => What::HardLink(header.link.clone()),
            Action::Remove(path) => What::Remove(path),
            Action::Clear(path) => What::Clear(path),
            Action::PassOver => return None,
        };
        let mut header = header.clone();
        Some(Self {
            what,
            metadata: entry::metadata(&mut header),
            path: header.path,
            content: None,
            offset,
        })
    }
}
