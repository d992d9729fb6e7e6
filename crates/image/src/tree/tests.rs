use std::{collections::BTreeMap, path::Path, sync::Arc};

use teu_archive::{codec::Compression, tar::Header};
use teu_rootfs::{Root, walk};
use teu_store::{Error, ErrorKind, Memory, Source};

use super::*;
use crate::{
    Image, Layer, contents,
    rigged::{insert, tar},
    unpack,
};

type Entries<'a> = &'a [(Header, &'a [u8])];

async fn tables(layers: &[Vec<u8>]) -> Result<Vec<Contents>> {
    let store = Memory::new();
    let layers: Vec<Layer> = layers
        .iter()
        .enumerate()
        .map(|(place, tar)| insert(&store, place, tar, Compression::None))
        .collect();
    let source: Arc<dyn Source> = Arc::new(store);
    let options = contents::Options::default();
    contents::of_all(&source, &layers, None, &options).await
}

async fn tree_of(layers: &[Entries<'_>], options: &Options) -> Result<Tree> {
    let layers: Vec<Vec<u8>> = layers.iter().map(|entries| tar(entries)).collect();
    Tree::of(&tables(&layers).await?, options)
}

fn file(path: &str) -> (Header, &'static [u8]) {
    (Header::file(path, 1), b"x")
}

fn empty(path: &str) -> (Header, &'static [u8]) {
    (Header::file(path, 0), b"")
}

fn directory(path: &str) -> (Header, &'static [u8]) {
    (Header::directory(path), b"")
}

fn link(path: &str, target: &str) -> (Header, &'static [u8]) {
    (Header::symlink(path, target), b"")
}

fn hard(path: &str, target: &str) -> (Header, &'static [u8]) {
    (Header::hard_link(path, target), b"")
}

fn listed(tree: &Tree) -> Vec<String> {
    tree.walk()
        .skip(1)
        .map(|(path, file)| {
            let layer = file.layer().map_or("-".to_owned(), |layer| layer.to_string());
            format!("{} {layer}", String::from_utf8_lossy(&path))
        })
        .collect()
}

#[tokio::test]
async fn layers_become_one_tree_and_each_file_knows_its_layer() {
    let first: Entries<'_> = &[
        directory("etc/"),
        file("etc/a"),
        file("etc/b"),
        file("etc.conf"),
        directory("var/cache/"),
        file("var/cache/old"),
        link("lib", "usr/lib"),
        hard("etc/c", "etc/a"),
    ];
    let second: Entries<'_> = &[
        empty("etc/.wh.b"),
        directory("var/cache/"),
        file("var/cache/new"),
        empty("var/cache/.wh..wh..opq"),
        file("lib/x"),
        hard("etc/d", "etc/c"),
        file("etc/a"),
    ];
    let options = Options {
        hidden: true,
        ..Options::default()
    };
    let tree = tree_of(&[first, second], &options).await.expect("a tree");
    assert_eq!(
        listed(&tree),
        [
            "etc 0",
            "etc/a 1",
            "etc/c 0",
            "etc/d 1",
            "etc.conf 0",
            "lib 0",
            "usr -",
            "usr/lib -",
            "usr/lib/x 1",
            "var -",
            "var/cache 1",
            "var/cache/new 1",
        ]
    );
    let found = |path: &str| tree.find(path.as_bytes(), true).expect("no circle").expect(path).1;
    let (c, d) = (found("etc/c"), found("etc/d"));
    assert_eq!((c.number(), c.names()), (d.number(), 2));
    // The name is one layer's, what is in the file another's.
    assert_eq!((d.layer(), d.entry().map(|entry| entry.layer)), (Some(1), Some(0)));
    assert_eq!(found("etc/a").names(), 1);
    let hidden: Vec<_> = tree
        .hidden()
        .iter()
        .map(|hidden| {
            let path = String::from_utf8_lossy(&hidden.path).into_owned();
            (path, hidden.layer, hidden.by, hidden.how, hidden.last)
        })
        .collect();
    assert_eq!(
        hidden,
        [
            ("etc/b".to_owned(), Some(0), 1, How::Removed, true),
            ("var/cache/old".to_owned(), Some(0), 1, How::Cleared, true),
            // Its other names are left.
            ("etc/a".to_owned(), Some(0), 1, How::Replaced, false),
        ]
    );
}

#[tokio::test]
async fn paths_are_resolved_inside_the_image() {
    let layer: Entries<'_> = &[
        directory("usr/bin/"),
        file("usr/bin/dash"),
        link("usr/bin/sh", "dash"),
        link("bin", "/usr/bin"),
        link("up", "../../../usr"),
        link("round", "round"),
        link("nowhere", "gone"),
        link("self", "."),
    ];
    let tree = tree_of(&[layer], &Options::default()).await.expect("a tree");
    for (path, follow, expected) in [
        ("/bin/sh", true, Some("usr/bin/dash")),
        ("bin/sh", false, Some("usr/bin/sh")),
        ("bin", false, Some("bin")),
        ("bin/", true, Some("usr/bin")),
        ("up/bin/../bin/./dash", true, Some("usr/bin/dash")),
        ("../../usr", true, Some("usr")),
        ("/", true, Some("")),
        ("", false, Some("")),
        ("self/self/up", false, Some("up")),
        ("nowhere", true, None),
        ("nowhere", false, Some("nowhere")),
        ("bin/dash/x", true, None),
        ("bin/nothing", true, None),
        ("round", false, Some("round")),
    ] {
        let found = tree.find(path.as_bytes(), follow).expect(path);
        let found = found.map(|(path, _)| String::from_utf8(path).expect("text"));
        assert_eq!(found.as_deref(), expected, "{path}");
    }
    let error = tree.find(b"round/x", true).expect_err("a circle");
    assert_eq!(error.to_string(), "\"round/x\" leads through more than 40 links");
    let pattern = Pattern::new("usr/**/*sh").expect("a pattern");
    let paths: Vec<_> = tree.glob(&pattern).map(|(path, _)| path).collect();
    assert_eq!(paths, [b"usr/bin/dash".to_vec(), b"usr/bin/sh".to_vec()]);
    let mut walk = tree.walk();
    let mut seen = Vec::new();
    while let Some((path, _)) = walk.next() {
        if path == b"usr" {
            walk.pass_over();
        }
        seen.push(String::from_utf8(path).expect("text"));
    }
    assert_eq!(seen, ["", "bin", "nowhere", "round", "self", "up", "usr"]);
}

