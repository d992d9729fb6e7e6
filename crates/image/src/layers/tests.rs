use std::time::Duration;

use teu_archive::{
    codec::Compression,
    tar::{Header, Reader},
};
use teu_spec::{Digest, MediaType};
use teu_store::{Memory, blocking};

use super::*;
use crate::rigged::{Lie, Rigged, insert, tar};

/// Content that no codec makes much smaller.
fn noise(size: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    (0..size).map(|_| next() as u8).collect()
}

async fn read_all(source: Arc<dyn Source>, layer: Layer, options: Options) -> Result<Vec<u8>> {
    let mut opened = open(&source, &layer, &options);
    blocking::run(move || {
        let mut content = Vec::new();
        opened.read_to_end(&mut content)?;
        // An end stays one.
        assert_eq!(opened.read(&mut [0; 1])?, 0);
        Ok(content)
    })
    .await
}

#[tokio::test]
async fn a_layer_is_read_whole_however_it_is_compressed() {
    for size in [0, 1, BATCH - 1536, BATCH, 3 * BATCH + 7] {
        let content = noise(size);
        let tar = tar(&[(Header::file("f", size as u64), &content)]);
        for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
            let store = Memory::new();
            let layer = insert(&store, 0, &tar, compression);
            let read = read_all(Arc::new(store), layer, Options::default()).await;
            assert!(read.expect("read") == tar, "{size} {compression}");
        }
    }
}

#[tokio::test]
async fn what_is_wrong_ends_in_an_error_and_never_short() {
    let tar = tar(&[(Header::file("f", 2 * BATCH as u64), &noise(2 * BATCH))]);
    for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
        for (lie, kind, words) in [
            (Lie::Flipped, ErrorKind::Mismatch, "has the digest"),
            (Lie::Short, ErrorKind::Mismatch, "ends 1 bytes before"),
            (Lie::Long, ErrorKind::Mismatch, "goes on past"),
            (Lie::Dies, ErrorKind::Io, "the connection was reset"),
        ] {
            let store = Memory::new();
            let layer = insert(&store, 0, &tar, compression);
            let source = Rigged {
                inner: store,
                lies: [(layer.descriptor.digest, lie)].into(),
                ..Rigged::default()
            };
            let digest = layer.descriptor.digest;
            let error = read_all(source.shared(), layer, Options::default())
                .await
                .expect_err("a lie");
            assert_eq!(error.kind(), &kind, "{compression} {lie:?}: {error}");
            let text = error.to_string();
            assert!(text.starts_with(&format!("reading layer {digest}: ")), "{text}");
            assert!(text.contains(words), "{compression} {lie:?}: {text}");
        }
    }
}

#[tokio::test]
async fn the_error_comes_through_the_tar_reader_as_it_was() {
    let store = Memory::new();
    let tar = tar(&[(Header::file("f", 100), &noise(100))]);
    let mut layer = insert(&store, 0, &tar, Compression::Gzip);
    layer.diff_id = Digest::of(b"another");
    let source: Arc<dyn Source> = Arc::new(store);
    let opened = open(&source, &layer, &Options::default());
    let error = blocking::run(move || {
        let mut reader = Reader::new(opened);
        // The entries are there, but not the end.
        assert_eq!(
            reader.next_entry()?.map(|entry| entry.header().path.clone()),
            Some(b"f".to_vec())
        );
        reader.finish()?;
        Ok(())
    })
    .await
    .expect_err("threat 54");
    assert_eq!(error.kind(), &ErrorKind::Mismatch);
    assert!(error.to_string().contains("DiffID"), "{error}");
}

#[tokio::test]
async fn a_wrong_diff_id_is_an_error_at_the_end() {
    for size in [10, 3 * BATCH] {
        let store = Memory::new();
        let tar = tar(&[(Header::file("f", size as u64), &noise(size))]);
        let mut layer = insert(&store, 0, &tar, Compression::Zstd);
        layer.diff_id = Digest::of(b"another");
        let source: Arc<dyn Source> = Arc::new(store);
        let error = read_all(Arc::clone(&source), layer.clone(), Options::default())
            .await
            .expect_err("threat 54");
        assert_eq!(error.kind(), &ErrorKind::Mismatch, "{error}");
        let all = |tar: &mut dyn BufRead| {
            let mut content = Vec::new();
            tar.read_to_end(&mut content)?;
            Ok(content)
        };
        let error = within(&source, &layer, &Options::default(), all).await;
        assert_eq!(error.expect_err("threat 54").kind(), &ErrorKind::Mismatch);
        layer.diff_id = Digest::of(&tar);
        let read = within(&source, &layer, &Options::default(), all).await;
        assert!(read.expect("as it is said to be") == tar);
    }
}

