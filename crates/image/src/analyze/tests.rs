//! What is found in an image whose files are known.

use serde_json::json;
use teu_archive::{codec::Compression, tar::Header};
use teu_spec::{Descriptor, Document, ImageConfig, Manifest, MediaType};
use teu_store::Memory;

use super::*;
use crate::rigged::{insert, tar};

fn file(path: &str, content: &'static [u8]) -> (Header, &'static [u8]) {
    (Header::file(path, content.len() as u64), content)
}

fn manifest_of(text: &str) -> Manifest {
    match Document::parse(text.to_owned().into(), None).expect("a document") {
        Document::Manifest(manifest) => manifest,
        Document::Index(_) => panic!("an index"),
    }
}

/// Three layers: what is written again, what is removed, and what is seen by two names.
#[tokio::test(flavor = "multi_thread")]
async fn each_layer_is_told_of_with_what_nobody_sees_of_it() {
    let store = Memory::new();
    let mut link = Header::hard_link("./etc/other", "etc/kept");
    link.mode = 0o644;
    let layers = vec![
        insert(
            &store,
            0,
            &tar(&[
                file("./etc/again", b"0123456789"),
                file("etc/gone/a", b"01234"),
                // Where the names lead: to `etc/linked`, which is removed, and `etc/new`, which is written again.
                (Header::symlink("way", "etc"), b""),
                file("way/linked", b"01"),
                file("way/./new", b"0"),
                file("etc/kept", b"0123456"),
                (link, b""),
            ]),
            Compression::Gzip,
        ),
        insert(&store, 1, &tar(&[file("etc/again", b"012")]), Compression::None),
        insert(
            &store,
            2,
            &tar(&[
                file("etc/.wh.gone", b""),
                file("etc/.wh.linked", b""),
                file("etc/new", b""),
            ]),
            Compression::None,
        ),
    ];
    let config = json!({
        "architecture": "amd64",
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": layers.iter().map(|layer| layer.diff_id).collect::<Vec<_>>()},
        "history": [{"created_by": "one"}, {"created_by": "ENV", "empty_layer": true}, {"created_by": "two"}],
    })
    .to_string();
    let config_descriptor = Descriptor::of(MediaType::OciConfig, config.as_bytes());
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MediaType::OciManifest,
        "config": config_descriptor,
        "layers": layers.iter().map(|layer| &layer.descriptor).collect::<Vec<_>>(),
    })
    .to_string();
    let image = Image {
        descriptor: Descriptor::of(MediaType::OciManifest, manifest.as_bytes()),
        manifest: manifest_of(&manifest),
        config: ImageConfig::parse(config.into_bytes().into()).expect("a config"),
        layers,
    };
    let source: Arc<dyn Source> = Arc::new(store);
    let found = analyze(&source, &image, None, &Options::default())
        .await
        .expect("analyzed");

    assert_eq!(found.seen, Sum { files: 3, bytes: 10 });
    assert_eq!(found.hidden, Sum { files: 4, bytes: 18 });
    let tables = contents::of_all(&source, &image.layers, None, &contents::Options::default()).await;
    let tables = tables.expect("tables");
    let growth = Growth::of(&tables, &tree::Options::default()).expect("a growth");
    let told = seen_and_hidden(&growth).expect("told");
    assert_eq!(told, [found.seen, found.hidden]);
    let measured = Efficiency::of(&tables, &tree::Limits::default()).expect("measured");
    assert_eq!(measured, found.efficiency);
    let shares: Vec<_> = found
        .layers
        .iter()
        .map(|share| {
            let made_by = share.history.as_ref().map(|history| history.created_by.as_str());
            (
                made_by,
                share.entries,
                share.whiteouts,
                share.files.bytes,
                share.hidden.bytes,
            )
        })
        .collect();
    assert_eq!(
        shares,
        [
            (Some("one"), 7, 0, 25, 18),
            (Some("two"), 1, 0, 3, 0),
            (None, 3, 2, 0, 0)
        ]
    );
    let hidden: Vec<_> = found
        .hidden_files
        .iter()
        .map(|file| (&file.path[..], file.bytes, &file.layers[..], file.removed))
        .collect();
    assert_eq!(
        hidden,
        [
            (&b"etc/again"[..], 10, &[0][..], false),
            (b"etc/gone/a", 5, &[0], true),
            (b"etc/linked", 2, &[0], true),
            (b"etc/new", 1, &[0], false),
        ]
    );
    let largest: Vec<_> = found
        .largest
        .iter()
        .map(|file| (&file.path[..], file.bytes, file.layer))
        .collect();
    assert_eq!(
        largest,
        [(&b"etc/kept"[..], 7, 0), (b"etc/again", 3, 1), (b"etc/new", 0, 2)]
    );
    // `etc/again` stands in two layers with 13 bytes; the directory is removed with the 5 in it.
    assert_eq!((found.efficiency.wasted_bytes, found.efficiency.user_bytes), (13, 3));
}