#[tokio::test]
async fn what_would_not_be_unpacked_is_no_tree() {
    let deep = "d/".repeat(30);
    for (layer, limits, words) in [
        (&[hard("a", "b")][..], Limits::default(), "nothing is where it leads to"),
        (
            &[directory("d"), hard("a", "d")],
            Limits::default(),
            "a hard link to a directory",
        ),
        (&[file("a"), hard("a", "a")], Limits::default(), "a hard link to itself"),
        (
            &[file("a"), file("a/b")],
            Limits::default(),
            "is a file, and no directory",
        ),
        (&[link("a", "a"), file("a/b")], Limits::default(), "more than 40 links"),
        (
            &[directory("d"), file("d/f"), hard("d", "d/f")],
            Limits::default(),
            "nothing is where it leads to",
        ),
        (
            &[directory(&deep)],
            Limits {
                depth: 29,
                ..Limits::default()
            },
            "the limit depth is 29",
        ),
        (
            &[directory("d/e"), link("l", "d/e"), directory("l/fg")],
            Limits {
                path_bytes: 5,
                ..Limits::default()
            },
            "the limit path_bytes is 5",
        ),
        (
            &[file("a"), file("b"), file("c")],
            Limits {
                tree_bytes: 500,
                ..Limits::default()
            },
            "the limit tree_bytes is 500",
        ),
    ] {
        let options = Options {
            limits,
            ..Options::default()
        };
        let error = tree_of(&[layer], &options).await.expect_err(words).to_string();
        assert!(error.contains(words), "{error}");
        assert!(error.contains(" of layer sha256:"), "{error}");
    }
}

