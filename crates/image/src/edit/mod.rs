//! What is to be different about an image? [`Edit`]: fields of its config, what its documents say of it, its layers and what is in them.
//!
//! It is done by [`change`](crate::change). What is the same already is not written anew, so an edit that says what is so changes nothing.
//! The same edit gives the same image on every machine: no clock is asked.

mod build_args;
mod config;
mod inline;
mod layers;
mod names;
mod rewrite;
mod without;
mod words;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use teu_archive::Escaped;
use teu_spec::{Annotations, ArtifactType, Descriptor, Digest, Document, History, Timestamp};
use teu_store::{BoxFuture, Error, ErrorKind, Result};

use crate::{
    change::{Change, Image, NewLayer, Stage},
    contents::{self, Cache},
    glob::Pattern,
    layer::Times,
    tree,
};

pub use config::{ConfigEdit, Healthcheck, HealthcheckFields, Keys, Pairs, To};
pub use layers::WhichLayer;
pub(crate) use layers::readable;
pub use words::{Port, Signal, User, Volume};

/// What is to be different.
#[derive(Debug, Default)]
pub struct Edit {
    /// Of the config.
    pub config: ConfigEdit,
    /// Whether the history goes, before anything is added to it.
    pub clear_history: bool,
    /// Build arguments that the history is not to tell any more, by their names.
    pub build_args: Vec<String>,
    /// Entries that the history gets, of what made no layer.
    pub history: Vec<History>,
    /// Labels that become annotations too, of the manifest that names the config: those whose key is this, or begins with it where it ends in
    /// `*`.
    pub labels_to_annotations: Vec<String>,
    /// Annotations of the manifests of images, or of an artifact.
    pub annotations: Pairs,
    /// Annotations of what was named, where that is an index.
    pub index_annotations: Pairs,
    /// Whether the index that was named gets the annotations that all images have in common which this changes, before its own are set.
    pub promote_annotations: bool,
    /// Annotations of what an index says of each image.
    pub descriptor_annotations: Pairs,
    /// Annotations of what each manifest says of its layers.
    pub layer_annotations: Pairs,
    /// Up to which size, in bytes, what a manifest names stands in it too, as `data` (image-spec, descriptor.md, "Embedded Content"); what is
    /// larger does not. None leaves it as it is.
    pub inline: Option<u64>,
    /// The artifact type of what was named.
    pub artifact_type: To<ArtifactType>,
    /// What that is about.
    pub subject: To<Descriptor>,
    /// The layers that go, as they were counted before. Where one stays above one that goes, all that stay are looked into, and it is refused
    /// where they need what goes; where that cannot be known, a warning says so.
    pub remove_layers: Vec<WhichLayer>,
    /// The files that go, out of all layers. Links are followed in the names before the first wildcard, and in the names that layers have: what is meant
    /// is where it really lies. What then could not be unpacked, or would have something to be seen that was not before, is refused.
    pub remove_files: Vec<Pattern>,
    /// What becomes of times: of the files in layers, and of those that config and history state.
    pub times: Times,
    /// Whether non-distributable layers become like all others, and are not fetched from elsewhere any more.
    pub distribute: bool,
    /// How layers are read that are looked into, and what they may ask for.
    pub contents: contents::Options,
    /// How much the tree of those that stay may take.
    pub tree: tree::Limits,
    /// What layers have is looked up here, and kept.
    pub cache: Option<Cache>,
    /// What was done so far, which begins with nothing.
    pub done: Done,
}

/// What was found and made so far: images share layers, and each is worked on once.
#[derive(Debug, Default)]
pub struct Done(Mutex<Found>);

#[derive(Debug, Default)]
struct Found {
    /// What became of layers, and for what; none where they stayed.
    rewritten: HashMap<Digest, (rewrite::Which, Option<NewLayer>)>,
    /// The layers to be removed that some image had.
    removed: HashSet<usize>,
    /// The patterns that meant a file.
    matched: HashSet<usize>,
    /// The build arguments that some history told.
    told: HashSet<usize>,
    /// The labels to become annotations, as they were named, that some image had.
    promoted: HashSet<usize>,
    /// Whether some image had a health check.
    checked: bool,
    /// The annotations of images as they are to be, by the digest that each had.
    annotations: HashMap<Digest, Annotations>,
    /// Whether there was any image, to whose config something could be done.
    images: bool,
}

