//! A gzip stream that nobody vouches for, under small limits; and what is read of it to its end is what zlib-rs reads.

use std::io::Read;

use teu_archive::codec::Compression;

use crate::decoded;

pub(crate) fn run(bytes: &[u8]) {
    if let Some(whole) = decoded::whole(bytes, Compression::Gzip) {
        let mut other = Vec::new();
        let read = flate2::bufread::MultiGzDecoder::new(bytes).read_to_end(&mut other);
        assert!(read.is_ok() && other == whole);
    }
}
