//! `docker-archive:` shows every behaviour of a store that makes its manifests up; other tools read what we write and we what they write,
//! and what Docker wrote in its time; what is hostile is refused.
#![cfg(all(feature = "archives", feature = "remote"))]

mod support;

use std::{
    fs,
    io::{Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use bytes::Bytes;
use support::{
    peer::output,
    places::{copy, copy_with, document, here, skopeo},
};
use teu_archive::{
    codec::{Compression, Encoder},
    tar::{Header, Index, Limits, Writer},
};
use teu_spec::{Descriptor, Digest, Document, Format, Manifest, MediaType, Pick};
use teu_store::{
    BoxFuture, ErrorKind, Expect, FetchOptions, Intent, Result, Role, Source, SourceExt, Target,
    suite::{Can, Image, Place},
};
use teu_transport::{
    docker_archive::{DockerArchive, DockerArchiveWriter},
    layout::Layout,
    locate::Options,
};

struct Here(tempfile::TempDir);

impl Here {
    fn path(&self) -> PathBuf {
        self.0.path().join("image.tar")
    }
}

impl Place for Here {
    fn target(&self) -> BoxFuture<'_, Result<Arc<dyn Target>>> {
        Box::pin(async { Ok(Arc::new(DockerArchiveWriter::create(self.path(), None)?) as Arc<dyn Target>) })
    }

    fn source(&self) -> BoxFuture<'_, Result<Arc<dyn Source>>> {
        Box::pin(async { Ok(Arc::new(DockerArchive::open(self.path(), None)?) as Arc<dyn Source>) })
    }

    fn can(&self) -> Can {
        Can {
            reopen: false,
            keep_manifests: false,
            keep_all: false,
            tell_roles: false,
            compare: false,
            other_algorithms: false,
            ..Can::EVERYTHING
        }
    }

    /// Of the same size only: what lies behind it stays where it is.
    fn corrupt(&self, digest: &Digest, content: &[u8]) -> bool {
        let mut file = fs::File::options()
            .read(true)
            .write(true)
            .open(self.path())
            .expect("the archive");
        let index = Index::read(&file, Limits::default()).expect("an index");
        let name = format!("blobs/{}/{}", digest.algorithm(), digest.hex());
        let place = index
            .file(name.as_bytes())
            .expect("a file")
            .expect("the blob")
            .range()
            .expect("in one piece");
        if place.end - place.start != content.len() as u64 {
            return false;
        }
        file.seek(SeekFrom::Start(place.start)).expect("there");
        file.write_all(content).is_ok()
    }

    fn listed(&self, name: &str) -> String {
        format!("docker.io/library/{name}:latest")
    }

    fn litter(&self) -> Vec<String> {
        let names = fs::read_dir(self.0.path()).expect("a directory");
        let names = names.map(|entry| entry.expect("an entry").file_name().into_string().expect("a name"));
        names.filter(|name| name != "image.tar").collect()
    }
}

mod suite {
    use super::*;

    teu_store::store_suite!(|| Here(tempfile::tempdir().expect("a directory")));
}

/// An image and its names.
type Named<'a> = (&'a Image, &'a [&'a str]);

/// The members of an archive.
type Members<'a> = Vec<(&'a str, Vec<u8>)>;

struct Room(tempfile::TempDir);

impl Room {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a directory"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    fn open(&self, name: &str) -> Result<DockerArchive> {
        DockerArchive::open(self.path(name), Some(self.0.path().to_owned()))
    }
}

/// An image of Docker's form with plain layers.
fn sample(seed: &str) -> Image {
    let takes = teu_store::Takes {
        oci: false,
        ..teu_store::Takes::EVERYTHING
    };
    Image::small(takes, seed)
}

/// Writes an archive of these images.
async fn written(path: &Path, images: &[Named<'_>]) {
    let writer = DockerArchiveWriter::create(path, None).expect("a writer");
    for (image, names) in images {
        image.put(&writer, names).await.expect("put");
    }
    writer.finish().await.expect("finished");
}

/// Reads all of the image at a reference, checked, and gives the digests of config and layers.
async fn contents(reference: &str, options: Options) -> Result<Vec<Digest>> {
    let (source, pick) = support::places::locator().source(&reference.parse()?, options)?;
    let found = source.resolve(&pick).await?;
    let children = source.document(&found).await?.children();
    for child in &children {
        source.open(Role::Blob, child).await?.read_all(64 << 20).await?;
    }
    Ok(children.iter().map(|child| child.digest).collect())
}

fn digests(image: &Image) -> Vec<Digest> {
    image.blobs.iter().map(|blob| Digest::of(blob)).collect()
}

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

fn compressed(content: &[u8], compression: Compression) -> Vec<u8> {
    let mut encoder = Encoder::new(Vec::new(), compression, None).expect("an encoder");
    encoder.write_all(content).expect("written");
    encoder.finish().expect("finished")
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
    archive(&room.path("layers.tar"), &members);
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
    let source = room.open("layers.tar").expect("an archive");
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
    let source = room.open("ours.tar").expect("an archive");
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
        let page = room.open(name).expect("an archive");
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

/// Writes an archive of these members.
fn archive(path: &Path, members: &[(&str, Vec<u8>)]) {
    let mut writer = Writer::new(fs::File::create(path).expect("a file"));
    for (name, content) in members {
        writer
            .append_data(&Header::file(*name, content.len() as u64), content)
            .expect("a member");
    }
    writer.finish().expect("finished");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_stands_in_ten_thousand_layers_is_inflated_once() {
    let room = Room::new();
    let content = vec![0; 64 << 20];
    let digests = vec![format!("\"{}\"", Digest::of(&content)); 9_000].join(",");
    let config =
        format!(r#"{{"architecture":"amd64","os":"linux","rootfs":{{"type":"layers","diff_ids":[{digests}]}}}}"#);
    let layers = vec!["\"one\""; 9_000].join(",");
    let listing = format!(r#"[{{"Config":"config","RepoTags":["a:1"],"Layers":[{layers}]}}]"#);
    archive(
        &room.path("bomb"),
        &[
            ("manifest.json", listing.into()),
            ("config", config.into()),
            ("one", compressed(&content, Compression::Gzip)),
        ],
    );
    // 600 GB, were each of them inflated.
    let source = room.open("bomb").expect("an archive");
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
        archive(&room.path(name), &members);
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
    archive(&room.path("lie"), &lie);
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
    archive(&room.path("bomb"), &members);
    let source = room.open("bomb").expect("an archive");
    let found = source.resolve(&Pick::At(8_999)).await.expect("the last");
    source.document(&found).await.expect("read");
    let absent = Digest::of(b"absent");
    let error = source
        .stat(Role::Blob, &absent, Intent::Read)
        .await
        .expect_err("a search without end");
    assert_eq!(error.kind(), &ErrorKind::TooLarge, "{error}");
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
