//! What can be changed of one image? [`Image`]: manifest, config, and layers with their DiffIDs and history, which stay in agreement.

use std::ops::Range;

use bytes::Bytes;
use teu_spec::{
    Descriptor, Digest, Document, Format, History, ImageConfig, LayerCompression, Manifest, MediaType, Platform,
    json::edit::Editor,
};
use teu_store::{Error, ErrorKind, Result};

use crate::{Layer, layer::Written};

/// The order of a config's fields, by which new ones find their place.
const CONFIG_ORDER: [&str; 10] = [
    "created",
    "author",
    "architecture",
    "os",
    "os.version",
    "os.features",
    "variant",
    "config",
    "rootfs",
    "history",
];

/// When something was made of which nobody says when: the start of 1970, as other builders write it whose images are the same whenever they are
/// made. Image-spec lets a history say nothing (config.md), but umoci 0.4.7 ends in a panic where an entry does.
pub const NO_TIME: &str = "1970-01-01T00:00:00Z";

/// What comes of splicing into a document.
type Spliced = std::result::Result<(), teu_spec::Error>;

/// A layer that an image gets, as it names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewLayer {
    /// As its manifest names it.
    pub descriptor: Descriptor,
    /// The digest of what is in it, uncompressed.
    pub diff_id: Digest,
}

/// One image, or an artifact, that is being changed. Each method splices into the bytes of the document that it is about.
#[derive(Clone, Debug)]
pub struct Image {
    descriptor: Descriptor,
    is_root: bool,
    document: Document,
    original: Option<ImageConfig>,
    config: Option<ImageConfig>,
}

impl Image {
    pub(super) fn new(descriptor: Descriptor, is_root: bool, document: Document, config: Option<ImageConfig>) -> Self {
        Self {
            descriptor,
            is_root,
            document,
            original: config.clone(),
            config,
        }
    }

