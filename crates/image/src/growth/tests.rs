use std::sync::Arc;

use teu_archive::{codec::Compression, tar::Header};
use teu_store::{Memory, Source};

use super::*;
use crate::{
    contents,
    rigged::{insert, tar},
    tree::Tree,
};

type Entries<'a> = &'a [(Header, &'a [u8])];

fn file<'a>(path: &str, content: &'a [u8]) -> (Header, &'a [u8]) {
    (Header::file(path, content.len() as u64), content)
}

fn bare(header: Header) -> (Header, &'static [u8]) {
    (header, b"")
}

async fn tables(layers: &[Entries<'_>]) -> Vec<Contents> {
    let store = Memory::new();
    let layers: Vec<_> = layers
        .iter()
        .enumerate()
        .map(|(place, entries)| insert(&store, place, &tar(entries), Compression::None))
        .collect();
    let source: Arc<dyn Source> = Arc::new(store);
    let options = contents::Options::default();
    contents::of_all(&source, &layers, None, &options)
        .await
        .expect("tables")
}

/// What each layer did, path by path.
fn told(growth: &Growth) -> Vec<String> {
    let line = |number: u32| {
        let did = growth
            .versions(number)
            .into_iter()
            .map(|version| format!(" {}{:?}", version.layer, version.did));
        format!(
            "{}{}",
            growth.path(number).expect("a path").escape_ascii(),
            did.collect::<String>()
        )
    };
    let mut all: Vec<String> = (0..growth.len()).map(line).collect();
    all.sort();
    all
}

#[tokio::test]
async fn each_path_has_what_layers_did_to_it() {
    let mut other = Header::directory("etc");
    other.mode = 0o700;
    let layers: [Entries<'_>; 4] = [
        &[
            bare(Header::directory("etc")),
            file("etc/a", b"12345"),
            file("etc/b", b"1"),
            file("opt/x/y", b"1"),
            bare(Header::symlink("link", "etc")),
            file("kind", b""),
            bare(Header::hard_link("hard", "etc/a")),
            file("single", b"0123456789"),
        ],
        &[
            bare(Header::directory("etc")),
            // Through a link, into a directory that is described again.
            file("link/a", b"123"),
            file("etc/.wh.b", b""),
            file("opt/.wh..wh..opq", b""),
            file("opt/new", b""),
            bare(Header::directory("kind")),
            file("twice", b"1"),
            file("twice/.wh.x", b""),
        ],
        &[
            bare(other),
            file("etc/b", b"22"),
            file(".wh.opt", b""),
            file("kind/in", b""),
            bare(Header::hard_link("second", "single")),
        ],
        &[
            file(".wh.kind", b""),
            bare(Header::symlink("link", "etc")),
            bare(Header::hard_link("more", "hard")),
        ],
    ];
    let all = tables(&layers).await;
    let growth = Growth::of(&all, &Options::default()).expect("a growth");
    let expected = [
        " 0Add",
        "etc 0Add 1Repeat 2Change",
        "etc/a 0Add 1Change",
        "etc/b 0Add 1Remove 2Add",
        "hard 0Add",
        "kind 0Add 1Change 3Remove",
        "kind/in 2Add 3Remove",
        "link 0Add 3Repeat",
        "more 3Add",
        "opt 0Add 2Remove",
        "opt/new 1Add 2Remove",
        "opt/x 0Add 1Remove",
        "opt/x/y 0Add 1Remove",
        "second 2Add",
        "single 0Add",
        "twice 1Add",
    ];
    assert_eq!(told(&growth), expected);
    assert_eq!(growth.layers(), 4);
    // It says of each layer what the tree of all until then has.
    for layer in 0..layers.len() {
        let tree = Tree::of(&all[..=layer], &Options::default()).expect("a tree");
        let of = |found: Result<(Vec<u8>, crate::tree::File<'_>)>| {
            let (path, file) = found.expect("a file");
            (path, file.read().expect("described").node)
        };
        let listed: Vec<(Vec<u8>, Node)> = tree.walk().map(of).collect();
        let mut grown = Vec::new();
        let mut next = vec![ROOT];
        while let Some(number) = next.pop() {
            let state = growth.at(number, layer);
            let state = state.and_then(|version| growth.state(&version).expect("a state"));
            grown.extend(state.map(|state| (growth.path(number).expect("a path"), state.node)));
            next.extend(growth.children(number).rev());
        }
        assert_eq!(grown, listed, "layer {layer}");
    }
    // Each content counts once; a file that was replaced does not.
    let sum = |layer| {
        (0..growth.len())
            .filter_map(|number| growth.at(number, layer))
            .map(|version| version.size)
            .sum::<u64>()
    };
    assert_eq!([0, 1, 2, 3].map(sum), [17, 14, 16, 16]);
    assert!((1..growth.len()).all(|number| growth.parent(number) < number));
    let entry = |path: &[u8], layer| {
        let number = (0..growth.len())
            .find(|number| growth.path(*number).expect("a path") == path)
            .expect("a path");
        growth
            .at(number, layer)
            .and_then(|version| growth.state(&version).expect("a state")?.entry)
    };
    let first = entry(b"etc/a", 0);
    assert_eq!((entry(b"hard", 1), entry(b"more", 3)), (first, first));
    assert_ne!(entry(b"etc/a", 1), first);
}

#[tokio::test]
async fn an_image_without_files_has_its_root() {
    for layers in [&[][..], &[&[][..]]] {
        let growth = Growth::of(&tables(layers).await, &Options::default()).expect("a growth");
        assert_eq!(told(&growth), [" 0Add"]);
    }
}

#[tokio::test]
async fn what_it_remembers_counts_for_the_limit() {
    let layers: [Entries<'_>; 1] = [&[file("a-name-of-some-length", b"")]];
    let tables = tables(&layers).await;
    let plain = Tree::of(&tables, &Options::default());
    assert!(plain.is_ok());
    let mut options = Options::default();
    options.limits.tree_bytes = 10;
    let error = Growth::of(&tables, &options).expect_err("a limit").to_string();
    assert!(error.contains("tree_bytes"), "{error}");
}
