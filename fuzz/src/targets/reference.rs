//! What a person or a registry may call an image: read or refused, and what is read is read as the same again.

use teu_spec::{Digest, MAX_REPOSITORY, MAX_TAG, Reference, RegistryReference, Repository, Tag, Timestamp, layout};

pub(crate) fn run(text: &str) {
    if let Ok(reference) = Reference::parse(text) {
        assert_eq!(Reference::parse(&reference.to_string()).as_ref(), Ok(&reference));
    }
    if let Ok(reference) = text.parse::<RegistryReference>() {
        assert!(reference.repository.to_string().len() <= MAX_REPOSITORY);
        Repository::check_path(reference.repository.path()).unwrap();
        let full: RegistryReference = reference.full().parse().unwrap();
        assert_eq!(full.repository, reference.repository);
        assert_eq!(
            (full.tag, full.digest, full.short),
            (reference.tag, reference.digest, None)
        );
    }
    if let Ok(tag) = text.parse::<Tag>() {
        assert!(tag.as_str() == text && text.len() <= MAX_TAG && text.is_ascii());
    }
    if let Ok(digest) = text.parse::<Digest>() {
        assert_eq!(digest.to_string(), text);
    }
    if let Ok(moment) = text.parse::<Timestamp>() {
        assert_eq!(moment.to_string().parse::<Timestamp>(), Ok(moment));
    }
    if layout::check_name(text).is_ok() {
        assert!(text.is_ascii() && !text.is_empty());
    }
}
