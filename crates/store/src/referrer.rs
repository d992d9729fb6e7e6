//! What does a manifest that is about another look like in the list of its subject's referrers?

use teu_spec::{Descriptor, Digest, Document};

/// The descriptor of `document` in a list of referrers (distribution-spec, "Listing Referrers"): with its annotations, and with its artifact
/// type or, where an image manifest states none, the media type of its config.
#[must_use]
pub fn referrer(document: &Document, digest: Digest) -> Descriptor {
    let mut descriptor = Descriptor::new(document.media_type().clone(), digest, document.raw().len() as u64);
    descriptor.annotations = document.annotations().clone();
    descriptor.artifact_type = match (document.artifact_type(), document) {
        (Some(artifact_type), _) => Some(artifact_type.to_owned()),
        (None, Document::Manifest(manifest)) => Some(manifest.config.media_type.to_string()),
        (None, Document::Index(_)) => None,
    };
    descriptor
}
