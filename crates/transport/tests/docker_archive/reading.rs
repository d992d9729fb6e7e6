//! Is all that Docker and others write read as what it is?

use super::*;

/// What `docker save` wrote in its time, by hand: this is the form of each, with the content of `image`.
fn docker_save(path: &Path, form: &str, image: &Image) {
    let mut writer = Writer::new(fs::File::create(path).expect("a file"));
    let hex: Vec<String> = digests(image).iter().map(Digest::hex).collect();
    let mut file = |name: &str, content: &[u8]| {
        writer
            .append_data(&Header::file(name, content.len() as u64), content)
            .expect("a member");
    };
    match form {
        // 1.10 to 24: a directory for each layer, and a link where a layer stands again.
        "legacy" => {
            for (n, layer) in image.blobs[1..].iter().enumerate() {
                file(&format!("{n}{n}/VERSION"), b"1.0");
                file(&format!("{n}{n}/json"), b"{}");
                if n < 2 {
                    file(&format!("{n}{n}/layer.tar"), layer);
                }
            }
            file(&format!("{}.json", hex[0]), &image.blobs[0]);
            let manifest = format!(
                r#"[{{"Config":"{}.json","RepoTags":["app:1"],"Layers":["00/layer.tar","11/layer.tar","22/layer.tar"]}}]"#,
                hex[0]
            );
            file("manifest.json", manifest.as_bytes());
            file("repositories", br#"{"app":{"1":"22"}}"#);
            writer
                .append(&Header::symlink("22/layer.tar", "../00/layer.tar"))
                .expect("a link");
        }
        // 25 and later: blobs of a layout, `manifest.json` beside `index.json`.
        _ => {
            for (hex, blob) in hex.iter().zip(&image.blobs).take(3) {
                file(&format!("blobs/sha256/{hex}"), blob);
            }
            file("index.json", br#"{"schemaVersion":2,"manifests":[]}"#);
            let manifest = format!(
                r#"[{{"Config":"blobs/sha256/{0}","RepoTags":["app:1"],"Layers":["blobs/sha256/{1}","blobs/sha256/{2}","blobs/sha256/{1}"],"LayerSources":{{"sha256:{1}":{{"mediaType":"application/vnd.oci.image.layer.v1.tar","size":2048,"digest":"sha256:{1}"}}}}}}]"#,
                hex[0], hex[1], hex[2]
            );
            file("manifest.json", manifest.as_bytes());
            file("oci-layout", br#"{"imageLayoutVersion": "1.0.0"}"#);
            file("repositories", br#"{"app":{"1":"22"}}"#);
        }
    }
    writer.finish().expect("finished");
}

/// An image whose first layer stands at the top again.
fn repeated() -> Image {
    let mut image = sample("one");
    let layers = [image.blobs[1].clone(), image.blobs[2].clone(), image.blobs[1].clone()];
    let takes = teu_store::Takes {
        oci: false,
        ..teu_store::Takes::EVERYTHING
    };
    image = Image::of(takes, "repeated", &layers);
    image
}

#[tokio::test(flavor = "multi_thread")]
async fn what_docker_saves_is_read_in_each_of_its_forms() {
    let room = Room::new();
    let image = repeated();
    let mut manifests = Vec::new();
    for form in ["legacy", "layout"] {
        docker_save(&room.path(form), form, &image);
        for name in ["", ":app:1", ":docker.io/library/app:1", ":@0"] {
            let reference = format!("docker-archive:{}{name}", room.text(form));
            assert_eq!(
                contents(&reference, Options::default()).await.expect(form),
                digests(&image)
            );
        }
        let found = document(&format!("docker-archive:{}", room.text(form)))
            .await
            .expect(form);
        // The config's bytes and the layers' are the same, so the manifest is that of Docker's form for them.
        assert_eq!(found.raw(), image.document.raw());
        manifests.push(Digest::of(found.raw()));
        if here("docker save's forms beside skopeo", "skopeo") {
            let config = skopeo(&[
                "inspect",
                "--config",
                "--raw",
                &format!("docker-archive:{}", room.text(form)),
            ]);
            assert_eq!(config.as_bytes(), image.blobs[0]);
        }
    }
    assert_eq!(manifests[0], manifests[1]);
    // And written anew, where a layer that stands twice lies once.
    let ours = room.path("ours.tar");
    let to = format!("docker-archive:{}:app:1", ours.display());
    let copied = copy(&format!("docker-archive:{}:app:1", room.text("legacy")), &to).await;
    assert_eq!(copied.expect("copied"), manifests[0]);
    let index = Index::read(fs::File::open(&ours).expect("open"), Limits::default()).expect("an index");
    let blobs = index
        .members()
        .iter()
        .filter(|member| member.header.path.starts_with(b"blobs/sha256/") && member.header.size > 0);
    assert_eq!(
        blobs.count(),
        2 + 1 + 1,
        "layers, config and the manifest of the layout"
    );
    let links: Vec<_> = index
        .members()
        .iter()
        .filter(|member| member.header.path.ends_with(b"/layer.tar"))
        .collect();
    assert_eq!(links.len(), 3);
    for link in links {
        let file = index.file(&link.header.path).expect("a link").expect("a layer");
        assert_eq!(file.header.size, 2048);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn compressed_layers_and_archives_and_pipes_are_read() {
    let room = Room::new();
    let image = sample("one");
    let names = ["config", "one", "two"];
    let listing = br#"[{"Config":"config","RepoTags":[],"Layers":["one","two"]}]"#;
    let mut members: Vec<(&str, Vec<u8>)> =
        vec![("manifest.json", listing.to_vec()), (names[0], image.blobs[0].to_vec())];
    members.push((names[1], compressed(&image.blobs[1], Compression::Gzip)));
    members.push((names[2], compressed(&image.blobs[2], Compression::Zstd)));
    archive::write(&room.path("layers.tar"), &members);
    let plain = fs::read(room.path("layers.tar")).expect("read");
    fs::write(room.path("all.tar.gz"), compressed(&plain, Compression::Gzip)).expect("written");
    fs::write(room.path("all.tar.zst"), compressed(&plain, Compression::Zstd)).expect("written");
    output(Command::new("mkfifo").arg(room.path("pipe")));
    let (pipe, content) = (room.path("pipe"), plain.clone());
    let writer = std::thread::spawn(move || fs::write(pipe, content).expect("written"));
    for name in ["layers.tar", "all.tar.gz", "all.tar.zst", "pipe"] {
        let temporary = Options {
            temporary: Some(room.0.path().to_owned()),
            ..Options::default()
        };
        let reference = format!("docker-archive:{}", room.text(name));
        assert_eq!(
            contents(&reference, temporary).await.expect(name),
            digests(&image),
            "{name}"
        );
    }
    writer.join().expect("written");
    let source = room.docker_archive("layers.tar").expect("an archive");
    let found = source.resolve(&Pick::Only).await.expect("resolved");
    assert_eq!(
        Digest::of(source.document(&found).await.expect("read").raw()),
        image.digest
    );
    let layer = &image.document.children()[1];
    let stat = source
        .stat(Role::Blob, &layer.digest, Intent::Read)
        .await
        .expect("a stat")
        .expect("a layer");
    assert_eq!(stat.size, layer.size, "uncompressed");
    // What is asked of it in part is given whole.
    let range = FetchOptions {
        range: Some(5..9),
        ..FetchOptions::default()
    };
    let fetched = source.fetch(Role::Blob, &layer.digest, range).await.expect("fetched");
    assert_eq!((fetched.start, fetched.size), (0, Some(layer.size)));
}

#[tokio::test(flavor = "multi_thread")]
async fn images_are_listed_in_order_and_found_by_name_and_place() {
    let room = Room::new();
    let (one, two, three) = (sample("one"), sample("two"), sample("three"));
    let images: [Named<'_>; 3] = [(&one, &["a:1", "b:1"]), (&two, &[]), (&three, &["example.com/c:1"])];
    written(&room.path("ours.tar"), &images).await;
    let source = room.docker_archive("ours.tar").expect("an archive");
    let names = source.browse().expect("lists").names(None).await.expect("names").items;
    let names: Vec<String> = names.into_iter().filter_map(|named| named.name).collect();
    assert_eq!(
        names,
        [
            "docker.io/library/a:1",
            "docker.io/library/b:1",
            "@1",
            "example.com/c:1"
        ]
    );
    let base = format!("docker-archive:{}", room.text("ours.tar"));
    if here("list-tags beside skopeo", "skopeo") {
        let tags: serde_json::Value = serde_json::from_str(&skopeo(&["list-tags", &base])).expect("JSON");
        assert_eq!(tags["Tags"], serde_json::json!(names));
    }
    for (which, image) in [
        (":a:1", &one),
        (":b:1", &one),
        (":@0", &one),
        (":@1", &two),
        (":@2", &three),
        (":example.com/c:1", &three),
    ] {
        assert_eq!(
            contents(&format!("{base}{which}"), Options::default())
                .await
                .expect(which),
            digests(image)
        );
    }
    let by_digest = source.resolve(&Pick::Digest(two.digest)).await.expect("by its digest");
    assert_eq!(by_digest.digest, two.digest);
    for (which, text) in [
        (
            "",
            "name one of them: docker.io/library/a:1, docker.io/library/b:1 (@0), @1, example.com/c:1 (@2)",
        ),
        (":@3", "which has 3"),
        (":c:1", "there is no image \"docker.io/library/c:1\""),
    ] {
        let error = document(&format!("{base}{which}")).await.expect_err(which);
        assert!(error.to_string().contains(text), "{which}: {error}");
    }
}
