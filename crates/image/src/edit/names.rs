//! Which file is meant by a name? A person may name one through links, and so may a layer: `bin/sh` of a layer is `usr/bin/sh` where a layer has `bin` as a
//! link to that. So both are led to where they end in the merged tree, and the tree that comes of it is held against the one that was.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use teu_archive::Escaped;
use teu_spec::Digest;
use teu_store::{Error, ErrorKind, Result, blocking};

use super::Edit;
use crate::{
    change::{Image, Stage},
    contents::{self, Contents, What},
    glob::{self, Pattern, clean},
    tree::{self, Answer, Builder, Tree},
};

/// The directories that a layer names and that lie elsewhere, links followed: where.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ways(HashMap<Vec<u8>, Vec<u8>>);

impl Ways {
    /// The path at which what a layer calls so really lies, its last name not followed.
    pub(super) fn real(&self, path: &[u8]) -> Vec<u8> {
        let path = clean(path);
        let (directory, name) = parted(&path);
        match self.0.get(directory) {
            Some(real) if real.is_empty() => name.to_vec(),
            Some(real) => [real, name].join(&b'/'),
            None => path,
        }
    }
}

/// What is to go of an image.
#[derive(Clone, Debug)]
pub(super) struct Names {
    /// Of real paths.
    pub(super) patterns: Vec<Pattern>,
    /// Layer by layer.
    ways: HashMap<Digest, Ways>,
    /// What was there; none where nobody knows.
    before: Option<Before>,
}

#[derive(Clone, Debug)]
struct Before {
    tree: Tree,
    tables: Vec<Contents>,
}

impl Names {
    /// Finds out where names lead. In an image that cannot be unpacked they mean what is written so, which a warning says.
    pub(super) async fn find(edit: &Edit, image: &Image, stage: &Stage) -> Result<Self> {
        let names = Self {
            patterns: edit.remove_files.clone(),
            ways: HashMap::new(),
            before: None,
        };
        if names.patterns.is_empty() {
            return Ok(names);
        }
        let options = options(edit, stage);
        let tables = contents::of_all(&stage.source(), &image.read_layers()?, edit.cache.as_ref(), &options).await;
        let limits = of_tree(edit);
        let found = match tables {
            Ok(tables) => {
                let patterns = names.patterns.clone();
                blocking::run(move || led(tables, patterns, &limits)).await
            }
            Err(error) => Err(error),
        };
        match found {
            Ok(found) => Ok(found),
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::Invalid | ErrorKind::TooLarge | ErrorKind::Unsupported
                ) =>
            {
                stage.warn(format!(
                    "nobody knows where links of the image lead, so files go that layers call by the names that were given: {error}"
                ));
                Ok(names)
            }
            Err(error) => Err(error),
        }
    }

    /// Where the names lead that this layer has.
    pub(super) fn ways(&self, layer: &Digest) -> Ways {
        self.ways.get(layer).cloned().unwrap_or_default()
    }

    /// Refuses what cannot be unpacked any more, has something that was not seen before, or still has what was to go.
    ///
    /// # Errors
    /// `Unsupported` then, with what to do; what reading the new layers says.
    pub(super) async fn check(self, edit: &Edit, image: &Image, stage: &Stage) -> Result<()> {
        let Some(before) = self.before else { return Ok(()) };
        let (source, options) = (stage.source(), options(edit, stage));
        let mut tables: Vec<Contents> = Vec::new();
        let mut is_other = false;
        for layer in image.read_layers()? {
            let same = before.tables.get(layer.position);
            tables.push(match same.filter(|table| *table.layer() == layer.descriptor.digest) {
                Some(table) => table.clone(),
                None => {
                    is_other = true;
                    contents::of(&source, &layer, None, &options).await?
                }
            });
        }
        if !is_other {
            return Ok(());
        }
        let (patterns, limits) = (self.patterns, of_tree(edit));
        let held = blocking::run(move || held(&before.tree, &tables, &patterns, &limits)).await?;
        match held {
            None => Ok(()),
            Some(message) => Err(Error::new(ErrorKind::Unsupported, message)),
        }
    }
}

