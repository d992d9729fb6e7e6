//! How is a compressed stream read, when an enemy may have made it? To a checked end, within budgets.

use std::io::{self, Read};

use super::gunzip::Gunzip;
use super::place::{Place, Places};
use super::source::Source;
use super::unzstd::Unzstd;
use super::{Compression, Limits};
use crate::{Error, Result};

/// Reads what a gzip or zstd stream holds, or a stream that is not compressed as it is.
///
/// All members of a gzip stream and all frames of a zstd stream are read, one after the other, skippable frames passed over.
/// The end is an end only if the last member or frame is whole, its checksum and its sizes are right, and nothing follows.
/// (`gzip` and `pigz` ignore what follows the last member, with a warning; Go's library refuses it; engines use the one or the
/// other. So there is no telling who sees what, and this decoder refuses it, zeros too.)
///
/// Read with buffers of 64 KiB and more: the decoder writes straight into them. Nothing is to be made of bytes before the
/// end was seen, since a wrong checksum comes last. After an error every further read fails.
///
/// ```
/// use std::io::{Read, Write};
/// use teu_archive::codec::{Compression, Decoder, Encoder, Limits};
///
/// # fn main() -> teu_archive::Result<()> {
/// let mut encoder = Encoder::new(Vec::new(), Compression::Zstd, None)?;
/// encoder.write_all(b"a layer")?;
/// let compressed = encoder.finish()?;
///
/// let mut decoder = Decoder::detect(&compressed[..], Limits::default())?;
/// assert_eq!(decoder.compression(), Compression::Zstd);
/// let mut content = String::new();
/// decoder.read_to_string(&mut content)?;
/// assert_eq!(content, "a layer");
/// # Ok(())
/// # }
/// ```
pub struct Decoder<R> {
    source: Source<R>,
    format: Format,
    limits: Limits,
    output: u64,
    places: Places,
    failed: bool,
}

enum Format {
    Plain,
    Gzip(Box<Gunzip>),
    Zstd(Box<Unzstd>),
}

impl<R: Read> Decoder<R> {
    /// Reads a stream that is compressed as said. Nothing is read yet.
    pub fn new(source: R, compression: Compression, limits: Limits) -> Self {
        Decoder::over(Source::new(source), compression, limits)
    }

    /// Reads a stream that says itself how it is compressed, by its first bytes.
    ///
    /// # Errors
    /// [`Unsupported`](crate::ErrorKind::Unsupported) for xz and bzip2, which are recognised; what is not, is taken as not
    /// compressed. [`Io`](crate::ErrorKind::Io) if the source fails.
    pub fn detect(source: R, limits: Limits) -> Result<Self> {
        let mut source = Source::new(source);
        let beginning = source.peek(10)?;
        let other = match beginning {
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Some("xz"),
            [b'B', b'Z', b'h', b'1'..=b'9', 0x31, 0x41, 0x59, 0x26, 0x53, 0x59, ..] => Some("bzip2"),
            _ => None,
        };
        if let Some(other) = other {
            let what =
                format!("the stream is compressed with {other}; decompress it first (gzip and zstd are read here)");
            return Err(Error::unsupported("stream", what));
        }
        let compression = Compression::of(beginning);
        Ok(Decoder::over(source, compression, limits))
    }

    fn over(source: Source<R>, compression: Compression, limits: Limits) -> Self {
        let format = match compression {
            Compression::None => Format::Plain,
            Compression::Gzip => Format::Gzip(Box::default()),
            Compression::Zstd => Format::Zstd(Box::default()),
        };
        Decoder {
            source,
            format,
            limits,
            output: 0,
            places: Places::none(),
            failed: false,
        }
    }

