//! Does it give what another inflater gives, whatever the input, its pieces and the room?

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use proptest::prelude::*;

use super::{AHEAD, Broken, Inflate};

/// Inflates in pieces of `input` bytes, above those that must be shown, into room for `room` bytes; how many bytes were used, too.
fn inflated(bytes: &[u8], input: usize, room: usize) -> Result<(usize, Vec<u8>), Broken> {
    let mut inflate = Box::<Inflate>::default();
    let (mut at, mut content) = (0, Vec::new());
    let mut out = vec![0xa5; room];
    while !inflate.is_ended() {
        let end = bytes.len().min(at + AHEAD + input);
        let (used, written) = inflate.read(&bytes[at..end], &mut out, usize::MAX)?;
        assert!(
            used != 0 || written != 0 || inflate.is_ended(),
            "it is stuck at byte {at}"
        );
        at += used;
        content.extend_from_slice(&out[..written]);
    }
    Ok((at, content))
}

/// What zlib-rs makes of it; none where it is broken or truncated.
fn expected(bytes: &[u8]) -> Option<(usize, Vec<u8>)> {
    let mut inflate = Decompress::new(false);
    let mut content = Vec::new();
    loop {
        content.reserve(1 << 16);
        let used = inflate.total_in() as usize;
        let before = content.len();
        match inflate.decompress_vec(&bytes[used..], &mut content, FlushDecompress::None) {
            Ok(Status::StreamEnd) => return Some((inflate.total_in() as usize, content)),
            Ok(_) if content.len() == before && inflate.total_in() as usize == used => return None,
            Ok(_) => {}
            Err(_) => return None,
        }
    }
}

/// Deflates, flushed after each `flush` bytes.
fn deflated(content: &[u8], level: u32, flush: usize) -> Vec<u8> {
    let mut compress = Compress::new(Compression::new(level), false);
    let mut bytes = Vec::with_capacity(content.len() + content.len() / 100 * flush.max(1) + (1 << 16));
    let mut pieces = content.chunks(flush).peekable();
    while let Some(piece) = pieces.next() {
        let mode = if pieces.peek().is_some() {
            FlushCompress::Sync
        } else {
            FlushCompress::Finish
        };
        let before = compress.total_in() as usize;
        loop {
            bytes.reserve(1 << 16);
            let used = compress.total_in() as usize - before;
            let status = compress
                .compress_vec(&piece[used..], &mut bytes, mode)
                .expect("it deflates");
            if status == Status::StreamEnd || (mode != FlushCompress::Finish && bytes.len() < bytes.capacity()) {
                break;
            }
        }
    }
    bytes
}

/// Content of different kinds: text that repeats at all distances, noise, and long runs.
fn content(size: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut content: Vec<u8> = Vec::with_capacity(size + 512);
    while content.len() < size {
        let kind = random() % 8;
        let length = 1 + (random() % 300) as usize;
        match kind {
            0 => content.extend((0..length).map(|_| random() as u8)),
            1 => content.extend(std::iter::repeat_n(random() as u8, length)),
            2 => content.extend((0..length).map(|_| b'a' + (random() % 6) as u8)),
            _ if content.is_empty() => {}
            _ => {
                let bits = random() % 16;
                let distance = 1 + (random() % (1 << bits)) as usize;
                let distance = distance.min(content.len());
                for _ in 0..length {
                    content.push(content[content.len() - distance]);
                }
            }
        }
    }
    content.truncate(size);
    content
}

