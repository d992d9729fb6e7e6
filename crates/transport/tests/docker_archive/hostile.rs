//! Is what an enemy packs refused, and what is large bounded?

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_stands_in_ten_thousand_layers_is_inflated_once() {
    let room = Room::new();
    let content = vec![0; 64 << 20];
    let digests = vec![format!("\"{}\"", Digest::of(&content)); 9_000].join(",");
    let config =
        format!(r#"{{"architecture":"amd64","os":"linux","rootfs":{{"type":"layers","diff_ids":[{digests}]}}}}"#);
    let layers = vec!["\"one\""; 9_000].join(",");
    let listing = format!(r#"[{{"Config":"config","RepoTags":["a:1"],"Layers":[{layers}]}}]"#);
    archive::write(
        &room.path("bomb"),
        &[
            ("manifest.json", listing.into()),
            ("config", config.into()),
            ("one", compressed(&content, Compression::Gzip)),
        ],
    );
    // 600 GB, were each of them inflated.
    let source = room.docker_archive("bomb").expect("an archive");
    let found = source.resolve(&Pick::Only).await.expect("resolved");
    let manifest = source.document(&found).await.expect("a manifest");
    assert_eq!(manifest.children().len(), 9_001);
    assert!(manifest.children()[1..].iter().all(|layer| layer.size == 64 << 20));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hostile_archive_is_refused() {
    let room = Room::new();
    let image = sample("victim");
    let config = image.blobs[0].to_vec();
    let layer = image.blobs[1].to_vec();
    let listing =
        |layers: &str| format!(r#"[{{"Config":"config","RepoTags":["a:1"],"Layers":{layers}}}]"#).into_bytes();
    let two = || listing(r#"["one","two"]"#);
    let cases: Vec<(&str, Members<'_>, ErrorKind, &str)> = vec![
        ("large", vec![("manifest.json", vec![b' '; 100 << 20])], ErrorKind::TooLarge, "more than the limit of"),
        ("layout", vec![("index.json", b"{}".to_vec())], ErrorKind::NotFound, "oci-archive:"),
        ("old", vec![("repositories", b"{}".to_vec())], ErrorKind::NotFound, "before 1.10"),
        ("none", vec![("a", Vec::new())], ErrorKind::NotFound, "no manifest.json"),
        ("empty", vec![("manifest.json", b"[]".to_vec())], ErrorKind::NotFound, "there is no image"),
        ("json", vec![("manifest.json", b"[{]".to_vec())], ErrorKind::Invalid, "manifest.json"),
        ("twice", vec![("manifest.json", two()), ("./manifest.json", two())], ErrorKind::Invalid, "two members"),
        ("config", vec![("manifest.json", two())], ErrorKind::Invalid, "names \"config\", which is not in the archive"),
        (
            "layer",
            vec![("manifest.json", two()), ("config", config.clone()), ("one", layer.clone())],
            ErrorKind::Invalid,
            "names \"two\", which is not in the archive",
        ),
        (
            "fewer",
            vec![("manifest.json", listing(r#"["one"]"#)), ("config", config.clone()), ("one", layer.clone())],
            ErrorKind::Invalid,
            "config",
        ),
        (
            "outside",
            vec![("manifest.json", listing(r#"["../one","/etc/passwd"]"#)), ("config", config.clone())],
            ErrorKind::Invalid,
            "names \"../one\", which is not in the archive",
        ),
        (
            "notjson",
            vec![("manifest.json", two()), ("config", b"no".to_vec()), ("one", layer.clone()), ("two", layer.clone())],
            ErrorKind::Invalid,
            "config",
        ),
        (
            "gzip",
            vec![
                ("manifest.json", two()),
                ("config", config.clone()),
                ("one", b"\x1f\x8b\x08 is no gzip at all".to_vec()),
                ("two", layer.clone()),
            ],
            ErrorKind::Invalid,
            "layer \"one\"",
        ),
        (
            "same",
            vec![("manifest.json", br#"[{"Config":"config","RepoTags":["a:1"],"Layers":[]},{"Config":"c","RepoTags":["docker.io/library/a:1"],"Layers":[]}]"#.to_vec())],
            ErrorKind::Invalid,
            "several images",
        ),
    ];
    for (name, members, kind, text) in cases {
        archive::write(&room.path(name), &members);
        let error = document(&format!("docker-archive:{}:a:1", room.text(name)))
            .await
            .expect_err(name);
        let error = if name == "empty" {
            document(&format!("docker-archive:{}", room.text(name)))
                .await
                .expect_err(name)
        } else {
            error
        };
        assert_eq!(error.kind(), &kind, "{name}: {error}");
        assert!(error.to_string().contains(text), "{name}: {error}");
    }
    // Legacy layers that are links to each other, and links that leave.
    for (name, first, second) in [
        ("loop", "../b/layer.tar", "../a/layer.tar"),
        ("out", "../../../etc/passwd", "../a/layer.tar"),
    ] {
        let mut writer = Writer::new(fs::File::create(room.path(name)).expect("a file"));
        let manifest = listing(r#"["a/layer.tar","b/layer.tar"]"#);
        writer
            .append_data(&Header::file("manifest.json", manifest.len() as u64), &manifest)
            .expect("a member");
        writer
            .append_data(&Header::file("config", config.len() as u64), &config)
            .expect("a member");
        writer.append(&Header::symlink("a/layer.tar", first)).expect("a link");
        writer.append(&Header::symlink("b/layer.tar", second)).expect("a link");
        writer.finish().expect("finished");
        let error = document(&format!("docker-archive:{}", room.text(name)))
            .await
            .expect_err(name);
        assert_eq!(error.kind(), &ErrorKind::Invalid, "{name}: {error}");
        assert!(error.to_string().contains("link"), "{name}: {error}");
    }
    // A layer that is not what the config says.
    let lie = vec![
        ("manifest.json", two()),
        ("config", config),
        ("one", layer.clone()),
        ("two", layer),
    ];
    archive::write(&room.path("lie"), &lie);
    let error = contents(&format!("docker-archive:{}", room.text("lie")), Options::default())
        .await
        .expect_err("a lie");
    assert_eq!(error.kind(), &ErrorKind::Mismatch, "{error}");
}

/// Few bytes that list one config of 4 MiB very often: what is absent is not looked for without end.
#[tokio::test(flavor = "multi_thread")]
async fn a_listing_that_explodes_is_bounded() {
    let room = Room::new();
    let config = format!(
        r#"{{"architecture":"amd64","os":"linux","author":"{}","rootfs":{{"type":"layers","diff_ids":[]}}}}"#,
        "x".repeat(4_000_000)
    );
    let item = r#"{"Config":"c","Layers":[]}"#;
    let listing = format!("[{}]", vec![item; 9_000].join(","));
    let members = [("c", config.into_bytes()), ("manifest.json", listing.into_bytes())];
    archive::write(&room.path("bomb"), &members);
    let source = room.docker_archive("bomb").expect("an archive");
    let found = source.resolve(&Pick::At(8_999)).await.expect("the last");
    source.document(&found).await.expect("read");
    let absent = Digest::of(b"absent");
    let error = source
        .stat(Role::Blob, &absent, Intent::Read)
        .await
        .expect_err("a search without end");
    assert_eq!(error.kind(), &ErrorKind::TooLarge, "{error}");
}
