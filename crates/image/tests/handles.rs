//! How many files are open for the tables of an image of many layers? In a process of its own, as all that it has open is counted.

use std::{fs, io::Write as _, sync::Arc};

use teu_archive::{
    codec::{Compression, Encoder},
    tar::{Header, Writer},
};
use teu_image::{
    Layer,
    contents::{self, Cache},
    read,
    tree::{Options, Tree},
};
use teu_spec::{Descriptor, Digest, MediaType};
use teu_store::{Memory, Result, Source};

const LAYERS: usize = 300;
/// How many may be open: 64 and one for tables, one or two of each layer that is being read, and the runtime's.
const FILES: usize = 100;

fn open_files() -> usize {
    fs::read_dir("/proc/self/fd").expect("a list").count()
}

fn layer(store: &Memory, position: usize) -> Layer {
    let mut tar = Writer::new(Vec::new());
    let header = Header::file(format!("file-{position}"), 1);
    tar.append_data(&header, b"x").expect("an entry");
    let tar = tar.finish().expect("a tar");
    let mut encoder = Encoder::new(Vec::new(), Compression::Gzip, None).expect("an encoder");
    encoder.write_all(&tar).expect("compressed");
    let blob = encoder.finish().expect("compressed");
    let descriptor = Descriptor::of(MediaType::OciLayerGzip, &blob);
    store.insert_blob(blob);
    Layer {
        position,
        descriptor,
        diff_id: Digest::of(&tar),
    }
}

#[tokio::test]
async fn the_tables_of_many_layers_have_few_files_open() {
    let store = Memory::new();
    let layers: Vec<Layer> = (0..LAYERS).map(|position| layer(&store, position)).collect();
    let source: Arc<dyn Source> = Arc::new(store);
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
        // The root is one.
        let files: Vec<_> = tree.walk().collect::<Result<_>>().expect("files");
        assert_eq!(files.len(), LAYERS + 1);
        let (_, file) = tree.find(b"file-299", true).expect("an answer").expect("a file");
        assert_eq!(file.layer(), Some(299));
    }
    // From the highest down to the lowest, one after the other.
    let wanted = [b"file-0".to_vec()];
    let found = read::find(&source, &layers, &wanted, Some(&cache), &options, &Options::default()).await;
    assert_eq!(found.expect("found")[0].place.layer, 0);
}