impl Edit {
    fn done(&self) -> MutexGuard<'_, Found> {
        // No one leaves it half changed.
        self.done.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether nothing is to be different.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let pairs = [
            &self.annotations,
            &self.index_annotations,
            &self.descriptor_annotations,
            &self.layer_annotations,
        ];
        !self.is_of_images()
            && pairs.iter().all(|pairs| pairs.is_empty())
            && !self.promote_annotations
            && self.inline.is_none()
            && self.artifact_type == To::Same
            && self.subject == To::Same
    }

    /// Whether it says something that only an image's config or layers can say.
    fn is_of_images(&self) -> bool {
        !self.config.is_empty()
            || self.clear_history
            || !self.build_args.is_empty()
            || !self.history.is_empty()
            || !self.labels_to_annotations.is_empty()
            || !self.remove_layers.is_empty()
            || !self.remove_files.is_empty()
            || self.times != Times::Keep
            || self.distribute
    }

    async fn apply(&self, image: &mut Image, stage: &Stage) -> Result<()> {
        if self.is_of_images() {
            // An artifact is refused before anything is done.
            image.config()?;
            self.done().images = true;
            layers::edit(self, image, stage).await?;
            if self.times != Times::Keep {
                config::set_times(image, self.times)?;
            }
            let has_check = image.config()?.fields.config.healthcheck.is_some();
            self.done().checked |= has_check;
            self.config.apply(image)?;
            self.hide_build_args(image)?;
            if self.clear_history {
                image.set_config("history", None::<&str>)?;
            }
            for entry in &self.history {
                image.append_history(entry)?;
            }
            self.promote_labels(image)?;
        }
        let annotations = self.annotations.changes(image.document().annotations());
        image.edit_manifest(|document| document.annotate(&annotations))?;
        if !self.layer_annotations.is_empty() {
            image.edit_manifest(|document| {
                let mut children = document.children();
                for layer in &mut children[1..] {
                    self.layer_annotations.apply(&mut layer.annotations);
                }
                document.rewrite(&children.into_iter().map(Some).collect::<Vec<_>>())
            })?;
        }
        if image.is_root() {
            image.edit_manifest(|document| self.of_root(document))?;
        } else if self.promote_annotations {
            let annotations = image.document().annotations().clone();
            self.done().annotations.insert(image.descriptor().digest, annotations);
        }
        if let Some(most) = self.inline {
            inline::edit(image, stage, most).await?;
        }
        Ok(())
    }

    fn hide_build_args(&self, image: &mut Image) -> Result<()> {
        for (number, name) in self.build_args.iter().enumerate() {
            let fields = &image.config()?.fields;
            let (history, shell) = (fields.history.clone(), fields.config.shell.clone());
            // From the end, so that the places of those before it stay what they are.
            for (place, entry) in history.iter().enumerate().rev() {
                let becomes = build_args::without(entry, name, shell.as_deref())?;
                if becomes == build_args::Becomes::Same {
                    continue;
                }
                self.done().told.insert(number);
                image.edit_config(|editor| match becomes {
                    build_args::Becomes::MadeBy(made_by) => {
                        editor.set(&["history".into(), place.into(), "created_by".into()], &made_by)
                    }
                    _ => editor.remove(&["history".into(), place.into()]).map(drop),
                })?;
            }
        }
        Ok(())
    }

    fn promote_labels(&self, image: &mut Image) -> Result<()> {
        if self.labels_to_annotations.is_empty() {
            return Ok(());
        }
        let is_meant = |named: &String, key: &String| match named.strip_suffix('*') {
            Some(beginning) => key.starts_with(beginning),
            None => key == named,
        };
        let labels = image.config()?.fields.config.labels.clone().unwrap_or_default();
        for (place, named) in self.labels_to_annotations.iter().enumerate() {
            if labels.keys().any(|key| is_meant(named, key)) {
                self.done().promoted.insert(place);
            }
        }
        let promoted = labels
            .into_iter()
            .filter(|(key, _)| self.labels_to_annotations.iter().any(|named| is_meant(named, key)));
        let changes: BTreeMap<_, _> = promoted.map(|(key, value)| (key, Some(value))).collect();
        image.edit_manifest(|document| document.annotate(&changes))
    }

    /// The annotations that all images have, with the same values. They are forgotten then: an index that another one came before is done anew.
    fn common_annotations(&self) -> Annotations {
        let mut images = std::mem::take(&mut self.done().annotations).into_values();
        let mut common = images.next().unwrap_or_default();
        for image in images {
            common.retain(|key, value| image.get(key) == Some(value));
        }
        common
    }

    /// What is done to what was named, be it an image or an index.
    fn of_root(&self, document: &Document) -> std::result::Result<Document, teu_spec::Error> {
        let document = match &self.artifact_type {
            To::Same => document.clone(),
            To::Set(artifact_type) => document.with_artifact_type(Some(artifact_type.as_str()))?,
            To::Remove => document.with_artifact_type(None)?,
        };
        match &self.subject {
            To::Same => Ok(document),
            To::Set(subject) => document.with_subject(Some(subject)),
            To::Remove => document.with_subject(None),
        }
    }
}

