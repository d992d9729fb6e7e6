//! What the codecs promise: a round trip, bytes that depend on nothing but content and level, and no way past the limits.

use std::io::{Read, Write};
use std::num::NonZeroUsize;

use teu_archive::codec::{Compression, Decoder, Encoder, Inside, Limits, Place};
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

/// Of what cannot be made smaller, all that was written is in the sink or within.
#[test]
fn what_has_not_come_out_is_within() {
    let mut state = 1_u64;
    let piece = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    });
    let piece: Vec<u8> = piece.take(1 << 20).collect();
    for (compression, level, threads, least) in [
        (Compression::None, None, 8, 0),
        (Compression::Gzip, Some(1), 1, 1),
        (Compression::Gzip, Some(1), 8, 17),
        (Compression::Zstd, Some(1), 1, 15),
        (Compression::Zstd, Some(1), 8, 43),
        (Compression::Zstd, Some(22), 1, 3585),
    ] {
        let threads = NonZeroUsize::new(threads).unwrap();
        let mut encoder = Encoder::with_threads(Vec::new(), compression, level, threads).unwrap();
        assert_eq!(encoder.within(), least << 20, "{compression} {level:?} {threads}");
        // Jobs of the highest levels take minutes.
        for written in (1..=100_u64).filter(|_| level < Some(20)) {
            encoder.write_all(&piece).unwrap();
            let out = encoder.get_ref().len() as u64;
            assert!(
                out + encoder.within() >= written << 20,
                "{compression} {threads} {written}: {out}"
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

/// Reads a stream to its end; the places that came by.
fn places(bytes: &[u8], compression: Compression, every: u64, room: usize) -> (Vec<u8>, Vec<Place>) {
    let mut decoder = Decoder::new(bytes, compression, Limits::default()).with_places(every);
    let (mut content, mut places) = (Vec::new(), Vec::new());
    let mut into = vec![0; room];
    loop {
        let count = decoder.read(&mut into).unwrap();
        places.extend(decoder.take_places());
        content.extend_from_slice(&into[..count]);
        if count == 0 {
            return (content, places);
        }
    }
}

#[test]
fn from_each_place_the_rest_comes_out() {
    let content = content(3 << 20);
    let gzip = encode(&content, Compression::Gzip, None, 1, 1 << 20);
    let stored = encode(&content, Compression::Gzip, Some(0), 1, 1 << 20);
    let mut deflated = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(9));
    deflated.write_all(&content).unwrap();
    let deflated = deflated.finish().unwrap();
    // A member or a frame for each part.
    let parts = |compression| -> Vec<u8> {
        let parts = content.chunks(10_001);
        parts
            .flat_map(|part| encode(part, compression, None, 1, 1 << 20))
            .collect()
    };
    let (members, frames) = (parts(Compression::Gzip), parts(Compression::Zstd));
    for (name, bytes, compression, inside) in [
        ("blocks", &gzip, Compression::Gzip, true),
        ("stored", &stored, Compression::Gzip, true),
        ("another's", &deflated, Compression::Gzip, true),
        ("members", &members, Compression::Gzip, false),
        ("frames", &frames, Compression::Zstd, false),
    ] {
        let every = 50_000;
        let (all, found) = places(bytes, compression, every, 1 << 18);
        assert!(all == content, "{name}");
        // Whatever the room, they are the same.
        assert!(
            places(bytes, compression, every, 4099) == (all, found.clone()),
            "{name}"
        );
        // None at the end, where nothing begins.
        assert!(found.iter().all(|place| place.input < bytes.len() as u64), "{name}");
        let expected = bytes.len() as u64 / (every + (every / 2)) - 1;
        assert!(found.len() as u64 >= expected, "{name}: {} places", found.len());
        assert_eq!(found.iter().any(|place| place.inside.is_some()), inside, "{name}");
        let beginning = Place::default();
        let end = Place {
            input: bytes.len() as u64,
            output: content.len() as u64,
            inside: None,
        };
        let all: Vec<&Place> = [&beginning].into_iter().chain(&found).chain([&end]).collect();
        for pair in all.windows(2) {
            let [place, next] = pair else {
                unreachable!("they are two")
            };
            assert!(next.input >= place.input + every || *next == &end, "{name}");
            let begin = |end: usize| {
                let rest = &bytes[place.input as usize..end];
                Decoder::at(rest, compression, place, Limits::default()).unwrap()
            };
            let mut rest = Vec::new();
            begin(bytes.len()).read_to_end(&mut rest).unwrap();
            assert!(rest == content[place.output as usize..], "{name} {}", place.input);
            // All that comes before the next place comes of what is before it, in whatever pieces.
            for room in [1 << 18, 4099] {
                let mut between = vec![0; (next.output - place.output) as usize];
                let mut decoder = begin(next.input as usize);
                for part in between.chunks_mut(room) {
                    decoder.read_exact(part).unwrap();
                }
                let expected = &content[place.output as usize..next.output as usize];
                assert!(between == expected, "{name} {}", place.input);
            }
        }
    }
    // What is not compressed can be begun anywhere.
    let anywhere = Place {
        input: 77,
        output: 77,
        inside: None,
    };
    let mut rest = Vec::new();
    let mut decoder = Decoder::at(&content[77..], Compression::None, &anywhere, Limits::default()).unwrap();
    decoder.read_to_end(&mut rest).unwrap();
    assert!(rest == content[77..]);
}

#[test]
fn a_place_that_is_not_right_does_not_lead_to_a_checked_end() {
    let content = content(1 << 20);
    let bytes = encode(&content, Compression::Gzip, None, 1, 1 << 20);
    let (_, found) = places(&bytes, Compression::Gzip, 100_000, 1 << 18);
    let right = &found[1];
    let inside = right.inside.clone().unwrap();
    let read = |inside: Inside, compression: Compression| {
        let place = Place {
            inside: Some(inside),
            ..right.clone()
        };
        let mut rest = Vec::new();
        let mut decoder = Decoder::at(&bytes[place.input as usize..], compression, &place, Limits::default())?;
        decoder.read_to_end(&mut rest)?;
        Ok::<_, Error>(rest)
    };
    let rest = read(inside.clone(), Compression::Gzip).unwrap();
    assert!(rest == content[right.output as usize..]);
    let mut other_window = inside.clone();
    other_window.window.iter_mut().for_each(|byte| *byte ^= 1);
    for (what, inside, compression) in [
        (
            "another checksum",
            Inside {
                crc: inside.crc ^ 1,
                ..inside.clone()
            },
            Compression::Gzip,
        ),
        (
            "another size",
            Inside {
                size: inside.size ^ 1,
                ..inside.clone()
            },
            Compression::Gzip,
        ),
        ("another window", other_window, Compression::Gzip),
        (
            "no window",
            Inside {
                window: Vec::new(),
                ..inside.clone()
            },
            Compression::Gzip,
        ),
        (
            "too many bits",
            Inside {
                count: 8,
                ..inside.clone()
            },
            Compression::Gzip,
        ),
        (
            "too large a window",
            Inside {
                window: vec![0; Inside::WINDOW + 1],
                ..inside.clone()
            },
            Compression::Gzip,
        ),
        ("zstd", inside, Compression::Zstd),
    ] {
        let error = read(inside, compression).expect_err(what);
        assert_eq!(error.kind(), ErrorKind::Malformed, "{what}: {error}");
    }
}
