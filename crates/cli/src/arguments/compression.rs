//! What is said of the compression of layers, in skopeo's words?

use clap::Args;
use teu_spec::LayerCompression;
use teu_store::copy::{Layers, Recompress};

use crate::failure::Failure;

/// How layers are compressed at the destination. Without any of it they stay as they are.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Compression of layers, which changes digests; without these nothing changes")]
pub(crate) struct CompressionOptions {
    /// Compress layers that are not compressed
    #[arg(long)]
    dest_compress: bool,
    /// Keep all layers without compression
    #[arg(long, conflicts_with_all = ["dest_compress", "dest_compress_format", "dest_compress_level"])]
    dest_decompress: bool,
    /// Compress new layers like this; what the destination has as it is stays
    #[arg(
        long, value_name = "gzip|zstd", value_parser = ["gzip", "zstd", "zstd:chunked"], hide_possible_values = true
    )]
    dest_compress_format: Option<String>,
    /// Try so hard: 0 to 9 for gzip, -7 to 22 for zstd
    #[arg(long, value_name = "LEVEL", allow_negative_numbers = true)]
    dest_compress_level: Option<i32>,
    /// Compress all layers like this, also those that the destination has in another form
    #[arg(long, requires = "dest_compress_format")]
    dest_force_compress_format: bool,
    // teu never compresses layers unasked, unless it is called as skopeo; no digest is uploaded that is there, which the second asks for.
    #[arg(long, hide = true)]
    dest_oci_accept_uncompressed_layers: bool,
    #[arg(long, hide = true)]
    dest_precompute_digests: bool,
}

impl CompressionOptions {
    /// Whether a layout is to have layers without compression as they are, even where we are called as skopeo.
    pub(crate) fn accepts_plain_layers(&self) -> bool {
        self.dest_oci_accept_uncompressed_layers
    }

    /// What becomes of layers; none where they stay as they are.
    pub(crate) fn recompress(&self) -> Result<Option<Recompress>, Failure> {
        if self.dest_decompress {
            return Ok(Some(Recompress::to(LayerCompression::None)));
        }
        let compression = match self.dest_compress_format.as_deref() {
            Some("gzip") => LayerCompression::Gzip,
            Some("zstd") => LayerCompression::Zstd,
            Some(other) => {
                let message = format!("--dest-compress-format {other} is not written; whoever reads it reads zstd too");
                return Err(Failure::Usage(message));
            }
            None if self.dest_compress || self.dest_compress_level.is_some() => LayerCompression::Gzip,
            None => return Ok(None),
        };
        let layers = match (self.dest_force_compress_format, &self.dest_compress_format) {
            (true, _) => Layers::All,
            (false, Some(_)) => Layers::New,
            (false, None) => Layers::Plain,
        };
        Ok(Some(Recompress {
            level: self.dest_compress_level,
            layers,
            ..Recompress::to(compression)
        }))
    }
}