/// Leads all names to where they end.
fn led(tables: Vec<Contents>, patterns: Vec<Pattern>, options: &tree::Options) -> Result<Names> {
    let mut builder = Builder::new(options);
    let mut ways = HashMap::new();
    for (place, table) in tables.iter().enumerate() {
        builder.layer(place, table)?;
        let mut directories = HashSet::new();
        for entry in table.entries() {
            let entry = entry?;
            let link = match &entry.what {
                What::HardLink(link) => Some(link),
                _ => None,
            };
            for path in [&entry.path].into_iter().chain(link) {
                let path = clean(path);
                let (directory, _) = parted(&path);
                if !directory.is_empty() && !directories.contains(directory) {
                    directories.insert(directory.to_vec());
                }
            }
        }
        let tree = builder.clone().finish();
        let mut elsewhere = HashMap::new();
        for directory in directories {
            if let Answer::Found(real, _) = tree.answer(&directory, true)?
                && real != directory
            {
                elsewhere.insert(directory, real);
            }
        }
        ways.insert(*table.layer(), Ways(elsewhere));
    }
    let tree = builder.finish();
    let patterns = patterns.iter().map(|pattern| real_pattern(&tree, pattern));
    Ok(Names {
        patterns: patterns.collect::<Result<_>>()?,
        ways,
        before: Some(Before { tree, tables }),
    })
}

/// A pattern of real paths that means what this one does, links followed in the names before the first wildcard.
fn real_pattern(tree: &Tree, pattern: &Pattern) -> Result<Pattern> {
    let text = pattern.as_bytes();
    let wild = glob::wild(text);
    let mut before = &text[..wild.unwrap_or(text.len())];
    while let (None, [above @ .., b'/']) = (wild, before) {
        before = above;
    }
    let Some(end) = before.iter().rposition(|byte| *byte == b'/') else {
        return Ok(pattern.clone());
    };
    let (directory, rest) = text.split_at(end);
    let Answer::Found(real, _) = tree.answer(directory, true)? else {
        return Ok(pattern.clone());
    };
    let mut whole = Vec::new();
    for byte in real {
        if glob::wild(&[byte]).is_some() {
            whole.push(b'\\');
        }
        whole.push(byte);
    }
    whole.extend_from_slice(rest);
    Pattern::new(whole)
}

/// What is wrong with what came of it; none where it is what was there, without what was to go.
fn held(before: &Tree, tables: &[Contents], patterns: &[Pattern], options: &tree::Options) -> Result<Option<String>> {
    let after = match Tree::of(tables, options) {
        Ok(after) => after,
        Err(error) if *error.kind() == ErrorKind::Invalid => {
            return Ok(Some(format!(
                "what stays needs something that goes, and could not be unpacked without it; remove that file too: {error}"
            )));
        }
        Err(error) => return Err(error),
    };
    for found in after.walk() {
        let (path, file) = found?;
        let layer = file
            .layer()
            .map_or_else(String::new, |layer| format!(" of layer {layer}"));
        if patterns.iter().any(|pattern| pattern.covers(&path)) {
            return Ok(Some(format!(
                "\"{}\"{layer} would still be there, as a layer has files in it; remove these too, or squash the image first",
                Escaped(&path)
            )));
        }
        let there = before.find(&path, false)?;
        if there.is_none_or(|(real, _)| real != path) {
            return Ok(Some(format!(
                "\"{}\"{layer} would come to be seen, as something goes that hides it or leads elsewhere; remove it too, or squash the image first",
                Escaped(&path)
            )));
        }
    }
    Ok(None)
}

fn options(edit: &Edit, stage: &Stage) -> contents::Options {
    let mut options = edit.contents.clone();
    options.layers.events = Arc::clone(stage.events());
    options
}

fn of_tree(edit: &Edit) -> tree::Options {
    tree::Options {
        limits: edit.tree.clone(),
        ..tree::Options::default()
    }
}

/// The directory of a clean path, and the name in it.
pub(super) fn parted(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (b"", path),
    }
}
