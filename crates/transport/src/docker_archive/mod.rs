//! `docker-archive:`: what `docker save` writes and `docker load` reads.
//!
//! Such an archive has no manifests: `manifest.json` lists, for each image, the file of its config, the files of its layers and its names.
//! A manifest of Docker's schema 2 is made up of that, always the same for the same image: the config is what it is, byte for byte, and a
//! layer is what the config calls it, the digest of its uncompressed content, so that whoever reads it checks it. A layer that is
//! compressed in the archive is inflated while it is read, and once before, as its size is not written anywhere.
//!
//! The media type of a layer is that of an uncompressed one. (skopeo says gzip of it, and relies on compressing it afterwards.)
//!
//! It is read in place, as `oci-archive:` is, from what Docker writes in any of its forms: files in directories of their own, links for
//! layers that stand twice, blobs of a layout. Where there is a layout beside `manifest.json`, that is not looked at, as skopeo does it.
//! It is written as a stream and once: what is there already is never added to.

mod legacy;
mod listing;
mod write;

use std::{
    collections::HashMap,
    fs::File,
    io::Read,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, stream};
use teu_archive::{
    codec::{Compression, Decoder},
    tar::Member,
};
use teu_spec::{Descriptor, Digest, Document, Format, ImageConfig, Manifest, MediaType, Pick, json};
use teu_store::{
    BoxFuture, Browse, Error, ErrorKind, FetchOptions, Fetched, Intent, Keyset, Local, Named, Origin, Page, Result,
    Role, Source, blocking, octet_stream,
};

use crate::{
    files,
    tar_file::{Archive, Told},
};
use listing::{Item, MANIFEST, full_name};

pub use write::DockerArchiveWriter;

/// How many bytes of configs are read to find content that no image has that was asked for.
const SEARCHED: u64 = 256 << 20;

/// An archive of Docker's, to read.
#[derive(Clone)]
pub struct DockerArchive(Arc<Inner>);

struct Inner {
    archive: Archive,
    items: Vec<Item>,
    /// The images that were asked for, by their places.
    known: Mutex<HashMap<usize, Arc<Image>>>,
}

/// An image of the archive, with the manifest that is made up for it.
struct Image {
    config: Bytes,
    document: Document,
    digest: Digest,
    layers: Vec<Layer>,
}

/// A layer, as it is read.
struct Layer {
    descriptor: Descriptor,
    member: String,
    compression: Compression,
}

/// Content by its digest.
enum Found {
    Manifest(Arc<Image>),
    Config(Arc<Image>),
    Layer(Arc<Image>, usize),
}

impl DockerArchive {
    /// Reads what is in an archive. `temporary` is where one that is compressed or comes from a pipe is put, without a name.
    ///
    /// It reads from the disk; of an image nothing yet.
    ///
    /// # Errors
    /// `NotFound` where there is no file, or no `manifest.json` in it; `Invalid` and `TooLarge` for an archive that is malformed or beyond
    /// the limits.
    pub fn open(path: impl Into<PathBuf>, temporary: Option<PathBuf>) -> Result<Self> {
        let path = path.into();
        let archive = Archive::open(&path, temporary.as_deref())?;
        let Some(raw) = archive.read_small(MANIFEST, json::MAX_DOCUMENT)? else {
            let has = |name| matches!(archive.file(name), Ok(Some(_)));
            let advice = if has("index.json") {
                "it holds an image layout: read it as oci-archive:"
            } else if has("repositories") {
                "Docker before 1.10 wrote it: load it there and save it with a newer one"
            } else {
                "it is none of Docker's"
            };
            let message = format!(
                "there is no image in {}: it has no {MANIFEST}; {advice}",
                path.display()
            );
            return Err(Error::new(ErrorKind::NotFound, message));
        };
        let items = listing::parse(&raw).map_err(|error| archive.within(error))?;
        Ok(Self(Arc::new(Inner {
            archive,
            items,
            known: Mutex::default(),
        })))
    }
}

