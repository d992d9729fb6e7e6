//! Images to try stores with.

use bytes::Bytes;
use teu_spec::{Algorithm, Descriptor, Digest, Document, Format, Index, Manifest, MediaType, Pick, Platform};

use super::Place;
use crate::{Expect, Expected, Result, Role, Source, SourceExt, Takes, Target};

/// A small image whose layers are plain, in a form that a store takes.
#[derive(Clone, Debug)]
pub struct Image {
    /// Config and layers.
    pub blobs: Vec<Bytes>,
    /// The manifest.
    pub document: Document,
    /// Its digest.
    pub digest: Digest,
}

impl Image {
    /// An image of these layers; `seed` makes it differ from others.
    ///
    /// # Panics
    /// Never, as what it builds is valid.
    #[must_use]
    pub fn of(takes: Takes, seed: &str, layers: &[Bytes]) -> Self {
        let (format, config_type, layer_type) = if takes.oci {
            (Format::Oci, MediaType::OciConfig, MediaType::OciLayer)
        } else {
            (Format::Docker, MediaType::DockerConfig, MediaType::DockerLayer)
        };
        let diff_ids: Vec<String> = layers
            .iter()
            .map(|layer| format!("\"{}\"", Digest::of(layer)))
            .collect();
        let config = Bytes::from(format!(
            r#"{{"architecture":"amd64","os":"linux","author":"{seed}","config":{{}},"rootfs":{{"type":"layers","diff_ids":[{}]}}}}"#,
            diff_ids.join(",")
        ));
        let described: Vec<Descriptor> = layers
            .iter()
            .map(|layer| Descriptor::of(layer_type.clone(), layer))
            .collect();
        let document =
            Manifest::build(format, &Descriptor::of(config_type, &config), &described).expect("a valid manifest");
        let blobs = std::iter::once(&config).chain(layers).cloned().collect();
        let digest = Digest::of(document.raw());
        Self {
            blobs,
            document,
            digest,
        }
    }

    /// An image of two small layers, real tar archives.
    #[must_use]
    pub fn small(takes: Takes, seed: &str) -> Self {
        let layers = [
            layer("shared", b"the same in every image"),
            layer(seed, seed.as_bytes()),
        ];
        Self::of(takes, seed, &layers)
    }

    /// An index that names blobs where others name manifests, as BuildKit's cache is kept in one.
    ///
    /// # Panics
    /// Never, as what it builds is valid.
    #[must_use]
    pub fn cache(takes: Takes, seed: &str) -> Self {
        let config = Bytes::from(format!(r#"{{"layers":[],"records":[],"seed":"{seed}"}}"#));
        let blobs = vec![layer(seed, seed.as_bytes()), config];
        let (format, layer_type) = match takes.oci {
            true => (Format::Oci, MediaType::OciLayer),
            false => (Format::Docker, MediaType::DockerLayer),
        };
        let config_type = MediaType::from("application/vnd.buildkit.cacheconfig.v0");
        let named = [layer_type, config_type].into_iter().zip(&blobs);
        let named: Vec<Descriptor> = named.map(|(of, blob)| Descriptor::of(of, blob)).collect();
        let document = Index::build(format, &named).expect("a valid index");
        let digest = Digest::of(document.raw());
        Self {
            blobs,
            document,
            digest,
        }
    }

    /// Puts all of it, children first.
    ///
    /// # Errors
    /// What the target says.
    pub async fn put(&self, target: &dyn Target, names: &[&str]) -> Result<Descriptor> {
        for (blob, descriptor) in self.blobs.iter().zip(self.document.children()) {
            write(target, &descriptor, blob).await?;
        }
        put(target, &self.document, names, Expect::Any).await
    }

    /// How to find it again, under the name that it was put with.
    pub(super) fn pick(place: &dyn Place, name: &str) -> Pick {
        if place.can().name {
            Pick::Name(name.to_owned())
        } else {
            Pick::Only
        }
    }

    /// The name, where the place has names.
    pub(super) fn names<'a>(place: &dyn Place, name: &'a str) -> Vec<&'a str> {
        if place.can().name { vec![name] } else { Vec::new() }
    }

