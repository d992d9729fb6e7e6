//! What is the next entry of a stream? Its header block, with what extension headers before it say, held together: each thing is said once.

use std::io::Read;

use super::block::{self, Block, Dialect};
use super::meaning::{self, Names};
use super::pax::Records;
use super::reader::{State, over_total};
use super::sparse::{self, Plan, Segment};
use super::{BLOCK, End, EntryKind, Limits, Reader};
use crate::{Error, Result};

/// What extension headers said of the entry that follows them.
#[derive(Default)]
struct Pending {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    records: Option<Records>,
    bytes: u64,
}

impl Pending {
    /// Whether an entry must follow. A global header alone asks for none: `git archive` of an empty tree ends after it.
    fn is_empty(&self) -> bool {
        self.path.is_none() && self.link.is_none() && self.records.is_none()
    }
}

impl<R: Read> Reader<R> {
    /// Goes to the next entry, and says whether there is one.
    pub(super) fn advance(&mut self) -> Result<bool> {
        self.input.skip(self.content.stored, "the content of an entry")?;
        let missing = self.input.pass(self.content.padding)?;
        self.content.stored = 0;
        self.content.padding = 0;
        self.header_offset = self.input.offset();
        self.header.clear();
        if missing != 0 {
            self.state = State::Ended(End::NoPadding);
            return Ok(false);
        }
        let mut pending = Pending::default();
        loop {
            let Some(block) = self.input.block()?.map(Block) else {
                if !pending.is_empty() {
                    return Err(self.input.ended("an entry of which only extension headers are there"));
                }
                self.state = State::Ended(End::NoMarker);
                return Ok(false);
            };
            if block.0[0] == 0 && block.is_zero() {
                if !pending.is_empty() {
                    return Err(Error::malformed(
                        "tar",
                        "the archive ends after an extension header without its entry",
                    ));
                }
                self.state = State::Ended(self.end_marker()?);
                return Ok(false);
            }
            if let Err(error) = block.verify() {
                let is_first = self.input.offset() == BLOCK as u64;
                return Err(match is_first && block.dialect() == Dialect::V7 {
                    true => Error::malformed("tar", "it is no tar archive"),
                    false => error,
                });
            }
            match block.0[block::TYPE] {
                b'x' => {
                    let bytes = self.metadata(&block, &mut pending)?;
                    let records = Records::parse(&bytes, &self.limits)?;
                    once(&mut pending.records, records, "PAX headers")?;
                }
                b'g' => {
                    let bytes = self.metadata(&block, &mut pending)?;
                    self.globals_bytes += bytes.len() as u64;
                    if self.globals_bytes > self.limits.metadata_bytes {
                        return Err(over_metadata(&self.limits));
                    }
                    self.globals.merge_global(Records::parse(&bytes, &self.limits)?)?;
                }
                b'L' => {
                    let name = meaning::long_name(self.metadata(&block, &mut pending)?)?;
                    once(&mut pending.path, name, "GNU long names")?;
                }
                b'K' => {
                    let link = meaning::long_name(self.metadata(&block, &mut pending)?)?;
                    once(&mut pending.link, link, "GNU long links")?;
                }
                _ => {
                    self.entry(&block, pending)?;
                    return Ok(true);
                }
            }
        }
    }

    /// Decides what a zero block means: see [`End`]. A lone one before more blocks is refused, because some readers end
    /// there and others may go on.
    fn end_marker(&mut self) -> Result<End> {
        match self.input.block()? {
            None => Ok(End::LoneZeroBlock),
            Some(block) if Block(block).is_zero() => Ok(End::Marker),
            Some(_) => Err(Error::malformed("tar", "a lone block of zeros stands between entries")),
        }
    }

    /// Reads the body of an extension header, held against the limit of the entry.
    fn metadata(&mut self, block: &Block, pending: &mut Pending) -> Result<Vec<u8>> {
        let size = block.size(block::SIZE, "size")?;
        pending.bytes = pending.bytes.saturating_add(size).saturating_add(BLOCK as u64);
        if pending.bytes > self.limits.metadata_bytes {
            return Err(over_metadata(&self.limits));
        }
        let mut bytes = Vec::new();
        self.input.append_to(&mut bytes, size)?;
        self.input.skip(padding(size), "the padding of an extension header")?;
        Ok(bytes)
    }

