//! Does `teu diff` tell how two images differ, in words and in its exit code, and wait for no layer that was seen before?

use std::collections::BTreeMap;

use crate::support::{Asks, Image, Layout, Peer, Ran, Room, image};
use serde_json::{Value, json};
use teu_archive::tar::{Header, Writer};
use teu_spec::Digest;

type Entry = (Header, Vec<u8>);

pub(crate) fn file(path: &str, content: &str) -> Entry {
    let mut header = Header::file(path, content.len() as u64);
    header.mode = 0o644;
    (header, content.as_bytes().to_vec())
}

fn bare(header: Header) -> Entry {
    (header, Vec::new())
}

pub(crate) fn archive(entries: &[Entry]) -> Vec<u8> {
    let mut tar = Writer::new(Vec::new());
    for (header, content) in entries {
        tar.append_data(header, content).expect("written");
    }
    tar.finish().expect("whole")
}

/// An image of these layers, the lowest first.
pub(crate) fn of(layers: &[Vec<u8>]) -> Image {
    let mut made = image();
    let digests: Vec<String> = layers.iter().map(|layer| Digest::of(layer).to_string()).collect();
    made.config["rootfs"]["diff_ids"] = json!(digests);
    let steps: Vec<Value> = (0..layers.len())
        .map(|step| json!({"created_by": format!("STEP {step}")}))
        .collect();
    made.config["history"] = json!(steps);
    let kind = "application/vnd.oci.image.layer.v1.tar".to_owned();
    made.layers = layers.iter().map(|layer| (kind.clone(), layer.clone())).collect();
    made
}

pub(crate) fn base() -> Vec<u8> {
    archive(&[
        bare(Header::directory("etc/")),
        file("etc/conf", "one\ntwo\nthree\n"),
        file("etc/gone", "gone"),
        file("bin/su", "su"),
        bare(Header::symlink("bin/sh", "dash")),
    ])
}

/// What becomes of it: all that can differ.
pub(crate) fn upper() -> Vec<u8> {
    let mut su = file("bin/su", "su");
    su.0.mode = 0o4755;
    su.0.uid = 7;
    su.0.xattrs = [(b"security.capability".to_vec(), vec![1, 0])].into();
    archive(&[
        file("etc/.wh.gone", ""),
        file("etc/conf", "one\n2\u{1b}[2J\tx\nthree\n"),
        su,
        bare(Header::symlink("bin/sh", "bash")),
        file("opt/a\n  + x", "new"),
    ])
}

fn two(room: &Room) -> (Layout, Digest, Digest) {
    let layout = room.layout("images");
    let first = layout.image("a", &of(&[base()]));
    let mut after = of(&[base(), upper()]);
    after.config["config"]["Env"] = json!(["PATH=/bin", "NEW="]);
    after.config["created"] = "2026-12-01T00:00:00Z".into();
    after.manifest["annotations"] = json!({"note": "2"});
    let second = layout.image("b", &after);
    (layout, first, second)
}

const A: &str = "oci:images:a";
const B: &str = "oci:images:b";

/// What it says where it found differences.
#[track_caller]
pub(crate) fn differ(room: &Room, arguments: &[&str]) -> String {
    let Ran { code, stdout, stderr } = room.teu(["diff", "--progress=none"].iter().chain(arguments)).ran();
    assert_eq!((code, stderr.as_str()), (1, ""), "{arguments:?}: {stdout}");
    stdout
}

#[track_caller]
pub(crate) fn same(room: &Room, arguments: &[&str]) {
    let said = room.teu(["diff"].iter().chain(arguments)).succeeds();
    assert_eq!(said.stdout, "", "{arguments:?}");
}

