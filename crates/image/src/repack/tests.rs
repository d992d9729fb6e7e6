use std::{fs, path::Path, sync::Arc};

use teu_archive::{
    codec::{Decoder, Limits as CodecLimits},
    tar::{EntryKind, Reader},
};
use teu_rootfs::{Ranges, Root};
use teu_spec::{MediaType, Platform};
use teu_store::{Expect, FetchOptions, Memory, Role, silent};

use super::*;
use crate::{bundle, change, new, unpack};

/// A bundle of these files and directories, which came of an image without layers in a store.
async fn bundle(at: &Path, files: &[&str]) -> Arc<Memory> {
    let store = Arc::new(Memory::default());
    let image = new::New {
        platform: Platform::new("linux", "amd64"),
        created: None,
        author: String::new(),
    };
    let target = Arc::clone(&store) as Arc<dyn teu_store::Target>;
    let names = ["app".to_owned()];
    let from = new::create(&image, target, &names, Expect::Any, &silent())
        .await
        .unwrap();
    fs::create_dir(at.join("rootfs")).unwrap();
    for file in files {
        let path = at.join("rootfs").join(file);
        match file.ends_with('/') {
            true => fs::create_dir_all(path).unwrap(),
            false => fs::write(path, "content").unwrap(),
        }
    }
    let bundle = Bundle {
        from,
        image: None,
        other_record: false,
        rootless: true,
        uid_map: Ranges::default(),
        gid_map: Ranges::default(),
    };
    fs::write(at.join(bundle::FILE), bundle.to_json().unwrap()).unwrap();
    let record = fs::File::create(at.join(bundle::RECORD)).unwrap();
    let rootfs = Root::open(&at.join("rootfs")).unwrap();
    unpack::remember(&rootfs, record, |_| true, &Default::default(), None, &Stop::default()).unwrap();
    store
}

async fn packed(store: &Arc<Memory>, at: &Path, options: Options) -> Result<Packed> {
    let repack = Repack::open(at, options)?;
    let (source, target) = (
        Arc::clone(store) as Arc<dyn Source>,
        Arc::clone(store) as Arc<dyn teu_store::Target>,
    );
    let pick = teu_spec::Pick::Name("app".to_owned());
    let names = ["new".to_owned()];
    change::into(
        source,
        &pick,
        target,
        &names,
        &repack,
        &change::Options::default(),
        &silent(),
    )
    .await?;
    Ok(repack.packed().await.unwrap())
}

async fn entries(store: &Arc<Memory>, layer: &Written) -> Vec<String> {
    use futures_util::TryStreamExt;
    let fetched = store
        .fetch(Role::Blob, &layer.digest, FetchOptions::default())
        .await
        .unwrap();
    let blob: Vec<bytes::Bytes> = fetched.reader.try_collect().await.unwrap();
    let blob = std::io::Cursor::new(blob.concat());
    let mut reader = Reader::new(Decoder::detect(blob, CodecLimits::default()).unwrap());
    let mut entries = Vec::new();
    while let Some(mut entry) = reader.next_entry().unwrap() {
        let header = entry.take_header();
        let link = match header.kind {
            EntryKind::HardLink => format!(" => {}", String::from_utf8_lossy(&header.link)),
            _ => String::new(),
        };
        entries.push(format!("{}{link}", String::from_utf8_lossy(&header.path)));
        while entry.next_chunk().unwrap().is_some() {}
    }
    entries
}

#[tokio::test]
async fn a_file_with_several_names_is_whole_in_one_layer() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let store = bundle(at, &["a/", "b/", "c/", "a/one", "b/beside", "b/other"]).await;
    let root = at.join("rootfs");
    // Names in two layers; the later one's own files stay where they are.
    fs::hard_link(root.join("a/one"), root.join("b/two")).unwrap();
    fs::write(root.join("b/beside"), "another").unwrap();
    // A name that is masked is none.
    fs::hard_link(root.join("b/other"), root.join("a/masked")).unwrap();
    // In a new directory.
    fs::create_dir(root.join("b/new")).unwrap();
    fs::hard_link(root.join("a/one"), root.join("b/new/three")).unwrap();
    fs::write(root.join("b/new/four"), "4").unwrap();
    let options = Options {
        layer_per: vec![b"b".to_vec()],
        masked: vec![b"a/masked".to_vec()],
        ..Options::default()
    };
    let packed = packed(&store, at, options).await.unwrap();
    let [lower, upper] = &packed.layers[..] else {
        panic!("{packed:?}");
    };
    assert_eq!(
        entries(&store, lower).await,
        ["a/", "a/one", "b/", "b/new/", "b/new/three => a/one", "b/two => a/one"]
    );
    assert_eq!(
        entries(&store, upper).await,
        ["b/", "b/beside", "b/new/", "b/new/four", "b/other"]
    );
}

#[tokio::test]
async fn what_is_kept_in_mind_has_a_limit_that_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let names: Vec<String> = (0..200).map(|number| format!("{number:0100}")).collect();
    let store = bundle(at, &names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    for name in &names {
        fs::remove_file(at.join("rootfs").join(name)).unwrap();
    }
    let limited = |memory_bytes| Options {
        limits: walk::Limits {
            memory_bytes,
            ..walk::Limits::default()
        },
        ..Options::default()
    };
    assert_eq!(packed(&store, at, limited(64 << 10)).await.unwrap().counts.removed, 200);
    let error = packed(&store, at, limited(16 << 10)).await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::TooLarge);
    assert!(error.to_string().contains("the limit memory_bytes of 16384"), "{error}");
}

#[tokio::test]
async fn another_image_is_not_packed_into() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let store = bundle(at, &["a"]).await;
    let mut bundle = Bundle::from_json(&fs::read(at.join(bundle::FILE)).unwrap()).unwrap();
    bundle.from = Descriptor::of(MediaType::OciManifest, b"another");
    fs::write(at.join(bundle::FILE), bundle.to_json().unwrap()).unwrap();
    let error = packed(&store, at, Options::default()).await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn what_is_stopped_packs_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let store = bundle(at, &["a"]).await;
    let options = Options::default();
    options.stop.request();
    let error = packed(&store, at, options).await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Cancelled);
}
