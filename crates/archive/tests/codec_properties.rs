//! What holds for every stream: what is encoded is decoded, and one that was tampered with never passes for another.

use std::io::{Read, Write};
use std::num::NonZeroUsize;

use proptest::collection::vec;
use proptest::prelude::*;
use teu_archive::codec::{Compression, Decoder, Encoder, Limits};

/// Runs of one byte and of random ones, as files have them.
fn content() -> impl Strategy<Value = Vec<u8>> {
    let run = (any::<u8>(), 0..2000usize).prop_map(|(byte, length)| vec![byte; length]);
    let runs = vec(prop_oneof![run, vec(any::<u8>(), 0..300)], 0..12);
    runs.prop_map(|runs| runs.concat())
}

fn compression() -> impl Strategy<Value = (Compression, i32)> {
    prop_oneof![
        (Just(Compression::Gzip), 0..=9i32),
        (Just(Compression::Zstd), -7..=8i32),
    ]
}

fn encode(content: &[u8], (compression, level): (Compression, i32), threads: usize, slice: usize) -> Vec<u8> {
    let threads = NonZeroUsize::new(threads).unwrap();
    let mut encoder = Encoder::with_threads(Vec::new(), compression, Some(level), threads).unwrap();
    for part in content.chunks(slice) {
        encoder.write_all(part).unwrap();
    }
    encoder.finish().unwrap()
}

fn decode(bytes: &[u8], compression: Compression, slice: usize) -> std::io::Result<Vec<u8>> {
    let limits = Limits {
        output_bytes: 1 << 20,
        window_bytes: 1 << 23,
        ..Limits::default()
    };
    let mut decoder = Decoder::new(bytes, compression, limits);
    let (mut content, mut buffer) = (Vec::new(), vec![0; slice]);
    loop {
        match decoder.read(&mut buffer)? {
            0 => return Ok(content),
            count => content.extend_from_slice(&buffer[..count]),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_encoded_is_decoded(content in content(), how in compression(), slices in (1..5000usize, 1..5000usize)) {
        let bytes = encode(&content, how, 1, slices.0);
        prop_assert!(bytes == encode(&content, how, 2, slices.1));
        prop_assert_eq!(Compression::of(&bytes), how.0);
        prop_assert!(decode(&bytes, how.0, slices.1).unwrap() == content);
    }

    #[test]
    fn what_was_tampered_with_never_passes_for_another(
        content in content(),
        how in compression(),
        at in any::<proptest::sample::Index>(),
        byte: u8,
    ) {
        let mut bytes = encode(&content, how, 1, 5000);
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(decoded) = decode(&bytes, how.0, 1000) {
            prop_assert!(decoded == content);
        }
    }

    #[test]
    fn what_was_cut_off_is_an_error(content in content(), how in compression(), at in any::<proptest::sample::Index>()) {
        let bytes = encode(&content, how, 1, 5000);
        prop_assert!(decode(&bytes[..at.index(bytes.len())], how.0, 1000).is_err());
    }
}
