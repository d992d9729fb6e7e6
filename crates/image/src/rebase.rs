//! How does an image come to stand on another base? [`Rebase`] is the [`Change`] that has the layers of the new base stand for those of the old one,
//! which must be the image's lowest. The image's own layers are not read.
//!
//! How the image runs is its own and stays, as with crane; the history begins as the new base's does. What it stands on is written down where
//! image-spec has it (annotations.md, `org.opencontainers.image.base.*`), and read from there where nobody says it. Of an index, each image
//! gets the base for its machine.

use std::{fmt, sync::Arc};

use serde_json::Value;
use teu_spec::{Descriptor, Digest, Format, ImageConfig, Pick, Platform, annotation};
use teu_store::{BoxFuture, Error, ErrorKind, Result, Source};

use crate::{
    Image as Read,
    change::{Change, Image, NewLayer, Stage},
};

/// Where a base is.
#[derive(Clone)]
pub struct Base {
    /// The place.
    pub source: Arc<dyn Source>,
    /// Which image or index of it.
    pub pick: Pick,
    /// By which name others find it: that of a registry. None where it is in another place.
    pub name: Option<String>,
}

/// Opens the base that an image's annotations name: by its name, and by its digest where that is what is wanted.
pub type Open = Arc<dyn Fn(&str, Option<Digest>) -> Result<Base> + Send + Sync>;

/// Has images stand on another base.
#[derive(Clone)]
pub struct Rebase {
    /// What they stand on; none means what their annotations say.
    pub old: Option<Base>,
    /// What they are to stand on; none means what is under the annotations' name now.
    pub new: Option<Base>,
    /// Opens what annotations name.
    pub open: Open,
}

impl fmt::Debug for Rebase {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pick = |base: &Option<Base>| base.as_ref().map(|base| base.pick.clone());
        let mut shown = formatter.debug_struct("Rebase");
        shown.field("old", &pick(&self.old)).field("new", &pick(&self.new));
        shown.finish_non_exhaustive()
    }
}

impl Change for Rebase {
    fn image<'a>(&'a self, image: &'a mut Image, stage: &'a Stage) -> BoxFuture<'a, Result<()>> {
        Box::pin(self.rebase(image, stage))
    }
}

impl Rebase {
    async fn rebase(&self, image: &mut Image, stage: &Stage) -> Result<()> {
        let platform = image.config()?.platform();
        let (old_base, new_base) = self.bases(image)?;
        let old = read(&old_base, &platform)
            .await
            .map_err(|error| error.within("reading the old base"))?;
        let new = read(&new_base, &platform)
            .await
            .map_err(|error| error.within("reading the new base"))?;
        check(image, &old)?;

        let layers = new
            .layers
            .iter()
            .map(|layer| layer_of(image, &layer.descriptor, layer.diff_id));
        let layers = layers.collect::<Result<Vec<_>>>()?;
        for layer in &layers {
            stage.read_from(
                layer.descriptor.digest,
                layer.descriptor.size,
                Arc::clone(&new_base.source),
            );
        }
        let entries = entries_of_base(image, &old);
        let history = match entries {
            Some(_) => history(&new.config)?,
            None => Vec::new(),
        };
        image.replace_lowest(old.layers.len(), &layers, entries.unwrap_or_default(), &history)?;
        let version = &new.config.fields.os_version;
        if *version != image.config()?.fields.os_version {
            let version = Some(version.as_str()).filter(|version| !version.is_empty());
            image.set_config("os.version", version)?;
        }
        if image.format() == Format::Oci {
            let said = [
                (annotation::BASE_DIGEST, Some(new.descriptor.digest.to_string())),
                (annotation::BASE_NAME, new_base.name.clone()),
            ];
            let now = image.document().annotations().clone();
            let changes = said.into_iter().map(|(key, value)| (key.to_owned(), value));
            let changes = changes.filter(|(key, value)| now.get(key) != value.as_ref()).collect();
            image.edit_manifest(|document| document.annotate(&changes))?;
        } else {
            stage.warn(format!(
                "image {} is in Docker's form, which has no annotations: what it stands on now is not written into it",
                image.descriptor().digest
            ));
        }
        Ok(())
    }

