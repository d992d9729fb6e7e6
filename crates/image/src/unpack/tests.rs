//! Does an image of which a layer is unpacked ahead become what it becomes without, in success and in failure?

use std::{
    collections::{BTreeMap, HashMap},
    fs, thread,
    time::Duration,
};

use teu_archive::{
    codec::Compression,
    tar::{EntryKind, Header},
};
use teu_rootfs::walk::Walk;
use teu_spec::{Descriptor, Digest, Document, ImageConfig, MediaType};
use teu_store::Memory;

use super::*;
use crate::{
    layers::Layer,
    rigged::{Lie, Rigged, insert, tar},
};

mod failures;
mod full;

const LARGE: usize = 700_000;
/// Whatever takes longer hangs.
const LIMIT: Duration = Duration::from_secs(20);

type Entries<'a> = Vec<(Header, &'a [u8])>;

fn content(size: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..size).map(|_| next()).collect()
}

fn header(kind: EntryKind, path: &str, link: &str) -> (Header, &'static [u8]) {
    let mut header = Header::new(kind, path);
    header.link = link.into();
    (header, b"")
}

fn directory(path: &str) -> (Header, &'static [u8]) {
    header(EntryKind::Directory, path, "")
}

fn file<'a>(path: &str, content: &'a [u8]) -> (Header, &'a [u8]) {
    let mut header = Header::file(path, content.len() as u64);
    header.mtime.seconds = 1_000_000;
    (header, content)
}

/// How it is without.
fn never() -> AheadLimits {
    AheadLimits {
        least: u64::MAX,
        ..AheadLimits::default()
    }
}

/// Each way in which little or much is ahead.
fn ways() -> [AheadLimits; 5] {
    let all = AheadLimits {
        least: 0,
        // So much room has every disk.
        lying: 16 << 20,
        ..AheadLimits::default()
    };
    [
        AheadLimits {
            memory: 0,
            ..all.clone()
        },
        AheadLimits {
            memory: 1000,
            ..all.clone()
        },
        AheadLimits {
            lying: 0,
            ..all.clone()
        },
        AheadLimits {
            lying: 100,
            ..all.clone()
        },
        all,
    ]
}

/// Layers, and what is wrong with some of them.
#[derive(Default)]
struct Case {
    store: Memory,
    layers: Vec<Layer>,
    lies: HashMap<Digest, Lie>,
    budget: Budget,
}

impl Case {
    fn of(tars: &[Vec<u8>]) -> Self {
        let store = Memory::new();
        let layer = |(place, tar): (usize, &Vec<u8>)| insert(&store, place, tar, Compression::Gzip);
        let layers = tars.iter().enumerate().map(layer).collect();
        Self {
            store,
            layers,
            ..Self::default()
        }
    }

    fn lies(mut self, place: usize, lie: Lie) -> Self {
        self.lies.insert(self.layers[place].descriptor.digest, lie);
        self
    }

    fn budget(mut self, budget: Budget) -> Self {
        self.budget = budget;
        self
    }

    fn image(&self) -> Image {
        let manifest = br#"{"schemaVersion":2,"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","size":0},"layers":[]}"#;
        let config = br#"{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}"#;
        Image {
            descriptor: Descriptor::of(MediaType::OciManifest, manifest),
            manifest: match Document::parse(manifest.to_vec().into(), None) {
                Ok(Document::Manifest(manifest)) => manifest,
                other => panic!("{other:?}"),
            },
            config: ImageConfig::parse(config.to_vec().into()).expect("a config"),
            layers: self.layers.clone(),
        }
    }

    /// What comes of it: all files, and how many bytes were counted; nothing but the destination is left, and on a failure not that either.
    async fn unpacked(&self, ahead: AheadLimits) -> Result<(Seen, u64, u64)> {
        let home = tempfile::tempdir().expect("a directory");
        self.unpacked_in(home.path(), ahead).await
    }

    async fn unpacked_in(&self, home: &Path, ahead: AheadLimits) -> Result<(Seen, u64, u64)> {
        let destination = home.join("root");
        let source = Rigged {
            inner: self.store.clone(),
            lies: self.lies.clone(),
            ..Rigged::default()
        };
        let options = Options {
            ahead,
            budget: self.budget.clone(),
            owners: Owners::Mapped {
                users: own(rustix::process::geteuid().as_raw()),
                groups: own(rustix::process::getegid().as_raw()),
            },
            ..Options::default()
        };
        let (source, image) = (source.shared(), self.image());
        let unpacking = unpack(&source, &image, &destination, &options);
        let report = tokio::time::timeout(LIMIT, unpacking).await.expect("it hangs");
        let left = fs::read_dir(home).expect("a directory");
        let left: Vec<_> = left.map(|entry| entry.expect("an entry").file_name()).collect();
        match report {
            Ok(report) => {
                assert_eq!(left, ["root"]);
                Ok((seen(&destination), report.entries, report.bytes))
            }
            Err(error) => {
                assert_eq!(left, [""; 0]);
                Err(error)
            }
        }
    }

    /// The same by all ways.
    async fn by_all_ways(&self, name: &str) -> Result<Seen> {
        let without = self.unpacked(never()).await;
        for way in ways() {
            let with = self.unpacked(way.clone()).await;
            match (&without, with) {
                (Ok(without), Ok(with)) => assert_eq!(*without, with, "{name}: {way:?}"),
                (Err(without), Err(with)) => {
                    assert_eq!(with.to_string(), without.to_string(), "{name}: {way:?}");
                    assert_eq!(with.kind(), without.kind(), "{name}: {way:?}");
                }
                (without, with) => panic!("{name}: {way:?}: {with:?}, and without: {without:?}"),
            }
        }
        without.map(|(seen, ..)| seen)
    }

