//! Tar streams read strictly and written deterministically, gzip and zstd.
