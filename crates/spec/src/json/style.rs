//! How is a document laid out, so that what is new in it looks like what is old? Compact, spaced, or with lines and an indent.

use std::io;

use bytes::Bytes;
use serde::Serialize;
use serde_json::ser::Formatter;

use crate::Error;

/// The manner of one document, read off its root.
#[derive(Clone, Debug)]
pub(super) struct Style {
    /// The line break and one level's indent, where entries have lines of their own.
    line: Option<(Bytes, Bytes)>,
    /// What stands behind a comma where they have not.
    gap: Bytes,
    /// The colon with the white space around it.
    colon: Bytes,
}

impl Style {
    /// The style of a root whose first entries have the white space `leads` before them, and `colon` behind the first key.
    pub(super) fn of(leads: &[&[u8]], colon: Option<&[u8]>) -> Self {
        let colon = colon.unwrap_or(b":");
        let line = leads.first().and_then(|lead| {
            let newline = lead.iter().rposition(|byte| *byte == b'\n')?;
            let windows = newline > 0 && lead[newline - 1] == b'\r';
            let newline_text: &'static [u8] = if windows { b"\r\n" } else { b"\n" };
            Some((
                Bytes::from_static(newline_text),
                Bytes::copy_from_slice(&lead[newline + 1..]),
            ))
        });
        let gap = match leads.get(1) {
            Some(second) if !second.contains(&b'\n') => second,
            // One entry shows no comma; who puts a space behind a colon puts one behind a comma.
            _ if colon.ends_with(b" ") => &b" "[..],
            _ => b"",
        };
        Self {
            line,
            gap: Bytes::copy_from_slice(gap),
            colon: Bytes::copy_from_slice(colon),
        }
    }

    pub(super) fn colon(&self) -> Bytes {
        self.colon.clone()
    }

    /// The white space before something on a line of its own at `depth`, or none.
    pub(super) fn line(&self, depth: usize) -> Bytes {
        match &self.line {
            Some((newline, indent)) => [newline, indent.repeat(depth).as_slice()].concat().into(),
            None => Bytes::new(),
        }
    }

    /// The white space between two entries of a container that has one, with `first_lead` before it.
    pub(super) fn between(&self, first_lead: &Bytes) -> Bytes {
        if first_lead.contains(&b'\n') {
            first_lead.clone()
        } else {
            self.gap.clone()
        }
    }

    /// The text of `value` where the white space `lead` stands before it, `depth` levels deep.
    pub(super) fn render<T: Serialize + ?Sized>(&self, value: &T, lead: &[u8], depth: usize) -> Result<Bytes, Error> {
        let on_lines = lead.contains(&b'\n');
        let mut out = Vec::new();
        let formatter = Layout {
            style: self,
            on_lines,
            depth,
            filled: false,
        };
        value
            .serialize(&mut serde_json::Serializer::with_formatter(&mut out, formatter))
            .map_err(|error| Error::Json(error.to_string()))?;
        Ok(out.into())
    }
}

/// Writes a value by a [`Style`].
struct Layout<'a> {
    style: &'a Style,
    on_lines: bool,
    depth: usize,
    /// Whether the container that just ended had anything in it.
    filled: bool,
}

impl Layout<'_> {
    fn begin(&mut self) {
        self.depth += 1;
        self.filled = false;
    }

    fn end<W: io::Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        self.depth -= 1;
        if self.filled && self.on_lines {
            writer.write_all(&self.style.line(self.depth))?;
        }
        self.filled = true;
        Ok(())
    }

    fn separate<W: io::Write + ?Sized>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if !first {
            writer.write_all(b",")?;
        }
        if self.on_lines && self.style.line.is_some() {
            writer.write_all(&self.style.line(self.depth))
        } else if first {
            Ok(())
        } else {
            writer.write_all(&self.style.gap)
        }
    }
}

impl Formatter for Layout<'_> {
    fn begin_array<W: io::Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        self.begin();
        writer.write_all(b"[")
    }

    fn end_array<W: io::Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        self.end(writer)?;
        writer.write_all(b"]")
    }

    fn begin_array_value<W: io::Write + ?Sized>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.separate(writer, first)
    }

    fn end_array_value<W: io::Write + ?Sized>(&mut self, _: &mut W) -> io::Result<()> {
        self.filled = true;
        Ok(())
    }

    fn begin_object<W: io::Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        self.begin();
        writer.write_all(b"{")
    }

    fn end_object<W: io::Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        self.end(writer)?;
        writer.write_all(b"}")
    }

    fn begin_object_key<W: io::Write + ?Sized>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.separate(writer, first)
    }

    fn begin_object_value<W: io::Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(&self.style.colon)
    }

    fn end_object_value<W: io::Write + ?Sized>(&mut self, _: &mut W) -> io::Result<()> {
        self.filled = true;
        Ok(())
    }
}
