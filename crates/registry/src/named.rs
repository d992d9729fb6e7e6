//! Is content named in a repository? Asked before a blob is deleted of a place that does not ask itself, as a layout: what has a name is to be had whole. No
//! manifest comes to name what is being deleted meanwhile.

use std::collections::HashSet;

use teu_spec::{Digest, Document};
use teu_store::{ErrorKind, Result, SourceExt, Store};
use tokio::sync::{RwLockReadGuard, RwLockWriteGuard};

use crate::{registry::Registry, settings::Children};

impl Registry {
    /// The turn of who puts a manifest, with others who do, from when it looks whether all is there that it names; none where the place sees to that itself. It is
    /// one for all repositories: several may be the same place.
    pub(crate) async fn naming(&self) -> Option<RwLockReadGuard<'_, ()>> {
        match self.settings.children {
            Children::Required => Some(self.named.read().await),
            Children::AsTheStoreSays => None,
        }
    }

    /// The turn of who deletes content, alone, from when it looks whether something names that; none where the place sees to that itself.
    pub(crate) async fn deleting(&self) -> Option<RwLockWriteGuard<'_, ()>> {
        match self.settings.children {
            Children::Required => Some(self.named.write().await),
            Children::AsTheStoreSays => None,
        }
    }
}

/// Whether a manifest that the place lists, or one below such a one, names this content or is it. All of them are read.
///
/// # Errors
/// What the store says of a manifest that cannot be read: nobody knows what that names.
pub(crate) async fn is_named(store: &dyn Store, digest: &Digest) -> Result<bool> {
    let Some(browse) = store.browse() else {
        return Ok(false);
    };
    let (mut waiting, mut from) = (Vec::new(), None);
    loop {
        let page = browse.names(from.as_deref()).await?;
        waiting.extend(page.items.into_iter().filter_map(|named| named.descriptor));
        match page.next {
            Some(next) => from = Some(next),
            None => break,
        }
    }
    let mut seen = HashSet::new();
    while let Some(descriptor) = waiting.pop() {
        if !seen.insert(descriptor.digest) {
            continue;
        }
        if descriptor.digest == *digest {
            return Ok(true);
        }
        let document = match store.document(&descriptor).await {
            Ok(document) => document,
            // What is not here names nothing here.
            Err(error) if *error.kind() == ErrorKind::NotFound => continue,
            Err(error) => {
                // An index may list what is no manifest (image-spec, image-index.md), or is larger than any.
                let is_none = matches!(error.kind(), ErrorKind::Invalid | ErrorKind::TooLarge);
                match is_none && !descriptor.media_type.is_document() {
                    true => continue,
                    false => return Err(error),
                }
            }
        };
        let children = document.children();
        if children.iter().any(|child| child.digest == *digest) {
            return Ok(true);
        }
        if matches!(document, Document::Index(_)) {
            waiting.extend(children);
        }
    }
    Ok(false)
}
