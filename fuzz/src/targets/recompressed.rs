//! What is remembered of layers that were recompressed: what is read is written as it was read, and never more than the limit.

use teu_store::copy::Recompressed;

pub(crate) fn run(text: &str) {
    let read = Recompressed::default();
    read.read(text);
    let written = read.to_string();
    assert!(written.lines().count() <= Recompressed::MOST);
    let again = Recompressed::default();
    again.read(&written);
    assert_eq!(again.to_string(), written);
}
