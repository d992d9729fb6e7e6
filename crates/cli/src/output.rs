//! How does a result reach standard output? Whole, as text or JSON, and without a fuss where nobody reads on.

use std::io::{self, IsTerminal, Write};

use serde::Serialize;
use teu_spec::MediaType;

pub(crate) use crate::say::plain;
use crate::{failure::Failure, settings::Settings, terminal};

/// Writes bytes as they are.
pub(crate) fn bytes(content: &[u8]) -> Result<(), Failure> {
    let mut out = Stdout(io::stdout());
    out.write_all(content)?;
    out.flush()?;
    Ok(())
}

/// Standard output, whose errors say that it is. Nobody else is kept from it between two writes.
struct Stdout(io::Stdout);

impl Write for Stdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes).map_err(of_stdout)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush().map_err(of_stdout)
    }
}

fn of_stdout(error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("writing to standard output: {error}"))
}

/// Writes a document as it is; on a terminal with a newline behind it, so that the prompt stands where it should.
pub(crate) fn document(raw: &[u8]) -> Result<(), Failure> {
    bytes(raw)?;
    match io::stdout().is_terminal() && !raw.ends_with(b"\n") {
        true => bytes(b"\n"),
        false => Ok(()),
    }
}

/// Writes text with a newline behind it.
pub(crate) fn line(text: &str) -> Result<(), Failure> {
    bytes(format!("{text}\n").as_bytes())
}

/// Writes JSON as skopeo does: indented by four spaces, with Go's escapes.
pub(crate) fn json<T: Serialize + ?Sized>(value: &T) -> Result<(), Failure> {
    line(&teu_spec::go_json::indented(value, "    ")?)
}

/// Says what was done to programs that ask for it; people see that nothing failed.
pub(crate) fn done(settings: &Settings, report: impl FnOnce() -> serde_json::Value) -> Result<(), Failure> {
    match settings.json {
        true => json(&report()),
        false => Ok(()),
    }
}

/// Writes JSON as [`json`] does, of which one list is given value by value and never held; so may be a list in each of its values.
pub(crate) struct JsonList {
    out: Box<dyn Write + Send>,
    /// The lists that are begun, the outermost first.
    begun: Vec<Begun>,
}

struct Begun {
    /// The columns before its values.
    indent: usize,
    /// What stands behind them.
    end: String,
    is_empty: bool,
}

impl JsonList {
    /// Begins with what stands before the values; the list is empty in `told`, and has this name.
    pub(crate) fn begin(told: &serde_json::Value, list: &str) -> Result<Self, Failure> {
        let mut new = Self {
            out: Box::new(stream()),
            begun: Vec::new(),
        };
        new.begin_list(told, &[list])?;
        Ok(new)
    }

    pub(crate) fn value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Failure> {
        let indent = self.next()?;
        Ok(self.out.write_all(indented(value, indent)?.as_bytes())?)
    }

    /// Begins a value of which in turn the list at `path`, the names that lead to it, is given value by value.
    pub(crate) fn begin_value(&mut self, told: &serde_json::Value, path: &[&str]) -> Result<(), Failure> {
        self.next()?;
        self.begin_list(told, path)
    }

    /// Ends the value that was begun last.
    pub(crate) fn end_value(&mut self) -> Result<(), Failure> {
        let Some(list) = self.begun.pop() else {
            return Ok(());
        };
        if !list.is_empty {
            write!(self.out, "\n{:1$}", "", list.indent - STEP)?;
        }
        Ok(self.out.write_all(list.end.as_bytes())?)
    }

    pub(crate) fn end(mut self) -> Result<(), Failure> {
        self.end_value()?;
        self.out.write_all(b"\n")?;
        Ok(self.out.flush()?)
    }

    /// Has what was written so far be read.
    pub(crate) fn flush(&mut self) -> Result<(), Failure> {
        Ok(self.out.flush()?)
    }

    /// Ends it with these fields behind the list, which was the last in what was told.
    pub(crate) fn end_with(mut self, fields: &serde_json::Value) -> Result<(), Failure> {
        let fields = indented(fields, 0)?;
        if let Some(list) = self.begun.last_mut() {
            list.end = format!("],{}", fields.trim_start_matches('{'));
        }
        self.end()
    }

    /// Goes on where the next value stands, and says how far from the left.
    fn next(&mut self) -> Result<usize, Failure> {
        let Some(list) = self.begun.last_mut() else {
            return Ok(0);
        };
        let comma = if std::mem::take(&mut list.is_empty) { "" } else { "," };
        write!(self.out, "{comma}\n{:1$}", "", list.indent)?;
        Ok(list.indent)
    }

    fn begin_list(&mut self, told: &serde_json::Value, path: &[&str]) -> Result<(), Failure> {
        let base = self.begun.last().map_or(0, |list| list.indent);
        let (text, indent) = (indented(told, base)?, base + STEP * path.len());
        // No string has a line's end in it, and what is further in stands further right.
        let mark = format!("\n{:indent$}\"{}\": [", "", path.last().unwrap_or(&""));
        let (before, end) = text.split_once(&mark).unwrap_or((&text, ""));
        self.out.write_all(before.as_bytes())?;
        if before.len() < text.len() {
            self.out.write_all(mark.as_bytes())?;
        }
        self.begun.push(Begun {
            indent: indent + STEP,
            end: end.to_owned(),
            is_empty: true,
        });
        Ok(())
    }
}

/// How much further right stands what is in something.
const STEP: usize = 4;

/// JSON whose lines but the first stand so many columns further right.
fn indented<T: Serialize + ?Sized>(value: &T, base: usize) -> Result<String, Failure> {
    let text = teu_spec::go_json::indented(value, "    ")?;
    Ok(match base {
        0 => text,
        base => text.replace('\n', &format!("\n{:base$}", "")),
    })
}

