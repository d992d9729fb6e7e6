//! Does `teu extract` take what is meant, all of it as it is in the image, from no more layers than it takes, and put nothing anywhere else?

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::Path,
};

use crate::support::{
    Asks, Layout, Peer, Room, archive, bare, directory, file, of,
    tree::{Tree, tree},
};
use serde_json::{Value, json};
use teu_archive::tar::{EntryKind, Header};
use teu_spec::Digest;

/// The lower layer has what the upper one links to, replaces and removes.
fn two() -> [Vec<u8>; 2] {
    let mut noted = Header::file("usr/lib/noted", 5);
    noted.xattrs.insert(b"user.note".to_vec(), b"a\0b".to_vec());
    (noted.uid, noted.gid, noted.mode) = (1000, 1001, 0o6751);
    noted.mtime.seconds = 1_700_000_001;
    let lower = archive(&[
        directory("etc/"),
        file("etc/low.conf", "low\n"),
        file("etc/kept.conf", "kept\n"),
        file("etc/gone.conf", "gone\n"),
        directory("usr/"),
        directory("usr/lib/"),
        (noted, "noted"),
        file("usr/lib/one", "shared"),
        bare(Header::hard_link("usr/lib/two", "usr/lib/one")),
        bare(Header::new(EntryKind::Fifo, "usr/lib/pipe")),
        bare(Header::new(EntryKind::CharDevice, "usr/lib/null")),
        bare(Header::symlink("usr/lib/out", "/../../../canary")),
        bare(Header::symlink("lib", "usr/lib")),
        directory("usr/hidden/"),
        file("usr/hidden/below", "below"),
        file("a*b", "star"),
    ]);
    let upper = archive(&[
        directory("etc/"),
        file("etc/kept.conf", "changed\n"),
        file("etc/.wh.gone.conf", ""),
        directory("usr/"),
        directory("usr/hidden/"),
        file("usr/hidden/.wh..wh..opq", ""),
        file("usr/hidden/above", "above"),
        bare(Header::symlink("etc/alias", "../../etc/kept.conf")),
    ]);
    [lower, upper]
}

fn made(room: &Room) -> Layout {
    let layout = room.layout("images");
    layout.image("app", &of(&two()));
    layout
}

/// Takes these into a directory of its own, with a canary beside it.
#[track_caller]
fn taken(room: &Room, name: &str, arguments: &[&str]) -> Tree {
    let out = format!("{name}/out/");
    fs::create_dir_all(room.path(name)).expect("a directory");
    fs::write(room.path(name).join("canary"), "alive").expect("a canary");
    let mut asked = vec!["extract", "oci:images:app"];
    asked.extend(arguments);
    asked.push(&out);
    let ran = room.teu(asked).succeeds();
    assert_eq!(ran.stdout, "");
    assert_eq!(listed(&room.path(name)), ["canary", "out"]);
    assert_eq!(
        fs::read_to_string(room.path(name).join("canary")).expect("alive"),
        "alive"
    );
    tree(&room.path(out))
}

fn listed(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).expect("a directory");
    let mut names: Vec<String> = entries
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("a name"))
        .collect();
    names.sort();
    names
}

/// Path and what it is, of all but the top.
fn shape(tree: &Tree) -> BTreeMap<String, String> {
    let shape = tree.iter().filter(|(path, _)| !path.is_empty());
    shape
        .map(|(path, seen)| {
            let kind = match seen.mode & 0o170_000 {
                0o040_000 => "d".to_owned(),
                0o100_000 => format!("f {}", seen.what.split(' ').next().unwrap_or_default()),
                0o120_000 => seen.what.clone(),
                _ => "n".to_owned(),
            };
            (path.clone(), kind)
        })
        .collect()
}

fn is(expected: &[(&str, &str)]) -> BTreeMap<String, String> {
    expected
        .iter()
        .map(|(path, kind)| ((*path).to_owned(), (*kind).to_owned()))
        .collect()
}

