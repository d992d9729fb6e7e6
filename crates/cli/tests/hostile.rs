//! What enemies, accidents and impatient readers must not get from a command.

use std::process::{Command, Stdio};

use crate::support::{Room, image};
use teu_spec::Digest;

#[test]
fn what_is_wrong_is_told_by_the_exit_code_even_where_nobody_reads() {
    let room = Room::new();
    let layout = room.layout("images");
    let image = image();
    layout.image("app", &image);
    for expected in [0, 10] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let status = Command::new(env!("CARGO_BIN_EXE_teu"))
            .args(["verify", "oci:images:app"])
            .current_dir(room.path(""))
            .stdout(Stdio::from(writer))
            .status()
            .expect("teu runs");
        assert_eq!(status.code(), Some(expected));
        std::fs::write(layout.blob_path(&Digest::of(&image.layers[0].1)), "spoiled").expect("written");
    }
}

#[test]
fn names_that_were_found_do_not_act_on_a_terminal() {
    let room = Room::new();
    let layout = room.layout("images");
    let (digest, _) = layout.manifest(&image());
    for name in ["a\u{1b}[2J", "b\u{9b}31m"] {
        layout.name(name, &digest, None);
    }
    let ran = room.teu(["digest", "oci:images:absent"]).ran();
    assert_eq!(ran.code, 2);
    assert!(
        ran.stderr.contains("a\\u{1b}[2J (@0), b\\u{9b}31m (@1)"),
        "{:?}",
        ran.stderr
    );
    assert!(!ran.stderr.trim_end().contains(char::is_control), "{:?}", ran.stderr);
}

#[test]
fn words_of_any_length_are_shown() {
    let room = Room::new();
    let layout = room.layout("images");
    let long = "x".repeat(70_000);
    let mut image = image();
    image.config["history"] = serde_json::json!([{"created_by": long}]);
    layout.image("app", &image);
    let said = room.teu(["history", "oci:images:app"]).succeeds();
    assert!(said.stdout.contains(&long));
}

#[test]
fn a_blob_that_is_not_what_was_asked_for_is_not_left_behind() {
    let room = Room::new();
    let layout = room.layout("images");
    let image = image();
    layout.image("app", &image);
    let digest = Digest::of(&image.layers[0].1);
    let get = ["blob", "get", "oci:images", &digest.to_string(), "--file", "layer"];
    room.teu(get).succeeds();
    assert_eq!(std::fs::read(room.path("layer")).expect("a file"), image.layers[0].1);
    std::fs::write(layout.blob_path(&digest), "spoiled").expect("written");
    // What was there stays, until all of what is new is.
    std::fs::write(room.path("layer"), "old").expect("written");
    assert_eq!(room.teu(get).ran().code, 1);
    assert_eq!(std::fs::read(room.path("layer")).expect("a file"), b"old");
    std::fs::remove_file(room.path("layer")).expect("removed");
    assert_eq!(room.teu(get).ran().code, 1);
    assert_eq!(std::fs::read_dir(room.path("")).expect("a directory").count(), 1);
}

/// No registry is asked: what would be written is known before.
#[test]
fn a_destination_that_names_a_digest_takes_nothing_else() {
    let room = Room::new();
    let layout = room.layout("images");
    let digest = layout.image("app", &image());
    let other = Digest::of(b"another");
    let place = format!("docker://127.0.0.1:1/app@{other}");
    let ran = room.teu(["copy", "--all", "oci:images:app", &place]).ran();
    assert_eq!(ran.code, 1);
    assert!(
        ran.stderr
            .contains(&format!("the image is {digest}, and the destination asks for {other}")),
        "{}",
        ran.stderr
    );
    std::fs::copy(layout.blob_path(&digest), room.path("manifest")).expect("copied");
    let ran = room.teu(["manifest", "put", &place, "manifest"]).ran();
    assert_eq!(ran.code, 1);
    assert!(
        ran.stderr
            .contains(&format!("the manifest is {digest}, and not {other}")),
        "{}",
        ran.stderr
    );
}

#[test]
fn deleting_a_name_breaks_no_index_that_stays() {
    let room = Room::new();
    let layout = room.layout("images");
    let mut other = image();
    other.config["architecture"] = "arm64".into();
    layout.index("all", &[("linux/amd64", &image()), ("linux/arm64", &other)]);
    let one = layout.image("one", &image());
    let alone = layout.image("alone", &{
        let mut image = image();
        image.config["author"] = "nobody".into();
        image
    });
    for name in ["one", "alone"] {
        room.teu(["delete", &format!("oci:images:{name}")]).succeeds();
        assert_eq!(room.teu(["digest", &format!("oci:images:{name}")]).ran().code, 2);
        room.teu(["verify", "oci:images:all"]).succeeds();
    }
    assert!(layout.blob_path(&one).exists() && !layout.blob_path(&alone).exists());
    // By its digest alone it goes, as it was asked for.
    room.teu(["delete", &format!("oci:images@{one}")]).succeeds();
    assert!(!layout.blob_path(&one).exists());
}

#[test]
fn what_cannot_be_read_is_listed_where_one_of_several_must_be_named() {
    let room = Room::new();
    let layout = room.layout("images");
    layout.image("app", &image());
    let absent = Digest::of(b"absent");
    let broken = layout.blob(b"no manifest");
    let index = std::fs::read(room.path("images/index.json")).expect("an index");
    let mut index: serde_json::Value = serde_json::from_slice(&index).expect("JSON");
    for digest in [absent, broken] {
        let entry = serde_json::json!({
            "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest, "size": 6
        });
        index["manifests"].as_array_mut().expect("a list").push(entry);
    }
    layout.write_index(&index);
    let ran = room.teu(["digest", "oci:images"]).ran();
    assert_eq!(ran.code, 1);
    assert!(
        ran.stderr.contains("name one of them: app (@0), @1, @2"),
        "{}",
        ran.stderr
    );
}