#[test]
fn what_was_deflated_comes_back_in_whatever_pieces() {
    for level in [0, 1, 6, 9] {
        for size in [1, 300, 70_000, 400_000] {
            for flush in [7_001, 1 << 20] {
                let content = content(size);
                let bytes = deflated(&content, level, flush);
                for (input, room) in [
                    (1 << 20, 1 << 20),
                    (0, 1 << 18),
                    (1, 291),
                    (100_000, 33_000),
                    (70, 1_000),
                ] {
                    let (used, out) = inflated(&bytes, input, room).expect("it is whole");
                    assert_eq!(used, bytes.len(), "{level} {size} {flush} {input} {room}");
                    assert!(out == content, "{level} {size} {flush} {input} {room}");
                }
            }
        }
    }
    let content = content(3_000);
    let bytes = deflated(&content, 6, 1 << 20);
    assert_eq!(inflated(&bytes, 0, 1).expect("it is whole"), (bytes.len(), content));
}

#[test]
fn what_follows_the_content_is_left() {
    let mut bytes = deflated(b"content", 6, 100);
    let length = bytes.len();
    bytes.extend_from_slice(&[0xff; 3000]);
    assert_eq!(inflated(&bytes, 5000, 100), Ok((length, b"content".to_vec())));
    bytes.truncate(length + 1);
    assert_eq!(inflated(&bytes, 5000, 100), Ok((length, b"content".to_vec())));
}

#[test]
fn content_that_is_cut_anywhere_is_truncated() {
    for level in [0, 1, 6] {
        let content = content(6_000);
        let bytes = deflated(&content, level, 1_500);
        for length in 0..bytes.len() {
            assert_eq!(
                inflated(&bytes[..length], 1 << 20, 5_000),
                Err(Broken::Truncated),
                "{level} {length}"
            );
        }
    }
}

#[test]
fn blocks_that_mean_nothing_are_refused() {
    for (name, bytes) in [
        ("a third kind", &[0b111][..]),
        ("a stored length that is not said twice", &[1, 5, 0, 5, 0]),
        ("287 lengths", &[0b1110_1101, 0b1, 0, 0]),
        ("31 distances", &[0b101, 0b1_1110, 0, 0]),
        ("no code of lengths", &[0b101, 0, 0, 0, 0, 0, 0, 0]),
        // A match of the fixed code, at the first byte: length 3, distance 1.
        ("a match before the content", &[0b0000_0011, 0b10, 0]),
    ] {
        let mut padded = bytes.to_vec();
        padded.resize(3000, 0);
        assert!(matches!(inflated(&padded, 0, 300), Err(Broken::Content(_))), "{name}");
        assert_eq!(expected(&padded), None, "{name}");
    }
}

/// What follows the input is not looked at where the code of one block is another's in part.
#[test]
fn a_stream_begins_anew_with_nothing_to_refer_to() {
    let mut inflate = Box::<Inflate>::default();
    let bytes = deflated(b"some text, some text", 9, 100);
    let mut out = [0; 100];
    for _ in 0..2 {
        assert_eq!(inflate.read(&bytes, &mut out, usize::MAX), Ok((bytes.len(), 20)));
        assert!(inflate.is_ended());
        inflate.reset();
    }
    // The fixed code: a match of length 3 at distance 1, with nothing before it.
    assert!(matches!(
        inflate.read(&[0b0000_0011, 0b10, 0, 0, 0, 0, 0, 0], &mut out, usize::MAX),
        Err(Broken::Content(_))
    ));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// A byte is changed somewhere in what was deflated: both say the same of it.
    #[test]
    fn broken_content_is_as_another_inflater_has_it(
        size in 1usize..3000,
        level in 0u32..10,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        room in 1usize..2000,
        input in 0usize..2000,
    ) {
        let mut bytes = deflated(&content(size), level, 1000);
        for (place, byte) in changes {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        prop_assert_eq!(inflated(&bytes, input, room).ok(), expected(&bytes));
    }

    /// Bytes of any kind, which mostly are headers of blocks.
    #[test]
    fn noise_is_as_another_inflater_has_it(bytes in prop::collection::vec(any::<u8>(), 0..400), room in 1usize..600) {
        prop_assert_eq!(inflated(&bytes, 0, room).ok(), expected(&bytes));
    }
}
