//! Threat 55: what a layout has where blobs should be, graphs that explode, one name twice.

use std::{fs, os::unix::fs::symlink, path::Path};

use rustix::fs::{CWD, FileType, mknodat};
use serde_json::{Value, json};
use teu_spec::Digest;

use crate::{
    arena::{Arena, Layer},
    entries::{file, tar},
    support::image,
};

/// Puts something that is no regular file where one was.
fn replace(path: &Path, how: &str, out: &Path) {
    fs::remove_file(path).expect("removed");
    match how {
        "a link outside" => symlink(out.join("canary"), path).expect("a link"),
        "a relative link" => symlink("../../../outside/canary", path).expect("a link"),
        "a link to itself" => symlink(path, path).expect("a link"),
        "a link to a device" => symlink("/dev/zero", path).expect("a link"),
        "a directory" => fs::create_dir(path).expect("a directory"),
        _ => mknodat(CWD, path, FileType::Fifo, 0o600.into(), 0).expect("a pipe"),
    }
}

const HOWS: [(&str, &str); 6] = [
    ("a link outside", "symbolic link"),
    ("a relative link", "symbolic link"),
    ("a link to itself", "symbolic link"),
    ("a link to a device", "symbolic link"),
    ("a directory", "no regular file"),
    ("a pipe", "no regular file"),
];

#[test]
fn threat_55_what_is_no_file_where_a_blob_is_is_refused() {
    let arena = Arena::new();
    let layer = tar(&[file("a")]);
    for (how, words) in HOWS {
        for which in ["layer", "config", "manifest"] {
            arena.put(&[Layer::from(layer.clone())]);
            let layout = arena.room.layout("images");
            let raw = fs::read(layout.path.join("index.json")).expect("an index");
            let index: Value = serde_json::from_slice(&raw).expect("JSON");
            let digest =
                |value: &Value| -> Digest { value["digest"].as_str().expect("a digest").parse().expect("one") };
            let mut found = digest(&index["manifests"][0]);
            if which != "manifest" {
                let raw = fs::read(layout.blob_path(&found)).expect("a manifest");
                let manifest: Value = serde_json::from_slice(&raw).expect("JSON");
                found = digest(if which == "layer" {
                    &manifest["layers"][0]
                } else {
                    &manifest["config"]
                });
            }
            replace(&layout.blob_path(&found), how, &arena.out());
            let verified = if which == "manifest" { 11 } else { 10 };
            arena.is_refused(&format!("55 {how} for the {which}"), words, verified);
        }
    }
}

#[test]
fn threat_55_the_files_of_a_layout_are_files() {
    let arena = Arena::new();
    for name in ["index.json", "oci-layout"] {
        for (how, words) in HOWS {
            arena.put(&[Layer::from(tar(&[file("a")]))]);
            replace(&arena.room.path("images").join(name), how, &arena.out());
            arena.is_refused(&format!("55 {how} for {name}"), words, 1);
        }
    }
}

#[test]
fn threat_55_a_graph_that_explodes_and_a_name_that_stands_twice_are_refused() {
    let arena = Arena::new();
    let kind = "application/vnd.oci.image.index.v1+json";
    let layout = arena.room.layout("images");
    let (digest, size) = layout.manifest(&image());
    let platform = json!({"os": "linux", "architecture": "amd64"});
    let mut entry = json!({
        "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest, "size": size, "platform": platform,
    });
    for _ in 0..60 {
        let index = json!({"schemaVersion": 2, "mediaType": kind, "manifests": [entry, entry]});
        let (digest, size) = layout.document(&index);
        entry = json!({"mediaType": kind, "digest": digest, "size": size});
        layout.name("evil", &digest, Some(kind));
    }
    for arguments in [
        &["verify", "oci:images:evil"][..],
        &["unpack", "--rootless", "oci:images:evil", "dest"],
        &["files", "oci:images:evil"],
        &["tree", "oci:images:evil"],
        &["copy", "--all", "oci:images:evil", "oci:out:x"],
    ] {
        let ran = arena.teu("55 2^60 ways", arguments);
        assert_ne!(ran.code, 0, "{arguments:?}: {}", ran.stdout);
        assert!(ran.stdout.len() + ran.stderr.len() < 1 << 20, "{arguments:?}");
    }
    arena.tidy();
    for name in ["one", "evil"] {
        let mut made = image();
        made.config["author"] = name.into();
        arena.room.layout("images").image(name, &made);
    }
    let index = arena.room.path("images/index.json");
    let text = fs::read_to_string(&index).expect("an index");
    fs::write(&index, text.replace("\"one\"", "\"evil\"")).expect("written");
    arena.is_refused("55 one name twice", "evil (@0), evil (@1)", 1);
}
