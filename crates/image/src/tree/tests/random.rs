//! Is the tree of layers that nobody chose the one that unpacking makes, and is what is known of it above layers that nobody read true?

use super::*;

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
        .map(|found| {
            let (path, file) = found.expect("a file");
            let described = file.read().expect("described");
            let mode = if matches!(described.node, Node::Symlink(_)) {
                0
            } else {
                described.metadata.mode
            };
            let seconds = described.metadata.mtime.seconds;
            (path, (described.node, mode, seconds, u64::from(file.names())))
        })
        .collect()
}

async fn unpacked(layers: &[Vec<u8>], destination: &Path, ahead: unpack::AheadLimits) -> Result<Seen> {
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
        ahead,
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
        // Every second time the tables lie in files.
        let options = contents::Options {
            memory_bytes: 0,
            temporary: (round % 2 == 1).then(|| home.path().to_owned()),
            ..contents::Options::default()
        };
        let tables = tables_by(&layers, &options).await;
        let merged = tables.and_then(|tables| Tree::of(&tables, &Options::default()));
        // Every third time a layer is unpacked ahead, and every sixth time little of it.
        let ahead = unpack::AheadLimits {
            least: if round % 3 == 1 { 0 } else { u64::MAX },
            memory: if round % 2 == 1 { 1000 } else { 1 << 20 },
            ..unpack::AheadLimits::default()
        };
        let unpacked = unpacked(&layers, &home.path().join("root"), ahead).await;
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
                        let (file, is) = (file.read().expect("described"), is.read().expect("described"));
                        assert_eq!((at, &file.node), (really, &is.node), "{}", told());
                        if file.node != Node::Directory {
                            assert_eq!(file.entry, is.entry, "{}", told());
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
