//! Where does one request end and the next begin? Bytes of HTTP/1.1 that readers read in different ways are refused (threat 93): a proxy before us
//! that takes the end of a request to be elsewhere would let one client write another's requests. Nothing is read here beyond what says that.

use std::ops::Range;

/// How HTTP/2 begins, which frames its requests beyond doubt.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The longest line before a chunk. Those of heads are bounded by the parser, which stops reading.
const SIZE_LINE: usize = 256;

/// Where in a stream of requests we are.
#[derive(Clone, Default)]
pub(crate) struct Framing {
    place: Place,
    /// What came before of the line that we are in.
    line: Vec<u8>,
    head: Head,
    /// Where in what was looked at last the length of content stands in a head that ended there.
    length_at: Option<Range<usize>>,
    /// How many heads ended.
    heads: u64,
    /// How long the content of the last head that ended is, where it said so.
    length: u64,
    /// How many bytes have come that HTTP/2 begins with; none where it is another version.
    preface: Preface,
    /// The most bytes of a head, if there is a limit.
    longest: Option<usize>,
    /// The most fields of one.
    most: Option<usize>,
}

/// Why bytes are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// They can be read in two ways.
    Ambiguous,
    /// They belong to a head that is too long; `within_first` is whether its first line has not ended.
    TooLong { within_first: bool },
    /// They end one more field than a head may have.
    TooMany,
}

#[derive(Clone, Copy)]
enum Preface {
    Matched(usize),
    No,
}

impl Default for Preface {
    fn default() -> Self {
        Self::Matched(0)
    }
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Place {
    /// In a line of a head.
    #[default]
    Head,
    /// In content, of which so much is left.
    Content(u64),
    /// In the line before a chunk.
    Size,
    /// In a chunk, of which so much is left.
    Chunk(u64),
    /// Behind a chunk, in the line that ends it.
    ChunkEnd,
    /// In a line behind the last chunk.
    Trailer,
    /// Where nothing need be looked at.
    Elsewhere,
}

/// What a head says of what follows it.
#[derive(Clone, Copy, Default)]
struct Head {
    /// Whether the request's first line was there.
    has_begun: bool,
    version: Version,
    /// How many bytes of it came.
    size: usize,
    /// How many fields.
    fields: usize,
    hosts: usize,
    length: Option<u64>,
    is_chunked: bool,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Version {
    /// One that the parser answers for.
    #[default]
    Other,
    Http10,
    Http11,
}

/// What came is wrong.
#[derive(Debug, PartialEq, Eq)]
struct Wrong;

impl Framing {
    /// Of heads that have so many bytes and fields at most.
    pub(crate) fn of_heads(longest: usize, most: usize) -> Self {
        Self {
            longest: Some(longest),
            most: Some(most),
            ..Self::default()
        }
    }

    /// How long the content is that the next byte belongs to, where that was said, and how much of it is left.
    pub(crate) fn content(&self) -> Option<(u64, u64)> {
        match self.place {
            Place::Content(left) => Some((self.length, left)),
            _ => None,
        }
    }

    /// How many heads ended.
    pub(crate) fn heads(&self) -> u64 {
        self.heads
    }

    /// Where in what was looked at last the digits of a length stand whose head ended there.
    pub(crate) fn length_at(&mut self) -> Option<Range<usize>> {
        self.length_at.take()
    }

    /// So many bytes of content came that nobody looked at.
    pub(crate) fn pass(&mut self, count: u64) {
        if let Place::Content(left) = self.place {
            self.place = match left.saturating_sub(count) {
                0 => Place::Head,
                left => Place::Content(left),
            };
        }
    }

