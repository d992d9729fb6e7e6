//! `oci-archive:` shows every behaviour of a store that is written once; other tools read what we write and we what they write; what is
//! hostile is refused.
#![cfg(all(feature = "archives", feature = "remote"))]

use std::{
    fs,
    io::{Read, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
};

use crate::archive;
use crate::support::{
    self,
    peer::output,
    places::{copy, copy_with, document, here, image, index, skopeo, skopeo_digest},
};
use bytes::Bytes;
use teu_archive::{
    codec::{Compression, Encoder},
    tar::{Header, Index, Limits, Writer},
};
use teu_spec::{Descriptor, Digest, MediaType, Pick, json};
use teu_store::{
    BoxFuture, Error, ErrorKind, Expected, FetchOptions, Ingest, Result, Role, Source, SourceExt, Target,
    suite::{Can, Image, Place},
};
use teu_transport::{
    layout::Layout,
    locate::Options,
    oci_archive::{OciArchive, OciArchiveWriter},
};

struct Here(tempfile::TempDir);

impl Here {
    fn path(&self) -> PathBuf {
        self.0.path().join("image.tar")
    }
}

impl Place for Here {
    fn target(&self) -> BoxFuture<'_, Result<Arc<dyn Target>>> {
        Box::pin(async { Ok(Arc::new(OciArchiveWriter::create(self.path(), None)?) as Arc<dyn Target>) })
    }

    fn source(&self) -> BoxFuture<'_, Result<Arc<dyn Source>>> {
        Box::pin(async { Ok(Arc::new(OciArchive::open(self.path(), None)?) as Arc<dyn Source>) })
    }

    fn can(&self) -> Can {
        Can {
            reopen: false,
            tell_roles: false,
            ..Can::EVERYTHING
        }
    }

    fn corrupt(&self, digest: &Digest, content: &[u8]) -> bool {
        archive::corrupt(&self.path(), digest, content)
    }

    fn litter(&self) -> Vec<String> {
        archive::litter(self.0.path())
    }
}

mod suite {
    use super::*;

    teu_store::store_suite!(|| Here(tempfile::tempdir().expect("a directory")));
}

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

    /// Opens an archive; what has to be copied first goes to this room.
    fn open(&self, name: &str) -> Result<OciArchive> {
        OciArchive::open(self.path(name), Some(self.0.path().to_owned()))
    }

    /// What is in the room.
    fn names(&self) -> Vec<String> {
        let names = fs::read_dir(self.0.path()).expect("a directory");
        let mut names: Vec<String> = names
            .map(|entry| entry.expect("an entry").file_name().into_string().expect("a name"))
            .collect();
        names.sort();
        names
    }
}

/// Checks all digests below what a reference leads to, by copying it into a layout.
async fn checked(room: &Room, reference: &str, options: Options) -> Result<Digest> {
    let into = tempfile::tempdir_in(room.0.path()).expect("a directory");
    let locator = support::places::locator();
    let (source, pick) = locator.source(&reference.parse()?, options)?;
    let target = Arc::new(Layout::create(into.path().join("layout"), None)?);
    let all = teu_store::copy::Options {
        which: teu_store::copy::Which::All,
        ..Default::default()
    };
    let copied = teu_store::copy::copy(
        source,
        &pick,
        target.clone(),
        &["x".to_owned()],
        &all,
        &teu_store::silent(),
    )
    .await?;
    target.finish().await?;
    Ok(copied.descriptor.digest)
}

