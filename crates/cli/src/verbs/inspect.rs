//! `teu inspect`: what skopeo prints, byte for byte.

use std::sync::Arc;

use serde::Serialize;
use teu_spec::{
    Algorithm, Annotations, Descriptor, Document, ImageConfig, Manifest, MediaType, Pick, Platform, Reference,
    Timestamp,
};
use teu_store::{Browse, Error, ErrorKind, Named, Source, SourceExt, copy::find_image, silent};
use teu_transport::docker_archive;

use crate::{
    arguments::Inspect,
    failure::Failure,
    output,
    places::{Places, reference},
    settings::Settings,
    template::{self, value::Value},
};

/// What skopeo prints, in its order.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Inspected {
    #[serde(skip_serializing_if = "String::is_empty")]
    name: String,
    digest: String,
    repo_tags: Vec<String>,
    created: Option<Created>,
    docker_version: String,
    labels: Option<Annotations>,
    architecture: String,
    os: String,
    layers: Vec<String>,
    layers_data: Vec<Layer>,
    env: Option<Vec<String>>,
}

/// A moment, which JSON has as text.
#[derive(Clone, Copy)]
struct Created(Timestamp);

impl Serialize for Created {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Layer {
    #[serde(rename = "MIMEType")]
    media_type: MediaType,
    digest: String,
    size: u64,
    annotations: Option<Annotations>,
}

impl Inspected {
    /// The same for a template: Go's names, which are those of the JSON here.
    fn value(&self) -> Result<Value, Failure> {
        let layer = |layer: &Layer| {
            let fields = vec![
                ("MIMEType", Value::text(layer.media_type.to_string())),
                ("Digest", Value::digest(&layer.digest)),
                ("Size", Value::Int(i64::try_from(layer.size).unwrap_or(i64::MAX))),
                ("Annotations", Value::map(layer.annotations.as_ref())),
            ];
            Ok(Value::structure("types.ImageInspectLayer", fields, as_json(layer)?))
        };
        let layers: Result<Vec<Value>, Failure> = self.layers_data.iter().map(layer).collect();
        let fields = vec![
            ("Name", Value::text(&self.name)),
            ("Tag", Value::text("")),
            ("Digest", Value::digest(&self.digest)),
            ("RepoTags", Value::texts(Some(&self.repo_tags))),
            ("Created", Value::time(self.created.map(|created| created.0))),
            ("DockerVersion", Value::text(&self.docker_version)),
            ("Labels", Value::map(self.labels.as_ref())),
            ("Architecture", Value::text(&self.architecture)),
            ("Os", Value::text(&self.os)),
            ("Layers", Value::texts(Some(&self.layers))),
            ("LayersData", Value::list(layers?)),
            ("Env", Value::texts(self.env.as_deref())),
        ];
        Ok(Value::structure("inspect.Output", fields, as_json(self)?))
    }
}

fn as_json<T: Serialize>(value: &T) -> Result<serde_json::Value, Failure> {
    serde_json::to_value(value).map_err(|error| Failure::Usage(error.to_string()))
}

/// An image that was found: what its name points at, and the one image of that for a machine.
pub(super) struct Found {
    pub(super) top: Descriptor,
    pub(super) manifest: Descriptor,
    pub(super) document: Document,
}

/// Finds the image for `platform`, or without one what the name points at.
pub(super) async fn find(source: &dyn Source, pick: &Pick, platform: Option<&Platform>) -> Result<Found, Failure> {
    let (top, manifest, document) = match platform {
        Some(platform) => find_image(source, pick, platform).await?,
        None => {
            let (top, document) = source.resolve_document(pick).await?;
            (top.clone(), top, document)
        }
    };
    Ok(Found {
        top,
        manifest,
        document,
    })
}

/// The configuration of an image.
pub(super) async fn config(source: &dyn Source, found: &Found) -> Result<ImageConfig, Failure> {
    let manifest = manifest(found)?;
    if !manifest.config.media_type.is_image_config() {
        let message = format!(
            "{} is no image but an artifact: its configuration is of the type {}; teu manifest get shows it",
            found.manifest.digest, manifest.config.media_type
        );
        return Err(Error::new(ErrorKind::Unsupported, message).into());
    }
    let raw = source.small_blob(&manifest.config).await?;
    Ok(ImageConfig::parse(raw)?)
}

fn manifest(found: &Found) -> Result<&Manifest, Failure> {
    match &found.document {
        Document::Manifest(manifest) => Ok(manifest),
        Document::Index(_) => {
            let message = format!(
                "{} is an index, which has no configuration; choose with --platform",
                found.manifest.digest
            );
            Err(Error::new(ErrorKind::Unsupported, message).into())
        }
    }
}

pub(super) async fn run(arguments: &Inspect, settings: Arc<Settings>) -> Result<(), Failure> {
    if arguments.raw && arguments.format.is_some() {
        return Err(Failure::Usage("raw output does not support format option".to_owned()));
    }
    let place = reference(&arguments.image)?;
    let options = arguments.one.options();
    let places = Places::new(Arc::clone(&settings), &options, silent());
    let (source, pick) = places.source(&place, &options)?;
    if arguments.raw && !arguments.config {
        let (_, document) = source.resolve_document(&pick).await?;
        return output::document(shown(&place, document)?.raw());
    }
    let mut found = find(&*source, &pick, Some(&settings.platform())).await?;
    if arguments.raw {
        // An artifact's configuration is as good as an image's where nothing is made of it.
        return output::document(&source.small_blob(&manifest(&found)?.config).await?);
    }
    let config = config(&*source, &found).await?;
    let format = arguments
        .format
        .as_deref()
        .filter(|format| !format.is_empty() && !template::is_json(format));
    if arguments.config {
        return match format {
            Some(format) => template::print(format, Value::config(&config)?),
            None => output::line(&config.to_go_json("    ")?),
        };
    }
    let algorithm = arguments.manifest_digest.as_deref().map(str::parse).transpose();
    let algorithm = algorithm.map_err(|error: teu_spec::DigestError| Failure::Usage(error.to_string()))?;
    if let Reference::DockerArchive { .. } = &place {
        found.document = shown(&place, found.document)?;
        found.top = found.document.descriptor();
    }
    let mut inspected = inspect(&*source, &found, &config, algorithm).await?;
    if let Reference::Registry(image) = &place {
        inspected.name = image.repository.to_string();
        if !arguments.no_tags {
            inspected.repo_tags = tags(&*source, &settings).await?;
        }
    }
    match format {
        Some(format) => template::print(format, inspected.value()?),
        None => output::json(&inspected),
    }
}

/// A manifest as it is shown: an archive of Docker's has none, and what is made up for it is skopeo's own here.
fn shown(place: &Reference, document: Document) -> Result<Document, Failure> {
    Ok(match place {
        Reference::DockerArchive { .. } => docker_archive::skopeo_manifest(&document)?,
        _ => document,
    })
}

/// The tags of the repository, where the registry lists them.
async fn tags(source: &dyn Source, settings: &Settings) -> Result<Vec<String>, Failure> {
    let Some(browse) = source.browse() else {
        return Ok(Vec::new());
    };
    match all_names(browse).await {
        // Some registries let nobody list, and public.ecr.aws does not know how to.
        Err(Failure::Store(error)) if matches!(error.kind(), ErrorKind::Denied | ErrorKind::NotFound) => {
            settings.warn("Registry disallows tag list retrieval; skipping");
            Ok(Vec::new())
        }
        other => other,
    }
}

/// What skopeo says of an image, wherever it is.
async fn inspect(
    source: &dyn Source,
    found: &Found,
    config: &ImageConfig,
    algorithm: Option<Algorithm>,
) -> Result<Inspected, Failure> {
    let Document::Manifest(manifest) = &found.document else {
        return Err(Error::new(ErrorKind::Invalid, "an index was chosen as an image").into());
    };
    let fields = &config.fields;
    let created = match (config.created()?, &manifest.media_type) {
        // Go's zero time is what an absent one becomes where its type is no pointer.
        (None, MediaType::DockerManifest) => Some(Timestamp::GO_ZERO),
        (created, _) => created,
    };
    let layer = |layer: &Descriptor| Layer {
        media_type: layer.media_type.clone(),
        digest: layer.digest.to_string(),
        size: layer.size,
        annotations: Some(layer.annotations.clone()).filter(|annotations| !annotations.is_empty()),
    };
    // What the name points at is stated by the algorithm that the image uses.
    let algorithm = algorithm.unwrap_or_else(|| manifest.config.digest.algorithm());
    let digest = match found.top.digest.algorithm() == algorithm {
        true => found.top.digest,
        false => algorithm.digest(source.document(&found.top).await?.raw()),
    };
    Ok(Inspected {
        name: String::new(),
        digest: digest.to_string(),
        repo_tags: Vec::new(),
        created: created.map(Created),
        docker_version: fields.docker_version.clone(),
        labels: fields.config.labels.clone(),
        architecture: fields.architecture.clone(),
        os: fields.os.clone(),
        layers: manifest.layers.iter().map(|layer| layer.digest.to_string()).collect(),
        layers_data: manifest.layers.iter().map(layer).collect(),
        env: fields.config.env.clone(),
    })
}

/// The most names of a list: a registry whose list never ends must not fill the memory.
const MAX_NAMES: usize = 1_000_000;

/// Whether so many names are still a list.
pub(super) fn check_count(names: usize) -> Result<(), Failure> {
    match names > MAX_NAMES {
        true => {
            let message = format!("the list has more names than the limit of {MAX_NAMES}");
            Err(Error::new(ErrorKind::TooLarge, message).into())
        }
        false => Ok(()),
    }
}

/// All names, page by page.
pub(super) async fn all_names(browse: &dyn Browse) -> Result<Vec<String>, Failure> {
    let all = all_named(browse).await?;
    Ok(all.into_iter().filter_map(|named| named.name).collect())
}

/// All that is listed, with a name or without, page by page.
pub(super) async fn all_named(browse: &dyn Browse) -> Result<Vec<Named>, Failure> {
    let mut all = Vec::new();
    let mut from: Option<String> = None;
    loop {
        let page = browse.names(from.as_deref()).await?;
        all.extend(page.items);
        check_count(all.len())?;
        match page.next {
            Some(next) => from = Some(next),
            None => return Ok(all),
        }
    }
}