    /// Looks at the next bytes; the place of the first that is wrong, and why it is.
    pub(crate) fn look(&mut self, bytes: &[u8]) -> Option<(usize, Fault)> {
        if self.is_http2(bytes) {
            self.place = Place::Elsewhere;
        }
        self.length_at = None;
        let mut found: Option<Range<usize>> = None;
        let mut at = 0;
        while at < bytes.len() {
            let rest = &bytes[at..];
            match self.place {
                Place::Elsewhere => return None,
                Place::Content(left) | Place::Chunk(left) => {
                    let taken = left.min(rest.len() as u64);
                    // It is no more than the rest.
                    at += taken as usize;
                    self.place = match (self.place, left - taken) {
                        (Place::Content(_), 0) => Place::Head,
                        (Place::Content(_), left) => Place::Content(left),
                        (_, 0) => Place::ChunkEnd,
                        (_, left) => Place::Chunk(left),
                    };
                }
                Place::Head | Place::Size | Place::ChunkEnd | Place::Trailer => {
                    let end = rest.iter().position(|byte| *byte == b'\n');
                    let part = &rest[..end.map_or(rest.len(), |end| end + 1)];
                    if let Some(wrong) = self.wrong_byte(part) {
                        return Some((at + wrong, Fault::Ambiguous));
                    }
                    if self.place == Place::Head {
                        self.head.size += part.len();
                        if self.longest.is_some_and(|longest| self.head.size > longest) {
                            let within_first = !self.head.has_begun;
                            return Some((at, Fault::TooLong { within_first }));
                        }
                        let is_field = self.head.has_begun && end.is_some() && self.line.len() + part.len() > 2;
                        if is_field && self.most.is_some_and(|most| self.head.fields >= most) {
                            return Some((at, Fault::TooMany));
                        }
                    }
                    let (begin, had_length) = (at, self.head.length.is_some());
                    at += part.len();
                    let is_whole = self.line.is_empty();
                    let (was_head, had_begun) = (self.place == Place::Head, self.head.has_begun);
                    let is_wrong = match end {
                        None => {
                            self.line.extend_from_slice(part);
                            self.place == Place::Size && self.line.len() > SIZE_LINE
                        }
                        Some(_) if self.line.is_empty() => self.end_line(part).is_err(),
                        Some(_) => {
                            let mut line = std::mem::take(&mut self.line);
                            line.extend_from_slice(part);
                            self.end_line(&line).is_err()
                        }
                    };
                    if is_wrong {
                        return Some((at - 1, Fault::Ambiguous));
                    }
                    if was_head && is_whole && !had_length && self.head.length.is_some() {
                        found = digits(part).map(|digits| begin + digits.start..begin + digits.end);
                    }
                    if was_head && had_begun && !self.head.has_begun {
                        self.heads += 1;
                    }
                    if let (true, Place::Content(length)) = (was_head, self.place) {
                        self.length = length;
                        self.length_at = found.take();
                    }
                }
            }
        }
        None
    }

    /// Whether nothing came yet.
    pub(crate) fn is_new(&self) -> bool {
        self.heads == 0 && self.head.size == 0
    }

    /// Whether a request has begun and not ended.
    pub(crate) fn is_within(&self) -> bool {
        match self.place {
            Place::Head => self.head.has_begun || !self.line.is_empty(),
            place => place != Place::Elsewhere,
        }
    }

    /// Whether the head of a request has begun and not ended.
    pub(crate) fn is_within_head(&self) -> bool {
        self.place == Place::Head && self.is_within()
    }

    /// Whether the next byte is one of a head.
    pub(crate) fn is_at_head(&self) -> bool {
        self.place == Place::Head
    }

    /// Whether the connection has begun as HTTP/2 does, to the end of it.
    fn is_http2(&mut self, bytes: &[u8]) -> bool {
        let Preface::Matched(matched) = self.preface else {
            return false;
        };
        let expected = &PREFACE[matched..];
        let count = expected.len().min(bytes.len());
        self.preface = match expected[..count] == bytes[..count] {
            true => Preface::Matched(matched + count),
            false => Preface::No,
        };
        matches!(self.preface, Preface::Matched(matched) if matched == PREFACE.len())
    }

    /// The first byte of a part of a line that cannot stand in one: a control character, or a CR that does not end it.
    fn wrong_byte(&self, part: &[u8]) -> Option<usize> {
        let mut returned = self.line.last() == Some(&b'\r');
        for (at, byte) in part.iter().enumerate() {
            let is_wrong = match byte {
                b'\n' => !returned,
                _ if returned => true,
                b'\r' | b'\t' => false,
                byte => byte.is_ascii_control(),
            };
            if is_wrong {
                return Some(at);
            }
            returned = *byte == b'\r';
        }
        None
    }

