//! `teu diff`: in what do two images differ?

mod indexes;
mod json;
mod text;

use std::{io::Write, os::unix::ffi::OsStrExt as _, sync::Arc};

use teu_archive::Escaped;
use teu_image::{
    Image,
    diff::{self, Field, Pair, Pending, Side, TextLimits, Texts, Trees},
    glob::Pattern,
};
use teu_spec::{Descriptor, Document, Reference};
use teu_store::{Error, ErrorKind, Source};

use super::extract;
use crate::{
    arguments::{Diff, ImageOptions},
    failure::Failure,
    inside,
    limits::{self, Limits},
    output, places,
    progress::Shown,
    settings::Settings,
};

/// The exit code for images that differ.
const THEY_DIFFER: u8 = 1;

/// What a reference leads to, as [`places::found`] has it.
type Top = (Arc<dyn Source>, Descriptor, Document);

pub(super) async fn run(arguments: &Diff, settings: Arc<Settings>) -> Result<(), Failure> {
    let patterns = Pattern::all(arguments.globs.iter().map(|glob| glob.as_bytes()))?;
    let [first, second] = platforms(&arguments.platform)?;
    let reached = arguments.one.options();
    for_one_registry(&reached, &arguments.before, &arguments.after)?;
    let shown = Shown::start(&settings, false);
    let mut options = diff::Options {
        contents: inside::contents_options(&settings, shown.events()),
        ..diff::Options::default()
    };
    let mut shown_of_texts = TextLimits::default();
    let limits = Limits {
        texts: Some(&mut shown_of_texts),
        ..Limits::inside(&mut options.contents, &mut options.tree.limits)
    };
    limits::set(&arguments.limits, limits)?;
    let comparing = Comparing {
        arguments,
        settings: &settings,
        patterns,
        texts: shown_of_texts,
        options,
    };
    let names = [arguments.before.as_str(), &arguments.after];
    let before = places::found(names[0], &reached, &settings, shown.events()).await?;
    let after = places::found(names[1], &reached, &settings, shown.events()).await?;
    if let ([], Document::Index(old), Document::Index(new)) = (&arguments.platform[..], &before.2, &after.2) {
        let top = |name, source, digest, index| indexes::Top {
            name,
            source,
            digest,
            index,
        };
        let tops = [
            top(names[0], &before.0, before.1.digest, old),
            top(names[1], &after.0, after.1.digest, new),
        ];
        let is_same = indexes::compare(&comparing, &tops, &shown).await?;
        shown.finish();
        return ended(is_same, Ok(()));
    }
    let open = async |(source, top, document): Top, platform| -> Result<Side, Failure> {
        let image = Image::read(&*source, &top, document, &places::wanted(platform, &settings)?).await?;
        Ok(Side { source, image })
    };
    let (before, after) = (open(before, first).await?, open(after, second).await?);
    let found = comparing.images(names, [&before, &after]).await?;
    shown.finish();
    let told = match settings.json {
        true => json::report(&found),
        false => printed(&found, output::Paint::new(&settings)),
    };
    ended(found.is_same(), told)
}

/// The exit code says whether they differ.
fn ended(is_same: bool, told: Result<(), Failure>) -> Result<(), Failure> {
    match (is_same, told) {
        (true, told) => told,
        // Who reads no further still learns it from the exit code.
        (false, Ok(()) | Err(Failure::BrokenPipe)) => Err(Failure::Found { code: THEY_DIFFER }),
        (false, Err(failure)) => Err(failure),
    }
}

/// How two images are compared.
struct Comparing<'a> {
    arguments: &'a Diff,
    settings: &'a Arc<Settings>,
    patterns: Vec<Pattern>,
    texts: TextLimits,
    options: diff::Options,
}

impl Comparing<'_> {
    async fn images<'a>(&self, names: [&'a str; 2], sides: [&'a Side; 2]) -> Result<Found<'a>, Failure> {
        let (parts, [before, after]) = (self.arguments.parts(), sides.map(|side| &side.image));
        let mut found = Found {
            names,
            sides,
            documents: None,
            layers: None,
            files: None,
        };
        if parts.config {
            found.documents = Some(Documents {
                manifest: diff::manifest(before, after),
                config: diff::config(before, after, self.arguments.times),
            });
        }
        if parts.layers {
            found.layers = Some(diff::layers(before, after));
        }
        // A pattern has to mean something, and that only files can tell.
        let is_same = self.patterns.is_empty() && diff::has_same_layers(before, after);
        if parts.files && is_same {
            found.files = Some(Files::none());
        } else if parts.files {
            let cache = inside::cache(self.settings);
            let trees = Trees::read(sides, cache.as_ref(), &self.options).await?;
            let mut files = Files::count(trees, self.patterns.clone(), self.arguments, &self.texts)?;
            if let Some(pending) = files.pending.take() {
                // What has a limit already.
                let kept = extract::kept(self.settings, u64::MAX)?;
                files.texts = Some(diff::texts(sides, pending, kept, &self.options.contents).await?);
            }
            found.files = Some(files);
        }
        Ok(found)
    }
}