    /// Reads a stream on from a place of it, at which `source` stands. Bytes are counted from there, for the limits too.
    ///
    /// It is not known then whether what is before the place is as it was; the checksum of a member of gzip that began there is checked.
    ///
    /// # Errors
    /// [`Malformed`](crate::ErrorKind::Malformed) for a place that no stream of this compression has.
    pub fn at(source: R, compression: Compression, place: &Place, limits: Limits) -> Result<Self> {
        place.check(compression)?;
        let mut decoder = Decoder::new(source, compression, limits);
        match &mut decoder.format {
            Format::Plain => {}
            Format::Gzip(gunzip) => **gunzip = Gunzip::at(place),
            Format::Zstd(unzstd) => **unzstd = Unzstd::at(place),
        }
        Ok(decoder)
    }

    /// Remembers [places](Decoder::take_places) that come by from now on, with at least `every` bytes of input before each and between two: the
    /// beginnings of blocks and members of gzip, and of frames of zstd.
    #[must_use]
    pub fn with_places(mut self, every: u64) -> Self {
        self.places = Places::every(every);
        self
    }

    /// The places that came by since this was asked last. Each has up to 32 KiB.
    pub fn take_places(&mut self) -> Vec<Place> {
        std::mem::take(&mut self.places.found)
    }

    /// How the stream is compressed.
    pub fn compression(&self) -> Compression {
        match self.format {
            Format::Plain => Compression::None,
            Format::Gzip(_) => Compression::Gzip,
            Format::Zstd(_) => Compression::Zstd,
        }
    }

    /// Compressed bytes that were used so far; the source was read a little further.
    pub fn input_bytes(&self) -> u64 {
        self.source.offset()
    }

    /// Bytes that were given out so far.
    pub fn output_bytes(&self) -> u64 {
        self.output
    }

    /// The source. To read from it would lose bytes.
    pub fn get_ref(&self) -> &R {
        self.source.get_ref()
    }

    /// Gives the source back, wherever it stands. At the end of the stream that is the source's own end.
    pub fn into_inner(self) -> R {
        self.source.into_inner()
    }

    fn decode(&mut self, into: &mut [u8]) -> Result<usize> {
        // One byte more than the budget, so that a stream that just fits comes to its end.
        let left = (self.limits.output_bytes - self.output).saturating_add(1);
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(into.len());
        let into = &mut into[..most];
        let (source, limits, places) = (&mut self.source, &self.limits, &mut self.places);
        places.output = self.output;
        let count = match &mut self.format {
            Format::Plain => source.read(into)?,
            Format::Gzip(gunzip) => gunzip.read(source, limits, places, into)?,
            Format::Zstd(unzstd) => unzstd.read(source, limits, places, into)?,
        };
        let output = self.output + count as u64;
        let format = self.compression().format();
        let Limits {
            output_bytes,
            ratio,
            ratio_from,
            ..
        } = self.limits;
        if output > output_bytes {
            return Err(Error::limit(
                format,
                "output_bytes",
                output_bytes,
                "the stream holds more than it may",
            ));
        }
        if output > ratio_from && output / ratio.max(1) > self.source.offset() {
            let input = self.source.offset();
            let what = format!("{output} bytes come out of {input}, as of a bomb");
            return Err(Error::limit(format, "ratio", ratio, what));
        }
        self.output = output;
        Ok(count)
    }
}

impl<R: Read> Read for Decoder<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if into.is_empty() {
            return Ok(0);
        }
        let format = self.compression().format();
        if self.failed {
            return Err(Error::malformed(format, "an earlier error ended the reading of this stream").into());
        }
        self.decode(into).map_err(|error| {
            self.failed = true;
            error.at(self.source.offset()).into()
        })
    }
}

impl<R> std::fmt::Debug for Decoder<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let format = match self.format {
            Format::Plain => Compression::None,
            Format::Gzip(_) => Compression::Gzip,
            Format::Zstd(_) => Compression::Zstd,
        };
        f.debug_struct("Decoder")
            .field("compression", &format)
            .field("output", &self.output)
            .finish_non_exhaustive()
    }
}
