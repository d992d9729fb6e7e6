//! `Content-Range` of a registry that nobody vouches for: what is understood is a range.
#![no_main]

use libfuzzer_sys::fuzz_target;
use teu_transport::remote::fuzz::content_range;

fuzz_target!(|text: &str| {
    let Some((start, end, size)) = content_range(text) else {
        return;
    };
    assert!(start < end && size.is_none_or(|size| end <= size));
    let size_text = size.map_or("*".to_owned(), |size| size.to_string());
    let written = format!("bytes {start}-{}/{size_text}", end - 1);
    assert_eq!(content_range(&written), Some((start, end, size)));
});