/// The manifest that skopeo makes up for the same image, byte for byte: what `skopeo inspect` shows of it, and takes the digest of.
///
/// It calls the layers compressed, which they are not, so it is for showing only.
///
/// # Errors
/// `Invalid` where the document is no manifest.
pub fn skopeo_manifest(document: &Document) -> Result<Document> {
    let Document::Manifest(manifest) = document else {
        return Err(Error::new(ErrorKind::Invalid, "an index is in no archive of Docker's"));
    };
    let named = |media_type: MediaType, descriptor: &Descriptor| {
        format!(
            r#"{{"mediaType":"{media_type}","size":{},"digest":"{}"}}"#,
            descriptor.size, descriptor.digest
        )
    };
    let layers: Vec<String> = manifest
        .layers
        .iter()
        .map(|layer| named(MediaType::DockerLayerGzip, layer))
        .collect();
    let raw = format!(
        r#"{{"schemaVersion":2,"mediaType":"{}","config":{},"layers":[{}]}}"#,
        MediaType::DockerManifest,
        named(MediaType::DockerConfig, &manifest.config),
        layers.join(",")
    );
    Ok(Document::parse(raw.into(), None)?)
}

impl Inner {
    fn known(&self) -> MutexGuard<'_, HashMap<usize, Arc<Image>>> {
        // No one leaves it half changed, so what a panic elsewhere left is whole.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn invalid(&self, message: String) -> Error {
        self.archive.within(Error::new(ErrorKind::Invalid, message))
    }

    /// The image at a place, counted from 0, which is there.
    fn image(&self, place: usize) -> Result<Arc<Image>> {
        if let Some(image) = self.known().get(&place) {
            return Ok(Arc::clone(image));
        }
        let image = Arc::new(self.read_image(&self.items[place])?);
        self.known().insert(place, Arc::clone(&image));
        Ok(image)
    }

    fn read_image(&self, item: &Item) -> Result<Image> {
        let absent = |name: &str| self.invalid(format!("{MANIFEST} names {name:?}, which is not in the archive"));
        let config = self.archive.read_small(&item.config, json::MAX_DOCUMENT)?;
        let config = config.ok_or_else(|| absent(&item.config))?;
        let parsed = ImageConfig::parse(config.clone());
        let parsed = parsed.map_err(|error| self.archive.within(Error::from(error).within(item.config.clone())))?;
        let names = item.layers();
        parsed
            .check_layers(names.len())
            .map_err(|error| self.archive.within(Error::from(error).within(item.config.clone())))?;
        let mut layers = Vec::with_capacity(names.len());
        let mut measured = HashMap::new();
        for (name, diff_id) in names.iter().zip(parsed.diff_ids()) {
            layers.push(self.layer(name, diff_id, &mut measured)?.ok_or_else(|| absent(name))?);
        }
        let descriptors: Vec<Descriptor> = layers.iter().map(|layer: &Layer| layer.descriptor.clone()).collect();
        let document = Manifest::build(
            Format::Docker,
            &Descriptor::of(MediaType::DockerConfig, &config),
            &descriptors,
        )?;
        Ok(Image {
            config,
            digest: Digest::of(document.raw()),
            document,
            layers,
        })
    }

    /// `measured` is what is known of the members of the archive, by where they lie: one that stands in ten thousand layers is inflated once.
    fn layer(
        &self,
        name: &str,
        diff_id: &Digest,
        measured: &mut HashMap<u64, (Compression, u64)>,
    ) -> Result<Option<Layer>> {
        let Some(member) = self.archive.file(name)? else {
            return Ok(None);
        };
        let (compression, size) = match measured.get(&member.header_offset) {
            Some(known) => *known,
            None => self.measure(name, member)?,
        };
        measured.insert(member.header_offset, (compression, size));
        Ok(Some(Layer {
            descriptor: Descriptor::new(MediaType::DockerLayer, *diff_id, size),
            member: name.to_owned(),
            compression,
        }))
    }

    /// How a member is compressed, and the size of what is in it.
    fn measure(&self, name: &str, member: &Member) -> Result<(Compression, u64)> {
        let mut beginning = Vec::new();
        let read = self
            .archive
            .reader(member)?
            .take(Compression::MAGIC_BYTES as u64)
            .read_to_end(&mut beginning);
        read.map_err(|error| self.archive.within(error.into()))?;
        let compression = Compression::of(&beginning);
        let size = match compression {
            Compression::None => member.header.size,
            _ => {
                let content = Decoder::new(self.archive.reader(member)?, compression, Default::default());
                let size = std::io::copy(&mut Told(content), &mut std::io::sink());
                size.map_err(|error| {
                    self.archive
                        .within(Error::from(error).within(format!("layer {name:?}")))
                })?
            }
        };
        Ok((compression, size))
    }

    fn resolve(&self, pick: &Pick) -> Result<Descriptor> {
        let place = self.place(pick)?;
        let image = self.image(place)?;
        let size = image.document.raw().len() as u64;
        Ok(Descriptor::new(MediaType::DockerManifest, image.digest, size))
    }

    /// Where the image is that is picked.
    fn place(&self, pick: &Pick) -> Result<usize> {
        let here = self.archive.path().display();
        let not_found = |message: String| Error::new(ErrorKind::NotFound, message);
        match pick {
            Pick::Only => match self.items.len() {
                1 => Ok(0),
                0 => Err(not_found(format!("there is no image in {here}"))),
                _ => Err(Error::new(
                    ErrorKind::Invalid,
                    format!("there are several images in {here}; name one of them: {}", self.list()),
                )),
            },
            Pick::At(place) if *place < self.items.len() => Ok(*place),
            Pick::At(place) => Err(not_found(format!(
                "there is no image @{place} in {here}, which has {}; they are counted from 0",
                self.items.len()
            ))),
            Pick::Name(wanted) => {
                let full = full_name(wanted);
                let is_it = |tag: &String| tag == wanted || (full.is_some() && full_name(tag) == full);
                let mut found = (0..self.items.len()).filter(|place| self.items[*place].tags().iter().any(is_it));
                match (found.next(), found.next()) {
                    (Some(place), None) => Ok(place),
                    (None, _) => Err(not_found(format!(
                        "there is no image {wanted:?} in {here}; there are {}",
                        self.list()
                    ))),
                    (Some(one), Some(other)) => Err(Error::new(
                        ErrorKind::Invalid,
                        format!(
                            "there are several images of the name {wanted:?} in {here}; name one by its place, such as @{one} or @{other}"
                        ),
                    )),
                }
            }
            Pick::Digest(digest) => {
                let found = self.search(|place, image| (image.digest == *digest).then_some(place))?;
                found.ok_or_else(|| not_found(format!("there is no manifest {digest} in {here}")))
            }
        }
    }

    /// The images that can be asked for.
    fn list(&self) -> String {
        const SHOWN: usize = 20;
        let items = self.items.iter().enumerate().take(SHOWN);
        let shown: Vec<String> = items
            .map(|(place, item)| match item.tags() {
                [] => format!("@{place}"),
                tags => format!("{} (@{place})", tags.join(", ")),
            })
            .collect();
        let more = self.items.len().saturating_sub(SHOWN);
        let more = if more > 0 {
            format!(" and {more} more")
        } else {
            String::new()
        };
        format!("{}{more}", shown.join(", "))
    }

    /// The first answer that an image gives: of those that were asked for before, then of the others.
    fn search<T>(&self, ask: impl Fn(usize, &Arc<Image>) -> Option<T>) -> Result<Option<T>> {
        if let Some(found) = self.known().iter().find_map(|(place, image)| ask(*place, image)) {
            return Ok(Some(found));
        }
        let mut searched = 0;
        for place in 0..self.items.len() {
            let image = self.image(place)?;
            if let Some(found) = ask(place, &image) {
                return Ok(Some(found));
            }
            // Few bytes can name the same config many times.
            searched += image.config.len() as u64;
            if searched > SEARCHED {
                let message = format!("the configs have more bytes than the limit of {SEARCHED} in all");
                return Err(self.archive.within(Error::new(ErrorKind::TooLarge, message)));
            }
        }
        Ok(None)
    }

    fn find(&self, role: Role, digest: &Digest) -> Result<Option<Found>> {
        self.search(|_, image| {
            let layer = || image.layers.iter().position(|layer| layer.descriptor.digest == *digest);
            match role {
                Role::Manifest => (image.digest == *digest).then(|| Found::Manifest(Arc::clone(image))),
                // To compare a config costs reading it, which is not to be done for each layer.
                Role::Blob if layer().is_none() && digest.algorithm().digest(&image.config) == *digest => {
                    Some(Found::Config(Arc::clone(image)))
                }
                Role::Blob => layer().map(|place| Found::Layer(Arc::clone(image), place)),
            }
        })
    }

    fn stat(&self, role: Role, digest: &Digest) -> Result<Option<Descriptor>> {
        Ok(self.find(role, digest)?.map(|found| match found {
            Found::Manifest(image) => {
                Descriptor::new(MediaType::DockerManifest, *digest, image.document.raw().len() as u64)
            }
            Found::Config(image) => Descriptor::new(octet_stream(), *digest, image.config.len() as u64),
            Found::Layer(image, place) => Descriptor::new(octet_stream(), *digest, image.layers[place].descriptor.size),
        }))
    }

    fn fetch(&self, role: Role, digest: &Digest, options: &FetchOptions) -> Result<Fetched> {
        let whole = |content: &Bytes| {
            let range = files::range(content.len() as u64, options.range.as_ref())?;
            let bytes = content.slice(range.start as usize..range.end as usize);
            Ok(Fetched {
                size: Some(content.len() as u64),
                start: range.start,
                reader: stream::iter([Ok(bytes)]).boxed(),
            })
        };
        let (image, place) = match self.find(role, digest)? {
            Some(Found::Manifest(image)) => return whole(image.document.raw()),
            Some(Found::Config(image)) => return whole(&image.config),
            Some(Found::Layer(image, place)) => (image, place),
            None => {
                let what = match role {
                    Role::Manifest => "manifest",
                    Role::Blob => "blob",
                };
                let here = self.archive.path().display();
                let message = format!("there is no {what} {digest} in {here}");
                return Err(Error::new(ErrorKind::NotFound, message));
            }
        };
        let layer = &image.layers[place];
        let Some(member) = self.archive.file(&layer.member)? else {
            return Err(self.invalid(format!("there is no {:?} any more", layer.member)));
        };
        if layer.compression == Compression::None {
            return self.archive.fetch(member, options.range.as_ref());
        }
        // A range of it would have to be inflated from its beginning, and whoever asks can do that as well.
        files::range(layer.descriptor.size, options.range.as_ref())?;
        let decoder = Decoder::new(self.archive.reader(member)?, layer.compression, Default::default());
        Ok(Fetched {
            size: Some(layer.descriptor.size),
            start: 0,
            reader: blocking::reader(move || Ok(Told(decoder))),
        })
    }
}

