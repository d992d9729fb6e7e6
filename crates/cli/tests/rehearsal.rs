//! Does `teu copy --dry-run` tell what a copy would do, and do nothing?

use std::path::Path;

use crate::support::{Asks, Image, Peer, Room, image};
use serde_json::{Value, json};

/// All that is in a directory, with its sizes.
fn all(directory: &Path) -> Vec<(String, u64)> {
    let mut found = Vec::new();
    let mut open = vec![directory.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(directory).expect("a directory") {
            let entry = entry.expect("an entry");
            let metadata = entry.metadata().expect("metadata");
            if metadata.is_dir() {
                open.push(entry.path());
            }
            found.push((entry.path().display().to_string(), metadata.len()));
        }
    }
    found.sort();
    found
}

fn rehearsed(room: &Room, arguments: &[&str]) -> Value {
    let before = all(&room.path(""));
    let ran = room
        .teu(["copy", "--dry-run", "-o", "json"].iter().chain(arguments))
        .succeeds();
    assert_eq!(all(&room.path("")), before, "{arguments:?} wrote something");
    serde_json::from_str(&ran.stdout).expect("JSON")
}

/// What is to be done with which blobs, in any order, and with manifests.
fn actions(report: &Value) -> (Vec<String>, Vec<String>) {
    let of = |list: &str| {
        let list = report[list].as_array().expect("a list").iter();
        let mut actions: Vec<String> = list
            .map(|one| one["action"].as_str().expect("an action").to_owned())
            .collect();
        actions.sort();
        actions
    };
    (of("blobs"), of("manifests"))
}

fn other() -> Image {
    let mut other = image();
    other.config["architecture"] = "arm64".into();
    other
}

#[test]
fn what_would_be_copied_is_told_and_nothing_is_written() {
    let room = Room::new();
    let digest = room.layout("from").image("app", &image()).to_string();
    let layer = image().layers[0].1.len() as u64;
    for target in [
        "oci:to:app",
        "dir:to",
        "oci-archive:to.tar:app",
        "docker-archive:to.tar:app:1",
    ] {
        let report = rehearsed(&room, &["oci:from:app", target]);
        let (blobs, manifests) = actions(&report);
        assert_eq!(
            (report["dryRun"].clone(), blobs),
            (json!(true), vec!["copy".to_owned(); 2]),
            "{target}"
        );
        assert_eq!(manifests, ["copy"], "{target}");
        if !target.starts_with("docker") {
            assert_eq!(report["digest"], digest.as_str(), "{target}");
        }
        let config = report["blobs"].as_array().expect("blobs").iter();
        let config: Vec<_> = config.filter(|blob| blob["config"] == true).collect();
        assert_eq!(config.len(), 1, "{target}");
        let config_size = config[0]["size"].as_u64().expect("a size");
        assert_eq!(report["bytes"], json!(layer + config_size), "{target}");
    }
    let report = rehearsed(&room, &["oci:from:app", "oci:to:app"]);
    assert_eq!(report["manifests"][0]["names"], json!(["app"]));

    // What is there already is told too.
    room.teu(["copy", "oci:from:app", "oci:to:first"]).succeeds();
    room.layout("from").image("other", &other());
    let (blobs, manifests) = actions(&rehearsed(
        &room,
        &["--override-arch=arm64", "oci:from:other", "oci:to:other"],
    ));
    assert_eq!(
        (blobs, manifests),
        (vec!["copy".to_owned(), "exists".to_owned()], vec!["copy".to_owned()])
    );
    let report = rehearsed(&room, &["oci:from:app", "oci:to:first"]);
    assert_eq!(actions(&report).1, ["exists"]);
    assert_eq!(report["bytes"], 0);
    let said = room
        .teu(["copy", "--dry-run", "oci:from:app", "oci:to:first"])
        .succeeds()
        .stdout;
    assert!(said.ends_with("nothing to copy\n"), "{said}");

    // Layers that would change: what becomes of them nobody knows yet.
    let report = rehearsed(
        &room,
        &[
            "--dest-compress-format=zstd",
            "--dest-force-compress-format",
            "oci:from:app",
            "oci:new",
        ],
    );
    assert_eq!(actions(&report).0, ["copy", "recompress"]);
    assert_eq!(report["digest"], Value::Null);
    // A converted one is known.
    let converted = rehearsed(&room, &["--format=v2s2", "oci:from:app", "oci:new:app"]);
    room.teu(["copy", "--format=v2s2", "oci:from:app", "oci:new:app"])
        .succeeds();
    assert_eq!(
        format!("{}\n", converted["digest"].as_str().expect("a digest")),
        room.teu(["digest", "oci:new:app"]).succeeds().stdout
    );
    // What would be refused is refused.
    room.teu([
        "copy",
        "--dry-run",
        "--preserve-digests",
        "--format=v2s2",
        "oci:from:app",
        "oci:x:app",
    ])
    .fails(1);
    assert!(!room.path("x").exists());
}

#[test]
fn people_read_a_table() {
    let room = Room::new();
    let layout = room.layout("from");
    let index = layout.index("all", &[("linux/amd64", &image()), ("linux/arm64", &other())]);
    let ran = room
        .teu(["copy", "--dry-run", "--all", "oci:from:all", "oci:to:all"])
        .succeeds();
    let lines: Vec<&str> = ran.stdout.lines().collect();
    let count = |what: &str| lines.iter().filter(|line| line.starts_with(what)).count();
    assert_eq!(
        (count("config "), count("blob "), count("manifest ")),
        (2, 1, 2),
        "{lines:#?}"
    );
    let last = lines.iter().find(|line| line.starts_with("index ")).expect("the index");
    assert!(
        last.contains(&index.to_string()) && last.ends_with("copy as all"),
        "{last}"
    );
    let summary = lines.last().expect("a summary");
    assert!(
        summary.starts_with("would copy 3 blobs, ") && summary.ends_with(", and 3 manifests"),
        "{summary}"
    );
    assert!(!room.path("to").exists());
}

#[test]
fn a_registry_is_only_asked() {
    let Some(registry) = Peer::start("a_registry_is_only_asked", Asks::default()) else {
        return;
    };
    let room = Room::new();
    let host = registry.host.as_str();
    room.layout("from").image("app", &image());
    let to = |name: &str| format!("docker://{host}/{name}:1");
    let plain = ["--src-tls-verify=false", "--dest-tls-verify=false"];
    let report = rehearsed(&room, &[plain[1], "oci:from:app", &to("app")]);
    assert_eq!(actions(&report), (vec!["copy".to_owned(); 2], vec!["copy".to_owned()]));
    room.teu(["digest", "--tls-verify=false", &to("app")]).fails(2);
    room.teu(["copy", plain[1], "oci:from:app", &to("app")]).succeeds();
    let report = rehearsed(&room, &[plain[0], plain[1], &to("app"), &to("other")]);
    assert_eq!(actions(&report), (vec!["mount".to_owned(); 2], vec!["copy".to_owned()]));
    room.teu(["digest", "--tls-verify=false", &to("other")]).fails(2);
    let report = rehearsed(&room, &[plain[1], "oci:from:app", &to("app")]);
    assert_eq!(actions(&report).1, ["exists"]);
}
