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

#[test]
fn levels() {
    for (compression, good, bad) in [
        (Compression::Gzip, &[0, 1, 6, 9][..], &[-1, 10][..]),
        (Compression::Zstd, &[-7, 1, 3, 12], &[-8, 23]),
    ] {
        let content = content((1 << 20) + 5);
        for &level in good {
            let bytes = encode(&content, compression, Some(level), 2, 1 << 16);
            assert!(decode(&bytes, compression).unwrap() == content, "{compression} {level}");
        }
        for &level in bad {
            let error = Encoder::new(Vec::new(), compression, Some(level)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unsupported, "{compression} {level}");
        }
    }
    let small = content(70_000);
    for level in 16..=22 {
        let bytes = encode(&small, Compression::Zstd, Some(level), 2, 70_000);
        assert!(decode(&bytes, Compression::Zstd).unwrap() == small, "{level}");
    }
    assert!(Encoder::new(Vec::new(), Compression::None, Some(1)).is_err());
}

#[test]
fn a_gzip_header_tells_nothing() {
    assert_eq!(
        encode(b"", Compression::Gzip, None, 1, 1)[..10],
        *b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
    );
}

#[test]
fn what_is_detected() {
    for (bytes, compression) in [
        (&b""[..], Compression::None),
        (b"\x1f", Compression::None),
        (b"plain", Compression::None),
        (b"\x1f\x8b\x08", Compression::Gzip),
        (b"\x28\xb5\x2f\xfd", Compression::Zstd),
        (b"\x5a\x2a\x4d\x18", Compression::Zstd),
    ] {
        assert_eq!(Compression::of(bytes), compression);
        assert_eq!(
            Decoder::detect(bytes, Limits::default()).unwrap().compression(),
            compression
        );
    }
    for bytes in [&b"\xfd7zXZ\0...."[..], b"BZh91AY&SY...."] {
        let error = Decoder::detect(bytes, Limits::default()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    }
}

#[test]
fn a_sink_that_fails_ends_the_encoding() {
    struct Full(usize);
    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 = self.0.checked_sub(bytes.len()).ok_or(std::io::ErrorKind::StorageFull)?;
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let content = content(6 << 20);
    for compression in BOTH {
        for threads in [1, 2] {
            let threads = NonZeroUsize::new(threads).unwrap();
            let mut encoder = Encoder::with_threads(Full(10_000), compression, None, threads).unwrap();
            let mut failed = encoder.write_all(&content).err();
            if failed.is_none() {
                failed = encoder.write_all(&content).err();
            }
            assert_eq!(failed.map(|error| error.kind()), Some(std::io::ErrorKind::StorageFull));
            assert!(encoder.write_all(b"more").is_err());
            assert!(encoder.finish().is_err());
        }
    }
}

#[test]
fn codecs_move_between_threads() {
    fn moves<T: Send + 'static>() {}
    moves::<Decoder<std::fs::File>>();
    moves::<Encoder<std::fs::File>>();
}

#[test]
fn a_block_of_gzip_refers_back_to_the_one_before() {
    // 16 KiB that do not compress, over and over: only the first block need hold them.
    let mut state = 1u64;
    let random = (0..16 << 10).map(|_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    });
    let content = random.collect::<Vec<u8>>().repeat(256);
    let bytes = encode(&content, Compression::Gzip, None, 2, 1 << 20);
    assert!(bytes.len() < 96 << 10, "{} bytes", bytes.len());
    assert!(decode(&bytes, Compression::Gzip).unwrap() == content);
}
