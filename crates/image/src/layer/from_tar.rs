//! How does a tar archive become a layer? It is read strictly, to its end, and kept byte for byte where it is compressed as wanted; else it
//! is compressed anew, the archive in it staying as it is.

use std::io::{self, Read, Write};

use teu_archive::{
    ErrorKind as Broken,
    codec::{self, Compression, Decoder},
    tar,
};
use teu_rootfs::Budget;
use teu_spec::LayerCompression;
use teu_store::{
    Error, ErrorKind, Result, Target,
    blocking::{self, Outlet},
};

use super::{
    Options, Written,
    digested::{Content, Digested},
    pour,
    whole::Whole,
    written,
};
use crate::entry;

/// Which archives stay as they came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Keep {
    /// Those that are compressed as [`Options::compression`] says, at whatever level.
    #[default]
    SameCompression,
    /// Those that are compressed at all; one that is not is compressed as wanted.
    AnyCompression,
    /// None: the bytes are those that this version of the compressors makes.
    Nothing,
}

/// What a layer may ask of who reads it.
#[derive(Clone, Debug, Default)]
pub struct Limits {
    /// Of its compression; of what is written, the usual ones hold.
    pub codec: codec::Limits,
    /// Of its entries.
    pub tar: tar::Limits,
    /// Of who unpacks it, of which names, paths and sizes count here.
    pub budget: Budget,
}

/// Makes a layer of a tar archive, plain or in gzip or zstd, which is read on a thread for blocking work. [`Options::times`] are not looked at.
/// It is told, too, whether the layer is whole: whether it can be unpacked whatever lies below, as it has each directory before what is in it, and each
/// file before the hard links to it. Of one that is not, nobody knows that.
///
/// # Errors
/// `Invalid` where it is no archive, or is malformed or cut off, if only in the last file's padding, or has an entry that nobody could unpack whatever lies below; `TooLarge` where it reaches a limit; `Unsupported` for what no layer holds;
/// what reading it says; what the target says. Nothing is left behind.
pub async fn from_tar(
    target: &dyn Target,
    options: &Options,
    input: impl Read + Send + 'static,
    keep: Keep,
) -> Result<(Written, bool)> {
    let mut options = options.at(target);
    let (beginning, input) = blocking::run(move || peek(input)).await?;
    let found = match Compression::of(&beginning) {
        Compression::None => LayerCompression::None,
        Compression::Gzip => LayerCompression::Gzip,
        Compression::Zstd => LayerCompression::Zstd,
    };
    let kept = match keep {
        Keep::Nothing => false,
        Keep::SameCompression => found == options.compression,
        Keep::AnyCompression => {
            found == options.compression || (found != LayerCompression::None && !target.takes().uncompressed_only)
        }
    };
    if kept {
        options.compression = found;
    }
    let compression = options.compression;
    let input = io::Cursor::new(beginning).chain(input);
    let (committed, (content, found)) = pour(target, compression, options.algorithm, move |outlet| {
        let (content, found) = match kept {
            true => as_it_is(input, outlet, &options)?,
            false => anew(input, outlet, &options)?,
        };
        Ok((content.diff_id, (content, found)))
    })
    .await?;
    Ok((written(committed, content, found.entries, compression), found.is_whole))
}

fn as_it_is(input: impl Read, outlet: &mut Outlet, options: &Options) -> Result<(Content, Found)> {
    // The content is only hashed.
    let only_hashed = Options {
        compression: LayerCompression::None,
        level: None,
        ..options.clone()
    };
    let mut digested = Digested::new(io::sink(), &only_hashed)?;
    let mut input = Tap {
        reader: input,
        tap: outlet,
    };
    let found = check(&mut input, &mut digested, &options.limits)?;
    // A decoder may stop at the end of what it reads; the blob has every byte.
    io::copy(&mut input, &mut io::sink())?;
    Ok((digested.finish()?, found))
}

fn anew(input: impl Read, outlet: &mut Outlet, options: &Options) -> Result<(Content, Found)> {
    let mut digested = Digested::new(outlet, options)?;
    let found = check(input, &mut digested, &options.limits)?;
    Ok((digested.finish()?, found))
}

/// What is in an archive.
struct Found {
    entries: u64,
    is_whole: bool,
}

/// Reads the archive strictly to its end, all of which goes into `sink` too.
fn check(input: impl Read, sink: &mut impl Write, limits: &Limits) -> Result<Found> {
    let input = Tap {
        reader: Decoder::detect(input, limits.codec.clone())?,
        tap: sink,
    };
    let mut reader = tar::Reader::with_limits(input, limits.tar.clone());
    let (mut entries, mut whole) = (0, Whole::new());
    while let Some(entry) = reader.next_entry().map_err(|error| explained(error, entries))? {
        let action = entry::check(entry.header(), &limits.budget).map_err(|why| Error::new(ErrorKind::Invalid, why))?;
        entries += 1;
        whole.add(&action, entry.header());
    }
    let (_, end) = reader.finish()?;
    if end == tar::End::NoPadding {
        let message = "it ends within the padding of its last file: it was cut off, and may have had other files; make it anew, or, where all is there, \
                       fill it up with truncate -s %512 and append it then";
        return Err(Error::new(ErrorKind::Invalid, message));
    }
    if entries == 0 && end == tar::End::NoMarker {
        return Err(Error::new(
            ErrorKind::Invalid,
            format!("there is nothing in it: it is no tar archive{AS_IT_IS}"),
        ));
    }
    Ok(Found {
        entries,
        is_whole: whole.is_whole(),
    })
}

/// What to do with a file that is no archive.
const AS_IT_IS: &str = "; teu insert puts a file into an image as it is";

/// What is wrong from its first byte on was hardly made as an archive.
fn explained(error: teu_archive::Error, entries: u64) -> Error {
    let broken = matches!(error.kind(), Broken::Malformed | Broken::Truncated);
    match broken && entries == 0 && error.offset() == Some(0) {
        true => Error::new(ErrorKind::Invalid, format!("{error}{AS_IT_IS}")),
        false => error.into(),
    }
}

/// The first bytes, which say how it is compressed.
fn peek<R: Read>(mut input: R) -> Result<(Vec<u8>, R)> {
    let mut beginning = Vec::with_capacity(Compression::MAGIC_BYTES);
    input
        .by_ref()
        .take(Compression::MAGIC_BYTES as u64)
        .read_to_end(&mut beginning)?;
    Ok((beginning, input))
}

/// Gives what it reads to a sink, too.
struct Tap<R, W> {
    reader: R,
    tap: W,
}

impl<R: Read, W: Write> Read for Tap<R, W> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(buffer)?;
        self.tap.write_all(&buffer[..count])?;
        Ok(count)
    }
}