#[tokio::test(flavor = "multi_thread")]
async fn skopeo_reads_what_we_write_and_we_read_what_it_writes() {
    if !here("oci-archive beside skopeo", "skopeo") {
        return;
    }
    let room = Room::new();
    let one = image(&room.path("layout"), "one", &["one"]).await.digest;
    let all = index(&room.path("layout"), "all").await;
    for (name, digest) in [("one", one), ("all", all)] {
        let from = format!("oci:{}:{name}", room.text("layout"));
        let ours = format!("oci-archive:{}:{name}", room.text("ours.tar"));
        let theirs = format!("oci-archive:{}:{name}", room.text("theirs.tar"));
        assert_eq!(copy(&from, &ours).await.expect("copied"), digest);
        skopeo(&["copy", "-q", "--all", "--preserve-digests", &from, &theirs]);
        assert_eq!(skopeo_digest(&ours), digest);
        assert_eq!(
            checked(&room, &theirs, Options::default()).await.expect("copied"),
            digest
        );
        for (place, to) in [("dir", "dir"), ("oci", "oci"), ("oci-archive", "again.tar")] {
            let to = format!("{place}:{}", room.text(&format!("{to}-{name}")));
            skopeo(&["copy", "-q", "--all", "--preserve-digests", &ours, &to]);
            assert_eq!(skopeo_digest(&to), digest, "{to}");
        }
    }
    // Without a name, as skopeo does it, over what was there.
    let unnamed = format!("oci-archive:{}", room.text("ours.tar"));
    let from = format!("oci:{}:one", room.text("layout"));
    assert_eq!(copy(&from, &unnamed).await.expect("copied"), one);
    assert_eq!(skopeo_digest(&unnamed), one);
    assert_eq!(Digest::of(document(&unnamed).await.expect("read").raw()), one);
}

