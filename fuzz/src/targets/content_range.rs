//! `Content-Range` of a registry that nobody vouches for: what is understood is a range.

use teu_transport::remote::fuzz::content_range;

pub(crate) fn run(text: &str) {
    let Some((start, end, size)) = content_range(text) else {
        return;
    };
    assert!(start < end && size.is_none_or(|size| end <= size));
    let size_text = size.map_or("*".to_owned(), |size| size.to_string());
    let written = format!("bytes {start}-{}/{size_text}", end - 1);
    assert_eq!(content_range(&written), Some((start, end, size)));
}
