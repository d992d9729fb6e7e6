//! Can the layers that stay be unpacked without those that go? A hard link to a file of a layer that goes leads to nothing then, and what a layer
//! that goes made a directory is perhaps a file below it.

use std::{collections::BTreeSet, sync::Arc};

use teu_store::{Error, ErrorKind, Result};

use super::Edit;
use crate::{
    Layer,
    change::{Image, Stage},
    contents, tree,
};

/// Refuses to take layers from an image that can be unpacked with them, and without them cannot. Where nothing stays above them, nothing is read.
///
/// # Errors
/// `Unsupported` where others need them; `Cancelled`.
pub(super) async fn check(edit: &Edit, image: &Image, gone: &BTreeSet<usize>, stage: &Stage) -> Result<()> {
    let layers = image.read_layers()?;
    let stays = |place: usize| !gone.contains(&place);
    let Some(lowest) = gone.first() else { return Ok(()) };
    if !(*lowest..layers.len()).any(stays) {
        return Ok(());
    }
    let stay: Vec<Layer> = layers.iter().filter(|layer| stays(layer.position)).cloned().collect();
    let Some(failure) = failure(edit, &stay, stage).await? else {
        return Ok(());
    };
    let is_broken = *failure.kind() == ErrorKind::Invalid;
    // What was no better before is not the fault of those that go: they may be why.
    if is_broken && self::failure(edit, &layers, stage).await?.is_none() {
        let message = format!(
            "a layer that stays needs one that goes, and could not be unpacked without it; remove that one too, or only files: {failure}"
        );
        return Err(Error::new(ErrorKind::Unsupported, message));
    }
    stage.warn(match is_broken {
        true => format!("the image could not be unpacked, and cannot be without what goes: {failure}"),
        false => format!("nobody knows whether what stays can be unpacked without what goes: {failure}"),
    });
    Ok(())
}

/// Why these layers make no tree, or nobody knows whether they do; none where they make one.
async fn failure(edit: &Edit, layers: &[Layer], stage: &Stage) -> Result<Option<Error>> {
    let mut options = edit.contents.clone();
    options.layers.events = Arc::clone(stage.events());
    let tables = contents::of_all(&stage.source(), layers, edit.cache.as_ref(), &options).await;
    let options = tree::Options {
        limits: edit.tree.clone(),
        ..tree::Options::default()
    };
    match tables.and_then(|tables| tree::Tree::of(&tables, &options)) {
        Ok(_) => Ok(None),
        Err(error) if *error.kind() == ErrorKind::Cancelled => Err(error),
        // What cannot be read now could be edited before, and can be now.
        Err(error) => Ok(Some(error)),
    }
}
