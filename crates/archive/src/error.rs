//! What can go wrong with an archive, said so that a person knows what to do.
//!
//! One type for tar and for the codecs, because they are stacked: a tar reader over a gzip decoder over a file must hand
//! up the decoder's error as it was. [`Error`] therefore survives the trip through [`std::io::Error`] in both directions.

use std::borrow::Cow;
use std::fmt;
use std::io;

/// The result of everything here that can fail.
pub type Result<T> = std::result::Result<T, Error>;

/// Why an archive was refused, or could not be read or written.
///
/// The text names the format, the entry and the byte offset where they are known, and for a limit the setting that
/// raises it. Names that came from an archive are escaped, so the text is safe on a terminal.
pub struct Error(Box<Repr>);

struct Repr {
    kind: ErrorKind,
    format: &'static str,
    what: Cow<'static, str>,
    offset: Option<u64>,
    entry: Option<Vec<u8>>,
    source: Option<io::Error>,
}

/// The class of an [`Error`], for callers that decide by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The bytes break the format, or readers would disagree about what they mean.
    Malformed,
    /// The input ended before what it announced was complete.
    Truncated,
    /// A limit was reached; the input may be an attack, or the limit too low for it.
    Limit {
        /// The field of the `Limits` structure that was reached.
        name: &'static str,
        /// Its value.
        limit: u64,
    },
    /// Well formed, as far as can be told, but of a kind that is not handled here.
    Unsupported,
    /// The source or the destination failed.
    Io,
}

impl Error {
    /// The class of this error.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The offset in the stream, in bytes, of the header or the bytes at fault, where it is known.
    ///
    /// For a tar stream it counts uncompressed bytes; for a codec, compressed ones.
    pub fn offset(&self) -> Option<u64> {
        self.0.offset
    }

    /// The name of the tar entry at fault, as it stands in the archive, where there is one.
    pub fn entry(&self) -> Option<&[u8]> {
        self.0.entry.as_deref()
    }

    /// What the source or the destination failed with, where that is [why](ErrorKind::Io): for who stacked readers of their own below this
    /// crate's, and looks for their error.
    pub fn into_io(self) -> Option<io::Error> {
        self.0.source
    }

    fn new(kind: ErrorKind, format: &'static str, what: Cow<'static, str>) -> Self {
        Error(Box::new(Repr {
            kind,
            format,
            what,
            offset: None,
            entry: None,
            source: None,
        }))
    }

    pub(crate) fn malformed(format: &'static str, what: impl Into<Cow<'static, str>>) -> Self {
        Error::new(ErrorKind::Malformed, format, what.into())
    }

    pub(crate) fn truncated(format: &'static str, what: impl Into<Cow<'static, str>>) -> Self {
        Error::new(ErrorKind::Truncated, format, what.into())
    }

    pub(crate) fn unsupported(format: &'static str, what: impl Into<Cow<'static, str>>) -> Self {
        Error::new(ErrorKind::Unsupported, format, what.into())
    }

    pub(crate) fn limit(
        format: &'static str,
        name: &'static str,
        limit: u64,
        what: impl Into<Cow<'static, str>>,
    ) -> Self {
        Error::new(ErrorKind::Limit { name, limit }, format, what.into())
    }

    /// Adds the offset, unless a place nearer to the cause has named one.
    pub(crate) fn at(mut self, offset: u64) -> Self {
        self.0.offset.get_or_insert(offset);
        self
    }

