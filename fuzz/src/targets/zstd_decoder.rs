//! A zstd stream that nobody vouches for, under small limits.

use teu_archive::codec::Compression;

use crate::decoded;

pub(crate) fn run(bytes: &[u8]) {
    decoded::whole(bytes, Compression::Zstd);
}