#[test]
fn all_that_differs_is_told() {
    let room = Room::new();
    let (_, first, second) = two(&room);
    let [below, above] = [base(), upper()].map(|layer| Digest::of(&layer).short());
    let expected = format!(
        "\
--- oci:images:a {first} linux/amd64
+++ oci:images:b {second} linux/amd64

manifest
  + annotations: {{\"note\":\"2\"}}

config
  ~ config.Env.PATH: \"/usr/bin:/bin\" -> \"/bin\"
  + config.Env.NEW: \"\"
  + history[1]: {{\"created_by\":\"STEP 1\"}}

layers
     0  {below}  5.1 kB  STEP 0
  +  1  {above}  6.1 kB  STEP 1

files: 2 added, 1 removed, 3 changed
  ~ /bin/sh  leads to dash -> bash
  ~ /bin/su  mode rw-r--r-- -> rwsr-xr-x, owner 0:0 -> 7:0, xattrs +security.capability
  ~ /etc/conf  content 14 B -> 18 B
  - /etc/gone  -rw-r--r-- 0:0 4 B
  + /opt  drwxr-xr-x 0:0
  + /opt/a\\n  + x  -rw-r--r-- 0:0 3 B
"
    );
    assert_eq!(differ(&room, &[A, B]), expected);
    same(&room, &[A, A]);
    same(&room, &[B, &format!("oci:images@{second}")]);
}

#[test]
fn parts_and_patterns_narrow_it() {
    let room = Room::new();
    let (layout, ..) = two(&room);
    let heads = |arguments: &[&str]| -> Vec<String> {
        let said = differ(&room, &[arguments, &[A, B]].concat());
        let heads = said
            .lines()
            .skip(2)
            .filter(|line| !line.starts_with(' ') && !line.is_empty());
        heads.map(str::to_owned).collect()
    };
    assert_eq!(heads(&["--config"]), ["manifest", "config"]);
    assert_eq!(heads(&["--layers"]), ["layers"]);
    assert_eq!(heads(&["--files"]), ["files: 2 added, 1 removed, 3 changed"]);
    assert_eq!(
        heads(&["--files", "--layers"]),
        ["layers", "files: 2 added, 1 removed, 3 changed"]
    );
    let said = differ(&room, &[A, B, "/etc", "**/su"]);
    assert!(
        said.contains("\nfiles: 0 added, 1 removed, 2 changed\n") && !said.contains("config\n"),
        "{said}"
    );
    same(&room, &[A, A, "etc/gone"]);
    let nothing = room.teu(["diff", A, B, "etc", "no/such"]).fails(2);
    assert_eq!(nothing, "teu: nothing in either image is meant by \"no/such\"\n");
    // What is made of the same files, and by other layers.
    layout.image(
        "flat",
        &of(&[archive(&[
            bare(Header::directory("etc")),
            file("etc/conf", "one\ntwo\nthree\n"),
            file("bin/su", "su"),
            bare(Header::symlink("bin/sh", "dash")),
        ])]),
    );
    layout.image("removed", &of(&[base(), archive(&[file("etc/.wh.gone", "")])]));
    let (flat, removed) = ("oci:images:flat", "oci:images:removed");
    same(&room, &["--files", flat, removed]);
    let said = differ(&room, &["--layers", flat, removed]);
    assert_eq!(
        said.lines().filter(|line| line.starts_with("  + ")).count(),
        2,
        "{said}"
    );
}

#[test]
fn documents_are_compared_without_a_layer_and_times_where_they_are_asked_for() {
    let room = Room::new();
    let (layout, ..) = two(&room);
    let mut later = of(&[base()]);
    later.config["created"] = "2027-01-01T00:00:00Z".into();
    later.config["history"][0]["created"] = "2027-01-01T00:00:00Z".into();
    layout.image("later", &later);
    let mut newer = file("etc/gone", "gone");
    newer.0.mtime.seconds = 5;
    layout.image("newer", &of(&[base(), archive(&[newer])]));
    std::fs::remove_file(layout.blob_path(&Digest::of(&base()))).expect("removed");
    let later = "oci:images:later";
    same(&room, &["--config", "--layers", A, later]);
    let said = differ(&room, &["--config", "--times", A, later]);
    let body: Vec<&str> = said.lines().skip(3).collect();
    let expected = [
        "config",
        "  ~ created: \"2026-11-23T17:52:32.3Z\" -> \"2027-01-01T00:00:00Z\"",
        "  + history[0].created: \"2027-01-01T00:00:00Z\"",
    ];
    assert_eq!(body, expected);
    layout.blob(&base());
    let newer = "oci:images:newer";
    same(&room, &["--files", A, newer]);
    let said = differ(&room, &["--files", "--times", A, newer]);
    let line = "  ~ /etc/gone  time 1970-01-01T00:00:00Z -> 1970-01-01T00:00:05Z\n";
    assert!(said.ends_with(line), "{said}");
}

#[test]
fn texts_are_shown_as_diff_shows_them_and_cannot_act() {
    let room = Room::new();
    let (layout, ..) = two(&room);
    let mut binary = of(&[
        base(),
        archive(&[
            file("bin/su", "\0"),
            file("etc/conf", &"x\n".repeat(1 << 19).replacen('x', "long", 1)),
            file("large", &"x\n".repeat(1 << 20)),
        ]),
    ]);
    binary.config["history"] = json!([]);
    layout.image("c", &binary);
    let said = differ(&room, &["--content", A, B]);
    let unified = "
--- a/etc/conf
+++ b/etc/conf
@@ -1,3 +1,3 @@
 one
-two
+2\\u{1b}[2J\tx
 three

--- a/etc/gone
+++ /dev/null
@@ -1 +0,0 @@
-gone
\\ No newline at end of file

--- /dev/null
+++ b/opt/a\\n  + x
@@ -0,0 +1 @@
+new
\\ No newline at end of file
";
    assert!(said.ends_with(&format!("3 B\n{unified}")), "{said}");
    let said = differ(&room, &["--content", A, "oci:images:c", "**"]);
    let files = "
files: 1 added, 0 removed, 2 changed
  ~ /bin/su  content 2 B -> 1 B
  ~ /etc/conf  content 14 B -> 1.0 MB, not shown, past the limit text_file_bytes of 1048576
  + /large  -rw-r--r-- 0:0 2.1 MB, not shown, past the limit text_file_bytes of 1048576

Binary files a/bin/su and b/bin/su differ
";
    assert!(said.ends_with(files), "{said}");
    let raised = ["--content", "--limit=text_file_bytes=4194304", A, "oci:images:c", "**"];
    let said = differ(&room, &raised);
    assert!(
        !said.contains("past the limit") && said.contains("+++ b/large\n@@ -0,0 +1"),
        "{said}"
    );
    for (limit, named) in [("text_bytes=9", "text_bytes of 9"), ("text_files=0", "text_files of 0")] {
        let said = differ(&room, &["--content", "--limit", limit, A, B]);
        assert!(said.contains(&format!("not shown, past the limit {named}\n")), "{said}");
    }
}

/// Two trees that differ in all that texts can differ in.
fn of_texts() -> [Vec<u8>; 2] {
    let numbers = |from: u32, to: u32| -> String { (from..to).map(|number| format!("{number}\n")).collect() };
    let before = archive(&[
        file("becomes/a-file", "in a directory\n"),
        file("bin", "\0before"),
        file("emptied", "one\ntwo\n"),
        file("etc/conf", &numbers(0, 60)),
        file("etc/end", "no newline"),
        file("gone", "1\n2\n3"),
        file("gone.bin", "\0"),
        file("gone.d/deep/er", "deep\n"),
        file("gone.empty", ""),
        bare(Header::hard_link("gone.linked", "gone")),
        file("same", "same\n"),
        file("trees", "a file\n"),
    ]);
    let after = archive(&[
        file("becomes", "a file\n"),
        file("bin", "\0after"),
        file("emptied", ""),
        file(
            "etc/conf",
            &(numbers(1, 20) + "new\n" + &numbers(20, 40) + &numbers(45, 60) + "end\n"),
        ),
        file("etc/end", "no newline\n"),
        file("new", "whole\n"),
        file("new.bin", "\0"),
        file("new.d/in", "no newline"),
        file("new.empty", ""),
        file("same", "same\n"),
        file("trees/in", "in\n"),
    ]);
    [before, after]
}

/// What a patch says of each file: its lines from the first `@@` on, or that it is none of texts.
fn by_file(patch: &str) -> BTreeMap<String, String> {
    let mut found: BTreeMap<String, String> = BTreeMap::new();
    let mut names: [&str; 2] = ["", ""];
    // How many lines of the hunk are still to come, of both sides.
    let mut rest = [0, 0];
    // The name without the directory of its side; where one side has none GNU's diff calls it as the other.
    let name = |names: [&str; 2]| -> String {
        let name = names.into_iter().find(|name| *name != "/dev/null").unwrap_or_default();
        let name = name.split('\t').next().unwrap_or_default();
        name.split_once('/').map_or("", |(_, name)| name).to_owned()
    };
    for line in patch.lines() {
        if rest == [0, 0] && !line.starts_with('\\') {
            if let Some(old) = line.strip_prefix("--- ") {
                names[0] = old;
            } else if let Some(new) = line.strip_prefix("+++ ") {
                names[1] = new;
            } else if let Some(both) = line.strip_prefix("Binary files ") {
                let both = both.strip_suffix(" differ").expect("the end");
                let (old, new) = both.split_once(" and ").expect("two");
                found.insert(name([old, new]), "binary".to_owned());
            } else if let Some(range) = line.strip_prefix("@@ ") {
                let mut lengths = range.split(' ').map(|range| match range.split_once(',') {
                    Some((_, length)) => length.parse().expect("a length"),
                    None => 1,
                });
                rest = [0, 1].map(|_| lengths.next().expect("a range"));
                *found.entry(name(names)).or_default() += &format!("{line}\n");
            }
            continue;
        }
        match line.as_bytes().first() {
            Some(b'-') => rest[0] -= 1,
            Some(b'+') => rest[1] -= 1,
            Some(b'\\') => {}
            _ => rest = rest.map(|rest| rest - 1),
        }
        *found.entry(name(names)).or_default() += &format!("{line}\n");
    }
    found
}

#[test]
fn texts_are_what_gnu_diff_says_of_the_two_trees() {
    let room = Room::new();
    let layout = room.layout("images");
    for (name, layer) in ["a", "b"].into_iter().zip(of_texts()) {
        layout.image(name, &of(&[layer]));
        room.teu(["unpack", "--rootfs-only", &format!("oci:images:{name}"), name])
            .succeeds();
    }
    let theirs = room.run("diff", ["-ruN", "a", "b"]).ran();
    assert_eq!(theirs.code, 1, "{}", theirs.stderr);
    let mut theirs = by_file(&theirs.stdout);
    // A directory that is a file on the other side it names, and does not look into.
    for (path, hunk) in [
        ("becomes/a-file", "@@ -1 +0,0 @@\n-in a directory\n"),
        ("trees/in", "@@ -0,0 +1 @@\n+in\n"),
    ] {
        assert_eq!(theirs.insert(path.to_owned(), hunk.to_owned()), None);
    }
    let said = differ(&room, &["--files", "--content", A, B]);
    assert_eq!(by_file(&said), theirs);
    let names: Vec<&str> = theirs.keys().map(String::as_str).collect();
    let expected = [
        "becomes/a-file",
        "bin",
        "emptied",
        "etc/conf",
        "etc/end",
        "gone",
        "gone.bin",
        "gone.d/deep/er",
        "gone.linked",
        "new",
        "new.bin",
        "new.d/in",
        "trees/in",
    ];
    assert_eq!(names, expected);
    // As JSON it is the same.
    let ran = room.teu(["diff", "-o", "json", "--content", A, B]).ran();
    let told: Value = serde_json::from_str(&ran.stdout).expect("JSON");
    let files = told["files"].as_array().expect("a list");
    let of_json: BTreeMap<String, String> = files
        .iter()
        .filter_map(|file| {
            let text = match (file["diff"].as_str(), file["diffOmitted"].as_str()) {
                (Some(text), None) => text,
                (None, omitted) => omitted?,
                (Some(_), Some(_)) => panic!("both: {file}"),
            };
            let path = file["path"].as_str().expect("a path").trim_start_matches('/');
            Some((path.to_owned(), text.to_owned()))
        })
        .collect();
    assert_eq!(of_json, theirs);
}

#[test]
fn programs_read_all_of_it_as_json() {
    let room = Room::new();
    let (_, first, second) = two(&room);
    let read = |arguments: &[&str]| -> Value {
        let ran = room.teu(["diff", "-o", "json", A].iter().chain(arguments)).ran();
        let told: Value = serde_json::from_str(&ran.stdout).expect("JSON");
        assert_eq!(ran.code, i32::from(told["same"] == false), "{told}");
        told
    };
    let told = read(&[B, "--content"]);
    let platform = json!({"architecture": "amd64", "os": "linux"});
    assert_eq!(
        told["before"],
        json!({"reference": A, "digest": first, "platform": platform})
    );
    assert_eq!(
        told["after"],
        json!({"reference": B, "digest": second, "platform": platform})
    );
    assert_eq!(
        told["manifest"],
        json!([{"path": "annotations", "before": null, "after": {"note": "2"}}])
    );
    assert_eq!(
        told["config"][0],
        json!({"path": "config.Env.PATH", "before": "/usr/bin:/bin", "after": "/bin"})
    );
    let layer = |position: usize, content: &[u8]| {
        let digest = Digest::of(content);
        let kind = "application/vnd.oci.image.layer.v1.tar";
        let step = format!("STEP {position}");
        json!({"position": position, "digest": digest, "diffId": digest, "mediaType": kind, "size": content.len(), "createdBy": step})
    };
    assert_eq!(
        told["layers"],
        json!([
            {"change": "same", "before": layer(0, &base()), "after": layer(0, &base())},
            {"change": "added", "before": null, "after": layer(1, &upper())},
        ])
    );
    let time = "1970-01-01T00:00:00Z";
    let file = |layer: usize, mode: &str, uid: u32, content: &str| {
        let digest = Digest::of(content.as_bytes());
        json!({"type": "file", "layer": layer, "mode": mode, "uid": uid, "gid": 0, "mtime": time, "size": content.len(), "digest": digest})
    };
    let link = |layer: usize, target: &str| json!({"type": "symlink", "layer": layer, "mode": "0777", "uid": 0, "gid": 0, "mtime": time, "target": target});
    assert_eq!(
        told["files"],
        json!([
            {"path": "/bin/sh", "change": "changed", "differs": ["target"], "before": link(0, "dash"), "after": link(1, "bash")},
            {"path": "/bin/su", "change": "changed", "differs": ["mode", "owner", "xattrs"],
                "before": file(0, "0644", 0, "su"), "after": file(1, "4755", 7, "su"),
                "xattrs": [{"name": "security.capability", "beforeHex": null, "afterHex": "0100"}]},
            {"path": "/etc/conf", "change": "changed", "differs": ["content"],
                "before": file(0, "0644", 0, "one\ntwo\nthree\n"), "after": file(1, "0644", 0, "one\n2\u{1b}[2J\tx\nthree\n"),
                "diff": "@@ -1,3 +1,3 @@\n one\n-two\n+2\u{1b}[2J\tx\n three\n"},
            {"path": "/etc/gone", "change": "removed", "differs": [], "before": file(0, "0644", 0, "gone"), "after": null,
                "diff": "@@ -1 +0,0 @@\n-gone\n\\ No newline at end of file\n"},
            {"path": "/opt", "change": "added", "differs": [], "before": null,
                "after": {"type": "directory", "layer": null, "mode": "0755", "uid": 0, "gid": 0, "mtime": time}},
            {"path": "/opt/a\n  + x", "change": "added", "differs": [], "before": null, "after": file(1, "0644", 0, "new"),
                "diff": "@@ -0,0 +1 @@\n+new\n\\ No newline at end of file\n"},
        ])
    );
    let alone = read(&[A, "--layers"]);
    let keys: Vec<&String> = alone.as_object().expect("an object").keys().collect();
    assert_eq!(keys, ["same", "before", "after", "layers"]);
}

#[test]
fn names_that_are_no_text_and_links_are_exact_in_json() {
    let room = Room::new();
    let layout = room.layout("images");
    let mut odd = Header::file("plain", 1);
    odd.path = b"n\xff".to_vec();
    let pair = [
        file("x", "1"),
        bare(Header::hard_link("y", "x")),
        (odd.clone(), b"1".to_vec()),
    ];
    let copies = [file("x", "1"), file("y", "1"), (odd, b"2".to_vec())];
    layout.image("a", &of(&[archive(&pair)]));
    layout.image("b", &of(&[archive(&copies)]));
    let ran = room.teu(["diff", "-o", "json", "--files", A, B]).ran();
    let told: Value = serde_json::from_str(&ran.stdout).expect("JSON");
    let files = &told["files"];
    assert_eq!(
        (&files[0]["path"], &files[0]["pathHex"]),
        (&"/n\u{fffd}".into(), &"6eff".into())
    );
    assert_eq!(files[1]["differs"], json!(["links"]));
    assert_eq!(
        (&files[1]["before"]["linkOf"], &files[1]["after"]["linkOf"]),
        (&"/x".into(), &"/y".into())
    );
    let said = differ(&room, &["--files", A, B]);
    let lines = "  ~ /n\\xff  content\n  ~ /y  one file with /x -> a file of its own\n";
    assert!(said.ends_with(lines), "{said}");
}

#[test]
fn platforms_of_an_index_are_compared() {
    let room = Room::new();
    let layout = room.layout("images");
    let first = of(&[base()]);
    let mut second = of(&[base(), archive(&[file("arm", "")])]);
    second.config["architecture"] = "arm64".into();
    layout.index("both", &[("linux/amd64", &first), ("linux/arm64", &second)]);
    let both = "oci:images:both";
    let on = |platforms: &[&'static str]| -> Vec<&'static str> {
        platforms
            .iter()
            .flat_map(|platform| ["--platform", *platform])
            .collect()
    };
    same(&room, &[&on(&["linux/arm64"])[..], &[both, both]].concat());
    same(
        &room,
        &[&on(&["linux/arm64", "linux/arm64"])[..], &[both, both]].concat(),
    );
    let said = differ(
        &room,
        &[&on(&["linux/amd64", "linux/arm64"])[..], &["--files", both, both]].concat(),
    );
    assert!(
        said.ends_with("\nfiles: 1 added, 0 removed, 0 changed\n  + /arm  -rw-r--r-- 0:0 0 B\n"),
        "{said}"
    );
    let said = differ(
        &room,
        &[&on(&["linux/amd64", "linux/arm64"])[..], &["--config", both, both]].concat(),
    );
    assert!(said.contains("  ~ architecture: \"amd64\" -> \"arm64\"\n"), "{said}");
    let three = [&["diff"], &on(&["linux/amd64"; 3])[..], &[both, both]].concat();
    let wrong = "teu: --platform is given once for both images, or twice: first for A, then for B\n";
    assert_eq!(room.teu(three).fails(2), wrong);
}

#[test]
fn trouble_is_neither_the_same_nor_different() {
    let room = Room::new();
    let (layout, ..) = two(&room);
    let absent = room.teu(["diff", A, "oci:images:absent"]).fails(2);
    assert!(absent.contains("absent"), "{absent}");
    let digest = Digest::of(&upper());
    std::fs::write(layout.blob_path(&digest), vec![0; upper().len()]).expect("written");
    let broken = room.teu(["diff", "--progress=none", A, B]).fails(2);
    assert!(broken.contains(&digest.to_string()), "{broken}");
    let slow = room.teu(["diff", "--command-timeout=1ns", A, B]).fails(2);
    assert!(slow.contains("--command-timeout"), "{slow}");
    // Short names may mean two registries.
    for [one, two] in [
        ["docker://one.example/a", "docker://two.example/a"],
        ["one", "two"],
        ["one", "docker://one"],
    ] {
        let refused = room.teu(["diff", "--creds=user:secret", one, two]).fails(2);
        let is_said = refused.contains("teu login") && !refused.contains("secret");
        assert!(is_said, "{refused}");
    }
}

#[test]
fn who_reads_no_further_learns_it_from_the_exit_code() {
    let room = Room::new();
    two(&room);
    let mut piped = room.run(
        "bash",
        [
            "-c",
            "teu diff --progress=none \"$0\" \"$1\" | true; echo \"${PIPESTATUS[0]}\"",
            A,
            B,
        ],
    );
    let directory = std::path::Path::new(env!("CARGO_BIN_EXE_teu"))
        .parent()
        .expect("a directory");
    piped.0.env(
        "PATH",
        format!("{}:{}", directory.display(), std::env::var("PATH").unwrap_or_default()),
    );
    assert_eq!(piped.succeeds().stdout, "1\n");
}

#[test]
fn images_that_were_seen_are_compared_without_their_layers() {
    let room = Room::new();
    let (layout, ..) = two(&room);
    let first = differ(&room, &[A, B]);
    for layer in [base(), upper()] {
        std::fs::remove_file(layout.blob_path(&Digest::of(&layer))).expect("removed");
    }
    assert_eq!(differ(&room, &[A, B]), first);
    // Those that are made of the same layers have the same files, whether these were seen or not.
    std::fs::remove_dir_all(room.home(".cache/teu/contents")).expect("removed");
    same(&room, &[B, B]);
    // What files are made of is in the layers alone.
    let absent = room.teu(["diff", "--content", A, B]).fails(2);
    assert!(absent.contains(&Digest::of(&base()).to_string()) || absent.contains(&Digest::of(&upper()).to_string()));
}

#[test]
fn an_image_is_compared_with_what_a_registry_has() {
    let room = Room::new();
    two(&room);
    let Some(peer) = Peer::start("an_image_is_compared_with_what_a_registry_has", Asks::default()) else {
        return;
    };
    let there = format!("docker://{}/app:1", peer.host);
    room.teu(["copy", "--dest-tls-verify=false", B, &there]).succeeds();
    let plain = "--tls-verify=false";
    same(&room, &[plain, B, &there]);
    let [here, remote] = [B, &there].map(|after| differ(&room, &[plain, "--content", A, after]));
    assert_eq!(remote.replace(&there, B), here);
}

#[test]
fn what_is_compressed_otherwise_has_the_same_in_it() {
    let room = Room::new();
    two(&room);
    room.teu([
        "copy",
        "--quiet",
        "--dest-compress-format=zstd",
        "--dest-force-compress-format",
        A,
        "oci:images:zstd",
    ])
    .succeeds();
    let zstd = "oci:images:zstd";
    same(&room, &["--files", A, zstd]);
    let said = differ(&room, &[A, zstd]);
    let body: Vec<&str> = said.lines().skip(2).filter(|line| !line.is_empty()).collect();
    assert_eq!((body[0], body.len()), ("layers", 2), "{said}");
    let layer = Digest::of(&base()).short();
    assert!(
        body[1].starts_with(&format!("  =  0  {layer} -> ")) && body[1].contains("5.1 kB -> "),
        "{said}"
    );
    let ran = room.teu(["diff", "-o", "json", "--layers", A, zstd]).ran();
    let told: Value = serde_json::from_str(&ran.stdout).expect("JSON");
    assert_eq!((ran.code, &told["layers"][0]["change"]), (1, &"same-content".into()));
}
