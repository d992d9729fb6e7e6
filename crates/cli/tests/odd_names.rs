//! Do verbs take and show names that are not UTF-8, as layers of old archives have them? Each takes the bytes as an argument, escapes them where people
//! read them, and has them in hexadecimal in JSON.

use std::{ffi::OsString, fs, os::unix::ffi::OsStringExt as _};

use serde_json::{Value, json};
use teu_archive::tar::Header;

use crate::support::{Room, archive, bare, directory, of};

/// A word of a command line or a name of a file, which is "café" as Latin-1 has it where `é` stands.
fn odd(text: &str) -> OsString {
    OsString::from_vec(bytes(text))
}

fn bytes(text: &str) -> Vec<u8> {
    text.chars()
        .map(|letter| u8::try_from(u32::from(letter)).expect("Latin-1"))
        .collect()
}

fn hex(text: &str) -> String {
    bytes(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn file(path: &str, content: &'static str) -> (Header, &'static str) {
    (Header::file(bytes(path), content.len() as u64), content)
}

/// Two images, in the second of which the odd file differs: a directory and a file of odd names, and a link to it.
fn made(room: &Room) {
    let lower = |content| {
        archive(&[
            directory("etc/"),
            file("etc/café", content),
            file("etc/cafe", "plain"),
            directory("opt/"),
            bare(Header::directory(bytes("opt/é/"))),
            file("opt/é/x", "x"),
            bare(Header::symlink("link", bytes("opt/é"))),
        ])
    };
    let layout = room.layout("images");
    let mut app = of(&[lower("one")]);
    app.config["history"] = json!([{"created_by": "ADD"}]);
    layout.image("app", &app);
    layout.image("next", &of(&[lower("three")]));
}

fn told(room: &Room, arguments: &[OsString]) -> Value {
    let asked = ["-o", "json"]
        .map(OsString::from)
        .into_iter()
        .chain(arguments.iter().cloned());
    serde_json::from_str(&room.teu(asked).ran().stdout).expect("JSON")
}

fn words(line: &str) -> Vec<OsString> {
    line.split(' ').map(odd).collect()
}

fn listed(room: &Room, line: &str) -> Vec<String> {
    let ran = room.teu(words(line)).succeeds();
    ran.stdout.lines().map(str::to_owned).collect()
}

#[test]
fn files_are_listed_by_them() {
    let room = Room::new();
    made(&room);
    for (glob, expected) in [
        ("etc/café", &[r"/etc/caf\xe9"][..]),
        ("etc/caf?", &["/etc/cafe", r"/etc/caf\xe9"]),
        ("etc/*[à-ï]", &[r"/etc/caf\xe9"]),
        ("opt/é", &[r"/opt/\xe9", r"/opt/\xe9/x"]),
    ] {
        assert_eq!(
            listed(&room, &format!("files oci:images:app {glob}")),
            expected,
            "{glob}"
        );
    }
    let long = listed(&room, "files -l oci:images:app link");
    assert!(long[0].ends_with(r"/link -> opt/\xe9"), "{long:?}");
    let files = told(&room, &words("files oci:images:app etc/café link"))["files"].take();
    let [odd, link] = &files.as_array().expect("a list")[..] else {
        panic!("{files}");
    };
    assert_eq!(odd["path"], "/etc/caf\u{fffd}");
    assert_eq!(odd["pathHex"], hex("etc/café"));
    assert_eq!((&link["path"], &link["pathHex"]), (&json!("/link"), &Value::Null));
    assert_eq!(link["targetHex"], hex("opt/é"));
    let error = room.teu(words("files oci:images:app etc/thé")).fails(2);
    assert!(
        error.contains(r#"nothing in the image is meant by "etc/th\xe9""#),
        "{error}"
    );
}

#[test]
fn files_are_taken_by_patterns_of_them() {
    let room = Room::new();
    made(&room);
    room.teu(words("extract oci:images:app opt/é/* etc/*é out/")).succeeds();
    assert_eq!(fs::read(room.path("out").join(odd("café"))).expect("there"), b"one");
    assert_eq!(fs::read(room.path("out/x")).expect("there"), b"x");
}

#[test]
fn files_are_put_under_them_and_hidden() {
    let room = Room::new();
    made(&room);
    room.file(odd("tree/thé/new"), "new");
    let put = |line: &str| {
        room.teu(words(&format!("insert --to oci:images:new oci:images:app {line}")))
            .succeeds()
    };
    for (line, layer, created_by) in [
        (
            "tree opt/é",
            &["/opt", r"/opt/\xe9", r"/opt/\xe9/th\xe9", r"/opt/\xe9/th\xe9/new"][..],
            r"teu insert /opt/\xe9",
        ),
        // The link is followed.
        (
            "tree/thé/new link/né",
            &["/opt", r"/opt/\xe9", r"/opt/\xe9/n\xe9"],
            r"teu insert /link/n\xe9",
        ),
        (
            "--whiteout etc/café",
            &["/etc", r"/etc/.wh.caf\xe9"],
            r"teu insert --whiteout /etc/caf\xe9",
        ),
    ] {
        put(line);
        assert_eq!(listed(&room, "files --layer 1 oci:images:new"), layer, "{line}");
        let config = room.teu(["inspect", "--config", "oci:images:new"]).succeeds().stdout;
        let config: Value = serde_json::from_str(&config).expect("JSON");
        assert_eq!(config["history"][1]["created_by"], created_by, "{line}");
    }
    // What an image has is what was on the disk.
    put("tree /");
    room.teu(words("unpack --rootfs-only --rootless oci:images:new root"))
        .succeeds();
    assert_eq!(fs::read(room.path("root").join(odd("thé/new"))).expect("there"), b"new");
}

#[test]
fn files_are_removed_by_them() {
    let room = Room::new();
    made(&room);
    for (pattern, left) in [
        (
            "etc/café",
            &["/etc", "/etc/cafe", "/link", "/opt", r"/opt/\xe9", r"/opt/\xe9/x"][..],
        ),
        ("opt/é", &["/etc", "/etc/cafe", r"/etc/caf\xe9", "/link", "/opt"]),
        (
            "link/../é/x",
            &["/etc", "/etc/cafe", r"/etc/caf\xe9", "/link", "/opt", r"/opt/\xe9"],
        ),
        // By where the link leads.
        (
            "link/*",
            &["/etc", "/etc/cafe", r"/etc/caf\xe9", "/link", "/opt", r"/opt/\xe9"],
        ),
    ] {
        let line = format!("edit --remove-file {pattern} --to oci:images:new oci:images:app");
        room.teu(words(&line)).succeeds();
        assert_eq!(listed(&room, "files oci:images:new"), left, "{pattern}");
    }
    let error = room.teu(words("edit --remove-file etc/thé oci:images:app")).fails(2);
    assert!(error.contains(r#"has a file "etc/th\xe9""#), "{error}");
}

#[test]
fn what_differs_is_told_of_by_them() {
    let room = Room::new();
    made(&room);
    let ran = room
        .teu(words("diff --content oci:images:app oci:images:next etc/café"))
        .ran();
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    for line in [
        r"  ~ /etc/caf\xe9  content 3 B -> 5 B",
        r"--- a/etc/caf\xe9",
        r"+++ b/etc/caf\xe9",
    ] {
        assert!(ran.stdout.lines().any(|told| told == line), "{line}: {}", ran.stdout);
    }
    let told = told(&room, &words("diff oci:images:app oci:images:next etc/café"));
    assert_eq!(told["files"][0]["pathHex"], hex("etc/café"), "{told}");
    let error = room.teu(words("diff oci:images:app oci:images:next thé")).fails(2);
    assert!(error.contains(r#"meant by "th\xe9""#), "{error}");
}

#[test]
fn what_is_large_and_what_is_hidden_is_told_of_by_them() {
    let room = Room::new();
    let lower = archive(&[file("café", "much of it")]);
    let upper = archive(&[file(".wh.café", ""), file("thé", "less")]);
    room.layout("images").image("app", &of(&[lower, upper]));
    let text = room.teu(["analyze", "oci:images:app"]).succeeds().stdout;
    for end in [r"removed  /caf\xe9", r"/th\xe9"] {
        assert!(text.lines().any(|line| line.ends_with(end)), "{end}: {text}");
    }
    let told = told(&room, &words("analyze oci:images:app"));
    assert_eq!(told["hiddenFiles"][0]["pathHex"], hex("café"), "{told}");
    assert_eq!(told["largest"][0]["pathHex"], hex("thé"), "{told}");
}

#[test]
fn what_changed_in_a_bundle_is_packed_by_them() {
    let room = Room::new();
    made(&room);
    room.teu(words("unpack --rootless oci:images:app bundle")).succeeds();
    for name in ["é/new", "thé"] {
        fs::write(room.path("bundle/rootfs/opt").join(odd(name)), "new").expect("written");
    }
    room.teu(words("repack --mask-path opt/thé bundle oci:images:new"))
        .succeeds();
    let there = listed(&room, "files oci:images:new opt");
    assert_eq!(there, ["/opt", r"/opt/\xe9", r"/opt/\xe9/new", r"/opt/\xe9/x"]);
}
