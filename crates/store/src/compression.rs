//! Which codec does the compression that a layer's media type states mean?

use teu_archive::codec::Compression;
use teu_spec::LayerCompression;

/// The codec of a layer whose media type states this compression.
#[must_use]
pub fn codec(compression: LayerCompression) -> Compression {
    match compression {
        LayerCompression::None => Compression::None,
        LayerCompression::Gzip => Compression::Gzip,
        LayerCompression::Zstd => Compression::Zstd,
    }
}