    async fn fails(&self, name: &str, words: &str) {
        let error = self.by_all_ways(name).await.expect_err(name);
        assert!(error.to_string().contains(words), "{name}: {error}");
    }
}

/// Root of the tree is whoever runs this.
fn own(number: u32) -> Ranges {
    let range = Range {
        inside: 0,
        outside: number,
        count: 1,
    };
    Ranges::new(vec![range]).expect("a map")
}

/// What is compared of a file: what it is, its mode, its time, how many names it has, its attributes and its content.
type Seen = BTreeMap<Vec<u8>, (rootfs::Node, u32, i64, u64, usize, Digest)>;

fn seen(root: &Path) -> Seen {
    let mut walk = Walk::open(root, rootfs::walk::Options::default()).expect("a walk");
    let mut seen = Seen::new();
    while let Some(mut found) = walk.next_file().expect("a file") {
        found.read_xattrs().expect("attributes");
        let (metadata, links) = (&found.metadata, found.stat.links);
        let is_directory = found.node == rootfs::Node::Directory;
        let content = match &found.node {
            rootfs::Node::File(_) => {
                let path = std::str::from_utf8(found.path).expect("a path");
                fs::read(root.join(path)).expect("content")
            }
            _ => Vec::new(),
        };
        let what = (
            found.node.clone(),
            metadata.mode,
            metadata.mtime.seconds,
            if is_directory { 1 } else { links },
            metadata.xattrs.len(),
            Digest::of(&content),
        );
        seen.insert(found.path.to_vec(), what);
    }
    seen
}

/// Three layers, of which the last is the largest and takes from those below it.
fn tars() -> Vec<Vec<u8>> {
    let (large, other) = (content(LARGE, 7), content(LARGE, 8));
    let first: Entries<'_> = vec![
        directory("etc"),
        file("etc/kept", b"first"),
        file("etc/gone", b"first"),
        file("etc/replaced", &large[..9000]),
        file("is/now/a/file", b"first"),
        header(EntryKind::Symlink, "lib", "usr/lib"),
        header(EntryKind::Symlink, "becomes", "etc/kept"),
    ];
    let second: Entries<'_> = vec![
        directory("usr/lib"),
        file("usr/lib/one", b"second"),
        file("etc/opaque/x", b"y"),
    ];
    let mut marked = file("etc/marked", b"marked");
    marked.0.xattrs.insert(b"user.note".to_vec(), b"yes".to_vec());
    marked.0.xattrs.insert(b"trusted.note".to_vec(), b"no".to_vec());
    marked.0.mode = 0o4755;
    let last: Entries<'_> = vec![
        file("early", &large),
        file("lib/through/a/link", &other),
        header(EntryKind::HardLink, "etc/hard", "early"),
        file("etc/.wh.gone", b""),
        file("etc/opaque/own", &large[..100]),
        file("etc/opaque/.wh..wh..opq", b""),
        file("etc/replaced", &other),
        file("etc/replaced", b"twice in one layer"),
        file("is/now", &large[..5000]),
        file("becomes", b"no link"),
        file("empty", b""),
        file("own", b"is not hidden"),
        file(".wh.own", b""),
        marked,
        header(EntryKind::Fifo, "pipe", ""),
        directory("closed"),
        file("closed/in/it", &large[1000..200_000]),
        header(EntryKind::HardLink, "closed/early", "early"),
    ];
    [first, second, last].iter().map(|entries| tar(entries)).collect()
}

fn with_last(entries: &Entries<'_>) -> Vec<Vec<u8>> {
    let mut all = tars();
    all[2] = tar(entries);
    all
}

#[tokio::test]
async fn the_tree_is_the_same() {
    let seen = Case::of(&tars()).by_all_ways("all kinds").await.expect("a tree");
    let names = |path: &[u8]| seen.get(path).map(|seen| seen.3);
    assert_eq!(names(b"early"), Some(3));
    assert_eq!(names(b"usr/lib/through/a/link"), Some(1));
    for (path, is_there) in [
        ("etc/gone", false),
        ("etc/opaque/x", false),
        ("etc/opaque/own", true),
        ("own", true),
    ] {
        assert_eq!(names(path.as_bytes()).is_some(), is_there, "{path}");
    }
    assert_eq!(seen[&b"etc/replaced"[..]].5, Digest::of(b"twice in one layer"));
    assert_eq!(seen[&b"etc/marked"[..]].1, 0o4755);
}

#[tokio::test]
async fn of_several_layers_each_may_be_early() {
    // The largest is neither the first nor the last, and what comes behind it is early next.
    let tars: Vec<Vec<u8>> = [1, 5, 60, 2, 40, 3, 1]
        .iter()
        .enumerate()
        .map(|(place, size)| {
            let content = content(size * 10_000, place as u64);
            tar(&[file(&format!("{place}"), &content), file("all", &content)])
        })
        .collect();
    let seen = Case::of(&tars).by_all_ways("seven layers").await.expect("a tree");
    assert_eq!(seen.len(), 9);
    assert_eq!(seen[&b"all"[..]].5, seen[&b"6"[..]].5);
}
