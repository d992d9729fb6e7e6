mod random;

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
    tables_by(layers, &contents::Options::default()).await
}

async fn tables_by(layers: &[Vec<u8>], options: &contents::Options) -> Result<Vec<Contents>> {
    let store = Memory::new();
    let layers: Vec<Layer> = layers
        .iter()
        .enumerate()
        .map(|(place, tar)| insert(&store, place, tar, Compression::None))
        .collect();
    let source: Arc<dyn Source> = Arc::new(store);
    contents::of_all(&source, &layers, None, options).await
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
        .map(|found| {
            let (path, file) = found.expect("a file");
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
    assert_eq!(
        (d.layer(), d.read().expect("described").entry.map(|entry| entry.layer)),
        (Some(1), Some(0))
    );
    assert_eq!(found("etc/a").names(), 1);
    let hidden: Vec<_> = tree
        .hidden()
        .map(|hidden| {
            let hidden = hidden.expect("described");
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
    let paths: Vec<_> = tree.glob(&pattern).map(|found| found.expect("a file").0).collect();
    assert_eq!(paths, [b"usr/bin/dash".to_vec(), b"usr/bin/sh".to_vec()]);
    let mut walk = tree.walk();
    let mut seen = Vec::new();
    while let Some(found) = walk.next() {
        let (path, _) = found.expect("a file");
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
                tree_bytes: 100,
                ..Limits::default()
            },
            "the limit tree_bytes is 100",
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
    assert_eq!(tree.state.inodes.len(), 3);
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

#[tokio::test]
async fn a_way_of_directories_that_were_files_once_is_gone_without_reading_tables() {
    const DEPTH: usize = 200;
    let (mut entries, mut way) = (Vec::new(), String::new());
    for _ in 0..DEPTH {
        way.push('d');
        // The name stands in the table of contents, until the path is a directory's.
        entries.extend([empty(&way), directory(&way)]);
        way.push('/');
    }
    entries.push(directory(&format!("{way}e")));
    // In turns, so that the directory that was found last is never the one that is wanted.
    for number in 0..DEPTH {
        entries.extend([empty(&format!("{way}{number}")), empty(&format!("{way}e/{number}"))]);
    }
    let tables = tables(&[tar(&entries)]).await.expect("tables");
    let before = paths::NAMES_READ.get();
    let tree = Tree::of(&tables, &Options::default()).expect("a tree");
    // Each that was a file's is read three times while the directory takes its place, and never again.
    assert_eq!(paths::NAMES_READ.get() - before, 3 * DEPTH);
    let deepest = format!("{way}e/7");
    let (found, file) = tree.find(deepest.as_bytes(), true).expect("an answer").expect("a file");
    assert_eq!((found, file.is_regular()), (deepest.into_bytes(), true));
}
