//! Which name moves when an image is changed where it is, and which image goes where a new one comes without a name?

use teu_spec::{Descriptor, Digest, Pick, annotation};

use crate::{Error, ErrorKind, Result, Target};

/// The names by which `pick` found an image: what is moved where the image changes in place. None where it is an image without a name that is the only
/// one, or the one at its place: then [it is replaced](Target::put_manifest) as it is.
///
/// # Errors
/// `Invalid` where it was found by its digest, which says of no name that it is to move.
pub fn names_found_by(pick: &Pick, found: &Descriptor) -> Result<Vec<String>> {
    let name = match pick {
        Pick::Name(name) => Some(name),
        _ => found.annotations.get(annotation::REF_NAME),
    };
    match (name, pick) {
        (Some(name), _) => Ok(vec![name.clone()]),
        (None, Pick::Only | Pick::At(_)) => Ok(Vec::new()),
        (None, _) => Err(Error::new(
            ErrorKind::Invalid,
            format!(
                "{} was found by no name, so there is none to move; say what the changed one is called (--to), or name it first (teu tag)",
                found.digest
            ),
        )),
    }
}

/// The image without a name that one without a name replaces: the only such that the place lists.
///
/// # Errors
/// Those of reading its names.
pub async fn only_nameless(target: &dyn Target) -> Result<Option<Digest>> {
    // A registry lists no image that has no name.
    let Some(readable) = target.readable().filter(|readable| readable.origin().is_none()) else {
        return Ok(None);
    };
    let Some(browse) = readable.browse() else {
        return Ok(None);
    };
    let (mut found, mut from) = (None, None::<String>);
    loop {
        let page = match browse.names(from.as_deref()).await {
            Ok(page) => page,
            Err(error) if *error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        for named in page.items {
            if named.name.is_none()
                && let Some(descriptor) = named.descriptor
                && found.replace(descriptor.digest).is_some()
            {
                return Ok(None);
            }
        }
        match page.next {
            Some(next) => from = Some(next),
            None => return Ok(found),
        }
    }
}
