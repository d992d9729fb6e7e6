//! Layers that nobody vouches for, unpacked with the largest of those that wait ahead of its turn and without: the tree is the same, or what is wrong is
//! said in the same words.

use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use teu_image::{Image, Layer, unpack};
use teu_rootfs::{Budget, Metadata, Node, Owners, Root, Time, walk};
use teu_spec::{Descriptor, Digest, Document, Format, ImageConfig, Manifest, MediaType};
use teu_store::{Memory, Source};
use tokio::runtime::{Builder, Runtime};

use crate::{
    archives::layers,
    arena::{Arena, mapped},
};

static ARENA: LazyLock<Arena> = LazyLock::new(Arena::new);
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Builder::new_current_thread().build().expect("a runtime"));
/// What is compared of content.
const BYTES: u64 = 1 << 20;

pub(crate) fn run(bytes: &[u8]) {
    let Some((choice, mut bytes)) = ARENA.chosen(bytes) else {
        return;
    };
    let layers = layers(&mut bytes, 4);
    let (source, image) = image(&layers);
    let unpacked = |least, memory, lying| {
        let mut options = options(choice);
        options.ahead = unpack::AheadLimits { least, memory, lying };
        unpacked(&source, &image, &options)
    };
    let without = unpacked(u64::MAX, 0, 0);
    for (memory, lying) in [(1 << 20, BYTES), (1000, BYTES), (1 << 20, 100)] {
        assert_eq!(
            unpacked(0, memory, lying),
            without,
            "with {memory} and {lying} bytes ahead"
        );
    }
}

fn image(layers: &[&[u8]]) -> (Arc<dyn Source>, Image) {
    let store = Memory::new();
    let layer = |(position, tar): (usize, &&[u8])| {
        store.insert_blob(Bytes::copy_from_slice(tar));
        Layer {
            position,
            descriptor: Descriptor::of(MediaType::OciLayer, tar),
            diff_id: Digest::of(tar),
        }
    };
    let layers = layers.iter().enumerate().map(layer).collect();
    let config =
        Bytes::from_static(br#"{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}"#);
    let of_config = Descriptor::of(MediaType::OciConfig, &config);
    let Ok(Document::Manifest(manifest)) = Manifest::build(Format::Oci, &of_config, &[]) else {
        unreachable!("it has all that a manifest has")
    };
    let image = Image {
        descriptor: Descriptor::of(MediaType::OciManifest, manifest.raw()),
        manifest,
        config: ImageConfig::parse(config).expect("a config"),
        layers,
    };
    (Arc::new(store), image)
}

fn options(choice: u8) -> unpack::Options {
    unpack::Options {
        owners: match choice & 1 {
            0 => Owners::Kept,
            _ => mapped(),
        },
        budget: Budget {
            entries: 1000,
            bytes: BYTES,
            file_bytes: 1 << 30,
            ..Budget::default()
        },
        devices: choice & 4 != 0,
        keep_directory_links: choice & 8 != 0,
        ..unpack::Options::default()
    }
}

/// A file: its path, what it is, its metadata, how many names it has, and its content where it is not too much.
type File = (Vec<u8>, Node, Metadata, u64, Option<Vec<u8>>);

/// What comes of it, and what is not made; or what is wrong.
fn unpacked(
    source: &Arc<dyn Source>,
    image: &Image,
    options: &unpack::Options,
) -> Result<(Vec<File>, [u64; 6]), String> {
    ARENA.attack(|_| {
        let destination = ARENA.root().join("made");
        let report = RUNTIME.block_on(unpack::unpack(source, image, &destination, options));
        let report = report.map_err(|error| error.to_string())?;
        let counts = [&report.devices, &report.xattrs, &report.set_id, &report.owners].map(|kind| kind.count);
        let [devices, xattrs, set_id, owners] = counts;
        let files = files(&Root::open(&destination).expect("it is there")).map_err(|error| error.to_string())?;
        Ok((files, [devices, xattrs, set_id, owners, report.entries, report.bytes]))
    })
}

fn files(root: &Root) -> teu_rootfs::Result<Vec<File>> {
    let mut walk = walk::Walk::of(root, walk::Options::default())?;
    let mut files = Vec::new();
    while let Some(mut found) = walk.next_file()? {
        found.read_xattrs()?;
        let (path, node, mut metadata) = (found.path.to_vec(), found.node.clone(), found.metadata.clone());
        let mut links = found.stat.links;
        let mut content = None;
        match node {
            // Its time may be the one at which it was made.
            Node::Directory => (metadata.mtime, links) = (Time::default(), 1),
            Node::File(size) if size <= BYTES => content = root.read(&path, BYTES)?,
            _ => {}
        }
        files.push((path, node, metadata, links, content));
    }
    Ok(files)
}
