//! How does an image come into an archive of Docker's? Blobs as a stream, named as in a layout, and then all that lists them: a layout's
//! `index.json`, as newer versions of `docker save` write it, the files of Docker before 1.10, and `manifest.json`.

use std::{
    fs,
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
};

use futures_util::{FutureExt, TryFutureExt};
use teu_spec::{
    Annotations, Descriptor, Digest, Document, Format, ImageConfig, Index, Manifest, MediaType, annotation, layout,
};
use teu_store::{
    Adopt, BoxFuture, Delete, Error, ErrorKind, Expect, Expected, How, Ingest, Mount, Result, Resume, Source, Sweep,
    Takes, Target,
};

use super::{
    legacy::Legacy,
    listing::{Item, MANIFEST, full_name},
};
use crate::tar_file::{Last, Stream, blob};

/// An archive of Docker's, to write: it is there when it is finished.
pub struct DockerArchiveWriter {
    stream: Stream,
    images: Mutex<Vec<Image>>,
}

struct Image {
    digest: Digest,
    config: Descriptor,
    parsed: ImageConfig,
    layers: Vec<Descriptor>,
    tags: Vec<String>,
}

impl DockerArchiveWriter {
    /// The forms that such an archive keeps.
    pub const TAKES: Takes = Takes {
        indexes: false,
        oci: false,
        docker: true,
        uncompressed_only: true,
    };

    /// Begins an archive. `temporary` is where a blob waits whose size is not known, or that comes side by side with another; without it,
    /// beside the archive.
    ///
    /// It writes to the disk. What is not a file at `path` (a pipe, `/dev/stdout`) is written to straight.
    ///
    /// # Errors
    /// `Conflict` where there is a file that is not empty, as skopeo has it: such an archive is not added to, and not replaced either.
    pub fn create(path: impl Into<PathBuf>, temporary: Option<PathBuf>) -> Result<Self> {
        let path = path.into();
        if fs::metadata(&path).is_ok_and(|metadata| metadata.is_file() && metadata.len() > 0) {
            let message = format!(
                "there is an archive {} already, and images are not added to one; name another file, or remove it first",
                path.display()
            );
            return Err(Error::new(ErrorKind::Conflict, message));
        }
        Ok(Self {
            stream: Stream::create(&path, temporary, true)?,
            images: Mutex::default(),
        })
    }

    fn images(&self) -> MutexGuard<'_, Vec<Image>> {
        // No one leaves it half changed, so what a panic elsewhere left is whole.
        self.images.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The image of a manifest, if an archive of Docker's can hold it, and all that it names is there.
    fn image(&self, document: &Document, digest: &Digest) -> Result<Image> {
        let unsupported = |message: String| Error::new(ErrorKind::Unsupported, message);
        let manifest = match document {
            Document::Manifest(manifest) if document.format() == Format::Docker => manifest,
            Document::Manifest(_) => {
                return Err(unsupported(format!(
                    "Docker's archives hold images of Docker's form, and manifest {digest} is of OCI's"
                )));
            }
            Document::Index(_) => {
                return Err(unsupported(format!(
                    "Docker's archives hold single images, and {digest} is an index; choose a platform"
                )));
            }
        };
        let children = std::iter::once(&manifest.config).chain(&manifest.layers);
        let missing: Vec<Digest> = children
            .map(|child| child.digest)
            .filter(|child| self.stream.size(child).is_none())
            .collect();
        if !missing.is_empty() {
            let message = format!("manifest {digest} names content that is not in the archive");
            return Err(Error::new(ErrorKind::MissingChildren(missing), message));
        }
        let Some(config) = self.stream.remembered(&manifest.config.digest) else {
            return Err(unsupported(format!(
                "the config {} is no image's",
                manifest.config.digest
            )));
        };
        let parsed = ImageConfig::parse(config)?;
        parsed.check_layers(manifest.layers.len())?;
        for (layer, diff_id) in manifest.layers.iter().zip(parsed.diff_ids()) {
            if layer.digest != *diff_id {
                return Err(unsupported(format!(
                    "Docker's archives hold layers uncompressed, under their DiffIDs, and layer {} ({}) is {diff_id} in the config",
                    layer.digest, layer.media_type
                )));
            }
        }
        Ok(Image {
            digest: *digest,
            config: manifest.config.clone(),
            parsed,
            layers: manifest.layers.clone(),
            tags: Vec::new(),
        })
    }

