//! Is all here that a manifest names?

use teu_spec::{Descriptor, Document};

use crate::{Intent, Result, Role, Source};

/// What `document` names and `source` does not have, in the order in which it stands there. Non-distributable layers may be elsewhere, and
/// a subject need not be anywhere.
///
/// # Errors
/// What the source says.
pub async fn missing_children(source: &dyn Source, document: &Document) -> Result<Vec<Descriptor>> {
    let role = match document {
        Document::Index(_) => Role::Manifest,
        Document::Manifest(_) => Role::Blob,
    };
    let mut missing: Vec<Descriptor> = Vec::new();
    for child in document.children() {
        let elsewhere = child.media_type.is_foreign() && !child.urls.is_empty();
        let known = missing.iter().any(|other| other.digest == child.digest);
        if !elsewhere && !known && source.stat(role, &child.digest, Intent::Write).await?.is_none() {
            missing.push(child);
        }
    }
    Ok(missing)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Delete, Memory, Takes,
        suite::{Image, image::index},
    };

    #[tokio::test]
    async fn what_is_missing_is_named_in_its_order() {
        let store = Memory::new();
        let [here, absent] = ["here", "absent"].map(|seed| Image::small(Takes::EVERYTHING, seed));
        here.put(&store, &[]).await.expect("put");
        let digests = |missing: Vec<Descriptor>| missing.iter().map(|child| child.digest).collect::<Vec<_>>();
        assert_eq!(
            digests(missing_children(&store, &here.document).await.expect("asked")),
            []
        );
        let both = index(&[&here, &absent]);
        assert_eq!(
            digests(missing_children(&store, &both).await.expect("asked")),
            [absent.digest]
        );
        let children = here.document.children();
        for place in [2, 0] {
            Delete::delete(&store, Role::Blob, &children[place].digest)
                .await
                .expect("deleted");
        }
        assert_eq!(
            digests(missing_children(&store, &here.document).await.expect("asked")),
            [children[0].digest, children[2].digest]
        );
    }
}
