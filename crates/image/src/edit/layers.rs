//! Which layers go, and which are written anew because of what is in them?

use std::{
    collections::BTreeSet,
    fmt,
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use futures_util::StreamExt;
use teu_spec::{Descriptor, Digest, LayerCompression, MediaType};
use teu_store::{Error, ErrorKind, Expected, Intent, Result, Role, SourceExt, blocking, copy::forget_bytes};

use super::{Edit, names::Names, rewrite, without};
use crate::{
    Layer,
    change::{Image, NewLayer, Stage},
    layer::{self, Times},
    layers,
};

/// A layer, as a person names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WhichLayer {
    /// The one at this place, counted from the lowest, which is 0.
    At(usize),
    /// The one with this digest, or with this DiffID.
    Digest(Digest),
    /// The same by the first digits, as lists show them: eight or more, and of no other layer.
    Digits(String),
    /// Those that the history says were made by something with this text in it, in which `*` stands for anything.
    MadeBy(String),
}

/// How many digits of a digest mean a layer, at least.
const LEAST_DIGITS: usize = 8;

/// What is known of a layer.
struct Known<'a> {
    place: usize,
    descriptor: &'a Descriptor,
    diff_id: Option<&'a Digest>,
    made_by: Option<&'a str>,
}

impl WhichLayer {
    /// The layer of an image that is meant: of several the lowest.
    ///
    /// # Errors
    /// `NotFound` where the image has no such layer.
    pub fn find<'i>(&self, image: &'i crate::Image) -> Result<&'i Layer> {
        let history = image.history();
        self.check(
            image
                .layers
                .iter()
                .map(|layer| (&layer.descriptor.digest, Some(&layer.diff_id))),
        )?;
        let found = image.layers.iter().find(|layer| {
            self.is(&Known {
                place: layer.position,
                descriptor: &layer.descriptor,
                diff_id: Some(&layer.diff_id),
                made_by: history[layer.position].map(|history| &*history.created_by),
            })
        });
        found.ok_or_else(|| self.none_of(image.layers.len()))
    }

    /// The place of the layer that is meant in an image that is changed: of several the lowest.
    ///
    /// # Errors
    /// `NotFound` where the image has no such layer; `Unsupported` for an artifact.
    pub(crate) fn place(&self, image: &Image) -> Result<usize> {
        let diff_ids = image.diff_ids()?;
        let history = &image.config()?.fields.history;
        let made_by = image.history_places().unwrap_or_default();
        let digests = image.layers().iter().map(|layer| &layer.digest).enumerate();
        self.check(digests.map(|(place, digest)| (digest, diff_ids.get(place))))?;
        let found = image.layers().iter().enumerate().position(|(place, descriptor)| {
            self.is(&Known {
                place,
                descriptor,
                diff_id: diff_ids.get(place),
                made_by: made_by
                    .get(place)
                    .and_then(|at| history.get(*at))
                    .map(|entry| entry.created_by.as_str()),
            })
        });
        found.ok_or_else(|| self.none_of(diff_ids.len()))
    }

    fn none_of(&self, count: usize) -> Error {
        let layers = if count == 1 { "layer" } else { "layers" };
        let message = format!("the image has no layer {self}; it has {count} {layers}");
        Error::new(ErrorKind::NotFound, message)
    }

    /// Whether digits mean one layer at most, of those with these digests and DiffIDs.
    pub(super) fn check<'a>(&self, layers: impl Iterator<Item = (&'a Digest, Option<&'a Digest>)>) -> Result<()> {
        let Self::Digits(digits) = self else { return Ok(()) };
        let begins = |digest: &Digest| digest.hex().starts_with(digits.as_str());
        let meant = layers.filter(|(digest, diff_id)| begins(digest) || diff_id.is_some_and(begins));
        let meant: BTreeSet<String> = meant.map(|(digest, _)| digest.to_string()).collect();
        if meant.len() < 2 {
            return Ok(());
        }
        let meant: Vec<String> = meant.into_iter().collect();
        let message = format!("{digits} are the first digits of several layers: {}", meant.join(", "));
        Err(Error::new(ErrorKind::Invalid, message))
    }

    fn is(&self, layer: &Known<'_>) -> bool {
        match self {
            Self::At(at) => *at == layer.place,
            Self::Digest(digest) => layer.descriptor.digest == *digest || layer.diff_id == Some(digest),
            Self::Digits(digits) => {
                let begins = |digest: &Digest| digest.hex().starts_with(digits.as_str());
                begins(&layer.descriptor.digest) || layer.diff_id.is_some_and(begins)
            }
            Self::MadeBy(text) => layer.made_by.is_some_and(|made_by| has(made_by, text)),
        }
    }
}