    /// What the image stands on, and what it is to stand on.
    fn bases(&self, image: &Image) -> Result<(Base, Base)> {
        let said = |key: &str| image.document().annotations().get(key).cloned();
        let name = || {
            said(annotation::BASE_NAME).ok_or_else(|| {
                unsaid(
                    image,
                    annotation::BASE_NAME,
                    "does not say what it was built on; name the old base (--old-base) and the new one (--new-base)",
                )
            })
        };
        let old = match &self.old {
            Some(old) => old.clone(),
            None => {
                let digest = said(annotation::BASE_DIGEST).ok_or_else(|| {
                    unsaid(
                        image,
                        annotation::BASE_DIGEST,
                        "does not say what exactly it was built on; name the old base (--old-base)",
                    )
                })?;
                let digest = digest.parse::<Digest>().map_err(|error| {
                    let message = format!("annotation {}: {error}", annotation::BASE_DIGEST);
                    Error::new(ErrorKind::Invalid, message)
                })?;
                (self.open)(&name()?, Some(digest))?
            }
        };
        let new = match &self.new {
            Some(new) => new.clone(),
            None => (self.open)(&name()?, None)?,
        };
        Ok((old, new))
    }
}

async fn read(base: &Base, platform: &Platform) -> Result<Read> {
    let read = Read::find(&*base.source, &base.pick, platform).await?;
    let own = read.config.platform();
    if !platform.matches(&own) {
        let message = format!("{} is for {own}, and the image for {platform}", read.descriptor.digest);
        return Err(Error::new(ErrorKind::NotFound, message));
    }
    Ok(read)
}

/// The old base's layers must be the image's lowest, by what is in them: how they are compressed may have changed since.
fn check(image: &Image, old: &Read) -> Result<()> {
    let (diff_ids, base) = (image.diff_ids()?, old.config.diff_ids());
    let same = diff_ids.iter().zip(base).take_while(|(own, base)| own == base).count();
    if same == base.len() {
        return Ok(());
    }
    let image = image.descriptor().digest;
    let base = old.descriptor.digest;
    let message = match diff_ids.len() < old.layers.len() && same == diff_ids.len() {
        true => format!("image {image} is not built on {base}, which has more layers"),
        false => format!("image {image} is not built on {base}: their layers {same} are different"),
    };
    Err(Error::new(ErrorKind::Invalid, message))
}

/// A layer of the base, as the image names it.
fn layer_of(image: &Image, layer: &Descriptor, diff_id: Digest) -> Result<NewLayer> {
    let Some(media_type) = layer.media_type.in_format(image.format()) else {
        let message = format!(
            "layer {} of the new base is of type {:?}, which the form of image {} has not; change the form of one of them first",
            layer.digest,
            layer.media_type.as_str(),
            image.descriptor().digest
        );
        return Err(Error::new(ErrorKind::Unsupported, message));
    };
    let descriptor = Descriptor {
        media_type,
        ..layer.clone()
    };
    Ok(NewLayer { descriptor, diff_id })
}

/// How many entries of the image's history are the old base's; none where that is not to be told, and the history stays as it is.
fn entries_of_base(image: &Image, old: &Read) -> Option<usize> {
    let own = &image.config().ok()?.fields.history;
    let base = &old.config.fields.history;
    if (old.layers.is_empty() || !base.is_empty()) && own.starts_with(base) {
        return Some(base.len());
    }
    let places = image.history_places()?;
    match old.layers.len().checked_sub(1) {
        Some(last) => places.get(last).map(|place| place + 1),
        None => Some(0),
    }
}

/// The history as it is written, with what we do not know of it.
fn history(config: &ImageConfig) -> Result<Vec<Value>> {
    let value: Value = serde_json::from_slice(config.raw()).map_err(|error| {
        let message = format!("the new base's config is no JSON: {error}");
        Error::new(ErrorKind::Invalid, message)
    })?;
    Ok(value["history"].as_array().cloned().unwrap_or_default())
}

fn unsaid(image: &Image, key: &str, what: &str) -> Error {
    let message = format!(
        "image {} has no annotation {key}, so it {what}",
        image.descriptor().digest
    );
    Error::new(ErrorKind::Invalid, message)
}