#[test]
fn what_is_meant_is_taken_by_its_last_name() {
    let room = Room::new();
    made(&room);
    for (number, (arguments, expected)) in [
        (&["/etc/kept.conf"][..], &[("kept.conf", "f 8")][..]),
        (&["lib/one"], &[("one", "f 6")]),
        (&["etc/alias"], &[("alias", "f 8")]),
        (&["-P", "etc/alias"], &[("alias", "-> ../../etc/kept.conf")]),
        // Links on the way are followed all the same.
        (
            &["--keep-links", "lib", "lib/one", "etc/alias"],
            &[
                ("alias", "-> ../../etc/kept.conf"),
                ("lib", "-> usr/lib"),
                ("one", "f 6"),
            ],
        ),
        (&["a*b"], &[("a*b", "f 4")]),
        (&["etc/*.conf"], &[("kept.conf", "f 8"), ("low.conf", "f 4")]),
        (&["lib/o*"], &[("one", "f 6"), ("out", "-> /../../../canary")]),
        (
            &["**/kept.conf", "etc/low.conf"],
            &[("kept.conf", "f 8"), ("low.conf", "f 4")],
        ),
        (&["usr/hidden"], &[("hidden", "d"), ("hidden/above", "f 5")]),
        (&["usr/hidden/."], &[("above", "f 5")]),
        (
            &["usr/../etc/../usr/hidden/"],
            &[("hidden", "d"), ("hidden/above", "f 5")],
        ),
        (
            &["--parents", "usr/hidden/*", "lib/one"],
            &[
                ("lib", "d"),
                ("lib/one", "f 6"),
                ("usr", "d"),
                ("usr/hidden", "d"),
                ("usr/hidden/above", "f 5"),
            ],
        ),
        (
            &["--layer", "0", "usr/hidden"],
            &[("hidden", "d"), ("hidden/below", "f 5")],
        ),
        (&["etc/low.conf", "etc/low.conf"], &[("low.conf", "f 4")]),
    ]
    .into_iter()
    .enumerate()
    {
        let seen = taken(&room, &number.to_string(), arguments);
        assert_eq!(shape(&seen), is(expected), "{arguments:?}");
    }
}

#[test]
fn files_are_as_they_are_in_the_image() {
    let room = Room::new();
    made(&room);
    let seen = taken(&room, "mine", &["usr/lib"]);
    assert_eq!(
        shape(&seen).keys().map(String::as_str).collect::<Vec<_>>(),
        ["lib", "lib/noted", "lib/one", "lib/out", "lib/pipe", "lib/two"]
    );
    let own = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    assert!(seen.values().all(|seen| seen.owner == own), "{seen:?}");
    assert_eq!(seen["lib"].time, (1_600_000_000, 0));
    let noted = &seen["lib/noted"];
    // Set-id bits were another owner's.
    assert_eq!((noted.mode, noted.time), (0o100_751, (1_700_000_001, 0)));
    assert_eq!(noted.attributes["user.note"], "a\\x00b");
    assert_eq!(seen["lib/two"].same_as.as_deref(), Some("lib/one"));
    let room = Room::new();
    made(&room);
    let again = taken(&room, "again", &["lib/."]);
    assert_eq!(again["two"].same_as.as_deref(), Some("one"));
    if rustix::process::geteuid().is_root() {
        let seen = taken(&room, "theirs", &["--keep-owners", "usr/lib/noted"]);
        assert_eq!((seen["noted"].mode, seen["noted"].owner), (0o106_751, (1000, 1001)));
    }
}

#[test]
fn one_file_gets_the_name_that_is_given() {
    let room = Room::new();
    made(&room);
    room.teu(["extract", "oci:images:app", "etc/alias", "new.conf"])
        .succeeds();
    assert_eq!(fs::read_to_string(room.path("new.conf")).expect("a file"), "changed\n");
    room.teu(["extract", "oci:images:app", "usr/hidden", "tree"]).succeeds();
    assert_eq!(listed(&room.path("tree")), ["above"]);
    // Its metadata comes too.
    assert_eq!(fs::metadata(room.path("tree")).expect("there").mtime(), 1_600_000_000);
    // What is there stays, unless it is said.
    fs::write(room.path("new.conf"), "mine").expect("written");
    let failed = room
        .teu(["extract", "oci:images:app", "etc/low.conf", "new.conf"])
        .fails(1);
    let last = failed.lines().last().unwrap_or_default();
    assert_eq!(
        last,
        "teu: in .: \"new.conf\": it is there already, and is not to be replaced; --force replaces files"
    );
    assert_eq!(fs::read_to_string(room.path("new.conf")).expect("a file"), "mine");
    room.teu(["extract", "--force", "oci:images:app", "etc/low.conf", "new.conf"])
        .succeeds();
    assert_eq!(fs::read_to_string(room.path("new.conf")).expect("a file"), "low\n");
}

