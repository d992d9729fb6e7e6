//! Do other tools read what we write, and is what cannot be written refused?

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn skopeo_reads_what_we_write_and_we_read_what_it_writes() {
    if !here("docker-archive beside skopeo", "skopeo") {
        return;
    }
    let room = Room::new();
    let image = sample("one");
    written(&room.path("ours.tar"), &[(&image, &["example.com/one:v1", "two"])]).await;
    let ours = format!("docker-archive:{}", room.text("ours.tar"));
    let tags: serde_json::Value = serde_json::from_str(&skopeo(&["list-tags", &ours])).expect("JSON");
    let names = ["example.com/one:v1", "docker.io/library/two:latest"];
    assert_eq!(tags["Tags"], serde_json::json!(names));
    assert_eq!(
        skopeo(&["inspect", "--config", "--raw", &ours]).as_bytes(),
        image.blobs[0]
    );
    let layers: serde_json::Value = serde_json::from_str(&skopeo(&["inspect", &ours])).expect("JSON");
    let expected: Vec<String> = digests(&image)[1..].iter().map(Digest::to_string).collect();
    assert_eq!(layers["Layers"], serde_json::json!(expected));

    // Through skopeo into every place, and back from each.
    let (theirs, directory) = (room.text("theirs.tar"), room.text("directory"));
    skopeo(&[
        "copy",
        "-q",
        &format!("{ours}:example.com/one:v1"),
        &format!("docker-archive:{theirs}:three:v3"),
    ]);
    skopeo(&["copy", "-q", &format!("{ours}:two"), &format!("dir:{directory}")]);
    skopeo(&["copy", "-q", &ours, &format!("oci:{}:x", room.text("layout"))]);
    let theirs = format!("docker-archive:{theirs}");
    assert_eq!(
        contents(&theirs, Options::default()).await.expect("read"),
        digests(&image)
    );
    assert_eq!(
        contents(&format!("{theirs}:three:v3"), Options::default())
            .await
            .expect("read"),
        digests(&image)
    );
    assert_eq!(
        contents(&format!("dir:{directory}"), Options::default())
            .await
            .expect("read"),
        digests(&image)
    );
    // The manifest that is made up does not depend on who wrote the archive.
    let (one, other) = (
        document(&ours).await.expect("ours"),
        document(&theirs).await.expect("theirs"),
    );
    assert_eq!(one.raw(), other.raw());
    assert_eq!(one.media_type(), &MediaType::DockerManifest);
    assert_eq!(one.children()[1].media_type, MediaType::DockerLayer);

    // It is an image layout as well.
    let layout = format!("oci-archive:{}:example.com/one:v1", room.text("ours.tar"));
    assert_eq!(
        contents(&layout, Options::default()).await.expect("read"),
        digests(&image)
    );
    skopeo(&["copy", "-q", &layout, &format!("dir:{}", room.text("again"))]);
}