fn printed(found: &Found<'_>, paint: output::Paint) -> Result<(), Failure> {
    let mut out = output::stream();
    text::report(found, paint, &mut out)?;
    out.flush()?;
    Ok(())
}

/// The platform of each image.
fn platforms(given: &[String]) -> Result<[Option<&str>; 2], Failure> {
    match given {
        [] => Ok([None; 2]),
        [both] => Ok([Some(both); 2]),
        [first, second] => Ok([Some(first), Some(second)]),
        _ => {
            let message = "--platform is given once for both images, or twice: first for A, then for B";
            Err(Failure::Usage(message.to_owned()))
        }
    }
}

/// Refuses to show two registries what is for one of them.
fn for_one_registry(options: &ImageOptions, before: &str, after: &str) -> Result<(), Failure> {
    let secret = options.creds.is_some() || options.username.is_some() || options.registry_token.is_some();
    if !secret {
        return Ok(());
    }
    let (Reference::Registry(before), Reference::Registry(after)) =
        (places::reference(before)?, places::reference(after)?)
    else {
        return Ok(());
    };
    let is_one = match (&before.short, &after.short) {
        (None, None) => before.repository.registry() == after.repository.registry(),
        // registries.conf may send two short names two ways.
        (before, after) => before == after,
    };
    match is_one {
        true => Ok(()),
        false => {
            let message = "a user, password or token is for one registry, and the images are in two; use teu login, or --authfile";
            Err(Failure::Usage(message.to_owned()))
        }
    }
}

/// What was found of two images; of a part that was not asked for nothing.
struct Found<'a> {
    names: [&'a str; 2],
    sides: [&'a Side; 2],
    documents: Option<Documents>,
    layers: Option<Vec<Pair<'a>>>,
    files: Option<Files>,
}

struct Documents {
    manifest: Vec<Field>,
    config: Vec<Field>,
}

struct Files {
    /// None where both are made of the same layers.
    trees: Option<Trees>,
    patterns: Vec<Pattern>,
    times: bool,
    added: usize,
    removed: usize,
    changed: usize,
    pending: Option<Pending>,
    texts: Option<Texts>,
}

impl Found<'_> {
    fn is_same(&self) -> bool {
        let documents = self.documents.as_ref();
        documents.is_none_or(|documents| documents.manifest.is_empty() && documents.config.is_empty())
            && self
                .layers
                .as_ref()
                .is_none_or(|layers| layers.iter().all(Pair::is_same))
            && self.files.as_ref().is_none_or(|files| files.all() == 0)
    }
}

impl Files {
    /// Those of two images that are made of the same layers.
    fn none() -> Self {
        Self {
            trees: None,
            patterns: Vec::new(),
            times: false,
            added: 0,
            removed: 0,
            changed: 0,
            pending: None,
            texts: None,
        }
    }

    /// # Errors
    /// Where a pattern means nothing.
    fn count(trees: Trees, patterns: Vec<Pattern>, arguments: &Diff, texts: &TextLimits) -> Result<Self, Failure> {
        let mut files = Self {
            patterns,
            times: arguments.times,
            ..Self::none()
        };
        let mut pending = arguments.content.then(|| Pending::new(texts));
        let (mut added, mut removed, mut changed) = (0, 0, 0);
        let mut changes = trees.changes(&files.patterns, files.times);
        for change in &mut changes {
            let change = change?;
            match (change.before, change.after) {
                (None, _) => added += 1,
                (_, None) => removed += 1,
                _ => changed += 1,
            }
            if let Some(pending) = &mut pending {
                pending.add(&change)?;
            }
        }
        if let Some(pattern) = changes.unmet().next() {
            let message = format!(
                "nothing in either image is meant by \"{}\"",
                Escaped(pattern.as_bytes())
            );
            return Err(Error::new(ErrorKind::NotFound, message).into());
        }
        (files.added, files.removed, files.changed, files.pending) = (added, removed, changed, pending);
        files.trees = Some(trees);
        Ok(files)
    }

    fn changes(&self) -> impl Iterator<Item = teu_store::Result<diff::Change<'_>>> {
        let trees = self.trees.iter();
        trees.flat_map(|trees| trees.changes(&self.patterns, self.times))
    }

    fn all(&self) -> usize {
        self.added + self.removed + self.changed
    }
}
