//! What does Go's encoding/json make of a value? Its bytes, for output that must be the same as skopeo's.
//!
//! Beyond JSON itself Go writes `<`, `>` and `&` as `\u003c`, `\u003e` and `\u0026`, and so U+2028 and U+2029; other characters stand as
//! they are. Maps are sorted by key, which is for the caller to do: a `BTreeMap` is. A struct's fields stand in their order.

use std::io;

use serde::Serialize;
use serde_json::ser::{CompactFormatter, Formatter, PrettyFormatter};

use crate::Error;

/// As `json.Marshal` writes it: on one line.
///
/// # Errors
/// [`Error::Json`] for what is no JSON, such as a map whose keys are no strings.
pub fn compact<T: Serialize + ?Sized>(value: &T) -> Result<String, Error> {
    write(value, Escaped(CompactFormatter))
}

/// As `json.MarshalIndent` writes it, with no prefix, and no newline at the end: skopeo's indent is four spaces.
///
/// # Errors
/// [`Error::Json`] for what is no JSON, such as a map whose keys are no strings.
pub fn indented<T: Serialize + ?Sized>(value: &T, indent: &str) -> Result<String, Error> {
    write(value, Escaped(PrettyFormatter::with_indent(indent.as_bytes())))
}

fn write<T: Serialize + ?Sized, F: Formatter>(value: &T, formatter: F) -> Result<String, Error> {
    let mut out = Vec::new();
    value
        .serialize(&mut serde_json::Serializer::with_formatter(&mut out, formatter))
        .map_err(|error| Error::Json(error.to_string()))?;
    String::from_utf8(out).map_err(|error| Error::Json(error.to_string()))
}

/// Another layout, with Go's escapes in its strings.
struct Escaped<F>(F);

macro_rules! forward {
    ($($method:ident $(($argument:ident: $kind:ty))?,)*) => {
        $(fn $method<W: io::Write + ?Sized>(&mut self, writer: &mut W $(, $argument: $kind)?) -> io::Result<()> {
            self.0.$method(writer $(, $argument)?)
        })*
    };
}

impl<F: Formatter> Formatter for Escaped<F> {
    forward! {
        begin_array,
        end_array,
        begin_array_value(first: bool),
        end_array_value,
        begin_object,
        end_object,
        begin_object_key(first: bool),
        end_object_key,
        begin_object_value,
        end_object_value,
    }

    fn write_string_fragment<W: io::Write + ?Sized>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        let special = |c: char| matches!(c, '<' | '>' | '&' | '\u{2028}' | '\u{2029}');
        let mut rest = fragment;
        while let Some(place) = rest.find(special) {
            let (plain, from) = rest.split_at(place);
            writer.write_all(plain.as_bytes())?;
            let mut after = from.chars();
            if let Some(c) = after.next() {
                write!(writer, "\\u{:04x}", u32::from(c))?;
            }
            rest = after.as_str();
        }
        writer.write_all(rest.as_bytes())
    }
}