#[test]
fn what_the_highest_layer_makes_last_is_taken_without_what_is_below() {
    let room = Room::new();
    let layout = room.layout("images");
    let lower = archive(&[bare(Header::directory("etc/")), file("etc/low", "low")]);
    let upper = archive(&[
        bare(Header::directory("opt/")),
        file("opt/hello", "hello"),
        file("etc/first", "first"),
        file("etc/last", "last"),
    ]);
    layout.image("app", &of(&[lower.clone(), upper]));
    fs::remove_file(layout.blob_path(&Digest::of(&lower))).expect("removed");
    let extract = |arguments: &[&str]| room.teu(["extract", "-o", "json", "oci:images:app"].iter().chain(arguments));
    // The second time the table is known.
    for out in ["one/", "two/"] {
        for (path, from) in [("etc/./last", "/etc/last"), ("opt/hello", "/opt/hello")] {
            let ran = extract(&[path, out]).succeeds();
            let told: Value = serde_json::from_str(&ran.stdout).expect("JSON");
            let file = &told["files"][0];
            assert_eq!((&file["from"], &file["layer"]), (&json!(from), &json!(1)));
            let name = path.rsplit('/').next().expect("a name");
            let content = fs::read_to_string(room.path(out).join(name)).expect("there");
            assert_eq!(content, name);
        }
    }
    for arguments in [
        &["etc/first", "out"][..],
        &["opt/../etc/last", "out"],
        &["--parents", "etc/last", "out"],
        &["etc/last", "etc/first", "out"],
    ] {
        let failed = extract(arguments).fails(2);
        assert!(
            failed.contains(&Digest::of(&lower).to_string()),
            "{arguments:?}: {failed}"
        );
        assert!(!room.path("out").exists(), "{arguments:?}");
    }
}

#[test]
fn json_lists_what_was_written() {
    let room = Room::new();
    made(&room);
    let ran = room
        .teu([
            "-o",
            "json",
            "extract",
            "oci:images:app",
            "lib/*o*",
            "etc/alias",
            "out/",
        ])
        .succeeds();
    let told: Value = serde_json::from_str(&ran.stdout).expect("JSON");
    assert_eq!(
        told["files"],
        json!([
            {"type": "file", "layer": 0, "path": "out/noted", "from": "/usr/lib/noted", "size": 5},
            {"type": "file", "layer": 0, "path": "out/one", "from": "/usr/lib/one", "size": 6},
            {"type": "symlink", "layer": 0, "path": "out/out", "from": "/usr/lib/out", "target": "/../../../canary"},
            {"type": "file", "layer": 0, "path": "out/two", "from": "/usr/lib/two", "size": 6, "linkTo": "out/one"},
            {"type": "file", "layer": 1, "path": "out/alias", "from": "/etc/kept.conf", "size": 8},
        ])
    );
    assert_eq!(
        told["passedOver"],
        json!({"devices": 0, "xattrs": 0, "setId": 1, "owners": 0})
    );
    let ran = room
        .teu(["extract", "oci:images:app", "lib/null", "lib/pipe", "dev/"])
        .succeeds();
    assert_eq!(ran.stderr.lines().last(), Some("teu: warning: devices not made: null"));
    assert_eq!(listed(&room.path("dev")), ["pipe"]);
}

/// What is in a directory that a pattern means comes with it, and not once more by itself.
#[test]
fn a_pattern_takes_a_directory_whole() {
    let room = Room::new();
    let layer = archive(&[
        directory("d/"),
        directory("d/sub/"),
        file("d/sub/in", "in"),
        file("d/top", "top"),
    ]);
    room.layout("images").image("app", &of(&[layer]));
    room.teu(["extract", "oci:images:app", "d/**", "out"]).succeeds();
    assert_eq!(listed(&room.path("out")), ["sub", "top"]);
    assert_eq!(listed(&room.path("out/sub")), ["in"]);
}

