//! Is what `teu raw runtime-config` writes what `teu unpack` writes, from no more than it takes, and what umoci makes of it?

use std::{fs, os::unix::fs::symlink};

use crate::support::{Layout, Room, archive, directory, file, of, peers};
use serde_json::Value;
use teu_spec::Digest;

fn made(room: &Room) -> (Layout, [Vec<u8>; 2]) {
    let lower = archive(&[directory("usr/"), file("usr/large", "large")]);
    let upper = archive(&[
        directory("etc/"),
        file(
            "etc/passwd",
            "root:x:0:0::/root:/bin/sh\napp:x:1000:1001::/home/app:/bin/sh\n",
        ),
        file("etc/group", "root:x:0:\nmore:x:44:app\n"),
    ]);
    let layers = [lower, upper];
    let mut image = of(&layers);
    image.config["config"]["User"] = "app".into();
    let layout = room.layout("images");
    layout.image("app", &image);
    (layout, layers)
}

#[test]
fn it_is_what_unpack_writes() {
    let room = Room::new();
    let (layout, [lower, _]) = made(&room);
    room.teu(["unpack", "oci:images:app", "bundle"]).succeeds();
    let written = fs::read_to_string(room.path("bundle/config.json")).expect("a config");
    // The layer below says nothing of it, and is not needed.
    fs::remove_file(layout.blob_path(&Digest::of(&lower))).expect("removed");
    let printed = room.teu(["raw", "runtime-config", "oci:images:app"]).succeeds().stdout;
    assert_eq!(printed, written);
    let config: Value = serde_json::from_str(&printed).expect("JSON");
    assert_eq!(config["process"]["user"]["uid"], 1000);
    assert_eq!(config["process"]["user"]["additionalGids"][0], 44);
    room.file("config.json", "old");
    room.teu(["raw", "config", "oci:images:app", "config.json"]).succeeds();
    assert_eq!(fs::read_to_string(room.path("config.json")).expect("a config"), written);
}

#[test]
fn what_umoci_has_as_raw_is_there() {
    let room = Room::new();
    let (_, [lower, _]) = made(&room);
    let to_stdout = room
        .teu(["raw", "runtime-config", "oci:images:app", "-"])
        .succeeds()
        .stdout;
    assert!(to_stdout.starts_with('{') && !room.path("-").exists());
    room.file("lower.tar", &lower);
    room.teu([
        "raw",
        "add-layer",
        "--to",
        "oci:images:more",
        "oci:images:app",
        "lower.tar",
    ])
    .succeeds();
    room.teu(["append", "--to", "oci:images:same", "oci:images:app", "lower.tar"])
        .succeeds();
    let digest = |image: &str| room.teu(["digest", image]).succeeds().stdout;
    assert_eq!(digest("oci:images:more"), digest("oci:images:same"));
    room.teu(["raw", "unpack", "--rootless", "oci:images:app", "files"])
        .succeeds();
    let found = |path: &str| fs::read_to_string(room.path(path)).expect("a file");
    assert_eq!(found("files/usr/large"), "large");
    assert!(!room.path("files/config.json").exists());
    let help = room.teu(["raw", "--help"]).succeeds().stdout;
    for listed in ["\n  runtime-config ", "\n  unpack ", "\n  add-layer "] {
        assert!(help.contains(listed), "{help}");
    }
}

#[test]
fn a_directory_can_say_who_runs_it_and_leads_nowhere_else() {
    let room = Room::new();
    made(&room);
    room.file("root/etc/passwd", "app:x:7:8::/:\n");
    let asked = ["raw", "runtime-config", "--rootfs", "root", "oci:images:app"];
    let config: Value = serde_json::from_str(&room.teu(asked).succeeds().stdout).expect("JSON");
    assert_eq!(
        (&config["process"]["user"]["uid"], &config["process"]["user"]["gid"]),
        (&7.into(), &8.into())
    );
    // A link out of it finds nothing.
    room.file("outside", "app:x:9:9::/:\n");
    fs::remove_file(room.path("root/etc/passwd")).expect("removed");
    symlink("../../outside", room.path("root/etc/passwd")).expect("a link");
    let failed = room.teu(asked).fails(1);
    assert!(failed.contains("app"), "{failed}");
    // What fails leaves a file as it was.
    room.file("config.json", "old");
    let mut to_file = asked.to_vec();
    to_file.push("config.json");
    room.teu(to_file).fails(1);
    assert_eq!(fs::read_to_string(room.path("config.json")).expect("a config"), "old");
}

#[test]
fn umoci_says_the_same_of_the_process() {
    if !peers("umoci_says_the_same_of_the_process", &["umoci"]) {
        return;
    }
    let room = Room::new();
    made(&room);
    room.teu(["unpack", "--rootfs-only", "oci:images:app", "root"])
        .succeeds();
    let asked = ["raw", "runtime-config", "--rootfs", "root"];
    room.run("umoci", asked.iter().chain(&["--image", "images:app", "theirs.json"]))
        .succeeds();
    room.teu(asked.iter().chain(&["oci:images:app", "ours.json"]))
        .succeeds();
    let read = |name: &str| -> Value {
        let json = fs::read(room.path(name)).expect("a config");
        serde_json::from_slice(&json).expect("JSON")
    };
    let (ours, theirs) = (read("ours.json"), read("theirs.json"));
    for field in ["user", "args", "cwd"] {
        assert_eq!(ours["process"][field], theirs["process"][field], "{field}");
    }
    // To umoci it is also where the files will be; here that is what a bundle has.
    assert_eq!(
        (&ours["root"]["path"], &theirs["root"]["path"]),
        (&"rootfs".into(), &"root".into())
    );
}
