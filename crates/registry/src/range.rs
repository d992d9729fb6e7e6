//! Which bytes are meant? `Range` of what is read (RFC 9110, 14.2), `Content-Range` of what is written.

use std::ops::Range;

/// What a `Range` asks for of content of a known size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// All of it, also where the header is none that we understand, or asks for more than there is any use in: RFC 9110 lets a server pass over it.
    All,
    /// These bytes, at least one part of them: no byte twice, and in the order in which they were asked for.
    Parts(Vec<Range<u64>>),
    /// Bytes that are not there.
    Nothing,
}

/// The most parts of one answer. Each takes a look at the store, and has a head of its own; whoever wants more takes all of it.
const PARTS: usize = 16;

/// Reads `Range`.
pub(crate) fn wanted(header: &str, size: u64) -> Wanted {
    let Some(set) = header.trim().strip_prefix("bytes=") else {
        return Wanted::All;
    };
    let set: Vec<&str> = set.split(',').take(PARTS + 1).collect();
    // Nothing has no parts. Some clients ask for a range of whatever they read, and are given it, as Go's servers do.
    if size == 0 || set.len() > PARTS {
        return Wanted::All;
    }
    let Some(mut parts) = set.into_iter().map(|text| part(text, size)).collect::<Option<Vec<_>>>() else {
        return Wanted::All;
    };
    parts.retain(|part| !part.is_empty());
    let mut in_order = parts.clone();
    in_order.sort_unstable_by_key(|part| part.start);
    let overlaps = in_order.windows(2).any(|pair| pair[0].end > pair[1].start);
    match (parts.is_empty(), overlaps) {
        (true, _) => Wanted::Nothing,
        // No byte is sent twice for being asked for twice (RFC 9110, 17.15).
        (false, true) => Wanted::All,
        (false, false) => Wanted::Parts(parts),
    }
}

/// Reads one range: the bytes of it that are there. None where it is not understood.
fn part(text: &str, size: u64) -> Option<Range<u64>> {
    let (first, last) = text.split_once('-')?;
    let (first, last) = (first.trim(), last.trim());
    match (first.is_empty(), number(first), last.is_empty(), number(last)) {
        (true, _, false, Some(count)) => Some(size.saturating_sub(count)..size),
        (false, Some(first), true, _) => Some(first.min(size)..size),
        // Its end before its beginning is no range at all by the grammar; clients expect to be told.
        (false, Some(first), false, Some(last)) => Some(first.min(size)..last.saturating_add(1).min(size)),
        _ => None,
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
        let parts = |parts: &[Range<u64>]| Wanted::Parts(parts.to_vec());
        let one = |part: Range<u64>| Wanted::Parts(vec![part]);
        for (header, size, expected) in [
            ("bytes=0-0", 10, one(0..1)),
            ("bytes=2-5", 10, one(2..6)),
            ("bytes=2-", 10, one(2..10)),
            ("bytes=-3", 10, one(7..10)),
            ("bytes=-30", 10, one(0..10)),
            ("bytes=0-", 10, one(0..10)),
            ("bytes=5-50", 10, one(5..10)),
            ("bytes=5-18446744073709551615", 10, one(5..10)),
            ("bytes=0-1,4-5", 10, parts(&[0..2, 4..6])),
            ("bytes=4-5, 0-1 ,-1", 10, parts(&[4..6, 0..2, 9..10])),
            ("bytes=0-0,1-1", 10, parts(&[0..1, 1..2])),
            // What is not there is left out, unless all is.
            ("bytes=0-1,20-30", 10, one(0..2)),
            ("bytes=10-,20-30", 10, Wanted::Nothing),
            ("bytes=0-5,5-9", 10, Wanted::All),
            ("bytes=0-,0-", 10, Wanted::All),
            ("bytes=0-1,x", 10, Wanted::All),
            ("bytes=0-1,", 10, Wanted::All),
            ("bytes=10-", 10, Wanted::Nothing),
            ("bytes=10-20", 10, Wanted::Nothing),
            ("bytes=5-2", 10, Wanted::Nothing),
            ("bytes=-0", 10, Wanted::Nothing),
            ("bytes=0-", 0, Wanted::All),
            ("bytes=-1", 0, Wanted::All),
            ("bytes=5-9", 0, Wanted::All),
            ("bytes=18446744073709551616-", 10, Wanted::All),
            ("bytes=+1-2", 10, Wanted::All),
            ("bytes=-", 10, Wanted::All),
            ("bytes", 10, Wanted::All),
            ("lines=1-2", 10, Wanted::All),
        ] {
            assert_eq!(wanted(header, size), expected, "{header} of {size}");
        }
        let of = |count: u64| {
            let texts: Vec<String> = (0..count).map(|place| format!("{0}-{0}", 2 * place)).collect();
            wanted(&format!("bytes={}", texts.join(",")), 100)
        };
        let most: Vec<Range<u64>> = (0..16).map(|place| 2 * place..2 * place + 1).collect();
        assert_eq!((of(16), of(17)), (Wanted::Parts(most), Wanted::All));
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
