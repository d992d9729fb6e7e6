//! What of an image stands in its manifest itself? What is small may, so that who reads the manifest need not ask again (image-spec,
//! descriptor.md, "Embedded Content").

use teu_spec::Format;
use teu_store::{Error, ErrorKind, Result, SourceExt};

use crate::change::{Image, Stage};

/// Has all that is named, and is not larger than `most` bytes, stand in the manifest, and nothing else.
pub(super) async fn edit(image: &mut Image, stage: &Stage, most: u64) -> Result<()> {
    if most > 0 && image.format() == Format::Docker {
        let message = "a manifest in Docker's form (v2s2) has no place for content; make it oci's first";
        return Err(Error::new(ErrorKind::Unsupported, message));
    }
    let config_size = image.config().ok().map(|config| config.raw().len() as u64);
    let mut children = image.document().children();
    for (place, child) in children.iter_mut().enumerate() {
        // The manifest names the config of before; where another takes its place, that takes the place of what stands here, too.
        let size = config_size.filter(|_| place == 0).unwrap_or(child.size);
        child.data = match most == 0 || size > most || child.media_type.is_foreign() {
            true => None,
            false => Some(stage.source().small_blob(child).await?),
        };
    }
    image.edit_manifest(|document| document.rewrite(&children.into_iter().map(Some).collect::<Vec<_>>()))
}
