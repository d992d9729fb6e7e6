//! What is that which a manifest names, and is all of it here?

use teu_spec::{Descriptor, Document};

use crate::{Intent, Result, Role, Source};

/// What a child of a document may be kept as: as what it counts where it is not here, then what it may be else. What a manifest names is a blob, and
/// what an index names is a manifest, whatever it is said to be; but where it is said to be none, as by the indexes in which BuildKit keeps its cache, it
/// may as well be a blob.
#[must_use]
pub fn child_roles(document: &Document, child: &Descriptor) -> &'static [Role] {
    let media_type = &child.media_type;
    match document {
        Document::Manifest(_) => &[Role::Blob],
        Document::Index(_) if media_type.is_document() || media_type.is_schema1() => &[Role::Manifest],
        Document::Index(_) => &[Role::Blob, Role::Manifest],
    }
}

/// What `document` names and `source` does not have, in the order in which it stands there. Non-distributable layers may be elsewhere, and
/// a subject need not be anywhere.
///
/// # Errors
/// What the source says.
pub async fn missing_children(source: &dyn Source, document: &Document) -> Result<Vec<Descriptor>> {
    let mut missing: Vec<Descriptor> = Vec::new();
    for child in document.children() {
        let elsewhere = child.media_type.is_foreign() && !child.urls.is_empty();
        let known = missing.iter().any(|other| other.digest == child.digest);
        if !elsewhere && !known && !is_here(source, document, &child).await? {
            missing.push(child);
        }
    }
    Ok(missing)
}

/// Whether a child is here as one of what it may be.
async fn is_here(source: &dyn Source, document: &Document, child: &Descriptor) -> Result<bool> {
    for role in child_roles(document, child) {
        if source.stat(*role, &child.digest, Intent::Write).await?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
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
        let cache = Image::cache(Takes::EVERYTHING, "cache");
        let [layer, config] = [0, 1].map(|place| cache.document.children()[place].digest);
        let children = missing_children(&store, &cache.document).await.expect("asked");
        assert_eq!(digests(children), [layer, config]);
        cache.put(&store, &[]).await.expect("put");
        assert_eq!(
            digests(missing_children(&store, &cache.document).await.expect("asked")),
            []
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