#[tokio::test(flavor = "multi_thread")]
async fn umoci_unpacks_what_tar_makes_of_what_we_write() {
    if !here("oci-archive beside umoci", "umoci") {
        return;
    }
    let room = Room::new();
    image(&room.path("layout"), "one", &["one"]).await;
    let from = format!("oci:{}:one", room.text("layout"));
    copy(&from, &format!("oci-archive:{}:one", room.text("ours.tar")))
        .await
        .expect("copied");
    fs::create_dir(room.path("unpacked")).expect("a directory");
    output(
        Command::new("tar")
            .arg("-xf")
            .arg(room.path("ours.tar"))
            .arg("-C")
            .arg(room.path("unpacked")),
    );
    let listed = output(
        Command::new("umoci")
            .args(["ls", "--layout"])
            .arg(room.path("unpacked")),
    );
    assert_eq!(String::from_utf8_lossy(&listed), "one\n");
    let image = format!("{}:one", room.text("unpacked"));
    output(
        Command::new("umoci")
            .args(["unpack", "--rootless", "--image", &image])
            .arg(room.path("bundle")),
    );
    assert_eq!(fs::read(room.path("bundle/rootfs/one")).expect("a file"), b"one");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_other_tools_do_is_read() {
    if !here("oci-archive of tar and umoci", "umoci") {
        return;
    }
    let room = Room::new();
    // What umoci makes, packed by GNU tar in its own order, with its `./` and in each of its formats.
    let layout = room.text("made");
    fs::write(room.path("file"), "content").expect("written");
    let layer = output(Command::new("tar").args(["-C", &room.text(""), "-cf", "-", "file"]));
    fs::write(room.path("layer.tar"), layer).expect("written");
    output(Command::new("umoci").args(["init", "--layout", &layout]));
    output(Command::new("umoci").args(["new", "--image", &format!("{layout}:v1")]));
    output(
        Command::new("umoci")
            .args(["raw", "add-layer", "--image", &format!("{layout}:v1")])
            .arg(room.path("layer.tar")),
    );
    let digest = Digest::of(document(&format!("oci:{layout}:v1")).await.expect("a manifest").raw());
    for format in ["gnu", "pax", "ustar"] {
        for compress in ["--no-auto-compress", "--gzip", "--zstd"] {
            let name = format!("{format}{compress}.tar");
            output(
                Command::new("tar")
                    .args(["-C", &layout, &format!("--format={format}"), compress, "-cf"])
                    .arg(room.path(&name))
                    .arg("."),
            );
            let before = room.names();
            let reference = format!("oci-archive:{}:v1", room.text(&name));
            let temporary = Options {
                temporary: Some(room.0.path().to_owned()),
                ..Options::default()
            };
            assert_eq!(checked(&room, &reference, temporary).await.expect(&name), digest);
            assert_eq!(room.names(), before, "what was inflated has no name");
            // A plain archive touches no other file, so it needs no place for one.
            let without = checked(&room, &reference, Options::default()).await;
            match compress {
                "--no-auto-compress" => assert_eq!(without.expect(&name), digest),
                _ => assert_eq!(without.expect_err(&name).kind(), &ErrorKind::Unsupported),
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn buildah_and_podman_write_what_we_read_and_podman_loads_what_we_write() {
    let test = "oci-archive beside buildah and podman";
    if !here(test, "buildah") || !here(test, "podman") {
        return;
    }
    let room = Room::new();
    let storage = support::places::Storage::new(&room.path("storage"));
    let one = image(&room.path("layout"), "one", &["one"]).await.digest;
    let ours = room.text("ours.tar");
    let from = format!("oci:{}:one", room.text("layout"));
    copy(&from, &format!("oci-archive:{ours}:localhost/ours:v1"))
        .await
        .expect("copied");
    let loaded = storage.podman(&["load", "-q", "-i", &ours]);
    assert!(loaded.contains("localhost/ours:v1"), "{loaded}");
    let found = storage.podman(&["image", "inspect", "--format", "{{.Digest}}", "localhost/ours:v1"]);
    assert_eq!(found.trim(), one.to_string());
    let saved = room.text("saved.tar");
    storage.podman(&[
        "save",
        "-q",
        "--format",
        "oci-archive",
        "-o",
        &saved,
        "localhost/ours:v1",
    ]);
    let podman = checked(&room, &format!("oci-archive:{saved}"), Options::default())
        .await
        .expect("podman's");
    let raw = skopeo_digest(&format!("oci-archive:{saved}"));
    assert_eq!(podman, raw);
    let pushed = room.text("pushed.tar");
    storage.buildah(&["push", "-q", "localhost/ours:v1", &format!("oci-archive:{pushed}:v2")]);
    let buildah = checked(&room, &format!("oci-archive:{pushed}:v2"), Options::default())
        .await
        .expect("buildah's");
    assert_eq!(buildah, skopeo_digest(&format!("oci-archive:{pushed}:v2")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipe_is_read_and_written() {
    let room = Room::new();
    let one = image(&room.path("layout"), "one", &["one"]).await.digest;
    let from = format!("oci:{}:one", room.text("layout"));
    output(Command::new("mkfifo").arg(room.path("pipe.tar")));
    let (path, into) = (room.path("pipe.tar"), room.path("through.tar"));
    let reader = std::thread::spawn(move || {
        let mut all = Vec::new();
        fs::File::open(path)
            .expect("a pipe")
            .read_to_end(&mut all)
            .expect("read");
        fs::write(into, all).expect("written");
    });
    let pipe = format!("oci-archive:{}:one", room.text("pipe.tar"));
    assert_eq!(copy(&from, &pipe).await.expect("written"), one);
    reader.join().expect("read");
    let through = format!("oci-archive:{}:one", room.text("through.tar"));
    assert_eq!(checked(&room, &through, Options::default()).await.expect("whole"), one);

    let (path, all) = (room.path("pipe.tar"), fs::read(room.path("through.tar")).expect("read"));
    let writer = std::thread::spawn(move || fs::write(path, all).expect("written"));
    let temporary = Options {
        temporary: Some(room.0.path().to_owned()),
        ..Options::default()
    };
    assert_eq!(checked(&room, &pipe, temporary).await.expect("read"), one);
    writer.join().expect("written");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unfinished_archive_takes_no_place_and_a_finished_one_does_at_once() {
    let room = Room::new();
    image(&room.path("layout"), "one", &["one"]).await;
    let from = format!("oci:{}:one", room.text("layout"));
    let to = format!("oci-archive:{}:one", room.text("image.tar"));
    copy(&from, &to).await.expect("copied");
    let before = fs::read(room.path("image.tar")).expect("read");
    let writer = OciArchiveWriter::create(room.path("image.tar"), None).expect("a writer");
    Image::small(writer.takes(), "other")
        .put(&writer, &["other"])
        .await
        .expect("put");
    assert_eq!(
        fs::read(room.path("image.tar")).expect("read"),
        before,
        "not before it is finished"
    );
    drop(writer);
    assert_eq!(fs::read(room.path("image.tar")).expect("read"), before);
    assert_eq!(room.names(), ["image.tar", "layout"], "nothing is left");
    // The same image gives the same archive, and a link to it stays a link.
    std::os::unix::fs::symlink("image.tar", room.path("link.tar")).expect("a link");
    copy(&from, &format!("oci-archive:{}:one", room.text("link.tar")))
        .await
        .expect("copied");
    assert!(
        fs::symlink_metadata(room.path("link.tar"))
            .expect("a link")
            .is_symlink()
    );
    let index = |path: &Path| {
        let file = fs::File::open(path).expect("an archive");
        let index = Index::read(&file, Limits::default()).expect("an index");
        let mut names: Vec<_> = index
            .members()
            .iter()
            .map(|member| member.header.path.clone())
            .collect();
        assert_eq!(
            names[names.len() - 2..],
            [b"index.json".to_vec(), b"oci-layout".to_vec()]
        );
        names.sort();
        names
    };
    let after = index(&room.path("image.tar"));
    assert_eq!(after.len(), 2 + 4 + 2, "directories, blobs and what lists them");
}

/// Side by side and in any order: straight, waiting, unknown in size, wrong, and broken off in the middle.
#[tokio::test(flavor = "multi_thread")]
async fn blobs_come_side_by_side_and_what_is_broken_off_leaves_no_trace() {
    let room = Room::new();
    let writer = OciArchiveWriter::create(room.path("image.tar"), None).expect("a writer");
    let contents: Vec<Bytes> = (0..40).map(|n| support::content(200_000 + n)).collect();
    let described = |content: &Bytes| Descriptor::of(MediaType::OciLayer, content);
    // One is begun first and ended last; another is broken off in the middle.
    let mut first: Box<dyn Ingest> = writer
        .ingest(Expected::verified(&described(&contents[0])))
        .await
        .expect("begun");
    first.write(contents[0].slice(..100_000)).await.expect("written");
    for content in &contents[1..14] {
        // One after the other, though the first has the archive: none waits for it.
        support::push(&writer, Expected::verified(&described(content)), content, 50_000)
            .await
            .expect("pushed");
    }
    first.write(contents[0].slice(100_000..)).await.expect("written");
    first.commit(None).await.expect("committed");
    let broken = support::content(300_000);
    let mut ingest = writer
        .ingest(Expected::verified(&described(&broken)))
        .await
        .expect("begun");
    ingest.write(broken.slice(..290_000)).await.expect("written");
    ingest.abort().await.expect("aborted");
    let pushes = contents[14..].iter().enumerate().map(|(n, content)| {
        let expected = match n % 3 {
            0 => Expected::verified(&described(content)),
            1 => Expected::default(),
            _ => Expected {
                verified: false,
                ..Expected::verified(&described(content))
            },
        };
        support::push(&writer, expected, content, 30_000)
    });
    for pushed in futures_util::future::join_all(pushes).await {
        pushed.expect("pushed");
    }
    writer.finish().await.expect("finished");
    let archive = OciArchive::open(room.path("image.tar"), None).expect("an archive");
    for content in &contents {
        let blob = archive.open(Role::Blob, &described(content)).await.expect("a blob");
        assert_eq!(blob.read_all(content.len() as u64).await.expect("read"), content);
    }
    let file = fs::File::open(room.path("image.tar")).expect("an archive");
    let index = Index::read(&file, Limits::default()).expect("an index");
    assert_eq!(
        index.members().len(),
        2 + contents.len() + 2,
        "each once and nothing else"
    );
    let late = writer.ingest(Expected::default()).await.expect("begun");
    late.commit(None).await.expect_err("the archive is finished");
}

/// A pipe cannot be taken back: what was broken off in it ends the archive, and is never finished as if it were whole.
#[tokio::test(flavor = "multi_thread")]
async fn what_breaks_off_in_a_pipe_is_no_archive() {
    let room = Room::new();
    output(Command::new("mkfifo").arg(room.path("pipe")));
    let path = room.path("pipe");
    let reader = std::thread::spawn(move || {
        let mut all = Vec::new();
        fs::File::open(path)
            .expect("a pipe")
            .read_to_end(&mut all)
            .expect("read");
        all
    });
    let writer = OciArchiveWriter::create(room.path("pipe"), Some(room.0.path().to_owned())).expect("a writer");
    // What nobody has verified waits until it is, and does no harm.
    let lie = Expected {
        digest: Some(Digest::of(b"something else")),
        size: Some(100_000),
        ..Expected::default()
    };
    let error = support::push(&writer, lie, &support::content(100_000), 1000)
        .await
        .expect_err("a lie");
    assert_eq!(error.kind(), &ErrorKind::Mismatch, "{error}");
    Image::small(writer.takes(), "one")
        .put(&writer, &["one"])
        .await
        .expect("put");
    let content = support::content(300_000);
    let expected = Expected::verified(&Descriptor::of(MediaType::OciLayer, &content));
    let mut ingest = writer.ingest(expected).await.expect("begun");
    ingest.write(content.slice(..290_000)).await.expect("written");
    ingest.abort().await.expect("aborted");
    let error = writer.finish().await.expect_err("broken off");
    assert!(error.to_string().contains("broken off in the middle"), "{error}");
    drop(writer);
    fs::write(room.path("cut.tar"), reader.join().expect("read")).expect("written");
    let error = refused(&room, "cut.tar");
    assert!(
        matches!(error.kind(), ErrorKind::Invalid | ErrorKind::NotFound),
        "{error}"
    );
}

/// GNU tar leaves holes out, and links what it has met before.
#[tokio::test(flavor = "multi_thread")]
async fn sparse_files_and_links_are_read_as_what_they_are() {
    let room = Room::new();
    let mut content = vec![0_u8; 3 << 20];
    content[1 << 20..(1 << 20) + 5000].fill(7);
    let content = Bytes::from(content);
    let layout = Layout::create(room.path("layout"), None).expect("a layout");
    let image = Image::of(layout.takes(), "sparse", std::slice::from_ref(&content));
    image.put(&layout, &["one"]).await.expect("put");
    layout.finish().await.expect("finished");
    let digest = Digest::of(&content);
    let blob = room.path("layout/blobs/sha256").join(digest.hex());
    let holes = fs::File::create(&blob).expect("a file");
    holes.set_len(content.len() as u64).expect("a hole");
    std::os::unix::fs::FileExt::write_all_at(&holes, &content[1 << 20..(1 << 20) + 5000], 1 << 20).expect("written");
    drop(holes);
    // The link stands before the blob, so that it is the blob that becomes a link.
    fs::hard_link(&blob, room.path("layout/a")).expect("a link");
    let pack = |name: &str, files: &[&str], more: &[&str]| {
        let path = room.path(name);
        let mut tar = Command::new("tar");
        tar.args(["-C", &room.text("layout")])
            .args(more)
            .arg("-cf")
            .arg(path)
            .args(files);
        output(&mut tar);
    };
    let all = ["a", "index.json", "oci-layout", "blobs"];
    for (name, more) in [("gnu", &["-S"][..]), ("pax", &["-S", "--format=pax"]), ("links", &[])] {
        pack(name, &all, more);
        let whole = checked(
            &room,
            &format!("oci-archive:{}:one", room.text(name)),
            Options::default(),
        )
        .await;
        assert_eq!(whole.expect(name), image.digest, "{name}");
        let source = room.open(name).expect("an archive");
        for range in [0..10, (1 << 20) - 5..(1 << 20) + 5, (3 << 20) - 1..3 << 20] {
            let options = FetchOptions {
                range: Some(range.clone()),
                ..FetchOptions::default()
            };
            let mut fetched = source.fetch(Role::Blob, &digest, options).await.expect("fetched");
            assert_eq!(fetched.start, range.start);
            let mut bytes = Vec::new();
            while let Some(chunk) = futures_util::StreamExt::next(&mut fetched.reader).await {
                bytes.extend_from_slice(&chunk.expect("a chunk"));
            }
            assert_eq!(
                bytes,
                content[range.start as usize..range.end as usize],
                "{name}, {range:?}"
            );
        }
    }
    assert!(
        fs::metadata(room.path("gnu")).expect("an archive").len() < 1 << 20,
        "it has holes"
    );
}

/// Writes an archive of these members.
fn archive(path: &Path, members: &[(&str, &[u8])]) {
    let mut writer = Writer::new(fs::File::create(path).expect("a file"));
    for (name, content) in members {
        writer
            .append_data(&Header::file(*name, content.len() as u64), content)
            .expect("a member");
    }
    writer.finish().expect("finished");
}

const INDEX: &[u8] = br#"{"schemaVersion":2,"manifests":[]}"#;

fn refused(room: &Room, name: &str) -> Error {
    room.open(name).err().unwrap_or_else(|| panic!("{name} was read"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hostile_archive_is_refused() {
    let room = Room::new();
    let path = |name: &str| room.path(name);
    archive(&path("twice"), &[("index.json", INDEX), ("./index.json", INDEX)]);
    archive(&path("outside"), &[("../index.json", INDEX)]);
    archive(
        &path("marker"),
        &[
            ("index.json", INDEX),
            ("oci-layout", br#"{"imageLayoutVersion":"2.0.0"}"#),
        ],
    );
    archive(&path("large"), &[("index.json", &vec![b' '; 100 << 20])]);
    archive(&path("docker"), &[("manifest.json", b"[]")]);
    archive(&path("empty"), &[]);
    fs::write(path("text"), "this is no archive at all\n".repeat(100)).expect("written");
    fs::write(path("nothing"), "").expect("written");
    let mut links = Writer::new(fs::File::create(path("loop")).expect("a file"));
    links.append(&Header::symlink("index.json", "a")).expect("a link");
    links.append(&Header::symlink("a", "index.json")).expect("a link");
    links.finish().expect("finished");
    let mut links = Writer::new(fs::File::create(path("link")).expect("a file"));
    links
        .append(&Header::symlink("index.json", "/etc/passwd"))
        .expect("a link");
    links.finish().expect("finished");
    for (name, kind, text) in [
        ("twice", ErrorKind::Invalid, "two members of the name \"index.json\""),
        ("outside", ErrorKind::NotFound, "it has no index.json"),
        ("marker", ErrorKind::Unsupported, "image layout version \"2.0.0\""),
        ("large", ErrorKind::TooLarge, "more than the limit of"),
        ("docker", ErrorKind::NotFound, "docker-archive:"),
        ("empty", ErrorKind::NotFound, "it has no index.json"),
        ("nothing", ErrorKind::NotFound, "it has no index.json"),
        ("text", ErrorKind::Invalid, "tar"),
        ("loop", ErrorKind::Invalid, "links"),
        ("link", ErrorKind::Invalid, "link"),
        ("absent", ErrorKind::NotFound, "absent"),
    ] {
        let error = refused(&room, name);
        assert_eq!(error.kind(), &kind, "{name}: {error}");
        assert!(error.to_string().contains(text), "{name}: {error}");
    }
    assert_eq!(refused(&room, "").kind(), &ErrorKind::Invalid, "a directory");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_cut_short_or_lies_ends_in_an_error() {
    let room = Room::new();
    image(&room.path("layout"), "one", &["one"]).await;
    let from = format!("oci:{}:one", room.text("layout"));
    copy(&from, &format!("oci-archive:{}:one", room.text("whole.tar")))
        .await
        .expect("copied");
    let whole = fs::read(room.path("whole.tar")).expect("read");
    let reference = format!("oci-archive:{}:one", room.text("cut.tar"));
    for end in (0..whole.len() - 1024).step_by(509) {
        fs::write(room.path("cut.tar"), &whole[..end]).expect("written");
        let error = checked(&room, &reference, Options::default())
            .await
            .expect_err("cut short");
        assert!(
            matches!(error.kind(), ErrorKind::Invalid | ErrorKind::NotFound),
            "{end}: {error}"
        );
    }
    // Compressed archives that end early, or hold a bomb.
    let mut encoder = Encoder::new(Vec::new(), Compression::Gzip, None).expect("an encoder");
    encoder.write_all(&whole).expect("written");
    let gzip = encoder.finish().expect("finished");
    fs::write(room.path("cut.tar"), &gzip[..gzip.len() - 9]).expect("written");
    assert_eq!(refused(&room, "cut.tar").kind(), &ErrorKind::Invalid);
    // A blob of another size or content than its descriptor says.
    let archive = OciArchive::open(room.path("whole.tar"), None).expect("an archive");
    let found = archive.resolve(&Pick::Only).await.expect("resolved");
    let layer = archive
        .document(&found)
        .await
        .expect("a manifest")
        .children()
        .pop()
        .expect("a layer");
    let mut other = layer.clone();
    other.size += 1;
    assert_eq!(
        archive.open(Role::Blob, &other).await.err().expect("a lie").kind(),
        &ErrorKind::Mismatch
    );
    // An archive that becomes shorter while it is read.
    let fetched = archive
        .fetch(Role::Blob, &layer.digest, FetchOptions::default())
        .await
        .expect("fetched");
    fs::File::options()
        .write(true)
        .open(room.path("whole.tar"))
        .expect("open")
        .set_len(1024)
        .expect("cut");
    let read = teu_store::Verified::new(layer.clone(), fetched.reader)
        .read_all(json::MAX_DOCUMENT)
        .await;
    assert_eq!(read.expect_err("cut").kind(), &ErrorKind::Invalid);
}

/// An index that names two indexes, each of which names two, and so on: few bytes, and 2^30 ways to the bottom.
#[tokio::test(flavor = "multi_thread")]
async fn a_graph_that_explodes_is_walked_once() {
    let room = Room::new();
    let mut blobs: Vec<Vec<u8>> = Vec::new();
    let mut below = INDEX.to_vec();
    for _ in 0..30 {
        let digest = Digest::of(&below);
        let entry = format!(
            r#"{{"mediaType":"application/vnd.oci.image.index.v1+json","digest":"{digest}","size":{}}}"#,
            below.len()
        );
        blobs.push(std::mem::replace(
            &mut below,
            format!(r#"{{"schemaVersion":2,"manifests":[{entry},{entry}]}}"#).into_bytes(),
        ));
    }
    let names: Vec<String> = blobs
        .iter()
        .map(|blob| format!("blobs/sha256/{}", Digest::of(blob).hex()))
        .collect();
    let mut members: Vec<(&str, &[u8])> = names
        .iter()
        .map(String::as_str)
        .zip(blobs.iter().map(Vec::as_slice))
        .collect();
    members.push(("index.json", &below));
    archive(&room.path("bomb.tar"), &members);
    let error = copy(
        &format!("oci-archive:{}:@0", room.text("bomb.tar")),
        &format!("oci:{}", room.text("out")),
    )
    .await;
    let error = error.expect_err("a bomb");
    assert_eq!(error.kind(), &ErrorKind::TooLarge, "{error}");
    assert!(error.to_string().contains("depth"), "{error}");
    // And nothing that lists goes round in it.
    let bomb = room.open("bomb.tar").expect("an archive");
    let referrers = bomb.browse().expect("lists").referrers(&Digest::of(b"x"), None).await;
    assert_eq!(referrers.expect("none"), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn several_names_are_listed_and_one_of_them_can_be_asked_for() {
    let room = Room::new();
    let writer = OciArchiveWriter::create(room.path("image.tar"), None).expect("a writer");
    let (one, two) = (Image::small(writer.takes(), "one"), Image::small(writer.takes(), "two"));
    one.put(&writer, &["v1"]).await.expect("put");
    two.put(&writer, &["v2", "latest"]).await.expect("put");
    writer.finish().await.expect("finished");
    let base = format!("oci-archive:{}", room.text("image.tar"));
    for (which, digest) in [
        (":v1", one.digest),
        (":latest", two.digest),
        (":@0", one.digest),
        (":@2", two.digest),
    ] {
        let found = document(&format!("{base}{which}")).await.expect(which);
        assert_eq!(Digest::of(found.raw()), digest, "{which}");
    }
    let error = document(&base).await.expect_err("several");
    assert!(error.to_string().contains("v1 (@0), v2 (@1), latest (@2)"), "{error}");
    let written = copy_with(
        &format!("{base}:v1"),
        &format!("oci-archive:{}:a", room.text("two.tar")),
        Options::default(),
        &["b"],
    )
    .await;
    assert_eq!(written.expect("copied"), one.digest);
    assert_eq!(
        Digest::of(
            document(&format!("oci-archive:{}:b", room.text("two.tar")))
                .await
                .expect("b")
                .raw()
        ),
        one.digest
    );
}

/// Standard output is a pipe of the shell's: written straight, by a process of its own.
#[test]
fn standard_output_is_written_to() {
    let room = Room::new();
    let example = std::env::current_exe().expect("this test");
    let child = Command::new(example)
        .args([
            "--exact",
            "oci_archive::writes_to_standard_output",
            "--ignored",
            "--nocapture",
        ])
        .env("TEU_TEST_OUT", "/dev/stderr")
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .output()
        .expect("it runs");
    fs::write(room.path("image.tar"), child.stderr).expect("written");
    let names = output(Command::new("tar").arg("-tf").arg(room.path("image.tar")));
    assert!(String::from_utf8_lossy(&names).ends_with("index.json\noci-layout\n"));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a part of another test, which runs it in a process of its own"]
async fn writes_to_standard_output() {
    let Some(out) = std::env::var_os("TEU_TEST_OUT") else {
        return;
    };
    let writer = OciArchiveWriter::create(PathBuf::from(out), Some(std::env::temp_dir())).expect("a writer");
    Image::small(writer.takes(), "one")
        .put(&writer, &["one"])
        .await
        .expect("put");
    writer.finish().await.expect("finished");
}
