//! Which name moves when an image is changed where it is, and does the image go of which a new one is made that comes without a name?

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

/// Whether what `pick` leads to now can be what it led to before somebody else changed the place, by the names that move: an image without a name, or one that
/// was found by its place in a list, may be another by then.
pub fn is_still(before: &[String], now: &[String]) -> bool {
    !now.is_empty() && now == before
}

/// Whether the place lists this image without a name: then what is made of it, and comes without one too, takes its place. Others without a name
/// are left as they are: they may be other images, or signatures.
///
/// # Errors
/// Those of reading its names.
pub async fn lists_nameless(target: &dyn Target, digest: &Digest) -> Result<bool> {
    // A registry lists no image that has no name.
    let Some(readable) = target.readable().filter(|readable| readable.origin().is_none()) else {
        return Ok(false);
    };
    let Some(browse) = readable.browse() else {
        return Ok(false);
    };
    let mut from = None::<String>;
    loop {
        let page = match browse.names(from.as_deref()).await {
            Ok(page) => page,
            Err(error) if *error.kind() == ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        let is_it = |descriptor: &Descriptor| descriptor.digest == *digest;
        let mut nameless = page.items.iter().filter(|named| named.name.is_none());
        if nameless.any(|named| named.descriptor.as_ref().is_some_and(is_it)) {
            return Ok(true);
        }
        match page.next {
            Some(next) => from = Some(next),
            None => return Ok(false),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::is_still;

    #[test]
    fn another_name_or_none_may_be_another_image() {
        let [app, other] = ["app", "other"].map(|name| vec![name.to_owned()]);
        assert!(is_still(&app, &app));
        assert!(!is_still(&app, &other));
        assert!(!is_still(&app, &[]));
        assert!(!is_still(&[], &[]));
    }
}
