//! Tar: a strict streaming reader, an index for random access, and a deterministic writer.
//!
//! - [`Reader`] walks a stream entry by entry: ustar, GNU and PAX, under [`Limits`].
//! - [`Index`] walks an archive that can seek, without reading what is in the files, and opens members in place.
//! - [`Writer`] makes an archive: the same calls give the same bytes.
//! - [`Header`] is what all three say about an entry.

mod block;
mod content;
mod encode;
mod entry;
mod header;
mod index;
mod input;
mod meaning;
mod next;
mod number;
mod pax;
mod reader;
mod sparse;
mod writer;

pub use entry::{Chunk, Entry};
pub use header::{EntryKind, Header, Time};
pub use index::{Index, Member, MemberReader};
pub use reader::{End, Reader};
pub use sparse::Segment;
pub use writer::{EntryWriter, Writer};

/// The unit of a tar stream, in bytes (POSIX.1-2017, pax, "ustar Interchange Format").
pub const BLOCK: usize = 512;

/// How much an archive may ask of its reader. Each error that comes of a limit names its field here.
///
/// The defaults take every image that was seen in the field and bound memory to a few MiB.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of extension headers (PAX records, GNU long names, sparse maps) that one entry may bring. Default 1 MiB.
    pub metadata_bytes: u64,
    /// Bytes of one name or link target. Default 4096, Linux's `PATH_MAX`.
    pub name_bytes: u64,
    /// Stretches of data in the map of one sparse file. Default 65,536.
    pub sparse_segments: u64,
    /// Entries in an archive. Default 10,000,000.
    pub entries: u64,
    /// Bytes of memory, about, that an [`Index`] may take. Default 32 MiB, some 50,000 entries.
    pub index_bytes: u64,
    /// Bytes in all: of the stream, and of the files in it with the holes of sparse files counted. Default 1 TiB.
    pub total_bytes: u64,
    /// Bytes of the holes of sparse files in all: they cost their maker nothing. Default 1 TiB.
    pub hole_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            metadata_bytes: 1 << 20,
            name_bytes: 4096,
            sparse_segments: 1 << 16,
            entries: 10_000_000,
            index_bytes: 32 << 20,
            total_bytes: 1 << 40,
            hole_bytes: 1 << 40,
        }
    }
}
