//! Does a person read what to do, who asks a verb that makes or changes images or files for what cannot be? Mistakes with places and names are in
//! `mistakes`.

use crate::support::{Room, image, layer};
use serde_json::Value;

fn room() -> Room {
    let room = Room::new();
    room.layout("images").image("app", &image());
    room
}

/// Runs each, and holds the message and the exit code to what is expected.
fn check(room: &Room, cases: &[(&[&str], i32, &str)]) {
    for (typed, code, said) in cases {
        let error = room.teu(*typed).fails(*code);
        assert!(error.contains(said), "{typed:?}: {said:?} is not in {error}");
    }
}

#[test]
fn maps_that_no_kernel_takes_are_refused() {
    let room = room();
    let overlap = "--uid-map: the ranges 0:1000:10 and 5:3000:10 overlap";
    let alone = "without --gid-map: no runtime runs a bundle whose groups have no map; 0:0:4294967295 leaves groups as they are";
    let others =
        "without --uid-map: no runtime runs a bundle whose users have no map; 0:0:4294967295 leaves users as they are";
    let (users, more, groups) = ("--uid-map=0:1000:10", "--uid-map=5:3000:10", "--gid-map=0:1000:65536");
    check(
        &room,
        &[
            (&["unpack", users, more, groups, "oci:images:app", "made"], 2, overlap),
            (
                &["unpack", "--rootfs-only", users, more, "oci:images:app", "made"],
                2,
                overlap,
            ),
            (
                &["unpack", "--rootless", more, users, "oci:images:app", "made"],
                2,
                "overlap",
            ),
            (
                &["raw", "runtime-config", users, more, groups, "oci:images:app"],
                2,
                overlap,
            ),
            // What is apart inside may meet outside.
            (
                &[
                    "unpack",
                    users,
                    groups,
                    "--gid-map=70000:66535",
                    "oci:images:app",
                    "made",
                ],
                2,
                "--gid-map: the ranges 0:1000:65536 and 70000:66535:1 overlap",
            ),
            (
                &[
                    "unpack",
                    "--rootless",
                    "--uid-map=0:100000:65536",
                    "oci:images:app",
                    "made",
                ],
                2,
                "with --rootless all files are your own, and --uid-map leads nobody to you",
            ),
            (&["unpack", users, "oci:images:app", "made"], 2, alone),
            (&["unpack", groups, "oci:images:app", "made"], 2, others),
            (&["raw", "runtime-config", users, "oci:images:app"], 2, alone),
        ],
    );
    assert!(!room.path("made").exists());
    // Ranges that only touch are good, and who is not root maps himself where nothing is said.
    let config = |arguments: &[&str]| -> Value {
        let asked = [&["raw", "runtime-config"], arguments, &["oci:images:app"]].concat();
        serde_json::from_str(&room.teu(asked).succeeds().stdout).expect("JSON")
    };
    let found = config(&[users, "--uid-map=10:1010:10", groups]);
    assert_eq!(found["linux"]["uidMappings"].as_array().map(Vec::len), Some(2));
    let found = config(&["--rootless", users]);
    assert_eq!(found["linux"]["gidMappings"][0]["size"], 1);
}

#[test]
fn a_directory_that_is_to_be_there_is_named() {
    let room = room();
    let cases: &[(&[&str], &str)] = &[
        (
            &["unpack", "--rootless", "oci:images:app", "no/such"],
            "\"no/such\": there is no directory \"no\" to make it in; make that first",
        ),
        (
            &["extract", "oci:images:app", "file", "new/deeper/"],
            "making the directory new/deeper/: there is no directory new; make that first",
        ),
        (
            &["extract", "oci:images:app", "file", "no/such"],
            "there is no directory no; make that first",
        ),
        (
            &["export", "--file", "no/f.tar", "oci:images:app"],
            "writing no/f.tar: there is no directory no; make that first",
        ),
        (
            &["unpack", "--rootless", "oci:images:app", "."],
            "call the new directory, or an empty one that is there, by its own name",
        ),
    ];
    for (typed, said) in cases {
        let error = room.teu(*typed).fails(1);
        let is_said = error.contains("teu: destination: ") && error.contains(said) && !error.contains(".teu-");
        assert!(is_said, "{typed:?}: {error}");
    }
}

#[test]
fn what_a_flag_is_given_is_read_as_it_is_meant() {
    let room = room();
    check(
        &room,
        &[
            (&["edit", "--subject", "sha256:00", "oci:images:app"], 2, "--subject: "),
            (&["edit", "--subject", "sha512:x", "oci:images:app"], 2, "--subject: "),
            (&["edit", "--label", "a", "oci:images:app"], 2, "write it as KEY=VALUE"),
            (
                &["edit", "--annotation", "index:a", "oci:images:app"],
                2,
                "write it as KEY=VALUE",
            ),
            (&["edit", "--env", "a", "oci:images:app"], 2, "write it as NAME=VALUE"),
            (
                &["edit", "--stop-timeout", "x", "oci:images:app"],
                2,
                "write it in whole seconds, such as 10",
            ),
            (
                &["edit", "-f", "docker", "oci:images:app"],
                2,
                "[possible values: oci, v2s2]",
            ),
            (
                &["edit", "-f", "v2s1", "oci:images:app"],
                2,
                "schema 1 was retired in 2020",
            ),
            (
                &["files", "--layer", "5", "oci:images:app"],
                2,
                "no layer 5; it has 1 layer\n",
            ),
            (
                &["squash", "--from", "5", "oci:images:app"],
                2,
                "no layer 5; it has 1 layer\n",
            ),
        ],
    );
    // What is no archive is perhaps to be a file.
    let insert = "; teu insert puts a file into an image as it is";
    for (name, content) in [
        ("short", "abc".to_owned()),
        ("long", "text ".repeat(500)),
        ("empty", String::new()),
    ] {
        room.file(name, content);
        let error = room.teu(["append", "oci:images:app", name]).fails(1);
        assert!(
            error.contains(&format!("reading {name}")) && error.contains(insert),
            "{error}"
        );
    }
    // One that was cut off is one.
    let whole = layer("content\n");
    room.file("cut.tar", &whole[..515]);
    let error = room.teu(["append", "oci:images:app", "cut.tar"]).fails(1);
    assert!(error.contains("cut.tar") && !error.contains(insert), "{error}");
}

#[test]
fn who_wants_to_hear_nothing_hears_nothing_of_a_new_image() {
    let room = Room::new();
    let ran = room.teu(["new", "-q", "oci:images:app"]).succeeds();
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("", ""));
    room.teu(["digest", "oci:images:app"]).succeeds();
}
