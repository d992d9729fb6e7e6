//! A certificate that a client shows, or that stands in a file of keys: whose it is, and which key it has.

pub(crate) fn run(bytes: &[u8]) {
    teu_registry::fuzz::certificate(bytes);
}
