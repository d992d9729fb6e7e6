//! What `gzip` and `zstd` write is read here, and what is written here they read.

#[path = "support/run.rs"]
mod run;

use std::io::{Read, Write};
use std::num::NonZeroUsize;

use run::{available, piped};
use teu_archive::codec::{Compression, Decoder, Encoder, Limits};

/// Words, then bytes that look random, then zeros.
fn content() -> Vec<u8> {
    let mut content = b"The same words, now and then. ".repeat(60_000);
    let mut state = 1u64;
    content.extend((0..1 << 20).map(|_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    }));
    content.resize(content.len() + (1 << 20), 0);
    content
}

#[track_caller]
fn assert_decodes(compressed: &[u8], compression: Compression, content: &[u8]) {
    let mut decoder = Decoder::detect(compressed, Limits::default()).unwrap();
    assert_eq!(decoder.compression(), compression);
    let mut decoded = Vec::new();
    decoder.read_to_end(&mut decoded).unwrap();
    assert!(decoded == content);
    assert_eq!(decoder.input_bytes(), compressed.len() as u64);
    assert_eq!(decoder.output_bytes(), content.len() as u64);
}

fn encode(content: &[u8], compression: Compression, level: i32) -> Vec<u8> {
    let threads = NonZeroUsize::new(2).unwrap();
    let mut encoder = Encoder::with_threads(Vec::new(), compression, Some(level), threads).unwrap();
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn gzip() {
    if !available("gzip", &["gzip"]) {
        return;
    }
    let content = content();
    for level in ["-1", "-6", "-9"] {
        assert_decodes(&piped("gzip", &[level], &content), Compression::Gzip, &content);
    }
    assert_decodes(&piped("gzip", &[], b""), Compression::Gzip, b"");
    for level in [0, 1, 6, 9] {
        let ours = encode(&content, Compression::Gzip, level);
        assert!(piped("gzip", &["--decompress"], &ours) == content, "{level}");
    }
    assert!(piped("gzip", &["--decompress"], &encode(b"", Compression::Gzip, 6)).is_empty());
}

#[test]
fn zstd() {
    if !available("zstd", &["zstd"]) {
        return;
    }
    let content = content();
    for arguments in [
        &["-1"][..],
        &["-3"],
        &["-12", "--no-check"],
        &["-T2", "-5"],
        &["--long=27", "-3"],
        &["--fast=5"],
    ] {
        assert_decodes(&piped("zstd", arguments, &content), Compression::Zstd, &content);
    }
    assert_decodes(&piped("zstd", &[], b""), Compression::Zstd, b"");
    for level in [-5, 1, 3, 10] {
        let ours = encode(&content, Compression::Zstd, level);
        assert!(piped("zstd", &["--decompress"], &ours) == content, "{level}");
    }
    assert!(piped("zstd", &["--decompress"], &encode(b"", Compression::Zstd, 3)).is_empty());
}
