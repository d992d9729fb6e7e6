//! Which bytes are meant? `Range` of what is read (RFC 9110, 14.2), `Content-Range` of what is written.

use std::ops::Range;

/// What a `Range` asks for of content of a known size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// All of it, also where the header is none that we understand, or asks for several parts: RFC 9110 lets a server pass over it.
    All,
    /// These bytes.
    Part(Range<u64>),
    /// Bytes that are not there.
    Nothing,
}

/// Reads `Range`.
pub(crate) fn wanted(header: &str, size: u64) -> Wanted {
    let Some(range) = header.trim().strip_prefix("bytes=") else {
        return Wanted::All;
    };
    let Some((first, last)) = range.split_once('-') else {
        return Wanted::All;
    };
    let (first, last) = (first.trim(), last.trim());
    let part = |range: Range<u64>| match range.is_empty() {
        true => Wanted::Nothing,
        false => Wanted::Part(range),
    };
    match (first.is_empty(), number(first), last.is_empty(), number(last)) {
        (true, _, false, Some(count)) => part(size.saturating_sub(count)..size),
        (false, Some(first), true, _) => part(first.min(size)..size),
        // Its end before its beginning is no range at all by the grammar; clients expect to be told.
        (false, Some(first), false, Some(last)) => part(first.min(size)..last.saturating_add(1).min(size)),
        _ => Wanted::All,
    }
}

/// Reads `Content-Range` of a chunk: `0-99` as distribution-spec has it, or RFC 9110's `bytes 0-99/*`. Where the chunk begins, and its length.
pub(crate) fn chunk(header: &str) -> Option<(u64, u64)> {
    let header = header.trim();
    let range = header
        .strip_prefix("bytes")
        .map_or(header, |rest| rest.trim_start_matches([' ', '=']));
    let range = range.split_once('/').map_or(range, |(range, _)| range);
    let (first, last) = range.split_once('-')?;
    let (first, last) = (number(first)?, number(last)?);
    let length = last.checked_sub(first)?.checked_add(1)?;
    Some((first, length))
}

/// Digits alone: `str::parse` would take a sign too.
fn number(text: &str) -> Option<u64> {
    match text.bytes().all(|byte| byte.is_ascii_digit()) {
        true => text.parse().ok(),
        false => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_they_are_meant() {
        for (header, size, expected) in [
            ("bytes=0-0", 10, Wanted::Part(0..1)),
            ("bytes=2-5", 10, Wanted::Part(2..6)),
            ("bytes=2-", 10, Wanted::Part(2..10)),
            ("bytes=-3", 10, Wanted::Part(7..10)),
            ("bytes=-30", 10, Wanted::Part(0..10)),
            ("bytes=5-50", 10, Wanted::Part(5..10)),
            ("bytes=5-18446744073709551615", 10, Wanted::Part(5..10)),
            ("bytes=10-", 10, Wanted::Nothing),
            ("bytes=10-20", 10, Wanted::Nothing),
            ("bytes=5-2", 10, Wanted::Nothing),
            ("bytes=-0", 10, Wanted::Nothing),
            ("bytes=0-", 0, Wanted::Nothing),
            ("bytes=0-1,4-5", 10, Wanted::All),
            ("bytes=18446744073709551616-", 10, Wanted::All),
            ("bytes=+1-2", 10, Wanted::All),
            ("bytes=-", 10, Wanted::All),
            ("bytes", 10, Wanted::All),
            ("lines=1-2", 10, Wanted::All),
        ] {
            assert_eq!(wanted(header, size), expected, "{header} of {size}");
        }
    }

    #[test]
    fn chunks_are_read_in_each_spelling() {
        for (header, expected) in [
            ("0-99", Some((0, 100))),
            ("100-100", Some((100, 1))),
            ("bytes 0-99/*", Some((0, 100))),
            ("bytes=5-9", Some((5, 5))),
            ("bytes 5-9/100", Some((5, 5))),
            ("9-5", None),
            ("0-18446744073709551615", None),
            ("-5", None),
            ("5-", None),
            ("a-b", None),
            ("", None),
        ] {
            assert_eq!(chunk(header), expected, "{header}");
        }
    }
}
