//! Do layers change their compression where skopeo's would, and is that work done once?

use crate::support::{Room, image, peers};
use serde_json::Value;

/// The media types of the layers of an image, as skopeo sees it.
fn layers(room: &Room, image: &str) -> Vec<String> {
    let raw = room.skopeo(["inspect", "--raw", image]).succeeds().stdout;
    let manifest: Value = serde_json::from_str(&raw).expect("JSON");
    let layers = manifest["layers"].as_array().expect("a list").iter();
    layers
        .map(|layer| layer["mediaType"].as_str().expect("a type").to_owned())
        .collect()
}

#[test]
fn layers_change_where_skopeos_do() {
    if !peers("layers_change_where_skopeos_do", &["skopeo"]) {
        return;
    }
    let room = Room::new();
    room.layout("made").image("plain", &image());
    for (source, flags) in [
        ("dir:plain", &[][..]),
        ("oci:gzip:x", &["--dest-compress-format", "zstd"]),
        ("oci:gzip:x", &["--dest-compress-format", "zstd", "--format", "oci"]),
        ("oci:gzip:x", &["--dest-compress-format", "gzip"]),
        ("oci:gzip:x", &["--dest-compress-level", "1"]),
        (
            "oci:zstd:x",
            &["--dest-compress-format", "gzip", "--dest-compress-level", "9"],
        ),
        ("dir:plain", &["--dest-compress-format", "zstd"]),
        ("dir:plain", &["--dest-compress-level", "1"]),
        ("dir:plain", &["--dest-compress"]),
        ("dir:plain", &["--dest-compress", "--dest-compress-format", "zstd"]),
        ("oci:gzip:x", &["--dest-decompress"]),
        ("oci:zstd:x", &["--dest-decompress"]),
        ("oci:zstd:x", &["--dest-compress"]),
    ] {
        let plain = ["copy", "-q", "oci:made:plain"];
        room.teu([&plain[..], &["dir:plain"]].concat()).succeeds();
        room.teu([&plain[..], &["oci:gzip:x", "--dest-compress"]].concat())
            .succeeds();
        let zstd = ["oci:zstd:x", "--dest-compress", "--dest-compress-format", "zstd"];
        room.teu([&plain[..], &zstd].concat()).succeeds();
        // Each kind of place has its own flags with skopeo, which ignores those of others.
        let place = match flags {
            [] | ["--dest-compress" | "--dest-decompress", ..] => "dir",
            _ => "oci",
        };
        let (ours, theirs) = match place {
            "dir" => ("dir:ours", "dir:theirs"),
            _ => ("oci:ours:x", "oci:theirs:x"),
        };
        let copy = |to| [&["copy", "-q", source, to], flags].concat();
        room.teu(copy(ours)).succeeds();
        room.skopeo(copy(theirs)).succeeds();
        assert_eq!(layers(&room, ours), layers(&room, theirs), "{source} {flags:?}");
        room.teu(["verify", ours]).succeeds();
        for directory in ["ours", "theirs", "plain", "gzip", "zstd"] {
            std::fs::remove_dir_all(room.path(directory)).expect("removed");
        }
    }
}

#[test]
fn the_same_copy_again_recompresses_nothing() {
    let room = Room::new();
    room.layout("images").image("app", &image());
    let copy = |more: &[&str]| -> Value {
        let arguments = ["copy", "-o", "json", "oci:images:app", "oci:other:app"];
        let report = room.teu([&arguments[..], more].concat()).succeeds().stdout;
        serde_json::from_str(&report).expect("JSON")
    };
    let zstd = ["--dest-compress-format", "zstd"];
    let first = copy(&zstd);
    assert_eq!((&first["blobs"], &first["manifests"]), (&2.into(), &1.into()));
    let again = copy(&zstd);
    assert_eq!(again["digest"], first["digest"]);
    assert_eq!((&again["blobs"], &again["manifests"]), (&0.into(), &0.into()));
    // Another level is other work.
    let level = [&zstd[..], &["--dest-compress-level", "9"]].concat();
    assert_eq!(copy(&level)["blobs"], 1);
    assert_eq!(copy(&level)["blobs"], 0);
    // What is forgotten or spoilt is done again, to the same end.
    let remembered = room.home(".cache/teu/recompressed");
    assert_eq!(std::fs::read_to_string(&remembered).expect("a file").lines().count(), 2);
    std::fs::write(&remembered, b"\xff not a line").expect("written");
    let done = copy(&zstd);
    assert_eq!((&done["blobs"], &done["digest"]), (&1.into(), &first["digest"]));
    std::fs::remove_file(&remembered).expect("removed");
    std::fs::create_dir(&remembered).expect("a directory in its place");
    assert_eq!(copy(&zstd)["digest"], first["digest"]);
    // What was decompressed is known by the config alone.
    copy(&["--dest-decompress"]);
    assert_eq!(copy(&["--dest-decompress"])["blobs"], 0);
}