/// Standard output, for what is written piece by piece.
pub(crate) fn stream() -> impl Write + Send {
    io::BufWriter::with_capacity(64 << 10, Stdout(io::stdout()))
}

/// Writes a table: columns as wide as they must be, two spaces between them.
pub(crate) fn table(rows: &[Vec<String>]) -> Result<(), Failure> {
    bytes(aligned(rows, None).as_bytes())
}

/// The same for rows whose ends may be long and are no more than told: on a terminal they are cut to its width.
pub(crate) fn cut_table(rows: &[Vec<String>]) -> Result<(), Failure> {
    bytes(aligned(rows, terminal::width(io::stdout()).map(usize::from)).as_bytes())
}

/// A table as text, for who writes more than that.
pub(crate) fn table_text(rows: &[Vec<String>]) -> String {
    aligned(rows, None)
}

/// The same of rows that are [cut](cut_table) on a terminal.
pub(crate) fn cut_text(rows: &[Vec<String>]) -> String {
    aligned(rows, terminal::width(io::stdout()).map(usize::from))
}

/// The widest that a column becomes, in characters: a longer cell pushes what is behind it in its own line alone. Whoever made an image
/// chose its words, and one long name must not fill up every line with spaces.
const WIDEST: usize = 200;

fn aligned(rows: &[Vec<String>], limit: Option<usize>) -> String {
    let mut columns = Columns::default();
    for row in rows {
        columns.take(row.iter().map(String::as_str));
    }
    let (mut text, mut line) = (String::new(), String::new());
    for row in rows {
        line.clear();
        columns.line(row.iter().map(String::as_str), &mut line);
        match limit {
            Some(limit) if line.chars().count() > limit => {
                text.extend(line.chars().take(limit.saturating_sub(1)));
                text.push('…');
            }
            _ => text.push_str(&line),
        }
        text.push('\n');
    }
    text
}

/// How wide the columns of a table are: for who goes over its rows twice, and holds none.
#[derive(Debug, Default)]
pub(crate) struct Columns(Vec<usize>);

impl Columns {
    /// Makes place for a row.
    pub(crate) fn take<'c>(&mut self, row: impl IntoIterator<Item = &'c str>) {
        for (column, cell) in row.into_iter().enumerate() {
            let width = width(cell);
            match self.0.get_mut(column) {
                Some(widest) => *widest = (*widest).max(width),
                None => self.0.push(width),
            }
        }
    }

    /// Adds a row that was taken in to `line`, which is empty, without an end of line.
    pub(crate) fn line<'c>(&self, row: impl IntoIterator<Item = &'c str>, line: &mut String) {
        // Only before what follows, which the last column has none of.
        let mut gap = 0;
        for (cell, widest) in row.into_iter().zip(&self.0) {
            if !cell.is_empty() {
                line.extend(std::iter::repeat_n(' ', gap));
                line.push_str(cell);
                gap = 0;
            }
            gap += widest - width(cell) + 2;
        }
        line.truncate(line.trim_end().len());
    }
}

/// How wide a cell makes its column.
fn width(cell: &str) -> usize {
    match cell.is_ascii() {
        true => cell.len().min(WIDEST),
        false => cell.chars().take(WIDEST).count(),
    }
}

/// Colours, where standard output is a terminal that shows them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Paint(bool);

impl Paint {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self(settings.colours && io::stdout().is_terminal())
    }

    pub(crate) fn strong(self, text: &str) -> String {
        self.with("1", text)
    }

    pub(crate) fn added(self, text: &str) -> String {
        self.with("32", text)
    }

    pub(crate) fn removed(self, text: &str) -> String {
        self.with("31", text)
    }

    pub(crate) fn changed(self, text: &str) -> String {
        self.with("33", text)
    }

    pub(crate) fn place(self, text: &str) -> String {
        self.with("36", text)
    }

    fn with(self, code: &str, text: &str) -> String {
        match self.0 {
            true => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
            false => text.to_owned(),
        }
    }
}

/// A number of bytes for people: `3.4 MB`.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["B", "kB", "MB", "GB", "TB", "PB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 999.95 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    match unit {
        0 => format!("{bytes} B"),
        _ => format!("{value:.1} {}", UNITS[unit]),
    }
}

/// A media type for people: its end, which is what differs.
pub(crate) fn kind(media_type: &MediaType) -> String {
    let text = plain(&media_type.to_string());
    let short = text.rsplit_once('/').map_or(text.as_str(), |(_, short)| short);
    let short = short.strip_prefix("vnd.oci.image.").unwrap_or(short);
    short.strip_prefix("vnd.").unwrap_or(short).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_short() {
        for (bytes, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 kB"),
            (3_419_706, "3.4 MB"),
            (999_999, "1.0 MB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }

    #[test]
    fn rows_are_cut_only_where_there_is_a_limit() {
        let rows = [["a", "first"], ["longer", "é second"]].map(|row| row.map(str::to_owned).to_vec());
        assert_eq!(aligned(&rows, None), "a       first\nlonger  é second\n");
        assert_eq!(aligned(&rows, Some(13)), "a       first\nlonger  é se…\n");
    }

    #[test]
    fn a_long_cell_widens_no_other_line() {
        let long = "x".repeat(70_000);
        let rows = [[long.as_str(), "1"], ["a", "2"]].map(|row| row.map(str::to_owned).to_vec());
        assert_eq!(
            aligned(&rows, None),
            format!("{long}  1\na{}2\n", " ".repeat(WIDEST + 1))
        );
    }
}