    /// Checks that all of it is at `source`, read by what `found` leads to.
    pub(super) async fn check(&self, place: &dyn Place, source: &dyn Source, found: &Descriptor) {
        let document = source.document(found).await.expect("a manifest");
        if place.can().keep_manifests {
            assert_eq!(found.digest, self.digest, "the digest");
            assert_eq!(found.size, self.document.raw().len() as u64, "the size");
            assert_eq!(&found.media_type, self.document.media_type(), "the media type");
            assert_eq!(document.raw(), self.document.raw(), "the manifest's bytes");
        }
        let children = document.children();
        assert_eq!(children.len(), self.blobs.len(), "how many blobs there are");
        for (child, blob) in children.iter().zip(&self.blobs) {
            assert_eq!(&read(source, child).await.expect("a blob"), blob, "a blob's bytes");
        }
    }
}

/// A tar archive of one file, in ustar form.
#[must_use]
pub(crate) fn layer(name: &str, content: &[u8]) -> Bytes {
    let mut header = [0_u8; 512];
    let mut field = |place: usize, text: &str| header[place..place + text.len()].copy_from_slice(text.as_bytes());
    field(0, name);
    field(100, "0000644");
    field(108, "0000000");
    field(116, "0000000");
    field(124, &format!("{:011o}", content.len()));
    field(136, "00000000000");
    field(148, "        ");
    field(156, "0");
    field(257, "ustar");
    field(263, "00");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    let mut archive = header.to_vec();
    archive.extend_from_slice(content);
    archive.resize(archive.len().next_multiple_of(512) + 1024, 0);
    archive.into()
}

/// An index of these images, each for a machine of its own.
pub(crate) fn index(images: &[&Image]) -> Document {
    let machines = ["amd64", "arm64", "s390x", "riscv64"];
    let manifests: Vec<Descriptor> = images
        .iter()
        .zip(machines)
        .map(|(image, machine)| {
            let mut descriptor = image.document.descriptor();
            descriptor.platform = Some(Platform::new("linux", machine));
            descriptor
        })
        .collect();
    let format = images.first().map_or(Format::Oci, |image| image.document.format());
    Index::build(format, &manifests).expect("a valid index")
}

/// Writes one blob, its content unverified.
pub(super) async fn write(target: &dyn Target, descriptor: &Descriptor, content: &Bytes) -> Result<()> {
    let expected = Expected {
        digest: Some(descriptor.digest),
        size: Some(descriptor.size),
        algorithm: descriptor.digest.algorithm(),
        verified: false,
    };
    let mut ingest = target.ingest(expected).await?;
    ingest.write(content.clone()).await?;
    let committed = ingest.commit(None).await?;
    assert_eq!(
        (committed.digest, committed.size),
        (descriptor.digest, descriptor.size),
        "what was committed"
    );
    Ok(())
}

/// Puts a manifest under its own digest.
pub(crate) async fn put(
    target: &dyn Target,
    document: &Document,
    names: &[&str],
    expect: Expect,
) -> Result<Descriptor> {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    target
        .put_manifest(document, &Digest::of(document.raw()), &names, expect)
        .await
}

/// Reads a blob, verified.
pub(super) async fn read(source: &dyn Source, descriptor: &Descriptor) -> Result<Bytes> {
    source
        .open(Role::Blob, descriptor)
        .await?
        .read_all(descriptor.size)
        .await
}

/// A descriptor of a layer.
pub(super) fn described(content: &Bytes, algorithm: Algorithm) -> Descriptor {
    Descriptor::new(MediaType::OciLayer, algorithm.digest(content), content.len() as u64)
}
