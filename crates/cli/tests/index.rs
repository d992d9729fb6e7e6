//! Does `teu index` make and change indexes as its help says, wherever they are?

use crate::support::{Asks, Image, Peer, Room, image};
use serde_json::{Value, json};

/// An image for another machine than amd64.
fn image_for(architecture: &str) -> Image {
    let mut image = image();
    image.config["architecture"] = architecture.into();
    image
}

fn list(room: &Room, index: &str, flag: &str) -> Vec<(String, String)> {
    let raw = room.teu(["manifest", "get", flag, index]).succeeds().stdout;
    let index: Value = serde_json::from_str(&raw).expect("JSON");
    let manifests = index["manifests"].as_array().expect("a list").iter().map(|manifest| {
        let platform = &manifest["platform"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        (
            format!("{}/{}", text(&platform["os"]), text(&platform["architecture"])),
            text(&manifest["digest"]),
        )
    });
    manifests.collect()
}

/// The whole life of an index in `place`, whose images come from a layout.
fn life(room: &Room, place: &str) {
    let layout = room.layout("images");
    let digests = ["amd64", "arm64", "riscv64"].map(|name| layout.image(name, &image_for(name)).to_string());
    let listed = |places: &[usize]| -> Vec<(String, String)> {
        let names = ["linux/amd64", "linux/arm64", "linux/riscv64"];
        places
            .iter()
            .map(|place| (names[*place].to_owned(), digests[*place].clone()))
            .collect()
    };
    let plain = "--tls-verify=false";
    let to = "--dest-tls-verify=false";

    let made = room
        .teu([
            "index",
            "create",
            to,
            "-o",
            "json",
            "--annotation",
            "a=b",
            place,
            "oci:images:amd64",
            "oci:images:arm64",
        ])
        .succeeds();
    let made: Value = serde_json::from_str(&made.stdout).expect("JSON");
    assert_eq!(made["before"], Value::Null);
    assert_eq!(made["names"], json!(["all"]));
    assert_eq!(made["copied"], json!(digests[..2]));
    assert_eq!(list(room, place, plain), listed(&[0, 1]));
    let digest = room.teu(["digest", plain, place]).succeeds().stdout;
    assert_eq!(made["digest"], digest.trim());

    let added = room.teu(["index", "add", to, place, "oci:images:riscv64"]).succeeds();
    assert_eq!(added.stdout, room.teu(["digest", plain, place]).succeeds().stdout);
    assert_eq!(list(room, place, plain), listed(&[0, 1, 2]));
    room.teu(["index", "rm", plain, place, "linux/amd64"]).succeeds();
    assert_eq!(list(room, place, plain), listed(&[1, 2]));
    room.teu(["index", "filter", plain, "--platform", "linux/riscv64", place])
        .succeeds();
    assert_eq!(list(room, place, plain), listed(&[2]));
    room.teu([
        "index",
        "annotate",
        plain,
        "--remove-annotation",
        "a",
        "--annotation",
        "c=d",
        place,
    ])
    .succeeds();
    room.teu([
        "index",
        "annotate",
        plain,
        "--of",
        &digests[2],
        "--annotation",
        "e=f",
        place,
    ])
    .succeeds();
    let raw = room.teu(["manifest", "get", plain, place]).succeeds().stdout;
    let index: Value = serde_json::from_str(&raw).expect("JSON");
    assert_eq!(index["annotations"], json!({"c": "d"}));
    assert_eq!(index["manifests"][0]["annotations"], json!({"e": "f"}));
    room.teu(["verify", plain, place]).succeeds();

    let error = room.teu(["index", "rm", plain, place, "linux/s390x"]).fails(2);
    assert!(
        error.contains("linux/s390x") && error.contains("linux/riscv64"),
        "{error}"
    );
    let error = room.teu([
        "index",
        "add",
        to,
        "--set-platform",
        "linux/arm",
        place,
        "oci:images:amd64",
        "oci:images:arm64",
    ]);
    assert!(error.fails(2).contains("--set-platform is for one image"));
}

#[test]
fn an_index_in_a_layout() {
    life(&Room::new(), "oci:other:all");
}

#[test]
fn an_index_in_a_registry() {
    let Some(registry) = Peer::start("an_index_in_a_registry", Asks::default()) else {
        return;
    };
    life(&Room::new(), &format!("docker://{}/app:all", registry.host));
}

#[test]
fn a_change_under_another_name_leaves_the_index_as_it_was() {
    let room = Room::new();
    let layout = room.layout("images");
    let before = layout.index(
        "all",
        &[("linux/amd64", &image()), ("linux/arm64", &image_for("arm64"))],
    );
    room.teu(["index", "rm", "--name", "less", "oci:images:all", "linux/arm64"])
        .succeeds();
    assert_eq!(list(&room, "oci:images:less", "-o=text").len(), 1);
    assert_eq!(
        room.teu(["digest", "oci:images:all"]).succeeds().stdout,
        format!("{before}\n")
    );
}

#[test]
fn two_images_of_one_platform_are_found_before_they_are_copied() {
    let room = Room::new();
    let layout = room.layout("images");
    let mut again = image();
    again.config["config"]["Cmd"] = json!(["/bin/true"]);
    layout.image("one", &image());
    layout.image("two", &again);
    let create = ["index", "create", "oci:new:all", "oci:images:one", "oci:images:two"];
    let error = room.teu(create).fails(1);
    for part in ["linux/amd64", "--beside", "--set-platform"] {
        assert!(error.contains(part), "{part}: {error}");
    }
    assert!(!room.path("new").exists(), "nothing was copied");
    room.teu(create.iter().chain(&["--beside"])).succeeds();
    assert_eq!(list(&room, "oci:new:all", "--progress=none").len(), 2);
}
