//! Does `teu files` list what a container would see, and what each layer says, and is a layer read once alone?

use crate::support::{Layout, Room, of};
use serde_json::{Value, json};
use teu_archive::tar::{EntryKind, Header, Writer};
use teu_spec::Digest;

fn file(path: &str, content: &str) -> (Header, Vec<u8>) {
    let mut header = Header::file(path, content.len() as u64);
    header.mode = 0o644;
    (header, content.as_bytes().to_vec())
}

fn bare(header: Header) -> (Header, Vec<u8>) {
    (header, Vec::new())
}

fn archive(entries: &[(Header, Vec<u8>)]) -> Vec<u8> {
    let mut tar = Writer::new(Vec::new());
    for (header, content) in entries {
        tar.append_data(header, content).expect("written");
    }
    tar.finish().expect("whole")
}

/// Two layers, of which the upper one removes, clears and replaces what is in the lower one.
fn two() -> [Vec<u8>; 2] {
    let mut run = Header::file("bin/run", 3);
    run.mode = 0o4755;
    (run.uid, run.gid) = (7, 8);
    let mut etc = Header::directory("etc/");
    etc.mode = 0o755;
    let lower = archive(&[
        bare(etc),
        file("etc/gone", "gone"),
        file("etc/kept", "kept"),
        file("opt/old", "old"),
        (run, b"run".to_vec()),
        bare(Header::hard_link("bin/again", "bin/run")),
        bare(Header::symlink("bin/link", "/etc/kept")),
    ]);
    let upper = archive(&[
        file("etc/.wh.gone", ""),
        file("opt/.wh..wh..opq", ""),
        file("opt/new", "newer"),
        file("etc/kept", "changed"),
    ]);
    [lower, upper]
}

fn made(room: &Room, layers: &[Vec<u8>]) -> Layout {
    let layout = room.layout("images");
    layout.image("app", &of(layers));
    layout
}

#[test]
fn the_files_are_those_that_a_container_sees() {
    let room = Room::new();
    made(&room, &two());
    let said = room.teu(["files", "oci:images:app"]).succeeds().stdout;
    let all = "/bin\n/bin/again\n/bin/link\n/bin/run\n/etc\n/etc/kept\n/opt\n/opt/new\n";
    assert_eq!(said, all);
    let said = room.teu(["files", "-l", "oci:images:app"]).succeeds().stdout;
    let long = "\
drwxr-xr-x  0:0  -  1970-01-01T00:00:00Z  -  /bin
-rwsr-xr-x  7:8  3  1970-01-01T00:00:00Z  0  /bin/again
lrwxrwxrwx  0:0  -  1970-01-01T00:00:00Z  0  /bin/link -> /etc/kept
-rwsr-xr-x  7:8  3  1970-01-01T00:00:00Z  0  /bin/run
drwxr-xr-x  0:0  -  1970-01-01T00:00:00Z  0  /etc
-rw-r--r--  0:0  7  1970-01-01T00:00:00Z  1  /etc/kept
drwxr-xr-x  0:0  -  1970-01-01T00:00:00Z  -  /opt
-rw-r--r--  0:0  5  1970-01-01T00:00:00Z  1  /opt/new
";
    assert_eq!(said, long);
}

#[test]
fn a_layer_shows_its_own_entries_and_what_it_hides() {
    let room = Room::new();
    let layers = two();
    made(&room, &layers);
    let names = "/etc/.wh.gone\n/opt/.wh..wh..opq\n/opt/new\n/etc/kept\n";
    let digest = Digest::of(&layers[1]);
    for which in ["1", &digest.to_string(), &digest.short()] {
        let said = room
            .teu(["files", "--layer", which, "oci:images:app"])
            .succeeds()
            .stdout;
        assert_eq!(said, names, "{which}");
    }
    let said = room
        .teu(["files", "-l", "--layer=1", "oci:images:app"])
        .succeeds()
        .stdout;
    let long = "\
w---------  -    -  -                     1  /etc/.wh.gone hides /etc/gone
w---------  -    -  -                     1  /opt/.wh..wh..opq hides all in /opt
-rw-r--r--  0:0  5  1970-01-01T00:00:00Z  1  /opt/new
-rw-r--r--  0:0  7  1970-01-01T00:00:00Z  1  /etc/kept
";
    assert_eq!(said, long);
    let asked = ["files", "-l", "--layer=0", "oci:images:app", "bin/again"];
    let said = room.teu(asked).succeeds().stdout;
    assert!(said.ends_with("  0  /bin/again link to /bin/run\n"), "{said}");
    let absent = room.teu(["files", "--layer=2", "oci:images:app"]).fails(2);
    assert_eq!(absent, "teu: the image has no layer 2; it has 2 layers\n");
}