impl Source for DockerArchive {
    fn resolve<'a>(&'a self, pick: &'a Pick) -> BoxFuture<'a, Result<Descriptor>> {
        let (inner, pick) = (Arc::clone(&self.0), pick.clone());
        blocking::run(move || inner.resolve(&pick)).boxed()
    }

    fn stat<'a>(&'a self, role: Role, digest: &'a Digest, _: Intent) -> BoxFuture<'a, Result<Option<Descriptor>>> {
        let (inner, digest) = (Arc::clone(&self.0), *digest);
        blocking::run(move || inner.stat(role, &digest)).boxed()
    }

    fn fetch<'a>(&'a self, role: Role, digest: &'a Digest, options: FetchOptions) -> BoxFuture<'a, Result<Fetched>> {
        let (inner, digest) = (Arc::clone(&self.0), *digest);
        blocking::run(move || inner.fetch(role, &digest, &options)).boxed()
    }

    fn browse(&self) -> Option<&dyn Browse> {
        Some(self)
    }

    fn local(&self) -> Option<&dyn Local> {
        Some(self)
    }

    fn is_closed(&self) -> bool {
        false
    }

    fn origin(&self) -> Option<Origin> {
        None
    }
}

impl Browse for DockerArchive {
    /// The names as the archive has them, image by image. An image without one is listed as `@N`, by which it can be asked for.
    fn names<'a>(&'a self, _: Option<&'a str>) -> BoxFuture<'a, Result<Page<Named>>> {
        let mut items = Vec::new();
        for (place, item) in self.0.items.iter().enumerate() {
            let unnamed = item.tags().is_empty().then(|| format!("@{place}"));
            items.extend(item.tags().iter().cloned().chain(unnamed).map(|name| Named {
                name: Some(name),
                descriptor: None,
            }));
        }
        async { Ok(Page { items, next: None }) }.boxed()
    }

    /// None ever: nothing in such an archive is about something else.
    fn in_order<'a>(&'a self, _: Keyset<'a>) -> Option<BoxFuture<'a, Result<Page<String>>>> {
        None
    }

    fn manifests<'a>(&'a self, _: Keyset<'a>) -> Option<BoxFuture<'a, Result<Page<Digest>>>> {
        None
    }

    fn referrers<'a>(&'a self, _: &'a Digest, _: Option<&'a str>) -> BoxFuture<'a, Result<Vec<Descriptor>>> {
        async { Ok(Vec::new()) }.boxed()
    }

    fn referrers_in_order<'a>(
        &'a self,
        _: &'a Digest,
        _: Option<&'a str>,
        _: Keyset<'a>,
    ) -> Option<BoxFuture<'a, Result<Page<Descriptor>>>> {
        None
    }
}

/// It is local, so that a person may say that it is trusted, but its blobs lie within another file.
impl Local for DockerArchive {
    fn open_file(&self, _: &Digest) -> Result<Option<File>> {
        Ok(None)
    }
}
