//! `Range` of what is read from a registry, and `Content-Range` of what is written to it: what is understood lies within, and means the same when
//! it is written again.

use std::ops::Range;

use teu_registry::fuzz::{chunk, range};

pub(crate) fn run(input: (&str, u64)) {
    let (header, size) = input;
    let found = range(header, size);
    let is_there = |part: &Range<u64>| part.start < part.end && part.end <= size;
    assert!(found.iter().all(is_there), "{header:?} of {size}: {found:?}");
    // No byte is asked for twice.
    let sum: u64 = found.iter().map(|part| part.end - part.start).sum();
    assert!(sum <= size && found.len() <= 16, "{header:?} of {size}: {found:?}");
    if !found.is_empty() {
        let texts: Vec<String> = found
            .iter()
            .map(|part| format!("{}-{}", part.start, part.end - 1))
            .collect();
        assert_eq!(range(&format!("bytes={}", texts.join(",")), size), found, "{header:?}");
    }
    if let Some((start, length)) = chunk(header) {
        assert!(length > 0);
        let end = start.checked_add(length - 1).expect("it has an end");
        for written in [format!("{start}-{end}"), format!("bytes {start}-{end}/*")] {
            assert_eq!(chunk(&written), Some((start, length)), "{header:?}");
        }
    }
}