#[tokio::test(flavor = "multi_thread")]
async fn podman_loads_what_we_write_and_we_read_what_it_saves() {
    if !here("docker-archive beside podman", "podman") {
        return;
    }
    let room = Room::new();
    let storage = support::places::Storage::new(&room.path("storage"));
    let (one, two) = (sample("one"), sample("two"));
    let cases: [(&str, &[Named<'_>], &[&str]); 4] = [
        ("named", &[(&one, &["example.com/one:v1"])], &["example.com/one:v1"]),
        (
            "tags",
            &[(&one, &["example.com/a:1", "b:2"])],
            &["example.com/a:1", "docker.io/library/b:2"],
        ),
        (
            "many",
            &[(&one, &["x.example/one:1"]), (&two, &["x.example/two:2"])],
            &["x.example/one:1", "x.example/two:2"],
        ),
        ("unnamed", &[(&two, &[])], &[]),
    ];
    for (name, images, expected) in cases {
        let path = room.path(&format!("{name}.tar"));
        written(&path, images).await;
        let loaded = storage.podman(&["load", "-q", "-i", &path.display().to_string()]);
        for image in expected {
            assert!(loaded.contains(image), "{name}: {loaded}");
            let id = storage.podman(&["image", "inspect", "--format", "{{.Id}}", image]);
            let of = if image.contains("two") { &two } else { &one };
            assert_eq!(
                id.trim(),
                digests(of)[0].hex(),
                "{name}: the image's ID is the digest of its config"
            );
        }
    }
    let saved = room.text("saved.tar");
    storage.podman(&[
        "save",
        "-q",
        "-m",
        "--format",
        "docker-archive",
        "-o",
        &saved,
        "x.example/one:1",
        "x.example/two:2",
    ]);
    for (name, image) in [("x.example/one:1", &one), ("x.example/two:2", &two), ("@0", &one)] {
        let reference = format!("docker-archive:{saved}:{name}");
        assert_eq!(
            contents(&reference, Options::default()).await.expect(name),
            digests(image)
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_given_by_the_reference_and_beside_it() {
    let room = Room::new();
    let image = sample("one");
    written(&room.path("one.tar"), &[(&image, &[])]).await;
    let from = format!("docker-archive:{}", room.text("one.tar"));
    let options = || Options {
        additional_names: vec!["more".to_owned(), "example.com/x:2".to_owned()],
        ..Options::default()
    };
    let tags = async |name: &str| {
        let page = room.docker_archive(name).expect("an archive");
        let names = page.browse().expect("lists").names(None).await.expect("names");
        names
            .items
            .into_iter()
            .filter_map(|named| named.name)
            .collect::<Vec<_>>()
    };
    let to = |name: &str| format!("docker-archive:{}", room.text(name));
    copy_with(&from, &format!("{}:first", to("two.tar")), options(), &[])
        .await
        .expect("copied");
    assert_eq!(
        tags("two.tar").await,
        [
            "docker.io/library/first:latest",
            "docker.io/library/more:latest",
            "example.com/x:2"
        ]
    );
    copy_with(&from, &to("three.tar"), options(), &[])
        .await
        .expect("copied");
    assert_eq!(
        tags("three.tar").await,
        ["docker.io/library/more:latest", "example.com/x:2"]
    );
    // A name moves within an archive that is written; what has it is asked for.
    let writer = DockerArchiveWriter::create(room.path("moved.tar"), None).expect("a writer");
    let (one, two) = (sample("one"), sample("two"));
    one.put(&writer, &["a", "b"]).await.expect("put");
    two.put(&writer, &["a"]).await.expect("put");
    let absent = writer
        .put_manifest(&one.document, &one.digest, &["a".to_owned()], Expect::Absent)
        .await;
    assert_eq!(absent.expect_err("taken").kind(), &ErrorKind::Conflict);
    let wrong = writer
        .put_manifest(&one.document, &one.digest, &["Not A Name".to_owned()], Expect::Any)
        .await;
    assert_eq!(wrong.expect_err("no name").kind(), &ErrorKind::Invalid);
    writer.finish().await.expect("finished");
    assert_eq!(
        tags("moved.tar").await,
        ["docker.io/library/b:latest", "docker.io/library/a:latest"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_no_name_takes_the_place_of_what_has_none_either() {
    let room = Room::new();
    let [old, named, new] = ["old", "named", "new"].map(sample);
    // Another manifest of the same image.
    let again = [&old.document.raw()[..], b"\n"].concat();
    let again = Document::parse(again.into(), None).expect("a manifest");
    let listed = async |file: &str, is_new: bool| {
        let writer = DockerArchiveWriter::create(room.path(file), None).expect("a writer");
        let put = async |document: &Document, replaced: Digest| {
            let digest = Digest::of(document.raw());
            let put = writer.put_manifest(document, &digest, &[], Expect::Digest(replaced));
            put.await.map_err(|error| error.kind().clone())
        };
        old.put(&writer, &[]).await.expect("put");
        named.put(&writer, &["named"]).await.expect("put");
        put(&again, old.digest).await.expect("it is there");
        for gone in [old.digest, named.digest] {
            assert_eq!(put(&again, gone).await, Err(ErrorKind::Conflict));
        }
        if is_new {
            new.put(&writer, &[]).await.expect("put");
            put(&new.document, Digest::of(again.raw())).await.expect("it is there");
        }
        writer.finish().await.expect("finished");
        let source = room.docker_archive(file).expect("an archive");
        let page = source.browse().expect("it lists").names(None).await.expect("a page");
        page.items
            .into_iter()
            .filter_map(|listed| listed.name)
            .collect::<Vec<_>>()
    };
    let name = "docker.io/library/named:latest";
    assert_eq!(listed("again.tar", false).await, ["@0", name]);
    assert_eq!(listed("new.tar", true).await, [name, "@1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_there_is_not_added_to() {
    let room = Room::new();
    let image = sample("one");
    fs::write(room.path("new.tar"), "").expect("an empty file is no archive");
    written(&room.path("new.tar"), &[(&image, &["a"])]).await;
    let before = fs::read(room.path("new.tar")).expect("read");
    let error = DockerArchiveWriter::create(room.path("new.tar"), None)
        .err()
        .expect("there already");
    assert_eq!(error.kind(), &ErrorKind::Conflict, "{error}");
    assert_eq!(fs::read(room.path("new.tar")).expect("read"), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_docker_cannot_hold_is_refused_before_it_is_named() {
    let room = Room::new();
    let writer = DockerArchiveWriter::create(room.path("out.tar"), None).expect("a writer");
    let put = async |document: &Document| {
        let digest = Digest::of(document.raw());
        writer
            .put_manifest(document, &digest, &["x".to_owned()], Expect::Any)
            .await
            .expect_err("refused")
    };
    let oci = Image::small(teu_store::Takes::EVERYTHING, "oci");
    oci.put(&writer, &[]).await.expect_err("OCI's form");
    assert_eq!(put(&oci.document).await.kind(), &ErrorKind::Unsupported);
    let image = sample("lacking");
    assert_eq!(
        put(&image.document).await.kind(),
        &ErrorKind::MissingChildren(vec![digests(&image)[0], digests(&image)[2]])
    );
    // A compressed layer under its own digest.
    let gzip = Bytes::from(compressed(&image.blobs[2], Compression::Gzip));
    for blob in image.blobs.iter().chain([&gzip]) {
        let expected = teu_store::Expected::verified(&Descriptor::of(MediaType::DockerLayer, blob));
        support::push(&writer, expected, blob, 1000).await.expect("pushed");
    }
    let children = image.document.children();
    let layers = [children[1].clone(), Descriptor::of(MediaType::DockerLayerGzip, &gzip)];
    let document = Manifest::build(Format::Docker, &children[0], &layers).expect("a manifest");
    let error = put(&document).await;
    assert_eq!(error.kind(), &ErrorKind::Unsupported);
    assert!(error.to_string().contains("uncompressed"), "{error}");
    let fewer = Manifest::build(Format::Docker, &children[0], &children[1..2]).expect("a manifest");
    assert_eq!(put(&fewer).await.kind(), &ErrorKind::Invalid);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_layout_of_docker_form_goes_into_it_and_comes_back() {
    let room = Room::new();
    let layout = Layout::create(room.path("layout"), None).expect("a layout");
    let image = sample("one");
    image.put(&layout, &["one"]).await.expect("put");
    layout.finish().await.expect("finished");
    let archive = format!("docker-archive:{}:one:1", room.text("a.tar"));
    let from = format!("oci:{}:one", room.text("layout"));
    assert_eq!(copy(&from, &archive).await.expect("copied"), image.digest);
    let back = copy(&archive, &format!("oci:{}:back", room.text("layout")))
        .await
        .expect("copied");
    assert_eq!(back, image.digest, "the same digest, whatever it was in between");
    // From OCI's form the config and the layers stay, and the manifest becomes Docker's.
    let oci = Image::small(teu_store::Takes::EVERYTHING, "one");
    let layout = Layout::open(room.path("layout"), None).expect("a layout");
    oci.put(&layout, &["oci"]).await.expect("put");
    layout.finish().await.expect("finished");
    let from = format!("oci:{}:oci", room.text("layout"));
    let copied = copy(&from, &format!("docker-archive:{}", room.text("b.tar")))
        .await
        .expect("copied");
    assert_eq!(copied, image.digest);
}