    /// Reads a line that has come to its end.
    fn end_line(&mut self, line: &[u8]) -> Result<(), Wrong> {
        let text = line.strip_suffix(b"\r\n").ok_or(Wrong)?;
        self.place = match self.place {
            Place::Size => match size(text)? {
                0 => Place::Trailer,
                size => Place::Chunk(size),
            },
            Place::ChunkEnd if text.is_empty() => Place::Size,
            Place::Trailer if text.is_empty() => Place::Head,
            Place::Trailer => field(text).map(|_| Place::Trailer)?,
            Place::Head => self.head.read(text)?,
            _ => return Err(Wrong),
        };
        Ok(())
    }
}

impl Head {
    /// Takes in a line of a head; where the next bytes are.
    fn read(&mut self, line: &[u8]) -> Result<Place, Wrong> {
        if !self.has_begun {
            // Empty lines before a request are passed over (RFC 9112, 2.2).
            if !line.is_empty() {
                self.has_begun = true;
                self.version = match () {
                    () if line.ends_with(b" HTTP/1.1") => Version::Http11,
                    () if line.ends_with(b" HTTP/1.0") => Version::Http10,
                    () => Version::Other,
                };
            }
            return Ok(Place::Head);
        }
        if line.is_empty() {
            return std::mem::take(self).end();
        }
        self.fields += 1;
        let (name, value) = field(line)?;
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        if is("content-length") {
            let is_number = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
            let number = std::str::from_utf8(value).ok().and_then(|value| value.parse().ok());
            match (is_number, number, self.length) {
                (true, Some(length), None) => self.length = Some(length),
                _ => return Err(Wrong),
            }
        } else if is("transfer-encoding") {
            if self.is_chunked || !value.eq_ignore_ascii_case(b"chunked") {
                return Err(Wrong);
            }
            self.is_chunked = true;
        } else if is("host") {
            self.hosts += 1;
        }
        Ok(Place::Head)
    }

    fn end(self) -> Result<Place, Wrong> {
        let hosts_are_wrong = match self.version {
            Version::Http11 => self.hosts != 1,
            _ => self.hosts > 1,
        };
        match (self.is_chunked, self.length) {
            _ if hosts_are_wrong => Err(Wrong),
            (true, Some(_)) => Err(Wrong),
            (true, None) if self.version != Version::Http11 => Err(Wrong),
            (true, None) => Ok(Place::Size),
            (false, None | Some(0)) => Ok(Place::Head),
            (false, Some(length)) => Ok(Place::Content(length)),
        }
    }
}

/// Where the digits stand in a line that says a length.
fn digits(line: &[u8]) -> Option<Range<usize>> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    let begin = colon + 1 + line[colon + 1..].iter().position(u8::is_ascii_digit)?;
    let count = line[begin..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    Some(begin..begin + count)
}

/// The name and the value of a field. A line that goes on with the one before it is none.
fn field(line: &[u8]) -> Result<(&[u8], &[u8]), Wrong> {
    let colon = line.iter().position(|byte| *byte == b':').ok_or(Wrong)?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    match name.iter().any(|byte| matches!(byte, b' ' | b'\t')) || name.is_empty() {
        true => Err(Wrong),
        false => Ok((name, value.trim_ascii())),
    }
}

/// The size of a chunk. What may stand behind it says nothing here.
fn size(line: &[u8]) -> Result<u64, Wrong> {
    if line.len() > SIZE_LINE {
        return Err(Wrong);
    }
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let (digits, rest) = line.split_at(digits);
    let rest = rest.trim_ascii_start();
    if !rest.is_empty() && !rest.starts_with(b";") {
        return Err(Wrong);
    }
    let digits = std::str::from_utf8(digits).map_err(|_| Wrong)?;
    u64::from_str_radix(digits, 16).map_err(|_| Wrong)
}

#[cfg(test)]
mod tests;