/// Whether the parts of `wanted` between its `*` stand in `text`, one after the other.
fn has(text: &str, wanted: &str) -> bool {
    let mut rest = text;
    wanted.split('*').all(|part| match rest.find(part) {
        Some(at) => {
            rest = &rest[at + part.len()..];
            true
        }
        None => false,
    })
}

impl FromStr for WhichLayer {
    type Err = Error;

    /// Reads a number, a digest or its first digits. No layer has a number of eight digits.
    fn from_str(text: &str) -> Result<Self> {
        let digits = text.strip_prefix("sha256:").unwrap_or(text);
        let is_digit = |digit: u8| matches!(digit, b'0'..=b'9' | b'a'..=b'f');
        if (LEAST_DIGITS..64).contains(&digits.len()) && digits.bytes().all(is_digit) {
            return Ok(Self::Digits(digits.to_owned()));
        }
        if let Ok(place) = text.parse() {
            return Ok(Self::At(place));
        }
        let digest = text.parse();
        digest.map(Self::Digest).map_err(|error| {
            let message =
                format!("{text:?} is neither the number of a layer, the lowest being 0, nor its digest, nor eight or more digits that it begins with: {error}");
            Error::new(ErrorKind::Invalid, message)
        })
    }
}

impl fmt::Display for WhichLayer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(place) => place.fmt(formatter),
            Self::Digest(digest) => digest.fmt(formatter),
            Self::Digits(digits) => digits.fmt(formatter),
            Self::MadeBy(text) => write!(formatter, "made by {text:?}"),
        }
    }
}

/// Does to the layers what is asked for.
pub(super) async fn edit(edit: &Edit, image: &mut Image, stage: &Stage) -> Result<()> {
    remove(edit, image, stage).await?;
    if edit.distribute {
        distribute(image, stage).await?;
    }
    if !edit.remove_files.is_empty() || edit.times != Times::Keep {
        let names = Names::find(edit, image, stage).await?;
        for place in 0..image.layers().len() {
            rewrite(edit, &names, image, place, stage).await?;
        }
        names.check(edit, image, stage).await?;
    }
    Ok(())
}

async fn remove(edit: &Edit, image: &mut Image, stage: &Stage) -> Result<()> {
    if edit.remove_layers.is_empty() {
        return Ok(());
    }
    let diff_ids = image.diff_ids()?.to_vec();
    let layers = image.layers().to_vec();
    let history = image.config()?.fields.history.clone();
    let made_by = image.history_places().unwrap_or_default();
    for which in &edit.remove_layers {
        which.check(layers.iter().map(|layer| &layer.digest).zip(diff_ids.iter().map(Some)))?;
    }
    let mut gone = BTreeSet::new();
    for (place, descriptor) in layers.iter().enumerate() {
        let entry = made_by.get(place).and_then(|at| history.get(*at));
        let known = Known {
            place,
            descriptor,
            diff_id: diff_ids.get(place),
            made_by: entry.map(|entry| entry.created_by.as_str()),
        };
        for (number, which) in edit.remove_layers.iter().enumerate() {
            if which.is(&known) {
                edit.done().removed.insert(number);
                gone.insert(place);
            }
        }
    }
    without::check(edit, image, &gone, stage).await?;
    for place in gone.into_iter().rev() {
        image.remove_layer(place)?;
    }
    Ok(())
}

/// Has non-distributable layers be like all others: their content comes here, and where else it was is not said any more.
async fn distribute(image: &mut Image, stage: &Stage) -> Result<()> {
    let diff_ids = image.diff_ids()?.to_vec();
    let layers = image.layers().to_vec();
    for (place, (old, diff_id)) in layers.into_iter().zip(diff_ids).enumerate() {
        let media_type = match old.media_type {
            MediaType::OciForeignLayer => MediaType::OciLayer,
            MediaType::OciForeignLayerGzip => MediaType::OciLayerGzip,
            MediaType::OciForeignLayerZstd => MediaType::OciLayerZstd,
            MediaType::DockerForeignLayer => MediaType::DockerLayer,
            MediaType::DockerForeignLayerGzip => MediaType::DockerLayerGzip,
            // Where else another one can be had is not said either: some clients ask there first.
            _ if !old.urls.is_empty() => old.media_type.clone(),
            _ => continue,
        };
        let source = stage.source();
        if source.stat(Role::Blob, &old.digest, Intent::Read).await?.is_none() {
            let mut content = source.open(Role::Blob, &old).await?;
            let mut ingest = stage.target().ingest(Expected::verified(&old)).await?;
            while let Some(bytes) = content.next().await {
                ingest.write(bytes?).await?;
            }
            ingest.commit(Some(old.digest)).await?;
        }
        let descriptor = Descriptor {
            media_type,
            urls: Vec::new(),
            ..old
        };
        image.replace_layer(place, &NewLayer { descriptor, diff_id })?;
    }
    Ok(())
}