impl Change for Edit {
    fn reads_new(&self) -> bool {
        !self.remove_files.is_empty()
    }

    fn image<'a>(&'a self, image: &'a mut Image, stage: &'a Stage) -> BoxFuture<'a, Result<()>> {
        Box::pin(self.apply(image, stage))
    }

    fn index(&self, index: &Document, is_root: bool) -> Result<Document> {
        if !is_root {
            return Ok(index.clone());
        }
        let promoted = self.common_annotations();
        let promoted = promoted.into_iter().map(|(key, value)| (key, Some(value)));
        let index = index.annotate(&promoted.collect())?;
        let annotations = self.index_annotations.changes(index.annotations());
        Ok(self.of_root(&index.annotate(&annotations)?)?)
    }

    fn listed(&self, image: &mut Descriptor) {
        self.descriptor_annotations.apply(&mut image.annotations);
    }

    /// Refuses what was asked for and meant nothing in any image: a layer or a file that is still there under another name would go unseen.
    fn finish(&self, root: &Descriptor) -> Result<()> {
        let done = self.done();
        let not_found = |message: String| Err(Error::new(ErrorKind::NotFound, message));
        if !done.images && self.is_of_images() {
            return not_found(format!(
                "{} lists no image whose config or layers could be changed",
                root.digest
            ));
        }
        for (place, which) in self.remove_layers.iter().enumerate() {
            if !done.removed.contains(&place) {
                return not_found(format!("there is no layer {which} in {}", root.digest));
            }
        }
        for (number, name) in self.build_args.iter().enumerate() {
            if !done.told.contains(&number) {
                return not_found(format!(
                    "no history in {} tells of a build argument {name:?}",
                    root.digest
                ));
            }
        }
        for (place, named) in self.labels_to_annotations.iter().enumerate() {
            if !done.promoted.contains(&place) {
                return not_found(format!(
                    "no image of {} has a label {named:?} that could become an annotation",
                    root.digest
                ));
            }
        }
        for (place, pattern) in self.remove_files.iter().enumerate() {
            if !done.matched.contains(&place) {
                let pattern = Escaped(pattern.as_bytes());
                return not_found(format!("no layer of {} has a file \"{pattern}\"", root.digest));
            }
        }
        if !done.checked && !self.config.healthcheck_fields.is_empty() && self.config.healthcheck == To::Same {
            return not_found(format!(
                "no image of {} has a health check, of which something could change",
                root.digest
            ));
        }
        let of_index = [&self.index_annotations, &self.descriptor_annotations];
        let means_index = self.promote_annotations || of_index.iter().any(|pairs| !pairs.is_empty());
        if !root.media_type.is_index() && means_index {
            let message = format!(
                "{} is a single image, so there is no index that could say something of it; annotate the image itself",
                root.digest
            );
            return Err(Error::new(ErrorKind::Unsupported, message));
        }
        Ok(())
    }
}

/// What a document says when something was made, as it is to be said then; none where it stays.
fn retimed(created: Option<&str>, times: Times) -> Option<String> {
    // What is no moment is not what this is about.
    let created: Timestamp = created?.parse().ok()?;
    let time = crate::layer::Time {
        seconds: created.unix(),
        nanoseconds: created.nanosecond(),
    };
    let new = times.apply(time);
    if new == time {
        return None;
    }
    Timestamp::from_unix(new.seconds, new.nanoseconds).map(|new| new.to_string())
}

#[cfg(test)]
mod tests;
