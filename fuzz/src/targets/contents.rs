//! A table of contents, or the map of a layer's places, as they may lie in the cache: what is read as one is written as it was read, and no entry of it
//! panics.

use teu_image::contents::{Contents, places::Map};
use teu_spec::Digest;

pub(crate) fn run(bytes: &[u8]) {
    // Its sum is looked at before.
    for form in [bytes.to_vec(), [b"teu places 1\n", bytes].concat()] {
        if let Ok(map) = Map::from_bytes(&form) {
            let again = Map::from_bytes(&map.to_bytes()).expect("as it was written");
            assert_eq!(again, map);
        }
    }
    assert!(Contents::from_bytes(&bytes.to_vec().into()).is_err() || bytes.len() > 32);
    // With the sum that it must have, so that what is behind it is reached.
    let mut form = b"teu contents 2\n".to_vec();
    form.extend_from_slice(bytes);
    let sum = Digest::of(&form);
    form.extend_from_slice(sum.bytes());
    if let Ok(contents) = Contents::from_bytes(&form.into()) {
        assert_eq!(
            contents.entries().filter(Result::is_ok).count() as u64,
            contents.count()
        );
        let bytes = contents.to_bytes().expect("from memory");
        let again = Contents::from_bytes(&bytes.clone().into()).expect("as it was written");
        assert_eq!(again.to_bytes().expect("from memory"), bytes);
    }
}