#[tokio::test]
async fn a_layer_that_is_not_there_is_said_so() {
    let store = Memory::new();
    let mut layer = insert(&Memory::new(), 0, b"elsewhere", Compression::None);
    let error = read_all(Arc::new(store.clone()), layer.clone(), Options::default())
        .await
        .expect_err("absent");
    assert_eq!(error.kind(), &ErrorKind::NotFound);
    layer.descriptor.media_type = MediaType::OciForeignLayer;
    layer.descriptor.urls = vec!["https://maker.example/layer".into()];
    let error = read_all(Arc::new(store), layer, Options::default())
        .await
        .expect_err("absent");
    assert_eq!(error.kind(), &ErrorKind::NotFound);
    let text = error.to_string();
    assert!(text.contains("its maker does not want it distributed"), "{text}");
    assert!(text.contains("https://maker.example/layer"), "{text}");
}

#[tokio::test]
async fn a_bomb_reaches_its_limit() {
    let store = Memory::new();
    let layer = insert(&store, 0, &vec![0; 8 << 20], Compression::Gzip);
    let mut options = Options::default();
    options.limits.output_bytes = 1 << 20;
    let error = read_all(Arc::new(store), layer, options).await.expect_err("threat 49");
    assert_eq!(error.kind(), &ErrorKind::TooLarge);
    assert!(error.to_string().contains("output_bytes"), "{error}");
}

#[tokio::test]
async fn layers_come_in_order_and_are_begun_ahead() {
    let store = Memory::new();
    let tars: Vec<Vec<u8>> = (0..5)
        .map(|n| tar(&[(Header::file(format!("{n}"), 700_000), &noise(700_000))]))
        .collect();
    let layers: Vec<Layer> = tars
        .iter()
        .enumerate()
        .map(|(position, tar)| insert(&store, position, tar, Compression::Gzip))
        .collect();
    let source = Arc::new(Rigged {
        inner: store,
        ..Rigged::default()
    });
    let shared: Arc<dyn Source> = Arc::clone(&source) as Arc<dyn Source>;
    let mut all = Layers::open(&shared, layers, &Options::default());
    blocking::run(move || {
        for (position, tar) in tars.iter().enumerate() {
            let (layer, mut opened) = all.next().expect("a layer");
            assert_eq!(layer.position, position);
            // Those behind it are under way: at most two, as the options have it.
            assert_eq!(all.begun.len(), 2.min(4 - position));
            let mut content = Vec::new();
            opened.read_to_end(&mut content)?;
            assert!(content == *tar, "{position}");
        }
        assert!(all.next().is_none());
        Ok(())
    })
    .await
    .expect("all of them");
    assert_eq!(source.fetched.lock().expect("a list").len(), 5);
}

#[tokio::test]
async fn who_stops_early_stops_what_is_under_way() {
    let store = Memory::new();
    let tar = tar(&[(Header::file("f", 20 << 20), &noise(20 << 20))]);
    let layer = insert(&store, 0, &tar, Compression::None);
    let source = Rigged {
        inner: store,
        lies: [(layer.descriptor.digest, Lie::Hangs)].into(),
        ..Rigged::default()
    };
    let source = source.shared();
    let mut opened = open(&source, &layer, &Options::default());
    let first = blocking::run(move || {
        let first = opened.next_chunk()?.map(|bytes| bytes.len());
        drop(opened);
        Ok(first)
    });
    assert_eq!(first.await.expect("a chunk"), Some(BATCH));
    // The task lets go of the source, though what it reads never ends.
    let freed = async {
        while Arc::strong_count(&source) > 1 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), freed)
        .await
        .expect("it was let go");
}