    /// What it was called: the digest of before, and what its index said of it.
    #[must_use]
    pub fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    /// Whether it is what was named, and not in an index.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.is_root
    }

    /// The manifest as it is now, but for what a change of the config makes of its descriptor.
    #[must_use]
    pub fn document(&self) -> &Document {
        &self.document
    }

    /// The layers as they are now, lowest first.
    #[must_use]
    pub fn layers(&self) -> &[Descriptor] {
        match &self.document {
            Document::Manifest(manifest) => &manifest.layers,
            // It was made of a manifest, and stays one.
            Document::Index(_) => &[],
        }
    }

    /// The config as it is now.
    ///
    /// # Errors
    /// `Unsupported` for an artifact, which has no config of an image.
    pub fn config(&self) -> Result<&ImageConfig> {
        self.config.as_ref().ok_or_else(|| self.no_config())
    }

    /// The layers and their DiffIDs.
    ///
    /// # Errors
    /// `Unsupported` for an artifact; `Invalid` where the config has not one DiffID for each layer.
    pub fn diff_ids(&self) -> Result<&[Digest]> {
        let config = self.config()?;
        config.check_layers(self.layers().len())?;
        Ok(config.diff_ids())
    }

    /// The layers as they are read, lowest first.
    ///
    /// # Errors
    /// As [`diff_ids`](Self::diff_ids).
    pub fn read_layers(&self) -> Result<Vec<Layer>> {
        let both = self.layers().iter().zip(self.diff_ids()?).enumerate();
        Ok(both
            .map(|(position, (descriptor, diff_id))| Layer {
                position,
                descriptor: descriptor.clone(),
                diff_id: *diff_id,
            })
            .collect())
    }

    /// The place in the history of what made each layer; none where the history does not say so, as it has no entry for each of them.
    #[must_use]
    pub fn history_places(&self) -> Option<Vec<usize>> {
        let history = &self.config.as_ref()?.fields.history;
        let places: Vec<usize> = (0..history.len())
            .filter(|place| !history[*place].empty_layer)
            .collect();
        (places.len() == self.layers().len()).then_some(places)
    }

    /// The type of a new layer of this compression, in the form of the manifest.
    ///
    /// # Errors
    /// `Unsupported` where Docker's form has no word for it: zstd.
    pub fn layer_type(&self, compression: LayerCompression) -> Result<MediaType> {
        let oci = MediaType::OciLayer.recompressed(compression);
        let here = oci.and_then(|oci| oci.in_format(self.document.format()));
        here.ok_or_else(|| {
            Error::new(
                ErrorKind::Unsupported,
                format!("an image in Docker's form (v2s2) has no {compression} layers; use gzip, or make it oci's"),
            )
        })
    }

    /// A layer that was [written](crate::layer), as this image names it.
    ///
    /// # Errors
    /// As [`layer_type`](Self::layer_type).
    pub fn layer_of(&self, written: &Written) -> Result<NewLayer> {
        let media_type = self.layer_type(written.compression)?;
        Ok(NewLayer {
            descriptor: Descriptor::new(media_type, written.digest, written.size),
            diff_id: written.diff_id,
        })
    }

    /// The compression of most of the layers: what a new one is best made like. Gzip where there is none.
    #[must_use]
    pub fn usual_compression(&self) -> LayerCompression {
        let count = |compression| {
            let layers = self.layers().iter();
            layers
                .filter(|layer| layer.media_type.layer_compression() == Some(compression))
                .count()
        };
        let (plain, gzip, zstd) = (
            count(LayerCompression::None),
            count(LayerCompression::Gzip),
            count(LayerCompression::Zstd),
        );
        if zstd > gzip && zstd >= plain {
            LayerCompression::Zstd
        } else if plain > gzip {
            LayerCompression::None
        } else {
            LayerCompression::Gzip
        }
    }

    /// Changes the config by splicing. Of layers nothing is changed so, as their number would not be that of the manifest.
    ///
    /// # Errors
    /// `Unsupported` for an artifact; `Invalid` where what comes of it is no config.
    pub fn edit_config(&mut self, change: impl FnOnce(&mut Editor) -> Spliced) -> Result<()> {
        let config = self.config()?;
        let mut editor = Editor::new(config.raw().clone())?;
        change(&mut editor)?;
        let raw = editor.finish();
        if raw != *config.raw() {
            self.config = Some(ImageConfig::parse(raw)?);
        }
        Ok(())
    }

    /// Sets one of the config's own fields, or removes it; a new one stands where the specification has it.
    ///
    /// # Errors
    /// As [`edit_config`](Self::edit_config).
    pub fn set_config(&mut self, key: &str, value: Option<&(impl serde::Serialize + ?Sized)>) -> Result<()> {
        self.edit_config(|editor| put(editor, key, value))
    }

    /// Changes the manifest: annotations, artifact type, subject. Its layers are changed by the other methods.
    ///
    /// # Errors
    /// What `change` says; `Invalid` where the number of layers is another then.
    pub fn edit_manifest(
        &mut self,
        change: impl FnOnce(&Document) -> std::result::Result<Document, teu_spec::Error>,
    ) -> Result<()> {
        let new = change(&self.document)?;
        match &new {
            Document::Manifest(Manifest { layers, .. }) if layers.len() == self.layers().len() => {
                self.document = new;
                Ok(())
            }
            _ => Err(Error::new(
                ErrorKind::Invalid,
                "the layers change in number, and their DiffIDs do not",
            )),
        }
    }

    /// Puts a layer on top of the others, and says how it came to be, where the history speaks of layers at all and there is something to say.
    /// A history without a time gets [`NO_TIME`].
    ///
    /// # Errors
    /// As [`insert_layer`](Self::insert_layer).
    pub fn append_layer(&mut self, layer: &NewLayer, history: Option<&History>) -> Result<()> {
        self.insert_layer(self.layers().len(), layer, history)
    }

    /// Puts a layer at `place`, counted from the lowest, which is 0. Where the history has an entry for each layer it gets one for this; where
    /// it has none at all, though there are layers, it stays so. Without `history` nothing is said of this one either, and nobody can say then
    /// which entry is of which layer.
    ///
    /// # Errors
    /// As [`diff_ids`](Self::diff_ids); `Invalid` where there is no such place.
    pub fn insert_layer(&mut self, place: usize, layer: &NewLayer, history: Option<&History>) -> Result<()> {
        self.diff_ids()?;
        let count = self.layers().len();
        if place > count {
            let message = format!("there is no place {place} among {count} layers");
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        let entry = history.map(|history| History {
            empty_layer: false,
            ..history.clone()
        });
        let at = self.history_places().map(|places| match places.get(place) {
            Some(at) => *at,
            None => self.history_len(),
        });
        let entries = self.history_len();
        let document = self.document.insert(place, std::slice::from_ref(&layer.descriptor))?;
        self.edit_config(|editor| {
            insert(editor, &["rootfs", "diff_ids"], count, place, &layer.diff_id)?;
            match (at, &entry) {
                (Some(at), Some(entry)) => insert_history(editor, entries, at, entry),
                _ => Ok(()),
            }
        })?;
        self.document = document;
        Ok(())
    }

    /// Has another layer stand where one stood, with the history of that.
    ///
    /// # Errors
    /// As [`diff_ids`](Self::diff_ids); `Invalid` where there is no such place.
    pub fn replace_layer(&mut self, place: usize, layer: &NewLayer) -> Result<()> {
        self.check_place(place)?;
        let mut children: Vec<_> = self.document.children().into_iter().map(Some).collect();
        children[place + 1] = Some(layer.descriptor.clone());
        let document = self.document.rewrite(&children)?;
        let same = self.diff_ids()?[place] == layer.diff_id;
        if !same {
            self.edit_config(|editor| {
                let path = ["rootfs".into(), "diff_ids".into(), place.into()];
                editor.set(&path, &layer.diff_id)
            })?;
        }
        self.document = document;
        Ok(())
    }

    /// Takes a layer away, with its DiffID and its entry in the history.
    ///
    /// # Errors
    /// As [`replace_layer`](Self::replace_layer).
    pub fn remove_layer(&mut self, place: usize) -> Result<()> {
        self.check_place(place)?;
        let at = self.history_places().map(|places| places[place]);
        let document = self.without(place..place + 1)?;
        self.edit_config(|editor| {
            editor.remove(&["rootfs".into(), "diff_ids".into(), place.into()])?;
            match at {
                Some(at) => editor.remove(&["history".into(), at.into()]).map(drop),
                None => Ok(()),
            }
        })?;
        self.document = document;
        Ok(())
    }

    /// Has one layer stand for several that follow each other. What made those stays in the history as what made no layer, and `history` stands
    /// behind it, with the time [`NO_TIME`] where it has none.
    ///
    /// # Errors
    /// As [`replace_layer`](Self::replace_layer), and for an empty range.
    pub fn merge_layers(&mut self, places: Range<usize>, layer: &NewLayer, history: &History) -> Result<()> {
        let Some(last) = places.end.checked_sub(1).filter(|last| *last >= places.start) else {
            return Err(Error::new(ErrorKind::Invalid, "there are no layers to be one"));
        };
        self.check_place(last)?;
        let (made_by, entries) = (self.history_places(), self.history_len());
        let mut merged = self.clone();
        merged.document = merged.without(places.start + 1..places.end)?;
        merged.edit_config(|editor| {
            editor.retain(&["rootfs".into(), "diff_ids".into()], |place| {
                place <= places.start || place >= places.end
            })?;
            if let Some(made_by) = made_by {
                for at in &made_by[places.clone()] {
                    editor.set(&["history".into(), (*at).into(), "empty_layer".into()], &true)?;
                }
                let entry = History {
                    empty_layer: false,
                    ..history.clone()
                };
                insert_history(editor, entries, made_by[last] + 1, &entry)?;
            }
            Ok(())
        })?;
        merged.replace_layer(places.start, layer)?;
        *self = merged;
        Ok(())
    }

    /// Has other layers stand for the lowest `count`, and `history` for the first `entries` of the history.
    ///
    /// # Errors
    /// As [`diff_ids`](Self::diff_ids); `Invalid` where there are not as many layers.
    pub fn replace_lowest(
        &mut self,
        count: usize,
        layers: &[NewLayer],
        entries: usize,
        history: &[impl serde::Serialize],
    ) -> Result<()> {
        if let Some(last) = count.checked_sub(1) {
            self.check_place(last)?;
        }
        let kept = self.diff_ids()?.len() - count;
        let kept_entries = self.history_len().saturating_sub(entries);
        let descriptors: Vec<_> = layers.iter().map(|layer| layer.descriptor.clone()).collect();
        let document = self.without(0..count)?.insert(0, &descriptors)?;
        self.edit_config(|editor| {
            let diff_ids: Vec<_> = layers.iter().map(|layer| layer.diff_id).collect();
            let path = ["rootfs".into(), "diff_ids".into()];
            editor.retain(&path, |place| place >= count)?;
            match kept {
                0 => editor.set(&path, &diff_ids)?,
                _ => editor.insert(&["rootfs".into(), "diff_ids".into(), 0.into()], &diff_ids)?,
            }
            editor.retain(&["history".into()], |place| place >= entries)?;
            match (kept_entries, history) {
                (_, []) => Ok(()),
                (0, history) => put(editor, "history", Some(history)),
                (_, history) => editor.insert(&["history".into(), 0.into()], history),
            }
        })?;
        self.document = document;
        Ok(())
    }

    /// Adds an entry to the history of what made no layer. One without a time gets [`NO_TIME`].
    ///
    /// # Errors
    /// `Unsupported` for an artifact.
    pub fn append_history(&mut self, history: &History) -> Result<()> {
        let entry = History {
            empty_layer: true,
            ..history.clone()
        };
        let at = self.history_len();
        self.edit_config(|editor| insert_history(editor, at, at, &entry))
    }

    /// The machine that it is for now, where that is another than before.
    pub(super) fn new_platform(&self) -> Option<Platform> {
        let (old, new) = (self.original.as_ref()?.platform(), self.config.as_ref()?.platform());
        (old != new).then_some(new)
    }

    /// The manifest, and the config where that is new.
    pub(super) fn finish(self) -> Result<(Document, Option<(Descriptor, Bytes)>)> {
        let (Some(old), Some(new), Document::Manifest(manifest)) = (&self.original, &self.config, &self.document)
        else {
            return Ok((self.document, None));
        };
        if old.raw() == new.raw() {
            return Ok((self.document, None));
        }
        let raw = new.raw().clone();
        let mut descriptor = manifest.config.clone();
        descriptor.digest = manifest.config.digest.algorithm().digest(&raw);
        descriptor.size = raw.len() as u64;
        descriptor.urls = Vec::new();
        descriptor.data = manifest.config.data.is_some().then(|| raw.clone());
        let mut children: Vec<_> = self.document.children().into_iter().map(Some).collect();
        children[0] = Some(descriptor.clone());
        Ok((self.document.rewrite(&children)?, Some((descriptor, raw))))
    }

    /// The form that its manifest is in.
    #[must_use]
    pub fn format(&self) -> Format {
        self.document.format()
    }

    fn without(&self, places: Range<usize>) -> Result<Document> {
        let mut children: Vec<_> = self.document.children().into_iter().map(Some).collect();
        for child in &mut children[places.start + 1..places.end + 1] {
            *child = None;
        }
        Ok(self.document.rewrite(&children)?)
    }

    fn history_len(&self) -> usize {
        self.config.as_ref().map_or(0, |config| config.fields.history.len())
    }

    fn check_place(&self, place: usize) -> Result<()> {
        let count = self.diff_ids()?.len();
        if place >= count {
            let message = format!("there is no layer {place}; it has {count}, counted from 0");
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        Ok(())
    }

    fn no_config(&self) -> Error {
        let kind = match &self.document {
            Document::Manifest(manifest) => manifest.config.media_type.to_string(),
            Document::Index(index) => index.media_type.to_string(),
        };
        Error::new(
            ErrorKind::Unsupported,
            format!(
                "{} is an artifact, whose config is of type {kind:?} and no image's; its annotations, artifact type and subject \
                 can be changed",
                self.descriptor.digest
            ),
        )
    }
}

/// Sets or removes a key of the root.
fn put(editor: &mut Editor, key: &str, value: Option<&(impl serde::Serialize + ?Sized)>) -> Spliced {
    match value {
        Some(value) => {
            let place = CONFIG_ORDER.iter().position(|other| *other == key);
            match place {
                Some(place) => editor.set_after(&[key.into()], &CONFIG_ORDER[..place], value),
                None => editor.set(&[key.into()], value),
            }
        }
        None => editor.remove(&[key.into()]).map(drop),
    }
}

/// Inserts into a list that may be absent, null or empty.
fn insert(editor: &mut Editor, path: &[&str], count: usize, place: usize, value: &impl serde::Serialize) -> Spliced {
    let mut steps: Vec<_> = path.iter().map(|key| (*key).into()).collect();
    if count == 0 {
        return editor.set(&steps, std::slice::from_ref(value));
    }
    steps.push(place.into());
    editor.insert(&steps, std::slice::from_ref(value))
}

/// Inserts into the history, which has `count` entries; none may mean that it is absent, null or empty.
fn insert_history(editor: &mut Editor, count: usize, at: usize, entry: &History) -> Spliced {
    let mut entry = entry.clone();
    entry.created.get_or_insert_with(|| NO_TIME.to_owned());
    match count {
        0 => put(editor, "history", Some(std::slice::from_ref(&entry))),
        _ => editor.insert(&["history".into(), at.into()], std::slice::from_ref(&entry)),
    }
}
