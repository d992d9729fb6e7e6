//! `docker-archive:` shows every behaviour of a store that makes its manifests up; other tools read what we write and we what they write,
//! and what Docker wrote in its time; what is hostile is refused.
#![cfg(all(feature = "archives", feature = "remote"))]

mod hostile;
mod reading;
mod writing;

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use crate::support::{
    peer::output,
    places::{copy, copy_with, document, here, skopeo},
    room::Room,
};
use crate::{archive, support};
use bytes::Bytes;
use teu_archive::{
    codec::{Compression, Encoder},
    tar::{Header, Index, Limits, Writer},
};
use teu_spec::{Descriptor, Digest, Document, Format, Manifest, MediaType, Pick};
use teu_store::{
    BoxFuture, ErrorKind, Expect, FetchOptions, Intent, Result, Role, Source, SourceExt, Target,
    suite::{Can, Image, Place},
};
use teu_transport::{
    docker_archive::{DockerArchive, DockerArchiveWriter},
    layout::Layout,
    locate::Options,
};

struct Here(tempfile::TempDir);

impl Here {
    fn path(&self) -> PathBuf {
        self.0.path().join("image.tar")
    }
}

impl Place for Here {
    fn target(&self) -> BoxFuture<'_, Result<Arc<dyn Target>>> {
        Box::pin(async { Ok(Arc::new(DockerArchiveWriter::create(self.path(), None)?) as Arc<dyn Target>) })
    }

    fn source(&self) -> BoxFuture<'_, Result<Arc<dyn Source>>> {
        Box::pin(async { Ok(Arc::new(DockerArchive::open(self.path(), None)?) as Arc<dyn Source>) })
    }

    fn can(&self) -> Can {
        Can {
            reopen: false,
            keep_manifests: false,
            keep_all: false,
            tell_roles: false,
            compare: false,
            other_algorithms: false,
            ..Can::EVERYTHING
        }
    }

    fn corrupt(&self, digest: &Digest, content: &[u8]) -> bool {
        archive::corrupt(&self.path(), digest, content)
    }

    fn listed(&self, name: &str) -> String {
        format!("docker.io/library/{name}:latest")
    }

    fn litter(&self) -> Vec<String> {
        archive::litter(self.0.path())
    }
}

mod suite {
    use super::*;

    teu_store::store_suite!(|| Here(tempfile::tempdir().expect("a directory")));
}

/// An image and its names.
type Named<'a> = (&'a Image, &'a [&'a str]);

/// The members of an archive.
type Members<'a> = Vec<(&'a str, Vec<u8>)>;

impl Room {
    fn docker_archive(&self, name: &str) -> Result<DockerArchive> {
        DockerArchive::open(self.path(name), Some(self.0.path().to_owned()))
    }
}

/// An image of Docker's form with plain layers.
fn sample(seed: &str) -> Image {
    let takes = teu_store::Takes {
        oci: false,
        ..teu_store::Takes::EVERYTHING
    };
    Image::small(takes, seed)
}

/// Writes an archive of these images.
async fn written(path: &Path, images: &[Named<'_>]) {
    let writer = DockerArchiveWriter::create(path, None).expect("a writer");
    for (image, names) in images {
        image.put(&writer, names).await.expect("put");
    }
    writer.finish().await.expect("finished");
}

/// Reads all of the image at a reference, checked, and gives the digests of config and layers.
async fn contents(reference: &str, options: Options) -> Result<Vec<Digest>> {
    let (source, pick) = support::places::locator().source(&reference.parse()?, options)?;
    let found = source.resolve(&pick).await?;
    let children = source.document(&found).await?.children();
    for child in &children {
        source.open(Role::Blob, child).await?.read_all(64 << 20).await?;
    }
    Ok(children.iter().map(|child| child.digest).collect())
}

fn digests(image: &Image) -> Vec<Digest> {
    image.blobs.iter().map(|blob| Digest::of(blob)).collect()
}

fn compressed(content: &[u8], compression: Compression) -> Vec<u8> {
    let mut encoder = Encoder::new(Vec::new(), compression, None).expect("an encoder");
    encoder.write_all(content).expect("written");
    encoder.finish().expect("finished")
}
