//! `Range` of what is read from a registry, and `Content-Range` of what is written to it: what is understood lies within, and means the same when
//! it is written again.

use teu_registry::fuzz::{chunk, range};

pub(crate) fn run(input: (&str, u64)) {
    let (header, size) = input;
    if let Some(found) = range(header, size) {
        assert!(
            found.start < found.end && found.end <= size,
            "{header:?} of {size}: {found:?}"
        );
        let written = format!("bytes={}-{}", found.start, found.end - 1);
        assert_eq!(range(&written, size), Some(found), "{header:?}");
    }
    if let Some((start, length)) = chunk(header) {
        assert!(length > 0);
        let end = start.checked_add(length - 1).expect("it has an end");
        for written in [format!("{start}-{end}"), format!("bytes {start}-{end}/*")] {
            assert_eq!(chunk(&written), Some((start, length)), "{header:?}");
        }
    }
}
