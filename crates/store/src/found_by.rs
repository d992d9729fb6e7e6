//! Which name moves when an image is changed where it is?

use teu_spec::{Descriptor, Pick, annotation};

use crate::{Error, ErrorKind, Result};

/// The name by which `pick` found an image: what is moved where the image changes in place.
///
/// # Errors
/// `Invalid` where it was found by no name.
pub fn name_found_by(pick: &Pick, found: &Descriptor) -> Result<String> {
    let name = match pick {
        Pick::Name(name) => Some(name),
        _ => found.annotations.get(annotation::REF_NAME),
    };
    name.cloned().ok_or_else(|| {
        Error::new(
            ErrorKind::Invalid,
            format!(
                "{} was found by no name, so there is none to move; say what the changed one is called, or name it first",
                found.digest
            ),
        )
    })
}
