//! What must hold of a compressed stream that nobody vouches for?

use std::io::Read;

use teu_archive::codec::{Compression, Decoder, Limits};

/// Decodes it under small limits, in large reads and in small ones, which say the same: its content, if it has an end.
pub(crate) fn whole(bytes: &[u8], compression: Compression) -> Option<Vec<u8>> {
    let limits = Limits {
        output_bytes: 1 << 20,
        window_bytes: 1 << 20,
        ..Limits::default()
    };
    let read = |size| read(Decoder::new(bytes, compression, limits.clone()), size);
    let (whole, ended) = read(1 << 16);
    assert!(whole.len() as u64 <= limits.output_bytes);
    let (pieces, pieces_ended) = read(7);
    assert_eq!(ended, pieces_ended);
    // A broken stream may be found broken a little earlier or later.
    let common = whole.len().min(pieces.len());
    assert_eq!(whole[..common], pieces[..common]);
    assert!(!ended || whole == pieces);
    if ended {
        from_places(bytes, compression, &limits, &whole);
    }
    ended.then_some(whole)
}

/// From whatever place a decoder comes by, the rest is the same.
fn from_places(bytes: &[u8], compression: Compression, limits: &Limits, whole: &[u8]) {
    let every = bytes.len() as u64 / 8 + 1;
    let mut decoder = Decoder::new(bytes, compression, limits.clone()).with_places(every);
    let (content, ended) = read(&mut decoder, 1 << 16);
    assert!(ended && content == whole);
    for place in decoder.take_places() {
        let rest = &bytes[place.input as usize..];
        let decoder = Decoder::at(rest, compression, &place, limits.clone()).expect("it came by there");
        let (content, ended) = read(decoder, 1 << 16);
        assert!(ended && content == whole[place.output as usize..]);
    }
}

/// What comes out with reads of a size, and whether the end was reached.
fn read(mut decoder: impl Read, size: usize) -> (Vec<u8>, bool) {
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
