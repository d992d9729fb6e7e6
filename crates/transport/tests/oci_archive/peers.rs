//! Do other tools read what we write, and do we read what they make?

use super::*;

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
        let source = room.oci_archive(name).expect("an archive");
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