#[tokio::test]
async fn what_is_gone_takes_no_memory() {
    let limits = Limits {
        tree_bytes: 4096,
        ..Limits::default()
    };
    let options = Options {
        limits,
        ..Options::default()
    };
    let (makes, removes): (Entries<'_>, Entries<'_>) = (&[directory("d"), file("d/f")], &[empty(".wh.d")]);
    let layers: Vec<Entries<'_>> = (0..1000).map(|place| [makes, removes][place % 2]).collect();
    let tree = tree_of(&layers, &options).await.expect("a tree");
    assert_eq!(listed(&tree), Vec::<String>::new());
    assert_eq!(tree.inodes.len(), 3);
}

#[tokio::test]
async fn a_file_is_found_with_the_fewest_layers() {
    let base: Entries<'_> = &[
        directory("usr"),
        directory("usr/lib"),
        file("usr/lib/a"),
        link("lib", "usr/lib"),
        file("f"),
    ];
    let clean: Entries<'_> = &[
        directory("usr"),
        directory("usr/lib"),
        file("usr/lib/b"),
        empty("usr/.wh.gone"),
    ];
    let opaque: Entries<'_> = &[directory("o"), empty("o/.wh..wh..opq"), file("o/a")];
    // Its directory may be a link below, as it is here.
    let sly: Entries<'_> = &[file("lib/b")];
    let linked: Entries<'_> = &[hard("h", "f")];
    let layers: Vec<Vec<u8>> = [base, clean, opaque, sly, linked].map(tar).into();
    let tables = tables(&layers).await.expect("tables");
    let known = |from: &[usize], path: &str| {
        let mut builder = match from {
            [0, ..] => Builder::new(&Options::default()),
            _ => Builder::above_unknown(&Options::default()),
        };
        for place in from {
            builder.layer(*place, &tables[*place]).expect("a layer");
        }
        match builder.finish().answer(path.as_bytes(), true).expect("no circle") {
            Answer::Found(_, file) => format!("layer {}", file.layer().expect("a layer")),
            Answer::Absent => "absent".to_owned(),
            Answer::Unknown => "unknown".to_owned(),
        }
    };
    for (from, path, expected) in [
        (&[1][..], "usr/lib/b", "layer 1"),
        (&[1], "usr/lib/a", "unknown"),
        (&[1], "usr/gone", "absent"),
        (&[1], "usr/gone/more", "absent"),
        (&[1], "lib/b", "unknown"),
        (&[2], "o/a", "layer 2"),
        (&[2], "o/b", "absent"),
        (&[2], "p", "unknown"),
        (&[1, 3], "usr/lib/b", "unknown"),
        (&[1, 3], "usr/lib", "unknown"),
        (&[1, 3], "usr", "layer 1"),
        (&[0, 1, 3], "usr/lib/b", "layer 3"),
        (&[4], "h", "unknown"),
        (&[0, 4], "h", "layer 4"),
    ] {
        assert_eq!(known(from, path), expected, "{from:?} {path}");
    }
}

/// Numbers that are no one's choice, and the same every time.
struct Random(u64);

