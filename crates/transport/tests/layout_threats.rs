//! What a hostile layout tries (threats 51 and 55): each is refused by name, at once, and nothing outside is read or written.
#![cfg(all(feature = "archives", feature = "remote"))]

use std::{
    fs,
    os::unix::fs::symlink,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use crate::support::{
    self,
    peer::output,
    places::{copy, document, image},
    room::Room,
};
use teu_spec::{Digest, Pick};
use teu_store::{
    ErrorKind, FetchOptions, Intent, Role, Source, SourceExt, Target, gc,
    suite::Image,
    tree,
    verify::{self, verify},
};
use teu_transport::layout::Layout;

impl Room {
    fn reference(&self, image: &str) -> String {
        format!("oci:{}{image}", self.path("layout").display())
    }

    fn out(&self, name: &str) -> String {
        format!("oci:{}:x", self.path(name).display())
    }

    fn layout(&self) -> Layout {
        Layout::open(self.path("layout"), None).expect("a layout")
    }

    fn index(&self, index: &str) {
        fs::create_dir_all(self.path("layout/blobs/sha256")).expect("a directory");
        fs::write(self.path("layout/oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).expect("written");
        fs::write(self.path("layout/index.json"), index).expect("written");
    }

    /// Puts a blob, and says how a parent names it.
    fn blob(&self, content: &[u8], media_type: &str) -> String {
        let digest = Digest::of(content);
        fs::write(self.path("layout/blobs/sha256").join(digest.hex()), content).expect("written");
        format!(
            r#"{{"mediaType":"{media_type}","digest":"{digest}","size":{}}}"#,
            content.len()
        )
    }
}

fn index_of(manifests: &str) -> String {
    format!(r#"{{"schemaVersion":2,"manifests":[{manifests}]}}"#)
}

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// Puts something that is no regular file in the place of one. The second says what an error says.
fn replaced(path: &Path, how: &str, secret: &Path) -> &'static str {
    let _ = fs::remove_file(path);
    let _ = fs::remove_dir(path);
    match how {
        "absolute link" => symlink(secret, path).expect("a link"),
        "relative link" => symlink("../../../secret", path).expect("a link"),
        "link to itself" => symlink(path, path).expect("a link"),
        "device link" => symlink("/dev/zero", path).expect("a link"),
        "directory" => {
            fs::create_dir(path).expect("a directory");
            return "no regular file";
        }
        _ => {
            output(std::process::Command::new("mkfifo").arg(path));
            return "no regular file";
        }
    }
    "symbolic link"
}

const HOWS: [&str; 6] = [
    "absolute link",
    "relative link",
    "link to itself",
    "device link",
    "directory",
    "fifo",
];

#[tokio::test(flavor = "multi_thread")]
async fn threat_55_what_is_no_file_in_a_blobs_place_is_refused() {
    let room = Room::new();
    let secret = room.path("secret");
    fs::write(&secret, "secret").expect("written");
    let found = image(&room.path("layout"), "victim", &["v"]).await;
    let children = document(&room.reference(":v")).await.expect("a manifest").children();
    for (digest, role) in [
        (children[1].digest, Role::Blob),
        (children[0].digest, Role::Blob),
        (found.digest, Role::Manifest),
    ] {
        let path = room.path("layout/blobs/sha256").join(digest.hex());
        let kept = fs::read(&path).expect("read");
        for how in HOWS {
            let text = replaced(&path, how, &secret);
            let layout = room.layout();
            let said = |error: teu_store::Error| {
                assert_eq!(error.kind(), &ErrorKind::Invalid, "{how}: {error}");
                assert!(error.to_string().contains(text), "{how}: {error}");
                assert!(error.to_string().contains(&digest.hex()), "{how}: {error}");
            };
            said(
                layout
                    .fetch(role, &digest, FetchOptions::default())
                    .await
                    .err()
                    .expect(how),
            );
            said(layout.stat(role, &digest, Intent::Read).await.expect_err(how));
            said(layout.local().expect("local").open_file(&digest).expect_err(how));
            // Each into a layout of its own: what an earlier copy left is not asked for again.
            let out = format!("out-{}-{}", digest.short(), how.replace(' ', "-"));
            said(copy(&room.reference(":v"), &room.out(&out)).await.expect_err(how));
            // Where nothing could be read there is no layout either.
            match Layout::open(room.path(&out), None) {
                Ok(layout) => {
                    let names = layout.browse().expect("lists").names(None).await;
                    assert_eq!(names.expect("names").items, [], "nothing is named");
                }
                Err(error) => assert_eq!(error.kind(), &ErrorKind::NotFound, "{how}: {error}"),
            }
            // Written over, it is a file again, and what the link led to is as it was.
            let refilled = match how {
                // A directory is in the way of a rename.
                "directory" => None,
                _ => Some(()),
            };
            if refilled.is_some() && role == Role::Blob {
                let target = room.layout();
                let expected = teu_store::Expected::verified(&teu_spec::Descriptor::new(
                    teu_store::octet_stream(),
                    digest,
                    kept.len() as u64,
                ));
                support::push(&target, expected, &kept.clone().into(), 4096)
                    .await
                    .expect(how);
                assert_eq!(fs::read(&path).expect("a file"), kept, "{how}");
                assert!(fs::symlink_metadata(&path).expect("a file").is_file(), "{how}");
            }
        }
        assert_eq!(fs::read_to_string(&secret).expect("read"), "secret");
        let _ = fs::remove_file(&path);
        let _ = fs::remove_dir(&path);
        fs::write(&path, kept).expect("written");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn threat_55_the_layouts_own_files_are_files() {
    let room = Room::new();
    let secret = room.path("secret");
    fs::write(&secret, index_of("")).expect("written");
    image(&room.path("layout"), "victim", &["v"]).await;
    for name in ["index.json", "oci-layout"] {
        let path = room.path("layout").join(name);
        let kept = fs::read(&path).expect("read");
        for how in HOWS {
            let text = replaced(&path, how, &secret);
            for outcome in [
                document(&room.reference(":v")).await.map(drop),
                Layout::create(room.path("layout"), None).map(drop),
            ] {
                let error = outcome.expect_err(how);
                assert_eq!(error.kind(), &ErrorKind::Invalid, "{name}, {how}: {error}");
                assert!(error.to_string().contains(text), "{name}, {how}: {error}");
            }
        }
        let _ = fs::remove_file(&path);
        let _ = fs::remove_dir(&path);
        fs::write(&path, kept).expect("written");
    }
    assert_eq!(fs::read_to_string(&secret).expect("read"), index_of(""));
}

/// What is written to a layout, and what is removed from it as garbage, is in it.
#[tokio::test(flavor = "multi_thread")]
async fn threat_55_the_directories_of_blobs_are_no_links() {
    let room = Room::new();
    image(&room.path("layout"), "victim", &["v"]).await;
    let elsewhere = room.path("elsewhere");
    for name in ["blobs/sha256", "blobs/sha512", "blobs"] {
        let path = room.path("layout").join(name);
        let aside = room.path("aside");
        let is_there = path.exists();
        if is_there {
            fs::rename(&path, &aside).expect("moved");
        }
        fs::create_dir_all(elsewhere.join("sha256")).expect("a directory");
        symlink(&elsewhere, &path).expect("a link");
        for outcome in [
            Layout::open(room.path("layout"), None).map(drop),
            Layout::create(room.path("layout"), None).map(drop),
        ] {
            let error = outcome.expect_err(name);
            assert_eq!(error.kind(), &ErrorKind::Invalid, "{name}: {error}");
            assert!(error.to_string().contains("symbolic link"), "{name}: {error}");
        }
        if name == "blobs" {
            // A person may say that the blobs are elsewhere.
            Layout::open(room.path("layout"), Some(elsewhere.clone())).expect("said by a person");
        }
        fs::remove_file(&path).expect("removed");
        if is_there {
            fs::rename(&aside, &path).expect("moved back");
        }
        assert_eq!(
            fs::read_dir(elsewhere.join("sha256")).expect("a directory").count(),
            0,
            "{name}"
        );
    }
    document(&room.reference(":v")).await.expect("as it was");
}

#[tokio::test(flavor = "multi_thread")]
async fn threat_51_sizes_that_are_none_or_are_wrong_are_refused() {
    let room = Room::new();
    room.index(&index_of(""));
    let config = room.blob(b"{}", "application/vnd.oci.image.config.v1+json");
    let manifest = format!(r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","config":{config},"layers":[]}}"#);
    let entry = room.blob(manifest.as_bytes(), MANIFEST);
    let right = format!(r#""size":{}"#, manifest.len());
    assert!(entry.contains(&right));
    for size in [
        "-1",
        "9223372036854775808",
        "1e400",
        "1.5",
        "12345678901234567890123",
        "\"5\"",
        "null",
        "true",
    ] {
        room.index(&index_of(&entry.replace(&right, &format!(r#""size":{size}"#))));
        let error = document(&room.reference("")).await.expect_err(size);
        assert_eq!(error.kind(), &ErrorKind::Invalid, "{size}: {error}");
        assert!(error.to_string().contains("index.json"), "{size}: {error}");
    }
    for size in [0, manifest.len() - 1, manifest.len() + 1, 4 << 20, i64::MAX as usize] {
        room.index(&index_of(&entry.replace(&right, &format!(r#""size":{size}"#))));
        let error = document(&room.reference("")).await.expect_err("a wrong size");
        assert!(
            matches!(error.kind(), ErrorKind::Mismatch | ErrorKind::TooLarge),
            "{size}: {error}"
        );
        let copied = copy(&room.reference(""), &room.out("out"))
            .await
            .expect_err("a wrong size");
        assert!(
            matches!(copied.kind(), ErrorKind::Mismatch | ErrorKind::TooLarge),
            "{size}: {copied}"
        );
    }
    // A blob's size, in a manifest that is right itself.
    for size in ["0", "1", "3", "4194305"] {
        let manifest = manifest.replace(r#""size":2"#, &format!(r#""size":{size}"#));
        room.index(&index_of(&room.blob(manifest.as_bytes(), MANIFEST)));
        let error = copy(&room.reference(""), &room.out("out")).await.expect_err(size);
        assert!(
            matches!(error.kind(), ErrorKind::Mismatch | ErrorKind::TooLarge),
            "{size}: {error}"
        );
    }
    let names = Layout::open(room.path("out"), None)
        .expect("a layout")
        .browse()
        .expect("lists")
        .names(None)
        .await;
    assert_eq!(names.expect("names").items, [], "nothing is named");
}

#[tokio::test(flavor = "multi_thread")]
async fn threat_55_one_tag_twice_is_ambiguous() {
    let room = Room::new();
    for seed in ["one", "two"] {
        image(&room.path("layout"), seed, &[seed]).await;
    }
    let index = fs::read_to_string(room.path("layout/index.json")).expect("read");
    fs::write(room.path("layout/index.json"), index.replace(r#""two""#, r#""one""#)).expect("written");
    let error = document(&room.reference(":one")).await.expect_err("which?");
    assert_eq!(error.kind(), &ErrorKind::Invalid);
    assert!(error.to_string().contains("one (@0), one (@1)"), "{error}");
    document(&room.reference(":@1")).await.expect("one of them");
    // Whoever writes the name puts it in order.
    let layout = room.layout();
    let new = Image::small(layout.takes(), "new");
    new.put(&layout, &["one"]).await.expect("put");
    layout.finish().await.expect("finished");
    let found = document(&room.reference(":one")).await.expect("one");
    assert_eq!(Digest::of(found.raw()), new.digest);
}

/// Indexes that each name the one below twice: 2^`levels` ways to the bottom in some kilobytes.
fn bomb(room: &Room, levels: usize) {
    room.index(&index_of(""));
    let mut entry = room.blob(index_of("").as_bytes(), INDEX);
    for _ in 0..levels {
        entry = room.blob(index_of(&format!("{entry},{entry}")).as_bytes(), INDEX);
    }
    room.index(&index_of(&entry));
}

#[tokio::test(flavor = "multi_thread")]
async fn threat_55_a_graph_that_explodes_is_walked_once_or_refused() {
    let begun = Instant::now();
    let room = Room::new();
    // As deep as may be: each index is visited once.
    bomb(&room, 6);
    copy(&room.reference(""), &room.out("small"))
        .await
        .expect("seven indexes");
    // Deeper: refused by the limit's name, wherever it is walked.
    let room = Room::new();
    bomb(&room, 60);
    let layout = Arc::new(room.layout());
    let found = layout.resolve(&Pick::Only).await.expect("the only one");
    let error = copy(&room.reference(""), &room.out("out")).await.expect_err("too deep");
    assert_eq!(error.kind(), &ErrorKind::TooLarge, "{error}");
    assert!(error.to_string().contains("depth"), "{error}");
    let report = verify(layout.clone(), &found, &verify::Options::default()).await;
    assert!(report.map_or(true, |report| !report.is_good()), "it is not called good");
    let shown = tree::tree(&*layout, &found, true, Default::default(), 6).await;
    assert!(
        shown.map_or(true, |tree| format!("{tree:?}").len() < 10_000_000),
        "what is shown is bounded"
    );
    assert_eq!(
        layout
            .browse()
            .expect("lists")
            .referrers(&Digest::of(b"x"), None)
            .await
            .expect("none"),
        []
    );
    let options = gc::Options {
        grace: Duration::ZERO,
        ..gc::Options::default()
    };
    // What is reached is kept, or nothing is removed.
    if let Ok(report) = gc::gc(&*layout, layout.sweep().expect("it sweeps"), &options).await {
        assert_eq!(report.removed, []);
    }
    assert!(begun.elapsed() < Duration::from_secs(60), "at once");
}

#[tokio::test(flavor = "multi_thread")]
async fn threat_55_an_index_that_is_too_wide_or_too_large_is_refused() {
    let room = Room::new();
    room.index(&index_of(""));
    let entry = format!(
        r#"{{"mediaType":"{MANIFEST}","digest":"{}","size":1}}"#,
        Digest::of(b"x")
    );
    room.index(&index_of(&vec![entry; 10_001].join(",")));
    let error = document(&room.reference(":@0")).await.expect_err("too wide");
    assert_eq!(error.kind(), &ErrorKind::Invalid, "{error}");
    assert!(error.to_string().contains("limit of 10000"), "{error}");
    room.index(&index_of(&" ".repeat(4 << 20)));
    let error = document(&room.reference(":@0")).await.expect_err("too large");
    assert_eq!(error.kind(), &ErrorKind::TooLarge, "{error}");
    // A manifest of 5 MB.
    let config = room.blob(b"{}", "application/vnd.oci.image.config.v1+json");
    let manifest = format!(
        r#"{{"schemaVersion":2,"config":{config},"layers":[],"x":"{}"}}"#,
        "x".repeat(5 << 20)
    );
    room.index(&index_of(&room.blob(manifest.as_bytes(), MANIFEST)));
    let error = document(&room.reference("")).await.expect_err("too large");
    assert_eq!(error.kind(), &ErrorKind::TooLarge, "{error}");
}

/// A child that is its own parent cannot be made, but a manifest may be called an index and the other way round.
#[tokio::test(flavor = "multi_thread")]
async fn threat_53_what_is_called_by_another_type_is_refused() {
    let room = Room::new();
    room.index(&index_of(""));
    let config = room.blob(b"{}", "application/vnd.oci.image.config.v1+json");
    let manifest = format!(r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","config":{config},"layers":[]}}"#);
    let lies = [
        room.blob(manifest.as_bytes(), INDEX),
        room.blob(index_of("").as_bytes(), MANIFEST),
        room.blob(
            format!(r#"{{"schemaVersion":2,"config":{config},"manifests":[]}}"#).as_bytes(),
            INDEX,
        ),
    ];
    for lie in lies {
        room.index(&index_of(&lie));
        let error = copy(&room.reference(""), &room.out("out")).await.expect_err("a lie");
        assert_eq!(error.kind(), &ErrorKind::Invalid, "{lie}: {error}");
    }
    let layout = room.layout();
    let picked = layout.resolve(&Pick::Only).await.expect("as it is called");
    layout.document(&picked).await.expect_err("a lie");
}
