//! What the codecs promise: a round trip, bytes that depend on nothing but content and level, and no way past the limits.

use std::io::{Read, Write};
use std::num::NonZeroUsize;

use teu_archive::codec::{Compression, Decoder, Encoder, Limits};
use teu_archive::{Error, ErrorKind};

const BOTH: [Compression; 2] = [Compression::Gzip, Compression::Zstd];

/// Text that compresses somewhat, of any length.
fn content(length: usize) -> Vec<u8> {
    let mut state = 1u32;
    let mut bytes = Vec::with_capacity(length + 16);
    while bytes.len() < length {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        write!(bytes, "{:x} ", state >> 20).unwrap();
    }
    bytes.truncate(length);
    bytes
}

fn encode(content: &[u8], compression: Compression, level: Option<i32>, threads: usize, slice: usize) -> Vec<u8> {
    let threads = NonZeroUsize::new(threads).unwrap();
    let mut encoder = Encoder::with_threads(Vec::new(), compression, level, threads).unwrap();
    for part in content.chunks(slice) {
        encoder.write_all(part).unwrap();
    }
    encoder.finish().unwrap()
}

fn decode_under(bytes: &[u8], compression: Compression, limits: Limits) -> Result<Vec<u8>, Error> {
    let mut content = Vec::new();
    Decoder::new(bytes, compression, limits).read_to_end(&mut content)?;
    Ok(content)
}

fn decode(bytes: &[u8], compression: Compression) -> Result<Vec<u8>, Error> {
    decode_under(bytes, compression, Limits::default())
}

#[test]
fn what_is_encoded_is_decoded_and_recognised() {
    for length in [0, 1, 1000, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, (3 << 20) + 12345] {
        let content = content(length);
        for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
            let bytes = encode(&content, compression, None, 1, 1 << 17);
            assert_eq!(Compression::of(&bytes), compression);
            assert!(
                decode(&bytes, compression).unwrap() == content,
                "{compression} {length}"
            );
        }
    }
}

#[test]
fn bytes_do_not_depend_on_threads_nor_on_the_sizes_of_writes() {
    let content = content((5 << 20) + 777);
    for compression in BOTH {
        for level in [Some(1), None] {
            let bytes = encode(&content, compression, level, 1, 1 << 20);
            for (threads, slice) in [(1, 4099), (1, 3 << 20), (2, 1 << 20), (3, 70_001), (4, 5 << 20)] {
                let same = encode(&content, compression, level, threads, slice) == bytes;
                assert!(same, "{compression} {level:?} {threads} threads, writes of {slice}");
            }
            assert!(decode(&bytes, compression).unwrap() == content);
        }
    }
}

#[test]
fn a_truncated_stream_is_an_error_wherever_it_ends() {
    let content = content(3000);
    for compression in BOTH {
        let bytes = encode(&content, compression, None, 1, 3000);
        for end in 0..bytes.len() {
            let error = decode(&bytes[..end], compression).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Truncated, "{compression} {end}: {error}");
        }
    }
}