    /// Puts an entry together from its header block and what extension headers said before.
    fn entry(&mut self, block: &Block, pending: Pending) -> Result<()> {
        self.entries += 1;
        if self.entries > self.limits.entries {
            let what = "the archive has too many entries";
            return Err(Error::limit("tar", "entries", self.limits.entries, what));
        }
        let Pending {
            path,
            link,
            records,
            bytes: mut metadata,
        } = pending;
        let mut records = records.unwrap_or_default();
        let sparse_records = records.sparse.take();
        let pax_size = records.size.or(&self.globals.size).copied();
        let names = Names {
            path,
            link,
            sparse: sparse_records.as_ref().and_then(|sparse| sparse.name.as_ref()),
        };
        meaning::describe(&mut self.header, block, names, records, &self.globals, &self.limits)?;
        let header = &mut self.header;
        let (flag, dialect) = (block.0[block::TYPE], block.dialect());

        let mut stored = match pax_size {
            Some(size) => size,
            None => block.size(block::SIZE, "size")?,
        };
        let padded = padding(stored);
        if header.kind != EntryKind::Regular && stored != 0 {
            return Err(Error::malformed(
                "tar",
                format!("{:?} entries have no content, but this one has", header.kind),
            ));
        }
        let input = &mut self.input;
        let limits = &self.limits;
        let mut next_block = || -> Result<[u8; BLOCK]> {
            metadata += BLOCK as u64;
            if metadata > limits.metadata_bytes {
                return Err(over_metadata(limits));
            }
            match input.block()? {
                Some(block) => Ok(block),
                None => Err(input.ended("a sparse map")),
            }
        };
        let sparse = match (flag, sparse_records) {
            (b'S', Some(_)) => return Err(Error::malformed("tar", "two formats of sparse files are mixed")),
            (b'S', None) if dialect != Dialect::Gnu => {
                return Err(Error::unsupported(
                    "tar",
                    "an old sparse file in an archive that is not GNU's",
                ));
            }
            (b'S', None) => {
                let size = block.size(block::REAL_SIZE, "realsize")?;
                Some((sparse::old_map(&block.0, limits, next_block)?, size))
            }
            (_, Some(_)) if header.kind != EntryKind::Regular => {
                return Err(Error::malformed(
                    "tar",
                    "a sparse map belongs to something that is not a file",
                ));
            }
            (_, Some(records)) => match records.plan()? {
                Plan::Mapped(map, size) => Some((map, size)),
                Plan::Inline(size) => {
                    let mut left = stored;
                    let (map, _) = sparse::inline_map(limits, || {
                        left = left.checked_sub(BLOCK as u64).ok_or_else(|| {
                            Error::malformed("tar", "the sparse map is wrong: it is longer than the entry")
                        })?;
                        next_block()
                    })?;
                    stored = left;
                    Some((map, size))
                }
            },
            (_, None) => None,
        };
        let segments = &mut self.content.segments;
        segments.clear();
        header.size = match sparse {
            Some((map, size)) => {
                *segments = map.finish(size, stored)?;
                self.holes = self.holes.saturating_add(size - stored);
                size
            }
            None => {
                if stored != 0 {
                    segments.push(Segment {
                        offset: 0,
                        length: stored,
                    });
                }
                stored
            }
        };
        self.content.next = 0;
        self.content.position = 0;
        self.content.size = header.size;
        self.content.stored = stored;
        self.content.padding = padded;
        self.data_offset = self.input.offset();
        self.total = self.total.saturating_add(header.size);
        let end = self.data_offset.saturating_add(stored);
        if self.total.max(end) > self.limits.total_bytes {
            return Err(over_total(&self.limits));
        }
        if self.holes > self.limits.hole_bytes {
            let what = "the holes of sparse files are too large";
            return Err(Error::limit("tar", "hole_bytes", self.limits.hole_bytes, what));
        }
        Ok(())
    }
}

/// Readers differ in which of two extension headers they take, so one entry has one of each.
fn once<T>(slot: &mut Option<T>, value: T, what: &str) -> Result<()> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(Error::malformed("tar", format!("one entry has two {what}"))),
    }
}

fn padding(size: u64) -> u64 {
    size.wrapping_neg() % BLOCK as u64
}

fn over_metadata(limits: &Limits) -> Error {
    Error::limit(
        "tar",
        "metadata_bytes",
        limits.metadata_bytes,
        "the extension headers of an entry are too large",
    )
}
