//! Can a new layer be unpacked above those that an image has? A hard link may lead to a file of theirs, and what comes without its directory lies
//! in one of theirs: or there is no such file, and a file in the place of the directory.

use std::{collections::HashSet, sync::Arc};

use teu_rootfs::Node;
use teu_store::{Error, ErrorKind, Result};

use super::{Resolve, directory_of};
use crate::{
    change::{Image, Stage},
    contents::{self, Contents, What},
    glob::clean,
    read::{self, Need},
    tree::{Answer, Tree},
};

/// Refuses the highest layer of an image where nobody could unpack it above the others. As many of these are read as it takes.
///
/// # Errors
/// `Invalid` for such a layer, with the entry; `Cancelled`. What cannot be read, or could not be unpacked without it either, is a warning.
pub(super) async fn check(image: &Image, how: &Resolve, stage: &Stage) -> Result<()> {
    let layers = image.read_layers()?;
    let Some((new, below)) = layers.split_last() else {
        return Ok(());
    };
    let (source, cache) = (stage.source(), how.cache.as_ref());
    let mut options = how.contents.clone();
    options.layers.events = Arc::clone(stage.events());
    let asked = asked(&contents::of(&source, new, cache, &options).await?)?;
    let need = |tree: &Tree, _: &Contents| {
        for (path, follow) in &asked {
            if matches!(tree.answer(path, *follow)?, Answer::Unknown) {
                return Ok(Need::Next);
            }
        }
        Ok(Need::Nothing)
    };
    let tree = read::upper(&source, &layers, cache, &options, &how.tree, None, need).await;
    let Err(error) = tree else { return Ok(()) };
    if *error.kind() == ErrorKind::Cancelled {
        return Err(error);
    }
    if *error.kind() == ErrorKind::Invalid {
        // What is below may be what is wrong.
        let without = read::upper(&source, below, cache, &options, &how.tree, None, need).await;
        if without.is_ok() {
            let message = format!("above the layers that the image has nobody could unpack it: {error}");
            return Err(Error::new(ErrorKind::Invalid, message));
        }
    }
    stage.warn(format!(
        "nobody knows whether the new layer can be unpacked above the others: {error}"
    ));
    Ok(())
}

/// The paths that a layer leaves to those below, as far as it says itself, and whether a link that is there is followed: the directories of its
/// entries that have no entry before, and what its hard links lead to.
fn asked(table: &Contents) -> Result<HashSet<(Vec<u8>, bool)>> {
    let mut asked = HashSet::new();
    let mut made: HashSet<Vec<u8>> = HashSet::new();
    for entry in table.entries() {
        let entry = entry?;
        let path = clean(&entry.path);
        let directory = directory_of(&path, false);
        let is_above = directory.is_empty() || made.contains(directory);
        match entry.what {
            // Nothing is in the way of what hides.
            What::Remove(_) | What::Clear(_) => continue,
            What::HardLink(ref target) => drop(asked.insert((clean(target), false))),
            What::Make(_) => {}
        }
        if !is_above {
            asked.insert((directory.to_vec(), true));
        }
        if entry.what == What::Make(Node::Directory) {
            made.insert(path);
        }
    }
    Ok(asked)
}