#[test]
fn what_fails_leaves_nothing() {
    let room = Room::new();
    made(&room);
    for (code, arguments, said) in [
        (
            2,
            &["etc/kept.conf", "etc/gone.conf"][..],
            "\"etc/gone.conf\" is not in the image",
        ),
        (2, &["etc/*.none"], "nothing in the image is meant by \"etc/*.none\""),
        (2, &["etc/low.conf/."], "\"etc/low.conf/.\" is not in the image"),
        (
            1,
            &["--parents", "etc/../etc/alias"],
            "a path that is to be kept is written without ..",
        ),
        (1, &["--limit", "entries=2", "etc"], "the limit entries is 2"),
        (1, &["--limit", "total_bytes=2000", "etc"], "total_bytes"),
        (2, &["--limit", "nothing=1", "etc"], "there is no limit \"nothing\""),
    ] {
        let asked = ["extract", "oci:images:app"].iter().chain(arguments).chain([&"out/"]);
        let failed = room.teu(asked).fails(code);
        assert!(failed.contains(said), "{arguments:?}: {failed}");
        assert!(!room.path("out").exists(), "{arguments:?}");
    }
    let refused = room.teu(["extract", "oci:images:app", "etc/kept.conf", "-"]).fails(2);
    assert!(
        refused.contains("teu cat prints what is in one") && !room.path("-").exists(),
        "{refused}"
    );
    // Two files would have one name.
    let twice = archive(&[file("a/x", "1"), file("b/x", "2")]);
    room.layout("images").image("twice", &of(&[twice]));
    let failed = room
        .teu(["extract", "--progress=none", "oci:images:twice", "*/x", "out"])
        .fails(1);
    assert_eq!(
        failed,
        "teu: \"a/x\" and \"b/x\" would both be \"x\"; take one at a time, or keep their paths (--parents)\n"
    );
    room.teu(["extract", "--parents", "oci:images:twice", "*/x", "out"])
        .succeeds();
    assert_eq!(listed(&room.path("out")), ["a", "b"]);
}

#[test]
fn an_enemy_gets_nothing_outside() {
    let room = Room::new();
    let hostile = archive(&[
        bare(Header::symlink("d/out", "/../../../../../../tmp")),
        bare(Header::symlink("e", "../../..")),
        file("e/../../x", "climbs"),
        file("../../climbs", "climbs"),
        file("/abs", "abs"),
        bare(Header::new(EntryKind::Fifo, "d/pipe")),
        directory("d/sub/"),
        file("d/sub/f", "f"),
    ]);
    room.layout("images").image("app", &of(&[hostile]));
    let all = taken(&room, "all", &["/"]);
    assert_eq!(
        shape(&all),
        is(&[
            ("abs", "f 3"),
            ("climbs", "f 6"),
            ("d", "d"),
            ("d/out", "-> /../../../../../../tmp"),
            ("d/pipe", "n"),
            ("d/sub", "d"),
            ("d/sub/f", "f 1"),
            ("e", "-> ../../.."),
            ("x", "f 6"),
        ])
    );
    // Planted in the destination: no way out of it, and none in.
    let outside = room.path("outside");
    fs::create_dir_all(&outside).expect("a directory");
    fs::write(outside.join("f"), "alive").expect("a canary");
    let inside = room.path("planted");
    for (what, from, to, force) in [
        ("a link where a directory goes", "../outside", "d", false),
        ("the same by force", "../outside", "d", true),
        ("a link where a file goes", "../outside/f", "abs", false),
        ("a link to nothing", "../outside/new", "abs", false),
    ] {
        let _ = fs::remove_dir_all(&inside);
        fs::create_dir(&inside).expect("a directory");
        symlink(from, inside.join(to)).expect("a link");
        let mut asked = vec!["extract", "oci:images:app", "d", "abs", "planted"];
        if force {
            asked.insert(1, "--force");
        }
        let failed = room.teu(asked).fails(1);
        assert!(
            failed.contains(&format!("\"{to}\": it is there already")),
            "{what}: {failed}"
        );
        assert_eq!(listed(&inside), [to], "{what}");
        assert_eq!(listed(&outside), ["f"], "{what}");
        assert_eq!(fs::read_to_string(outside.join("f")).expect("alive"), "alive", "{what}");
    }
    // By force the link itself is replaced.
    room.teu(["extract", "--force", "oci:images:app", "abs", "planted"])
        .succeeds();
    assert!(fs::symlink_metadata(inside.join("abs")).expect("there").is_file());
    assert_eq!(listed(&outside), ["f"]);
    // A pipe or a device that is asked for by name neither hangs nor is opened.
    room.teu(["extract", "oci:images:app", "d/pipe", "planted"]).succeeds();
}

