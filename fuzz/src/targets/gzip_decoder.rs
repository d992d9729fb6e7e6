//! A gzip stream that nobody vouches for, under small limits; and what is read of it to its end is what zlib-rs reads.

use std::io::Read;

use teu_archive::codec::{Compression, Decoder, Limits};

pub(crate) fn run(bytes: &[u8]) {
    let limits = Limits {
        output_bytes: 1 << 20,
        window_bytes: 1 << 20,
        ..Limits::default()
    };
    let whole = read(bytes, &limits, 1 << 16);
    assert!(whole.0.len() as u64 <= limits.output_bytes);
    let pieces = read(bytes, &limits, 7);
    assert_eq!(whole.1, pieces.1);
    // A broken stream may be found broken a little earlier or later.
    let common = whole.0.len().min(pieces.0.len());
    assert_eq!(whole.0[..common], pieces.0[..common]);
    assert!(!whole.1 || whole.0 == pieces.0);
    if whole.1 {
        let mut other = Vec::new();
        let read = flate2::bufread::MultiGzDecoder::new(bytes).read_to_end(&mut other);
        assert!(read.is_ok() && other == whole.0);
    }
}

/// What comes out with reads of a size, and whether the end was reached.
fn read(bytes: &[u8], limits: &Limits, size: usize) -> (Vec<u8>, bool) {
    let mut decoder = Decoder::new(bytes, Compression::Gzip, limits.clone());
    let mut content = Vec::new();
    let mut buffer = vec![0; size];
    loop {
        match decoder.read(&mut buffer) {
            Ok(0) => return (content, true),
            Ok(count) => content.extend_from_slice(&buffer[..count]),
            Err(_) => return (content, false),
        }
    }
}