/// Writes a layer anew, if something in it is to be different.
async fn rewrite(edit: &Edit, names: &Names, image: &mut Image, place: usize, stage: &Stage) -> Result<()> {
    let old = image.layers()[place].clone();
    let diff_id = image.diff_ids()?[place];
    let which = rewrite::Which {
        patterns: names.patterns.clone(),
        ways: names.ways(&old.digest),
    };
    let known = edit.done().rewritten.get(&old.digest).cloned();
    let known = known.and_then(|(of, new)| (of == which).then_some(new));
    let new = match known {
        Some(known) => known,
        None => {
            let compression = readable(&old, place)?;
            let new = rewritten(edit, &which, image, (&old, diff_id, compression), stage).await?;
            edit.done().rewritten.insert(old.digest, (which, new.clone()));
            new
        }
    };
    let Some(mut new) = new else { return Ok(()) };
    // What this manifest says of it, and another may not.
    new.descriptor.annotations = old.annotations;
    let forgotten = forget_bytes(&mut new.descriptor.annotations);
    if !forgotten.is_empty() {
        stage.warn(format!(
            "layer {} is rewritten, so what was said of its bytes is left out: {}",
            old.digest,
            forgotten.join(", ")
        ));
    }
    image.replace_layer(place, &new)
}

/// How a layer is compressed that can be written anew.
pub(crate) fn readable(layer: &Descriptor, place: usize) -> Result<LayerCompression> {
    let refuse = |reason: String| {
        let message = format!("layer {place} ({}) {reason}", layer.digest);
        Err(Error::new(ErrorKind::Unsupported, message))
    };
    match layer.media_type.layer_compression() {
        None => refuse(format!(
            "is of type {:?}, and its files are not known",
            layer.media_type.as_str()
        )),
        Some(_) if layer.media_type.is_foreign() => refuse(
            "is non-distributable: its files are its maker's to change; remove it, or have it be like all others first"
                .to_owned(),
        ),
        Some(compression) => Ok(compression),
    }
}

async fn rewritten(
    edit: &Edit,
    which: &rewrite::Which,
    image: &Image,
    (old, diff_id, compression): (&Descriptor, Digest, LayerCompression),
    stage: &Stage,
) -> Result<Option<NewLayer>> {
    let source = stage.source();
    let layer = Layer {
        position: 0,
        descriptor: old.clone(),
        diff_id,
    };
    let reading = layers::Options {
        limits: edit.contents.layers.limits.clone(),
        events: Arc::clone(stage.events()),
        ..layers::Options::default()
    };
    let of_layer = |error: Error| error.within(format!("rewriting layer {}", old.digest));
    let mut found = rewrite::Found::default();
    if !edit.remove_files.is_empty() {
        let opened = layers::open(&source, &layer, &reading);
        let (which, limits) = (which.clone(), edit.contents.tar.clone());
        let looked = blocking::run(move || rewrite::look(opened, &which, limits)).await;
        found = looked.map_err(of_layer)?;
        edit.done().matched.extend(&found.matched);
        if !found.removes && edit.times == Times::Keep {
            return Ok(None);
        }
    }
    let options = layer::Options {
        compression,
        algorithm: old.digest.algorithm(),
        times: edit.times,
        limits: edit.contents.limits(),
        ..layer::Options::default()
    };
    let same = Arc::new(AtomicBool::new(false));
    let opened = layers::open(&source, &layer, &reading);
    let work = {
        let (which, limits, times) = (which.clone(), edit.contents.tar.clone(), edit.times);
        let same = Arc::clone(&same);
        move |writer: &mut layer::Writer<'_>| {
            let changed = rewrite::write(opened, writer, &which, found, times, limits)?;
            if !changed {
                same.store(true, Ordering::Relaxed);
                return Err(Error::new(ErrorKind::Cancelled, "nothing in it is different"));
            }
            Ok(())
        }
    };
    let written = match layer::write(stage.target(), &options, work).await {
        Ok((written, ())) => written,
        Err(_) if same.load(Ordering::Relaxed) => return Ok(None),
        Err(error) => return Err(of_layer(error)),
    };
    let mut descriptor = image.layer_of(&written);
    if old.media_type.layer_compression() == Some(written.compression) {
        descriptor = Ok(NewLayer {
            descriptor: Descriptor::new(old.media_type.clone(), written.digest, written.size),
            diff_id: written.diff_id,
        });
    }
    descriptor.map(Some)
}