#[test]
fn a_hard_link_out_of_the_image_is_no_file() {
    let room = Room::new();
    fs::write(room.path("secret"), "secret").expect("a file");
    let secret = room.path("secret").display().to_string();
    for target in [&secret[..], "../secret", "../../../../../../etc/passwd"] {
        let layer = archive(&[bare(Header::hard_link("got", target))]);
        room.layout("images").image("app", &of(&[layer]));
        let failed = room.teu(["extract", "oci:images:app", "got", "got"]).fails(1);
        assert!(failed.contains("nothing is where it leads to"), "{failed}");
        assert!(!room.path("got").exists());
    }
}

#[test]
fn who_is_no_root_takes_closed_directories_too() {
    let room = Room::new();
    let mut closed = Header::directory("closed/");
    closed.mode = 0o555;
    let layer = archive(&[bare(closed), file("closed/in", "in")]);
    room.layout("images").image("app", &of(&[layer]));
    room.teu(["extract", "oci:images:app", "closed", "out/"]).succeeds();
    let mode = fs::metadata(room.path("out/closed"))
        .expect("there")
        .permissions()
        .mode();
    assert_eq!(mode & 0o7777, 0o555);
    fs::set_permissions(room.path("out/closed"), fs::Permissions::from_mode(0o755)).expect("opened again");
}

#[test]
fn only_layers_that_can_have_it_are_fetched_and_each_once() {
    let room = Room::new();
    made(&room);
    let [lower, upper] = two();
    let Some(peer) = Peer::start(
        "only_layers_that_can_have_it_are_fetched_and_each_once",
        Asks::default(),
    ) else {
        return;
    };
    let there = format!("docker://{}/app:1", peer.host);
    room.teu(["copy", "oci:images:app", &there, "--dest-tls-verify=false"])
        .succeeds();
    let fetched = |layer: &[u8], paths: &[&str], cached: bool| {
        if !cached {
            let _ = fs::remove_dir_all(room.home(".cache"));
        }
        let asked = ["--progress", "json", "extract", "--force", "--tls-verify=false", &there];
        let ran = room.teu(asked.iter().chain(paths).chain([&"out/"])).succeeds();
        let digest = Digest::of(layer).to_string();
        // A warning is a line of text.
        let lines = ran.stderr.lines().filter(|line| line.starts_with('{'));
        lines
            .map(|line| serde_json::from_str::<Value>(line).expect("JSON"))
            .filter(|event| event["event"] == "blob-started" && event["digest"] == *digest)
            .count()
    };
    for (paths, of_lower, of_upper) in [
        // By its name.
        (&["etc/kept.conf"][..], 0, 1),
        // By a link that stands behind the file: it has to be read again.
        (&["etc/alias"], 0, 2),
        (&["etc/low.conf"], 1, 1),
        (&["usr/lib"], 1, 1),
        // All that is in an opaque directory is in that layer.
        (&["usr/hidden"], 0, 1),
        (&["**/*.conf"], 1, 1),
    ] {
        assert_eq!(fetched(&lower, paths, false), of_lower, "{paths:?}");
        assert_eq!(fetched(&upper, paths, false), of_upper, "{paths:?}");
    }
    // Known now: only what has the content is read.
    assert_eq!(fetched(&lower, &["etc/kept.conf"], true), 0);
    assert_eq!(fetched(&upper, &["etc/kept.conf"], true), 1);
    assert_eq!(fetched(&upper, &["usr/lib"], true), 0);
    assert_eq!(fetched(&lower, &["-P", "lib/out", "lib/pipe"], true), 0);
}
