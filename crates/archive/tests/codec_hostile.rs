//! Compressed streams that an enemy made, each named for its attack and its number in the list of threats that teu is held to.

use std::io::{Read, Write};

use teu_archive::codec::{Compression, Decoder, Encoder, Limits};
use teu_archive::{Error, ErrorKind};

use Compression::{Gzip, Zstd};
use ErrorKind::{Malformed, Truncated, Unsupported};

fn encode(content: &[u8], compression: Compression) -> Vec<u8> {
    let mut encoder = Encoder::new(Vec::new(), compression, None).unwrap();
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

/// A frame with its content's size in its header, and no checksum.
fn sized(content: &[u8]) -> Vec<u8> {
    zstd::bulk::compress(content, 3).unwrap()
}

fn decode_under(bytes: &[u8], compression: Compression, limits: Limits) -> Result<Vec<u8>, Error> {
    let mut content = Vec::new();
    Decoder::new(bytes, compression, limits).read_to_end(&mut content)?;
    Ok(content)
}

#[track_caller]
fn assert_refused(bytes: &[u8], compression: Compression, kind: ErrorKind, words: &str) {
    let error = decode_under(bytes, compression, Limits::default()).unwrap_err();
    assert_eq!(error.kind(), kind, "{error}");
    assert!(error.to_string().contains(words), "{error}");
    assert!(error.offset().is_some(), "{error}");
}

#[track_caller]
fn assert_limit(result: Result<Vec<u8>, Error>, limit: &str) {
    let error = result.unwrap_err();
    let ErrorKind::Limit { name, .. } = error.kind() else {
        panic!("{error}")
    };
    assert_eq!(name, limit, "{error}");
}

#[test]
fn case_49_bombs_by_output() {
    let zeros = vec![0; 4 << 20];
    for compression in [Gzip, Zstd, Compression::None] {
        let bytes = encode(&zeros, compression);
        let limits = |output_bytes| Limits {
            output_bytes,
            ..Limits::default()
        };
        assert_limit(decode_under(&bytes, compression, limits((4 << 20) - 1)), "output_bytes");
        assert_eq!(
            decode_under(&bytes, compression, limits(4 << 20)).unwrap().len(),
            4 << 20
        );
    }
}

#[test]
fn case_49_bombs_by_ratio() {
    let zeros = vec![0; 4 << 20];
    for compression in [Gzip, Zstd] {
        let bytes = encode(&zeros, compression);
        let limits = |ratio, ratio_from| Limits {
            ratio,
            ratio_from,
            ..Limits::default()
        };
        assert_limit(decode_under(&bytes, compression, limits(100, 1 << 20)), "ratio");
        assert!(decode_under(&bytes, compression, limits(100, 4 << 20)).is_ok());
        assert!(decode_under(&bytes, compression, limits(1 << 20, 1 << 20)).is_ok());
    }
}

#[test]
fn case_49_bombs_of_members_and_frames_count_in_sum() {
    let zeros = vec![0; 1 << 20];
    for compression in [Gzip, Zstd] {
        let bytes = encode(&zeros, compression).repeat(8);
        let limits = Limits {
            output_bytes: (8 << 20) - 1,
            ..Limits::default()
        };
        assert_limit(decode_under(&bytes, compression, limits), "output_bytes");
    }
}

#[test]
fn case_49_a_window_of_3_75_tib() {
    let bytes = [&b"\x28\xb5\x2f\xfd\0\xff"[..], &[0; 20]].concat();
    let error = decode_under(&bytes, Zstd, Limits::default()).unwrap_err();
    assert_eq!(
        error.kind(),
        ErrorKind::Limit {
            name: "window_bytes",
            limit: 1 << 27
        }
    );
    assert!(error.to_string().contains("a window of 4123168604160 bytes"), "{error}");
    // One segment is its own window, of any size.
    let single = [&b"\x28\xb5\x2f\xfd\xe0"[..], &(1u64 << 62).to_le_bytes(), &[0; 20]].concat();
    assert_limit(decode_under(&single, Zstd, Limits::default()), "window_bytes");
    // 2^27 is the most that is let pass, and one step more is not.
    let frame = |window: u8| [&b"\x28\xb5\x2f\xfd\0"[..], &[window, 0x01, 0, 0]].concat();
    assert_eq!(decode_under(&frame(17 << 3), Zstd, Limits::default()).unwrap(), b"");
    assert_limit(
        decode_under(&frame(17 << 3 | 1), Zstd, Limits::default()),
        "window_bytes",
    );
}

#[test]
fn case_49_content_sizes_that_lie() {
    let content = b"content ".repeat(50);
    let frame = sized(&content);
    assert_eq!(decode_under(&frame, Zstd, Limits::default()).unwrap(), content);
    assert_eq!(frame[4] & 0xe0, 0x60, "a single segment, its size in two bytes");
    for lie in [400u16 - 1, 400 + 1, 65_000] {
        let mut frame = frame.clone();
        frame[5..7].copy_from_slice(&(lie - 256).to_le_bytes());
        for size in [1, 7, 100_000] {
            let mut decoder = Decoder::new(&frame[..], Zstd, Limits::default());
            let mut buffer = vec![0; size];
            let error = loop {
                match decoder.read(&mut buffer) {
                    Ok(0) => panic!("{lie} was accepted with reads of {size}"),
                    Ok(_) => {}
                    Err(error) => break Error::from(error),
                }
            };
            assert_eq!(error.kind(), Malformed, "{error}");
        }
    }
    // 116 bytes are announced, and an empty block is all there is: libzstd lets this pass when it is read in pieces.
    let empty = b"\x28\xb5\x2f\xfd\x30\x74\x01\0\0";
    let mut decoder = Decoder::new(&empty[..], Zstd, Limits::default());
    let error = Error::from(decoder.read(&mut [0; 8]).unwrap_err());
    assert!(
        error.to_string().contains("announces 116 bytes of content and has 0"),
        "{error}"
    );
}

#[test]
fn case_50_wrong_checksums_and_sizes() {
    let gzip = encode(b"content", Gzip);
    let end = gzip.len();
    for (at, words) in [
        (end - 8, "CRC-32"),
        (end - 5, "CRC-32"),
        (end - 4, "size"),
        (end - 1, "size"),
    ] {
        let mut broken = gzip.clone();
        broken[at] ^= 1;
        assert_refused(&broken, Gzip, Malformed, words);
        // In a member before the last one too.
        assert_refused(&[&broken[..], &gzip].concat(), Gzip, Malformed, words);
    }
    let mut zstd = encode(b"content", Zstd);
    *zstd.last_mut().unwrap() ^= 1;
    assert_refused(&zstd, Zstd, Malformed, "checksum");
}

#[test]
fn case_50_the_error_stays() {
    let mut gzip = encode(b"content", Gzip);
    *gzip.last_mut().unwrap() ^= 1;
    let mut decoder = Decoder::new(&gzip[..], Gzip, Limits::default());
    let mut buffer = [0; 100];
    assert_eq!(decoder.read(&mut buffer).unwrap(), 7);
    for _ in 0..3 {
        assert!(decoder.read(&mut buffer).is_err());
    }
}

#[test]
fn case_50_several_members_and_frames_are_one_content() {
    let plain: Vec<u8> = [encode(b"one ", Gzip), encode(b"", Gzip), encode(b"two", Gzip)].concat();
    assert_eq!(decode_under(&plain, Gzip, Limits::default()).unwrap(), b"one two");
    let skippable = b"\x53\x2a\x4d\x18\x05\0\0\0hello";
    let frames = [
        &skippable[..],
        &encode(b"one ", Zstd),
        skippable,
        &sized(b"two"),
        skippable,
    ]
    .concat();
    assert_eq!(decode_under(&frames, Zstd, Limits::default()).unwrap(), b"one two");
    for cut in 1..skippable.len() {
        assert_refused(&frames[..frames.len() - cut], Zstd, Truncated, "the stream ends inside");
    }
}

#[test]
fn case_50_bytes_behind_the_end() {
    for (compression, start) in [(Gzip, &b"\x1f\x8c"[..]), (Zstd, b"\x28\xb5\x2f\xfe")] {
        for garbage in [&b"\0"[..], &[0; 512], b"garbage", start] {
            let bytes = [&encode(b"content", compression)[..], garbage].concat();
            assert_refused(
                &bytes,
                compression,
                Malformed,
                "bytes follow the end of the compressed content",
            );
        }
    }
    // What could be the beginning of another one is a truncation.
    assert_refused(
        &[&encode(b"", Gzip)[..], b"\x1f"].concat(),
        Gzip,
        Truncated,
        "inside a header",
    );
    assert_refused(
        &[&encode(b"", Zstd)[..], b"\x28\xb5"].concat(),
        Zstd,
        Truncated,
        "inside the header",
    );
}

#[test]
fn case_50_gzip_headers() {
    let body = &encode(b"content", Gzip)[10..];
    let gzip = |header: &[u8]| [header, body].concat();
    for flags in [0x20, 0x40, 0x80] {
        assert_refused(
            &gzip(&[0x1f, 0x8b, 8, flags, 0, 0, 0, 0, 0, 3]),
            Gzip,
            Malformed,
            "flags that are not defined",
        );
    }
    assert_refused(&gzip(b"\x1f\x8b\x07\0\0\0\0\0\0\x03"), Gzip, Malformed, "method");
    assert_refused(b"PK\x03\x04", Gzip, Malformed, "does not begin as gzip does");
    assert_refused(b"PK\x03\x04", Zstd, Malformed, "does not begin as zstd does");
    // Every optional part at once, its checksum last.
    let mut header = b"\x1f\x8b\x08\x1e\0\0\0\0\0\x03\x02\0exname\0comment\0".to_vec();
    let mut crc = crc32fast::hash(&header) as u16;
    header.extend_from_slice(&crc.to_le_bytes());
    assert_eq!(
        decode_under(&gzip(&header), Gzip, Limits::default()).unwrap(),
        b"content"
    );
    crc ^= 1;
    let at = header.len() - 2;
    header[at..].copy_from_slice(&crc.to_le_bytes());
    assert_refused(&gzip(&header), Gzip, Malformed, "the checksum of the header is wrong");
    // A name without end.
    let flood = [&b"\x1f\x8b\x08\x08\0\0\0\0\0\x03"[..], &vec![b'n'; 2 << 20]].concat();
    assert_limit(decode_under(&flood, Gzip, Limits::default()), "header_bytes");
}

#[test]
fn case_50_broken_content() {
    // A block of deflate's reserved type, and a reference to before the beginning.
    for body in [&b"\x07\0\0"[..], b"\x63\x00\x02\x00\0\0\0\0\0\0\0\0\0"] {
        let bytes = [&b"\x1f\x8b\x08\0\0\0\0\0\0\x03"[..], body].concat();
        assert_eq!(
            decode_under(&bytes, Gzip, Limits::default()).unwrap_err().kind(),
            Malformed
        );
    }
    let reserved = b"\x28\xb5\x2f\xfd\x08\x58\x01\0\0";
    assert_refused(reserved, Zstd, Malformed, "a reserved bit");
    let dictionary = b"\x28\xb5\x2f\xfd\x01\x58\x07\x01\0\0";
    assert_refused(dictionary, Zstd, Unsupported, "needs the dictionary 7");
    // Other zstd formats, from before it was one.
    assert_refused(
        b"\x27\xb5\x2f\xfd\0\0\0\0",
        Zstd,
        Malformed,
        "does not begin as zstd does",
    );
}