impl Random {
    fn below(&mut self, count: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 20) as usize % count
    }

    fn name(&mut self) -> &'static str {
        ["a", "b", "c", "d"][self.below(4)]
    }

    fn path(&mut self) -> String {
        let mut path = self.name().to_owned();
        for _ in 0..self.below(4) {
            path.push('/');
            path.push_str(match self.below(12) {
                0 => "..",
                _ => self.name(),
            });
        }
        path
    }

    fn entry(&mut self) -> (Header, &'static [u8]) {
        let path = self.path();
        let mut entry = match self.below(12) {
            0..=2 => directory(&path),
            3..=4 => file(&path),
            5 => link(&path, &self.path()),
            6 => link(&path, &format!("/{}", self.path())),
            7 => link(&path, &format!("../{}", self.name())),
            8 => hard(&path, &self.path()),
            9..=10 => match path.rsplit_once('/') {
                Some((above, name)) if name != ".." => empty(&format!("{above}/.wh.{name}")),
                _ => empty(&format!(".wh.{}", self.name())),
            },
            _ => empty(&format!("{path}/.wh..wh..opq")),
        };
        entry.0.mode = 0o700 + self.below(8) as u32;
        entry.0.mtime.seconds = 1 + self.below(1000) as i64;
        entry
    }

    fn layers(&mut self) -> Vec<Vec<u8>> {
        (0..2 + self.below(4))
            .map(|_| {
                let mut entries: Vec<_> = (0..1 + self.below(8)).map(|_| self.entry()).collect();
                // As most layers have it, so that more of them are possible.
                if self.below(2) == 0 {
                    entries.insert(0, directory("a"));
                    entries.insert(1, directory("a/b"));
                }
                tar(&entries)
            })
            .collect()
    }
}

/// What a file on a disk and one of a tree are compared by.
type Seen = BTreeMap<Vec<u8>, (Node, u32, i64, u64)>;

fn on_disk(root: &Path) -> Seen {
    let root = Root::open(root).expect("a root");
    let mut found = walk::Walk::of(&root, walk::Options::default()).expect("a walk");
    let mut seen = Seen::new();
    while let Some(file) = found.next_file().expect("a file") {
        let links = match file.node {
            Node::Directory => 1,
            _ => file.stat.links,
        };
        let metadata = &file.metadata;
        let mode = if matches!(file.node, Node::Symlink(_)) {
            0
        } else {
            metadata.mode
        };
        seen.insert(
            file.path.to_vec(),
            (file.node.clone(), mode, metadata.mtime.seconds, links),
        );
    }
    seen
}

fn in_tree(tree: &Tree) -> Seen {
    tree.walk()
        .map(|(path, file)| {
            let mode = if matches!(file.kind(), Node::Symlink(_)) {
                0
            } else {
                file.metadata().mode
            };
            let seconds = file.metadata().mtime.seconds;
            (path, (file.kind().clone(), mode, seconds, u64::from(file.names())))
        })
        .collect()
}