    fn put(&self, document: &Document, digest: &Digest, names: &[String], expect: Expect) -> Result<Descriptor> {
        if digest.algorithm().digest(document.raw()) != *digest {
            return Err(Error::new(ErrorKind::Mismatch, format!("the manifest is not {digest}")));
        }
        let image = self.image(document, digest)?;
        let mut tags = Vec::new();
        for name in names {
            let Some(name) = full_name(name) else {
                let message = format!("{name:?} is no name for an image in Docker's archive; name:tag is");
                return Err(Error::new(ErrorKind::Invalid, message));
            };
            if !tags.contains(&name) {
                tags.push(name);
            }
        }
        let mut images = self.images();
        for tag in &tags {
            let now = images
                .iter()
                .find(|image| image.tags.contains(tag))
                .map(|image| image.digest);
            expect.check(format_args!("the name {tag:?}"), now)?;
        }
        let mut at = images.len();
        if let (true, Expect::Digest(replaced)) = (tags.is_empty(), expect) {
            let is_it = |other: &Image| other.digest == replaced && other.tags.is_empty();
            let Some(place) = images.iter().position(is_it) else {
                let message = format!("{replaced} is no image without a name here");
                return Err(Error::new(ErrorKind::Conflict, message));
            };
            if replaced != *digest {
                images.remove(place);
                at = place;
            }
        }
        let place = match images.iter().position(|other| other.digest == *digest) {
            Some(place) => place,
            None => {
                images.insert(at, image);
                at
            }
        };
        for (other, image) in images.iter_mut().enumerate() {
            if other == place {
                let new = tags.iter().filter(|tag| !image.tags.contains(tag)).cloned();
                let new: Vec<String> = new.collect();
                image.tags.extend(new);
            } else {
                image.tags.retain(|tag| !tags.contains(tag));
            }
        }
        let size = document.raw().len() as u64;
        Ok(Descriptor::new(document.media_type().clone(), *digest, size))
    }

    async fn end(&self) -> Result<()> {
        let images = std::mem::take(&mut *self.images());
        let mut last = Vec::new();
        let mut legacy = Legacy::default();
        let (mut items, mut listed) = (Vec::new(), Vec::new());
        for image in &images {
            let document = image.as_oci()?;
            self.stream
                .append(Digest::of(document.raw()), document.raw().clone())
                .await?;
            listed.extend(entries(&document.descriptor(), &image.tags));
            legacy.image(&image.parsed, &image.tags, &mut last);
            items.push(Item::new(
                blob(&image.config.digest),
                image.tags.clone(),
                image.layers.iter().map(|layer| blob(&layer.digest)).collect(),
            ));
        }
        let index = Index::build(Format::Oci, &listed)?;
        last.push(Last::File(layout::INDEX_FILE.to_owned(), index.raw().clone()));
        last.push(Last::File(layout::MARKER_FILE.to_owned(), layout::MARKER.into()));
        let items = serde_json::to_vec(&items).map_err(|error| Error::new(ErrorKind::Invalid, error.to_string()))?;
        last.push(Last::File(MANIFEST.to_owned(), items.into()));
        last.push(legacy.repositories());
        self.stream.finish(last).await
    }
}

impl Image {
    /// The manifest by which a layout lists it.
    fn as_oci(&self) -> Result<Document> {
        let of_type =
            |descriptor: &Descriptor, media_type| Descriptor::new(media_type, descriptor.digest, descriptor.size);
        let layers: Vec<Descriptor> = self
            .layers
            .iter()
            .map(|layer| of_type(layer, MediaType::OciLayer))
            .collect();
        Ok(Manifest::build(
            Format::Oci,
            &of_type(&self.config, MediaType::OciConfig),
            &layers,
        )?)
    }
}

/// The entries of an image in the index of a layout: one for each name, or one without.
fn entries(manifest: &Descriptor, tags: &[String]) -> Vec<Descriptor> {
    if tags.is_empty() {
        return vec![manifest.clone()];
    }
    let named = tags.iter().map(|tag| {
        let mut entry = manifest.clone();
        // Podman takes the name from here, whatever the spec means by it, and would call the image by its tag alone.
        entry.annotations = Annotations::from([
            (annotation::REF_NAME.to_owned(), tag.clone()),
            (annotation::CONTAINERD_NAME.to_owned(), tag.clone()),
        ]);
        entry
    });
    named.collect()
}

impl Target for DockerArchiveWriter {
    fn ingest(&self, expected: Expected) -> BoxFuture<'_, Result<Box<dyn Ingest>>> {
        let stream = self.stream.clone();
        async move { Ok(stream.ingest(expected)) }.boxed()
    }

    fn put_manifest<'a>(
        &'a self,
        document: &'a Document,
        digest: &'a Digest,
        names: &'a [String],
        expect: Expect,
    ) -> BoxFuture<'a, Result<Descriptor>> {
        async move { self.put(document, digest, names, expect) }.boxed()
    }

    fn finish(&self) -> BoxFuture<'_, Result<()>> {
        self.end().boxed()
    }

    fn takes(&self) -> Takes {
        Self::TAKES
    }

    fn readable(&self) -> Option<&dyn Source> {
        None
    }

    fn mount(&self) -> Option<&dyn Mount> {
        None
    }

    fn adopt(&self) -> Option<&dyn Adopt> {
        Some(self)
    }

    fn resume(&self) -> Option<&dyn Resume> {
        None
    }

    fn delete(&self) -> Option<&dyn Delete> {
        None
    }

    fn sweep(&self) -> Option<&dyn Sweep> {
        None
    }
}

impl Adopt for DockerArchiveWriter {
    /// A file can wait for its turn where it lies.
    fn adopt<'a>(&'a self, file: fs::File, descriptor: &'a Descriptor, trust: bool) -> BoxFuture<'a, Result<How>> {
        self.stream
            .adopt(file, descriptor, trust)
            .map_ok(|_| How::Linked)
            .boxed()
    }
}
