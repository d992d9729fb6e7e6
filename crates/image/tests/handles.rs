//! How many files are open for the tables of an image of many layers? In a process of its own, as all that it has open is counted.

use std::{
    fs,
    io::Write as _,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use teu_archive::{
    codec::{Compression, Encoder},
    tar::{Header, Writer},
};
use teu_image::{
    Layer,
    contents::{self, Cache},
    extract::{self, Request},
    read,
    tree::{Options, Tree},
};
use teu_spec::{Descriptor, Digest, MediaType, Pick};
use teu_store::{BoxFuture, Browse, FetchOptions, Fetched, Intent, Local, Memory, Origin, Result, Role, Source};

const LAYERS: usize = 300;
/// Which of them has a directory.
const WITH_DIRECTORY: usize = 150;
/// How many may be open: 64 and one for tables, one or two of each layer that is being read, and the runtime's.
const FILES: usize = 100;

fn open_files() -> usize {
    fs::read_dir("/proc/self/fd").expect("a list").count()
}

fn layer(store: &Memory, position: usize) -> Layer {
    let mut tar = Writer::new(Vec::new());
    let header = Header::file(format!("file-{position}"), 1);
    tar.append_data(&header, b"x").expect("an entry");
    if position == WITH_DIRECTORY {
        tar.append_data(&Header::directory("directory"), b"").expect("an entry");
    }
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
    let counting = Arc::new(Counting {
        source,
        most: AtomicUsize::new(0),
    });
    let source: Arc<dyn Source> = Arc::clone(&counting) as Arc<dyn Source>;
    let wanted = [b"file-0".to_vec()];
    let found = read::find(&source, &layers, &wanted, None, &options, &Options::default()).await;
    assert_eq!(found.expect("found")[0].place.layer, 0);
    counting.check();
    let wanted = [Request::new(b"directory").expect("a path")];
    let of_extract = extract::Options {
        contents: options,
        ..extract::Options::default()
    };
    let to = directory.path().join("to");
    let extracted = extract::extract(&source, &layers, &wanted, &to, None, None, &of_extract).await;
    extracted.expect("extracted");
    assert!(to.is_dir());
    counting.check();
}

/// Counts the files that are open whenever content is asked for.
struct Counting {
    source: Arc<dyn Source>,
    most: AtomicUsize,
}

impl Counting {
    /// So many were open since it was asked last.
    fn check(&self) {
        let most = self.most.swap(0, Ordering::SeqCst);
        assert!((64..=FILES).contains(&most), "{most}");
    }
}

impl Source for Counting {
    fn resolve<'a>(&'a self, pick: &'a Pick) -> BoxFuture<'a, Result<Descriptor>> {
        self.source.resolve(pick)
    }

    fn stat<'a>(&'a self, role: Role, digest: &'a Digest, intent: Intent) -> BoxFuture<'a, Result<Option<Descriptor>>> {
        self.source.stat(role, digest, intent)
    }

    fn fetch<'a>(&'a self, role: Role, digest: &'a Digest, options: FetchOptions) -> BoxFuture<'a, Result<Fetched>> {
        self.most.fetch_max(open_files(), Ordering::SeqCst);
        self.source.fetch(role, digest, options)
    }

    fn browse(&self) -> Option<&dyn Browse> {
        None
    }

    fn local(&self) -> Option<&dyn Local> {
        None
    }

    fn is_closed(&self) -> bool {
        true
    }

    fn origin(&self) -> Option<Origin> {
        None
    }
}
