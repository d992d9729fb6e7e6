//! How do bytes that nobody chose become layers? Each header gets the checksum that it should have, since a fuzzer finds none by trying.

const BLOCK: usize = 512;
/// Fields of a header (POSIX.1-2017, pax, "ustar Interchange Format").
const SIZE: std::ops::Range<usize> = 124..136;
const CHECKSUM: std::ops::Range<usize> = 148..156;
const KIND: usize = 156;

/// Archives that stand behind one another, each ended by two empty blocks; at most `most` of them, the last with all that is left.
pub(crate) fn layers(bytes: &mut [u8], most: usize) -> Vec<&[u8]> {
    let mut ends = Vec::new();
    let mut at = 0;
    while at + BLOCK <= bytes.len() && ends.len() + 1 < most {
        if is_end(&bytes[at..]) {
            at += 2 * BLOCK;
            ends.push(at);
            continue;
        }
        let header = &mut bytes[at..at + BLOCK];
        at += BLOCK + content(header).next_multiple_of(BLOCK);
        repair(header);
    }
    let mut rest = &*bytes;
    let mut begin = 0;
    let mut layers = Vec::new();
    for end in ends {
        let (layer, more) = rest.split_at(end - begin);
        (rest, begin) = (more, end);
        layers.push(layer);
    }
    if !rest.is_empty() {
        layers.push(rest);
    }
    layers
}

fn is_end(bytes: &[u8]) -> bool {
    bytes.len() >= 2 * BLOCK && bytes[..2 * BLOCK].iter().all(|byte| *byte == 0)
}

/// How many bytes follow this header, as far as it says so in the ordinary way.
fn content(header: &[u8]) -> usize {
    if matches!(header[KIND], b'1'..=b'6') {
        return 0;
    }
    let text = String::from_utf8_lossy(&header[SIZE]);
    let digits = text.trim_matches(|letter: char| letter == '\0' || letter == ' ');
    usize::from_str_radix(digits, 8).unwrap_or(0).min(1 << 20)
}

fn repair(header: &mut [u8]) {
    header[CHECKSUM].fill(b' ');
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[CHECKSUM].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}
