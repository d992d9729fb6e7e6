//! How many files are open for the tables of an image of many layers? In a process of its own, as all that it has open is counted.

#[path = "../src/rigged.rs"]
#[allow(dead_code, reason = "it is the unit tests', and only some of it is for this one")]
mod rigged;

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use rigged::{Rigged, insert, tar};
use teu_archive::{codec::Compression, tar::Header};
use teu_image::{
    Layer,
    contents::{self, Cache},
    extract::{self, Request},
    read,
    tree::{Options, Tree},
};
use teu_store::{Memory, Result};

const LAYERS: usize = 300;
/// Which of them has a directory.
const WITH_DIRECTORY: usize = 150;
/// How many may be open: 64 and one for tables, one or two of each layer that is being read, and the runtime's.
const FILES: usize = 100;

fn open_files() -> usize {
    fs::read_dir("/proc/self/fd").expect("a list").count()
}

fn layer(store: &Memory, position: usize) -> Layer {
    let name = format!("file-{position}");
    let mut entries = vec![(Header::file(name, 1), &b"x"[..])];
    if position == WITH_DIRECTORY {
        entries.push((Header::directory("directory"), b""));
    }
    insert(store, position, &tar(&entries), Compression::Gzip)
}

#[tokio::test]
async fn the_tables_of_many_layers_have_few_files_open() {
    let most = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&most);
    let store = Rigged {
        watch: Some(Box::new(move || {
            counted.fetch_max(open_files(), Ordering::SeqCst);
        })),
        ..Rigged::default()
    };
    // So many were open when content was asked for, since this was called last.
    let check = || {
        let most = most.swap(0, Ordering::SeqCst);
        assert!((64..=FILES).contains(&most), "{most}");
    };
    let layers: Vec<Layer> = (0..LAYERS).map(|position| layer(&store.inner, position)).collect();
    let source = store.shared();
    let directory = tempfile::tempdir().expect("a directory");
    let cache = Cache::new(directory.path().join("tables"));
    // No table has room in memory.
    let options = contents::Options {
        memory_bytes: 0,
        temporary: Some(directory.path().to_owned()),
        ..contents::Options::default()
    };
    let without = contents::Options {
        temporary: None,
        ..options.clone()
    };
    // Read from the layers, then from the cache, and where nothing but the cache has room for files.
    for options in [&options, &options, &without] {
        let tables = contents::of_all(&source, &layers, Some(&cache), options).await;
        let tables = tables.expect("tables");
        // They are in files, and not in memory.
        assert!((64..=FILES).contains(&open_files()), "{}", open_files());
        let tree = Tree::of(&tables, &Options::default()).expect("a tree");
        // The root is one, and so is the directory.
        let files: Vec<_> = tree.walk().collect::<Result<_>>().expect("files");
        assert_eq!(files.len(), LAYERS + 2);
        let (_, file) = tree.find(b"file-299", true).expect("an answer").expect("a file");
        assert_eq!(file.layer(), Some(299));
    }
    // The directory that was named is not there: as if none had been. The cache has a file for each.
    let absent = contents::Options {
        temporary: Some(directory.path().join("absent")),
        ..options.clone()
    };
    let tables = contents::of_all(&source, &layers, Some(&cache), &absent).await;
    let tables = tables.expect("tables");
    assert!(open_files() >= LAYERS, "{}", open_files());
    assert!(tables.iter().all(|table| table.entries().all(|entry| entry.is_ok())));
    drop(tables);
    // From the highest down to the lowest, one after the other; then down to one that says that all others are wanted.
    most.store(0, Ordering::SeqCst);
    let wanted = [b"file-0".to_vec()];
    let found = read::find(&source, &layers, &wanted, None, &options, &Options::default()).await;
    assert_eq!(found.expect("found")[0].place.layer, 0);
    check();
    let wanted = [Request::new(b"directory").expect("a path")];
    let of_extract = extract::Options {
        contents: options,
        ..extract::Options::default()
    };
    let to = directory.path().join("to");
    let extracted = extract::extract(&source, &layers, &wanted, &to, None, None, &of_extract).await;
    extracted.expect("extracted");
    assert!(to.is_dir());
    check();
}