#[test]
fn a_pattern_means_what_it_leads_to_and_what_is_in_it() {
    let room = Room::new();
    made(&room, &two());
    for (globs, found) in [
        (&["/etc"][..], "/etc\n/etc/kept\n"),
        (&["bin/*n*"], "/bin/again\n/bin/link\n/bin/run\n"),
        (&["**/new", "etc/k?pt"], "/etc/kept\n/opt/new\n"),
        (&["/opt/../etc/./kept"], "/etc/kept\n"),
        (&["../opt/nothing/../n*"], "/opt/new\n"),
    ] {
        let asked = ["files", "oci:images:app"].iter().chain(globs);
        assert_eq!(room.teu(asked).succeeds().stdout, found, "{globs:?}");
    }
    let all = room.teu(["files", "oci:images:app"]).succeeds();
    assert_eq!(room.teu(["files", "oci:images:app", "etc", "opt/.."]).succeeds(), all);
    let behind = room.teu(["files", "oci:images:app", "*/../etc"]).fails(1);
    assert_eq!(
        behind,
        "teu: \"*/../etc\" is no pattern of paths: write .. before the first wildcard only\n"
    );
    // What a whiteout hides, and what only the lower layer has, is not in the image.
    let absent = room.teu(["files", "oci:images:app", "etc", "etc/gone"]).fails(2);
    assert_eq!(absent, "teu: nothing in the image is meant by \"etc/gone\"\n");
    let said = room
        .teu(["files", "--layer=1", "oci:images:app", "etc/gone"])
        .succeeds();
    assert_eq!(said.stdout, "/etc/.wh.gone\n");
}

#[test]
fn programs_read_all_of_it_as_json() {
    let room = Room::new();
    let layout = made(&room, &two());
    let digest = layout.manifest(&of(&two())).0;
    let json = |arguments: &[&str]| -> Value {
        let asked = ["files", "-o", "json", "oci:images:app"].iter().chain(arguments);
        serde_json::from_str(&room.teu(asked).succeeds().stdout).expect("JSON")
    };
    let time = "1970-01-01T00:00:00Z";
    assert_eq!(
        json(&["bin/*n"]),
        json!({"digest": digest, "files": [
            {"path": "/bin/again", "type": "file", "layer": 0, "mode": "4755", "uid": 7, "gid": 8, "mtime": time, "names": 2, "size": 3},
            {"path": "/bin/run", "type": "file", "layer": 0, "mode": "4755", "uid": 7, "gid": 8, "mtime": time, "names": 2, "size": 3},
        ]})
    );
    assert_eq!(
        json(&["bin/link"])["files"][0]["target"],
        "/etc/kept",
        "the text of a link is as it is"
    );
    assert_eq!(
        json(&["--layer=1", "etc/gone", "opt/.wh*"])["files"],
        json!([
            {"path": "/etc/.wh.gone", "type": "whiteout", "layer": 1, "hides": "/etc/gone"},
            {"path": "/opt/.wh..wh..opq", "type": "opaque-whiteout", "layer": 1, "hides": "/opt"},
        ])
    );
}

#[test]
fn names_of_strangers_neither_act_on_a_terminal_nor_make_lines() {
    let room = Room::new();
    let mut device = Header::new(EntryKind::CharDevice, "dev/x\u{202e}");
    device.mode = 0o600;
    let mut bytes = Header::file("plain", 0);
    bytes.path = b"n\xff".to_vec();
    let layer = archive(&[
        bare(device),
        file("a\n/etc/shadow", ""),
        bare(Header::symlink("l", "\u{1b}[2J")),
        bare(bytes),
    ]);
    made(&room, &[layer]);
    let said = room.teu(["files", "oci:images:app"]).succeeds().stdout;
    let shown = "/a\\n\n/a\\n/etc\n/a\\n/etc/shadow\n/dev\n/dev/x\\u{202e}\n/l\n/n\\xff\n";
    assert_eq!(said, shown);
    let said = room
        .teu(["files", "-l", "oci:images:app", "l", "dev/*"])
        .succeeds()
        .stdout;
    let shown = "\
crw-------  0:0  0,0  1970-01-01T00:00:00Z  0  /dev/x\\u{202e}
lrwxrwxrwx  0:0  -    1970-01-01T00:00:00Z  0  /l -> \\u{1b}[2J
";
    assert_eq!(said, shown);
    let asked = ["files", "-o", "json", "oci:images:app", "n?"];
    let said: Value = serde_json::from_str(&room.teu(asked).succeeds().stdout).expect("JSON");
    let file = &said["files"][0];
    assert_eq!(
        (&file["path"], &file["pathHex"]),
        (&"/n\u{fffd}".into(), &"6eff".into())
    );
}

#[test]
fn who_asks_again_waits_for_no_layer() {
    let room = Room::new();
    let layers = two();
    let layout = made(&room, &layers);
    let first = room.teu(["files", "oci:images:app"]).succeeds().stdout;
    for layer in &layers {
        std::fs::remove_file(layout.blob_path(&Digest::of(layer))).expect("removed");
    }
    let again = room.teu(["files", "oci:images:app"]).succeeds().stdout;
    assert_eq!(again, first);
    std::fs::remove_dir_all(room.home(".cache/teu/contents")).expect("removed");
    let without = room.teu(["files", "oci:images:app"]).fails(2);
    let absent = Digest::of(&layers[0]).to_string();
    assert!(without.contains(&absent), "{without}");
}