async fn unpacked(layers: &[Vec<u8>], destination: &Path) -> Result<Seen> {
    let store = Memory::new();
    let layers: Vec<Layer> = layers
        .iter()
        .enumerate()
        .map(|(place, tar)| insert(&store, place, tar, Compression::None))
        .collect();
    let source: Arc<dyn Source> = Arc::new(store);
    let manifest = br#"{"schemaVersion":2,"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","size":0},"layers":[]}"#;
    let config = br#"{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}"#;
    let image = Image {
        descriptor: teu_spec::Descriptor::of(teu_spec::MediaType::OciManifest, manifest),
        manifest: match teu_spec::Document::parse(manifest.to_vec().into(), None) {
            Ok(teu_spec::Document::Manifest(manifest)) => manifest,
            other => panic!("{other:?}"),
        },
        config: teu_spec::ImageConfig::parse(config.to_vec().into()).expect("a config"),
        layers,
    };
    let options = unpack::Options {
        owners: match is_root() {
            true => unpack::Owners::Kept,
            false => unpack::Owners::Recorded,
        },
        ..unpack::Options::default()
    };
    unpack::unpack(&source, &image, destination, &options).await?;
    let seen = on_disk(destination);
    std::fs::remove_dir_all(destination).map_err(Error::from)?;
    Ok(seen)
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[tokio::test]
async fn a_tree_is_what_is_unpacked() {
    let home = tempfile::tempdir().expect("a directory");
    let mut random = Random(0x1234_5678_9abc_def1);
    let (mut good, mut bad) = (0, 0);
    for round in 0..300 {
        let layers = random.layers();
        let tables = tables(&layers).await;
        let merged = tables.and_then(|tables| Tree::of(&tables, &Options::default()));
        let unpacked = unpacked(&layers, &home.path().join("root")).await;
        match (merged, unpacked) {
            (Ok(tree), Ok(mut files)) => {
                let mut seen = in_tree(&tree);
                // The root is closed to others while it is no one's.
                files.remove(&b""[..]);
                seen.remove(&b""[..]);
                // A directory that was reached by a link which is there no more has the time at which it was made.
                for (path, file) in &mut files {
                    if file.0 == Node::Directory && file.2 > 1_000_000 {
                        file.2 = seen.get(path).map_or(file.2, |seen| seen.2);
                    }
                }
                assert_eq!(seen, files, "round {round}: {}", told(&layers));
                good += 1;
            }
            (Err(error), Err(other)) => {
                assert!(
                    matches!(other.kind(), ErrorKind::Invalid | ErrorKind::Io),
                    "round {round}: {error}, but {other}"
                );
                bad += 1;
            }
            (merged, unpacked) => panic!(
                "round {round}: {:?}, but {:?}: {}",
                merged.map(|tree| listed(&tree)),
                unpacked,
                told(&layers)
            ),
        }
    }
    assert!(good > 40 && bad > 10, "{good} {bad}");
}

#[tokio::test]
async fn what_is_known_above_unknown_layers_is_so_in_the_whole_image() {
    let mut random = Random(0xfeed_5678_9abc_def1);
    let mut answers = [0; 3];
    for round in 0..500 {
        let layers = random.layers();
        let Ok(tables) = tables(&layers).await else {
            continue;
        };
        let Ok(whole) = Tree::of(&tables, &Options::default()) else {
            continue;
        };
        for lowest in 0..tables.len() {
            let mut builder = Builder::above_unknown(&Options::default());
            for (place, table) in tables.iter().enumerate().skip(lowest) {
                builder.layer(place, table).expect("as the whole");
            }
            let part = builder.finish();
            for _ in 0..20 {
                let path = random.path();
                let follow = random.below(2) == 0;
                let (Ok(answer), Ok(truth)) = (
                    part.answer(path.as_bytes(), follow),
                    whole.find(path.as_bytes(), follow),
                ) else {
                    continue;
                };
                let told = || format!("round {round}, from {lowest}: {path}: {}", told(&layers));
                match (answer, truth) {
                    (Answer::Found(at, file), Some((really, is))) => {
                        assert_eq!((at, file.kind()), (really, is.kind()), "{}", told());
                        if !file.is_directory() {
                            assert_eq!(file.entry(), is.entry(), "{}", told());
                        }
                        answers[0] += 1;
                    }
                    (Answer::Absent, None) => answers[1] += 1,
                    (Answer::Unknown, _) => answers[2] += 1,
                    (answer, truth) => panic!("{answer:?}, but {truth:?}: {}", told()),
                }
            }
        }
    }
    assert!(answers.iter().all(|count| *count > 20), "{answers:?}");
}

/// Layers, for who looks for a fault.
fn told(layers: &[Vec<u8>]) -> String {
    let mut text = String::new();
    for layer in layers {
        text.push_str("\n--");
        let mut reader = teu_archive::tar::Reader::new(&layer[..]);
        while let Some(entry) = reader.next_entry().expect("an entry") {
            let header = entry.header();
            let (path, link) = (
                String::from_utf8_lossy(&header.path),
                String::from_utf8_lossy(&header.link),
            );
            text.push_str(&format!("\n{:?} {path} {link}", header.kind));
        }
    }
    text
}