    /// Adds the entry's name, unless a place nearer to the cause has named one, or there is none yet.
    pub(crate) fn of(mut self, entry: &[u8]) -> Self {
        if !entry.is_empty() && self.0.entry.is_none() && self.0.format == "tar" {
            self.0.entry = Some(entry.to_vec());
        }
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Repr {
            kind,
            format,
            what,
            offset,
            entry,
            source,
        } = &*self.0;
        f.write_str(format)?;
        if let Some(entry) = entry {
            write!(f, " entry \"{}\"", Escaped(entry))?;
        }
        if let Some(offset) = offset {
            write!(f, " at byte {offset}")?;
        }
        write!(f, ": {what}")?;
        if let ErrorKind::Limit { name, limit } = kind {
            write!(
                f,
                " (the limit {name} is {limit}; raise it only for an archive that you trust)"
            )?;
        }
        if let Some(source) = source {
            write!(f, ": {source}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Error({:?}, {self})", self.kind())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        // The text already ends with the source's own, so the chain goes on below it.
        self.0
            .source
            .as_ref()
            .and_then(|source| source.get_ref())
            .and_then(|inner| inner.source())
    }
}

/// Takes an [`Error`] out again that travelled inside an [`io::Error`]; anything else becomes [`ErrorKind::Io`].
impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        match error.downcast::<Error>() {
            Ok(ours) => ours,
            Err(error) => {
                let mut wrapped = Error::new(ErrorKind::Io, "archive", "reading or writing failed".into());
                wrapped.0.source = Some(error);
                wrapped
            }
        }
    }
}

/// Carries an [`Error`] through an interface of [`std::io`]; an error that began as an [`io::Error`] keeps its kind.
impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = match error.kind() {
            ErrorKind::Malformed | ErrorKind::Limit { .. } => io::ErrorKind::InvalidData,
            ErrorKind::Truncated => io::ErrorKind::UnexpectedEof,
            ErrorKind::Unsupported => io::ErrorKind::Unsupported,
            ErrorKind::Io => error.0.source.as_ref().map_or(io::ErrorKind::Other, io::Error::kind),
        };
        io::Error::new(kind, error)
    }
}

/// Shows bytes that came from an archive without letting them act on a terminal or break a line.
///
/// Valid UTF-8 is shown as it is, but for control characters, quotes and backslashes, which are escaped as Rust would;
/// other bytes appear as `\xNN`.
///
/// ```
/// use teu_archive::Escaped;
/// assert_eq!(Escaped(b"caf\xc3\xa9/\x1b[31m\xff").to_string(), r"café/\u{1b}[31m\xff");
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Escaped<'a>(pub &'a [u8]);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            let valid = chunk.valid();
            // As nearly all names are: character by character takes ten times as long.
            match valid.bytes().all(is_plain) {
                true => f.write_str(valid)?,
                false => write!(f, "{}", valid.escape_debug())?,
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

/// Whether it is a character that stands for itself wherever it stands.
fn is_plain(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\'' | b'\\')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_byte_is_shown_as_rust_escapes_it() {
        for byte in 0..=127 {
            let text = [b'a', byte, b'b'];
            let escaped = str::from_utf8(&text).unwrap().escape_debug().to_string();
            assert_eq!(Escaped(&text).to_string(), escaped);
        }
    }

    #[test]
    fn text_names_format_entry_offset_and_limit() {
        let error = Error::limit("tar", "name_bytes", 4096, "the name has 5000 bytes")
            .at(512)
            .of(b"a\nb");
        assert_eq!(
            error.to_string(),
            "tar entry \"a\\nb\" at byte 512: the name has 5000 bytes \
             (the limit name_bytes is 4096; raise it only for an archive that you trust)"
        );
    }

    #[test]
    fn survives_the_trip_through_io() {
        let there = io::Error::from(Error::truncated("gzip", "cut").at(7));
        assert_eq!(there.kind(), io::ErrorKind::UnexpectedEof);
        let back = Error::from(there);
        assert_eq!((back.kind(), back.offset()), (ErrorKind::Truncated, Some(7)));
    }

    #[test]
    fn a_foreign_io_error_keeps_its_kind() {
        let error = Error::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!(error.kind(), ErrorKind::Io);
        assert_eq!(io::Error::from(error).kind(), io::ErrorKind::BrokenPipe);
    }

    #[test]
    fn the_first_place_to_name_an_offset_wins() {
        assert_eq!(Error::malformed("tar", "x").at(1).at(2).offset(), Some(1));
    }
}
