//! How is a tar stream read, written and compressed? Strictly, deterministically, and within limits. Nothing here knows what an image is,
//! opens a file by a name, or makes one: names from an archive are bytes that are handed up as they came.
//!
//! # One archive, one meaning
//!
//! A layer is scanned by one program and unpacked by another, and whoever gets the two to read different files out of the same bytes has won.
//! Tar invites it: a size can stand in three places, a name in four, and most readers pass over in silence what they do not understand.
//! [`tar::Reader`] takes what all dialects in use can say (V7, ustar, GNU, PAX, four kinds of sparse files), and refuses what its readers are
//! known to disagree about: two names that differ, data behind a link, a malformed PAX record, a size for all entries that follow, a lone
//! block of zeros between entries. After an error it stays failed: it never goes on behind bytes that it did not understand.
//!
//! What is merely ugly is legal content, and read: absolute names, `..`, names that are not UTF-8, links to anywhere. To make files of them
//! safely is another crate's work. [`Escaped`] shows such names to a person.
//!
//! # Everything has a limit
//!
//! Whatever an archive announces is held against [`tar::Limits`] and [`codec::Limits`] before memory is taken for it, and an error names the
//! field that was reached, so that a person who trusts the archive can raise it. A reader holds one buffer of 128 KiB, the headers of one
//! entry and, for gzip, some 60 KiB; for zstd a frame's window, at most 128 MiB unless told otherwise and 8 MiB as `zstd -19` writes.
//! A size in a header is never more than a claim: gzip's size, zstd's content size and a PAX size are checked against what came.
//!
//! # The same calls, the same bytes
//!
//! [`tar::Writer`] and [`codec::Encoder`] take no clock, no host's name, no order of their own and no luck: what is written again has its
//! digest again. The encoder cuts content into blocks of one size, so neither the sizes of writes nor the number of threads show. Gzip is
//! one member, flushed between blocks as `pigz` does it, since some readers stop after the first member. The bytes may change with the
//! version of zlib-rs or zstd, as those of every tool do: a digest that must last belongs to bytes that are kept.
//!
//! # Without unpacking
//!
//! [`tar::Index`] walks an archive that can seek without reading what is in its files, and says where each member lies. An OCI layout or a
//! `docker save` in a tar is read in place so, several blobs at once, each as a range of the file. A name that stands twice means the last
//! member of it, as it does to tools that unpack.
//!
//! # Errors
//!
//! One [`Error`] for all, because readers are stacked: a tar reader over a decoder over a socket. It goes through [`std::io::Error`] and comes out
//! as it was. Its text names format, entry and byte; its [`kind`](Error::kind) tells malformed from truncated, and a limit from either.
//!
//! The example `layer` makes a layer, compresses it, reads it back, and shows how a liar is refused.
//!
//! ```
//! use teu_archive::codec::{Compression, Decoder, Encoder, Limits};
//! use teu_archive::tar::{Header, Reader, Writer};
//!
//! // A tar writer over an encoder over any sink; then the other way.
//! let encoder = Encoder::new(Vec::new(), Compression::Gzip, None)?;
//! let mut layer = Writer::new(encoder);
//! layer.append(&Header::directory("etc/"))?;
//! layer.append_data(&Header::file("etc/hostname", 4), b"teu\n")?;
//! let compressed = layer.finish()?.finish()?;
//!
//! let mut reader = Reader::new(Decoder::detect(&compressed[..], Limits::default())?);
//! let mut names = Vec::new();
//! while let Some(entry) = reader.next_entry()? {
//!     names.push(entry.header().path.clone());
//! }
//! // Reads on to the checksum that stands behind the archive's end.
//! reader.finish()?;
//! assert_eq!(names, [&b"etc/"[..], b"etc/hostname"]);
//! # Ok::<(), teu_archive::Error>(())
//! ```

pub mod codec;
pub mod tar;

mod error;

pub use error::{Error, ErrorKind, Escaped, Result};
